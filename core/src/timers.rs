//! Deadlines, in one table. A wake that comes early, late or twice changes nothing: what is due is asked for by name.

use crate::time::Instant;

/// What a node waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timer {
    /// The next try to win an election, or to wait for a winner.
    Election,
    /// The leader has been silent for too long; or, at a leader, too few followers have been heard.
    Silence,
    /// A leader's next sign of life.
    Heartbeat,
    /// Synchronization takes too long.
    Sync,
    /// The hand-over takes too long: end without it.
    Retire,
}

const COUNT: usize = Timer::Retire as usize + 1;

/// When each of them is due.
#[derive(Clone, Debug, Default)]
pub struct Timers([Option<Instant>; COUNT]);

impl Timers {
    /// Sets one, in place of what it was.
    pub fn set(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize] = Some(at);
    }

    /// Stops one.
    pub fn clear(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    /// Whether one is due; it is stopped when it is.
    pub fn take_due(&mut self, timer: Timer, now: Instant) -> bool {
        let due = self.0[timer as usize].is_some_and(|at| at <= now);
        if due {
            self.clear(timer);
        }
        due
    }

    /// The earliest of all.
    pub fn next(&self) -> Option<Instant> {
        let never = Instant(u64::MAX);
        let soonest = self.0.iter().fold(never, |soonest, at| soonest.min(at.unwrap_or(never)));
        (soonest != never).then_some(soonest)
    }
}
