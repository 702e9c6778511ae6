//! What the disk gave back, and whether to trust it: bytes in, a verdict out.

use std::sync::Arc;

use crate::entry::SharedEntry;
use crate::ids::{Epoch, PeerId, Zxid};

/// What a node starts from.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The newest epoch promised, at least the epoch of the last entry.
    pub promised: Epoch,
    /// To whom.
    pub candidate: Option<PeerId>,
    /// The newest whole snapshot: its zxid and its chunks.
    pub snapshot: Option<(Zxid, Vec<Arc<[u8]>>)>,
    /// The entries after the snapshot, in order, committed or not.
    pub entries: Vec<SharedEntry>,
}
