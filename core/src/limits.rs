//! Every bound and every default duration of the core, in one place.

use serde::{Deserialize, Serialize};

use crate::time::Duration;

/// Settings that a driver passes at boot. `Default` is what an operator gets without a config file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// `tickTime`: the unit of session rounding; expiry comes between a timeout and a timeout plus one tick.
    pub tick: Duration,
    /// How often a leader tells followers that it lives.
    pub heartbeat: Duration,
    /// A peer silent for this long is taken for dead. At most `syncLimit` ticks.
    pub silence: Duration,
    /// A leader that is not established, or a follower not in sync, after this long gives up. At most `initLimit` ticks.
    pub sync: Duration,
    /// First election timeout; doubles with each try, up to eight times it.
    pub election: Duration,
    /// Smallest session timeout granted, ms.
    pub session_timeout_min_ms: i32,
    /// Largest session timeout granted, ms.
    pub session_timeout_max_ms: i32,
    /// `snapCount`: entries between snapshots, on average.
    pub snapshot_entries: u64,
    /// Bytes of entries between snapshots.
    pub snapshot_bytes: u64,
    /// Bytes of one chunk of a snapshot, about.
    pub snapshot_chunk_bytes: usize,
    /// Chunks of one snapshot that may be on their way to the disk or to a follower.
    pub snapshot_chunks_in_flight_max: usize,
    /// Applied entries kept in memory for followers that lag.
    pub log_window_entries_max: usize,
    /// Bytes of applied entries kept in memory for followers that lag. A leader keeps more of both, up to eight times
    /// these bytes and as many as the state has that is being sent, while a follower that it hears catches up.
    pub log_window_bytes_max: usize,
    /// Bytes of entries on their way to one follower, sent and not acknowledged.
    pub follower_in_flight_bytes_max: usize,
    /// Entries in one message to a follower.
    pub append_entries_max: usize,
    /// The last counter of an epoch; before it is reached the leader opens a new epoch.
    pub counter_max: u32,
    /// Entries proposed by a leader and not committed; past it `Node::saturated` says so and drivers stop reading.
    pub proposals_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            tick: Duration::millis(2_000),
            heartbeat: Duration::millis(100),
            silence: Duration::millis(800),
            sync: Duration::millis(10_000),
            election: Duration::millis(60),
            session_timeout_min_ms: 4_000,
            session_timeout_max_ms: 40_000,
            snapshot_entries: 100_000,
            snapshot_bytes: 256 << 20,
            snapshot_chunk_bytes: 64 << 10,
            snapshot_chunks_in_flight_max: 8,
            log_window_entries_max: 20_000,
            log_window_bytes_max: 32 << 20,
            follower_in_flight_bytes_max: 8 << 20,
            append_entries_max: 1_000,
            counter_max: u32::MAX - 1_000_000,
            proposals_max: 10_000,
        }
    }
}
