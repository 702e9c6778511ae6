//! postcard's encoding in memory: entries in the log, records of snapshots, messages to peers.
//!
//! [`append`] writes anything at the end of a vector. postcard's own ways there take several times as long: one goes through
//! an iterator for each number, the other through a writer that is asked anew for each byte. What is written is the same.
//!
//! The little functions below write and read the few things that what is written most often consists of, for those who put
//! it together by hand: numbers as little-endian base-128 varints, zigzag for signed ones, strings and bytes after their
//! length. What [`Reader`] finds strange it leaves to postcard, whose errors say what is wrong.

use postcard::ser_flavors::Flavor;
use serde::Serialize;

/// Appends the encoding of plain data.
pub fn append<T: Serialize + ?Sized>(bytes: &mut Vec<u8>, value: &T) {
    postcard::serialize_with_flavor(value, Appended(bytes))
        .expect("a vector takes any bytes, and plain data has no part of unknown length");
}

/// Appends a number.
#[inline]
pub(crate) fn put(bytes: &mut Vec<u8>, number: u64) {
    if number < 1 << 7 {
        bytes.push(number as u8);
    } else {
        put_wide(bytes, number);
    }
}

/// Zxids and times have five and six groups of seven bits, nonces all ten. The first eight are spread over the bytes of a
/// word at once.
#[inline(never)]
fn put_wide(bytes: &mut Vec<u8>, number: u64) {
    const MORE: u64 = 0x8080_8080_8080_8080;
    let halves = (number & 0x0fff_ffff) | (number & 0x00ff_ffff_f000_0000) << 4;
    let quarters = (halves & 0x0000_3fff_0000_3fff) | (halves & 0x0fff_c000_0fff_c000) << 2;
    let groups = (quarters & 0x007f_007f_007f_007f) | (quarters & 0x3f80_3f80_3f80_3f80) << 1;
    let mut word = [0; 10];
    let length = if number < 1 << 56 {
        let unused = groups.leading_zeros() / 8;
        word[..8].copy_from_slice(&(groups | MORE >> (8 * (unused + 1))).to_le_bytes());
        8 - unused as usize
    } else {
        word[..8].copy_from_slice(&(groups | MORE).to_le_bytes());
        word[8] = (number >> 56) as u8;
        word[9] = (number >> 63) as u8;
        9 + usize::from(word[9])
    };
    // All of it, and what is too much taken back: a copy of a length that is known.
    bytes.extend_from_slice(&word);
    bytes.truncate(bytes.len() - (word.len() - length));
}

/// Appends a signed number, of any width.
#[inline]
pub(crate) fn put_signed(bytes: &mut Vec<u8>, number: i64) {
    put(bytes, ((number << 1) ^ (number >> 63)) as u64);
}

/// Appends bytes, or the bytes of a text.
#[inline]
pub(crate) fn put_bytes(bytes: &mut Vec<u8>, other: &[u8]) {
    put(bytes, other.len() as u64);
    bytes.extend_from_slice(other);
}

