//! Who checks the checkers: an exhaustive search for an order of what clients saw, in a sample of the runs.
//!
//! It knows nothing of zxids, logs or servers: only who asked what, when, and what came back, if anything did. From that
//! alone it looks for one order of all writes in which everything makes sense: writes and syncs take effect between their
//! request and their answer; reads may be stale, but a session never goes back; what was not answered took effect once,
//! in its place in the session, or never; a session may end at any time after its last answer. If there is no such order
//! the run is wrong, and so are the other checkers, if they were content.
//!
//! The search is exponential in what overlaps; it gives up after so many steps ([`Verdict::Undetermined`], counted by the
//! runner). It leaves out what would need the whole service over again: ACLs (a request that is refused for them is taken
//! at its word), watches, and the times and zxids in a Stat.

mod search;
mod tree;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use vivarium_core::api::{MultiResult, Op, Reply, Request, Response};
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::{ConnId, SessionId};
use vivarium_sim::decision::mix;
use vivarium_sim::{Observation, Observer, Time, Violation};

use super::model::Outcome;
use super::violation;

pub use search::{Verdict, search};

/// One run in so many is searched.
pub const SHARE: u64 = 2_000;
/// Steps after which a search gives up.
const STEPS_MAX: usize = 10_000;

/// What became of the searches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Searches {
    /// Runs that were searched.
    pub runs: u64,
    /// Those of them for which the search gave up.
    pub undetermined: u64,
}

/// Something that a client asked for.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// When it was asked, as a number that grows.
    pub asked: u32,
    /// When it was answered, and with what. `None`: nobody knows what became of it.
    pub answer: Option<(u32, Outcome)>,
    /// What it was.
    pub what: What,
    /// The zxid of the answer: what to try first, and nothing else.
    pub hint: i64,
}

/// What can be asked for, as far as it matters here.
#[derive(Clone, Debug)]
pub enum What {
    /// A request.
    Op(Op),
    /// The session ends without its client's doing.
    Expire,
}

/// A connection's session, and by their xids which of the session's requests wait for an answer.
type Conn = (Option<SessionId>, VecDeque<(i32, Option<usize>)>);

/// What the clients of one run saw.
#[derive(Clone, Debug)]
pub struct Recorder {
    clock: u32,
    sessions: BTreeMap<SessionId, Vec<Invocation>>,
    /// Open connections: their sessions, and which of the session's requests wait for an answer.
    conns: BTreeMap<ConnId, Conn>,
    verdict: Option<Verdict>,
}

impl Recorder {
    /// A recorder, if the run of this seed is one of the sample.
    pub fn sample(seed: u64) -> Option<Arc<Recorder>> {
        // Another mix than the one that chooses what is run twice.
        mix(seed ^ 0x11ea_4000).is_multiple_of(SHARE).then(|| Arc::new(Recorder::new()))
    }

    /// A recorder that has seen nothing.
    pub fn new() -> Recorder {
        Recorder { clock: 0, sessions: BTreeMap::new(), conns: BTreeMap::new(), verdict: None }
    }

    /// Whether it wants to be told of this.
    pub fn cares(observation: &Observation<'_>) -> bool {
        matches!(
            observation,
            Observation::Connecting { .. }
                | Observation::Connected { .. }
                | Observation::Sent { .. }
                | Observation::Received { .. }
                | Observation::Lost { .. }
                | Observation::Finished { .. }
        )
    }

    /// What the search came to, at the end of the run.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// Takes down what a client sees or does.
    fn note(&mut self, observation: &Observation<'_>) {
        if !Recorder::cares(observation) {
            return;
        }
        self.clock += 1;
        match observation {
            Observation::Connecting { conn, .. } => {
                self.conns.insert(*conn, (None, VecDeque::new()));
            }
            Observation::Connected { conn, response, .. } => {
                if let Some((session, _)) = self.conns.get_mut(conn) {
                    *session = Some(response.session).filter(|session| session.0 != 0);
                }
            }
            Observation::Sent { conn, request, .. } => self.sent(*conn, request),
            Observation::Received { conn, reply, .. } => self.received(*conn, reply),
            Observation::Lost { conn, .. } => {
                self.conns.remove(conn);
            }
            _ => {}
        }
    }

