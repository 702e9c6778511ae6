//! Checkers: observers that know what is right.
//!
//! All of them work as the run goes on, each in about constant time per event: the zxid in every reply says where in
//! the one history it belongs, so that nothing has to be searched. They see what goes in and out of nodes, disks and
//! clients, and believe none of them.
//!
//! What is checked, where, and the names of the properties that are broken when it is not so:
//!
//! | what | where | properties |
//! |---|---|---|
//! | an epoch has one leader and run of its process; it has all that is committed, in an epoch opened without an election too | `order` | `one-leader`, `leader-completeness` |
//! | what is executed was proposed; every node executes the same in the same order, without gaps, from the opening of each epoch; with the same state | `order` | `integrity`, `agreement`, `no-gaps`, `prefix-agreement`, `same-state` |
//! | what is executed, or said by a leader to be committed, is on a quorum's disks | `order` | `durable-on-quorum` |
//! | an epoch is promised to a log at least as new | `promises` | `promise-fits` |
//! | a leader, established or not, gives up when it hears no quorum; it listens to the stay that a follower named last, and fills its gaps once | `reign` | `quorum-heard`, `stay-named`, `few-copies` |
//! | pieces of a snapshot that come early are kept, and copies of them not answered; no snapshot is taken that is behind the follower's log | `transfers` | `pieces-kept`, `few-reports`, `snapshot-ahead` |
//! | promises rest on what is durable, at every send; an epoch promised to one is not broken by following or leading an older one, at every send | `disks` | `durable-first`, `promise-kept` |
//! | writes continue what was written; no cut and no reset drops what is committed | `disks` | `writes-fit`, `committed-stays` |
//! | a restart finds what was durable, entry by entry; a snapshot restores the state of its zxid | `disks`, here | `recovery`, `recovery-state` |
//! | a write, answered or not, is executed at most once, in its client's order, after it was asked, as it was asked | `clients`, `order` | `exactly-once` |
//! | a reply names the entry of its write and has the outcome that the model gives it, error codes and whole `Stat`s included; multi, sequential names, versions, ACLs, ephemerals come with that | `clients`, `model` | `writes`, `writes-linearizable` |
//! | a write that fails changes nothing, and one that succeeds does | `order` | `changes-as-told` |
//! | reads see the state of their zxid; a client never goes back, over whatever connection; requests are answered in their order; a sync sees all that anybody was told when it was asked | `clients` | `reads`, `integrity`, `monotonic`, `fifo`, `sync` |
//! | watches fire once, as the right kind, in the order of section 6.3, before any reply that knows of the change; setWatches catches up exactly | `watches` | `watch-once`, `watch-order`, `watch-before-data`, `watch-renewal` |
//! | sessions: confirmed by an executed entry, to one connection, with the right password and timeout; never made anew under an old id | `clients`, here | `session-ordered`, `session-unique`, `handshake` |
//! | a session that its leader hears is not expired, and a silent one is, by the leader's clock and without slack | `liveness` | `no-early-expiry`, `expiry-in-time` |
//! | a leader that was asked to end and is elected all the same hands over at once | `liveness` | `hand-over` |
//! | a follower tells its leader whom it has heard | `reports` | `clients-reported` |
//! | requests, watches and logs are bounded; elections and messages are, once all faults have ended | `bounds` | `bounded`, `few-elections`, `few-messages` |
//! | in the end every node holds what the model holds | `last_look` | `nothing-lost` |
//! | what clients saw can be explained at all, by an exhaustive search in a sample of the runs | `linear` | `linearizable` |
//!
//! That the ensemble serves again in time, that no run goes on for ever, that codecs lose nothing and that no node halts
//! is seen by the world itself (`progress`, `no-livelock`, `codec`, `no-halt`); that a seed runs twice the same, by the
//! hunt. Not checked, because the core does not have it: reconfiguration, observers, persistent watches, containers and
//! TTLs, quotas. Not checked, because nothing outside shows it: what waits inside a replica (every queue that a client can
//! fill shows in `bounded`).
//!
//! What they cost, in instructions, in a run of `harness speed`'s profile `three` until its faults end. All together 2.4
//! million, one in eleven of the run's; but a sixth to a fifth of its time, for they do little with much memory:
//!
//! | what is observed | times | each | share | who |
//! |---|---:|---:|---:|---|
//! | a step of a node | 4,870 | 70 | 14 % | `reports`, `liveness`, `bounds` |
//! | a message sent | 2,990 | 82 | 10 % | `disks`, `order` |
//! | a write to a disk, and that it is durable | 1,170 | 190 | 9 % | `order`, `disks` |
//! | an entry executed for the first time | 312 | 2,200 | 29 % | `model` 1,040, `clients` 580, `order` the rest |
//! | the same by other nodes | 800 | 45 | 1 % | `order` |
//! | a request sent | 553 | 480 | 11 % | `clients`: half of it for the number of its path |
//! | a request that arrives | 545 | 125 | 3 % | `bounds`, `reports`, `liveness` |
//! | a reply that comes | 530 | 540 | 12 % | `clients`, `watches`, `model` |
//! | a connection that opens and ends | 131 | 500 | 3 % | `clients` |
//! | a process that starts | 12 | 9,000 | 5 % | `disks`: every entry is compared with what was proposed |
//!
//! The beginning of a run costs 7,500, the last look 130,000 for a tree of forty nodes on three servers. `reign`,
//! `promises` and `transfers` are newer than these figures, and not in them.
//!
//! What has helped: nothing is looked up by a name or a long key twice (paths, ACLs and connections have small numbers);
//! nothing is allocated for an entry or a request (tables that grow, and are taken over by the next run); and each place
//! that observes something knows what it is, so that only what somebody checks there is called.

