//! Synchronization: bringing a follower's log to the leader's, by DIFF, TRUNC or SNAP.
//!
//! One decision, `plan`, over where the follower's log ends and what the leader has in memory. TRUNC is followed by the
//! follower saying where that leaves it, and the decision again: each turn cuts below an entry that the leader does not
//! have, so it ends, with DIFF where the histories meet in memory and with SNAP where they do not.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::ids::{Epoch, PeerId, WriteSeq, Zxid};
use crate::io::{Lane, LookingReason, Note, Outputs, SyncPlan, Write};
use crate::log::Log;
use crate::replica::journal::Vow;
use crate::replica::leader::Feed;
use crate::replica::message::PeerMessage;
use crate::replica::{Installed, Replica, Role};
use crate::time::{Duration, Now};
use crate::timers::Timer;

/// A piece of a snapshot on its way.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) zxid: Zxid,
    pub(super) index: u32,
    pub(super) bytes: Arc<[u8]>,
    pub(super) last: bool,
}

/// The leader's side of a SNAP. The state's pieces come from the state machine, a few at a time.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    /// The zxid at which the state was frozen; `None` until it is.
    zxid: Option<Zxid>,
    /// Pieces that the follower has.
    received: u32,
    /// Pieces after those that were sent.
    in_flight: VecDeque<Chunk>,
    /// The last piece has been sent.
    finished: bool,
    /// The follower has said twice that it stands where it stood: what is in flight was lost.
    stalled: bool,
}

/// The follower's side of a SNAP.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    zxid: Zxid,
    chunks: Vec<Arc<[u8]>>,
    /// Pieces that came before their turn, and whether each is the last.
    ahead: BTreeMap<u32, (Arc<[u8]>, bool)>,
    /// The write of the last piece, once it has come.
    complete: Option<WriteSeq>,
    /// Heartbeats since a piece came.
    idle_heartbeats: u32,
}

/// A leader sends again what is lost after the second report without progress. A snapshot that does not move for
/// this many heartbeats is not being sent any more.
const IDLE_HEARTBEATS_MAX: u32 = 8;

/// The decision: how to bring a log that ends at `last` to `log`.
pub(super) fn plan(log: &Log, last: Zxid) -> (SyncPlan, Zxid) {
    if log.contains(last) {
        return (SyncPlan::Diff, last);
    }
    match log.floor(last) {
        Some(to) => (SyncPlan::Truncate, to),
        None => (SyncPlan::Snapshot, last),
    }
}

impl Outgoing {
    fn new() -> Outgoing {
        Outgoing { zxid: None, received: 0, in_flight: VecDeque::new(), finished: false, stalled: false }
    }

    /// The zxid from which the log must be kept, for what follows the snapshot.
    pub(super) fn keep(&self) -> Option<Zxid> {
        self.zxid
    }

    fn resend(&self, to: PeerId, epoch: Epoch, out: &mut Outputs) {
        for Chunk { zxid, index, bytes, last } in self.in_flight.iter().cloned() {
            out.send(to, PeerMessage::SnapshotChunk { epoch, zxid, index, bytes, last });
        }
    }
}

impl Incoming {
    fn new(zxid: Zxid) -> Incoming {
        Incoming { zxid, chunks: Vec::new(), ahead: BTreeMap::new(), complete: None, idle_heartbeats: 0 }
    }

    /// Told of each heartbeat: whether nothing has come for so many of them that nothing more will.
    pub(super) fn stands_still(&mut self) -> bool {
        self.idle_heartbeats += 1;
        self.complete.is_none() && self.idle_heartbeats > IDLE_HEARTBEATS_MAX
    }

    /// Says how far the snapshot has come.
    pub(super) fn report(&self, leader: PeerId, epoch: Epoch, out: &mut Outputs) {
        let next = self.chunks.len() as u32;
        out.send(leader, PeerMessage::SnapshotReceived { epoch, zxid: self.zxid, next });
    }
}

impl Replica {
    /// A follower says where its log ends.
    pub(super) fn on_position(
        &mut self,
        now: Now,
        from: PeerId,
        epoch: Epoch,
        last: Zxid,
        stream: u64,
        out: &mut Outputs,
    ) {
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.epoch != epoch {
            return;
        }
        let Some(follower) = leading.followers.get_mut(from) else { return };
        follower.heard = now.mono;
        if follower.stream != stream {
            // A new stay of this follower, whose commands are counted anew; or one that is known: a late copy, or the
            // present one, which a late copy had displaced. Either way its count goes on where it was.
            let known = follower.other_streams.iter().position(|(other, _)| *other == stream);
            let forwarded = known.map_or(0, |place| follower.other_streams.swap_remove(place).1);
            follower.other_streams.push((follower.stream, follower.forwarded));
            follower.stream = stream;
            follower.forwarded = forwarded;
            follower.refilled = None;
            if let Feed::Streaming { sent, .. } = &follower.feed
                && last <= *sent
                && follower.fed_since_promise
            {
                // It was brought up to date from what its promise said, and that is on its way: were any of it lost,
                // the next heartbeat would show.
                follower.fed_since_promise = false;
                return;
            }
        }
        if let Feed::Snapshot(outgoing) = &follower.feed
            && outgoing.received == 0
            && !self.log.contains(last)
            && outgoing.zxid.is_some_and(|zxid| zxid > last)
        {
            outgoing.resend(from, epoch, out);
            return;
        }
        if matches!(follower.feed, Feed::Streaming { .. }) && self.log.contains(last) {
            // Late messages make a follower show gap after gap. What was sent again from an earlier place fills those
            // further on too, and is on its way; were any of it lost, the next heartbeat would show.
            let again = Duration(self.limits.heartbeat.0 / 2);
            if follower.refilled.is_some_and(|(at, since)| at <= last && now.mono - since < again) {
                return;
            }
            follower.refilled = Some((last, now.mono));
        }
        self.feed(from, last, out);
    }

