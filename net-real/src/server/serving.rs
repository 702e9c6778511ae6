//! What clients' bytes mean: four-letter words, handshakes and requests, taken as far as bounds allow; and whom to
//! disconnect, with the reason in the log.

use std::time::Instant;

use tracing::debug;
use vivarium_core::api::{Op, Request};
use vivarium_core::ids::ConnId;
use vivarium_core::io::{CloseReason, Input};
use vivarium_core::jute;
use vivarium_core::node::{Role, Status};

use super::Server;
use crate::clients::{Pending, Phase, Taken};
use crate::frame::{self, Cut};
use crate::stats::Stats;
use crate::strangers;
use crate::words::{View, Word};

impl Server {
    /// Reads every client that has sent something, once.
    pub(super) fn serve_clients(&mut self) {
        if self.node.saturated() {
            return;
        }
        let mut ready = std::mem::take(&mut self.ready);
        self.clients.take_ready(&mut ready);
        for conn in ready.drain(..) {
            self.serve_client(conn);
        }
        self.ready = ready;
    }

    /// Reads a client once and takes all the packets it has sent, as far as bounds allow.
    fn serve_client(&mut self, conn: ConnId) {
        let Some(client) = self.clients.get(conn) else { return };
        if !client.may_take() {
            // It comes back when an answer has left.
            return;
        }
        let bytes = match client.take(&mut self.scratch, &mut self.spare) {
            Taken::Bytes(bytes) => bytes,
            Taken::Ended(why) => {
                let (address, closing) = (client.address, matches!(client.phase, Phase::Closing { .. }));
                if let Some(why) = why {
                    debug!("connection of {address} broke: {why}");
                }
                if !closing || client.is_finished() {
                    self.forget(conn);
                }
                return;
            }
        };
        let mut used = 0;
        let mut whole = false;
        while self.ending.is_none() {
            let Some(client) = self.clients.get(conn) else {
                used = bytes.len();
                break;
            };
            let rest = &bytes[used..];
            let took = match client.phase {
                Phase::Closing { .. } => Some(rest.len()),
                _ if !client.may_take() || self.node.saturated() => {
                    whole = true;
                    None
                }
                Phase::Fresh { .. } => self.first_packet(conn, rest),
                Phase::Opening | Phase::Serving => self.packet(conn, rest),
            };
            match took {
                Some(0) | None => break,
                Some(n) => used += n,
            }
        }
        let Some(client) = self.clients.get(conn) else { return };
        self.spare = client.keep(bytes, used, whole);
        if client.has_more() && client.may_take() {
            self.clients.mark_ready(conn);
        }
    }

    /// A four-letter word or a handshake. Returns how many bytes were taken; `None` when there is not enough yet.
    fn first_packet(&mut self, conn: ConnId, bytes: &[u8]) -> Option<usize> {
        let word = bytes.first_chunk::<4>().and_then(|bytes| Word::find(*bytes));
        if let Some(word) = word {
            self.answer_word(conn, word);
            return Some(bytes.len());
        }
        let (body, size) = match frame::cut_client(bytes, self.packet_bytes_max) {
            Cut::Whole { body, size } => (body, size),
            Cut::Partial => return None,
            Cut::BadLength(length) => {
                self.refuse_stranger(conn, bytes, length);
                return Some(bytes.len());
            }
            Cut::BadChecksum => unreachable!("clients' packets have none"),
        };
        let client = self.clients.get(conn)?;
        let address = client.address;
        client.account.received += 1;
        self.stats.received += 1;
        match jute::decode_connect(body) {
            Ok(hello) => {
                client.phase = Phase::Opening;
                self.step(Input::Open { conn, address: address.ip(), hello });
            }
            Err(why) => {
                self.bad_packet(conn, || format!("its first packet is no handshake: {why}"));
            }
        }
        Some(size)
    }

    /// A request.
    fn packet(&mut self, conn: ConnId, bytes: &[u8]) -> Option<usize> {
        let (body, size) = match frame::cut_client(bytes, self.packet_bytes_max) {
            Cut::Whole { body, size } => (body, size),
            Cut::Partial => return None,
            Cut::BadLength(length) => {
                let max = self.packet_bytes_max;
                self.bad_packet(conn, || match length {
                    ..=0 => format!("it announced a packet of {length} bytes"),
                    _ => {
                        format!("it announced a packet of {length} bytes; {max} are allowed (jute.maxbuffer)")
                    }
                });
                return Some(bytes.len());
            }
            Cut::BadChecksum => unreachable!("clients' packets have none"),
        };
        match jute::decode_request(body) {
            Ok(request) => {
                let client = self.clients.get(conn)?;
                client.account.received += 1;
                self.stats.received += 1;
                let pending = Pending { at: self.now.mono.0, name: short_name(&request), xid: request.xid };
                client.pending.push_back(pending);
                self.step(Input::Request { conn, request });
            }
            Err(why) => self.bad_packet(conn, || format!("a packet without a request header: {why}")),
        }
        Some(size)
    }

