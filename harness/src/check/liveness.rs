//! Nobody waits in vain for a leader. One that was asked to end, and is elected all the same, hands over at once.
//!
//! Sessions end when they should: never while their leader has heard their client in time, and soon after it has not.
//!
//! "In time" is measured by the leader's monotonic clock, without any slack: a session gets its whole timeout, and at most
//! a tick more. So by true time it gets what that clock makes of its timeout: all but a thousandth, if the clock runs
//! fast by no more than that, as those of the schedules do. What has passed beyond a tick between two looks of the leader
//! at its deadlines, because it stood still or its clock leapt, need not be held against anybody.

use vivarium_core::ids::{ConnId, Epoch, Origin, SessionId};
use vivarium_core::time::{Duration, Instant, Now};
use vivarium_sim::world::peer_id;
use vivarium_sim::{NodeIndex, Schedule, Violation};

use super::model::Model;
use super::violation;

/// Who was heard when.
#[derive(Clone, Debug, Default)]
pub struct Liveness {
    nodes: Vec<Node>,
    /// The session of each connection, once the server has said so: by the connection's number.
    sessions: Vec<Option<SessionId>>,
    /// The newest epoch that a leader was established in.
    newest: Epoch,
    tick: Duration,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// Of the present step.
    now: Instant,
    /// When it was asked to end: it keeps nobody's time from then on, even if it is elected once more.
    retiring: Option<Instant>,
    /// It was established all the same, in this very step.
    established: bool,
    /// While it keeps the sessions' time.
    reign: Option<Reign>,
}

/// A leader's stay.
#[derive(Clone, Debug)]
struct Reign {
    since: Instant,
    epoch: Epoch,
    heard: Vec<Heard>,
    /// A new epoch is being opened: what is proposed meanwhile waits for it.
    rolling: bool,
    /// It was opened just now, and what has waited is proposed.
    rolled: Option<Instant>,
    /// When a deadline was last looked at, and when this checker did.
    woken: Instant,
    looked: Instant,
}

#[derive(Clone, Debug)]
struct Heard {
    session: SessionId,
    last: Instant,
    /// Of the silence since, what the leader need not count: it could not have heard anybody.
    excused: Duration,
    /// The longest silence that ended while a new epoch was being opened.
    silence: Duration,
    /// When the leader last proposed its expiry.
    expiry: Option<Instant>,
}

type Checked = Result<(), Box<Violation>>;

impl Liveness {
    pub(super) fn begin(&mut self, schedule: &Schedule) {
        self.newest = Epoch::default();
        self.tick = schedule.limits.tick;
        self.sessions.clear();
        self.nodes.clear();
        self.nodes.resize_with(schedule.nodes, Node::default);
    }

    pub(super) fn ended(&mut self, node: NodeIndex) {
        self.nodes[node] = Node::default();
    }

    /// A leader is established: every session has its whole timeout from now.
    pub(super) fn established(&mut self, node: NodeIndex, epoch: Epoch) {
        self.newest = self.newest.max(epoch);
        let state = &mut self.nodes[node];
        if state.retiring.is_some() {
            state.established = true;
            return;
        }
        let since = state.now;
        let (woken, looked) = (since, since);
        state.reign =
            Some(Reign { since, epoch, heard: Vec::new(), rolling: false, rolled: None, woken, looked });
    }

    /// A node leads no more.
    pub(super) fn resigned(&mut self, node: NodeIndex) {
        self.nodes[node].reign = None;
        self.nodes[node].established = false;
    }

    /// A leader begins to open an epoch without an election,
    pub(super) fn rolling(&mut self, node: NodeIndex) {
        if let Some(reign) = &mut self.nodes[node].reign {
            reign.rolling = true;
            reign.heard.iter_mut().for_each(|heard| heard.silence = Duration(0));
        }
    }

    /// and has opened it.
    pub(super) fn opened(&mut self, node: NodeIndex) {
        let now = self.nodes[node].now;
        if let Some(reign) = &mut self.nodes[node].reign {
            reign.rolled = std::mem::take(&mut reign.rolling).then_some(now);
        }
    }

    /// A server has told a connection its session.
    pub(super) fn welcomed(&mut self, conn: ConnId, session: SessionId) {
        let place = conn.0 as usize;
        if self.sessions.len() <= place {
            self.sessions.resize(place + 1, None);
        }
        self.sessions[place] = Some(session).filter(|session| session.0 != 0);
    }

    /// The session that a server has told a connection, if it has.
    pub(super) fn session(&self, conn: ConnId) -> Option<SessionId> {
        *self.sessions.get(conn.0 as usize)?
    }

    /// Whether a node keeps the sessions' time.
    pub(super) fn keeps_time(&self, node: NodeIndex) -> bool {
        self.nodes[node].reign.is_some() && self.nodes[node].retiring.is_none()
    }

    /// A node is about to be told something.
    #[inline]
    pub(super) fn steps(&mut self, node: NodeIndex, now: Now) -> Checked {
        let state = &mut self.nodes[node];
        state.now = now.mono;
        if state.established { lingers(node) } else { Ok(()) }
    }

    /// A node is asked to end.
    pub(super) fn retires(&mut self, node: NodeIndex) {
        let state = &mut self.nodes[node];
        state.retiring.get_or_insert(state.now);
        // What was decided before that while a new epoch is being opened is proposed once it is open.
        state.reign = state.reign.take().filter(|reign| reign.rolling);
    }

