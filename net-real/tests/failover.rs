//! What a client of an ensemble keeps while its servers die: its session, its ephemeral nodes, its watches, its locks.
//!
//! The client is `zookeeper-client` from crates.io; the deaths are SIGKILL.

mod support;

use std::future::Future;
use std::time::Duration;

use support::PATIENCE;
use support::ensemble::Ensemble;
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error, EventType, LockPrefix};

const OPEN: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());
const EPHEMERAL: CreateOptions<'static> = CreateMode::Ephemeral.with_acls(Acls::anyone_all());

fn block_on<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let limited = async { tokio::time::timeout(PATIENCE, work).await };
    runtime.expect("a runtime can be built").block_on(limited).expect("the test went on for too long")
}

async fn connect(servers: &str) -> Client {
    let connector = Client::connector().with_session_timeout(Duration::from_secs(30));
    connector.connect(servers).await.expect("a session can be opened")
}

/// Asks again for as long as the connection breaks: for requests that may be made twice.
async fn persistently<T, F: Future<Output = Result<T, Error>>>(
    mut ask: impl FnMut() -> F,
) -> Result<T, Error> {
    loop {
        match ask().await {
            Err(error) if is_loss(&error) => tokio::time::sleep(Duration::from_millis(5)).await, // not to spin
            answer => return answer,
        }
    }
}

/// Whether the connection broke. The library says so in two ways, the second of which holds the socket's own error.
fn is_loss(error: &Error) -> bool {
    matches!(error, Error::ConnectionLoss | Error::Custom(_))
}

#[test]
fn a_session_and_its_ephemeral_nodes_outlive_every_server() {
    let mut ensemble = Ensemble::start(3);
    let servers = ensemble.servers();
    block_on(async {
        let client = connect(&servers).await;
        let session = client.session_id();
        client.create("/here", b"", &EPHEMERAL).await.unwrap();
        for place in 0..3 {
            ensemble.nodes[place].kill();
            let name = format!("/without-{place}");
            let made = persistently(|| client.create(&name, b"", &OPEN)).await;
            assert!(matches!(made, Ok(_) | Err(Error::NodeExists)), "{made:?}");
            let stat = persistently(|| client.check_stat("/here")).await.unwrap();
            assert_eq!(stat.expect("the ephemeral node is there").ephemeral_owner, session.0);
            ensemble.nodes[place].start();
            ensemble.nodes[place].wait_until_serving();
        }
        assert_eq!(client.session_id(), session);
        let other = connect(&servers).await;
        other.sync("/").await.unwrap();
        assert!(other.check_stat("/here").await.unwrap().is_some());
        drop(client);
        let (stat, watcher) = other.check_and_watch_stat("/here").await.unwrap();
        if stat.is_some() {
            assert_eq!(watcher.changed().await.event_type, EventType::NodeDeleted);
        }
    });
}

#[test]
fn a_watch_set_before_a_death_fires_after_it() {
    let mut ensemble = Ensemble::start(3);
    let servers = ensemble.servers();
    block_on(async {
        for place in 0..3 {
            let path = format!("/watched-{place}");
            // One server is all this client knows, so that its death is surely felt.
            let alone = connect(&ensemble.nodes[place].address.to_string()).await;
            alone.create(&path, b"", &OPEN).await.unwrap();
            let (_, _, data) = alone.get_and_watch_data(&path).await.unwrap();
            let (_, children) = alone.list_and_watch_children(&path).await.unwrap();
            let (_, exists) = alone.check_and_watch_stat(&format!("{path}/child")).await.unwrap();
            ensemble.nodes[place].kill();

            let acting = connect(&servers).await;
            let set = persistently(|| acting.set_data(&path, b"changed", None)).await;
            set.unwrap();
            let made = persistently(|| acting.create("/watched-child", b"", &OPEN)).await;
            assert!(matches!(made, Ok(_) | Err(Error::NodeExists)), "{made:?}");
            let child = format!("{path}/child");
            let made = persistently(|| acting.create(&child, b"", &OPEN)).await;
            assert!(matches!(made, Ok(_) | Err(Error::NodeExists)), "{made:?}");

            ensemble.nodes[place].start();
            assert_eq!(data.changed().await.event_type, EventType::NodeDataChanged);
            assert_eq!(children.changed().await.event_type, EventType::NodeChildrenChanged);
            assert_eq!(exists.changed().await.event_type, EventType::NodeCreated);
            ensemble.nodes[place].wait_until_serving();
        }
    });
}

