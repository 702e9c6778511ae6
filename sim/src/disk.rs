//! A node's disk: what is written, what is synced, and what a power cut leaves of the rest.
//!
//! Writes are kept as they came and become bytes, by the core's own encoders, only when recovery reads them: of what is
//! older than the newest snapshot that is hardly more than the segments' headers. Within a lane a crash keeps a prefix of the writes that were not synced; the next one may be torn, and one
//! further on may have reached the disk all the same, as disks do not keep order. Then the core's recovery reads what
//! is left. Segments are begun and purged as the real storage does it. What was synced goes bad in `rot.rs` only.

mod files;
mod rot;

use std::convert::Infallible;
use std::sync::Arc;

use vivarium_core::ids::{WriteSeq, Zxid};
use vivarium_core::io::{Lane, Write};
use vivarium_core::record::{FileName, Identity, LogEncoder, Resume, SEGMENT_HEADER_BYTES, SnapshotEncoder};
use vivarium_core::recovery::{self, Damage, Found, Recovery, retention};

use crate::decision::Draw;
use files::Files;
pub use rot::Rot;

/// A node's disk. It outlives the node's processes.
#[derive(Clone, Debug)]
pub struct Disk {
    identity: Identity,
    /// Writes after which a segment is full.
    segment_writes: usize,
    /// Snapshots that are kept.
    retain: usize,
    formatted: bool,
    segments: Files<u64, Segment>,
    snapshots: Files<Zxid, Snapshot>,
    /// The snapshot that is being written.
    unfinished: Option<(Zxid, Vec<Arc<[u8]>>)>,
    /// Where the log stands, as far as it is durable.
    resume: Resume,
    log: Pending,
    chunks: Pending,
    /// Something that was durable is damaged.
    rotten: bool,
    /// Files whose removal is not durable yet.
    removed: Vec<Removed>,
}

/// A file that a power cut may bring back.
#[derive(Clone, Debug)]
enum Removed {
    Segment(u64, Segment),
    Snapshot(Zxid, Snapshot),
}

/// What a lane has not made durable yet.
#[derive(Clone, Debug, Default)]
struct Pending {
    writes: Vec<(WriteSeq, Write)>,
    /// How many of them, from the front, a sync is under way for.
    syncing: usize,
}

#[derive(Clone, Debug)]
struct Segment {
    /// Where the history ended before it.
    last: Zxid,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    /// Bytes, as a crash left them.
    Bytes(Arc<Vec<u8>>),
    /// This run's. Shared with clones of the disk until one side writes.
    Written(Arc<Written>),
}

/// What a process has written to a segment, all of it durable.
#[derive(Clone, Debug)]
struct Written {
    /// Where the log stood before.
    resume: Resume,
    writes: Vec<Write>,
    /// How many writes there were after each sync.
    synced: Vec<usize>,
}

#[derive(Clone, Debug)]
enum Snapshot {
    Bytes(Arc<Vec<u8>>),
    Chunks(Vec<Arc<[u8]>>),
}

impl Content {
    /// As bytes, from now on.
    fn bytes(&mut self, identity: Identity, number: u64) -> &mut Arc<Vec<u8>> {
        if let Content::Written(written) = self {
            let (bytes, _) = encode(identity, number, written);
            *self = Content::Bytes(Arc::new(bytes));
        }
        match self {
            Content::Bytes(bytes) => bytes,
            Content::Written(_) => unreachable!("it became bytes a line ago"),
        }
    }
}

impl Snapshot {
    /// As bytes, from now on.
    fn bytes(&mut self, identity: Identity, zxid: Zxid) -> &mut Arc<Vec<u8>> {
        if let Snapshot::Chunks(chunks) = self {
            let mut bytes = Vec::new();
            let mut encoder = SnapshotEncoder::begin(identity, zxid, &mut bytes);
            for chunk in chunks.iter() {
                encoder.chunk(chunk, &mut bytes);
            }
            encoder.finish(&mut bytes);
            *self = Snapshot::Bytes(Arc::new(bytes));
        }
        match self {
            Snapshot::Bytes(bytes) => bytes,
            Snapshot::Chunks(_) => unreachable!("it became bytes a line ago"),
        }
    }
}

impl Disk {
    /// An empty disk.
    pub fn new(identity: Identity, segment_writes: usize, retain: usize) -> Disk {
        Disk {
            identity,
            segment_writes,
            retain,
            formatted: false,
            segments: Files::default(),
            snapshots: Files::default(),
            unfinished: None,
            resume: Resume::FRESH,
            log: Pending::default(),
            chunks: Pending::default(),
            rotten: false,
            removed: Vec::new(),
        }
    }

