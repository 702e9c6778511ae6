//! Replies in the order of requests, and reads that see what came before them and nothing else.

use vivarium_core::api::{Acl, Id, Op, Reply, Response, perms};
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::SessionId;

use crate::world::{Client, Said, World, auth, create, create_as, data_of, get, hello, set, short, sync};

/// The data of the getData replies among what a client heard, by xid.
fn reads(said: &[Said]) -> Vec<(i32, Result<String, ErrorCode>)> {
    let replies = said.iter().filter_map(|said| match said {
        Said::Reply(reply) => Some(reply),
        _ => None,
    });
    let is_read = |reply: &&Reply| reply.xid >= 100;
    replies.filter(is_read).map(|reply| (reply.xid, data_of(reply).map(|(data, _)| data))).collect()
}

#[test]
fn a_read_waits_for_the_writes_before_it_and_sees_none_after_it() {
    let mut world = World::new(1);
    let client = world.client(0);
    world.ask(client, 1, create("/a"));
    world.ask(client, 100, get("/a"));
    world.ask(client, 2, set("/a", "1"));
    world.ask(client, 3, set("/a", "2"));
    world.ask(client, 101, get("/a"));
    world.ask(client, 4, set("/a", "3"));
    assert_eq!(world.hear(client), [], "all of it waits for the first write");
    assert_eq!(world.pending.len(), 4, "writes do not wait for one another");
    assert_eq!(world.desks[0].outstanding(), 6);
    world.settle();
    let said = world.hear(client);
    assert_eq!(short(&said), ["1@2", "100@2", "2@3", "3@4", "101@4", "4@5"]);
    assert_eq!(reads(&said), [(100, Ok("0".into())), (101, Ok("2".into()))]);
    assert_eq!(world.desks[0].outstanding(), 0);
}

#[test]
fn reads_of_others_do_not_wait() {
    let mut world = World::new(1);
    let (busy, other) = (world.client(0), world.client(0));
    world.ask(busy, 1, create("/a"));
    world.ask(other, 100, get("/a"));
    assert_eq!(short(&world.hear(other)), ["100@2!-101"]);
}

#[test]
fn pings_wait_in_line_and_bear_their_own_xid() {
    let mut world = World::new(1);
    let client = world.client(0);
    world.ask(client, 1, create("/a"));
    world.ask(client, 5, Op::Ping);
    assert_eq!(world.hear(client), []);
    world.settle();
    assert_eq!(short(&world.hear(client)), ["1@2", "-2@2"]);
}

#[test]
fn failed_writes_spend_a_zxid_and_keep_their_place() {
    let mut world = World::new(1);
    let client = world.client(0);
    world.ask(client, 1, set("/missing", ""));
    world.ask(client, 2, Op::Malformed { write: true });
    world.ask(client, 3, Op::Malformed { write: false });
    world.ask(client, 0, create("/a"));
    world.ask(client, -7, create("/a"));
    world.settle();
    assert_eq!(short(&world.hear(client)), ["1@2!-101", "2@3!-5", "3@3!-5", "0@4", "-7@5!-110"]);
}

#[test]
fn a_sync_waits_for_its_barrier_and_the_rest_waits_for_the_sync() {
    let mut world = World::new(1);
    let (client, other) = (world.client(0), world.client(0));
    world.make(other, "/a");
    world.ask(client, 1, sync());
    world.ask(client, 100, get("/a"));
    world.ask(other, 1, set("/a", "1"));
    world.happen(1);
    assert_eq!(world.hear(client), []);
    world.settle();
    let said = world.hear(client);
    assert_eq!(short(&said), ["1@4", "100@4"]);
    assert_eq!(reads(&said), [(100, Ok("1".into()))]);
}

#[test]
fn a_sync_whose_barrier_is_passed_early_still_waits_for_its_turn() {
    let mut world = World::new(1);
    let client = world.client(0);
    world.ask(client, 1, create("/a"));
    world.ask(client, 2, sync());
    world.ask(client, 100, get("/a"));
    world.happen(1);
    assert_eq!(world.hear(client), []);
    world.settle();
    assert_eq!(short(&world.hear(client)), ["1@2", "2@2", "100@2"]);
}

/// Submitted at once, the write would be executed while the read before it still waits for the sync: the read would
/// see it, and be answered with a zxid above the write's.
#[test]
fn writes_behind_a_sync_do_not_overtake_the_reads_before_them() {
    let mut world = World::new(1);
    let client = world.client(0);
    world.make(client, "/a");
    world.ask(client, 1, sync());
    world.ask(client, 100, get("/a"));
    world.ask(client, 2, set("/a", "1"));
    world.ask(client, 3, sync());
    world.ask(client, 101, get("/a"));
    world.ask(client, 4, set("/a", "2"));
    world.ask(client, 102, get("/a"));
    // The barriers may be passed in any order.
    assert_eq!(world.pending.len(), 2, "two barriers and no write");
    world.happen(1);
    assert_eq!(world.hear(client), []);
    assert_eq!(world.pending.len(), 1);
    world.settle();
    let said = world.hear(client);
    assert_eq!(short(&said), ["1@2", "100@2", "2@3", "3@3", "101@3", "4@4", "102@4"]);
    assert_eq!(reads(&said), [(100, Ok("0".into())), (101, Ok("1".into())), (102, Ok("2".into()))]);
}

