//! The observer that makes a recording of what it is told.

use std::collections::HashMap;
use std::ops::Range;

use vivarium_core::Node;
use vivarium_core::ids::ConnId;
use vivarium_core::io::{Input, Note, Output, Write};
use vivarium_core::node::Role as NodeRole;
use vivarium_core::replica::PeerMessage;
use vivarium_sim::queue::Event as Planned;
use vivarium_sim::schedule::FaultKind;
use vivarium_sim::world::node_index;
use vivarium_sim::{
    Happening, MS, NodeIndex, Observation, Observer, Report, Schedule, Time, Verdict, Violation,
};

use super::causes::{Causes, Down};
use super::spans::Spans;
use super::words::{self, Told};
use super::{Broken, Event, EventId, Fate, Header, Kind, Lane, Recording, Role, State};
use crate::numbers::counted;
use crate::run::Runner;

/// What is recorded, for its header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    /// What it is called.
    pub name: String,
    /// The command that records it again.
    pub again: String,
    /// The command that replays it.
    pub replay: String,
    /// The text of the schedule.
    pub schedule: String,
}

/// Runs a schedule under all checkers and records it.
pub fn record(subject: Subject, schedule: &Schedule) -> Recording {
    let mut recorder = Recorder::default();
    let report = Runner::default().run(schedule, &mut recorder);
    recorder.finish(subject, schedule, &report)
}

/// Records what it is told. It objects to nothing.
#[derive(Debug, Default)]
pub struct Recorder {
    events: Vec<Event>,
    causes: Causes,
    spans: Spans,
    clients: u32,
    states: Vec<State>,
    /// The input of a node's present step.
    inputs: Vec<Option<EventId>>,
    /// The present step of the world, and the one that it follows from.
    step: u64,
    step_cause: u64,
    /// The first event of each step, or what would have been it.
    step_starts: Vec<EventId>,
    sessions: HashMap<ConnId, i64>,
    clients_of: HashMap<ConnId, u32>,
    /// The last event of each client.
    client_last: HashMap<u32, EventId>,
}

/// An event about to be added.
struct Draft {
    lane: Lane,
    kind: Kind,
    told: Told,
    other: Option<Lane>,
    causes: Vec<EventId>,
}

fn draft(lane: Lane, kind: Kind, told: Told) -> Draft {
    Draft { lane, kind, told, other: None, causes: Vec::new() }
}

impl Draft {
    fn with(mut self, other: Lane) -> Draft {
        self.other = Some(other);
        self
    }
    /// What it follows from most directly.
    fn after(mut self, cause: Option<EventId>) -> Draft {
        self.causes.splice(0..0, cause);
        self
    }
    /// What else it follows from.
    fn and_after(mut self, causes: impl IntoIterator<Item = EventId>) -> Draft {
        self.causes.extend(causes);
        self
    }
}

fn node_lane(node: NodeIndex) -> Lane {
    Lane::Node(u8::try_from(node).expect("few servers"))
}

fn client_lane(client: usize) -> Lane {
    Lane::Client(u32::try_from(client).expect("few clients"))
}

impl Recorder {
    /// The recording, the run having ended so.
    pub fn finish(mut self, subject: Subject, schedule: &Schedule, report: &Report) -> Recording {
        let violation = match &report.verdict {
            Verdict::Clean => None,
            Verdict::Broken(violation) => {
                let told = Told {
                    text: format!("\"{}\" is broken: {}", violation.property, violation.seen),
                    detail: format!("{violation:?}"),
                    ..Told::default()
                };
                let last = self.events.last().map(|event| event.id);
                let event = self.add(report.at, draft(Lane::World, Kind::Violation, told).after(last));
                Some(Broken {
                    property: violation.property.into(),
                    meaning: violation.meaning.into(),
                    seen: violation.seen.clone(),
                    expected: violation.expected.clone(),
                    event,
                })
            }
        };
        let header = Header {
            name: subject.name,
            again: subject.again,
            replay: subject.replay,
            schedule: subject.schedule,
            drawn: format!("{schedule:#?}"),
            nodes: u8::try_from(schedule.nodes).expect("few servers"),
            clients: self.clients,
            heals_at: schedule.chaos,
            violation,
            ended_at: report.at,
            steps: report.events,
            hash: report.hash,
            events: self.events.len() as u64,
            spans: self.spans.finish(report.at),
        };
        Recording { header, events: self.events }
    }

