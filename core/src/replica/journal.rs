//! Durability as a type: promises about this node's disk, and the only place that can release them.

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, PeerId, Zxid};

/// A promise about this node's disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Vow {
    /// This node follows nobody older than `epoch`, and `candidate` in it. `last` is the end of its log.
    AckEpoch { epoch: Epoch, candidate: PeerId, last: Zxid },
    /// Every entry of the leader's history up to `upto` is on this disk.
    Ack { epoch: Epoch, upto: Zxid },
    /// The log was cut as the leader of `epoch` asked, or replaced by its snapshot, and ends at `last`.
    Positioned { epoch: Epoch, last: Zxid, stream: u64 },
}

/// Something that rests on a write that has been synced. Only the journal makes one, when it has; a decoder makes
/// one for a message that a peer's journal released.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    /// What was promised.
    pub fn get(&self) -> &T {
        &self.0
    }
}
