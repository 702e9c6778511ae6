//! A table that grows at its end, and whose copies share what they have in common: a world that is forked takes its
//! checkers along for the price of a few pointers.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// Items that are copied together when one of them changes after a fork.
const CHUNK: usize = 32;

/// The table. Items are found by their number, from 0.
#[derive(Clone, Debug)]
pub struct Table<T> {
    /// All but the last are full.
    chunks: Vec<Arc<Vec<T>>>,
    len: usize,
}

impl<T: Clone> Table<T> {
    /// How many items there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// An item, if there is one of this number.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)
    }

    /// The newest item.
    pub fn last(&self) -> Option<&T> {
        self.chunks.last()?.last()
    }

    /// Adds an item; returns its number.
    pub fn push(&mut self, item: T) -> usize {
        let index = self.len;
        if index.is_multiple_of(CHUNK) {
            let mut chunk = Vec::with_capacity(CHUNK);
            chunk.push(item);
            self.chunks.push(Arc::new(chunk));
        } else {
            let chunk = self.chunks.last_mut().expect("a table that is not empty has a chunk");
            Arc::make_mut(chunk).push(item);
        }
        self.len += 1;
        index
    }

    /// All items, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table { chunks: Vec::new(), len: 0 }
    }
}

impl<T: Clone> Index<usize> for Table<T> {
    type Output = T;
    fn index(&self, index: usize) -> &T {
        &self.chunks[index / CHUNK][index % CHUNK]
    }
}

impl<T: Clone> IndexMut<usize> for Table<T> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut Arc::make_mut(&mut self.chunks[index / CHUNK])[index % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_vector_whose_copies_part_when_they_change() {
        let (mut table, mut twin) = (Table::default(), Vec::new());
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
    }
}
