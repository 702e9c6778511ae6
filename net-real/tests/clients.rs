//! The promises of the protocol, kept to a client library that was not written for this server: `zookeeper-client`
//! from crates.io, against real processes, alone and in threes.
//!
//! The deaths of servers under that client are in `failover.rs`.

mod support;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use support::ensemble::Ensemble;
use support::{PATIENCE, eventually};
use zookeeper_client::{
    Acls, Client, CreateMode, CreateOptions, Error, EventType, MultiWriteError, MultiWriteResult,
    SessionState,
};

/// What most clients create: anyone may do anything.
const OPEN: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());
const EPHEMERAL: CreateOptions<'static> = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
const SEQUENTIAL: CreateOptions<'static> = CreateMode::PersistentSequential.with_acls(Acls::anyone_all());

/// Runs each of these against one server and against three.
macro_rules! against_one_and_three {
    ($($name:ident)*) => {
        mod one_server {
            $(#[test] fn $name() { super::run(1, super::$name); })*
        }
        mod three_servers {
            $(#[test] fn $name() { super::run(3, super::$name); })*
        }
    };
}

against_one_and_three! {
    nodes_are_created_read_changed_and_deleted
    stats_count_what_happened
    sequential_names_rise_and_never_repeat
    an_ephemeral_node_goes_with_its_session
    a_watch_fires_once_for_what_it_watches
    a_multi_is_all_or_nothing
    an_acl_keeps_others_out
    a_session_can_be_attached_again
    an_abandoned_session_expires
    a_chroot_is_a_world_of_its_own
    locks_exclude
}

fn run<F: Future<Output = ()>>(size: u8, test: impl FnOnce(String) -> F) {
    let ensemble = Ensemble::start(size);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let work = test(ensemble.servers());
    let done = runtime
        .expect("a runtime can be built")
        .block_on(async { tokio::time::timeout(PATIENCE, work).await });
    done.expect("the test went on for too long");
}

async fn connect(servers: &str) -> Client {
    let connector = Client::connector().with_session_timeout(Duration::from_secs(30));
    connector.connect(servers).await.expect("a session can be opened")
}

async fn nodes_are_created_read_changed_and_deleted(servers: String) {
    let client = connect(&servers).await;
    let (created, _) = client.create("/a", b"one", &OPEN).await.unwrap();
    assert_eq!(client.create("/a", b"again", &OPEN).await.unwrap_err(), Error::NodeExists);
    assert_eq!(client.create("/no/parent", b"", &OPEN).await.unwrap_err(), Error::NoNode);

    let (data, stat) = client.get_data("/a").await.unwrap();
    assert_eq!(data, b"one");
    assert_eq!(stat, created);

    let changed = client.set_data("/a", b"two", Some(0)).await.unwrap();
    assert_eq!(changed.version, 1);
    assert_eq!(client.set_data("/a", b"three", Some(0)).await.unwrap_err(), Error::BadVersion);
    assert_eq!(client.set_data("/b", b"", None).await.unwrap_err(), Error::NoNode);
    assert_eq!(client.get_data("/a").await.unwrap(), (b"two".to_vec(), changed));

    client.create("/a/child", b"", &OPEN).await.unwrap();
    assert_eq!(client.delete("/a", None).await.unwrap_err(), Error::NotEmpty);
    assert_eq!(client.list_children("/a").await.unwrap(), ["child"]);
    client.delete("/a/child", Some(0)).await.unwrap();
    assert_eq!(client.delete("/a", Some(7)).await.unwrap_err(), Error::BadVersion);
    client.delete("/a", Some(1)).await.unwrap();
    assert_eq!(client.delete("/a", None).await.unwrap_err(), Error::NoNode);
    assert_eq!(client.check_stat("/a").await.unwrap(), None);
    assert_eq!(client.get_data("/a").await.unwrap_err(), Error::NoNode);

    let large = vec![7; 1_000_000];
    client.create("/large", &large, &OPEN).await.unwrap();
    assert_eq!(client.get_data("/large").await.unwrap().0, large);
}

async fn stats_count_what_happened(servers: String) {
    let client = connect(&servers).await;
    let (created, _) = client.create("/p", b"12345", &OPEN).await.unwrap();
    assert_eq!((created.version, created.cversion, created.aversion), (0, 0, 0));
    assert_eq!((created.data_length, created.num_children, created.ephemeral_owner), (5, 0, 0));
    assert_eq!((created.mzxid, created.pzxid), (created.czxid, created.czxid));
    assert_eq!(created.mtime, created.ctime);

    let (child, _) = client.create("/p/c", b"", &OPEN).await.unwrap();
    client.create("/p/d", b"", &EPHEMERAL).await.unwrap();
    client.delete("/p/d", None).await.unwrap();
    let (names, stat) = client.get_children("/p").await.unwrap();
    assert_eq!(names, ["c"]);
    assert_eq!((stat.version, stat.cversion, stat.num_children), (0, 3, 1));
    assert!(child.czxid < stat.pzxid, "the last change of the children was the deletion");
    assert_eq!(stat.mzxid, created.mzxid, "children do not change a node's data");

    let changed = client.set_data("/p", b"", None).await.unwrap();
    assert!(changed.mzxid > stat.pzxid);
    assert_eq!((changed.version, changed.data_length, changed.czxid), (1, 0, created.czxid));
    assert_eq!(client.check_stat("/p").await.unwrap(), Some(changed));
}

async fn sequential_names_rise_and_never_repeat(servers: String) {
    let clients = [connect(&servers).await, connect(&servers).await];
    clients[0].create("/queue", b"", &OPEN).await.unwrap();
    let mut tasks = Vec::new();
    for client in clients.clone() {
        tasks.push(tokio::spawn(async move {
            let mut mine = Vec::new();
            for _ in 0..50 {
                let (_, sequence) = client.create("/queue/item-", b"", &SEQUENTIAL).await.unwrap();
                mine.push(sequence);
            }
            mine
        }));
    }
    let mut all = BTreeSet::new();
    for task in tasks {
        let mine = task.await.unwrap();
        assert!(mine.is_sorted(), "one client's numbers rise in the order of its requests: {mine:?}");
        all.extend(mine);
    }
    assert_eq!(all.len(), 100, "no number was given twice");

    let names: BTreeSet<String> = all.iter().map(|sequence| format!("item-{sequence}")).collect();
    clients[1].sync("/").await.unwrap();
    let listed: BTreeSet<String> = clients[1].list_children("/queue").await.unwrap().into_iter().collect();
    assert_eq!(listed, names);

    let last = names.last().unwrap();
    clients[0].delete(&format!("/queue/{last}"), None).await.unwrap();
    let (_, next) = clients[0].create("/queue/item-", b"", &SEQUENTIAL).await.unwrap();
    assert!(&next > all.last().unwrap(), "a number is not given again after its node is gone");
}

async fn an_ephemeral_node_goes_with_its_session(servers: String) {
    let owner = connect(&servers).await;
    let other = connect(&servers).await;
    let (stat, _) = owner.create("/here", b"", &EPHEMERAL).await.unwrap();
    assert_eq!(stat.ephemeral_owner, owner.session_id().0);
    assert_eq!(owner.create("/here/below", b"", &OPEN).await.unwrap_err(), Error::NoChildrenForEphemerals);

    other.sync("/").await.unwrap();
    let (seen, watcher) = other.check_and_watch_stat("/here").await.unwrap();
    assert_eq!(seen, Some(stat));
    drop(owner);
    let event = watcher.changed().await;
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeDeleted, "/here"));
    assert_eq!(other.check_stat("/here").await.unwrap(), None);
}

