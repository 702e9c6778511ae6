//! A machine's clocks: a monotonic one that runs a little fast or slow, and a wall clock that may jump.

use serde::{Deserialize, Serialize};
use vivarium_core::time::{Instant, Now, Timestamp};

use crate::Time;

/// One node's clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clock {
    /// What the monotonic clock showed when the run began, ns.
    pub offset: u64,
    /// How many parts in a million it runs fast; negative when slow. Between -100,000 and 100,000.
    pub drift_ppm: i64,
    /// What the wall clock showed when the run began, ms since 1970. Jumps move it.
    pub wall_ms: i64,
}

/// A right one.
impl Default for Clock {
    fn default() -> Clock {
        Clock { offset: 0, drift_ppm: 0, wall_ms: 1_700_000_000_000 }
    }
}

impl Clock {
    /// What the node's clocks show at a moment.
    #[inline]
    pub fn now(&self, at: Time) -> Now {
        let mono = self.mono(at);
        let elapsed_ms = (mono - self.offset) / 1_000_000;
        Now { mono: Instant(mono), wall: Timestamp(self.wall_ms.saturating_add(elapsed_ms as i64)) }
    }

    /// The first moment at which the monotonic clock shows at least this.
    #[inline]
    pub fn when(&self, shown: Instant) -> Time {
        let elapsed = shown.0.saturating_sub(self.offset);
        let mut at = elapsed.saturating_mul(1_000_000) / self.rate();
        while self.mono(at) < shown.0 {
            at += 1;
        }
        at
    }

    #[inline]
    fn mono(&self, at: Time) -> u64 {
        // No overflow within the first four hours of a run.
        self.offset + at * self.rate() / 1_000_000
    }

    /// Nanoseconds that the monotonic clock advances in a millisecond.
    #[inline]
    fn rate(&self) -> u64 {
        1_000_000u64.saturating_add_signed(self.drift_ppm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Draw;

    #[test]
    fn when_is_the_inverse_of_now() {
        let mut draw = Draw::new(1);
        for _ in 0..2000 {
            let clock = Clock {
                offset: draw.below(1 << 40),
                drift_ppm: draw.between(0, 4000) as i64 - 2000,
                wall_ms: 0,
            };
            let shown = Instant(clock.offset + draw.below(20_000_000_000));
            let at = clock.when(shown);
            assert!(clock.now(at).mono >= shown);
            assert!(at == 0 || clock.now(at - 1).mono < shown, "{clock:?} {shown:?} {at}");
        }
    }

    #[test]
    fn a_fast_clock_is_fast() {
        let clock = Clock { offset: 0, drift_ppm: 1000, wall_ms: 5 };
        assert_eq!(clock.now(1_000_000_000).mono, Instant(1_001_000_000));
        assert_eq!(clock.now(1_000_000_000).wall, Timestamp(1006));
    }
}