    fn next(&self) -> EventId {
        self.events.len() as EventId + 1
    }

    fn add(&mut self, at: Time, draft: Draft) -> EventId {
        let id = self.next();
        let mut causes: Vec<EventId> = Vec::with_capacity(draft.causes.len());
        for cause in draft.causes {
            if !causes.contains(&cause) {
                causes.push(cause);
            }
        }
        assert!(causes.iter().all(|cause| *cause < id), "what an event follows from came before it");
        if let Lane::Client(client) = draft.lane {
            self.clients = self.clients.max(client + 1);
            self.client_last.insert(client, id);
        }
        self.events.push(Event {
            id,
            at,
            step: self.step,
            lane: draft.lane,
            kind: draft.kind,
            text: draft.told.text,
            detail: draft.told.detail,
            other: draft.other,
            sessions: draft.told.sessions,
            paths: draft.told.paths,
            zxids: draft.told.zxids,
            causes,
            fate: None,
            after: None,
        });
        id
    }

    /// The events of a step.
    fn events_of(&self, step: u64) -> Range<EventId> {
        let start = |step: usize| self.step_starts.get(step).copied();
        let Ok(step) = usize::try_from(step) else { return 0..0 };
        start(step).unwrap_or(0)..start(step + 1).unwrap_or_else(|| self.next())
    }

    /// What set the timer that made the present step happen in this lane. One timer after the other is the passing of
    /// time, and no story: they all follow from what began it.
    fn set_timer(&self, lane: Lane) -> Option<EventId> {
        let input = self.events_of(self.step_cause).find(|id| self.events[*id as usize - 1].lane == lane)?;
        let event = &self.events[input as usize - 1];
        if event.kind == Kind::Wake { event.causes.first().copied() } else { Some(input) }
    }

    /// What made the present step happen.
    fn before(&self) -> Option<EventId> {
        let range = self.events_of(self.step_cause);
        (range.start > 0 && !range.is_empty()).then_some(range.start)
    }

    /// Why a node's transport to a peer broke: a process ended, a fault, or a damaged message between the two.
    fn transport_broke(&self, node: NodeIndex, peer: NodeIndex) -> Option<EventId> {
        let event = |id: &EventId| &self.events[*id as usize - 1];
        let range = self.events_of(self.step_cause);
        let ended = range.clone().find(|id| matches!(event(id).kind, Kind::End | Kind::Fault));
        let ends = [node_lane(node), node_lane(peer)];
        let damaged = |id: &EventId| {
            let event = event(id);
            event.fate == Some(Fate::Lost)
                && ends.contains(&event.lane)
                && event.other.is_some_and(|other| ends.contains(&other))
        };
        ended.or_else(|| range.clone().find(damaged)).or_else(|| self.before())
    }

    fn happening(&mut self, id: u64, cause: u64, what: Happening<'_>) {
        self.step = id;
        self.step_cause = cause;
        let next = self.next();
        // A step that nothing was told of has no events.
        while self.step_starts.len() as u64 <= id {
            self.step_starts.push(next);
        }
        if let Happening::Event(Planned::Arrive { from, to, message }) = what
            && self.states[*to].role == Role::Down
        {
            let range = self.events_of(cause);
            if let Some(send) = self.causes.sender(*from, *to, message, &range, false) {
                self.events[send as usize - 1].fate.get_or_insert(Fate::Missed);
            }
        }
    }

