//! Marks of the order: who leads, what is proposed, sent, acknowledged and executed.

use vivarium_core::ids::{Epoch, Zxid};
use vivarium_core::io::{LookingReason, Note, SyncPlan};
use vivarium_core::replica::{PeerMessage, Vow};
use vivarium_sim::NodeIndex;

use super::marker::{Cause, Marker, Role, What, place_of};
use super::{Mark, marker};

impl Marker {
    /// A node says something of itself, and not just that it has executed an entry.
    #[inline(never)]
    pub(super) fn noted(&mut self, node: NodeIndex, note: &Note) {
        match note {
            Note::PreVoting { .. } => {
                let standing = matches!(self.nodes[node].role, Role::Candidate(_));
                self.hit_if(Mark::CandidateTimedOut, standing);
                self.nodes[node].role = Role::Looking;
            }
            Note::Candidate { epoch, .. } => {
                self.nodes[node].role = Role::Candidate(*epoch);
                let standing = self.epochs.entry(*epoch).or_default();
                standing.candidates |= 1 << node;
                let rivals = standing.candidates.count_ones() > 1;
                self.hit_if(Mark::TwoCandidatesOneEpoch, rivals);
            }
            Note::Elected { epoch, last } => self.elected(node, *epoch, *last),
            Note::Established { epoch, .. } => self.established(node, *epoch),
            Note::Following { leader, epoch } => {
                let leader = place_of(*leader);
                let state = &mut self.nodes[node];
                let again = state.last_leader == Some((leader, *epoch));
                state.role = Role::Following { leader, epoch: *epoch };
                state.settled = false;
                state.cuts = 0;
                self.hit_if(Mark::FollowedAgain, again);
            }
            Note::InSync { leader, .. } => {
                let leader = place_of(*leader);
                let state = &mut self.nodes[node];
                state.settled = true;
                state.served = true;
                self.nodes[leader].feeding[node] = None;
            }
            Note::Looking { why } => self.looking(node, *why),
            Note::Rolling { epoch, .. } => {
                self.nodes[node].rolling = Some(*epoch);
                self.hit(Mark::EpochRolling);
            }
            Note::Synchronizing { follower, last, plan } => {
                self.synchronizing(node, place_of(*follower), *last, *plan);
            }
            Note::Truncated { .. } => {}
            Note::SnapshotStarted { zxid } => {
                self.nodes[node].own = Some(*zxid);
                self.nodes[node].own_chunks = 0;
            }
            Note::SnapshotDurable { zxid } => {
                let state = &mut self.nodes[node];
                state.own = None;
                state.snapshot_durable = *zxid;
                state.own_done += 1;
                let row = state.own_done >= 3;
                self.hit(Mark::SnapshotDurable);
                self.hit_if(Mark::SnapshotsInARow, row);
            }
            Note::SnapshotInstalled { zxid } => {
                let state = &mut self.nodes[node];
                (state.incoming, state.own, state.applied) = (None, None, *zxid);
                state.snapshot_durable = *zxid;
                self.hit(Mark::TransferInstalled);
            }
            Note::SessionCreated { session, .. } => self.session_created(*session),
            Note::SessionAttached { session } => self.session_attached(*session),
            Note::SessionEnded { session, expired } => self.session_ended(*session, *expired),
            Note::HandedOver { to } => {
                let again = std::mem::replace(&mut self.nodes[node].handed_over, true);
                self.heir = Some(place_of(*to));
                self.hit(Mark::HandedOver);
                self.hit_if(Mark::HandedOverAgain, again);
            }
            _ => {}
        }
    }

    /// A node executes an entry.
    #[inline(never)]
    pub(super) fn executed(&mut self, node: NodeIndex, zxid: Zxid) {
        let state = &mut self.nodes[node];
        let what = state.log.execute(zxid);
        state.applied = zxid;
        state.applied_what = what;
        let exporting = state.feeding.contains(&Some(SyncPlan::Snapshot));
        let making = state.own.is_some() || exporting;
        self.step.applied += 1;
        self.step.first = zxid > self.committed;
        self.step.expiry = what.is(What::EXPIRE);
        if making {
            self.hit_if(Mark::WritesDuringSnapshot, what.is(What::REQUEST));
            let session = What::ATTACH | What::EXPIRE | What::CLOSE;
            self.hit_if(Mark::SessionDuringSnapshot, what.is(session));
            self.hit_if(Mark::MultiDuringSnapshot, what.is(What::MULTI));
            self.hit_if(Mark::SequentialDuringSnapshot, what.is(What::SEQUENTIAL));
            self.hit_if(Mark::AclDuringSnapshot, what.is(What::ACL));
        }
        if self.step.first {
            self.committed = zxid;
            self.first_executed(node, zxid, what);
        }
    }

