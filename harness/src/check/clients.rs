//! What clients are told: in order, fresh enough, and what the model says; and what becomes of all that they ask for,
//! answered or not.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use vivarium_core::api::{
    ConnectRequest, ConnectResponse, Id, Op, Reply, Request, Response, WatchedEvent, perms,
};
use vivarium_core::entry::{Body, Command, Entry, Write};
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::{ConnId, Origin, SessionId, Zxid};
use vivarium_sim::client::workload::USERS;
use vivarium_sim::world::address;
use vivarium_sim::{ClientIndex, Schedule, Violation};

use super::model::{Model, Node, Outcome};
use super::order::{Asked, History, Record};
use super::violation;
use super::watches::{Renewal, Watches};

/// All connections of all clients.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    conns: BTreeMap<ConnId, Conn>,
    /// The writes of each connection, also of those that have ended, that have not been executed: oldest first.
    writes: BTreeMap<ConnId, VecDeque<Arc<Pending>>>,
    /// Which connection an entry has attached to its session.
    owners: BTreeMap<Origin, ConnId>,
    /// The highest zxid that each client has been told.
    seen: Vec<i64>,
    /// The highest zxid that any client has been told. Whatever is asked from now on comes after it.
    told: Zxid,
    superuser: bool,
    timeouts: (i32, i32),
}

/// A connection, as its client sees it.
#[derive(Clone, Debug)]
struct Conn {
    client: ClientIndex,
    hello: ConnectRequest,
    session: Option<SessionId>,
    pending: VecDeque<Arc<Pending>>,
    /// How many writes were sent.
    writes: u32,
    /// Identities, once their auth packets are sent,
    ids: Arc<[Id]>,
    /// and once they are confirmed.
    confirmed: Arc<[Id]>,
    watches: Watches,
    /// Notifications of a setWatches whose reply has not come.
    renewed: Vec<WatchedEvent>,
}

/// A request without an answer.
#[derive(Debug)]
struct Pending {
    request: Request,
    /// The highest zxid that any client had been told when it was sent.
    told: Zxid,
    ids: Arc<[Id]>,
    /// Which of the connection's writes it is.
    write: u32,
}

type Checked = Result<(), Box<Violation>>;

impl Clients {
    pub(super) fn begin(&mut self, schedule: &Schedule) {
        self.superuser = schedule.superuser;
        self.timeouts = (schedule.limits.session_timeout_min_ms, schedule.limits.session_timeout_max_ms);
    }

    pub(super) fn connecting(&mut self, client: ClientIndex, conn: ConnId, hello: &ConnectRequest) {
        let ids: Arc<[Id]> = [Id { scheme: "ip".into(), id: address(client).to_string() }].into();
        if self.seen.len() <= client {
            self.seen.resize(client + 1, 0);
        }
        let state = Conn {
            client,
            hello: hello.clone(),
            session: None,
            pending: VecDeque::new(),
            writes: 0,
            ids: ids.clone(),
            confirmed: ids,
            watches: Watches::default(),
            renewed: Vec::new(),
        };
        self.conns.insert(conn, state);
    }

    /// A server confirms a session, with the entry that it has executed last: that entry must have made the session, or
    /// moved it here.
    pub(super) fn welcomed(
        &mut self,
        conn: ConnId,
        response: &ConnectResponse,
        executed: Option<&Record>,
    ) -> Checked {
        if response.session.0 == 0 {
            return Ok(());
        }
        if let Some(record) = executed
            && record.outcome.is_ok()
            && let Body::Command(
                Command::CreateSession { session, password, timeout_ms }
                | Command::Attach { session, password, timeout_ms },
            ) = record.entry.body
            && (session, password, timeout_ms) == (response.session, response.password, response.timeout_ms)
            && self.owners.insert(record.entry.origin, conn).is_none()
        {
            return Ok(());
        }
        violation(
            "session-ordered",
            "a session is confirmed when the entry that makes it, or moves it here, is executed, and to one connection",
            format!("{conn:?} is told {response:?} after {:?}", executed.map(|record| &record.entry)),
            "the entry for this connection and session, with its password and timeout".into(),
        )
    }

