//! Disks that are new, lost, damaged or full, with real processes.
//!
//! To fill a disk takes one of its own, which takes privileges. A limit on the size of files fails the same writes at the
//! same places, for anybody; what a full disk says is tested in `storage`.

mod support;

use std::cmp::Ordering;
use std::fs;

use support::client::{Client, Failure, Ticket};
use support::ensemble::Ensemble;
use support::eventually;
use vivarium_core::error::ErrorCode;

fn write(ensemble: &Ensemble, place: usize, path: &str) {
    let address = ensemble.nodes[place].address;
    eventually("a write", || {
        let mut client = Client::attach(address, &Ticket::new(30_000)).ok()?;
        let made = client.create(path, b"x", 0).is_ok() || client.exists(path, false).ok()?.is_some();
        client.close().ok()?;
        made.then_some(())
    });
}

fn says(ensemble: &Ensemble, place: usize, words: &str) {
    eventually(words, || ensemble.nodes[place].log_text().contains(words).then_some(()));
}

#[test]
fn a_wiped_server_copies_the_data_and_votes_again() {
    let mut ensemble = Ensemble::start(3);
    write(&ensemble, 0, "/before");
    let (leader, wiped) = (ensemble.leader(), ensemble.follower());
    ensemble.nodes[wiped].kill();
    fs::remove_dir_all(ensemble.nodes[wiped].data.join("vivarium")).expect("the data directory is there");
    ensemble.nodes[wiped].start();
    ensemble.nodes[wiped].wait_until_serving();
    // Once when the cluster was formed, and once for the new disk.
    eventually("the new disk counts", || {
        let text = ensemble.nodes[wiped].log_text();
        (text.matches("from here on it counts as a voter").count() == 2).then_some(())
    });
    eventually("the wiped server has the data", || {
        let mut client = Client::attach(ensemble.nodes[wiped].address, &Ticket::new(30_000)).ok()?;
        let there = client.exists("/before", false).ok()?.is_some();
        client.close().ok()?;
        there.then_some(())
    });
    // The two that are left are a quorum only if it counts.
    ensemble.nodes[leader].kill();
    write(&ensemble, wiped, "/after");
}

#[test]
fn a_cluster_is_formed_by_all_of_its_servers_or_on_the_operators_word() {
    let mut ensemble = Ensemble::prepare(3, "");
    ensemble.nodes[0].start();
    ensemble.nodes[1].start();
    says(&ensemble, 0, "not heard: server 3");
    says(&ensemble, 1, "vivarium serve --vote-empty");
    ensemble.nodes[2].start();
    ensemble.wait_until_serving();
    write(&ensemble, 2, "/formed");
}

#[test]
fn servers_without_data_vote_on_the_operators_word() {
    let ensemble = Ensemble::prepare(3, "");
    let mut started: Vec<_> = ensemble.nodes[..2]
        .iter()
        .map(|node| node.command().arg("--vote-empty").spawn().expect("the server's binary can be started"))
        .collect();
    write(&ensemble, 0, "/formed-by-two");
    for process in &mut started {
        process.kill().expect("a child can be killed");
        process.wait().expect("a child can be waited for");
    }
}

#[test]
fn a_damaged_log_is_refused_with_the_file_and_what_to_do() {
    let mut ensemble = Ensemble::start(1);
    for number in 0..20 {
        write(&ensemble, 0, &format!("/node-{number}"));
    }
    ensemble.nodes[0].kill();
    let folder = ensemble.nodes[0].data.join("vivarium");
    let log = folder.join("log-0000000001");
    let mut bytes = fs::read(&log).expect("the first segment is there");
    // In the middle of the first records.
    bytes[4096 + 40] ^= 1;
    fs::write(&log, bytes).expect("the log can be written");
    ensemble.nodes[0].start();
    assert_eq!(ensemble.nodes[0].wait().code(), Some(3));
    let text = ensemble.nodes[0].log_text();
    assert!(text.contains("log-0000000001") && text.contains("is damaged"), "{text}");
    assert!(text.contains("copies the state anew"), "{text}");
}

/// Writes nodes of 1,000 bytes until the server is gone. Gives how many it has acknowledged.
fn fill(ensemble: &Ensemble, place: usize, prefix: &str) -> usize {
    let mut client = eventually("a session", || Client::connect(ensemble.nodes[place].address).ok());
    let made = (0..10_000).take_while(|number| {
        let made = client.create(&format!("{prefix}{number}"), &[b'x'; 1_000], 0);
        assert!(!matches!(made, Err(Failure::Refused(_))), "{made:?}");
        made.is_ok()
    });
    made.count()
}

