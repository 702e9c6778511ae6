//! What the state does where an implementer of ZooKeeper's protocol is likely to go wrong, one story each. The numbers
//! in the names are those of the protocol's list of traps (appendix C).

use std::sync::Arc;

use vivarium_core::api::{
    Acl, Blob, Create, Data, EventKind, Id, MultiOp, MultiResult, Response, Stat, perms,
};
use vivarium_core::entry::{Body, Command, Entry, Write};
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::{Origin, PeerId, SessionId, Zxid};
use vivarium_core::state::{Change, Outcome, State};
use vivarium_core::time::Timestamp;

const ALICE: SessionId = SessionId(0x0100_0000_0000_0001);
const BOB: SessionId = SessionId(0x0100_0000_0000_0002);
const PASSWORD: [u8; 16] = [7; 16];

/// A state, the zxid and time of the next entry, and two sessions that write to it.
struct World {
    state: State,
    zxid: u64,
    ids: Arc<[Id]>,
    changes: Vec<Change>,
}

impl World {
    fn new() -> World {
        let mut world = World { state: State::new(), zxid: 1 << 32, ids: Arc::new([]), changes: Vec::new() };
        for session in [ALICE, BOB] {
            let command = Command::CreateSession { session, password: PASSWORD, timeout_ms: 4_000 };
            assert_eq!(world.command(command, owner(session)).result, Ok(Response::Empty));
        }
        world
    }

    fn command(&mut self, command: Command, origin: Origin) -> Outcome {
        self.zxid += 1;
        let time = Timestamp(self.zxid as i64 & 0xffff_ffff);
        let entry = Entry { zxid: Zxid(self.zxid), time, origin, body: Body::Command(command) };
        self.changes.clear();
        let outcome = self.state.apply(&entry, &mut self.changes);
        assert_eq!(self.state.applied(), entry.zxid);
        assert_eq!(self.state.digest(), self.state.digest_from_scratch());
        outcome
    }

    fn write(&mut self, session: SessionId, write: Write) -> Result<Response, ErrorCode> {
        let command = Command::Request { session, owner: owner(session), ids: self.ids.clone(), write };
        self.command(command, owner(session)).result
    }

    fn create(&mut self, path: &str, flags: i32) -> Result<String, ErrorCode> {
        match self.write(ALICE, Write::Create(create(path, flags)))? {
            Response::Path(path) => Ok(path),
            other => panic!("create was answered {other:?}"),
        }
    }

    fn delete(&mut self, path: &str) -> Result<Response, ErrorCode> {
        self.write(ALICE, Write::Delete { path: path.into(), version: -1 })
    }

    fn set(&mut self, path: &str, data: Data, version: i32) -> Result<Response, ErrorCode> {
        self.write(ALICE, Write::SetData { path: path.into(), data, version })
    }

    fn multi(&mut self, items: Vec<MultiOp>) -> Vec<MultiResult> {
        match self.write(ALICE, Write::Multi(items)) {
            Ok(Response::Multi(results)) => results,
            other => panic!("multi was answered {other:?}"),
        }
    }

    fn stat(&self, path: &str) -> Stat {
        self.state.stat(path).expect("the node is there")
    }

    fn kinds(&self) -> Vec<(EventKind, &str)> {
        self.changes.iter().map(|change| (change.kind, &*change.path)).collect()
    }
}

fn owner(session: SessionId) -> Origin {
    Origin { peer: PeerId(1), stream: 9, number: session.0 as u64 }
}

fn create(path: &str, flags: i32) -> Create {
    Create { path: path.into(), data: Some(Blob::new(b"x")), acl: Some(Acl::open()), flags, stat: false }
}

fn acl(perms: i32, scheme: &str, id: &str) -> Acl {
    Acl { perms, id: self::id(scheme, id) }
}

fn id(scheme: &str, id: &str) -> Id {
    Id { scheme: scheme.into(), id: id.into() }
}