    /// An entry is executed that nobody has executed before: a leader's word for it that a quorum has it.
    fn first_executed(&mut self, node: NodeIndex, zxid: Zxid, what: What) {
        let holders = self.nodes.iter().filter(|other| other.log.durable >= zxid).count();
        let several = self.shape.nodes > 1;
        let state = &self.nodes[node];
        let own_last = state.leads() && state.log.durable < zxid;
        let down = self.shape.nodes - self.up();
        let syncing =
            self.nodes.iter().any(|other| matches!(other.role, Role::Following { .. }) && !other.settled);
        let old = zxid.epoch() < self.established;
        let orphan = old && self.orphans.iter().any(|(after, upto)| *after < zxid && zxid <= *upto);
        self.hit_if(Mark::BareMajority, several && holders == self.shape.majority);
        self.hit_if(Mark::LeadersDiskLast, own_last);
        self.hit_if(Mark::CommitWithOneDown, down >= 1);
        self.hit_if(Mark::CommitWithTwoDown, down >= 2);
        self.hit_if(Mark::CommitDuringSync, syncing);
        self.hit_if(Mark::OlderEpochCommitted, old);
        self.hit_if(Mark::UnseenCommitSurvives, orphan);
        if what.is(What::ATTACH) {
            self.attachment_executed(zxid);
        }
    }

    fn elected(&mut self, node: NodeIndex, epoch: Epoch, last: Zxid) {
        let others = self.nodes.iter().enumerate().filter(|(other, _)| *other != node);
        let longer = others.clone().any(|(_, other)| other.log.last() > last);
        let opening = last.counter() == 0 && last.epoch().0 > 0;
        self.hit_if(Mark::ElectedWithUncommitted, last > self.committed);
        self.hit_if(Mark::ElectedWithoutATail, longer);
        self.hit_if(Mark::ElectedAgain, self.last_winner == Some(node));
        self.hit_if(Mark::EmptyEpoch, opening);
        self.hit_if(Mark::EpochSkipped, self.led.0 > 0 && epoch.0 > self.led.0 + 1);
        let heir = self.heir.take();
        self.hit_if(Mark::HeirElected, heir == Some(node));
        self.last_winner = Some(node);
        self.leads(node, epoch);
        let state = &mut self.nodes[node];
        state.role = Role::Leading { epoch, rolled: 0 };
        state.settled = false;
        state.feeding = Default::default();
        state.follower_acked = Default::default();
        state.streams = Default::default();
        state.rolling = None;
        self.forget_proposals();
    }

    /// A node leads a new epoch.
    fn leads(&mut self, node: NodeIndex, epoch: Epoch) {
        self.led = self.led.max(epoch);
        let standing = self.epochs.entry(epoch).or_default();
        standing.leader = Some(node);
        let led = self.epochs.values().filter(|standing| standing.leader.is_some()).count();
        self.hit_if(Mark::ManyEpochs, led >= 10);
    }

    fn established(&mut self, node: NodeIndex, epoch: Epoch) {
        let older = |other: &marker::Node| other.is_established() && other.epoch() < Some(epoch);
        let rival = self.nodes.iter().any(older);
        // What the leader had when it was elected ends before its opening entry.
        let before = self.nodes[node].log.after(Zxid::ZERO).iter().rev().map(|(zxid, _)| *zxid);
        let had =
            before.into_iter().find(|zxid| *zxid < epoch.opening()).unwrap_or(self.nodes[node].log.base);
        let lost = self.nodes.iter().any(|other| {
            let durable = other.log.durable;
            durable > had && durable < epoch.opening()
        });
        // Acknowledgements that were under way while another was elected may establish the older of the two last.
        let late = epoch < self.established;
        let between = self.epochs.range(..epoch).rev().take_while(|(other, _)| **other > self.established);
        let vain = between.into_iter().any(|(_, standing)| standing.promised && standing.leader.is_none());
        self.hit_if(Mark::EstablishedLate, late);
        self.hit_if(Mark::TwoLeaders, rival);
        self.hit_if(Mark::OlderEpochLost, lost);
        self.hit_if(Mark::EpochPromisedInVain, vain);
        self.hit_if(Mark::EnsembleOfOne, self.shape.nodes == 1);
        self.hit_if(Mark::EnsembleOfTwo, self.shape.nodes == 2);
        self.hit_if(Mark::EnsembleOfFive, self.shape.nodes == 5);
        self.established = self.established.max(epoch);
        let state = &mut self.nodes[node];
        state.settled = true;
        state.served = true;
    }

