//! Connections between servers.
//!
//! Every server dials every other and sends on the connection it dialed; it receives on those it accepted. A newer
//! connection from a peer replaces the older one. Delivery is best effort, as the core asks: what does not fit a bounded
//! buffer, or finds no connection, is lost, and the core sends it again.
//!
//! Names are resolved anew at each dial, in a thread of their own, since a container's address changes when it restarts
//! and a resolver may take seconds.

mod greeting;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token, Waker};
use tracing::{debug, info, warn};
use vivarium_core::ids::{Epoch, PeerId, Zxid};
use vivarium_core::replica::PeerMessage;

use crate::bounds;
use crate::frame::{self, Cut, Got, OutBuffer};
use crate::logging::Throttle;
use crate::strangers;
use greeting::{GREETING_BYTES, Hello, VERSION, Verdict};

/// What happened, for the loop.
#[derive(Debug)]
pub enum PeerEvent {
    /// A message arrived.
    Message(PeerId, PeerMessage),
    /// A connection to a peer that was up broke.
    Gone(PeerId),
    /// This server now knows which cluster it belongs to; to be written down.
    Cluster(u64),
}

/// Which socket an event is about.
#[derive(Clone, Copy, Debug)]
enum Which {
    Listener,
    Dialed(usize),
    Accepted(usize),
}

/// All connections to and from the other servers.
#[derive(Debug)]
pub struct Peers {
    registry: Registry,
    first_token: usize,
    hello: Hello,
    /// A cluster id that this leader made up and nobody has confirmed.
    proposed_cluster: u64,
    listener: Option<TcpListener>,
    remotes: Vec<Remote>,
    accepted: Vec<Option<Accepted>>,
    /// Accepted connections to read on in the next turn, and whether their end was announced.
    unread: Vec<(usize, bool)>,
    resolved: Receiver<Resolved>,
    resolver: Sender<Resolved>,
    waker: Arc<Waker>,
    scratch: Vec<u8>,
    proposal: Proposal,
    throttle: Throttle,
}

type Resolved = (usize, io::Result<Vec<SocketAddr>>);

/// A peer and the connection that was dialed to it.
#[derive(Debug)]
struct Remote {
    id: PeerId,
    host: String,
    port: u16,
    link: Link,
    out: OutBuffer,
    answer: Vec<u8>,
    addresses: Vec<SocketAddr>,
    pause: Duration,
    /// The slot of the connection that the peer dialed.
    accepted: Option<usize>,
    /// Something was up since the core was last told that the peer is gone.
    was_up: bool,
    /// The last complaint, so that it is logged once and not at every try.
    complaint: Option<String>,
}

#[derive(Debug)]
enum Link {
    Idle { until: Instant },
    Resolving,
    Connecting { stream: TcpStream, until: Instant },
    Greeting { stream: TcpStream, until: Instant },
    Up { stream: TcpStream },
}

/// A connection that a peer, or somebody, dialed.
#[derive(Debug)]
struct Accepted {
    stream: TcpStream,
    address: SocketAddr,
    input: Vec<u8>,
    /// Who it is, or when it must have said so.
    from: Result<PeerId, Instant>,
}

/// The last proposal, encoded: the same goes to every follower.
#[derive(Debug, Default)]
struct Proposal {
    key: Option<(Epoch, Zxid, Zxid, usize, Zxid)>,
    bytes: Vec<u8>,
}

/// First byte of a packet's body after the greeting.
const KIND_MESSAGE: u8 = 0;
/// The cluster's id, from a leader that made it up.
const KIND_CLUSTER: u8 = 1;
/// The cluster's id, confirmed.
const KIND_CLUSTER_KNOWN: u8 = 2;

/// Tokens after the first that this module uses: the listener, 255 dialed, the rest accepted.
const ACCEPTED_BASE: usize = 300;

