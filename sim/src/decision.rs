//! Random decisions that do not depend on each other.
//!
//! Each decision is a pure function of the seed and of a key that says what it is about: its kind, its subject (a link,
//! a disk, a client), the 8 ms of simulated time it falls into, and the how-manieth of its kind it is there. How many
//! draws came before plays no part, so that taking one fault out of a schedule leaves the rest of the run as it was.
//! Integers only: the same on every machine.
//!
//! What has come up is counted for the present 8 ms only, and these see a few decisions out of thousands of subjects: so
//! it is counted in a small hash table, which a fork copies in no time and which never has to be emptied.

use crate::Time;

/// What a decision is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Kind {
    /// What becomes of a message between peers; the subject is link and kind of message.
    Message,
    /// How long a disk takes to sync, and when it says so.
    Sync,
    /// What a crash leaves of unsynced writes.
    Crash,
    /// In which order a step's outputs are carried out, and how many of them before a crash.
    Step,
    /// How late a node is woken.
    Wake,
    /// The entropy a process is started with.
    Boot,
    /// Who hears of a peer's end.
    Gone,
    /// What a client asks next.
    Ask,
    /// How a client comes back: where to, when.
    Reconnect,
    /// How long a packet takes to a client and back.
    Packet,
    /// Whom a fault hits.
    Fault,
}

const SUBJECTS: usize = 64;
const MESSAGE_SUBJECTS: usize = 2048;

/// Width of the time bucket of a key.
const BUCKET: Time = 8 * crate::MS;

/// The time bucket that a moment falls into.
#[inline]
pub fn bucket(at: Time) -> u32 {
    u32::try_from(at / BUCKET).expect("a run lasts less than a year") + 1
}

/// The decisions of one run.
#[derive(Clone, Debug)]
pub struct Decisions {
    seed: u64,
    even: bool,
    /// The time bucket of the last decision, and how many of them there have been: what was counted in another turn is
    /// void.
    bucket: u32,
    turn: u32,
    /// When the bucket begins.
    begun: Time,
    /// A hash table of what came up in this turn, and what found its place taken.
    counts: [Count; COUNTS],
    crowded: Vec<Count>,
}

/// How often a kind and subject has come up again.
#[derive(Clone, Copy, Debug)]
struct Count {
    /// The turn in the upper half, then kind and subject.
    key: u64,
    again: u32,
}

/// Places of the table. A power of two.
const COUNTS: usize = 64;

/// A decision's own little stream of random bits.
#[derive(Clone, Debug)]
pub struct Draw {
    word: u64,
    step: u64,
}

/// Between two words of a stream: splitmix64's.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Decisions {
    /// Decisions of a seed.
    pub fn new(seed: u64) -> Decisions {
        let void = Count { key: 0, again: 0 };
        Decisions {
            seed,
            even: false,
            begun: 0,
            bucket: bucket(0),
            turn: 1,
            counts: [void; COUNTS],
            crowded: Vec::new(),
        }
    }

    /// Begins anew with another seed, in the same memory. In `even` weather every draw is [`Draw::even`].
    pub fn reset(&mut self, seed: u64, even: bool) {
        self.seed = seed;
        self.even = even;
        self.take_turn(0);
    }

    /// The next decision of this kind about this subject at this time, which is not before that of the last one.
    ///
    /// # Panics
    /// When the subject is out of range: 2048 for messages, 64 for the rest.
    #[inline]
    pub fn draw(&mut self, kind: Kind, subject: usize, at: Time) -> Draw {
        self.draw_nth(kind, subject, at).0
    }

    /// The same, and the how-manieth of its kind it is there within its time bucket.
    ///
    /// # Panics
    /// When the subject is out of range.
    #[inline]
    pub fn draw_nth(&mut self, kind: Kind, subject: usize, at: Time) -> (Draw, u32) {
        let subjects = if kind == Kind::Message { MESSAGE_SUBJECTS } else { SUBJECTS };
        assert!(subject < subjects, "subject {subject} of {kind:?}");
        if at.wrapping_sub(self.begun) >= BUCKET {
            self.take_turn(at);
        }
        let key = u64::from(self.turn) << 32 | (kind as u64) << 16 | subject as u64;
        // Fibonacci hashing: the uppermost bits of the product depend on all of the key's.
        let count = &mut self.counts[(key.wrapping_mul(STEP) >> (64 - COUNTS.ilog2())) as usize];
        if count.key == key {
            count.again += 1;
        } else if count.key >> 32 == u64::from(self.turn) {
            return self.crowded_out(key);
        } else {
            *count = Count { key, again: 0 };
        }
        let occurrence = count.again;
        (self.nth(key, occurrence), occurrence)
    }

    /// The same for what found its place taken.
    #[inline(never)]
    fn crowded_out(&mut self, key: u64) -> (Draw, u32) {
        let occurrence = match self.crowded.iter_mut().find(|count| count.key == key) {
            Some(count) => {
                count.again += 1;
                count.again
            }
            None => {
                self.crowded.push(Count { key, again: 0 });
                0
            }
        };
        (self.nth(key, occurrence), occurrence)
    }

    /// The decision that is the how-manieth about this in the present bucket.
    #[inline]
    fn nth(&self, key: u64, occurrence: u32) -> Draw {
        if self.even {
            return Draw::even();
        }
        let (kind, subject) = (key >> 16 & 0xff, key & 0xffff);
        let about = kind << 56 | subject << 40 | u64::from(occurrence);
        Draw { word: mix(mix(self.seed ^ mix(about)).wrapping_add(u64::from(self.bucket))), step: STEP }
    }

    #[inline(never)]
    fn take_turn(&mut self, at: Time) {
        self.bucket = bucket(at);
        self.begun = at / BUCKET * BUCKET;
        self.turn += 1;
        self.crowded.clear();
    }
}

