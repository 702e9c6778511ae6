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
        let _ = model.execute(entry);
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
        let outcome = self.checkers.history.record(zxid(counter)).unwrap().outcome.clone();
        self.answer(CONN, 100 + counter as i32, zxid(counter), (*outcome).clone());
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
    let third = idle(2);
    (0..2).for_each(|node| stage.append(node, &third));
    stage.apply(0, zxid(2), 1);
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
    let third = idle(2);
    stage.append(0, &third);
    stage.write(1, Write::Append(third));
    stage.apply(0, zxid(2), 2);
    stage.expect("durable-on-quorum");
}

#[test]
fn executed_by_a_leader_that_is_not_established() {
    let mut stage = Stage::serving();
    let third = idle(2);
    (0..3).for_each(|node| stage.append(node, &third));
    stage.note(1, Note::Elected { epoch: Epoch(2), last: zxid(2) });
    stage.apply(1, zxid(2), 2);
    stage.expect("opening-commits-first");
}

#[test]
fn executed_in_another_order() {
    let mut stage = Stage::serving();
    for counter in [2, 3] {
        let entry = idle(counter);
        (0..3).for_each(|node| stage.append(node, &entry));
    }
    stage.apply(0, zxid(2), 1);
    stage.apply(1, zxid(3), 1);
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
    let third = idle(2);
    (0..3).for_each(|node| stage.append(node, &third));
    stage.apply(0, zxid(2), 1);
    stage.apply(1, zxid(2), 99);
    stage.expect("same-state");
}

#[test]
fn promised_before_it_is_durable() {
    let mut stage = Stage::serving();
    let third = idle(2);
    stage.append(0, &third);
    stage.write(1, Write::Append(third));
    stage.vow(1, Vow::Ack { epoch: Epoch(1), upto: zxid(1), member: true });
    stage.expect_clean();
    stage.vow(1, Vow::Ack { epoch: Epoch(1), upto: zxid(2), member: true });
    stage.expect("durable-first");
}

#[test]
fn an_epoch_promised_before_that_is_durable() {
    let mut stage = Stage::serving();
    stage.write(1, Write::Promise { epoch: Epoch(2), candidate: PeerId(3) });
    let (epoch, candidate) = (Epoch(2), PeerId(3));
    stage.vow(1, Vow::AckEpoch { epoch, candidate, last: zxid(1), blank: None });
    stage.expect("durable-first");
}

#[test]
fn a_blank_disk_that_counts_itself() {
    let mut stage = Stage::serving();
    stage.see(&Observation::Ended { node: 1 });
    stage.see(&Observation::Wiped { node: 1 });
    stage.see(&Observation::Booted { node: 1, recovery: &found(Zxid::ZERO, &[], Epoch(0), None) });
    stage.write(1, Write::Promise { epoch: Epoch(2), candidate: PeerId(3) });
    stage.durable(1, &Write::Promise { epoch: Epoch(2), candidate: PeerId(3) });
    let vow = |blank| Vow::AckEpoch { epoch: Epoch(2), candidate: PeerId(3), last: Zxid::ZERO, blank };
    stage.vow(1, vow(Some(7)));
    stage.expect_clean();
    stage.vow(1, vow(None));
    stage.expect("durable-first");
}