    fn unlucky(&mut self, from: NodeIndex, to: NodeIndex, message: &PeerMessage, fate: Fate) {
        let range = self.events_of(self.step);
        let lost = fate == Fate::Lost;
        if let Some(send) = self.causes.sender(from, to, message, &range, lost) {
            self.events[send as usize - 1].fate = Some(fate);
        }
    }

    fn told_on(&self, conn: ConnId, mut told: Told) -> Told {
        if let Some(session) = self.sessions.get(&conn) {
            told.session(*session);
        }
        told
    }

    fn begin(&mut self, at: Time, schedule: &Schedule) {
        *self = Recorder {
            spans: Spans::new(schedule.nodes, schedule.chaos),
            states: vec![State::DOWN; schedule.nodes],
            inputs: vec![None; schedule.nodes],
            step_starts: vec![1],
            ..Recorder::default()
        };
        let text = format!(
            "{}, {}, {} in {} ms",
            counted(schedule.nodes, "node"),
            counted(schedule.clients.len(), "client"),
            counted(schedule.faults.len(), "fault"),
            schedule.chaos / MS
        );
        self.add(at, draft(Lane::World, Kind::Begin, Told::plain(text)));
    }

    fn boot(&mut self, at: Time, node: NodeIndex, recovery: &vivarium_core::recovery::Recovery) {
        let recovered = &recovery.recovered;
        let mut told = Told::plain(format!(
            "starts: promised {:?}, {}, {} entries{}",
            recovered.promised,
            recovered
                .snapshot
                .as_ref()
                .map_or("no snapshot".into(), |(zxid, _)| format!("snapshot {zxid:?}")),
            recovered.entries.len(),
            recovered.entries.last().map_or(String::new(), |entry| format!(" to {:?}", entry.zxid)),
        ));
        told.zxids = recovered.entries.last().map(|entry| (entry.zxid.0, entry.zxid.0));
        let cause = self.causes.boot(node).or_else(|| self.before());
        self.add(at, draft(node_lane(node), Kind::Boot, told).after(cause));
        self.spans.booted(at, node);
    }

    fn end(&mut self, at: Time, node: NodeIndex) {
        let id = self.next();
        let cause = self.causes.end(node, id);
        let end = draft(node_lane(node), Kind::End, Told::plain("the process ends")).after(cause);
        self.add(at, end);
        self.spans.ended(at, id, node);
        self.inputs[node] = None;
        self.state(id, node, State::DOWN);
    }

    /// Notes a node's state where it differs from the one before.
    fn state(&mut self, event: EventId, node: NodeIndex, state: State) {
        if self.states[node] != state {
            self.states[node] = state;
            self.events[event as usize - 1].after = Some(state);
        }
    }

