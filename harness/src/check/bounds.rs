//! Nothing grows without bound: queues, logs and watches always, elections and messages once all faults have ended.

use vivarium_core::Node;
use vivarium_core::api::Op;
use vivarium_core::ids::{ConnId, Zxid};
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
    /// All connections, by their numbers.
    conns: Vec<Load>,
    /// Processes that were started, to tell them apart.
    runs: u32,
    /// Executed entries that a node keeps.
    window: usize,
    heartbeat: Time,
    /// Since all faults have ended.
    calm: Option<Calm>,
}

/// What all of a process's connections together have asked for, at most.
#[derive(Clone, Debug, Default)]
struct Desk {
    run: u32,
    waiting: usize,
    watches: usize,
    steps: u32,
    /// What it had executed when it was last looked at, and how often since then it had without trimming its log.
    applied: Zxid,
    untrimmed: u32,
}

/// What one connection has asked for, at most.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    /// The process that has it open; 0 when none has.
    run: u32,
    waiting: u32,
    watches: u32,
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
        self.nodes.clear();
        self.conns.clear();
        self.runs = 0;
        self.calm = None;
        for _ in 0..schedule.nodes {
            let run = self.next_run();
            self.nodes.push(Desk { run, ..Desk::default() });
        }
        let limits = &schedule.limits;
        self.window = limits.log_window_entries_max;
        self.heartbeat = limits.heartbeat.0;
    }

    pub(super) fn ended(&mut self, node: NodeIndex) {
        self.nodes[node] = Desk { run: self.next_run(), ..Desk::default() };
    }

    pub(super) fn healed(&mut self, at: Time) {
        self.calm = Some(Calm { since: at, elections: 0, sent: 0, arrived: 0, work: 0 });
    }

    /// A client's first packet arrives at a node.
    pub(super) fn opened(&mut self, node: NodeIndex, conn: ConnId) {
        let place = conn.0 as usize;
        if self.conns.len() <= place {
            self.conns.resize(place + 1, Load::default());
        }
        self.conns[place] = Load { run: self.nodes[node].run, waiting: 0, watches: 0 };
    }

    /// A client's request does.
    pub(super) fn asked(&mut self, node: NodeIndex, conn: ConnId, op: &Op) {
        let desk = &mut self.nodes[node];
        if let Some(load) = self.conns.get_mut(conn.0 as usize).filter(|load| load.run == desk.run) {
            let watches = watches(op);
            load.waiting += 1;
            load.watches += watches as u32;
            desk.waiting += 1;
            desk.watches += watches;
        }
        if let Some(calm) = &mut self.calm {
            calm.work += 1;
        }
    }

    /// A node answers a request.
    pub(super) fn answered(&mut self, node: NodeIndex, conn: ConnId) {
        let desk = &mut self.nodes[node];
        if let Some(load) = self.conns.get_mut(conn.0 as usize).filter(|load| load.run == desk.run) {
            load.waiting -= 1;
            desk.waiting -= 1;
        }
    }

    /// A connection of a node has ended, by whoever's wish.
    pub(super) fn closed(&mut self, node: NodeIndex, conn: ConnId) {
        let desk = &mut self.nodes[node];
        if let Some(load) = self.conns.get_mut(conn.0 as usize).filter(|load| load.run == desk.run) {
            desk.waiting -= load.waiting as usize;
            desk.watches -= load.watches as usize;
            *load = Load::default();
        }
    }

    /// A message arrives at a node.
    #[inline]
    pub(super) fn arrived(&mut self, message: &PeerMessage) {
        if let Some(calm) = &mut self.calm {
            calm.arrived += u64::from(counts(message));
        }
    }

    /// A node sends a message.
    #[inline]
    pub(super) fn sent(&mut self, at: Time, message: &PeerMessage) -> Checked {
        if self.calm.is_some() { self.sent_in_calm(at, message) } else { Ok(()) }
    }

    /// An entry is proposed.
    pub(super) fn proposed(&mut self) {
        if let Some(calm) = &mut self.calm {
            calm.work += 1;
        }
    }

    /// A node after a step, before what it puts out is told.
    #[inline]
    pub(super) fn stepped(&mut self, node: NodeIndex, machine: &Node) -> Checked {
        let desk = &mut self.nodes[node];
        desk.steps += 1;
        if desk.steps.is_multiple_of(SHARE) { self.look(node, machine) } else { Ok(()) }
    }

    /// Looks at what a node keeps.
    fn look(&mut self, node: NodeIndex, machine: &Node) -> Checked {
        let desk = &mut self.nodes[node];
        let (entries, _) = machine.log_size();
        let applied = machine.state().applied();
        let executes = applied != desk.applied;
        desk.applied = applied;
        // A whole status is only taken where there may be too much.
        match if entries > self.window { executed(machine, entries) } else { None } {
            Some(executed) => desk.untrimmed += u32::from(executes && executed > self.window),
            None => desk.untrimmed = 0,
        }
        let (outstanding, set) = (machine.outstanding(), machine.watch_count());
        let (seen, expected) = if outstanding > desk.waiting {
            (format!("{outstanding} requests wait"), format!("at most {}", desk.waiting))
        } else if set > desk.watches {
            (format!("it keeps {set} watches"), format!("at most {}", desk.watches))
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

    fn next_run(&mut self) -> u32 {
        self.runs += 1;
        self.runs
    }

    /// A node is elected.
    pub(super) fn elected(&mut self, at: Time) -> Checked {
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

    fn sent_in_calm(&mut self, at: Time, message: &PeerMessage) -> Checked {
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

/// Of so many entries that a follower keeps, those that it has executed. What is not executed has to be kept; and at a
/// leader what follows on a snapshot that is under way.
fn executed(machine: &Node, entries: usize) -> Option<usize> {
    let status = machine.status();
    let follows = matches!(status.role, Role::Following { .. });
    (follows && status.last.epoch() == status.applied.epoch())
        .then(|| entries.saturating_sub((status.last.0 - status.applied.0) as usize))
}

fn counts(message: &PeerMessage) -> bool {
    !matches!(message, PeerMessage::SnapshotChunk { .. } | PeerMessage::SnapshotReceived { .. })
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