    fn answer_word(&mut self, conn: ConnId, word: Word) {
        if self.config.words.contains(word.name()) {
            match word {
                Word::Srst => self.stats = Stats::default(),
                Word::Crst => {
                    for client in self.clients.iter_mut() {
                        client.account.received = 0;
                        client.account.sent = 0;
                        client.account.latency = Default::default();
                    }
                }
                _ => {}
            }
        }
        self.stats.received += 1;
        if let Some(client) = self.clients.get(conn) {
            client.account.received += 1;
        }
        let status: Status = self.node.status();
        let since = |instant: Instant| self.instant.saturating_duration_since(instant).as_millis() as u64;
        let mut answer = Vec::new();
        let view = View {
            status: &status,
            serves: self.node.serves(),
            stats: &self.stats,
            clients: &self.clients,
            asker: conn,
            config: &self.config,
            uptime_ms: since(self.started),
            leading_ms: self.leading_since.filter(|_| matches!(status.role, Role::Leading { .. })).map(since),
            reachable: self.peers.reachable(),
        };
        word.answer(&view, &mut answer);
        if let Some(client) = self.clients.queue_for(conn) {
            client.tail().extend_from_slice(&answer);
        }
        self.clients.close(conn, self.instant);
    }

    fn refuse_stranger(&mut self, conn: ConnId, bytes: &[u8], length: i64) {
        match strangers::recognise(bytes) {
            Some(what) => {
                let Some(client) = self.clients.get(conn) else { return };
                let address = client.address;
                self.throttle
                    .warn(what, || format!("disconnected {address} from the client port: it is {what}"));
                self.stats.bad_packets += 1;
                self.clients.close(conn, self.instant);
            }
            None => {
                let max = self.packet_bytes_max;
                self.bad_packet(conn, || {
                    format!("its first packet announces {length} bytes; it is no ZooKeeper client, or sends more than {max} (jute.maxbuffer)")
                });
            }
        }
    }

    fn bad_packet(&mut self, conn: ConnId, why: impl FnOnce() -> String) {
        let Some(client) = self.clients.get(conn) else { return };
        let (address, fresh) = (client.address, matches!(client.phase, Phase::Fresh { .. }));
        self.throttle.warn("bad packet", || format!("disconnected {address}: {}", why()));
        self.stats.bad_packets += 1;
        self.stats.closed += 1;
        self.clients.close(conn, self.instant);
        if !fresh {
            self.step(Input::Gone { conn });
        }
    }

    /// The core wants a connection closed.
    pub(super) fn close(&mut self, conn: ConnId, why: CloseReason) {
        let Some(client) = self.clients.get(conn) else { return };
        let address = client.address;
        match why {
            CloseReason::SessionClosed | CloseReason::SessionMoved | CloseReason::SessionExpired => {
                debug!("disconnected {address}: {}", reason(why));
            }
            _ => self.throttle.warn(reason(why), || format!("disconnected {address}: {}", reason(why))),
        }
        self.stats.closed += 1;
        self.clients.close(conn, self.instant);
    }

    /// A connection is no more.
    pub(super) fn forget(&mut self, conn: ConnId) {
        let known = match self.clients.get(conn) {
            Some(client) => matches!(client.phase, Phase::Opening | Phase::Serving),
            None => true,
        };
        self.clients.drop_now(conn);
        if known {
            self.step(Input::Gone { conn });
        }
    }
}

/// Why the core closes a connection, in words.
fn reason(why: CloseReason) -> &'static str {
    match why {
        CloseReason::NotServing => "this server has no leader, or is not in sync with it",
        CloseReason::ClientAhead => "the client has seen a newer state than this server has",
        CloseReason::SessionInvalid => "its session has expired or is unknown, or the password is wrong",
        CloseReason::SessionMoved => "its session is served over another connection now",
        CloseReason::SessionExpired => "its session has expired",
        CloseReason::SessionClosed => "it closed its session",
        CloseReason::AuthFailed => "its authentication failed",
        CloseReason::UnknownOp => "it asked for an operation that this server does not have",
        CloseReason::ProtocolError => "it broke the protocol",
    }
}

/// A request's name in `cons` (section 2.6 of the protocol).
fn short_name(request: &Request) -> &'static str {
    match &request.op {
        Op::Create(_) => "CREA",
        Op::Delete { .. } => "DELE",
        Op::Exists { .. } => "EXIS",
        Op::GetData { .. } => "GETD",
        Op::SetData { .. } => "SETD",
        Op::GetAcl { .. } => "GETA",
        Op::SetAcl { .. } => "SETA",
        Op::GetChildren { .. } => "GETC",
        Op::Sync { .. } => "SYNC",
        Op::Ping => "PING",
        Op::Multi(_) => "MULT",
        Op::Auth { .. } => "AUTH",
        Op::SetWatches { .. } => "SETW",
        Op::CloseSession => "CLOS",
        Op::Malformed { .. } | Op::Unknown { .. } => "NA",
    }
}
