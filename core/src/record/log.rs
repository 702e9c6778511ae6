//! Records of the log: the encoder that a log lane owns, and the decoder that recovery uses. The layout is in the
//! parent module.
//!
//! The encoder never claims durability it was not told of. It decides neither when a segment is full nor when to
//! sync; it opens no file.

use super::*;
use crate::entry::SharedEntry;
use crate::ids::{Epoch, PeerId, Zxid};
use crate::io::Write;

/// Bytes before the first record of a segment: a page of its own, so that no record ever shares a sector with it.
pub const SEGMENT_HEADER_BYTES: usize = 4096;

const MAGIC: &[u8; 8] = b"vivalog\n";
const CHECKED_BYTES: usize = 72;

/// What the first page of a segment says. It makes all older segments dispensable, once a snapshot covers them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// The segment's number.
    pub segment: u64,
    /// Number of the last record before this segment; 0 when there was none.
    pub previous: u64,
    /// Number of the first record in this segment, if it holds one.
    pub first: u64,
    /// Where the history ends before this segment.
    pub last: Zxid,
    /// The newest epoch promised before this segment.
    pub promised: Epoch,
    /// To whom.
    pub candidate: Option<PeerId>,
    /// Whether this disk had become a member's before this segment.
    pub member: bool,
}

impl SegmentHeader {
    /// Reads the header of a segment whose file name has the number `segment`. Also gives what the checksums of
    /// the segment's records start from.
    ///
    /// # Errors
    /// See [`HeaderError`]. Only the first [`SEGMENT_HEADER_BYTES`] of `bytes` are looked at.
    pub fn read(bytes: &[u8], segment: u64, identity: Identity) -> Result<(SegmentHeader, u32), HeaderError> {
        let page: &[u8; SEGMENT_HEADER_BYTES] = bytes.first_chunk().ok_or(HeaderError::Damaged)?;
        let salt = read_prefix(&page[..CHECKED_BYTES], u32_at(page, CHECKED_BYTES), MAGIC, identity)?;
        let header = SegmentHeader {
            segment: u64_at(page, 32),
            previous: u64_at(page, 40),
            first: u64_at(page, 48),
            last: Zxid(u64_at(page, 56)),
            promised: Epoch(u32_at(page, 64)),
            candidate: (page[68] != 0).then_some(PeerId(page[68])),
            member: page[69] != 0,
        };
        if header.segment != segment {
            return Err(HeaderError::Misnamed { found: FileName::Segment(header.segment) });
        }
        if header.first <= header.previous {
            return Err(HeaderError::Damaged);
        }
        Ok((header, salt))
    }

    fn write(&self, identity: Identity, out: &mut Vec<u8>) -> u32 {
        assert!(self.first > self.previous, "record numbers ascend");
        let start = out.len();
        out.resize(start + SEGMENT_HEADER_BYTES, 0);
        let page = &mut out[start..];
        write_prefix(page, MAGIC, identity);
        page[32..40].copy_from_slice(&self.segment.to_le_bytes());
        page[40..48].copy_from_slice(&self.previous.to_le_bytes());
        page[48..56].copy_from_slice(&self.first.to_le_bytes());
        page[56..64].copy_from_slice(&self.last.0.to_le_bytes());
        page[64..68].copy_from_slice(&self.promised.0.to_le_bytes());
        page[68] = self.candidate.map_or(0, |peer| peer.0);
        page[69] = u8::from(self.member);
        let salt = checksum(0, &page[..CHECKED_BYTES]);
        page[CHECKED_BYTES..CHECKED_BYTES + 4].copy_from_slice(&salt.to_le_bytes());
        salt
    }
}

/// Where a log goes on: what recovery hands to the encoder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resume {
    /// Number of the last record that is kept; 0 when there is none.
    pub previous: u64,
    /// Number of the next record: beyond every number that the files can have a trace of.
    pub next: u64,
    /// Where the history of the log ends.
    pub last: Zxid,
    /// The newest epoch promised.
    pub promised: Epoch,
    /// To whom.
    pub candidate: Option<PeerId>,
    /// Whether this disk is a member's.
    pub member: bool,
}

impl Resume {
    /// Of a log that has never been written.
    pub const FRESH: Resume =
        Resume { previous: 0, next: 1, last: Zxid::ZERO, promised: Epoch(0), candidate: None, member: false };
}

/// Makes the bytes of a log, record after record.
///
/// 1. Call [`begin_segment`](LogEncoder::begin_segment), at the start of each run and then when a segment is full.
///    Everything written before must be durable by then, and the header must be durable before a record follows it.
/// 2. Call [`encode`](LogEncoder::encode) for each write, in order, and append the bytes to the segment.
/// 3. Say with [`synced`](LogEncoder::synced) which numbers are durable. Never doing so is safe, and makes damage
///    look like a torn tail.
#[derive(Clone, Debug)]
pub struct LogEncoder {
    identity: Identity,
    resume: Resume,
    durable: u64,
    salt: u32,
}

impl LogEncoder {
    /// Goes on where a log ends. What recovery kept must be durable: it may have been read from a cache.
    pub fn new(identity: Identity, resume: Resume) -> LogEncoder {
        assert!(resume.next > resume.previous, "record numbers ascend");
        LogEncoder { identity, resume, durable: resume.previous, salt: 0 }
    }