    /// A process starts: recovery reads the disk, and its verdict is carried out.
    ///
    /// # Errors
    /// The damage that recovery found. There must be none, unless the disk is [rotten](Disk::is_rotten).
    pub fn boot(&mut self) -> Result<Recovery, Damage> {
        let recovery = self.recover()?;
        self.cut(&recovery);
        self.delete(&recovery.garbage);
        self.formatted = true;
        self.resume = recovery.resume;
        self.begin_segment(recovery.next_segment);
        append(&mut self.resume, &mut self.segments, recovery.prelude.iter().cloned());
        Ok(recovery)
    }

    fn recover(&mut self) -> Result<Recovery, Damage> {
        let names = (self.segments.numbers().map(FileName::Segment))
            .chain(self.snapshots.numbers().map(FileName::Snapshot))
            .map(|name| name.to_string())
            .collect();
        let found = Found { identity: self.identity, formatted: self.formatted, vouched: false, names };
        let Disk { identity, segments, snapshots, .. } = self;
        recovery::recover(&found, &mut |name, most| {
            let bytes = match name {
                FileName::Segment(number) => {
                    let content = &mut segments.get_mut(number).ok_or("no such segment")?.content;
                    if let Content::Written(written) = content
                        && most <= SEGMENT_HEADER_BYTES
                    {
                        return Ok(header(*identity, number, written, most));
                    }
                    content.bytes(*identity, number)
                }
                FileName::Snapshot(zxid) => {
                    snapshots.get_mut(zxid).ok_or("no such snapshot")?.bytes(*identity, zxid)
                }
            };
            Ok(bytes[..most.min(bytes.len())].to_vec())
        })
    }

    /// Cuts off what was torn.
    fn cut(&mut self, recovery: &Recovery) {
        if let Some(torn) = recovery.torn
            && let Some(Segment { content: Content::Bytes(bytes), .. }) = self.segments.get_mut(torn.segment)
        {
            Arc::make_mut(bytes).truncate(torn.valid_bytes as usize);
        }
    }

    /// The process writes. Nothing is durable before a sync ends.
    #[inline]
    pub fn write(&mut self, lane: Lane, seq: WriteSeq, write: Write) {
        let pending = self.pending(lane);
        if let Some((last, _)) = pending.writes.last() {
            assert!(*last < seq, "{lane:?}: write {seq:?} after {last:?}");
        }
        pending.writes.push((seq, write));
    }

    /// Begins to sync all that is written, unless a sync is under way or nothing is to do. Up to which write it goes.
    pub fn begin_sync(&mut self, lane: Lane) -> Option<WriteSeq> {
        let pending = self.pending(lane);
        if pending.syncing > 0 {
            return None;
        }
        let upto = pending.writes.last()?.0;
        pending.syncing = pending.writes.len();
        if lane == Lane::Log && self.segment_is_full() {
            let next = self.segments.last().map_or(1, |(last, _)| last + 1);
            self.begin_segment(next);
        }
        Some(upto)
    }

    /// A sync has ended: tells what is durable by it.
    ///
    /// # Errors
    /// The first that `tell` gives; then the disk is of no use any more.
    pub fn end_sync<E>(&mut self, lane: Lane, tell: impl FnMut(&Write) -> Result<(), E>) -> Result<(), E> {
        let pending = self.pending(lane);
        let count = std::mem::take(&mut pending.syncing);
        pending.writes[..count].iter().map(|(_, write)| write).try_for_each(tell)?;
        match lane {
            Lane::Log => {
                let writes = self.log.writes.drain(..count).map(|(_, write)| write);
                append(&mut self.resume, &mut self.segments, writes);
            }
            Lane::Snapshot => {
                self.removed.clear();
                let mut whole = false;
                let mut chunks = std::mem::take(&mut self.chunks.writes);
                for (_, write) in chunks.drain(..count) {
                    whole |= matches!(write, Write::Chunk { last: true, .. });
                    self.append_chunk(&write);
                }
                self.chunks.writes = chunks;
                if whole {
                    self.purge();
                }
            }
        }
        Ok(())
    }

    /// Whether something is written and not durable.
    pub fn is_busy(&self) -> bool {
        !self.log.writes.is_empty() || !self.chunks.writes.is_empty()
    }

    /// An orderly end: everything is synced. Gives what became durable by it.
    pub fn shut_down(&mut self) -> Vec<Write> {
        let mut durable = Vec::new();
        let mut tell = |write: &Write| -> Result<(), Infallible> {
            durable.push(write.clone());
            Ok(())
        };
        for lane in [Lane::Log, Lane::Snapshot] {
            // What a sync is under way for, and then the rest.
            let Ok(()) = self.end_sync(lane, &mut tell);
            self.begin_sync(lane);
            let Ok(()) = self.end_sync(lane, &mut tell);
        }
        self.removed.clear();
        durable
    }

