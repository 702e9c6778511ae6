//! Marks of clients: what they ask, what they are told, and how they come and go.

use std::collections::VecDeque;

use vivarium_core::api::{
    ConnectRequest, ConnectResponse, Create, EventKind, MultiOp, MultiResult, Op, Reply, Request, Response,
    WatchedEvent,
};
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::{ConnId, SessionId, Zxid};
use vivarium_core::io::CloseReason;
use vivarium_sim::client::workload::USERS;
use vivarium_sim::{ClientIndex, NodeIndex, Time};

use super::Mark;
use super::marker::{Marker, What};

/// A client, as far as marks ask for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    /// It has proven an identity over this connection,
    proven: Option<ConnId>,
    /// and it has left requests of this session unanswered.
    left: Option<SessionId>,
}

/// A connection, by its number.
#[derive(Clone, Debug, Default)]
pub(super) struct Conn {
    client: ClientIndex,
    node: NodeIndex,
    session: Option<SessionId>,
    /// Its first packet, as far as it matters.
    wanted: Option<SessionId>,
    wanted_timeout_ms: i32,
    right_password: bool,
    /// The server has it open, and has welcomed it.
    open: bool,
    welcome: bool,
    /// The client listens no more.
    left: bool,
    /// Its session was attached over another connection since.
    moved: bool,
    superuser: bool,
    watches: bool,
    /// When the client heard from the server.
    heard: Time,
    pending: VecDeque<Asked>,
    /// How many of those have arrived at the server.
    arrived: usize,
}

/// A request without an answer.
#[derive(Clone, Copy, Debug)]
struct Asked {
    xid: i32,
    kind: Kind,
    bits: u8,
    /// The parent of the sequential node that it is about.
    parent: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Create,
    Delete,
    Write,
    SetAcl,
    Multi,
    Close,
    Sync,
    Read,
    Auth,
    SetWatches,
    Malformed,
    Other,
}

const WATCH: u8 = 1;
const EPHEMERAL: u8 = 2;
const SEQUENTIAL: u8 = 4;
const TWICE: u8 = 8;
const SUPER: u8 = 16;
const ORDERED: u8 = 32;

/// Digits of the number of a sequential node.
const DIGITS: usize = 10;

impl Marker {
    /// A client opens a connection.
    pub(super) fn connecting(
        &mut self,
        client: ClientIndex,
        conn: ConnId,
        node: NodeIndex,
        hello: &ConnectRequest,
    ) {
        let wanted = (hello.session.0 != 0).then_some(hello.session);
        let known = wanted.and_then(|session| self.sessions.get(&session));
        let right_password =
            known.is_some_and(|session| hello.password.as_deref() == Some(&session.password));
        let at = self.at;
        let state = self.conn(conn);
        *state = Conn {
            client,
            node,
            wanted,
            wanted_timeout_ms: hello.timeout_ms,
            right_password,
            heard: at,
            ..Conn::default()
        };
        let left = std::mem::take(&mut self.client(client).left);
        self.hit_if(Mark::BackWithRequests, left.is_some() && left == wanted);
        self.hit_if(Mark::OldClient, hello.read_only.is_none());
        self.hit_if(Mark::NoPassword, hello.password.is_none());
    }

    /// Its first packet arrives.
    pub(super) fn opened(&mut self, _: NodeIndex, conn: ConnId, _: &ConnectRequest) {
        self.conn(conn).open = true;
    }