    /// Appends the header of a new segment; `segment` is more than that of any other.
    pub fn begin_segment(&mut self, segment: u64, out: &mut Vec<u8>) -> SegmentHeader {
        assert_eq!(self.durable, self.resume.previous, "a segment is synced whole before the next begins");
        let header = SegmentHeader {
            segment,
            previous: self.resume.previous,
            first: self.resume.next,
            last: self.resume.last,
            promised: self.resume.promised,
            candidate: self.resume.candidate,
            member: self.resume.member,
        };
        self.salt = header.write(self.identity, out);
        header
    }

    /// Appends the record of one write of the log lane, and gives its number.
    ///
    /// # Panics
    /// On a chunk of a snapshot, which has a lane and a file of its own.
    pub fn encode(&mut self, write: &Write, out: &mut Vec<u8>) -> u64 {
        match write {
            Write::Append(entry) => self.append(entry, out),
            Write::Promise { epoch, candidate } => {
                self.resume.promised = *epoch;
                self.resume.candidate = Some(*candidate);
                self.record(KIND_PROMISE, out, |out| {
                    out.extend_from_slice(&epoch.0.to_le_bytes());
                    out.push(candidate.0);
                })
            }
            Write::Truncate { to } => {
                self.resume.last = *to;
                self.record(KIND_TRUNCATE, out, |out| out.extend_from_slice(&to.0.to_le_bytes()))
            }
            Write::Reset { base } => {
                self.resume.last = *base;
                self.record(KIND_RESET, out, |out| out.extend_from_slice(&base.0.to_le_bytes()))
            }
            Write::Join => {
                self.resume.member = true;
                self.record(KIND_JOIN, out, |_| ())
            }
            Write::Chunk { .. } => panic!("chunks of snapshots do not go to the log"),
        }
    }

    /// Appends a record that changes nothing. It tells a later recovery what was durable before it, so that damage
    /// to the last record of an idle log is not taken for a torn tail.
    pub fn mark(&mut self, out: &mut Vec<u8>) -> u64 {
        self.record(KIND_MARK, out, |_| ())
    }

    /// Every record up to `number` would survive a power cut.
    pub fn synced(&mut self, number: u64) {
        assert!(number <= self.resume.previous, "record {number} has not been written");
        self.durable = self.durable.max(number);
    }

    /// The number of the last record.
    pub fn last_number(&self) -> u64 {
        self.resume.previous
    }

    /// Where the log would go on if all of it were durable.
    pub fn resume(&self) -> Resume {
        self.resume
    }

    fn append(&mut self, entry: &SharedEntry, out: &mut Vec<u8>) -> u64 {
        self.resume.last = entry.zxid;
        self.record(KIND_APPEND, out, |out| {
            out.extend_from_slice(&entry.zxid.0.to_le_bytes());
            entry::encode(out, entry);
        })
    }

    fn record(&mut self, kind: u8, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) -> u64 {
        let number = self.resume.next;
        write_record(out, self.salt, kind, number, self.durable, fill);
        self.resume.previous = number;
        self.resume.next = number + 1;
        number
    }
}

/// A record of a log, decoded as far as it has to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogRecord<'a> {
    /// An entry. Decoded with [`EntryDecoder`] when it is needed.
    Append { zxid: Zxid, entry: &'a [u8] },
    /// A promise.
    Promise { epoch: Epoch, candidate: PeerId },
    /// Entries after `to` are void.
    Truncate { to: Zxid },
    /// All entries before are void; the history goes on after `base`.
    Reset { base: Zxid },
    /// Nothing.
    Mark,
    /// This disk is a member's.
    Join,
}

/// What a record of a log with this kind and payload, whose checksums hold, says.
///
/// # Errors
/// What is wrong. Since the checksums hold, it was written by another release.
pub fn decode_log(kind: u8, payload: &[u8]) -> Result<LogRecord<'_>, String> {
    let zxid = || Some(Zxid(u64::from_le_bytes(payload.try_into().ok()?)));
    let record = match kind {
        KIND_APPEND => payload
            .split_first_chunk()
            .map(|(zxid, entry)| LogRecord::Append { zxid: Zxid(u64::from_le_bytes(*zxid)), entry }),
        KIND_PROMISE => payload.split_first_chunk().and_then(|(epoch, rest)| match rest {
            [candidate] => Some(LogRecord::Promise {
                epoch: Epoch(u32::from_le_bytes(*epoch)),
                candidate: PeerId(*candidate),
            }),
            _ => None,
        }),
        KIND_TRUNCATE => zxid().map(|to| LogRecord::Truncate { to }),
        KIND_RESET => zxid().map(|base| LogRecord::Reset { base }),
        KIND_MARK => payload.is_empty().then_some(LogRecord::Mark),
        KIND_JOIN => payload.is_empty().then_some(LogRecord::Join),
        _ => return Err(format!("a record of unknown kind {kind}")),
    };
    record.ok_or_else(|| format!("a record of kind {kind} has {} bytes, which is wrong", payload.len()))
}
