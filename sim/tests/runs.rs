//! Whole runs of the world, without checkers: they end, they end well, and they are the same each time.

use std::sync::Arc;

use vivarium_sim::{Memory, Report, Schedule, Verdict, World};

fn run(memory: &mut Memory, seed: u64) -> Report {
    let mut world = World::new(Arc::new(Schedule::draw(seed)), (), std::mem::take(memory));
    let report = world.run();
    *memory = world.into_parts().0;
    report
}

#[test]
fn runs_end_well() {
    let mut memory = Memory::default();
    let mut bad = Vec::new();
    for seed in 0..200 {
        let report = run(&mut memory, seed);
        if let Verdict::Broken(violation) = report.verdict {
            bad.push((seed, report.at / vivarium_sim::MS, report.events, violation));
        }
    }
    assert!(bad.is_empty(), "{} of 200: {bad:#?}", bad.len());
}

#[test]
fn the_same_seed_gives_the_same_run_whatever_ran_before() {
    let mut memory = Memory::default();
    let forwards: Vec<Report> = (0..60).map(|seed| run(&mut memory, seed)).collect();
    let mut backwards: Vec<Report> = (0..60).rev().map(|seed| run(&mut memory, seed)).collect();
    backwards.reverse();
    assert_eq!(forwards, backwards);
    let mut hashes: Vec<u64> = forwards.iter().map(|report| report.hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 60, "two seeds gave the same run");
}

#[test]
fn a_clone_goes_on_as_the_original_would() {
    for seed in 0..20 {
        let mut world = World::new(Arc::new(Schedule::draw(seed)), (), Memory::default());
        for _ in 0..2000 {
            world.advance();
        }
        let mut fork = world.clone();
        assert_eq!(fork.run(), world.run(), "seed {seed}");
    }
}
