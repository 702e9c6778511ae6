//! The handshake: a session begins, or a client comes back to one (sections 1.4 to 1.6, 7.1 to 7.3 of the protocol).
//!
//! A session exists when the entry that makes it is executed, and not before (ZOOKEEPER-2926). A client that comes
//! back is attached by an entry as well, so that every server agrees from which point on its old connection counts
//! for nothing. Until then the connection stays in [`Phase::Handshake`], and its requests wait.

use core::net::IpAddr;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::api::{ConnectRequest, ConnectResponse};
use crate::entry::{Ask, Command, Entry};
use crate::ids::{ConnId, PeerId, SessionId};
use crate::io::{CloseReason, Output, Outputs};
use crate::state::{Outcome, State};

use super::FrontDesk;
use super::connection::{Attachment, Connection, Phase};
use super::outbox::Asked;

/// What a client is to be told when its session's entry is executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Handshake {
    /// Whether the session is made, or moves here.
    fresh: bool,
    /// Its id: drawn here, or named by the client.
    pub(super) session: SessionId,
    password: [u8; 16],
    timeout_ms: i32,
    /// Whether the client sent the read-only flag, and so expects one back.
    flagged: bool,
}

/// Where session ids and passwords come from.
#[derive(Clone, Debug)]
pub(super) struct Draw {
    id: PeerId,
    rng: ChaCha20Rng,
}

impl Draw {
    pub(super) fn new(id: PeerId, seed: u64) -> Draw {
        Draw { id, rng: ChaCha20Rng::seed_from_u64(seed) }
    }

    /// A positive id whose top byte names this server, so that two servers rarely draw the same.
    fn session(&mut self) -> SessionId {
        let top = i64::from(self.id.0 & 0x7f) << 56;
        loop {
            let low = (self.rng.next_u64() >> 8) as i64;
            if top | low != 0 {
                return SessionId(top | low);
            }
        }
    }

    fn password(&mut self) -> [u8; 16] {
        let mut password = [0; 16];
        password[..8].copy_from_slice(&self.rng.next_u64().to_be_bytes());
        password[8..].copy_from_slice(&self.rng.next_u64().to_be_bytes());
        password
    }
}

impl FrontDesk {
    /// Takes a client's first packet: refuses it, or submits its session.
    pub(super) fn greet(
        &mut self,
        conn: ConnId,
        address: IpAddr,
        hello: ConnectRequest,
        state: &State,
        out: &mut Outputs,
    ) {
        if self.connections.contains_key(&conn) {
            return self.close(conn, CloseReason::ProtocolError, out);
        }
        let (min_ms, max_ms) = self.timeouts_ms;
        let fresh = hello.session == SessionId(0);
        let shown = hello.password.as_deref().and_then(|password| password.try_into().ok());
        let handshake = Handshake {
            fresh,
            session: if fresh { self.draw.session() } else { hello.session },
            password: if fresh { self.draw.password() } else { shown.unwrap_or_default() },
            timeout_ms: hello.timeout_ms.clamp(min_ms, max_ms),
            flagged: hello.read_only.is_some(),
        };
        self.connections.insert(conn, Connection::new(address, handshake));

        if hello.last_zxid_seen > state.applied().wire() {
            // Another server has shown it more than is here: it would see time run backwards.
            return self.close(conn, CloseReason::ClientAhead, out);
        }
        // A session's password never changes: what is wrong by the state here is wrong, and need not be ordered.
        let known = state.session(hello.session).map(|session| session.password);
        if !fresh && (shown.is_none() || known.is_some_and(|known| Some(known) != shown)) {
            return self.refuse(conn, handshake, out);
        }
        self.submit_session(conn, handshake);
    }

    /// A session was made or moved for a connection here, or was not.
    pub(super) fn session_done(
        &mut self,
        conn: ConnId,
        entry: &Entry,
        outcome: Outcome,
        state: &State,
        out: &mut Outputs,
    ) {
        // The client may be gone by now; its session then times out, unless it comes back.
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let Phase::Handshake(handshake) = connection.phase else {
            panic!("{conn:?} has shaken hands already");
        };
        match outcome.result {
            Ok(_) => self.welcome(conn, handshake, entry, state, out),
            Err(error) if handshake.fresh => {
                super::assert_id_taken(error);
                let handshake = Handshake { session: self.draw.session(), ..handshake };
                connection.phase = Phase::Handshake(handshake);
                self.submit_session(conn, handshake);
            }
            Err(_) => self.refuse(conn, handshake, out),
        }
    }

    fn submit_session(&mut self, conn: ConnId, handshake: Handshake) {
        let Handshake { fresh, session, password, timeout_ms, .. } = handshake;
        let command = if fresh {
            Command::CreateSession { session, password, timeout_ms }
        } else {
            Command::Attach { session, password, timeout_ms }
        };
        self.outbox.submit(Asked::Session(conn), Ask::Command(command));
    }

    /// Confirms the session, and takes up what the client has sent meanwhile.
    fn welcome(
        &mut self,
        conn: ConnId,
        handshake: Handshake,
        entry: &Entry,
        state: &State,
        out: &mut Outputs,
    ) {
        let Handshake { fresh: _, session, password, timeout_ms, flagged } = handshake;
        let connection = self.connections.get_mut(&conn).expect("the caller has just found it");
        connection.establish(Attachment { session, owner: entry.origin, timeout_ms }, entry.zxid);
        let former = self.by_session.insert(session, conn);
        assert_eq!(former, None, "a session's former connection is closed before it has a new one");
        let read_only = flagged.then_some(false);
        let response = ConnectResponse { timeout_ms, session, password, read_only };
        out.push(Output::Connected { conn, response });
        self.submit_waiting(conn);
        self.advance(conn, state, out);
    }

    /// Tells a client that its session is not valid.
    fn refuse(&mut self, conn: ConnId, handshake: Handshake, out: &mut Outputs) {
        let read_only = handshake.flagged.then_some(false);
        let response = ConnectResponse { timeout_ms: 0, session: SessionId(0), password: [0; 16], read_only };
        out.push(Output::Connected { conn, response });
        self.close(conn, CloseReason::SessionInvalid, out);
    }
}
