//! One run: nodes, their disks and clocks, the network between them, clients, and what goes wrong.
//!
//! The world jumps from event to event. It keeps the driver's contract of `vivarium_core::io` and uses all the freedom
//! that it leaves: outputs of a step are carried out in any order between kinds, a crash comes between any two of them,
//! wakes come late, syncs are told late. A run has two halves: first everything breaks; then all faults end, and the
//! world demands that everybody is served again within bounds.

mod codec;
mod converge;
mod faults;
mod links;
pub use links::address;
mod slot;
mod step;
mod syncs;

use std::sync::Arc;

use vivarium_core::Node;
use vivarium_core::api::Reply;
use vivarium_core::ids::{ConnId, PeerId};
use vivarium_core::io::{Input, Output, Outputs};

use crate::choice::{Act, Choice, Listed, What};
use crate::client::{Action, Chosen, Client, Script};
use crate::decision::{Decisions, Kind};
use crate::fold::Fold;
use crate::network::Network;
use crate::observe::{Happening, Observation, Observer, Violation};
use crate::queue::{Event, Mend, Queue};
use crate::schedule::{Blow, Choices, ClientPlan, Moment, Schedule};
use crate::{ClientIndex, EventId, NodeIndex, Time};
use slot::Slot;

/// Memory that one run leaves to the next.
#[derive(Clone, Debug)]
pub struct Memory {
    decisions: Decisions,
    queue: Queue,
    out: Outputs,
    spare: Vec<Output>,
    actions: Vec<Action>,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            decisions: Decisions::new(0),
            queue: Queue::default(),
            out: Outputs::default(),
            spare: Vec::new(),
            actions: Vec::new(),
        }
    }
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Every property held.
    Clean,
    /// One did not.
    Broken(Box<Violation>),
}

/// What there is to say about a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// How it ended.
    pub verdict: Verdict,
    /// When, in simulated time.
    pub at: Time,
    /// How many events there were.
    pub events: u64,
    /// The running hash of all outputs.
    pub hash: u64,
}

/// What any handler may come to: the run ends at the first violation.
type Checked = Result<(), Box<Violation>>;

/// One run in progress. A clone of it goes on as the original would, until something is told to one of them only.
#[derive(Clone, Debug)]
pub struct World<O> {
    schedule: Arc<Schedule>,
    observer: O,
    memory: Memory,
    listed: Option<Listed>,
    recorded: Option<Vec<Choice>>,
    now: Time,
    slots: Vec<Slot>,
    network: Network,
    clients: Vec<Client>,
    client_wakes: Vec<(Time, EventId)>,
    /// No node and no client is woken before this; perhaps not then either. Nine of ten events come before it, and need
    /// no look at all the wakes.
    no_wake_before: Time,
    client_conns: Vec<Option<ConnId>>,
    conns: Vec<links::Conn>,
    /// Some server may have packets that it has not read, because too much was proposed and not committed.
    unread: bool,
    /// What befalls the next process to come to a moment, and for how long.
    ambushes: Vec<(Moment, Blow, Time)>,
    /// A reply that sabotage holds back.
    held: Option<(ConnId, Reply)>,
    /// Servers that stay cut off for a while when the faults end.
    held_back: u8,
    healing: Option<converge::Healing>,
    verdict: Option<Verdict>,
    /// No planned fault happens any more.
    spared: bool,
    fold: Fold,
    events: EventId,
}

