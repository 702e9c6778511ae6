//! The boundary: what a driver tells a [`Node`](crate::Node), and what the node wants done.
//!
//! The driver's contract, whole:
//! 1. Call `step` for each thing that happens; `now.mono` never goes back.
//! 2. Carry out outputs whenever you like, in any order *between* kinds.
//! 3. Keep order inside a lane, and inside a connection (`Connected`, `Reply`, `Event` and `Close` together).
//! 4. Report `Synced` only when the bytes would survive a power cut.
//! 5. Send `Wake` at or after the deadline. Extra wakes do nothing.
//! 6. After `Halt`, do nothing more.

use core::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::api::{ConnectRequest, ConnectResponse, Reply, Request, WatchedEvent};
use crate::entry::SharedEntry;
use crate::ids::{ConnId, Epoch, PeerId, SessionId, WriteSeq, Zxid};
use crate::limits::Limits;
use crate::recovery::Recovered;
use crate::replica::PeerMessage;
use crate::time::{Duration, Instant};

/// Everything a node needs to start. There is no default: seed, members and limits are the driver's to choose.
#[derive(Clone, Debug)]
pub struct Boot {
    /// Who this node is.
    pub id: PeerId,
    /// All voters, this node among them, ascending.
    pub voters: Vec<PeerId>,
    /// Bounds and durations.
    pub limits: Limits,
    /// `user:base64(sha1(user:password))` of the superuser, if there is one.
    pub super_digest: Option<String>,
    /// Entropy for timeouts, session ids, passwords and nonces. A different one at each start of a process.
    pub seed: u64,
    /// What the disk gave back.
    pub recovered: Recovered,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A message of a peer; it may be lost, late, doubled or reordered.
    Peer { from: PeerId, message: PeerMessage },
    /// The transport to a peer broke: a hint that it may be dead. Harmless when it is not.
    PeerGone { peer: PeerId },
    /// A client connected and sent its first packet.
    Open { conn: ConnId, address: IpAddr, hello: ConnectRequest },
    /// A request, decoded; in order per connection.
    Request { conn: ConnId, request: Request },
    /// A client's connection ended. Also said after `Close`, or not: both are fine.
    Gone { conn: ConnId },
    /// Every write of the lane up to here is durable.
    Synced { lane: Lane, upto: WriteSeq },
    /// A deadline may have passed; harmless when none has.
    Wake,
    /// The operator wants this process to end: hand over leadership, then say `Retired`.
    Retire,
}

/// One thing to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Best effort.
    Send { to: PeerId, message: PeerMessage },
    /// Append to a lane; sync it soon, and say so with [`Input::Synced`].
    Write { lane: Lane, seq: WriteSeq, write: Write },
    /// The handshake's answer; when it refuses, `Close` follows.
    Connected { conn: ConnId, response: ConnectResponse },
    /// Replies of a connection in order,
    Reply { conn: ConnId, reply: Reply },
    /// and events in the same order as replies.
    Event { conn: ConnId, event: WatchedEvent },
    /// Send what is queued, then close.
    Close { conn: ConnId, why: CloseReason },
    /// Something worth a log line; no effect.
    Note(Note),
    /// Leadership is handed over, or there was none: the process may sync and end.
    Retired,
    /// Stop this process at once: it must not speak again.
    Halt(Fault),
}

/// The two independent streams to the disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Lane {
    /// Entries, promises, truncations.
    Log,
    /// Chunks of snapshots.
    Snapshot,
}

/// One write. Its bytes are `record`'s business; the driver keeps order and syncs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Write {
    /// Log: append an entry.
    Append(SharedEntry),
    /// Log: this node has promised `epoch` to `candidate` and will follow no older one.
    Promise { epoch: Epoch, candidate: PeerId },
    /// Log: from here on this disk is a member's, and its word counts in quorums. Once in a disk's life.
    Join,
    /// Log: entries after `to` are void. `to` is where the history ends then: an entry of it, or its base.
    Truncate { to: Zxid },
    /// Log: all entries before this are void, and the history continues after a snapshot at `base`, which is durable.
    Reset { base: Zxid },
    /// Snapshot: the `index`-th piece of the snapshot at `zxid`; 0 begins a new one and voids an unfinished one.
    Chunk { zxid: Zxid, index: u32, bytes: Arc<[u8]>, last: bool },
}

/// Why a client's connection is closed by the server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CloseReason {
    /// The node has no leader, or is not in sync with it.
    NotServing,
    /// The client has seen a zxid that this server has not.
    ClientAhead,
    /// The session is expired, unknown, or its password wrong.
    SessionInvalid,
    /// The session was re-attached over another connection.
    SessionMoved,
    /// The session timed out.
    SessionExpired,
    /// The client asked for it.
    SessionClosed,
    /// Authentication failed.
    AuthFailed,
    /// The operation is not one of the protocol's.
    UnknownOp,
    /// A request before the handshake, or a second handshake.
    ProtocolError,
}

