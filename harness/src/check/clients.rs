//! What clients are told: in order, fresh enough, and what the model says.

use std::collections::{BTreeMap, VecDeque};

use vivarium_core::api::{
    ConnectRequest, ConnectResponse, Id, Op, Reply, Request, Response, WatchedEvent, perms,
};
use vivarium_core::entry::{Body, Command, Write};
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::{ConnId, SessionId, Zxid};
use vivarium_sim::client::workload::USERS;
use vivarium_sim::world::address;
use vivarium_sim::{ClientIndex, Schedule, Violation};

use super::model::{Model, Outcome, View, may};
use super::order::History;
use super::violation;
use super::watches::{Renewal, Watches};

/// All connections of all clients.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    conns: BTreeMap<ConnId, Conn>,
    /// The highest zxid that any client has been told. Whatever is asked from now on comes after it.
    told: Zxid,
    superuser: bool,
    timeouts: (i32, i32),
}

/// A connection, as its client sees it.
#[derive(Clone, Debug)]
struct Conn {
    hello: ConnectRequest,
    session: Option<SessionId>,
    pending: VecDeque<Pending>,
    /// Identities, once their auth packets are sent,
    ids: Vec<Id>,
    /// and once they are confirmed.
    confirmed: Vec<Id>,
    /// The highest zxid its client has been told.
    seen: i64,
    watches: Watches,
    /// Notifications of a setWatches whose reply has not come.
    renewed: Vec<WatchedEvent>,
}

/// A request without an answer.
#[derive(Clone, Debug)]
struct Pending {
    request: Request,
    /// The highest zxid that any client had been told when it was sent.
    told: Zxid,
    ids: Vec<Id>,
}

type Checked = Result<(), Box<Violation>>;

impl Clients {
    pub(super) fn begin(&mut self, schedule: &Schedule) {
        self.superuser = schedule.superuser;
        self.timeouts = (schedule.limits.session_timeout_min_ms, schedule.limits.session_timeout_max_ms);
    }

    pub(super) fn connecting(&mut self, client: ClientIndex, conn: ConnId, hello: &ConnectRequest) {
        let address = Id { scheme: "ip".into(), id: address(client).to_string() };
        let state = Conn {
            hello: hello.clone(),
            session: None,
            pending: VecDeque::new(),
            ids: vec![address.clone()],
            confirmed: vec![address],
            seen: hello.last_zxid_seen,
            watches: Watches::default(),
            renewed: Vec::new(),
        };
        self.conns.insert(conn, state);
    }

    /// The handshake is answered (sections 1.5 and 7).
    pub(super) fn connected(&mut self, conn: ConnId, response: &ConnectResponse, model: &Model) -> Checked {
        let state = self.conns.get_mut(&conn).expect("who is answered has connected");
        let hello = &state.hello;
        let known = model.session(hello.session);
        let right = known.is_some_and(|known| {
            hello.password.as_ref().is_some_and(|password| password[..] == known.password)
        });
        let problem = if response.session.0 == 0 || response.timeout_ms <= 0 {
            if hello.session.0 == 0 {
                Some("a new session is never refused")
            } else if right {
                Some("a session that is open is not refused to the holder of its password")
            } else {
                None
            }
        } else {
            let granted = hello.timeout_ms.clamp(self.timeouts.0, self.timeouts.1);
            let renewed = hello.session.0 != 0;
            let session = model.session(response.session);
            if renewed && response.session != hello.session {
                Some("the session that was asked for")
            } else if renewed && known.is_some() && !right {
                Some("a session is not given to someone who has not its password")
            } else if session.is_some_and(|session| session.password != response.password) {
                Some("the session's password")
            } else if response.timeout_ms != granted {
                Some("the timeout that was asked for, within the limits")
            } else if response.read_only != hello.read_only.map(|_| false) {
                Some("the read-only flag if, and only if, the client has it")
            } else if response.session.0 < 0 {
                Some("a positive session id")
            } else {
                None
            }
        };
        state.session = Some(response.session).filter(|session| session.0 != 0);
        match problem {
            None => Ok(()),
            Some(expected) => violation(
                "handshake",
                "a handshake is answered as the session's state demands",
                format!("{response:?} to {hello:?}; the session is {known:?}"),
                expected.into(),
            ),
        }
    }

    pub(super) fn sent(&mut self, conn: ConnId, request: &Request) {
        let told = self.told;
        let superuser = self.superuser;
        let state = self.conns.get_mut(&conn).expect("who asks has connected");
        if let Some(ids) = identities(&request.op, superuser) {
            add(&mut state.ids, ids);
        }
        state.pending.push_back(Pending { request: request.clone(), told, ids: state.ids.clone() });
    }

    pub(super) fn lost(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
    }

    pub(super) fn notified(&mut self, conn: ConnId, event: &WatchedEvent, model: &Model) -> Checked {
        let state = self.conns.get_mut(&conn).expect("who is notified has connected");
        if event.zxid == -1 {
            state.renewed.push(event.clone());
            return Ok(());
        }
        state.watches.notified(event, &state.ids, model)
    }