mod bounds;
mod clients;
mod disks;
mod last_look;
pub mod linear;
mod liveness;
pub mod model;
mod order;
mod promises;
mod reign;
mod reports;
mod table;
mod transfers;
mod watches;

use std::sync::Arc;

use vivarium_core::api::{ConnectResponse, Op};
use vivarium_core::entry::{Body, Command};
use vivarium_core::ids::{ConnId, Epoch, PeerId, Zxid};
use vivarium_core::io::{Input, Note, Output, Write};
use vivarium_core::recovery::Recovery;
use vivarium_core::replica::PeerMessage;
use vivarium_core::state::State;
use vivarium_core::time::Now;
use vivarium_sim::world::peer_id;
use vivarium_sim::{NodeIndex, Observation, Observer, Schedule, Time, Violation};

use bounds::Bounds;
use clients::Clients;
use disks::Disk;
use linear::{Recorder, Searches, Verdict};
use liveness::Liveness;
use model::Model;
use order::{History, Position};
use promises::Promises;
use reign::Reigns;
use transfers::Transfers;

/// All checkers, and what they share: the one history, and the model that executes it. A copy goes its own way from
/// there on, and is cheap.
#[derive(Clone, Debug, Default)]
pub struct Checkers {
    history: History,
    model: Model,
    nodes: Vec<Watched>,
    clients: Clients,
    liveness: Liveness,
    bounds: Bounds,
    promises: Promises,
    reigns: Reigns,
    transfers: Transfers,
    /// In a sample of the runs.
    recorder: Option<Arc<Recorder>>,
}

/// What is known of a node.
#[derive(Clone, Debug, Default)]
struct Watched {
    /// Which run of its process this is.
    life: u32,
    disk: Disk,
    position: Position,
    reports: reports::Reports,
    /// The epoch that it was elected for and is not established in yet.
    electing: Option<Epoch>,
    /// The snapshot that it was started from and has not been seen with yet.
    restored: Option<Zxid>,
}

type Checked = Result<(), Box<Violation>>;

/// A property is broken.
fn violation<T>(
    property: &'static str,
    meaning: &'static str,
    seen: String,
    expected: String,
) -> Result<T, Box<Violation>> {
    Err(Box::new(Violation { property, meaning, seen, expected }))
}

impl Checkers {
    /// Checkers that have seen nothing yet.
    pub fn new() -> Checkers {
        Checkers::default()
    }

    /// What became of the search for an order that explains what clients saw: of this run, once it has ended.
    pub fn searches(&self) -> Searches {
        match self.recorder.as_ref().and_then(|recorder| recorder.verdict()) {
            None => Searches::default(),
            Some(verdict) => Searches { runs: 1, undetermined: u64::from(*verdict == Verdict::Undetermined) },
        }
    }

