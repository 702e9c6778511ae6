//! Marks of disks: what is written, what a crash leaves of it, and what a process starts from.

use vivarium_core::ids::{WriteSeq, Zxid};
use vivarium_core::io::{Lane as LaneName, Write};
use vivarium_core::record::{FileName, SEGMENT_HEADER_BYTES};
use vivarium_core::recovery::{Damage, Recovery};
use vivarium_sim::NodeIndex;

use super::marker::{Lane, Marker, Node, Role};
use super::{Mark, marker};

impl Marker {
    /// A node's step writes.
    #[inline(never)]
    pub(super) fn wrote(&mut self, node: NodeIndex, lane: LaneName, seq: WriteSeq, write: &Write) {
        self.step.writes += 1;
        let state = &mut self.nodes[node];
        state.lanes[lane as usize].written = seq.0;
        if lane == LaneName::Log {
            // The writes of one step, as long as it goes on.
            let begins = self.step.writes == 1;
            state.group = (if begins { seq.0 } else { state.group.0 }, seq.0);
        }
        match write {
            Write::Append(entry) => {
                let back = entry.time < state.last_time;
                state.last_time = entry.time;
                let fresh = matches!(state.role, Role::Leading { epoch, .. } if epoch <= entry.zxid.epoch());
                self.hit_if(Mark::TimeWentBack, back);
                if fresh {
                    self.proposed(node, entry);
                }
                self.nodes[node].log.append(entry);
            }
            Write::Promise { epoch, candidate } => {
                state.promise_at = seq.0;
                let own = marker::place_of(*candidate) == node;
                let following = state.settled && matches!(state.role, Role::Following { .. });
                let unasked = !own && self.step.cause == marker::Cause::Heartbeat;
                self.hit_if(Mark::FollowedWithoutPromise, unasked);
                let other = following && !self.nodes[node].follows(marker::place_of(*candidate));
                self.hit_if(Mark::PromisedWhileFollowing, other);
                self.epochs.entry(*epoch).or_default();
            }
            Write::Truncate { to } => {
                state.truncate_at = seq.0;
                self.truncated(node, *to);
            }
            Write::Reset { base } => {
                state.reset_at = seq.0;
                state.log.reset(*base);
            }
            Write::Join => {}
            Write::Chunk { zxid, index, last, .. } => self.wrote_chunk(node, *zxid, *index, *last),
        }
    }

    fn truncated(&mut self, node: NodeIndex, to: Zxid) {
        let state = &self.nodes[node];
        let cut = state.log.after(to);
        let (Some((first, _)), Some((last, _))) = (cut.first(), cut.last()) else { return };
        let (first, last) = (*first, *last);
        let recovered = state.log.len() - cut.len() < state.log.recovered;
        let own = self.epochs.get(&last.epoch()).is_some_and(|epoch| epoch.leader == Some(node));
        let (acked, durable, cuts) = (state.acked, state.log.durable, state.cuts);
        self.hit_if(Mark::TruncateAcknowledged, first <= acked);
        self.hit_if(Mark::TruncateDurable, first <= durable);
        self.hit_if(Mark::TruncateUnsynced, last > durable);
        self.hit_if(Mark::TruncateOwnProposals, own);
        self.hit_if(Mark::TruncateTwoEpochs, first.epoch() != last.epoch());
        self.hit_if(Mark::TruncateRecovered, recovered);
        self.hit_if(Mark::TruncateAgain, cuts > 0);
        let state = &mut self.nodes[node];
        state.cuts += 1;
        state.acked = acked.min(to);
        state.log.truncate(to);
    }

    fn wrote_chunk(&mut self, node: NodeIndex, zxid: Zxid, index: u32, last: bool) {
        let state = &mut self.nodes[node];
        if state.own == Some(zxid) {
            state.own_chunks = index + 1;
            self.hit_if(Mark::SnapshotOfManyChunks, last && index >= 7);
            return;
        }
        if index == 0 {
            let again = state.incoming_lost || state.incoming.is_some();
            let abandoned = state.own.take().is_some();
            state.incoming_lost = false;
            self.hit_if(Mark::TransferBeganAgain, again);
            self.hit_if(Mark::SnapshotAbandoned, abandoned);
        }
        self.nodes[node].incoming = Some((zxid, index + 1));
        self.hit_if(Mark::TransferOfManyChunks, last && index >= 7);
    }

