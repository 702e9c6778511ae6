//! What servers owe their clients.

use super::*;

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
    stage.watch_fires();
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
    let early = Some("no-early-expiry");
    for (silence, retires, property) in [
        (3999, false, early),
        (4000, false, None),
        // It was asked to end meanwhile: silence after that does not count, since it has closed all connections.
        (3999, true, early),
        (4000, true, None),
    ] {
        let mut stage = Stage::connected();
        stage.durable(0, &Write::Promise { epoch: Epoch(2), candidate: PeerId(1) });
        stage.write(0, Write::Promise { epoch: Epoch(2), candidate: PeerId(1) });
        stage.later(10_000, &ping());
        stage.note(0, Note::Rolling { epoch: Epoch(2), admitting: false });
        stage.later(silence, &ping());
        if retires {
            stage.later(0, &Input::Retire);
            stage.later(10_000, &Input::Wake);
        }
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
fn elections_and_messages_without_end() {
    let elected = |round: u32| Output::Note(Note::Elected { epoch: Epoch(2 + round), last: zxid(1) });
    let told = |round: u32| {
        let message =
            PeerMessage::Alive { epoch: Epoch(1), round: round.into(), membership: Membership::Member };
        Output::Send { to: PeerId(1), message }
    };
    check_count(0, 10, elected, None);
    check_count(0, 11, elected, Some("few-elections"));
    check_count(1, 500, told, None);
    check_count(1, 2_000, told, Some("few-messages"));
}

/// What is said of a node that, once all is healed, puts out so many.
fn check_count(node: usize, count: u32, output: impl Fn(u32) -> Output, property: Option<&str>) {
    let mut stage = Stage::serving();
    stage.see(&Observation::Healed);
    for round in 0..count {
        stage.output(node, output(round));
    }
    assert_eq!(stage.broken, property);
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