#[test]
fn sessions_and_data_outlive_the_death_of_the_whole_ensemble() {
    for size in [1, 3] {
        let mut ensemble = Ensemble::start(size);
        let servers = ensemble.servers();
        block_on(async {
            let client = connect(&servers).await;
            client.create("/data", b"kept", &OPEN).await.unwrap();
            client.create("/here", b"", &EPHEMERAL).await.unwrap();
            for _ in 0..3 {
                ensemble.nodes.iter_mut().for_each(|node| node.kill());
                ensemble.nodes.iter_mut().for_each(|node| node.start());
                let (data, _) = persistently(|| client.get_data("/data")).await.unwrap();
                assert_eq!(data, b"kept");
                let stat = persistently(|| client.check_stat("/here")).await.unwrap();
                assert_eq!(stat.expect("the session lives").ephemeral_owner, client.session_id().0);
                let set = persistently(|| client.set_data("/data", b"kept", None)).await;
                set.unwrap();
            }
        });
    }
}

/// Adds one to the counter under the library's lock. An error means that the lock was not got; the library may have left
/// a place in the queue for it then, so that the session has to go.
async fn increment_under_lock(client: &Client) -> Result<(), Error> {
    let prefix = LockPrefix::new_curator("/locks", "lock-").unwrap();
    let lock = client.lock(prefix, b"", Acls::anyone_all()).await?;
    persistently(|| lock.client().sync("/counter")).await.unwrap();
    let (data, stat) = persistently(|| lock.client().get_data("/counter")).await.unwrap();
    let count: u32 = String::from_utf8(data).unwrap().parse().unwrap();
    let next = (count + 1).to_string();
    let set = lock.client().set_data("/counter", next.as_bytes(), Some(stat.version)).await;
    if !set.as_ref().is_err_and(is_loss) {
        set.expect("nobody else writes while the lock is held");
        return Ok(());
    }
    // It may have been done, and the version tells: the holder is alone, so only its own first try can have raised it.
    let again =
        persistently(|| lock.client().set_data("/counter", next.as_bytes(), Some(stat.version))).await;
    assert!(matches!(again, Ok(_) | Err(Error::BadVersion)), "{again:?}");
    persistently(|| lock.client().sync("/counter")).await.unwrap();
    let (data, now) = persistently(|| lock.client().get_data("/counter")).await.unwrap();
    assert_eq!((data, now.version), (next.into_bytes(), stat.version + 1));
    Ok(())
}

#[test]
fn a_lock_excludes_while_leaders_die() {
    let mut ensemble = Ensemble::start(3);
    let servers = ensemble.servers();
    block_on(async {
        let first = connect(&servers).await;
        first.create("/locks", b"", &OPEN).await.unwrap();
        first.create("/counter", b"0", &OPEN).await.unwrap();
        let mut tasks = Vec::new();
        for _ in 0..3 {
            let servers = servers.clone();
            tasks.push(tokio::spawn(async move {
                let mut client = connect(&servers).await;
                let mut done = 0;
                while done < 20 {
                    match increment_under_lock(&client).await {
                        Ok(()) => done += 1,
                        Err(error) => {
                            assert!(is_loss(&error), "{error}");
                            client = connect(&servers).await;
                        }
                    }
                }
            }));
        }
        let mut reached = 0;
        while reached < 45 {
            let leader = ensemble.leader();
            ensemble.nodes[leader].kill();
            ensemble.nodes[leader].start();
            ensemble.nodes[leader].wait_until_serving();
            let goal = reached + 15;
            while reached < goal {
                persistently(|| first.sync("/")).await.unwrap();
                let (data, _) = persistently(|| first.get_data("/counter")).await.unwrap();
                reached = String::from_utf8(data).unwrap().parse().unwrap();
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
        persistently(|| first.sync("/")).await.unwrap();
        let (data, _) = persistently(|| first.get_data("/counter")).await.unwrap();
        assert_eq!(data, b"60", "every increment under the lock counted once");
    });
}
