//! Every bound and duration of the driver, in one place.

use std::time::Duration;

/// Requests of one client that may wait for their answers; past it the client's socket is not read.
pub const IN_FLIGHT_MAX: usize = 1_000;
/// Unsent bytes for one client past which its socket is not read.
pub const OUT_PAUSE_BYTES: usize = 1 << 20;
/// Unsent bytes for one client past which it is disconnected.
pub const OUT_CLOSE_BYTES: usize = 256 << 20;
/// A client that holds more than [`OUT_PAUSE_BYTES`] and takes nothing for this long is disconnected.
pub const OUT_STALL: Duration = Duration::from_secs(30);
/// A connection that has not sent a whole handshake after this long is dropped.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a closed connection may take to read what was queued for it.
pub const LINGER: Duration = Duration::from_secs(2);
/// Bytes read from one socket in one turn of the loop.
pub const READ_BYTES: usize = 256 << 10;
/// Connections taken from a listener in one turn of the loop.
pub const ACCEPTS_PER_TURN: usize = 256;
/// The pause after the process has run out of file descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that may wait to be accepted; the system has its own bound below it (net.core.somaxconn).
pub const BACKLOG: i32 = 4_096;
/// Unsent bytes for one peer past which its connection is dropped: the core sends again what was lost.
pub const PEER_OUT_BYTES: usize = 64 << 20;
/// The longest packet between peers.
pub const PEER_FRAME_BYTES: usize = 64 << 20;
/// How long a peer may take to connect and to introduce itself.
pub const PEER_GREETING: Duration = Duration::from_secs(5);
/// The pause before the second try to reach a peer; it doubles with each,
pub const REDIAL_MIN: Duration = Duration::from_millis(20);
/// up to this.
pub const REDIAL_MAX: Duration = Duration::from_secs(1);
/// Peer connections that have not introduced themselves.
pub const PEER_STRANGERS_MAX: usize = 64;
/// How long an orderly end may take before the process ends anyway.
pub const RETIRE: Duration = Duration::from_secs(3);
/// At most one line of one kind in this time.
pub const LOG_PAUSE: Duration = Duration::from_secs(5);

const _: () = assert!(PEER_FRAME_BYTES <= PEER_OUT_BYTES);
const _: () = assert!(OUT_PAUSE_BYTES < OUT_CLOSE_BYTES);
