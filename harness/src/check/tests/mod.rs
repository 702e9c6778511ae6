//! Checkers can fail: each is shown something wrong, made by hand, and has to object by name.
//!
//! ```text
//!   servers    what servers owe each other: order, disks, recovery
//!   clients    what they owe their clients: answers, notifications, sessions, progress
//! ```

mod clients;
mod servers;

use std::sync::Arc;

use vivarium_core::api::{
    Acl, Blob, ConnectRequest, ConnectResponse, Create, EventKind, Op, Reply, Request, Response, Stat,
    WatchedEvent,
};
use vivarium_core::entry::{Body, Command, Entry, SharedEntry, Write as Change};
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::{ConnId, Epoch, Origin, PeerId, SessionId, WriteSeq, Zxid};
use vivarium_core::io::{Boot, Input, Lane, LookingReason, Note, Output, Write};
use vivarium_core::limits::Limits;
use vivarium_core::record::Resume;
use vivarium_core::recovery::{Recovered, Recovery};
use vivarium_core::replica::{Membership, PeerMessage, Vow};
use vivarium_core::time::{Now, Timestamp};
use vivarium_sim::{MS, Observation, Observer, Schedule, Time};

use super::Checkers;

const SESSION: SessionId = SessionId(77);
const PASSWORD: [u8; 16] = [9; 16];
const OWNER: Origin = Origin { peer: PeerId(1), stream: 1, number: 1 };
const CONN: ConnId = ConnId(1);
const OTHER: ConnId = ConnId(2);
/// The session of the other connection, from entry 2 on.
const OTHER_SESSION: SessionId = SessionId(78);
const OTHER_OWNER: Origin = Origin { number: 2, ..OWNER };

/// Three nodes that do what a test tells them.
struct Stage {
    checkers: Checkers,
    at: Time,
    digest: u64,
    broken: Option<&'static str>,
}

impl Stage {
    fn schedule() -> Schedule {
        let mut schedule = (0..).map(Schedule::draw).find(|schedule| schedule.nodes == 3).unwrap();
        schedule.superuser = false;
        schedule.limits = Limits::default();
        for clock in &mut schedule.clocks {
            clock.drift_ppm = 0;
        }
        schedule
    }

    fn new() -> Stage {
        let schedule = Stage::schedule();
        let mut stage = Stage { checkers: Checkers::new(), at: 0, digest: 0, broken: None };
        stage.see(&Observation::Started { schedule: &schedule });
        for node in 0..3 {
            stage.see(&Observation::Booted { node, recovery: &found(Zxid::ZERO, &[], Epoch(0), None) });
            stage.write(node, Write::Join);
            stage.durable(node, &Write::Join);
        }
        stage
    }

    /// The first node leads epoch 1, and all three have its opening and a session.
    fn serving() -> Stage {
        let mut stage = Stage::elected();
        stage.note(0, Note::Established { epoch: Epoch(1), committed: zxid(0) });
        stage.everywhere(&entry(1, session_entry()));
        stage
    }

    /// The first node is elected, and opens epoch 1.
    fn elected() -> Stage {
        let mut stage = Stage::new();
        for node in 0..3 {
            let promise = Write::Promise { epoch: Epoch(1), candidate: PeerId(1) };
            stage.write(node, promise.clone());
            stage.durable(node, &promise);
        }
        stage.note(0, Note::Elected { epoch: Epoch(1), last: Zxid::ZERO });
        stage.everywhere(&entry(0, Body::Opening));
        stage
    }

    /// With a client in that session.
    fn connected() -> Stage {
        let mut stage = Stage::serving();
        stage.connect(CONN);
        stage
    }

    /// A client opens a connection and is confirmed the session of the entry executed last.
    fn connect(&mut self, conn: ConnId) {
        self.connect_as(conn, SESSION);
    }

    fn connect_as(&mut self, conn: ConnId, session: SessionId) {
        let hello = ConnectRequest { session, ..hello() };
        let response = ConnectResponse { session, ..welcome() };
        let client = conn.0 as usize - 1;
        self.see(&Observation::Connecting { client, conn, node: 0, hello: &hello });
        self.output(0, Output::Connected { conn, response: response.clone() });
        self.see(&Observation::Connected { client, conn, response: &response });
    }

    /// Another client, in a session that entry 2 makes.
    fn connect_other(&mut self) {
        let create = Command::CreateSession { session: OTHER_SESSION, password: PASSWORD, timeout_ms: 4000 };
        self.everywhere(&entry(2, Body::Command(create)));
        self.connect_as(OTHER, OTHER_SESSION);
    }

    fn see(&mut self, observation: &Observation<'_>) {
        let result = self.checkers.observe(self.at, observation);
        if let Err(violation) = result
            && self.broken.is_none()
        {
            self.broken = Some(violation.property);
        }
    }

    fn output(&mut self, node: usize, output: Output) {
        self.see(&Observation::Output { node, output: &output });
    }

    /// A client watches a node that is not there, and is told once another request has made it.
    fn watch_fires(&mut self) {
        self.ask(CONN, 1, Op::Exists { path: "/a".into(), watch: true });
        self.answer(CONN, 1, zxid(1), Err(ErrorCode::NoNode));
        self.ask(CONN, 2, Op::Create(create("/a")));
        self.everywhere(&request(2, Change::Create(create("/a"))));
        self.notify(EventKind::NodeCreated, "/a", zxid(2).wire());
    }