impl<O: Observer> World<O> {
    /// A world in which nothing has happened yet.
    pub fn new(schedule: Arc<Schedule>, observer: O, mut memory: Memory) -> World<O> {
        memory.decisions.reset(schedule.seed, schedule.even);
        memory.queue.clear();
        memory.out.list.clear();
        memory.spare.clear();
        memory.actions.clear();
        let listed = match &schedule.choices {
            Choices::Drawn => None,
            Choices::Listed(choices) => Some(Listed::new(choices)),
        };
        let clients: Vec<Client> =
            schedule.clients.iter().enumerate().map(|(index, plan)| client(&schedule, index, plan)).collect();
        World {
            observer,
            memory,
            listed,
            recorded: None,
            now: 0,
            slots: Vec::new(),
            network: Network::new(schedule.network),
            client_wakes: clients.iter().map(|client| (client.deadline(), 0)).collect(),
            no_wake_before: 0,
            client_conns: vec![None; clients.len()],
            clients,
            conns: Vec::new(),
            unread: false,
            ambushes: Vec::new(),
            held: None,
            held_back: 0,
            healing: None,
            verdict: None,
            spared: false,
            fold: Fold::default(),
            events: 0,
            schedule,
        }
    }

    /// From now on takes note of the choices that are made.
    pub fn recording(&mut self) {
        self.recorded = Some(Vec::new());
    }

    /// The choices that were made since [`World::recording`], by time.
    pub fn recorded(&self) -> &[Choice] {
        self.recorded.as_deref().unwrap_or_default()
    }

    /// The schedule it follows.
    pub fn schedule(&self) -> &Arc<Schedule> {
        &self.schedule
    }

    /// Who watches.
    pub fn observer(&self) -> &O {
        &self.observer
    }

    /// What happened last, and when; 0 before anything has.
    pub fn present(&self) -> (EventId, Time) {
        (self.events, self.now)
    }

    /// The process that runs on a machine, if one does.
    pub fn node(&self, node: NodeIndex) -> Option<&Node> {
        self.slots.get(node)?.node.as_ref()
    }

    /// What a machine's clocks show.
    pub fn clock(&self, node: NodeIndex) -> Option<vivarium_core::time::Now> {
        Some(self.slots.get(node)?.clock.now(self.now))
    }

    /// From now on what is not listed is decided by another seed: the same past, another future.
    pub fn reseed(&mut self, seed: u64) {
        self.memory.decisions.reset(seed, self.schedule.even);
    }

    /// From now on nothing goes wrong by plan, and clients ask what they like: the same past, and one of the futures
    /// that it may have had. What is listed or planned after now is forgotten; weather is another seed's, never even.
    pub fn another_future(&mut self, seed: u64) {
        self.memory.decisions.reset(seed, false);
        self.listed = None;
        self.spared = true;
        self.clients.iter_mut().for_each(Client::improvise);
        for (wake, client) in self.client_wakes.iter_mut().zip(&self.clients) {
            wake.0 = client.deadline().max(self.now);
        }
    }

    /// Runs to the end, or to the first property that is broken.
    pub fn run(&mut self) -> Report {
        while self.advance() {}
        self.report()
    }

    /// Lets the next thing happen. Whether there was one.
    pub fn advance(&mut self) -> bool {
        if self.verdict.is_some() {
            return false;
        }
        if let Err(violation) = self.next_event() {
            self.verdict = Some(Verdict::Broken(violation));
        }
        true
    }

    /// What there is to say about the run so far.
    pub fn report(&self) -> Report {
        Report {
            verdict: self.verdict.clone().unwrap_or(Verdict::Clean),
            at: self.now,
            events: self.events,
            hash: self.fold.value(),
        }
    }

    /// Ends it here and leaves its memory and its observer to others.
    pub fn into_parts(self) -> (Memory, O) {
        (self.memory, self.observer)
    }