    pub(super) fn received(
        &mut self,
        conn: ConnId,
        reply: &Reply,
        history: &mut History,
        model: &Model,
    ) -> Checked {
        let state = self.conns.get_mut(&conn).expect("who is answered has connected");
        let Some(pending) = state.take_pending(reply) else {
            return violation(
                "fifo",
                "requests of a connection are answered in their order",
                format!("{reply:?}"),
                format!("an answer to {:?}", state.pending.front()),
            );
        };
        let op = &pending.request.op;
        match op {
            Op::Auth { .. } => return state.authenticated(op, reply, self.superuser),
            Op::Unknown { .. } => {
                return expect_exactly(reply, -1, &Err(ErrorCode::Unimplemented), op);
            }
            _ => {}
        }
        let zxid = Zxid(reply.zxid as u64);
        if reply.zxid < state.seen {
            return violation(
                "monotonic",
                "a session never goes back in time, on whichever server",
                format!("{reply:?} to {op:?}"),
                format!("a zxid of at least {:#x}, which its client has seen", state.seen),
            );
        }
        if !history.contains(zxid) {
            return violation(
                "integrity",
                "the zxid of a reply is one that is committed",
                format!("{reply:?} to {op:?}"),
                format!("a zxid of the history, which ends at {:?}", history.last()),
            );
        }
        state.seen = reply.zxid;
        // What this reply knows of must have been told before, own changes included.
        state.watches.replied(zxid, model)?;
        if is_write(op) {
            check_write(state.session, &pending, reply, history)?;
        } else {
            state.check_read(&pending, reply, zxid, model)?;
        }
        self.told = self.told.max(zxid);
        Ok(())
    }
}

impl Conn {
    /// The request that a reply answers: the oldest; but auth replies may overtake.
    fn take_pending(&mut self, reply: &Reply) -> Option<Pending> {
        let is_auth = |pending: &Pending| matches!(pending.request.op, Op::Auth { .. });
        let front = self.pending.front()?;
        if front.request.xid == reply.xid {
            return self.pending.pop_front();
        }
        let place = self.pending.iter().position(is_auth)?;
        if self.pending[place].request.xid == reply.xid { self.pending.remove(place) } else { None }
    }

    fn authenticated(&mut self, op: &Op, reply: &Reply, superuser: bool) -> Checked {
        match identities(op, superuser) {
            Some(ids) => {
                add(&mut self.confirmed, ids);
                expect_exactly(reply, 0, &Ok(Response::Empty), op)
            }
            None => expect_exactly(reply, 0, &Err(ErrorCode::AuthFailed), op),
        }
    }

    fn check_read(&mut self, pending: &Pending, reply: &Reply, zxid: Zxid, model: &Model) -> Checked {
        let op = &pending.request.op;
        let ids = &pending.ids;
        let readable = |path: &str, wanted: i32| -> Result<&View, ErrorCode> {
            let view = model.at(path, zxid).ok_or(ErrorCode::NoNode)?;
            if may(&view.acl, wanted, ids) { Ok(view) } else { Err(ErrorCode::NoAuth) }
        };
        let expected: Outcome = match op {
            Op::Exists { path, .. } => readable(path, perms::READ).map(|view| Response::Stat(view.stat)),
            Op::GetData { path, .. } => {
                readable(path, perms::READ).map(|view| Response::Data(view.data.clone(), view.stat))
            }
            Op::GetChildren { path, stat: false, .. } => {
                readable(path, perms::READ).map(|view| Response::Children(view.children.to_vec()))
            }
            Op::GetChildren { path, stat: true, .. } => readable(path, perms::READ)
                .map(|view| Response::ChildrenStat(view.children.to_vec(), view.stat)),
            Op::GetAcl { path } => readable(path, perms::READ | perms::ADMIN)
                .map(|view| Response::Acl(view.acl_for(ids).into(), view.stat)),
            Op::Sync { path } => {
                if zxid < pending.told {
                    return violation(
                        "sync",
                        "after a sync a client sees all that anybody had been told when it asked",
                        format!("a sync passed at {zxid:?}"),
                        format!("at least {:?}", pending.told),
                    );
                }
                Ok(Response::Sync(path.clone()))
            }
            Op::SetWatches { relative_zxid, data, exist, child } => {
                let renewal = Renewal::new(model, zxid, *relative_zxid, data, exist, child);
                let seen: Vec<_> =
                    self.renewed.drain(..).map(|event| (event.kind, event.path.to_string())).collect();
                if seen != renewal.events {
                    return violation(
                        "watch-renewal",
                        "setWatches tells at once what has changed meanwhile, and sets the rest",
                        format!("{seen:?} for {op:?} at {zxid:?}"),
                        format!("{:?}", renewal.events),
                    );
                }
                for (path, child) in renewal.set {
                    self.watches.add(&path, child, zxid, &self.confirmed);
                }
                Ok(Response::Empty)
            }
            Op::Ping => Ok(Response::Empty),
            Op::Malformed { .. } => Err(ErrorCode::MarshallingError),
            other => unreachable!("{other:?} is not a read"),
        };
        if reply.result != expected {
            return violation(
                "reads",
                "a read answered at some zxid sees the state at that zxid",
                format!("{reply:?} to {op:?} of {ids:?}"),
                format!("{expected:?}"),
            );
        }
        match (op, &expected) {
            (Op::Exists { path, watch: true }, Ok(_) | Err(ErrorCode::NoNode))
            | (Op::GetData { path, watch: true }, Ok(_)) => {
                self.watches.add(path, false, zxid, &self.confirmed);
            }
            (Op::GetChildren { path, watch: true, .. }, Ok(_)) => {
                self.watches.add(path, true, zxid, &self.confirmed);
            }
            _ => {}
        }
        Ok(())
    }
}

