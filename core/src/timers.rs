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
#[derive(Clone, Debug)]
pub struct Timers([Instant; COUNT]);

/// When one is due that is stopped. Every step asks for the earliest, and one kind of number is compared faster than two.
const NEVER: Instant = Instant(u64::MAX);

impl Default for Timers {
    fn default() -> Timers {
        Timers([NEVER; COUNT])
    }
}

impl Timers {
    /// Sets one, in place of what it was.
    pub fn set(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize] = at;
    }

    /// Stops one.
    pub fn clear(&mut self, timer: Timer) {
        self.0[timer as usize] = NEVER;
    }

    /// Whether one is due; it is stopped when it is.
    pub fn take_due(&mut self, timer: Timer, now: Instant) -> bool {
        let at = self.0[timer as usize];
        let due = at <= now && at != NEVER;
        if due {
            self.clear(timer);
        }
        due
    }

    /// The earliest of all.
    pub fn next(&self) -> Option<Instant> {
        let soonest = self.0.iter().fold(NEVER, |soonest, at| soonest.min(*at));
        (soonest != NEVER).then_some(soonest)
    }
}