/// What is left to read. `None` is the answer to what postcard would refuse, and may be to what nobody writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// One byte as it is.
    #[inline]
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// A number of 64 bits.
    #[inline]
    pub(crate) fn number(&mut self) -> Option<u64> {
        let (&first, rest) = self.0.split_first()?;
        if first < 0x80 {
            self.0 = rest;
            return Some(first.into());
        }
        self.wide()
    }

    /// The other way round than `put_wide`.
    fn wide(&mut self) -> Option<u64> {
        const MORE: u64 = 0x8080_8080_8080_8080;
        let Some(word) = self.0.first_chunk().map(|word| u64::from_le_bytes(*word)) else {
            return self.wide_at_the_end();
        };
        let ends = !word & MORE;
        // All bits up to the first end.
        let groups = word & (ends ^ ends.wrapping_sub(1)) & !MORE;
        let quarters = (groups & 0x007f_007f_007f_007f) | (groups & 0x7f00_7f00_7f00_7f00) >> 1;
        let halves = (quarters & 0x0000_3fff_0000_3fff) | (quarters & 0x3fff_0000_3fff_0000) >> 2;
        let number = (halves & 0x0fff_ffff) | (halves & 0x0fff_ffff_0000_0000) >> 4;
        if ends != 0 {
            self.0 = &self.0[ends.trailing_zeros() as usize / 8 + 1..];
            return Some(number);
        }
        let ninth = *self.0.get(8)?;
        let number = number | u64::from(ninth & 0x7f) << 56;
        if ninth < 0x80 {
            self.0 = &self.0[9..];
            return Some(number);
        }
        // There is room for one more bit.
        let tenth = *self.0.get(9).filter(|tenth| **tenth < 2)?;
        self.0 = &self.0[10..];
        Some(number | u64::from(tenth) << 63)
    }

    /// Fewer than eight bytes are left.
    fn wide_at_the_end(&mut self) -> Option<u64> {
        let mut number = 0;
        for (index, &byte) in self.0.iter().enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.0 = &self.0[index + 1..];
                return Some(number);
            }
        }
        None
    }

    /// A number of 32 bits.
    #[inline]
    pub(crate) fn short(&mut self) -> Option<u32> {
        let before = self.0.len();
        let number = u32::try_from(self.number()?).ok()?;
        (before - self.0.len() <= 5).then_some(number)
    }

    /// A signed number of 64 bits.
    #[inline]
    pub(crate) fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// A signed number of 32 bits.
    #[inline]
    pub(crate) fn signed_short(&mut self) -> Option<i32> {
        let number = self.short()?;
        Some((number >> 1) as i32 ^ -((number & 1) as i32))
    }

    /// Bytes.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A text.
    #[inline]
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        str::from_utf8(self.bytes()?).ok()
    }

    /// Whether something that may be there is.
    #[inline]
    pub(crate) fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

struct Appended<'a>(&'a mut Vec<u8>);

impl Flavor for Appended<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if let [byte] = bytes {
            self.0.push(*byte);
        } else {
            self.0.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges() -> impl Iterator<Item = u64> {
        let powers = (0..64).map(|bit| 1u64 << bit);
        powers.flat_map(|power| [power - 1, power, power + 1]).chain([u64::MAX - 1, u64::MAX])
    }

    #[test]
    fn numbers_by_hand_are_postcards() {
        for number in edges() {
            let mut by_hand = Vec::new();
            put(&mut by_hand, number);
            assert_eq!(by_hand, postcard::to_stdvec(&number).expect("a number"), "{number}");
            let mut reader = Reader(&by_hand);
            assert_eq!((reader.number(), reader.0.len()), (Some(number), 0));
            assert_eq!(Reader(&by_hand).short(), u32::try_from(number).ok(), "{number}");
            for cut in 0..by_hand.len() {
                assert_eq!(Reader(&by_hand[..cut]).number(), None);
            }
            let signed = number as i64;
            let mut by_hand = Vec::new();
            put_signed(&mut by_hand, signed);
            assert_eq!(by_hand, postcard::to_stdvec(&signed).expect("a number"), "{signed}");
            assert_eq!(Reader(&by_hand).signed(), Some(signed));
            let short = number as i32;
            by_hand.clear();
            put_signed(&mut by_hand, short.into());
            assert_eq!(by_hand, postcard::to_stdvec(&short).expect("a number"), "{short}");
            assert_eq!(Reader(&by_hand).signed_short(), Some(short));
        }
    }

    #[test]
    fn what_is_read_is_what_postcard_reads() {
        // All that two bytes and a few strange ends can be.
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                for rest in [&[][..], &[0x80, 0x00], &[0xff; 7], &[0x80, 0x80, 0x80, 0x01], &[0xff; 20]] {
                    let bytes: Vec<u8> = [first, second].into_iter().chain(rest.iter().copied()).collect();
                    let long = postcard::take_from_bytes::<u64>(&bytes).ok();
                    let mut reader = Reader(&bytes);
                    assert_eq!(reader.number().map(|number| (number, reader.0)), long, "{bytes:x?}");
                    let short = postcard::take_from_bytes::<u32>(&bytes).ok();
                    let mut reader = Reader(&bytes);
                    assert_eq!(reader.short().map(|number| (number, reader.0)), short, "{bytes:x?}");
                    let text = postcard::take_from_bytes::<&str>(&bytes).ok();
                    let mut reader = Reader(&bytes);
                    assert_eq!(reader.text().map(|text| (text, reader.0)), text, "{bytes:x?}");
                }
            }
        }
    }
}
