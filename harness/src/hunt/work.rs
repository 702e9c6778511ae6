//! The threads that run seeds. They take one after the other from a common counter, so that what has been run is always
//! one range without holes, however a hunt ends.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::Instant;

use vivarium_sim::{Report, Schedule, Verdict};

use super::findings::Failure;
use super::options::{Plan, SabotageName};
use super::record::Totals;
use crate::build;
use crate::check::linear::Searches;
use crate::marks::{Coverage, Marker, Marks};
use crate::run::Runner;

/// Something that runs schedules. Tests have others than the real one.
pub trait Run {
    /// Runs one.
    fn run(&mut self, schedule: &Schedule) -> Report;

    /// The marks that the last run has come to, if they are counted.
    fn marks(&self) -> Option<&Marks> {
        None
    }

    /// Whether what clients saw in the last run was searched for an order that explains it.
    fn searches(&self) -> Searches {
        Searches::default()
    }
}

impl Run for Runner {
    fn run(&mut self, schedule: &Schedule) -> Report {
        Runner::run(self, schedule, &mut ())
    }

    fn searches(&self) -> Searches {
        Runner::searches(self)
    }
}

/// The real one. It counts marks, and does not do the same twice when that is wanted, so that one can see what a hunt
/// makes of it.
#[derive(Debug)]
pub struct Hunter {
    runner: Runner,
    marker: Option<Marker>,
    fickle: bool,
    last_seed: Option<u64>,
}

impl Hunter {
    /// As the plan wants it.
    pub fn new(plan: &Plan) -> Hunter {
        let marker = plan.coverage.then(Marker::new);
        Hunter { runner: Runner::default(), marker, fickle: plan.fickle, last_seed: None }
    }
}

impl Run for Hunter {
    fn run(&mut self, schedule: &Schedule) -> Report {
        let again = self.last_seed.replace(schedule.seed) == Some(schedule.seed);
        if self.fickle && again {
            return Run::run(&mut self.runner, &disturbed(schedule));
        }
        match &mut self.marker {
            Some(marker) => self.runner.run(schedule, marker),
            None => Run::run(&mut self.runner, schedule),
        }
    }

    fn marks(&self) -> Option<&Marks> {
        self.marker.as_ref().map(Marker::marks)
    }

    fn searches(&self) -> Searches {
        self.runner.searches()
    }
}

/// The schedule as a machine would run it on which time matters: everything is a microsecond later.
pub fn disturbed(schedule: &Schedule) -> Schedule {
    let mut schedule = schedule.clone();
    schedule.network.latency_min += vivarium_sim::US;
    schedule
}

/// What the threads have done so far.
#[derive(Debug)]
pub struct Tally {
    seeds: Range<u64>,
    next: AtomicU64,
    /// For each thread a seed that it has not run yet, nor any greater one; `u64::MAX` once it takes no more.
    current: Vec<AtomicU64>,
    stop: AtomicBool,
    alive: AtomicUsize,
    done: AtomicU64,
    failures: AtomicU64,
    nondeterministic: AtomicU64,
    double_checked: AtomicU64,
    events: AtomicU64,
    simulated_us: AtomicU64,
    busy_nanos: AtomicU64,
    first_failing: AtomicU64,
    /// Nanoseconds, and the seed.
    slowest: Mutex<(u64, u64)>,
    inbox: Mutex<Vec<Failure>>,
    coverage: Mutex<Coverage>,
    searched: AtomicU64,
    search_gave_up: AtomicU64,
}

const NOT_POISONED: &str = "no thread panics while it holds this";

impl Tally {
    /// Of a hunt for these seeds by so many threads, which has not begun.
    pub fn new(seeds: Range<u64>, threads: usize) -> Tally {
        Tally {
            next: AtomicU64::new(seeds.start),
            current: (0..threads).map(|_| AtomicU64::new(seeds.start)).collect(),
            seeds,
            stop: AtomicBool::new(false),
            alive: AtomicUsize::new(threads),
            done: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            nondeterministic: AtomicU64::new(0),
            double_checked: AtomicU64::new(0),
            events: AtomicU64::new(0),
            simulated_us: AtomicU64::new(0),
            busy_nanos: AtomicU64::new(0),
            first_failing: AtomicU64::new(u64::MAX),
            slowest: Mutex::new((0, 0)),
            inbox: Mutex::new(Vec::new()),
            coverage: Mutex::new(Coverage::new()),
            searched: AtomicU64::new(0),
            search_gave_up: AtomicU64::new(0),
        }
    }

    /// No more seeds after those that are being run.
    pub fn stop(&self) {
        self.stop.store(true, SeqCst);
    }

