//! Failing schedules become small and fail in the same way.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use vivarium_harness::run::Runner;
use vivarium_harness::shrink::{Options, Shrunk, Signature, shrink};
use vivarium_sim::schedule::{Choices, Sabotage};
use vivarium_sim::{Schedule, Verdict};

const PLENTY: Duration = Duration::from_secs(600);

fn small(schedule: &Schedule, jobs: usize) -> Option<Shrunk> {
    let stop = AtomicBool::new(false);
    shrink(schedule, None, Options { budget: PLENTY, jobs, stop: &stop }).ok()
}

/// The first schedules that fail under sabotage, made small.
fn some(sabotage: Sabotage, count: usize) -> Vec<Shrunk> {
    (0..60)
        .map(|seed| Schedule { sabotage: Some(sabotage), ..Schedule::draw(seed) })
        .filter_map(|schedule| small(&schedule, 1))
        .take(count)
        .collect()
}

#[test]
fn what_fails_becomes_a_few_decisions_that_are_all_needed() {
    let mut runner = Runner::default();
    let mut sizes = Vec::new();
    for (sabotage, property) in [
        (Sabotage::EarlySync, "durable-first"),
        (Sabotage::SwappedReplies, "fifo"),
        (Sabotage::LostNotifications, "watch-before-data"),
        (Sabotage::ForgedData, "reads"),
        (Sabotage::Mute, "progress"),
    ] {
        for shrunk in some(sabotage, 5) {
            assert_eq!(shrunk.violation().property, property);
            assert!(shrunk.minimal);
            assert_eq!(runner.run(&shrunk.schedule, &mut ()), shrunk.report, "it runs the same");
            assert_eq!(shrunk.after, shrunk.schedule.decisions());
            for place in 0..shrunk.schedule.listed().len() {
                let mut less = shrunk.schedule.clone();
                let Choices::Listed(choices) = &mut less.choices else { panic!("choices are listed") };
                choices.remove(place);
                let verdict = runner.run(&less, &mut ()).verdict;
                let same = matches!(&verdict, Verdict::Broken(violation) if violation.property == property);
                assert!(!same, "{sabotage:?}: choice {place} plays no part in {:#?}", shrunk.schedule);
                assert!(shrunk.meaning.choices_needed[place]);
            }
            sizes.push(shrunk.after);
        }
    }
    sizes.sort();
    assert_eq!(sizes.len(), 25);
    println!("{sizes:?}");
    assert!(sizes[sizes.len() / 2] <= 3 && sizes[sizes.len() - 1] <= 12, "{sizes:?}");
}

#[test]
fn what_comes_out_does_not_depend_on_the_number_of_threads() {
    for seed in 0..60 {
        let schedule = Schedule { sabotage: Some(Sabotage::LostNotifications), ..Schedule::draw(seed) };
        if let Some(alone) = small(&schedule, 1) {
            let together = small(&schedule, 3).expect("it fails for everybody");
            assert_eq!(format!("{:?}", together.schedule), format!("{:?}", alone.schedule));
            assert_eq!(together.report, alone.report);
            return;
        }
    }
    panic!("no schedule fails");
}

#[test]
fn whoever_is_stopped_leaves_a_schedule_that_fails() {
    let schedule = Schedule { sabotage: Some(Sabotage::ForgedData), ..Schedule::draw(0) };
    let stop = AtomicBool::new(true);
    let shrunk = shrink(&schedule, None, Options { budget: PLENTY, jobs: 2, stop: &stop }).expect("it fails");
    assert!(!shrunk.minimal);
    assert_eq!(shrunk.before, shrunk.after);
    assert!(shrunk.summary().ends_with("; the budget ended before it was minimal"), "{}", shrunk.summary());
    let report = Runner::default().run(&shrunk.schedule, &mut ());
    assert_eq!(report, shrunk.report);
}

#[test]
fn what_does_not_fail_is_not_shrunk() {
    let stop = AtomicBool::new(false);
    let options = Options { budget: PLENTY, jobs: 1, stop: &stop };
    let report = shrink(&Schedule::draw(0), None, options).expect_err("it holds");
    assert_eq!(report.verdict, Verdict::Clean);
    let forged = Schedule { sabotage: Some(Sabotage::ForgedData), ..Schedule::draw(0) };
    assert!(shrink(&forged, Some(Signature::property("fifo")), options).is_err(), "it fails otherwise");
}
