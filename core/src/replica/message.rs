//! What peers say to each other. Plain data; the transport may lose, delay, double and reorder it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::entry::{Command, SharedEntry};
use crate::ids::{Epoch, SessionId, Zxid};
use crate::replica::journal::{Durable, Vow};
use crate::replica::membership::{Admission, Membership};

/// A message between peers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PeerMessage {
    /// Would you follow me in `epoch`? My log ends at `last`. Changes nothing at the receiver.
    PreVote { epoch: Epoch, last: Zxid },
    /// The answer. `promised` is the newest epoch the sender has promised; `blank` names its run, if its disk is no
    /// member's.
    PreVoteReply { epoch: Epoch, granted: bool, promised: Epoch, blank: Option<u64> },
    /// Promise me `epoch`: a quorum said it would follow me. My log ends at `last`.
    NewEpoch { epoch: Epoch, last: Zxid },
    /// All voters have promised me `epoch`, and none has any data: you, in this very run, are a member.
    Form { epoch: Epoch, life: u64 },
    /// No: I have promised `promised` already, or my log is newer.
    Refused { epoch: Epoch, promised: Epoch },
    /// A promise that rests on the sender's disk.
    Vow(Durable<Vow>),
    /// I lead `epoch`. `reign` tells this stay in the lead from any other, of an earlier run of the process too; it
    /// outlives an epoch that is rolled. `round` numbers the heartbeats; `sent` is how far the receiver has been sent
    /// the log; `forwarded` is how many commands of its `stream` have arrived; `admitted` makes it a member.
    Heartbeat {
        epoch: Epoch,
        reign: u64,
        round: u64,
        committed: Zxid,
        sent: Zxid,
        stream: u64,
        forwarded: u64,
        checkpoint: Option<(Zxid, u64)>,
        admitted: Option<Admission>,
    },
    /// I heard heartbeat `round`, and follow.
    Alive { epoch: Epoch, round: u64, membership: Membership },
    /// I follow you in `epoch`; my log ends at `last`; my commands are numbered in `stream`.
    Position { epoch: Epoch, last: Zxid, stream: u64 },
    /// Cut everything after the newest entry you have that is not after `to`, and say where that leaves you.
    Truncate { epoch: Epoch, to: Zxid },
    /// Entries that follow `previous`, in order; and what is committed.
    Propose { epoch: Epoch, previous: Zxid, entries: Vec<SharedEntry>, committed: Zxid },
    /// All up to here is committed.
    Commit { epoch: Epoch, upto: Zxid },
    /// A piece of the state at `zxid`.
    SnapshotChunk { epoch: Epoch, zxid: Zxid, index: u32, bytes: Arc<[u8]>, last: bool },
    /// Pieces before `next` have arrived.
    SnapshotReceived { epoch: Epoch, zxid: Zxid, next: u32 },
    /// Commands of the sender's clients, each with its number of [`crate::ids::Origin`], for the leader to order; the
    /// first is the `first`-th command of the stream, from 1.
    Forward { epoch: Epoch, stream: u64, first: u64, commands: Vec<(u64, Command)> },
    /// Prove that you lead, and say what is committed.
    Barrier { epoch: Epoch, stream: u64, number: u64 },
    /// A quorum confirmed the leader after the barrier arrived; all that was committed then is up to `zxid`.
    BarrierPassed { epoch: Epoch, stream: u64, number: u64, zxid: Zxid },
    /// Sessions the sender's clients were heard in.
    Heard { epoch: Epoch, sessions: Vec<SessionId> },
    /// I am leaving; stand for election now.
    HandOver { epoch: Epoch },
}

/// Who may be told apart in logs.
impl PeerMessage {
    /// A short name for logs and traces.
    pub fn name(&self) -> &'static str {
        match self {
            PeerMessage::PreVote { .. } => "pre-vote",
            PeerMessage::PreVoteReply { .. } => "pre-vote-reply",
            PeerMessage::NewEpoch { .. } => "new-epoch",
            PeerMessage::Form { .. } => "form",
            PeerMessage::Refused { .. } => "refused",
            PeerMessage::Vow(vow) => match vow.get() {
                Vow::AckEpoch { .. } => "ack-epoch",
                Vow::Ack { .. } => "ack",
                Vow::Positioned { .. } => "positioned",
            },
            PeerMessage::Heartbeat { .. } => "heartbeat",
            PeerMessage::Alive { .. } => "alive",
            PeerMessage::Position { .. } => "position",
            PeerMessage::Truncate { .. } => "truncate",
            PeerMessage::Propose { .. } => "propose",
            PeerMessage::Commit { .. } => "commit",
            PeerMessage::SnapshotChunk { .. } => "snapshot-chunk",
            PeerMessage::SnapshotReceived { .. } => "snapshot-received",
            PeerMessage::Forward { .. } => "forward",
            PeerMessage::Barrier { .. } => "barrier",
            PeerMessage::BarrierPassed { .. } => "barrier-passed",
            PeerMessage::Heard { .. } => "heard",
            PeerMessage::HandOver { .. } => "hand-over",
        }
    }
}
