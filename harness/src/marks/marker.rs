//! The observer: what it keeps in mind of a run, and which part looks at what.
//!
//! It is told of every event of a run, so most of what it does is a comparison and a store. What is kept lives in
//! vectors that are used again by the next run; only what happens a few times in a run goes through a map.

use std::collections::BTreeMap;

use vivarium_core::entry::{Body, Command, Entry, Write};
use vivarium_core::ids::{ConnId, Epoch, PeerId, SessionId, Zxid};
use vivarium_core::io::{Input, Note, Output, SyncPlan};
use vivarium_core::replica::PeerMessage;
use vivarium_core::time::Timestamp;
use vivarium_sim::world::node_index;
use vivarium_sim::{NodeIndex, Observation, Observer, Schedule, Time, Violation};

use super::clients::{Client, Conn};
use super::sessions::{Place, Session};
use super::{Mark, Marks};

/// No more servers than this.
pub(super) const NODES_MAX: usize = 8;

/// Watches a run and takes note of the marks that it comes to.
#[derive(Clone, Debug, Default)]
pub struct Marker {
    pub(super) marks: Marks,
    pub(super) at: Time,
    pub(super) shape: Shape,
    pub(super) step: Step,
    pub(super) nodes: Vec<Node>,
    pub(super) clients: Vec<Client>,
    pub(super) conns: Vec<Conn>,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    /// Attachments by the entries that made them, until these are executed.
    pub(super) attachments: BTreeMap<Zxid, (SessionId, vivarium_core::ids::Origin)>,
    /// Where sequential nodes were made.
    pub(super) places: Vec<Place>,
    /// What is known of each epoch that somebody stood for.
    pub(super) epochs: BTreeMap<Epoch, Standing>,
    /// The newest entry that any node has executed.
    pub(super) committed: Zxid,
    /// The newest epoch that was won, by election or without; the newest that was established by election, and by whom.
    pub(super) led: Epoch,
    pub(super) established: Epoch,
    pub(super) last_winner: Option<NodeIndex>,
    /// Who was handed the lead.
    pub(super) heir: Option<NodeIndex>,
    /// What leaders that ended had proposed and not seen committed: after this, up to this.
    pub(super) orphans: Vec<(Zxid, Zxid)>,
    /// Until when a partition lasts.
    pub(super) cut_until: Time,
    pub(super) healed: bool,
}

/// What of the schedule matters.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    pub nodes: usize,
    pub majority: usize,
    pub silence: Time,
    pub timeouts_ms: (i32, i32),
    pub proposals_max: usize,
    pub batch_max: usize,
    pub superuser: bool,
}

/// The step that a node is in, or was in last.
#[derive(Clone, Debug, Default)]
pub(super) struct Step {
    pub node: NodeIndex,
    /// Nothing else has happened since its outputs were told.
    pub open: bool,
    pub cause: Cause,
    pub writes: u32,
    pub sends: u32,
    pub applied: u32,
    /// The entry executed last was executed for the first time anywhere.
    pub first: bool,
    /// The expiry of a session was executed, and nothing was said yet of its end.
    pub expiry: bool,
    /// The log of the one who asks for a pre-vote is older.
    pub older_log: bool,
    /// The last event: to whom, and of which entry.
    pub event: Option<(ConnId, i64)>,
}

/// What a node was told.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Cause {
    #[default]
    Other,
    Heartbeat,
    NewEpoch,
    Peer,
    Open,
}

/// A stay in an epoch's contest.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Standing {
    pub candidates: u8,
    /// Somebody's promise of it is durable.
    pub promised: bool,
    pub leader: Option<NodeIndex>,
}

/// What a node says it is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Role {
    #[default]
    Looking,
    Candidate(Epoch),
    Following {
        leader: NodeIndex,
        epoch: Epoch,
    },
    Leading {
        epoch: Epoch,
        /// Epochs opened without an election.
        rolled: u32,
    },
}

