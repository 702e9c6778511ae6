//! Whole lives of a disk, drawn from seeds: segments, snapshots of this node and of leaders, purges, crashes that
//! tear, and damaged snapshots. Each recovery is compared with a model that keeps all entries in a list.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::super::retention::purgeable;
use super::*;

/// A disk and the node's view of it, through many crashes.
struct Life {
    random: ChaCha8Rng,
    files: Files,
    /// What a power cut leaves of the last segment, bytes.
    synced_bytes: usize,
    encoder: LogEncoder,
    segment: u64,
    segments: Vec<(u64, Zxid)>,
    /// What the log means after each record that may still count.
    models: BTreeMap<u64, Model>,
    synced: u64,
    highest: u64,
    /// Never cut below this: it is committed.
    committed: Zxid,
    counts: Counts,
}

/// What happened in all lives: a green test in which nothing happened is none.
#[derive(Default, Debug)]
struct Counts {
    crashes: u32,
    torn: u32,
    lost: u32,
    preludes: u32,
    fallbacks: u32,
    refused: u32,
    purged: u32,
    covered: u32,
}

const RETAIN: usize = 2;

impl Life {
    fn draw(&mut self, below: u64) -> u64 {
        self.random.next_u64() % below
    }

    fn new(seed: u64) -> Life {
        let mut life = Life {
            random: ChaCha8Rng::seed_from_u64(seed),
            files: Files::new(),
            synced_bytes: 0,
            encoder: LogEncoder::new(IDENTITY, Resume::FRESH),
            segment: 0,
            segments: Vec::new(),
            models: BTreeMap::from([(0, Model::default())]),
            synced: 0,
            highest: 0,
            committed: Zxid::ZERO,
            counts: Counts::default(),
        };
        life.begin_segment();
        life
    }

    fn last_segment(&mut self) -> &mut Vec<u8> {
        self.files.get_mut(&FileName::Segment(self.segment)).expect("it was put there")
    }

    fn begin_segment(&mut self) {
        self.sync();
        self.segment += 1;
        let mut bytes = Vec::new();
        let header = self.encoder.begin_segment(self.segment, &mut bytes);
        self.segments.push((self.segment, header.last));
        self.synced_bytes = bytes.len();
        self.files.insert(FileName::Segment(self.segment), bytes);
    }

    fn sync(&mut self) {
        self.synced = self.encoder.last_number();
        self.encoder.synced(self.synced);
        if let Some(bytes) = self.files.get(&FileName::Segment(self.segment)) {
            self.synced_bytes = bytes.len();
        }
    }

    fn now(&self) -> &Model {
        self.models.last_key_value().expect("one at least").1
    }

    fn write(&mut self, write: &Write) {
        let mut model = self.now().clone();
        model.apply(write);
        let mut bytes = Vec::new();
        let number = self.encoder.encode(write, &mut bytes);
        self.highest = number;
        self.last_segment().extend_from_slice(&bytes);
        self.models.insert(number, model);
    }

    fn snapshots(&self) -> Vec<Zxid> {
        self.files
            .keys()
            .filter_map(|file| if let FileName::Snapshot(zxid) = file { Some(*zxid) } else { None })
            .collect()
    }

    fn snapshot(&mut self, zxid: Zxid) {
        self.committed = zxid;
        self.files.insert(FileName::Snapshot(zxid), snapshot_file(zxid));
        for file in purgeable(&self.snapshots(), &self.segments, RETAIN) {
            self.files.remove(&file);
            self.segments.retain(|(number, _)| FileName::Segment(*number) != file);
            self.counts.purged += 1;
        }
    }

    /// One thing that a node may do.
    fn step(&mut self) {
        let (end, promised) = (self.now().end(), self.now().promised);
        match self.draw(100) {
            0..50 => {
                let next = if self.draw(10) == 0 {
                    promised.max(end.epoch()).next().opening()
                } else {
                    Zxid(end.0 + 1)
                };
                self.write(&Write::Append(entry(next)));
            }
            50..52 => self.write(&Write::Join),
            52..60 => {
                let candidate = PeerId(1 + self.draw(3) as u8);
                self.write(&Write::Promise { epoch: promised.max(end.epoch()).next(), candidate });
            }
            60..66 => {
                let committed = self.committed;
                let kept: Vec<Zxid> = self
                    .now()
                    .entries
                    .iter()
                    .map(|entry| entry.zxid)
                    .filter(|zxid| *zxid >= committed)
                    .collect();
                if !kept.is_empty() {
                    let to = kept[self.draw(kept.len() as u64) as usize];
                    self.write(&Write::Truncate { to });
                }
            }
            66..74 => {
                // Of this node's own state: any entry of the history, durable here or not.
                let committed = self.committed;
                let entries = &self.now().entries;
                let newer: Vec<Zxid> =
                    entries.iter().map(|entry| entry.zxid).filter(|zxid| *zxid > committed).collect();
                if !newer.is_empty() {
                    let zxid = newer[self.draw(newer.len() as u64) as usize];
                    self.snapshot(zxid);
                }
            }
            74..76 => {
                // A leader's: of a state that this log does not contain, below or beyond its end.
                let beyond = self.draw(40);
                let base = Zxid(self.committed.0 + 1 + beyond);
                if self.now().entries.iter().all(|entry| entry.zxid != base) {
                    self.snapshot(base);
                    if self.draw(3) == 0 {
                        return self.crash();
                    }
                    self.write(&Write::Reset { base });
                }
            }
            76..92 => self.sync(),
            92..96 => self.begin_segment(),
            _ => self.crash(),
        }
    }