    /// The process ends, or the power goes. Gives the writes that happen to be on the disk without having been synced.
    pub fn crash(&mut self, draw: &mut Draw) -> Vec<Write> {
        // A removal that was not synced may be undone, in any order.
        for removed in std::mem::take(&mut self.removed) {
            if draw.one_in(4) {
                match removed {
                    Removed::Segment(number, segment) => self.segments.insert(number, segment),
                    Removed::Snapshot(zxid, snapshot) => self.snapshots.insert(zxid, snapshot),
                }
            }
        }
        let log = std::mem::take(&mut self.log);
        let chunks = std::mem::take(&mut self.chunks);
        let mut survivors = self.crash_log(&log, draw);
        // Chunks: a prefix, and nothing of the rest; a torn chunk is as good as a lost one without its footer.
        let kept = chunks.writes.len() - draw.below(chunks.writes.len() as u64 + 1) as usize;
        for (_, write) in chunks.writes.iter().take(kept) {
            self.append_chunk(write);
            survivors.push(write.clone());
        }
        if let Some((zxid, parts)) = self.unfinished.take() {
            // Its file is there, without a footer.
            let mut bytes = Vec::new();
            let mut encoder = SnapshotEncoder::begin(self.identity, zxid, &mut bytes);
            for part in &parts {
                encoder.chunk(part, &mut bytes);
            }
            bytes.truncate(draw.below(bytes.len() as u64 + 1) as usize);
            if self.snapshots.get(zxid).is_none() {
                self.snapshots.insert(zxid, Snapshot::Bytes(Arc::new(bytes)));
            }
        }
        survivors
    }

    fn crash_log(&mut self, log: &Pending, draw: &mut Draw) -> Vec<Write> {
        let idle = log.writes.is_empty();
        // In even weather nothing is left of what was not synced.
        let kept = log.writes.len() - draw.below(log.writes.len() as u64 + 1) as usize;
        let survivors: Vec<Write> = log.writes.iter().take(kept).map(|(_, write)| write.clone()).collect();
        let rest: Vec<&Write> = log.writes.iter().skip(kept).map(|(_, write)| write).collect();
        let Some((number, segment)) = self.segments.last_mut() else { return survivors };
        let (number, Content::Written(written)) = (*number, &segment.content) else { return survivors };
        let (mut bytes, mut encoder) = encode(self.identity, number, written);
        for write in &survivors {
            encoder.encode(write, &mut bytes);
        }
        tear(&rest, &mut encoder, &mut bytes, draw);
        segment.content = Content::Bytes(Arc::new(bytes));
        if idle && draw.one_in(16) {
            // It was just about to begin another segment.
            let mut header = Vec::new();
            encoder.synced(encoder.last_number());
            encoder.begin_segment(number + 1, &mut header);
            header.truncate(draw.below(header.len() as u64) as usize);
            let last = encoder.resume().last;
            self.segments.insert(number + 1, Segment { last, content: Content::Bytes(Arc::new(header)) });
        }
        survivors
    }

    /// All that is on it, as bytes.
    fn become_bytes(&mut self) {
        for (number, segment) in self.segments.iter_mut() {
            segment.content.bytes(self.identity, *number);
        }
        for (zxid, snapshot) in self.snapshots.iter_mut() {
            snapshot.bytes(self.identity, *zxid);
        }
    }

    fn pending(&mut self, lane: Lane) -> &mut Pending {
        match lane {
            Lane::Log => &mut self.log,
            Lane::Snapshot => &mut self.chunks,
        }
    }

    fn segment_is_full(&self) -> bool {
        self.segments.last().is_some_and(|(_, segment)| match &segment.content {
            Content::Written(written) => written.writes.len() >= self.segment_writes,
            Content::Bytes(_) => true,
        })
    }

    fn begin_segment(&mut self, number: u64) {
        let written = Written { resume: self.resume, writes: Vec::new(), synced: Vec::new() };
        let content = Content::Written(Arc::new(written));
        self.segments.insert(number, Segment { last: self.resume.last, content });
    }

