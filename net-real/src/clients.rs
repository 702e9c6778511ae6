//! Clients' sockets: accepting, buffering, bounding and closing them. What their bytes mean is `server`'s business.
//!
//! * A connection holds memory only for what it has in flight: bytes are read into one buffer that all share, and only
//!   an incomplete packet is kept.
//! * All that is queued for a connection in a turn of the loop leaves with one write.
//! * A connection that is closed is first given what is queued for it, then shut down, then read until its other side
//!   closes as well: were it closed with bytes unread, the system would reset it and could destroy the last answer.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::Instant;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use vivarium_core::ids::{ConnId, SessionId};

use crate::bounds;
use crate::frame::{self, Got, OutBuffer};
use crate::logging::Throttle;
use crate::stats::Latency;

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Nothing whole has arrived; dropped at this time.
    Fresh { until: Instant },
    /// The handshake is with the core; what follows it waits.
    Opening,
    /// Requests are served.
    Serving,
    /// Nothing more is served: what is queued leaves, and what arrives is thrown away until this time.
    Closing { until: Instant },
}

/// A request that has not been answered.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    /// When it was read, ns on the driver's clock.
    pub at: u64,
    /// Its short name, as `cons` prints it.
    pub name: &'static str,
    /// The client's number for it.
    pub xid: i32,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    /// Its number; also the token of its socket.
    pub conn: ConnId,
    /// The other end.
    pub address: SocketAddr,
    /// Where it stands.
    pub phase: Phase,
    /// Requests with the core, oldest first.
    pub pending: VecDeque<Pending>,
    /// What operators' commands tell about it.
    pub account: Account,
    stream: TcpStream,
    /// An incomplete packet, or packets not taken yet.
    input: Vec<u8>,
    out: OutBuffer,
    /// When the socket last took something, or had nothing to take.
    taken: Instant,
    readable: bool,
    hangup: bool,
    /// Its other side will send no more.
    ended: bool,
    /// Whether the input may hold a whole packet that was not taken.
    held: bool,
    in_ready: bool,
    in_dirty: bool,
}

/// What `cons` and `stat` tell about a connection.
#[derive(Debug, Default)]
pub struct Account {
    /// When it was accepted, ms since 1970.
    pub since_ms: i64,
    /// Its session, once there is one.
    pub session: Option<(SessionId, i32)>,
    /// Packets from it.
    pub received: u64,
    /// Packets to it.
    pub sent: u64,
    /// Name and number of the last request answered.
    pub last: Option<(&'static str, i32)>,
    /// Zxid of the last reply.
    pub last_zxid: i64,
    /// When the last reply was made, ms on the driver's clock.
    pub last_reply_ms: u64,
    /// How long replies took.
    pub latency: Latency,
}

/// All connections of clients.
#[derive(Debug)]
pub struct Clients {
    registry: Registry,
    listeners: Vec<TcpListener>,
    listener_token: usize,
    slots: Vec<Option<Client>>,
    free: Vec<usize>,
    serial: u64,
    count: usize,
    per_address: HashMap<IpAddr, u32>,
    per_address_max: u32,
    total_max: usize,
    ready: Vec<ConnId>,
    dirty: Vec<ConnId>,
    accept_again: Option<Instant>,
}

/// Bits of a connection's number that name its slot; the rest counts connections, so that no number comes twice.
const SLOT_BITS: u32 = 24;

/// Bytes from a client, and what comes after them.
#[derive(Debug)]
pub enum Taken {
    /// These are all there are for now.
    Bytes(Vec<u8>),
    /// The connection has ended.
    Ended(Option<io::Error>),
}

impl Clients {
    /// Serves these listeners, with tokens from `listener_token`. A bound of 0 is none.
    ///
    /// # Errors
    /// What the system said.
    pub fn new(
        registry: &Registry,
        mut listeners: Vec<TcpListener>,
        listener_token: usize,
        per_address_max: u32,
        total_max: usize,
    ) -> io::Result<Clients> {
        for (n, listener) in listeners.iter_mut().enumerate() {
            registry.register(listener, Token(listener_token + n), Interest::READABLE)?;
        }
        Ok(Clients {
            registry: registry.try_clone()?,
            listeners,
            listener_token,
            slots: Vec::new(),
            free: Vec::new(),
            serial: 0,
            count: 0,
            per_address: HashMap::new(),
            per_address_max,
            total_max,
            ready: Vec::new(),
            dirty: Vec::new(),
            accept_again: None,
        })
    }