/// A node, as far as marks ask for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub up: bool,
    /// Processes that were started here.
    pub lives: u32,
    /// This one has served.
    pub served: bool,
    /// It was asked to end, and has.
    pub retired: bool,
    /// It was asked to end, and has handed over.
    pub handed_over: bool,
    pub role: Role,
    /// Established, or in sync.
    pub settled: bool,
    /// The epoch that a leader opens.
    pub rolling: Option<Epoch>,
    /// The last stay under a leader: to tell a return.
    pub last_leader: Option<(NodeIndex, Epoch)>,
    /// The last heartbeat: whose reign, and which.
    pub beat: (u64, u64),
    /// The last epoch promised in words.
    pub vowed: Epoch,
    pub log: Log,
    pub applied: Zxid,
    /// What kind of entry was executed last.
    pub applied_what: What,
    /// The newest entry that it has acknowledged to a leader.
    pub acked: Zxid,
    pub lanes: [Lane; 2],
    /// The places in the log's lane of its last promise, cut and new beginning.
    pub promise_at: u64,
    pub truncate_at: u64,
    pub reset_at: u64,
    /// The log lane's writes of the last step that had several.
    pub group: (u64, u64),
    /// A snapshot of its own in the making, its pieces, and how many this process has finished.
    pub own: Option<Zxid>,
    pub own_chunks: u32,
    pub own_done: u32,
    /// The newest snapshot that its disk has had, durably; and whether the disk was damaged since.
    pub snapshot_durable: Zxid,
    pub rotten: bool,
    /// A leader's state that is arriving: of which entry, and how many pieces.
    pub incoming: Option<(Zxid, u32)>,
    /// Some earlier one never arrived whole.
    pub incoming_lost: bool,
    /// Cuts in this stay.
    pub cuts: u32,
    /// A leader's: how each follower is being brought up to date, what it acknowledged, and its commands.
    pub feeding: [Option<SyncPlan>; NODES_MAX],
    pub follower_acked: [Zxid; NODES_MAX],
    pub streams: [(u64, u64); NODES_MAX],
    /// The newest of its proposals that was a sequential create, and one with a version.
    pub sequential_at: Zxid,
    pub conditional_at: Zxid,
    /// Proofs of the lead that it waits for.
    pub barriers: Vec<u64>,
    pub last_time: Timestamp,
}

/// How far a lane is, in writes of this process.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Lane {
    pub written: u64,
    pub durable: u64,
    pub told: u64,
}

/// A node's log, as zxids, and what kind of entries they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    pub base: Zxid,
    entries: Vec<(Zxid, What)>,
    /// The place of the next entry to execute.
    next: usize,
    /// How many this process found when it started.
    pub recovered: usize,
    /// The newest that is durable.
    pub durable: Zxid,
}

/// What kind of entry: bits.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct What(u16);

impl What {
    pub const OPENING: u16 = 1;
    pub const ATTACH: u16 = 2;
    pub const EXPIRE: u16 = 4;
    pub const CLOSE: u16 = 8;
    pub const MULTI: u16 = 16;
    pub const SEQUENTIAL: u16 = 32;
    pub const ACL: u16 = 64;
    pub const REQUEST: u16 = 128;

    fn of(entry: &Entry) -> What {
        What(match &entry.body {
            Body::Opening => What::OPENING,
            Body::Command(Command::CreateSession { .. } | Command::Attach { .. }) => What::ATTACH,
            Body::Command(Command::Expire { .. }) => What::EXPIRE,
            Body::Command(Command::Request { write, .. }) => {
                What::REQUEST
                    | match write {
                        Write::Create(create) if create.flags & 2 != 0 => What::SEQUENTIAL,
                        Write::SetAcl { .. } => What::ACL,
                        Write::Multi(_) => What::MULTI,
                        Write::Close => What::CLOSE,
                        _ => 0,
                    }
            }
        })
    }

    #[inline]
    pub fn is(self, bits: u16) -> bool {
        self.0 & bits != 0
    }
}