    fn looking(&mut self, node: NodeIndex, why: LookingReason) {
        let state = &mut self.nodes[node];
        let (role, settled) = (state.role, state.settled);
        let (receiving, rolling) = (state.incoming.is_some(), state.rolling.is_some());
        let proposals = state.log.outstanding() > 0;
        if let Role::Following { leader, epoch } = role {
            state.last_leader = Some((leader, epoch));
        }
        state.leave_role();
        let (follows, leads) = (matches!(role, Role::Following { .. }), matches!(role, Role::Leading { .. }));
        self.hit_if(Mark::TransferCutByLeader, receiving);
        self.hit_if(Mark::RollGivenUp, rolling);
        self.hit_if(Mark::DeposedWithProposals, leads && proposals);
        self.hit_if(Mark::LeadLostUnestablished, leads && !settled);
        self.hit_if(Mark::SyncBrokenOff, follows && !settled && why != LookingReason::SyncTooSlow);
        self.hit_if(Mark::FollowersLeaderSilent, why == LookingReason::LeaderSilent);
        self.hit_if(Mark::FollowersLeaderGone, why == LookingReason::LeaderGone);
        self.hit_if(Mark::QuorumLost, why == LookingReason::QuorumLost);
        self.hit_if(Mark::LeftBehind, why == LookingReason::LeftBehind);
        self.hit_if(Mark::SyncTooSlow, why == LookingReason::SyncTooSlow);
        if why == LookingReason::Superseded {
            self.hit_if(Mark::LeaderSuperseded, leads);
            self.hit_if(Mark::FollowerSuperseded, follows);
            self.hit_if(Mark::CandidateSuperseded, matches!(role, Role::Candidate(_)));
        }
    }

    fn synchronizing(&mut self, node: NodeIndex, follower: NodeIndex, last: Zxid, plan: SyncPlan) {
        let state = &mut self.nodes[node];
        let before = state.feeding[follower].replace(plan);
        let epoch = state.epoch().unwrap_or_default();
        let cut = before == Some(SyncPlan::Truncate);
        self.hit_if(Mark::SyncRepeated, before.is_some() && !cut);
        match plan {
            SyncPlan::Diff => {
                self.hit(Mark::SyncDiff);
                self.hit_if(Mark::TruncateThenDiff, cut);
                self.hit_if(Mark::DiffAcrossEpochs, last.epoch().0 > 0 && last.epoch().0 + 2 <= epoch.0);
            }
            SyncPlan::Truncate => self.hit(Mark::SyncTruncate),
            SyncPlan::Snapshot => {
                self.hit(Mark::SyncSnapshot);
                self.hit_if(Mark::TruncateThenSnapshot, cut);
            }
        }
    }

    /// A leader opens a new epoch without an election.
    pub(super) fn rolled(&mut self, node: NodeIndex, epoch: Epoch, expiry: bool) {
        let state = &mut self.nodes[node];
        let Role::Leading { rolled, .. } = state.role else { return };
        state.role = Role::Leading { epoch, rolled: rolled + 1 };
        state.rolling = None;
        state.follower_acked = Default::default();
        let syncing = state.feeding.iter().any(Option::is_some);
        let uncommitted = state.log.outstanding() > 0;
        self.leads(node, epoch);
        self.hit(Mark::EpochRolled);
        self.hit_if(Mark::EpochRolledTwice, rolled > 0);
        self.hit_if(Mark::RollWhileSyncing, syncing);
        self.hit_if(Mark::RollWithUncommitted, uncommitted);
        self.hit_if(Mark::ExpiryDuringRoll, expiry);
    }