async fn a_watch_fires_once_for_what_it_watches(servers: String) {
    let watching = connect(&servers).await;
    let acting = connect(&servers).await;

    let (none, created) = watching.check_and_watch_stat("/w").await.unwrap();
    assert_eq!(none, None);
    acting.create("/w", b"", &OPEN).await.unwrap();
    let event = created.changed().await;
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeCreated, "/w"));

    watching.sync("/").await.unwrap();
    let (_, _, changed) = watching.get_and_watch_data("/w").await.unwrap();
    let (_, children) = watching.list_and_watch_children("/w").await.unwrap();
    acting.create("/w/c", b"", &OPEN).await.unwrap();
    let event = children.changed().await;
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeChildrenChanged, "/w"));
    acting.set_data("/w", b"1", None).await.unwrap();
    acting.set_data("/w", b"2", None).await.unwrap();
    let event = changed.changed().await;
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeDataChanged, "/w"));

    watching.sync("/").await.unwrap();
    let (_, _, data) = watching.get_and_watch_data("/w/c").await.unwrap();
    let (_, own_children) = watching.list_and_watch_children("/w/c").await.unwrap();
    let (_, parents_children) = watching.list_and_watch_children("/w").await.unwrap();
    acting.delete("/w/c", None).await.unwrap();
    assert_eq!(data.changed().await.event_type, EventType::NodeDeleted);
    assert_eq!(own_children.changed().await.event_type, EventType::NodeDeleted);
    assert_eq!(parents_children.changed().await.event_type, EventType::NodeChildrenChanged);
}