impl Peers {
    /// Nothing is dialed before the first [`Peers::tick`]. `others` are the peers with host and port; tokens from
    /// `first_token` on belong to this module.
    ///
    /// # Errors
    /// What the system said.
    pub fn new(
        registry: &Registry,
        first_token: usize,
        waker: Arc<Waker>,
        me: PeerId,
        cluster: u64,
        others: &[(PeerId, String, u16)],
        mut listener: Option<TcpListener>,
    ) -> io::Result<Peers> {
        if let Some(listener) = &mut listener {
            registry.register(listener, Token(first_token), Interest::READABLE)?;
        }
        let mut members: Vec<PeerId> = others.iter().map(|(id, ..)| *id).chain([me]).collect();
        members.sort();
        let now = Instant::now();
        let remotes = others
            .iter()
            .map(|(id, host, port)| Remote {
                id: *id,
                host: host.clone(),
                port: *port,
                link: Link::Idle { until: now },
                out: OutBuffer::default(),
                answer: Vec::new(),
                addresses: Vec::new(),
                pause: bounds::REDIAL_MIN,
                accepted: None,
                was_up: false,
                complaint: None,
            })
            .collect();
        let (resolver, resolved) = channel();
        Ok(Peers {
            registry: registry.try_clone()?,
            first_token,
            hello: Hello { version: VERSION, cluster, from: me, to: PeerId(0), members },
            proposed_cluster: 0,
            listener,
            remotes,
            accepted: Vec::new(),
            unread: Vec::new(),
            resolved,
            resolver,
            waker,
            scratch: vec![0; bounds::READ_BYTES],
            proposal: Proposal::default(),
            throttle: Throttle::default(),
        })
    }

    /// Peers that can be sent to at present.
    pub fn reachable(&self) -> usize {
        self.remotes.iter().filter(|remote| matches!(remote.link, Link::Up { .. })).count()
    }

    /// Queues a message; loses it when the peer is not connected. The same bytes leave with [`Peers::flush`].
    pub fn send(&mut self, now: Instant, to: PeerId, message: &PeerMessage, events: &mut Vec<PeerEvent>) {
        let Some(index) = self.remotes.iter().position(|remote| remote.id == to) else { return };
        let remote = &mut self.remotes[index];
        if !matches!(remote.link, Link::Up { .. }) {
            return;
        }
        let length = match message {
            PeerMessage::Propose { epoch, previous, entries, committed } if !entries.is_empty() => {
                // Within an epoch a leader's log only grows, so these name the very same entries.
                let last = entries.last().map_or(Zxid::ZERO, |entry| entry.zxid);
                let key = Some((*epoch, *previous, *committed, entries.len(), last));
                if self.proposal.key != key {
                    self.proposal.bytes.clear();
                    self.proposal.key = key;
                    frame::put_peer(&mut self.proposal.bytes, |out| encode(message, out));
                }
                remote.out.tail().extend_from_slice(&self.proposal.bytes);
                self.proposal.bytes.len()
            }
            message => frame::put_peer(remote.out.tail(), |out| encode(message, out)),
        };
        if length > bounds::PEER_FRAME_BYTES || remote.out.len() > bounds::PEER_OUT_BYTES {
            let why = format!("{} MiB are waiting for it", remote.out.len() >> 20);
            self.lose(now, index, &why, events);
        }
    }

    /// Gives the sockets what is queued: one write for each peer.
    pub fn flush(&mut self, now: Instant, events: &mut Vec<PeerEvent>) {
        for index in 0..self.remotes.len() {
            let remote = &mut self.remotes[index];
            let Link::Up { stream } = &mut remote.link else { continue };
            if remote.out.is_empty() {
                continue;
            }
            if let Err(error) = remote.out.flush(stream) {
                self.lose(now, index, &error.to_string(), events);
            }
        }
    }

    /// Whether a connection holds bytes that were not read in the last turn.
    pub fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Reads on where the last turn stopped.
    pub fn read_on(&mut self, now: Instant, events: &mut Vec<PeerEvent>) {
        for (slot, hangup) in std::mem::take(&mut self.unread) {
            self.read_accepted(now, slot, hangup, events);
        }
    }

    /// A socket is ready. False when the token is not of this module.
    pub fn ready(&mut self, now: Instant, event: &Event, events: &mut Vec<PeerEvent>) -> bool {
        let which = match event.token().0.checked_sub(self.first_token) {
            Some(0) => Which::Listener,
            Some(n) if n < ACCEPTED_BASE => Which::Dialed(n - 1),
            Some(n) => Which::Accepted(n - ACCEPTED_BASE),
            None => return false,
        };
        match which {
            Which::Listener => self.accept(now),
            Which::Dialed(index) => self.dialed_ready(now, index, events),
            Which::Accepted(slot) => {
                self.read_accepted(now, slot, event.is_read_closed() || event.is_error(), events);
            }
        }
        true
    }

