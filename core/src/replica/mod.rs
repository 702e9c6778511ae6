//! The left tower: who leads, and what the order is. It never looks inside an entry.
//!
//! The protocol is ZAB's, with election and discovery in one round:
//!
//! 1. **Election** (`election.rs`). A node without a leader asks whether a quorum would follow it (a pre-vote, which
//!    changes nothing, so a node that returns disturbs nobody). If so, it asks that quorum to promise a new epoch. A
//!    promise is given once an epoch, durably, and only to a log at least as new as the promiser's.
//! 2. **Synchronization** (`sync.rs`). The new leader opens its epoch with the entry (epoch, 0) and brings each follower
//!    to its own history: DIFF, TRUNC or SNAP. History flows from leader to follower only.
//! 3. **Broadcast** (`leader.rs`, `follower.rs`). Propose, ack, commit; acks of entries of older epochs commit nothing
//!    until a quorum has synced the opening entry, and then all before it is committed with it.
//!
//! Of the voters only those count whose disks are members' (`membership.rs`): one that was replaced has to be in sync
//! with a leader first.
//!
//! Commands of followers' clients reach the leader as numbered streams (`forward.rs`).

mod election;
mod follower;
mod forward;
mod journal;
mod leader;
mod membership;
mod message;
mod peers;
mod sync;

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::entry::{SharedEntry, Submission};
use crate::ids::{Epoch, PeerId, WriteSeq, Zxid};
use crate::io::{Lack, Lane, LookingReason, Note, Output, Outputs, Write};
use crate::limits::Limits;
use crate::log::Log;
use crate::quorum::Voters;
use crate::time::{Duration, Instant, Now};
use crate::timers::{Timer, Timers};

use election::{Candidate, Looking};
use follower::Following;
use journal::Journal;
pub use journal::{Durable, Vow};
use leader::Leading;
use membership::Standing;
pub use membership::{Admission, Membership};
pub use message::PeerMessage;

/// One voter's view of the order.
#[derive(Clone, Debug)]
pub struct Replica {
    id: PeerId,
    voters: Voters,
    others: Arc<[PeerId]>,
    limits: Limits,
    random: ChaCha8Rng,
    timers: Timers,
    journal: Journal,
    log: Log,
    /// The newest epoch this node has promised (or is writing its promise of), and to whom.
    promised: Epoch,
    candidate: Option<PeerId>,
    standing: Standing,
    /// The newest epoch heard of: a new one has to be above it to have a chance.
    epoch_seen: Epoch,
    committed: Zxid,
    role: Role,
    retirement: Retirement,
    /// What was last said of blank disks being a reason why there is no leader.
    lack: Option<Lack>,
    /// Peers whose connection broke and that have not been heard since.
    gone: Vec<PeerId>,
    /// Barriers that a quorum has confirmed: the stream, what they cover, and their number.
    passed: Vec<(u64, Zxid, u64)>,
    /// The state's digest at some executed zxid, for followers to compare.
    checkpoint: Option<(Zxid, u64)>,
    /// A leader's snapshot that has become this node's history, for the state machine to take over.
    installed: Option<Installed>,
}

/// The history that a voter's disk gave back.
#[derive(Clone, Debug)]
pub struct History {
    /// The newest epoch promised.
    pub promised: Epoch,
    /// To whom.
    pub candidate: Option<PeerId>,
    /// Whether the disk is a member's.
    pub member: bool,
    /// All entries before the first one, or as many as there are, are in the state.
    pub base: Zxid,
    /// The entries after `base`.
    pub entries: Vec<SharedEntry>,
}

/// What a voter is, with what that role alone needs.
#[derive(Clone, Debug)]
enum Role {
    Looking(Looking),
    Candidate(Candidate),
    Following(Box<Following>),
    Leading(Box<Leading>),
}

