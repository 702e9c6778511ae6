//! Requests: which are ordered, which are answered from memory, and when each is answered.
//!
//! Writes are submitted as they come, without waiting for one another. The one exception keeps reads honest: while a
//! sync is not passed, the writes behind it on the same connection stay here. Otherwise such a write could be
//! executed while a read between the two still waits, and the read would see what its client did later.

use crate::api::{EventKind, Op, Request, Response, WatchedEvent};
use crate::entry::{Ask, Command, Entry, Write};
use crate::error::ErrorCode;
use crate::ids::ConnId;
use crate::io::{CloseReason, Output, Outputs};
use crate::state::{Outcome, State, WatchKind, WatchTable};

use super::FrontDesk;
use super::auth;
use super::connection::{Attachment, Barrier, Connection, Local, Phase, Step, Turn};
use super::outbox::{Asked, Outbox};

impl Connection {
    /// Takes a request in: what it is, and who asks. An auth takes effect here, for all that is received after it,
    /// and is answered in its turn.
    pub(super) fn receive(&mut self, request: Request, super_digest: Option<&str>) -> Turn {
        let Request { xid, op } = request;
        let (name, step) = match op {
            Op::Create(create) => ("CREA", Step::Submit(Write::Create(create))),
            Op::Delete { path, version } => ("DELE", Step::Submit(Write::Delete { path, version })),
            Op::SetData { path, data, version } => {
                ("SETD", Step::Submit(Write::SetData { path, data, version }))
            }
            Op::SetAcl { path, acl, version } => ("SETA", Step::Submit(Write::SetAcl { path, acl, version })),
            Op::Multi(ops) => ("MULT", Step::Submit(Write::Multi(ops))),
            Op::CloseSession => ("CLOS", Step::Submit(Write::Close)),
            Op::Malformed { write: true } => ("", Step::Submit(Write::Fail(ErrorCode::MarshallingError))),
            Op::Sync { path } => ("SYNC", Step::Sync { path, barrier: Barrier::Unasked }),
            Op::Exists { path, watch } => ("EXIS", Step::Local(Local::Exists { path, watch })),
            Op::GetData { path, watch } => ("GETD", Step::Local(Local::GetData { path, watch })),
            Op::GetAcl { path } => ("GETA", Step::Local(Local::GetAcl { path })),
            Op::GetChildren { path, watch, stat } => {
                ("GETC", Step::Local(Local::GetChildren { path, watch, stat }))
            }
            Op::SetWatches { relative_zxid: since, data, exist, child } => {
                ("SETW", Step::Local(Local::SetWatches { since, data, exist, child }))
            }
            Op::Ping => ("PING", Step::Local(Local::Ping)),
            Op::Auth { scheme, token } => {
                let proven = auth::authenticate(scheme.as_deref(), token.as_deref(), super_digest);
                let accepted = proven.is_some();
                auth::add(&mut self.ids, proven.unwrap_or_default());
                ("", Step::Local(Local::Auth { accepted }))
            }
            Op::Malformed { write: false } => ("", Step::Local(Local::Malformed)),
            Op::Unknown { code: _ } => ("", Step::Local(Local::Unknown)),
        };
        let xid = if let Step::Local(Local::Ping) = step { PING_XID } else { xid };
        let name = (!name.is_empty()).then_some(name);
        let turn = Turn { xid, name, ids: self.ids.clone(), step };
        self.ending = turn.ends();
        turn
    }

