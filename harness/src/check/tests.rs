//! Checkers can fail: each is shown something wrong, made by hand, and has to object by name.

use std::sync::Arc;

use vivarium_core::api::{
    Acl, Blob, ConnectRequest, ConnectResponse, Create, EventKind, Op, Reply, Request, Response, Stat,
    WatchedEvent,
};
use vivarium_core::entry::{Body, Command, Entry, SharedEntry, Write as Change};
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::{ConnId, Epoch, Origin, PeerId, SessionId, WriteSeq, Zxid};
use vivarium_core::io::{Boot, Input, Lane, Note, Output, Write};
use vivarium_core::limits::Limits;
use vivarium_core::record::Resume;
use vivarium_core::recovery::{Recovered, Recovery};
use vivarium_core::replica::{PeerMessage, Vow};
use vivarium_core::time::{Now, Timestamp};
use vivarium_sim::{MS, Observation, Observer, Schedule, Time};

use super::Checkers;

const SESSION: SessionId = SessionId(77);
const PASSWORD: [u8; 16] = [9; 16];
const OWNER: Origin = Origin { peer: PeerId(1), stream: 1, number: 1 };
const CONN: ConnId = ConnId(1);
const OTHER: ConnId = ConnId(2);

/// Three nodes that do what a test tells them.
struct Stage {
    checkers: Checkers,
    at: Time,
    broken: Option<&'static str>,
}

impl Stage {
    fn new() -> Stage {
        let mut schedule = (0..).map(Schedule::draw).find(|schedule| schedule.nodes == 3).unwrap();
        schedule.superuser = false;
        schedule.limits = Limits::default();
        let mut stage = Stage { checkers: Checkers::new(), at: 0, broken: None };
        stage.see(&Observation::Started { schedule: &schedule });
        for node in 0..3 {
            stage.see(&Observation::Booted { node, recovery: &found(Zxid::ZERO, &[], Epoch(0), None) });
        }
        stage
    }

    /// The first node leads epoch 1, and all three have its opening and a session.
    fn serving() -> Stage {
        let mut stage = Stage::new();
        stage.note(0, Note::Elected { epoch: Epoch(1), last: Zxid::ZERO });
        stage.everywhere(&entry(0, Body::Opening));
        stage.note(0, Note::Established { epoch: Epoch(1), committed: zxid(0) });
        let create = Command::CreateSession { session: SESSION, password: PASSWORD, timeout_ms: 4000 };
        stage.everywhere(&entry(1, Body::Command(create)));
        stage
    }

    /// With a client in that session.
    fn connected() -> Stage {
        let mut stage = Stage::serving();
        stage.connect(CONN);
        stage
    }

