//! Hashing that is the same on every machine and in every release.
//!
//! The layout below is version 1 and may not change: digests made with it are compared between replicas and stored in
//! snapshots. It is a multiply-and-fold hash over 16-byte blocks, fast on short input. It is not a cryptographic one:
//! it finds replicas that differ by mistake, not by malice.
//!
//! ```text
//! fold(a, b)      = a ^ b ^ low(a * b) ^ high(a * b)          over 128 bits; a zero factor loses nothing
//! hash64(seed, m) = s = seed ^ K0
//!                   for each block of 16 bytes:  s = fold(word(0..8) ^ K1, word(8..16) ^ s)
//!                   the rest, padded with zeros, as one more block, if there is any
//!                   fold(s ^ K2, length ^ K1)
//! words64(seed, w)= s = seed ^ K0;  for each word:  s = fold(w ^ K1, s ^ K2);  fold(s ^ K2, count ^ K0)
//! ```
//!
//! Words are little-endian.

use std::hash::{BuildHasher, Hasher};

const K0: u64 = 0x9e37_79b9_7f4a_7c15;
const K1: u64 = 0xd1b5_4a32_d192_ed03;
const K2: u64 = 0x8cb9_2ba7_2f3d_8dd7;

/// Hashes bytes.
pub fn hash64(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = seed ^ K0;
    let (blocks, rest) = bytes.as_chunks::<16>();
    for block in blocks {
        state = absorb(state, u128::from_le_bytes(*block));
    }
    if !rest.is_empty() {
        state = absorb(state, padded(rest));
    }
    fold(state ^ K2, bytes.len() as u64 ^ K1)
}

/// Hashes a record of numbers: the same as nothing that [`hash64`] gives.
pub fn words64<const N: usize>(seed: u64, words: [u64; N]) -> u64 {
    let mut state = seed ^ K0;
    for word in words {
        state = fold(word ^ K1, state ^ K2);
    }
    fold(state ^ K2, N as u64 ^ K0)
}

/// Makes hashers for maps. The key keeps clients from choosing names that collide; it never reaches a disk or a peer.
#[derive(Clone, Copy, Debug)]
pub struct Keyed {
    key: u64,
}

/// A hasher made by [`Keyed`].
#[derive(Clone, Debug)]
pub struct KeyedHasher {
    state: u64,
}

impl Keyed {
    /// With this key.
    pub const fn new(key: u64) -> Keyed {
        Keyed { key }
    }
}

impl BuildHasher for Keyed {
    type Hasher = KeyedHasher;
    fn build_hasher(&self) -> KeyedHasher {
        KeyedHasher { state: self.key ^ K0 }
    }
}

impl Hasher for KeyedHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.state = hash64(self.state, bytes);
    }
    fn write_u8(&mut self, n: u8) {
        self.write_u64(n.into());
    }
    fn write_u16(&mut self, n: u16) {
        self.write_u64(n.into());
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }
    fn write_u64(&mut self, n: u64) {
        self.state = fold(n ^ K1, self.state ^ K2);
    }
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
    fn finish(&self) -> u64 {
        fold(self.state ^ K2, K0)
    }
}

fn absorb(state: u64, block: u128) -> u64 {
    fold(block as u64 ^ K1, (block >> 64) as u64 ^ state)
}

/// A block of 1 to 15 bytes and zeros after them. Names are seldom longer, and to copy so few takes longer than to read
/// them as two words, one from either end, that may overlap.
fn padded(bytes: &[u8]) -> u128 {
    let length = bytes.len();
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u128::from(u64::from_le_bytes(*first)) | u128::from(u64::from_le_bytes(*last)) << (8 * (length - 8))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u128::from(u32::from_le_bytes(*first)) | u128::from(u32::from_le_bytes(*last)) << (8 * (length - 4))
    } else {
        let at = |place: usize| u128::from(bytes[place]) << (8 * place);
        at(0) | at(length / 2) | at(length - 1)
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    a ^ b ^ product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Digests are stored in snapshots: these numbers hold for ever.
    #[test]
    fn version_1_is_frozen() {
        let found = [
            hash64(0, b""),
            hash64(0, b"a"),
            hash64(1, b"a"),
            hash64(0, b"sixteen bytes ok"),
            hash64(0, b"a little more than two blocks long"),
            words64(0, [0]),
            words64(7, [1, 2, 3]),
        ];
        assert_eq!(found.map(|n| format!("{n:016x}")), FROZEN);
    }

    /// By a program of its own, written from the layout above.
    const FROZEN: [&str; 7] = [
        "8e2e6ea21ee30638",
        "1eb39500dc25baa3",
        "674871591010d622",
        "12a75ad3c2947614",
        "29c0bb9b1b7e0727",
        "51f401ee92cb77ee",
        "adec0126b848ce26",
    ];

    #[test]
    fn every_bit_and_every_length_counts() {
        let mut seen = BTreeSet::new();
        for length in 0..70 {
            let mut bytes = vec![0; length];
            assert!(seen.insert(hash64(0, &bytes)), "zeros of length {length}");
            for bit in 0..length * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(seen.insert(hash64(0, &bytes)), "bit {bit} of length {length}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn a_flipped_bit_changes_half_of_the_digest() {
        let mut changed = 0;
        for bit in 0..64 {
            changed += (words64(0, [5, 6]) ^ words64(0, [5 ^ 1 << bit, 6])).count_ones();
            changed += (words64(0, [5, 6]) ^ words64(0, [5, 6 ^ 1 << bit])).count_ones();
        }
        assert!((28 * 128..36 * 128).contains(&changed), "{changed} of {}", 64 * 128);
    }

    #[test]
    fn the_key_matters() {
        assert_ne!(Keyed::new(1).hash_one("a"), Keyed::new(2).hash_one("a"));
        assert_eq!(Keyed::new(1).hash_one("a"), Keyed::new(1).hash_one("a"));
    }
}
