//! The loop: one thread that moves everything between sockets, disk and the core.
//!
//! In each turn it reads what is ready, tells the core one thing after another and queues what the core wants done; at
//! the end of the turn each connection gets one write and the disk one batch. So the cost of a system call is shared by
//! all that happened in a turn, and the busier the server, the more share it.
//!
//! What arrives is bounded before it is read: a client's socket rests while the client has too much in flight, and all
//! clients' rest while the core is saturated. Peers and the disk go on, since they are what ends the wait.

mod serving;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Poll, Token, Waker};
use tracing::{error, info, warn};
use vivarium_core::ids::{ConnId, PeerId, WriteSeq};
use vivarium_core::io::{Input, Lane, Note, Output, Outputs, Write};
use vivarium_core::jute;
use vivarium_core::node::Node;
use vivarium_core::time::Now;

use crate::bounds;
use crate::clients::{Clients, Phase};
use crate::clock::Clock;
use crate::cluster::ClusterFile;
use crate::config::Config;
use crate::logging::{self, Throttle};
use crate::peers::{PeerEvent, Peers};
use crate::signals::Signals;
use crate::stats::Stats;
use crate::storage::{Report, Storage};

/// What the loop needs, ready to go.
pub struct Parts {
    /// The core, booted.
    pub node: Node,
    /// The clock whose time the core knows.
    pub clock: Clock,
    /// Where the core's writes go.
    pub storage: Storage,
    /// What the disk's threads say.
    pub disk_news: Receiver<Report>,
    /// What every other thread wakes the loop with.
    pub waker: Arc<Waker>,
    /// The poll that `waker` belongs to.
    pub poll: Poll,
    /// Installed already.
    pub signals: Signals,
    /// Set, with a wake, when the process shall end as if a signal had come.
    pub end: Arc<AtomicBool>,
    /// Clients connect here.
    pub client_listeners: Vec<TcpListener>,
    /// Peers connect here.
    pub peer_listener: Option<TcpListener>,
    /// This server.
    pub me: PeerId,
    /// The others, with host and port.
    pub others: Vec<(PeerId, String, u16)>,
    /// The cluster this data belongs to; 0 when it belongs to none yet.
    pub cluster: u64,
    /// What a leader calls a cluster that has no name.
    pub cluster_made_up: u64,
    /// Where the cluster is written down.
    pub cluster_file: ClusterFile,
    /// What the operator decided; the client port is the one that is listened on.
    pub config: Config,
}

/// Why the loop ended.
#[derive(Debug)]
pub enum Ending {
    /// Asked to, and done in good order.
    Retired,
    /// It must not go on; the reason is in the log.
    Fault,
}

/// Tokens of sockets; clients' are their numbers, which begin far above.
const WAKER: Token = Token(0);
const SIGNALS: Token = Token(1);
const CLIENT_LISTENERS: usize = 8;
const PEERS: usize = 100;

/// The waker's token.
pub const fn waker_token() -> Token {
    WAKER
}

/// The server.
pub struct Server {
    node: Node,
    outputs: Outputs,
    clock: Clock,
    now: Now,
    instant: Instant,
    started: Instant,
    poll: Poll,
    storage: Storage,
    /// Of this turn.
    writes: Vec<(Lane, WriteSeq, Write)>,
    disk_news: Receiver<Report>,
    signals: Signals,
    end: Arc<AtomicBool>,
    clients: Clients,
    peers: Peers,
    peer_events: Vec<PeerEvent>,
    cluster_file: ClusterFile,
    config: Config,
    stats: Stats,
    throttle: Throttle,
    packet_bytes_max: usize,
    cluster_made_up: u64,
    leading_since: Option<Instant>,
    last_note: Option<Note>,
    retire_until: Option<Instant>,
    ending: Option<Ending>,
    next_check: Instant,
    scratch: Vec<u8>,
    spare: Vec<u8>,
    ready: Vec<ConnId>,
    broken: Vec<ConnId>,
}

impl Server {
    /// Puts the parts together. Nothing is read or said before [`Server::run`].
    ///
    /// # Errors
    /// What the system said.
    pub fn new(parts: Parts) -> io::Result<Server> {
        let registry = parts.poll.registry();
        parts.signals.register(registry, SIGNALS)?;
        assert!(parts.client_listeners.len() <= PEERS - CLIENT_LISTENERS, "a server has few client ports");
        let clients = Clients::new(
            registry,
            parts.client_listeners,
            CLIENT_LISTENERS,
            parts.config.connections_per_address_max,
            parts.config.connections_max as usize,
        )?;
        let peers = Peers::new(
            registry,
            PEERS,
            parts.waker,
            parts.me,
            parts.cluster,
            &parts.others,
            parts.peer_listener,
        )?;
        let (now, instant) = parts.clock.now();
        Ok(Server {
            node: parts.node,
            outputs: Outputs::default(),
            clock: parts.clock,
            now,
            instant,
            started: instant,
            poll: parts.poll,
            storage: parts.storage,
            writes: Vec::new(),
            disk_news: parts.disk_news,
            signals: parts.signals,
            end: parts.end,
            clients,
            peers,
            peer_events: Vec::new(),
            cluster_file: parts.cluster_file,
            packet_bytes_max: parts.config.packet_bytes_max as usize,
            config: parts.config,
            stats: Stats::default(),
            throttle: Throttle::default(),
            cluster_made_up: parts.cluster_made_up,
            leading_since: None,
            last_note: None,
            retire_until: None,
            ending: None,
            next_check: instant,
            scratch: vec![0; bounds::READ_BYTES],
            spare: Vec::new(),
            ready: Vec::new(),
            broken: Vec::new(),
        })
    }