    fn input(&mut self, at: Time, node: NodeIndex, input: &Input) {
        let lane = node_lane(node);
        let id = self.next();
        let draft = match input {
            Input::Peer { from, message } => {
                let from = node_index(*from);
                let range = self.events_of(self.step_cause);
                let sent = self.causes.receive(from, node, message, &range);
                let mut told = words::message(message);
                if sent.is_some_and(|(_, again)| again) {
                    told.text.push_str(" (again)");
                }
                draft(lane, Kind::Receive, told).with(node_lane(from)).after(sent.map(|(send, _)| send))
            }
            Input::PeerGone { peer } => {
                let peer = node_index(*peer);
                let told = Told::plain(format!("transport to n{} broke", peer + 1));
                let cause = self.transport_broke(node, peer);
                draft(lane, Kind::PeerGone, told).with(node_lane(peer)).after(cause)
            }
            Input::Open { conn, hello, .. } => {
                let cause = self.causes.opened(*conn);
                draft(lane, Kind::Open, words::hello(hello)).after(cause)
            }
            Input::Request { conn, request } => {
                let cause = self.causes.requested(*conn, request.xid, id);
                let told = self.told_on(*conn, words::request(request));
                draft(lane, Kind::Request, told).after(cause)
            }
            Input::Gone { conn } => {
                let told = self.told_on(*conn, Told::plain(format!("connection {} is gone", conn.0)));
                draft(lane, Kind::Gone, told).after(self.causes.gone(*conn))
            }
            Input::Synced { lane: disk, upto } => {
                let told = Told::plain(format!("{disk:?} lane is durable up to {upto:?}"));
                let cause = self.causes.synced(node, *disk, *upto);
                draft(lane, Kind::Synced, told).with(disk_lane(node)).after(cause)
            }
            Input::Wake
                if self.events.last().is_some_and(|last| last.kind == Kind::Boot && last.lane == lane) =>
            {
                draft(lane, Kind::Wake, Told::plain("begins")).after(self.events.last().map(|boot| boot.id))
            }
            Input::Wake => draft(lane, Kind::Wake, Told::plain("wakes")).after(self.set_timer(lane)),
            Input::Retire => {
                let cause = self.events.last().map(|event| event.id);
                draft(lane, Kind::Retire, Told::plain("is asked to end")).after(cause)
            }
            #[allow(unreachable_patterns, reason = "inputs that come to be are named by their Debug form")]
            other => draft(lane, Kind::Other, Told::of("input", other)),
        };
        let draft = match input {
            Input::Open { conn, .. } | Input::Request { conn, .. } | Input::Gone { conn } => {
                Draft { other: self.clients_of.get(conn).map(|client| Lane::Client(*client)), ..draft }
            }
            _ => draft,
        };
        self.add(at, draft);
        self.inputs[node] = Some(id);
    }

    fn output(&mut self, at: Time, node: NodeIndex, output: &Output) {
        let lane = node_lane(node);
        let id = self.next();
        let step = self.inputs[node];
        let client = |recorder: &Recorder, conn: &ConnId| {
            recorder.clients_of.get(conn).map(|client| Lane::Client(*client))
        };
        let draft = match output {
            Output::Send { to, message } => {
                let to = node_index(*to);
                self.causes.send(node, to, message, id);
                draft(lane, Kind::Send, words::message(message)).with(node_lane(to))
            }
            Output::Write { lane: disk, seq, write } => {
                self.causes.write(node, *disk, *seq, write, id);
                let told = words::write(write);
                if let Write::Append(entry) = write {
                    self.causes.entry(entry.zxid, &told.paths);
                }
                draft(lane, Kind::Write, told).with(disk_lane(node))
            }
            Output::Connected { conn, response } => {
                if response.session.0 != 0 {
                    self.sessions.insert(*conn, response.session.0);
                }
                self.causes.say(*conn, Down::Welcome, id);
                let welcome = draft(lane, Kind::Welcome, words::welcome(response));
                Draft { other: client(self, conn), ..welcome }
            }
            Output::Reply { conn, reply } => {
                let request = self.causes.say(*conn, Down::Reply(reply.xid), id);
                let told = self.told_on(*conn, words::reply(reply));
                let asked = request.and_then(|id| self.events.get(id as usize - 1));
                let rests_on = asked.map(|asked| self.causes.rests_on(node, reply.zxid, &asked.paths));
                let reply = draft(lane, Kind::Reply, told)
                    .and_after(request)
                    .and_after(rests_on.into_iter().flatten());
                Draft { other: client(self, conn), ..reply }
            }
            Output::Event { conn, event } => {
                self.causes.say(*conn, Down::Notification, id);
                let told = self.told_on(*conn, words::event(event));
                let rests_on = self.causes.rests_on(node, event.zxid, &[]);
                let notify = draft(lane, Kind::Notify, told).and_after(rests_on);
                Draft { other: client(self, conn), ..notify }
            }
            Output::Close { conn, why } => {
                self.causes.say(*conn, Down::Close, id);
                let text = format!("closes connection {}: {why:?}", conn.0);
                let told = self.told_on(*conn, Told::plain(text));
                Draft { other: client(self, conn), ..draft(lane, Kind::Close, told) }
            }
            Output::Note(note) => {
                let wrote = match note {
                    Note::Applied { zxid, .. } => {
                        self.causes.execute(node, *zxid, id);
                        self.causes.appended(node, *zxid)
                    }
                    _ => None,
                };
                draft(lane, Kind::Note, words::note(note)).and_after(wrote)
            }
            Output::Retired => {
                self.causes.ending(node, id);
                draft(lane, Kind::Retired, Told::plain("is ready to end"))
            }
            Output::Halt(fault) => {
                self.causes.ending(node, id);
                draft(lane, Kind::Halt, Told::of(format!("must not go on: {fault}"), fault))
            }
            #[allow(unreachable_patterns, reason = "outputs that come to be are named by their Debug form")]
            other => draft(lane, Kind::Other, Told::of("output", other)),
        };
        self.add(at, draft.after(step));
    }

