//! The front desk: connections, the order of each one's answers, and who is alive.
//!
//! It turns what clients send into reads of the state, answered at once, and submissions to the order, answered when
//! their entry is executed. It never knows who leads: it is told whether to serve, and on a leader to keep the
//! sessions' time.
//!
//! What it guarantees to a connection:
//! * replies come in the order of the requests, whatever their kind;
//! * a read is evaluated when its turn has come: after the connection's earlier writes and syncs, before its later
//!   writes, together with the watch it sets;
//! * an event comes before the reply to anything that could show the same change, own writes included;
//! * the zxids of its replies never go back;
//! * after `Close` there is nothing more.
//!
//! Not here: bytes (`jute/`), what requests mean and which watches they fire (`state/`), and how entries come to be
//! ordered.

mod auth;
mod connection;
mod handshake;
mod liveness;
mod outbox;
mod requests;

use core::net::IpAddr;
use std::collections::BTreeMap;

use crate::api::{ConnectRequest, Request, WatchedEvent};
use crate::entry::{Ask, Body, Command, Entry, Submission};
use crate::error::ErrorCode;
use crate::ids::{ConnId, PeerId, SessionId};
use crate::io::{CloseReason, Note, Output, Outputs};
use crate::limits::Limits;
use crate::state::{Change, Outcome, State, WatchTable};
use crate::time::{Duration, Instant, Now};

use connection::{Connection, Phase};
use handshake::Draw;
use liveness::Liveness;
use outbox::{Asked, Outbox};

pub use connection::ConnectionInfo;

/// The front desk of one server.
#[derive(Clone, Debug)]
pub struct FrontDesk {
    /// The timeouts that are granted, ms.
    timeouts_ms: (i32, i32),
    super_digest: Option<String>,
    draw: Draw,
    standing: Standing,
    connections: BTreeMap<ConnId, Connection>,
    /// The established connection of each session served here.
    by_session: BTreeMap<SessionId, ConnId>,
    outbox: Outbox,
    watches: WatchTable,
    liveness: Liveness,
    /// Requests waiting in all connections.
    outstanding: usize,
    /// Reused by every entry that fires watches.
    fired: Vec<(ConnId, WatchedEvent)>,
}

/// Whether clients are served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// There is no leader, or this node is not in sync: every connection is closed, new ones too.
    Closed,
    /// Submissions are numbered from 1 in `stream`.
    Open { stream: u64 },
}

impl FrontDesk {
    /// A desk without connections, closed. `seed` is for session ids and passwords.
    pub fn new(id: PeerId, limits: &Limits, super_digest: Option<String>, seed: u64) -> FrontDesk {
        let timeouts_ms = (limits.session_timeout_min_ms, limits.session_timeout_max_ms);
        assert!(timeouts_ms.0 > 0, "a session timeout of 0 tells a client that it is refused");
        assert!(timeouts_ms.0 <= timeouts_ms.1, "the smallest session timeout is above the largest");
        FrontDesk {
            timeouts_ms,
            super_digest,
            draw: Draw::new(id, seed),
            standing: Standing::Closed,
            connections: BTreeMap::new(),
            by_session: BTreeMap::new(),
            outbox: Outbox::new(),
            watches: WatchTable::default(),
            liveness: Liveness::new(limits.tick),
            outstanding: 0,
            fired: Vec::new(),
        }
    }

    /// Opens or closes. Closing drops every connection and all that was submitted and not answered, and stops the
    /// sessions' time.
    pub fn stand(&mut self, standing: Standing, out: &mut Outputs) {
        if self.standing == standing {
            return;
        }
        self.drop_all(out);
        self.standing = standing;
        if let Standing::Open { .. } = standing {
            self.outbox.restart();
        }
    }

    /// A leader keeps the time of all sessions: each gets its full timeout from now. `None` at a follower.
    pub fn keep_time(&mut self, since: Option<Now>, state: &State) {
        match since {
            Some(now) => {
                let sessions = state.sessions().map(|(id, session)| (id, milliseconds(session.timeout_ms)));
                self.liveness.start(now.mono, sessions);
            }
            None => self.liveness.stop(),
        }
    }