/// Whether the operator wants this node to end. How far that has come is said by the role alone, so the two cannot
/// disagree: a leader hands over, however often it is elected, and whoever follows is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Retirement {
    No,
    /// It led when it was asked. In the lead it serves nobody and waits for a follower that has everything; out of it,
    /// it stays for the sake of its vote until another leads.
    Wanted,
    Done,
}

/// A snapshot that replaces the state.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Who sent it.
    pub leader: PeerId,
    /// The last entry it contains.
    pub zxid: Zxid,
    /// Its pieces.
    pub chunks: Vec<Arc<[u8]>>,
}

/// Whether this node may serve clients, and how its commands are numbered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// No leader, or not in sync with it.
    Nowhere,
    /// In sync with the leader.
    Follower {
        /// Nonce of this stay.
        stream: u64,
    },
    /// Established.
    Leader {
        /// Nonce of this stay.
        stream: u64,
    },
}

impl Replica {
    /// A voter with the history that its disk gave back, nothing of which is known to be committed but the base.
    pub fn boot(id: PeerId, voters: Vec<PeerId>, limits: Limits, seed: u64, history: History) -> Replica {
        let voters = Voters::new(voters);
        assert!(voters.contains(id), "this node, {id:?}, is not among the voters {voters:?}");
        let History { promised, candidate, member, base, entries } = history;
        let log = Log::new(base, entries);
        assert!(
            promised >= log.last().epoch(),
            "promised {promised:?}, but the log ends at {:?}",
            log.last()
        );
        let mut timers = Timers::default();
        timers.set(Timer::Election, Instant(0));
        let mut replica = Replica {
            id,
            others: voters.iter().filter(|peer| *peer != id).collect(),
            voters,
            limits,
            random: ChaCha8Rng::seed_from_u64(seed),
            timers,
            journal: Journal::default(),
            log,
            promised,
            candidate,
            standing: Standing::Member,
            epoch_seen: promised,
            committed: base,
            role: Role::Looking(Looking::started()),
            retirement: Retirement::No,
            lack: None,
            gone: Vec::new(),
            passed: Vec::new(),
            checkpoint: None,
            installed: None,
        };
        if !member {
            replica.standing = Standing::Blank { life: replica.nonce() };
        }
        replica
    }

    /// A peer said something.
    pub fn receive(&mut self, now: Now, from: PeerId, message: PeerMessage, out: &mut Outputs) {
        if from == self.id || !self.voters.contains(from) {
            return;
        }
        self.gone.retain(|peer| *peer != from);
        match message {
            PeerMessage::PreVote { epoch, last } => self.on_pre_vote(now, from, epoch, last, out),
            PeerMessage::PreVoteReply { epoch, granted, promised, blank } => {
                let reply = election::Reply { epoch, granted, promised, blank };
                self.on_pre_vote_reply(now, from, reply, out)
            }
            PeerMessage::NewEpoch { epoch, last } => self.on_new_epoch(now, from, epoch, last, out),
            PeerMessage::Form { epoch, life } => self.on_form(from, epoch, life, out),
            PeerMessage::Refused { epoch, promised } => self.on_refused(now, epoch, promised, out),
            PeerMessage::Vow(vow) => self.on_vow(now, from, *vow.get(), out),
            PeerMessage::Heartbeat {
                epoch,
                reign,
                round,
                committed,
                sent,
                stream,
                forwarded,
                checkpoint: _,
                admitted,
            } => {
                let heartbeat =
                    follower::Heartbeat { epoch, reign, round, committed, sent, stream, forwarded, admitted };
                self.on_heartbeat(now, from, heartbeat, out)
            }
            PeerMessage::Alive { epoch, round, membership } => {
                self.on_alive(now, from, epoch, round, membership, out)
            }
            PeerMessage::Position { epoch, last, stream } => {
                self.on_position(now, from, epoch, last, stream, out)
            }
            PeerMessage::Truncate { epoch, to } => self.on_truncate(now, from, epoch, to, out),
            PeerMessage::Propose { epoch, previous, entries, committed } => {
                self.on_propose(now, from, epoch, previous, entries, committed, out)
            }
            PeerMessage::Commit { epoch, upto } => self.on_commit(now, from, epoch, upto, out),
            PeerMessage::SnapshotChunk { epoch, zxid, index, bytes, last } => {
                self.on_snapshot_chunk(now, from, epoch, sync::Chunk { zxid, index, bytes, last }, out)
            }
            PeerMessage::SnapshotReceived { epoch, zxid, next } => {
                self.on_snapshot_received(now, from, epoch, zxid, next, out)
            }
            PeerMessage::Forward { epoch: _, stream, first, commands } => {
                self.on_forward(now, from, stream, first, commands, out)
            }
            PeerMessage::Barrier { epoch: _, stream, number } => self.on_barrier(from, stream, number, out),
            PeerMessage::BarrierPassed { epoch: _, stream, number, zxid } => {
                self.on_barrier_passed(from, stream, number, zxid)
            }
            PeerMessage::HandOver { epoch } => self.on_hand_over(now, from, epoch, out),
            PeerMessage::Heard { .. } => {}
        }
        self.settle(now, out);
    }

