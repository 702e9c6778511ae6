//! A hunt with runners that do what a test wants.

use std::sync::atomic::AtomicU64;

use vivarium_sim::{Report, Schedule, Verdict, Violation};

use super::options::Share;
use super::shard::Shard;
use super::*;
use crate::marks::Marks;

/// Comes to what the function says of a seed.
struct Fake<F>(F);

impl<F: FnMut(u64) -> Report> Run for Fake<F> {
    fn run(&mut self, schedule: &Schedule) -> Report {
        (self.0)(schedule.seed)
    }
}

fn report(seed: u64, broken: bool) -> Report {
    let violation = Violation {
        property: "fifo",
        meaning: "replies come in order",
        seen: format!("reply {seed} before another"),
        expected: "the other way round".into(),
    };
    let verdict = if broken { Verdict::Broken(Box::new(violation)) } else { Verdict::Clean };
    Report { verdict, at: 1000 * seed, events: 100, hash: seed }
}

pub(super) fn plan(seeds: std::ops::Range<u64>, jobs: usize) -> Plan {
    Plan {
        share: Share {
            whole: seeds.clone(),
            mine: seeds,
            shard: Shard::WHOLE,
            shard_source: None,
            open_ended: false,
        },
        time: None,
        until_covered: false,
        profile: None,
        double_check: 0,
        failures_max: 10,
        shrink: Duration::ZERO,
        jobs,
        out: None,
        coverage: false,
        junit: None,
        json: false,
        sabotage: None,
        fickle: false,
    }
}

static NOT_INTERRUPTED: AtomicBool = AtomicBool::new(false);

#[test]
fn each_seed_is_run_once() {
    let sum = AtomicU64::new(0);
    let runner = || {
        Fake(|seed| {
            sum.fetch_add(seed, Relaxed);
            report(seed, false)
        })
    };
    let end = hunt(&plan(1000..1100, 3), runner, &NOT_INTERRUPTED).unwrap();
    assert_eq!((end, sum.into_inner()), (End::Clean, (1000..1100).sum()));
}

#[test]
fn it_stops_at_so_many_failures() {
    let runs = AtomicU64::new(0);
    let runner = || {
        Fake(|seed| {
            runs.fetch_add(1, Relaxed);
            report(seed, seed % 2 == 1)
        })
    };
    assert_eq!(hunt(&plan(0..1_000_000, 1), runner, &NOT_INTERRUPTED).unwrap(), End::Broken);
    assert_eq!(runs.into_inner(), 20);
}

#[test]
fn runs_that_differ_outdo_failures() {
    let mut plan = plan(0..10, 1);
    plan.double_check = 100;
    let runner = || {
        let mut runs = 0;
        Fake(move |seed| {
            runs += 1;
            Report { hash: runs, ..report(seed, seed == 3) }
        })
    };
    assert_eq!(hunt(&plan, runner, &NOT_INTERRUPTED).unwrap(), End::NotDeterministic);
}

#[test]
fn one_that_is_interrupted_ran_a_range_without_holes() {
    let interrupted = AtomicBool::new(false);
    let out = std::env::temp_dir().join(format!("vivarium-hunt-{}", std::process::id()));
    let mut plan = plan(5..u64::MAX, 3);
    plan.out = Some(out.clone());
    let ran = AtomicU64::new(0);
    let runner = || {
        Fake(|seed| {
            if ran.fetch_add(1, Relaxed) == 50 {
                interrupted.store(true, Relaxed);
            }
            report(seed, false)
        })
    };
    assert_eq!(hunt(&plan, runner, &interrupted).unwrap(), End::Undetermined);
    let text = std::fs::read_to_string(out.join("latest/run.json")).unwrap();
    let record: Record = serde_json::from_str(&text).unwrap();
    std::fs::remove_dir_all(&out).unwrap();
    assert_eq!(record.ran, 5..5 + ran.into_inner());
    assert_eq!(record.exit.map(|exit| exit.reason), Some(Reason::Interrupted));
}

#[test]
fn a_panic_of_its_own_is_trouble_and_no_verdict() {
    let runner =
        || Fake(|seed| if seed == 5 { panic!("a mistake of the harness") } else { report(seed, false) });
    let error = hunt(&plan(0..10, 2), runner, &NOT_INTERRUPTED).unwrap_err();
    assert!(format!("{error:#}").contains("a thread of the hunt panicked"), "{error:#}");
    assert_eq!(crate::end::code_of(&error), 70);
}

/// Comes to one mark after the other.
struct Walk(Marks);

impl Run for Walk {
    fn run(&mut self, schedule: &Schedule) -> Report {
        self.0 = Marks::default();
        self.0.insert(Mark::ALL[schedule.seed as usize % Mark::COUNT]);
        report(schedule.seed, false)
    }

    fn marks(&self) -> Option<&Marks> {
        Some(&self.0)
    }
}

#[test]
fn it_goes_on_until_every_mark_was_hit_and_not_much_longer() {
    let out = std::env::temp_dir().join(format!("vivarium-hunt-covered-{}", std::process::id()));
    let all = Mark::COUNT as u64;
    // Enough seeds, exactly enough, one too few; and never ending.
    for (seeds, open_ended, wanted) in [
        (u64::MAX, false, (End::Clean, Reason::Covered)),
        (u64::MAX, true, (End::Clean, Reason::Covered)),
        (all, false, (End::Clean, Reason::Covered)),
        (all - 1, false, (End::Undetermined, Reason::Uncovered)),
    ] {
        let mut plan = plan(0..seeds, 2);
        plan.share.open_ended = open_ended;
        (plan.coverage, plan.until_covered, plan.out) = (true, true, Some(out.clone()));
        let end = hunt(&plan, || Walk(Marks::default()), &NOT_INTERRUPTED).unwrap();
        let text = std::fs::read_to_string(out.join("latest/run.json")).unwrap();
        std::fs::remove_dir_all(&out).unwrap();
        let record: Record = serde_json::from_str(&text).unwrap();
        assert_eq!((end, record.exit.unwrap().reason), wanted, "{seeds} seeds");
        assert_eq!((record.ran.start, record.totals.undetermined), (0, 0));
        assert_eq!(record.totals.marks_hit, Some(if seeds < all { Mark::COUNT - 1 } else { Mark::COUNT }));
    }
}