#[test]
fn traps_1_and_2_cversion_and_suffixes_come_from_children_ever_created() {
    let mut world = World::new();
    assert_eq!(world.stat("/").cversion, -1);
    assert_eq!(world.stat("/zookeeper").cversion, -2);
    for path in ["/a", "/b", "/c"] {
        world.create(path, 0).expect("free");
    }
    world.delete("/b").expect("there");
    let root = world.stat("/");
    assert_eq!((root.cversion, root.num_children, root.pzxid), (3, 3, Zxid(world.zxid)));
    // Three plain children have been created, so the first sequential one has suffix 3; deleting lowers nothing.
    assert_eq!(world.create("/s-", 2).as_deref(), Ok("/s-0000000003"));
    world.delete("/s-0000000003").expect("there");
    assert_eq!(world.create("/s-", 2).as_deref(), Ok("/s-0000000004"));
    assert_eq!(world.create("/", 2).as_deref(), Ok("/0000000005"));
    world.create("/a/x", 0).expect("free");
    assert_eq!(world.create("/a/", 3).as_deref(), Ok("/a/0000000001"));
}

#[test]
fn a_stat_tells_what_happened() {
    let mut world = World::new();
    world.create("/a", 0).expect("free");
    let born = world.zxid;
    world.create("/a/b", 1).expect("free");
    let child = world.zxid;
    world.set("/a", None, 0).expect("version 0");
    let set = world.zxid;
    world
        .write(ALICE, Write::SetAcl { path: "/a".into(), acl: Some(Acl::open()), version: 0 })
        .expect("fine");
    let time = |zxid: u64| zxid as i64 & 0xffff_ffff;
    let expected = Stat {
        czxid: Zxid(born),
        mzxid: Zxid(set),
        ctime: time(born),
        mtime: time(set),
        version: 1,
        cversion: 1,
        aversion: 1,
        ephemeral_owner: 0,
        data_length: 0,
        num_children: 1,
        pzxid: Zxid(child),
    };
    assert_eq!(world.stat("/a"), expected);
    let stat = world.stat("/a/b");
    assert_eq!((stat.ephemeral_owner, stat.data_length, stat.pzxid), (ALICE.0, 1, Zxid(child)));
}

#[test]
fn trap_3_a_failed_multi_is_answered_item_by_item_and_changes_nothing() {
    let mut world = World::new();
    world.create("/a", 0).expect("free");
    world.create("/a/old", 1).expect("free");
    let (digest, stat, size) = (world.state.digest(), world.stat("/a"), world.state.data_size());
    let results = world.multi(vec![
        MultiOp::Create(create("/a/s-", 3)),
        MultiOp::Delete { path: "/a/old".into(), version: 0 },
        MultiOp::Create(create("/a/new", 0)),
        MultiOp::SetData { path: "/a/new".into(), data: None, version: 0 },
        MultiOp::Delete { path: "/a/new".into(), version: 1 },
        MultiOp::SetData { path: "/a".into(), data: None, version: -1 },
        MultiOp::Check { path: "/a".into(), version: 7 },
        MultiOp::Check { path: "/nowhere".into(), version: 0 },
    ]);
    let mut expected = vec![MultiResult::Error(None); 6];
    expected.push(MultiResult::Error(Some(ErrorCode::BadVersion)));
    expected.push(MultiResult::Error(Some(ErrorCode::RuntimeInconsistency)));
    assert_eq!(results, expected);
    assert_eq!((world.state.digest(), world.stat("/a"), world.state.data_size()), (digest, stat, size));
    assert_eq!(world.state.ephemerals(ALICE).collect::<Vec<_>>(), ["/a/old"]);
    assert_eq!(world.kinds(), []);
    // The suffix that the multi would have taken was not used up.
    assert_eq!(world.create("/a/s-", 2).as_deref(), Ok("/a/s-0000000001"));
}

