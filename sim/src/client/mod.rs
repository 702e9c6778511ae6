//! A virtual client: sessions, requests numbered and pipelined, watches set anew after a reconnect, and bad manners.
//!
//! It behaves as client libraries do: it shows the highest zxid it has seen, pings after a third of its timeout, gives a
//! server up after two thirds, moves on to another server with session and password, and re-sends its identities and
//! watches there. Whether answers are right is not its business.

pub mod workload;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use vivarium_core::api::{
    Blob, ConnectRequest, ConnectResponse, EventKind, Op, Reply, Request, Response, WatchedEvent,
};
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::{ConnId, SessionId};
use vivarium_core::jute::ReplyKind;

use crate::choice::Act;
use crate::decision::{Decisions, Draw, Kind};
use crate::schedule::ClientPlan;
use crate::{ClientIndex, MS, NodeIndex, Time};
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

/// What a client does, where that is listed: then it does nothing else of its own will.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// What it asks and how it behaves, by time.
    acts: VecDeque<(Time, Act)>,
    /// When it comes with a wrong password.
    impersonations: VecDeque<Time>,
}

impl Script {
    /// The script of these acts. They come by time; those of one time in the order in which they are listed.
    pub fn new(acts: impl Iterator<Item = (Time, Act)>) -> Script {
        let mut single: Vec<(Time, Act)> = Vec::new();
        for (at, act) in acts {
            match act {
                Act::Repeat { op, times, every } => {
                    let moments =
                        (0..Time::from(times)).map(|nth| at.saturating_add(nth.saturating_mul(every)));
                    single.extend(moments.map(|at| (at, Act::Ask(op.clone()))));
                }
                act => single.push((at, act)),
            }
        }
        single.sort_by_key(|(at, _)| *at);
        let mut script = Script::default();
        for (at, act) in single {
            match act {
                Act::Impersonate => script.impersonations.push_back(at),
                act => script.acts.push_back((at, act)),
            }
        }
        script
    }
}

/// A client of the heal phase, which proves that one server serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// The server it insists on.
    pub node: NodeIndex,
    /// How many of its steps have succeeded: connect, create, sync, read, close.
    pub steps: u8,
}

/// Steps of a probe.
pub const PROBE_STEPS: u8 = 5;

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

/// A request that waits for its answer: what there is to do when that comes.
#[derive(Clone, Debug)]
struct Pending {
    xid: i32,
    /// What a good answer looks like.
    kind: ReplyKind,
    lesson: Lesson,
    /// Whether it is a step of a probe's.
    step: bool,
}

/// What a client learns from an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Lesson {
    Nothing,
    /// Whether there is a watch on the data of this node,
    Data(String),
    /// or else on its creation,
    Exists(String),
    /// or on its children.
    Children(String),
    /// The name of a sequential node.
    Name,
    /// Whether an identity is accepted.
    Identity(&'static str),
    /// The session is over, whatever the answer is.
    Over,
}

impl Lesson {
    /// What the answer to this request teaches.
    fn of(op: &Op) -> Lesson {
        match op {
            Op::GetData { path, watch: true } => Lesson::Data(path.clone()),
            Op::Exists { path, watch: true } => Lesson::Exists(path.clone()),
            Op::GetChildren { path, watch: true, .. } => Lesson::Children(path.clone()),
            Op::Create(create) if create.flags >= 2 => Lesson::Name,
            Op::Auth { token: Some(token), .. } => {
                let known = workload::USERS.iter().find(|(user, _)| user.as_bytes() == &token[..]);
                known.map_or(Lesson::Nothing, |(user, _)| Lesson::Identity(user))
            }
            Op::CloseSession => Lesson::Over,
            _ => Lesson::Nothing,
        }
    }
}

/// The watches that a client library would set anew.
#[derive(Clone, Debug, Default)]
struct Watches {
    data: BTreeSet<String>,
    exist: BTreeSet<String>,
    child: BTreeSet<String>,
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

    /// How far a probe has come.
    pub fn progress(&self) -> Option<Probe> {
        self.probe
    }

