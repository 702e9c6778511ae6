//! Bytes of the log and of snapshots, as they lie on a disk. Pure: bytes in, bytes out; no file is opened here.
//!
//! What it guarantees: a record whose checksums hold is one that [`LogEncoder`] or [`SnapshotEncoder`] wrote, for
//! this very file, and decoding never panics nor allocates more than the bytes at hand warrant, whatever they
//! are. What to make of a record that does not hold is [`recovery`](crate::recovery)'s business.
//!
//! # Layout, version 1
//!
//! All numbers are little-endian and of fixed width. Every record starts at a multiple of 8.
//!
//! A *record* is a head of 32 bytes, a payload, and zeros up to the next multiple of 8:
//!
//! ```text
//!  0  u32  length of the payload
//!  4  u8   kind; then three zeros
//!  8  u64  number: in a log 1, 2, 3, ... through all segments and runs, not used again once it can have left a
//!          trace on the disk; in a snapshot the index
//! 16  u64  durable: the highest number known to be durable when this record was encoded; always below `number`
//! 24  u32  checksum of bytes 0..24, started from the checksum of the file's header
//! 28  u32  checksum of the payload, started from the checksum of the head
//! ```
//!
//! The head has a checksum of its own so that a search for records behind damage is linear, and finds heads whose
//! payload is torn. Starting it from the file's header makes a record of another file, or one that a client hid
//! in its data, no record here. The checksum is CRC-32 (IEEE).
//!
//! A *log segment*, `log-NUMBER`, is a header of 4096 bytes, which is durable before the first record is written,
//! and then records. What follows the last one is zeros, if anything. The header, zeros after it:
//!
//! ```text
//!  0  [u8; 8]  "vivalog\n"
//!  8  u32      format version
//! 12  u32      checksum of bytes 0..12; up to here, all versions are alike
//! 16  u64      cluster id
//! 24  u8       node id; then seven zeros
//! 32  u64      number of the segment; ascending, not without gaps
//! 40  u64      previous: number of the last record before this segment. Whatever its segment holds after that
//!              record is void.
//! 48  u64      first: number of the first record of this segment; more than `previous`
//! 56  u64      zxid at which the history ends before this segment
//! 64  u32      newest epoch promised before this segment
//! 68  u8       to whom, 0 when nobody
//! 69  u8       1 when this disk had become a member's before this segment; then two zeros
//! 72  u32      checksum of bytes 0..72
//! ```
//!
//! Kinds of a log, and their payloads: 1 append: u64 zxid, then the entry in `postcard`'s encoding; 2 promise: u32
//! epoch, u8 candidate; 3 truncate: u64 zxid; 4 reset: u64 zxid; 5 mark: nothing, it only carries `durable`; 6 join:
//! nothing, from here on this disk is a member's.
//!
//! A *snapshot*, `snapshot-ZXID`, is a header, chunks (kind 16), and a footer (kind 17: u32 number of chunks, u32
//! zero, u64 bytes of all chunks, u64 zxid), which ends the file: without it there is no snapshot. The header:
//!
//! ```text
//!  0  [u8; 8]  "vivasnap"
//!  8  u32      format version
//! 12  u32      checksum of bytes 0..12; up to here, all versions are alike
//! 16  u64      cluster id
//! 24  u8       node id; then seven zeros
//! 32  u64      zxid
//! 40  u32      zero
//! 44  u32      checksum of bytes 0..44
//! ```

mod entry;
mod log;
mod snapshot;

use std::fmt;

use crate::ids::{PeerId, Zxid};

pub use entry::EntryDecoder;
pub use log::{LogEncoder, LogRecord, Resume, SEGMENT_HEADER_BYTES, SegmentHeader, decode_log};
pub use snapshot::{SnapshotEncoder, SnapshotError, decode_snapshot};

/// The newest layout that is written and understood here.
pub const FORMAT_VERSION: u32 = 1;

/// Bytes before the payload of each record.
pub const RECORD_HEAD_BYTES: usize = 32;

/// No payload is longer: far beyond any request, and small enough that lengths never overflow.
pub const RECORD_PAYLOAD_BYTES_MAX: usize = 1 << 30;