    /// A node is told about clients by a follower.
    pub(super) fn reported(&mut self, node: NodeIndex, epoch: Epoch, sessions: &[SessionId]) {
        // A report for an earlier leader may be as old as the hills.
        if self.nodes[node].reign.as_ref().is_some_and(|reign| epoch >= reign.epoch) {
            sessions.iter().for_each(|session| self.heard(node, *session));
        }
    }

    /// A leader proposes to expire a session.
    pub(super) fn expiry_proposed(
        &mut self,
        node: NodeIndex,
        session: SessionId,
        owner: Origin,
        model: &Model,
    ) -> Checked {
        let Node { now, reign, retiring, .. } = &mut self.nodes[node];
        let decided = retiring.unwrap_or(*now);
        let opens = |reign: &&mut Reign| reign.rolled == Some(*now);
        let Some(reign) = reign.as_mut().filter(|reign| retiring.is_none() || opens(reign)) else {
            return violation(
                "no-early-expiry",
                "only an established leader expires sessions",
                format!("node {} expires session {session}", peer_id(node)),
                "it to be established".into(),
            );
        };
        let since = reign.since;
        let rolled = reign.rolled == Some(*now);
        let heard = reign.heard(session);
        heard.expiry = Some(*now);
        let Some(known) = model.session(session).filter(|known| known.owner == owner) else {
            // It has ended or moved, so nothing will come of it.
            return Ok(());
        };
        let timeout = Duration::millis(known.timeout_ms as u64);
        let last = heard.last.max(since);
        // It may have been decided at any time since the opening of the epoch began.
        if decided - last >= timeout || (rolled && heard.silence >= timeout) {
            return Ok(());
        }
        violation(
            "no-early-expiry",
            "no session is expired while its leader has heard its client within the timeout",
            format!(
                "node {} expires session {session}, whose timeout is {} ms, {} ms after it was heard",
                peer_id(node),
                known.timeout_ms,
                (*now - last).as_millis(),
            ),
            format!("at least {} ms", known.timeout_ms),
        )
    }

    /// A leader looks at its deadlines. What was due when it did so before must have been proposed.
    pub(super) fn woken(&mut self, node: NodeIndex, model: &Model) -> Checked {
        let (tick, newest) = (self.tick, self.newest);
        let Node { now, reign, retiring, .. } = &mut self.nodes[node];
        let Some(reign) = reign.as_mut().filter(|_| retiring.is_none()) else { return Ok(()) };
        let before = std::mem::replace(&mut reign.woken, *now);
        let passed = *now - before;
        if passed > tick {
            for session in model.sessions().map(|(session, _)| *session) {
                let excused = &mut reign.heard(session).excused;
                *excused = Duration(excused.0 + passed.0 - tick.0 / 2);
            }
        }
        if reign.rolling || *now - reign.looked < tick {
            return Ok(());
        }
        if newest > reign.epoch {
            // It has stood still, and does not know yet that it is deposed: nor what sessions there are by now.
            return Ok(());
        }
        reign.looked = *now;
        for (session, known) in model.sessions() {
            let since = reign.since;
            let heard = reign.heard(*session);
            let last = heard.last.max(since);
            let due = last + Duration::millis(known.timeout_ms as u64) + tick + heard.excused;
            if due <= before && heard.expiry.is_none_or(|expiry| expiry < last) {
                return violation(
                    "expiry-in-time",
                    "a session that its leader has not heard for its timeout and a tick is expired",
                    format!(
                        "node {} has not heard session {session}, whose timeout is {} ms, for {} ms, and lets it live",
                        peer_id(node),
                        known.timeout_ms,
                        (*now - last).as_millis()
                    ),
                    "its expiry to be proposed".into(),
                );
            }
        }
        Ok(())
    }

    /// A node hears a client of a session itself, or executes the beginning of a session, or its move.
    pub(super) fn heard(&mut self, node: NodeIndex, session: SessionId) {
        let Node { now, reign, .. } = &mut self.nodes[node];
        let Some(reign) = reign else { return };
        let (since, rolling) = (reign.since, reign.rolling);
        let heard = reign.heard(session);
        if rolling {
            heard.silence = heard.silence.max(*now - heard.last.max(since));
        }
        heard.last = *now;
        heard.excused = Duration(0);
    }
}

/// A leader on its way out does nothing about it.
#[cold]
fn lingers(node: NodeIndex) -> Checked {
    violation(
        "hand-over",
        "a leader that is elected after it was asked to end serves nobody, so it hands over as soon as it is \
         established: a follower has all that it has",
        format!("node {} is established, and leads on", peer_id(node)),
        "it to ask a follower to stand, or to end".into(),
    )
}

impl Reign {
    fn heard(&mut self, session: SessionId) -> &mut Heard {
        let place = self.heard.iter().position(|heard| heard.session == session);
        let place = place.unwrap_or_else(|| {
            let last = Instant(0);
            self.heard.push(Heard {
                session,
                last,
                excused: Duration(0),
                silence: Duration(0),
                expiry: None,
            });
            self.heard.len() - 1
        });
        &mut self.heard[place]
    }
}
