//! Disks that go bad: bits that flip in what was synced long ago, and writes that land at another's place.
//!
//! What is damaged here was durable, and something that is left says so: the record that was written with the knowledge
//! that it was. So recovery has no excuse. It may find that it does not need the place, and start from all that it had
//! acknowledged, or it must refuse; what it must never do is to take damage for a tail that was torn off. Only the very
//! last group of a log, which no later record vouches for, is left alone: no reader can tell its damage from a power cut
//! in the middle of writing it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vivarium_core::record::{FileName, Head, Identity, SEGMENT_HEADER_BYTES, SegmentHeader};

use super::{Content, Disk, Segment, Snapshot};
use crate::decision::Draw;

/// What goes bad.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Rot {
    /// Bits of the log.
    Log,
    /// Bits of a snapshot.
    Snapshot,
    /// Records of the log, by others that were written over them.
    LogMisdirected,
    /// A snapshot, by a part of it or of another that was written over it.
    SnapshotMisdirected,
}

/// A record of the log that was durable, and may go bad.
struct Place {
    segment: u64,
    offset: usize,
    /// Where the durable records that follow it in its segment end.
    end: usize,
}

impl Disk {
    /// Damages what was durable. Gives whether there was anything to damage.
    pub fn rot(&mut self, rot: Rot, draw: &mut Draw) -> bool {
        self.become_bytes();
        let done = match rot {
            Rot::Log | Rot::LogMisdirected => self.rot_log(rot == Rot::LogMisdirected, draw),
            Rot::Snapshot | Rot::SnapshotMisdirected => {
                self.rot_snapshot(rot == Rot::SnapshotMisdirected, draw)
            }
        };
        self.rotten |= done;
        done
    }

    fn rot_log(&mut self, misdirected: bool, draw: &mut Draw) -> bool {
        let places = self.places();
        if places.is_empty() {
            return false;
        }
        if !misdirected && draw.one_in(6) {
            // A header: what its checksum covers.
            let segment = draw.pick(&places).segment;
            let Some(bytes) = self.segment_bytes(segment) else { return false };
            bytes[draw.below(76) as usize] ^= 1 << draw.below(8);
            return true;
        }
        let Place { segment, offset, end } = *draw.pick(&places);
        let source = {
            let Place { segment, offset, end } = *draw.pick(&places);
            self.segment_bytes(segment).map(|bytes| bytes[offset..end].to_vec()).unwrap_or_default()
        };
        let Some(bytes) = self.segment_bytes(segment) else { return false };
        let before = bytes[offset..end].to_vec();
        if misdirected {
            let length = source.len().min(end - offset);
            bytes[offset..offset + length].copy_from_slice(&source[..length]);
        } else if draw.one_in(4) {
            // A sector that reads as zeros.
            let length = (end - offset).min(512);
            bytes[offset..offset + length].fill(0);
        } else {
            let at = offset + draw.below((end - offset) as u64) as usize;
            bytes[at] ^= 1 << draw.below(8);
        }
        bytes[offset..end] != before[..]
    }

    fn rot_snapshot(&mut self, misdirected: bool, draw: &mut Draw) -> bool {
        let files: Vec<_> = self.snapshots.numbers().collect();
        if files.is_empty() {
            return false;
        }
        // The newest mostly: it is the one that is needed.
        let chosen = if draw.one_in(3) { *draw.pick(&files) } else { files[files.len() - 1] };
        let other = *draw.pick(&files);
        let Some(Snapshot::Bytes(source)) = self.snapshots.get(other).cloned() else { return false };
        let Some(Snapshot::Bytes(bytes)) = self.snapshots.get_mut(chosen) else { return false };
        let bytes = Arc::make_mut(bytes);
        if bytes.is_empty() || source.is_empty() {
            return false;
        }
        let before = bytes.clone();
        let at = draw.below(bytes.len() as u64) as usize;
        if misdirected {
            let (at, from) = (at / 8 * 8, draw.below(source.len() as u64) as usize / 8 * 8);
            let length = (bytes.len() - at).min(source.len() - from).min(8 << draw.below(10));
            bytes[at..at + length].copy_from_slice(&source[from..from + length]);
        } else {
            bytes[at] ^= 1 << draw.below(8);
        }
        *bytes != before
    }