#[test]
fn trap_4_and_22_a_multi_sees_itself_and_answers_the_stat_after_each_item() {
    let mut world = World::new();
    let results = world.multi(vec![
        MultiOp::Create(Create { stat: true, ..create("/a", 0) }),
        MultiOp::SetData { path: "/a".into(), data: Some(Blob::new(b"four")), version: 0 },
        MultiOp::Create(create("/a/s-", 2)),
        MultiOp::Create(create("/a/s-", 2)),
        MultiOp::Check { path: "/a".into(), version: 1 },
        MultiOp::Delete { path: "/a/s-0000000000".into(), version: -1 },
    ]);
    let Ok([MultiResult::Create2(path, first), MultiResult::SetData(second), rest @ ..]) =
        <&[MultiResult; 6]>::try_from(&results[..])
    else {
        panic!("{results:?}");
    };
    assert_eq!((&path[..], first.version, first.data_length, first.num_children), ("/a", 0, 1, 0));
    assert_eq!((second.version, second.data_length, second.num_children), (1, 4, 0));
    let [zero, one] = ["/a/s-0000000000", "/a/s-0000000001"].map(String::from);
    assert_eq!(
        *rest,
        [MultiResult::Create(zero), MultiResult::Create(one), MultiResult::Check, MultiResult::Delete]
    );
    assert_eq!(
        world.kinds(),
        [
            (EventKind::NodeCreated, "/a"),
            (EventKind::NodeDataChanged, "/a"),
            (EventKind::NodeCreated, "/a/s-0000000000"),
            (EventKind::NodeCreated, "/a/s-0000000001"),
            (EventKind::NodeDeleted, "/a/s-0000000000"),
        ]
    );
    let stat = world.stat("/a");
    assert_eq!((stat.cversion, stat.czxid, stat.pzxid), (3, Zxid(world.zxid), Zxid(world.zxid)));
    assert_eq!(world.multi(vec![]), []);
}

#[test]
fn trap_5_a_failed_write_spends_a_zxid_and_nothing_else() {
    let mut world = World::new();
    let digest = world.state.digest();
    assert_eq!(world.create("/a/b", 0), Err(ErrorCode::NoNode));
    assert_eq!(world.state.applied(), Zxid(world.zxid));
    assert_eq!(
        world.write(ALICE, Write::Fail(ErrorCode::MarshallingError)),
        Err(ErrorCode::MarshallingError)
    );
    assert_eq!((world.state.digest(), world.kinds()), (digest, vec![]));
}

#[test]
fn trap_12_create_and_delete_ask_the_parent() {
    let mut world = World::new();
    let mut parent = create("/p", 0);
    parent.acl = Some(vec![acl(perms::CREATE, "world", "anyone")]);
    world.write(ALICE, Write::Create(parent)).expect("free");
    let mut child = create("/p/c", 0);
    child.acl = Some(vec![acl(0, "world", "anyone")]);
    world.write(ALICE, Write::Create(child)).expect("CREATE on the parent is enough");
    assert_eq!(world.delete("/p/c"), Err(ErrorCode::NoAuth));
    assert_eq!(world.delete("/p/nowhere"), Err(ErrorCode::NoAuth));
    assert_eq!(world.set("/p/c", None, 5), Err(ErrorCode::NoAuth));
    assert_eq!(world.create("/p/c/d", 0), Err(ErrorCode::NoAuth));
    world.ids = Arc::new([id("super", "")]);
    assert_eq!(world.delete("/p"), Err(ErrorCode::NotEmpty));
    assert_eq!(world.delete("/p/c"), Ok(Response::Empty));
}

#[test]
fn traps_13_and_33_reads_check_read_and_never_the_path() {
    let mut world = World::new();
    let mut secret = create("/s", 0);
    secret.acl = Some(vec![acl(perms::ADMIN, "digest", "a:1")]);
    world.write(ALICE, Write::Create(secret)).expect("free");
    let state = &world.state;
    assert_eq!(state.exists("/s", &[]), Err(ErrorCode::NoAuth));
    assert_eq!(state.get_data("/s", &[]).err(), Some(ErrorCode::NoAuth));
    assert_eq!(state.get_children("/s", &[]).err(), Some(ErrorCode::NoAuth));
    assert_eq!(state.get_acl("/s", &[]).err(), Some(ErrorCode::NoAuth));
    assert_eq!(state.get_data("/s", &[id("digest", "a:1")]).err(), Some(ErrorCode::NoAuth));
    assert!(state.get_acl("/s", &[id("digest", "a:1")]).is_ok(), "ADMIN is enough to read the ACL");
    assert_eq!(state.exists("", &[]), state.exists("/", &[]));
    assert_eq!(state.get_children("", &[]).expect("the root").0, ["s", "zookeeper"]);
    for path in ["s", "/s/", "//s", "/./s", "/\0"] {
        assert_eq!(state.get_data(path, &[]).err(), Some(ErrorCode::NoNode), "{path:?}");
    }
    assert_eq!(state.exists("/\0", &[]), Err(ErrorCode::BadArguments));
}