#[test]
fn an_unknown_operation_ends_the_connection_in_its_turn() {
    let mut world = World::new(1);
    let client = world.client(0);
    let session = world.session(client);
    world.ask(client, 1, create("/a"));
    world.ask(client, 2, Op::Unknown { code: 13 });
    world.ask(client, 3, create("/b"));
    assert_eq!(world.hear(client), []);
    world.settle();
    assert_eq!(short(&world.hear(client)), ["1@2", "2@-1!-6", "UnknownOp"]);
    assert!(world.state.stat("/b").is_none());
    assert!(world.state.session(session).is_some(), "the session lives on");
    assert_eq!(world.desks[0].outstanding(), 0);
    assert_eq!(world.desks[0].connection_count(), 0);
}

#[test]
fn a_close_is_answered_and_what_follows_is_dropped() {
    let mut world = World::new(1);
    let client = world.client(0);
    let session = world.session(client);
    world.ask(client, 1, create_as("/mine", 1, Acl::open()));
    world.ask(client, 2, Op::CloseSession);
    world.ask(client, 3, create("/b"));
    world.settle();
    assert_eq!(short(&world.hear(client)), ["1@2", "2@3", "SessionClosed"]);
    assert!(world.state.session(session).is_none());
    assert!(world.state.stat("/mine").is_none());
    assert!(world.state.stat("/b").is_none());
}

/// A node that only `alice:pw` may touch.
fn private(world: &mut World, path: &str) -> Client {
    let owner = world.client(0);
    assert_eq!(world.answer(owner, auth("digest", "alice:pw")).result, Ok(Response::Empty));
    let creator = Acl { perms: perms::ALL, id: Id { scheme: "auth".into(), id: String::new() } };
    let reply = world.answer(owner, create_as(path, 0, vec![creator]));
    assert!(reply.result.is_ok(), "{reply:?}");
    owner
}

#[test]
fn an_auth_counts_for_what_is_received_after_it() {
    let mut world = World::new(1);
    private(&mut world, "/p");
    let client = world.client(0);
    world.ask(client, 1, create("/a"));
    world.ask(client, 100, get("/p"));
    world.ask(client, 2, set("/p", "x"));
    world.ask(client, -4, auth("digest", "alice:pw"));
    world.ask(client, 101, get("/p"));
    world.ask(client, 3, set("/p", "y"));
    world.settle();
    let said = world.hear(client);
    assert_eq!(short(&said), ["1@4", "100@4!-102", "2@5!-102", "-4@0", "101@5", "3@6"]);
}

#[test]
fn a_client_is_its_address_from_the_start() {
    let mut world = World::new(1);
    let client = world.client(0);
    let only = |address: &str| Acl { perms: perms::ALL, id: Id { scheme: "ip".into(), id: address.into() } };
    world.answer(client, create_as("/here", 0, vec![only("10.0.0.9")]));
    world.answer(client, create_as("/elsewhere", 0, vec![only("10.0.0.8")]));
    assert!(world.answer(client, get("/here")).result.is_ok());
    assert_eq!(world.answer(client, get("/elsewhere")).result, Err(ErrorCode::NoAuth));
}

#[test]
fn the_superuser_passes_everywhere() {
    let mut world = World::new(1);
    private(&mut world, "/p");
    let client = world.client(0);
    assert_eq!(world.answer(client, get("/p")).result, Err(ErrorCode::NoAuth));
    world.answer(client, auth("digest", "bob:pw"));
    assert!(world.answer(client, get("/p")).result.is_ok());
}

#[test]
fn a_refused_auth_ends_the_connection_in_its_turn() {
    for (scheme, token) in [("world", "anyone"), ("x509", "cn"), ("nonsense", "")] {
        let mut world = World::new(1);
        let client = world.client(0);
        world.ask(client, 1, create("/a"));
        world.ask(client, -4, auth(scheme, token));
        world.ask(client, 2, create("/b"));
        world.settle();
        assert_eq!(short(&world.hear(client)), ["1@2", "-4@0!-115", "AuthFailed"]);
        assert!(world.state.stat("/b").is_none());
    }
}

#[test]
fn what_is_sent_right_behind_the_first_packet_is_answered_after_it() {
    let mut world = World::new(1);
    private(&mut world, "/p");
    let client = world.open(0, hello(SessionId(0), None));
    world.ask(client, 100, get("/p"));
    world.ask(client, -4, auth("digest", "alice:pw"));
    world.ask(client, -8, Op::SetWatches { relative_zxid: 0, data: vec![], exist: vec![], child: vec![] });
    world.ask(client, 101, get("/p"));
    world.ask(client, 1, sync());
    world.ask(client, 2, set("/p", "1"));
    world.ask(client, 102, get("/p"));
    assert_eq!(world.pending.len(), 1, "nothing but the session");
    assert_eq!(world.hear(client), []);
    world.settle();
    let said = world.hear(client);
    assert_eq!(short(&said), ["connected", "100@3!-102", "-4@0", "-8@3", "101@3", "1@3", "2@4", "102@4"]);
    assert_eq!(reads(&said)[1..], [(101, Ok("0".into())), (102, Ok("1".into()))]);
}

#[test]
fn operators_see_what_each_connection_did_last() {
    let mut world = World::new(1);
    let client = world.client(0);
    let info = |world: &World| world.desks[0].connections().next().expect("one connection");
    assert_eq!((info(&world).last_op, info(&world).last_xid), ("SESS", 0));
    world.ask(client, 5, create("/a"));
    world.ask(client, 6, get("/a"));
    assert_eq!((info(&world).last_op, info(&world).outstanding), ("SESS", 2));
    world.settle();
    world.ask(client, -2, Op::Ping);
    let info = info(&world);
    assert_eq!((info.last_op, info.last_xid, info.last_zxid), ("PING", 6, world.state.applied().wire()));
    assert_eq!((info.session, info.timeout_ms), (world.session(client), 10_000));
    assert_eq!(info.outstanding, 0);
}
