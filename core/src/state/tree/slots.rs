//! A slab in pages: growing it never moves what it holds, which in a large tree would stop the server.

use crate::state::tree::{Node, Slot};

/// Nodes and free places, by slot. Which places are free is the tree's business.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    pages: Vec<Vec<Option<Node>>>,
}

const PAGE: usize = 256;

impl Slots {
    pub(super) fn get(&self, slot: Slot) -> Option<&Node> {
        self.pages[slot as usize / PAGE][slot as usize % PAGE].as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> &mut Option<Node> {
        &mut self.pages[slot as usize / PAGE][slot as usize % PAGE]
    }

    pub(super) fn push(&mut self, node: Option<Node>) -> Slot {
        let slot = self.end();
        assert!(slot < Slot::MAX, "memory ends before slots do");
        match self.pages.last_mut() {
            Some(page) if page.len() < PAGE => page.push(node),
            _ => self.pages.push(vec![node]),
        }
        slot
    }

    /// The slot after the last.
    pub(super) fn end(&self) -> Slot {
        let last = self.pages.last().map_or(PAGE, Vec::len);
        (self.pages.len() * PAGE + last - PAGE) as Slot
    }
}
