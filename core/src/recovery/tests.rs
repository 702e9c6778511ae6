//! Recovery against every way in which a file can end, and against a stupid twin.
//!
//! Small cases are enumerated: each byte cut, torn or flipped. Each verdict on damage is in [`damage`], whole lives of a
//! disk are in [`life`].

mod damage;
mod life;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::entry::{Body, Command, Entry};
use crate::ids::{Origin, SessionId};
use crate::record::{LogEncoder, SnapshotEncoder};
use crate::time::Timestamp;

const IDENTITY: Identity = Identity { cluster: 0xc1, node: PeerId(3) };

fn entry(zxid: Zxid) -> SharedEntry {
    let body = match zxid.counter() {
        0 => Body::Opening,
        counter => Body::Command(Command::CreateSession {
            session: SessionId(counter.into()),
            password: [counter as u8; 16],
            timeout_ms: 4_000,
        }),
    };
    let origin = Origin { peer: PeerId(2), stream: u64::MAX / 3, number: zxid.0 };
    Arc::new(Entry { zxid, time: Timestamp(1_700_000_000_000), origin, body })
}

fn zxid(epoch: u32, counter: u32) -> Zxid {
    Zxid::new(Epoch(epoch), counter)
}

fn append(epoch: u32, counter: u32) -> Write {
    Write::Append(entry(zxid(epoch, counter)))
}

fn snapshot_file(zxid: Zxid) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = SnapshotEncoder::begin(IDENTITY, zxid, &mut out);
    encoder.chunk(&zxid.0.to_le_bytes(), &mut out);
    encoder.chunk(&[7; 20], &mut out);
    encoder.finish(&mut out);
    out
}

type Files = BTreeMap<FileName, Vec<u8>>;

fn recover_files(files: &Files, formatted: bool) -> Result<Recovery, Damage> {
    let names = files.keys().map(ToString::to_string).collect();
    let found = Found { identity: IDENTITY, formatted, vouched: false, names };
    recover(&found, &mut |file, limit| {
        let bytes = files.get(&file).ok_or("no such file")?;
        Ok(bytes[..bytes.len().min(limit)].to_vec())
    })
}

/// The stupid twin: what a list of writes means.
#[derive(Clone, Default)]
struct Model {
    start: Zxid,
    entries: Vec<SharedEntry>,
    promised: Epoch,
    candidate: Option<PeerId>,
    member: bool,
}

impl Model {
    fn apply(&mut self, write: &Write) {
        match write {
            Write::Append(entry) => self.entries.push(entry.clone()),
            Write::Promise { epoch, candidate } => {
                (self.promised, self.candidate) = (*epoch, Some(*candidate))
            }
            Write::Truncate { to } => self.entries.retain(|entry| entry.zxid <= *to),
            Write::Reset { base } => {
                self.start = *base;
                self.entries.clear();
            }
            Write::Join => self.member = true,
            Write::Chunk { .. } => unreachable!("not a write of the log"),
        }
    }

    fn end(&self) -> Zxid {
        self.entries.last().map_or(self.start, |entry| entry.zxid)
    }

    /// With the snapshot at `base` (0: none); `None` when the log does not reach back to it.
    fn expected(&self, base: Zxid) -> Option<Recovered> {
        if self.start > base {
            return None;
        }
        let contained = self.start == base || self.entries.iter().any(|entry| entry.zxid == base);
        let entries: Vec<SharedEntry> =
            self.entries.iter().filter(|entry| contained && entry.zxid > base).cloned().collect();
        let epoch = entries.last().map_or(base, |entry| entry.zxid).epoch();
        let (promised, candidate) =
            if epoch > self.promised { (epoch, None) } else { (self.promised, self.candidate) };
        let snapshot = (base > Zxid::ZERO)
            .then(|| (base, vec![base.0.to_le_bytes().as_slice().into(), [7; 20].as_slice().into()]));
        Some(Recovered { promised, candidate, member: self.member, snapshot, entries })
    }
}

/// One segment: its bytes, where each record ends, and what the log means after so many records.
struct Sample {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    models: Vec<Model>,
}

