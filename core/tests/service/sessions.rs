//! Sessions: how they begin, move and end, and what their connections hear of it.

use vivarium_core::api::{Acl, ConnectRequest, Op};
use vivarium_core::entry::{Ask, Command};
use vivarium_core::ids::SessionId;
use vivarium_core::io::{CloseReason, Output, Outputs};
use vivarium_core::service::Standing;
use vivarium_core::time::Duration;

use crate::world::{Said, World, create, create_as, get, hello, set, short, sync};

fn new_session() -> ConnectRequest {
    hello(SessionId(0), None)
}

#[test]
fn a_session_begins_when_its_entry_is_executed() {
    let mut world = World::new(2);
    let client = world.open(1, ConnectRequest { timeout_ms: 1, ..new_session() });
    assert_eq!(world.hear(client), []);
    assert_eq!(world.state.sessions().count(), 0);
    assert_eq!(world.desks[1].session_of(client.conn), None);
    world.settle();
    let [Said::Connected(response)] = &world.hear(client)[..] else { panic!("not connected") };
    assert_eq!(response.session.0 >> 56, 2, "the top byte names the server");
    assert_eq!(response.timeout_ms, world.limits.session_timeout_min_ms);
    assert_eq!(response.password, world.password(response.session));
    assert_ne!(response.password, [0; 16]);
    assert_eq!(response.read_only, Some(false));
    assert_eq!(world.session(client), response.session);
}

#[test]
fn the_read_only_flag_is_answered_only_when_sent() {
    let mut world = World::new(1);
    let client = world.open(0, ConnectRequest { read_only: None, timeout_ms: i32::MAX, ..new_session() });
    world.settle();
    let [Said::Connected(response)] = &world.hear(client)[..] else { panic!("not connected") };
    assert_eq!(response.read_only, None);
    assert_eq!(response.timeout_ms, world.limits.session_timeout_max_ms);
}

#[test]
fn a_taken_id_is_drawn_again() {
    let mut world = World::new(1);
    let first = world.open(0, new_session());
    let (_, submission) = world.pending[0].clone();
    let Ask::Command(Command::CreateSession { session: taken, .. }) = submission.ask else { panic!() };
    world.settle();
    world.hear(first);

    let second = world.open(0, new_session());
    let Ask::Command(Command::CreateSession { session, .. }) = &mut world.pending[0].1.ask else { panic!() };
    *session = taken;
    world.happen(0);
    assert_eq!(world.hear(second), []);
    assert_eq!(world.pending.len(), 1);
    world.settle();
    assert_eq!(short(&world.hear(second)), ["connected"]);
    assert_ne!(world.session(second), taken);
    assert_eq!(world.session(first), taken);
}

#[test]
fn a_client_that_has_seen_more_is_sent_away_without_a_word() {
    let mut world = World::new(1);
    let old = world.client(0);
    let last_zxid_seen = world.state.applied().wire() + 1;
    let client = world.open(0, ConnectRequest { last_zxid_seen, ..world.again(old) });
    assert_eq!(world.hear(client), [Said::Close(CloseReason::ClientAhead)]);
    assert_eq!(world.hear(old), []);
    let client = world.open(0, ConnectRequest { last_zxid_seen: last_zxid_seen - 1, ..new_session() });
    world.settle();
    assert_eq!(short(&world.hear(client)), ["connected"]);
}

#[test]
fn a_client_that_comes_back_takes_its_session_along() {
    for desk in [0, 1] {
        let mut world = World::new(2);
        let old = world.client(0);
        let session = world.session(old);
        world.make(old, "/a");
        let new = world.open(desk, ConnectRequest { timeout_ms: 20_000, ..world.again(old) });
        assert_eq!(world.hear(old), [], "nothing has moved yet");
        world.ask(old, 5, set("/a", "late"));
        world.settle();
        assert_eq!(world.hear(old), [Said::Close(CloseReason::SessionMoved)]);
        let [Said::Connected(response)] = &world.hear(new)[..] else { panic!("not connected") };
        assert_eq!((response.session, response.timeout_ms), (session, 20_000));
        assert_eq!(response.password, world.password(session));
        assert_eq!(
            world.state.stat("/a").map(|stat| stat.version),
            Some(0),
            "the late write came to nothing"
        );
        assert!(world.answer(new, set("/a", "1")).result.is_ok());
    }
}

#[test]
fn writes_ordered_before_the_move_are_answered() {
    let mut world = World::new(2);
    let old = world.client(0);
    world.ask(old, 5, create("/a"));
    let new = world.open(1, world.again(old));
    world.settle();
    assert_eq!(short(&world.hear(old)), ["5@2", "SessionMoved"]);
    assert_eq!(short(&world.hear(new)), ["connected"]);
}

#[test]
fn the_last_to_come_back_keeps_the_session() {
    let mut world = World::new(1);
    let first = world.client(0);
    let again = world.again(first);
    let (second, third) = (world.open(0, again.clone()), world.open(0, again));
    world.settle();
    assert_eq!(short(&world.hear(first)), ["SessionMoved"]);
    assert_eq!(short(&world.hear(second)), ["connected", "SessionMoved"]);
    assert_eq!(short(&world.hear(third)), ["connected"]);
}

