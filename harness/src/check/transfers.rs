//! Snapshots on their way to a follower: what has come is kept, and is told no more often than it is news.
//!
//! A follower that threw away what comes early would still get its snapshot, a piece in two heartbeats; one that answered
//! copies would get it, too, and both servers would send ever more of them where packets are doubled. Neither breaks
//! anything else, unless there is no time left, so both are checked where they begin.

use vivarium_core::ids::{Epoch, PeerId, Zxid};
use vivarium_core::io::Note;
use vivarium_core::replica::PeerMessage;
use vivarium_sim::world::peer_id;
use vivarium_sim::{NodeIndex, Schedule, Violation};

use super::disks::Shadow;
use super::violation;

/// The transfer to each node, as far as its reports tell of one.
#[derive(Clone, Debug, Default)]
pub struct Transfers {
    nodes: Vec<Option<Transfer>>,
    /// Pieces that may be under way at once.
    window: u32,
}

/// A snapshot that a node has begun to take.
#[derive(Clone, Debug)]
struct Transfer {
    leader: PeerId,
    epoch: Epoch,
    zxid: Zxid,
    /// All pieces before this one have arrived,
    next: u32,
    /// and these, as many places after it as the bit says.
    ahead: u64,
    /// What it said last, and whether a heartbeat has asked since.
    told: u32,
    asked: bool,
}

impl Transfers {
    pub(super) fn begin(&mut self, schedule: &Schedule) {
        self.nodes.clear();
        self.nodes.resize_with(schedule.nodes, || None);
        self.window = schedule.limits.snapshot_chunks_in_flight_max.min(64) as u32;
    }

    pub(super) fn ended(&mut self, node: NodeIndex) {
        self.nodes[node] = None;
    }

    /// A node is told something.
    pub(super) fn arrived(&mut self, node: NodeIndex, from: PeerId, message: &PeerMessage) {
        let Some(transfer) = &mut self.nodes[node] else { return };
        match message {
            PeerMessage::Heartbeat { .. } => transfer.asked = true,
            PeerMessage::SnapshotChunk { epoch, zxid, index, .. }
                if (transfer.leader, transfer.epoch, transfer.zxid) == (from, *epoch, *zxid) =>
            {
                transfer.arrives(*index, self.window);
            }
            _ => {}
        }
    }

