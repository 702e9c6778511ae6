//! The search for a smaller schedule that fails in the same way: replays candidates on all threads and keeps the best.
//!
//! What it finds does not depend on the number of threads: of candidates that are tried together, the first in their
//! order that still fails is adopted. Only the budget can make a difference.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use vivarium_sim::{MS, Memory, Report, Schedule, Time, Verdict, Violation, World};

use crate::check::Checkers;
use crate::run::guarded;

/// What two failures have in common that are taken for the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature {
    /// The property that is broken.
    pub property: String,
    /// Of a panic: where it was.
    pub place: Option<String>,
}

impl Signature {
    /// The signature of a violation.
    pub fn of(violation: &Violation) -> Signature {
        let place = (violation.property == "invariant").then(|| panic_place(&violation.seen));
        Signature { property: violation.property.to_owned(), place }
    }

    /// Any failure of this property.
    pub fn property(property: &str) -> Signature {
        Signature { property: property.to_owned(), place: None }
    }

    /// Whether a violation is one of these.
    pub fn covers(&self, violation: &Violation) -> bool {
        self.property == violation.property
            && self.place.as_ref().is_none_or(|place| *place == panic_place(&violation.seen))
    }
}

/// Where a panic was: its message is full of values.
fn panic_place(seen: &str) -> String {
    seen.lines().next().unwrap_or_default().trim_end_matches(':').to_owned()
}

/// How long a search may go on.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a> {
    /// Until then.
    pub deadline: Instant,
    /// Until this is set.
    pub stop: &'a AtomicBool,
}

impl Bounds<'_> {
    fn are_reached(&self) -> bool {
        self.stop.load(Relaxed) || Instant::now() >= self.deadline
    }
}

/// How far a candidate may run before it is given up: a violation that comes much later is another one.
#[derive(Clone, Copy, Debug)]
struct Horizon {
    at: Time,
    events: u64,
}

impl Horizon {
    fn after(report: &Report, patient: bool) -> Horizon {
        if patient {
            return Horizon { at: Time::MAX, events: u64::MAX };
        }
        Horizon { at: report.at + report.at / 2 + 500 * MS, events: report.events * 2 + 3_000 }
    }
}

/// A search in progress.
#[derive(Debug)]
pub struct Search<'a> {
    wanted: Signature,
    best: Arc<Schedule>,
    report: Report,
    bounds: Bounds<'a>,
    /// Whether candidates run to their end, however long that is after the violation of the best.
    patient: bool,
    /// What was tried and does not fail in this way.
    passing: Passing,
    replays: u64,
    memories: Vec<Memory>,
}

/// Schedules that do not fail, by their content.
#[derive(Debug, Default)]
struct Passing {
    /// As far as the horizon,
    near: HashSet<u64>,
    /// or to their end.
    whole: HashSet<u64>,
}

impl Passing {
    fn has(&self, content: u64, patient: bool) -> bool {
        self.whole.contains(&content) || !patient && self.near.contains(&content)
    }
}

/// Schedules of more decisions than this are never met twice, and not worth remembering.
const REMEMBERED_MAX: usize = 60;

