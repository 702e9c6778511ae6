//! Watches: when their events come, and what setWatches makes of them.

use vivarium_core::api::{Acl, Id, MultiOp, Op, Response, perms};
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::{SessionId, Zxid};

use crate::world::{Client, World, auth, create, create_as, get, hello, set, short, sync, watch};

fn exists(path: &str) -> Op {
    Op::Exists { path: path.into(), watch: true }
}

fn children(path: &str) -> Op {
    Op::GetChildren { path: path.into(), watch: true, stat: false }
}

fn rewatch(since: Zxid, data: &[&str], exist: &[&str], child: &[&str]) -> Op {
    let owned = |paths: &[&str]| paths.iter().map(|path| path.to_string()).collect();
    let relative_zxid = since.wire();
    Op::SetWatches { relative_zxid, data: owned(data), exist: owned(exist), child: owned(child) }
}

fn alone(world: &mut World, client: Client, path: &str, name: &str) {
    world.answer(client, auth("digest", name));
    let acl = Acl { perms: perms::ALL, id: Id { scheme: "auth".into(), id: String::new() } };
    let reply = world.answer(client, create_as(path, 0, vec![acl]));
    assert!(reply.result.is_ok(), "{reply:?}");
}

#[test]
fn an_event_comes_before_the_data_it_tells_of() {
    let mut world = World::new(2);
    let (watcher, writer) = (world.client(0), world.client(1));
    world.make(writer, "/a");
    world.answer(watcher, watch("/a"));
    world.ask(writer, 1, set("/a", "1"));
    // This sync is passed after the write: the read behind it shows the write, so the event has to come first.
    world.ask(watcher, 2, sync());
    world.ask(watcher, 3, get("/a"));
    world.settle();
    assert_eq!(short(&world.hear(watcher)), ["NodeDataChanged /a@4", "2@4", "3@4"]);
    assert_eq!(short(&world.hear(writer)), ["1@4"]);
    world.answer(writer, set("/a", "2"));
    assert_eq!(world.hear(watcher), [], "a watch fires once");
}

#[test]
fn own_events_come_before_the_own_reply() {
    let mut world = World::new(1);
    let client = world.client(0);
    world.make(client, "/a");
    world.answer(client, watch("/a"));
    world.answer(client, children("/"));
    world.answer(client, exists("/b"));
    world.ask(
        client,
        9,
        Op::Multi(vec![
            MultiOp::SetData { path: "/a".into(), data: None, version: -1 },
            MultiOp::Create(match create("/b") {
                Op::Create(create) => create,
                _ => unreachable!(),
            }),
        ]),
    );
    world.settle();
    let said = short(&world.hear(client));
    assert_eq!(said, ["NodeDataChanged /a@3", "NodeCreated /b@3", "NodeChildrenChanged /@3", "9@3"]);
}

#[test]
fn a_watch_is_set_in_the_read_s_turn() {
    let mut world = World::new(1);
    let client = world.client(0);
    world.ask(client, 1, create("/a"));
    world.ask(client, 2, watch("/a"));
    world.ask(client, 3, set("/a", "1"));
    world.settle();
    assert_eq!(short(&world.hear(client)), ["1@2", "2@2", "NodeDataChanged /a@3", "3@3"]);
}

#[test]
fn only_exists_watches_what_is_missing() {
    let mut world = World::new(1);
    let client = world.client(0);
    for op in [watch("/a"), children("/a")] {
        assert_eq!(world.answer(client, op).result, Err(ErrorCode::NoNode));
    }
    assert_eq!(world.desks[0].watches().count(), 0);
    assert_eq!(world.answer(client, exists("/a")).result, Err(ErrorCode::NoNode));
    assert_eq!(world.desks[0].watches().count(), 1);
}

#[test]
fn what_may_not_be_read_is_not_watched() {
    let mut world = World::new(1);
    let (owner, client) = (world.client(0), world.client(0));
    alone(&mut world, owner, "/p", "alice:pw");
    for op in [watch("/p"), children("/p"), exists("/p")] {
        assert_eq!(world.answer(client, op).result, Err(ErrorCode::NoAuth));
    }
    assert_eq!(world.desks[0].watches().count(), 0);
}

