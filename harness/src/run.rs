//! One schedule under all checkers. A panic of the core is a broken invariant, and reported as one.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use vivarium_sim::{Observer, Report, Schedule, Time, Verdict, Violation, World};

use crate::check::Checkers;

pub use crate::end::End;

/// A place to run schedules in. One for each thread.
#[derive(Debug, Default)]
pub struct Runner {
    world: World,
}

thread_local! {
    /// Whether this thread is in the middle of a run, and what its last panic said.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

impl Runner {
    /// Runs a schedule under all checkers, and under one more observer.
    pub fn run(&mut self, schedule: &Schedule, also: &mut impl Observer) -> Report {
        HOOK.call_once(|| {
            let usual = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| match RUNNING.get() {
                true => PANIC.with(|slot| *slot.borrow_mut() = Some(info.to_string())),
                // The harness's own mistakes are told as anybody's.
                false => usual(info),
            }));
        });
        let mut watch = Clocked { also, checkers: Checkers::new(), at: 0, observations: 0 };
        RUNNING.set(true);
        let result = catch_unwind(AssertUnwindSafe(|| self.world.run(schedule, &mut watch)));
        RUNNING.set(false);
        match result {
            Ok(report) => report,
            Err(_) => {
                let (at, events) = (watch.at, watch.observations);
                // Whatever the panic left half done must not reach the next run.
                self.world = World::new();
                let seen = PANIC.with(|slot| slot.borrow_mut().take()).unwrap_or_else(|| "a panic".into());
                let violation = Violation {
                    property: "invariant",
                    meaning: "no assertion fails",
                    seen,
                    expected: "the invariant to hold".into(),
                };
                Report { verdict: Verdict::Broken(Box::new(violation)), at, events, hash: 0 }
            }
        }
    }
}

/// Knows what time it was when a panic came.
struct Clocked<'a, O: Observer> {
    also: &'a mut O,
    checkers: Checkers,
    at: Time,
    observations: u64,
}

impl<O: Observer> Observer for Clocked<'_, O> {
    fn observe(
        &mut self,
        at: Time,
        observation: &vivarium_sim::Observation<'_>,
    ) -> Result<(), Box<Violation>> {
        self.at = at;
        self.observations += 1;
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
