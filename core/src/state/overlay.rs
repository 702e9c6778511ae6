//! Copy on write for one snapshot in the making: a cursor walks the keys upward, and whoever changes something that
//! the cursor has yet to reach leaves a copy of how it was.

use std::collections::BTreeMap;

/// What the cursor has yet to see and is no longer there to be seen.
#[derive(Clone, Debug)]
pub(super) struct Overlay<K, V> {
    passed: Option<K>,
    /// How things were; `None` was not there.
    before: BTreeMap<K, Option<Box<V>>>,
}

/// The next key at which the cursor has to look.
#[derive(Clone, Debug)]
pub(super) enum Next<K, V> {
    /// Unchanged since the freeze: look at the live value.
    Live(K),
    /// Changed since: this is how it was.
    Before(K, Option<Box<V>>),
}

impl<K: Ord + Copy, V> Overlay<K, V> {
    pub(super) fn new() -> Overlay<K, V> {
        Overlay { passed: None, before: BTreeMap::new() }
    }

    /// To be called before the value at `key` is changed, removed or put there.
    pub(super) fn preserve(&mut self, key: K, value: impl FnOnce() -> Option<V>) {
        if self.passed.is_none_or(|passed| key > passed) {
            self.before.entry(key).or_insert_with(|| value().map(Box::new));
        }
    }

    /// The last key seen; the next live key is one above it,
    pub(super) fn passed(&self) -> Option<K> {
        self.passed
    }

    /// and none above this, the next preserved key, is of interest yet.
    pub(super) fn kept(&self) -> Option<K> {
        self.before.first_key_value().map(|(&key, _)| key)
    }

    /// Moves the cursor on; `live` is the next key of the live values.
    pub(super) fn advance(&mut self, live: Option<K>) -> Option<Next<K, V>> {
        let next = match (live, self.kept()) {
            (Some(live), Some(kept)) if live < kept => Next::Live(live),
            (Some(live), None) => Next::Live(live),
            (None, None) => return None,
            (_, Some(_)) => {
                let (key, value) = self.before.pop_first().expect("its first key was just seen");
                Next::Before(key, value)
            }
        };
        let (Next::Live(key) | Next::Before(key, _)) = next;
        assert!(self.passed.is_none_or(|passed| key > passed), "the cursor only moves up");
        self.passed = Some(key);
        Some(next)
    }
}
