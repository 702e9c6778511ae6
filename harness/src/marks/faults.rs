//! Marks of what goes wrong around the nodes.

use vivarium_core::replica::{PeerMessage, Vow};
use vivarium_sim::schedule::FaultKind;
use vivarium_sim::{NodeIndex, Time};

use super::Mark;
use super::marker::Marker;

impl Marker {
    /// A fault begins.
    pub(super) fn fault(&mut self, kind: &FaultKind, node: Option<NodeIndex>) {
        let leader = node.is_some_and(|node| self.nodes[node].is_established());
        let up = node.is_none_or(|node| self.nodes[node].up);
        let served = self.nodes.iter().any(|node| node.is_established());
        self.hit_if(Mark::FaultInElection, !served && up && self.established.0 > 0);
        match kind {
            FaultKind::Crash { power, .. } => self.hit_if(Mark::CrashSilently, *power && up),
            FaultKind::CrashAll { .. } => self.hit(Mark::PowerOfAll),
            FaultKind::CrashTogether { nodes, .. } => {
                self.hit_if(Mark::CrashTogether, nodes.count_ones() > 1);
            }
            FaultKind::CutLinks { length, .. } => {
                self.hit(Mark::PartitionPartial);
                self.cut(*length);
            }
            FaultKind::Flap { length, times, .. } => {
                self.hit(Mark::PartitionFlapping);
                self.cut(*length * 2 * Time::from(*times));
            }
            FaultKind::Stagger { .. } => self.hit(Mark::PartitionStaggered),
            FaultKind::Wipe { .. } => self.hit(Mark::DiskWiped),
            FaultKind::Rot { .. } => self.hit(Mark::DiskRot),
            FaultKind::SyncFails { .. } => self.hit_if(Mark::SyncFailed, up),
            FaultKind::FullDisk { .. } => self.hit_if(Mark::DiskFull, up),
            FaultKind::CrashInBoot { .. } => self.hit(Mark::CrashInBoot),
            FaultKind::SlowLink { .. } => self.hit(Mark::SlowLink),
            FaultKind::MonoJump { .. } => {
                self.hit_if(Mark::MonoJump, up);
                self.hit_if(Mark::MonoOfLeader, leader);
            }
            FaultKind::Pause { length, .. } | FaultKind::Stall { length, .. } => {
                self.hit_if(Mark::LeaderPaused, leader);
                self.hit_if(Mark::PausedLong, up && *length > self.shape.silence);
            }
            FaultKind::Partition { both, length, .. } => {
                self.hit(if *both { Mark::PartitionBoth } else { Mark::PartitionOneWay });
                self.cut(*length);
            }
            FaultKind::Isolate { both, length, .. } => {
                let mark = if *both { Mark::LeaderIsolated } else { Mark::LeaderDeaf };
                self.hit_if(mark, leader);
                self.cut(*length);
            }
            FaultKind::WallJump { by_ms, .. } => {
                self.hit(if *by_ms >= 0 { Mark::WallForward } else { Mark::WallBack });
                self.hit_if(Mark::WallOfLeader, leader);
            }
            FaultKind::SlowDisk { .. } => {
                self.hit_if(Mark::SlowDisk, up);
                self.hit_if(Mark::SlowDiskOfLeader, leader);
            }
            FaultKind::Retire { .. } => {
                self.hit_if(Mark::Retire, up);
                self.hit_if(Mark::RetireLeader, leader);
            }
            FaultKind::Disconnect { .. } => self.hit_if(Mark::Disconnect, up),
            _ => {}
        }
    }

    /// A message is lost or doubled, or only late.
    pub(super) fn unlucky(&mut self, message: &PeerMessage, arrives: bool, again: bool) {
        let (lost, doubled) = match message {
            PeerMessage::Propose { .. } => (Mark::ProposeLost, Mark::ProposeDoubled),
            PeerMessage::NewEpoch { .. } => (Mark::NewEpochLost, Mark::NewEpochDoubled),
            PeerMessage::Commit { .. } => (Mark::CommitLost, Mark::CommitDoubled),
            PeerMessage::Truncate { .. } => (Mark::TruncateLost, Mark::TruncateDoubled),
            PeerMessage::Position { .. } => (Mark::PositionLost, Mark::PositionDoubled),
            PeerMessage::SnapshotChunk { .. } => (Mark::ChunkLost, Mark::ChunkDoubled),
            PeerMessage::Forward { .. } => (Mark::ForwardLost, Mark::ForwardDoubled),
            PeerMessage::BarrierPassed { .. } => (Mark::BarrierPassedLost, Mark::BarrierPassedDoubled),
            PeerMessage::Heard { .. } => (Mark::HeardLost, Mark::HeardDoubled),
            PeerMessage::HandOver { .. } => (Mark::HandOverLost, Mark::HandOverDoubled),
            PeerMessage::Vow(vow) => match vow.get() {
                Vow::AckEpoch { .. } => (Mark::PromiseLost, Mark::PromiseDoubled),
                Vow::Ack { .. } => (Mark::AckLost, Mark::AckDoubled),
                Vow::Positioned { .. } => (Mark::PositionLost, Mark::PositionDoubled),
            },
            _ => return,
        };
        self.hit_if(lost, !arrives);
        self.hit_if(doubled, again);
    }

    fn cut(&mut self, length: Time) {
        self.hit_if(Mark::PartitionsOverlap, self.at < self.cut_until);
        self.cut_until = self.cut_until.max(self.at + length);
    }
}
