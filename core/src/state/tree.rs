//! The tree of znodes: a slab of slots, found by walking from the root, with exact Stats, an incremental digest, the
//! ephemerals of each session, undo for a multi and copy-on-write for snapshots.
//!
//! It guarantees that whatever it is told to do leaves digest, indexes and snapshots in the making right. It checks no
//! permission and no version: that is `writes`, which asks only for what is possible. Nothing here recurses, so depth
//! is no danger.

mod frozen;
mod slots;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::api::{Acl, Blob, Data, Stat, perms};
use crate::hash::{hash64, words64};
use crate::ids::Zxid;
use crate::state::FreezeId;
use crate::state::acl::{AclId, AclTable};
use crate::state::index::PathIndex;
use crate::state::overlay::Overlay;

pub(super) use frozen::{FrozenNode, FrozenView};
use slots::Slots;

/// Where a node lives. Not part of the replicated state: replicas may differ.
pub(super) type Slot = u32;

/// `/` has the first slot, and it is its own parent.
pub(super) const ROOT: Slot = 0;

const ROOT_HASH: u64 = 0;

/// A znode.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) parent: Slot,
    acl: AclId,
    pub(super) name: Arc<str>,
    pub(super) children: BTreeMap<Arc<str>, Slot>,
    pub(super) data: Data,
    pub(super) meta: Meta,
    /// Of all names from the root down; what tells equal nodes in different places apart.
    path_hash: u64,
    /// Kept, so that large data is not hashed again when only the Stat changes.
    data_hash: u64,
}

/// What a Stat is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Meta {
    pub(super) czxid: Zxid,
    pub(super) mzxid: Zxid,
    pub(super) pzxid: Zxid,
    pub(super) ctime: i64,
    pub(super) mtime: i64,
    /// Children ever created: the suffix of the next sequential one. 64 bits, so that it never sticks.
    pub(super) created: i64,
    /// The session of an ephemeral node, else 0.
    pub(super) owner: i64,
    pub(super) version: i32,
    pub(super) aversion: i32,
}

/// How to take back one step of a multi.
#[derive(Clone, Debug)]
enum Undo {
    Create { slot: Slot, parent: Meta },
    Remove { slot: Slot, node: Box<Node>, parent: Meta },
    SetData { slot: Slot, data: Data, data_hash: u64, meta: Meta },
}

/// All nodes.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    slots: Slots,
    free: Vec<Slot>,
    index: PathIndex,
    acls: AclTable,
    /// By owner. Shared with clones until one side changes them.
    ephemerals: BTreeMap<i64, Arc<BTreeSet<Slot>>>,
    ephemeral_count: u64,
    digest: u64,
    data_size: u64,
    /// The steps so far of the multi that is being executed.
    undo: Option<Vec<Undo>>,
    frozen: Vec<(FreezeId, Overlay<Slot, FrozenNode>)>,
}

/// Birth.
impl Tree {
    /// Section 4.5 of the protocol: the nodes made here are counted in no `created`.
    pub(super) fn new() -> Tree {
        let open: Arc<[Acl]> = Acl::open().into();
        let read: Arc<[Acl]> = [Acl { perms: perms::READ, ..open[0].clone() }].into();
        let meta = Meta::default();
        let config = Meta { version: -1, aversion: -1, ..meta };
        let node = |parent, name: &str, acl: &Arc<[Acl]>, meta| {
            let data = Some(Blob::new(&[]));
            FrozenNode { parent, name: name.into(), data, acl: acl.clone(), meta }
        };
        let nodes = [
            node(ROOT, "", &open, meta),
            node(ROOT, "zookeeper", &open, meta),
            node(1, "quota", &open, meta),
            node(1, "config", &read, config),
        ];
        Tree::rebuild((0..).zip(nodes).collect()).expect("the tree at birth is a tree")
    }

    fn empty() -> Tree {
        Tree {
            slots: Slots::default(),
            free: Vec::new(),
            index: PathIndex::new(),
            acls: AclTable::default(),
            ephemerals: BTreeMap::new(),
            ephemeral_count: 0,
            digest: 0,
            data_size: 0,
            undo: None,
            frozen: Vec::new(),
        }
    }
}

/// Reading.
impl Tree {
    /// The slot of a path. Nothing is validated: a malformed path is merely absent, and the empty one is the root.
    pub(super) fn lookup(&self, path: &str) -> Option<Slot> {
        if path.is_empty() || path == "/" {
            return Some(ROOT);
        }
        let names = path.strip_prefix('/')?;
        let hash = names.as_bytes().split(|byte| *byte == b'/').fold(ROOT_HASH, hash64);
        let found = self.index.find(hash).find(|&slot| self.is_at(slot, path));
        found.or_else(|| self.walk(names.split('/')))
    }

