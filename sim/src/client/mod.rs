//! A virtual client: sessions, requests numbered and pipelined, watches set anew after a reconnect, and bad manners.
//!
//! It behaves as client libraries do: it shows the highest zxid it has seen, pings after a third of its timeout, gives a
//! server up after two thirds, moves on to another server with session and password, and re-sends its identities and
//! watches there. Whether answers are right is not its business.
//!
//! ```text
//!   workload   which request comes next, by the odds
//!   script     or by a list
//!   manners    what it does beside asking
//!   lesson     what it learns from answers
//!   probe      a client that proves that a server serves
//! ```

mod lesson;
mod manners;
mod probe;
mod script;
pub mod workload;

use std::collections::VecDeque;
use std::sync::Arc;

use vivarium_core::api::{Blob, ConnectRequest, ConnectResponse, Op, Reply, Request};
use vivarium_core::ids::{ConnId, SessionId};
use vivarium_core::jute::ReplyKind;

use crate::choice::Act;
use crate::decision::{Decisions, Draw, Kind};
use crate::schedule::ClientPlan;
use crate::{ClientIndex, MS, NodeIndex, Time};
use lesson::{Lesson, Pending, Watches};
pub use probe::{PROBE_STEPS, Probe};
pub use script::Script;
use workload::{Habits, Memory};

/// The xid of pings.
pub const PING_XID: i32 = -2;
/// The xid of auth packets.
pub const AUTH_XID: i32 = -4;
/// The xid of setWatches.
pub const SET_WATCHES_XID: i32 = -8;

/// What a client wants done.
#[derive(Clone, Debug)]
pub enum Action {
    /// Open a connection, perhaps with a wrong password; the client is told its number with [`Client::connecting`].
    Connect { node: NodeIndex, impostor: bool, hello: ConnectRequest },
    /// Send a request over the present connection.
    Send(Request),
    /// End the present connection, in an orderly way,
    Close,
    /// or just stop listening to it: the server may not notice for long.
    Abandon,
}

/// What a client did of its own will.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Chosen {
    /// Nothing: it only did what it has to.
    Nothing,
    /// It sent a request.
    Asked,
    /// It did this.
    Did(Act),
}

/// One client.
#[derive(Clone, Debug)]
pub struct Client {
    index: ClientIndex,
    plan: ClientPlan,
    nodes: usize,
    phase: Phase,
    session: Option<(SessionId, [u8; 16])>,
    /// The one before it, and whether it comes with that next.
    former: Option<(SessionId, [u8; 16])>,
    haunting: bool,
    timeout: Time,
    zxid_seen: i64,
    next_xid: i32,
    pending: VecDeque<Pending>,
    identities: Vec<&'static str>,
    /// Shared with clones until one side changes them.
    watches: Arc<Watches>,
    memory: Memory,
    calm: Option<Time>,
    probe: Option<Probe>,
    script: Option<Script>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Not connected.
    Waiting { until: Time },
    /// Waiting for the handshake's answer.
    Connecting { conn: ConnId, until: Time, impostor: bool },
    /// In session.
    Ready { conn: ConnId, heard: Time, sent: Time, think_at: Time, silent_until: Time },
    /// Gone for good.
    Dead,
}

impl Client {
    /// A client that follows a plan.
    pub fn new(index: ClientIndex, plan: ClientPlan, nodes: usize) -> Client {
        let until = plan.start;
        Client {
            index,
            plan,
            nodes,
            phase: Phase::Waiting { until },
            session: None,
            former: None,
            haunting: false,
            timeout: 0,
            zxid_seen: 0,
            next_xid: 1,
            pending: VecDeque::new(),
            identities: Vec::new(),
            watches: Arc::default(),
            memory: Memory::default(),
            calm: None,
            probe: None,
            script: None,
        }
    }

    /// A client that follows a script.
    pub fn scripted(index: ClientIndex, plan: ClientPlan, nodes: usize, script: Script) -> Client {
        Client { script: Some(script), ..Client::new(index, plan, nodes) }
    }

    /// A client that starts now and does one of each thing that a healthy server must do.
    pub fn probe(index: ClientIndex, node: NodeIndex, nodes: usize, timeout_ms: i32, now: Time) -> Client {
        let plan = ClientPlan { start: now, timeout_ms, ..ClientPlan::default() };
        let mut client = Client::new(index, plan, nodes);
        client.calm = Some(Time::MAX);
        client.probe = Some(Probe { node, steps: 0 });
        client
    }

