//! A follower passes on whom it has heard: its leader would expire sessions that are alive otherwise.
//!
//! Whether the leader makes the right thing of it is `liveness`'s business.

use vivarium_core::ids::SessionId;
use vivarium_sim::Violation;
use vivarium_sim::world::peer_id;

use super::violation;

/// What one server owes its leader.
#[derive(Clone, Debug, Default)]
pub struct Reports {
    /// Sessions that it heard since its last report, as a follower. A handful.
    unreported: Vec<SessionId>,
    /// It has answered a heartbeat, so that by the end of the step nothing may be unreported.
    answered: bool,
    leads: bool,
}

impl Reports {
    /// The server is about to be told something: its last step is over.
    #[inline]
    pub fn step_over(&mut self, node: usize) -> Result<(), Box<Violation>> {
        if !std::mem::take(&mut self.answered) || self.unreported.is_empty() {
            return Ok(());
        }
        let session = self.unreported.iter().min().expect("there is one");
        violation(
            "clients-reported",
            "a follower that answers a heartbeat says in which sessions it has heard clients",
            format!("node {} has heard session {session} and kept it to itself", peer_id(node)),
            "a report with the answer to the heartbeat".into(),
        )
    }

    /// A client is heard in a session.
    pub fn heard(&mut self, session: SessionId) {
        if !self.leads && !self.unreported.contains(&session) {
            self.unreported.push(session);
        }
    }

    /// The server answers a heartbeat.
    pub fn answers(&mut self) {
        self.answered = true;
    }

    /// It says whom it has heard.
    pub fn reports(&mut self, sessions: &[SessionId]) {
        self.unreported.retain(|session| !sessions.contains(session));
    }

    /// It begins to lead, or to look for a leader and to follow: another stay. Nobody is owed anything about the last one.
    pub fn stays(&mut self, leads: bool) {
        self.leads = leads;
        self.unreported.clear();
    }

    /// The process has ended.
    pub fn ended(&mut self) {
        self.stays(false);
        self.answered = false;
    }
}
