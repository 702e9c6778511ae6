//! A blocking client of one server, as plain as can be: it sends what it is told to and hides no failure.
//!
//! It does not reconnect, retry or ping on its own. That makes it fit for tests which have to know what exactly was
//! acknowledged, and over which connection.

use std::collections::VecDeque;
use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use vivarium_core::api::{
    Acl, Blob, ConnectRequest, ConnectResponse, Create, Data, MultiOp, MultiResult, Op, Reply, Request,
    Response, Stat, WatchedEvent,
};
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::SessionId;
use vivarium_core::jute;

/// How long a server may take over one answer before it counts as gone.
const ANSWER: Duration = Duration::from_secs(30);

/// Why a call has no result.
#[derive(Debug)]
pub enum Failure {
    /// The server said so.
    Refused(ErrorCode),
    /// The connection broke, or was silent for too long: whether the call took effect is not known.
    Lost(String),
    /// The server answered the handshake with session 0.
    Expired,
}

/// What names a session when it is attached again.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The session, 0 for a new one.
    pub session: SessionId,
    /// What proves it.
    pub password: [u8; 16],
    /// The highest zxid seen in it.
    pub last_zxid: i64,
    /// The wanted timeout, ms.
    pub timeout_ms: i32,
}

/// A connection with a session.
pub struct Client {
    stream: TcpStream,
    xid: i32,
    /// The session and how to attach it again.
    pub ticket: Ticket,
    /// Events that came while something else was awaited, oldest first.
    pub events: VecDeque<WatchedEvent>,
}

/// The outcome of a call.
pub type Result<T> = std::result::Result<T, Failure>;

impl Ticket {
    /// Asks for a new session.
    pub fn new(timeout_ms: i32) -> Ticket {
        Ticket { session: SessionId(0), password: [0; 16], last_zxid: 0, timeout_ms }
    }
}

impl Client {
    /// Opens a new session of 30 s.
    pub fn connect(address: SocketAddr) -> Result<Client> {
        Client::attach(address, &Ticket::new(30_000))
    }

    /// Opens or attaches a session. Silence of half a minute counts as a broken connection.
    pub fn attach(address: SocketAddr, ticket: &Ticket) -> Result<Client> {
        Client::attach_within(address, ticket, ANSWER)
    }