const KIND_APPEND: u8 = 1;
const KIND_PROMISE: u8 = 2;
const KIND_TRUNCATE: u8 = 3;
const KIND_RESET: u8 = 4;
const KIND_MARK: u8 = 5;
const KIND_JOIN: u8 = 6;
const KIND_CHUNK: u8 = 16;
const KIND_FOOTER: u8 = 17;

const ALIGNMENT: usize = 8;
const _: () = assert!(RECORD_HEAD_BYTES.is_multiple_of(ALIGNMENT));
const _: () = assert!(SEGMENT_HEADER_BYTES.is_multiple_of(ALIGNMENT));

/// Whose files these are. Every file carries it, so that a disk mounted at the wrong place is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The cluster.
    pub cluster: u64,
    /// The server in it.
    pub node: PeerId,
}

/// The name of a file whose bytes are described here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FileName {
    /// A log segment, by its number.
    Segment(u64),
    /// A snapshot, by its zxid.
    Snapshot(Zxid),
}

impl FileName {
    /// The file that has this name, if it is one of ours. Temporary and foreign files are not.
    pub fn parse(name: &str) -> Option<FileName> {
        let parsed = if let Some(number) = name.strip_prefix("log-") {
            FileName::Segment(number.parse().ok()?)
        } else {
            FileName::Snapshot(Zxid(u64::from_str_radix(name.strip_prefix("snapshot-")?, 16).ok()?))
        };
        // One file, one name: "log-+7" and "log-7" are not the file "log-0000000007".
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileName::Segment(number) => write!(f, "log-{number:010}"),
            FileName::Snapshot(zxid) => write!(f, "snapshot-{:016x}", zxid.0),
        }
    }
}

/// Why a file's header is not accepted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeaderError {
    /// Too short, or the checksum does not hold.
    #[error("its header is damaged")]
    Damaged,
    /// Written by a newer release.
    #[error("its format version is {found}, this release knows up to {FORMAT_VERSION}")]
    Newer { found: u32 },
    /// Another server's.
    #[error(
        "it belongs to node {} of cluster {:016x}, this is node {} of cluster {:016x}",
        found.node, found.cluster, expected.node, expected.cluster
    )]
    Foreign { found: Identity, expected: Identity },
    /// The file's name says something else than the header.
    #[error("its header is that of {found}")]
    Misnamed { found: FileName },
}

/// The head of a record whose own checksum holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Bytes of the payload.
    pub length: usize,
    /// The kind, not looked at yet.
    pub kind: u8,
    /// The record's number.
    pub number: u64,
    /// The highest number that was known to be durable.
    pub durable: u64,
    checksum: u32,
    payload_checksum: u32,
}

impl Head {
    /// Reads the head at `offset` of a file whose header has the checksum `salt`. `None` when there is none.
    pub fn read(bytes: &[u8], offset: usize, salt: u32) -> Option<Head> {
        let head: &[u8; RECORD_HEAD_BYTES] = bytes.get(offset..)?.first_chunk()?;
        let kind = head[4];
        // The cheap test first: most offsets that a search tries are no heads.
        if !matches!(kind, KIND_APPEND..=KIND_JOIN | KIND_CHUNK | KIND_FOOTER) || head[5..8] != [0; 3] {
            return None;
        }
        let checksum = checksum(salt, &head[..24]);
        if checksum != u32_at(head, 24) {
            return None;
        }
        let length = u32_at(head, 0) as usize;
        let (number, durable) = (u64_at(head, 8), u64_at(head, 16));
        (length <= RECORD_PAYLOAD_BYTES_MAX && durable <= number).then_some(Head {
            length,
            kind,
            number,
            durable,
            checksum,
            payload_checksum: u32_at(head, 28),
        })
    }

    /// The payload of the record at `offset` whose head this is, when it is whole.
    pub fn payload<'a>(&self, bytes: &'a [u8], offset: usize) -> Option<&'a [u8]> {
        let start = offset + RECORD_HEAD_BYTES;
        let payload = bytes.get(start..start + self.length)?;
        (checksum(self.checksum, payload) == self.payload_checksum).then_some(payload)
    }

    /// Bytes from the start of this record to the start of the next.
    pub fn record_bytes(&self) -> usize {
        RECORD_HEAD_BYTES + self.length.next_multiple_of(ALIGNMENT)
    }
}

