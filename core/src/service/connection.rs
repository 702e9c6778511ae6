//! One client's connection: who it is, what it waits for, and in which order it is answered.
//!
//! The queue holds every request that is not answered, oldest first. The head is answered first, always; what may
//! be *submitted* early is decided in `requests`.

use core::net::IpAddr;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::api::{Id, Reply, Response};
use crate::entry::Write;
use crate::error::ErrorCode;
use crate::ids::{ConnId, Origin, SessionId, Zxid};
use crate::io::{Output, Outputs};

use super::auth;
use super::handshake::Handshake;

/// The driver stops reading a connection long before this many of its requests wait.
const WAITING_MAX: usize = 1 << 20;

/// A connection.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) phase: Phase,
    /// What the client has proven to be. Shared with every request received since it last changed.
    pub(super) ids: Arc<[Id]>,
    /// A request that ends the connection has been received: what comes after it is dropped unanswered.
    pub(super) ending: bool,
    /// The round of reports in which this client was last heard.
    pub(super) heard_round: u64,
    pub(super) queue: VecDeque<Turn>,
    /// Syncs in the queue whose barrier is not passed.
    pub(super) barriers: usize,
    /// Writes and syncs in the queue that are not submitted.
    pub(super) unsubmitted: usize,
    address: IpAddr,
    last_op: &'static str,
    last_xid: i32,
    last_zxid: i64,
}

/// How far the handshake is.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// The session's entry is on its way. Requests are received and wait.
    Handshake(Handshake),
    /// Attached to a session.
    Established(Attachment),
}

/// The session a connection is attached to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attachment {
    pub(super) session: SessionId,
    /// The entry that attached it: named in each of its writes, so that none takes effect after the session moved.
    pub(super) owner: Origin,
    pub(super) timeout_ms: i32,
}

/// A request that waits for its turn.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) xid: i32,
    /// The short name of section 2.6; `None` leaves the last one as it is.
    pub(super) name: Option<&'static str>,
    /// The identities the connection had when it was received.
    pub(super) ids: Arc<[Id]>,
    pub(super) step: Step,
}

/// What has to happen before a request is answered.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// It has yet to be submitted: the handshake is not done, or a sync before it is not passed.
    Submit(Write),
    /// Its entry has to be executed.
    Ordered { number: u64, closes: bool },
    /// Its barrier has to be passed.
    Sync { path: Option<String>, barrier: Barrier },
    /// Nothing but its turn.
    Local(Local),
}

/// How far a sync is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Barrier {
    /// Not submitted.
    Unasked,
    /// Submitted as this number.
    Asked(u64),
    /// All that was committed when it was asked is executed here.
    Passed,
}

/// What is answered from memory.
#[derive(Clone, Debug)]
pub(super) enum Local {
    /// exists.
    Exists { path: String, watch: bool },
    /// getData.
    GetData { path: String, watch: bool },
    /// getACL.
    GetAcl { path: String },
    /// getChildren, getChildren2.
    GetChildren { path: String, watch: bool, stat: bool },
    /// setWatches.
    SetWatches { since: i64, data: Vec<String>, exist: Vec<String>, child: Vec<String> },
    /// ping.
    Ping,
    /// auth; it took effect when it was received.
    Auth { accepted: bool },
    /// A read that could not be decoded.
    Malformed,
    /// Not an operation.
    Unknown,
}

/// A connection as operators see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectionInfo {
    /// Which one.
    pub conn: ConnId,
    /// The client's address.
    pub address: IpAddr,
    /// Its session; 0 until the handshake is done.
    pub session: SessionId,
    /// Negotiated, ms; 0 until the handshake is done.
    pub timeout_ms: i32,
    /// The operation answered last, by the short names of section 2.6.
    pub last_op: &'static str,
    /// The xid answered last, of those that are not negative.
    pub last_xid: i32,
    /// The zxid in the last reply; -1 before the first.
    pub last_zxid: i64,
    /// Requests received and not answered.
    pub outstanding: usize,
}

impl Connection {
    /// A connection that has sent its first packet.
    pub(super) fn new(address: IpAddr, handshake: Handshake) -> Connection {
        Connection {
            phase: Phase::Handshake(handshake),
            ids: [auth::address_id(address)].into(),
            ending: false,
            heard_round: 0,
            queue: VecDeque::new(),
            barriers: 0,
            unsubmitted: 0,
            address,
            last_op: "NA",
            last_xid: 0,
            last_zxid: -1,
        }
    }

