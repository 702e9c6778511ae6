//! The machine's clocks, in the core's units.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use vivarium_core::time::{self, Now, Timestamp};

/// Counts from the moment it was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts at zero.
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// What time it is, for the core and for the driver.
    pub fn now(&self) -> (Now, Instant) {
        let instant = Instant::now();
        let since = instant.saturating_duration_since(self.start);
        let mono = time::Instant(u64::try_from(since.as_nanos()).expect("584 years fit"));
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        (Now { mono, wall: Timestamp(i64::try_from(wall).unwrap_or(i64::MAX)) }, instant)
    }

    /// The driver's instant for a deadline of the core; `None` for one that no process will see.
    pub fn instant(&self, deadline: time::Instant) -> Option<Instant> {
        self.start.checked_add(Duration::from_nanos(deadline.0))
    }
}