async fn a_multi_is_all_or_nothing(servers: String) {
    let client = connect(&servers).await;
    client.create("/m", b"", &OPEN).await.unwrap();

    let mut good = client.new_multi_writer();
    good.add_check_version("/m", 0).unwrap();
    good.add_create("/m/a", b"a", &OPEN).unwrap();
    good.add_create("/m/s-", b"", &SEQUENTIAL).unwrap();
    good.add_set_data("/m", b"set", Some(0)).unwrap();
    good.add_set_data("/m", b"set again", Some(1)).unwrap();
    good.add_create("/m/gone", b"", &OPEN).unwrap();
    good.add_delete("/m/gone", None).unwrap();
    let results = good.commit().await.unwrap();
    assert_eq!(results.len(), 7);
    assert!(matches!(&results[1], MultiWriteResult::Create { path, .. } if path == "/m/a"), "{results:?}");
    assert!(
        matches!(&results[2], MultiWriteResult::Create { path, .. } if path == "/m/s-0000000001"),
        "{results:?}"
    );
    assert!(matches!(&results[4], MultiWriteResult::SetData { stat } if stat.version == 2), "{results:?}");
    let (_, stat) = client.get_data("/m/a").await.unwrap();
    let (_, parent) = client.get_data("/m").await.unwrap();
    assert_eq!(stat.czxid, parent.mzxid, "all of a multi happens at one zxid");

    let before = client.get_children("/m").await.unwrap();
    let mut bad = client.new_multi_writer();
    bad.add_create("/m/b", b"", &OPEN).unwrap();
    bad.add_delete("/m/a", None).unwrap();
    bad.add_check_version("/m", 9).unwrap();
    bad.add_set_data("/m", b"never", None).unwrap();
    let error = bad.commit().await.unwrap_err();
    assert_eq!(error, MultiWriteError::OperationFailed { index: 2, source: Error::BadVersion });
    assert_eq!(client.get_children("/m").await.unwrap(), before, "nothing of a failed multi is left");
    assert_eq!(client.get_data("/m").await.unwrap().0, b"set again");
}

async fn an_acl_keeps_others_out(servers: String) {
    let owner = connect(&servers).await;
    owner.auth("digest", b"ann:secret").await.unwrap();
    let mine = CreateMode::Persistent.with_acls(Acls::creator_all());
    owner.create("/mine", b"private", &mine).await.unwrap();
    owner
        .create("/read-only", b"public", &CreateMode::Persistent.with_acls(Acls::anyone_read()))
        .await
        .unwrap();

    let other = connect(&servers).await;
    other.sync("/").await.unwrap();
    assert_eq!(other.get_data("/mine").await.unwrap_err(), Error::NoAuth);
    assert_eq!(other.set_data("/mine", b"", None).await.unwrap_err(), Error::NoAuth);
    assert_eq!(other.list_children("/mine").await.unwrap_err(), Error::NoAuth);
    assert_eq!(other.create("/mine/c", b"", &OPEN).await.unwrap_err(), Error::NoAuth);
    assert_eq!(other.get_data("/read-only").await.unwrap().0, b"public");
    assert_eq!(other.set_data("/read-only", b"", None).await.unwrap_err(), Error::NoAuth);
    assert_eq!(
        other.create("/x", b"", &mine).await.unwrap_err(),
        Error::InvalidAcl,
        "nobody has authenticated"
    );

    other.auth("digest", b"ann:wrong").await.unwrap();
    assert_eq!(other.get_data("/mine").await.unwrap_err(), Error::NoAuth);
    other.auth("digest", b"ann:secret").await.unwrap();
    assert_eq!(other.get_data("/mine").await.unwrap().0, b"private");
    let (acl, stat) = other.get_acl("/mine").await.unwrap();
    assert_eq!((acl.len(), stat.aversion), (1, 0));
    assert_eq!(acl[0].scheme(), "digest");
    let stat = other.set_acl("/mine", &Acls::anyone_all(), Some(0)).await.unwrap();
    assert_eq!(stat.aversion, 1);
    let anyone = connect(&servers).await;
    anyone.sync("/").await.unwrap();
    assert_eq!(anyone.get_data("/mine").await.unwrap().0, b"private");
}

