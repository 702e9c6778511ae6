//! Replays the records of a log: numbers, torn tails, damage. What snapshots there are is the parent module's
//! business, of which only the zxid of the one in use is known here.

use super::*;
use crate::record::{EntryDecoder, Head, LogRecord, RECORD_HEAD_BYTES, decode_log, search};

/// What the log says.
pub(super) struct Replayed {
    /// Where the history ends among what is not after the snapshot: the newest entry that is not, or where the
    /// history starts when there is none. Equal to the snapshot's zxid exactly when the history contains it.
    pub end_of_covered: Zxid,
    /// The entries after the snapshot's zxid.
    pub entries: Vec<SharedEntry>,
    pub resume: Resume,
    pub torn: Option<TornTail>,
    /// A last segment without any record: the next one says the same.
    pub unused: Option<FileName>,
}

/// Replays what is needed to go on from a snapshot at `base`.
pub(super) fn replay(
    identity: Identity,
    segments: &Segments,
    base: Zxid,
    read: Read<'_>,
) -> Result<Replayed, Damage> {
    let headers = &segments.headers;
    // The history up to here is in the snapshot: what lies before it is not read, and its damage does no harm.
    let start = headers.iter().rposition(|header| header.last <= base).unwrap_or(0);
    let first = headers[start];
    let mut history = History {
        start: first.last,
        base,
        covered: Vec::new(),
        entries: Vec::new(),
        decoder: EntryDecoder::default(),
    };
    let mut resume = Resume {
        previous: first.previous,
        next: first.first,
        last: first.last,
        promised: first.promised,
        candidate: first.candidate,
        member: first.member,
    };
    let mut torn = None;
    let mut unused = None;
    for (index, header) in headers.iter().enumerate().skip(start) {
        let file = FileName::Segment(header.segment);
        let damage = |offset, after, what| Damage::at(file, offset, after, what);
        if resume.previous != header.previous {
            let what = format!(
                "it follows record {}, but the log before it ends at {}",
                header.previous, resume.previous
            );
            return Err(damage(0, history.end(), what));
        }
        if header.last != history.end() {
            let what =
                format!("it follows zxid {}, but the log before it ends at {}", header.last, history.end());
            return Err(damage(0, history.end(), what));
        }
        // Promises of segments that are not read.
        promise(&mut resume, header.promised, header.candidate);
        resume.member |= header.member;
        resume.next = header.first;

        let bytes = read(file, usize::MAX).map_err(|why| Damage::unreadable(file, why))?;
        let (_, salt) = SegmentHeader::read(&bytes, header.segment, identity)
            .map_err(|error| Damage::header(file, history.end(), error))?;
        // A later segment says how many records of this one count; what follows those was never durable.
        let end = headers.get(index + 1).map(|next| next.previous);
        let mut offset = SEGMENT_HEADER_BYTES;
        while end.is_none_or(|end| resume.previous < end) {
            let Some((head, payload)) = whole(&bytes, offset, salt, resume.next) else { break };
            let at = offset as u64;
            let record = decode_log(head.kind, payload).map_err(|what| damage(at, history.end(), what))?;
            history.take(record, &mut resume).map_err(|what| damage(at, history.end(), what))?;
            resume.previous = head.number;
            resume.next = head
                .number
                .checked_add(1)
                .ok_or_else(|| damage(at, history.end(), "record numbers are used up".to_owned()))?;
            offset += head.record_bytes();
        }
        // The padding of a last record may be cut off.
        let offset = offset.min(bytes.len());
        match end {
            Some(end) if resume.previous == end => {}
            Some(end) => {
                let what = format!("record {} is damaged, and records up to {end} were durable", resume.next);
                return Err(damage(offset as u64, history.end(), what));
            }
            None => {
                let tail = judge(&bytes, offset, salt, resume.next, segments.begun)
                    .map_err(|what| damage(offset as u64, history.end(), what))?;
                if let Tail::Torn { beyond } = tail {
                    torn = Some(TornTail { segment: header.segment, valid_bytes: offset as u64 });
                    // Numbers in the tail are not used again.
                    resume.next = beyond;
                }
                unused = (offset == SEGMENT_HEADER_BYTES).then_some(file);
            }
        }
    }
    resume.last = history.end();
    let end_of_covered = history.end_of_covered();
    Ok(Replayed { end_of_covered, entries: history.entries, resume, torn, unused })
}

