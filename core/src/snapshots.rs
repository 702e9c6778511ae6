//! When the state is frozen, and where its pieces go: to this node's disk, and to followers that lag too far.
//!
//! A snapshot is emitted a few pieces a step, as fast as the disk or the follower takes them, while the tree goes on
//! changing. Glue of the node's: it knows the state and the order, and no client.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::entry::Entry;
use crate::ids::{PeerId, WriteSeq, Zxid};
use crate::io::{Note, Outputs};
use crate::limits::Limits;
use crate::replica::Replica;
use crate::state::{FreezeId, State};

/// All snapshots in the making.
#[derive(Clone, Debug)]
pub struct Snapshots {
    random: ChaCha8Rng,
    entries: u64,
    bytes_max: u64,
    chunk_bytes: usize,
    in_flight_max: u64,
    /// Entries and bytes executed since the last snapshot began, and how many entries begin the next.
    entries_since: u64,
    bytes_since: u64,
    due_after: u64,
    own: Option<Own>,
    /// To followers.
    exports: BTreeMap<PeerId, (FreezeId, Zxid)>,
}

/// A snapshot on its way to this node's disk.
#[derive(Clone, Debug)]
enum Own {
    Emitting { freeze: FreezeId, zxid: Zxid, next: u32 },
    Syncing { zxid: Zxid, last: WriteSeq },
}

impl Snapshots {
    /// `seed` spreads the snapshots of an ensemble's servers in time.
    pub fn new(limits: &Limits, seed: u64) -> Snapshots {
        let mut snapshots = Snapshots {
            random: ChaCha8Rng::seed_from_u64(seed),
            entries: limits.snapshot_entries,
            bytes_max: limits.snapshot_bytes,
            chunk_bytes: limits.snapshot_chunk_bytes,
            in_flight_max: limits.snapshot_chunks_in_flight_max as u64,
            entries_since: 0,
            bytes_since: 0,
            due_after: 0,
            own: None,
            exports: BTreeMap::new(),
        };
        snapshots.rearm();
        snapshots
    }

    /// An entry was executed.
    pub fn count(&mut self, entry: &Entry) {
        self.entries_since += 1;
        self.bytes_since += entry.weight() as u64;
    }

    /// The state was replaced by a leader's snapshot: what was in the making is of a state that is gone.
    pub fn reset(&mut self) {
        self.own = None;
        self.exports.clear();
        self.rearm();
    }

    /// Begins what is due and goes on with what is begun. Asked at every step, of which few have anything to do here.
    #[inline]
    pub fn advance(&mut self, replica: &mut Replica, state: &mut State, out: &mut Outputs) {
        if self.own.is_some() || self.is_due() {
            self.advance_own(replica, state, out);
        }
        if !self.exports.is_empty() || replica.feeds_snapshot() {
            self.advance_exports(replica, state, out);
        }
    }

    fn is_due(&self) -> bool {
        self.entries_since >= self.due_after || self.bytes_since >= self.bytes_max
    }

    fn advance_own(&mut self, replica: &mut Replica, state: &mut State, out: &mut Outputs) {
        if replica.receives_snapshot() {
            // The leader's takes the lane; its first piece voids what this node had begun.
            if let Some(Own::Emitting { freeze, .. }) = self.own.take() {
                state.thaw(freeze);
            }
            return;
        }
        if self.own.is_none() && self.is_due() {
            self.rearm();
            let zxid = state.applied();
            self.own = Some(Own::Emitting { freeze: state.freeze(), zxid, next: 0 });
            out.note(Note::SnapshotStarted { zxid });
        }
        if let Some(Own::Emitting { freeze, zxid, next }) = &mut self.own {
            while replica.snapshot_writes_in_flight() < self.in_flight_max {
                let (bytes, last) = state.next_chunk(*freeze, self.chunk_bytes);
                let seq = replica.write_snapshot(*zxid, *next, bytes, last, out);
                *next += 1;
                if last {
                    self.own = Some(Own::Syncing { zxid: *zxid, last: seq });
                    break;
                }
            }
        }
        if let Some(Own::Syncing { zxid, last }) = self.own
            && replica.snapshot_is_synced(last)
        {
            self.own = None;
            out.note(Note::SnapshotDurable { zxid });
        }
    }

    fn advance_exports(&mut self, replica: &mut Replica, state: &mut State, out: &mut Outputs) {
        self.exports.retain(|peer, (freeze, zxid)| {
            let wanted = replica.snapshot_to(*peer) == Some(*zxid);
            if !wanted {
                state.thaw(*freeze);
            }
            wanted
        });
        while let Some(peer) = replica.snapshot_wanted() {
            let zxid = state.applied();
            if let Some((freeze, _)) = self.exports.insert(peer, (state.freeze(), zxid)) {
                state.thaw(freeze);
            }
            replica.snapshot_frozen(peer, zxid);
        }
        while let Some(peer) = replica.snapshot_room() {
            let (freeze, _) = self.exports[&peer];
            let (bytes, last) = state.next_chunk(freeze, self.chunk_bytes);
            replica.snapshot_chunk(peer, bytes, last, out);
        }
    }

    /// `snapCount` as ZooKeeper has it: between half of it and all of it.
    fn rearm(&mut self) {
        self.entries_since = 0;
        self.bytes_since = 0;
        let half = (self.entries / 2).max(1);
        self.due_after = half + self.random.next_u64() % half;
    }
}