#[test]
fn an_event_that_may_not_be_read_is_withheld_and_its_watch_is_gone() {
    let mut world = World::new(1);
    let (owner, client) = (world.client(0), world.client(0));
    world.answer(client, exists("/p"));
    alone(&mut world, owner, "/p", "alice:pw");
    assert_eq!(world.hear(client), []);
    assert_eq!(world.desks[0].watches().count(), 0);
    world.answer(client, auth("digest", "alice:pw"));
    world.answer(client, watch("/p"));
    world.answer(owner, set("/p", "1"));
    assert_eq!(short(&world.hear(client)).len(), 1, "with the right identity it is told");
}

#[test]
fn a_closing_session_tells_those_who_watch_its_nodes() {
    let mut world = World::new(2);
    let (owner, watcher) = (world.client(0), world.client(1));
    world.answer(owner, create_as("/mine", 1, Acl::open()));
    world.answer(owner, exists("/mine"));
    world.answer(watcher, exists("/mine"));
    world.ask(owner, 5, Op::CloseSession);
    world.settle();
    assert_eq!(short(&world.hear(owner)), ["NodeDeleted /mine@4", "5@4", "SessionClosed"]);
    assert_eq!(short(&world.hear(watcher)), ["NodeDeleted /mine@4"]);
}

#[test]
fn watches_go_with_their_connection() {
    let mut world = World::new(1);
    let client = world.client(0);
    world.make(client, "/a");
    world.answer(client, watch("/a"));
    world.answer(client, children("/"));
    assert_eq!(world.desks[0].watches().count(), 2);
    let again = world.open(0, world.again(client));
    world.settle();
    assert_eq!(short(&world.hear(again)), ["connected"]);
    assert_eq!(world.desks[0].watches().count(), 0);
    world.answer(again, set("/a", "1"));
}

/// Each list against each thing that may have happened meanwhile: section 6.6 of the protocol.
#[test]
fn set_watches_tells_what_was_missed_and_watches_the_rest() {
    let mut world = World::new(1);
    let writer = world.client(0);
    for path in ["/same", "/changed", "/gone", "/grown"] {
        world.make(writer, path);
    }
    let since = world.state.applied();
    world.answer(writer, set("/changed", "1"));
    world.answer(writer, Op::Delete { path: "/gone".into(), version: -1 });
    world.make(writer, "/grown/child");
    world.make(writer, "/new");

    let client = world.open(0, hello(SessionId(0), None));
    let all = ["/same", "/changed", "/gone", "/grown"];
    world.ask(client, -8, rewatch(since, &all, &["/new", "/never"], &all));
    world.settle();
    let said = short(&world.hear(client));
    let events = [
        "connected",
        "NodeDataChanged /changed@-1",
        "NodeDeleted /gone@-1",
        "NodeCreated /new@-1",
        "NodeDeleted /gone@-1",
        "NodeChildrenChanged /grown@-1",
    ];
    assert_eq!(said[..6], events);
    assert_eq!(said.len(), 7);
    assert!(said[6].starts_with("-8@"), "the reply comes last: {said:?}");

    // Data: /same, /grown, /never. Child: /same, /changed.
    assert_eq!(world.desks[0].watches().count(), 5);
    world.make(writer, "/never");
    world.answer(writer, set("/grown", "1"));
    world.answer(writer, set("/changed", "2"));
    let said = world.hear(client);
    let kinds: Vec<_> = short(&said).iter().map(|said| said.split('@').next().unwrap().to_string()).collect();
    assert_eq!(kinds, ["NodeCreated /never", "NodeDataChanged /grown"]);
}

#[test]
fn set_watches_tells_even_what_may_not_be_read() {
    let mut world = World::new(1);
    let (owner, client) = (world.client(0), world.client(0));
    alone(&mut world, owner, "/p", "alice:pw");
    world.ask(client, -8, rewatch(Zxid::ZERO, &["/p"], &[], &[]));
    let said = short(&world.hear(client));
    assert_eq!(said[0], "NodeDataChanged /p@-1");
    assert_eq!(said.len(), 2);
    assert_eq!(world.answer(client, Op::Ping).result, Ok(Response::Empty));
}