    /// A write is on the disk for good.
    pub(super) fn durable(&mut self, node: NodeIndex, write: &Write) {
        let state = &mut self.nodes[node];
        let lane = if matches!(write, Write::Chunk { .. }) { LaneName::Snapshot } else { LaneName::Log };
        state.lanes[lane as usize].durable += 1;
        match write {
            Write::Append(entry) => state.log.durable = entry.zxid,
            Write::Truncate { to } => state.log.durable = state.log.durable.min(*to),
            Write::Reset { base } => state.log.durable = *base,
            Write::Promise { epoch, .. } => self.epochs.entry(*epoch).or_default().promised = true,
            Write::Join | Write::Chunk { .. } => {}
        }
    }

    /// A process has ended. What it left on the disk has been told.
    pub(super) fn ended(&mut self, node: NodeIndex) {
        let step = &self.step;
        let in_step = step.open && step.node == node && step.writes > 0 && step.sends > 0;
        let state = &self.nodes[node];
        if !state.retired {
            self.crashed(node, in_step);
        }
        let receiving = state_incoming(&self.nodes[node]);
        self.hit_if(Mark::TransferCutByReceiver, receiving);
        let epoch = self.nodes[node].epoch();
        let early = matches!(self.nodes[node].role, Role::Leading { .. }) && !self.nodes[node].settled;
        self.hit_if(Mark::LeadLostUnestablished, early);
        self.hit_if(Mark::RollGivenUp, self.nodes[node].rolling.is_some());
        self.hit_if(Mark::CrashDuringPartition, self.at < self.cut_until && !self.healed);
        self.cut_connections(node);

        let state = &mut self.nodes[node];
        if let Some(epoch) = epoch {
            state.last_leader = match state.role {
                Role::Following { leader, .. } => Some((leader, epoch)),
                _ => None,
            };
        }
        state.incoming_lost |= state.incoming.is_some();
        let durable = state.log.durable;
        state.log.truncate(durable);
        state.up = false;
        state.retired = false;
        state.handed_over = false;
        state.leave_role();
        let (up, all) = (self.up(), self.shape.nodes);
        self.hit_if(Mark::TwoDown, all - up >= 2);
        self.hit_if(Mark::MajorityDown, up < self.shape.majority && all > 1);
        self.hit_if(Mark::AllDown, up == 0 && all > 1);
    }

    fn crashed(&mut self, node: NodeIndex, in_step: bool) {
        let state = &self.nodes[node];
        let [log, chunks] = state.lanes;
        let lost = |at: u64| at > log.durable;
        let (first, last) = state.group;
        let torn = first < last && first <= log.durable && log.durable < last;
        let proposals = state.leads() && state.log.outstanding() > 0;
        let orphans = (state.applied, state.log.last());
        let (promise, truncate, reset) =
            (lost(state.promise_at), lost(state.truncate_at), lost(state.reset_at));
        let (settled_leader, role, own) = (state.is_established(), state.role, state.own.is_some());
        let young = state.lives > 1 && !state.served;
        self.hit_if(Mark::CrashInStepWithSend, in_step);
        self.hit_if(Mark::CrashLostWrites, log.lost() || chunks.lost());
        self.hit_if(Mark::CrashKeptUntold, log.durable > log.told || chunks.durable > chunks.told);
        self.hit_if(Mark::CrashTornStep, torn);
        self.hit_if(Mark::CrashPromiseUnsynced, promise);
        self.hit_if(Mark::CrashTruncateUnsynced, truncate);
        self.hit_if(Mark::CrashBeforeReset, reset);
        self.hit_if(Mark::CrashChunkUnsynced, chunks.lost());
        self.hit_if(Mark::CrashDuringSnapshot, own);
        self.hit_if(Mark::CrashBeforeInSync, young);
        self.hit_if(Mark::LeaderCrashed, settled_leader);
        self.hit_if(Mark::CandidateCrashed, matches!(role, Role::Candidate(_)));
        self.hit_if(Mark::LeaderCrashedWithProposals, proposals);
        if proposals {
            self.orphans.push(orphans);
        }
    }

