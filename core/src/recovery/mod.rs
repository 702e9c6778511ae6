//! What the disk gave back, and whether to trust it: bytes in, a verdict out.
//!
//! What it guarantees:
//! * A record that was durable, and so may have been promised to a peer, is given back or the verdict is
//!   [`Damage`]. Only what was never known to be durable is dropped without a word: the torn tail of the last
//!   segment. One case cannot be told from the other: damage to the very last record, when no later record,
//!   mark or segment says that it had been durable. An idle log lane therefore writes a mark.
//! * A torn tail never leads to a refusal.
//! * It panics on no bytes whatever, and reads no file that it does not need: of the snapshots the newest that is
//!   whole, of the log what follows it.
//!
//! How the pieces fit. A log is a list of segments; each begins with a header that says where record numbers and
//! the history stood, so that older ones can be purged ([`retention`]). The *history* of a log is a start, given by
//! the first header or the last reset, and the entries after it. A snapshot fits a history that contains its zxid:
//! then the entries after it count. One that the history does not contain is of a state that a quorum committed and
//! this log does not have, or not yet: it was installed from a leader, or its entries were still on their way to
//! the disk. Then the log's entries are void, since none of them after the snapshot's zxid can ever have been
//! committed, and [`Recovery::prelude`] says so in the log before anything is added to it.
//!
//! It does not repair: what to cut and what to delete is said in the verdict, and is for the driver to do.

mod replay;
pub mod retention;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::entry::SharedEntry;
use crate::ids::{Epoch, PeerId, Zxid};
use crate::io::Write;
use crate::record::{
    FileName, HeaderError, Identity, Resume, SEGMENT_HEADER_BYTES, SegmentHeader, SnapshotError,
    decode_snapshot,
};

/// What a node starts from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovered {
    /// The newest epoch promised, at least the epoch of the last entry.
    pub promised: Epoch,
    /// To whom.
    pub candidate: Option<PeerId>,
    /// Whether this disk is a member's: see the order's part on membership. A blank one is not.
    pub member: bool,
    /// The newest whole snapshot: its zxid and its chunks.
    pub snapshot: Option<(Zxid, Vec<Arc<[u8]>>)>,
    /// The entries after the snapshot, in order, committed or not.
    pub entries: Vec<SharedEntry>,
}

/// Which files there are.
#[derive(Clone, Debug)]
pub struct Found {
    /// Whose they must be.
    pub identity: Identity,
    /// Whether this node's first segment was durable once: then it must still be there. Without this, a log
    /// directory that is not mounted would make a node forget what it has promised.
    pub formatted: bool,
    /// The operator says that this disk counts as a member's although it may be blank. It is marked so.
    pub vouched: bool,
    /// Names, in any order; those that are not ours are ignored.
    pub names: Vec<String>,
}

/// Gives the first bytes of a file, at most so many; or says why not.
pub type Read<'a> = &'a mut dyn FnMut(FileName, usize) -> Result<Vec<u8>, String>;

/// What a node starts from, and what its storage needs to go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovery {
    /// For the node.
    pub recovered: Recovered,
    /// For the log's encoder.
    pub resume: Resume,
    /// The number for the next segment. Each run begins one.
    pub next_segment: u64,
    /// To be written to that segment before anything else.
    pub prelude: Vec<Write>,
    /// Bytes to cut off the end of the last segment. The cut must be durable before the next segment is there.
    pub torn: Option<TornTail>,
    /// Files that serve nothing: damaged, superseded or never finished.
    pub garbage: Vec<FileName>,
    /// Segments that remain: number, and where the history ended before it.
    pub segments: Vec<(u64, Zxid)>,
    /// Snapshots that remain; those older than the one used are taken on trust.
    pub snapshots: Vec<Zxid>,
    /// What an operator should hear of.
    pub remarks: Vec<String>,
}

/// The end of the last segment that never became durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TornTail {
    /// The segment's number.
    pub segment: u64,
    /// Its length without the tail, bytes.
    pub valid_bytes: u64,
}

/// Why a node cannot start from its disk. If it did, it might vote against what it has promised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The file.
    pub file: FileName,
    /// Where in it, bytes.
    pub offset: u64,
    /// The newest zxid before the place.
    pub after: Zxid,
    /// What is wrong.
    pub what: String,
    /// What an operator can do about it.
    pub remedy: Remedy,
}

/// What an operator can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remedy {
    /// Something that may have been promised is lost: take the state from the others.
    CopyAnew,
    /// Start what these files belong to.
    RightOwner,
    /// Start the release that wrote them.
    RightRelease,
    /// Find out why the disk does not give the bytes.
    CheckDisk,
}

impl Damage {
    fn at(file: FileName, offset: u64, after: Zxid, what: String) -> Damage {
        Damage { file, offset, after, what, remedy: Remedy::CopyAnew }
    }

    fn unreadable(file: FileName, why: String) -> Damage {
        let what = format!("it cannot be read: {why}");
        Damage { file, offset: 0, after: Zxid::ZERO, what, remedy: Remedy::CheckDisk }
    }

