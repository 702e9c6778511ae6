//! Whose word counts: members, and disks that are blank.
//!
//! A voter whose disk is replaced comes back under its name without a memory: of what it promised, and of what it
//! acknowledged. If its word counted, a quorum could be made of the forgetful and the lagging, and not meet the one that
//! holds what is committed (ZOOKEEPER-261). So not servers are counted but disks: a disk is *blank* until a durable mark
//! ([`Write::Join`](crate::io::Write::Join)) says that it is a *member's*, and a blank one helps nobody to be elected, to
//! commit, or to prove that it leads. It may follow, and serve its clients. There are two ways to the mark.
//!
//! **Admission**, where there is a leader. A blank follower that is in sync applies, under a nonce that is drawn at each
//! start of its process. The leader then opens a new epoch (without an election, as when the counter runs out) and, when
//! that epoch's opening entry J is committed, tells the applicant, which writes the mark once it holds J itself. Why
//! that is enough: J was made after the disk was lost, and a quorum of others holds it. Let an earlier disk of this
//! server have promised an epoch e' to a candidate. A candidate's log does not grow, so this one does not hold J; and of
//! the others that it needs besides the forgotten promise, one at least is among those that acknowledged J. That one
//! either did so before it was asked for e', and refuses, since the candidate's log is older; or it had promised e'
//! before, and then did not acknowledge J in an older epoch. If e' is older than J's epoch, the forgotten promise is to
//! one whom nobody of J's quorum follows any more. Hence no promise that was forgotten can make a leader that lacks J;
//! and whatever is committed with the help of the new disk comes after J. The same holds when several disks are blank
//! at once, as long as the members that are left are a quorum.
//!
//! **Forming**, where there is no cluster yet. A candidate whose log is empty needs the promises of *all* voters,
//! each made with an empty log; blank ones give theirs to such a candidate only. When it has them it tells the blank
//! ones so, by the nonce of the process that promised, and they write the mark; with a quorum of marks it leads. Why
//! all: were a quorum enough, a server that lost its disk and one that was never started could form a second cluster
//! while a third holds the data of the first. As long as one server holds any data, it refuses, and nobody forms. A
//! crash in the middle leaves nothing to repair: fewer marks than a quorum, and no entry anywhere, so the next try forms;
//! or a quorum of marks, which elects, and the rest is admitted.
//!
//! When so many disks are lost that the members left are no quorum, nobody is elected, and the nodes say so
//! ([`Note::Lacking`]). What is to be done then only the operator can know; the operator's word
//! ([`Found::vouched`](crate::recovery::Found::vouched)) makes a blank disk a member's.

use std::collections::BTreeMap;

use crate::ids::{Epoch, PeerId, Zxid};
use crate::io::{Lack, Note, Outputs, Write};
use crate::quorum::Ballot;
use crate::replica::journal::Vow;
use crate::replica::{Replica, Retirement, Role};
use crate::time::Now;

use serde::{Deserialize, Serialize};

/// What this node's disk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    Member,
    /// `life` names this run of the process.
    Blank {
        life: u64,
    },
}

/// What a follower says of its disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Membership {
    /// Its word counts.
    Member,
    /// It is blank, and on the way to be in sync.
    Newcomer,
    /// It is blank and in sync: the run of its process that has this nonce asks to be admitted.
    Applicant(u64),
}

/// A leader's word that a run of a follower's process, named by its nonce, is a member's from an entry on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Admission {
    /// The nonce.
    pub life: u64,
    /// The entry, which is committed.
    pub since: Zxid,
}

/// Who supports a candidate.
#[derive(Clone, Debug, Default)]
pub(super) struct Support {
    pub(super) members: Ballot,
    /// Blank ones, and the runs of their processes.
    pub(super) blanks: BTreeMap<PeerId, u64>,
}

impl Support {
    pub(super) fn add(&mut self, peer: PeerId, blank: Option<u64>) {
        match blank {
            None => {
                self.blanks.remove(&peer);
                self.members.add(peer);
            }
            Some(life) => {
                self.blanks.insert(peer, life);
            }
        }
    }

    pub(super) fn has(&self, peer: PeerId) -> bool {
        self.members.has(peer) || self.blanks.contains_key(&peer)
    }
}

impl Replica {
    /// Whether this node's word counts.
    pub fn is_member(&self) -> bool {
        self.standing == Standing::Member
    }

    /// The nonce of this run of the process, if its disk is blank.
    pub(super) fn life(&self) -> Option<u64> {
        match self.standing {
            Standing::Member => None,
            Standing::Blank { life } => Some(life),
        }
    }

    /// Nothing was ever written to this log.
    pub(super) fn is_empty(&self) -> bool {
        self.log.last() == Zxid::ZERO
    }