#[test]
fn traps_32_and_34_the_first_check_that_fails_names_the_error() {
    let mut world = World::new();
    world.create("/e", 1).expect("free");
    for (path, flags, error) in [
        ("/\u{e000}", 4, ErrorCode::BadArguments),
        ("/a", -1, ErrorCode::BadArguments),
        ("a", 0, ErrorCode::BadArguments),
        ("", 0, ErrorCode::BadArguments),
        ("/a\0", 0, ErrorCode::BadArguments),
        ("/foo//b", 0, ErrorCode::NoNode),
        ("a/b", 0, ErrorCode::NoNode),
        ("//b", 0, ErrorCode::BadArguments),
        ("/b/", 0, ErrorCode::NoNode),
        ("/e/", 0, ErrorCode::BadArguments),
        ("/.", 0, ErrorCode::BadArguments),
        ("/\u{1f600}", 0, ErrorCode::BadArguments),
        ("/", 0, ErrorCode::NodeExists),
        ("/e", 0, ErrorCode::NodeExists),
        ("/e/c", 0, ErrorCode::NoChildrenForEphemerals),
        ("/e/c", 3, ErrorCode::NoChildrenForEphemerals),
    ] {
        assert_eq!(world.create(path, flags), Err(error), "{path:?} {flags}");
    }
    for path in ["a", "", "/a/"] {
        assert_eq!(world.set(path, None, -1), Err(ErrorCode::BadArguments), "{path:?}");
    }
    // The ACL comes before the parent in create, after the path and before the node in setACL.
    let bad = Create { acl: None, ..create("/no/where", 0) };
    assert_eq!(world.write(ALICE, Write::Create(bad)), Err(ErrorCode::InvalidAcl));
    let bad = Write::SetAcl { path: "/nowhere".into(), acl: Some(vec![]), version: 5 };
    assert_eq!(world.write(ALICE, bad), Err(ErrorCode::InvalidAcl));
    assert_eq!(world.delete("a"), Err(ErrorCode::BadArguments));
    for path in ["/e/", "//e", "/"] {
        let error = if path == "/" { ErrorCode::BadArguments } else { ErrorCode::NoNode };
        assert_eq!(world.delete(path), Err(error), "{path:?}");
    }
}

#[test]
fn traps_35_and_36_the_tree_at_birth() {
    let mut world = World::new();
    assert_eq!(world.state.node_count(), 5);
    world.ids = Arc::new([id("super", "")]);
    for path in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
        assert_eq!(world.delete(path), Err(ErrorCode::BadArguments));
        let (data, stat) = world.state.get_data(path, &[]).expect("readable");
        assert_eq!((data, stat.czxid, stat.ctime), (Some(Blob::new(b"")), Zxid::ZERO, 0));
    }
    let config = world.stat("/zookeeper/config");
    assert_eq!((config.version, config.aversion, config.cversion), (-1, -1, 0));
    world.ids = Arc::new([]);
    assert_eq!(world.set("/zookeeper/config", None, -1), Err(ErrorCode::NoAuth));
    world.create("/zookeeper/foo", 0).expect("not otherwise protected");
    world.set("/zookeeper", None, 0).expect("not otherwise protected");
}

#[test]
fn trap_52_null_and_empty_data_differ() {
    let mut world = World::new();
    world.create("/a", 0).expect("free");
    world.set("/a", None, 0).expect("version 0");
    let null = world.state.digest();
    assert_eq!(world.state.get_data("/a", &[]).expect("there").0, None);
    let mut other = World::new();
    other.create("/a", 0).expect("free");
    other.set("/a", Some(Blob::new(b"")), 0).expect("version 0");
    assert_eq!(other.state.get_data("/a", &[]).expect("there").0, Some(Blob::new(b"")));
    assert_ne!(null, other.state.digest());
}