    /// Puts a request last.
    pub(super) fn push(&mut self, turn: Turn) {
        assert!(!self.ending || turn.ends(), "nothing follows the request that ends a connection");
        assert!(self.queue.len() < WAITING_MAX, "the driver bounds the requests of a connection");
        match &turn.step {
            Step::Submit(_) => self.unsubmitted += 1,
            Step::Sync { barrier, .. } => {
                assert_eq!(*barrier, Barrier::Unasked);
                self.unsubmitted += 1;
                self.barriers += 1;
            }
            Step::Local(_) => {}
            Step::Ordered { .. } => panic!("a request is queued before it is submitted"),
        }
        self.queue.push_back(turn);
    }

    /// Takes the oldest request when nothing is left to wait for but its turn.
    pub(super) fn pop_ready(&mut self) -> Option<Turn> {
        if let Phase::Handshake(_) = self.phase {
            return None;
        }
        match self.queue.front()?.step {
            Step::Local(_) | Step::Sync { barrier: Barrier::Passed, .. } => self.queue.pop_front(),
            Step::Sync { barrier: Barrier::Unasked | Barrier::Asked(_), .. }
            | Step::Submit(_)
            | Step::Ordered { .. } => None,
        }
    }

    /// Takes the write that was executed, which is the oldest request: what came before it has been answered.
    ///
    /// # Panics
    /// When it is not: the order has turned the connection's requests around.
    pub(super) fn pop_ordered(&mut self, number: u64) -> Turn {
        let turn = self.queue.pop_front().expect("a write stays queued until it is executed");
        match turn.step {
            Step::Ordered { number: expected, .. } => assert_eq!(number, expected, "a write was skipped"),
            _ => panic!("write {number} was executed before its turn: {:?} is first", turn.step),
        }
        turn
    }

    /// Requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The session, or the one that the handshake is about; 0 for one not made yet.
    pub(super) fn session(&self) -> SessionId {
        match &self.phase {
            Phase::Handshake(handshake) => handshake.session,
            Phase::Established(attachment) => attachment.session,
        }
    }

    /// Attaches the connection to its session.
    pub(super) fn establish(&mut self, attachment: Attachment, zxid: Zxid) {
        assert!(matches!(self.phase, Phase::Handshake(_)), "a connection is attached once");
        self.phase = Phase::Established(attachment);
        self.last_op = "SESS";
        self.last_zxid = zxid.wire();
    }

    /// Answers a request with a zxid of the order.
    ///
    /// # Panics
    /// When the zxid is below one that the connection has shown before: a client that reconnected with it could be
    /// served by a server that lacks what it has seen.
    pub(super) fn reply(
        &mut self,
        conn: ConnId,
        turn: &Turn,
        zxid: Zxid,
        result: Result<Response, ErrorCode>,
        out: &mut Outputs,
    ) {
        assert!(zxid.wire() >= self.last_zxid, "{conn:?} was shown {} before {zxid:?}", self.last_zxid);
        self.last_zxid = zxid.wire();
        self.reply_unordered(conn, turn, zxid.wire(), result, out);
    }

    /// Answers a request with a zxid that says nothing: 0 for auth, -1 for what is no operation.
    pub(super) fn reply_unordered(
        &mut self,
        conn: ConnId,
        turn: &Turn,
        zxid: i64,
        result: Result<Response, ErrorCode>,
        out: &mut Outputs,
    ) {
        if let Some(name) = turn.name {
            self.last_op = name;
            self.last_xid = if turn.xid >= 0 { turn.xid } else { self.last_xid };
        }
        out.push(Output::Reply { conn, reply: Reply { xid: turn.xid, zxid, result } });
    }

    /// For operators.
    pub(super) fn info(&self, conn: ConnId) -> ConnectionInfo {
        let (session, timeout_ms) = match &self.phase {
            Phase::Handshake(_) => (SessionId(0), 0),
            Phase::Established(attachment) => (attachment.session, attachment.timeout_ms),
        };
        ConnectionInfo {
            conn,
            address: self.address,
            session,
            timeout_ms,
            last_op: self.last_op,
            last_xid: self.last_xid,
            last_zxid: self.last_zxid,
            outstanding: self.waiting(),
        }
    }
}

impl Turn {
    /// Whether the connection ends with the answer to this.
    pub(super) fn ends(&self) -> bool {
        match &self.step {
            Step::Submit(write) => matches!(write, Write::Close),
            Step::Ordered { closes, .. } => *closes,
            Step::Local(Local::Auth { accepted }) => !accepted,
            Step::Local(Local::Unknown) => true,
            Step::Local(_) | Step::Sync { .. } => false,
        }
    }
}