    fn crash(&mut self) {
        self.counts.crashes += 1;
        let synced = self.synced_bytes;
        let written = self.last_segment().len();
        let unsynced = written - synced;
        if unsynced > 0 {
            // Cut, preallocated or not; then a sector of what was never synced is zeros or garbage.
            let length = synced + self.draw(unsynced as u64 + 1) as usize;
            self.last_segment().truncate(length);
            if self.draw(2) == 0 {
                self.last_segment().resize(written + 512, 0);
            }
            let from = synced + self.draw(unsynced as u64) as usize;
            let garbage: Vec<u8> = match self.draw(3) {
                0 => vec![0; 64],
                1 => (0..64).map(|_| self.random.next_u64() as u8).collect(),
                _ => Vec::new(),
            };
            let bytes = self.last_segment();
            for (at, byte) in (from..).zip(garbage) {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
        }
        let mut snapshots = self.snapshots();
        if snapshots.len() >= RETAIN && self.draw(8) == 0 {
            let newest = snapshots.pop().expect("two at least");
            let length = self.files[&FileName::Snapshot(newest)].len() as u64;
            let at = self.draw(length / 8) as usize * 8;
            self.files.get_mut(&FileName::Snapshot(newest)).expect("it is there")[at] ^= 0x10;
            self.counts.fallbacks += 1;
        }
        self.boot(snapshots.last().copied().unwrap_or(Zxid::ZERO));
    }

    fn boot(&mut self, base: Zxid) {
        let recovery = match recover_files(&self.files, true) {
            Ok(recovery) => recovery,
            Err(damage) => {
                // Only a damaged snapshot that the log was reset to, durably or not yet, is out of reach.
                assert!(
                    self.models.range(self.synced..).any(|(_, model)| model.expected(base).is_none()),
                    "refused without need: {damage}"
                );
                self.counts.refused += 1;
                let counts = std::mem::take(&mut self.counts);
                *self = Life { counts, ..Life::new(self.draw(u64::MAX)) };
                return;
            }
        };
        let kept = recovery.resume.previous;
        assert!(kept >= self.synced, "record {} was durable, and {kept} is the last", self.synced);
        let model = self.models.get(&kept).expect("only what was written is kept").clone();
        assert_eq!(Some(&recovery.recovered), model.expected(base).as_ref());
        assert_eq!(recovery.resume.last, model.end());
        self.counts.lost += u32::from(kept < self.highest);
        self.counts.covered += u32::from(base > Zxid::ZERO);
        self.committed =
            self.committed.min(recovery.recovered.entries.last().map_or(base, |entry| entry.zxid));

        if let Some(torn) = recovery.torn {
            self.counts.torn += 1;
            assert_eq!(torn.segment, self.segment);
            if self.draw(2) == 0 {
                self.last_segment().truncate(torn.valid_bytes as usize);
                // A power cut after the cut and before the next segment changes nothing.
                let again = recover_files(&self.files, true).expect("it was fine before the cut");
                assert_eq!(again.recovered, recovery.recovered);
            }
        }
        // What recovery concludes from entries, later segments remember.
        let promised = (recovery.recovered.promised, recovery.recovered.candidate);
        self.models =
            BTreeMap::from([(kept, Model { promised: promised.0, candidate: promised.1, ..model })]);
        self.encoder = LogEncoder::new(IDENTITY, recovery.resume);
        self.segment = recovery.next_segment - 1;
        self.segments = recovery.segments;
        self.begin_segment();
        for file in &recovery.garbage {
            self.files.remove(file);
        }
        assert_eq!(self.snapshots(), recovery.snapshots);
        self.counts.preludes += u32::from(!recovery.prelude.is_empty());
        for write in &recovery.prelude {
            self.write(write);
        }
        self.sync();
    }
}

#[test]
fn whole_lives_agree_with_the_model() {
    let mut counts = Counts::default();
    for seed in 0..400 {
        let mut life = Life::new(seed);
        life.counts = counts;
        for _ in 0..300 {
            life.step();
        }
        life.crash();
        counts = life.counts;
    }
    let Counts { crashes, torn, lost, preludes, fallbacks, refused, purged, covered } = counts;
    for count in [crashes, torn, lost, preludes, fallbacks, refused, purged, covered] {
        assert!(count > 20, "something never happened: {counts:?}");
    }
}
