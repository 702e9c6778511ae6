//! What snapshots need of the tree: its nodes one by one as they were when a freeze began, and a tree built of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::{Acl, Data};
use crate::state::FreezeId;
use crate::state::acl::AclTable;
use crate::state::overlay::{Next, Overlay};
use crate::state::tree::{Meta, Node, ROOT, ROOT_HASH, Slot, Tree, data_hash, node_size, path_hash};

/// A node as a snapshot has it.
#[derive(Clone, Debug)]
pub(in crate::state) struct FrozenNode {
    pub(in crate::state) parent: Slot,
    pub(in crate::state) name: Arc<str>,
    pub(in crate::state) data: Data,
    pub(in crate::state) acl: Arc<[Acl]>,
    pub(in crate::state) meta: Meta,
}

/// A node as a snapshot has it, where it lies.
#[derive(Clone, Copy, Debug)]
pub(in crate::state) struct FrozenView<'a> {
    pub(in crate::state) parent: Slot,
    pub(in crate::state) name: &'a str,
    pub(in crate::state) data: &'a Data,
    pub(in crate::state) acl: &'a Arc<[Acl]>,
    pub(in crate::state) meta: &'a Meta,
}

impl Tree {
    pub(in crate::state) fn freeze(&mut self, id: FreezeId) {
        self.frozen.push((id, Overlay::new()));
    }

    pub(in crate::state) fn thaw(&mut self, id: FreezeId) {
        self.frozen.retain(|(frozen, _)| *frozen != id);
    }

    /// Shows the next node, by slot, as it was when the freeze began; `None` when there is none. Nothing is copied.
    pub(in crate::state) fn next_frozen<R>(
        &mut self,
        id: FreezeId,
        show: impl FnOnce(Slot, FrozenView<'_>) -> R,
    ) -> Option<R> {
        let Tree { slots, acls, frozen, .. } = self;
        let (_, overlay) =
            frozen.iter_mut().find(|(frozen, _)| *frozen == id).expect("frozen and not thawed");
        loop {
            // No further than the next preserved slot: where thousands were deleted, each step would scan them all.
            let from = overlay.passed().map_or(0, |slot| slot + 1);
            let upto = overlay.kept().map_or(slots.end(), |slot| slot + 1);
            let live = (from..upto).find(|&slot| slots.get(slot).is_some());
            match overlay.advance(live)? {
                Next::Live(slot) => {
                    let node = slots.get(slot).expect("a live slot was just seen");
                    let Node { parent, name, data, meta, .. } = node;
                    let acl = acls.get(node.acl);
                    return Some(show(slot, FrozenView { parent: *parent, name, data, acl, meta }));
                }
                Next::Before(slot, Some(node)) => return Some(show(slot, node.view())),
                Next::Before(_, None) => {}
            }
        }
    }

    /// To be called before the node at `slot` is changed, removed or put there.
    pub(super) fn preserve(&mut self, slot: Slot) {
        for (_, overlay) in &mut self.frozen {
            overlay.preserve(slot, || self.slots.get(slot).map(|node| node.frozen(&self.acls)));
        }
    }

    /// Builds a tree of nodes in ascending order of slots, whatever their slots were; the root first.
    pub(in crate::state) fn rebuild(found: Vec<(Slot, FrozenNode)>) -> Result<Tree, String> {
        if found.first().is_none_or(|(slot, node)| {
            *slot != ROOT || node.parent != ROOT || !node.name.is_empty() || node.meta.owner != 0
        }) {
            return Err("the first node is not the root".into());
        }
        let mut tree = Tree::empty();
        let olds: Vec<Slot> = found.iter().map(|(slot, _)| *slot).collect();
        for (slot, FrozenNode { parent, name, data, acl, meta }) in found {
            let above =
                olds.binary_search(&parent).map_err(|_| format!("node {slot} has no parent {parent}"))?;
            if slot != ROOT && (name.is_empty() || name.contains('/')) {
                return Err(format!("node {slot} has a bad name {name:?}"));
            }
            tree.slots.push(Some(Node {
                parent: above as Slot,
                acl: tree.acls.intern(&acl),
                name,
                children: BTreeMap::new(),
                data_hash: data_hash(&data),
                data,
                meta,
                path_hash: 0,
            }));
        }
        for slot in 1..tree.slots.end() {
            let Node { parent, name, .. } = tree.node(slot);
            let (parent, name) = (*parent, name.clone());
            let above = tree.slots.get_mut(parent).as_mut().expect("all slots are filled");
            if above.meta.owner != 0 {
                return Err(format!("an ephemeral node has a child {name:?}"));
            }
            if above.children.insert(name.clone(), slot).is_some() {
                return Err(format!("two siblings are named {name:?}"));
            }
        }
        tree.index()?;
        Ok(tree)
    }

    /// Walks down from the root and computes all that follows from what was found.
    fn index(&mut self) -> Result<(), String> {
        let mut reached = 0;
        let mut waiting = vec![(ROOT, ROOT_HASH)];
        while let Some((slot, path)) = waiting.pop() {
            reached += 1;
            self.slots.get_mut(slot).as_mut().expect("all slots are filled").path_hash = path;
            if slot != ROOT {
                self.index.insert(path, slot);
            }
            let node = self.node(slot);
            waiting.extend(node.children.iter().map(|(name, &child)| (child, path_hash(path, name))));
            self.data_size += node_size(node);
            self.digest = self.digest.wrapping_add(self.contribution(slot));
            let owner = self.node(slot).meta.owner;
            if owner != 0 {
                Arc::make_mut(self.ephemerals.entry(owner).or_default()).insert(slot);
                self.ephemeral_count += 1;
            }
        }
        // Nodes whose parents form a circle.
        if reached != self.slots.end() {
            return Err(format!("{} nodes hang on nothing", self.slots.end() - reached));
        }
        Ok(())
    }
}

impl Node {
    fn frozen(&self, acls: &AclTable) -> FrozenNode {
        FrozenNode {
            parent: self.parent,
            name: self.name.clone(),
            data: self.data.clone(),
            acl: acls.get(self.acl).clone(),
            meta: self.meta,
        }
    }
}

impl FrozenNode {
    pub(in crate::state) fn view(&self) -> FrozenView<'_> {
        let FrozenNode { parent, name, data, acl, meta } = self;
        FrozenView { parent: *parent, name, data, acl, meta }
    }
}
