//! One run, drawn whole from a seed: first the odds, then the events (swarm testing: each run has its own mix of
//! faults, and most leave most of them out). A schedule is plain data and may be edited before it is run.
//!
//! ```text
//!   fault    what can go wrong, and whom it hits
//!   draw     the schedule of a seed
//!   focus    what one in a few schedules is all about
//! ```

mod draw;
mod fault;
mod focus;

use serde::{Deserialize, Serialize};
use vivarium_core::limits::Limits;

pub use fault::{Blow, Fault, FaultKind, Link, Moment, Target};

use crate::choice::Choice;
use crate::clock::Clock;
use crate::{MS, Time, US};

/// All that decides a run, besides the code.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Where it was drawn from; also the seed of every decision while it runs.
    pub seed: u64,
    /// Servers, all of them voters.
    pub nodes: usize,
    /// Their clocks.
    pub clocks: Vec<Clock>,
    /// The nodes' settings, small where small is what reaches the corners.
    pub limits: Limits,
    /// Whether there is a superuser: `user1` with the password `12345`.
    pub superuser: bool,
    /// How long faults go on.
    pub chaos: Time,
    /// What the network does to messages between servers.
    pub network: NetworkOdds,
    /// How fast disks are.
    pub disk: DiskOdds,
    /// How many steps in a thousand have their outputs shuffled between kinds.
    pub shuffle_permille: u32,
    /// How late a node is woken, on average.
    pub wake_lag: Time,
    /// Those who use the service.
    pub clients: Vec<ClientPlan>,
    /// What goes wrong, by time.
    pub faults: Vec<Fault>,
    /// More events than this are a livelock.
    pub events_max: u64,
    /// Where the choices come from.
    pub choices: Choices,
    /// Even weather: the least latencies, the quickest disks, nothing kept of what was not synced.
    pub even: bool,
    /// Something that the world itself does wrong, to see that the checkers notice. Never drawn.
    pub sabotage: Option<Sabotage>,
}

/// Where a run's choices come from: the odds as it goes, or a list that was made before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Choices {
    /// Messages' luck, slow syncs and what clients do are drawn by the odds.
    Drawn,
    /// They are these and no others, ordered by time.
    Listed(Vec<Choice>),
}

/// A broken promise of the world, not of the nodes: whoever checks must notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Sabotage {
    /// Disks say that they have synced before they have.
    EarlySync,
    /// Now and then a reply to a client is held back until after the next one.
    SwappedReplies,
    /// Some notifications never reach the client.
    LostNotifications,
    /// Replies to getData carry other data.
    ForgedData,
    /// What the first node sends never arrives, for all time.
    Mute,
}

/// What the network between servers does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkOdds {
    /// Least latency.
    #[serde(with = "crate::times")]
    pub latency_min: Time,
    /// Mean of what comes on top.
    #[serde(with = "crate::times")]
    pub latency_mean: Time,
    /// Messages in a thousand that are much later.
    pub slow_permille: u32,
    /// Mean of their delay.
    #[serde(with = "crate::times")]
    pub slow_mean: Time,
    /// Messages in a thousand that are lost.
    pub loss_permille: u32,
    /// Messages in a thousand that arrive twice.
    pub duplicate_permille: u32,
    /// Messages in a thousand that arrive damaged: their checksum tells, and the connection ends.
    pub corrupt_permille: u32,
    /// Kinds of messages, bit by bit as in [`crate::choice::MessageKind`], which may stray: come much later than others,
    /// or, where links keep order, once more when the connection they came over is long gone.
    pub stray_kinds: u32,
    /// So many in a thousand of them do,
    pub stray_permille: u32,
    /// and are late by this at most: as often a half of it, a quarter, and so on.
    #[serde(with = "crate::times")]
    pub stray_max: Time,
    /// Whether a link keeps messages in order, as TCP does.
    pub ordered: bool,
    /// Partitions lose messages; else they hold them back until they end.
    pub partition_loses: bool,
}