    /// Open connections.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.slots.iter().flatten()
    }

    /// For `srst` and `crst`.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Client> {
        self.slots.iter_mut().flatten()
    }

    /// One of them, if it still exists.
    pub fn get(&mut self, conn: ConnId) -> Option<&mut Client> {
        let slot = (conn.0 & ((1 << SLOT_BITS) - 1)) as usize;
        self.slots.get_mut(slot)?.as_mut().filter(|client| client.conn == conn)
    }

    /// A socket is ready. False when the token is not of a client or of a client's listener.
    pub fn socket_ready(&mut self, now: Instant, event: &Event) -> bool {
        let token = event.token().0;
        if (self.listener_token..self.listener_token + self.listeners.len()).contains(&token) {
            self.accept_again = Some(now);
            return true;
        }
        let conn = ConnId(token as u64);
        let Some(client) = self.get(conn) else { return token >> SLOT_BITS != 0 };
        if event.is_writable() && !client.out.is_empty() {
            self.mark_dirty(conn);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            if let Some(client) = self.get(conn) {
                client.readable = true;
                client.hangup |= event.is_read_closed() || event.is_error();
            }
            self.mark_ready(conn);
        }
        true
    }

    /// Takes new connections, a bounded number. Returns when to be called again, if it must be.
    pub fn accept(&mut self, now: Instant, wall_ms: i64, throttle: &mut Throttle) -> Option<Instant> {
        if self.accept_again? > now {
            return self.accept_again;
        }
        self.accept_again = None;
        for n in 0..self.listeners.len() {
            for turn in 0.. {
                if turn == bounds::ACCEPTS_PER_TURN {
                    self.accept_again = Some(now);
                    break;
                }
                match self.listeners[n].accept() {
                    Ok((stream, address)) => self.add(now, wall_ms, stream, address, throttle),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error)
                        if matches!(
                            error.kind(),
                            io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                        ) => {}
                    Err(error) => {
                        // Out of file descriptors or memory: the connection stays in the queue and would be reported
                        // ready at once again, so a pause is what keeps the loop from spinning.
                        let open = self.count;
                        throttle.error("accept", || {
                            format!(
                                "cannot accept a client with {open} connections open: {error}; raise the limit of open files (ulimit -n, LimitNOFILE)"
                            )
                        });
                        self.accept_again = Some(now + bounds::ACCEPT_PAUSE);
                        break;
                    }
                }
            }
        }
        self.accept_again
    }

    fn add(
        &mut self,
        now: Instant,
        wall_ms: i64,
        mut stream: TcpStream,
        address: SocketAddr,
        throttle: &mut Throttle,
    ) {
        let ip = address.ip().to_canonical();
        let of_address = self.per_address.get(&ip).copied().unwrap_or(0);
        if self.per_address_max != 0 && of_address >= self.per_address_max {
            let max = self.per_address_max;
            throttle.warn("maxClientCnxns", || {
                format!("refused {address}: {ip} has {max} connections already (maxClientCnxns={max})")
            });
            return;
        }
        if self.total_max != 0 && self.count >= self.total_max {
            let max = self.total_max;
            throttle.warn("maxCnxns", || {
                format!("refused {address}: {max} connections are open already (maxCnxns={max})")
            });
            return;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        assert!(slot < 1 << SLOT_BITS, "no system has that many file descriptors");
        self.serial += 1;
        let conn = ConnId(self.serial << SLOT_BITS | slot as u64);
        // Replies are small and leave in one write; waiting to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        let both = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.registry.register(&mut stream, Token(conn.0 as usize), both) {
            self.free.push(slot);
            throttle.error("register", || format!("cannot watch the connection of {address}: {error}"));
            return;
        }
        *self.per_address.entry(ip).or_insert(0) += 1;
        self.count += 1;
        self.slots[slot] = Some(Client {
            conn,
            address: SocketAddr::new(ip, address.port()),
            phase: Phase::Fresh { until: now + bounds::HANDSHAKE },
            pending: VecDeque::new(),
            account: Account { since_ms: wall_ms, ..Account::default() },
            stream,
            input: Vec::new(),
            out: OutBuffer::default(),
            taken: now,
            readable: false,
            hangup: false,
            ended: false,
            held: false,
            in_ready: false,
            in_dirty: false,
        });
    }

    /// Puts a connection on the list of those to read.
    pub fn mark_ready(&mut self, conn: ConnId) {
        if let Some(client) = self.get(conn)
            && !std::mem::replace(&mut client.in_ready, true)
        {
            self.ready.push(conn);
        }
    }

    /// Puts a connection on the list of those to read, if it holds something that a bound kept from being taken.
    pub fn resume(&mut self, conn: ConnId) {
        if let Some(client) = self.get(conn)
            && (client.held || client.readable)
            && client.may_take()
        {
            self.mark_ready(conn);
        }
    }

    /// Whether a connection waits to be read.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The connections to read in this turn, into `list`, which is empty.
    pub fn take_ready(&mut self, list: &mut Vec<ConnId>) {
        std::mem::swap(&mut self.ready, list);
        for conn in list.iter() {
            if let Some(client) = self.get(*conn) {
                client.in_ready = false;
            }
        }
    }

    /// A connection to queue packets for; they leave at the end of the turn. `None` when it is closed or closing.
    pub fn queue_for(&mut self, conn: ConnId) -> Option<&mut Client> {
        let slot = (conn.0 & ((1 << SLOT_BITS) - 1)) as usize;
        let client = self.slots.get_mut(slot)?.as_mut()?;
        if client.conn != conn || matches!(client.phase, Phase::Closing { .. }) {
            return None;
        }
        if !std::mem::replace(&mut client.in_dirty, true) {
            self.dirty.push(conn);
        }
        Some(client)
    }

    fn mark_dirty(&mut self, conn: ConnId) {
        if let Some(client) = self.get(conn)
            && !std::mem::replace(&mut client.in_dirty, true)
        {
            self.dirty.push(conn);
        }
    }

    /// No more is served on this connection: what is queued leaves, then it is shut down.
    pub fn close(&mut self, conn: ConnId, now: Instant) {
        if let Some(client) = self.get(conn)
            && !matches!(client.phase, Phase::Closing { .. })
        {
            client.phase = Phase::Closing { until: now + bounds::LINGER };
            client.pending = VecDeque::new();
            client.input = Vec::new();
            self.mark_dirty(conn);
            self.mark_ready(conn);
        }
    }

    /// Forgets a connection at once.
    pub fn drop_now(&mut self, conn: ConnId) {
        let slot = (conn.0 & ((1 << SLOT_BITS) - 1)) as usize;
        if self.get(conn).is_none() {
            return;
        }
        let client = self.slots[slot].take().expect("it was found right above");
        self.free.push(slot);
        self.count -= 1;
        if let Some(count) = self.per_address.get_mut(&client.address.ip()) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&client.address.ip());
            }
        }
    }

    /// Gives sockets what is queued: one write each. Connections that broke go into `broken`.
    pub fn flush(&mut self, now: Instant, broken: &mut Vec<ConnId>) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for conn in dirty.drain(..) {
            let Some(client) = self.get(conn) else { continue };
            client.in_dirty = false;
            match client.out.flush(&mut client.stream) {
                Ok(progress) => {
                    if progress || client.out.is_empty() {
                        client.taken = now;
                    }
                    if client.out.is_empty() && matches!(client.phase, Phase::Closing { .. }) {
                        // Fails when the other side is gone already, which reading finds out.
                        let _ = client.stream.shutdown(Shutdown::Write);
                        if client.ended {
                            broken.push(conn);
                        }
                    }
                    self.resume(conn);
                }
                Err(_) => broken.push(conn),
            }
        }
        self.dirty = dirty;
    }

    /// Connections whose time is over, into `over`, with the reason.
    pub fn overdue(&self, now: Instant, over: &mut Vec<(ConnId, &'static str)>) {
        for client in self.slots.iter().flatten() {
            match client.phase {
                Phase::Fresh { until } if until <= now => {
                    over.push((client.conn, "no handshake within 10 s"))
                }
                Phase::Closing { until } if until <= now => over.push((client.conn, "")),
                _ if client.out.len() > bounds::OUT_PAUSE_BYTES
                    && client.taken + bounds::OUT_STALL <= now =>
                {
                    over.push((client.conn, "it does not read what it is sent"));
                }
                _ => {}
            }
        }
    }
}

