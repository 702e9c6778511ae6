//! Leading: propose, count acknowledgements, commit; prove to live; roll the epoch; hand over.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::entry::{Body, Entry};
use crate::ids::{Epoch, Origin, PeerId, Zxid};
use crate::io::{LookingReason, Note, Outputs, Write};
use crate::quorum::Ballot;
use crate::replica::forward::Barrier;
use crate::replica::journal::Vow;
use crate::replica::membership::{Admission, Membership};
use crate::replica::message::PeerMessage;
use crate::replica::peers::ByPeer;
use crate::replica::sync::Outgoing;
use crate::replica::{Replica, Retirement, Role};
use crate::time::{Duration, Instant, Now};
use crate::timers::Timer;

/// In the lead of an epoch.
#[derive(Clone, Debug)]
pub(super) struct Leading {
    pub(super) epoch: Epoch,
    /// The first epoch of this stay: later ones were opened without an election.
    pub(super) first: Epoch,
    /// Tells this stay in the lead from any other; also the stream of this node's own commands.
    pub(super) reign: u64,
    /// A quorum holds the opening entry durably: clients are served. Stays true when the epoch is rolled.
    pub(super) established: bool,
    pub(super) followers: ByPeer<Follower>,
    /// How far this node's own log is durable.
    acked: Zxid,
    /// The number of the last heartbeat.
    pub(super) round: u64,
    /// A barrier waits for a heartbeat: do not wait for its time.
    pub(super) beat_wanted: bool,
    pub(super) barriers: Vec<Barrier>,
    /// The next epoch, while a quorum's promises for it are gathered.
    pub(super) rolling: Option<Rolling>,
    /// Commands that came while the epoch is being rolled.
    waiting: VecDeque<(Origin, Body)>,
}

/// A new epoch for the same leader.
#[derive(Clone, Debug)]
pub(super) struct Rolling {
    pub(super) epoch: Epoch,
    promises: Ballot,
}

/// What a leader knows of a follower.
#[derive(Clone, Debug)]
pub(super) struct Follower {
    pub(super) heard: Instant,
    /// The last heartbeat it answered.
    pub(super) echoed: u64,
    /// Whether its word counts; so it is taken to be until it says that its disk is blank.
    pub(super) member: bool,
    /// The run of its process that asks to be admitted.
    pub(super) applicant: Option<u64>,
    /// The one that is admitted, once the entry is committed.
    pub(super) admitted: Option<Admission>,
    /// How far its log is durable and known to be this leader's, while it is a member.
    acked: Zxid,
    /// What it has been told is committed.
    told: Zxid,
    pub(super) feed: Feed,
    /// The feed was begun from the follower's promise, before it said that it follows.
    pub(super) fed_since_promise: bool,
    /// Bytes of the state that it is being sent, or was sent and has not caught up with the log since.
    pub(super) state_bytes: usize,
    /// Where it last named a gap, and when that was filled.
    pub(super) refilled: Option<(Zxid, Instant)>,
    /// Its commands: of which stay, and how many have arrived.
    pub(super) stream: u64,
    pub(super) forwarded: u64,
    /// Other stays, one for each time this follower lost sight of this leader, and how many of their commands have
    /// arrived. A late message of a stay that is over may displace the present one for a moment; when that comes back,
    /// its commands must not be counted anew.
    pub(super) other_streams: Vec<(u64, u64)>,
}

/// How a follower is being given the log.
#[derive(Clone, Debug)]
pub(super) enum Feed {
    /// It has yet to say where its log ends.
    Unknown,
    /// Its log is a prefix of this one's; it has been sent all up to `sent`.
    Streaming { sent: Zxid, in_flight: VecDeque<(Zxid, usize)>, bytes: usize },
    /// It gets the state.
    Snapshot(Outgoing),
}

impl Feed {
    pub(super) fn streaming(sent: Zxid) -> Feed {
        Feed::Streaming { sent, in_flight: VecDeque::new(), bytes: 0 }
    }
}

