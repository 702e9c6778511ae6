//! Following a leader: take its history, acknowledge what is durable, execute what is committed.

use crate::entry::SharedEntry;
use crate::ids::{Epoch, PeerId, Zxid};
use crate::io::{LookingReason, Note, Outputs, Write};
use crate::replica::forward::Outbox;
use crate::replica::journal::Vow;
use crate::replica::membership::Admission;
use crate::replica::message::PeerMessage;
use crate::replica::sync::Incoming;
use crate::replica::{Replica, Retirement, Role};
use crate::time::{Instant, Now};
use crate::timers::Timer;

/// With a leader.
#[derive(Clone, Debug)]
pub(super) struct Following {
    pub(super) leader: PeerId,
    pub(super) epoch: Epoch,
    /// Which stay of the leader's this is.
    reign: u64,
    /// When the leader last gave a sign of life.
    pub(super) heard: Instant,
    /// How far this log is known to be the leader's. `None` until it has said so.
    verified: Option<Zxid>,
    /// The epoch's opening entry is executed here: clients may be served.
    pub(super) in_sync: bool,
    /// Nonce of this stay; commands are numbered in it.
    pub(super) stream: u64,
    pub(super) outbox: Outbox,
    /// A snapshot of the leader, as far as it has arrived.
    pub(super) incoming: Option<Incoming>,
    /// The end of the log that was last reported as a gap, so that each gap is reported once a heartbeat.
    reported: Option<Zxid>,
    /// The leader's word that this node is a member.
    pub(super) admitted: Option<Admission>,
}

/// A leader's sign of life.
pub(super) struct Heartbeat {
    pub(super) epoch: Epoch,
    pub(super) reign: u64,
    pub(super) round: u64,
    pub(super) committed: Zxid,
    pub(super) sent: Zxid,
    pub(super) stream: u64,
    pub(super) forwarded: u64,
    pub(super) admitted: Option<Admission>,
}

impl Following {
    /// Whether the leader has confirmed that this log, up to somewhere, is its own.
    pub(super) fn verified(&self) -> bool {
        self.verified.is_some()
    }

    /// How far.
    pub(super) fn verified_upto(&self) -> Option<Zxid> {
        self.verified
    }

    /// The log is the leader's up to here.
    pub(super) fn verify(&mut self, upto: Zxid) {
        self.verified = Some(self.verified.map_or(upto, |verified| verified.max(upto)));
    }
}

impl Replica {
    /// A leader lives. If it is not the one followed so far, follow it.
    pub(super) fn on_heartbeat(&mut self, now: Now, from: PeerId, heartbeat: Heartbeat, out: &mut Outputs) {
        let Heartbeat { epoch, reign, round, committed, sent, stream, forwarded, admitted } = heartbeat;
        if !self.is_current(now, from, epoch, out) && !self.follow_if_newer(now, from, epoch, reign, out) {
            return;
        }
        let Role::Following(following) = &mut self.role else { unreachable!("a current leader is followed") };
        following.admitted = admitted;
        let in_sync = following.in_sync;
        self.join_if_admitted(out);
        let (last, member) = (self.log.last(), self.is_member());
        let membership = self.membership(in_sync);
        let Role::Following(following) = &mut self.role else { unreachable!("a current leader is followed") };
        if following.reign != reign {
            // The same server leads the same epoch twice: impossible, since an epoch is promised to each stay anew.
            panic!("{from:?} leads {epoch:?} in two reigns");
        }
        out.send(from, PeerMessage::Alive { epoch, round, membership });
        following.reported = None;
        if following.incoming.as_mut().is_some_and(Incoming::stands_still) {
            // Its first pieces were late copies, and the leader sends something else by now: ask anew.
            following.incoming = None;
        }
        if let Some(incoming) = &following.incoming {
            incoming.report(from, epoch, out);
        } else if following.verified.is_none() || sent > last || following.stream != stream {
            following.reported = Some(last);
            out.send(from, PeerMessage::Position { epoch, last, stream: following.stream });
        }
        if let Some(verified) = following.verified {
            // An acknowledgement may have been lost: it is cheap to say again.
            self.journal.hold(from, Vow::Ack { epoch, upto: verified, member });
        }
        let forwarded = if following.stream == stream { forwarded } else { 0 };
        let old = (now.mono, self.limits.heartbeat);
        following.outbox.resend(old, from, epoch, following.stream, forwarded, out);
        self.commit_as_follower(committed, out);
    }