    fn header(file: FileName, after: Zxid, error: HeaderError) -> Damage {
        let remedy = match error {
            HeaderError::Damaged => Remedy::CopyAnew,
            HeaderError::Newer { .. } => Remedy::RightRelease,
            HeaderError::Foreign { .. } | HeaderError::Misnamed { .. } => Remedy::RightOwner,
        };
        Damage { file, offset: 0, after, what: error.to_string(), remedy }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}. ", self.file, self.offset, self.what)?;
        match self.remedy {
            Remedy::CopyAnew => write!(
                f,
                "History after zxid {} is damaged, and this node may have acknowledged it, so it does not start. \
                 Either remove this node's data and log directories, while a majority of the others is up and \
                 healthy, so that it copies the state anew from them; or restore the directories from a backup",
                self.after
            ),
            Remedy::RightOwner => write!(
                f,
                "Nothing was changed. Check myid and the configured directories: each server needs its own"
            ),
            Remedy::RightRelease => {
                write!(f, "Nothing was changed. Start the release that wrote it, or a newer one")
            }
            Remedy::CheckDisk => write!(f, "Nothing was changed. Check the disk and the file's permissions"),
        }
    }
}

impl std::error::Error for Damage {}

/// What to make of these files.
///
/// # Errors
/// [`Damage`] when something that may have been promised is lost or cannot be read, or is not this node's.
pub fn recover(found: &Found, read: Read<'_>) -> Result<Recovery, Damage> {
    let (segments, snapshots) = sort(&found.names);
    let mut garbage = Vec::new();
    let mut remarks = Vec::new();
    let segments = Segments::open(found, &segments, read, &mut garbage)?;
    let newest = newest_snapshot(found.identity, &snapshots, read)?;
    for (zxid, error) in &newest.damaged {
        remarks.push(format!("{} is not usable: {error}", FileName::Snapshot(*zxid)));
        garbage.push(FileName::Snapshot(*zxid));
    }
    if let Some(damage) = &segments.broken {
        remarks.push(format!("{} is damaged, but not needed: {}", damage.file, damage.what));
    }
    if segments.headers.is_empty() {
        // A snapshot without any log: whatever was promised after it is gone.
        let lost = found.formatted || newest.whole.is_some() || !newest.damaged.is_empty();
        return if lost {
            Err(no_log(&newest))
        } else {
            Ok(fresh(segments.next, garbage).vouch(found.vouched))
        };
    }

    let base = newest.whole.as_ref().map_or(Zxid::ZERO, |(zxid, _)| *zxid);
    let replayed = replay::replay(found.identity, &segments, base, read)?;
    if replayed.end_of_covered > base {
        if let Some(damage) = segments.broken {
            return Err(damage);
        }
        // The oldest entry still in the log is after the newest snapshot that can be read.
        let what = match newest.damaged.first() {
            Some((_, error)) => error.to_string(),
            None => format!(
                "the log goes on from zxid {}, but there is no such snapshot",
                replayed.end_of_covered
            ),
        };
        let missing = newest.damaged.first().map_or(replayed.end_of_covered, |(zxid, _)| *zxid);
        return Err(Damage::at(FileName::Snapshot(missing), 0, base, what));
    }
    let contained = replayed.end_of_covered == base;
    let mut resume = replayed.resume;
    let (entries, prelude) = if contained {
        (replayed.entries, Vec::new())
    } else {
        remarks.push(format!(
            "the log does not contain zxid {base}, which the newest snapshot is of: {} entries of the log that are \
             newer are void",
            replayed.entries.len()
        ));
        (Vec::new(), vec![Write::Reset { base }])
    };
    // Who has state of an epoch follows its leader and no older one, promise or not.
    let newest_epoch = entries.last().map_or(base, |entry| entry.zxid).epoch();
    if newest_epoch > resume.promised {
        resume.promised = newest_epoch;
        resume.candidate = None;
    }
    garbage.extend(replayed.unused);
    Ok(Recovery {
        recovered: Recovered {
            promised: resume.promised,
            candidate: resume.candidate,
            member: resume.member,
            snapshot: newest.whole,
            entries,
        },
        resume,
        next_segment: segments.next,
        prelude,
        torn: replayed.torn,
        segments: segments.remaining(&garbage),
        snapshots: snapshots
            .into_iter()
            .filter(|zxid| !garbage.contains(&FileName::Snapshot(*zxid)))
            .collect(),
        garbage,
        remarks,
    }
    .vouch(found.vouched))
}

impl Recovery {
    /// Makes this disk a member's on the operator's word.
    fn vouch(mut self, vouched: bool) -> Recovery {
        if vouched && !self.recovered.member {
            self.recovered.member = true;
            self.prelude.push(Write::Join);
            self.remarks
                .push("this disk was no member's, and counts as one on the operator's word".to_owned());
        }
        self
    }
}