impl Leading {
    /// Time in which this process stood still does not count as the followers' silence. Those that have been heard since
    /// it runs again were not silent: were they excused too, they would count as heard for as long to come.
    pub(super) fn excuse(&mut self, now: Instant, stood_still: Duration) {
        for follower in self.followers.values_mut() {
            let heard = follower.heard + stood_still;
            follower.heard = heard.min(now);
        }
    }
}

impl Replica {
    /// A quorum has promised: open the epoch, and bring the promisers up to date at once.
    pub(super) fn lead(&mut self, now: Now, epoch: Epoch, lasts: &[(PeerId, Zxid)], out: &mut Outputs) {
        assert_eq!(
            (self.promised, self.candidate),
            (epoch, Some(self.id)),
            "leading without this node's own promise"
        );
        assert!(self.is_member(), "a blank disk is never elected");
        self.lack = None;
        out.note(Note::Elected { epoch, last: self.log.last() });
        let reign = self.nonce();
        let follower = Follower {
            heard: now.mono,
            echoed: 0,
            member: true,
            applicant: None,
            admitted: None,
            acked: Zxid::ZERO,
            told: Zxid::ZERO,
            feed: Feed::Unknown,
            fed_since_promise: false,
            state_bytes: 0,
            refilled: None,
            stream: 0,
            forwarded: 0,
            other_streams: Vec::new(),
        };
        self.role = Role::Leading(Box::new(Leading {
            epoch,
            first: epoch,
            reign,
            established: false,
            followers: self.others().iter().map(|peer| (*peer, follower.clone())).collect(),
            acked: Zxid::ZERO,
            round: 0,
            beat_wanted: false,
            barriers: Vec::new(),
            rolling: None,
            waiting: VecDeque::new(),
        }));
        self.timers.clear(Timer::Election);
        self.timers.set(Timer::Sync, now.mono + self.limits.sync);
        self.open(now, epoch, out);
        for (peer, last) in lasts {
            self.feed(*peer, *last, out);
            self.follower_mut(*peer).fed_since_promise = true;
        }
    }

    /// The epoch's first entry. All before it is committed with it.
    fn open(&mut self, now: Now, epoch: Epoch, out: &mut Outputs) {
        let id = self.id;
        let leading = self.leading_mut();
        leading.epoch = epoch;
        leading.rolling = None;
        for follower in leading.followers.values_mut() {
            if let Some(life) = follower.applicant.take() {
                follower.admitted = Some(Admission { life, since: epoch.opening() });
            }
        }
        let origin = Origin { peer: id, stream: leading.reign, number: 0 };
        let waiting = std::mem::take(&mut leading.waiting);
        self.append(now, epoch.opening(), origin, Body::Opening, out);
        self.beat(now, out);
        if !self.leads() {
            // This process stood still, and with the heartbeat it found that it has lost its quorum. Those who wait
            // are told so when their connections are closed.
            return;
        }
        for (origin, body) in waiting {
            self.propose_or_wait(now, origin, body, out);
        }
    }

    /// Gives a command the next zxid, or, at the end of the epoch's counter, lets it wait for the next epoch.
    pub(super) fn propose_or_wait(&mut self, now: Now, origin: Origin, body: Body, out: &mut Outputs) {
        let last = self.log.last();
        let counter_max = self.limits.counter_max;
        let leading = self.leading_mut();
        assert_eq!(last.epoch(), leading.epoch, "a leader's log ends in its own epoch");
        if last.counter() >= counter_max && leading.rolling.is_none() {
            leading.waiting.push_back((origin, body));
            self.roll(out);
        } else if leading.rolling.is_some() {
            leading.waiting.push_back((origin, body));
        } else {
            self.append(now, Zxid(last.0 + 1), origin, body, out);
        }
    }