    #[inline(always)]
    fn input(&mut self, node: NodeIndex, now: Now, input: &Input) -> Checked {
        let state = &mut self.nodes[node];
        state.reports.step_over(node)?;
        self.liveness.steps(node, now)?;
        self.reigns.steps(node, now);
        match input {
            Input::Peer { from, message } => {
                self.bounds.arrived(message);
                self.reigns.arrived(node, *from, message);
                self.transfers.arrived(node, *from, message);
                if let PeerMessage::Heard { epoch, sessions } = message {
                    self.liveness.reported(node, *epoch, sessions);
                }
            }
            Input::Wake => return self.liveness.woken(node, &self.model),
            Input::Open { conn, .. } => self.bounds.opened(node, *conn),
            Input::Request { conn, request } => self.requested(node, *conn, &request.op),
            Input::Gone { conn } => self.bounds.closed(node, *conn),
            Input::Retire => self.liveness.retires(node),
            Input::Synced { .. } | Input::PeerGone { .. } => {}
        }
        Ok(())
    }

    fn requested(&mut self, node: NodeIndex, conn: ConnId, op: &Op) {
        self.bounds.asked(node, conn, op);
        if let Some(session) = self.liveness.session(conn) {
            self.nodes[node].reports.heard(session);
            self.liveness.heard(node, session);
        }
    }

    #[inline(always)]
    fn output(&mut self, at: Time, node: NodeIndex, output: &Output) -> Checked {
        match output {
            Output::Send { to, message } => self.sent(at, node, *to, message),
            Output::Write { write, .. } => self.wrote(node, write),
            Output::Note(Note::Applied { zxid, digest }) => self.applied(node, *zxid, *digest),
            Output::Note(note) => self.note(at, node, note),
            Output::Connected { conn, response } => self.welcomed(node, *conn, response),
            Output::Reply { conn, .. } => {
                self.bounds.answered(node, *conn);
                Ok(())
            }
            Output::Close { conn, .. } => {
                self.bounds.closed(node, *conn);
                Ok(())
            }
            Output::Event { .. } | Output::Retired | Output::Halt(_) => Ok(()),
        }
    }

    fn welcomed(&mut self, node: NodeIndex, conn: ConnId, response: &ConnectResponse) -> Checked {
        self.liveness.welcomed(conn, response.session);
        self.clients.welcomed(conn, response, self.history.executed_at(self.nodes[node].position))
    }

    fn sent(&mut self, at: Time, node: NodeIndex, to: PeerId, message: &PeerMessage) -> Checked {
        self.bounds.sent(at, message)?;
        let state = &mut self.nodes[node];
        state.disk.said(peer_id(node), to, message)?;
        self.promises.said(peer_id(node), to, message)?;
        self.reigns.sent(node, to, message)?;
        self.transfers.sent(node, to, message, state.disk.written())?;
        match message {
            PeerMessage::Heartbeat { committed, .. }
            | PeerMessage::Propose { committed, .. }
            | PeerMessage::Commit { upto: committed, .. } => {
                self.history.claims(*committed, self.nodes.iter().map(|node| &node.disk))?;
            }
            PeerMessage::Alive { .. } => state.reports.answers(),
            PeerMessage::Heard { sessions, .. } => state.reports.reports(sessions),
            _ => {}
        }
        Ok(())
    }

    fn wrote(&mut self, node: NodeIndex, write: &Write) -> Checked {
        let state = &mut self.nodes[node];
        let peer = peer_id(node);
        if let Write::Append(entry) = write
            && self.history.append(peer, state.life, entry)?
        {
            self.bounds.proposed();
            match &entry.body {
                Body::Opening => {
                    self.history.complete(peer, entry.zxid.epoch(), state.disk.written())?;
                    self.liveness.opened(node);
                }
                Body::Command(Command::Expire { session, owner }) => {
                    self.liveness.expiry_proposed(node, *session, *owner, &self.model)?;
                }
                Body::Command(_) => {}
            }
        }
        state.disk.write(peer, write, &self.history)
    }