    /// A request of a client is executed for the first time anywhere: it must be the next one of its connection, as it
    /// was asked, whether its client will ever hear of it or not.
    pub(super) fn executed(&mut self, entry: &Entry) -> Result<Option<Asked>, Box<Violation>> {
        let Body::Command(Command::Request { owner, ids, write, .. }) = &entry.body else { return Ok(None) };
        let conn = self.owners.get(owner).copied();
        let writes = conn.and_then(|conn| self.writes.get_mut(&conn));
        let next = writes.as_ref().and_then(|writes| writes.front());
        if let (Some(conn), Some(next)) = (conn, next)
            && is_same(&next.request.op, write)
            && same_ids(ids, &next.ids)
        {
            let number = next.write;
            writes.expect("it has a next one").pop_front();
            return Ok(Some(Asked { conn, number }));
        }
        violation(
            "exactly-once",
            "what clients ask for is executed in their order, and at most once",
            format!("{entry:?}, of connection {conn:?}"),
            match next {
                Some(next) => format!("{:?} as {:?}, which it has asked for next", next.request.op, next.ids),
                None => "nothing more: it has asked for nothing else".into(),
            },
        )
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
        let state = self.conns.get_mut(&conn).expect("who asks has connected");
        if let Some(ids) = identities(&request.op, self.superuser) {
            add(&mut state.ids, ids);
        }
        let is_write = is_write(&request.op);
        state.writes += u32::from(is_write);
        let pending = Arc::new(Pending {
            request: request.clone(),
            told: self.told,
            ids: state.ids.clone(),
            write: state.writes,
        });
        if is_write {
            self.writes.entry(conn).or_default().push_back(pending.clone());
        }
        state.pending.push_back(pending);
    }

    pub(super) fn lost(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
        if self.writes.get(&conn).is_some_and(VecDeque::is_empty) {
            self.writes.remove(&conn);
        }
    }

