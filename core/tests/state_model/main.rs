//! The state beside a slow and obvious model of it, over random histories; and snapshots of it, taken while it changes.

mod model;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use model::Model;
use vivarium_core::api::{Acl, Blob, Create, Data, Id, MultiOp, MultiResult, Response};
use vivarium_core::entry::{Body, Command, Entry, Write};
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::{Origin, PeerId, SessionId, Zxid};
use vivarium_core::state::{FreezeId, State};
use vivarium_core::time::Timestamp;

/// One entry, before it is known where it comes in the order and who owns the sessions by then.
#[derive(Clone, Debug)]
enum Step {
    Opening,
    Begin { session: i64, timeout_ms: i32 },
    Attach { session: i64, right: bool, timeout_ms: i32 },
    Expire { session: i64, stale: bool },
    Request { session: i64, stale: bool, ids: Vec<Id>, write: Write },
}

/// What happens to the snapshots between two entries.
#[derive(Clone, Debug)]
enum Camera {
    Nothing,
    Freeze,
    /// A piece of one of those in the making.
    Chunk {
        which: usize,
        bytes_max: usize,
    },
    Thaw {
        which: usize,
    },
}

fn id(scheme: &str, id: &str) -> Id {
    Id { scheme: scheme.into(), id: id.into() }
}

fn paths() -> impl Strategy<Value = String> {
    let name = || select(vec!["a", "b", "c", "s-", "s-0000000000", "s-0000000001"]);
    prop_oneof![
        6 => name().prop_map(|name| format!("/{name}")),
        6 => (name(), name()).prop_map(|(first, second)| format!("/{first}/{second}")),
        3 => (name(), name(), name()).prop_map(|(a, b, c)| format!("/{a}/{b}/{c}")),
        2 => select(vec![
            "/", "", "a", "a/b", "/a/", "/a//b", "//", "//a", "//b", "//c", "/.", "/a/..", "/a\0", "/\u{e000}", "/a/\u{1f600}",
            "/zookeeper", "/zookeeper/config", "/zookeeper/quota", "/zookeeper/quota/a", "/zookeeper/config/a",
        ]).prop_map(String::from),
    ]
}

fn data() -> impl Strategy<Value = Data> {
    let bytes = prop_oneof![9 => vec(any::<u8>(), 0..20), 1 => vec(any::<u8>(), 0..600)];
    proptest::option::of(bytes.prop_map(|bytes| Blob::new(&bytes)))
}

fn identities() -> impl Strategy<Value = Vec<Id>> {
    let one = select(vec![
        id("ip", "10.0.0.1"),
        id("ip", "192.168.3.4"),
        id("digest", "ann:1"),
        id("digest", "ben:2"),
    ]);
    prop_oneof![9 => vec(one, 0..3), 1 => Just(vec![id("ip", "10.0.0.1"), id("super", "")])]
}

fn acls() -> impl Strategy<Value = Option<Vec<Acl>>> {
    let who = select(vec![
        id("world", "anyone"),
        id("digest", "ann:1"),
        id("digest", "ben:2"),
        id("auth", "whoever"),
        id("ip", "10.0.0.0/8"),
        id("ip", "192.168.3.4"),
    ]);
    let bad = select(vec![
        id("world", "someone"),
        id("digest", "ann"),
        id("digest", "a:b:c"),
        id("ip", "10.0.0.300"),
        id("ip", "10.0.0.0/33"),
        id("super", ""),
        id("nonsense", "x"),
    ]);
    let who = prop_oneof![30 => who, 1 => bad];
    let perms = prop_oneof![4 => Just(31), 4 => 0..32i32, 1 => any::<i32>()];
    let list = vec((perms, who).prop_map(|(perms, id)| Acl { perms, id }), 0..4);
    prop_oneof![12 => Just(Some(Acl::open())), 6 => list.prop_map(Some), 1 => Just(None)]
}

