//! A slab in pages: growing it never moves what it holds, which in a large tree would stop the server.
//!
//! A clone shares the pages until one side changes something in them, so that a copy of a tree costs a pointer for each
//! page, and each page that is changed afterwards a copy of that page.

use std::sync::Arc;

use crate::state::tree::{Node, Slot};

/// Nodes and free places, by slot. Which places are free is the tree's business.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    /// All of them of the same length; places after `end` hold nothing.
    pages: Vec<Arc<[Option<Node>; PAGE]>>,
    end: Slot,
}

const PAGE: usize = 32;

impl Slots {
    pub(super) fn get(&self, slot: Slot) -> Option<&Node> {
        self.pages[slot as usize / PAGE][slot as usize % PAGE].as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> &mut Option<Node> {
        &mut Arc::make_mut(&mut self.pages[slot as usize / PAGE])[slot as usize % PAGE]
    }

    pub(super) fn push(&mut self, node: Option<Node>) -> Slot {
        let slot = self.end;
        assert!(slot < Slot::MAX, "memory ends before slots do");
        if slot as usize == self.pages.len() * PAGE {
            self.pages.push(Arc::new([const { None }; PAGE]));
        }
        self.end += 1;
        if node.is_some() {
            *self.get_mut(slot) = node;
        }
        slot
    }

    /// The slot after the last.
    pub(super) fn end(&self) -> Slot {
        self.end
    }
}