    /// A client's first packet.
    pub fn open(
        &mut self,
        now: Now,
        conn: ConnId,
        address: IpAddr,
        hello: ConnectRequest,
        state: &State,
        out: &mut Outputs,
    ) {
        // The session's time is not touched here: an unproven claim to a session is no sign of life.
        let _ = now;
        match self.standing {
            Standing::Closed => out.push(Output::Close { conn, why: CloseReason::NotServing }),
            Standing::Open { .. } => self.greet(conn, address, hello, state, out),
        }
    }

    /// A request. One for a connection that is closed already has crossed with its end, and is dropped.
    pub fn request(&mut self, now: Now, conn: ConnId, request: Request, state: &State, out: &mut Outputs) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if let Phase::Established(attachment) = &connection.phase {
            self.liveness.heard_here(now.mono, attachment.session, &mut connection.heard_round);
        }
        if connection.ending {
            return;
        }
        let turn = connection.receive(request, self.super_digest.as_deref());
        connection.push(turn);
        self.outstanding += 1;
        self.submit_newest(conn);
        self.advance(conn, state, out);
    }

    /// A connection ended. Its session lives on.
    pub fn gone(&mut self, conn: ConnId) {
        self.forget(conn);
    }

    /// An entry was executed: `number` when it was submitted here in the present stream. Events go out before the
    /// answers that depend on them.
    ///
    /// # Panics
    /// When it is not told right after the execution, for each entry: reads would see the future of their session.
    #[expect(clippy::too_many_arguments, reason = "all of it is what became of one entry")]
    pub fn delivered(
        &mut self,
        now: Now,
        entry: &Entry,
        outcome: Outcome,
        changes: &[Change],
        number: Option<u64>,
        state: &State,
        out: &mut Outputs,
    ) {
        assert_eq!(entry.zxid, state.applied(), "an entry is delivered right after it is executed");
        self.fire(entry, changes, state, out);
        let ended = outcome.ended;
        self.follow_sessions(now, entry, &outcome, out);
        if let Some(asked) = number.and_then(|number| self.outbox.delivered(number)) {
            match asked {
                Asked::Write(conn) => self.write_done(conn, entry, outcome, number, state, out),
                Asked::Session(conn) => self.session_done(conn, entry, outcome, state, out),
                Asked::Expiry => {}
                Asked::Barrier(_) => panic!("entry {:?} answers a barrier", entry.zxid),
            }
        }
        // A client's own close has been answered above, and its connection is gone by now.
        if let Some(conn) = ended.and_then(|session| self.by_session.get(&session).copied()) {
            self.close(conn, CloseReason::SessionExpired, out);
        }
    }

    /// A barrier was passed, and what it covers is executed.
    pub fn barrier_passed(&mut self, number: u64, state: &State, out: &mut Outputs) {
        match self.outbox.passed(number) {
            Some(Asked::Barrier(conn)) => self.sync_done(conn, number, state, out),
            Some(asked) => panic!("number {number} is no barrier: {asked:?}"),
            None => {}
        }
    }

    /// A follower's clients were heard in these sessions (leader only).
    pub fn heard(&mut self, now: Now, sessions: &[SessionId]) {
        for session in sessions {
            self.liveness.touch(now.mono, *session);
        }
    }

    /// The sessions heard from since this was last asked, for a follower's report; drained into `sessions`. Nothing
    /// at a leader, whose own clients need no report.
    pub fn take_heard(&mut self, sessions: &mut Vec<SessionId>) {
        self.liveness.take_heard(sessions);
    }

    /// Submits what time demands: expiries.
    pub fn wake(&mut self, now: Now, state: &State) {
        if self.standing == Standing::Closed {
            return;
        }
        for id in self.liveness.overdue(now.mono) {
            match state.session(id) {
                Some(session) => {
                    let command = Command::Expire { session: id, owner: session.owner };
                    self.outbox.submit(Asked::Expiry, Ask::Command(command));
                }
                None => self.liveness.end(id),
            }
        }
    }

    /// When to be woken.
    pub fn deadline(&self) -> Option<Instant> {
        self.liveness.deadline()
    }

    /// Whether anything was asked of the order since [`FrontDesk::submissions`] was last called.
    pub fn has_submissions(&self) -> bool {
        self.outbox.has_submissions()
    }

    /// What was asked of the order since this was last called.
    pub fn submissions(&mut self) -> std::vec::Drain<'_, Submission> {
        self.outbox.submissions()
    }

    /// Requests received and not answered, of all connections.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Connections, those that shake hands included.
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// Each connection, for operators; ascending.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionInfo> {
        self.connections.iter().map(|(conn, connection)| connection.info(*conn))
    }

    /// The session of a connection, once the handshake is done.
    pub fn session_of(&self, conn: ConnId) -> Option<SessionId> {
        match &self.connections.get(&conn)?.phase {
            Phase::Handshake(_) => None,
            Phase::Established(attachment) => Some(attachment.session),
        }
    }

    /// Who watches what.
    pub fn watches(&self) -> &WatchTable {
        &self.watches
    }

    /// Sends the events of an entry.
    fn fire(&mut self, entry: &Entry, changes: &[Change], state: &State, out: &mut Outputs) {
        let FrontDesk { watches, connections, fired, .. } = self;
        if watches.count() == 0 {
            return;
        }
        for change in changes {
            let ids = |conn: ConnId| connections.get(&conn).map_or(&[][..], |connection| &connection.ids);
            watches.fire(change, entry.zxid, state, ids, fired);
        }
        for (conn, event) in fired.drain(..) {
            out.push(Output::Event { conn, event });
        }
    }

    /// Keeps step with the sessions that begin, move and end, whoever asked for it.
    fn follow_sessions(&mut self, now: Now, entry: &Entry, outcome: &Outcome, out: &mut Outputs) {
        if let Some(session) = outcome.ended {
            self.liveness.end(session);
        }
        if outcome.result.is_err() {
            return;
        }
        match &entry.body {
            Body::Command(Command::CreateSession { session, timeout_ms, .. }) => {
                self.liveness.begin(now.mono, *session, milliseconds(*timeout_ms));
            }
            Body::Command(Command::Attach { session, timeout_ms, .. }) => {
                self.liveness.begin(now.mono, *session, milliseconds(*timeout_ms));
                // Without this a client that came back over a new connection could still be answered over the old one.
                if let Some(conn) = self.by_session.get(session).copied() {
                    self.close(conn, CloseReason::SessionMoved, out);
                }
            }
            Body::Command(Command::Expire { .. } | Command::Request { .. }) | Body::Opening => {}
        }
    }

    /// Closes a connection from here.
    fn close(&mut self, conn: ConnId, why: CloseReason, out: &mut Outputs) {
        let Some(connection) = self.forget(conn) else { return };
        out.push(Output::Close { conn, why });
        match why {
            CloseReason::SessionClosed | CloseReason::NotServing => {}
            CloseReason::ClientAhead
            | CloseReason::SessionInvalid
            | CloseReason::SessionMoved
            | CloseReason::SessionExpired
            | CloseReason::AuthFailed
            | CloseReason::UnknownOp
            | CloseReason::ProtocolError => {
                out.note(Note::Refused { conn, session: connection.session(), why });
            }
        }
    }

    /// Drops a connection, its watches and all that waits in it.
    fn forget(&mut self, conn: ConnId) -> Option<Connection> {
        let connection = self.connections.remove(&conn)?;
        self.outstanding -= connection.waiting();
        self.watches.remove(conn);
        if let Phase::Established(attachment) = &connection.phase {
            let removed = self.by_session.remove(&attachment.session);
            assert_eq!(removed, Some(conn), "a session has one established connection");
        }
        Some(connection)
    }

    fn drop_all(&mut self, out: &mut Outputs) {
        while let Some(conn) = self.connections.keys().next().copied() {
            self.close(conn, CloseReason::NotServing, out);
        }
        assert_eq!(self.outstanding, 0);
        assert!(self.by_session.is_empty());
        self.outbox.stop();
        self.liveness.stop();
    }
}

/// The order refuses nothing else about a new session than its id.
fn assert_id_taken(error: ErrorCode) {
    assert_eq!(error, ErrorCode::NodeExists, "a new session is refused only when its id is taken");
}

/// A timeout as the state has it. What is not positive cannot come from a server of ours, and expires at once.
fn milliseconds(timeout_ms: i32) -> Duration {
    Duration::millis(u64::try_from(timeout_ms).unwrap_or(0))
}