/// How fast disks are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskOdds {
    /// Least time of a sync.
    #[serde(with = "crate::times")]
    pub sync_min: Time,
    /// Mean of what comes on top.
    #[serde(with = "crate::times")]
    pub sync_mean: Time,
    /// Syncs in a thousand that take much longer.
    pub slow_permille: u32,
    /// Mean of theirs.
    #[serde(with = "crate::times")]
    pub slow_mean: Time,
    /// Mean time between a write being durable and the process being told.
    #[serde(with = "crate::times")]
    pub told_mean: Time,
}

/// A client's habits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientPlan {
    /// When it first connects.
    #[serde(with = "crate::times")]
    pub start: Time,
    /// The session timeout it asks for, ms.
    pub timeout_ms: i32,
    /// Mean time between requests.
    #[serde(with = "crate::times")]
    pub think: Time,
    /// Requests it sends without waiting for answers, at most.
    pub pipeline: usize,
    /// How often it asks for what: see [`crate::client::workload`].
    pub mix: [u32; crate::client::workload::OPS],
    /// Reads in a thousand that set a watch.
    pub watch_permille: u32,
    /// Requests in a thousand before which it rather drops its connection,
    pub drop_permille: u32,
    /// moves to another server while the old connection lives on,
    pub move_permille: u32,
    /// falls silent for about its session timeout,
    pub silence_permille: u32,
    /// stays away and comes back about when its session would end,
    pub away_permille: u32,
    /// comes back with a session that it has closed or lost,
    pub haunt_permille: u32,
    /// closes its session,
    pub close_permille: u32,
    /// or tries a session with a wrong password.
    pub impostor_permille: u32,
    /// When it dies without a word, if it does.
    #[serde(with = "crate::times::optional")]
    pub dies: Option<Time>,
    /// Whether it is so old that it does not know the read-only flag.
    pub old: bool,
}

/// Without bad luck.
impl Default for NetworkOdds {
    fn default() -> NetworkOdds {
        NetworkOdds {
            latency_min: 200 * US,
            latency_mean: 100 * US,
            slow_permille: 0,
            slow_mean: 0,
            loss_permille: 0,
            duplicate_permille: 0,
            corrupt_permille: 0,
            stray_kinds: 0,
            stray_permille: 0,
            stray_max: 0,
            ordered: true,
            partition_loses: true,
        }
    }
}

/// Without bad luck.
impl Default for DiskOdds {
    fn default() -> DiskOdds {
        DiskOdds { sync_min: 200 * US, sync_mean: 100 * US, slow_permille: 0, slow_mean: 0, told_mean: 0 }
    }
}

/// One that is there from the start and does nothing.
impl Default for ClientPlan {
    fn default() -> ClientPlan {
        ClientPlan {
            start: 0,
            timeout_ms: 1000,
            think: MS,
            pipeline: 1,
            mix: [0; crate::client::workload::OPS],
            watch_permille: 0,
            drop_permille: 0,
            move_permille: 0,
            silence_permille: 0,
            away_permille: 0,
            haunt_permille: 0,
            close_permille: 0,
            impostor_permille: 0,
            dies: None,
            old: false,
        }
    }
}

impl Schedule {
    /// A plain schedule: three servers with right clocks and default limits, nothing goes wrong, nobody asks anything.
    pub fn plain(seed: u64) -> Schedule {
        Schedule {
            seed,
            nodes: 3,
            clocks: vec![Clock::default(); 3],
            limits: Limits::default(),
            superuser: false,
            chaos: 1000 * MS,
            network: NetworkOdds::default(),
            disk: DiskOdds::default(),
            shuffle_permille: 0,
            wake_lag: 0,
            clients: Vec::new(),
            faults: Vec::new(),
            events_max: 400_000,
            choices: Choices::Listed(Vec::new()),
            even: true,
            sabotage: None,
        }
    }
}