    fn next_event(&mut self) -> Checked {
        if self.events == 0 && self.slots.is_empty() {
            return self.begin();
        }
        let Some((at, who)) = self.next() else {
            return Err(stall("nothing will ever happen again".into()));
        };
        assert!(at >= self.now, "time goes on");
        self.now = at;
        self.events += 1;
        self.memory.queue.during(self.events);
        if self.events > self.schedule.events_max {
            return Err(stall(format!("{} events by {} ms", self.events, at / crate::MS)));
        }
        if self.memory.queue.len() > WAITING_MAX {
            let waiting = self.memory.queue.len();
            return Err(stall(format!("{waiting} events are still to come at {} ms", at / crate::MS)));
        }
        match who {
            Next::Event => {
                // Looked at where it waits, and moved once.
                let (cause, event) = self.memory.queue.first().expect("it was there a moment ago");
                let what = Happening::Event(event);
                let id = self.events;
                self.observer.observe(self.now, &Observation::Happening { id, cause, what })?;
                let paused_until = self.paused_until(event);
                let (_, _, event) = self.memory.queue.pop().expect("it was there a moment ago");
                match paused_until {
                    Some(until) => {
                        // It is the same event still, and keeps its cause.
                        self.memory.queue.during(cause);
                        self.memory.queue.push(until, event);
                    }
                    None => self.happen(event)?,
                }
            }
            Next::Node(node) => {
                self.happening(self.slots[node].wake_cause, Happening::Node(node))?;
                self.step(node, Input::Wake)?;
            }
            Next::Client(client) => {
                self.happening(self.client_wakes[client].1, Happening::Client(client))?;
                self.wake_client(client)?;
            }
        }
        if self.unread { self.read_on() } else { Ok(()) }
    }

    fn happening(&mut self, cause: EventId, what: Happening<'_>) -> Checked {
        let id = self.events;
        self.observer.observe(self.now, &Observation::Happening { id, cause, what })
    }

    fn begin(&mut self) -> Checked {
        let schedule = self.schedule.clone();
        self.observe(&Observation::Started { schedule: &schedule })?;
        for node in 0..self.schedule.nodes {
            let slot = Slot::new(&schedule, node, &mut self.memory.decisions);
            self.slots.push(slot);
            let at = self.memory.decisions.draw(Kind::Boot, node, 0).below(20 * crate::MS);
            self.memory.queue.push(at, Event::Restart { node, life: 0 });
        }
        for (index, fault) in self.schedule.faults.iter().enumerate() {
            self.memory.queue.push(fault.at, Event::Fault { index });
        }
        self.memory.queue.push(self.schedule.chaos, Event::Heal);
        Ok(())
    }

    /// What comes next, and when. Among equal times: planned events, nodes, clients, in this order.
    fn next(&mut self) -> Option<(Time, Next)> {
        let planned = self.memory.queue.next_at().unwrap_or(Time::MAX);
        if planned <= self.no_wake_before && planned != Time::MAX {
            return Some((planned.max(self.now), Next::Event));
        }
        let (mut best, mut soonest) = ((planned, Next::Event), Time::MAX);
        for (node, slot) in self.slots.iter().enumerate() {
            soonest = soonest.min(slot.wake_at);
            if slot.wake_at < best.0 {
                best = (slot.wake_at, Next::Node(node));
            }
        }
        for (client, (at, _)) in self.client_wakes.iter().enumerate() {
            soonest = soonest.min(*at);
            if *at < best.0 {
                best = (*at, Next::Client(client));
            }
        }
        self.no_wake_before = soonest;
        (best.0 != Time::MAX).then_some((best.0.max(self.now), best.1))
    }

    #[inline(always)]
    fn happen(&mut self, event: Event) -> Checked {
        match event {
            Event::Arrive { from, to, message } => {
                let from = peer_id(from);
                self.step(to, Input::Peer { from, message })
            }
            Event::PeerGone { node, peer } => self.step(node, Input::PeerGone { peer: peer_id(peer) }),
            Event::Durable { node, life, lane, upto } => self.durable(node, life, lane, upto),
            Event::Synced { node, life, lane, upto } => {
                if self.slots[node].life != life {
                    return Ok(());
                }
                self.step(node, Input::Synced { lane, upto })
            }
            Event::ToServer { conn, packet } => self.arrive_at_server(conn, packet),
            Event::ToClient { conn, packet } => self.arrive_at_client(conn, packet),
            Event::Fault { .. } if self.spared => Ok(()),
            Event::Fault { index } => self.fault(index),
            Event::Mend { what } => {
                self.mend(what);
                Ok(())
            }
            Event::Restart { node, life } => self.restart(node, life),
            Event::Heal => self.heal(),
            Event::Poll => self.poll(),
        }
    }

