//! What the black-box tests share: real `vivarium` processes, a small raw client, and waiting.
//!
//! Nothing here looks inside the server: it is started as an operator would start it, spoken to over TCP, read through
//! its log and its four-letter words, and ended by signals to its own process id, also when a test panics.
//!
//! Waiting is always for a condition, with a deadline far beyond what a slow machine needs; no test sleeps to let
//! something happen, and none measures time.

#![allow(dead_code)] // Each test binary uses its own part of this.

pub mod client;
pub mod ensemble;
pub mod walk;

use std::time::{Duration, Instant};

/// How long any condition may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Polls `condition` until it yields something. Panics, naming `what`, when it has not within [`PATIENCE`].
#[track_caller]
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "gave up waiting for this: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
