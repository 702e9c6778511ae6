//! The right tower's meaning: what entries do to the tree and to sessions. It never asks how they were ordered.

mod watch;

use std::sync::Arc;

use crate::api::{Acl, Data, EventKind, Id, Response, Stat};
use crate::entry::Entry;
use crate::error::ErrorCode;
use crate::ids::{Origin, SessionId, Zxid};

pub use watch::{WatchKind, WatchTable};

/// The replicated state: a function of the entries applied, and of nothing else.
#[derive(Debug)]
pub struct State {
    applied: Zxid,
}

/// A session, as the replicated state knows it. Whether its client is alive is the leader's business, not the state's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// What a client has to show to re-attach.
    pub password: [u8; 16],
    /// Negotiated, ms.
    pub timeout_ms: i32,
    /// The attachment whose requests are accepted.
    pub owner: Origin,
}

/// One change that an entry made, for watches: in the order of section 6.3 of the protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// NodeCreated, NodeDeleted or NodeDataChanged. The change of the parent's list of children is implied by the
    /// first two.
    pub kind: EventKind,
    /// The node.
    pub path: Arc<str>,
    /// Its ACL: the new one of a created node, the last one of a deleted node.
    pub acl: Arc<[Acl]>,
    /// The parent's ACL, for created and deleted nodes.
    pub parent_acl: Option<Arc<[Acl]>>,
}

/// What executing an entry came to: the same on every replica.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The answer to whoever asked. `Empty` for sessions and openings.
    pub result: Result<Response, ErrorCode>,
    /// A session that this entry ended.
    pub ended: Option<SessionId>,
}

/// A snapshot in the making: the state exactly as it was when it was frozen, while the tree goes on changing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FreezeId(pub u64);

impl State {
    /// The tree at birth: `/`, `/zookeeper`, `/zookeeper/quota`, `/zookeeper/config`; no sessions.
    pub fn new() -> State {
        State { applied: Zxid::ZERO }
    }

    /// The last entry applied.
    pub fn applied(&self) -> Zxid {
        self.applied
    }

    /// Executes an entry. Appends what watches have to see to `changes`.
    ///
    /// # Panics
    /// When the entry is not after the last one applied: the order is broken.
    pub fn apply(&mut self, entry: &Entry, changes: &mut Vec<Change>) -> Outcome {
        let _ = (entry, changes);
        todo!()
    }

    /// An order-free digest of the tree and the sessions: equal on replicas that have applied the same entries.
    pub fn digest(&self) -> u64 {
        todo!()
    }

    /// A session, if it is open.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        let _ = id;
        todo!()
    }

    /// All open sessions, ascending.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        std::iter::empty()
    }

    /// exists: READ is checked if the node exists.
    pub fn exists(&self, path: &str, ids: &[Id]) -> Result<Stat, ErrorCode> {
        let _ = (path, ids);
        todo!()
    }

    /// getData.
    pub fn get_data(&self, path: &str, ids: &[Id]) -> Result<(Data, Stat), ErrorCode> {
        let _ = (path, ids);
        todo!()
    }

    /// getChildren: sorted names.
    pub fn get_children(&self, path: &str, ids: &[Id]) -> Result<(Vec<String>, Stat), ErrorCode> {
        let _ = (path, ids);
        todo!()
    }

    /// getACL: READ or ADMIN; digest hashes are hidden from those without ADMIN.
    pub fn get_acl(&self, path: &str, ids: &[Id]) -> Result<(Arc<[Acl]>, Stat), ErrorCode> {
        let _ = (path, ids);
        todo!()
    }

    /// The node's Stat without any check, for setWatches.
    pub fn stat(&self, path: &str) -> Option<Stat> {
        let _ = path;
        todo!()
    }

    /// Whether `ids` may read something under `acl`: the filter of section 6.4.
    pub fn may_read(&self, acl: &[Acl], ids: &[Id]) -> bool {
        let _ = (acl, ids);
        todo!()
    }

    /// Begins a snapshot of the state as it is now. Any number may be in the making at once.
    pub fn freeze(&mut self) -> FreezeId {
        todo!()
    }

    /// The next piece of a snapshot, about `bytes_max` long, and whether it is the last. Dropped after the last.
    pub fn next_chunk(&mut self, id: FreezeId, bytes_max: usize) -> (Arc<[u8]>, bool) {
        let _ = (id, bytes_max);
        todo!()
    }

    /// Gives up a snapshot in the making.
    pub fn thaw(&mut self, id: FreezeId) {
        let _ = id;
    }

    /// Rebuilds the state from the pieces of a snapshot; the error says what is wrong with them.
    pub fn restore<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<State, String> {
        let _ = chunks.into_iter().count();
        Ok(State::new())
    }

    /// Number of nodes as ZooKeeper counts them: 5 for an empty tree (the root counts twice).
    pub fn node_count(&self) -> u64 {
        todo!()
    }

    /// Number of ephemeral nodes.
    pub fn ephemeral_count(&self) -> u64 {
        todo!()
    }

    /// Bytes of paths and data, about.
    pub fn data_size(&self) -> u64 {
        todo!()
    }
}