    /// What is meant for a paused process waits for it to run on, in order, but for a stall's senders: until when.
    fn paused_until(&self, event: &Event) -> Option<Time> {
        // From clients, from another server, or from its own disk.
        let (node, sender) = match event {
            Event::Arrive { to: node, from: peer, .. } | Event::PeerGone { node, peer } => (*node, *peer + 1),
            Event::Synced { node, .. } => (*node, *node + 1),
            Event::ToServer { conn, .. } => (self.conns[links::place(*conn)].node, 0),
            Event::Durable { .. }
            | Event::ToClient { .. }
            | Event::Fault { .. }
            | Event::Mend { .. }
            | Event::Restart { .. }
            | Event::Heal
            | Event::Poll => return None,
        };
        let slot = &self.slots[node];
        let until = slot.paused_until + slot.reads_later[sender];
        (until > self.now).then_some(until)
    }

    fn wake_client(&mut self, client: ClientIndex) -> Checked {
        let Memory { decisions, actions, .. } = &mut self.memory;
        let chosen = self.clients[client].wake(self.now, decisions, actions);
        if self.recorded.is_some() {
            let act = match (chosen, self.memory.actions.last()) {
                (Chosen::Did(act), _) => Some(act),
                (Chosen::Asked, Some(Action::Send(request))) => Some(Act::Ask(request.op.clone())),
                (Chosen::Asked | Chosen::Nothing, _) => None,
            };
            if let Some(act) = act {
                self.record(|| What::Client { client, act });
            }
        }
        self.act(client)
    }

    /// Takes note of a choice, where somebody wants that.
    fn record(&mut self, what: impl FnOnce() -> What) {
        let at = self.now;
        if let Some(recorded) = &mut self.recorded {
            recorded.push(Choice { at, what: what() });
        }
    }

    fn mend(&mut self, what: Mend) {
        match what {
            Mend::Cut { links } => self.network.mend(links),
            Mend::Flap { links, length, times } => self.flap(links, length, times),
            Mend::Stagger { node, until } => {
                self.cut(|from, to| to == node || from == node, until.saturating_sub(self.now));
            }
            Mend::SlowLink { from, to } => self.network.slow(from, to, 0),
            Mend::SlowDisk { node } => self.slots[node].sync_extra = 0,
            Mend::Pause { node } => {
                let slot = &mut self.slots[node];
                slot.wake_at = slot.wake_at.max(self.now);
            }
        }
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Checked {
        self.observer.observe(self.now, observation)
    }

    fn nodes(&self) -> Vec<&Node> {
        self.slots.iter().filter_map(|slot| slot.node.as_ref()).collect()
    }
}

fn client(schedule: &Schedule, index: ClientIndex, plan: &ClientPlan) -> Client {
    let plan = plan.clone();
    match &schedule.choices {
        Choices::Drawn => Client::new(index, plan, schedule.nodes),
        Choices::Listed(choices) => {
            let acts = choices.iter().filter_map(|choice| match &choice.what {
                What::Client { client, act } if *client == index => Some((choice.at, act.clone())),
                _ => None,
            });
            Client::scripted(index, plan, schedule.nodes, Script::new(acts))
        }
    }
}

enum Next {
    Event,
    Node(NodeIndex),
    Client(ClientIndex),
}

/// More events than this are never on their way in a healthy run, by far: messages make more messages.
const WAITING_MAX: usize = 20_000;

/// The name of the node in a slot.
pub fn peer_id(node: NodeIndex) -> PeerId {
    PeerId(u8::try_from(node + 1).expect("few servers"))
}

/// The slot of a node by its name.
pub fn node_index(peer: PeerId) -> NodeIndex {
    usize::from(peer.0) - 1
}

fn stall(seen: String) -> Box<Violation> {
    Box::new(Violation {
        property: "no-livelock",
        meaning: "a run ends after a bounded number of events",
        seen,
        expected: "all nodes and clients at rest before that".into(),
    })
}