#[test]
fn executed_with_a_copy_on_a_blank_disk() {
    let mut stage = Stage::serving();
    stage.see(&Observation::Ended { node: 1 });
    stage.see(&Observation::Wiped { node: 1 });
    stage.see(&Observation::Booted { node: 1, recovery: &found(Zxid::ZERO, &[], Epoch(0), None) });
    stage.expect_clean();
    let promise = Write::Promise { epoch: Epoch(1), candidate: PeerId(1) };
    stage.write(1, promise.clone());
    stage.durable(1, &promise);
    let third = idle(2);
    (0..2).for_each(|node| stage.append(node, &third));
    stage.apply(0, zxid(2), 1);
    stage.expect("durable-on-quorum");
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
fn a_reset_that_drops_what_is_committed() {
    let mut stage = Stage::serving();
    stage.everywhere(&request(2, Change::Close));
    stage.expect("exactly-once");

    let mut stage = Stage::serving();
    let chunk = Write::Chunk { zxid: zxid(0), index: 0, bytes: [].into(), last: true };
    stage.write(1, chunk.clone());
    stage.durable(1, &chunk);
    stage.write(1, Write::Reset { base: zxid(0) });
    stage.expect("committed-stays");
}

#[test]
fn a_snapshot_of_what_nobody_has_executed() {
    let mut stage = Stage::serving();
    stage.write(1, Write::Chunk { zxid: zxid(2), index: 0, bytes: [].into(), last: true });
    stage.expect("writes-fit");
}

#[test]
fn an_entry_of_an_epoch_that_is_not_promised() {
    let mut stage = Stage::serving();
    stage.write(0, Write::Promise { epoch: Epoch(2), candidate: PeerId(1) });
    let opening = Arc::new(Entry { zxid: Epoch(2).opening(), ..(*entry(0, Body::Opening)).clone() });
    stage.write(0, Write::Append(opening.clone()));
    stage.expect_clean();
    stage.write(1, Write::Append(opening));
    stage.expect("writes-fit");
}

#[test]
fn a_candidate_that_asks_before_its_own_promise_is_durable() {
    let mut stage = Stage::serving();
    let promise = Write::Promise { epoch: Epoch(2), candidate: PeerId(2) };
    let ask =
        || Output::Send { to: PeerId(1), message: PeerMessage::NewEpoch { epoch: Epoch(2), last: zxid(1) } };
    stage.durable(1, &promise);
    stage.output(1, ask());
    stage.expect_clean();
    stage.write(2, Write::Promise { epoch: Epoch(2), candidate: PeerId(3) });
    stage.output(2, ask());
    stage.expect("durable-first");
}

#[test]
fn an_older_leader_followed_after_a_promise() {
    let alive = |to| Output::Send {
        to,
        message: PeerMessage::Alive { epoch: Epoch(1), round: 1, membership: Membership::Member },
    };
    let lead =
        || Output::Send { to: PeerId(1), message: PeerMessage::Commit { epoch: Epoch(1), upto: Zxid::ZERO } };
    for message in [alive(PeerId(1)), lead()] {
        let mut stage = Stage::serving();
        stage.output(1, message.clone());
        stage.durable(1, &Write::Promise { epoch: Epoch(2), candidate: PeerId(3) });
        // To the very candidate it is fine: a leader may open its next epoch without an election.
        stage.output(1, alive(PeerId(3)));
        stage.expect_clean();
        stage.output(1, message);
        stage.expect("promise-kept");
    }
}

#[test]
fn an_acknowledgement_after_a_promise() {
    let mut stage = Stage::serving();
    stage.durable(1, &Write::Promise { epoch: Epoch(2), candidate: PeerId(3) });
    stage.vow(1, Vow::Ack { epoch: Epoch(1), upto: zxid(1), member: true });
    stage.expect("promise-kept");
}

#[test]
fn said_to_be_committed_with_only_one_copy_on_disk() {
    let mut stage = Stage::serving();
    stage.append(0, &idle(2));
    let commit = PeerMessage::Commit { epoch: Epoch(1), upto: zxid(2) };
    stage.output(0, Output::Send { to: PeerId(2), message: commit });
    stage.expect("durable-on-quorum");
}

#[test]
fn an_epoch_opened_without_what_is_committed() {
    let mut stage = Stage::serving();
    stage.durable(2, &Write::Truncate { to: zxid(0) });
    stage.see(&Observation::Ended { node: 2 });
    stage.see(&Observation::Booted {
        node: 2,
        recovery: &found(Zxid::ZERO, &[entry(0, Body::Opening)], Epoch(1), Some(PeerId(1))),
    });
    stage.expect_clean();
    stage.write(2, Write::Promise { epoch: Epoch(2), candidate: PeerId(3) });
    let opening = Arc::new(Entry { zxid: Epoch(2).opening(), ..(*entry(0, Body::Opening)).clone() });
    stage.write(2, Write::Append(opening));
    stage.expect("leader-completeness");
}

#[test]
fn a_disk_that_gives_back_another_entry() {
    let mut stage = Stage::serving();
    stage.see(&Observation::Ended { node: 1 });
    let other = entry(1, Body::Command(Command::Expire { session: SESSION, owner: OWNER }));
    let entries = [entry(0, Body::Opening), other];
    stage.see(&Observation::Booted {
        node: 1,
        recovery: &found(Zxid::ZERO, &entries, Epoch(1), Some(PeerId(1))),
    });
    stage.expect("agreement");
}

#[test]
fn a_snapshot_that_restores_another_state() {
    let mut state = vivarium_core::state::State::new();
    for counter in [0, 1] {
        let body = if counter == 0 { Body::Opening } else { session_entry() };
        state.apply(&entry(counter, body), &mut Vec::new());
    }
    let digest = state.digest();
    let mut bytes = Vec::new();
    let freeze = state.freeze();
    let (chunk, last) = state.next_chunk(freeze, usize::MAX);
    assert!(last);
    bytes.push(chunk);
    for (digest, property) in [(digest, None), (digest ^ 1, Some("recovery-state"))] {
        let mut stage = Stage::elected();
        let session = entry(1, session_entry());
        (0..3).for_each(|node| stage.append(node, &session));
        stage.apply(0, zxid(1), digest);
        stage.durable(1, &Write::Chunk { zxid: zxid(1), index: 0, bytes: [].into(), last: true });
        stage.see(&Observation::Ended { node: 1 });
        let mut recovery = found(zxid(1), &[], Epoch(1), Some(PeerId(1)));
        recovery.recovered.snapshot = Some((zxid(1), bytes.clone()));
        stage.see(&Observation::Booted { node: 1, recovery: &recovery });
        assert_eq!(stage.broken, property);
    }
}

#[test]
fn a_command_executed_twice() {
    let mut stage = Stage::connected();
    stage.ask(CONN, 1, Op::Create(create("/a")));
    stage.ask(CONN, 2, Op::Create(create("/a")));
    stage.everywhere(&request(2, Change::Create(create("/a"))));
    stage.expect_clean();
    let again = Entry { zxid: zxid(3), ..(*request(2, Change::Create(create("/a")))).clone() };
    stage.everywhere(&Arc::new(again));
    stage.expect("exactly-once");
}

#[test]
fn writes_of_unknown_outcome_out_of_order_or_of_nobody() {
    let mut stage = Stage::connected();
    stage.ask(CONN, 1, Op::Create(create("/a")));
    stage.ask(CONN, 2, Op::Create(create("/b")));
    stage.see(&Observation::Lost { client: 0, conn: CONN });
    stage.everywhere(&request(2, Change::Create(create("/b"))));
    stage.expect("exactly-once");

    let mut stage = Stage::connected();
    stage.ask(CONN, 1, Op::Create(create("/a")));
    stage.see(&Observation::Lost { client: 0, conn: CONN });
    stage.everywhere(&request(2, Change::Create(create("/a"))));
    stage.expect_clean();
    stage.everywhere(&request(3, Change::Create(create("/a"))));
    stage.expect("exactly-once");
}

#[test]
fn a_failed_write_that_changes_something_and_one_that_does_not() {
    for (path, digest) in [("/zookeeper", 9), ("/a", 1)] {
        let mut stage = Stage::connected();
        stage.ask(CONN, 1, Op::Create(create(path)));
        let third = request(2, Change::Create(create(path)));
        (0..3).for_each(|node| stage.append(node, &third));
        stage.apply(0, zxid(2), digest);
        stage.expect("changes-as-told");
    }
}

#[test]
fn a_session_confirmed_before_its_entry_is_executed() {
    let mut stage = Stage::serving();
    stage.output(1, Output::Connected { conn: CONN, response: welcome() });
    stage.expect_clean();
    stage.output(1, Output::Connected { conn: OTHER, response: welcome() });
    stage.expect("session-ordered");

    let mut stage = Stage::serving();
    let response = ConnectResponse { session: OTHER_SESSION, ..welcome() };
    stage.output(1, Output::Connected { conn: CONN, response });
    stage.expect("session-ordered");
}

#[test]
fn the_id_of_a_session_that_has_ended_used_again() {
    let mut stage = Stage::serving();
    stage.later(4_000, &Input::Wake);
    stage.everywhere(&entry(2, Body::Command(Command::Expire { session: SESSION, owner: OWNER })));
    stage.expect_clean();
    stage.everywhere(&entry(3, session_entry()));
    stage.expect("session-unique");
}

#[test]
fn a_client_that_goes_back_in_time_over_another_connection() {
    let mut stage = Stage::connected();
    stage.ask(CONN, 1, Op::Exists { path: "/a".into(), watch: false });
    stage.answer(CONN, 1, zxid(1), Err(ErrorCode::NoNode));
    stage.see(&Observation::Connecting { client: 0, conn: OTHER, node: 0, hello: &hello() });
    stage.see(&Observation::Sent {
        client: 0,
        conn: OTHER,
        request: &Request { xid: 1, op: Op::Exists { path: "/a".into(), watch: false } },
    });
    stage.answer(OTHER, 1, zxid(0), Err(ErrorCode::NoNode));
    stage.expect("monotonic");
}

#[test]
fn notifications_of_one_zxid_in_another_order() {
    let mut stage = Stage::connected();
    for (xid, path) in [(1, "/a"), (2, "/b")] {
        stage.ask(CONN, xid, Op::Exists { path: path.into(), watch: true });
        stage.answer(CONN, xid, zxid(1), Err(ErrorCode::NoNode));
    }
    let items = ["/a", "/b"].map(|path| vivarium_core::api::MultiOp::Create(create(path))).to_vec();
    stage.ask(CONN, 3, Op::Multi(items.clone()));
    stage.everywhere(&request(2, Change::Multi(items)));
    stage.notify(EventKind::NodeCreated, "/b", zxid(2).wire());
    stage.expect_clean();
    stage.notify(EventKind::NodeCreated, "/a", zxid(2).wire());
    stage.expect("watch-order");
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
    for xid in [1, 2] {
        stage.ask(CONN, xid, Op::Create(create("/a")));
        stage.everywhere(&request(1 + xid as u32, Change::Create(create("/a"))));
    }
    stage.answer(CONN, 1, zxid(3), Err(ErrorCode::NodeExists));
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
    stage.connect_other();
    stage.ask(CONN, 1, Op::Create(create("/a")));
    stage.everywhere(&request_of(3, 2, OTHER_SESSION, OTHER_OWNER, Change::Create(create("/b"))));
    stage.everywhere(&request(4, Change::Create(create("/a"))));
    stage.answer(CONN, 1, zxid(4), Ok(Response::Path("/a".into())));
    stage.ask(OTHER, 1, Op::Create(create("/b")));
    stage.answer(OTHER, 1, zxid(3), Ok(Response::Path("/b".into())));
    stage.expect("exactly-once");
}

#[test]
fn a_sync_that_misses_what_was_answered_before() {
    let mut stage = Stage::connected();
    stage.connect_other();
    stage.write_and_answer(3, Change::Create(create("/a")), Op::Create(create("/a")));
    stage.ask(OTHER, 1, Op::Sync { path: None });
    stage.answer(OTHER, 1, zxid(2), Ok(Response::Sync(None)));
    stage.expect("sync");
}

#[test]
fn a_notification_twice_or_of_nothing() {
    let mut stage = Stage::connected();
    stage.ask(CONN, 1, Op::Exists { path: "/a".into(), watch: true });
    stage.answer(CONN, 1, zxid(1), Err(ErrorCode::NoNode));
    stage.ask(CONN, 2, Op::Create(create("/a")));
    stage.everywhere(&request(2, Change::Create(create("/a"))));
    stage.notify(EventKind::NodeCreated, "/a", zxid(2).wire());
    stage.expect_clean();
    stage.notify(EventKind::NodeCreated, "/a", zxid(2).wire());
    stage.expect("watch-once");

    let mut stage = Stage::connected();
    stage.ask(CONN, 2, Op::Create(create("/a")));
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
    stage.ask(CONN, 1, Op::Create(create("/a")));
    stage.everywhere(&request(2, Change::Create(create("/a"))));
    let exist = vec!["/a".to_owned()];
    stage.answer(CONN, 1, zxid(2), Ok(Response::Path("/a".into())));
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

impl Stage {
    /// Lets time pass, and the first node is told something.
    fn later(&mut self, ms: u64, input: &Input) {
        self.at += ms * MS;
        let mono = vivarium_core::time::Instant(self.at);
        self.see(&Observation::Input { node: 0, now: Now { mono, ..Now::default() }, input });
    }

    fn expire(&mut self, counter: u32) {
        let expire = Command::Expire { session: SESSION, owner: OWNER };
        self.write(0, Write::Append(entry(counter, Body::Command(expire))));
    }
}

fn ping() -> Input {
    Input::Request { conn: CONN, request: Request { xid: 1, op: Op::Ping } }
}

#[test]
fn an_expiry_of_a_session_that_was_heard() {
    for (silence, property) in [(3999, Some("no-early-expiry")), (4000, None)] {
        let mut stage = Stage::connected();
        stage.later(10_000, &ping());
        stage.later(silence, &Input::Wake);
        stage.expire(2);
        assert_eq!(stage.broken, property);
    }
}

#[test]
fn an_expiry_of_a_session_that_moved_to_another_server() {
    let mut stage = Stage::connected();
    let attach = Command::Attach { session: SESSION, password: PASSWORD, timeout_ms: 4000 };
    stage.later(10_000, &Input::Wake);
    stage.everywhere(&entry(2, Body::Command(attach)));
    stage.later(3999, &Input::Wake);
    let expire = Command::Expire { session: SESSION, owner: OTHER_OWNER };
    stage.write(0, Write::Append(entry(3, Body::Command(expire))));
    stage.expect("no-early-expiry");
}

#[test]
fn an_expiry_decided_while_an_epoch_was_opened() {
    for (silence, property) in [(3999, Some("no-early-expiry")), (4000, None)] {
        let mut stage = Stage::connected();
        stage.durable(0, &Write::Promise { epoch: Epoch(2), candidate: PeerId(1) });
        stage.write(0, Write::Promise { epoch: Epoch(2), candidate: PeerId(1) });
        stage.later(10_000, &ping());
        stage.note(0, Note::Rolling { epoch: Epoch(2), admitting: false });
        stage.later(silence, &ping());
        stage.later(100, &Input::Wake);
        let zxid = Epoch(2).opening();
        let opening = Arc::new(Entry { zxid, ..(*entry(0, Body::Opening)).clone() });
        stage.write(0, Write::Append(opening));
        let expire = Body::Command(Command::Expire { session: SESSION, owner: OWNER });
        let waited = Entry { zxid: Zxid(zxid.0 + 1), ..(*entry(2, expire)).clone() };
        stage.write(0, Write::Append(Arc::new(waited)));
        assert_eq!(stage.broken, property);
    }
}

#[test]
fn a_silent_session_that_is_left_alive() {
    for (proposed, property) in [(false, Some("expiry-in-time")), (true, None)] {
        let mut stage = Stage::connected();
        stage.later(10_000, &Input::Wake);
        stage.later(0, &ping());
        for second in 1..=9 {
            stage.later(1_000, &Input::Wake);
            if proposed && second == 5 {
                stage.expire(2);
            }
            if second < 8 {
                stage.expect_clean();
            }
        }
        assert_eq!(stage.broken, property);
    }
}

#[test]
fn elections_without_end() {
    for (count, property) in [(10, None), (11, Some("few-elections"))] {
        let mut stage = Stage::serving();
        stage.see(&Observation::Healed);
        for epoch in 0..count {
            stage.note(0, Note::Elected { epoch: Epoch(2 + epoch), last: zxid(1) });
        }
        assert_eq!(stage.broken, property);
    }
}

#[test]
fn messages_without_end() {
    for (count, property) in [(500, None), (2_000, Some("few-messages"))] {
        let mut stage = Stage::serving();
        stage.see(&Observation::Healed);
        for round in 0..count {
            let message = PeerMessage::Alive { epoch: Epoch(1), round, membership: Membership::Member };
            stage.output(1, Output::Send { to: PeerId(1), message });
        }
        assert_eq!(stage.broken, property);
    }
}

/// A node on its own that leads.
fn alone() -> (vivarium_core::Node, Now) {
    let boot = Boot {
        id: PeerId(1),
        voters: vec![PeerId(1)],
        limits: Limits::default(),
        super_digest: None,
        seed: 1,
        recovered: Recovered::default(),
    };
    let mut node = vivarium_core::Node::boot(boot).unwrap();
    let mut now = Now::default();
    for _ in 0..20 {
        now.mono = now.mono + vivarium_core::time::Duration::millis(50);
        tell(&mut node, now, Input::Wake);
    }
    assert!(node.serves());
    (node, now)
}

/// Tells a node something; its disk is quick.
fn tell(node: &mut vivarium_core::Node, now: Now, input: Input) {
    let mut out = vivarium_core::io::Outputs::default();
    node.step(now, input, &mut out);
    for output in std::mem::take(&mut out.list) {
        if let Output::Write { lane, seq, .. } = output {
            tell(node, now, Input::Synced { lane, upto: seq });
        }
    }
}

#[test]
fn watches_and_requests_that_nobody_has_a_use_for() {
    let (mut node, now) = alone();
    let address = std::net::Ipv4Addr::LOCALHOST.into();
    let greeting = ConnectRequest { session: SessionId(0), ..hello() };
    tell(&mut node, now, Input::Open { conn: CONN, address, hello: greeting.clone() });
    let request = Request { xid: 1, op: Op::Exists { path: "/a".into(), watch: true } };
    let input = Input::Request { conn: CONN, request };
    tell(&mut node, now, input.clone());
    assert_eq!(node.status().watch_count, 1);
    for (told, property) in [(true, None), (false, Some("bounded"))] {
        let mut stage = Stage::serving();
        let open = Input::Open { conn: CONN, address, hello: greeting.clone() };
        stage.see(&Observation::Input { node: 0, now, input: &open });
        if told {
            stage.see(&Observation::Input { node: 0, now, input: &input });
        }
        for _ in 0..8 {
            stage.see(&Observation::Stepped { node: 0, machine: &node });
        }
        assert_eq!(stage.broken, property);
        // Once the connection has ended there is no use for it.
        stage.see(&Observation::Input { node: 0, now, input: &Input::Gone { conn: CONN } });
        for _ in 0..8 {
            stage.see(&Observation::Stepped { node: 0, machine: &node });
        }
        stage.expect("bounded");
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
