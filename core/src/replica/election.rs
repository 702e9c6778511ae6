//! Who leads: pre-vote, and the promise of a new epoch.
//!
//! Safety rests on three rules, each in one place below: an epoch is promised once, to one candidate, durably
//! (`promise`), by the candidate first of all (`stand`); only to a log at least as new as the promiser's
//! (`on_new_epoch`); and nobody follows an epoch older than its promise (`follower.rs`, `is_current`). The pre-vote is
//! for liveness only: it keeps a node that was away, or hears the leader badly, from forcing an election on the others.
//! Whose promise counts for what is said in `membership.rs`.

use std::collections::BTreeMap;

use crate::ids::{Epoch, PeerId, Zxid};
use crate::io::{LookingReason, Note, Outputs, Write};
use crate::replica::journal::Vow;
use crate::replica::membership::Support;
use crate::replica::message::PeerMessage;
use crate::replica::{Replica, Role};
use crate::time::{Duration, Now};
use crate::timers::Timer;

/// Without a leader.
#[derive(Clone, Debug)]
pub(super) struct Looking {
    pre_vote: Option<PreVote>,
    /// Tries since the leader was lost: timeouts double with them.
    tries: u32,
}

/// A pre-vote under way.
#[derive(Clone, Debug)]
struct PreVote {
    epoch: Epoch,
    /// Who would follow.
    support: Support,
    /// Who has answered, whatever it was, and whether its word counts.
    answers: BTreeMap<PeerId, bool>,
}

/// The answer to a pre-vote.
pub(super) struct Reply {
    pub(super) epoch: Epoch,
    pub(super) granted: bool,
    pub(super) promised: Epoch,
    pub(super) blank: Option<u64>,
}

/// A promise that was made to this node.
pub(super) struct Promise {
    pub(super) epoch: Epoch,
    pub(super) candidate: PeerId,
    pub(super) last: Zxid,
    pub(super) blank: Option<u64>,
}

/// With a quorum's support, asking for its promises.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    epoch: Epoch,
    pub(super) support: Support,
    /// How many supported it when the timer last went off.
    supporters_before: usize,
    /// Where the log of each promiser ends, so that it can be brought up to date without asking again.
    lasts: Vec<(PeerId, Zxid)>,
    pub(super) tries: u32,
}

impl Looking {
    pub(super) fn started() -> Looking {
        Looking { pre_vote: None, tries: 0 }
    }
}

impl Replica {
    /// The election timer: start a pre-vote, or give up a candidacy and start over.
    pub(super) fn on_election_timeout(&mut self, now: Now, out: &mut Outputs) {
        let tries = match &self.role {
            Role::Looking(looking) => looking.tries,
            Role::Candidate(candidate) if !candidate.support.has(self.id) => {
                // The disk is slow: another candidacy would only make it slower.
                return self.set_election_timer(now, candidate.tries);
            }
            Role::Candidate(candidate) => {
                let tries = candidate.tries;
                if self.ask_those_that_are_missing(out) {
                    return self.set_election_timer(now, tries);
                }
                tries
            }
            Role::Following(_) | Role::Leading(_) => return,
        };
        self.start_pre_vote(now, tries, out);
    }

    /// Forming a cluster takes everybody's promise: as long as more of them come, those that are lost on the way are
    /// asked for again rather than all of them anew.
    fn ask_those_that_are_missing(&mut self, out: &mut Outputs) -> bool {
        let (id, last, others) = (self.id, self.log.last(), self.others());
        let empty = self.is_empty();
        let Role::Candidate(candidate) = &mut self.role else { return false };
        let supporters = others.iter().filter(|peer| candidate.support.has(**peer)).count();
        // A blank one that has become a member's counts anew.
        let supporters = supporters + others.iter().filter(|p| candidate.support.members.has(**p)).count();
        let forming = candidate.support.blanks.keys().any(|peer| *peer != id) && empty;
        if !forming || supporters <= candidate.supporters_before {
            return false;
        }
        candidate.supporters_before = supporters;
        let (epoch, support) = (candidate.epoch, candidate.support.clone());
        if self.forms_with(&support) {
            for (peer, life) in support.blanks.iter().filter(|(peer, _)| **peer != id) {
                out.send(*peer, PeerMessage::Form { epoch, life: *life });
            }
        } else {
            for peer in others.iter().filter(|peer| !support.has(**peer)) {
                out.send(*peer, PeerMessage::NewEpoch { epoch, last });
            }
        }
        true
    }