    /// A node sends a message.
    #[inline(never)]
    pub(super) fn said(&mut self, node: NodeIndex, message: &PeerMessage) {
        match message {
            PeerMessage::Alive { epoch, .. } => {
                // A follower stays when its leader rolls the epoch, and says no more of it than this.
                if let Role::Following { epoch: followed, .. } = &mut self.nodes[node].role {
                    *followed = *epoch;
                }
            }
            PeerMessage::Vow(vow) => match vow.get() {
                Vow::Ack { upto, .. } => {
                    let acked = &mut self.nodes[node].acked;
                    *acked = (*acked).max(*upto);
                }
                Vow::AckEpoch { epoch, .. } => {
                    let before = std::mem::replace(&mut self.nodes[node].vowed, *epoch);
                    self.hit_if(Mark::PromiseSaidAgain, before == *epoch);
                }
                Vow::Positioned { .. } => {}
            },
            PeerMessage::Propose { entries, .. } => {
                self.hit_if(Mark::DiffOfNothing, entries.is_empty());
                self.hit_if(Mark::FullBatch, entries.len() > 1 && entries.len() == self.shape.batch_max);
            }
            PeerMessage::Refused { epoch, promised } => {
                let candidate = self.step.cause == Cause::NewEpoch;
                self.hit_if(Mark::OldLeaderRefused, !candidate);
                self.hit_if(Mark::CandidateRefusedPromised, candidate && promised >= epoch);
                self.hit_if(Mark::CandidateRefusedOlderLog, candidate && promised < epoch);
            }
            PeerMessage::Position { .. } => self.hit_if(Mark::GapReported, self.nodes[node].settled),
            PeerMessage::Barrier { number, .. } => {
                let waiting = &mut self.nodes[node].barriers;
                let again = waiting.contains(number);
                if !again {
                    waiting.push(*number);
                }
                self.hit_if(Mark::BarrierRepeated, again);
            }
            PeerMessage::PreVoteReply { epoch, granted: false, promised, .. } if promised < epoch => {
                self.pre_vote_refused(node);
            }
            _ => {}
        }
    }

