//! Failures are explained: in text, over time, and as a test.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use vivarium_harness::causes::{Curve, Effort};
use vivarium_harness::explain::{Explanation, markdown, text};
use vivarium_harness::recording::{Subject, record};
use vivarium_harness::run::Runner;
use vivarium_harness::shrink::{Options, Shrunk, shrink};
use vivarium_harness::to_test::test;
use vivarium_harness::trace::Trace;
use vivarium_sim::schedule::Sabotage;
use vivarium_sim::{Schedule, Verdict};

/// A small schedule that fails because a notification is lost.
fn lost_notification() -> Shrunk {
    let stop = AtomicBool::new(false);
    let options = Options { budget: Duration::from_secs(600), jobs: 1, stop: &stop };
    (0..60)
        .map(|seed| Schedule { sabotage: Some(Sabotage::LostNotifications), ..Schedule::draw(seed) })
        .find_map(|schedule| shrink(&schedule, None, options).ok())
        .expect("one of the first schedules loses a notification that matters")
}

const LITTLE: Effort = Effort { samples: 10, points: 6, budget: Duration::from_secs(600) };

#[test]
fn an_explanation_tells_what_broke_the_story_and_what_is_needed() {
    let shrunk = lost_notification();
    let subject = Subject {
        name: "it".into(),
        again: "record it".into(),
        replay: "replay it".into(),
        schedule: String::new(),
    };
    let recording = record(subject, &shrunk.schedule);
    let explanation = Explanation {
        schedule: &shrunk.schedule,
        from: Some(shrunk.before),
        meaning: Some(shrunk.meaning.clone()),
        recording: &recording,
        curve: Curve::of(&shrunk.schedule, LITTLE),
        again: "replay it".into(),
    };
    let sections = explanation.sections().expect("it fails");
    let lines = |heading: &str| {
        let section = sections.iter().find(|(name, _)| *name == heading);
        section.unwrap_or_else(|| panic!("no {heading} in {sections:?}")).1.clone()
    };
    let violation = shrunk.violation();
    assert!(lines("VIOLATION")[0].starts_with("watch-before-data: "));
    assert!(lines("SHORTEST")[0].contains(&format!("(from {})", shrunk.before)));
    let story = lines("STORY");
    assert!((2..=12).contains(&story.len()), "{story:?}");
    // The path that the checker complains about is what the story is about.
    let path = violation.seen.split('"').nth(1).expect("a path");
    assert!(story.iter().any(|line| line.contains(path)), "{path} is not in {story:?}");
    let needed = lines("NECESSARY");
    assert_eq!(needed.len(), shrunk.after + 1, "each decision, and what they have in common: {needed:?}");
    assert!(!lines("TURNING").is_empty());
    assert_eq!(lines("REPRO"), ["replay it"]);
    assert!(text(&sections).starts_with("VIOLATION  watch-before-data"));
    assert!(markdown(&sections).starts_with("### watch-before-data"));
}

#[test]
fn the_curve_ends_where_the_failure_is_and_says_the_same_each_time() {
    let shrunk = lost_notification();
    let curve = Curve::of(&shrunk.schedule, LITTLE).expect("it fails");
    assert_eq!(curve.property, "watch-before-data");
    assert!(curve.points.is_sorted_by_key(|point| point.event));
    let last = curve.points.last().expect("points");
    assert_eq!((last.event, last.failed), (shrunk.report.events, 10));
    assert_eq!(Curve::of(&shrunk.schedule, LITTLE), Some(curve.clone()));
    for turn in curve.turns() {
        assert!(turn.after > turn.before && turn.event > turn.last_before);
    }
}

#[test]
fn what_is_certain_from_the_beginning_has_a_flat_curve() {
    let schedule = Schedule { sabotage: Some(Sabotage::EarlySync), ..Schedule::draw(3) };
    let curve = Curve::of(&schedule, LITTLE).expect("it fails");
    assert!(curve.points.iter().all(|point| point.failed == 10), "{curve:?}");
    assert!(curve.turns().is_empty());
}

#[test]
fn what_holds_has_no_curve() {
    assert_eq!(Curve::of(&Schedule::draw(0), LITTLE), None);
}

/// What `to-test` prints for the trace beside it. Being part of this file, it is compiled and run.
mod printed {
    include!("printed/forged-data.txt");
}

#[test]
fn a_printed_test_is_the_one_that_is_compiled_here() {
    let trace = Trace::parse(include_str!("printed/forged-data.sched")).expect("a trace");
    let report = Runner::default().run(&trace.schedule, &mut ());
    let printed = test("forged-data", trace.schedule.clone(), &report, false);
    assert_eq!(printed, include_str!("printed/forged-data.txt"));
    let fixed = test("forged-data", trace.schedule, &report, true);
    assert!(fixed.contains("expect clean") && fixed.contains("assert_eq!(report.verdict, Verdict::Clean);"));
    assert!(matches!(report.verdict, Verdict::Broken(_)));
}