/// Something that happened inside, for logs, observers and marks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// This node asks whether a quorum would follow it.
    PreVoting { epoch: Epoch, last: Zxid },
    /// A quorum would: this node asks it to promise a new epoch.
    Candidate { epoch: Epoch, last: Zxid },
    /// A quorum promised: this node leads `epoch`, and is not established yet.
    Elected { epoch: Epoch, last: Zxid },
    /// A quorum holds the epoch's opening entry durably: this node serves as leader.
    Established { epoch: Epoch, committed: Zxid },
    /// This node follows `leader`.
    Following { leader: PeerId, epoch: Epoch },
    /// In sync with the leader: this node serves as follower.
    InSync { leader: PeerId, epoch: Epoch, last: Zxid },
    /// This node has no leader any more.
    Looking { why: LookingReason },
    /// The leader opens a new epoch without an election: because the counter is about to wrap, or to admit followers
    /// whose disks were blank.
    Rolling { epoch: Epoch, admitting: bool },
    /// How the leader brings a follower up to date.
    Synchronizing { follower: PeerId, last: Zxid, plan: SyncPlan },
    /// This node's disk was blank, and has become a member's: its word counts in quorums from here on.
    Joined,
    /// There is no leader, and nodes whose disks are blank are one reason. Said when it changes.
    Lacking(Lack),
    /// The log was cut.
    Truncated { from: Zxid, to: Zxid },
    /// A snapshot was begun, at this zxid.
    SnapshotStarted { zxid: Zxid },
    /// It is durable.
    SnapshotDurable { zxid: Zxid },
    /// A snapshot of the leader replaced this node's state.
    SnapshotInstalled { zxid: Zxid },
    /// An entry was committed here and executed; `digest` is the tree's after it.
    Applied { zxid: Zxid, digest: u64 },
    /// A session began.
    SessionCreated { session: SessionId, timeout_ms: i32 },
    /// A session moved to this server.
    SessionAttached { session: SessionId },
    /// A session ended.
    SessionEnded { session: SessionId, expired: bool },
    /// A client was refused or its connection given up.
    Refused { conn: ConnId, session: SessionId, why: CloseReason },
    /// Leadership handed to another.
    HandedOver { to: PeerId },
    /// A follower confirmed nothing for this long and is left behind.
    FollowerLost { follower: PeerId, silent: Duration },
}

/// What is known of the other voters by a node that cannot find a leader, of which some have blank disks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lack {
    /// Whether this node's own disk is blank.
    pub blank: bool,
    /// Others that answered, and whose word counts.
    pub members: Vec<PeerId>,
    /// Others that answered, and whose disks are blank.
    pub blanks: Vec<PeerId>,
    /// Others that did not answer.
    pub silent: Vec<PeerId>,
}

/// Why a node looks for a leader.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LookingReason {
    /// It has just started.
    Started,
    /// The leader was silent for too long.
    LeaderSilent,
    /// The connection to the leader broke.
    LeaderGone,
    /// A leader lost its quorum.
    QuorumLost,
    /// A newer epoch exists.
    Superseded,
    /// The leader no longer has the entries that follow this node's log: it needs a snapshot, and so a new stay.
    LeftBehind,
    /// Synchronization took longer than `initLimit` allows.
    SyncTooSlow,
    /// The leader handed over.
    HandOver,
}

/// How a follower is brought up to date.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SyncPlan {
    /// Its log is a prefix of the leader's: send what is missing.
    Diff,
    /// It holds entries the leader does not: cut them first.
    Truncate,
    /// What it misses is no longer in the leader's memory: send the state.
    Snapshot,
}

/// Why a node must not go on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// This replica's state differs from the leader's at the same zxid.
    #[error(
        "state differs from the leader's at {zxid}: digest {ours:016x}, leader has {leaders:016x}; remove the data directory to copy the state anew"
    )]
    Diverged { zxid: Zxid, ours: u64, leaders: u64 },
    /// A leader asked to cut committed history: two histories exist.
    #[error(
        "leader {leader} of epoch {epoch} asks to cut the log to {to}, below {committed}, which is committed"
    )]
    CommittedTruncated { leader: PeerId, epoch: Epoch, to: Zxid, committed: Zxid },
    /// A snapshot from the leader could not be read.
    #[error("snapshot {zxid} from leader {leader} cannot be read: {why}")]
    BadSnapshot { leader: PeerId, zxid: Zxid, why: String },
}

/// What a step wants done, and when to wake. The driver owns it and reuses it: nothing is allocated in steady state.
#[derive(Clone, Default, Debug)]
pub struct Outputs {
    /// In the order they arose. The driver drains it.
    pub list: Vec<Output>,
    /// When to send [`Input::Wake`]: the earliest deadline there is. Set anew by every step.
    pub wake: Option<Instant>,
}

impl Outputs {
    /// Adds one.
    pub fn push(&mut self, output: Output) {
        self.list.push(output);
    }
    /// Adds a note.
    pub fn note(&mut self, note: Note) {
        self.list.push(Output::Note(note));
    }
    /// Adds a message.
    pub fn send(&mut self, to: PeerId, message: PeerMessage) {
        self.list.push(Output::Send { to, message });
    }
}

pub use crate::time::Now;