    /// A message arrives at a node, which has not looked at it yet.
    pub(super) fn received_by_node(&mut self, node: NodeIndex, from: NodeIndex, message: &PeerMessage) {
        let state = &self.nodes[node];
        let from = from.min(marker::NODES_MAX - 1);
        let left = |epoch: Epoch| state.epoch().is_some_and(|present| epoch < present);
        match message {
            PeerMessage::Heartbeat { epoch, reign, round, .. } => {
                let old = left(*epoch);
                let (last_reign, last_round) = state.beat;
                let behind = *reign == last_reign && *round < last_round;
                if !behind {
                    self.nodes[node].beat = (*reign, *round);
                }
                self.hit_if(Mark::HeartbeatOfOldEpoch, old);
                self.hit_if(Mark::HeartbeatOutOfOrder, behind);
            }
            PeerMessage::Propose { epoch, previous, entries, .. } => {
                let old = left(*epoch);
                if state.follows_in(from, *epoch)
                    && let (Some(first), Some(end)) = (entries.first(), entries.last())
                {
                    let last = state.log.last();
                    self.hit_if(Mark::ProposeRepeated, end.zxid <= last);
                    self.hit_if(Mark::ProposeOverlapping, first.zxid <= last && last < end.zxid);
                    self.hit_if(Mark::ProposeAhead, *previous > last);
                }
                self.hit_if(Mark::ProposeOfOldEpoch, old);
            }
            PeerMessage::Commit { epoch, upto } => {
                let old = left(*epoch);
                let ahead = state.follows_in(from, *epoch) && *upto > state.log.last();
                self.hit_if(Mark::CommitOfOldEpoch, old);
                self.hit_if(Mark::CommitAhead, ahead);
            }
            PeerMessage::Vow(vow) => self.vow_arrives(node, from, vow.get()),
            PeerMessage::PreVote { last, .. } => self.step.older_log = *last < state.log.last(),
            PeerMessage::PreVoteReply { epoch, promised, .. } => {
                let taken = promised >= epoch && state.role == Role::Looking;
                self.hit_if(Mark::PreVoteEpochTaken, taken);
            }
            PeerMessage::SnapshotChunk { epoch, zxid, index, .. } => {
                let mine = state.follows_in(from, *epoch);
                let late = !mine || state.settled || *zxid <= state.applied;
                let next = state.incoming.filter(|(of, _)| of == zxid).map_or(0, |(_, next)| next);
                self.hit_if(Mark::ChunkLate, late);
                self.hit_if(Mark::ChunkAhead, !late && *index > next);
                self.hit_if(Mark::ChunkRepeated, !late && *index < next);
            }
            PeerMessage::Truncate { epoch, .. } => {
                let due =
                    state.follows_in(from, *epoch) && !state.settled && state.log.last().epoch() < *epoch;
                self.hit_if(Mark::LateTruncate, !due);
            }
            PeerMessage::Forward { epoch, stream, first, commands } => {
                let (leads, old) = (state.leads(), left(*epoch));
                let rolling = state.rolling.is_some();
                let stream_state = &mut self.nodes[node].streams[from];
                if stream_state.0 != *stream {
                    *stream_state = (*stream, 0);
                }
                let (arrived, upto) = (stream_state.1, first + commands.len() as u64 - 1);
                if *first <= arrived + 1 {
                    stream_state.1 = arrived.max(upto);
                }
                self.hit_if(Mark::ForwardToNobody, !leads);
                self.hit_if(Mark::ForwardOfOldEpoch, leads && old);
                self.hit_if(Mark::ForwardRepeated, leads && upto <= arrived);
                self.hit_if(Mark::ForwardAhead, leads && *first > arrived + 1);
                self.hit_if(Mark::RequestDuringRoll, rolling);
            }
            PeerMessage::Barrier { .. } => {
                let rolling = state.rolling.is_some();
                self.hit_if(Mark::SyncDuringRoll, rolling);
            }
            PeerMessage::BarrierPassed { number, zxid, .. } => {
                let ahead = *zxid > state.applied;
                let waiting = &mut self.nodes[node].barriers;
                let awaited = waiting.iter().position(|other| other == number);
                if let Some(place) = awaited {
                    waiting.swap_remove(place);
                }
                self.hit_if(Mark::BarrierLate, awaited.is_none());
                self.hit_if(Mark::SyncWaitedForCommits, awaited.is_some() && ahead);
            }
            PeerMessage::Heard { epoch, .. } => {
                let (leads, old) = (state.is_established(), left(*epoch));
                self.hit_if(Mark::HeardThroughFollower, leads);
                self.hit_if(Mark::HeardOfOldEpoch, leads && old);
            }
            PeerMessage::Form { .. } => {}
            PeerMessage::HandOver { epoch } => {
                let late = !state.follows_in(from, *epoch);
                self.hit_if(Mark::LateHandOver, late);
            }
            PeerMessage::NewEpoch { .. }
            | PeerMessage::Refused { .. }
            | PeerMessage::Alive { .. }
            | PeerMessage::Position { .. }
            | PeerMessage::SnapshotReceived { .. } => {}
        }
    }

    fn vow_arrives(&mut self, node: NodeIndex, from: NodeIndex, vow: &Vow) {
        let state = &self.nodes[node];
        match vow {
            Vow::Ack { epoch, upto, .. } => {
                let Role::Leading { epoch: led, .. } = state.role else { return };
                let acked = &mut self.nodes[node].follower_acked[from];
                let back = *epoch == led && *upto < *acked;
                if *epoch == led {
                    *acked = (*acked).max(*upto);
                }
                self.hit_if(Mark::AckWentBack, back);
                self.hit_if(Mark::AckOfOldEpoch, *epoch < led);
            }
            Vow::AckEpoch { epoch, .. } => {
                let (stands, leads, rolls) = match state.role {
                    Role::Candidate(standing) => (standing == *epoch, false, false),
                    Role::Leading { epoch: led, .. } => (false, led == *epoch, state.rolling == Some(*epoch)),
                    Role::Looking | Role::Following { .. } => (false, false, false),
                };
                self.hit_if(Mark::PromiseAfterElection, leads);
                self.hit_if(Mark::PromiseForNobody, !stands && !leads && !rolls);
            }
            Vow::Positioned { .. } => {}
        }
    }

    /// A pre-vote is refused, and not because its epoch is promised: why?
    fn pre_vote_refused(&mut self, node: NodeIndex) {
        let older = self.step.older_log;
        let role = self.nodes[node].role;
        self.hit_if(Mark::PreVoteRefusedOlderLog, older);
        self.hit_if(Mark::PreVoteRefusedLiveLeader, !older && matches!(role, Role::Following { .. }));
        self.hit_if(Mark::PreVoteRefusedRival, !older && role == Role::Looking);
    }
}
