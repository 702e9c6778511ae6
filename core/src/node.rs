//! The node: the only place that knows both towers.
//!
//! A step tells one tower, then lets what follows settle: committed entries are executed, their outcomes told to the
//! front desk, what the desk asks for submitted to the order, until nothing moves any more.

use std::collections::VecDeque;

use crate::entry::{Body, Command, Entry};
use crate::error::ErrorCode;
use crate::ids::{Epoch, PeerId, SessionId, Zxid};
use crate::io::{Boot, Fault, Input, Note, Output, Outputs};
use crate::replica::{History, Installed, PeerMessage, Place, Replica};
use crate::service::{ConnectionInfo, FrontDesk, Standing};
use crate::snapshots::Snapshots;
use crate::state::{Change, Outcome, State};
use crate::time::Now;

/// Every this many entries, replicas compare the digests of their states.
const CHECKPOINT_ENTRIES: u32 = 64;
/// Checkpoints remembered for a leader's that comes late.
const CHECKPOINTS_MAX: usize = 64;

/// One server of the ensemble, as a state machine.
#[derive(Clone, Debug)]
pub struct Node {
    id: PeerId,
    replica: Replica,
    desk: FrontDesk,
    state: State,
    snapshots: Snapshots,
    place: Place,
    /// Digests of this replica's state, to compare with the leader's; ascending.
    checkpoints: VecDeque<(Zxid, u64)>,
    /// The leader's digest at a zxid that this replica has yet to reach.
    expected: Option<(Zxid, u64)>,
    proposals_max: usize,
    halted: bool,
    // Reused from step to step.
    changes: Vec<Change>,
    heard: Vec<SessionId>,
}

/// What a node is, seen from outside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// No leader.
    Looking,
    /// Follows, in sync or on the way.
    Following {
        /// Whom.
        leader: PeerId,
        /// Whether it serves clients.
        in_sync: bool,
    },
    /// Leads, serving or on the way.
    Leading {
        /// Whether a quorum holds its epoch's opening.
        established: bool,
    },
}

/// A node's vital signs, for operators' commands and for observers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// Its role.
    pub role: Role,
    /// Whether its word counts in quorums: its disk was in sync with a leader once, or is of those that formed the
    /// cluster.
    pub member: bool,
    /// The epoch of its leader, or the one it has promised.
    pub epoch: Epoch,
    /// The last entry executed.
    pub applied: Zxid,
    /// The last entry known to be committed.
    pub committed: Zxid,
    /// The end of the log.
    pub last: Zxid,
    /// Nodes, as ZooKeeper counts them.
    pub node_count: u64,
    /// Ephemeral nodes.
    pub ephemeral_count: u64,
    /// Bytes of paths and data, about.
    pub data_size: u64,
    /// Open sessions of the whole ensemble.
    pub session_count: usize,
    /// Watches of this server's connections, both tables.
    pub watch_count: usize,
    /// Connections, paths and watches as `wchs` counts them.
    pub watch_summary: (usize, usize, usize),
    /// Requests admitted here and not answered.
    pub outstanding: usize,
    /// Followers known to this leader, and how many of them are in sync.
    pub followers: (usize, usize),
}

impl Node {
    /// Rebuilds the machine from what the disk gave back. Nothing is said until the first step.
    ///
    /// # Errors
    /// What is wrong with the snapshot's contents, when it cannot be read although its checksums hold.
    pub fn boot(boot: Boot) -> Result<Node, String> {
        let Boot { id, voters, limits, super_digest, seed, recovered } = boot;
        let state = match &recovered.snapshot {
            Some((zxid, chunks)) => {
                let state = State::restore(chunks.iter().map(|chunk| &chunk[..]))?;
                if state.applied() != *zxid {
                    return Err(format!("snapshot {zxid} contains the state at {}", state.applied()));
                }
                state
            }
            None => State::new(),
        };
        let desk = FrontDesk::new(id, &limits, super_digest, seed ^ 0x5e55_1045);
        let snapshots = Snapshots::new(&limits, seed ^ 0x0054_a954);
        let history = History {
            promised: recovered.promised,
            candidate: recovered.candidate,
            member: recovered.member,
            base: state.applied(),
            entries: recovered.entries,
        };
        let proposals_max = limits.proposals_max;
        let replica = Replica::boot(id, voters, limits, seed, history);
        Ok(Node {
            id,
            replica,
            desk,
            state,
            snapshots,
            place: Place::Nowhere,
            checkpoints: VecDeque::new(),
            expected: None,
            proposals_max,
            halted: false,
            changes: Vec::new(),
            heard: Vec::new(),
        })
    }

