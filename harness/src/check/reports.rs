//! A follower passes on whom it has heard: its leader would expire sessions that are alive otherwise.
//!
//! Whether the leader makes the right thing of it is `liveness`'s business.

use std::collections::{BTreeMap, BTreeSet};

use vivarium_core::ids::{ConnId, SessionId};
use vivarium_core::io::{Input, Note, Output};
use vivarium_core::replica::PeerMessage;
use vivarium_sim::Violation;
use vivarium_sim::world::peer_id;

use super::violation;

/// What one server owes its leader.
#[derive(Clone, Debug, Default)]
pub struct Reports {
    /// The session of each of its connections.
    sessions: BTreeMap<ConnId, SessionId>,
    /// Those it heard since its last report, as a follower.
    unreported: BTreeSet<SessionId>,
    /// It has answered a heartbeat, so that by the end of the step nothing may be unreported.
    answered: bool,
    leads: bool,
}

impl Reports {
    /// The server is about to be told something: its last step is over.
    pub fn input(&mut self, node: usize, input: &Input) -> Result<(), Box<Violation>> {
        if std::mem::take(&mut self.answered)
            && let Some(session) = self.unreported.first()
        {
            return violation(
                "clients-reported",
                "a follower that answers a heartbeat says in which sessions it has heard clients",
                format!("node {} has heard session {session} and kept it to itself", peer_id(node)),
                "a report with the answer to the heartbeat".into(),
            );
        }
        match input {
            Input::Request { conn, .. } if !self.leads => {
                self.unreported.extend(self.sessions.get(conn));
            }
            Input::Gone { conn } => {
                self.sessions.remove(conn);
            }
            _ => {}
        }
        Ok(())
    }

    /// The server puts something out.
    pub fn output(&mut self, output: &Output) {
        match output {
            Output::Connected { conn, response } if response.session != SessionId(0) => {
                self.sessions.insert(*conn, response.session);
            }
            Output::Close { conn, .. } => {
                self.sessions.remove(conn);
            }
            Output::Send { message: PeerMessage::Alive { .. }, .. } => self.answered = true,
            Output::Send { message: PeerMessage::Heard { sessions, .. }, .. } => {
                sessions.iter().for_each(|session| {
                    self.unreported.remove(session);
                });
            }
            // Another stay: nobody is owed anything about the last one.
            Output::Note(Note::Established { .. }) => {
                self.leads = true;
                self.unreported.clear();
            }
            Output::Note(Note::Looking { .. } | Note::Following { .. } | Note::InSync { .. }) => {
                self.leads = false;
                self.unreported.clear();
            }
            _ => {}
        }
    }
}
