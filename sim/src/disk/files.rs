//! Files of one kind on a simulated disk, by number: a sorted list, for they are few and the last is asked for most.
//!
//! A copy shares the list until one side changes it, so that a fork of a world costs nothing here.

use std::sync::Arc;

/// The files of one kind.
#[derive(Clone, Debug)]
pub(super) struct Files<K, V>(Arc<Vec<(K, V)>>);

impl<K, V> Default for Files<K, V> {
    fn default() -> Files<K, V> {
        Files(Arc::default())
    }
}

impl<K: Ord + Copy, V: Clone> Files<K, V> {
    /// The file of this number.
    pub(super) fn get(&self, number: K) -> Option<&V> {
        Some(&self.0[self.place(number).ok()?].1)
    }

    /// The same, to change it.
    pub(super) fn get_mut(&mut self, number: K) -> Option<&mut V> {
        let place = self.place(number).ok()?;
        Some(&mut Arc::make_mut(&mut self.0)[place].1)
    }

    /// Puts a file there, in place of one of the same number.
    pub(super) fn insert(&mut self, number: K, file: V) {
        let place = self.place(number);
        let list = Arc::make_mut(&mut self.0);
        match place {
            Ok(there) => list[there].1 = file,
            Err(place) => list.insert(place, (number, file)),
        }
    }

    /// Takes a file away.
    pub(super) fn remove(&mut self, number: K) -> Option<V> {
        let place = self.place(number).ok()?;
        Some(Arc::make_mut(&mut self.0).remove(place).1)
    }

    /// All of them, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.0.iter()
    }

    /// The same, to change them.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut (K, V)> {
        Arc::make_mut(&mut self.0).iter_mut()
    }

    /// Their numbers, ascending.
    pub(super) fn numbers(&self) -> impl Iterator<Item = K> {
        self.0.iter().map(|(number, _)| *number)
    }

    /// The one with the highest number.
    pub(super) fn last(&self) -> Option<&(K, V)> {
        self.0.last()
    }

    /// The same, to change it.
    pub(super) fn last_mut(&mut self) -> Option<&mut (K, V)> {
        Arc::make_mut(&mut self.0).last_mut()
    }

    fn place(&self, number: K) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.cmp(&number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_does_not_see_what_is_changed_later() {
        let mut files = Files::default();
        for number in [3, 1, 2] {
            files.insert(number, 'a');
        }
        let copy = files.clone();
        files.insert(2, 'b');
        *files.get_mut(3).expect("it is there") = 'c';
        assert_eq!(files.remove(1), Some('a'));
        assert_eq!((files.remove(1), files.get(1)), (None, None));
        assert_eq!(files.iter().copied().collect::<Vec<_>>(), [(2, 'b'), (3, 'c')]);
        assert_eq!(files.last(), Some(&(3, 'c')));
        assert_eq!(copy.numbers().collect::<Vec<_>>(), [1, 2, 3]);
        assert!(copy.iter().all(|(_, file)| *file == 'a'));
    }
}