    /// Whether it was told to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(SeqCst)
    }

    /// Whether a thread still runs a seed.
    pub fn working(&self) -> bool {
        self.alive.load(SeqCst) > 0
    }

    /// What has failed since this was asked last.
    pub fn new_failures(&self) -> Vec<Failure> {
        std::mem::take(&mut *self.inbox.lock().expect(NOT_POISONED))
    }

    /// How often marks were hit; nothing if they are not counted.
    pub fn coverage(&self) -> Option<Coverage> {
        let coverage = self.coverage.lock().expect(NOT_POISONED);
        (coverage.schedules() > 0).then(|| coverage.clone())
    }

    /// The seeds that have been run: all up to the least that some thread is still busy with.
    pub fn ran(&self) -> Range<u64> {
        let busy = self.current.iter().map(|seed| seed.load(SeqCst)).min().unwrap_or(u64::MAX);
        self.seeds.start..busy.min(self.next.load(SeqCst))
    }

    /// Whether all have been run.
    pub fn complete(&self) -> bool {
        self.ran() == self.seeds
    }

    /// The counts; those that follow from other things than work are left at zero.
    pub fn totals(&self) -> Totals {
        let first_failing = self.first_failing.load(Relaxed);
        let (slowest_nanos, slowest_seed) = *self.slowest.lock().expect(NOT_POISONED);
        let mut totals = Totals {
            schedules: self.done.load(Relaxed),
            failures: self.failures.load(Relaxed),
            first_failing_seed: (first_failing != u64::MAX).then_some(first_failing),
            nondeterministic: self.nondeterministic.load(Relaxed),
            double_checked: self.double_checked.load(Relaxed),
            events: self.events.load(Relaxed),
            simulated_seconds: self.simulated_us.load(Relaxed) as f64 / 1e6,
            busy_seconds: self.busy_nanos.load(Relaxed) as f64 / 1e9,
            slowest_seed: (slowest_nanos > 0).then_some(slowest_seed),
            slowest_seconds: slowest_nanos as f64 / 1e9,
            searched: self.searched.load(Relaxed),
            search_gave_up: self.search_gave_up.load(Relaxed),
            ..Totals::default()
        };
        totals.rates();
        totals
    }

    fn take(&self, thread: usize) -> Option<u64> {
        // Before one is taken this thread answers for all that come, lest one is taken and nobody's for a moment.
        let current = &self.current[thread];
        current.store(self.next.load(SeqCst), SeqCst);
        let stopped = self.stop.load(SeqCst);
        let more = |next| (!stopped && next < self.seeds.end).then(|| next + 1);
        let taken = self.next.fetch_update(SeqCst, SeqCst, more).ok();
        current.store(taken.unwrap_or(u64::MAX), SeqCst);
        taken
    }
}

/// Counts a thread out, also when it panics.
struct Alive<'a>(&'a Tally);

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, SeqCst);
    }
}

/// What one thread does until there are no more seeds, or it is told to stop.
pub fn work(plan: &Plan, tally: &Tally, thread: usize, runner: &mut impl Run) {
    let _alive = Alive(tally);
    while let Some(seed) = tally.take(thread) {
        let schedule = schedule(seed, plan.sabotage);
        let begun = Instant::now();
        let report = runner.run(&schedule);
        let nanos = begun.elapsed().as_nanos() as u64;
        tally.busy_nanos.fetch_add(nanos, Relaxed);
        if let Some(marks) = runner.marks() {
            tally.coverage.lock().expect(NOT_POISONED).add(seed, marks);
        }
        let searches = runner.searches();
        tally.searched.fetch_add(searches.runs, Relaxed);
        tally.search_gave_up.fetch_add(searches.undetermined, Relaxed);
        tally.events.fetch_add(report.events, Relaxed);
        tally.simulated_us.fetch_add(report.at / vivarium_sim::US, Relaxed);
        {
            let mut slowest = tally.slowest.lock().expect(NOT_POISONED);
            *slowest = (*slowest).max((nanos, seed));
        }
        if vivarium_sim::decision::mix(seed) % 100 < u64::from(plan.double_check) {
            tally.double_checked.fetch_add(1, Relaxed);
            let second = runner.run(&schedule);
            if second != report {
                tally.nondeterministic.fetch_add(1, Relaxed);
                let command =
                    format!("{} check-determinism {seed}{}", build::program(), option(plan.sabotage));
                let failure = Failure::not_deterministic(seed, schedule.nodes, &report, &second, command);
                tally.inbox.lock().expect(NOT_POISONED).push(failure);
            }
        }
        if let Verdict::Broken(_) = &report.verdict {
            let failure = Failure::of(seed, schedule.nodes, &report, replay_command(seed, plan.sabotage));
            tally.inbox.lock().expect(NOT_POISONED).extend(failure);
            tally.first_failing.fetch_min(seed, Relaxed);
            if tally.failures.fetch_add(1, SeqCst) + 1 >= plan.failures_max {
                tally.stop();
            }
        }
        tally.done.fetch_add(1, SeqCst);
    }
}

/// The schedule that a hunt runs for a seed.
pub fn schedule(seed: u64, sabotage: Option<SabotageName>) -> Schedule {
    let mut schedule = Schedule::draw(seed);
    schedule.sabotage = sabotage.map(SabotageName::kind);
    schedule
}

/// The command that shows a seed again, told event by event.
pub fn replay_command(seed: u64, sabotage: Option<SabotageName>) -> String {
    format!("{} replay --seed {seed}{} --verbose", build::program(), option(sabotage))
}

/// The option that asks for it, with a space before it; nothing for nothing.
pub fn option(sabotage: Option<SabotageName>) -> String {
    sabotage.map(|kind| format!(" --sabotage {}", kind.name())).unwrap_or_default()
}