    /// The transport to a peer broke.
    pub fn peer_gone(&mut self, now: Now, peer: PeerId, out: &mut Outputs) {
        if self.voters.contains(peer) && peer != self.id && !self.gone.contains(&peer) {
            self.gone.push(peer);
        }
        match &self.role {
            Role::Following(following) if following.leader == peer => {
                self.look(now, LookingReason::LeaderGone, out);
            }
            Role::Looking(_) | Role::Candidate(_) | Role::Following(_) | Role::Leading(_) => {}
        }
        self.settle(now, out);
    }

    /// A lane is synced: promises are released, and what waited for the disk goes on.
    pub fn synced(&mut self, now: Now, lane: Lane, upto: WriteSeq, out: &mut Outputs) {
        self.journal.synced(lane, upto);
        self.finish_install(now, out);
        self.settle(now, out);
    }

    /// A deadline may have passed.
    pub fn wake(&mut self, now: Now, out: &mut Outputs) {
        self.excuse_own_pause(now);
        if self.timers.take_due(Timer::Election, now.mono) {
            self.on_election_timeout(now, out);
        }
        if self.timers.take_due(Timer::Silence, now.mono) {
            self.on_silence(now, out);
        }
        if self.timers.take_due(Timer::Sync, now.mono) {
            self.on_sync_timeout(now, out);
        }
        if self.timers.take_due(Timer::Heartbeat, now.mono) {
            self.beat(now, out);
        }
        if self.timers.take_due(Timer::Retire, now.mono) {
            self.retired(out);
        }
        self.settle(now, out);
    }

    /// A wake that comes late by more than a heartbeat says that this very process has stood still (a machine that was
    /// paused, a host short of processors). The others' silence meanwhile says nothing about them, and they may have
    /// stood still as well: they get three heartbeats to be heard before they are given up. Whoever took over meanwhile
    /// is heard in that time, too; safety never rests on these clocks.
    fn excuse_own_pause(&mut self, now: Now) {
        let late = self.timers.next().map_or(Duration(0), |due| now.mono - due);
        if late < self.limits.heartbeat {
            return;
        }
        let grace = now.mono + Duration(self.limits.heartbeat.0 * 3);
        match &mut self.role {
            Role::Following(_) => self.timers.set(Timer::Silence, grace),
            Role::Leading(leading) => leading.excuse(now.mono, late),
            Role::Looking(_) | Role::Candidate(_) => {}
        }
    }

    /// The front desk asks for places in the order.
    pub fn submit(&mut self, now: Now, submissions: impl Iterator<Item = Submission>, out: &mut Outputs) {
        self.on_submissions(now, submissions, out);
        self.settle(now, out);
    }