    /// From now on it behaves, and at `quiet` it stops asking for anything but pings.
    pub fn calm(&mut self, quiet: Time) {
        self.calm = Some(quiet);
    }

    /// From now on it follows no script but its own mind: its plan's mix, or a bit of everything.
    pub fn improvise(&mut self) {
        if self.script.take().is_none() {
            return;
        }
        if self.plan.mix == [0; workload::OPS] {
            self.plan.mix = [10; workload::OPS];
            self.plan.think = 10 * MS;
            self.plan.watch_permille = 200;
        }
    }

    /// Its session, if it believes to have one and is there to keep it alive.
    pub fn live_session(&self) -> Option<SessionId> {
        match self.phase {
            Phase::Dead => None,
            _ => self.session.map(|(session, _)| session),
        }
    }

    /// Whether it is in session with nothing left unanswered but pings, of which there may always be one; also when it is
    /// dead.
    pub fn at_rest(&self) -> bool {
        match self.phase {
            Phase::Dead => true,
            Phase::Ready { .. } => self.pending.iter().all(|pending| pending.xid == PING_XID),
            Phase::Waiting { .. } | Phase::Connecting { .. } => false,
        }
    }

    /// When it wants to be woken.
    #[inline]
    pub fn deadline(&self) -> Time {
        let alive = match self.phase {
            Phase::Waiting { until } | Phase::Connecting { until, .. } => until,
            Phase::Ready { heard, sent, think_at, silent_until, .. } => {
                let speak = self.ping_at(sent).min(self.asks_at(think_at));
                self.give_up_at(heard).min(speak.max(silent_until))
            }
            Phase::Dead => return Time::MAX,
        };
        // Once it behaves it does not die: to be woken for that would never end.
        let dies = if self.calm.is_none() { self.plan.dies } else { None };
        alive.min(dies.unwrap_or(Time::MAX))
    }

    /// Does what it wants to do now. Gives what it chose to do, but for the request in [`Chosen::Asked`], which is the
    /// last of the actions.
    pub fn wake(&mut self, now: Time, decisions: &mut Decisions, actions: &mut Vec<Action>) -> Chosen {
        if self.plan.dies.is_some_and(|dies| dies <= now) && self.calm.is_none() {
            actions.push(Action::Abandon);
            self.phase = Phase::Dead;
            return Chosen::Nothing;
        }
        match self.phase {
            Phase::Waiting { until } if until <= now => self.connect(now, decisions, actions),
            Phase::Connecting { until, .. } if until <= now => {
                actions.push(Action::Abandon);
                self.lost(now, decisions);
            }
            Phase::Ready { heard, .. } if self.give_up_at(heard) <= now => {
                actions.push(Action::Abandon);
                self.lost(now, decisions);
            }
            Phase::Ready { think_at, silent_until, sent, .. } if silent_until <= now => {
                if self.asks_at(think_at) <= now {
                    return self.choose(now, decisions, actions);
                } else if self.ping_at(sent) <= now {
                    self.send(now, Request { xid: PING_XID, op: Op::Ping }, actions);
                }
            }
            Phase::Waiting { .. } | Phase::Connecting { .. } | Phase::Ready { .. } | Phase::Dead => {}
        }
        Chosen::Nothing
    }

    /// Does the next thing of its own will: what its script says, or what the odds give.
    fn choose(&mut self, now: Time, decisions: &mut Decisions, actions: &mut Vec<Action>) -> Chosen {
        if let Some(script) = &mut self.script {
            let Some((_, act)) = script.acts.pop_front() else { return Chosen::Nothing };
            self.follow(act.clone(), now, decisions, actions);
            return Chosen::Did(act);
        }
        let mut draw = decisions.draw(Kind::Ask, self.index % 64, now);
        let pause = pause(&mut draw, self.think());
        if let Phase::Ready { think_at, .. } = &mut self.phase {
            *think_at = now + 1 + pause;
        }
        if let Some(probe) = self.probe {
            self.number(now, probe.op(), actions);
            return Chosen::Nothing;
        }
        if self.calm.is_none()
            && let Some(act) = self.misbehaviour(&mut draw)
        {
            self.follow(act.clone(), now, decisions, actions);
            return Chosen::Did(act);
        }
        let habits =
            Habits { mix: &self.plan.mix, watch_permille: self.plan.watch_permille, client: self.index };
        let op = workload::draw(habits, &mut self.memory, &mut draw);
        self.number(now, op, actions);
        Chosen::Asked
    }