    /// The slow twin of [`Tree::lookup`], for what the index has forgotten and for what is not there.
    fn walk<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> Option<Slot> {
        names.try_fold(ROOT, |slot, name| self.child(slot, name))
    }

    /// Whether a node other than the root has this path: compared from the last name up.
    fn is_at(&self, slot: Slot, path: &str) -> bool {
        let mut rest = path;
        let mut at = slot;
        while at != ROOT {
            let node = self.node(at);
            match rest.strip_suffix(&*node.name).and_then(|rest| rest.strip_suffix('/')) {
                Some(above) => rest = above,
                None => return false,
            }
            at = node.parent;
        }
        rest.is_empty()
    }

    /// A child that is thought to be there: as [`Tree::child`], and faster when it is.
    pub(super) fn find_child(&self, parent: Slot, name: &str) -> Option<Slot> {
        let hash = path_hash(self.node(parent).path_hash, name);
        let found = self.index.find(hash).find(|&slot| {
            let node = self.node(slot);
            node.parent == parent && *node.name == *name
        });
        found.or_else(|| self.child(parent, name))
    }

    pub(super) fn child(&self, parent: Slot, name: &str) -> Option<Slot> {
        self.node(parent).children.get(name).copied()
    }

    pub(super) fn node(&self, slot: Slot) -> &Node {
        self.slots.get(slot).expect("slots in hand hold nodes")
    }

    pub(super) fn acl(&self, slot: Slot) -> &Arc<[Acl]> {
        self.acls.get(self.node(slot).acl)
    }

    /// Section 4 of the protocol.
    pub(super) fn stat(&self, slot: Slot) -> Stat {
        let Node { meta, data, children, .. } = self.node(slot);
        let present = children.len() as i64;
        Stat {
            czxid: meta.czxid,
            mzxid: meta.mzxid,
            ctime: meta.ctime,
            mtime: meta.mtime,
            version: meta.version,
            // The counters are wider than the wire, which wraps.
            cversion: meta.created.wrapping_mul(2).wrapping_sub(present) as i32,
            aversion: meta.aversion,
            ephemeral_owner: meta.owner,
            data_length: data.as_ref().map_or(0, |data| data.len() as i32),
            num_children: present as i32,
            pzxid: meta.pzxid,
        }
    }

    /// A node's path, from the names up to the root.
    pub(super) fn path(&self, slot: Slot) -> String {
        let mut names = Vec::new();
        let mut at = slot;
        while at != ROOT {
            let node = self.node(at);
            names.push(&*node.name);
            at = node.parent;
        }
        if names.is_empty() {
            return "/".into();
        }
        let mut path = String::with_capacity(names.iter().map(|name| name.len() + 1).sum());
        for name in names.iter().rev() {
            path.push('/');
            path.push_str(name);
        }
        path
    }

    /// The ephemeral nodes of a session, by path.
    pub(super) fn ephemerals(&self, owner: i64) -> BTreeMap<String, Slot> {
        let slots = self.ephemerals.get(&owner).into_iter().flat_map(|slots| slots.iter());
        slots.map(|&slot| (self.path(slot), slot)).collect()
    }

    /// The sessions that own ephemeral nodes.
    pub(super) fn owners(&self) -> impl Iterator<Item = i64> {
        self.ephemerals.keys().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.end() as usize - self.free.len()
    }

    pub(super) fn ephemeral_count(&self) -> u64 {
        self.ephemeral_count
    }