    fn connect(&mut self, conn: ConnId) {
        self.see(&Observation::Connecting { client: 0, conn, node: 0, hello: &hello() });
        self.see(&Observation::Connected { client: 0, conn, response: &welcome() });
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

    /// An entry is appended, durable and executed on all nodes.
    fn everywhere(&mut self, entry: &SharedEntry) {
        (0..3).for_each(|node| self.append(node, entry));
        (0..3).for_each(|node| self.apply(node, entry.zxid, entry.zxid.0));
    }

    fn vow(&mut self, node: usize, vow: Vow) {
        // Only a journal makes one; but a decoder takes the word of the bytes.
        let durable = postcard::from_bytes(&postcard::to_stdvec(&vow).unwrap()).unwrap();
        self.output(node, Output::Send { to: PeerId(1), message: PeerMessage::Vow(durable) });
    }

    fn ask(&mut self, conn: ConnId, xid: i32, op: Op) {
        self.see(&Observation::Sent { client: 0, conn, request: &Request { xid, op } });
    }

    fn answer(&mut self, conn: ConnId, xid: i32, zxid: Zxid, result: Result<Response, ErrorCode>) {
        let reply = Reply { xid, zxid: zxid.wire(), result };
        self.see(&Observation::Received { client: 0, conn, reply: &reply });
    }

    fn notify(&mut self, kind: EventKind, path: &str, zxid: i64) {
        let event = WatchedEvent { kind, path: path.into(), zxid };
        self.see(&Observation::Notified { client: 0, conn: CONN, event: &event });
    }

    /// A write of the session as entry `counter`, asked for and answered rightly.
    fn write_and_answer(&mut self, counter: u32, write: Change, op: Op) {
        self.ask(CONN, 100 + counter as i32, op);
        self.everywhere(&request(counter, write));
        let outcome = self.checkers.history.record(zxid(counter)).unwrap().outcome.clone();
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
    let origin = if counter == 1 { OWNER } else { Origin { number: counter.into(), ..OWNER } };
    Arc::new(Entry { zxid: zxid(counter), time: Timestamp(5), origin, body })
}

fn request(counter: u32, write: Change) -> SharedEntry {
    let ids = [vivarium_core::api::Id { scheme: "ip".into(), id: "10.0.0.1".into() }].into();
    entry(counter, Body::Command(Command::Request { session: SESSION, owner: OWNER, ids, write }))
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

#[test]
fn a_right_run_is_not_objected_to() {
    let mut stage = Stage::connected();
    stage.ask(CONN, 1, Op::Exists { path: "/a".into(), watch: true });
    stage.answer(CONN, 1, zxid(1), Err(ErrorCode::NoNode));
    stage.ask(CONN, 2, Op::Create(create("/a")));
    stage.everywhere(&request(2, Change::Create(create("/a"))));
    stage.notify(EventKind::NodeCreated, "/a", zxid(2).wire());
    stage.answer(CONN, 2, zxid(2), Ok(Response::Path("/a".into())));
    stage.ask(CONN, 3, Op::Sync { path: None });
    stage.answer(CONN, 3, zxid(2), Ok(Response::Sync(None)));
    stage.expect_clean();
}

#[test]
fn two_leaders_of_an_epoch() {
    let mut stage = Stage::serving();
    stage.note(1, Note::Elected { epoch: Epoch(1), last: zxid(1) });
    stage.expect("one-leader");
}

#[test]
fn an_epoch_led_twice_by_the_same_node() {
    let mut stage = Stage::serving();
    stage.see(&Observation::Ended { node: 0 });
    stage.note(0, Note::Elected { epoch: Epoch(1), last: zxid(1) });
    stage.expect("one-leader");
}

#[test]
fn a_leader_without_what_is_committed() {
    let mut stage = Stage::serving();
    let third = request(2, Change::Close);
    (0..2).for_each(|node| stage.append(node, &third));
    stage.apply(0, zxid(2), 2);
    stage.note(2, Note::Elected { epoch: Epoch(2), last: zxid(1) });
    stage.expect("leader-completeness");
}

#[test]
fn two_entries_with_one_zxid() {
    let mut stage = Stage::serving();
    stage.append(0, &request(2, Change::Close));
    stage.append(1, &request(2, Change::Create(create("/a"))));
    stage.expect("agreement");
}

#[test]
fn a_gap_in_an_epoch() {
    let mut stage = Stage::serving();
    stage.append(0, &request(3, Change::Close));
    stage.expect("no-gaps");
}

#[test]
fn executed_with_only_one_copy_on_disk() {
    let mut stage = Stage::serving();
    let third = request(2, Change::Close);
    stage.append(0, &third);
    stage.write(1, Write::Append(third));
    stage.apply(0, zxid(2), 2);
    stage.expect("durable-on-quorum");
}

#[test]
fn executed_in_another_order() {
    let mut stage = Stage::serving();
    for counter in [2, 3] {
        let entry = request(counter, Change::Create(create("/a")));
        (0..3).for_each(|node| stage.append(node, &entry));
    }
    stage.apply(0, zxid(2), 2);
    stage.apply(1, zxid(3), 3);
    stage.expect("prefix-agreement");
}

#[test]
fn executed_without_having_been_proposed() {
    let mut stage = Stage::serving();
    stage.apply(0, zxid(2), 2);
    stage.expect("integrity");
}

#[test]
fn another_state_after_the_same_entries() {
    let mut stage = Stage::serving();
    let third = request(2, Change::Close);
    (0..3).for_each(|node| stage.append(node, &third));
    stage.apply(0, zxid(2), 2);
    stage.apply(1, zxid(2), 99);
    stage.expect("same-state");
}

#[test]
fn promised_before_it_is_durable() {
    let mut stage = Stage::serving();
    let third = request(2, Change::Close);
    stage.append(0, &third);
    stage.write(1, Write::Append(third));
    stage.vow(1, Vow::Ack { epoch: Epoch(1), upto: zxid(1) });
    stage.expect_clean();
    stage.vow(1, Vow::Ack { epoch: Epoch(1), upto: zxid(2) });
    stage.expect("durable-first");
}

#[test]
fn an_epoch_promised_before_that_is_durable() {
    let mut stage = Stage::serving();
    stage.write(1, Write::Promise { epoch: Epoch(2), candidate: PeerId(3) });
    stage.vow(1, Vow::AckEpoch { epoch: Epoch(2), candidate: PeerId(3), last: zxid(1) });
    stage.expect("durable-first");
}

#[test]
fn an_epoch_promised_to_two() {
    let mut stage = Stage::serving();
    stage.write(1, Write::Promise { epoch: Epoch(2), candidate: PeerId(3) });
    stage.write(1, Write::Promise { epoch: Epoch(2), candidate: PeerId(1) });
    stage.expect("writes-fit");
}

#[test]
fn a_reset_before_the_snapshot_is_durable() {
    let mut stage = Stage::serving();
    stage.write(1, Write::Chunk { zxid: zxid(1), index: 0, bytes: [].into(), last: true });
    stage.write(1, Write::Reset { base: zxid(1) });
    stage.expect("writes-fit");
}

#[test]
fn a_committed_entry_is_cut() {
    let mut stage = Stage::serving();
    stage.write(1, Write::Truncate { to: zxid(0) });
    stage.expect("committed-stays");
}

#[test]
fn a_restart_that_forgets_an_entry_or_a_promise() {
    let all = [
        entry(0, Body::Opening),
        entry(1, Body::Command(Command::Expire { session: SESSION, owner: OWNER })),
    ];
    for (entries, promised, candidate) in [
        (&all[..1], Epoch(2), Some(PeerId(3))),
        (&all[..], Epoch(1), None),
        (&all[..], Epoch(2), Some(PeerId(2))),
    ] {
        let mut stage = Stage::serving();
        stage.durable(1, &Write::Promise { epoch: Epoch(2), candidate: PeerId(3) });
        stage.see(&Observation::Ended { node: 1 });
        stage.expect_clean();
        stage.see(&Observation::Booted {
            node: 1,
            recovery: &found(Zxid::ZERO, entries, promised, candidate),
        });
        stage.expect("recovery");
    }
}

#[test]
fn answers_out_of_order() {
    let mut stage = Stage::connected();
    stage.ask(CONN, 1, Op::Exists { path: "/a".into(), watch: false });
    stage.ask(CONN, 2, Op::Exists { path: "/a".into(), watch: false });
    stage.answer(CONN, 2, zxid(1), Err(ErrorCode::NoNode));
    stage.expect("fifo");
}

#[test]
fn back_in_time() {
    let mut stage = Stage::connected();
    for (xid, counter) in [(1, 1), (2, 0)] {
        stage.ask(CONN, xid, Op::Exists { path: "/a".into(), watch: false });
        stage.answer(CONN, xid, zxid(counter), Err(ErrorCode::NoNode));
    }
    stage.expect("monotonic");
}

#[test]
fn a_read_of_what_is_not_there() {
    let mut stage = Stage::connected();
    stage.ask(CONN, 1, Op::Exists { path: "/a".into(), watch: false });
    stage.answer(CONN, 1, zxid(1), Ok(Response::Stat(Stat::default())));
    stage.expect("reads");
}

#[test]
fn a_read_from_the_future() {
    let mut stage = Stage::connected();
    stage.ask(CONN, 1, Op::Exists { path: "/a".into(), watch: false });
    stage.answer(CONN, 1, zxid(7), Err(ErrorCode::NoNode));
    stage.expect("integrity");
}

#[test]
fn a_write_with_another_outcome() {
    let mut stage = Stage::connected();
    stage.ask(CONN, 1, Op::Create(create("/a")));
    stage.everywhere(&request(2, Change::Create(create("/a"))));
    stage.answer(CONN, 1, zxid(2), Err(ErrorCode::NodeExists));
    stage.expect("writes-linearizable");
}

#[test]
fn an_answer_that_names_another_write_or_one_twice() {
    let mut stage = Stage::connected();
    stage.ask(CONN, 1, Op::Create(create("/a")));
    stage.everywhere(&request(2, Change::Create(create("/b"))));
    stage.answer(CONN, 1, zxid(2), Ok(Response::Path("/a".into())));
    stage.expect("writes");

    let mut stage = Stage::connected();
    for xid in [1, 2] {
        stage.ask(CONN, xid, Op::Create(create("/a")));
    }
    stage.everywhere(&request(2, Change::Create(create("/a"))));
    stage.answer(CONN, 1, zxid(2), Ok(Response::Path("/a".into())));
    stage.expect_clean();
    stage.answer(CONN, 2, zxid(2), Ok(Response::Path("/a".into())));
    stage.expect("writes");
}

#[test]
fn a_write_ordered_before_one_that_was_answered_when_it_was_asked() {
    let mut stage = Stage::connected();
    stage.connect(OTHER);
    stage.ask(CONN, 1, Op::Create(create("/a")));
    stage.everywhere(&request(2, Change::Create(create("/b"))));
    stage.everywhere(&request(3, Change::Create(create("/a"))));
    stage.answer(CONN, 1, zxid(3), Ok(Response::Path("/a".into())));
    stage.ask(OTHER, 1, Op::Create(create("/b")));
    stage.answer(OTHER, 1, zxid(2), Ok(Response::Path("/b".into())));
    stage.expect("real-time");
}

#[test]
fn a_sync_that_misses_what_was_answered_before() {
    let mut stage = Stage::connected();
    stage.write_and_answer(2, Change::Create(create("/a")), Op::Create(create("/a")));
    stage.connect(OTHER);
    stage.ask(OTHER, 1, Op::Sync { path: None });
    stage.answer(OTHER, 1, zxid(1), Ok(Response::Sync(None)));
    stage.expect("sync");
}

#[test]
fn a_notification_twice_or_of_nothing() {
    let mut stage = Stage::connected();
    stage.ask(CONN, 1, Op::Exists { path: "/a".into(), watch: true });
    stage.answer(CONN, 1, zxid(1), Err(ErrorCode::NoNode));
    stage.everywhere(&request(2, Change::Create(create("/a"))));
    stage.notify(EventKind::NodeCreated, "/a", zxid(2).wire());
    stage.expect_clean();
    stage.notify(EventKind::NodeCreated, "/a", zxid(2).wire());
    stage.expect("watch-once");

    let mut stage = Stage::connected();
    stage.everywhere(&request(2, Change::Create(create("/a"))));
    stage.notify(EventKind::NodeCreated, "/a", zxid(2).wire());
    stage.expect("watch-once");
}

#[test]
fn a_reply_that_overtakes_its_notification() {
    let mut stage = Stage::connected();
    stage.ask(CONN, 1, Op::Exists { path: "/a".into(), watch: true });
    stage.answer(CONN, 1, zxid(1), Err(ErrorCode::NoNode));
    stage.write_and_answer(2, Change::Create(create("/a")), Op::Create(create("/a")));
    stage.expect("watch-before-data");
}

#[test]
fn a_renewed_watch_that_keeps_quiet() {
    let mut stage = Stage::connected();
    stage.everywhere(&request(2, Change::Create(create("/a"))));
    let exist = vec!["/a".to_owned()];
    stage.ask(CONN, -8, Op::SetWatches { relative_zxid: zxid(1).wire(), data: vec![], exist, child: vec![] });
    stage.answer(CONN, -8, zxid(2), Ok(Response::Empty));
    stage.expect("watch-renewal");
}

#[test]
fn a_session_for_a_wrong_password_and_none_for_the_right_one() {
    let mut stage = Stage::serving();
    let wrong = ConnectRequest { password: Some(Blob::new(&[1; 16])), ..hello() };
    stage.see(&Observation::Connecting { client: 0, conn: CONN, node: 0, hello: &wrong });
    stage.see(&Observation::Connected { client: 0, conn: CONN, response: &welcome() });
    stage.expect("handshake");

    let mut stage = Stage::serving();
    let refused =
        ConnectResponse { timeout_ms: 0, session: SessionId(0), password: [0; 16], read_only: None };
    stage.see(&Observation::Connecting { client: 0, conn: CONN, node: 0, hello: &hello() });
    stage.see(&Observation::Connected { client: 0, conn: CONN, response: &refused });
    stage.expect("handshake");
}

#[test]
fn an_expiry_of_a_session_that_was_heard() {
    for (silence, property) in [(3000, Some("no-early-expiry")), (4000, None)] {
        let mut stage = Stage::serving();
        stage.output(0, Output::Connected { conn: CONN, response: welcome() });
        stage.at = 10_000 * MS;
        let request = Request { xid: 1, op: Op::Ping };
        let input = Input::Request { conn: CONN, request };
        stage.see(&Observation::Input { node: 0, now: Now::default(), input: &input });
        stage.at += silence * MS;
        let expire = Command::Expire { session: SESSION, owner: OWNER };
        stage.write(0, Write::Append(entry(2, Body::Command(expire))));
        assert_eq!(stage.broken, property);
    }
}

#[test]
fn a_node_that_has_lost_something_in_the_end() {
    let mut stage = Stage::serving();
    let boot = Boot {
        id: PeerId(1),
        voters: vec![PeerId(1)],
        limits: Limits::default(),
        super_digest: None,
        seed: 1,
        recovered: Recovered::default(),
    };
    let node = vivarium_core::Node::boot(boot).unwrap();
    stage.see(&Observation::Finished { nodes: &[&node] });
    stage.expect("nothing-lost");
}