    fn note(&mut self, at: Time, node: NodeIndex, note: &Note) -> Checked {
        let state = &mut self.nodes[node];
        let peer = peer_id(node);
        self.reigns.note(node, note);
        self.transfers.note(node, note);
        match note {
            Note::Elected { epoch, .. } => {
                self.bounds.elected(at)?;
                state.electing = Some(*epoch);
                self.history.leads(peer, state.life, *epoch)?;
                self.history.complete(peer, *epoch, state.disk.written())
            }
            Note::Established { epoch, .. } => {
                state.reports.stays(true);
                state.electing = None;
                self.liveness.established(node, *epoch);
                self.history.established(*epoch);
                self.history.leads(peer, state.life, *epoch)
            }
            Note::Rolling { .. } => {
                self.liveness.rolling(node);
                Ok(())
            }
            Note::Looking { .. } => {
                state.reports.stays(false);
                state.electing = None;
                self.liveness.resigned(node);
                Ok(())
            }
            Note::Following { .. } | Note::InSync { .. } => {
                state.reports.stays(false);
                Ok(())
            }
            Note::SnapshotInstalled { zxid } => match self.history.position(*zxid) {
                Some(position) => {
                    state.position = position;
                    Ok(())
                }
                None => violation(
                    "prefix-agreement",
                    "all nodes execute the same entries in the same order",
                    format!("node {peer} installs a snapshot at {zxid:?}"),
                    "a snapshot of a state that some node has had".into(),
                ),
            },
            _ => Ok(()),
        }
    }

    fn applied(&mut self, node: NodeIndex, zxid: Zxid, digest: u64) -> Checked {
        let peer = peer_id(node);
        let position = self.nodes[node].position;
        self.nodes[node].position += 1;
        if let Some(entry) = self.history.executes(peer, position, zxid, digest)? {
            if self.nodes[node].electing.is_some_and(|opens| zxid.epoch() < opens) {
                return violation(
                    "opening-commits-first",
                    "a leader commits what earlier ones left behind only with the opening of its own epoch, for copies \
                     of an older epoch may yet be cut off, however many there are (Raft, section 5.4.2)",
                    format!(
                        "node {peer} executes {zxid:?} before anybody else, and leads without being established"
                    ),
                    "its epoch's opening to be committed before".into(),
                );
            }
            let (asked, path) = self.clients.executed(&entry, &self.model)?;
            if let Body::Command(Command::CreateSession { session, .. }) = entry.body
                && self.model.knew(session)
                && self.model.session(session).is_none()
            {
                return violation(
                    "session-unique",
                    "the id of a session that has ended is never used again",
                    format!("{entry:?}"),
                    "an id that no session has had".into(),
                );
            }
            let told = self.model.execute(&entry, path);
            let disks = self.nodes.iter().map(|node| &node.disk);
            self.history.extend(entry, digest, told, asked, &self.model, disks)?;
        }
        if self.liveness.keeps_time(node)
            && let Some(record) = self.history.executed_at(position + 1)
            && let Body::Command(Command::CreateSession { session, .. } | Command::Attach { session, .. }) =
                record.entry.body
            && record.told.is_ok()
        {
            self.liveness.heard(node, session);
        }
        Ok(())
    }

    fn booted(&mut self, node: NodeIndex, recovery: &Recovery) -> Checked {
        let state = &mut self.nodes[node];
        let peer = peer_id(node);
        state.disk.booted(peer, recovery, &self.history)?;
        state.restored = recovery.recovered.snapshot.as_ref().map(|(zxid, _)| *zxid);
        let found = state.restored.unwrap_or(Zxid::ZERO);
        match self.history.position(found) {
            Some(position) => {
                state.position = position;
                Ok(())
            }
            None => violation(
                "prefix-agreement",
                "all nodes execute the same entries in the same order",
                format!("node {peer} starts from a snapshot at {found:?}"),
                "a snapshot of a state that some node has had".into(),
            ),
        }
    }