/// The record at `offset`, if it is whole and has this number.
fn whole(bytes: &[u8], offset: usize, salt: u32, number: u64) -> Option<(Head, &[u8])> {
    let head = Head::read(bytes, offset, salt).filter(|head| head.number == number)?;
    Some((head, head.payload(bytes, offset)?))
}

enum Tail {
    /// Nothing follows.
    Clean,
    /// Records were begun, all with numbers below `beyond`.
    Torn { beyond: u64 },
}

/// What follows the last whole record of the last segment: nothing, a torn tail, or damage.
///
/// Record `number` is not there, or not whole. Were it durable, then all that was written after it was written
/// knowing so or may have been; a record that knows it to be durable proves damage. One that does not was in the
/// same group, or was never synced either. A head alone is proof enough: it has a checksum of its own.
fn judge(bytes: &[u8], offset: usize, salt: u32, number: u64, begun: bool) -> Result<Tail, String> {
    let tail = &bytes[offset..];
    if tail.iter().all(|byte| *byte == 0) {
        return Ok(Tail::Clean);
    }
    if begun {
        return Err(format!("record {number} is damaged, and was durable when the next segment was begun"));
    }
    // No more records than this fit. Bytes that happen to have a checksum's value do not have such a number too.
    let beyond = (tail.len() / RECORD_HEAD_BYTES) as u64 + 1;
    let beyond = number.checked_add(beyond).ok_or("record numbers are used up")?;
    let witness = search(bytes, offset, salt, |head| {
        head.number > number && head.number < beyond && head.durable >= number
    });
    match witness {
        Some((at, head)) => Err(format!(
            "record {number} is damaged, and was durable before record {} at byte {at} was written",
            head.number
        )),
        None => Ok(Tail::Torn { beyond }),
    }
}

fn promise(resume: &mut Resume, epoch: Epoch, candidate: Option<PeerId>) {
    if epoch > resume.promised || (epoch == resume.promised && candidate.is_some()) {
        resume.promised = epoch;
        resume.candidate = candidate;
    }
}

/// The entries that count at some point of the replay.
struct History {
    /// Where it starts: entries up to here are only in snapshots.
    start: Zxid,
    /// The snapshot's zxid.
    base: Zxid,
    /// Zxids of entries up to the snapshot's, which are not decoded.
    covered: Vec<Zxid>,
    /// Entries after it.
    entries: Vec<SharedEntry>,
    decoder: EntryDecoder,
}

impl History {
    fn end_of_covered(&self) -> Zxid {
        self.covered.last().copied().unwrap_or(self.start)
    }

    fn end(&self) -> Zxid {
        self.entries.last().map_or_else(|| self.end_of_covered(), |entry| entry.zxid)
    }

    fn take(&mut self, record: LogRecord<'_>, resume: &mut Resume) -> Result<(), String> {
        match record {
            LogRecord::Append { zxid, entry } => {
                if zxid <= self.end() {
                    return Err(format!("entry {zxid} follows entry {}", self.end()));
                }
                if zxid <= self.base {
                    self.covered.push(zxid);
                } else {
                    self.entries.push(self.decoder.decode(zxid, entry)?);
                }
            }
            LogRecord::Promise { epoch, candidate } => promise(resume, epoch, Some(candidate)),
            LogRecord::Truncate { to } => {
                if to > self.end() {
                    return Err(format!("the log is cut to {to}, but ends at {} already", self.end()));
                }
                self.entries.truncate(self.entries.partition_point(|entry| entry.zxid <= to));
                self.covered.truncate(self.covered.partition_point(|zxid| *zxid <= to));
                // Cut to an entry of a segment that is not read: the history ends there.
                self.start = self.start.min(to);
                if self.end() != to {
                    return Err(format!("the log is cut to {to}, which it does not contain"));
                }
            }
            LogRecord::Reset { base } => {
                self.start = base;
                self.covered.clear();
                self.entries.clear();
            }
            LogRecord::Join => resume.member = true,
            LogRecord::Mark => {}
        }
        Ok(())
    }
}
