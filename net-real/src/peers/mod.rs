//! Connections between servers.
//!
//! Every server dials every other and sends on the connection it dialed; it receives on those it accepted. A newer
//! connection from a peer replaces the older one. Delivery is best effort, as the core asks: what does not fit a bounded
//! buffer, or finds no connection, is lost, and the core sends it again.
//!
//! Names are resolved anew at each dial, in a thread of their own, since a container's address changes when it restarts
//! and a resolver may take seconds.

mod accepted;
mod dialed;
mod greeting;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token, Waker};
use vivarium_core::encoding;
use vivarium_core::ids::{Epoch, PeerId, Zxid};
use vivarium_core::replica::PeerMessage;

use crate::bounds;
use crate::frame::{self, OutBuffer};
use crate::logging::Throttle;
use accepted::Accepted;
use dialed::{Link, Remote};
use greeting::{Hello, VERSION};

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
}

fn encode(message: &PeerMessage, out: &mut Vec<u8>) {
    out.push(KIND_MESSAGE);
    encoding::append(out, message);
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
