//! One schedule under all checkers. A panic of the core is a broken invariant, and reported as one.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};

use vivarium_sim::schedule::Choices;
use vivarium_sim::{Choice, Memory, Observer, Report, Schedule, Time, Verdict, Violation, World};

use crate::check::Checkers;
use crate::check::linear::Searches;

pub use crate::end::End;

/// A place to run schedules in. One for each thread.
#[derive(Debug, Default)]
pub struct Runner {
    memory: Memory,
    /// Those of the last run: the next one takes over what they have allocated.
    checkers: Option<Checkers>,
    searches: Searches,
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

impl Runner {
    /// Runs a schedule under all checkers, and under one more observer.
    pub fn run(&mut self, schedule: &Schedule, also: &mut impl Observer) -> Report {
        self.run_whole(schedule, also, false).0
    }

    /// What became of the search for an order that explains what clients saw, if the last run is one of the sample.
    pub fn searches(&self) -> Searches {
        self.searches
    }

    /// The same, and lists the choices that were made on the way: what [`listed`] makes a schedule of.
    pub fn record(&mut self, schedule: &Schedule, also: &mut impl Observer) -> (Report, Vec<Choice>) {
        self.run_whole(schedule, also, true)
    }

    fn run_whole(
        &mut self,
        schedule: &Schedule,
        also: &mut impl Observer,
        recording: bool,
    ) -> (Report, Vec<Choice>) {
        let watch = Watched { also, checkers: self.checkers.take().unwrap_or_default() };
        self.searches = Searches::default();
        let mut world = World::new(Arc::new(schedule.clone()), watch, std::mem::take(&mut self.memory));
        if recording {
            world.recording();
        }
        let report = guarded(&mut world, |world| world.run());
        let choices = world.recorded().to_vec();
        match report {
            Ok(report) => {
                let (memory, watched) = world.into_parts();
                self.memory = memory;
                self.searches = watched.checkers.searches();
                self.checkers = Some(watched.checkers);
                (report, choices)
            }
            // Whatever the panic left half done must not reach the next run.
            Err(report) => (report, choices),
        }
    }
}

/// Lets something happen in a world. A panic in it is a broken invariant of the core, and the last of that world.
///
/// # Errors
/// The report of a world that panicked.
pub fn guarded<O: Observer, T>(
    world: &mut World<O>,
    something: impl FnOnce(&mut World<O>) -> T,
) -> Result<T, Report> {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if GUARDED.with(Cell::get) {
                PANIC.with(|slot| *slot.borrow_mut() = Some(info.to_string()));
            } else {
                before(info);
            }
        }));
    });
    GUARDED.with(|guarded| guarded.set(true));
    let outcome = catch_unwind(AssertUnwindSafe(|| something(world)));
    GUARDED.with(|guarded| guarded.set(false));
    outcome.map_err(|_| {
        let seen = PANIC.with(|slot| slot.borrow_mut().take()).unwrap_or_else(|| "a panic".into());
        let violation = Violation {
            property: "invariant",
            meaning: "no assertion fails",
            seen,
            expected: "the invariant to hold".into(),
        };
        Report { verdict: Verdict::Broken(Box::new(violation)), ..world.report() }
    })
}

/// A schedule that lists the choices that a run of another made: it runs the same.
pub fn listed(schedule: &Schedule, choices: Vec<Choice>) -> Schedule {
    Schedule { choices: Choices::Listed(choices), ..schedule.clone() }
}

/// All checkers, and one more observer before them.
struct Watched<'a, O: Observer> {
    also: &'a mut O,
    checkers: Checkers,
}

impl<O: Observer> Observer for Watched<'_, O> {
    #[inline(always)]
    fn observe(
        &mut self,
        at: Time,
        observation: &vivarium_sim::Observation<'_>,
    ) -> Result<(), Box<Violation>> {
        // The one who tells comes first, so that what broke a property is told as well.
        self.also.observe(at, observation)?;
        self.checkers.observe(at, observation)
    }
}

/// A failure in words, with the command that shows it again.
pub fn describe(what: &str, command: &str, report: &Report, violation: &Violation) -> String {
    format!(
        "{what}: property \"{}\" is broken after {}.{:03} ms, {} events\n  property: {}\n  seen:     {}\n  expected: \
         {}\n  replay:   {command}",
        violation.property,
        report.at / vivarium_sim::MS,
        report.at % vivarium_sim::MS / vivarium_sim::US,
        report.events,
        violation.meaning,
        violation.seen,
        violation.expected,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use vivarium_sim::schedule::Sabotage;

    #[test]
    fn a_runner_that_has_run_others_finds_the_same_as_a_fresh_one() {
        let mut used = Runner::default();
        let wrong = [None, Some(Sabotage::SwappedReplies), Some(Sabotage::LostNotifications), None];
        let mut broken = 0;
        for (seed, sabotage) in (0..12).zip(wrong.into_iter().cycle()) {
            let schedule = Schedule { sabotage, ..Schedule::draw(seed) };
            let report = used.run(&schedule, &mut ());
            assert_eq!(report, Runner::default().run(&schedule, &mut ()), "seed {seed}");
            broken += u32::from(report.verdict != Verdict::Clean);
        }
        assert!(broken > 2, "the checkers also have to forget what they found");
    }
}
