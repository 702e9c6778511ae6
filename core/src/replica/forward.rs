//! How commands of followers' clients reach the leader: once, in order, whatever the transport loses or doubles.
//!
//! Each stay of a follower under a leader is a stream; its commands are counted from 1. The leader takes them strictly in
//! order and says in its heartbeats how far it has come, and the follower sends again what has not arrived by then.
//! Barriers (for `sync`) need no such care: asking twice is harmless, and each is asked again until it is answered, once in
//! the time between two heartbeats: each barrier makes the leader beat, so that asking again at each beat would cost as
//! many messages as the square of the barriers that wait.

use std::collections::VecDeque;

use crate::entry::{Ask, Body, Command, Submission};
use crate::ids::{Epoch, Origin, PeerId, Zxid};
use crate::io::Outputs;
use crate::replica::message::PeerMessage;
use crate::replica::{Replica, Retirement, Role};
use crate::time::{Duration, Instant, Now};

/// Commands in one message.
const COMMANDS_MAX: usize = 1_000;

/// A follower's commands and barriers that are not with the leader yet, as far as is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    /// How many commands of the stream the leader has.
    arrived: u64,
    /// The commands after those.
    commands: VecDeque<(u64, Command)>,
    /// How many had been sent when the last heartbeat came: if they have not arrived by the next, they were lost.
    sent_at_heartbeat: u64,
    /// The barriers that wait, and when each was asked last.
    barriers: Vec<(u64, Instant)>,
}

impl Outbox {
    /// A heartbeat told what has arrived: send again what was lost, and barriers that were asked so long ago.
    pub(super) fn resend(
        &mut self,
        (now, old): (Instant, Duration),
        leader: PeerId,
        epoch: Epoch,
        stream: u64,
        arrived: u64,
        out: &mut Outputs,
    ) {
        while self.arrived < arrived && self.commands.pop_front().is_some() {
            self.arrived += 1;
        }
        if self.arrived < self.sent_at_heartbeat {
            let commands = self.commands.iter().take(COMMANDS_MAX).cloned().collect();
            out.send(leader, PeerMessage::Forward { epoch, stream, first: self.arrived + 1, commands });
        }
        self.sent_at_heartbeat = self.arrived + self.commands.len() as u64;
        for (number, asked) in self.barriers.iter_mut().filter(|(_, asked)| now - *asked >= old) {
            *asked = now;
            out.send(leader, PeerMessage::Barrier { epoch, stream, number: *number });
        }
    }
}

impl Replica {
    /// The front desk's submissions: to the order if this node leads, to the leader if it follows. Without either they
    /// are dropped: the desk is about to be closed.
    pub(super) fn on_submissions(
        &mut self,
        now: Now,
        submissions: impl Iterator<Item = Submission>,
        out: &mut Outputs,
    ) {
        match &mut self.role {
            Role::Leading(leading) => {
                let (stream, peer) = (leading.reign, self.id);
                for Submission { number, ask } in submissions {
                    match ask {
                        Ask::Command(command) => {
                            let origin = Origin { peer, stream, number };
                            self.propose_or_wait(now, origin, Body::Command(command), out);
                        }
                        Ask::Barrier => self.on_barrier(peer, stream, number, out),
                    }
                }
            }
            Role::Following(following) => {
                let (leader, epoch, stream) = (following.leader, following.epoch, following.stream);
                let outbox = &mut following.outbox;
                let first = outbox.arrived + outbox.commands.len() as u64 + 1;
                let mut fresh = Vec::new();
                for Submission { number, ask } in submissions {
                    match ask {
                        Ask::Command(command) => {
                            outbox.commands.push_back((number, command.clone()));
                            fresh.push((number, command));
                        }
                        Ask::Barrier => {
                            outbox.barriers.push((number, now.mono));
                            out.send(leader, PeerMessage::Barrier { epoch, stream, number });
                        }
                    }
                }
                if !fresh.is_empty() {
                    out.send(leader, PeerMessage::Forward { epoch, stream, first, commands: fresh });
                }
            }
            Role::Looking(_) | Role::Candidate(_) => submissions.for_each(drop),
        }
    }

    /// Commands of a follower's clients: taken in order, each once.
    pub(super) fn on_forward(
        &mut self,
        now: Now,
        from: PeerId,
        stream: u64,
        first: u64,
        commands: Vec<(u64, Command)>,
        out: &mut Outputs,
    ) {
        for (index, (number, command)) in commands.into_iter().enumerate() {
            let Role::Leading(leading) = &mut self.role else { return };
            if !leading.established || self.retirement != Retirement::No {
                return;
            }
            let Some(follower) = leading.followers.get_mut(from) else { return };
            if follower.stream != stream || first.saturating_add(index as u64) != follower.forwarded + 1 {
                // A copy of one that came before, or a gap: the heartbeat will tell.
                continue;
            }
            follower.forwarded += 1;
            let origin = Origin { peer: from, stream, number };
            self.propose_or_wait(now, origin, Body::Command(command), out);
        }
    }

    /// Somebody wants proof that this node leads. A heartbeat that is sent from now on gives it, once a quorum has
    /// answered that very one; what is committed now covers all that any client has been told.
    pub(super) fn on_barrier(&mut self, from: PeerId, stream: u64, number: u64, out: &mut Outputs) {
        let Role::Leading(leading) = &mut self.role else { return };
        if !leading.established {
            return;
        }
        let barrier = Barrier { from, stream, number, round: leading.round + 1, zxid: self.committed };
        if !leading
            .barriers
            .iter()
            .any(|other| (other.from, other.stream, other.number) == (from, stream, number))
        {
            leading.barriers.push(barrier);
            leading.beat_wanted = true;
        }
        self.pass_barriers(out);
    }

    /// Answers the barriers whose heartbeat a quorum has answered.
    pub(super) fn pass_barriers(&mut self, out: &mut Outputs) {
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.barriers.is_empty() {
            return;
        }
        let id = self.id;
        let alone = self.voters.count() == 1;
        let echoed = self
            .voters
            .nth_highest(|peer| match leading.followers.get(peer) {
                Some(follower) => follower.echoed,
                None if peer == id => u64::MAX,
                None => 0,
            })
            .expect("an ensemble has at least one voter");
        let epoch = leading.epoch;
        let passed = &mut self.passed;
        leading.barriers.retain(|barrier| {
            if !alone && barrier.round > echoed {
                return true;
            }
            let Barrier { from, stream, number, zxid, .. } = *barrier;
            if from == id {
                passed.push((stream, zxid, number));
            } else {
                out.send(from, PeerMessage::BarrierPassed { epoch, stream, number, zxid });
            }
            false
        });
    }

    pub(super) fn on_barrier_passed(&mut self, from: PeerId, stream: u64, number: u64, zxid: Zxid) {
        let Role::Following(following) = &mut self.role else { return };
        if following.leader != from || following.stream != stream {
            return;
        }
        let before = following.outbox.barriers.len();
        following.outbox.barriers.retain(|(waiting, _)| *waiting != number);
        if following.outbox.barriers.len() < before {
            self.passed.push((stream, zxid, number));
        }
    }
}

/// A barrier that waits for a quorum's answer to heartbeat `round`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Barrier {
    from: PeerId,
    stream: u64,
    number: u64,
    round: u64,
    zxid: Zxid,
}