    /// Decides how to bring a follower up to date, and begins.
    pub(super) fn feed(&mut self, to: PeerId, last: Zxid, out: &mut Outputs) {
        let Role::Leading(leading) = &mut self.role else { return };
        let epoch = leading.epoch;
        let Some(follower) = leading.followers.get_mut(to) else { return };
        let (plan, at) = plan(&self.log, last);
        let news = !matches!((&follower.feed, plan), (Feed::Streaming { .. }, SyncPlan::Diff));
        follower.feed = match plan {
            SyncPlan::Diff => Feed::streaming(at),
            SyncPlan::Truncate => {
                out.send(to, PeerMessage::Truncate { epoch, to: at });
                Feed::Unknown
            }
            SyncPlan::Snapshot => {
                follower.state_bytes = 0;
                Feed::Snapshot(Outgoing::new())
            }
        };
        if news {
            out.note(Note::Synchronizing { follower: to, last, plan });
        }
        if plan == SyncPlan::Diff && at == self.log.last() {
            // Nothing is missing and nothing may come for long, but the follower does not know that yet.
            let committed = self.committed;
            out.send(to, PeerMessage::Propose { epoch, previous: at, entries: Vec::new(), committed });
        }
    }

    /// Whether any follower gets the state.
    pub fn feeds_snapshot(&self) -> bool {
        self.outgoing().next().is_some()
    }

    /// A follower whose snapshot has yet to be begun: freeze the state, and say so with [`Replica::snapshot_frozen`].
    pub fn snapshot_wanted(&self) -> Option<PeerId> {
        self.outgoing().find(|(_, outgoing)| outgoing.zxid.is_none()).map(|(peer, _)| peer)
    }

    /// The state was frozen at `zxid` for `to`.
    pub fn snapshot_frozen(&mut self, to: PeerId, zxid: Zxid) {
        assert_eq!(zxid, self.log.delivered(), "a snapshot is of what has been executed");
        if let Some(outgoing) = self.outgoing_to(to) {
            outgoing.zxid = Some(zxid);
        }
    }

    /// The zxid of the snapshot that is under way to a follower.
    pub fn snapshot_to(&self, to: PeerId) -> Option<Zxid> {
        self.outgoing().find(|(peer, _)| *peer == to).and_then(|(_, outgoing)| outgoing.zxid)
    }

    /// A follower that has room for another piece of its snapshot: give it with [`Replica::snapshot_chunk`].
    pub fn snapshot_room(&self) -> Option<PeerId> {
        self.outgoing()
            .find(|(_, outgoing)| {
                outgoing.zxid.is_some()
                    && !outgoing.finished
                    && outgoing.in_flight.len() < self.limits.snapshot_chunks_in_flight_max
            })
            .map(|(peer, _)| peer)
    }

    /// The next piece of a follower's snapshot.
    pub fn snapshot_chunk(&mut self, to: PeerId, bytes: Arc<[u8]>, last: bool, out: &mut Outputs) {
        let epoch = self.epoch();
        let Role::Leading(leading) = &mut self.role else { return };
        let Some(follower) = leading.followers.get_mut(to) else { return };
        let Feed::Snapshot(outgoing) = &mut follower.feed else { return };
        let Some(zxid) = outgoing.zxid else { return };
        follower.state_bytes += bytes.len();
        let index = outgoing.received + outgoing.in_flight.len() as u32;
        outgoing.in_flight.push_back(Chunk { zxid, index, bytes: bytes.clone(), last });
        outgoing.finished = last;
        out.send(to, PeerMessage::SnapshotChunk { epoch, zxid, index, bytes, last });
    }

    pub(super) fn on_snapshot_received(
        &mut self,
        now: Now,
        from: PeerId,
        epoch: Epoch,
        zxid: Zxid,
        next: u32,
        out: &mut Outputs,
    ) {
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.epoch != epoch {
            return;
        }
        let Some(follower) = leading.followers.get_mut(from) else { return };
        follower.heard = now.mono;
        let Feed::Snapshot(outgoing) = &mut follower.feed else { return };
        if outgoing.zxid != Some(zxid) {
            return;
        }
        if next > outgoing.received {
            outgoing.stalled = false;
            while outgoing.received < next && outgoing.in_flight.pop_front().is_some() {
                outgoing.received += 1;
            }
        } else if outgoing.stalled {
            outgoing.stalled = false;
            outgoing.resend(from, epoch, out);
        } else {
            outgoing.stalled = true;
        }
    }