impl Client {
    /// Whether its bounds let it send another packet.
    pub fn may_take(&self) -> bool {
        match self.phase {
            Phase::Opening => false,
            Phase::Fresh { .. } | Phase::Closing { .. } => true,
            Phase::Serving => {
                self.pending.len() < bounds::IN_FLIGHT_MAX && self.out.len() < bounds::OUT_PAUSE_BYTES
            }
        }
    }

    /// Whether it can be forgotten: closed, and all that was queued is with the socket or lost.
    pub fn is_finished(&self) -> bool {
        self.ended && self.out.is_empty()
    }

    /// Bytes queued and not with its socket.
    pub fn unsent(&self) -> usize {
        self.out.len()
    }

    /// What the socket is waited for: reading when its bounds let it, as `stat` prints it.
    pub fn interest(&self) -> u8 {
        u8::from(self.may_take()) | if self.out.is_empty() { 0 } else { 4 }
    }

    /// Where to append packets; after [`Clients::queue_for`].
    pub fn tail(&mut self) -> &mut Vec<u8> {
        self.out.tail()
    }

    /// Takes what it has sent: what was kept, and one read of its socket if there may be more. The caller gives back with
    /// [`Client::keep`] what it did not use. `spare` is an empty buffer to use when nothing was kept.
    pub fn take(&mut self, scratch: &mut [u8], spare: &mut Vec<u8>) -> Taken {
        let from = if self.input.is_empty() { spare } else { &mut self.input };
        let mut bytes = std::mem::take(from);
        self.held = false;
        if !self.readable {
            return Taken::Bytes(bytes);
        }
        match frame::read_once(&mut self.stream, scratch, self.hangup) {
            Got::Last(n) => {
                self.readable = false;
                bytes.extend_from_slice(&scratch[..n]);
                Taken::Bytes(bytes)
            }
            Got::Bytes(n) => {
                bytes.extend_from_slice(&scratch[..n]);
                Taken::Bytes(bytes)
            }
            Got::Ended => {
                self.readable = false;
                self.ended = true;
                Taken::Ended(None)
            }
            Got::Broke(error) => {
                self.out.clear();
                self.readable = false;
                self.ended = true;
                Taken::Ended(Some(error))
            }
        }
    }

    /// Keeps what was not used, from `used` on; `whole` when a whole packet may be among it. Returns an empty buffer, to
    /// be used again.
    pub fn keep(&mut self, mut bytes: Vec<u8>, used: usize, whole: bool) -> Vec<u8> {
        let left = bytes.len() - used;
        if left > 0 {
            self.held = whole;
            if left > bytes.len() / 4 {
                bytes.drain(..used);
                self.input = bytes;
                return Vec::new();
            }
            self.input = bytes[used..].to_vec();
        }
        bytes.clear();
        bytes
    }

    /// Whether there may be more to take right now.
    pub fn has_more(&self) -> bool {
        self.readable || self.held
    }
}