    fn start_pre_vote(&mut self, now: Now, tries: u32, out: &mut Outputs) {
        let epoch = self.promised.max(self.epoch_seen).next();
        let last = self.log.last();
        let before = match &mut self.role {
            Role::Looking(looking) => looking.pre_vote.take(),
            Role::Candidate(_) | Role::Following(_) | Role::Leading(_) => None,
        };
        if let Some(before) = &before
            && tries > 2
        {
            self.tell_lack(&before.answers, out);
        }
        let mut support = match before {
            // Everybody's answer is needed, and not all of them need to come in one round.
            Some(before) if before.epoch == epoch && self.is_empty() => before.support,
            Some(_) | None => Support::default(),
        };
        support.add(self.id, self.life());
        let enough = self.elected_by(&support) || self.forms_with(&support);
        let pre_vote = self.may_stand().then(|| PreVote { epoch, support, answers: BTreeMap::new() });
        self.role = Role::Looking(Looking { pre_vote, tries: tries.saturating_add(1) });
        self.set_election_timer(now, tries);
        if !self.may_stand() {
            // There is data, and it may not be what was acknowledged: only a leader can help.
            if tries > 2 {
                self.tell_lack(&BTreeMap::new(), out);
            }
            return;
        }
        out.note(Note::PreVoting { epoch, last });
        if enough {
            self.stand(now, epoch, out);
            return;
        }
        for peer in self.others().iter() {
            out.send(*peer, PeerMessage::PreVote { epoch, last });
        }
    }

    /// Timeouts are drawn anew for each try and double up to eight times the first, so that rivals part.
    pub(super) fn set_election_timer(&mut self, now: Now, tries: u32) {
        let base = self.limits.election.0 << tries.min(3);
        let wait = Duration(base + self.random_below(base));
        self.timers.set(Timer::Election, now.mono + wait);
    }

    /// Would this node follow `from`? Changes nothing here, but for a node that knows better and may as well hurry.
    pub(super) fn on_pre_vote(
        &mut self,
        now: Now,
        from: PeerId,
        epoch: Epoch,
        last: Zxid,
        out: &mut Outputs,
    ) {
        let newer = last >= self.log.last();
        let granted =
            newer && epoch > self.promised && !self.has_live_leader(now) && !self.outranks(from, last);
        let granted = granted && self.may_promise_to(last);
        let (promised, blank) = (self.promised, self.life());
        out.send(from, PeerMessage::PreVoteReply { epoch, granted, promised, blank });
        if let (Role::Looking(Looking { pre_vote: None, .. }), false, true) =
            (&self.role, newer, self.may_stand())
        {
            // Only a log like this node's can win: do not wait out the back-off.
            self.timers.set(Timer::Election, now.mono);
        }
    }

    /// Of two that ask at once with logs that end alike, the one with the higher id does not yield: it will be heard by
    /// the other, and neither splits the votes.
    fn outranks(&self, rival: PeerId, last: Zxid) -> bool {
        let asking = matches!(&self.role, Role::Looking(Looking { pre_vote: Some(_), .. }));
        asking && (self.log.last(), self.id) > (last, rival)
    }

    /// A leader heard of within three quarters of the time after which it would be given up. Followers give up within
    /// a heartbeat of each other, so the first to do so finds the others willing.
    fn has_live_leader(&self, now: Now) -> bool {
        let fresh = Duration(self.limits.silence.0 / 4 * 3);
        match &self.role {
            Role::Looking(_) | Role::Candidate(_) => false,
            Role::Following(following) => now.mono - following.heard < fresh,
            Role::Leading(leading) => self.hears_quorum(leading, now, fresh),
        }
    }

    pub(super) fn on_pre_vote_reply(&mut self, now: Now, from: PeerId, reply: Reply, out: &mut Outputs) {
        let Reply { epoch, granted, promised, blank } = reply;
        self.epoch_seen = self.epoch_seen.max(promised);
        let Role::Looking(looking) = &mut self.role else { return };
        let Some(pre_vote) = &mut looking.pre_vote else { return };
        pre_vote.answers.insert(from, blank.is_none());
        if pre_vote.epoch != epoch {
            return;
        }
        if promised >= epoch {
            // The epoch is taken already: ask again for one above it, without waiting.
            let tries = looking.tries;
            self.start_pre_vote(now, tries, out);
            return;
        }
        if !granted {
            return;
        }
        pre_vote.support.add(from, blank);
        let support = pre_vote.support.clone();
        if self.elected_by(&support) || self.forms_with(&support) {
            self.stand(now, epoch, out);
        }
    }

    /// A quorum would follow: promise the epoch to itself, and, once that is durable, ask the others to.
    ///
    /// Asking sooner would be a disaster: (1) this node asks for epoch 6, with a log up to 21; (2) another promises it;
    /// (3) this node's power fails before its disk has either the promise or entry 21; (4) it starts again, has never
    /// heard of epoch 6, and asks for it with a log up to 19; (5) the other has promised 6 to this very node, and says
    /// so again. It leads without entry 21, or leads epoch 6 a second time and gives its zxids to other entries.
    pub(super) fn stand(&mut self, now: Now, epoch: Epoch, out: &mut Outputs) {
        let tries = match &self.role {
            Role::Looking(looking) => looking.tries,
            Role::Candidate(candidate) => candidate.tries,
            Role::Following(_) | Role::Leading(_) => 0,
        };
        let last = self.log.last();
        out.note(Note::Candidate { epoch, last });
        let (support, lasts) = (Support::default(), Vec::new());
        self.role = Role::Candidate(Candidate { epoch, support, supporters_before: 0, lasts, tries });
        self.promise(epoch, self.id, out);
        self.set_election_timer(now, tries);
    }