/// Groups of writes; each group is durable before the next is written, except that nothing says so of the last.
fn sample(groups: &[&[Write]]) -> Sample {
    let mut encoder = LogEncoder::new(IDENTITY, Resume::FRESH);
    let mut bytes = Vec::new();
    encoder.begin_segment(1, &mut bytes);
    let mut sample = Sample { bytes, ends: vec![SEGMENT_HEADER_BYTES], models: vec![Model::default()] };
    for group in groups {
        encoder.synced(encoder.last_number());
        for write in *group {
            encoder.encode(write, &mut sample.bytes);
            sample.ends.push(sample.bytes.len());
            let mut model = sample.models.last().expect("one at least").clone();
            model.apply(write);
            sample.models.push(model);
        }
    }
    sample
}

fn story() -> [Vec<Write>; 4] {
    [
        vec![Write::Promise { epoch: Epoch(1), candidate: PeerId(2) }, append(1, 0), append(1, 1)],
        vec![
            append(1, 2),
            Write::Join,
            append(1, 3),
            Write::Promise { epoch: Epoch(2), candidate: PeerId(3) },
        ],
        vec![Write::Truncate { to: zxid(1, 2) }, append(2, 0), append(2, 1)],
        vec![
            append(2, 2),
            Write::Promise { epoch: Epoch(4), candidate: PeerId(1) },
            append(2, 3),
            append(4, 0),
        ],
    ]
}