    /// It is answered.
    pub(super) fn welcomed(&mut self, node: NodeIndex, conn: ConnId, response: &ConnectResponse) {
        let at = self.at;
        if response.session.0 == 0 {
            let state = self.conn(conn);
            let (known, right) = (state.wanted.is_some(), state.right_password);
            let open = self.conns[place(conn)].wanted.and_then(|session| self.sessions.get(&session));
            let open = open.is_some_and(|session| !session.ended);
            self.hit_if(Mark::WrongPassword, known && !right && open);
            self.hit_if(Mark::ExpiredToldLate, known && right);
            return;
        }
        let state = self.conn(conn);
        state.session = Some(response.session);
        state.welcome = true;
        let (left, wanted_ms) = (state.left, state.wanted_timeout_ms);
        let (min, max) = self.shape.timeouts_ms;
        self.hit_if(Mark::ClientLeftInHandshake, left);
        self.hit_if(Mark::TimeoutRaised, wanted_ms < min);
        self.hit_if(Mark::TimeoutCut, wanted_ms > max);
        let Some(session) = self.sessions.get_mut(&response.session) else { return };
        let former = session.conn.replace((conn, node));
        let silent = at.saturating_sub(session.heard);
        let late = former.is_some() && silent * 4 > session.timeout * 3;
        session.heard = at;
        self.hit_if(Mark::BackJustInTime, late);
        if let Some((former, server)) = former {
            self.conn(former).moved = true;
            self.hit(if server == node { Mark::MovedToSame } else { Mark::MovedToOther });
        }
    }

    /// A client sends a request.
    pub(super) fn sent(&mut self, conn: ConnId, request: &Request) {
        let asked = Asked::of(request, self.shape.superuser);
        self.conn(conn).pending.push_back(asked);
    }

    /// It arrives.
    #[inline(never)]
    pub(super) fn asked(&mut self, node: NodeIndex, conn: ConnId, request: &Request) {
        let rolling = self.nodes[node].rolling.is_some();
        let deposed = self.is_deposed(node);
        let at = self.at;
        let state = self.conn(conn);
        state.arrived = (state.arrived + 1).min(state.pending.len());
        let (session, moved, arrived) = (state.session, state.moved, state.arrived);
        let present = state.pending.get(arrived.wrapping_sub(1)).copied();
        let before =
            |kind: fn(&Asked) -> bool| state.pending.iter().take(arrived.saturating_sub(1)).any(kind);
        let behind_write = before(|asked| asked.bits & ORDERED != 0);
        let behind_sync = before(|asked| asked.kind == Kind::Sync);
        if let Some(session) = session.and_then(|session| self.sessions.get_mut(&session)) {
            session.heard = at;
        }
        let Some(present) = present else { return };
        debug_assert_eq!(present.xid, request.xid, "requests arrive in order");
        let ordered = present.bits & ORDERED != 0;
        self.hit_if(Mark::ReadBehindWrite, present.kind == Kind::Read && behind_write);
        self.hit_if(Mark::WriteBehindSync, ordered && behind_sync);
        self.hit_if(Mark::RequestOverOldConnection, moved);
        self.hit_if(Mark::RequestDuringRoll, ordered && rolling);
        self.hit_if(Mark::SyncDuringRoll, present.kind == Kind::Sync && rolling);
        self.hit_if(Mark::SyncAtDeposed, present.kind == Kind::Sync && deposed);
        self.hit_if(Mark::CloseBehindRequests, present.kind == Kind::Close && arrived > 1);
        self.hit_if(Mark::Pipelined, arrived >= 4);
    }

    /// A server answers.
    #[inline(never)]
    pub(super) fn replied(&mut self, node: NodeIndex, conn: ConnId, reply: &Reply) {
        let (committed, event) = (self.committed, self.step.event);
        let state = self.conn(conn);
        // Its requests are answered in order, which is for the checkers to say.
        let place_in_queue = state.pending.iter().position(|asked| asked.xid == reply.xid).unwrap_or(0);
        let Some(asked) = state.pending.remove(place_in_queue) else { return };
        state.arrived = state.arrived.saturating_sub(1);
        if state.left {
            self.hit(Mark::RepliesForNobody);
        }
        let told = event.is_some_and(|(to, _)| to == conn);
        match &reply.result {
            Err(error) => self.refused(&asked, *error),
            Ok(response) => self.granted(node, conn, &asked, reply.zxid, response),
        }
        let behind = reply.zxid < committed.wire();
        match asked.kind {
            Kind::Read => {
                let deposed = self.is_deposed(node);
                self.hit_if(Mark::ReadBehind, behind);
                self.hit_if(Mark::ReadByDeposed, deposed);
            }
            Kind::SetWatches => {
                self.hit_if(Mark::RewatchQuiet, !told);
                self.hit_if(Mark::RewatchBehind, behind);
            }
            _ => {
                let own = asked.bits & ORDERED != 0 && event == Some((conn, reply.zxid));
                self.hit_if(Mark::WatchByOwnWrite, own);
            }
        }
        let watched = reply.result.is_ok() || reply.result == Err(ErrorCode::NoNode);
        if asked.bits & WATCH != 0 && watched {
            self.conn(conn).watches = true;
        }
    }

