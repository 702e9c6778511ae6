//! The schedule of a seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use vivarium_core::limits::Limits;
use vivarium_core::time::Duration;

use super::*;
use crate::decision::Draw;
use crate::disk::Rot;

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
        let mut focus = source.part();
        let nodes = *shape.pick(&[3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 5, 5, 5, 2, 1]);
        let chaos = shape.between(1000, 6000) * MS;
        let limits = draw_limits(&mut limits);
        let mut faults = draw_faults(&mut faults, nodes, &limits, chaos);
        if ambushes.one_in(6) {
            faults.extend(draw_ambushes(&mut ambushes, &limits, chaos));
            faults.sort_by_key(|fault| fault.at);
        }
        let mut schedule = Schedule {
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
        };
        schedule.focus(&mut focus);
        schedule
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

pub(super) fn draw_clock(draw: &mut Draw) -> Clock {
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
        stray_kinds: 0,
        stray_permille: 0,
        stray_max: 0,
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