    /// A node, which has written this, says something.
    pub(super) fn sent(
        &mut self,
        node: NodeIndex,
        to: PeerId,
        message: &PeerMessage,
        written: &Shadow,
    ) -> Result<(), Box<Violation>> {
        match message {
            PeerMessage::SnapshotReceived { epoch, zxid, next } => {
                let last = written.last();
                if *zxid <= last {
                    return violation(
                        "snapshot-ahead",
                        "a follower takes no snapshot that is behind its log: what comes after it there it may have acknowledged",
                        format!("node {} takes a snapshot at {zxid:?}", peer_id(node)),
                        format!("it to go on from {last:?}, where its log ends"),
                    );
                }
                self.told(node, to, *epoch, *zxid, *next)
            }
            // It has given up what it had of a snapshot.
            PeerMessage::Position { .. } => {
                self.nodes[node] = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A node says what it does.
    pub(super) fn note(&mut self, node: NodeIndex, note: &Note) {
        // Another stay, or it has all of the snapshot.
        if let Note::Looking { .. }
        | Note::Following { .. }
        | Note::SnapshotInstalled { .. }
        | Note::InSync { .. } = note
        {
            self.nodes[node] = None;
        }
    }

    fn told(
        &mut self,
        node: NodeIndex,
        leader: PeerId,
        epoch: Epoch,
        zxid: Zxid,
        next: u32,
    ) -> Result<(), Box<Violation>> {
        match &mut self.nodes[node] {
            Some(transfer) if (transfer.leader, transfer.epoch, transfer.zxid) == (leader, epoch, zxid) => {
                if next < transfer.next {
                    return violation(
                        "pieces-kept",
                        "pieces of a snapshot that arrive before their turn wait for it: none has to be sent twice",
                        format!("node {} says that it has {next} pieces of {zxid:?}", peer_id(node)),
                        format!("{}: so many have arrived without a gap", transfer.next),
                    );
                }
                if next == transfer.told && !transfer.asked {
                    return violation(
                        "few-reports",
                        "a follower says how far a snapshot has come when it has come further or a heartbeat asks, and not \
                         for each copy: two such reports are answered with all that is under way, once more",
                        format!(
                            "node {} says once more that it has {next} pieces of {zxid:?}",
                            peer_id(node)
                        ),
                        "nothing".into(),
                    );
                }
                transfer.asked = false;
                transfer.told = next;
                while transfer.next < next {
                    transfer.moves_on();
                }
            }
            other => {
                *other = Some(Transfer { leader, epoch, zxid, next, ahead: 0, told: next, asked: false });
            }
        }
        Ok(())
    }
}

impl Transfer {
    fn arrives(&mut self, index: u32, window: u32) {
        let Some(place) = index.checked_sub(self.next).filter(|place| *place < window) else { return };
        self.ahead |= 1 << place;
        while self.ahead & 1 == 1 {
            self.moves_on();
        }
    }

    fn moves_on(&mut self) {
        self.next += 1;
        self.ahead >>= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const ZXID: Zxid = Zxid(1 << 32 | 7);
    const EPOCH: Epoch = Epoch(1);

    fn transfers() -> Transfers {
        let mut transfers = Transfers::default();
        transfers.begin(&Schedule::plain(0));
        transfers.window = 4;
        transfers
    }

    fn piece(transfers: &mut Transfers, index: u32) {
        let bytes: Arc<[u8]> = Arc::from([0; 4]);
        let message = PeerMessage::SnapshotChunk { epoch: EPOCH, zxid: ZXID, index, bytes, last: false };
        transfers.arrived(1, peer_id(0), &message);
    }

    fn says(transfers: &mut Transfers, next: u32) -> Result<(), &'static str> {
        let message = PeerMessage::SnapshotReceived { epoch: EPOCH, zxid: ZXID, next };
        transfers.sent(1, peer_id(0), &message, &Shadow::default()).map_err(|broken| broken.property)
    }

    #[test]
    fn a_piece_that_came_early_counts_when_its_turn_comes() {
        let mut transfers = transfers();
        piece(&mut transfers, 0);
        assert_eq!(says(&mut transfers, 1), Ok(()));
        piece(&mut transfers, 3);
        piece(&mut transfers, 2);
        piece(&mut transfers, 1);
        assert_eq!(transfers.clone().nodes[1].as_ref().map(|transfer| transfer.next), Some(4));
        assert_eq!(says(&mut transfers.clone(), 4), Ok(()));
        assert_eq!(says(&mut transfers, 2), Err("pieces-kept"));
    }

    #[test]
    fn what_came_before_the_first_piece_or_too_early_need_not_count() {
        let mut transfers = transfers();
        piece(&mut transfers, 1);
        assert_eq!(says(&mut transfers, 1), Ok(()));
        piece(&mut transfers, 5);
        piece(&mut transfers, 1);
        assert_eq!(says(&mut transfers, 2), Ok(()));
    }

    #[test]
    fn a_snapshot_behind_the_log_is_not_taken() {
        let message = PeerMessage::SnapshotReceived { epoch: EPOCH, zxid: Zxid::ZERO, next: 1 };
        let broken = transfers().sent(1, peer_id(0), &message, &Shadow::default());
        assert_eq!(broken.expect_err("the log is as far as the snapshot").property, "snapshot-ahead");
    }

    #[test]
    fn a_copy_is_not_worth_a_report() {
        let mut transfers = transfers();
        piece(&mut transfers, 0);
        assert_eq!(says(&mut transfers, 1), Ok(()));
        piece(&mut transfers, 0);
        assert_eq!(says(&mut transfers, 1), Err("few-reports"));
        let heartbeat = PeerMessage::Heartbeat {
            epoch: EPOCH,
            reign: 1,
            round: 1,
            committed: ZXID,
            sent: ZXID,
            stream: 0,
            forwarded: 0,
            checkpoint: None,
            admitted: None,
        };
        transfers.arrived(1, peer_id(0), &heartbeat);
        assert_eq!(says(&mut transfers, 1), Ok(()));
        assert_eq!(says(&mut transfers, 1), Err("few-reports"));
    }
}
