//! Disks that are new, lost or damaged, with real processes.

mod support;

use std::fs;

use support::client::{Client, Ticket};
use support::ensemble::Ensemble;
use support::eventually;

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