/// A write's reply names an entry of the history: this very write, after all that had been answered before it was
/// sent, and with the outcome that the model gives it.
fn check_write(
    session: Option<SessionId>,
    pending: &Pending,
    reply: &Reply,
    history: &mut History,
) -> Checked {
    let op = &pending.request.op;
    let zxid = Zxid(reply.zxid as u64);
    let Some(record) = history.record(zxid) else {
        return violation(
            "writes",
            "the answer to a write names its entry in the history",
            format!("{reply:?} to {op:?}"),
            "the zxid of an entry".into(),
        );
    };
    let same = match &record.entry.body {
        Body::Command(Command::Request { session: of, write, ids, .. }) => {
            Some(*of) == session && is_same(op, write) && same_ids(ids, &pending.ids)
        }
        _ => false,
    };
    if !same || std::mem::replace(&mut record.answered, true) {
        return violation(
            "writes",
            "the answer to a write names its entry in the history, and no entry answers two",
            format!(
                "{reply:?} to {op:?} of session {session:?} as {:?} names {:?}",
                pending.ids, record.entry
            ),
            "the zxid of that very write".into(),
        );
    }
    if zxid <= pending.told {
        return violation(
            "real-time",
            "a write that is asked for after another was answered comes after it",
            format!("{reply:?} to {op:?}"),
            format!("a zxid after {:?}, which somebody had been told before this was asked", pending.told),
        );
    }
    if reply.result != record.outcome || reply.result == Err(ErrorCode::SessionMoved) {
        return violation(
            "writes-linearizable",
            "a write has the outcome that it has when the history is executed one by one",
            format!("{reply:?} to {op:?}, entry {:?}", record.entry),
            format!("{:?}", record.outcome),
        );
    }
    Ok(())
}

fn expect_exactly(reply: &Reply, zxid: i64, result: &Outcome, op: &Op) -> Checked {
    if reply.zxid == zxid && reply.result == *result {
        return Ok(());
    }
    violation(
        "reads",
        "a request that is not for the tree has its one answer",
        format!("{reply:?} to {op:?}"),
        format!("zxid {zxid}, {result:?}"),
    )
}

fn is_write(op: &Op) -> bool {
    match op {
        Op::Create(_)
        | Op::Delete { .. }
        | Op::SetData { .. }
        | Op::SetAcl { .. }
        | Op::Multi(_)
        | Op::CloseSession
        | Op::Malformed { write: true } => true,
        Op::Exists { .. }
        | Op::GetData { .. }
        | Op::GetAcl { .. }
        | Op::GetChildren { .. }
        | Op::Sync { .. }
        | Op::Ping
        | Op::Auth { .. }
        | Op::SetWatches { .. }
        | Op::Malformed { write: false }
        | Op::Unknown { .. } => false,
    }
}

/// Whether an entry is what a client asked for.
fn is_same(op: &Op, write: &Write) -> bool {
    match (op, write) {
        (Op::Create(asked), Write::Create(done)) => asked == done,
        (Op::Delete { path, version }, Write::Delete { path: p, version: v }) => (path, version) == (p, v),
        (Op::SetData { path, data, version }, Write::SetData { path: p, data: d, version: v }) => {
            (path, data, version) == (p, d, v)
        }
        (Op::SetAcl { path, acl, version }, Write::SetAcl { path: p, acl: a, version: v }) => {
            (path, acl, version) == (p, a, v)
        }
        (Op::Multi(asked), Write::Multi(done)) => asked == done,
        (Op::CloseSession, Write::Close) => true,
        (Op::Malformed { write: true }, Write::Fail(ErrorCode::MarshallingError)) => true,
        _ => false,
    }
}

fn same_ids(some: &[Id], others: &[Id]) -> bool {
    some.len() == others.len() && some.iter().all(|id| others.contains(id))
}

/// The identities that an auth packet proves; `None` when it proves nothing, or is none.
fn identities(op: &Op, superuser: bool) -> Option<Vec<Id>> {
    let Op::Auth { scheme: Some(scheme), token: Some(token) } = op else { return None };
    let user = USERS.iter().position(|(user, _)| scheme == "digest" && user.as_bytes() == &token[..])?;
    let mut ids = vec![Id { scheme: "digest".into(), id: USERS[user].1.into() }];
    if superuser && user == 1 {
        ids.push(Id { scheme: "super".into(), id: String::new() });
    }
    Some(ids)
}

fn add(ids: &mut Vec<Id>, more: Vec<Id>) {
    for id in more {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
}
