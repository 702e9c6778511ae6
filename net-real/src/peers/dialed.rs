//! Connections that this server dials: resolving, connecting, greeting, and trying again.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Token};
use tracing::{info, warn};
use vivarium_core::ids::PeerId;

use super::greeting::{GREETING_BYTES, Hello, Verdict};
use super::{KIND_CLUSTER, PeerEvent, Peers, tune};
use crate::bounds;
use crate::frame::{self, Cut, Got, OutBuffer};

/// A peer and the connection that was dialed to it.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) id: PeerId,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) link: Link,
    pub(super) out: OutBuffer,
    pub(super) answer: Vec<u8>,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) pause: Duration,
    /// The slot of the connection that the peer dialed.
    pub(super) accepted: Option<usize>,
    /// Something was up since the core was last told that the peer is gone.
    pub(super) was_up: bool,
    /// The last complaint, so that it is logged once and not at every try.
    pub(super) complaint: Option<String>,
}

#[derive(Debug)]
pub(super) enum Link {
    Idle { until: Instant },
    Resolving,
    Connecting { stream: TcpStream, until: Instant },
    Greeting { stream: TcpStream, until: Instant },
    Up { stream: TcpStream },
}

impl Peers {
    pub(super) fn dial(&mut self, now: Instant, index: usize, events: &mut Vec<PeerEvent>) {
        let remote = &mut self.remotes[index];
        remote.link = Link::Resolving;
        if let Some(address) = remote.addresses.pop() {
            return self.connect(now, index, address, events);
        }
        if let Ok(ip) = remote.host.parse::<IpAddr>() {
            let address = SocketAddr::new(ip, remote.port);
            return self.connect(now, index, address, events);
        }
        let (name, port) = (remote.host.clone(), remote.port);
        let (resolver, waker) = (self.resolver.clone(), Arc::clone(&self.waker));
        let spawned = std::thread::Builder::new().name("resolve".into()).spawn(move || {
            let result = (name.as_str(), port).to_socket_addrs().map(Iterator::collect);
            // Neither fails unless the process is ending.
            let _ = resolver.send((index, result));
            let _ = waker.wake();
        });
        if let Err(error) = spawned {
            self.lose(now, index, &format!("no thread to resolve its name: {error}"), events);
        }
    }

    pub(super) fn dial_resolved(
        &mut self,
        now: Instant,
        index: usize,
        result: io::Result<Vec<SocketAddr>>,
        events: &mut Vec<PeerEvent>,
    ) {
        if !matches!(self.remotes[index].link, Link::Resolving) {
            return;
        }
        match result {
            Ok(mut addresses) => match addresses.pop() {
                Some(address) => {
                    self.remotes[index].addresses = addresses;
                    self.connect(now, index, address, events);
                }
                None => self.lose(now, index, "its name has no address", events),
            },
            Err(error) => self.lose(now, index, &format!("its name does not resolve: {error}"), events),
        }
    }