    /// The operator wants this process to end.
    pub fn retire(&mut self, now: Now, out: &mut Outputs) {
        if self.retirement != Retirement::No {
            return;
        }
        if matches!(self.role, Role::Leading(_)) && self.voters.count() > 1 {
            self.retirement = Retirement::Wanted;
            self.timers.set(Timer::Retire, now.mono + Duration(self.limits.silence.0 * 2));
            self.settle(now, out);
        } else {
            self.retired(out);
        }
    }

    /// The next committed entry to execute. Call until there is none.
    pub fn deliver(&mut self) -> Option<SharedEntry> {
        self.log.deliver(self.committed)
    }

    /// A barrier that is passed, with all it covers executed. Call until there is none.
    pub fn passed_barrier(&mut self) -> Option<u64> {
        if self.passed.is_empty() {
            return None;
        }
        let delivered = self.log.delivered();
        let (Place::Follower { stream } | Place::Leader { stream }) = self.place() else {
            self.passed.clear();
            return None;
        };
        self.passed.retain(|(of, _, _)| *of == stream);
        let at = self.passed.iter().position(|(_, zxid, _)| *zxid <= delivered)?;
        Some(self.passed.remove(at).2)
    }

    /// Tells followers the digest of the state at an executed zxid.
    pub fn set_checkpoint(&mut self, zxid: Zxid, digest: u64) {
        self.checkpoint = Some((zxid, digest));
    }

    /// A snapshot that the state machine has to take over before it executes anything else.
    pub fn take_installed(&mut self) -> Option<Installed> {
        self.installed.take()
    }

    /// Whether clients may be served, now that all that was deliverable is delivered.
    pub fn place(&self) -> Place {
        match &self.role {
            Role::Leading(leading) if leading.established && self.retirement == Retirement::No => {
                Place::Leader { stream: leading.reign }
            }
            Role::Following(following) if following.in_sync => Place::Follower { stream: following.stream },
            Role::Looking(_) | Role::Candidate(_) | Role::Following(_) | Role::Leading(_) => Place::Nowhere,
        }
    }

    /// The leader this node follows, or itself.
    pub fn leader(&self) -> Option<PeerId> {
        match &self.role {
            Role::Leading(_) => Some(self.id),
            Role::Following(following) => Some(following.leader),
            Role::Looking(_) | Role::Candidate(_) => None,
        }
    }

    /// Whether this node leads, established or not.
    pub fn leads(&self) -> bool {
        matches!(self.role, Role::Leading(_))
    }

    /// Whether this node leads, and did in `epoch` without an election since.
    pub fn has_led_since(&self, epoch: Epoch) -> bool {
        matches!(&self.role, Role::Leading(leading) if (leading.first..=leading.epoch).contains(&epoch))
    }

    /// The epoch of the leader this node follows or is.
    pub fn epoch(&self) -> Epoch {
        match &self.role {
            Role::Leading(leading) => leading.epoch,
            Role::Following(following) => following.epoch,
            Role::Looking(_) | Role::Candidate(_) => self.promised,
        }
    }

    /// The newest entry known to be committed.
    pub fn committed(&self) -> Zxid {
        self.committed
    }

    /// The end of the log.
    pub fn last(&self) -> Zxid {
        self.log.last()
    }

    /// Entries in memory and their bytes.
    pub fn log_size(&self) -> (usize, usize) {
        self.log.size()
    }

    /// Drops what followers no longer need of the log.
    pub fn trim(&mut self, now: Now) {
        let (entries_max, bytes_max) = (self.limits.log_window_entries_max, self.limits.log_window_bytes_max);
        let (entries, bytes) = self.log.size();
        if entries > entries_max || bytes > bytes_max {
            let keep = self.trim_floor(now);
            self.log.trim(entries_max, bytes_max, keep);
        }
    }

    /// Writes a piece of a snapshot of this node's own.
    pub fn write_snapshot(
        &mut self,
        zxid: Zxid,
        index: u32,
        bytes: Arc<[u8]>,
        last: bool,
        out: &mut Outputs,
    ) -> WriteSeq {
        assert!(!self.receives_snapshot(), "the leader's snapshot is being written");
        self.journal.write(Write::Chunk { zxid, index, bytes, last }, out)
    }

