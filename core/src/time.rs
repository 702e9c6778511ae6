//! Time as an argument. The core reads no clock: each step is told what time it is.

use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// Monotonic time of one process: nanoseconds since some start of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Instant(pub u64);

/// A length of time in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Duration(pub u64);

/// Wall-clock time: milliseconds since 1970, as `ctime` and `mtime` have it. It may jump either way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

/// What time it is, at one step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// Monotonic; never goes back. All deadlines are measured on it.
    pub mono: Instant,
    /// Wall clock; only ever a stamp in data.
    pub wall: Timestamp,
}

impl Duration {
    /// From milliseconds.
    pub const fn millis(ms: u64) -> Duration {
        Duration(ms * 1_000_000)
    }
    /// From microseconds.
    pub const fn micros(us: u64) -> Duration {
        Duration(us * 1_000)
    }
    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, d: Duration) -> Instant {
        Instant(self.0.saturating_add(d.0))
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;
    /// How long after `earlier` this is; zero when it is not.
    fn sub(self, earlier: Instant) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}