    fn append(&mut self, now: Now, zxid: Zxid, origin: Origin, body: Body, out: &mut Outputs) {
        let entry = Arc::new(Entry { zxid, time: now.wall, origin, body });
        self.journal.write(Write::Append(entry.clone()), out);
        self.log.append(entry);
        // The leader's own disk counts like any other, and not before it has it.
        self.journal.hold(self.id, Vow::Ack { epoch: zxid.epoch(), upto: zxid, member: true });
    }

    /// Asks for promises of a new epoch without leaving the lead, because the counter is about to wrap. As in an
    /// election, this node's own promise has to be durable before the others are asked.
    pub(super) fn roll(&mut self, out: &mut Outputs) {
        let epoch = self.promised.max(self.epoch_seen).next();
        let admitting = self.leading_mut().followers.values().any(|follower| follower.applicant.is_some());
        out.note(Note::Rolling { epoch, admitting });
        self.leading_mut().rolling = Some(Rolling { epoch, promises: Ballot::default() });
        self.promise(epoch, self.id, out);
    }

    pub(super) fn on_roll_promise(&mut self, now: Now, from: PeerId, epoch: Epoch, out: &mut Outputs) {
        let (id, last) = (self.id, self.log.last());
        let leading = self.leading_mut();
        if let Some(follower) = leading.followers.get_mut(from) {
            follower.heard = now.mono;
        }
        let Some(rolling) = &mut leading.rolling else { return };
        if rolling.epoch != epoch {
            return;
        }
        rolling.promises.add(from);
        if from == id {
            // `promise` dropped what was held of the old epoch; by now all of it is durable.
            leading.acked = leading.acked.max(last);
            for (peer, _) in leading.followers.iter() {
                out.send(peer, PeerMessage::NewEpoch { epoch, last });
            }
        }
        let Role::Leading(leading) = &self.role else { unreachable!("still leading") };
        if leading.rolling.as_ref().is_some_and(|rolling| self.voters.won(&rolling.promises)) {
            self.open(now, epoch, out);
        }
    }

    /// Sends what followers have not been sent, and what has been committed since.
    pub(super) fn pump(&mut self, now: Now, out: &mut Outputs) {
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.beat_wanted {
            leading.beat_wanted = false;
            self.beat(now, out);
        }
        let Role::Leading(leading) = &mut self.role else { return };
        let (epoch, committed, base, end) = (leading.epoch, self.committed, self.log.base(), self.log.last());
        for (peer, follower) in leading.followers.iter_mut() {
            let Feed::Streaming { sent, in_flight, bytes } = &mut follower.feed else { continue };
            if *sent < base {
                // It lags behind what is in memory; the next heartbeat will make it say where it is.
                follower.feed = Feed::Unknown;
                continue;
            }
            while *sent < end && *bytes < self.limits.follower_in_flight_bytes_max {
                let mut weight = 0;
                let missing = self.log.after(*sent);
                let mut entries = Vec::with_capacity(missing.len().min(self.limits.append_entries_max));
                for entry in missing.take(self.limits.append_entries_max) {
                    let fits = *bytes + weight < self.limits.follower_in_flight_bytes_max;
                    weight += entry.weight();
                    if !fits {
                        break;
                    }
                    entries.push(entry.clone());
                }
                let last = entries.last().expect("there is an entry after what was sent").zxid;
                out.send(peer, PeerMessage::Propose { epoch, previous: *sent, entries, committed });
                *sent = last;
                *bytes += weight;
                in_flight.push_back((last, weight));
                follower.told = committed;
            }
            if follower.told < committed {
                follower.told = committed;
                out.send(peer, PeerMessage::Commit { epoch, upto: committed });
            }
        }
    }