#[test]
fn trap_26_requests_of_a_session_that_moved_or_ended_change_nothing() {
    let mut world = World::new();
    world.create("/e", 1).expect("free");
    let elsewhere = Origin { peer: PeerId(2), stream: 1, number: 1 };
    let wrong = Command::Attach { session: ALICE, password: [8; 16], timeout_ms: 9_000 };
    assert_eq!(world.command(wrong, elsewhere).result, Err(ErrorCode::SessionExpired));
    let attach = Command::Attach { session: ALICE, password: PASSWORD, timeout_ms: 9_000 };
    assert_eq!(world.command(attach, elsewhere).result, Ok(Response::Empty));
    let session = world.state.session(ALICE).expect("open");
    assert_eq!((session.owner, session.timeout_ms), (elsewhere, 9_000));
    assert_eq!(world.delete("/e"), Err(ErrorCode::SessionMoved));
    // An expiry decided before the move comes too late.
    let late = world.command(Command::Expire { session: ALICE, owner: owner(ALICE) }, owner(BOB));
    assert_eq!((late.result, late.ended), (Ok(Response::Empty), None));
    let expired = world.command(Command::Expire { session: ALICE, owner: elsewhere }, owner(BOB));
    assert_eq!((expired.result, expired.ended), (Ok(Response::Empty), Some(ALICE)));
    assert_eq!(world.kinds(), [(EventKind::NodeDeleted, "/e")]);
    assert_eq!(world.create("/a", 0), Err(ErrorCode::SessionExpired));
    let again = world.command(Command::Expire { session: ALICE, owner: elsewhere }, owner(BOB));
    assert_eq!((again.result, again.ended), (Ok(Response::Empty), None));
    let taken = Command::CreateSession { session: BOB, password: [1; 16], timeout_ms: 1 };
    assert_eq!(world.command(taken, elsewhere).result, Err(ErrorCode::NodeExists));
    assert_eq!(world.state.session(BOB).map(|bob| bob.password), Some(PASSWORD));
}

#[test]
fn closing_removes_ephemerals_by_path_with_one_zxid() {
    let mut world = World::new();
    world.create("/p", 0).expect("free");
    for path in ["/z", "/p/b", "/p/a", "/a"] {
        world.create(path, 1).expect("free");
    }
    let bobs = Write::Create(create("/p/bob", 1));
    world.write(BOB, bobs).expect("free");
    assert_eq!(world.state.ephemeral_count(), 5);
    world.changes.clear();
    let close =
        Command::Request { session: ALICE, owner: owner(ALICE), ids: Arc::new([]), write: Write::Close };
    assert_eq!(world.command(close, owner(ALICE)).ended, Some(ALICE));
    let paths: Vec<&str> = world.kinds().iter().map(|(_, path)| *path).collect();
    assert_eq!(paths, ["/a", "/p/a", "/p/b", "/z"]);
    assert_eq!((world.stat("/p").pzxid, world.stat("/").pzxid), (Zxid(world.zxid), Zxid(world.zxid)));
    assert_eq!(world.state.ephemeral_count(), 1);
    assert_eq!(world.state.sessions().map(|(id, _)| id).collect::<Vec<_>>(), [BOB]);
}

#[test]
fn traps_40_41_43_and_44_acls_as_stored_and_as_shown() {
    let mut world = World::new();
    world.ids = Arc::new([id("ip", "10.0.0.1"), id("digest", "a:1"), id("super", "")]);
    let mut node = create("/a", 0);
    node.acl = Some(vec![acl(perms::ALL, "auth", ""), acl(1, "world", "anyone"), acl(1, "world", "anyone")]);
    world.write(ALICE, Write::Create(node)).expect("valid");
    let shown = |ids: &[Id]| world.state.get_acl("/a", ids).expect("READ").0.to_vec();
    assert_eq!(shown(&[id("digest", "a:1")]), [acl(31, "digest", "a:1"), acl(1, "world", "anyone")]);
    assert_eq!(shown(&[]), [acl(31, "digest", "a:x"), acl(1, "world", "anyone")]);
    assert_eq!(shown(&[id("super", "")]), [acl(31, "digest", "a:1"), acl(1, "world", "anyone")]);
    let mut node = create("/b", 0);
    node.acl = Some(vec![acl(31, "super", "")]);
    assert_eq!(world.write(ALICE, Write::Create(node)), Err(ErrorCode::InvalidAcl));
}

