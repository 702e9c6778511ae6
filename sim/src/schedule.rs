//! One run, drawn whole from a seed: first the odds, then the events (swarm testing: each run has its own mix of
//! faults, and most leave most of them out). A schedule is plain data and may be edited before it is run.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};
use vivarium_core::entry::{Body, Command};
use vivarium_core::io::{Note, Output, Write};
use vivarium_core::limits::Limits;
use vivarium_core::time::Duration;

use crate::choice::Choice;
use crate::clock::Clock;
use crate::decision::Draw;
use crate::disk::Rot;
use crate::{MS, NodeIndex, Time, US};

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

/// Something that goes wrong at some time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// When.
    pub at: Time,
    /// What.
    pub kind: FaultKind,
}

/// What can go wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FaultKind {
    /// A process ends at once and starts again after `down`. `power`: so silently that nobody is told.
    Crash {
        target: Target,
        power: bool,
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// A process ends in the middle of carrying out its next step that has more than one output.
    CrashInStep {
        target: Target,
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// What befalls the next process that comes to this moment. It is down, or stands still, for so long.
    Ambush {
        moment: Moment,
        blow: Blow,
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// The power of all goes.
    CrashAll {
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// A process stands still, then finds all that happened meanwhile.
    Pause {
        target: Target,
        #[serde(with = "crate::times")]
        length: Time,
    },
    /// Bit `n` of `side` says on which side node `n` is. Messages to (or, `both`, between) the sides do not arrive.
    Partition {
        #[serde(with = "sides")]
        side: u8,
        both: bool,
        #[serde(with = "crate::times")]
        length: Time,
    },
    /// The target hears nobody, or, `both`, neither hears nor is heard.
    Isolate {
        target: Target,
        both: bool,
        #[serde(with = "crate::times")]
        length: Time,
    },
    /// These links carry nothing, each in one direction: neither side is whole.
    CutLinks {
        links: Vec<Link>,
        #[serde(with = "crate::times")]
        length: Time,
    },
    /// A partition that comes and goes: `times` times cut for `length`, then whole for as long.
    Flap {
        #[serde(with = "sides")]
        side: u8,
        both: bool,
        #[serde(with = "crate::times")]
        length: Time,
        times: u32,
    },
    /// Servers are cut off one after the other, `apart` each, and come back in the order of `back`, as long apart.
    Stagger {
        #[serde(with = "crate::times")]
        apart: Time,
        back: Vec<u8>,
        #[serde(with = "crate::times")]
        length: Time,
    },
    /// Messages of a link take this much longer.
    SlowLink {
        link: Link,
        #[serde(with = "crate::times")]
        extra: Time,
        #[serde(with = "crate::times")]
        length: Time,
    },
    /// Several processes end at once. `power`: so silently that nobody is told.
    CrashTogether {
        #[serde(with = "sides")]
        nodes: u8,
        power: bool,
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// A node's monotonic clock leaps ahead.
    MonoJump {
        target: Target,
        #[serde(with = "crate::times")]
        by: Time,
    },
    /// A node's wall clock jumps.
    WallJump { target: Target, by_ms: i64 },
    /// A node's syncs take this much longer.
    SlowDisk {
        target: Target,
        #[serde(with = "crate::times")]
        extra: Time,
        #[serde(with = "crate::times")]
        length: Time,
    },
    /// A node's power goes, and when it comes back its disk is a new one, empty. A plain power cut while so many disks
    /// are not members' or not whole that the others are no quorum.
    Wipe {
        target: Target,
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// A node's power goes, and what was durable on its disk is damaged. Where recovery refuses the disk, the node gets
    /// an empty one. A plain power cut under the same condition as for `Wipe`.
    Rot {
        target: Target,
        rot: Rot,
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// The next sync of a node fails: its process ends, and what was not synced is in doubt.
    SyncFails {
        target: Target,
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// A node's disk is full for so long: its process ends with the next sync, and does not get up before there is room.
    FullDisk {
        target: Target,
        #[serde(with = "crate::times")]
        length: Time,
    },
    /// A node crashes, and its process so many times again before it has done what recovery told it to do.
    CrashInBoot {
        target: Target,
        times: u32,
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// A node is asked to end; it starts again after `down`.
    Retire {
        target: Target,
        #[serde(with = "crate::times")]
        down: Time,
    },
    /// A node's transport to another breaks for a moment.
    Disconnect { target: Target },
}

/// What an ambush does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Blow {
    /// It ends when all that follows from the moment is sent, and before any of what it wrote is synced.
    Crash,
    /// It ends in the midst of what follows from it.
    CrashWithin,
    /// It stands still once all that follows from it is sent.
    Pause,
}

/// A moment at which it is worst for a process to fail: it has just put this out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Moment {
    /// The write of a promise.
    Promise,
    /// The write of an epoch's opening entry.
    Opening,
    /// The write of a cut of its log.
    Truncate,
    /// The write of its log's new beginning, after a leader's state.
    Reset,
    /// The write of a snapshot's last piece.
    Snapshot,
    /// The write of the end of a session that was not heard of.
    Expiry,
    /// That it is established as leader.
    Established,
    /// That it is in sync with its leader.
    InSync,
    /// That it opens a new epoch without an election.
    Rolling,
}

impl Moment {
    /// All of them.
    pub const ALL: [Moment; 9] = [
        Moment::Promise,
        Moment::Opening,
        Moment::Truncate,
        Moment::Reset,
        Moment::Snapshot,
        Moment::Expiry,
        Moment::Established,
        Moment::InSync,
        Moment::Rolling,
    ];

    /// Whether this output is it.
    pub fn is(self, output: &Output) -> bool {
        match (self, output) {
            (Moment::Promise, Output::Write { write: Write::Promise { .. }, .. })
            | (Moment::Truncate, Output::Write { write: Write::Truncate { .. }, .. })
            | (Moment::Reset, Output::Write { write: Write::Reset { .. }, .. })
            | (Moment::Snapshot, Output::Write { write: Write::Chunk { last: true, .. }, .. })
            | (Moment::Established, Output::Note(Note::Established { .. }))
            | (Moment::InSync, Output::Note(Note::InSync { .. }))
            | (Moment::Rolling, Output::Note(Note::Rolling { .. })) => true,
            (Moment::Opening, Output::Write { write: Write::Append(entry), .. }) => {
                matches!(entry.body, Body::Opening)
            }
            (Moment::Expiry, Output::Write { write: Write::Append(entry), .. }) => {
                matches!(entry.body, Body::Command(Command::Expire { .. }))
            }
            _ => false,
        }
    }
}

/// A link between servers, in one direction, counted from 1 where people read it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Link(
    /// From here
    #[serde(with = "one_based")]
    pub NodeIndex,
    /// to there.
    #[serde(with = "one_based")]
    pub NodeIndex,
);

/// Whom a fault hits, found out when it happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Target {
    /// This one.
    Node(#[serde(with = "one_based")] NodeIndex),
    /// One that leads; else any.
    Leader,
    /// One that has writes on their way to the disk; else any.
    Writer,
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

/// Servers are counted from 1 where people read it, as their names are.
mod one_based {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(node: &usize, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(*node as u64 + 1)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
        match usize::deserialize(deserializer)? {
            number @ 1..=8 => Ok(number - 1),
            other => Err(serde::de::Error::custom(format!("server {other}: they are numbered from 1 to 8"))),
        }
    }
}

/// The servers of one side of a partition, as the list of their names.
mod sides {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(side: &u8, serializer: S) -> Result<S::Ok, S::Error> {
        let names: Vec<u8> = (0..8).filter(|bit| side >> bit & 1 == 1).map(|bit| bit + 1).collect();
        names.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
        let mut side = 0;
        for name in Vec::<u8>::deserialize(deserializer)? {
            if !(1..=8).contains(&name) {
                return Err(serde::de::Error::custom(format!(
                    "server {name}: they are numbered from 1 to 8"
                )));
            }
            side |= 1 << (name - 1);
        }
        Ok(side)
    }
}

/// The source of a schedule's draws. `rand`'s own distributions change between releases; raw words do not.
struct Source(ChaCha8Rng);

impl Source {
    fn new(seed: u64) -> Source {
        let mut key = *b"vivarium schedule, format 1.....";
        key[24..].copy_from_slice(&seed.to_le_bytes());
        Source(ChaCha8Rng::from_seed(key))
    }
    /// A stream of its own for each part, so that a new draw in one part leaves the others as they were.
    fn part(&mut self) -> Draw {
        Draw::new(self.0.next_u64())
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

    /// Draws the schedule of a seed.
    pub fn draw(seed: u64) -> Schedule {
        let mut source = Source::new(seed);
        let (mut shape, mut clocks, mut limits, mut network, mut disk, mut clients, mut faults) = (
            source.part(),
            source.part(),
            source.part(),
            source.part(),
            source.part(),
            source.part(),
            source.part(),
        );
        let mut disks = source.part();
        let mut ambushes = source.part();
        let nodes = *shape.pick(&[3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 5, 5, 5, 2, 1]);
        let chaos = shape.between(1000, 6000) * MS;
        let limits = draw_limits(&mut limits);
        let mut faults = draw_faults(&mut faults, nodes, &limits, chaos);
        if ambushes.one_in(6) {
            faults.extend(draw_ambushes(&mut ambushes, &limits, chaos));
            faults.sort_by_key(|fault| fault.at);
        }
        Schedule {
            seed,
            nodes,
            clocks: (0..nodes).map(|_| draw_clock(&mut clocks)).collect(),
            superuser: shape.one_in(2),
            chaos,
            network: draw_network(&mut network),
            disk: draw_disk(&mut disk),
            shuffle_permille: *shape.pick(&[0, 100, 1000]),
            wake_lag: *shape.pick(&[0, 10 * US, 500 * US]),
            clients: draw_clients(&mut clients, &limits, chaos),
            faults: with_disk_faults(faults, &mut disks, nodes, &limits, chaos),
            limits,
            events_max: 400_000,
            choices: Choices::Drawn,
            even: false,
            sabotage: None,
        }
    }
}

fn draw_limits(draw: &mut Draw) -> Limits {
    let heartbeat = draw.between(10, 60);
    let silence = heartbeat * draw.between(4, 9);
    let tick = draw.between(silence.div_ceil(2), silence);
    let tiny = draw.one_in(3);
    Limits {
        tick: Duration::millis(tick),
        heartbeat: Duration::millis(heartbeat),
        silence: Duration::millis(silence),
        sync: Duration::millis(silence * draw.between(2, 6)),
        election: Duration::millis(draw.between(15, 60)),
        session_timeout_min_ms: (2 * tick) as i32,
        session_timeout_max_ms: (20 * tick) as i32,
        snapshot_entries: draw.between(5, 50) * if draw.one_in(4) { 20 } else { 1 },
        snapshot_bytes: draw.between(1, 64) << 10,
        snapshot_chunk_bytes: draw.between(64, 1024) as usize,
        snapshot_chunks_in_flight_max: draw.between(1, 6) as usize,
        log_window_entries_max: if tiny { draw.between(1, 8) } else { draw.between(8, 400) } as usize,
        log_window_bytes_max: if tiny { draw.between(256, 4096) } else { 1 << 20 } as usize,
        follower_in_flight_bytes_max: if tiny { draw.between(128, 2048) } else { 1 << 18 } as usize,
        append_entries_max: if tiny { draw.between(1, 4) } else { draw.between(1, 100) } as usize,
        counter_max: if draw.one_in(2) { draw.between(10, 200) as u32 } else { u32::MAX - 1_000_000 },
        proposals_max: if tiny { draw.between(2, 20) } else { 1000 } as usize,
    }
}

fn draw_clock(draw: &mut Draw) -> Clock {
    Clock {
        offset: draw.below(1 << 40),
        drift_ppm: if draw.one_in(2) { draw.between(0, 2000) as i64 - 1000 } else { 0 },
        wall_ms: 1_700_000_000_000 + draw.between(0, 20_000) as i64 - 10_000,
    }
}

fn draw_network(draw: &mut Draw) -> NetworkOdds {
    let ordered = draw.one_in(2);
    let mut odds = NetworkOdds {
        latency_min: draw.between(20, 400) * US,
        latency_mean: draw.between(20, 2000) * US,
        slow_permille: *draw.pick(&[0, 0, 2, 20]),
        slow_mean: draw.between(5, 100) * MS,
        loss_permille: *draw.pick(&[0, 0, 1, 10, 100]),
        duplicate_permille: *draw.pick(&[0, 0, 1, 20, 200]),
        corrupt_permille: 0,
        ordered,
        partition_loses: draw.one_in(2),
    };
    odds.corrupt_permille = *draw.pick(&[0, 0, 0, 0, 1, 5]);
    odds
}

fn draw_disk(draw: &mut Draw) -> DiskOdds {
    DiskOdds {
        sync_min: draw.between(20, 500) * US,
        sync_mean: draw.between(50, 3000) * US,
        slow_permille: *draw.pick(&[0, 0, 5, 30]),
        slow_mean: draw.between(10, 200) * MS,
        told_mean: *draw.pick(&[0, 20 * US, 1000 * US]),
    }
}

fn draw_clients(draw: &mut Draw, limits: &Limits, chaos: Time) -> Vec<ClientPlan> {
    let count = draw.between(1, 5);
    let (low, high) = (limits.session_timeout_min_ms as u64, limits.session_timeout_max_ms as u64);
    let watchful = *draw.pick(&[0, 200, 600]);
    let nervous = *draw.pick(&[0, 10, 40]);
    (0..count)
        .map(|_| {
            let mut mix = [0; crate::client::workload::OPS];
            for weight in &mut mix {
                *weight = *draw.pick(&[0, 1, 3, 10, 10, 20]);
            }
            ClientPlan {
                start: draw.below(300) * MS,
                timeout_ms: match draw.one_in(24) {
                    true => draw.between(high, 2 * high),
                    false => draw.between(low / 2, high / 3),
                } as i32,
                think: draw.between(500, 40_000) * US,
                pipeline: *draw.pick(&[1, 1, 2, 4, 8]),
                mix,
                watch_permille: watchful,
                drop_permille: draw.below(nervous + 1) as u32,
                move_permille: draw.below(nervous + 1) as u32,
                silence_permille: draw.below(nervous / 3 + 1) as u32,
                close_permille: draw.below(nervous / 3 + 1) as u32,
                impostor_permille: draw.below(nervous / 3 + 1) as u32,
                away_permille: draw.below(nervous / 3 + 1) as u32,
                haunt_permille: draw.below(nervous / 3 + 1) as u32,
                dies: draw.one_in(6).then(|| draw.below(chaos)),
                old: draw.one_in(4),
            }
        })
        .collect()
}

fn draw_faults(draw: &mut Draw, nodes: usize, limits: &Limits, chaos: Time) -> Vec<Fault> {
    let silence = limits.silence.0;
    // Most runs have few kinds of faults, so that each kind has runs of its own. Weights: what they find for what
    // they cost.
    let full = [6, 8, 2, 3, 4, 4, 1, 2, 2, 3, 3, 2, 2, 2, 3, 2];
    let mut weights = [0; 16];
    for (weight, full) in weights.iter_mut().zip(full) {
        *weight = if draw.one_in(2) { full } else { 0 };
    }
    if weights.iter().all(|w| *w == 0) {
        return Vec::new();
    }
    let count = draw.between(0, 2 + chaos / (400 * MS));
    let mut faults: Vec<Fault> = (0..count)
        .map(|_| {
            let at = draw.between(20 * MS, chaos);
            let target = match draw.below(4) {
                0 => Target::Leader,
                1 => Target::Writer,
                _ => Target::Node(draw.below(nodes as u64) as usize),
            };
            let length = draw.skewed(silence).min(4 * silence) + MS;
            let down = if draw.one_in(3) { draw.between(1, 20) * MS } else { length };
            let both = !draw.one_in(3);
            let kind = match draw.weighted(&weights) {
                0 => FaultKind::Crash { target, power: draw.one_in(3), down },
                1 => FaultKind::CrashInStep { target, down },
                2 => FaultKind::CrashAll { down },
                3 => FaultKind::Pause { target, length },
                4 => FaultKind::Partition { side: draw.between(1, (1 << nodes) - 1) as u8, both, length },
                5 => FaultKind::Isolate { target, both, length },
                6 => FaultKind::WallJump { target, by_ms: draw.between(0, 7_200_000) as i64 - 3_600_000 },
                7 => FaultKind::SlowDisk { target, extra: draw.between(5, 200) * MS, length },
                8 => FaultKind::Retire { target, down },
                9 => FaultKind::Disconnect { target },
                10 => FaultKind::CutLinks { links: some_links(draw, nodes), length },
                11 => FaultKind::Flap {
                    side: draw.between(1, (1 << nodes) - 1) as u8,
                    both,
                    length: draw.between(silence / 4, 2 * silence),
                    times: draw.between(2, 6) as u32,
                },
                12 => FaultKind::Stagger {
                    apart: draw.between(1, silence),
                    back: shuffled(draw, nodes),
                    length,
                },
                13 => FaultKind::SlowLink {
                    link: some_links(draw, nodes)[0],
                    extra: draw.between(1, silence / MS) * MS,
                    length: 4 * length,
                },
                14 => FaultKind::CrashTogether {
                    nodes: draw.between(1, (1 << nodes) - 1) as u8,
                    power: draw.one_in(2),
                    down,
                },
                _ => FaultKind::MonoJump { target, by: draw.between(1, 3 * silence / MS) * MS },
            };
            Fault { at, kind }
        })
        .collect();
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// Disks that go bad, in a third of all schedules.
fn with_disk_faults(
    mut faults: Vec<Fault>,
    draw: &mut Draw,
    nodes: usize,
    limits: &Limits,
    chaos: Time,
) -> Vec<Fault> {
    if !draw.one_in(3) {
        return faults;
    }
    let mut weights = [0; 5];
    for (weight, full) in weights.iter_mut().zip([4, 5, 2, 1, 2]) {
        *weight = if draw.one_in(2) { full } else { 0 };
    }
    if weights.iter().all(|weight| *weight == 0) {
        return faults;
    }
    let silence = limits.silence.0;
    for _ in 0..draw.between(1, 2 + chaos / (1500 * MS)) {
        let at = draw.between(100 * MS, chaos);
        let target = match draw.below(4) {
            0 => Target::Leader,
            1 => Target::Writer,
            _ => Target::Node(draw.below(nodes as u64) as usize),
        };
        let length = draw.skewed(silence).min(4 * silence) + MS;
        let down = if draw.one_in(2) { draw.between(1, 20) * MS } else { length };
        let kind = match draw.weighted(&weights) {
            0 => FaultKind::Wipe { target, down },
            1 => {
                let rots = [Rot::Log, Rot::Log, Rot::Snapshot, Rot::LogMisdirected, Rot::SnapshotMisdirected];
                FaultKind::Rot { target, rot: *draw.pick(&rots), down }
            }
            2 => FaultKind::SyncFails { target, down },
            3 => FaultKind::FullDisk { target, length },
            _ => FaultKind::CrashInBoot { target, times: draw.between(1, 3) as u32, down },
        };
        faults.push(Fault { at, kind });
    }
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// Processes that end at the worst moment: a few of them, or one leader after the other, so that each leaves something
/// behind that nobody else has.
fn draw_ambushes(draw: &mut Draw, limits: &Limits, chaos: Time) -> Vec<Fault> {
    let silence = limits.silence.0;
    let row = draw.one_in(3);
    let (count, first) = match row {
        true => (draw.between(3, 8), Some(*draw.pick(&[Moment::Opening, Moment::Established]))),
        false => (draw.between(1, 4), None),
    };
    let begin = draw.between(20 * MS, chaos / 2);
    (0..count)
        .map(|nth| {
            let moment = first.unwrap_or_else(|| *draw.pick(&Moment::ALL));
            let length = draw.skewed(silence).min(4 * silence) + MS;
            let down = if draw.one_in(3) { draw.between(1, 20) * MS } else { length };
            let at = if row { begin + nth * silence } else { draw.between(20 * MS, chaos) };
            let blow = *draw.pick(&[Blow::Crash, Blow::CrashWithin, Blow::Pause]);
            let kind =
                FaultKind::Ambush { moment, blow, down: if blow == Blow::Pause { length } else { down } };
            Fault { at: at.min(chaos), kind }
        })
        .collect()
}

/// One link at least, if there are two servers.
fn some_links(draw: &mut Draw, nodes: usize) -> Vec<Link> {
    let all: Vec<Link> = (0..nodes)
        .flat_map(|from| (0..nodes).filter(move |to| from != *to).map(move |to| Link(from, to)))
        .collect();
    if all.is_empty() {
        // One server has no links; the fault does nothing.
        return vec![Link(0, 0)];
    }
    let mut links: Vec<Link> = all.iter().copied().filter(|_| draw.one_in(3)).collect();
    if links.is_empty() {
        links.push(*draw.pick(&all));
    }
    links
}

/// The servers' names, counted from 1, in some order.
fn shuffled(draw: &mut Draw, nodes: usize) -> Vec<u8> {
    let mut names: Vec<u8> = (1..=nodes as u8).collect();
    for place in (1..names.len()).rev() {
        names.swap(place, draw.below(place as u64 + 1) as usize);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_schedule() {
        for seed in 0..200 {
            let (one, two) = (Schedule::draw(seed), Schedule::draw(seed));
            assert_eq!(format!("{one:?}"), format!("{two:?}"));
            assert_eq!(one.clocks.len(), one.nodes);
            assert!(one.faults.is_sorted_by_key(|fault| fault.at));
            assert!(one.faults.iter().all(|fault| fault.at <= one.chaos));
        }
    }

    #[test]
    fn most_have_three_nodes_and_some_have_no_faults() {
        let all: Vec<_> = (0..500).map(Schedule::draw).collect();
        let three = all.iter().filter(|s| s.nodes == 3).count();
        assert!((300..450).contains(&three), "{three}");
        assert!(all.iter().any(|s| s.faults.is_empty()));
        assert!(all.iter().any(|s| s.faults.len() > 5));
    }
}
