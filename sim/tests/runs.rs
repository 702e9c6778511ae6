//! Whole runs of the world, without checkers: they end, they end well, and they are the same each time.

use std::sync::Arc;

use vivarium_sim::schedule::Choices;
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

#[test]
fn other_futures_of_one_past_differ_and_are_each_the_same_again() {
    let mut different = 0;
    for seed in 0..20 {
        let drawn = Schedule::draw(seed);
        let mut world = World::new(Arc::new(drawn.clone()), (), Memory::default());
        world.recording();
        let report = world.run();
        let listed = Schedule { choices: Choices::Listed(world.recorded().to_vec()), ..drawn };
        let mut present = World::new(Arc::new(listed), (), Memory::default());
        for _ in 0..500 {
            present.advance();
        }
        let future = |other: u64| {
            let mut fork = present.clone();
            fork.another_future(other);
            fork.run()
        };
        let (one, two) = (future(1), future(2));
        assert_eq!(future(1), one);
        assert_eq!((&one.verdict, &two.verdict), (&Verdict::Clean, &Verdict::Clean), "seed {seed}");
        different += u32::from(one.hash != two.hash && one.hash != report.hash);
        assert_eq!(present.run(), report, "a fork leaves the world as it is");
    }
    assert_eq!(different, 20);
}