    /// Pieces of snapshots that are not durable yet.
    pub fn snapshot_writes_in_flight(&self) -> u64 {
        self.journal.in_flight(Lane::Snapshot)
    }

    /// Whether a piece of a snapshot is durable, and all before it.
    pub fn snapshot_is_synced(&self, seq: WriteSeq) -> bool {
        self.journal.is_synced(Lane::Snapshot, seq)
    }

    /// The earliest deadline.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Promises that hold by now are made; those to itself are kept at once. Then what was proposed goes out.
    #[inline]
    fn settle(&mut self, now: Now, out: &mut Outputs) {
        let idle = matches!(self.role, Role::Looking(_) | Role::Candidate(_) | Role::Following(_))
            && self.retirement == Retirement::No
            && !self.journal.has_releasable();
        if !idle {
            self.settle_all(now, out);
        }
    }

    fn settle_all(&mut self, now: Now, out: &mut Outputs) {
        loop {
            while let Some((to, vow)) = self.journal.release() {
                if to == self.id {
                    self.on_vow(now, to, *vow.get(), out);
                } else {
                    out.send(to, PeerMessage::Vow(vow));
                }
            }
            self.pump(now, out);
            self.hand_over_if_ready(now, out);
            if !self.journal.has_releasable() {
                return;
            }
        }
    }

    fn on_vow(&mut self, now: Now, from: PeerId, vow: Vow, out: &mut Outputs) {
        match vow {
            Vow::AckEpoch { epoch, candidate, last, blank } => {
                let promise = election::Promise { epoch, candidate, last, blank };
                self.on_ack_epoch(now, from, promise, out)
            }
            Vow::Ack { epoch, upto, member } => self.on_ack(now, from, epoch, upto, member, out),
            Vow::Positioned { epoch, last, stream } => self.on_position(now, from, epoch, last, stream, out),
        }
    }

    /// Ends the present role. All that waited for it is forgotten; promises on the way to the disk still stand.
    fn look(&mut self, now: Now, why: LookingReason, out: &mut Outputs) {
        for timer in [Timer::Silence, Timer::Heartbeat, Timer::Sync] {
            self.timers.clear(timer);
        }
        self.role = Role::Looking(Looking::started());
        out.note(Note::Looking { why });
        let wait = match why {
            // The others are as much in want of a leader as this node: be quick, but not all at the same instant.
            LookingReason::Started | LookingReason::LeaderGone | LookingReason::LeaderSilent => {
                Duration(self.random_below(self.limits.election.0 / 4))
            }
            // Another is about to win, or this node has just failed to lead: let others go first.
            LookingReason::QuorumLost
            | LookingReason::Superseded
            | LookingReason::LeftBehind
            | LookingReason::SyncTooSlow
            | LookingReason::HandOver => {
                Duration(self.limits.election.0 * 2 + self.random_below(self.limits.election.0))
            }
        };
        self.timers.set(Timer::Election, now.mono + wait);
    }

    fn retired(&mut self, out: &mut Outputs) {
        if self.retirement != Retirement::Done {
            self.retirement = Retirement::Done;
            self.timers.clear(Timer::Retire);
            out.push(Output::Retired);
        }
    }

    /// All voters but this one.
    fn others(&self) -> Arc<[PeerId]> {
        self.others.clone()
    }

    /// A number below `bound`; 0 when the bound is.
    fn random_below(&mut self, bound: u64) -> u64 {
        // The bias of a remainder is far below what any timeout could show.
        self.random.next_u64().checked_rem(bound).unwrap_or(0)
    }

    /// A nonce that no other stay of this node, in this run or another, has had.
    fn nonce(&mut self) -> u64 {
        self.random.next_u64() | 1
    }
}