impl Draw {
    /// A stream that begins with this word: for tests, and for what is drawn before a run.
    pub fn new(word: u64) -> Draw {
        Draw { word: mix(word), step: STEP }
    }

    /// The stream that always says the most: no chance ever comes true, [`Draw::skewed`] gives nearly nothing, and
    /// [`Draw::below`] the highest. Whoever draws arranges its cases so that this is the dullest.
    #[inline]
    pub fn even() -> Draw {
        Draw { word: EVEN, step: 0 }
    }

    /// Whether this is the stream of even weather.
    #[inline]
    pub fn is_even(&self) -> bool {
        self.step == 0
    }

    /// 64 random bits.
    #[inline]
    pub fn word(&mut self) -> u64 {
        self.word = self.word.wrapping_add(self.step);
        mix(self.word)
    }

    /// A number below `bound`; 0 when the bound is 0.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    #[inline]
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True this many times in a thousand.
    #[inline]
    pub fn permille(&mut self, chance: u32) -> bool {
        chance > 0 && self.below(1000) < u64::from(chance)
    }

    /// True once in this many times; never for 0.
    #[inline]
    pub fn one_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }

    /// Roughly exponential around a mean: mostly short, sometimes several times as long. At most 45 times the mean.
    #[inline]
    pub fn skewed(&mut self, mean: u64) -> u64 {
        // -log2 of a uniform number in 16.16 fixed point: leading zeros, and a line between powers of two.
        let word = self.word() | 1;
        let zeros = u64::from(word.leading_zeros());
        let fraction = ((word << zeros) << 1) >> 48;
        let log = zeros * 65_536 + (65_536 - fraction);
        // Times ln 2. No overflow: means are below an hour of nanoseconds, and the logarithm below 2^22.
        ((mean * log) >> 16) * 693 / 1000
    }

    /// One of a list.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }

    /// An index, with the chances that the weights give; 0 when all of them are 0.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: u64 = weights.iter().map(|w| u64::from(*w)).sum();
        let mut left = self.below(total);
        for (index, weight) in weights.iter().enumerate() {
            if left < u64::from(*weight) {
                return index;
            }
            left -= u64::from(*weight);
        }
        0
    }
}

/// What [`mix`] makes all ones of.
const EVEN: u64 = unmix(u64::MAX);

/// The inverse of [`mix`].
const fn unmix(word: u64) -> u64 {
    let word = (word ^ (word >> 31) ^ (word >> 62)).wrapping_mul(0x3196_42b2_d24d_8ec3);
    let word = (word ^ (word >> 27) ^ (word >> 54)).wrapping_mul(0x96de_1b17_3f11_9089);
    word ^ (word >> 30) ^ (word >> 60)
}

/// The finalizer of splitmix64: every bit of the input changes half of the output's.
#[inline]
pub fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MS;

    #[test]
    fn a_decision_does_not_depend_on_those_before_it() {
        let mut alone = Decisions::new(7);
        let mut busy = Decisions::new(7);
        for subject in 0..40 {
            busy.draw(Kind::Message, subject, 3 * MS);
            busy.draw(Kind::Sync, subject, 81 * MS);
        }
        assert_eq!(alone.draw(Kind::Sync, 2, 90 * MS).word(), busy.draw(Kind::Sync, 2, 90 * MS).word());
        assert_ne!(alone.draw(Kind::Sync, 2, 90 * MS).word(), alone.draw(Kind::Sync, 2, 90 * MS).word());
    }

    #[test]
    fn however_much_comes_up_at_a_time_each_is_counted_for_itself() {
        let mut decisions = Decisions::new(7);
        for (at, times) in [(3 * MS, 3), (81 * MS, 2), (82 * MS, 1)] {
            for nth in 0..times {
                let expected = if at == 82 * MS { 2 } else { nth };
                for subject in (0..2048).step_by(3) {
                    assert_eq!(decisions.draw_nth(Kind::Message, subject, at).1, expected);
                }
            }
        }
        decisions.reset(7, false);
        assert_eq!(decisions.draw_nth(Kind::Message, 0, 82 * MS).1, 0);
    }

    #[test]
    fn the_first_words_are_these_forever() {
        let mut decisions = Decisions::new(1);
        assert_eq!(decisions.draw(Kind::Message, 0, 0).word(), FIRST_WORDS[0]);
        assert_eq!(decisions.draw(Kind::Ask, 5, 123 * MS).word(), FIRST_WORDS[1]);
    }
    const FIRST_WORDS: [u64; 2] = [5948053812914333585, 8655105530057927747];

    #[test]
    fn even_weather_brings_no_chance_and_no_delay() {
        let mut draw = Draw::even();
        for _ in 0..3 {
            assert_eq!(draw.word(), u64::MAX);
            assert!(!draw.permille(999) && !draw.one_in(2));
            assert!(draw.skewed(1_000_000) < 100);
            assert_eq!(draw.below(7), 6);
        }
        assert_eq!(mix(unmix(12345)), 12345);
    }

    #[test]
    fn skewed_has_its_mean() {
        let mut draw = Draw::new(3);
        let sum: u64 = (0..100_000).map(|_| draw.skewed(1000)).sum();
        let mean = sum / 100_000;
        assert!((950..1100).contains(&mean), "mean {mean}");
    }

    #[test]
    fn chances_are_kept() {
        let mut draw = Draw::new(9);
        let hits = (0..100_000).filter(|_| draw.permille(250)).count();
        assert!((24_000..26_000).contains(&hits), "{hits}");
        let mut counts = [0; 3];
        for _ in 0..60_000 {
            counts[draw.weighted(&[1, 0, 2])] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((19_000..21_000).contains(&counts[0]), "{counts:?}");
    }
}
