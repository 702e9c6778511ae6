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
//! | a follower tells its leader whom it has heard | `reports` | `clients-reported` |
//! | requests, watches and logs are bounded; elections and messages are, once all faults have ended | `bounds` | `bounded`, `few-elections`, `few-messages` |
//! | in the end every node holds what the model holds | `last_look` | `nothing-lost` |
//! | what clients saw can be explained at all, by an exhaustive search in a sample of the runs | `linear` | `linearizable` |
//!
//! That the ensemble serves again in time, that no run goes on for ever, that codecs lose nothing and that no node halts
//! is seen by the world itself (`progress`, `no-livelock`, `codec`, `no-halt`); that a seed runs twice the same, by the
//! hunt. Not checked, because the core does not have it: reconfiguration, observers, persistent watches, containers and
//! TTLs, quotas. Not checked, because nothing outside shows it: how often pieces of a snapshot are sent (they count for
//! `progress`), and what waits inside a replica (every queue that a client can fill shows in `bounded`).

mod bounds;
mod clients;
mod disks;
mod last_look;
pub mod linear;
mod liveness;
pub mod model;
mod order;
mod reports;
mod table;
mod watches;

use std::sync::Arc;

use vivarium_core::entry::{Body, Command};
use vivarium_core::ids::{Epoch, PeerId, Zxid};
use vivarium_core::io::{Note, Output, Write};
use vivarium_core::recovery::Recovery;
use vivarium_core::replica::PeerMessage;
use vivarium_core::state::State;
use vivarium_sim::world::peer_id;
use vivarium_sim::{NodeIndex, Observation, Observer, Time, Violation};

use bounds::Bounds;
use clients::Clients;
use disks::Disk;
use linear::{Recorder, Searches, Verdict};
use liveness::Liveness;
use model::Model;
use order::{History, Position};

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

    fn output(&mut self, node: NodeIndex, output: &Output) -> Checked {
        let peer = peer_id(node);
        match output {
            Output::Send { to, message } => self.sent(node, peer, *to, message),
            Output::Write { write, .. } => {
                let state = &mut self.nodes[node];
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
            Output::Note(note) => self.note(node, peer, note),
            Output::Connected { conn, response } => {
                self.liveness.welcomed(*conn, response.session);
                self.clients.welcomed(*conn, response, self.history.executed_at(self.nodes[node].position))
            }
            Output::Reply { .. }
            | Output::Event { .. }
            | Output::Close { .. }
            | Output::Retired
            | Output::Halt(_) => Ok(()),
        }
    }

    fn sent(&mut self, node: NodeIndex, peer: PeerId, to: PeerId, message: &PeerMessage) -> Checked {
        self.nodes[node].disk.said(peer, to, message)?;
        match message {
            PeerMessage::Heartbeat { committed, .. }
            | PeerMessage::Propose { committed, .. }
            | PeerMessage::Commit { upto: committed, .. } => {
                self.history.claims(*committed, self.nodes.iter().map(|node| &node.disk))
            }
            _ => Ok(()),
        }
    }

    fn note(&mut self, node: NodeIndex, peer: PeerId, note: &Note) -> Checked {
        let state = &mut self.nodes[node];
        match note {
            Note::Elected { epoch, .. } => {
                state.electing = Some(*epoch);
                self.history.leads(peer, state.life, *epoch)?;
                self.history.complete(peer, *epoch, state.disk.written())
            }
            Note::Established { epoch, .. } => {
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
                state.electing = None;
                self.liveness.resigned(node);
                Ok(())
            }
            Note::Applied { zxid, digest } => self.applied(node, peer, *zxid, *digest),
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

    fn applied(&mut self, node: NodeIndex, peer: PeerId, zxid: Zxid, digest: u64) -> Checked {
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
            let asked = self.clients.executed(&entry)?;
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
            let outcome = (self.model.execute(&entry), self.model.changed());
            let disks = self.nodes.iter().map(|node| &node.disk);
            self.history.extend(entry, digest, outcome, asked, disks)?;
        }
        if self.liveness.keeps_time(node)
            && let Some(record) = self.history.executed_at(position + 1)
            && let Body::Command(Command::CreateSession { session, .. } | Command::Attach { session, .. }) =
                record.entry.body
            && record.outcome.is_ok()
        {
            self.liveness.attached(node, session);
        }
        Ok(())
    }

    fn booted(&mut self, node: NodeIndex, recovery: &Recovery) -> Checked {
        let state = &mut self.nodes[node];
        let peer = peer_id(node);
        state.disk.booted(peer, recovery, &self.history)?;
        let Some((zxid, chunks)) = &recovery.recovered.snapshot else {
            state.position = 0;
            return Ok(());
        };
        let Some(position) = self.history.position(*zxid) else {
            return violation(
                "prefix-agreement",
                "all nodes execute the same entries in the same order",
                format!("node {peer} starts from a snapshot at {zxid:?}"),
                "a snapshot of a state that some node has had".into(),
            );
        };
        state.position = position;
        let found = State::restore(chunks.iter().map(|chunk| &chunk[..])).map(|state| state.digest());
        let expected = self.history.executed_at(position).map(|record| record.digest);
        if found.as_ref().ok() == expected.as_ref() {
            return Ok(());
        }
        violation(
            "recovery-state",
            "a snapshot restores the state that nodes had at its zxid",
            format!("node {peer} starts from a snapshot at {zxid:?}, digest {found:016x?}"),
            format!("digest {expected:016x?}"),
        )
    }
}

impl Observer for Checkers {
    // Inlined where something is observed: what nobody here looks at, half of all, then costs nothing.
    #[inline]
    fn observe(&mut self, at: Time, observation: &Observation<'_>) -> Checked {
        match observation {
            Observation::Happening { .. } | Observation::Unlucky { .. } | Observation::Fault { .. } => Ok(()),
            Observation::Stepped { node, machine } => self.bounds.stepped(*node, machine),
            observation => self.check(at, observation),
        }
    }
}

impl Checkers {
    #[inline(never)]
    fn check(&mut self, at: Time, observation: &Observation<'_>) -> Checked {
        if let Some(recorder) = &mut self.recorder
            && Recorder::cares(observation)
        {
            Arc::make_mut(recorder).observe(at, observation)?;
        }
        match observation {
            Observation::Started { schedule } => {
                *self = Checkers::new();
                self.nodes.resize_with(schedule.nodes, Watched::default);
                self.liveness.begin(schedule);
                self.clients.begin(schedule);
                self.bounds.begin(schedule);
                self.recorder = Recorder::sample(schedule.seed);
                Ok(())
            }
            Observation::Booted { node, recovery } => self.booted(*node, recovery),
            Observation::Ended { node } => {
                self.nodes[*node].life += 1;
                self.nodes[*node].reports = Default::default();
                self.nodes[*node].electing = None;
                self.liveness.ended(*node);
                self.bounds.ended(*node);
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
            Observation::Input { node, now, input } => {
                self.nodes[*node].reports.input(*node, input)?;
                self.bounds.input(*node, input);
                self.liveness.input(*node, *now, input, &self.model)
            }
            Observation::Output { node, output } => {
                self.nodes[*node].reports.output(output);
                self.bounds.output(at, *node, output)?;
                self.output(*node, output)
            }
            Observation::Durable { node, write } => {
                self.nodes[*node].disk.synced(write);
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
                self.clients.sent(*conn, request);
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
            Observation::Stepped { .. }
            | Observation::Happening { .. }
            | Observation::Unlucky { .. }
            | Observation::Fault { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