    /// Opens or attaches a session. Silence of the server for this long counts as a broken connection.
    pub fn attach_within(address: SocketAddr, ticket: &Ticket, silence: Duration) -> Result<Client> {
        let stream = TcpStream::connect_timeout(&address, silence)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(silence))?;
        stream.set_write_timeout(Some(silence))?;
        let mut client = Client { stream, xid: 0, ticket: ticket.clone(), events: VecDeque::new() };
        let mut packet = Vec::new();
        jute::encode_connect(
            &ConnectRequest {
                protocol_version: 0,
                last_zxid_seen: ticket.last_zxid,
                timeout_ms: ticket.timeout_ms,
                session: ticket.session,
                password: Some(Blob::new(&ticket.password)),
                read_only: Some(false),
            },
            &mut packet,
        );
        client.stream.write_all(&packet)?;
        let response: ConnectResponse = jute::decode_connect_response(&client.packet()?).map_err(lost)?;
        if response.session == SessionId(0) {
            return Err(Failure::Expired);
        }
        client.ticket.session = response.session;
        client.ticket.password = response.password;
        client.ticket.timeout_ms = response.timeout_ms;
        Ok(client)
    }

    /// The other end's view of this connection: its local address.
    pub fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket has an address")
    }

    /// Sends a request without waiting; gives its xid.
    pub fn send(&mut self, op: Op) -> Result<i32> {
        self.xid += 1;
        let xid = if matches!(op, Op::Ping) { jute::PING_XID } else { self.xid };
        let mut packet = Vec::new();
        jute::encode_request(&Request { xid, op }, &mut packet);
        self.stream.write_all(&packet)?;
        Ok(xid)
    }

    /// Reads the next reply, which must be the answer to `op` sent as `xid`. Events on the way are kept.
    pub fn receive(&mut self, xid: i32, op: &Op) -> Result<Reply> {
        loop {
            let body = self.packet()?;
            let header = jute::decode_reply_header(&body).map_err(lost)?;
            if header.xid == jute::NOTIFICATION_XID {
                self.events.push_back(jute::decode_event(&body).map_err(lost)?);
                continue;
            }
            assert_eq!(header.xid, xid, "replies come in the order of requests");
            let reply = jute::decode_reply(&body, jute::ReplyKind::of(op)).map_err(lost)?;
            self.ticket.last_zxid = self.ticket.last_zxid.max(reply.zxid);
            return Ok(reply);
        }
    }

    /// Asks and waits for the answer.
    pub fn call(&mut self, op: Op) -> Result<Response> {
        let xid = self.send(op.clone())?;
        self.receive(xid, &op)?.result.map_err(Failure::Refused)
    }

    /// The next event: one that has come already, or the next one to come.
    pub fn event(&mut self) -> Result<WatchedEvent> {
        if let Some(event) = self.events.pop_front() {
            return Ok(event);
        }
        let body = self.packet()?;
        jute::decode_event(&body).map_err(lost)
    }

    /// create, open to all; `flags` as on the wire. Gives the path, suffix included.
    pub fn create(&mut self, path: &str, data: &[u8], flags: i32) -> Result<String> {
        match self.call(Op::Create(creation(path, data, flags)))? {
            Response::Path(path) => Ok(path),
            other => unreachable!("a create is answered by a path, not by {other:?}"),
        }
    }

    /// delete, whatever the version.
    pub fn delete(&mut self, path: &str) -> Result<()> {
        self.call(Op::Delete { path: path.into(), version: -1 }).map(drop)
    }

    /// exists; `None` when there is no such node.
    pub fn exists(&mut self, path: &str, watch: bool) -> Result<Option<Stat>> {
        match self.call(Op::Exists { path: path.into(), watch }) {
            Ok(Response::Stat(stat)) => Ok(Some(stat)),
            Err(Failure::Refused(ErrorCode::NoNode)) => Ok(None),
            Err(failure) => Err(failure),
            Ok(other) => unreachable!("exists is answered by a Stat, not by {other:?}"),
        }
    }

    /// getData.
    pub fn get(&mut self, path: &str) -> Result<(Data, Stat)> {
        match self.call(Op::GetData { path: path.into(), watch: false })? {
            Response::Data(data, stat) => Ok((data, stat)),
            other => unreachable!("getData is answered by data, not by {other:?}"),
        }
    }

    /// setData.
    pub fn set(&mut self, path: &str, data: &[u8], version: i32) -> Result<Stat> {
        match self.call(Op::SetData { path: path.into(), data: Some(Blob::new(data)), version })? {
            Response::Stat(stat) => Ok(stat),
            other => unreachable!("setData is answered by a Stat, not by {other:?}"),
        }
    }

    /// getChildren2.
    pub fn children(&mut self, path: &str) -> Result<(Vec<String>, Stat)> {
        match self.call(Op::GetChildren { path: path.into(), watch: false, stat: true })? {
            Response::ChildrenStat(names, stat) => Ok((names, stat)),
            other => unreachable!("getChildren2 is answered by names, not by {other:?}"),
        }
    }

    /// getACL.
    pub fn acl(&mut self, path: &str) -> Result<Vec<Acl>> {
        match self.call(Op::GetAcl { path: path.into() })? {
            Response::Acl(acl, _) => Ok(acl.to_vec()),
            other => unreachable!("getACL is answered by a list, not by {other:?}"),
        }
    }

    /// sync of the root: reads of this connection after it see all that was acknowledged before it.
    pub fn sync(&mut self) -> Result<()> {
        self.call(Op::Sync { path: Some("/".into()) }).map(drop)
    }

    /// multi.
    pub fn multi(&mut self, items: Vec<MultiOp>) -> Result<Vec<MultiResult>> {
        match self.call(Op::Multi(items))? {
            Response::Multi(results) => Ok(results),
            other => unreachable!("multi is answered by results, not by {other:?}"),
        }
    }

    /// Ends the session.
    pub fn close(mut self) -> Result<()> {
        self.call(Op::CloseSession).map(drop)
    }

    fn packet(&mut self) -> Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = i32::from_be_bytes(length);
        assert!((0..=1 << 30).contains(&length), "a server sends no packet of {length} bytes");
        let mut body = vec![0; length as usize];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }
}

/// A node that anyone may do anything with.
pub fn creation(path: &str, data: &[u8], flags: i32) -> Create {
    Create { path: path.into(), data: Some(Blob::new(data)), acl: Some(Acl::open()), flags, stat: false }
}

fn lost(error: impl fmt::Display) -> Failure {
    Failure::Lost(error.to_string())
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        lost(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(code) => write!(f, "refused: {code}"),
            Failure::Lost(why) => write!(f, "connection lost: {why}"),
            Failure::Expired => write!(f, "session expired"),
        }
    }
}