    /// A process has been started from a snapshot, and this is what it made of it.
    #[cold]
    fn restored(&mut self, node: NodeIndex, zxid: Zxid, state: &State) -> Checked {
        // One that has gone on says so at once, with the digest that it has then.
        let expected = self.history.executed_at(self.nodes[node].position).map(|record| record.digest);
        if state.applied() != zxid || Some(state.digest()) == expected {
            return Ok(());
        }
        violation(
            "recovery-state",
            "a snapshot restores the state that nodes had at its zxid",
            format!(
                "node {} starts from a snapshot at {zxid:?}, digest {:016x}",
                peer_id(node),
                state.digest()
            ),
            format!("digest {expected:016x?}"),
        )
    }
}

impl Observer for Checkers {
    // What is observed is known where it is observed: each of those places then has this for the price of what it calls
    // here, and what nobody here looks at, half of all, costs nothing.
    #[inline(always)]
    fn observe(&mut self, at: Time, observation: &Observation<'_>) -> Checked {
        match observation {
            Observation::Happening { .. } | Observation::Unlucky { .. } | Observation::Fault { .. } => Ok(()),
            Observation::Input { node, now, input } => self.input(*node, *now, input),
            Observation::Stepped { node, machine } => {
                if let Some(zxid) = self.nodes[*node].restored.take() {
                    self.restored(*node, zxid, machine.state())?;
                }
                self.bounds.stepped(*node, machine)
            }
            Observation::Output { node, output } => self.output(at, *node, output),
            Observation::Durable { node, write } => {
                self.nodes[*node].disk.synced(write);
                Ok(())
            }
            observation => self.others(at, observation),
        }
    }
}

impl Checkers {
    /// What happens to clients, and what happens rarely.
    #[inline(never)]
    fn others(&mut self, at: Time, observation: &Observation<'_>) -> Checked {
        if let Some(recorder) = &mut self.recorder
            && Recorder::cares(observation)
        {
            Arc::make_mut(recorder).observe(at, observation)?;
        }
        match observation {
            Observation::Started { schedule } => {
                self.begin(schedule);
                Ok(())
            }
            Observation::Booted { node, recovery } => self.booted(*node, recovery),
            Observation::Ended { node } => {
                let state = &mut self.nodes[*node];
                state.life += 1;
                state.reports.ended();
                state.electing = None;
                state.restored = None;
                self.liveness.ended(*node);
                self.bounds.ended(*node);
                self.reigns.ended(*node);
                self.transfers.ended(*node);
                Ok(())
            }
            Observation::Rotten { node } => {
                self.nodes[*node].disk.damaged();
                Ok(())
            }
            Observation::Wiped { node } => {
                self.nodes[*node].disk.wiped();
                Ok(())
            }
            Observation::Connecting { client, conn, hello, .. } => {
                self.clients.connecting(*client, *conn, hello);
                Ok(())
            }
            Observation::Connected { conn, response, .. } => {
                self.clients.connected(*conn, response, &self.model)
            }
            Observation::Sent { conn, request, .. } => {
                self.clients.sent(*conn, request, &mut self.model);
                Ok(())
            }
            Observation::Received { conn, reply, .. } => {
                self.clients.received(*conn, reply, &mut self.history, &mut self.model)
            }
            Observation::Notified { conn, event, .. } => self.clients.notified(*conn, event, &mut self.model),
            Observation::Lost { conn, .. } => {
                self.clients.lost(*conn);
                Ok(())
            }
            Observation::Healed => {
                self.bounds.healed(at);
                Ok(())
            }
            Observation::Finished { nodes } => last_look::look(nodes, &self.history, &self.model),
            Observation::Refused { .. } => Ok(()),
            Observation::Input { .. }
            | Observation::Stepped { .. }
            | Observation::Output { .. }
            | Observation::Durable { .. }
            | Observation::Happening { .. }
            | Observation::Unlucky { .. }
            | Observation::Fault { .. } => unreachable!("observed above"),
        }
    }

    /// Forgets the last run.
    fn begin(&mut self, schedule: &Schedule) {
        self.history.clear();
        self.model.clear();
        self.nodes.clear();
        self.nodes.resize_with(schedule.nodes, Watched::default);
        self.clients.begin(schedule);
        self.liveness.begin(schedule);
        self.bounds.begin(schedule);
        self.promises = Promises::default();
        self.reigns.begin(schedule);
        self.transfers.begin(schedule);
        self.recorder = Recorder::sample(schedule.seed);
    }
}

#[cfg(test)]
mod tests;
