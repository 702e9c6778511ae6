//! Nothing grows without bound: queues, logs and watches always, elections and messages once all faults have ended.

use std::collections::BTreeMap;

use vivarium_core::Node;
use vivarium_core::api::Op;
use vivarium_core::ids::{ConnId, Zxid};
use vivarium_core::io::{Input, Note, Output};
use vivarium_core::node::Role;
use vivarium_core::replica::PeerMessage;
use vivarium_sim::world::peer_id;
use vivarium_sim::{MS, NodeIndex, Schedule, Time, Violation};

use super::violation;

/// One step in so many is looked at.
const SHARE: u32 = 8;
/// Looks at a follower that executes and does not trim, before that is too much: it trims when it executes.
const UNTRIMMED_MAX: u32 = 3;
/// Elections once all faults have ended: for a start, and one more for each so much time. Votes may be split a few
/// times, and clocks that drift may cost a lease.
const ELECTIONS: u32 = 10;
const ELECTION_EVERY: Time = 5_000 * MS;
/// Messages to each other node, apart from pieces of snapshots, which depend on how much there is: for each heartbeat,
/// for each request and entry, and for each message that was on its way when the faults ended. Some twice what is ever
/// seen; what has no bound passes any.
const PER_HEARTBEAT: u64 = 16;
const PER_WORK: u64 = 8;
const PER_LATE: u64 = 4;
const FREE: u64 = 500;
/// Messages between two looks at their number.
const LOOK_EVERY: u64 = 64;

/// What there is of everything.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    nodes: Vec<Desk>,
    /// Executed entries that a node keeps.
    window: usize,
    heartbeat: Time,
    /// Since all faults have ended.
    calm: Option<Calm>,
}

/// A node's connections: what they have asked for, at most.
#[derive(Clone, Debug, Default)]
struct Desk {
    conns: BTreeMap<ConnId, Load>,
    total: Load,
    steps: u32,
    /// What it had executed when it was last looked at, and how often since then it had without trimming its log.
    applied: Zxid,
    untrimmed: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    waiting: usize,
    watches: usize,
}

/// What has happened since all faults have ended.
#[derive(Clone, Debug)]
struct Calm {
    since: Time,
    elections: u32,
    sent: u64,
    arrived: u64,
    /// Entries proposed and requests received: what messages are for.
    work: u64,
}

type Checked = Result<(), Box<Violation>>;

impl Bounds {
    pub(super) fn begin(&mut self, schedule: &Schedule) {
        self.nodes.resize_with(schedule.nodes, Desk::default);
        let limits = &schedule.limits;
        self.window = limits.log_window_entries_max;
        self.heartbeat = limits.heartbeat.0;
    }

    pub(super) fn ended(&mut self, node: NodeIndex) {
        self.nodes[node] = Desk::default();
    }

    pub(super) fn healed(&mut self, at: Time) {
        self.calm = Some(Calm { since: at, elections: 0, sent: 0, arrived: 0, work: 0 });
    }

    /// A node is told something.
    pub(super) fn input(&mut self, node: NodeIndex, input: &Input) {
        let desk = &mut self.nodes[node];
        match input {
            Input::Open { conn, .. } => {
                desk.conns.insert(*conn, Load::default());
            }
            Input::Request { conn, request } => {
                if let Some(load) = desk.conns.get_mut(conn) {
                    let watches = watches(&request.op);
                    load.waiting += 1;
                    load.watches += watches;
                    desk.total.waiting += 1;
                    desk.total.watches += watches;
                }
                if let Some(calm) = &mut self.calm {
                    calm.work += 1;
                }
            }
            Input::Gone { conn } => desk.close(*conn),
            Input::Peer { message, .. } => {
                if let Some(calm) = &mut self.calm
                    && counts(message)
                {
                    calm.arrived += 1;
                }
            }
            _ => {}
        }
    }

    /// A node puts something out.
    pub(super) fn output(&mut self, at: Time, node: NodeIndex, output: &Output) -> Checked {
        let desk = &mut self.nodes[node];
        match output {
            Output::Reply { conn, .. } => {
                if let Some(load) = desk.conns.get_mut(conn) {
                    load.waiting -= 1;
                    desk.total.waiting -= 1;
                }
                Ok(())
            }
            Output::Close { conn, .. } => {
                desk.close(*conn);
                Ok(())
            }
            Output::Send { message, .. } => self.sent(at, message),
            Output::Note(Note::Elected { .. }) => self.elected(at),
            _ => Ok(()),
        }
    }

