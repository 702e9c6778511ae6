//! Marks of sessions, and of requests that are proposed before others are executed.

use vivarium_core::api::MultiOp;
use vivarium_core::entry::{Body, Command, Entry, Write};
use vivarium_core::ids::{ConnId, Epoch, Origin, SessionId, Zxid};
use vivarium_core::io::{Note, Output};
use vivarium_sim::{NodeIndex, Time};

use super::Mark;
use super::marker::{Marker, Role};

/// A session, as far as marks ask for it.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub password: [u8; 16],
    /// Whose requests are accepted by what is executed, and by what is proposed.
    owner: Origin,
    next_owner: Origin,
    pub began: Epoch,
    /// Its connection, where it is, and when it was heard last.
    pub conn: Option<(ConnId, NodeIndex)>,
    pub heard: Time,
    pub timeout: Time,
    /// The newest proposals of their kind.
    expiring: Zxid,
    closing: Zxid,
    requested: Zxid,
    ephemeral: Zxid,
    delete: Zxid,
    /// Ephemeral nodes that it was told it has made.
    pub made: u32,
    pub ended: bool,
}

/// Where a sequential node was made: the parent, as a hash.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub parent: u64,
    pub epoch: Epoch,
    pub deleted: bool,
}

impl Marker {
    /// A leader gives an entry its place.
    pub(super) fn proposed(&mut self, node: NodeIndex, entry: &Entry) {
        let applied = self.nodes[node].applied;
        let zxid = entry.zxid;
        let outstanding = self.nodes[node].log.outstanding();
        self.hit_if(Mark::ProposalsAtLimit, outstanding + 1 >= self.shape.proposals_max);
        match &entry.body {
            Body::Opening => {
                let expiry = self.sessions.values().any(|session| session.expiring > applied);
                if self.nodes[node].rolling == Some(zxid.epoch()) {
                    self.rolled(node, zxid.epoch(), expiry);
                }
            }
            Body::Command(Command::CreateSession { session, password, timeout_ms }) => {
                self.sessions.insert(*session, Session::new(*password, entry, *timeout_ms, self.at));
                self.attachments.insert(zxid, (*session, entry.origin));
                self.hit_if(Mark::ManySessions, self.sessions.len() >= 10);
            }
            Body::Command(Command::Attach { session, password, timeout_ms }) => {
                let Some(state) = self.sessions.get_mut(session) else { return };
                if state.password != *password {
                    return;
                }
                state.timeout = *timeout_ms as Time * vivarium_sim::MS;
                state.next_owner = entry.origin;
                let (ending, busy) = (state.expiring > applied, state.requested > applied);
                self.attachments.insert(zxid, (*session, entry.origin));
                self.hit_if(Mark::ReattachAfterExpiry, ending);
                self.hit_if(Mark::MovedWithRequestInFlight, busy);
            }
            Body::Command(Command::Expire { session, owner }) => {
                let Some(state) = self.sessions.get_mut(session) else { return };
                let (twice, moved) = (state.expiring > applied, state.next_owner != *owner);
                let (ephemeral, delete) = (state.ephemeral > applied, state.delete > applied);
                if !moved {
                    state.expiring = zxid;
                }
                self.hit_if(Mark::ExpiryTwice, twice);
                self.hit_if(Mark::ExpiryAfterReattach, moved && !twice);
                self.hit_if(Mark::EphemeralBeforeClose, ephemeral);
                self.hit_if(Mark::DeleteBeforeClose, delete);
            }
            Body::Command(Command::Request { session, owner, write, .. }) => {
                self.requested(node, zxid, *session, *owner, write);
            }
        }
    }

    fn requested(&mut self, node: NodeIndex, zxid: Zxid, session: SessionId, owner: Origin, write: &Write) {
        let leader = &mut self.nodes[node];
        let applied = leader.applied;
        let syncing = leader.feeding.iter().any(Option::is_some);
        let transfer = leader.feeding.contains(&Some(vivarium_core::io::SyncPlan::Snapshot));
        let outstanding = leader.log.last() > applied;
        self.marks.insert_if(Mark::WriteDuringSync, syncing);
        self.marks.insert_if(Mark::TransferDuringWrites, transfer);
        let mut put = |slot: fn(&mut super::marker::Node) -> &mut Zxid| {
            let before = std::mem::replace(slot(leader), zxid);
            before > applied
        };
        let (mut large, mut ephemeral, mut delete, mut close) = (0, false, false, false);
        match write {
            Write::Create(create) => {
                large = create.data.as_ref().map_or(0, |data| data.len());
                ephemeral = create.flags & 1 != 0;
                if create.flags & 2 != 0 {
                    let again = put(|node| &mut node.sequential_at);
                    self.marks.insert_if(Mark::SequentialOutstanding, again);
                }
            }
            Write::Delete { version, .. } | Write::SetData { version, .. } => {
                delete = matches!(write, Write::Delete { .. });
                if let Write::SetData { data: Some(data), .. } = write {
                    large = data.len();
                }
                if *version >= 0 {
                    let again = put(|node| &mut node.conditional_at);
                    self.marks.insert_if(Mark::ConditionalOutstanding, again);
                }
            }
            Write::Multi(items) => {
                self.marks.insert_if(Mark::MultiAfterOutstanding, outstanding && !items.is_empty());
                let makes = |item: &MultiOp| matches!(item, MultiOp::Create(create) if create.flags & 1 != 0);
                ephemeral = items.iter().any(makes);
            }
            Write::Close => close = true,
            Write::SetAcl { .. } | Write::Fail(_) => {}
        }
        self.marks.insert_if(Mark::LargeEntry, large >= 1000);
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let moved = state.next_owner != owner;
        let ending = state.expiring.max(state.closing) > Zxid::ZERO;
        let (made, deleted) = (state.ephemeral > applied, state.delete > applied);
        state.requested = zxid;
        if ephemeral {
            state.ephemeral = zxid;
        }
        if delete {
            state.delete = zxid;
        }
        if close {
            state.closing = zxid;
        }
        self.hit_if(Mark::RequestAfterMove, moved && !ending);
        self.hit_if(Mark::RequestAfterEnd, ending && !moved);
        self.hit_if(Mark::EphemeralBeforeClose, close && made);
        self.hit_if(Mark::DeleteBeforeClose, close && deleted);
    }

