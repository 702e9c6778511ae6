//! A world of desks that share one state: servers which are always exactly in step. What the desks submit waits in
//! one queue until a test lets it happen, so that a test decides what a client has sent before its answer comes.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use vivarium_core::api::{
    Acl, Blob, ConnectRequest, ConnectResponse, Create, Data, EventKind, Op, Reply, Request, Response,
};
use vivarium_core::entry::{Ask, Body, Entry, Submission};
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::{ConnId, Epoch, Origin, PeerId, SessionId, Zxid};
use vivarium_core::io::{CloseReason, Output, Outputs};
use vivarium_core::limits::Limits;
use vivarium_core::service::{FrontDesk, Standing};
use vivarium_core::state::State;
use vivarium_core::time::{Duration, Instant, Now, Timestamp};

/// The digest of `bob:pw`, whom every desk takes for the superuser.
pub const SUPER: &str = "bob:ikIaKsbtGweaHnb/jKn7OHqbunM=";

pub struct World {
    pub state: State,
    pub desks: Vec<FrontDesk>,
    pub now: Now,
    pub limits: Limits,
    /// Asked of the order and not executed: by which desk, and what.
    pub pending: VecDeque<(usize, Submission)>,
    out: Outputs,
    said: BTreeMap<ConnId, VecDeque<Said>>,
    last: Zxid,
    connections: u64,
}

/// What a client receives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    Connected(ConnectResponse),
    Reply(Reply),
    Event(EventKind, String, i64),
    Close(CloseReason),
}

/// A client: its connection and the desk that holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Client {
    pub conn: ConnId,
    pub desk: usize,
}

impl World {
    /// As many open desks; the first keeps the time.
    pub fn new(desks: usize) -> World {
        let limits = Limits::default();
        let mut world = World {
            state: State::new(),
            desks: Vec::new(),
            now: Now { mono: Instant(Duration::millis(123_456).0), wall: Timestamp(1_700_000_000_000) },
            pending: VecDeque::new(),
            out: Outputs::default(),
            said: BTreeMap::new(),
            last: Epoch(1).opening(),
            connections: 0,
            limits,
        };
        let opening = Entry {
            zxid: world.last,
            time: world.now.wall,
            origin: Origin { peer: PeerId(1), stream: 0, number: 0 },
            body: Body::Opening,
        };
        world.state.apply(&opening, &mut Vec::new());
        for index in 0..desks {
            let id = PeerId(index as u8 + 1);
            let mut desk = FrontDesk::new(id, &world.limits, Some(SUPER.into()), 7 + index as u64);
            desk.stand(Standing::Open { stream: stream(index) }, &mut world.out);
            world.desks.push(desk);
        }
        world.desks[0].keep_time(Some(world.now), &world.state);
        world
    }

    /// A client with a session of its own, established.
    pub fn client(&mut self, desk: usize) -> Client {
        let client = self.open(desk, hello(SessionId(0), None));
        self.settle();
        match &self.hear(client)[..] {
            [Said::Connected(response)] if response.timeout_ms > 0 => client,
            other => panic!("no session: {other:?}"),
        }
    }

    /// Sends a first packet over a new connection.
    pub fn open(&mut self, desk: usize, hello: ConnectRequest) -> Client {
        self.connections += 1;
        let client = Client { conn: ConnId(self.connections), desk };
        let address: IpAddr = [10, 0, 0, 9].into();
        self.desks[desk].open(self.now, client.conn, address, hello, &self.state, &mut self.out);
        self.collect();
        client
    }

    /// Sends a request.
    pub fn ask(&mut self, client: Client, xid: i32, op: Op) {
        let request = Request { xid, op };
        self.desks[client.desk].request(self.now, client.conn, request, &self.state, &mut self.out);
        self.collect();
    }

    /// Sends a request, lets all happen, and returns the answer, which must be the only thing the client hears.
    pub fn answer(&mut self, client: Client, op: Op) -> Reply {
        self.ask(client, 77, op);
        self.settle();
        match &self.hear(client)[..] {
            [Said::Reply(reply)] => reply.clone(),
            other => panic!("one reply was expected: {other:?}"),
        }
    }

    /// Creates an open node, and lets all happen.
    pub fn make(&mut self, client: Client, path: &str) -> Zxid {
        let reply = self.answer(client, create(path));
        assert_eq!(reply.result, Ok(Response::Path(path.into())));
        Zxid(reply.zxid as u64)
    }

    /// Lets the `index`-th pending submission happen.
    pub fn happen(&mut self, index: usize) {
        let (origin_desk, submission) = self.pending.remove(index).expect("there is such a submission");
        let number = submission.number;
        match submission.ask {
            Ask::Barrier => {
                self.desks[origin_desk].barrier_passed(number, &self.state, &mut self.out);
            }
            Ask::Command(command) => {
                self.last = Zxid(self.last.0 + 1);
                let peer = PeerId(origin_desk as u8 + 1);
                let origin = Origin { peer, stream: stream(origin_desk), number };
                let body = Body::Command(command);
                let entry = Entry { zxid: self.last, time: self.now.wall, origin, body };
                let mut changes = Vec::new();
                let outcome = self.state.apply(&entry, &mut changes);
                for (index, desk) in self.desks.iter_mut().enumerate() {
                    let number = (index == origin_desk).then_some(number);
                    let (now, state, out) = (self.now, &self.state, &mut self.out);
                    desk.delivered(now, &entry, outcome.clone(), &changes, number, state, out);
                }
            }
        }
        self.collect();
    }