/// Whether all that was acknowledged is there, and at most one more: that was on its way when the server ended.
fn holds(ensemble: &Ensemble, place: usize, prefix: &str, acknowledged: usize) {
    let mut client = eventually("a session", || Client::connect(ensemble.nodes[place].address).ok());
    client.sync().expect("it serves");
    for number in 0..acknowledged + 2 {
        let found = client.exists(&format!("{prefix}{number}"), false).expect("it serves");
        let length = found.map(|stat| stat.data_length);
        match number.cmp(&acknowledged) {
            Ordering::Less => assert_eq!(length, Some(1_000), "{prefix}{number} was acknowledged"),
            Ordering::Equal => assert!(matches!(length, None | Some(1_000)), "{prefix}{number}: {length:?}"),
            Ordering::Greater => assert_eq!(length, None, "{prefix}{number} was never asked for"),
        }
    }
}

fn says_what_to_do(said: &str, file: &str) {
    let folder = format!("vivarium/{file}");
    for part in
        ["cannot write ", &folder, "ulimit -f", " bytes", "raise it", "nothing that it acknowledged is lost"]
    {
        assert!(said.contains(part), "{part:?} in\n{said}");
    }
}

#[test]
fn a_server_that_cannot_write_any_more_says_so_and_comes_back_with_all_it_acknowledged() {
    let mut ensemble = Ensemble::prepare(1, "");
    ensemble.nodes[0].start_with_file_limit(400);
    let acknowledged = fill(&ensemble, 0, "/a");
    assert!((100..1_000).contains(&acknowledged), "{acknowledged}");
    assert_eq!(ensemble.nodes[0].wait().code(), Some(1));
    says_what_to_do(&ensemble.nodes[0].log_text(), "log-0000000001");
    // Once more with the limit: it has a new segment to fill.
    ensemble.nodes[0].start_with_file_limit(400);
    holds(&ensemble, 0, "/a", acknowledged);
    let more = fill(&ensemble, 0, "/b");
    assert_eq!(ensemble.nodes[0].wait().code(), Some(1));
    says_what_to_do(&ensemble.nodes[0].log_text(), "log-0000000002");
    ensemble.nodes[0].start();
    holds(&ensemble, 0, "/a", acknowledged);
    holds(&ensemble, 0, "/b", more);
    write(&ensemble, 0, "/there-is-room");
}

#[test]
fn a_server_without_room_for_a_start_refuses_it_and_changes_nothing() {
    let mut ensemble = Ensemble::start(1);
    write(&ensemble, 0, "/before");
    ensemble.nodes[0].kill();
    let folder = ensemble.nodes[0].data.join("vivarium");
    let logs = || {
        let names = fs::read_dir(&folder).expect("the data directory is there");
        let names =
            names.map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"));
        let mut names: Vec<_> = names.filter(|name| name.starts_with("log-")).collect();
        names.sort();
        names
    };
    let before = logs();
    for _ in 0..3 {
        ensemble.nodes[0].start_with_file_limit(20);
        assert_eq!(ensemble.nodes[0].wait().code(), Some(3));
        assert_eq!(logs(), before);
    }
    says_what_to_do(&ensemble.nodes[0].log_text(), "log-0000000002");
    ensemble.nodes[0].start();
    let mut client = eventually("a session", || Client::connect(ensemble.nodes[0].address).ok());
    assert!(client.exists("/before", false).expect("it serves").is_some());
}

#[test]
fn the_others_go_on_without_a_server_that_cannot_write() {
    let mut ensemble = Ensemble::start(3);
    let full = ensemble.leader();
    ensemble.nodes[full].kill();
    ensemble.nodes[full].start_with_file_limit(400);
    ensemble.nodes[full].wait_until_serving();
    let other = (full + 1) % 3;
    let mut client = eventually("a session", || Client::connect(ensemble.nodes[other].address).ok());
    // Acknowledged by two of three, and the third has nowhere to put it.
    let mut made = 0;
    while ensemble.nodes[full].runs() {
        match client.create(&format!("/c{made}"), &[b'x'; 1_000], 0) {
            Ok(_) => made += 1,
            // Its leader may have been the one that ended.
            Err(Failure::Lost(_)) => {
                client = eventually("a session", || Client::connect(ensemble.nodes[other].address).ok());
            }
            Err(Failure::Refused(ErrorCode::NodeExists)) => made += 1,
            Err(failure) => panic!("{failure:?}"),
        }
    }
    assert_eq!(ensemble.nodes[full].wait().code(), Some(1));
    says_what_to_do(&ensemble.nodes[full].log_text(), "log-0000000002");
    holds(&ensemble, other, "/c", made);
    ensemble.nodes[full].start();
    holds(&ensemble, full, "/c", made);
}