    fn fault(&mut self, at: Time, kind: &FaultKind, node: Option<NodeIndex>) {
        let id = self.next();
        let hit = node.map_or(String::new(), |node| format!(" hits n{}", node + 1));
        let told = Told::of(format!("{}{hit}", fault_name(kind)), kind);
        let fault = draft(Lane::World, Kind::Fault, told);
        self.add(at, Draft { other: node.map(node_lane), ..fault });
        self.spans.fault(at, id, kind, node);
        match kind {
            FaultKind::CrashAll { .. } => {
                (0..self.states.len()).for_each(|node| self.causes.ending(node, id));
            }
            FaultKind::Crash { .. } | FaultKind::CrashInStep { .. } => {
                if let Some(node) = node {
                    self.causes.ending(node, id);
                }
            }
            FaultKind::CrashTogether { nodes, .. } => {
                let hit = (0..self.states.len()).filter(|node| nodes >> node & 1 == 1);
                hit.for_each(|node| self.causes.ending(node, id));
            }
            _ => {}
        }
    }

    /// What a client does at once after something follows from that.
    fn reaction(&self, at: Time, client: u32) -> Option<EventId> {
        let last = *self.client_last.get(&client)?;
        (self.events[last as usize - 1].at == at).then_some(last)
    }

    fn client(&mut self, at: Time, observation: &Observation<'_>) {
        let id = self.next();
        match observation {
            Observation::Connecting { client, conn, node, hello } => {
                let lane = client_lane(*client);
                let Lane::Client(number) = lane else { unreachable!("a client's lane") };
                self.clients_of.insert(*conn, number);
                self.causes.connect(*conn, *node, id);
                let before = self.reaction(at, number);
                let told = words::hello(hello);
                self.add(at, draft(lane, Kind::Connect, told).with(node_lane(*node)).after(before));
            }
            Observation::Sent { client, conn, request } => {
                let lane = client_lane(*client);
                let Lane::Client(number) = lane else { unreachable!("a client's lane") };
                self.causes.ask(*conn, request.xid, id);
                let told = self.told_on(*conn, words::request(request));
                let before = self.reaction(at, number);
                self.add(at, draft(lane, Kind::Ask, told).after(before));
            }
            Observation::Connected { client, conn, response } => {
                let cause = self.causes.hear(*conn, Down::Welcome);
                self.heard(at, *client, Kind::Connected, words::welcome(response), cause);
            }
            Observation::Received { client, conn, reply } => {
                let cause = self.causes.hear(*conn, Down::Reply(reply.xid));
                let told = self.told_on(*conn, words::reply(reply));
                self.heard(at, *client, Kind::Answer, told, cause);
            }
            Observation::Notified { client, conn, event } => {
                let cause = self.causes.hear(*conn, Down::Notification);
                let told = self.told_on(*conn, words::event(event));
                self.heard(at, *client, Kind::Notice, told, cause);
            }
            Observation::Lost { client, conn } => {
                let cause = self.causes.lost(*conn, id);
                let told = self.told_on(*conn, Told::plain(format!("connection {} ends", conn.0)));
                self.heard(at, *client, Kind::Lost, told, cause);
            }
            _ => {}
        }
    }