fn story_sample() -> Sample {
    let story = story();
    sample(&story.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn one_segment(bytes: Vec<u8>) -> Files {
    BTreeMap::from([(FileName::Segment(1), bytes)])
}

/// Recovers a single segment; gives the number of records kept, after comparing what they mean with the model.
fn kept(sample: &Sample, bytes: Vec<u8>) -> Result<usize, Damage> {
    let recovery = recover_files(&one_segment(bytes), true)?;
    let kept = recovery.resume.previous as usize;
    assert_eq!(Some(&recovery.recovered), sample.models[kept].expected(Zxid::ZERO).as_ref());
    assert_eq!(recovery.resume.last, sample.models[kept].end());
    assert!(recovery.resume.next > recovery.resume.previous);
    Ok(kept)
}

#[test]
fn a_log_cut_anywhere_keeps_every_whole_record() {
    let sample = story_sample();
    for cut in SEGMENT_HEADER_BYTES..=sample.bytes.len() {
        // The last record is whole without its padding.
        let whole = sample.ends.iter().filter(|end| **end <= cut.next_multiple_of(8)).count() - 1;
        let least = sample.ends.iter().filter(|end| **end <= cut).count() - 1;
        let got = kept(&sample, sample.bytes[..cut].to_vec()).expect("a cut log is a torn tail");
        assert!((least..=whole).contains(&got), "cut at {cut}: kept {got} of {least}..={whole}");
        // The same, on a preallocated file.
        let mut padded = sample.bytes[..cut].to_vec();
        padded.resize(sample.bytes.len() + 4096, 0);
        assert!(kept(&sample, padded).expect("a cut log is a torn tail") >= least, "cut at {cut}");
    }
}

#[test]
fn a_torn_tail_is_never_refused_and_takes_nothing_durable_with_it() {
    let sample = story_sample();
    let durable = story()[..3].iter().map(Vec::len).sum::<usize>();
    let tail = sample.ends[durable];
    let mut torn = 0;
    for from in tail..sample.bytes.len() {
        for to in from + 1..=sample.bytes.len() {
            for fill in [0x00, 0xff] {
                let mut bytes = sample.bytes.clone();
                bytes[from..to].fill(fill);
                let got = kept(&sample, bytes).expect("nothing durable is damaged");
                assert!(got >= durable, "bytes {from}..{to}");
                torn += usize::from(got < sample.models.len() - 1);
            }
        }
    }
    assert!(torn > 10_000, "most of these tear something: {torn}");
}

#[test]
fn damage_to_what_was_durable_is_never_silent() {
    let sample = story_sample();
    let durable = story()[..3].iter().map(Vec::len).sum::<usize>();
    let all = sample.models.len() - 1;
    let mut refused = 0;
    // Each byte but the padding of the header, with the records of the last group to witness.
    for at in (0..128).chain(SEGMENT_HEADER_BYTES..sample.ends[durable]) {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = sample.bytes.clone();
            bytes[at] ^= flip;
            match kept(&sample, bytes) {
                Ok(got) => assert_eq!(got, all, "byte {at} of a durable record was damaged, and it is gone"),
                Err(damage) => {
                    refused += 1;
                    assert!(damage.offset <= at as u64, "byte {at}: {damage}");
                    assert!(damage.after <= sample.models[durable].end());
                }
            }
        }
    }
    assert!(refused > 1_000, "most of these hit something: {refused}");
    // A whole durable record lost, as zeros or as a hole with a whole one behind it.
    for record in 0..durable {
        let mut bytes = sample.bytes.clone();
        bytes[sample.ends[record]..sample.ends[record + 1]].fill(0);
        kept(&sample, bytes).expect_err("a durable record is gone");
        let mut bytes = sample.bytes.clone();
        bytes.drain(sample.ends[record]..sample.ends[record + 1]);
        kept(&sample, bytes).expect_err("a durable record is gone");
    }
}

#[test]
fn a_mark_protects_the_last_record_of_an_idle_log() {
    let mut encoder = LogEncoder::new(IDENTITY, Resume::FRESH);
    let mut bytes = Vec::new();
    encoder.begin_segment(1, &mut bytes);
    encoder.encode(&append(1, 0), &mut bytes);
    let end = bytes.len();
    let unmarked = bytes.clone();
    encoder.synced(1);
    encoder.mark(&mut bytes);
    for at in SEGMENT_HEADER_BYTES..end {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        match recover_files(&one_segment(damaged), true) {
            Ok(recovery) => assert_eq!(recovery.recovered.entries.len(), 1, "byte {at}"),
            Err(damage) => assert!(damage.what.contains("was durable"), "{damage}"),
        }
        // Nothing says that it was durable: the contrast that makes the mark worth its bytes.
        let mut damaged = unmarked.clone();
        damaged[at] ^= 1;
        recover_files(&one_segment(damaged), true).expect("taken for a torn tail");
    }
}

#[test]
fn damage_names_file_offset_zxid_and_what_to_do() {
    let sample = story_sample();
    let mut bytes = sample.bytes.clone();
    bytes[sample.ends[2] + 40] ^= 1;
    let said = kept(&sample, bytes).expect_err("a durable record is damaged").to_string();
    let place = format!("log-0000000001 at byte {}: record 3 is damaged", sample.ends[2]);
    assert!(said.starts_with(&place), "{said}");
    for part in ["after zxid 0x100000000 ", "remove this node's data and log directories", "from a backup"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn bytes_that_a_client_chose_are_no_records() {
    // A client stores a copy of this very log, and the write that carries it is torn.
    let sample = story_sample();
    let mut encoder = LogEncoder::new(IDENTITY, Resume { promised: Epoch(1), ..Resume::FRESH });
    let mut bytes = Vec::new();
    encoder.begin_segment(1, &mut bytes);
    bytes.extend_from_slice(&[0xee; 40]);
    bytes.extend_from_slice(&sample.bytes[SEGMENT_HEADER_BYTES..]);
    let recovery = recover_files(&one_segment(bytes), true).expect("a torn tail");
    assert_eq!(recovery.torn, Some(TornTail { segment: 1, valid_bytes: SEGMENT_HEADER_BYTES as u64 }));
    assert_eq!(recovery.recovered.entries.len(), 0);
}

#[test]
fn a_log_that_was_there_and_is_not_is_damage() {
    recover_files(&Files::new(), false).expect("a node that has never run");
    let said = recover_files(&Files::new(), true).expect_err("promises are gone").to_string();
    assert!(said.contains("is the log directory mounted?"), "{said}");
    let snapshot = FileName::Snapshot(zxid(1, 5));
    let files = Files::from([(snapshot, snapshot_file(zxid(1, 5)))]);
    recover_files(&files, false).expect_err("promises are gone");
}

#[test]
fn a_header_that_never_became_durable_is_dropped() {
    let sample = story_sample();
    let mut header = Vec::new();
    let recovery = recover_files(&one_segment(sample.bytes.clone()), true).expect("whole");
    LogEncoder::new(IDENTITY, recovery.resume).begin_segment(2, &mut header);
    for cut in 0..76 {
        let mut files = one_segment(sample.bytes.clone());
        files.insert(FileName::Segment(2), header[..cut].to_vec());
        let again = recover_files(&files, true).expect("its header was never durable");
        assert_eq!(again.recovered, recovery.recovered);
        assert_eq!((again.next_segment, again.garbage), (3, vec![FileName::Segment(2)]));
        // All before it was durable when it was begun.
        let damaged = files.get_mut(&FileName::Segment(1)).expect("it was put there");
        *damaged.last_mut().expect("not empty") ^= 1;
        let in_padding = recover_files(&files, true);
        let damaged = files.get_mut(&FileName::Segment(1)).expect("it was put there");
        damaged.truncate(damaged.len() - 9);
        let cut = recover_files(&files, true);
        assert!(in_padding.is_ok() || cut.is_err());
        cut.expect_err("the last record was durable");
    }
    // The very first segment: not yet formatted is a fresh node, formatted is damage.
    let first = one_segment(header[..50].to_vec());
    recover_files(&first, false).expect("a node that never got to run");
    recover_files(&first, true).expect_err("its header was durable");
}

#[test]
fn another_nodes_or_a_newer_releases_files_are_refused() {
    let sample = story_sample();
    let names = vec![FileName::Segment(1).to_string()];
    let other =
        Found { identity: Identity { node: PeerId(9), ..IDENTITY }, formatted: true, vouched: false, names };
    let refused = recover(&other, &mut |_, _| Ok(sample.bytes.clone())).expect_err("another node's");
    assert!(refused.what.contains("belongs to node 3"), "{refused}");
    assert!(!refused.to_string().contains("remove"), "nobody is told to remove another's data: {refused}");
    let mut newer = sample.bytes.clone();
    newer[8] = 9;
    let checksum = crc32fast::hash(&newer[..12]);
    newer[12..16].copy_from_slice(&checksum.to_le_bytes());
    let refused = kept(&sample, newer).expect_err("a newer release's");
    assert!(refused.what.contains("format version is 9"), "{refused}");
    assert_eq!(refused.remedy, Remedy::RightRelease);
}

#[test]
fn a_promise_outlives_the_segment_it_was_made_in() {
    let sample = story_sample();
    let before = recover_files(&one_segment(sample.bytes.clone()), true).expect("whole");
    let base = before.resume.last;
    let mut second = Vec::new();
    LogEncoder::new(IDENTITY, before.resume).begin_segment(2, &mut second);
    // Segment 1 is purged.
    let files =
        Files::from([(FileName::Segment(2), second), (FileName::Snapshot(base), snapshot_file(base))]);
    let after = recover_files(&files, true).expect("the header carries it");
    assert_eq!((after.recovered.promised, after.recovered.candidate), (Epoch(4), Some(PeerId(1))));
    // Without the snapshot there is no history to go on from.
    let files = Files::from([(FileName::Segment(2), files[&FileName::Segment(2)].clone())]);
    let refused = recover_files(&files, true).expect_err("the history before the segment is gone");
    assert!(refused.to_string().starts_with("snapshot-0000000400000000 at byte 0"), "{refused}");
}

#[test]
fn a_crash_between_an_installed_snapshot_and_its_reset() {
    // The log holds 2:0 to 2:3 of a leader that lost; the new leader's snapshot is of 1:9, which it does not hold.
    let sample = story_sample();
    let base = zxid(1, 9);
    let mut files = one_segment(sample.bytes.clone());
    files.insert(FileName::Snapshot(base), snapshot_file(base));
    let recovery = recover_files(&files, true).expect("the snapshot is committed");
    assert_eq!(recovery.recovered.snapshot.as_ref().map(|(zxid, _)| *zxid), Some(base));
    assert_eq!(recovery.recovered.entries, []);
    assert_eq!(recovery.prelude, [Write::Reset { base }]);
    // It writes the prelude and goes on; the next recovery is not fooled by the void entries before.
    let mut encoder = LogEncoder::new(IDENTITY, recovery.resume);
    let mut bytes = Vec::new();
    encoder.begin_segment(recovery.next_segment, &mut bytes);
    for write in recovery.prelude.iter().chain([&append(5, 0)]) {
        encoder.encode(write, &mut bytes);
    }
    files.insert(FileName::Segment(recovery.next_segment), bytes);
    let again = recover_files(&files, true).expect("whole");
    assert_eq!(again.recovered.entries, [entry(zxid(5, 0))]);
    assert_eq!(again.prelude, []);
    // The snapshot's footer never made it: the log of before still stands.
    let mut files = one_segment(sample.bytes.clone());
    let cut = snapshot_file(base);
    files.insert(FileName::Snapshot(base), cut[..cut.len() - 1].to_vec());
    let recovery = recover_files(&files, true).expect("as if the snapshot had never begun");
    assert_eq!(recovery.recovered.entries.last().map(|entry| entry.zxid), Some(zxid(4, 0)));
    assert_eq!(recovery.garbage, [FileName::Snapshot(base)]);
}

#[test]
fn damage_that_a_snapshot_covers_does_no_harm() {
    let sample = story_sample();
    let before = recover_files(&one_segment(sample.bytes.clone()), true).expect("whole");
    let base = before.resume.last;
    let mut second = Vec::new();
    let mut encoder = LogEncoder::new(IDENTITY, before.resume);
    encoder.begin_segment(2, &mut second);
    encoder.encode(&append(4, 1), &mut second);
    let mut files = one_segment(sample.bytes.clone());
    files.insert(FileName::Segment(2), second);
    files.insert(FileName::Snapshot(base), snapshot_file(base));
    for damaged in [0, SEGMENT_HEADER_BYTES] {
        let mut files = files.clone();
        files.get_mut(&FileName::Segment(1)).expect("it was put there")[damaged] ^= 1;
        let recovery = recover_files(&files, true).expect("segment 1 is not needed");
        assert_eq!(recovery.recovered.entries, [entry(zxid(4, 1))]);
        files.remove(&FileName::Snapshot(base));
        let refused = recover_files(&files, true).expect_err("segment 1 is needed");
        assert_eq!(refused.file, FileName::Segment(1));
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(
        segment in proptest::collection::vec(any::<u8>(), 0..6000),
        snapshot in proptest::collection::vec(any::<u8>(), 0..200),
        formatted: bool,
    ) {
        let files = Files::from([
            (FileName::Segment(1), segment),
            (FileName::Snapshot(zxid(1, 2)), snapshot),
        ]);
        let _ = recover_files(&files, formatted);
    }

    /// Checksums hold, contents are anything: as a faulty release might have written it.
    #[test]
    fn well_formed_nonsense_never_panics(
        writes in proptest::collection::vec((0u8..5, 0u32..4, 0u32..4, 0u8..4), 0..30),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        base in (0u32..4, 0u32..4),
    ) {
        let mut encoder = LogEncoder::new(IDENTITY, Resume::FRESH);
        let mut bytes = Vec::new();
        encoder.begin_segment(1, &mut bytes);
        for (kind, epoch, counter, candidate) in writes {
            let write = match kind {
                0 => append(epoch, counter),
                1 => Write::Promise { epoch: Epoch(epoch), candidate: PeerId(candidate) },
                2 => Write::Truncate { to: zxid(epoch, counter) },
                3 => Write::Join,
                _ => Write::Reset { base: zxid(epoch, counter) },
            };
            let number = encoder.encode(&write, &mut bytes);
            encoder.synced(number);
        }
        for (at, flip) in flips {
            let length = bytes.len();
            bytes[at.index(length)] ^= flip;
        }
        let base = zxid(base.0, base.1);
        let files = Files::from([
            (FileName::Segment(1), bytes),
            (FileName::Snapshot(base), snapshot_file(base)),
        ]);
        let _ = recover_files(&files, true);
    }
}