    /// Promises an epoch to a candidate: once, and durably before it is said.
    pub(super) fn promise(&mut self, epoch: Epoch, candidate: PeerId, out: &mut Outputs) {
        assert!(epoch > self.promised, "epoch {epoch:?} promised after {:?}", self.promised);
        self.promised = epoch;
        self.candidate = Some(candidate);
        self.epoch_seen = self.epoch_seen.max(epoch);
        self.journal.forget();
        self.journal.write(Write::Promise { epoch, candidate }, out);
        self.journal.hold(candidate, self.vow_to(epoch, candidate));
    }

    fn vow_to(&self, epoch: Epoch, candidate: PeerId) -> Vow {
        Vow::AckEpoch { epoch, candidate, last: self.log.last(), blank: self.life() }
    }

    /// A candidate, or a leader about to wrap its counter, asks for a promise.
    pub(super) fn on_new_epoch(
        &mut self,
        now: Now,
        from: PeerId,
        epoch: Epoch,
        last: Zxid,
        out: &mut Outputs,
    ) {
        self.epoch_seen = self.epoch_seen.max(epoch);
        if !self.may_promise_to(last) {
            return;
        }
        // A promise is not said again with a newer log: this node has followed the epoch's winner meanwhile, so whoever
        // still asks has lost.
        let promised_already =
            epoch == self.promised && self.candidate == Some(from) && last >= self.log.last();
        if promised_already {
            // The answer was lost, or is still on its way to the disk: say it again once it is there.
            if matches!(self.role, Role::Looking(_) | Role::Following(_)) {
                self.journal.hold(from, self.vow_to(epoch, from));
            }
            return;
        }
        if epoch <= self.promised || last < self.log.last() {
            out.send(from, PeerMessage::Refused { epoch, promised: self.promised });
            return;
        }
        match &mut self.role {
            // The leader rolls its epoch: clients stay, and the new epoch begins with its first heartbeat.
            Role::Following(following) if following.leader == from => following.heard = now.mono,
            Role::Looking(looking) => looking.pre_vote = None,
            Role::Candidate(_) | Role::Following(_) | Role::Leading(_) => {
                self.look(now, LookingReason::Superseded, out);
            }
        }
        self.promise(epoch, from, out);
        if let Role::Looking(_) = self.role {
            // Time for the winner to show up.
            self.set_election_timer(now, 1);
        }
    }

    pub(super) fn on_refused(&mut self, now: Now, epoch: Epoch, promised: Epoch, out: &mut Outputs) {
        self.epoch_seen = self.epoch_seen.max(promised);
        let asked = match &self.role {
            Role::Candidate(candidate) => candidate.epoch,
            Role::Leading(leading) => leading.rolling.as_ref().map_or(leading.epoch, |rolling| rolling.epoch),
            Role::Looking(_) | Role::Following(_) => return,
        };
        // Somebody has promised a newer epoch than the one asked for: this candidacy or reign has no future.
        if asked == epoch && promised > epoch {
            self.look(now, LookingReason::Superseded, out);
        }
    }

    pub(super) fn on_ack_epoch(&mut self, now: Now, from: PeerId, promise: Promise, out: &mut Outputs) {
        let Promise { epoch, candidate, last, blank } = promise;
        assert_eq!(
            candidate, self.id,
            "{from:?} promised {epoch:?} to {candidate:?}, and told {:?}",
            self.id
        );
        match &mut self.role {
            Role::Candidate(standing) if standing.epoch == epoch => {
                assert!(last <= self.log.last(), "{from:?} promised {epoch:?} with the newer log {last:?}");
                let first = !standing.support.has(from);
                standing.support.add(from, blank);
                let tries = standing.tries;
                if from != self.id && first {
                    standing.lasts.push((from, last));
                }
                let support = standing.support.clone();
                if self.elected_by(&support) {
                    let Role::Candidate(standing) = &mut self.role else { unreachable!("still a candidate") };
                    let lasts = std::mem::take(&mut standing.lasts);
                    self.lead(now, epoch, &lasts, out);
                } else if self.forms_with(&support) {
                    self.form(now, epoch, out);
                } else if from == self.id && first {
                    // What this log ends with was written before the promise, so it is durable as well.
                    for peer in self.others().iter() {
                        out.send(*peer, PeerMessage::NewEpoch { epoch, last });
                    }
                    self.set_election_timer(now, tries);
                }
            }
            Role::Leading(_) if blank.is_none() => self.on_roll_promise(now, from, epoch, out),
            Role::Leading(_) => {}
            Role::Looking(_) | Role::Candidate(_) | Role::Following(_) => {}
        }
    }

    /// The leader leaves and asks this node, whose log has everything, to stand at once.
    pub(super) fn on_hand_over(&mut self, now: Now, from: PeerId, epoch: Epoch, out: &mut Outputs) {
        let Role::Following(following) = &self.role else { return };
        if following.leader != from || following.epoch != epoch || !self.is_member() {
            return;
        }
        self.look(now, LookingReason::HandOver, out);
        let epoch = self.promised.max(self.epoch_seen).next();
        self.stand(now, epoch, out);
    }
}