    fn heard(&mut self, at: Time, client: usize, kind: Kind, told: Told, cause: Option<EventId>) {
        let said_by = cause.and_then(|cause| self.events.get(cause as usize - 1)).map(|event| event.lane);
        let heard = draft(client_lane(client), kind, told).after(cause);
        self.add(at, Draft { other: said_by, ..heard });
    }
}

impl Observer for Recorder {
    fn observe(&mut self, at: Time, observation: &Observation<'_>) -> Result<(), Box<Violation>> {
        match observation {
            Observation::Started { schedule } => self.begin(at, schedule),
            Observation::Happening { id, cause, what } => self.happening(*id, *cause, *what),
            Observation::Unlucky { from, to, message, arrives, again } => {
                let fate = match (arrives, again) {
                    (None, None) => Fate::Lost,
                    (Some(_), Some(_)) => Fate::Doubled,
                    (Some(_), None) | (None, Some(_)) => Fate::Late,
                };
                self.unlucky(*from, *to, message, fate);
            }
            Observation::Booted { node, recovery } => self.boot(at, *node, recovery),
            Observation::Ended { node } => self.end(at, *node),
            Observation::Input { node, input, .. } => self.input(at, *node, input),
            Observation::Stepped { node, machine } => {
                if let Some(input) = self.inputs[*node] {
                    self.state(input, *node, state(machine));
                }
            }
            Observation::Output { node, output } => self.output(at, *node, output),
            Observation::Durable { node, write } => {
                let id = self.next();
                let cause = self.causes.durable(*node, write, id);
                let mut told = words::write(write);
                told.text.insert_str(0, "durable: ");
                self.add(at, draft(disk_lane(*node), Kind::Durable, told).after(cause));
            }
            Observation::Fault { kind, node } => self.fault(at, kind, *node),
            Observation::Connecting { .. }
            | Observation::Connected { .. }
            | Observation::Sent { .. }
            | Observation::Received { .. }
            | Observation::Notified { .. }
            | Observation::Lost { .. } => self.client(at, observation),
            Observation::Healed => {
                self.add(at, draft(Lane::World, Kind::Healed, Told::plain("all faults end")));
            }
            Observation::Finished { .. } => {
                self.add(at, draft(Lane::World, Kind::Rest, Told::plain("all are at rest and agree")));
            }
            #[allow(
                unreachable_patterns,
                reason = "observations that come to be and say nothing of a run's events"
            )]
            _ => {}
        }
        Ok(())
    }
}

fn disk_lane(node: NodeIndex) -> Lane {
    Lane::Disk(u8::try_from(node).expect("few servers"))
}

/// The name of a fault's kind: the first word of what it is.
fn fault_name(kind: &FaultKind) -> String {
    let whole = format!("{kind:?}");
    let name = whole.split([' ', '{', '(']).next().unwrap_or_default();
    // "CrashInStep" is "crash in step".
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

fn state(node: &Node) -> State {
    let status = node.status();
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    State {
        role: match status.role {
            NodeRole::Looking => Role::Looking,
            NodeRole::Following { leader, in_sync } => {
                Role::Following { leader: leader.0.saturating_sub(1), in_sync }
            }
            NodeRole::Leading { established } => Role::Leading { established },
        },
        epoch: status.epoch.0,
        last: status.last.0,
        committed: status.committed.0,
        applied: status.applied.0,
        sessions: small(status.session_count),
        znodes: u32::try_from(status.node_count).unwrap_or(u32::MAX),
        watches: small(status.watch_count),
        outstanding: small(status.outstanding),
    }
}