    /// A piece of the leader's state.
    pub(super) fn on_snapshot_chunk(
        &mut self,
        now: Now,
        from: PeerId,
        epoch: Epoch,
        chunk: Chunk,
        out: &mut Outputs,
    ) {
        if !self.is_current(now, from, epoch, out) {
            return;
        }
        let Role::Following(following) = &mut self.role else { unreachable!("a current leader is followed") };
        if chunk.zxid <= self.committed.max(self.log.last()) {
            // A late piece of a snapshot that is behind this node by now: a leader sends one only of a state after the
            // end of the follower's log. Were it taken, in a new stay under the same leader too, entries would be
            // dropped that this leader counts as acknowledged.
            return;
        }
        if following.verified() {
            // It was in sync and has fallen so far behind that the leader has forgotten what comes next. Its clients
            // wait for outcomes that the snapshot swallows, and their watches would miss changes: they have to go. The
            // snapshot is taken in a new stay, which begins with the leader's next heartbeat.
            self.look(now, LookingReason::LeftBehind, out);
            return;
        }
        let begins =
            chunk.index == 0 && following.incoming.as_ref().is_none_or(|other| other.zxid < chunk.zxid);
        if begins {
            following.incoming = Some(Incoming::new(chunk.zxid));
        }
        let Some(incoming) = &mut following.incoming else { return };
        if incoming.zxid != chunk.zxid {
            return;
        }
        let Chunk { zxid, index, bytes, last } = chunk;
        let next = incoming.chunks.len() as u32;
        let window = next..next.saturating_add(self.limits.snapshot_chunks_in_flight_max as u32);
        if incoming.complete.is_none() && window.contains(&index) {
            incoming.ahead.insert(index, (bytes, last));
        }
        while incoming.complete.is_none()
            && let Some((bytes, last)) = incoming.ahead.remove(&(incoming.chunks.len() as u32))
        {
            let index = incoming.chunks.len() as u32;
            incoming.chunks.push(bytes.clone());
            incoming.idle_heartbeats = 0;
            let seq = self.journal.write(Write::Chunk { zxid, index, bytes, last }, out);
            incoming.complete = last.then_some(seq);
        }
        if incoming.chunks.len() as u32 > next {
            // Progress: the bound on synchronization is on standing still.
            self.timers.set(Timer::Sync, now.mono + self.limits.sync);
            // Only progress is reported at once. Two reports without it make the leader send again all that is in
            // flight: were copies reported too, the two would keep each other busy with ever more of them.
            incoming.report(from, epoch, out);
        }
        self.finish_install(now, out);
    }

    /// Once the leader's snapshot is durable as a whole, it replaces this node's history.
    pub(super) fn finish_install(&mut self, now: Now, out: &mut Outputs) {
        let Role::Following(following) = &mut self.role else { return };
        let Some(incoming) = &following.incoming else { return };
        if !incoming.complete.is_some_and(|seq| self.journal.is_synced(Lane::Snapshot, seq)) {
            return;
        }
        let Incoming { zxid, chunks, .. } = following.incoming.take().expect("just seen");
        assert!(zxid > self.committed, "a snapshot at {zxid:?} would undo {:?}", self.committed);
        let (leader, epoch, stream) = (following.leader, following.epoch, following.stream);
        following.verify(zxid);
        self.journal.forget();
        self.journal.write(Write::Reset { base: zxid }, out);
        self.journal.hold(leader, Vow::Positioned { epoch, last: zxid, stream });
        self.log.reset(zxid);
        self.committed = zxid;
        self.installed = Some(Installed { leader, zxid, chunks });
        self.timers.set(Timer::Sync, now.mono + self.limits.sync);
    }

    /// Whether a leader's snapshot is being written: one of this node's own would void it.
    pub fn receives_snapshot(&self) -> bool {
        matches!(&self.role, Role::Following(following) if following.incoming.is_some())
    }

    fn outgoing(&self) -> impl Iterator<Item = (PeerId, &Outgoing)> {
        let followers = match &self.role {
            Role::Leading(leading) => Some(leading.followers.iter()),
            Role::Looking(_) | Role::Candidate(_) | Role::Following(_) => None,
        };
        followers.into_iter().flatten().filter_map(|(peer, follower)| match &follower.feed {
            Feed::Snapshot(outgoing) => Some((peer, outgoing)),
            Feed::Unknown | Feed::Streaming { .. } => None,
        })
    }

    fn outgoing_to(&mut self, to: PeerId) -> Option<&mut Outgoing> {
        let Role::Leading(leading) = &mut self.role else { return None };
        match &mut leading.followers.get_mut(to)?.feed {
            Feed::Snapshot(outgoing) => Some(outgoing),
            Feed::Unknown | Feed::Streaming { .. } => None,
        }
    }
}
