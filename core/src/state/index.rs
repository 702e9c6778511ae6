//! A shortcut from the hash of a path to the slot of its node: one probe instead of a walk through the children of each
//! ancestor, which in a large tree misses the processor's caches dozens of times.
//!
//! It may forget: a bucket holds four, and a fifth takes the place of one of them. Whoever does not find a node here
//! has to walk, so clients who choose names whose hashes collide gain nothing but that walk. What it does return may be
//! a node with another path, and has to be compared.

use std::sync::Arc;

use crate::state::tree::Slot;

/// Nearly all nodes, as long as nobody chooses their names to collide.
#[derive(Clone, Debug)]
pub(super) struct PathIndex {
    /// Their number is a power of two. An entry is 32 bits of the hash above 32 bits of slot; 0 is none. Shared with
    /// clones until one side changes.
    buckets: Arc<Vec<[u64; 4]>>,
    used: usize,
}

const NONE: u64 = 0;

impl PathIndex {
    pub(super) fn new() -> PathIndex {
        PathIndex { buckets: Arc::new(vec![[NONE; 4]; 4]), used: 0 }
    }

    /// The nodes whose path may have this hash.
    pub(super) fn find(&self, hash: u64) -> impl Iterator<Item = Slot> {
        let wanted = entry(hash, 0);
        let found = self.buckets[self.place(wanted)].into_iter();
        found.filter(move |&entry| entry != NONE && entry >> 32 == wanted >> 32).map(|entry| entry as Slot)
    }

    /// Adds a node. The root is not one of them.
    pub(super) fn insert(&mut self, hash: u64, slot: Slot) {
        // Half full is as full as it gets: then about one in thirty is pushed out.
        if self.used >= self.buckets.len() * 2 {
            self.grow();
        }
        self.put(entry(hash, slot));
    }

    /// Removes a node, which may have been forgotten before.
    pub(super) fn remove(&mut self, hash: u64, slot: Slot) {
        let gone = entry(hash, slot);
        let place = self.place(gone);
        if let Some(at) = self.buckets[place].iter().position(|entry| *entry == gone) {
            Arc::make_mut(&mut self.buckets)[place][at] = NONE;
            self.used -= 1;
        }
    }

    fn put(&mut self, new: u64) {
        let place = self.place(new);
        let bucket = &mut Arc::make_mut(&mut self.buckets)[place];
        match bucket.iter_mut().find(|entry| **entry == NONE) {
            Some(entry) => {
                *entry = new;
                self.used += 1;
            }
            None => bucket[(new >> 62) as usize] = new,
        }
    }

    /// The hashes are in the entries, so no node is visited.
    fn grow(&mut self) {
        let doubled = Arc::new(vec![[NONE; 4]; self.buckets.len() * 2]);
        let old = std::mem::replace(&mut self.buckets, doubled);
        self.used = 0;
        for entry in old.iter().flatten().filter(|&&entry| entry != NONE) {
            self.put(*entry);
        }
    }

    fn place(&self, entry: u64) -> usize {
        (entry >> 32) as usize & (self.buckets.len() - 1)
    }
}

fn entry(hash: u64, slot: Slot) -> u64 {
    hash << 32 | u64::from(slot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::words64;

    fn has(index: &PathIndex, hash: u64, slot: Slot) -> bool {
        index.find(hash).any(|found| found == slot)
    }

    #[test]
    fn nearly_all_nodes_are_found() {
        let mut index = PathIndex::new();
        let hash = |slot: Slot| words64(3, [slot.into()]);
        for slot in 1..=100_000 {
            index.insert(hash(slot), slot);
            if slot % 10_000 == 0 {
                let found = (1..=slot).filter(|&slot| has(&index, hash(slot), slot)).count();
                assert!(found > slot as usize * 9 / 10, "{found} of {slot}");
            }
        }
        for slot in 1..=100_000 {
            index.remove(hash(slot), slot);
            assert!(!has(&index, hash(slot), slot));
        }
        assert_eq!(index.used, 0);
    }

    #[test]
    fn equal_hashes_push_each_other_out_and_nobody_else() {
        let mut index = PathIndex::new();
        index.insert(1, 1_000);
        for slot in 1..100 {
            index.insert(0, slot);
            assert!(has(&index, 0, slot), "the newest is there");
        }
        assert_eq!(index.find(0).count(), 4);
        assert!(has(&index, 1, 1_000));
        assert!(!has(&index, 0, 1_000));
        for slot in 1..100 {
            index.remove(0, slot);
        }
        assert_eq!((index.find(0).count(), index.used), (0, 1));
    }
}
