//! Random decisions that do not depend on each other.
//!
//! Each decision is a pure function of the seed and of a key that says what it is about: its kind, its subject (a link,
//! a disk, a client), the 8 ms of simulated time it falls into, and the how-manieth of its kind it is there. How many
//! draws came before plays no part, so that taking one fault out of a schedule leaves the rest of the run as it was.
//! Integers only: the same on every machine.

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

const KINDS: usize = 11;
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
    /// Per kind and subject: the bucket it was last asked in, and how often.
    occurrences: Vec<(u32, u32)>,
}

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
        Decisions { seed, even: false, occurrences: vec![(0, 0); MESSAGE_SUBJECTS + (KINDS - 1) * SUBJECTS] }
    }

    /// Begins anew with another seed, in the same memory. In `even` weather every draw is [`Draw::even`].
    pub fn reset(&mut self, seed: u64, even: bool) {
        self.seed = seed;
        self.even = even;
        self.occurrences.fill((0, 0));
    }

    /// The next decision of this kind about this subject at this time.
    ///
    /// # Panics
    /// When the subject is out of range: 2048 for messages, 64 for the rest.
    pub fn draw(&mut self, kind: Kind, subject: usize, at: Time) -> Draw {
        self.draw_nth(kind, subject, at).0
    }

    /// The same, and the how-manieth of its kind it is there within its time bucket.
    ///
    /// # Panics
    /// When the subject is out of range.
    pub fn draw_nth(&mut self, kind: Kind, subject: usize, at: Time) -> (Draw, u32) {
        let slot = match kind {
            Kind::Message => {
                assert!(subject < MESSAGE_SUBJECTS, "message subject {subject}");
                subject
            }
            other => {
                assert!(subject < SUBJECTS, "subject {subject} of {other:?}");
                MESSAGE_SUBJECTS + (other as usize - 1) * SUBJECTS + subject
            }
        };
        let bucket = bucket(at);
        let seen = &mut self.occurrences[slot];
        if seen.0 != bucket {
            *seen = (bucket, 0);
        }
        let occurrence = seen.1;
        seen.1 += 1;
        if self.even {
            return (Draw::even(), occurrence);
        }
        let about = (kind as u64) << 56 | (subject as u64) << 40 | u64::from(occurrence);
        (
            Draw { word: mix(mix(self.seed ^ mix(about)).wrapping_add(u64::from(bucket))), step: STEP },
            occurrence,
        )
    }
}

impl Draw {
    /// A stream that begins with this word: for tests, and for what is drawn before a run.
    pub fn new(word: u64) -> Draw {
        Draw { word: mix(word), step: STEP }
    }

    /// The stream that always says the most: no chance ever comes true, [`Draw::skewed`] gives nearly nothing, and
    /// [`Draw::below`] the highest. Whoever draws arranges its cases so that this is the dullest.
    pub fn even() -> Draw {
        Draw { word: EVEN, step: 0 }
    }

    /// Whether this is the stream of even weather.
    pub fn is_even(&self) -> bool {
        self.step == 0
    }

    /// 64 random bits.
    pub fn word(&mut self) -> u64 {
        self.word = self.word.wrapping_add(self.step);
        mix(self.word)
    }

    /// A number below `bound`; 0 when the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True this many times in a thousand.
    pub fn permille(&mut self, chance: u32) -> bool {
        chance > 0 && self.below(1000) < u64::from(chance)
    }

    /// True once in this many times; never for 0.
    pub fn one_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }

    /// Roughly exponential around a mean: mostly short, sometimes several times as long. At most 45 times the mean.
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