    /// Submits the queued request at `index`, if it is one to submit and may be. `blocked` when a sync before it is
    /// not passed.
    fn submit(&mut self, index: usize, conn: ConnId, blocked: bool, outbox: &mut Outbox) {
        let Phase::Established(Attachment { session, owner, .. }) = self.phase else { return };
        let Turn { step, ids, .. } = &mut self.queue[index];
        match step {
            Step::Submit(write) if !blocked => {
                let closes = matches!(write, Write::Close);
                let write = std::mem::replace(write, Write::Close);
                let command = Command::Request { session, owner, ids: ids.clone(), write };
                let number = outbox.submit(Asked::Write(conn), Ask::Command(command));
                *step = Step::Ordered { number, closes };
                self.unsubmitted -= 1;
            }
            Step::Sync { barrier: barrier @ Barrier::Unasked, .. } => {
                *barrier = Barrier::Asked(outbox.submit(Asked::Barrier(conn), Ask::Barrier));
                self.unsubmitted -= 1;
            }
            Step::Submit(_) | Step::Sync { .. } | Step::Ordered { .. } | Step::Local(_) => {}
        }
    }
}

impl FrontDesk {
    /// Submits the request received last, if it is one to submit and may be.
    pub(super) fn submit_newest(&mut self, conn: ConnId) {
        let FrontDesk { connections, outbox, .. } = self;
        let Some(connection) = connections.get_mut(&conn) else { return };
        let Some(newest) = connection.queue.len().checked_sub(1) else { return };
        connection.submit(newest, conn, connection.barriers > 0, outbox);
    }

    /// Submits what has waited for the handshake or for a sync.
    pub(super) fn submit_waiting(&mut self, conn: ConnId) {
        let FrontDesk { connections, outbox, .. } = self;
        let Some(connection) = connections.get_mut(&conn) else { return };
        let mut blocked = false;
        for index in 0..connection.queue.len() {
            if connection.unsubmitted == 0 {
                break;
            }
            connection.submit(index, conn, blocked, outbox);
            blocked |= match connection.queue[index].step {
                Step::Sync { barrier, .. } => barrier != Barrier::Passed,
                Step::Submit(_) | Step::Ordered { .. } | Step::Local(_) => false,
            };
        }
    }

    /// Answers whatever has come to its turn.
    pub(super) fn advance(&mut self, conn: ConnId, state: &State, out: &mut Outputs) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        while let Some(mut turn) = connection.pop_ready() {
            self.outstanding -= 1;
            let end = match &mut turn.step {
                Step::Sync { path, .. } => {
                    let response = Response::Sync(path.take());
                    connection.reply(conn, &turn, state.applied(), Ok(response), out);
                    None
                }
                Step::Local(_) => answer(conn, connection, &mut self.watches, turn, state, out),
                Step::Submit(_) | Step::Ordered { .. } => panic!("a write is answered when it is executed"),
            };
            if let Some(why) = end {
                return self.close(conn, why, out);
            }
        }
    }

    /// A write of a connection here was executed.
    pub(super) fn write_done(
        &mut self,
        conn: ConnId,
        entry: &Entry,
        outcome: Outcome,
        number: Option<u64>,
        state: &State,
        out: &mut Outputs,
    ) {
        let number = number.expect("what was asked has a number");
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let turn = connection.pop_ordered(number);
        self.outstanding -= 1;
        if outcome.result == Err(ErrorCode::SessionMoved) {
            return self.close(conn, CloseReason::SessionMoved, out);
        }
        connection.reply(conn, &turn, entry.zxid, outcome.result, out);
        if turn.ends() {
            return self.close(conn, CloseReason::SessionClosed, out);
        }
        self.advance(conn, state, out);
    }

    /// A sync of a connection here has its proof.
    pub(super) fn sync_done(&mut self, conn: ConnId, number: u64, state: &State, out: &mut Outputs) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let waiting = connection.queue.iter_mut().find_map(|turn| match &mut turn.step {
            Step::Sync { barrier, .. } if *barrier == Barrier::Asked(number) => Some(barrier),
            _ => None,
        });
        *waiting.expect("a sync stays queued until its barrier is passed") = Barrier::Passed;
        connection.barriers -= 1;
        self.submit_waiting(conn);
        self.advance(conn, state, out);
    }
}

/// The xid of every ping's reply.
const PING_XID: i32 = -2;