    /// There is another leader: what was proposed and not executed may never be.
    pub(super) fn forget_proposals(&mut self) {
        for session in self.sessions.values_mut().filter(|session| !session.ended) {
            session.next_owner = session.owner;
            (session.expiring, session.closing) = (Zxid::ZERO, Zxid::ZERO);
        }
    }

    /// The entry that attached a session is executed for the first time.
    pub(super) fn attachment_executed(&mut self, zxid: Zxid) {
        if let Some((session, owner)) = self.attachments.remove(&zxid)
            && let Some(session) = self.sessions.get_mut(&session)
        {
            session.owner = owner;
            session.next_owner = owner;
        }
    }

    pub(super) fn session_created(&mut self, session: SessionId) {
        if self.step.first
            && let Some(state) = self.sessions.get_mut(&session)
        {
            state.heard = self.at;
        }
    }

    pub(super) fn session_attached(&mut self, session: SessionId) {
        if !self.step.first {
            return;
        }
        let epoch = self.committed.epoch();
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let (older, made) = (state.began < epoch, state.made > 0);
        self.hit_if(Mark::SessionOutlivesLeader, older);
        self.hit_if(Mark::EphemeralMoved, made);
    }

    pub(super) fn session_ended(&mut self, session: SessionId, expired: bool) {
        if !self.step.first {
            return;
        }
        self.hit(if expired { Mark::SessionExpired } else { Mark::SessionClosed });
        let Some(state) = self.sessions.get_mut(&session) else { return };
        state.ended = true;
        let made = state.made;
        self.hit_if(Mark::EphemeralClosed, made > 0 && !expired);
        self.hit_if(Mark::EphemeralExpired, made > 0 && expired);
        self.hit_if(Mark::EphemeralsRemoved, made >= 3);
    }

    /// An expiry was executed: if it did something, that is the next thing to be said.
    pub(super) fn finish_expiry(&mut self, output: &Output) {
        self.step.expiry = false;
        let ended = matches!(output, Output::Note(Note::SessionEnded { .. }));
        self.hit_if(Mark::ExpiryDidNothing, !ended);
    }

    /// A sequential node was made, or one was deleted, below this parent.
    pub(super) fn sequential(&mut self, parent: u64, zxid: Zxid, deleted: bool) {
        let place = match self.places.iter().position(|place| place.parent == parent) {
            Some(place) => place,
            None if deleted => return,
            None => {
                self.places.push(Place { parent, epoch: zxid.epoch(), deleted: false });
                return;
            }
        };
        let place = &mut self.places[place];
        if deleted {
            place.deleted = true;
            return;
        }
        let (after, older) = (place.deleted, place.epoch < zxid.epoch());
        place.epoch = zxid.epoch();
        self.hit_if(Mark::SequentialAfterDelete, after);
        self.hit_if(Mark::SequentialAfterElection, older);
    }

    /// A leader that another has followed in a later epoch, and that does not know it yet.
    pub(super) fn is_deposed(&self, node: NodeIndex) -> bool {
        let state = &self.nodes[node];
        matches!(state.role, Role::Leading { epoch, .. } if state.settled && epoch < self.established)
    }
}

impl Session {
    fn new(password: [u8; 16], entry: &Entry, timeout_ms: i32, at: Time) -> Session {
        Session {
            password,
            owner: entry.origin,
            next_owner: entry.origin,
            began: entry.zxid.epoch(),
            conn: None,
            heard: at,
            timeout: timeout_ms as Time * vivarium_sim::MS,
            expiring: Zxid::ZERO,
            closing: Zxid::ZERO,
            requested: Zxid::ZERO,
            ephemeral: Zxid::ZERO,
            delete: Zxid::ZERO,
            made: 0,
            ended: false,
        }
    }
}