    fn note(&mut self, node: usize, note: Note) {
        self.output(node, Output::Note(note));
    }

    fn write(&mut self, node: usize, write: Write) {
        let lane = if matches!(write, Write::Chunk { .. }) { Lane::Snapshot } else { Lane::Log };
        self.output(node, Output::Write { lane, seq: WriteSeq(1), write });
    }

    fn durable(&mut self, node: usize, write: &Write) {
        self.see(&Observation::Durable { node, write });
    }

    fn append(&mut self, node: usize, entry: &SharedEntry) {
        self.write(node, Write::Append(entry.clone()));
        self.durable(node, &Write::Append(entry.clone()));
    }

    fn apply(&mut self, node: usize, zxid: Zxid, digest: u64) {
        self.note(node, Note::Applied { zxid, digest });
    }

    /// An entry is appended, durable and executed on all nodes, with a digest that changes if the state does.
    fn everywhere(&mut self, entry: &SharedEntry) {
        (0..3).for_each(|node| self.append(node, entry));
        let mut model = self.checkers.model.clone();
        let _ = model.execute(entry, None);
        self.digest += u64::from(model.changed());
        (0..3).for_each(|node| self.apply(node, entry.zxid, self.digest));
    }

    fn vow(&mut self, node: usize, vow: Vow) {
        // Only a journal makes one; but a decoder takes the word of the bytes.
        let durable = postcard::from_bytes(&postcard::to_stdvec(&vow).unwrap()).unwrap();
        self.output(node, Output::Send { to: PeerId(1), message: PeerMessage::Vow(durable) });
    }

    fn ask(&mut self, conn: ConnId, xid: i32, op: Op) {
        self.see(&Observation::Sent { client: conn.0 as usize - 1, conn, request: &Request { xid, op } });
    }

    fn answer(&mut self, conn: ConnId, xid: i32, zxid: Zxid, result: Result<Response, ErrorCode>) {
        let reply = Reply { xid, zxid: zxid.wire(), result };
        self.see(&Observation::Received { client: conn.0 as usize - 1, conn, reply: &reply });
    }

    fn notify(&mut self, kind: EventKind, path: &str, zxid: i64) {
        let event = WatchedEvent { kind, path: path.into(), zxid };
        self.see(&Observation::Notified { client: 0, conn: CONN, event: &event });
    }

    /// A write of the session as entry `counter`, asked for and answered rightly.
    fn write_and_answer(&mut self, counter: u32, write: Change, op: Op) {
        self.ask(CONN, 100 + counter as i32, op);
        self.everywhere(&request(counter, write));
        let position = self.checkers.history.position(zxid(counter));
        let told = &self.checkers.history.executed_at(position.unwrap()).unwrap().told;
        let outcome = self.checkers.model.outcome(told);
        self.answer(CONN, 100 + counter as i32, zxid(counter), outcome);
    }

    #[track_caller]
    fn expect(self, property: &str) {
        assert_eq!(self.broken, Some(property));
    }

    #[track_caller]
    fn expect_clean(&self) {
        assert_eq!(self.broken, None);
    }
}

fn zxid(counter: u32) -> Zxid {
    Zxid::new(Epoch(1), counter)
}

fn entry(counter: u32, body: Body) -> SharedEntry {
    let origin = Origin { number: counter.into(), ..OWNER };
    Arc::new(Entry { zxid: zxid(counter), time: Timestamp(5), origin, body })
}

fn session_entry() -> Body {
    Body::Command(Command::CreateSession { session: SESSION, password: PASSWORD, timeout_ms: 4000 })
}

fn request(counter: u32, write: Change) -> SharedEntry {
    request_of(counter, 1, SESSION, OWNER, write)
}

/// A command that comes to nothing: the expiry of a session that never was.
fn idle(counter: u32) -> SharedEntry {
    entry(counter, Body::Command(Command::Expire { session: SessionId(5), owner: OWNER }))
}

fn request_of(counter: u32, client: u8, session: SessionId, owner: Origin, write: Change) -> SharedEntry {
    let ids = [vivarium_core::api::Id { scheme: "ip".into(), id: format!("10.0.0.{client}") }].into();
    entry(counter, Body::Command(Command::Request { session, owner, ids, write }))
}

fn create(path: &str) -> Create {
    Create { path: path.into(), data: None, acl: Some(Acl::open()), flags: 0, stat: false }
}

fn hello() -> ConnectRequest {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0,
        timeout_ms: 4000,
        session: SESSION,
        password: Some(Blob::new(&PASSWORD)),
        read_only: None,
    }
}

fn welcome() -> ConnectResponse {
    ConnectResponse { timeout_ms: 4000, session: SESSION, password: PASSWORD, read_only: None }
}

fn found(snapshot: Zxid, entries: &[SharedEntry], promised: Epoch, candidate: Option<PeerId>) -> Recovery {
    Recovery {
        recovered: Recovered {
            promised,
            candidate,
            member: promised > Epoch(0),
            snapshot: (snapshot != Zxid::ZERO).then(|| (snapshot, Vec::new())),
            entries: entries.to_vec(),
        },
        resume: Resume::FRESH,
        next_segment: 1,
        prelude: Vec::new(),
        torn: None,
        garbage: Vec::new(),
        segments: Vec::new(),
        snapshots: Vec::new(),
        remarks: Vec::new(),
    }
}
