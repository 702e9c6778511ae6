//! Checkers: observers that know what is right.

use vivarium_sim::{Observation, Observer, Time, Violation};

/// All checkers.
#[derive(Debug, Default)]
pub struct Checkers {}

impl Checkers {
    /// Checkers that have seen nothing yet.
    pub fn new() -> Checkers {
        Checkers {}
    }
}

impl Observer for Checkers {
    fn observe(&mut self, _: Time, _: &Observation<'_>) -> Result<(), Box<Violation>> {
        Ok(())
    }
}
