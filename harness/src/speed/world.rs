//! What a world weighs and what a fork of it costs.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use vivarium_core::limits::Limits;
use vivarium_sim::client::workload::{OPS, SEQUENTIAL};
use vivarium_sim::schedule::{Choices, ClientPlan};
use vivarium_sim::{MS, Memory, Observer, Schedule, World};

use super::profiles::Profile;
use super::timed;
use crate::check::Checkers;

/// Worlds that are alive at the same time while memory is measured.
const WORLDS: u64 = 32;
/// Nodes of the tree whose world is forked.
const ZNODES: u64 = 1000;
/// Forks that are timed together.
const FORKS: u32 = 100;

/// Memory and forks.
#[derive(Clone, PartialEq, Serialize, Debug)]
pub struct Weights {
    /// Resident memory of a world at the end of its faults, its schedule and all checkers included, KiB.
    pub world_kib: f64,
    /// To clone a world of three nodes with [`ZNODES`] znodes each, and to drop the clone, microseconds.
    pub fork_us: f64,
    /// The same with all checkers, microseconds.
    pub fork_checked_us: f64,
    /// Znodes of each node of the forked world.
    pub fork_znodes: u64,
}

/// Measures both.
///
/// # Errors
/// When the machine does not tell its memory or CPU time, or the tree does not grow as large as wanted.
pub fn weigh(profile: &Profile) -> Result<Weights> {
    let world_kib = memory(profile)?;
    let (fork_us, fork_znodes) = fork(())?;
    let (fork_checked_us, _) = fork(Checkers::new())?;
    Ok(Weights { world_kib, fork_us, fork_checked_us, fork_znodes })
}

/// Many worlds alive at once: what one of them adds to the memory of the process.
fn memory(profile: &Profile) -> Result<f64> {
    let schedules = profile.schedules(Some(WORLDS));
    let before = resident_kib()?;
    let worlds: Vec<World<Checkers>> = schedules
        .into_iter()
        .map(|schedule| {
            let chaos = schedule.chaos;
            let mut world = World::new(Arc::new(schedule), Checkers::new(), Memory::default());
            while world.present().1 < chaos && world.advance() {}
            world
        })
        .collect();
    let after = resident_kib()?;
    Ok(after.saturating_sub(before) as f64 / worlds.len() as f64)
}

/// Microseconds of a fork, and the nodes of the tree at that time.
fn fork<O: Observer + Clone>(observer: O) -> Result<(f64, u64)> {
    let world = full_world(observer)?;
    let znodes = fewest_znodes(&world);
    let mut best = f64::MAX;
    for _ in 0..5 {
        // Each is dropped before the next is made: so forks are used, and so they find their memory warm.
        let (seconds, ()) = timed(|| (0..FORKS).for_each(|_| drop(std::hint::black_box(world.clone()))))?;
        best = best.min(seconds * 1e6 / f64::from(FORKS));
    }
    Ok((best, znodes))
}

/// A world whose client has made many nodes, without faults.
fn full_world<O: Observer>(observer: O) -> Result<World<O>> {
    let mut mix = [0; OPS];
    mix[SEQUENTIAL] = 1;
    let schedule = Schedule {
        chaos: 600_000 * MS,
        events_max: u64::MAX,
        limits: Limits {
            // As often as a hunt's schedules have it at the least; without, disks would hold all that was ever written.
            snapshot_entries: 1000,
            log_window_entries_max: 400,
            ..Limits::default()
        },
        clients: vec![ClientPlan { timeout_ms: 10_000, mix, ..ClientPlan::default() }],
        choices: Choices::Drawn,
        even: false,
        ..Schedule::plain(1)
    };
    let mut world = World::new(Arc::new(schedule), observer, Memory::default());
    for _ in 0..2_000_000 {
        if fewest_znodes(&world) >= ZNODES {
            return Ok(world);
        }
        ensure!(world.advance(), "the world ended before its tree was large: {:?}", world.report());
    }
    anyhow::bail!("the tree has {} nodes after two million events", fewest_znodes(&world))
}

/// Nodes of the smallest of the trees.
fn fewest_znodes<O: Observer>(world: &World<O>) -> u64 {
    let counts =
        (0..world.schedule().nodes).map(|node| world.node(node).map_or(0, |n| n.status().node_count));
    counts.min().unwrap_or(0)
}

/// Memory of this process that is in use, KiB, as Linux counts it.
fn resident_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in it")?;
    line.trim().trim_end_matches(" kB").parse().with_context(|| format!("VmRSS is {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speed::profiles::PROFILES;

    #[test]
    fn a_world_has_weight_and_a_fork_of_a_full_one_is_the_same_world() {
        assert!(memory(&PROFILES[2]).unwrap() > 1.0);
        let mut world = full_world(()).unwrap();
        let mut fork = world.clone();
        for _ in 0..2000 {
            assert!(world.advance() && fork.advance());
        }
        assert_eq!(world.report(), fork.report());
        assert!(fewest_znodes(&world) > ZNODES);
    }
}
