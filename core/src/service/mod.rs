//! The front desk: connections, the order of each one's answers, and who is alive.
//!
//! It turns what clients send into reads of the state, answered at once, and submissions to the order, answered when
//! their entry is executed. It never knows who leads: it is told whether to serve, and on a leader to keep the
//! sessions' time.

use std::net::IpAddr;

use crate::api::{ConnectRequest, Request};
use crate::entry::{Entry, Submission};
use crate::ids::{ConnId, PeerId, SessionId};
use crate::io::Outputs;
use crate::limits::Limits;
use crate::state::{Change, Outcome, State};
use crate::time::{Instant, Now};

/// The front desk of one server.
#[derive(Debug)]
pub struct FrontDesk {
    submissions: Vec<Submission>,
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
        let _ = (id, limits, super_digest, seed);
        FrontDesk { submissions: Vec::new() }
    }

    /// Opens or closes. Closing drops every connection and all that was submitted and not answered.
    pub fn stand(&mut self, standing: Standing, out: &mut Outputs) {
        let _ = (standing, out);
    }

    /// A leader keeps the time of all sessions: each gets its full timeout from now. `None` at a follower.
    pub fn keep_time(&mut self, since: Option<Now>, state: &State) {
        let _ = (since, state);
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
        let _ = (now, conn, address, hello, state, out);
    }

    /// A request.
    pub fn request(&mut self, now: Now, conn: ConnId, request: Request, state: &State, out: &mut Outputs) {
        let _ = (now, conn, request, state, out);
    }

    /// A connection ended. Its session lives on.
    pub fn gone(&mut self, conn: ConnId) {
        let _ = conn;
    }

    /// An entry was executed: `number` when it was submitted here in the present stream. Events go out before the
    /// answers that depend on them.
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
        let _ = (now, entry, outcome, changes, number, state, out);
    }

    /// A barrier was passed, and what it covers is executed.
    pub fn barrier_passed(&mut self, number: u64, state: &State, out: &mut Outputs) {
        let _ = (number, state, out);
    }

    /// A follower's clients were heard in these sessions (leader only).
    pub fn heard(&mut self, now: Now, sessions: &[SessionId]) {
        let _ = (now, sessions);
    }

    /// The sessions heard from since this was last asked, for a follower's report; drained into `sessions`.
    pub fn take_heard(&mut self, sessions: &mut Vec<SessionId>) {
        let _ = sessions;
    }

    /// Submits what time demands: expiries.
    pub fn wake(&mut self, now: Now, state: &State) {
        let _ = (now, state);
    }

    /// When to be woken.
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// What was asked of the order since this was last called.
    pub fn submissions(&mut self) -> std::vec::Drain<'_, Submission> {
        self.submissions.drain(..)
    }
}