impl<'a> Search<'a> {
    /// A search that begins at a schedule that came to this.
    pub fn new(
        wanted: Signature,
        schedule: Schedule,
        report: Report,
        jobs: usize,
        bounds: Bounds<'a>,
    ) -> Search<'a> {
        Search {
            wanted,
            best: Arc::new(schedule),
            report,
            bounds,
            patient: false,
            passing: Passing::default(),
            replays: 0,
            memories: (0..jobs.max(1)).map(|_| Memory::default()).collect(),
        }
    }

    /// The best so far.
    pub fn best(&self) -> Arc<Schedule> {
        self.best.clone()
    }

    /// What the best comes to.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// How the best fails.
    pub fn seen(&self) -> &str {
        match &self.report.verdict {
            Verdict::Broken(violation) => &violation.seen,
            Verdict::Clean => "",
        }
    }

    /// From now on candidates run to their end, or only to somewhat after the violation of the best.
    pub fn be_patient(&mut self, patient: bool) {
        self.patient = patient;
    }

    /// How many candidates were run.
    pub fn replays(&self) -> u64 {
        self.replays
    }

    /// Whether no time is left.
    pub fn is_over(&self) -> bool {
        self.bounds.are_reached()
    }

    /// Adopts a candidate if it fails in the same way.
    pub fn adopt(&mut self, candidate: Schedule) -> bool {
        self.adopt_first(1, &|_| Some(candidate.clone())).is_some()
    }

    /// Adopts the first of so many candidates that fails in the same way. Which one that was.
    pub fn adopt_first(
        &mut self,
        count: usize,
        make: &(dyn Fn(usize) -> Option<Schedule> + Sync),
    ) -> Option<usize> {
        let trial = Trial {
            wanted: &self.wanted,
            horizon: Horizon::after(&self.report, self.patient),
            bounds: self.bounds,
            passing: &self.passing,
            patient: self.patient,
            make,
            count,
            next: AtomicUsize::new(0),
            first: AtomicUsize::new(usize::MAX),
            adopted: Mutex::new(None),
            tried: Mutex::new((0, Vec::new())),
        };
        if count == 1 || self.memories.len() == 1 {
            trial.work(&mut self.memories[0]);
        } else {
            std::thread::scope(|scope| {
                for memory in self.memories.iter_mut().take(count) {
                    scope.spawn(|| trial.work(memory));
                }
            });
        }
        let (replays, passing) = trial.tried.into_inner().expect(NOT_POISONED);
        let adopted = trial.adopted.into_inner().expect(NOT_POISONED);
        self.replays += replays;
        if self.patient {
            self.passing.whole.extend(passing);
        } else {
            self.passing.near.extend(passing);
        }
        let (place, candidate, report) = adopted?;
        self.best = Arc::new(candidate);
        self.report = report;
        Some(place)
    }

    /// What becomes of a schedule, within the horizon of the best: a report if it fails in the same way.
    pub fn fails(&mut self, schedule: &Schedule) -> Option<Report> {
        self.replays += 1;
        fails(schedule, &self.wanted, Horizon::after(&self.report, self.patient), &mut self.memories[0])
    }
}

const NOT_POISONED: &str = "panics of the core are caught, and others end everything";

/// Candidates that are tried together.
struct Trial<'a> {
    wanted: &'a Signature,
    horizon: Horizon,
    bounds: Bounds<'a>,
    passing: &'a Passing,
    patient: bool,
    make: &'a (dyn Fn(usize) -> Option<Schedule> + Sync),
    count: usize,
    next: AtomicUsize,
    /// The first that fails.
    first: AtomicUsize,
    adopted: Mutex<Option<(usize, Schedule, Report)>>,
    /// How many were run, and what passed.
    tried: Mutex<(u64, Vec<u64>)>,
}

impl Trial<'_> {
    fn work(&self, memory: &mut Memory) {
        let (mut replays, mut passing) = (0, Vec::new());
        loop {
            let place = self.next.fetch_add(1, Relaxed);
            if place >= self.count || place > self.first.load(Relaxed) || self.bounds.are_reached() {
                break;
            }
            let Some(candidate) = (self.make)(place) else { continue };
            let content = content(&candidate);
            if content.is_some_and(|content| self.passing.has(content, self.patient)) {
                continue;
            }
            replays += 1;
            match fails(&candidate, self.wanted, self.horizon, memory) {
                Some(report) => {
                    self.first.fetch_min(place, Relaxed);
                    let mut adopted = self.adopted.lock().expect(NOT_POISONED);
                    if adopted.as_ref().is_none_or(|(other, ..)| place < *other) {
                        *adopted = Some((place, candidate, report));
                    }
                }
                None => passing.extend(content),
            }
        }
        let mut tried = self.tried.lock().expect(NOT_POISONED);
        tried.0 += replays;
        tried.1.append(&mut passing);
    }
}

/// Runs a schedule under all checkers as far as the horizon. Its report, if it fails in the wanted way.
fn fails(schedule: &Schedule, wanted: &Signature, horizon: Horizon, memory: &mut Memory) -> Option<Report> {
    let mut world = World::new(Arc::new(schedule.clone()), Checkers::new(), std::mem::take(memory));
    let outcome = guarded(&mut world, |world| {
        while world.advance() {
            let (events, at) = world.present();
            if at > horizon.at || events > horizon.events {
                return None;
            }
        }
        Some(world.report())
    });
    let report = match outcome {
        Ok(report) => {
            *memory = world.into_parts().0;
            report?
        }
        // What the panic left half done is not used again.
        Err(report) => report,
    };
    match &report.verdict {
        Verdict::Broken(violation) if wanted.covers(violation) => Some(report),
        Verdict::Broken(_) | Verdict::Clean => None,
    }
}

/// A hash of all that a small schedule says.
fn content(schedule: &Schedule) -> Option<u64> {
    struct Hashed(DefaultHasher);
    impl std::fmt::Write for Hashed {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    if schedule.decisions() > REMEMBERED_MAX {
        return None;
    }
    let mut hashed = Hashed(DefaultHasher::new());
    write!(hashed, "{schedule:?}").expect("a hasher takes everything");
    Some(hashed.0.finish())
}