    pub(super) fn data_size(&self) -> u64 {
        self.data_size
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// The slow twin of [`Tree::digest`]: from names, Stats, data and ACLs alone, trusting nothing that is cached.
    pub(super) fn digest_from_scratch(&self) -> u64 {
        let mut digest = 0u64;
        let mut reached = vec![(ROOT, ROOT_HASH)];
        while let Some((slot, path)) = reached.pop() {
            let node = self.node(slot);
            let acl = super::acl::hash_of(self.acl(slot));
            digest = digest.wrapping_add(node_hash(path, node, data_hash(&node.data), acl));
            reached.extend(node.children.iter().map(|(name, &child)| (child, path_hash(path, name))));
        }
        digest
    }

    fn contribution(&self, slot: Slot) -> u64 {
        let node = self.node(slot);
        node_hash(node.path_hash, node, node.data_hash, self.acls.hash(node.acl))
    }
}

/// Writing. Callers have made sure that it is possible.
impl Tree {
    /// Adds a node; `owner` 0 for one that is not ephemeral.
    pub(super) fn create(
        &mut self,
        parent: Slot,
        name: &str,
        data: Data,
        acl: &[Acl],
        owner: i64,
        (zxid, time): (Zxid, i64),
    ) -> Slot {
        let meta = Meta {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            owner,
            ..Meta::default()
        };
        let above = self.node(parent);
        let before = above.meta;
        let path_hash = path_hash(above.path_hash, name);
        let node = Node {
            parent,
            acl: self.acls.intern(acl),
            name: name.into(),
            children: BTreeMap::new(),
            data_hash: data_hash(&data),
            data,
            meta,
            path_hash,
        };
        let slot = self.free.pop().unwrap_or_else(|| self.slots.push(None));
        let created = before.created.wrapping_add(1);
        self.link(slot, node, Meta { created, pzxid: zxid, ..before });
        self.record(|| Undo::Create { slot, parent: before });
        slot
    }

    /// Removes a node without children.
    pub(super) fn remove(&mut self, slot: Slot, zxid: Zxid) {
        let before = self.node(self.node(slot).parent).meta;
        let node = self.unlink(slot, Meta { pzxid: zxid, ..before });
        self.free.push(slot);
        match &mut self.undo {
            Some(undo) => undo.push(Undo::Remove { slot, node: Box::new(node), parent: before }),
            None => self.acls.release(node.acl),
        }
    }

    /// Replaces a node's data. The version skips -1, which would match any expectation (as ZooKeeper 3.10 has it).
    pub(super) fn set_data(&mut self, slot: Slot, data: Data, (zxid, time): (Zxid, i64)) {
        let node = self.node(slot);
        let version = match node.meta.version.wrapping_add(1) {
            -1 => 0,
            version => version,
        };
        let meta = Meta { version, mzxid: zxid, mtime: time, ..node.meta };
        let hash = data_hash(&data);
        let (data, data_hash, meta) = self.put_data(slot, data, hash, meta);
        self.record(|| Undo::SetData { slot, data, data_hash, meta });
    }

    /// Replaces a node's ACL. Not part of a multi.
    pub(super) fn set_acl(&mut self, slot: Slot, acl: &[Acl]) {
        assert!(self.undo.is_none(), "a multi has no setACL");
        let acl = self.acls.intern(acl);
        let before = self.node(slot).acl;
        self.change(slot, |node| {
            node.acl = acl;
            node.meta.aversion = match node.meta.aversion.wrapping_add(1) {
                -1 => 0,
                version => version,
            };
        });
        self.acls.release(before);
    }

    /// From here on, steps can be taken back.
    pub(super) fn begin(&mut self) {
        let before = self.undo.replace(Vec::new());
        assert!(before.is_none(), "multis do not nest");
    }

    /// Keeps the steps since [`Tree::begin`].
    pub(super) fn commit(&mut self) {
        for step in self.undo.take().expect("begin comes first") {
            if let Undo::Remove { node, .. } = step {
                self.acls.release(node.acl);
            }
        }
    }

    /// Takes back the steps since [`Tree::begin`].
    pub(super) fn rollback(&mut self) {
        for step in self.undo.take().expect("begin comes first").into_iter().rev() {
            match step {
                Undo::Create { slot, parent } => {
                    let node = self.unlink(slot, parent);
                    self.free.push(slot);
                    self.acls.release(node.acl);
                }
                Undo::Remove { slot, node, parent } => {
                    assert_eq!(self.free.pop(), Some(slot), "steps are taken back last first");
                    self.link(slot, *node, parent);
                }
                Undo::SetData { slot, data, data_hash, meta } => {
                    self.put_data(slot, data, data_hash, meta);
                }
            }
        }
    }

    fn put_data(&mut self, slot: Slot, data: Data, hash: u64, meta: Meta) -> (Data, u64, Meta) {
        let length = |data: &Data| data.as_ref().map_or(0, |data| data.len() as u64);
        self.data_size = self.data_size + length(&data) - length(&self.node(slot).data);
        let mut before = (data, hash, meta);
        self.change(slot, |node| {
            std::mem::swap(&mut node.data, &mut before.0);
            std::mem::swap(&mut node.data_hash, &mut before.1);
            std::mem::swap(&mut node.meta, &mut before.2);
        });
        before
    }

