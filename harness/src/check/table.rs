//! A table that grows at its end, and whose copies share what they have in common: a world that is forked takes its
//! checkers along for the price of a few pointers. It keeps its memory from one run to the next.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// Items that are copied together when one of them changes after a fork.
const CHUNK: usize = 64;

/// The table. Items are found by their number, from 0.
#[derive(Debug)]
pub struct Table<T> {
    /// All but the last are full, and none is empty.
    chunks: Vec<Arc<Vec<T>>>,
    len: usize,
    /// Empty ones, for later.
    spare: Vec<Arc<Vec<T>>>,
}

impl<T: Clone> Table<T> {
    /// How many items there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// An item, if there is one of this number.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)
    }

    /// The newest item.
    #[inline]
    pub fn last(&self) -> Option<&T> {
        self.chunks.last()?.last()
    }

    /// Adds an item; returns its number.
    pub fn push(&mut self, item: T) -> usize {
        let index = self.len;
        if index.is_multiple_of(CHUNK) {
            let chunk = self.spare.pop().unwrap_or_else(|| Arc::new(Vec::with_capacity(CHUNK)));
            self.chunks.push(chunk);
        }
        let chunk = self.chunks.last_mut().expect("a table that is not empty has a chunk");
        Arc::make_mut(chunk).push(item);
        self.len += 1;
        index
    }

    /// Takes the newest item away.
    pub fn pop(&mut self) -> Option<T> {
        let chunk = self.chunks.last_mut()?;
        let items = Arc::make_mut(chunk);
        let item = items.pop();
        self.len -= 1;
        if items.is_empty() {
            self.spare.extend(self.chunks.pop());
        }
        item
    }

    /// Takes all items away.
    pub fn clear(&mut self) {
        self.len = 0;
        for mut chunk in self.chunks.drain(..) {
            // What a copy still holds is left to it.
            if let Some(items) = Arc::get_mut(&mut chunk) {
                items.clear();
                self.spare.push(chunk);
            }
        }
    }

    /// All items, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Table<T> {
        Table { chunks: self.chunks.clone(), len: self.len, spare: Vec::new() }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table { chunks: Vec::new(), len: 0, spare: Vec::new() }
    }
}

impl<T: Clone> Index<usize> for Table<T> {
    type Output = T;
    #[inline]
    fn index(&self, index: usize) -> &T {
        &self.chunks[index / CHUNK][index % CHUNK]
    }
}

impl<T: Clone> IndexMut<usize> for Table<T> {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut Arc::make_mut(&mut self.chunks[index / CHUNK])[index % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_vector_whose_copies_part_when_they_change() {
        let mut table = Table::default();
        for round in 0..3 {
            let mut twin = Vec::new();
            for item in 0..100usize {
                assert_eq!(table.push(item), item);
                twin.push(item);
                let before = table.clone();
                table[item / 2] += 1000;
                twin[item / 2] += 1000;
                assert!(table.iter().eq(twin.iter()));
                assert_ne!(before[item / 2], table[item / 2]);
                assert_eq!((table.last(), table.len()), (twin.last(), twin.len()));
            }
            assert_eq!(table.get(100), None);
            let whole = table.clone();
            for _ in 0..70 {
                assert_eq!(table.pop(), twin.pop());
                assert_eq!((table.last(), table.len()), (twin.last(), twin.len()));
            }
            assert_eq!(whole.len(), 100, "round {round}");
            table.clear();
            assert_eq!((table.pop(), table.last(), table.len()), (None, None, 0));
            assert_eq!(whole.iter().count(), 100);
        }
    }
}