    /// Its connection has this number.
    pub fn connecting(&mut self, conn: ConnId, now: Time) {
        let impostor = matches!(self.phase, Phase::Connecting { impostor: true, .. });
        let patience = if self.timeout > 0 { self.timeout } else { self.plan.timeout_ms as Time * MS };
        self.phase = Phase::Connecting { conn, until: now + patience, impostor };
    }

    /// Whether this is its present connection.
    pub fn listens_to(&self, conn: ConnId) -> bool {
        match self.phase {
            Phase::Connecting { conn: mine, .. } | Phase::Ready { conn: mine, .. } => mine == conn,
            Phase::Waiting { .. } | Phase::Dead => false,
        }
    }

    /// The handshake was answered.
    pub fn connected(
        &mut self,
        response: &ConnectResponse,
        now: Time,
        decisions: &mut Decisions,
        actions: &mut Vec<Action>,
    ) {
        let Phase::Connecting { conn, impostor, .. } = self.phase else { return };
        if response.session.0 == 0 || response.timeout_ms <= 0 {
            if !impostor {
                self.forget_session();
            }
            actions.push(Action::Close);
            self.lost(now, decisions);
            return;
        }
        self.session = Some((response.session, response.password));
        self.timeout = response.timeout_ms as Time * MS;
        let think_at = now + pause(&mut decisions.draw(Kind::Ask, self.index % 64, now), self.think());
        self.phase = Phase::Ready { conn, heard: now, sent: now, think_at, silent_until: 0 };
        self.advance_probe(0);
        for token in self.identities.clone() {
            self.send(now, Request { xid: AUTH_XID, op: workload::auth(token) }, actions);
        }
        self.set_watches(now, decisions, actions);
    }

    /// What a reply with this xid looks like if it is a good one.
    pub fn awaited(&self, xid: i32) -> Option<ReplyKind> {
        self.pending.iter().find(|pending| pending.xid == xid).map(|pending| pending.kind)
    }

    /// A reply came.
    pub fn received(&mut self, reply: &Reply, now: Time, actions: &mut Vec<Action>) {
        self.hear(now);
        if reply.zxid > self.zxid_seen {
            self.zxid_seen = reply.zxid;
        }
        // Auth replies may overtake; all others come in order, which the checkers demand and this takes for granted.
        let place = self.pending.iter().position(|p| p.xid == reply.xid).unwrap_or(0);
        let Some(request) = self.pending.remove(place) else { return };
        if let Some(probe) = self.probe
            && request.step
            && reply.result.is_ok()
        {
            self.advance_probe(probe.steps);
        }
        let over = request.lesson == Lesson::Over;
        self.learn(request.lesson, reply);
        if over {
            self.forget_session();
            actions.push(Action::Close);
            self.phase =
                if self.probe.is_some() { Phase::Dead } else { Phase::Waiting { until: now + 5 * MS } };
            self.pending.clear();
        }
    }

    /// Its connection is gone.
    pub fn lost(&mut self, now: Time, decisions: &mut Decisions) {
        self.pending.clear();
        let mut draw = decisions.draw(Kind::Reconnect, self.index % 64, now);
        let pause = if self.calm.is_some() { draw.between(2, 20) * MS } else { draw.between(1, 60) * MS };
        self.phase = Phase::Waiting { until: now + pause };
    }

    fn hear(&mut self, now: Time) {
        if let Phase::Ready { heard, .. } = &mut self.phase {
            *heard = now;
        }
    }

    fn think(&self) -> Time {
        match self.calm {
            Some(_) if self.probe.is_none() => self.plan.think.max(5 * MS),
            _ => self.plan.think,
        }
    }

    fn ping_at(&self, sent: Time) -> Time {
        sent + self.timeout / 3
    }

    fn give_up_at(&self, heard: Time) -> Time {
        heard + self.timeout * 2 / 3
    }