    fn refused(&mut self, asked: &Asked, error: ErrorCode) {
        let read = asked.kind == Kind::Read;
        match error {
            ErrorCode::NoNode => self.hit(Mark::NoNode),
            ErrorCode::NodeExists => self.hit(Mark::NodeExists),
            ErrorCode::NotEmpty => self.hit(Mark::NotEmpty),
            ErrorCode::BadVersion => {
                self.hit(if asked.kind == Kind::SetAcl { Mark::AclVersion } else { Mark::BadVersion });
            }
            ErrorCode::NoChildrenForEphemerals => self.hit(Mark::EphemeralParent),
            ErrorCode::BadArguments => self.hit(Mark::BadArguments),
            ErrorCode::InvalidAcl => self.hit(Mark::InvalidAcl),
            ErrorCode::NoAuth => self.hit(if read { Mark::AclRefusedRead } else { Mark::AclRefused }),
            ErrorCode::MarshallingError => {
                let ordered = asked.bits & ORDERED != 0;
                self.hit(if ordered { Mark::MalformedWrite } else { Mark::MalformedRead });
            }
            ErrorCode::Unimplemented => self.hit(Mark::UnknownOp),
            ErrorCode::AuthFailed => self.hit(Mark::AuthFailed),
            ErrorCode::RuntimeInconsistency | ErrorCode::SessionExpired | ErrorCode::SessionMoved => {}
        }
    }

    fn granted(&mut self, node: NodeIndex, conn: ConnId, asked: &Asked, zxid: i64, response: &Response) {
        let state = &self.conns[place(conn)];
        let (client, session, superuser) = (state.client, state.session, state.superuser);
        self.hit_if(Mark::SuperWrote, superuser && asked.bits & ORDERED != 0);
        match (asked.kind, response) {
            (Kind::Create, Response::Path(path) | Response::PathStat(path, _)) => {
                let ephemeral = asked.bits & EPHEMERAL != 0;
                if ephemeral {
                    self.made_ephemeral(session);
                }
                if asked.bits & SEQUENTIAL != 0 {
                    let (parent, name) = split(path);
                    self.hit(Mark::SequentialMade);
                    self.hit_if(Mark::SequentialEphemeral, ephemeral);
                    self.hit_if(Mark::SequentialNameless, name.len() == DIGITS);
                    self.sequential(hash(parent), Zxid(zxid as u64), false);
                }
            }
            (Kind::Delete, _) if asked.parent != 0 => {
                self.sequential(asked.parent, Zxid(zxid as u64), true);
            }
            (Kind::SetAcl, _) => self.hit(Mark::AclSet),
            (Kind::Multi, Response::Multi(results)) => self.multi(asked, session, results),
            (Kind::Sync, _) => {
                let leads = self.nodes[node].leads();
                self.hit(if leads { Mark::SyncAtLeader } else { Mark::SyncAtFollower });
            }
            (Kind::Auth, _) => {
                let before = self.client(client).proven.replace(conn);
                let superuser = asked.bits & SUPER != 0;
                self.conns[place(conn)].superuser |= superuser;
                self.hit(Mark::AuthDone);
                self.hit_if(Mark::AuthAgain, before.is_some_and(|other| other != conn));
                self.hit_if(Mark::SuperProven, superuser);
            }
            (_, Response::Acl(acl, _)) => {
                let hidden = acl.iter().any(|acl| acl.id.scheme == "digest" && acl.id.id.ends_with(":x"));
                self.hit_if(Mark::AclHidden, hidden);
            }
            _ => {}
        }
    }

    fn made_ephemeral(&mut self, session: Option<SessionId>) {
        self.hit(Mark::EphemeralMade);
        if let Some(session) = session.and_then(|session| self.sessions.get_mut(&session)) {
            session.made += 1;
        }
    }

