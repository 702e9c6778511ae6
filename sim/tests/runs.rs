//! Whole runs of the world, without checkers: they end, they end well, and they are the same each time.

use vivarium_sim::{Report, Schedule, Verdict, World};

fn run(world: &mut World, seed: u64) -> Report {
    world.run(&Schedule::draw(seed), &mut ())
}

#[test]
fn runs_end_well() {
    let mut world = World::new();
    let mut bad = Vec::new();
    for seed in 0..200 {
        let report = run(&mut world, seed);
        if let Verdict::Broken(violation) = report.verdict {
            bad.push((seed, report.at / vivarium_sim::MS, report.events, violation));
        }
    }
    assert!(bad.is_empty(), "{} of 200: {bad:#?}", bad.len());
}

#[test]
fn the_same_seed_gives_the_same_run_whatever_ran_before() {
    let mut world = World::new();
    let forwards: Vec<Report> = (0..60).map(|seed| run(&mut world, seed)).collect();
    let mut backwards: Vec<Report> = (0..60).rev().map(|seed| run(&mut world, seed)).collect();
    backwards.reverse();
    assert_eq!(forwards, backwards);
    let mut hashes: Vec<u64> = forwards.iter().map(|report| report.hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 60, "two seeds gave the same run");
}
