//! Sessions end when they should: never while their client was heard in time by the leader.
//!
//! That silent sessions do end is demanded by the world, in the second half of a run.

use std::collections::BTreeMap;

use vivarium_core::ids::{ConnId, Epoch, Origin, SessionId};
use vivarium_core::io::Input;
use vivarium_core::replica::PeerMessage;
use vivarium_sim::world::peer_id;
use vivarium_sim::{MS, NodeIndex, Schedule, Time, Violation};

use super::model::Model;
use super::violation;

/// Clocks differ by at most this many parts in a thousand, and deadlines may be rounded by a millisecond.
const DRIFT_PERMILLE: u64 = 3;

/// Who was heard when.
#[derive(Clone, Debug, Default)]
pub struct Liveness {
    nodes: Vec<Node>,
    /// The session of each connection, once the server has said so.
    sessions: BTreeMap<ConnId, SessionId>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// When it last was established as leader, and in which epoch.
    established: Time,
    epoch: Epoch,
    /// When it last opened an epoch.
    opened: Option<Time>,
    heard: BTreeMap<SessionId, Time>,
}

impl Liveness {
    pub(super) fn begin(&mut self, schedule: &Schedule) {
        self.nodes.resize_with(schedule.nodes, Node::default);
    }

    pub(super) fn ended(&mut self, node: NodeIndex) {
        self.nodes[node] = Node::default();
    }

    pub(super) fn established(&mut self, at: Time, node: NodeIndex, epoch: Epoch) {
        self.nodes[node].established = at;
        self.nodes[node].epoch = epoch;
    }

    /// A leader opens an epoch.
    pub(super) fn opened(&mut self, at: Time, node: NodeIndex) {
        self.nodes[node].opened = Some(at);
    }

    /// A server has told a connection its session.
    pub(super) fn attached(&mut self, at: Time, node: NodeIndex, conn: ConnId, session: SessionId) {
        self.sessions.insert(conn, session);
        self.nodes[node].heard.insert(session, at);
    }

    /// A node is told something by a client, or by a follower about clients.
    pub(super) fn input(&mut self, at: Time, node: NodeIndex, input: &Input) {
        let Node { heard, epoch: since, .. } = &mut self.nodes[node];
        match input {
            Input::Request { conn, .. } => {
                if let Some(session) = self.sessions.get(conn) {
                    heard.insert(*session, at);
                }
            }
            Input::Peer { message: PeerMessage::Heard { epoch, sessions }, .. } if epoch >= since => {
                // A report for an earlier leader may be as old as the hills.
                heard.extend(sessions.iter().map(|session| (*session, at)));
            }
            _ => {}
        }
    }

    /// A leader proposes to expire a session.
    pub(super) fn expiry_proposed(
        &self,
        at: Time,
        node: NodeIndex,
        session: SessionId,
        owner: Origin,
        model: &Model,
    ) -> Result<(), Box<Violation>> {
        let Some(known) = model.session(session) else { return Ok(()) };
        if known.owner != owner {
            // It has moved, so nothing will come of it.
            return Ok(());
        }
        let state = &self.nodes[node];
        if state.opened == Some(at) {
            // It was decided while the epoch was being opened, at a time that is not known here, and had to wait.
            return Ok(());
        }
        let heard = state.heard.get(&session).copied().unwrap_or(0).max(state.established);
        let timeout = known.timeout_ms as Time * MS;
        let least = timeout - timeout * DRIFT_PERMILLE / 1000 - MS;
        if at - heard >= least {
            return Ok(());
        }
        violation(
            "no-early-expiry",
            "no session is expired while its leader has heard its client within the timeout",
            format!(
                "node {} expires session {session}, whose timeout is {} ms, {} ms after it was heard",
                peer_id(node),
                known.timeout_ms,
                (at - heard) / MS
            ),
            format!("at least {} ms", least / MS),
        )
    }
}