    /// An entry is proposed.
    pub(super) fn proposed(&mut self) {
        if let Some(calm) = &mut self.calm {
            calm.work += 1;
        }
    }

    /// A node after a step, before what it puts out is told.
    pub(super) fn stepped(&mut self, node: NodeIndex, machine: &Node) -> Checked {
        let desk = &mut self.nodes[node];
        desk.steps += 1;
        if !desk.steps.is_multiple_of(SHARE) {
            return Ok(());
        }
        let total = desk.total;
        let status = machine.status();
        let (entries, _) = machine.log_size();
        let executes = status.applied != desk.applied;
        desk.applied = status.applied;
        // What is not executed has to be kept; and at a leader what follows on a snapshot that is under way.
        let follows = matches!(status.role, Role::Following { .. });
        if follows && entries > self.window && status.last.epoch() == status.applied.epoch() {
            let executed = entries.saturating_sub((status.last.0 - status.applied.0) as usize);
            desk.untrimmed += u32::from(executes && executed > self.window);
        } else {
            desk.untrimmed = 0;
        }
        let (seen, expected) = if status.outstanding > total.waiting {
            (format!("{} requests wait", status.outstanding), format!("at most {}", total.waiting))
        } else if status.watch_count > total.watches {
            (format!("it keeps {} watches", status.watch_count), format!("at most {}", total.watches))
        } else if desk.untrimmed > UNTRIMMED_MAX {
            (format!("it keeps a log of {entries} entries"), format!("{} executed ones", self.window))
        } else {
            return Ok(());
        };
        violation(
            "bounded",
            "requests, watches and entries of the log are kept while there is a use for them",
            format!("node {}: {seen}", peer_id(node)),
            expected,
        )
    }

    fn elected(&mut self, at: Time) -> Checked {
        let Some(calm) = &mut self.calm else { return Ok(()) };
        calm.elections += 1;
        let most = ELECTIONS + ((at - calm.since) / ELECTION_EVERY) as u32;
        if calm.elections <= most {
            return Ok(());
        }
        violation(
            "few-elections",
            "once all faults have ended, a leader is found in a few elections, and stays",
            format!("{} elections in {} ms", calm.elections, (at - calm.since) / MS),
            format!("at most {most}"),
        )
    }

    fn sent(&mut self, at: Time, message: &PeerMessage) -> Checked {
        let Some(calm) = &mut self.calm else { return Ok(()) };
        calm.sent += u64::from(counts(message));
        if !calm.sent.is_multiple_of(LOOK_EVERY) {
            return Ok(());
        }
        let others = self.nodes.len() as u64 - 1;
        let beats = (at - calm.since) / self.heartbeat + 4;
        let late = calm.arrived.saturating_sub(calm.sent);
        let most = others * (PER_HEARTBEAT * beats + PER_WORK * calm.work) + PER_LATE * late + FREE;
        if calm.sent <= most {
            return Ok(());
        }
        violation(
            "few-messages",
            "once all faults have ended, servers send so many messages for each heartbeat, request and entry, and no more",
            format!(
                "{} messages in {} ms, for {} requests and entries",
                calm.sent,
                (at - calm.since) / MS,
                calm.work
            ),
            format!("at most {most}"),
        )
    }
}

fn counts(message: &PeerMessage) -> bool {
    !matches!(message, PeerMessage::SnapshotChunk { .. } | PeerMessage::SnapshotReceived { .. })
}

impl Desk {
    fn close(&mut self, conn: ConnId) {
        if let Some(load) = self.conns.remove(&conn) {
            self.total.waiting -= load.waiting;
            self.total.watches -= load.watches;
        }
    }
}

/// How many watches a request may set.
fn watches(op: &Op) -> usize {
    match op {
        Op::Exists { watch: true, .. }
        | Op::GetData { watch: true, .. }
        | Op::GetChildren { watch: true, .. } => 1,
        Op::SetWatches { data, exist, child, .. } => data.len() + exist.len() + child.len(),
        _ => 0,
    }
}