    /// Whether it is in session with nothing left unanswered; also when it is dead.
    pub fn at_rest(&self) -> bool {
        match self.phase {
            Phase::Dead => true,
            Phase::Ready { .. } => self.pending.is_empty(),
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
            self.number(now, probe_op(probe), actions);
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

    /// A notification came.
    pub fn notified(&mut self, event: &WatchedEvent, now: Time) {
        self.hear(now);
        let path: &str = &event.path;
        let watches = Arc::make_mut(&mut self.watches);
        match event.kind {
            EventKind::NodeCreated | EventKind::NodeDataChanged => {
                watches.data.remove(path);
                watches.exist.remove(path);
            }
            EventKind::NodeDeleted => {
                watches.data.remove(path);
                watches.exist.remove(path);
                watches.child.remove(path);
            }
            EventKind::NodeChildrenChanged => {
                watches.child.remove(path);
            }
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

    /// Bad manners, if the odds say so.
    fn misbehaviour(&self, draw: &mut Draw) -> Option<Act> {
        let plan = &self.plan;
        let odds = [
            plan.drop_permille,
            plan.move_permille,
            plan.silence_permille,
            plan.close_permille,
            plan.away_permille,
            if self.former.is_some() { plan.haunt_permille } else { 0 },
        ];
        let [drop, moves, silence, close, away, haunt] = odds;
        let idle = 1000 - odds.iter().sum::<u32>().min(1000);
        match draw.weighted(&[drop, moves, silence, close, away, haunt, idle]) {
            0 => Some(Act::Drop),
            1 => Some(Act::Move),
            2 => Some(Act::Silence(self.timeout / 2 + draw.below(self.timeout + 1))),
            3 => Some(Act::Ask(Op::CloseSession)),
            // Just before the session would end, or just after.
            4 => Some(Act::Away(self.timeout * draw.between(90, 110) / 100)),
            5 => Some(Act::Haunt),
            _ => None,
        }
    }

    fn follow(&mut self, act: Act, now: Time, decisions: &mut Decisions, actions: &mut Vec<Action>) {
        match act {
            Act::Ask(op) => self.number(now, op, actions),
            Act::Drop => {
                actions.push(Action::Close);
                self.lost(now, decisions);
            }
            Act::Move => {
                actions.push(Action::Abandon);
                self.pending.clear();
                self.connect(now, decisions, actions);
            }
            Act::Silence(length) => {
                if let Phase::Ready { silent_until, .. } = &mut self.phase {
                    *silent_until = now + length;
                }
            }
            Act::Away(length) => {
                actions.push(Action::Close);
                self.lost(now, decisions);
                self.phase = Phase::Waiting { until: now + length };
            }
            Act::Haunt => {
                actions.push(Action::Close);
                self.lost(now, decisions);
                self.haunting = self.former.is_some();
            }
            Act::Repeat { .. } | Act::Impersonate => unreachable!("a script keeps these apart"),
        }
    }

    fn set_watches(&mut self, now: Time, decisions: &mut Decisions, actions: &mut Vec<Action>) {
        let Watches { data, exist, child } = &*self.watches;
        if data.is_empty() && exist.is_empty() && child.is_empty() {
            return;
        }
        if self.calm.is_none() && decisions.draw(Kind::Reconnect, self.index % 64, now).one_in(8) {
            // Some clients do not care (kazoo).
            self.watches = Arc::default();
            return;
        }
        let list = |set: &BTreeSet<String>| set.iter().cloned().collect();
        let op = Op::SetWatches {
            relative_zxid: self.zxid_seen,
            data: list(data),
            exist: list(exist),
            child: list(child),
        };
        self.number(now, op, actions);
    }

    fn forget_session(&mut self) {
        self.former = self.session.take().or(self.former);
        self.timeout = 0;
        self.watches = Arc::default();
        self.identities.clear();
    }

    /// Remembers what an answer teaches: watches that are set now, nodes that exist, identities that are accepted.
    fn learn(&mut self, lesson: Lesson, reply: &Reply) {
        match (lesson, &reply.result) {
            (Lesson::Data(path) | Lesson::Exists(path), Ok(_)) => {
                Arc::make_mut(&mut self.watches).data.insert(path);
            }
            (Lesson::Exists(path), Err(ErrorCode::NoNode)) => {
                Arc::make_mut(&mut self.watches).exist.insert(path);
            }
            (Lesson::Children(path), Ok(_)) => {
                Arc::make_mut(&mut self.watches).child.insert(path);
            }
            (Lesson::Name, Ok(Response::Path(path) | Response::PathStat(path, _)))
                if self.memory.made.len() < 50 =>
            {
                Arc::make_mut(&mut self.memory.made).push(path.clone());
            }
            (Lesson::Identity(user), Ok(_)) if !self.identities.contains(&user) => {
                self.identities.push(user);
            }
            _ => {}
        }
    }

    fn advance_probe(&mut self, from: u8) {
        if let Some(probe) = &mut self.probe
            && probe.steps == from
        {
            probe.steps += 1;
        }
    }
}

/// How long somebody thinks who thinks so long on average: exactly that in even weather, or nobody would ever pause.
fn pause(draw: &mut Draw, mean: Time) -> Time {
    if draw.is_even() { mean } else { draw.skewed(mean) }
}

fn probe_op(probe: Probe) -> Op {
    match probe.steps {
        1 => Op::Create(vivarium_core::api::Create {
            path: "/zookeeper/probe-".into(),
            data: None,
            acl: Some(vivarium_core::api::Acl::open()),
            flags: 2,
            stat: true,
        }),
        2 => Op::Sync { path: Some("/".into()) },
        3 => Op::Exists { path: "/zookeeper".into(), watch: false },
        _ => Op::CloseSession,
    }
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
    fn what_is_repeated_comes_among_the_rest_by_time() {
        let ask = |path: &str| Act::Ask(Op::Sync { path: Some(path.into()) });
        let repeated = Act::Repeat { op: Op::Sync { path: Some("/r".into()) }, times: 3, every: 4 };
        let script = Script::new([(10, repeated), (14, ask("/a")), (5, Act::Drop)].into_iter());
        let expected = [(5, Act::Drop), (10, ask("/r")), (14, ask("/r")), (14, ask("/a")), (18, ask("/r"))];
        assert_eq!(script.acts, expected);
    }
}