#[test]
fn a_wrong_password_harms_nobody() {
    let mut world = World::new(2);
    let owner = world.client(0);
    let session = world.session(owner);
    let mut wrong = world.password(session);
    wrong[15] ^= 1;
    for password in [Some(&wrong[..]), Some(&wrong[..15]), Some(&[]), None] {
        for desk in [0, 1] {
            let thief = world.open(desk, ConnectRequest { read_only: None, ..hello(session, password) });
            world.settle();
            let said = world.hear(thief);
            assert_eq!(short(&said), ["refused", "SessionInvalid"]);
            let Said::Connected(response) = &said[0] else { panic!() };
            assert_eq!((response.session, response.password), (SessionId(0), [0; 16]));
            assert_eq!(response.read_only, None);
        }
    }
    assert_eq!(world.hear(owner), []);
    world.make(owner, "/a");
}

/// The state here may not know the session yet, so only the order can tell.
#[test]
fn an_unknown_session_is_refused_by_the_order() {
    let mut world = World::new(1);
    let client = world.open(0, hello(SessionId(42), Some(&[1; 16])));
    world.ask(client, 1, create("/a"));
    assert_eq!(world.hear(client), []);
    world.settle();
    assert_eq!(short(&world.hear(client)), ["refused", "SessionInvalid"]);
    assert!(world.state.stat("/a").is_none());
    assert_eq!(world.desks[0].outstanding(), 0);
}

/// What is no password is not worth an entry.
#[test]
fn a_password_of_another_length_is_refused_at_once() {
    let mut world = World::new(1);
    for password in [None, Some(&[0; 15][..]), Some(&[0; 17])] {
        let client = world.open(0, hello(SessionId(42), password));
        assert_eq!(short(&world.hear(client)), ["refused", "SessionInvalid"]);
    }
    assert!(world.pending.is_empty());
}

#[test]
fn a_session_lost_on_the_way_is_refused() {
    let mut world = World::new(1);
    let owner = world.client(0);
    let again = world.again(owner);
    world.ask(owner, 1, Op::CloseSession);
    let late = world.open(0, again);
    world.settle();
    assert_eq!(short(&world.hear(owner)), ["1@2", "SessionClosed"]);
    assert_eq!(short(&world.hear(late)), ["refused", "SessionInvalid"]);
}

#[test]
fn a_second_first_packet_is_an_error() {
    let mut world = World::new(1);
    let client = world.client(0);
    let (now, address) = (world.now, [10, 0, 0, 9].into());
    let mut out = Outputs::default();
    world.desks[0].open(now, client.conn, address, new_session(), &world.state, &mut out);
    let why = CloseReason::ProtocolError;
    assert!(matches!(out.list[..], [Output::Close { why: given, .. }, _] if given == why));
    assert_eq!(world.desks[0].connection_count(), 0);
}

#[test]
fn a_broken_connection_leaves_its_session_and_its_writes() {
    let mut world = World::new(1);
    let client = world.client(0);
    let session = world.session(client);
    world.ask(client, 1, create_as("/mine", 1, Acl::open()));
    world.ask(client, 2, sync());
    world.ask(client, 3, get("/mine"));
    world.hang_up(client);
    assert_eq!(world.desks[0].outstanding(), 0);
    world.settle();
    assert_eq!(world.hear(client), []);
    assert!(world.state.stat("/mine").is_some());
    assert!(world.state.session(session).is_some());
}

#[test]
fn a_client_gone_during_the_handshake_leaves_a_session_to_time_out() {
    let mut world = World::new(1);
    let client = world.open(0, new_session());
    world.hang_up(client);
    world.settle();
    assert_eq!(world.hear(client), []);
    assert_eq!(world.state.sessions().count(), 1);
    world.pass(Duration::millis(30_000));
    world.settle();
    assert_eq!(world.state.sessions().count(), 0);
}

#[test]
fn a_desk_that_closes_drops_everything() {
    let mut world = World::new(2);
    let (client, shaking) = (world.client(1), world.open(1, new_session()));
    world.ask(client, 1, create("/a"));
    world.ask(client, 2, get("/a"));
    world.stand(1, Standing::Closed);
    for client in [client, shaking] {
        assert_eq!(world.hear(client), [Said::Close(CloseReason::NotServing)]);
    }
    assert_eq!(world.desks[1].outstanding(), 0);
    assert_eq!(world.desks[1].submissions().count(), 0);
    let early = world.open(1, new_session());
    assert_eq!(world.hear(early), [Said::Close(CloseReason::NotServing)]);

    world.stand(1, Standing::Open { stream: 99 });
    let client = world.open(1, new_session());
    assert_eq!(world.pending[0].1.number, 1, "numbers begin anew in a new stream");
    world.settle();
    assert_eq!(short(&world.hear(client)), ["connected"]);
}