    pub(super) fn notified(&mut self, conn: ConnId, event: &WatchedEvent, model: &mut Model) -> Checked {
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
        model: &mut Model,
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
        let seen = &mut self.seen[state.client];
        *seen = (*seen).max(state.hello.last_zxid_seen);
        if reply.zxid < *seen {
            return violation(
                "monotonic",
                "a client never goes back in time, on whichever server",
                format!("{reply:?} to {op:?}"),
                format!("a zxid of at least {seen:#x}, which it has seen"),
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
        *seen = reply.zxid;
        // What this reply knows of must have been told before, own changes included.
        state.watches.replied(zxid, model)?;
        if is_write(op) {
            check_write(conn, &pending, reply, history)?;
        } else {
            state.check_read(&pending, reply, zxid, model)?;
        }
        self.told = self.told.max(zxid);
        Ok(())
    }
}

impl Conn {
    /// The request that a reply answers: the oldest; but auth replies may overtake.
    fn take_pending(&mut self, reply: &Reply) -> Option<Arc<Pending>> {
        let is_auth = |pending: &Arc<Pending>| matches!(pending.request.op, Op::Auth { .. });
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

    fn check_read(&mut self, pending: &Pending, reply: &Reply, zxid: Zxid, model: &mut Model) -> Checked {
        let op = &pending.request.op;
        match op {
            Op::Sync { .. } if zxid < pending.told => {
                return violation(
                    "sync",
                    "after a sync a client sees all that anybody had been told when it asked",
                    format!("a sync passed at {zxid:?}"),
                    format!("at least {:?}", pending.told),
                );
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
                    self.watches.add(model.path(&path), child, zxid, &self.confirmed);
                }
            }
            _ => {}
        }
        if !sees(model, op, &pending.ids, zxid, &reply.result) {
            return violation(
                "reads",
                "a read answered at some zxid sees the state at that zxid",
                format!("{reply:?} to {op:?} of {:?}", pending.ids),
                match target(op) {
                    Some((path, _)) => format!("what {path:?} was then: {:?}", model.at(path, zxid)),
                    None => "its one answer".into(),
                },
            );
        }
        match (op, &reply.result) {
            (Op::Exists { path, watch: true }, Ok(_) | Err(ErrorCode::NoNode))
            | (Op::GetData { path, watch: true }, Ok(_)) => {
                self.watches.add(model.path(path), false, zxid, &self.confirmed);
            }
            (Op::GetChildren { path, watch: true, .. }, Ok(_)) => {
                self.watches.add(model.path(path), true, zxid, &self.confirmed);
            }
            _ => {}
        }
        Ok(())
    }
}

/// What a read is of, and which permission it needs, one of them (section 8.4).
fn target(op: &Op) -> Option<(&str, i32)> {
    match op {
        Op::Exists { path, .. } | Op::GetData { path, .. } | Op::GetChildren { path, .. } => {
            Some((path, perms::READ))
        }
        Op::GetAcl { path } => Some((path, perms::READ | perms::ADMIN)),
        _ => None,
    }
}

/// Whether a read that was answered at some zxid has the result that it must have.
fn sees(model: &Model, op: &Op, ids: &[Id], zxid: Zxid, result: &Outcome) -> bool {
    let Some((path, wanted)) = target(op) else {
        return match (op, result) {
            (Op::Sync { path }, Ok(Response::Sync(echoed))) => path == echoed,
            (Op::SetWatches { .. } | Op::Ping, Ok(Response::Empty)) => true,
            (Op::Malformed { .. }, Err(code)) => *code == ErrorCode::MarshallingError,
            _ => false,
        };
    };
    let Some(node) = model.at(path, zxid) else { return *result == Err(ErrorCode::NoNode) };
    if !node.allows(wanted, ids) {
        return *result == Err(ErrorCode::NoAuth);
    }
    let Ok(response) = result else { return false };
    let named = |names: &[String], node: &Node| {
        let children = model.children(node);
        children.len() == names.len() && children.zip(names).all(|(child, name)| child == name)
    };
    match (op, response) {
        (Op::Exists { .. }, Response::Stat(stat)) => *stat == node.stat,
        (Op::GetData { .. }, Response::Data(data, stat)) => (data, stat) == (&node.data, &node.stat),
        (Op::GetChildren { stat: false, .. }, Response::Children(names)) => named(names, node),
        (Op::GetChildren { stat: true, .. }, Response::ChildrenStat(names, stat)) => {
            *stat == node.stat && named(names, node)
        }
        (Op::GetAcl { .. }, Response::Acl(acl, stat)) => {
            *stat == node.stat && acl[..] == node.acl_for(ids)[..]
        }
        _ => false,
    }
}

/// A write's reply names an entry of the history: this very write, with the outcome that the model gives it. That it
/// comes after all that had been answered when it was asked follows: it was asked before it was first executed.
fn check_write(conn: ConnId, pending: &Pending, reply: &Reply, history: &mut History) -> Checked {
    let op = &pending.request.op;
    let zxid = Zxid(reply.zxid as u64);
    let twice = history.answer(zxid);
    let Some(record) = history.record(zxid) else {
        return violation(
            "writes",
            "the answer to a write names its entry in the history",
            format!("{reply:?} to {op:?}"),
            "the zxid of an entry".into(),
        );
    };
    if twice || record.asked != Some(Asked { conn, number: pending.write }) {
        return violation(
            "writes",
            "the answer to a write names its entry in the history, and no entry answers two",
            format!("{reply:?} to {op:?}, {conn:?}'s write {}, names {:?}", pending.write, record.entry),
            format!("the zxid of that very write; this one is {:?}", record.asked),
        );
    }
    if reply.result != *record.outcome || reply.result == Err(ErrorCode::SessionMoved) {
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

fn add(ids: &mut Arc<[Id]>, more: Vec<Id>) {
    for id in more {
        if !ids.contains(&id) {
            *ids = ids.iter().cloned().chain([id]).collect();
        }
    }
}