    pub(super) fn on_ack(
        &mut self,
        now: Now,
        from: PeerId,
        epoch: Epoch,
        upto: Zxid,
        member: bool,
        out: &mut Outputs,
    ) {
        let id = self.id;
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.epoch != epoch {
            return;
        }
        assert!(
            upto <= self.log.last(),
            "{from:?} acknowledges {upto:?}, the log ends at {:?}",
            self.log.last()
        );
        if from == id {
            leading.acked = leading.acked.max(upto);
        } else {
            let Some(follower) = leading.followers.get_mut(from) else { return };
            follower.heard = now.mono;
            if member {
                follower.acked = follower.acked.max(upto);
            }
            if let Feed::Streaming { in_flight, bytes, .. } = &mut follower.feed {
                while let Some((last, weight)) = in_flight.front()
                    && *last <= upto
                {
                    *bytes -= weight;
                    in_flight.pop_front();
                }
            }
        }
        self.advance(out);
    }

    /// Commits what a quorum has on disk; nothing before the epoch's opening entry is among it, since entries of older
    /// epochs may yet be on a quorum's disks and lose to another leader's (the Raft paper, section 5.4.2).
    fn advance(&mut self, out: &mut Outputs) {
        let Role::Leading(leading) = &mut self.role else { return };
        let (id, own) = (self.id, leading.acked);
        let reached = self.voters.reached_by_quorum(|peer| match leading.followers.get(peer) {
            Some(follower) => follower.acked,
            None if peer == id => own,
            None => Zxid::ZERO,
        });
        if reached < leading.epoch.opening() || reached <= self.committed {
            return;
        }
        self.committed = reached;
        if !leading.established {
            leading.established = true;
            self.timers.clear(Timer::Sync);
            out.note(Note::Established { epoch: leading.epoch, committed: reached });
        }
    }

    /// Says that this leader lives; and looks whether it still hears a quorum.
    pub(super) fn beat(&mut self, now: Now, out: &mut Outputs) {
        let Role::Leading(leading) = &self.role else { return };
        if !self.hears_quorum(leading, now, self.limits.silence) {
            self.look(now, LookingReason::QuorumLost, out);
            return;
        }
        self.timers.set(Timer::Heartbeat, now.mono + self.limits.heartbeat);
        let (last, committed, checkpoint) = (self.log.last(), self.committed, self.checkpoint);
        let Role::Leading(leading) = &mut self.role else { unreachable!("still leading") };
        leading.round += 1;
        let Leading { epoch, reign, round, .. } = **leading;
        for (peer, follower) in leading.followers.iter() {
            let sent = match &follower.feed {
                Feed::Streaming { sent, .. } => *sent,
                // Makes it say where its log ends.
                Feed::Unknown | Feed::Snapshot(_) => last,
            };
            let (stream, forwarded) = (follower.stream, follower.forwarded);
            let admitted = follower.admitted.filter(|admission| admission.since <= committed);
            out.send(
                peer,
                PeerMessage::Heartbeat {
                    epoch,
                    reign,
                    round,
                    committed,
                    sent,
                    stream,
                    forwarded,
                    checkpoint,
                    admitted,
                },
            );
            if let Some(rolling) = &leading.rolling
                && rolling.promises.has(self.id)
            {
                out.send(peer, PeerMessage::NewEpoch { epoch: rolling.epoch, last });
            }
        }
    }

    pub(super) fn on_alive(
        &mut self,
        now: Now,
        from: PeerId,
        epoch: Epoch,
        round: u64,
        membership: Membership,
        out: &mut Outputs,
    ) {
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.epoch != epoch || round > leading.round {
            return;
        }
        let Some(follower) = leading.followers.get_mut(from) else { return };
        follower.heard = now.mono;
        if membership == Membership::Member {
            // A blank disk may have forgotten that it promised a newer epoch: it proves nothing.
            follower.echoed = follower.echoed.max(round);
        }
        self.on_membership(from, membership, out);
        self.pass_barriers(out);
    }

    /// Whether a quorum of members, this node among it, has been heard within this time.
    pub(super) fn hears_quorum(&self, leading: &Leading, now: Now, within: Duration) -> bool {
        let heard = |follower: &&Follower| follower.member && now.mono - follower.heard < within;
        let heard = leading.followers.values().filter(heard).count();
        heard + 1 >= self.voters.majority()
    }

