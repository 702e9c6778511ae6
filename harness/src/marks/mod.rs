//! Marks: named points that a run may come to, and how many runs of many have come to them.
//!
//! Checks say that nothing went wrong; marks say that there was something to go wrong: a cut of acknowledged entries,
//! an expiry that races with a return, a torn tail. A mark that no schedule comes to is a part of the service that is
//! not tested. They are seen from outside, by an observer of runs, and cost a few per cent of a run; the core knows
//! nothing of them.
//!
//! ```text
//!   list       which there are, with names and meanings
//!   marker     the observer: what it keeps in mind, and who looks at what
//!   order disk sessions clients faults    its parts, by subject
//!   coverage   how often each mark was hit, to be merged and written down
//! ```
//!
//! Where the truth cannot be seen from outside a mark is a close guess, never a check: it says so where it is made.

mod clients;
mod coverage;
mod disk;
mod faults;
mod list;
mod marker;
mod order;
mod sessions;
#[cfg(test)]
mod tests;

pub use coverage::{Coverage, Hits};
pub use list::{Group, Mark};
pub use marker::Marker;

const WORDS: usize = Mark::COUNT.div_ceil(64);

/// A set of marks: those that one run has come to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Marks([u64; WORDS]);

impl Marks {
    /// Adds one.
    #[inline]
    pub fn insert(&mut self, mark: Mark) {
        self.0[mark as usize / 64] |= 1 << (mark as usize % 64);
    }

    /// Adds one if it has happened.
    #[inline]
    pub fn insert_if(&mut self, mark: Mark, happened: bool) {
        self.0[mark as usize / 64] |= u64::from(happened) << (mark as usize % 64);
    }

    /// Whether it is among them.
    pub fn contains(&self, mark: Mark) -> bool {
        self.0[mark as usize / 64] >> (mark as usize % 64) & 1 == 1
    }

    /// All of them, in the order of [`Mark::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = Mark> + '_ {
        self.0.iter().enumerate().flat_map(|(word, bits)| {
            let mut left = *bits;
            std::iter::from_fn(move || {
                (left != 0).then(|| {
                    let bit = left.trailing_zeros() as usize;
                    left &= left - 1;
                    Mark::ALL[word * 64 + bit]
                })
            })
        })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }
}