impl Log {
    pub fn last(&self) -> Zxid {
        self.entries.last().map_or(self.base, |(zxid, _)| *zxid)
    }
    pub fn append(&mut self, entry: &Entry) {
        self.entries.push((entry.zxid, What::of(entry)));
    }
    /// The zxids after this one.
    pub fn after(&self, zxid: Zxid) -> &[(Zxid, What)] {
        &self.entries[self.entries.partition_point(|(other, _)| *other <= zxid)..]
    }
    pub fn truncate(&mut self, to: Zxid) {
        let keep = self.entries.partition_point(|(zxid, _)| *zxid <= to);
        self.entries.truncate(keep);
        self.recovered = self.recovered.min(keep);
        self.next = self.next.min(keep);
    }
    pub fn reset(&mut self, base: Zxid) {
        self.entries.clear();
        (self.base, self.next, self.recovered) = (base, 0, 0);
    }
    /// The entry that is executed now.
    pub fn execute(&mut self, zxid: Zxid) -> What {
        match self.entries.get(self.next) {
            Some((next, what)) if *next == zxid => {
                self.next += 1;
                *what
            }
            _ => What::default(),
        }
    }
    /// Entries that are not executed.
    pub fn outstanding(&self) -> usize {
        self.entries.len() - self.next
    }
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

impl Node {
    /// The epoch it is in, if it leads or follows in one.
    pub fn epoch(&self) -> Option<Epoch> {
        match self.role {
            Role::Following { epoch, .. } | Role::Leading { epoch, .. } => Some(epoch),
            Role::Looking | Role::Candidate(_) => None,
        }
    }
    pub fn leads(&self) -> bool {
        matches!(self.role, Role::Leading { .. })
    }
    pub fn is_established(&self) -> bool {
        self.up && self.settled && self.leads()
    }
    pub fn follows(&self, leader: NodeIndex) -> bool {
        matches!(self.role, Role::Following { leader: other, .. } if other == leader)
    }
    pub fn follows_in(&self, leader: NodeIndex, in_epoch: Epoch) -> bool {
        self.role == Role::Following { leader, epoch: in_epoch }
    }
}

impl Marker {
    /// One that has seen nothing yet.
    pub fn new() -> Marker {
        Marker::default()
    }

    /// What the present run, or the last one, has come to.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    #[inline]
    pub(super) fn hit(&mut self, mark: Mark) {
        self.marks.insert(mark);
    }

    #[inline]
    pub(super) fn hit_if(&mut self, mark: Mark, happened: bool) {
        self.marks.insert_if(mark, happened);
    }

    fn begin(&mut self, schedule: &Schedule) {
        let limits = &schedule.limits;
        *self = Marker {
            shape: Shape {
                nodes: schedule.nodes,
                majority: schedule.nodes / 2 + 1,
                silence: limits.silence.0,
                timeouts_ms: (limits.session_timeout_min_ms, limits.session_timeout_max_ms),
                proposals_max: limits.proposals_max,
                batch_max: limits.append_entries_max,
                superuser: schedule.superuser,
            },
            nodes: std::mem::take(&mut self.nodes),
            clients: std::mem::take(&mut self.clients),
            conns: std::mem::take(&mut self.conns),
            ..Marker::default()
        };
        self.nodes.clear();
        self.nodes.resize_with(schedule.nodes, Node::default);
        self.clients.clear();
        self.conns.clear();
    }

    #[inline(always)]
    fn input(&mut self, node: NodeIndex, input: &Input) {
        self.end_step();
        self.step = Step { node, open: true, ..Step::default() };
        match input {
            Input::Peer { from, message } => self.told(node, node_index(*from), message),
            Input::Open { conn, hello, .. } => {
                self.step.cause = Cause::Open;
                self.opened(node, *conn, hello);
            }
            Input::Request { conn, request } => self.asked(node, *conn, request),
            Input::Gone { conn } => self.gone(*conn),
            Input::Synced { lane, upto } => self.nodes[node].lanes[*lane as usize].told = upto.0,
            Input::PeerGone { .. } | Input::Wake | Input::Retire => {}
        }
    }

    /// A node is told something by a peer.
    #[inline(never)]
    fn told(&mut self, node: NodeIndex, from: NodeIndex, message: &PeerMessage) {
        self.step.cause = match message {
            PeerMessage::Heartbeat { .. } => Cause::Heartbeat,
            PeerMessage::NewEpoch { .. } => Cause::NewEpoch,
            _ => Cause::Peer,
        };
        self.received_by_node(node, from, message);
    }