    /// Tells the machine one thing. When this returns, all that follows from it is in `out`, and the machine is at
    /// rest: nothing to drain, no order in which to poll.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Outputs) {
        if self.halted {
            return;
        }
        match input {
            Input::Peer { from, message } => self.on_peer(now, from, message, out),
            Input::PeerGone { peer } => self.replica.peer_gone(now, peer, out),
            Input::Open { conn, address, hello } => {
                self.desk.open(now, conn, address, hello, &self.state, out)
            }
            Input::Request { conn, request } => self.desk.request(now, conn, request, &self.state, out),
            Input::Gone { conn } => self.desk.gone(conn),
            Input::Synced { lane, upto } => self.replica.synced(now, lane, upto, out),
            Input::Wake => {
                self.replica.wake(now, out);
                self.desk.wake(now, &self.state);
            }
            Input::Retire => self.replica.retire(now, out),
        }
        self.settle(now, out);
        out.wake = match (self.replica.deadline(), self.desk.deadline()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    fn on_peer(&mut self, now: Now, from: PeerId, message: PeerMessage, out: &mut Outputs) {
        match message {
            PeerMessage::Heard { epoch, sessions } => {
                // A report that crossed a change of epochs without an election counts all the same.
                if matches!(self.place, Place::Leader { .. }) && self.replica.has_led_since(epoch) {
                    self.desk.heard(now, &sessions);
                }
            }
            PeerMessage::Heartbeat { checkpoint, .. } => {
                self.replica.receive(now, from, message, out);
                if self.replica.leader() == Some(from) {
                    // Not the heartbeat's epoch: it may be a late copy.
                    self.report_heard(from, self.replica.epoch(), out);
                    self.expect(checkpoint, out);
                }
            }
            message => self.replica.receive(now, from, message, out),
        }
    }

    /// Tells the leader in which sessions this server's clients were heard.
    fn report_heard(&mut self, leader: PeerId, epoch: Epoch, out: &mut Outputs) {
        self.desk.take_heard(&mut self.heard);
        if !self.heard.is_empty() {
            out.send(leader, PeerMessage::Heard { epoch, sessions: std::mem::take(&mut self.heard) });
        }
    }

    /// Lets all that follows from an input happen.
    fn settle(&mut self, now: Now, out: &mut Outputs) {
        loop {
            if let Some(installed) = self.replica.take_installed() {
                self.install(installed, out);
            }
            let mut executed = 0u64;
            while let Some(entry) = self.replica.deliver() {
                self.execute(now, &entry, out);
                executed += 1;
                self.snapshots.count(&entry);
            }
            if executed > 0 {
                self.replica.trim(now);
            }
            self.take_place(now, out);
            while let Some(number) = self.replica.passed_barrier() {
                self.desk.barrier_passed(number, &self.state, out);
            }
            self.snapshots.advance(&mut self.replica, &mut self.state, out);
            if !self.desk.has_submissions() {
                break;
            }
            self.replica.submit(now, self.desk.submissions(), out);
        }
        self.halted |= out.list.iter().any(|output| matches!(output, Output::Halt(_)));
    }

    /// Executes a committed entry and tells who waits for it.
    fn execute(&mut self, now: Now, entry: &Entry, out: &mut Outputs) {
        self.changes.clear();
        let outcome = self.state.apply(entry, &mut self.changes);
        out.note(Note::Applied { zxid: entry.zxid, digest: self.state.digest() });
        note_session(entry, &outcome, out);
        let number = match self.place {
            Place::Follower { stream } | Place::Leader { stream }
                if (entry.origin.peer, entry.origin.stream) == (self.id, stream)
                    && entry.origin.number > 0 =>
            {
                Some(entry.origin.number)
            }
            Place::Nowhere | Place::Follower { .. } | Place::Leader { .. } => None,
        };
        self.desk.delivered(now, entry, outcome, &self.changes, number, &self.state, out);
        if entry.zxid.counter().is_multiple_of(CHECKPOINT_ENTRIES) {
            self.checkpoint(entry.zxid, out);
        }
    }

    /// Opens or closes the front desk as the order has it.
    fn take_place(&mut self, now: Now, out: &mut Outputs) {
        let place = self.replica.place();
        if place == self.place {
            return;
        }
        self.place = place;
        match place {
            Place::Nowhere => {
                self.desk.keep_time(None, &self.state);
                self.desk.stand(Standing::Closed, out);
            }
            Place::Follower { stream } => {
                self.desk.keep_time(None, &self.state);
                self.reopen(stream, out);
            }
            Place::Leader { stream } => {
                self.reopen(stream, out);
                self.desk.keep_time(Some(now), &self.state);
            }
        }
    }

    /// Connections of an earlier stay end with it: what they wait for will not come.
    fn reopen(&mut self, stream: u64, out: &mut Outputs) {
        self.desk.stand(Standing::Closed, out);
        self.desk.stand(Standing::Open { stream }, out);
    }

    fn install(&mut self, installed: Installed, out: &mut Outputs) {
        let Installed { leader, zxid, chunks } = installed;
        assert_eq!(self.place, Place::Nowhere, "a serving node is not given a snapshot");
        match State::restore(chunks.iter().map(|chunk| &chunk[..])) {
            Ok(state) if state.applied() == zxid => {
                self.state = state;
                self.checkpoints.clear();
                self.snapshots.reset();
                out.note(Note::SnapshotInstalled { zxid });
            }
            Ok(state) => {
                let why = format!("it contains the state at {}", state.applied());
                out.push(Output::Halt(Fault::BadSnapshot { leader, zxid, why }));
            }
            Err(why) => out.push(Output::Halt(Fault::BadSnapshot { leader, zxid, why })),
        }
    }

    /// Remembers this state's digest for comparison, and compares it if the leader's is known already.
    fn checkpoint(&mut self, zxid: Zxid, out: &mut Outputs) {
        let digest = self.state.digest();
        if self.checkpoints.len() == CHECKPOINTS_MAX {
            self.checkpoints.pop_front();
        }
        self.checkpoints.push_back((zxid, digest));
        self.replica.set_checkpoint(zxid, digest);
        if self.expected.is_some_and(|(at, _)| at == zxid) {
            let expected = self.expected.take();
            self.expect(expected, out);
        }
    }

    /// Compares the leader's digest with this replica's at the same zxid, now or when it gets there.
    fn expect(&mut self, checkpoint: Option<(Zxid, u64)>, out: &mut Outputs) {
        let Some((zxid, leaders)) = checkpoint else { return };
        if zxid > self.state.applied() {
            self.expected = checkpoint;
        } else if let Some(&(_, ours)) = self.checkpoints.iter().rfind(|(at, _)| *at == zxid)
            && ours != leaders
        {
            out.push(Output::Halt(Fault::Diverged { zxid, ours, leaders }));
        }
    }

    /// Vital signs. O(1).
    pub fn status(&self) -> Status {
        let role = match (self.replica.leader(), self.place) {
            (None, _) => Role::Looking,
            (Some(leader), place) if leader == self.id => {
                Role::Leading { established: matches!(place, Place::Leader { .. }) }
            }
            (Some(leader), place) => {
                Role::Following { leader, in_sync: matches!(place, Place::Follower { .. }) }
            }
        };
        Status {
            role,
            member: self.replica.is_member(),
            epoch: self.replica.epoch(),
            applied: self.state.applied(),
            committed: self.replica.committed(),
            last: self.replica.last(),
            node_count: self.state.node_count(),
            ephemeral_count: self.state.ephemeral_count(),
            data_size: self.state.data_size(),
            session_count: self.state.session_count(),
            watch_count: self.desk.watches().count(),
            watch_summary: self.desk.watches().summary(),
            outstanding: self.desk.outstanding(),
            followers: self.replica.followers(),
        }
    }

    /// Requests of clients that are not answered, as in [`Node::status`]: for whoever looks at every step.
    pub fn outstanding(&self) -> usize {
        self.desk.outstanding()
    }

    /// Watches that are set, as in [`Node::status`]: for whoever looks at every step.
    pub fn watch_count(&self) -> usize {
        self.desk.watches().count()
    }

    /// Whether this node serves clients.
    pub fn serves(&self) -> bool {
        self.place != Place::Nowhere
    }

    /// Whether drivers should stop reading clients' sockets for now: too much is proposed and not committed.
    pub fn saturated(&self) -> bool {
        self.replica.uncommitted() >= self.proposals_max
    }

    /// The replicated state, to look at.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The client connections, for operators.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionInfo> {
        self.desk.connections()
    }

    /// Entries of the log in memory, and their bytes.
    pub fn log_size(&self) -> (usize, usize) {
        self.replica.log_size()
    }
}

/// Sessions are worth a log line, on every server.
fn note_session(entry: &Entry, outcome: &Outcome, out: &mut Outputs) {
    if let Some(session) = outcome.ended {
        let expired = matches!(entry.body, Body::Command(Command::Expire { .. }));
        out.note(Note::SessionEnded { session, expired });
    }
    let ok = outcome.result.is_ok();
    match &entry.body {
        Body::Command(Command::CreateSession { session, timeout_ms, .. }) if ok => {
            out.note(Note::SessionCreated { session: *session, timeout_ms: *timeout_ms });
        }
        Body::Command(Command::Attach { session, .. }) if ok => {
            out.note(Note::SessionAttached { session: *session });
        }
        Body::Opening | Body::Command(_) => {
            assert!(outcome.result != Err(ErrorCode::AuthFailed), "authentication is not replicated");
        }
    }
}
