//! Snapshots on a disk, and the purge of what they make dispensable.
//!
//! A snapshot gets its name when its last chunk and its footer are durable, so whatever has the name is whole. After
//! that, older snapshots and segments are purged; a file that cannot be removed is tried again after the next one.

use std::sync::Arc;

use vivarium_core::ids::Zxid;
use vivarium_core::record::{FileName, Identity, SnapshotEncoder};
use vivarium_core::recovery::retention::purgeable;

use super::log::SegmentList;
use super::media::{Media, MediaFile};
use super::{Options, StorageError};

/// A snapshot's name until it is whole.
const SNAPSHOT_DRAFT: &str = "snapshot.tmp";

pub(super) struct SnapshotWriter {
    identity: Identity,
    data: Arc<dyn Media>,
    log: Arc<dyn Media>,
    draft: Option<Draft>,
    snapshots: Vec<Zxid>,
    segments: SegmentList,
    retain: usize,
    /// Reused by all groups.
    buffer: Vec<u8>,
}

struct Draft {
    file: Box<dyn MediaFile>,
    encoder: SnapshotEncoder,
    /// Bytes of it that are in the file.
    written: u64,
}

impl SnapshotWriter {
    pub fn new(
        identity: Identity,
        data: Arc<dyn Media>,
        log: Arc<dyn Media>,
        snapshots: Vec<Zxid>,
        segments: SegmentList,
        options: &Options,
    ) -> SnapshotWriter {
        assert!(options.retain > 0, "the newest snapshot is always kept");
        SnapshotWriter {
            identity,
            data,
            log,
            draft: None,
            snapshots,
            segments,
            retain: options.retain,
            buffer: Vec::new(),
        }
    }

    /// Takes a chunk; it is durable after [`flush`](SnapshotWriter::flush), or at once when it is the last.
    ///
    /// # Panics
    /// When chunks are not in order: the driver's contract.
    pub fn chunk(&mut self, zxid: Zxid, index: u32, bytes: &[u8], last: bool) -> Result<usize, StorageError> {
        if index == 0 {
            self.buffer.clear();
            let file = self.data.create(SNAPSHOT_DRAFT, &FileName::Snapshot(zxid).to_string())?;
            let encoder = SnapshotEncoder::begin(self.identity, zxid, &mut self.buffer);
            self.draft = Some(Draft { file, encoder, written: 0 });
        }
        let draft = self.draft.as_mut().expect("a snapshot begins with chunk 0");
        assert_eq!(draft.encoder.position(), (zxid, index), "chunks come in order");
        draft.encoder.chunk(bytes, &mut self.buffer);
        if last {
            self.finish(zxid)?;
        }
        Ok(bytes.len())
    }

    /// Makes all chunks so far durable.
    pub fn flush(&mut self) -> Result<(), StorageError> {
        let Some(draft) = &mut self.draft else { return Ok(()) };
        if !self.buffer.is_empty() {
            draft.file.write_at(draft.written, &self.buffer)?;
            draft.file.sync()?;
            draft.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }

    fn finish(&mut self, zxid: Zxid) -> Result<(), StorageError> {
        let draft = self.draft.as_ref().expect("only a draft is finished");
        draft.encoder.clone().finish(&mut self.buffer);
        self.flush()?;
        self.draft = None;
        self.data.rename(SNAPSHOT_DRAFT, &FileName::Snapshot(zxid).to_string())?;
        self.data.sync_names()?;
        if !self.snapshots.contains(&zxid) {
            self.snapshots.push(zxid);
        }
        Ok(())
    }

    /// Removes what is not needed any more. Failing to is no danger, and is only said.
    pub fn purge(&mut self) {
        let segments = self.segments.lock().expect("nobody panics with it held").clone();
        let files = purgeable(&self.snapshots, &segments, self.retain);
        for file in &files {
            let media = match file {
                FileName::Segment(_) => &self.log,
                FileName::Snapshot(_) => &self.data,
            };
            if let Err(error) = media.remove(&file.to_string()) {
                tracing::warn!("purge: {error}");
                continue;
            }
            match file {
                FileName::Segment(number) => {
                    self.segments
                        .lock()
                        .expect("nobody panics with it held")
                        .retain(|(other, _)| other != number);
                }
                FileName::Snapshot(zxid) => self.snapshots.retain(|other| other != zxid),
            }
            tracing::debug!("purged {}", media.path().join(file.to_string()).display());
        }
        if !files.is_empty() {
            for media in [&self.data, &self.log] {
                if let Err(error) = media.sync_names() {
                    tracing::warn!("purge: {error}");
                }
            }
        }
    }
}