async fn a_session_can_be_attached_again(servers: String) {
    let connector = Client::connector().with_session_timeout(Duration::from_secs(30)).with_detached();
    let first = connector.connect(&servers).await.unwrap();
    first.create("/kept", b"", &EPHEMERAL).await.unwrap();
    let session = first.into_session();

    let second = Client::connector().with_session(session.clone()).connect(&servers).await.unwrap();
    assert_eq!(second.session_id(), session.id());
    second.sync("/").await.unwrap();
    let stat = second.check_stat("/kept").await.unwrap().expect("an ephemeral node outlives a connection");
    assert_eq!(stat.ephemeral_owner, session.id().0);
    second.create("/kept-too", b"", &EPHEMERAL).await.unwrap();
}

async fn an_abandoned_session_expires(servers: String) {
    let other = connect(&servers).await;
    let connector = Client::connector().with_session_timeout(Duration::from_millis(500)).with_detached();
    let abandoned = connector.connect(&servers).await.unwrap();
    abandoned.create("/left", b"", &EPHEMERAL).await.unwrap();
    other.sync("/").await.unwrap();
    let (stat, watcher) = other.check_and_watch_stat("/left").await.unwrap();
    let session = abandoned.into_session();
    if stat.is_some() {
        assert_eq!(watcher.changed().await.event_type, EventType::NodeDeleted);
    }
    other.sync("/").await.unwrap();
    assert_eq!(other.check_stat("/left").await.unwrap(), None);
    let attached = Client::connector().with_session(session).connect(&servers).await;
    assert_eq!(attached.unwrap_err(), Error::SessionExpired);
}

async fn a_chroot_is_a_world_of_its_own(servers: String) {
    let outside = connect(&servers).await;
    outside.create("/app", b"", &OPEN).await.unwrap();
    let inside = connect(&format!("{servers}/app")).await;
    inside.sync("/").await.unwrap();
    let (_, watcher) = inside.check_and_watch_stat("/x").await.unwrap();
    inside.create("/x", b"in", &OPEN).await.unwrap();
    assert_eq!(watcher.changed().await.path, "/x");
    outside.sync("/").await.unwrap();
    assert_eq!(outside.get_data("/app/x").await.unwrap().0, b"in");
    assert_eq!(inside.state(), SessionState::SyncConnected);
}

/// The library's own lock recipe around a counter that is read and written back without a version: every increment
/// counts only if the lock excludes.
async fn locks_exclude(servers: String) {
    use zookeeper_client::LockPrefix;
    let first = connect(&servers).await;
    first.create("/locks", b"", &OPEN).await.unwrap();
    first.create("/counter", b"0", &OPEN).await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let servers = servers.clone();
        tasks.push(tokio::spawn(async move {
            let client = connect(&servers).await;
            for _ in 0..10 {
                let prefix = LockPrefix::new_curator("/locks", "lock-").unwrap();
                let lock = client.lock(prefix, b"", Acls::anyone_all()).await.unwrap();
                lock.client().sync("/counter").await.unwrap();
                let (data, _) = lock.client().get_data("/counter").await.unwrap();
                let count: u32 = String::from_utf8(data).unwrap().parse().unwrap();
                lock.client().set_data("/counter", (count + 1).to_string().as_bytes(), None).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    first.sync("/").await.unwrap();
    assert_eq!(first.get_data("/counter").await.unwrap().0, b"30");
}

/// The helper itself: a condition that holds at once needs no waiting.
#[test]
fn waiting_ends_with_the_condition() {
    let mut asked = 0;
    let value = eventually("the third question is answered", || {
        asked += 1;
        (asked == 3).then_some(asked)
    });
    assert_eq!(value, 3);
}