/// Answers a request from memory; `Some` when the connection ends with that.
fn answer(
    conn: ConnId,
    connection: &mut Connection,
    watches: &mut WatchTable,
    turn: Turn,
    state: &State,
    out: &mut Outputs,
) -> Option<CloseReason> {
    let Step::Local(local) = &turn.step else { panic!("{:?} is not answered from memory", turn.step) };
    let result = match local {
        Local::Exists { path, watch } => {
            let result = state.exists(path, &turn.ids);
            if *watch && matches!(result, Ok(_) | Err(ErrorCode::NoNode)) {
                watches.add(conn, WatchKind::Data, path);
            }
            result.map(Response::Stat)
        }
        Local::GetData { path, watch } => {
            let result = state.get_data(path, &turn.ids);
            if *watch && result.is_ok() {
                watches.add(conn, WatchKind::Data, path);
            }
            result.map(|(data, stat)| Response::Data(data, stat))
        }
        Local::GetAcl { path } => state.get_acl(path, &turn.ids).map(|(acl, stat)| Response::Acl(acl, stat)),
        Local::GetChildren { path, watch, stat: with_stat } => {
            let result = state.get_children(path, &turn.ids);
            if *watch && result.is_ok() {
                watches.add(conn, WatchKind::Child, path);
            }
            result.map(|(names, stat)| match with_stat {
                true => Response::ChildrenStat(names, stat),
                false => Response::Children(names),
            })
        }
        Local::SetWatches { since, data, exist, child } => {
            let mut rewatch = Rewatch { conn, watches, state, out, since: *since };
            data.iter().for_each(|path| rewatch.data(path));
            exist.iter().for_each(|path| rewatch.exist(path));
            child.iter().for_each(|path| rewatch.child(path));
            Ok(Response::Empty)
        }
        Local::Ping => Ok(Response::Empty),
        Local::Malformed => Err(ErrorCode::MarshallingError),
        Local::Auth { accepted: true } => {
            connection.reply_unordered(conn, &turn, 0, Ok(Response::Empty), out);
            return None;
        }
        Local::Auth { accepted: false } => {
            connection.reply_unordered(conn, &turn, 0, Err(ErrorCode::AuthFailed), out);
            return Some(CloseReason::AuthFailed);
        }
        Local::Unknown => {
            connection.reply_unordered(conn, &turn, -1, Err(ErrorCode::Unimplemented), out);
            return Some(CloseReason::UnknownOp);
        }
    };
    connection.reply(conn, &turn, state.applied(), result, out);
    None
}

/// setWatches, section 6.6 of the protocol: each path is either told what its watch has missed, or watched again.
/// What is told is not filtered by ACLs, and bears zxid -1.
struct Rewatch<'a> {
    conn: ConnId,
    watches: &'a mut WatchTable,
    state: &'a State,
    out: &'a mut Outputs,
    /// The last zxid the client saw.
    since: i64,
}

impl Rewatch<'_> {
    fn data(&mut self, path: &str) {
        match self.state.stat(path) {
            None => self.tell(EventKind::NodeDeleted, path),
            Some(stat) if stat.mzxid.wire() > self.since => self.tell(EventKind::NodeDataChanged, path),
            Some(_) => self.watches.add(self.conn, WatchKind::Data, path),
        }
    }

    fn exist(&mut self, path: &str) {
        match self.state.stat(path) {
            Some(_) => self.tell(EventKind::NodeCreated, path),
            None => self.watches.add(self.conn, WatchKind::Data, path),
        }
    }

    fn child(&mut self, path: &str) {
        match self.state.stat(path) {
            None => self.tell(EventKind::NodeDeleted, path),
            Some(stat) if stat.pzxid.wire() > self.since => self.tell(EventKind::NodeChildrenChanged, path),
            Some(_) => self.watches.add(self.conn, WatchKind::Child, path),
        }
    }

    fn tell(&mut self, kind: EventKind, path: &str) {
        let event = WatchedEvent { kind, path: path.into(), zxid: -1 };
        self.out.push(Output::Event { conn: self.conn, event });
    }
}