    /// Serves until it is told to end. The lanes may hold unsynced writes then: [`Server::into_storage`] and close it.
    pub fn run(&mut self) -> Ending {
        let mut events = Events::with_capacity(1_024);
        self.step(Input::Wake);
        let mut next = Some(self.instant);
        loop {
            let timeout = next.map(|next| next.saturating_duration_since(Instant::now()));
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                error!("cannot wait for sockets: {error}; the process ends");
                return Ending::Fault;
            }
            (self.now, self.instant) = self.clock.now();
            next = self.turn(&events);
            if let Some(ending) = self.ending.take() {
                return ending;
            }
        }
    }

    /// Gives the disk back when the loop has ended.
    pub fn into_storage(self) -> Storage {
        self.storage
    }

    /// One turn. Returns when the next is due at the latest.
    fn turn(&mut self, events: &Events) -> Option<Instant> {
        self.hear_disk();
        self.peers.read_on(self.instant, &mut self.peer_events);
        let mut signalled = self.end.swap(false, Ordering::Relaxed);
        for event in events {
            match event.token() {
                WAKER => {}
                SIGNALS => signalled |= self.signals.take(),
                _ if self.clients.socket_ready(self.instant, event) => {}
                _ => {
                    self.peers.ready(self.instant, event, &mut self.peer_events);
                }
            }
        }
        if signalled {
            self.retire();
        }
        let peers_next = self.peers.tick(self.instant, &mut self.peer_events);
        self.hear_peers();
        let accept_next = self.clients.accept(self.instant, self.now.wall.0, &mut self.throttle);
        self.serve_clients();
        if self.outputs.wake.is_some_and(|wake| wake <= self.now.mono) {
            self.step(Input::Wake);
        }
        self.check_time();
        // After a fault nothing more may be said; after an orderly end the rest of the turn is said.
        if matches!(self.ending, Some(Ending::Fault)) {
            return None;
        }
        let again = self.finish_turn();
        let core_next = self.outputs.wake.and_then(|wake| self.clock.instant(wake));
        let unread = again
            || self.peers.has_unread()
            || !self.peer_events.is_empty()
            || (self.clients.has_ready() && !self.node.saturated());
        let now = unread.then_some(self.instant);
        [core_next, peers_next, accept_next, now, self.retire_until, Some(self.next_check)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Hands the disk its batch and every socket its bytes. Whether that made more to hand over, for the next turn.
    fn finish_turn(&mut self) -> bool {
        // All at once: a lane's thread that wakes for the first write then finds the whole batch.
        for (lane, seq, write) in self.writes.drain(..) {
            self.storage.push(lane, seq, write);
        }
        self.peers.flush(self.instant, &mut self.peer_events);
        let mut broken = std::mem::take(&mut self.broken);
        self.clients.flush(self.instant, &mut broken);
        let again = !broken.is_empty();
        for conn in broken.drain(..) {
            self.forget(conn);
        }
        self.broken = broken;
        again
    }

    // ---- the core ----

    /// Tells the core one thing and does what follows.
    fn step(&mut self, input: Input) {
        if self.ending.is_some() {
            return;
        }
        self.node.step(self.now, input, &mut self.outputs);
        let mut list = std::mem::take(&mut self.outputs.list);
        for output in list.drain(..) {
            self.carry_out(output);
            if matches!(self.ending, Some(Ending::Fault)) {
                break;
            }
        }
        self.outputs.list = list;
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send { to, message } => {
                self.peers.send(self.instant, to, &message, &mut self.peer_events);
            }
            Output::Write { lane, seq, write } => self.writes.push((lane, seq, write)),
            Output::Connected { conn, response } => {
                let Some(client) = self.clients.queue_for(conn) else { return };
                jute::encode_connect_response(&response, client.tail());
                client.phase = Phase::Serving;
                client.account.sent += 1;
                if response.session.0 != 0 {
                    client.account.session = Some((response.session, response.timeout_ms));
                }
                self.stats.sent += 1;
            }
            Output::Reply { conn, reply } => {
                let Some(client) = self.clients.queue_for(conn) else { return };
                let before = client.tail().len();
                jute::encode_reply(&reply, client.tail());
                self.stats.replied(client.tail().len() - before);
                let account = &mut client.account;
                account.sent += 1;
                account.last_zxid = reply.zxid;
                account.last_reply_ms = self.now.mono.0 / 1_000_000;
                if let Some(pending) = client.pending.pop_front() {
                    let took = self.now.mono.0.saturating_sub(pending.at);
                    account.latency.add(took);
                    account.last = Some((pending.name, pending.xid));
                    self.stats.latency.add(took);
                }
                self.bound(conn);
            }
            Output::Event { conn, event } => {
                let Some(client) = self.clients.queue_for(conn) else { return };
                jute::encode_event(&event, client.tail());
                client.account.sent += 1;
                self.stats.sent += 1;
                self.bound(conn);
            }
            Output::Close { conn, why } => self.close(conn, why),
            Output::Note(note) => self.note(&note),
            Output::Retired => {
                if self.retire_until.is_some() {
                    self.ending = Some(Ending::Retired);
                }
            }
            Output::Halt(fault) => {
                error!("this server stops at once: {fault}");
                self.ending = Some(Ending::Fault);
            }
        }
    }

    fn note(&mut self, note: &Note) {
        match note {
            // One for each entry: for observers.
            Note::Applied { .. } => return,
            Note::Established { .. } => {
                self.leading_since = Some(self.instant);
                self.peers.lead(self.cluster_made_up, &mut self.peer_events);
            }
            Note::Looking { .. } | Note::Following { .. } => self.leading_since = None,
            _ => {}
        }
        // Without a quorum the same is tried again several times in a second.
        if self.last_note.as_ref() != Some(note) {
            logging::note(note);
        }
        self.last_note = Some(note.clone());
    }

    /// A client that takes nothing and is sent much must not use up the memory.
    fn bound(&mut self, conn: ConnId) {
        let Some(client) = self.clients.get(conn) else { return };
        if client.unsent() <= bounds::OUT_CLOSE_BYTES {
            return;
        }
        let (address, bytes) = (client.address, client.unsent());
        self.throttle.warn("unread", || {
            format!("disconnected {address}: it does not read, {} MiB wait for it", bytes >> 20)
        });
        self.stats.closed += 1;
        // The core is told at the end of the turn: it is in the middle of a step.
        self.clients.drop_now(conn);
        self.broken.push(conn);
    }

    // ---- the disk ----

    fn hear_disk(&mut self) {
        let (mut log, mut snapshot) = (None, None);
        while let Ok(news) = self.disk_news.try_recv() {
            match news {
                Report::Synced(synced) => match synced.lane {
                    Lane::Log => log = Some(synced.upto),
                    Lane::Snapshot => snapshot = Some(synced.upto),
                },
                Report::Fatal(why) => {
                    error!(
                        "{why}. This process ends: what is on the disk is not known now, and it must not promise more"
                    );
                    self.ending = Some(Ending::Fault);
                    return;
                }
            }
        }
        for (lane, upto) in [(Lane::Log, log), (Lane::Snapshot, snapshot)] {
            if let Some(upto) = upto {
                self.step(Input::Synced { lane, upto });
            }
        }
    }

    // ---- peers ----

    fn hear_peers(&mut self) {
        let mut events = std::mem::take(&mut self.peer_events);
        for event in events.drain(..) {
            match event {
                PeerEvent::Message(from, message) => self.step(Input::Peer { from, message }),
                PeerEvent::Gone(peer) => self.step(Input::PeerGone { peer }),
                PeerEvent::Cluster(cluster) => match self.cluster_file.write(cluster) {
                    Ok(()) => info!("this server belongs to cluster {cluster:016x}"),
                    Err(error) => {
                        error!(
                            "cannot write down which cluster this server belongs to: {error}; the process ends"
                        );
                        self.ending = Some(Ending::Fault);
                    }
                },
            }
        }
        // What came up meanwhile waits for the next turn, which then comes at once.
        events.append(&mut self.peer_events);
        self.peer_events = events;
    }

    // ---- time and the end ----

    fn check_time(&mut self) {
        if self.retire_until.is_some_and(|until| until <= self.instant) {
            warn!("leadership could not be handed over in time; the process ends anyway");
            self.ending.get_or_insert(Ending::Retired);
        }
        if self.next_check > self.instant {
            return;
        }
        self.next_check = self.instant + Duration::from_secs(1);
        let mut over = Vec::new();
        self.clients.overdue(self.instant, &mut over);
        for (conn, why) in over {
            if let Some(client) = self.clients.get(conn)
                && !why.is_empty()
            {
                let address = client.address;
                self.stats.closed += 1;
                self.throttle.warn(why, || format!("disconnected {address}: {why}"));
            }
            self.forget(conn);
        }
    }

    fn retire(&mut self) {
        if self.retire_until.is_none() {
            info!("asked to end: handing over and syncing; a second signal ends at once");
            self.retire_until = Some(self.instant + bounds::RETIRE);
            self.step(Input::Retire);
        }
    }
}