    #[inline(always)]
    fn output(&mut self, node: NodeIndex, output: &Output) {
        if self.step.expiry {
            self.finish_expiry(output);
        }
        match output {
            Output::Send { message, .. } => {
                self.step.sends += 1;
                self.said(node, message);
            }
            Output::Write { lane, seq, write } => self.wrote(node, *lane, *seq, write),
            Output::Connected { conn, response } => self.welcomed(node, *conn, response),
            Output::Reply { conn, reply } => self.replied(node, *conn, reply),
            Output::Event { conn, event } => self.fired(node, *conn, event),
            Output::Close { conn, why } => self.closed(*conn, *why),
            Output::Note(Note::Applied { zxid, .. }) => self.executed(node, *zxid),
            Output::Note(note) => self.noted(node, note),
            Output::Retired => {
                let leads = self.nodes[node].leads();
                self.hit_if(Mark::RetiredWithoutHeir, leads && self.shape.nodes > 1);
                self.nodes[node].retired = true;
            }
            Output::Halt(_) => {}
        }
    }

    /// The last step is over, whatever comes now.
    #[inline(always)]
    fn end_step(&mut self) {
        if self.step.expiry {
            self.hit(Mark::ExpiryDidNothing);
            self.step.expiry = false;
        }
        if self.step.applied >= 8 {
            self.hit(Mark::CommitInBulk);
        }
        self.step.open = false;
    }

    /// Nodes that are up.
    pub(super) fn up(&self) -> usize {
        self.nodes.iter().filter(|node| node.up).count()
    }
}

/// The place of a peer among the nodes.
pub(super) fn place_of(peer: PeerId) -> NodeIndex {
    node_index(peer).min(NODES_MAX - 1)
}

impl Observer for Marker {
    // What is observed is known where it is observed: each of those places calls what it needs, and half of them nothing.
    #[inline(always)]
    fn observe(&mut self, at: Time, observation: &Observation<'_>) -> Result<(), Box<Violation>> {
        match observation {
            Observation::Happening { .. } | Observation::Stepped { .. } => {}
            Observation::Input { node, input, .. } => {
                self.at = at;
                self.input(*node, input);
            }
            Observation::Output { node, output } => self.output(*node, output),
            Observation::Durable { node, write } => self.durable(*node, write),
            observation => {
                self.at = at;
                self.others(observation);
            }
        }
        Ok(())
    }
}

impl Marker {
    /// What happens to clients, and what happens rarely.
    #[inline(never)]
    fn others(&mut self, observation: &Observation<'_>) {
        match observation {
            Observation::Started { schedule } => self.begin(schedule),
            Observation::Booted { node, recovery } => self.booted(*node, recovery),
            Observation::Refused { node, damage } => self.does_not_start(*node, damage),
            Observation::Rotten { node } => self.nodes[*node].rotten = true,
            Observation::Wiped { node } => {
                let state = &mut self.nodes[*node];
                (state.rotten, state.snapshot_durable) = (false, Zxid::ZERO);
            }
            Observation::Ended { node } => {
                self.ended(*node);
                self.end_step();
            }
            Observation::Fault { kind, node } => self.fault(kind, *node),
            Observation::Connecting { client, conn, node, hello } => {
                self.connecting(*client, *conn, *node, hello);
            }
            Observation::Connected { conn, .. }
            | Observation::Received { conn, .. }
            | Observation::Notified { conn, .. } => {
                self.heard(*conn);
                if let Observation::Notified { event, .. } = observation {
                    self.notified(event);
                }
            }
            Observation::Sent { conn, request, .. } => self.sent(*conn, request),
            Observation::Lost { client, conn } => self.left(*client, *conn),
            Observation::Unlucky { message, arrives, again, .. } => {
                self.unlucky(message, arrives.is_some(), again.is_some());
            }
            Observation::Healed => self.healed = true,
            Observation::Finished { .. } => self.end_step(),
            _ => {}
        }
    }
}
