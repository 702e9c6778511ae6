//! The log on a disk: groups of writes, each one write and one sync; segments that grow in steps and are rolled.
//!
//! When [`commit`](LogWriter::commit) returns, the group would survive a power cut. When it fails, the log must not
//! be written again in this run: what of the group is on the disk is for the next recovery to find out.
//!
//! A segment is zeroed ahead of its records, so that a sync has no change of length or of extents to write along
//! with them. Zeros and not `fallocate`: a full disk then shows before a record is half written, on any file system.

use std::sync::{Arc, Mutex};

use vivarium_core::ids::Zxid;
use vivarium_core::io::Write;
use vivarium_core::record::{FileName, Identity, LogEncoder, Resume};

use super::media::{Media, MediaFile};
use super::{Options, StorageError};

/// Segments on the disk: number, and where the history ended before it. Shared with the one who purges.
pub(super) type SegmentList = Arc<Mutex<Vec<(u64, Zxid)>>>;

/// A segment's name until its header is durable.
const SEGMENT_DRAFT: &str = "log.tmp";

const ZEROS: &[u8] = &[0; 64 << 10];
/// What a new segment takes of the disk.
const FIRST_STEP_BYTES: u64 = 64 << 10;
/// The most that is zeroed ahead: enough to be rare, little enough not to delay a group noticeably.
const STEP_BYTES_MAX: u64 = 1 << 20;

pub(super) struct LogWriter {
    media: Arc<dyn Media>,
    encoder: LogEncoder,
    file: Box<dyn MediaFile>,
    segment: u64,
    /// Where the next record goes.
    offset: u64,
    /// The file has bytes up to here, zeros after `offset`.
    allocated: u64,
    segment_bytes_max: u64,
    segments: SegmentList,
    /// Reused by all groups.
    buffer: Vec<u8>,
}

impl LogWriter {
    /// Begins the next segment, with a `prelude` before anything else. All older segments must be durable.
    pub fn begin(
        media: Arc<dyn Media>,
        identity: Identity,
        resume: Resume,
        segment: u64,
        prelude: &[Write],
        segments: SegmentList,
        options: &Options,
    ) -> Result<LogWriter, StorageError> {
        let mut encoder = LogEncoder::new(identity, resume);
        let mut buffer = Vec::new();
        let (file, offset) = create_segment(&*media, &mut encoder, segment, &segments, &mut buffer)?;
        let mut writer = LogWriter {
            media,
            encoder,
            file,
            segment,
            offset,
            allocated: FIRST_STEP_BYTES,
            segment_bytes_max: options.segment_bytes,
            segments,
            buffer,
        };
        if !prelude.is_empty() {
            writer.commit(prelude.iter())?;
        }
        Ok(writer)
    }

    /// Makes a group of writes durable. Gives its size, bytes.
    pub fn commit<'a>(&mut self, writes: impl Iterator<Item = &'a Write>) -> Result<usize, StorageError> {
        if self.offset >= self.segment_bytes_max {
            self.roll()?;
        }
        self.buffer.clear();
        for write in writes {
            self.encoder.encode(write, &mut self.buffer);
        }
        self.append()?;
        self.sync()?;
        Ok(self.buffer.len())
    }

    /// Says on the disk that everything so far is durable, without a sync of its own: when the log is idle.
    pub fn mark(&mut self) -> Result<(), StorageError> {
        self.buffer.clear();
        self.encoder.mark(&mut self.buffer);
        self.append()
    }

    fn append(&mut self) -> Result<(), StorageError> {
        let end = self.offset + self.buffer.len() as u64;
        if end > self.allocated {
            // The zeros first: a disk that is full then fails before anything of the group is there.
            let step = self.allocated.min(STEP_BYTES_MAX);
            let allocated = (end + step).next_multiple_of(4096);
            let mut at = end;
            while at < allocated {
                let zeros = &ZEROS[..ZEROS.len().min((allocated - at) as usize)];
                self.file.write_at(at, zeros)?;
                at += zeros.len() as u64;
            }
            self.allocated = allocated;
        }
        self.file.write_at(self.offset, &self.buffer)?;
        self.offset = end;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.file.sync()?;
        self.encoder.synced(self.encoder.last_number());
        Ok(())
    }

    fn roll(&mut self) -> Result<(), StorageError> {
        // There may be a mark that is not durable; whatever precedes a segment's beginning has to be.
        self.sync()?;
        self.segment += 1;
        (self.file, self.offset) =
            create_segment(&*self.media, &mut self.encoder, self.segment, &self.segments, &mut self.buffer)?;
        self.allocated = FIRST_STEP_BYTES;
        Ok(())
    }
}

/// A new segment under its name, with a durable header and zeros after it. Also gives where its records begin.
fn create_segment(
    media: &dyn Media,
    encoder: &mut LogEncoder,
    segment: u64,
    segments: &SegmentList,
    buffer: &mut Vec<u8>,
) -> Result<(Box<dyn MediaFile>, u64), StorageError> {
    buffer.clear();
    let header = encoder.begin_segment(segment, buffer);
    let header_bytes = buffer.len() as u64;
    buffer.resize(FIRST_STEP_BYTES as usize, 0);
    let name = FileName::Segment(segment).to_string();
    let mut file = media.create(SEGMENT_DRAFT, &name)?;
    file.write_at(0, buffer)?;
    file.sync()?;
    media.rename(SEGMENT_DRAFT, &name)?;
    media.sync_names()?;
    segments.lock().expect("nobody panics with it held").push((segment, header.last));
    Ok((file, header_bytes))
}