    /// The operator wants this leader to end: ask a follower that has everything to stand. When nothing comes of that
    /// and this node is elected once more, it asks again: it would lead without serving anybody otherwise.
    pub(super) fn hand_over_if_ready(&mut self, now: Now, out: &mut Outputs) {
        if self.retirement != Retirement::Wanted {
            return;
        }
        if self.voters.count() - self.gone.len() < self.voters.majority() {
            // So many others have ended that nobody can take over: there is nothing to wait for.
            self.retired(out);
            return;
        }
        let Role::Leading(leading) = &self.role else { return };
        let last = self.log.last();
        let heir = leading
            .followers
            .iter()
            .filter(|(_, follower)| follower.acked == last)
            .max_by_key(|(_, follower)| follower.heard)
            .map(|(peer, _)| peer);
        if let Some(heir) = heir {
            out.send(heir, PeerMessage::HandOver { epoch: leading.epoch });
            out.note(Note::HandedOver { to: heir });
            self.look(now, LookingReason::HandOver, out);
        }
    }

    /// Nothing after this may be dropped from memory: it follows on a snapshot that is under way, or a follower that is
    /// catching up has not been sent it yet. Without the second a follower would get snapshot after snapshot for as long
    /// as clients write: what it cannot take at once would be gone by the time it can.
    ///
    /// That may be eight windows of bytes, and as many as the state has that is being sent, since a large state takes
    /// long. A follower that takes longer for the rate of writes starts over, before this node runs out of memory.
    pub(super) fn trim_floor(&mut self, now: Now) -> Zxid {
        let ((_, bytes), end, silence) = (self.log.size(), self.log.last(), self.limits.silence);
        let spare = bytes.saturating_sub(self.limits.log_window_bytes_max.saturating_mul(8));
        let mut floor = Zxid(u64::MAX);
        let Role::Leading(leading) = &mut self.role else { return floor };
        for follower in leading.followers.values_mut() {
            let keep = match &follower.feed {
                Feed::Snapshot(outgoing) => outgoing.keep(),
                Feed::Streaming { sent, .. } if *sent < end => {
                    (now.mono - follower.heard < silence).then_some(*sent)
                }
                Feed::Streaming { .. } => {
                    follower.state_bytes = 0;
                    None
                }
                Feed::Unknown => None,
            };
            if let Some(keep) = keep {
                if spare > follower.state_bytes {
                    follower.feed = Feed::Unknown;
                } else {
                    floor = floor.min(keep);
                }
            }
        }
        floor
    }

    /// Followers known, and how many of them have all that is committed.
    pub fn followers(&self) -> (usize, usize) {
        match &self.role {
            Role::Leading(leading) => {
                let synced = leading
                    .followers
                    .values()
                    .filter(|follower| matches!(follower.feed, Feed::Streaming { .. }))
                    .count();
                (leading.followers.len(), synced)
            }
            Role::Looking(_) | Role::Candidate(_) | Role::Following(_) => (0, 0),
        }
    }

    /// Commands proposed by this leader, or waiting to be, that are not committed: all that is committed is executed
    /// by the end of each step.
    pub fn uncommitted(&self) -> usize {
        match &self.role {
            Role::Leading(leading) => self.log.undelivered() + leading.waiting.len(),
            Role::Looking(_) | Role::Candidate(_) | Role::Following(_) => 0,
        }
    }

    fn leading_mut(&mut self) -> &mut Leading {
        match &mut self.role {
            Role::Leading(leading) => leading,
            Role::Looking(_) | Role::Candidate(_) | Role::Following(_) => {
                unreachable!("called by a leader only")
            }
        }
    }

    fn follower_mut(&mut self, peer: PeerId) -> &mut Follower {
        self.leading_mut().followers.get_mut(peer).expect("every other voter is a follower")
    }
}
