//! The right tower's meaning: what entries do to the tree and to sessions. It never asks how they were ordered.
//!
//! ```text
//! apply     entries; sessions begin, move, end     tree      nodes, Stats, digest, undo
//! writes    checks, multi                          index     from a path to its node, fast
//! sessions  who is attached where                  acl       who may do what
//! freeze    snapshots                              overlay   copy on write for them
//! watch     who is told what; not replicated
//! ```

mod acl;
mod apply;
mod freeze;
mod index;
mod overlay;
mod sessions;
mod tree;
mod watch;
mod writes;

use std::sync::Arc;

use crate::api::{Acl, Data, EventKind, Id, Response, Stat, perms};
use crate::error::ErrorCode;
use crate::ids::{Origin, SessionId, Zxid};

use freeze::Freezes;
use sessions::Sessions;
use tree::{Slot, Tree};
pub use watch::{WatchKind, WatchTable};

/// The replicated state: a function of the entries applied, and of nothing else.
#[derive(Clone, Debug)]
pub struct State {
    applied: Zxid,
    tree: Tree,
    sessions: Sessions,
    freezes: Freezes,
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

/// All of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Whole<'a> {
    /// Its data.
    pub data: &'a Data,
    /// Its Stat.
    pub stat: Stat,
    /// Its ACL, as stored.
    pub acl: &'a [Acl],
    /// The names of its children, in order.
    pub children: Vec<&'a str>,
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
        State {
            applied: Zxid::ZERO,
            tree: Tree::new(),
            sessions: Sessions::default(),
            freezes: Freezes::default(),
        }
    }

    /// The last entry applied.
    pub fn applied(&self) -> Zxid {
        self.applied
    }

    /// An order-free digest of the tree and the sessions: equal on replicas that have applied the same entries.
    pub fn digest(&self) -> u64 {
        self.tree.digest().wrapping_add(self.sessions.digest())
    }

    /// The slow twin of [`State::digest`], computed from all nodes and sessions anew: for tests.
    pub fn digest_from_scratch(&self) -> u64 {
        self.tree.digest_from_scratch().wrapping_add(self.sessions.digest_from_scratch())
    }

    /// A session, if it is open.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(id)
    }

    /// All open sessions, ascending.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.sessions.iter()
    }

    /// The paths of a session's ephemeral nodes, sorted.
    pub fn ephemerals(&self, id: SessionId) -> impl Iterator<Item = String> {
        self.tree.ephemerals(id.0).into_keys()
    }

    /// How many sessions are open.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// exists: READ is checked if the node exists.
    pub fn exists(&self, path: &str, ids: &[Id]) -> Result<Stat, ErrorCode> {
        // The one thing about a path that a read looks at (section 2.4).
        if path.contains('\0') {
            return Err(ErrorCode::BadArguments);
        }
        let slot = self.readable(path, perms::READ, ids)?;
        Ok(self.tree.stat(slot))
    }

    /// getData.
    pub fn get_data(&self, path: &str, ids: &[Id]) -> Result<(Data, Stat), ErrorCode> {
        let slot = self.readable(path, perms::READ, ids)?;
        Ok((self.tree.node(slot).data.clone(), self.tree.stat(slot)))
    }

    /// getChildren: sorted names.
    pub fn get_children(&self, path: &str, ids: &[Id]) -> Result<(Vec<String>, Stat), ErrorCode> {
        let slot = self.readable(path, perms::READ, ids)?;
        let names = self.tree.node(slot).children.keys().map(|name| name.to_string()).collect();
        Ok((names, self.tree.stat(slot)))
    }

    /// getACL: READ or ADMIN; digest hashes are hidden from those without ADMIN.
    pub fn get_acl(&self, path: &str, ids: &[Id]) -> Result<(Arc<[Acl]>, Stat), ErrorCode> {
        let slot = self.readable(path, perms::READ | perms::ADMIN, ids)?;
        Ok((acl::shown(self.tree.acl(slot), ids), self.tree.stat(slot)))
    }

    /// A node as it is, whoever may see it: for those who compare states.
    pub fn whole(&self, path: &str) -> Option<Whole<'_>> {
        let slot = self.tree.lookup(path)?;
        let node = self.tree.node(slot);
        let children = node.children.keys().map(|name| &**name).collect();
        Some(Whole { data: &node.data, stat: self.tree.stat(slot), acl: self.tree.acl(slot), children })
    }

    /// The node's Stat without any check, for setWatches.
    pub fn stat(&self, path: &str) -> Option<Stat> {
        self.tree.lookup(path).map(|slot| self.tree.stat(slot))
    }

    /// Whether `ids` may read something under `acl`: the filter of section 6.4.
    pub fn may_read(&self, acl: &[Acl], ids: &[Id]) -> bool {
        acl::allows(acl, perms::READ, ids)
    }

    /// Number of nodes as ZooKeeper counts them: 5 for an empty tree (the root counts twice).
    pub fn node_count(&self) -> u64 {
        self.tree.len() as u64 + 1
    }

    /// Number of ephemeral nodes.
    pub fn ephemeral_count(&self) -> u64 {
        self.tree.ephemeral_count()
    }

    /// Bytes of names and data.
    pub fn data_size(&self) -> u64 {
        self.tree.data_size()
    }

    /// A node that may be read: with any of the permission bits `wanted`.
    fn readable(&self, path: &str, wanted: i32, ids: &[Id]) -> Result<Slot, ErrorCode> {
        let slot = self.tree.lookup(path).ok_or(ErrorCode::NoNode)?;
        self.allow(slot, wanted, ids)?;
        Ok(slot)
    }

    fn allow(&self, slot: Slot, wanted: i32, ids: &[Id]) -> Result<(), ErrorCode> {
        if acl::allows(self.tree.acl(slot), wanted, ids) { Ok(()) } else { Err(ErrorCode::NoAuth) }
    }
}

impl Default for State {
    fn default() -> State {
        State::new()
    }
}