    /// When it asks, if it has something to ask and room for it: not before it has thought.
    fn asks_at(&self, think_at: Time) -> Time {
        if let Some(script) = &self.script {
            return script.acts.front().map_or(Time::MAX, |(at, _)| *at);
        }
        let may = match self.probe {
            Some(probe) => self.pending.is_empty() && probe.steps < PROBE_STEPS,
            None => self.calm.is_none_or(|quiet| think_at < quiet) && self.pending.len() < self.plan.pipeline,
        };
        if may { think_at } else { Time::MAX }
    }

    fn connect(&mut self, now: Time, decisions: &mut Decisions, actions: &mut Vec<Action>) {
        let mut draw = decisions.draw(Kind::Reconnect, self.index % 64, now);
        let node = match self.probe {
            Some(probe) => probe.node,
            None => (draw.below(self.nodes as u64) as usize + self.index) % self.nodes,
        };
        let mut impostor = false;
        let haunting = std::mem::take(&mut self.haunting);
        let shown = if haunting { self.former } else { self.session };
        let (session, mut password) = shown.unwrap_or((SessionId(0), [0; 16]));
        let odds = 8 * self.plan.impostor_permille;
        if haunting {
            impostor = true;
        } else if session.0 != 0
            && match &mut self.script {
                Some(script) => {
                    let due = script.impersonations.front().is_some_and(|at| *at <= now);
                    due && script.impersonations.pop_front().is_some()
                }
                None => self.calm.is_none() && draw.permille(odds),
            }
        {
            impostor = true;
            password[draw.below(16) as usize] ^= 1;
        }
        let password = (session.0 != 0 || !draw.one_in(4)).then(|| Blob::new(&password));
        actions.push(Action::Connect {
            node,
            impostor: impostor && !haunting,
            hello: ConnectRequest {
                protocol_version: 0,
                last_zxid_seen: self.zxid_seen,
                timeout_ms: self.plan.timeout_ms,
                session,
                password,
                read_only: (!self.plan.old).then_some(false),
            },
        });
        self.phase = Phase::Connecting { conn: ConnId(0), until: Time::MAX, impostor };
    }

    /// Sends a request with the xid that it takes.
    fn number(&mut self, now: Time, op: Op, actions: &mut Vec<Action>) {
        let xid = match op {
            Op::Auth { .. } => AUTH_XID,
            Op::Ping => PING_XID,
            Op::SetWatches { .. } => SET_WATCHES_XID,
            _ => {
                self.next_xid += 1;
                self.next_xid
            }
        };
        self.send(now, Request { xid, op }, actions);
    }

    fn send(&mut self, now: Time, request: Request, actions: &mut Vec<Action>) {
        if let Phase::Ready { sent, .. } = &mut self.phase {
            *sent = now;
        }
        let (kind, lesson) = (ReplyKind::of(&request.op), Lesson::of(&request.op));
        let step =
            matches!(request.op, Op::Create(_) | Op::Sync { .. } | Op::Exists { .. } | Op::CloseSession);
        self.pending.push_back(Pending { xid: request.xid, kind, lesson, step });
        actions.push(Action::Send(request));
    }

    fn forget_session(&mut self) {
        self.former = self.session.take().or(self.former);
        self.timeout = 0;
        self.watches = Arc::default();
        self.identities.clear();
    }
}

/// How long somebody thinks who thinks so long on average: exactly that in even weather, or nobody would ever pause.
fn pause(draw: &mut Draw, mean: Time) -> Time {
    if draw.is_even() { mean } else { draw.skewed(mean) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_behaves_is_not_woken_to_die() {
        let plan = ClientPlan { start: 9 * MS, dies: Some(5 * MS), ..ClientPlan::default() };
        let mut client = Client::new(0, plan, 3);
        assert_eq!(client.deadline(), 5 * MS);
        client.calm(7 * MS);
        assert_eq!(client.deadline(), 9 * MS);
    }

    #[test]
    fn a_ping_that_waits_does_not_keep_it_from_being_at_rest() {
        let mut client = Client::new(0, ClientPlan::default(), 3);
        client.phase = Phase::Ready { conn: ConnId(1), heard: 0, sent: 0, think_at: 0, silent_until: 0 };
        client.send(0, Request { xid: PING_XID, op: Op::Ping }, &mut Vec::new());
        assert!(client.at_rest());
        client.send(0, Request { xid: 1, op: Op::CloseSession }, &mut Vec::new());
        assert!(!client.at_rest());
    }
}