fn versions() -> impl Strategy<Value = i32> {
    prop_oneof![4 => Just(-1), 4 => 0..3i32, 1 => any::<i32>()]
}

fn creates() -> impl Strategy<Value = Create> {
    let flags = prop_oneof![20 => 0..4i32, 1 => select(vec![-1, 4, 5, 7])];
    (paths(), data(), acls(), flags, any::<bool>()).prop_map(|(path, data, acl, flags, stat)| Create {
        path,
        data,
        acl,
        flags,
        stat,
    })
}

fn items() -> impl Strategy<Value = MultiOp> {
    prop_oneof![
        4 => creates().prop_map(MultiOp::Create),
        2 => (paths(), versions()).prop_map(|(path, version)| MultiOp::Delete { path, version }),
        2 => (paths(), data(), versions())
            .prop_map(|(path, data, version)| MultiOp::SetData { path, data, version }),
        1 => (paths(), versions()).prop_map(|(path, version)| MultiOp::Check { path, version }),
    ]
}

fn writes() -> impl Strategy<Value = Write> {
    prop_oneof![
        30 => creates().prop_map(Write::Create),
        12 => (paths(), versions()).prop_map(|(path, version)| Write::Delete { path, version }),
        10 => (paths(), data(), versions())
            .prop_map(|(path, data, version)| Write::SetData { path, data, version }),
        6 => (paths(), acls(), versions()).prop_map(|(path, acl, version)| Write::SetAcl { path, acl, version }),
        10 => vec(items(), 0..5).prop_map(Write::Multi),
        2 => Just(Write::Close),
        1 => Just(Write::Fail(ErrorCode::MarshallingError)),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let session = || 1..4i64;
    let stale = || proptest::bool::weighted(0.1);
    prop_oneof![
        1 => Just(Step::Opening),
        6 => (session(), 1..100i32).prop_map(|(session, timeout_ms)| Step::Begin { session, timeout_ms }),
        3 => (session(), proptest::bool::weighted(0.7), 1..100i32)
            .prop_map(|(session, right, timeout_ms)| Step::Attach { session, right, timeout_ms }),
        1 => (session(), stale()).prop_map(|(session, stale)| Step::Expire { session, stale }),
        60 => (session(), stale(), identities(), writes())
            .prop_map(|(session, stale, ids, write)| Step::Request { session, stale, ids, write }),
    ]
}

/// Steps in a world with three sessions.
fn histories(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    vec(steps(), length).prop_map(|steps| {
        let begin = |session| Step::Begin { session, timeout_ms: 4_000 };
        (1..4).map(begin).chain(steps).collect()
    })
}

fn cameras() -> impl Strategy<Value = Camera> {
    prop_oneof![
        8 => Just(Camera::Nothing),
        2 => Just(Camera::Freeze),
        8 => (any::<usize>(), prop_oneof![0..100usize, 0..1000usize])
            .prop_map(|(which, bytes_max)| Camera::Chunk { which, bytes_max }),
        1 => any::<usize>().prop_map(|which| Camera::Thaw { which }),
    ]
}

impl Step {
    /// The entry, in a world as `model` has it. The number makes every origin another.
    fn entry(&self, model: &Model, number: u64) -> Entry {
        let origin = Origin { peer: PeerId(1 + (number % 3) as u8), stream: number / 7, number };
        let nobody = Origin { number: u64::MAX, ..origin };
        let owner_of = |session: i64, stale: bool| match model.sessions.get(&SessionId(session)) {
            Some(known) if !stale => known.owner,
            _ => nobody,
        };
        let command = match self.clone() {
            Step::Opening => None,
            Step::Begin { session, timeout_ms } => Some(Command::CreateSession {
                session: SessionId(session),
                password: [session as u8; 16],
                timeout_ms,
            }),
            Step::Attach { session, right, timeout_ms } => Some(Command::Attach {
                session: SessionId(session),
                password: if right { [session as u8; 16] } else { [99; 16] },
                timeout_ms,
            }),
            Step::Expire { session, stale } => {
                Some(Command::Expire { session: SessionId(session), owner: owner_of(session, stale) })
            }
            Step::Request { session, stale, ids, write } => Some(Command::Request {
                session: SessionId(session),
                owner: owner_of(session, stale),
                ids: ids.into(),
                write,
            }),
        };
        let body = command.map_or(Body::Opening, Body::Command);
        // The leader's clock may jump.
        let time = Timestamp(1_000_000 + (number as i64 * 7_919) % 1_000);
        Entry { zxid: Zxid(1 << 32 | number), time, origin, body }
    }
}

/// The state answers any read as the model does.
fn same_tree(state: &State, model: &Model, ids: &[Id], extra: &str) {
    for path in model.nodes.keys().map(String::as_str).chain([extra]) {
        assert_eq!(state.stat(path), model.stat(if path.is_empty() { "/" } else { path }), "{path:?}");
        let node = model.read(path, 1, ids);
        let data = state.get_data(path, ids);
        assert_eq!(data.as_ref().map(|(data, _)| data), node.as_ref().map(|node| &node.data), "{path:?}");
        let stat = data.map(|(_, stat)| stat);
        if !path.contains('\0') {
            assert_eq!(state.exists(path, ids), stat, "{path:?}");
        }
        let children = state.get_children(path, ids).map(|(names, _)| names);
        let expected = node.map(|_| model.children(if path.is_empty() { "/" } else { path }));
        assert_eq!(children, expected, "{path:?}");
        let acl = state.get_acl(path, ids).map(|(acl, _)| acl.to_vec());
        assert_eq!(acl, model.shown_acl(path, ids), "{path:?}");
    }
    assert_eq!(state.node_count(), model.nodes.len() as u64 + 1);
    let ephemeral = model.nodes.iter().filter(|(_, node)| node.owner != 0);
    assert_eq!(state.ephemeral_count(), ephemeral.count() as u64);
    let size = |(path, node): (&String, &model::Node)| {
        path.rsplit('/').next().map_or(0, str::len) + node.data.as_ref().map_or(0, |data| data.len())
    };
    assert_eq!(state.data_size(), model.nodes.iter().map(size).sum::<usize>() as u64);
    let sessions: Vec<_> = state.sessions().map(|(id, s)| (id, s.password, s.timeout_ms, s.owner)).collect();
    let expected: Vec<_> =
        model.sessions.iter().map(|(&id, s)| (id, s.password, s.timeout_ms, s.owner)).collect();
    assert_eq!(sessions, expected);
}

/// A snapshot in the making, and the state as it was when it began.
struct Film {
    id: FreezeId,
    then: State,
    chunks: Vec<Arc<[u8]>>,
}

impl Film {
    /// Takes a piece; whether it was the last. Then what comes out must be what was frozen.
    fn chunk(&mut self, state: &mut State, bytes_max: usize) -> bool {
        let (bytes, last) = state.next_chunk(self.id, bytes_max);
        assert!(!bytes.is_empty());
        // No record of these tests, with the ACL before it, is longer than this.
        assert!(bytes.len() < bytes_max + 1_200, "{} of {bytes_max}", bytes.len());
        self.chunks.push(bytes);
        if last {
            let restored = State::restore(self.chunks.iter().map(|chunk| &chunk[..])).expect("as written");
            assert_eq!(restored.applied(), self.then.applied());
            assert_eq!(restored.digest(), self.then.digest());
            assert_eq!(restored.digest_from_scratch(), self.then.digest());
            assert_eq!(restored.data_size(), self.then.data_size());
            assert_eq!(restored.ephemeral_count(), self.then.ephemeral_count());
        }
        last
    }
}

/// A green run of the tests below means something only if their histories get to where it is difficult.
#[test]
fn histories_reach_what_matters() {
    use ErrorCode::*;

    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..400 {
        let steps = histories(1..80).new_tree(&mut runner).expect("nothing is rejected").current();
        let mut model = Model::new();
        for (number, step) in (1..).zip(&steps) {
            let entry = step.entry(&model, number);
            let (result, ended, changes) = model.apply(&entry);
            let mut see = |what: String| *seen.entry(what).or_default() += 1;
            if let Some(ended) = ended {
                see(format!("ended with {} ephemerals", changes.len().min(2)));
                assert_eq!(model.sessions.get(&ended), None);
            }
            let Body::Command(Command::Request { write, .. }) = &entry.body else {
                continue;
            };
            let name = match write {
                Write::Create(create) => format!("create {}", create.flags),
                Write::Delete { .. } => "delete".into(),
                Write::SetData { .. } => "setData".into(),
                Write::SetAcl { .. } => "setACL".into(),
                Write::Multi(_) => "multi".into(),
                Write::Close | Write::Fail(_) => continue,
            };
            match result {
                Ok(Response::Multi(results)) => {
                    let failed = results.iter().position(|r| matches!(r, MultiResult::Error(Some(_))));
                    match failed {
                        Some(after) => see(format!("multi fails after {}", after.min(2))),
                        None => see(format!("multi of {}", results.len().min(2))),
                    }
                }
                Ok(_) => see(format!("{name}: fine")),
                Err(error) => see(format!("{name}: {error:?}")),
            }
        }
    }
    let writes = [
        ("create 0", &[BadArguments, InvalidAcl, NoNode, NoAuth, NodeExists, NoChildrenForEphemerals][..]),
        ("create 1", &[BadArguments, InvalidAcl, NoNode, NoAuth, NodeExists, NoChildrenForEphemerals]),
        ("create 2", &[BadArguments, InvalidAcl, NoNode, NoAuth, NodeExists, NoChildrenForEphemerals]),
        ("create 3", &[BadArguments, InvalidAcl, NoNode, NoAuth, NoChildrenForEphemerals]),
        ("delete", &[BadArguments, NoNode, NoAuth, BadVersion, NotEmpty]),
        ("setData", &[BadArguments, NoNode, NoAuth, BadVersion]),
        ("setACL", &[BadArguments, InvalidAcl, NoNode, NoAuth, BadVersion]),
    ];
    let mut wanted: Vec<String> = Vec::new();
    for (name, errors) in writes {
        wanted.push(format!("{name}: fine"));
        wanted.extend(errors.iter().map(|error| format!("{name}: {error:?}")));
        wanted.extend([SessionExpired, SessionMoved].map(|error| format!("{name}: {error:?}")));
    }
    for count in 0..3 {
        wanted.push(format!("multi fails after {count}"));
        wanted.push(format!("multi of {count}"));
        wanted.push(format!("ended with {count} ephemerals"));
    }
    let missed: Vec<&String> = wanted.iter().filter(|what| !seen.contains_key(*what)).collect();
    assert!(missed.is_empty(), "never seen: {missed:?}, of {seen:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_state_does_what_the_model_does(
        steps in histories(1..80),
        readers in vec((identities(), paths()), 83),
    ) {
        let mut model = Model::new();
        let mut state = State::new();
        for (number, (step, (ids, extra))) in (1..).zip(steps.iter().zip(&readers)) {
            let entry = step.entry(&model, number);
            let (before, digest) = (model.clone(), state.digest());
            let (result, ended, expected_changes) = model.apply(&entry);
            let mut changes = Vec::new();
            let outcome = state.apply(&entry, &mut changes);
            prop_assert_eq!(&outcome.result, &result, "{:?}", entry);
            prop_assert_eq!(outcome.ended, ended);
            let changes: Vec<model::Change> = changes
                .iter()
                .map(|change| {
                    let parent = change.parent_acl.as_ref().map(|acl| acl.to_vec());
                    (change.kind, change.path.to_string(), change.acl.to_vec(), parent)
                })
                .collect();
            prop_assert_eq!(changes, expected_changes);
            same_tree(&state, &model, ids, extra);
            prop_assert_eq!(state.digest(), state.digest_from_scratch());
            prop_assert_eq!(state.digest() == digest, model == before, "a digest changes with what it is of");
        }
    }

    #[test]
    fn snapshots_are_what_was_when_they_began(
        steps in histories(1..120),
        cameras in vec(cameras(), 123),
        bytes_max in 0..2_000usize,
    ) {
        let mut model = Model::new();
        let mut state = State::new();
        let mut replica = State::new();
        let mut films: Vec<Film> = Vec::new();
        let mut changes = Vec::new();
        for (number, (step, camera)) in (1..).zip(steps.iter().zip(&cameras)) {
            let entry = step.entry(&model, number);
            let _ = model.apply(&entry);
            state.apply(&entry, &mut changes);
            replica.apply(&entry, &mut changes);
            match *camera {
                Camera::Nothing => {}
                Camera::Freeze => {
                    let then = state.clone();
                    films.push(Film { id: state.freeze(), then, chunks: Vec::new() });
                }
                Camera::Chunk { which, bytes_max } if !films.is_empty() => {
                    let which = which % films.len();
                    if films[which].chunk(&mut state, bytes_max) {
                        // From now on the replica is one that was built from a snapshot and caught up.
                        let film = films.remove(which);
                        replica = State::restore(film.chunks.iter().map(|chunk| &chunk[..])).expect("as above");
                        let mut model = Model::new();
                        for (number, step) in (1..=number).zip(&steps) {
                            let entry = step.entry(&model, number);
                            let _ = model.apply(&entry);
                            if entry.zxid > replica.applied() {
                                replica.apply(&entry, &mut changes);
                            }
                        }
                    }
                }
                Camera::Thaw { which } if !films.is_empty() => {
                    state.thaw(films.remove(which % films.len()).id);
                }
                Camera::Chunk { .. } | Camera::Thaw { .. } => {}
            }
            prop_assert_eq!(replica.digest(), state.digest());
            prop_assert_eq!(replica.digest_from_scratch(), state.digest());
        }
        for film in &mut films {
            while !film.chunk(&mut state, bytes_max) {}
        }
        same_tree(&state, &model, &[id("super", "")], "/nowhere");
        same_tree(&replica, &model, &[id("super", "")], "/nowhere");
    }

    #[test]
    fn a_damaged_snapshot_is_refused_and_nothing_panics(
        steps in histories(1..40),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut model = Model::new();
        let mut state = State::new();
        for (number, step) in (1..).zip(&steps) {
            let entry = step.entry(&model, number);
            let _ = model.apply(&entry);
            state.apply(&entry, &mut Vec::new());
        }
        let film = state.freeze();
        let (bytes, last) = state.next_chunk(film, usize::MAX);
        prop_assert!(last);
        let short = cut.index(bytes.len());
        prop_assert!(State::restore([&bytes[..short]]).is_err(), "cut at {}", short);
        let mut bad = bytes.to_vec();
        for (at, byte) in damage {
            bad[at.index(bytes.len())] ^= byte;
        }
        match State::restore([&bad[..]]) {
            Err(why) => prop_assert!(!why.is_empty()),
            // The digest vouches for the content; the zxid, the lists that no node has and the like are the record
            // layer's to guard, with its checksums.
            Ok(restored) => {
                prop_assert_eq!(restored.digest(), restored.digest_from_scratch());
                prop_assert_eq!(restored.digest(), state.digest());
            }
        }
    }

    #[test]
    fn garbage_is_refused(chunks in vec(vec(any::<u8>(), 0..200), 0..4)) {
        prop_assert!(State::restore(chunks.iter().map(|chunk| &chunk[..])).is_err());
    }
}