    /// Whether `from` is the leader of `epoch` that this node follows, and no newer epoch is promised to another.
    /// Refreshes its life if so. Only a heartbeat makes a node follow another leader: all else is sent again.
    pub(super) fn is_current(&mut self, now: Now, from: PeerId, epoch: Epoch, out: &mut Outputs) -> bool {
        self.epoch_seen = self.epoch_seen.max(epoch);
        if let Role::Following(following) = &mut self.role
            && following.leader == from
            && following.epoch == epoch
            // A leader that rolls its epoch leads the old one until a quorum has promised.
            && (epoch == self.promised || self.candidate == Some(from))
        {
            following.heard = now.mono;
            self.timers.set(Timer::Silence, now.mono + self.limits.silence);
            return true;
        }
        if epoch < self.promised && self.candidate != Some(from) {
            out.send(from, PeerMessage::Refused { epoch, promised: self.promised });
        }
        false
    }

    /// Follows the sender of a heartbeat, unless a newer epoch is promised.
    fn follow_if_newer(
        &mut self,
        now: Now,
        from: PeerId,
        epoch: Epoch,
        reign: u64,
        out: &mut Outputs,
    ) -> bool {
        if epoch < self.promised {
            return false;
        }
        if let Role::Leading(leading) = &self.role {
            assert!(leading.epoch != epoch, "{from:?} and {:?} both lead {epoch:?}", self.id);
        }
        self.follow(now, from, epoch, reign, out);
        true
    }

    fn follow(&mut self, now: Now, leader: PeerId, epoch: Epoch, reign: u64, out: &mut Outputs) {
        assert!(epoch >= self.promised, "following {epoch:?} after promising {:?}", self.promised);
        if epoch > self.promised {
            // Its quorum did without this node's promise; it must be on disk before anything of the epoch is. Nobody
            // waits for it, so the vow that goes with it is dropped.
            self.promise(epoch, leader, out);
            self.journal.forget();
        }
        if self.retirement == Retirement::Wanted {
            // Another leads, and does without this node.
            self.retired(out);
        }
        match &mut self.role {
            Role::Following(following) if following.leader == leader && following.reign == reign => {
                // The leader has opened a new epoch without an election. Its log only grew, so what was verified
                // holds, and what has come of a snapshot; clients and what they wait for stay.
                following.epoch = epoch;
                following.heard = now.mono;
            }
            Role::Looking(_) | Role::Candidate(_) | Role::Following(_) | Role::Leading(_) => {
                if let Role::Following(_) | Role::Leading(_) = self.role {
                    self.look(now, LookingReason::Superseded, out);
                }
                let stream = self.nonce();
                self.role = Role::Following(Box::new(Following {
                    leader,
                    epoch,
                    reign,
                    heard: now.mono,
                    verified: None,
                    in_sync: false,
                    stream,
                    outbox: Outbox::default(),
                    incoming: None,
                    reported: None,
                    admitted: None,
                }));
                self.lack = None;
                self.timers.clear(Timer::Election);
                self.timers.set(Timer::Sync, now.mono + self.limits.sync);
                out.note(Note::Following { leader, epoch });
            }
        }
        self.timers.set(Timer::Silence, now.mono + self.limits.silence);
    }

