//! A run as data: every event with its time, place, content, causes, and the node's state after it.
//!
//! ```text
//!   types      what a recording consists of
//!   recorder   the observer that collects one
//!   causes     which event follows from which
//!   words      a line of words for everything, and what it is about
//!   spans      what lasts: processes that are down, links that are cut
//!   align      two recordings side by side, and where they part
//!   file       the format of `*.trace` files: checked frames, and an index to seek by
//!   source     a recording of whatever the user names: a schedule's file, a trace file, a seed
//!   command    `harness record` and `harness show`
//! ```
//!
//! A recording is derived from a schedule and can be made again at any time, so it is not kept in the repository, and its
//! format may change with any release; what lasts is the schedule.

pub mod align;
mod causes;
pub mod command;
pub mod file;
mod recorder;
pub mod source;
mod spans;
pub mod types;
mod words;

pub use recorder::{Recorder, Subject, record};
pub use types::{Broken, Event, EventId, Fate, Header, Kind, Lane, Recording, Role, Span, SpanKind, State};
pub use words::asked;

impl Recording {
    /// The event of a number, if there is one.
    pub fn event(&self, id: EventId) -> Option<&Event> {
        self.events.get(usize::try_from(id.checked_sub(1)?).ok()?)
    }

    /// The state of each node after an event; those of before the first when `id` is 0.
    pub fn states_after(&self, id: EventId) -> Vec<State> {
        let mut states = vec![State::DOWN; usize::from(self.header.nodes)];
        for event in self.events.iter().take_while(|event| event.id <= id) {
            event.change(&mut states);
        }
        states
    }
}

impl Event {
    /// Brings the nodes' states up to date.
    pub fn change(&self, states: &mut [State]) {
        if let (Lane::Node(node), Some(after)) = (self.lane, self.after)
            && let Some(state) = states.get_mut(usize::from(node))
        {
            *state = after;
        }
    }
}

impl State {
    /// No process runs.
    pub const DOWN: State = State {
        role: Role::Down,
        epoch: 0,
        last: 0,
        committed: 0,
        applied: 0,
        sessions: 0,
        znodes: 0,
        watches: 0,
        outstanding: 0,
    };
}

impl std::fmt::Display for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Lane::World => f.write_str("world"),
            Lane::Client(client) => write!(f, "c{client}"),
            Lane::Node(node) => write!(f, "n{}", node + 1),
            Lane::Disk(node) => write!(f, "d{}", node + 1),
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Role::Down => f.write_str("down"),
            Role::Looking => f.write_str("looking"),
            Role::Following { leader, in_sync: true } => write!(f, "follows n{}", leader + 1),
            Role::Following { leader, in_sync: false } => write!(f, "joins n{}", leader + 1),
            Role::Leading { established: true } => f.write_str("leads"),
            Role::Leading { established: false } => f.write_str("about to lead"),
        }
    }
}

impl Kind {
    /// All of them, in the order in which a reader wants to see them.
    pub const ALL: [Kind; 33] = [
        Kind::Begin,
        Kind::Fault,
        Kind::Decision,
        Kind::Healed,
        Kind::Rest,
        Kind::Violation,
        Kind::Boot,
        Kind::End,
        Kind::Receive,
        Kind::PeerGone,
        Kind::Open,
        Kind::Request,
        Kind::Gone,
        Kind::Synced,
        Kind::Wake,
        Kind::Retire,
        Kind::Send,
        Kind::Write,
        Kind::Welcome,
        Kind::Reply,
        Kind::Notify,
        Kind::Close,
        Kind::Note,
        Kind::Retired,
        Kind::Halt,
        Kind::Durable,
        Kind::Connect,
        Kind::Connected,
        Kind::Ask,
        Kind::Answer,
        Kind::Notice,
        Kind::Lost,
        Kind::Other,
    ];

    /// Its name, for filters and for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Begin => "begin",
            Kind::Fault => "fault",
            Kind::Decision => "decision",
            Kind::Healed => "healed",
            Kind::Rest => "rest",
            Kind::Violation => "violation",
            Kind::Boot => "boot",
            Kind::End => "end",
            Kind::Receive => "receive",
            Kind::PeerGone => "peer-gone",
            Kind::Open => "open",
            Kind::Request => "request",
            Kind::Gone => "gone",
            Kind::Synced => "synced",
            Kind::Wake => "wake",
            Kind::Retire => "retire",
            Kind::Send => "send",
            Kind::Write => "write",
            Kind::Welcome => "welcome",
            Kind::Reply => "reply",
            Kind::Notify => "notify",
            Kind::Close => "close",
            Kind::Note => "note",
            Kind::Retired => "retired",
            Kind::Halt => "halt",
            Kind::Durable => "durable",
            Kind::Connect => "connect",
            Kind::Connected => "connected",
            Kind::Ask => "ask",
            Kind::Answer => "answer",
            Kind::Notice => "notice",
            Kind::Lost => "lost",
            Kind::Other => "other",
        }
    }
}