    fn sent(&mut self, conn: ConnId, request: &Request) {
        let Some((Some(session), waiting)) = self.conns.get_mut(&conn) else { return };
        let mut place = None;
        if matters(&request.op) {
            let invocations = self.sessions.entry(*session).or_default();
            place = Some(invocations.len());
            let what = What::Op(request.op.clone());
            invocations.push(Invocation { asked: self.clock, answer: None, what, hint: i64::MAX });
        }
        waiting.push_back((request.xid, place));
    }

    fn received(&mut self, conn: ConnId, reply: &Reply) {
        let Some((Some(session), waiting)) = self.conns.get_mut(&conn) else { return };
        let Some(place) = waiting.iter().position(|(xid, _)| *xid == reply.xid) else { return };
        if let Some((_, Some(index))) = waiting.remove(place)
            && let Some(invocations) = self.sessions.get_mut(session)
        {
            invocations[index].answer = Some((self.clock, reply.result.clone()));
            invocations[index].hint = reply.zxid;
        }
    }

    /// What is to be searched: each session's requests in the order in which they were asked.
    pub fn history(&self) -> Vec<(SessionId, Vec<Invocation>)> {
        let mut history = Vec::new();
        for (session, invocations) in &self.sessions {
            let telling = |invocation: &&Invocation| match &invocation.answer {
                Some((_, outcome)) => tells(outcome),
                None => matches!(&invocation.what, What::Op(op) if changes(op)),
            };
            let mut invocations: Vec<Invocation> = invocations.iter().filter(telling).cloned().collect();
            invocations.push(Invocation { asked: 0, answer: None, what: What::Expire, hint: i64::MAX });
            history.push((*session, invocations));
        }
        history
    }
}

impl Observer for Recorder {
    fn observe(&mut self, _: Time, observation: &Observation<'_>) -> Result<(), Box<Violation>> {
        if !matches!(observation, Observation::Finished { .. }) {
            self.note(observation);
            return Ok(());
        }
        let verdict = search(&self.history(), STEPS_MAX);
        self.verdict = Some(verdict.clone());
        match verdict {
            Verdict::Explained | Verdict::Undetermined => Ok(()),
            Verdict::Impossible(stuck) => violation(
                "linearizable",
                "there is one order of all writes that explains what every client saw",
                stuck,
                "such an order".into(),
            ),
        }
    }
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder::new()
    }
}

/// Whether a request is one that the search follows.
fn matters(op: &Op) -> bool {
    changes(op)
        || matches!(op, Op::Exists { .. } | Op::GetData { .. } | Op::GetChildren { .. } | Op::Sync { .. })
}

fn changes(op: &Op) -> bool {
    matches!(op, Op::Create(_) | Op::Delete { .. } | Op::SetData { .. } | Op::Multi(_) | Op::CloseSession)
}

/// Whether an answer says something about the tree: refusals for other reasons are taken at their word.
fn tells(outcome: &Outcome) -> bool {
    let about_the_tree = |code: &ErrorCode| {
        matches!(
            code,
            ErrorCode::NoNode
                | ErrorCode::NodeExists
                | ErrorCode::BadVersion
                | ErrorCode::NotEmpty
                | ErrorCode::NoChildrenForEphemerals
        )
    };
    match outcome {
        Ok(Response::Multi(results)) => results.iter().all(|result| match result {
            MultiResult::Error(Some(ErrorCode::RuntimeInconsistency)) => true,
            MultiResult::Error(Some(code)) => about_the_tree(code),
            _ => true,
        }),
        Ok(_) => true,
        Err(code) => about_the_tree(code),
    }
}

#[cfg(test)]
mod tests;