/// Segments and snapshots by name, both ascending.
fn sort(names: &[String]) -> (Vec<u64>, Vec<Zxid>) {
    let mut segments = Vec::new();
    let mut snapshots = Vec::new();
    for name in names {
        match FileName::parse(name) {
            Some(FileName::Segment(number)) => segments.push(number),
            Some(FileName::Snapshot(zxid)) => snapshots.push(zxid),
            None => {}
        }
    }
    segments.sort_unstable();
    snapshots.sort_unstable();
    (segments, snapshots)
}

/// The log's segments, by their headers.
struct Segments {
    /// Ascending, and none is missing in between.
    headers: Vec<SegmentHeader>,
    /// The newest segment before them whose header is damaged: the log does not reach further back.
    broken: Option<Damage>,
    /// Whether a newer segment was begun and its header never became durable. All before it was durable then.
    begun: bool,
    /// The number for the next one.
    next: u64,
}

impl Segments {
    fn open(
        found: &Found,
        numbers: &[u64],
        read: Read<'_>,
        garbage: &mut Vec<FileName>,
    ) -> Result<Segments, Damage> {
        let next = numbers.last().map_or(1, |last| last.saturating_add(1));
        let mut segments = Segments { headers: Vec::new(), broken: None, begun: false, next };
        for (index, &number) in numbers.iter().enumerate() {
            let file = FileName::Segment(number);
            let after = segments.headers.last().map_or(Zxid::ZERO, |header| header.last);
            let unreadable = |why| Damage::unreadable(file, why);
            let page = read(file, SEGMENT_HEADER_BYTES).map_err(unreadable)?;
            match SegmentHeader::read(&page, number, found.identity) {
                Ok((header, _)) => segments.headers.push(header),
                Err(error @ HeaderError::Damaged) => {
                    let last = index + 1 == numbers.len();
                    // A header is durable before a record follows it, so records mean that it was whole once.
                    let whole = read(file, usize::MAX).map_err(unreadable)?;
                    let empty = whole.iter().skip(SEGMENT_HEADER_BYTES).all(|byte| *byte == 0);
                    if last && (!empty || (numbers.len() == 1 && found.formatted)) {
                        return Err(Damage::header(file, after, error));
                    }
                    if empty {
                        // Begun and never used. A later one, if there is any, says where it goes on: were there
                        // records in this one once, it would go on after those, and be found not to fit.
                        segments.begun = last;
                        garbage.push(file);
                        continue;
                    }
                    segments.broken = Some(Damage::header(file, after, error));
                    garbage
                        .extend(segments.headers.drain(..).map(|header| FileName::Segment(header.segment)));
                    garbage.push(file);
                }
                Err(error) => return Err(Damage::header(file, after, error)),
            }
        }
        // A segment that was begun tells nothing of what it follows.
        match segments.broken {
            Some(damage) if segments.headers.is_empty() => Err(damage),
            _ => Ok(segments),
        }
    }

    /// Those that are not garbage, as [`retention`] wants them.
    fn remaining(&self, garbage: &[FileName]) -> Vec<(u64, Zxid)> {
        self.headers
            .iter()
            .filter(|header| !garbage.contains(&FileName::Segment(header.segment)))
            .map(|header| (header.segment, header.last))
            .collect()
    }
}

/// The newest snapshot that is whole, and the newer ones that are not.
struct Newest {
    whole: Option<(Zxid, Vec<Arc<[u8]>>)>,
    damaged: Vec<(Zxid, SnapshotError)>,
}

fn newest_snapshot(identity: Identity, ascending: &[Zxid], read: Read<'_>) -> Result<Newest, Damage> {
    let mut newest = Newest { whole: None, damaged: Vec::new() };
    for &zxid in ascending.iter().rev() {
        let file = FileName::Snapshot(zxid);
        let bytes = read(file, usize::MAX).map_err(|why| Damage::unreadable(file, why))?;
        match decode_snapshot(&bytes, zxid, identity) {
            Ok(chunks) => {
                newest.whole = Some((zxid, chunks));
                break;
            }
            // Not damage: the operator has to do something else than to throw the files away.
            Err(SnapshotError::Header(error @ (HeaderError::Foreign { .. } | HeaderError::Newer { .. }))) => {
                return Err(Damage::header(file, Zxid::ZERO, error));
            }
            Err(error) => newest.damaged.push((zxid, error)),
        }
    }
    Ok(newest)
}

fn no_log(newest: &Newest) -> Damage {
    let after = newest.whole.as_ref().map_or(Zxid::ZERO, |(zxid, _)| *zxid);
    let what = "there is no log, although this node has run before; is the log directory mounted?".to_owned();
    Damage::at(FileName::Segment(1), 0, after, what)
}

/// A node that has never run.
fn fresh(next_segment: u64, garbage: Vec<FileName>) -> Recovery {
    Recovery {
        recovered: Recovered::default(),
        resume: Resume::FRESH,
        next_segment,
        prelude: Vec::new(),
        torn: None,
        garbage,
        segments: Vec::new(),
        snapshots: Vec::new(),
        remarks: Vec::new(),
    }
}