#[test]
fn versions_are_compared_before_children_and_minus_one_is_any() {
    let mut world = World::new();
    world.create("/a", 0).expect("free");
    world.create("/a/b", 0).expect("free");
    let delete = |path: &str, version| Write::Delete { path: path.into(), version };
    assert_eq!(world.write(ALICE, delete("/a", 3)), Err(ErrorCode::BadVersion));
    assert_eq!(world.write(ALICE, delete("/a", 0)), Err(ErrorCode::NotEmpty));
    assert_eq!(world.set("/a/b", None, 1), Err(ErrorCode::BadVersion));
    assert_eq!(world.set("/a/b", None, -1).map(|_| ()), Ok(()));
    assert_eq!(world.write(ALICE, delete("/a/b", 0)), Err(ErrorCode::BadVersion));
    assert_eq!(world.write(ALICE, delete("/a/b", 1)), Ok(Response::Empty));
    let set_acl = |version| Write::SetAcl { path: "/a".into(), acl: Some(Acl::open()), version };
    assert_eq!(world.write(ALICE, set_acl(1)), Err(ErrorCode::BadVersion));
    assert_eq!(world.write(ALICE, set_acl(0)).map(|_| ()), Ok(()));
    assert_eq!(world.write(ALICE, set_acl(-1)).map(|_| ()), Ok(()));
    assert_eq!(world.stat("/a").aversion, 2);
}

/// Two histories that differ in one thing have states that differ, and so have their digests.
#[test]
fn the_digest_covers_everything() {
    let base = create("/a", 0);
    let creates = [
        base.clone(),
        create("/b", 0),
        create("/a", 1),
        Create { data: None, ..base.clone() },
        Create { data: Some(Blob::new(b"")), ..base.clone() },
        Create { acl: Some(vec![acl(30, "world", "anyone")]), ..base.clone() },
        Create { acl: Some(vec![acl(31, "digest", "a:1")]), ..base.clone() },
        Create { acl: Some(vec![acl(31, "digest", "a:1"), acl(31, "world", "anyone")]), ..base.clone() },
        Create { acl: Some(vec![acl(31, "world", "anyone"), acl(31, "digest", "a:1")]), ..base.clone() },
    ];
    let mut digests = Vec::new();
    for create in creates {
        let mut world = World::new();
        world.write(ALICE, Write::Create(create)).expect("free");
        digests.push(world.state.digest());
    }
    for (wait, session, password, timeout_ms, number) in [
        (0, 5, [1; 16], 10, 1),
        (1, 5, [1; 16], 10, 1),
        (0, 6, [1; 16], 10, 1),
        (0, 5, [2; 16], 10, 1),
        (0, 5, [1; 16], 11, 1),
        (0, 5, [1; 16], 10, 2),
    ] {
        let mut world = World::new();
        world.zxid += wait;
        let session = SessionId(session);
        let origin = Origin { peer: PeerId(1), stream: 1, number };
        world.command(Command::CreateSession { session, password, timeout_ms }, origin).result.expect("free");
        world.create("/a", 0).expect("free");
        digests.push(world.state.digest());
    }
    let mut distinct = digests.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), digests.len());
}

#[test]
#[should_panic(expected = "comes after")]
fn an_entry_out_of_order_is_a_broken_invariant() {
    let mut world = World::new();
    let entry =
        Entry { zxid: Zxid(world.zxid), time: Timestamp(0), origin: owner(ALICE), body: Body::Opening };
    world.state.apply(&entry, &mut Vec::new());
}

#[test]
fn a_deep_tree_overflows_no_stack() {
    let mut world = World::new();
    let mut state = world.state.clone();
    let mut path = String::new();
    for depth in 0..3_000 {
        path.push_str("/d");
        world.zxid += 1;
        let write = Write::Create(create(&path, 0));
        let command = Command::Request { session: ALICE, owner: owner(ALICE), ids: Arc::new([]), write };
        let entry = Entry {
            zxid: Zxid(world.zxid),
            time: Timestamp(0),
            origin: owner(ALICE),
            body: Body::Command(command),
        };
        assert!(state.apply(&entry, &mut Vec::new()).result.is_ok(), "depth {depth}");
    }
    assert_eq!(state.digest(), state.digest_from_scratch());
    let id = state.freeze();
    let (chunk, last) = state.next_chunk(id, usize::MAX);
    assert!(last);
    let restored = State::restore([&chunk[..]]).expect("as written");
    assert_eq!(restored.digest(), state.digest());
    assert!(restored.stat(&path).is_some());
}