    /// The records of which something else on the disk says that they were durable.
    fn places(&mut self) -> Vec<Place> {
        let mut records: Vec<(u64, usize, usize, u64)> = Vec::new();
        let mut witnessed = 0;
        for &(number, ref segment) in self.segments.iter() {
            let Content::Bytes(bytes) = &segment.content else { continue };
            let Ok((header, salt)) = SegmentHeader::read(bytes, number, self.identity) else { continue };
            witnessed = witnessed.max(header.previous);
            let mut offset = SEGMENT_HEADER_BYTES;
            while let Some(head) = Head::read(bytes, offset, salt) {
                if head.payload(bytes, offset).is_none() {
                    break;
                }
                witnessed = witnessed.max(head.durable);
                let end = (offset + head.record_bytes()).min(bytes.len());
                records.push((number, offset, end, head.number));
                offset = end;
            }
        }
        // A record never vouches for itself, so whoever vouches for the last of these is not among them.
        records.retain(|(.., number)| *number <= witnessed);
        let ends: std::collections::BTreeMap<u64, usize> =
            records.iter().map(|(segment, _, end, _)| (*segment, *end)).collect();
        records
            .iter()
            .map(|(segment, offset, _, _)| Place { segment: *segment, offset: *offset, end: ends[segment] })
            .collect()
    }

    fn segment_bytes(&mut self, number: u64) -> Option<&mut Vec<u8>> {
        match self.segments.get_mut(number).map(|segment: &mut Segment| &mut segment.content) {
            Some(Content::Bytes(bytes)) => Some(Arc::make_mut(bytes)),
            _ => None,
        }
    }

    /// Whose disk this is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether something on it is damaged, be it needed or not.
    pub fn is_rotten(&self) -> bool {
        self.rotten
    }

    /// Whether it is marked, durably, as a member's, and whole.
    pub fn is_dependable(&self) -> bool {
        self.resume.member && !self.rotten
    }

    /// Whether it is marked, durably, as a member's.
    pub fn is_member(&self) -> bool {
        self.resume.member
    }

    /// An empty disk takes the place of this one.
    pub fn wipe(&mut self) {
        *self = Disk::new(self.identity, self.segment_writes, self.retain);
    }

    /// A process starts, and ends before it is done with what recovery told it to do: in the order in which the real
    /// one goes about it.
    pub fn boot_in_part(&mut self, draw: &mut Draw) {
        let Ok(recovery) = self.recover() else { return };
        let steps = draw.below(4);
        self.cut(&recovery);
        if steps == 0 {
            return;
        }
        // The segment it begins: a header that is torn, or whole; then what comes first in it, whole or torn.
        let last = recovery.resume.last;
        let number = recovery.next_segment;
        let mut encoder = vivarium_core::record::LogEncoder::new(self.identity, recovery.resume);
        let mut bytes = Vec::new();
        encoder.begin_segment(number, &mut bytes);
        if steps == 1 {
            bytes.truncate(draw.below(bytes.len() as u64) as usize);
        } else {
            self.formatted |= steps == 3;
            for write in &recovery.prelude {
                let start = bytes.len();
                encoder.encode(write, &mut bytes);
                if steps == 2 {
                    bytes.truncate(start + draw.below((bytes.len() - start - 8) as u64) as usize);
                    break;
                }
            }
        }
        self.segments.insert(number, Segment { last, content: Content::Bytes(Arc::new(bytes)) });
        if steps == 3 {
            // Some of what serves nothing is gone.
            let gone: Vec<FileName> = recovery.garbage.iter().copied().filter(|_| draw.one_in(2)).collect();
            self.delete(&gone);
        }
    }
}