    /// A process does not start, because of what its disk gives back.
    pub(super) fn does_not_start(&mut self, node: NodeIndex, damage: &Damage) {
        debug_assert!(self.nodes[node].rotten, "only a damaged disk is refused");
        self.hit(match damage.file {
            FileName::Snapshot(_) => Mark::BootRefusedSnapshot,
            FileName::Segment(_) if damage.offset < SEGMENT_HEADER_BYTES as u64 => Mark::BootRefusedHeader,
            FileName::Segment(_) => Mark::BootRefusedRecord,
        });
    }

    /// A process starts.
    pub(super) fn booted(&mut self, node: NodeIndex, recovery: &Recovery) {
        let recovered = &recovery.recovered;
        let base = recovered.snapshot.as_ref().map_or(Zxid::ZERO, |(zxid, _)| *zxid);
        let state = &mut self.nodes[node];
        let first = state.lives == 0;
        state.lives += 1;
        state.up = true;
        state.served = false;
        state.lanes = [Lane::default(); 2];
        (state.promise_at, state.truncate_at, state.reset_at, state.group) = (0, 0, 0, (0, 0));
        (state.own, state.own_chunks, state.own_done, state.incoming) = (None, 0, 0, None);
        state.applied = base;
        state.log.reset(base);
        for entry in &recovered.entries {
            state.log.append(entry);
        }
        state.log.recovered = state.log.len();
        state.log.durable = state.log.last();
        let last = state.log.last();
        state.acked = state.acked.min(last);
        state.last_time = recovered.entries.last().map_or(state.last_time, |entry| entry.time);
        if first && recovered.promised.0 == 0 && last == Zxid::ZERO {
            return;
        }
        let unnoticed = self.nodes.iter().any(|other| other.up && other.follows(node));
        let (entries, snapshot) = (!recovered.entries.is_empty(), recovered.snapshot.is_some());
        let spare = |kind: fn(&FileName) -> bool| recovery.garbage.iter().any(kind);
        let went_bad = recovery.garbage.contains(&FileName::Snapshot(self.nodes[node].snapshot_durable));
        let rotten = self.nodes[node].rotten;
        let older = recovery.garbage.iter().any(|name| matches!(name, FileName::Snapshot(z) if *z > base));
        self.hit_if(Mark::LeaderBackUnnoticed, unnoticed);
        self.hit_if(Mark::BootTornTail, recovery.torn.is_some());
        self.hit_if(Mark::BootLogOnly, entries && !snapshot);
        self.hit_if(Mark::BootSnapshotOnly, !entries && snapshot);
        self.hit_if(Mark::BootSnapshotAndLog, entries && snapshot);
        self.hit_if(Mark::BootOlderSnapshot, older && snapshot);
        self.hit_if(Mark::BootSnapshotWentBad, went_bad);
        self.hit_if(Mark::BootBesideDamage, rotten);
        self.hit_if(Mark::BootTornSnapshot, spare(|name| matches!(name, FileName::Snapshot(_))));
        self.hit_if(Mark::BootBegunSegment, spare(|name| matches!(name, FileName::Segment(_))));
        self.hit_if(Mark::BootVoidLog, !recovery.prelude.is_empty());
        self.hit_if(Mark::BootPurgedLog, recovery.segments.first().is_some_and(|(number, _)| *number > 1));
        self.hit_if(Mark::BootManySegments, recovery.segments.len() >= 5);
        self.hit_if(Mark::BootUncommittedTail, last > self.committed);
        self.hit_if(Mark::BootBehind, last < self.committed);
        self.hit_if(Mark::BootPromisedOnly, recovered.promised > last.epoch());
    }
}

impl Lane {
    fn lost(self) -> bool {
        self.written > self.durable
    }
}

impl Node {
    /// It has no leader any more.
    pub(super) fn leave_role(&mut self) {
        self.role = Role::Looking;
        self.settled = false;
        self.rolling = None;
        self.feeding = Default::default();
        self.barriers.clear();
        self.cuts = 0;
        self.incoming_lost |= self.incoming.take().is_some();
    }
}

fn state_incoming(node: &Node) -> bool {
    node.incoming.is_some()
}