    fn multi(&mut self, asked: &Asked, session: Option<SessionId>, results: &[MultiResult]) {
        let culprit = results.iter().enumerate().find_map(|(place, result)| match result {
            MultiResult::Error(Some(error)) if *error != ErrorCode::RuntimeInconsistency => {
                Some((place, *error))
            }
            _ => None,
        });
        match culprit {
            None => {
                self.hit_if(Mark::MultiDone, results.len() > 1);
                self.hit_if(Mark::MultiEmpty, results.is_empty());
                self.hit_if(Mark::MultiSameNode, asked.bits & TWICE != 0);
                self.hit_if(Mark::MultiSequential, asked.bits & SEQUENTIAL != 0);
                if asked.bits & EPHEMERAL != 0 {
                    self.hit(Mark::EphemeralInMulti);
                    self.made_ephemeral(session);
                }
            }
            Some((place, error)) => {
                self.hit(if place == 0 { Mark::MultiFailedFirst } else { Mark::MultiFailedLater });
                self.hit_if(Mark::MultiFailedVersion, error == ErrorCode::BadVersion);
            }
        }
    }

    /// A server tells what a watch has seen.
    pub(super) fn fired(&mut self, node: NodeIndex, conn: ConnId, event: &WatchedEvent) {
        let before = self.step.event.replace((conn, event.zxid));
        if event.zxid < 0 {
            self.hit(match event.kind {
                EventKind::NodeDeleted => Mark::RewatchDeleted,
                EventKind::NodeCreated => Mark::RewatchCreated,
                EventKind::NodeDataChanged => Mark::RewatchData,
                EventKind::NodeChildrenChanged => Mark::RewatchChildren,
            });
            return;
        }
        let what = self.nodes[node].applied_what;
        self.hit_if(Mark::WatchesByOneEntry, before == Some((conn, event.zxid)));
        self.hit_if(Mark::WatchByClose, what.is(What::CLOSE));
        self.hit_if(Mark::WatchByExpiry, what.is(What::EXPIRE));
        self.hit_if(Mark::WatchByMulti, what.is(What::MULTI));
    }

    /// A client is told.
    pub(super) fn notified(&mut self, event: &WatchedEvent) {
        self.hit(match event.kind {
            EventKind::NodeCreated => Mark::WatchCreated,
            EventKind::NodeDeleted => Mark::WatchDeleted,
            EventKind::NodeDataChanged => Mark::WatchData,
            EventKind::NodeChildrenChanged => Mark::WatchChildren,
        });
    }

    /// A server closes a connection.
    pub(super) fn closed(&mut self, conn: ConnId, why: CloseReason) {
        let opening = self.step.cause == super::marker::Cause::Open;
        let state = self.conn(conn);
        state.open = false;
        let (welcome, arrived) = (state.welcome, state.arrived);
        let sync = state.pending.iter().take(arrived).any(|asked| asked.kind == Kind::Sync);
        match why {
            CloseReason::NotServing => {
                self.hit_if(Mark::RefusedNotServing, opening);
                self.hit_if(Mark::HandshakeLost, !opening && !welcome);
                self.hit_if(Mark::DroppedWithRequests, arrived > 0);
                self.hit_if(Mark::SyncLostWithLeader, sync);
            }
            CloseReason::ClientAhead => self.hit(Mark::ClientAheadRefused),
            CloseReason::SessionExpired => self.hit(Mark::ExpiredWhileConnected),
            _ => {}
        }
    }

    /// A client has gone, and the server learns it.
    pub(super) fn gone(&mut self, conn: ConnId) {
        let state = self.conn(conn);
        let writes = state.pending.iter().take(state.arrived).any(|asked| asked.bits & ORDERED != 0);
        let writes = writes && state.open;
        state.open = false;
        self.hit_if(Mark::GoneWithWrites, writes);
    }

    /// A client hears something from its server.
    #[inline]
    pub(super) fn heard(&mut self, conn: ConnId) {
        let at = self.at;
        self.conn(conn).heard = at;
    }