    /// Lets all that is pending happen, and all that follows from it.
    pub fn settle(&mut self) {
        while !self.pending.is_empty() {
            self.happen(0);
        }
    }

    /// What a client has heard since this was last asked.
    pub fn hear(&mut self, client: Client) -> Vec<Said> {
        self.said.remove(&client.conn).unwrap_or_default().into()
    }

    /// Lets time pass, and wakes the desks at their deadlines on the way. What they submit stays pending.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now.mono + duration;
        while let Some(deadline) = self.desks.iter().filter_map(FrontDesk::deadline).min() {
            if deadline > end {
                break;
            }
            assert!(deadline > self.now.mono, "a deadline that has passed is gone after the wake");
            self.now.mono = deadline;
            self.wake();
        }
        self.now.mono = end;
    }

    /// Wakes all desks.
    pub fn wake(&mut self) {
        for desk in &mut self.desks {
            desk.wake(self.now, &self.state);
        }
        self.collect();
    }

    /// Opens or closes a desk.
    pub fn stand(&mut self, desk: usize, standing: Standing) {
        self.desks[desk].stand(standing, &mut self.out);
        self.pending.retain(|(from, _)| *from != desk);
        self.collect();
    }

    /// The client's connection breaks.
    pub fn hang_up(&mut self, client: Client) {
        self.desks[client.desk].gone(client.conn);
    }

    pub fn session(&self, client: Client) -> SessionId {
        self.desks[client.desk].session_of(client.conn).expect("the client has a session")
    }

    pub fn password(&self, session: SessionId) -> [u8; 16] {
        self.state.session(session).expect("the session is open").password
    }

    /// A first packet that takes a client's session with it.
    pub fn again(&self, client: Client) -> ConnectRequest {
        let session = self.session(client);
        hello(session, Some(&self.password(session)))
    }

    fn collect(&mut self) {
        for (index, desk) in self.desks.iter_mut().enumerate() {
            self.pending.extend(desk.submissions().map(|submission| (index, submission)));
        }
        for output in self.out.list.drain(..) {
            let (conn, said) = match output {
                Output::Connected { conn, response } => (conn, Said::Connected(response)),
                Output::Reply { conn, reply } => (conn, Said::Reply(reply)),
                Output::Event { conn, event } => {
                    (conn, Said::Event(event.kind, event.path.to_string(), event.zxid))
                }
                Output::Close { conn, why } => (conn, Said::Close(why)),
                Output::Note(_) => continue,
                other => panic!("a desk does not say {other:?}"),
            };
            let heard = self.said.entry(conn).or_default();
            assert!(!matches!(heard.back(), Some(Said::Close(_))), "{conn:?} hears {said:?} after its end");
            heard.push_back(said);
        }
    }
}

fn stream(desk: usize) -> u64 {
    1_000 + desk as u64
}

pub fn hello(session: SessionId, password: Option<&[u8]>) -> ConnectRequest {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0,
        timeout_ms: 10_000,
        session,
        password: password.map(Blob::new),
        read_only: Some(false),
    }
}

pub fn create(path: &str) -> Op {
    create_as(path, 0, Acl::open())
}

pub fn create_as(path: &str, flags: i32, acl: Vec<Acl>) -> Op {
    Op::Create(Create { path: path.into(), data: bytes("0"), acl: Some(acl), flags, stat: false })
}

pub fn set(path: &str, data: &str) -> Op {
    Op::SetData { path: path.into(), data: bytes(data), version: -1 }
}

pub fn get(path: &str) -> Op {
    Op::GetData { path: path.into(), watch: false }
}

pub fn watch(path: &str) -> Op {
    Op::GetData { path: path.into(), watch: true }
}

pub fn auth(scheme: &str, token: &str) -> Op {
    Op::Auth { scheme: Some(scheme.into()), token: Some(Blob::new(token.as_bytes())) }
}

pub fn sync() -> Op {
    Op::Sync { path: Some("/".into()) }
}

pub fn bytes(text: &str) -> Data {
    Some(Blob::new(text.as_bytes()))
}

/// What a client heard, in short: `4@7` for the reply to xid 4 with counter 7, `4!-101` for an error.
pub fn short(said: &[Said]) -> Vec<String> {
    let counter = |zxid: i64| if zxid > 0 { Zxid(zxid as u64).counter() as i64 } else { zxid };
    said.iter()
        .map(|said| match said {
            Said::Connected(response) if response.timeout_ms == 0 => "refused".into(),
            Said::Connected(_) => "connected".into(),
            Said::Reply(Reply { xid, zxid, result: Ok(_) }) => format!("{xid}@{}", counter(*zxid)),
            Said::Reply(Reply { xid, zxid, result: Err(error) }) => {
                format!("{xid}@{}!{}", counter(*zxid), error.code())
            }
            Said::Event(kind, path, zxid) => format!("{kind:?} {path}@{}", counter(*zxid)),
            Said::Close(why) => format!("{why:?}"),
        })
        .collect()
}

/// The data and version in a getData's reply.
pub fn data_of(reply: &Reply) -> Result<(String, i32), ErrorCode> {
    match &reply.result {
        Ok(Response::Data(data, stat)) => {
            let data = data.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            Ok((data.into_owned(), stat.version))
        }
        Ok(other) => panic!("no data: {other:?}"),
        Err(error) => Err(*error),
    }
}