    /// Dials who is due, and gives up on who did not answer. Returns when to be called again.
    pub fn tick(&mut self, now: Instant, events: &mut Vec<PeerEvent>) -> Option<Instant> {
        while let Ok((index, result)) = self.resolved.try_recv() {
            self.dial_resolved(now, index, result, events);
        }
        let mut next: Option<Instant> = None;
        for index in 0..self.remotes.len() {
            match &self.remotes[index].link {
                Link::Idle { until } if *until <= now => self.dial(now, index, events),
                Link::Connecting { until, .. } if *until <= now => {
                    self.lose(now, index, "it did not take the connection in time", events);
                }
                Link::Greeting { until, .. } if *until <= now => {
                    self.lose(now, index, "it did not answer the greeting in time", events);
                }
                _ => {}
            }
            if let Link::Idle { until } | Link::Connecting { until, .. } | Link::Greeting { until, .. } =
                &self.remotes[index].link
            {
                next = Some(next.map_or(*until, |next| next.min(*until)));
            }
        }
        for slot in 0..self.accepted.len() {
            let Some(Accepted { from: Err(until), address, .. }) = &self.accepted[slot] else { continue };
            if *until <= now {
                let address = *address;
                self.throttle.warn("peer silent", || {
                    format!("{address} connected to the peer port and did not introduce itself; disconnected")
                });
                self.accepted[slot] = None;
            } else {
                next = Some(next.map_or(*until, |next| next.min(*until)));
            }
        }
        next
    }

    /// This server leads with a quorum behind it. When nobody has named the cluster yet, `made_up` becomes its name, and
    /// is written down once another server has it: were it written before, a leader that dies at this moment would come
    /// back with a name that no other knows.
    pub fn lead(&mut self, made_up: u64, events: &mut Vec<PeerEvent>) {
        if self.hello.cluster != 0 {
            return;
        }
        if self.remotes.is_empty() {
            self.adopt(made_up, events);
            return;
        }
        self.proposed_cluster = made_up;
        for index in 0..self.remotes.len() {
            self.say_cluster(index, KIND_CLUSTER, made_up);
        }
    }

    fn say_cluster(&mut self, index: usize, kind: u8, cluster: u64) {
        let remote = &mut self.remotes[index];
        if matches!(remote.link, Link::Up { .. }) {
            frame::put_peer(remote.out.tail(), |out| {
                out.push(kind);
                out.extend_from_slice(&cluster.to_le_bytes());
            });
        }
    }

    fn adopt(&mut self, cluster: u64, events: &mut Vec<PeerEvent>) {
        if self.hello.cluster == 0 && cluster != 0 {
            self.hello.cluster = cluster;
            events.push(PeerEvent::Cluster(cluster));
        }
    }

    // ---- connections this server dials ----

    fn dial(&mut self, now: Instant, index: usize, events: &mut Vec<PeerEvent>) {
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

    fn dial_resolved(
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

    fn dialed_ready(&mut self, now: Instant, index: usize, events: &mut Vec<PeerEvent>) {
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

    fn lose(&mut self, now: Instant, index: usize, why: &str, events: &mut Vec<PeerEvent>) {
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

    fn gone(&mut self, index: usize, events: &mut Vec<PeerEvent>) {
        let remote = &mut self.remotes[index];
        if std::mem::take(&mut remote.was_up) {
            events.push(PeerEvent::Gone(remote.id));
        }
    }

    // ---- connections this server accepts ----

    fn accept(&mut self, now: Instant) {
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

    fn read_accepted(&mut self, now: Instant, slot: usize, hangup: bool, events: &mut Vec<PeerEvent>) {
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

fn encode(message: &PeerMessage, out: &mut Vec<u8>) {
    out.push(KIND_MESSAGE);
    postcard::to_io(message, out).expect("plain data in memory always encodes");
}

/// Small messages leave at once; and a connection whose path is gone breaks in seconds, not after the quarter of an hour
/// that TCP would try: a healed network is then found by a fresh dial.
fn tune(stream: &TcpStream) {
    // Neither is needed for correctness.
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, 4_000);
}

/// Where the peers are, for a log line at start.
pub fn describe(others: &[(PeerId, String, u16)]) -> String {
    let names: BTreeMap<_, _> =
        others.iter().map(|(id, host, port)| (id, format!("{id}={host}:{port}"))).collect();
    names.into_values().collect::<Vec<_>>().join(" ")
}