    fn link(&mut self, slot: Slot, node: Node, parent_meta: Meta) {
        self.preserve(slot);
        let (parent, name) = (node.parent, node.name.clone());
        self.data_size += node_size(&node);
        if node.meta.owner != 0 {
            Arc::make_mut(self.ephemerals.entry(node.meta.owner).or_default()).insert(slot);
            self.ephemeral_count += 1;
        }
        self.index.insert(node.path_hash, slot);
        let vacant = self.slots.get_mut(slot);
        assert!(vacant.is_none(), "a node takes a free slot");
        *vacant = Some(node);
        self.digest = self.digest.wrapping_add(self.contribution(slot));
        self.change(parent, |above| {
            let twin = above.children.insert(name, slot);
            assert!(twin.is_none(), "names are unique among siblings");
            above.meta = parent_meta;
        });
    }

    fn unlink(&mut self, slot: Slot, parent_meta: Meta) -> Node {
        self.preserve(slot);
        self.digest = self.digest.wrapping_sub(self.contribution(slot));
        let node = self.slots.get_mut(slot).take().expect("slots in hand hold nodes");
        self.index.remove(node.path_hash, slot);
        assert!(node.children.is_empty(), "only leaves are removed");
        assert!(slot != ROOT, "the root stays");
        self.data_size -= node_size(&node);
        if node.meta.owner != 0 {
            let siblings =
                self.ephemerals.get_mut(&node.meta.owner).expect("ephemerals are indexed by owner");
            let siblings = Arc::make_mut(siblings);
            assert!(siblings.remove(&slot), "ephemerals are indexed by slot");
            if siblings.is_empty() {
                self.ephemerals.remove(&node.meta.owner);
            }
            self.ephemeral_count -= 1;
        }
        self.change(node.parent, |above| {
            let child = above.children.remove(&node.name);
            assert_eq!(child, Some(slot), "a parent knows its children");
            above.meta = parent_meta;
        });
        node
    }

    /// The one way to change a node that stays where it is.
    fn change(&mut self, slot: Slot, change: impl FnOnce(&mut Node)) {
        self.preserve(slot);
        self.digest = self.digest.wrapping_sub(self.contribution(slot));
        change(self.slots.get_mut(slot).as_mut().expect("slots in hand hold nodes"));
        self.digest = self.digest.wrapping_add(self.contribution(slot));
    }

    fn record(&mut self, step: impl FnOnce() -> Undo) {
        if let Some(undo) = &mut self.undo {
            undo.push(step());
        }
    }
}

fn node_hash(path: u64, node: &Node, data: u64, acl: u64) -> u64 {
    let Meta { czxid, mzxid, pzxid, ctime, mtime, created, owner, version, aversion } = node.meta;
    let versions = u64::from(version as u32) << 32 | u64::from(aversion as u32);
    let children = node.children.len() as u64;
    let (ctime, mtime, created, owner) = (ctime as u64, mtime as u64, created as u64, owner as u64);
    words64(path, [czxid.0, mzxid.0, pzxid.0, ctime, mtime, created, owner, versions, children, data, acl])
}

fn path_hash(parent: u64, name: &str) -> u64 {
    hash64(parent, name.as_bytes())
}

/// Null and empty are different data.
fn data_hash(data: &Data) -> u64 {
    data.as_ref().map_or(0, |data| hash64(0, data))
}

/// What `data_size` counts.
fn node_size(node: &Node) -> u64 {
    node.name.len() as u64 + node.data.as_ref().map_or(0, |data| data.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_is_found_whatever_the_index_has_forgotten() {
        let mut tree = Tree::new();
        let mut nodes = vec![(String::new(), ROOT)];
        for number in 0..20_000u64 {
            let (above, parent) = nodes[hash64(1, &number.to_le_bytes()) as usize % nodes.len()].clone();
            let name = format!("n{number}");
            let slot = tree.create(parent, &name, None, &Acl::open(), 0, (Zxid(number + 1), 0));
            nodes.push((format!("{above}/{name}"), slot));
        }
        let removed = nodes.split_off(15_000);
        for (_, slot) in removed.iter().rev() {
            tree.remove(*slot, Zxid(30_000));
        }
        for (path, slot) in &nodes[1..] {
            assert_eq!(tree.lookup(path), Some(*slot));
            assert_eq!(tree.path(*slot), *path);
            assert_eq!(tree.lookup(&path[1..]), None);
            assert_eq!(tree.lookup(&format!("/{path}")), None);
        }
        for (path, _) in removed {
            assert_eq!(tree.lookup(&path), None);
        }
        assert_eq!(tree.digest(), tree.digest_from_scratch());
    }
}
