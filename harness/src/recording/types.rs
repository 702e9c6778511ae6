//! What a recording consists of.
//!
//! The trace format's schema fingerprint is taken from the code of this file, so whatever is changed here makes older
//! recordings unreadable, with a message that says how to make them anew. Nothing else belongs here.

use serde::{Deserialize, Serialize};
use vivarium_sim::Time;

/// The number of an event in its recording: 1, 2, 3, ...
pub type EventId = u64;

/// A whole run, event by event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recording {
    /// What was run, and how it ended.
    pub header: Header,
    /// All that happened, in order; the event with number `n` is at place `n - 1`.
    pub events: Vec<Event>,
}

/// What was run, and how it ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// What it is called: a file's name, or `seed N`.
    pub name: String,
    /// The command that records it again.
    pub again: String,
    /// The command that replays it.
    pub replay: String,
    /// The text of the schedule, as in a `*.sched` file.
    pub schedule: String,
    /// The schedule with all that was drawn, spelled out.
    pub drawn: String,
    /// How many servers there were.
    pub nodes: u8,
    /// How many clients, those of the last phase among them.
    pub clients: u32,
    /// When all faults ended, had the run lasted so long.
    pub heals_at: Time,
    /// The property that is broken, or none.
    pub violation: Option<Broken>,
    /// When the run ended.
    pub ended_at: Time,
    /// How many steps the world took; more than one event may be told of a step.
    pub steps: u64,
    /// The running hash of all outputs.
    pub hash: u64,
    /// How many events follow.
    pub events: u64,
    /// Conditions that lasted a while.
    pub spans: Vec<Span>,
}

/// A property that does not hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Broken {
    /// Its short name.
    pub property: String,
    /// The property in words.
    pub meaning: String,
    /// What was seen.
    pub seen: String,
    /// What should have been seen.
    pub expected: String,
    /// The event of kind [`Kind::Violation`].
    pub event: EventId,
}

impl Broken {
    /// As JSON, for those who read recordings by program.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "property": self.property,
            "meaning": self.meaning,
            "seen": self.seen,
            "expected": self.expected,
            "event": self.event,
        })
    }
}

/// A condition that lasted a while.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Span {
    /// What it was.
    pub kind: SpanKind,
    /// The event that began it.
    pub event: EventId,
    /// Since when.
    pub from: Time,
    /// Until when; the end of the recording when it lasted longer.
    pub until: Time,
    /// The nodes it hit, counted from 0.
    pub nodes: Vec<u8>,
    /// The directions it hit: from a node, to a node.
    pub links: Vec<(u8, u8)>,
}

/// A kind of lasting condition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum SpanKind {
    /// No process runs.
    Down,
    /// A process stands still.
    Paused,
    /// Messages do not arrive.
    Cut,
    /// Syncs take longer.
    SlowDisk,
    /// Messages take longer.
    SlowLink,
}

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Its number.
    pub id: EventId,
    /// When.
    pub at: Time,
    /// The step of the world in which it happened: what a schedule's choices count. 0 is the beginning.
    pub step: u64,
    /// To whom.
    pub lane: Lane,
    /// What.
    pub kind: Kind,
    /// The same in a line of words.
    pub text: String,
    /// All there is to know of it, in the notation of Rust's `Debug`; empty when the words say it all.
    pub detail: String,
    /// The other end: of a message, a connection.
    pub other: Option<Lane>,
    /// The sessions it is about.
    pub sessions: Vec<i64>,
    /// The paths it is about.
    pub paths: Vec<String>,
    /// The zxids it is about, from the first to the last.
    pub zxids: Option<(u64, u64)>,
    /// What it follows from, the most direct cause first. All of them have smaller numbers.
    pub causes: Vec<EventId>,
    /// What became of what was sent, when the world did something to it.
    pub fate: Option<Fate>,
    /// The node's state after it, where it differs from that after the node's event before.
    pub after: Option<State>,
}

/// To whom something happens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Lane {
    /// The world: faults, and the run's beginning and end.
    World,
    /// A client.
    Client(u32),
    /// A server's process, counted from 0.
    Node(u8),
    /// A server's disk.
    Disk(u8),
}

/// What happens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// World: the run begins.
    Begin,
    /// World: a fault begins.
    Fault,
    /// World: something other than what usually happens was decided.
    Decision,
    /// World: all faults have ended.
    Healed,
    /// World: all are at rest.
    Rest,
    /// World: a property is found broken.
    Violation,
    /// Node: a process starts.
    Boot,
    /// Node: a process ends.
    End,
    /// Node: a peer's message arrives.
    Receive,
    /// Node: the transport to a peer broke.
    PeerGone,
    /// Node: a client's first packet arrives.
    Open,
    /// Node: a client's request arrives.
    Request,
    /// Node: a client's connection has ended.
    Gone,
    /// Node: it is told that writes are durable.
    Synced,
    /// Node: a deadline may have passed.
    Wake,
    /// Node: it is asked to end.
    Retire,
    /// Node: it sends a message.
    Send,
    /// Node: it writes.
    Write,
    /// Node: it answers a handshake.
    Welcome,
    /// Node: it replies to a client.
    Reply,
    /// Node: it notifies a client.
    Notify,
    /// Node: it closes a client's connection.
    Close,
    /// Node: it takes note of something.
    Note,
    /// Node: it is ready to end.
    Retired,
    /// Node: it must not go on.
    Halt,
    /// Disk: a write is durable.
    Durable,
    /// Client: it opens a connection.
    Connect,
    /// Client: its handshake is answered.
    Connected,
    /// Client: it sends a request.
    Ask,
    /// Client: it receives a reply.
    Answer,
    /// Client: it receives a notification.
    Notice,
    /// Client: its connection has ended.
    Lost,
    /// Anything that a reader of this version has no better word for.
    Other,
}

/// What the world did to something on its way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Fate {
    /// It never arrives.
    Lost,
    /// It arrives where no process runs.
    Missed,
    /// It arrives twice.
    Doubled,
    /// It arrives late.
    Late,
}

/// A node, seen from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct State {
    /// Its role.
    pub role: Role,
    /// The epoch of its leader, or the one it has promised.
    pub epoch: u32,
    /// The zxid at the end of its log.
    pub last: u64,
    /// The last zxid that it knows to be committed.
    pub committed: u64,
    /// The last zxid executed.
    pub applied: u64,
    /// Open sessions of the ensemble, as far as it has executed.
    pub sessions: u32,
    /// Nodes of the tree.
    pub znodes: u32,
    /// Watches of its connections.
    pub watches: u32,
    /// Requests admitted and not answered.
    pub outstanding: u32,
}

/// A node's role.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Role {
    /// No process runs.
    Down,
    /// It has no leader.
    Looking,
    /// It follows this node, counted from 0, and serves clients when it is in sync.
    Following {
        /// Whom.
        leader: u8,
        /// Whether it serves clients.
        in_sync: bool,
    },
    /// It leads, and serves clients once it is established.
    Leading {
        /// Whether a quorum holds its epoch's opening.
        established: bool,
    },
}
