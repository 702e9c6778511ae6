//! Connections that peers, or strangers, dial to this server: greeting, refusing, and hearing messages.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Token};
use tracing::{debug, warn};
use vivarium_core::ids::PeerId;
use vivarium_core::replica::PeerMessage;

use super::dialed::Link;
use super::greeting::{GREETING_BYTES, Hello, VERSION, Verdict};
use super::{ACCEPTED_BASE, KIND_CLUSTER, KIND_CLUSTER_KNOWN, KIND_MESSAGE, PeerEvent, Peers, tune};
use crate::bounds;
use crate::frame::{self, Cut, Got};
use crate::strangers;

/// A connection that a peer, or somebody, dialed.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) address: SocketAddr,
    pub(super) input: Vec<u8>,
    /// Who it is, or when it must have said so.
    pub(super) from: Result<PeerId, Instant>,
}

impl Peers {
    pub(super) fn accept(&mut self, now: Instant) {
        while let Some(listener) = &self.listener {
            let (mut stream, address) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.throttle.error("peer accept", || format!("cannot accept on the peer port: {error}"));
                    return;
                }
            };
            let strangers = self.accepted.iter().flatten().filter(|a| a.from.is_err()).count();
            if strangers >= bounds::PEER_STRANGERS_MAX {
                self.throttle.warn("peer strangers", || {
                    format!("{address} disconnected: {strangers} others have not introduced themselves yet")
                });
                continue;
            }
            let slot = match self.accepted.iter().position(Option::is_none) {
                Some(slot) => slot,
                None => {
                    self.accepted.push(None);
                    self.accepted.len() - 1
                }
            };
            let token = Token(self.first_token + ACCEPTED_BASE + slot);
            if let Err(error) = self.registry.register(&mut stream, token, Interest::READABLE) {
                self.throttle.error("peer register", || format!("cannot watch a peer's connection: {error}"));
                continue;
            }
            tune(&stream);
            let from = Err(now + bounds::PEER_GREETING);
            self.accepted[slot] = Some(Accepted { stream, address, input: Vec::new(), from });
        }
    }

    pub(super) fn read_accepted(
        &mut self,
        now: Instant,
        slot: usize,
        hangup: bool,
        events: &mut Vec<PeerEvent>,
    ) {
        let Some(Some(accepted)) = self.accepted.get_mut(slot) else { return };
        let ended = match frame::read_once(&mut accepted.stream, &mut self.scratch, hangup) {
            Got::Last(n) => {
                accepted.input.extend_from_slice(&self.scratch[..n]);
                None
            }
            Got::Bytes(n) => {
                accepted.input.extend_from_slice(&self.scratch[..n]);
                // There may be more, or an end; other connections come first.
                self.unread.push((slot, hangup));
                None
            }
            Got::Ended => Some("it closed the connection".to_owned()),
            Got::Broke(error) => Some(error.to_string()),
        };
        let mut input = std::mem::take(&mut accepted.input);
        let mut at = 0;
        let verdict = loop {
            let Some(Some(accepted)) = self.accepted.get_mut(slot) else { return };
            let max = if accepted.from.is_ok() { bounds::PEER_FRAME_BYTES } else { GREETING_BYTES };
            match frame::cut_peer(&input[at..], max) {
                Cut::Whole { body, size } => {
                    at += size;
                    let heard = match accepted.from {
                        Ok(peer) => self.hear(peer, body, events),
                        Err(_) => self.meet(now, slot, body, events),
                    };
                    if let Err(why) = heard {
                        break Err(why);
                    }
                }
                Cut::Partial => break Ok(()),
                Cut::BadLength(length) if accepted.from.is_ok() => {
                    break Err(format!("it sent a packet of {length} bytes"));
                }
                Cut::BadChecksum => break Err("a packet's checksum is wrong".to_owned()),
                Cut::BadLength(_) => {
                    break Err(match strangers::recognise(&input[at..]) {
                        Some(what) => format!("it seems to be {what}"),
                        None => "it is no Vivarium server".to_owned(),
                    });
                }
            }
        };
        input.drain(..at);
        let Some(Some(accepted)) = self.accepted.get_mut(slot) else { return };
        if input.capacity() > bounds::READ_BYTES * 4 && input.len() < bounds::READ_BYTES {
            input.shrink_to(bounds::READ_BYTES);
        }
        accepted.input = input;
        match (verdict, ended) {
            (Err(why), _) => self.drop_accepted(slot, &why, true, events),
            (Ok(()), Some(why)) => self.drop_accepted(slot, &why, false, events),
            (Ok(()), None) => {}
        }
    }

    fn drop_accepted(&mut self, slot: usize, why: &str, wrong: bool, events: &mut Vec<PeerEvent>) {
        let Some(accepted) = self.accepted[slot].take() else { return };
        match accepted.from {
            Ok(peer) => {
                if wrong {
                    warn!("connection from server {peer} at {} dropped: {why}", accepted.address);
                } else {
                    debug!("connection from server {peer} at {} ended: {why}", accepted.address);
                }
                if let Some(index) = self.remotes.iter().position(|remote| remote.accepted == Some(slot)) {
                    self.remotes[index].accepted = None;
                    self.gone(index, events);
                }
            }
            Err(_) if wrong => self
                .throttle
                .warn("peer refused", || format!("refused {} on the peer port: {why}", accepted.address)),
            Err(_) => debug!("{} left the peer port: {why}", accepted.address),
        }
    }

    /// The first packet of a connection.
    fn meet(
        &mut self,
        now: Instant,
        slot: usize,
        body: &[u8],
        events: &mut Vec<PeerEvent>,
    ) -> Result<(), String> {
        let hello = Hello::decode(body).ok_or("it is no Vivarium server")?;
        let judged = hello.judge(&self.hello);
        let Some(accepted) = &mut self.accepted[slot] else { return Ok(()) };
        let verdict = Verdict {
            version: VERSION,
            cluster: self.hello.cluster,
            refused: judged.as_ref().err().map(|why| format!("to {}, {why}", self.hello.from)),
        };
        let mut answer = Vec::new();
        frame::put_peer(&mut answer, |out| verdict.encode(out));
        // A fresh connection's socket takes far more than this at once.
        let written = accepted.stream.write(&answer);
        judged?;
        if !matches!(written, Ok(n) if n == answer.len()) {
            return Err("it did not take the answer to its greeting".to_owned());
        }
        accepted.from = Ok(hello.from);
        let index = self
            .remotes
            .iter()
            .position(|remote| remote.id == hello.from)
            .expect("judge let only members through");
        let remote = &mut self.remotes[index];
        remote.was_up = true;
        let older = remote.accepted.replace(slot);
        // It is up: no reason to wait with the connection in the other direction.
        remote.pause = bounds::REDIAL_MIN;
        if let Link::Idle { until } = &mut remote.link {
            *until = now;
        }
        if let Some(older) = older {
            self.accepted[older] = None;
        }
        self.adopt(hello.cluster, events);
        Ok(())
    }

    /// Any later packet.
    fn hear(&mut self, peer: PeerId, body: &[u8], events: &mut Vec<PeerEvent>) -> Result<(), String> {
        match body.split_first() {
            Some((&KIND_MESSAGE, bytes)) => {
                let message: PeerMessage = postcard::from_bytes(bytes)
                    .map_err(|error| format!("a message cannot be decoded: {error}"))?;
                events.push(PeerEvent::Message(peer, message));
                Ok(())
            }
            Some((&kind @ (KIND_CLUSTER | KIND_CLUSTER_KNOWN), bytes)) => {
                let cluster = bytes.try_into().map(u64::from_le_bytes).map_err(|_| "a bad cluster id")?;
                self.adopt(cluster, events);
                if kind == KIND_CLUSTER
                    && let Some(index) = self.remotes.iter().position(|remote| remote.id == peer)
                {
                    self.say_cluster(index, KIND_CLUSTER_KNOWN, self.hello.cluster);
                }
                if self.hello.cluster == cluster {
                    Ok(())
                } else {
                    Err(format!(
                        "it holds data of cluster {cluster:016x}, this server of cluster {:016x}",
                        self.hello.cluster
                    ))
                }
            }
            _ => Err("a packet of an unknown kind".to_owned()),
        }
    }
}