    /// A client's connection has ended.
    pub(super) fn left(&mut self, client: ClientIndex, conn: ConnId) {
        let at = self.at;
        let state = self.conn(conn);
        state.left = true;
        let (session, pending, watches) = (state.session, !state.pending.is_empty(), state.watches);
        let silent = at.saturating_sub(state.heard);
        let timeout = session.and_then(|session| self.sessions.get(&session)).map_or(0, |s| s.timeout);
        if pending {
            self.client(client).left = session;
        }
        self.hit_if(Mark::LeftWithRequests, pending);
        self.hit_if(Mark::WatchesDropped, watches);
        self.hit_if(Mark::ClientSilent, timeout > 0 && silent * 3 >= timeout * 2);
    }

    /// A server ends.
    pub(super) fn cut_connections(&mut self, node: NodeIndex) {
        let mut most = None;
        for conn in self.conns.iter_mut().filter(|conn| conn.node == node && conn.open) {
            conn.open = false;
            most = most.max(conn.welcome.then_some(conn.arrived));
        }
        self.hit_if(Mark::CutByCrash, most.is_some());
        self.hit_if(Mark::PipelinedCut, most >= Some(2));
    }

    fn conn(&mut self, conn: ConnId) -> &mut Conn {
        let place = place(conn);
        if place >= self.conns.len() {
            self.conns.resize_with(place + 1, Conn::default);
        }
        &mut self.conns[place]
    }

    fn client(&mut self, client: ClientIndex) -> &mut Client {
        if client >= self.clients.len() {
            self.clients.resize_with(client + 1, Client::default);
        }
        &mut self.clients[client]
    }
}

impl Asked {
    fn of(request: &Request, superuser: bool) -> Asked {
        let mut parent = 0;
        let (kind, bits) = match &request.op {
            Op::Create(create) => (Kind::Create, ORDERED | makes(create)),
            Op::Delete { path, .. } => {
                let (above, name) = split(path);
                if name.len() >= DIGITS && name.bytes().rev().take(DIGITS).all(|byte| byte.is_ascii_digit()) {
                    parent = hash(above);
                }
                (Kind::Delete, ORDERED)
            }
            Op::SetData { .. } => (Kind::Write, ORDERED),
            Op::SetAcl { .. } => (Kind::SetAcl, ORDERED),
            Op::Multi(items) => (Kind::Multi, ORDERED | multi_bits(items)),
            Op::CloseSession => (Kind::Close, ORDERED),
            Op::Sync { .. } => (Kind::Sync, 0),
            Op::Exists { watch, .. } | Op::GetData { watch, .. } | Op::GetChildren { watch, .. } => {
                (Kind::Read, if *watch { WATCH } else { 0 })
            }
            Op::GetAcl { .. } => (Kind::Read, 0),
            Op::Auth { token, .. } => {
                let right = token.as_deref() == Some(USERS[1].0.as_bytes());
                (Kind::Auth, if right && superuser { SUPER } else { 0 })
            }
            Op::SetWatches { .. } => (Kind::SetWatches, WATCH),
            Op::Malformed { write } => (Kind::Malformed, if *write { ORDERED } else { 0 }),
            _ => (Kind::Other, 0),
        };
        Asked { xid: request.xid, kind, bits, parent }
    }
}

fn makes(create: &Create) -> u8 {
    match create.flags {
        1 => EPHEMERAL,
        2 => SEQUENTIAL,
        3 => EPHEMERAL | SEQUENTIAL,
        _ => 0,
    }
}

fn multi_bits(items: &[MultiOp]) -> u8 {
    let mut bits = 0;
    for (place, item) in items.iter().enumerate() {
        if let MultiOp::Create(create) = item {
            bits |= makes(create);
        }
        if items[..place].iter().any(|other| path_of(other) == path_of(item)) {
            bits |= TWICE;
        }
    }
    bits
}

fn path_of(item: &MultiOp) -> &str {
    match item {
        MultiOp::Create(create) => &create.path,
        MultiOp::Delete { path, .. } | MultiOp::SetData { path, .. } | MultiOp::Check { path, .. } => path,
    }
}

/// The parent and the name.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// FNV-1a, never 0.
fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step) | 1
}

fn place(conn: ConnId) -> usize {
    conn.0.saturating_sub(1) as usize
}
