//! Checkers: observers that know what is right.
//!
//! All of them work as the run goes on, each in about constant time per event: the zxid in every reply says where in
//! the one history it belongs, so that nothing has to be searched.

mod clients;
mod disks;
mod last_look;
mod liveness;
pub mod model;
mod order;
mod watches;

use vivarium_core::entry::{Body, Command};
use vivarium_core::ids::PeerId;
use vivarium_core::io::{Note, Output, Write};
use vivarium_sim::world::peer_id;
use vivarium_sim::{NodeIndex, Observation, Observer, Time, Violation};

use clients::Clients;
use disks::Disk;
use liveness::Liveness;
use model::Model;
use order::{History, Position};

/// All checkers, and what they share: the one history, and the model that executes it.
#[derive(Clone, Debug, Default)]
pub struct Checkers {
    history: History,
    model: Model,
    nodes: Vec<Watched>,
    clients: Clients,
    liveness: Liveness,
}

/// What is known of a node.
#[derive(Clone, Debug, Default)]
struct Watched {
    /// Which run of its process this is.
    life: u32,
    disk: Disk,
    position: Position,
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

    fn output(&mut self, at: Time, node: NodeIndex, output: &Output) -> Checked {
        let peer = peer_id(node);
        let history = &self.history;
        let state = &mut self.nodes[node];
        state.disk.output(peer, output, |zxid| history.contains(zxid))?;
        match output {
            Output::Write { write: Write::Append(entry), .. } => {
                let fresh = self.history.append(peer, state.life, entry)?;
                match &entry.body {
                    Body::Opening if fresh => self.liveness.opened(at, node),
                    Body::Command(Command::Expire { session, owner }) if fresh => {
                        self.liveness.expiry_proposed(at, node, *session, *owner, &self.model)?;
                    }
                    Body::Opening | Body::Command(_) => {}
                }
                Ok(())
            }
            Output::Note(note) => self.note(at, node, peer, note),
            Output::Connected { conn, response } => {
                self.liveness.attached(at, node, *conn, response.session);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn note(&mut self, at: Time, node: NodeIndex, peer: PeerId, note: &Note) -> Checked {
        let state = &mut self.nodes[node];
        match note {
            Note::Elected { epoch, .. } => {
                self.history.leads(peer, state.life, *epoch)?;
                self.history.elected(peer, *epoch, state.disk.written())
            }
            Note::Established { epoch, .. } => {
                self.liveness.established(at, node, *epoch);
                self.history.established(*epoch);
                self.history.leads(peer, state.life, *epoch)
            }
            Note::Applied { zxid, digest } => {
                let position = state.position;
                state.position += 1;
                let Some(entry) = self.history.executes(peer, position, *zxid, *digest)? else {
                    return Ok(());
                };
                let outcome = self.model.execute(&entry);
                let disks = self.nodes.iter().map(|node| node.disk.durable());
                self.history.extend(entry, *digest, outcome, disks)
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

    fn booted(&mut self, node: NodeIndex, recovery: &vivarium_core::recovery::Recovery) -> Checked {
        let state = &mut self.nodes[node];
        state.disk.booted(peer_id(node), recovery)?;
        let snapshot = recovery.recovered.snapshot.as_ref().map(|(zxid, _)| *zxid).unwrap_or_default();
        match self.history.position(snapshot) {
            Some(position) => {
                state.position = position;
                Ok(())
            }
            None => violation(
                "prefix-agreement",
                "all nodes execute the same entries in the same order",
                format!("node {} starts from a snapshot at {snapshot:?}", peer_id(node)),
                "a snapshot of a state that some node has had".into(),
            ),
        }
    }
}

impl Observer for Checkers {
    fn observe(&mut self, at: Time, observation: &Observation<'_>) -> Checked {
        match observation {
            Observation::Started { schedule } => {
                *self = Checkers::new();
                self.nodes.resize_with(schedule.nodes, Watched::default);
                self.liveness.begin(schedule);
                self.clients.begin(schedule);
                Ok(())
            }
            Observation::Booted { node, recovery } => self.booted(*node, recovery),
            Observation::Ended { node } => {
                self.nodes[*node].life += 1;
                self.liveness.ended(*node);
                Ok(())
            }
            Observation::Input { node, input, .. } => {
                self.liveness.input(at, *node, input);
                Ok(())
            }
            Observation::Output { node, output } => self.output(at, *node, output),
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
                self.clients.received(*conn, reply, &mut self.history, &self.model)
            }
            Observation::Notified { conn, event, .. } => self.clients.notified(*conn, event, &self.model),
            Observation::Lost { conn, .. } => {
                self.clients.lost(*conn);
                Ok(())
            }
            Observation::Finished { nodes } => last_look::look(nodes, &self.history, &self.model),
            Observation::Stepped { .. }
            | Observation::Happening { .. }
            | Observation::Unlucky { .. }
            | Observation::Fault { .. }
            | Observation::Healed => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
