//! Durability as a type: promises about this node's disk, and the only place that can release them.
//!
//! A promise rests on all that was written to the log lane before it was made, and is released when that is synced. A
//! promise still held when the process dies dies with it, which is right: it was never made. "Acknowledged before it was
//! on disk" (ZOOKEEPER-4646, 4785, 3911) cannot be written down elsewhere, since nothing else can make a [`Durable`].

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, PeerId, WriteSeq, Zxid};
use crate::io::{Lane, Output, Outputs, Write};

/// A promise about this node's disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Vow {
    /// This node follows nobody older than `epoch`, and `candidate` in it. `last` is the end of its log. `blank` names
    /// this run of a process whose disk is no member's: its promise counts for forming a cluster only.
    AckEpoch { epoch: Epoch, candidate: PeerId, last: Zxid, blank: Option<u64> },
    /// Every entry of the leader's history up to `upto` is on this disk. It counts for a quorum when this disk is a
    /// `member`'s.
    Ack { epoch: Epoch, upto: Zxid, member: bool },
    /// The log was cut as the leader of `epoch` asked, or replaced by its snapshot, and ends at `last`.
    Positioned { epoch: Epoch, last: Zxid, stream: u64 },
}

/// Something that rests on a write that has been synced. Only the journal makes one, when it has; a decoder makes
/// one for a message that a peer's journal released.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    /// What was promised.
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// This node's writes, and the promises that rest on them.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    log: Progress,
    snapshot: Progress,
    held: VecDeque<Held>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    written: WriteSeq,
    synced: WriteSeq,
}

#[derive(Clone, Debug)]
struct Held {
    rests_on: WriteSeq,
    to: PeerId,
    vow: Vow,
}

impl Journal {
    /// Writes to a lane.
    pub fn write(&mut self, write: Write, out: &mut Outputs) -> WriteSeq {
        let lane = match write {
            Write::Chunk { .. } => Lane::Snapshot,
            Write::Append(_)
            | Write::Promise { .. }
            | Write::Join
            | Write::Truncate { .. }
            | Write::Reset { .. } => Lane::Log,
        };
        let progress = self.progress(lane);
        progress.written.0 += 1;
        let seq = progress.written;
        out.push(Output::Write { lane, seq, write });
        seq
    }

    /// Makes a promise that rests on all that the log lane has been given so far.
    pub fn hold(&mut self, to: PeerId, vow: Vow) {
        self.held.push_back(Held { rests_on: self.log.written, to, vow });
    }

    /// Drops promises that nobody waits for any more: this node follows another leader, or has cut its log.
    pub fn forget(&mut self) {
        self.held.clear();
    }

    /// A lane is synced up to here.
    ///
    /// # Panics
    /// When the driver reports what was never written: it would release promises that do not hold.
    pub fn synced(&mut self, lane: Lane, upto: WriteSeq) {
        let progress = self.progress(lane);
        assert!(
            upto <= progress.written,
            "{lane:?} lane synced to {upto:?}, written to {:?}",
            progress.written
        );
        progress.synced = progress.synced.max(upto);
    }

    /// The next promise that holds by now, oldest first. Of acknowledgements in a row to one leader only the last is
    /// made: it covers the others.
    pub fn release(&mut self) -> Option<(PeerId, Durable<Vow>)> {
        while self.held.front()?.rests_on <= self.log.synced {
            let first = self.held.pop_front()?;
            let covered = self.held.front().is_some_and(|next| {
                next.rests_on <= self.log.synced
                    && next.to == first.to
                    && matches!((first.vow, next.vow), (Vow::Ack { epoch: a, .. }, Vow::Ack { epoch: b, .. }) if a == b)
            });
            if !covered {
                return Some((first.to, Durable(first.vow)));
            }
        }
        None
    }

    /// Whether there is a promise to release.
    pub fn has_releasable(&self) -> bool {
        self.held.front().is_some_and(|held| held.rests_on <= self.log.synced)
    }

    /// Whether a write of a lane is durable.
    pub fn is_synced(&self, lane: Lane, seq: WriteSeq) -> bool {
        match lane {
            Lane::Log => self.log.synced >= seq,
            Lane::Snapshot => self.snapshot.synced >= seq,
        }
    }

    /// Writes of a lane that are not durable yet.
    pub fn in_flight(&self, lane: Lane) -> u64 {
        match lane {
            Lane::Log => self.log.written.0 - self.log.synced.0,
            Lane::Snapshot => self.snapshot.written.0 - self.snapshot.synced.0,
        }
    }

    fn progress(&mut self, lane: Lane) -> &mut Progress {
        match lane {
            Lane::Log => &mut self.log,
            Lane::Snapshot => &mut self.snapshot,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER: PeerId = PeerId(2);

    fn promise(epoch: u32) -> Write {
        Write::Promise { epoch: Epoch(epoch), candidate: LEADER }
    }

    fn ack(counter: u32) -> Vow {
        Vow::Ack { epoch: Epoch(1), upto: Zxid::new(Epoch(1), counter), member: true }
    }

    #[test]
    fn a_promise_waits_for_the_write_it_rests_on_and_for_no_later_one() {
        let (mut journal, mut out) = (Journal::default(), Outputs::default());
        journal.write(promise(1), &mut out);
        journal.hold(LEADER, ack(1));
        journal.write(promise(2), &mut out);
        journal.hold(LEADER, ack(2));
        assert_eq!(journal.release(), None);
        journal.synced(Lane::Snapshot, WriteSeq(0));
        assert_eq!(journal.release(), None, "the other lane does not count");
        journal.synced(Lane::Log, WriteSeq(1));
        assert_eq!(journal.release(), Some((LEADER, Durable(ack(1)))));
        assert_eq!(journal.release(), None);
        journal.synced(Lane::Log, WriteSeq(2));
        assert_eq!(journal.release(), Some((LEADER, Durable(ack(2)))));
    }

    #[test]
    fn one_sync_that_covers_many_acknowledgements_releases_the_last() {
        let (mut journal, mut out) = (Journal::default(), Outputs::default());
        for counter in 1..=5 {
            journal.write(promise(counter), &mut out);
            journal.hold(LEADER, ack(counter));
        }
        journal.synced(Lane::Log, WriteSeq(4));
        assert_eq!(journal.release(), Some((LEADER, Durable(ack(4)))));
        assert_eq!(journal.release(), None);
    }

    #[test]
    #[should_panic(expected = "written to")]
    fn a_sync_of_what_was_never_written_is_the_drivers_mistake() {
        Journal::default().synced(Lane::Log, WriteSeq(1));
    }
}