    fn connect(&mut self, now: Instant, index: usize, address: SocketAddr, events: &mut Vec<PeerEvent>) {
        let token = Token(self.first_token + 1 + index);
        let connected = TcpStream::connect(address).and_then(|mut stream| {
            self.registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => {
                self.remotes[index].link = Link::Connecting { stream, until: now + bounds::PEER_GREETING };
            }
            Err(error) => self.lose(now, index, &error.to_string(), events),
        }
    }

    pub(super) fn dialed_ready(&mut self, now: Instant, index: usize, events: &mut Vec<PeerEvent>) {
        let Some(remote) = self.remotes.get_mut(index) else { return };
        let result = match std::mem::replace(&mut remote.link, Link::Resolving) {
            link @ (Link::Idle { .. } | Link::Resolving) => {
                remote.link = link;
                return;
            }
            Link::Connecting { stream, until } => self.greet(index, stream, until),
            Link::Greeting { stream, until } => self.hear_verdict(index, stream, until, events),
            Link::Up { mut stream } => {
                let mut byte = [0];
                let heard = match frame::read_once(&mut stream, &mut byte, false) {
                    Got::Last(0) => Ok(()),
                    Got::Ended => Err("it closed the connection".to_owned()),
                    Got::Broke(error) => Err(error.to_string()),
                    Got::Last(_) | Got::Bytes(_) => Err("it spoke where it should only listen".to_owned()),
                };
                let sent = remote.out.flush(&mut stream).map_err(|error| error.to_string());
                remote.link = Link::Up { stream };
                heard.and(sent.map(|_| ()))
            }
        };
        if let Err(why) = result {
            self.lose(now, index, &why, events);
        }
    }

    fn greet(&mut self, index: usize, mut stream: TcpStream, until: Instant) -> Result<(), String> {
        let remote = &mut self.remotes[index];
        if let Some(error) = stream.take_error().map_err(|e| e.to_string())? {
            return Err(error.to_string());
        }
        match stream.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                remote.link = Link::Connecting { stream, until };
                return Ok(());
            }
            Err(error) => return Err(error.to_string()),
        }
        tune(&stream);
        let hello = Hello { to: remote.id, ..self.hello.clone() };
        remote.out.clear();
        remote.answer.clear();
        frame::put_peer(remote.out.tail(), |out| hello.encode(out));
        remote.out.flush(&mut stream).map_err(|e| e.to_string())?;
        remote.link = Link::Greeting { stream, until };
        Ok(())
    }

    fn hear_verdict(
        &mut self,
        index: usize,
        mut stream: TcpStream,
        until: Instant,
        events: &mut Vec<PeerEvent>,
    ) -> Result<(), String> {
        let remote = &mut self.remotes[index];
        remote.out.flush(&mut stream).map_err(|e| e.to_string())?;
        let mut buffer = [0; GREETING_BYTES];
        let ended = loop {
            match frame::read_once(&mut stream, &mut buffer, true) {
                Got::Last(0) => break false,
                Got::Bytes(n) | Got::Last(n) => remote.answer.extend_from_slice(&buffer[..n]),
                Got::Ended => break true,
                Got::Broke(error) => return Err(error.to_string()),
            }
            if remote.answer.len() > GREETING_BYTES + frame::PEER_HEAD {
                return Err("what answers at its address is no Vivarium server".to_owned());
            }
        };
        let verdict = match frame::cut_peer(&remote.answer, GREETING_BYTES) {
            Cut::Whole { body, .. } => Verdict::decode(body),
            Cut::Partial if ended => return Err("it closed the connection instead of greeting".to_owned()),
            Cut::Partial => {
                remote.link = Link::Greeting { stream, until };
                return Ok(());
            }
            Cut::BadLength(_) | Cut::BadChecksum => None,
        };
        let Some(verdict) = verdict else {
            return Err("what answers at its address is no Vivarium server".to_owned());
        };
        if let Some(reason) = verdict.refused {
            return Err(format!("it refuses this server: {reason}"));
        }
        remote.link = Link::Up { stream };
        remote.out.clear();
        remote.answer = Vec::new();
        remote.pause = bounds::REDIAL_MIN;
        remote.was_up = true;
        remote.complaint = None;
        info!("connected to server {} at {}:{}", remote.id, remote.host, remote.port);
        self.adopt(verdict.cluster, events);
        if self.hello.cluster == 0 && self.proposed_cluster != 0 {
            self.say_cluster(index, KIND_CLUSTER, self.proposed_cluster);
        }
        Ok(())
    }

    pub(super) fn lose(&mut self, now: Instant, index: usize, why: &str, events: &mut Vec<PeerEvent>) {
        let remote = &mut self.remotes[index];
        let was_up = matches!(remote.link, Link::Up { .. });
        if was_up {
            warn!("connection to server {} lost: {why}", remote.id);
            remote.complaint = Some(why.to_owned());
        } else if remote.complaint.as_deref() != Some(why) {
            warn!("cannot reach server {} at {}:{}: {why}; trying on", remote.id, remote.host, remote.port);
            remote.complaint = Some(why.to_owned());
        }
        // Other addresses of the name are tried at once.
        let pause = if remote.addresses.is_empty() || was_up { remote.pause } else { Duration::ZERO };
        remote.pause = (remote.pause * 2).min(bounds::REDIAL_MAX);
        remote.link = Link::Idle { until: now + pause };
        remote.out.clear();
        remote.answer = Vec::new();
        if was_up {
            remote.addresses.clear();
            self.gone(index, events);
        }
    }

    pub(super) fn gone(&mut self, index: usize, events: &mut Vec<PeerEvent>) {
        let remote = &mut self.remotes[index];
        if std::mem::take(&mut remote.was_up) {
            events.push(PeerEvent::Gone(remote.id));
        }
    }
}