    /// Entries of the leader's history.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn on_propose(
        &mut self,
        now: Now,
        from: PeerId,
        epoch: Epoch,
        previous: Zxid,
        entries: Vec<SharedEntry>,
        committed: Zxid,
        out: &mut Outputs,
    ) {
        if !self.is_current(now, from, epoch, out) {
            return;
        }
        let Role::Following(following) = &mut self.role else { unreachable!("a current leader is followed") };
        if following.incoming.is_some() {
            return;
        }
        let ordered =
            entries.iter().try_fold(previous, |before, entry| (entry.zxid > before).then_some(entry.zxid));
        let Some(upto) = ordered else { return };
        if upto.epoch() > epoch {
            return;
        }
        if !self.log.contains(previous) {
            self.report_gap(from, out);
            return;
        }
        // What is held already is skipped; where the histories part, the leader is told, and cuts.
        let mut before = previous;
        let mut fresh = entries.into_iter().peekable();
        while let Some(entry) = fresh.peek()
            && entry.zxid <= self.log.last()
        {
            if !self.log.contains(entry.zxid) {
                self.report_gap(from, out);
                return;
            }
            before = entry.zxid;
            fresh.next();
        }
        if fresh.peek().is_some() && before != self.log.last() {
            self.report_gap(from, out);
            return;
        }
        for entry in fresh {
            self.journal.write(Write::Append(entry.clone()), out);
            self.log.append(entry);
        }
        let Role::Following(following) = &mut self.role else { unreachable!("still following") };
        following.verify(upto);
        let verified = following.verified.expect("just verified");
        self.join_if_admitted(out);
        self.journal.hold(from, Vow::Ack { epoch, upto: verified, member: self.is_member() });
        self.commit_as_follower(committed, out);
    }

    /// Says where this log ends, once for each end and heartbeat: a burst of proposals behind a gap asks once.
    fn report_gap(&mut self, leader: PeerId, out: &mut Outputs) {
        let last = self.log.last();
        let Role::Following(following) = &mut self.role else { return };
        if following.reported != Some(last) {
            following.reported = Some(last);
            let (epoch, stream) = (following.epoch, following.stream);
            out.send(leader, PeerMessage::Position { epoch, last, stream });
        }
    }

    pub(super) fn on_commit(&mut self, now: Now, from: PeerId, epoch: Epoch, upto: Zxid, out: &mut Outputs) {
        if self.is_current(now, from, epoch, out) {
            self.commit_as_follower(upto, out);
        }
    }

    /// Learns what is committed, as far as this log is known to be the leader's.
    fn commit_as_follower(&mut self, committed: Zxid, out: &mut Outputs) {
        let Role::Following(following) = &mut self.role else { return };
        let Some(verified) = following.verified else { return };
        let upto = committed.min(verified);
        if upto < self.committed {
            return;
        }
        // Equal as well: after a snapshot of the leader, or in a new stay, there may be nothing more to commit.
        assert!(
            self.log.contains(upto),
            "committed {upto:?} is not in the log that ends at {:?}",
            self.log.last()
        );
        self.committed = upto;
        if !following.in_sync && upto >= following.epoch.opening() {
            following.in_sync = true;
            self.timers.clear(Timer::Sync);
            let (leader, epoch) = (following.leader, following.epoch);
            out.note(Note::InSync { leader, epoch, last: self.log.last() });
        }
    }

    /// The leader does not have what this log ends with.
    pub(super) fn on_truncate(&mut self, now: Now, from: PeerId, epoch: Epoch, to: Zxid, out: &mut Outputs) {
        if !self.is_current(now, from, epoch, out) {
            return;
        }
        let Role::Following(following) = &mut self.role else { unreachable!("a current leader is followed") };
        // A late copy of an order that was carried out: by now the log may end with entries that this very leader
        // counts as acknowledged. A log that holds anything of an epoch is a prefix of its leader's from there on.
        if following.verified.is_some() || self.log.last().epoch() >= epoch {
            return;
        }
        let stream = following.stream;
        let from_last = self.log.last();
        let Some(to) = self.log.floor(to) else {
            // All that is in memory lies after it. What is committed cannot be cut, and the base is committed.
            out.push(crate::io::Output::Halt(crate::io::Fault::CommittedTruncated {
                leader: from,
                epoch,
                to,
                committed: self.committed,
            }));
            return;
        };
        if to < self.committed {
            let committed = self.committed;
            out.push(crate::io::Output::Halt(crate::io::Fault::CommittedTruncated {
                leader: from,
                epoch,
                to,
                committed,
            }));
            return;
        }
        if to < from_last {
            self.journal.forget();
            self.journal.write(Write::Truncate { to }, out);
            self.log.truncate(to);
            out.note(Note::Truncated { from: from_last, to });
        }
        // Held until the cut is durable: a snapshot may follow on the other lane, and must not be durable before it.
        self.journal.hold(from, Vow::Positioned { epoch, last: self.log.last(), stream });
    }

    /// The leader has been silent for too long, or at a leader the followers have.
    pub(super) fn on_silence(&mut self, now: Now, out: &mut Outputs) {
        match &self.role {
            Role::Following(_) => self.look(now, LookingReason::LeaderSilent, out),
            Role::Looking(_) | Role::Candidate(_) | Role::Leading(_) => {}
        }
    }

    /// Synchronization takes longer than `initLimit` allows.
    pub(super) fn on_sync_timeout(&mut self, now: Now, out: &mut Outputs) {
        match &self.role {
            Role::Following(following) if following.in_sync => {}
            Role::Leading(leading) if leading.established => {}
            Role::Following(_) | Role::Leading(_) => self.look(now, LookingReason::SyncTooSlow, out),
            Role::Looking(_) | Role::Candidate(_) => {}
        }
    }
}