    fn append_chunk(&mut self, write: &Write) {
        let Write::Chunk { zxid, index, bytes, last } = write else {
            panic!("{write:?} on the snapshots' lane");
        };
        if *index == 0 {
            self.unfinished = Some((*zxid, Vec::new()));
        }
        let Some((unfinished, chunks)) = &mut self.unfinished else {
            panic!("chunk {index} of snapshot {zxid} without its first");
        };
        assert!(
            unfinished == zxid && chunks.len() == *index as usize,
            "chunk {index} of {zxid} out of order"
        );
        chunks.push(bytes.clone());
        if *last {
            let (zxid, chunks) = self.unfinished.take().expect("it was there a line ago");
            self.snapshots.insert(zxid, Snapshot::Chunks(chunks));
        }
    }

    fn purge(&mut self) {
        let snapshots: Vec<Zxid> = self.snapshots.numbers().collect();
        let segments: Vec<(u64, Zxid)> =
            self.segments.iter().map(|(number, segment)| (*number, segment.last)).collect();
        for name in retention::purgeable(&snapshots, &segments, self.retain) {
            let removed = match name {
                FileName::Segment(number) => {
                    self.segments.remove(number).map(|segment| Removed::Segment(number, segment))
                }
                FileName::Snapshot(zxid) => {
                    self.snapshots.remove(zxid).map(|snapshot| Removed::Snapshot(zxid, snapshot))
                }
            };
            self.removed.extend(removed);
        }
    }

    fn delete(&mut self, names: &[FileName]) {
        for name in names {
            match name {
                FileName::Segment(number) => {
                    self.segments.remove(*number);
                }
                FileName::Snapshot(zxid) => {
                    self.snapshots.remove(*zxid);
                }
            }
        }
    }
}

/// Appends what was synced together to the segment that a process has begun.
fn append(
    resume: &mut Resume,
    segments: &mut Files<u64, Segment>,
    writes: impl ExactSizeIterator<Item = Write>,
) {
    if writes.len() == 0 {
        return;
    }
    let written = match segments.last_mut().map(|(_, segment)| &mut segment.content) {
        Some(Content::Written(written)) => Arc::make_mut(written),
        other => panic!("a process writes to the segment it began, not to {other:?}"),
    };
    for write in writes {
        resume.previous = resume.next;
        resume.next += 1;
        match &write {
            Write::Append(entry) => resume.last = entry.zxid,
            Write::Promise { epoch, candidate } => {
                resume.promised = *epoch;
                resume.candidate = Some(*candidate);
            }
            Write::Join => resume.member = true,
            Write::Truncate { to } => resume.last = *to,
            Write::Reset { base } => resume.last = *base,
            Write::Chunk { .. } => panic!("a chunk of a snapshot on the log's lane"),
        }
        written.writes.push(write);
    }
    written.synced.push(written.writes.len());
}

/// The first bytes of a segment, `most` of them: no more than its header has.
fn header(identity: Identity, number: u64, written: &Written, most: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
    LogEncoder::new(identity, written.resume).begin_segment(number, &mut bytes);
    bytes.truncate(most);
    bytes
}

fn encode(identity: Identity, number: u64, written: &Written) -> (Vec<u8>, LogEncoder) {
    /// What a record takes, about: so that the bytes are seldom moved while they grow.
    const RECORD_BYTES: usize = 192;
    let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES + RECORD_BYTES * written.writes.len());
    let mut encoder = LogEncoder::new(identity, written.resume);
    encoder.begin_segment(number, &mut bytes);
    let mut from = 0;
    for &upto in &written.synced {
        for write in &written.writes[from..upto] {
            encoder.encode(write, &mut bytes);
        }
        encoder.synced(encoder.last_number());
        from = upto;
    }
    (bytes, encoder)
}

/// What is left of writes that did not survive: nothing, a part, zeros, or whole records behind a hole.
fn tear(rest: &[&Write], encoder: &mut LogEncoder, bytes: &mut Vec<u8>, draw: &mut Draw) {
    let Some((first, behind)) = rest.split_first() else { return };
    let start = bytes.len();
    encoder.encode(first, bytes);
    let end = bytes.len();
    // Never so little that the record is whole: its padding is zeros anyway, so a cut there tears nothing.
    let cut = start + draw.below((end - start - 8) as u64) as usize;
    let zero = |bytes: &mut Vec<u8>| {
        // What is torn off may have been zeros to begin with; the checksums of the head are not.
        let from = if bytes[cut..].iter().all(|byte| *byte == 0) { start + 24 } else { cut };
        bytes[from..].fill(0);
    };
    match draw.below(4) {
        3 => bytes.truncate(start),
        2 => bytes.truncate(cut),
        1 => zero(bytes),
        _ => {
            zero(bytes);
            for write in behind {
                let from = bytes.len();
                encoder.encode(write, bytes);
                if draw.one_in(2) {
                    bytes[from..].fill(0);
                }
            }
        }
    }
}