    /// Whether this node may ask for votes: with data and no membership, only a leader can help it.
    pub(super) fn may_stand(&self) -> bool {
        self.is_member() || self.is_empty()
    }

    /// Whether members alone elect this node.
    pub(super) fn elected_by(&self, support: &Support) -> bool {
        self.is_member() && self.voters.won(&support.members)
    }

    /// Whether all voters are with this node, and none has any data: a cluster may be formed.
    pub(super) fn forms_with(&self, support: &Support) -> bool {
        self.is_empty() && self.voters.iter().all(|voter| support.has(voter))
    }

    /// Whether this node may promise an epoch to a candidate with such a log, as far as its disk is concerned.
    pub(super) fn may_promise_to(&self, last: Zxid) -> bool {
        self.is_member() || (self.is_empty() && last == Zxid::ZERO)
    }

    /// The mark.
    pub(super) fn join(&mut self, out: &mut Outputs) {
        assert!(!self.is_member(), "a disk joins once");
        self.standing = Standing::Member;
        self.journal.write(Write::Join, out);
        out.note(Note::Joined);
    }

    /// All voters have promised `epoch` to `from`, this one among them with an empty log: it is a member's.
    pub(super) fn on_form(&mut self, from: PeerId, epoch: Epoch, life: u64, out: &mut Outputs) {
        let asked = self.promised == epoch && self.candidate == Some(from) && self.is_empty();
        if asked && self.life() == Some(life) && matches!(self.role, Role::Looking(_)) {
            self.join(out);
            let vow = Vow::AckEpoch { epoch, candidate: from, last: Zxid::ZERO, blank: None };
            self.journal.hold(from, vow);
        }
    }

    /// What this node says of its disk to the leader that it follows.
    pub(super) fn membership(&self, in_sync: bool) -> Membership {
        match self.standing {
            Standing::Member => Membership::Member,
            Standing::Blank { life } if in_sync => Membership::Applicant(life),
            Standing::Blank { .. } => Membership::Newcomer,
        }
    }

    /// The leader has said whom it admits: this very process, once it holds the entry.
    pub(super) fn join_if_admitted(&mut self, out: &mut Outputs) {
        let Role::Following(following) = &self.role else { return };
        if let Some(Admission { life, since }) = following.admitted
            && self.life() == Some(life)
            && following.verified_upto() >= Some(since)
        {
            self.join(out);
        }
    }

    /// A follower says what its disk is.
    pub(super) fn on_membership(&mut self, from: PeerId, membership: Membership, out: &mut Outputs) {
        let retiring = self.retirement != Retirement::No;
        let Role::Leading(leading) = &mut self.role else { return };
        let Some(follower) = leading.followers.get_mut(from) else { return };
        follower.member = membership == Membership::Member;
        follower.applicant = match membership {
            Membership::Member | Membership::Newcomer => None,
            Membership::Applicant(life) => {
                let admitted = follower.admitted.is_some_and(|admission| admission.life == life);
                (!admitted).then_some(life)
            }
        };
        if follower.applicant.is_some() && leading.established && leading.rolling.is_none() && !retiring {
            self.roll(out);
        }
    }

    /// Says who is missing, when blank disks are a reason why this node finds no leader and that is news.
    pub(super) fn tell_lack(&mut self, answers: &BTreeMap<PeerId, bool>, out: &mut Outputs) {
        let answered = |member| answers.iter().filter(move |(_, m)| **m == member).map(|(peer, _)| *peer);
        let lack = Lack {
            blank: !self.is_member(),
            members: answered(true).collect(),
            blanks: answered(false).collect(),
            silent: self.others().iter().copied().filter(|peer| !answers.contains_key(peer)).collect(),
        };
        if (lack.blank || !lack.blanks.is_empty()) && self.lack.as_ref() != Some(&lack) {
            self.lack = Some(lack.clone());
            out.note(Note::Lacking(lack));
        }
    }

    /// All voters promise a candidate without data, and none has any: the blank ones become members'.
    pub(super) fn form(&mut self, now: Now, epoch: Epoch, out: &mut Outputs) {
        let Role::Candidate(candidate) = &self.role else { return };
        let tries = candidate.tries;
        for (peer, life) in candidate.support.blanks.clone() {
            if peer != self.id {
                out.send(peer, super::PeerMessage::Form { epoch, life });
            } else if !self.is_member() {
                self.join(out);
                let vow = Vow::AckEpoch { epoch, candidate: self.id, last: Zxid::ZERO, blank: None };
                self.journal.hold(self.id, vow);
            }
        }
        self.set_election_timer(now, tries);
    }
}