/// The first multiple of 8 in `from..` at which a head stands that `wanted` accepts.
pub fn search(
    bytes: &[u8],
    from: usize,
    salt: u32,
    mut wanted: impl FnMut(&Head) -> bool,
) -> Option<(usize, Head)> {
    (from.next_multiple_of(ALIGNMENT)..bytes.len())
        .step_by(ALIGNMENT)
        .find_map(|offset| Some((offset, Head::read(bytes, offset, salt).filter(&mut wanted)?)))
}

/// Appends a record; `fill` writes the payload.
fn write_record(
    out: &mut Vec<u8>,
    salt: u32,
    kind: u8,
    number: u64,
    durable: u64,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.resize(start + RECORD_HEAD_BYTES, 0);
    fill(out);
    let length = out.len() - start - RECORD_HEAD_BYTES;
    assert!(length <= RECORD_PAYLOAD_BYTES_MAX, "a record of {length} bytes was accepted as a request");
    assert!(durable <= number, "record {number} cannot know of {durable}");
    let (head, payload) = out[start..].split_at_mut(RECORD_HEAD_BYTES);
    head[0..4].copy_from_slice(&(length as u32).to_le_bytes());
    head[4] = kind;
    head[8..16].copy_from_slice(&number.to_le_bytes());
    head[16..24].copy_from_slice(&durable.to_le_bytes());
    let head_checksum = checksum(salt, &head[..24]);
    head[24..28].copy_from_slice(&head_checksum.to_le_bytes());
    head[28..32].copy_from_slice(&checksum(head_checksum, payload).to_le_bytes());
    out.resize(start + RECORD_HEAD_BYTES + length.next_multiple_of(ALIGNMENT), 0);
}

/// The prefix that all headers share: magic, version, identity.
fn write_prefix(header: &mut [u8], magic: &[u8; 8], identity: Identity) {
    header[0..8].copy_from_slice(magic);
    header[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    let prefix = checksum(0, &header[0..12]);
    header[12..16].copy_from_slice(&prefix.to_le_bytes());
    header[16..24].copy_from_slice(&identity.cluster.to_le_bytes());
    header[24] = identity.node.0;
}

/// Checks a header of which `checked` is all that its checksum covers, and `stored` what is written for it.
fn read_prefix(checked: &[u8], stored: u32, magic: &[u8; 8], expected: Identity) -> Result<u32, HeaderError> {
    if &checked[0..8] != magic || u32_at(checked, 12) != checksum(0, &checked[0..12]) {
        return Err(HeaderError::Damaged);
    }
    // Before the other checksum: a newer version may keep it somewhere else.
    let version = u32_at(checked, 8);
    if version > FORMAT_VERSION {
        return Err(HeaderError::Newer { found: version });
    }
    let checksum = checksum(0, checked);
    if checksum != stored || version == 0 {
        return Err(HeaderError::Damaged);
    }
    let found = Identity { cluster: u64_at(checked, 16), node: PeerId(checked[24]) };
    if found != expected {
        return Err(HeaderError::Foreign { found, expected });
    }
    Ok(checksum)
}

fn checksum(start: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(start);
    hasher.update(bytes);
    hasher.finalize()
}

/// For headers and heads, whose length has been checked.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a slice of four bytes"))
}

/// For headers and heads, whose length has been checked.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("a slice of eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_nothing_else_is_ours() {
        for file in
            [FileName::Segment(1), FileName::Segment(u64::MAX), FileName::Snapshot(Zxid(0x2_0000_0007))]
        {
            assert_eq!(FileName::parse(&file.to_string()), Some(file));
        }
        for name in
            ["log-1", "log-+000000001", "log-", "snapshot-7", "snapshot-0000000000000007.tmp", "identity", ""]
        {
            assert_eq!(FileName::parse(name), None, "{name}");
        }
        assert_eq!(FileName::parse("snapshot-000000020000000G"), None);
    }
}
