//! Servers as they come and go: how each role ends, what a frozen leader can do, and how one that was away comes back.

mod support;

use std::fs;
use std::io::Read;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use support::client::{Client, Failure, Ticket};
use support::ensemble::Ensemble;
use support::eventually;
use vivarium_core::api::{Blob, Op};

/// Runs a server that is expected to end by itself.
fn refused(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = eventually("the server refuses to start", || child.try_wait().unwrap());
    let mut output = Output { status, stdout: Vec::new(), stderr: Vec::new() };
    child.stdout.take().unwrap().read_to_end(&mut output.stdout).unwrap();
    child.stderr.take().unwrap().read_to_end(&mut output.stderr).unwrap();
    output
}

/// All that a process said.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn a_second_process_on_a_client_port_is_refused() {
    let ensemble = Ensemble::start(1);
    let rival = Ensemble::prepare(1, "");
    let text = fs::read_to_string(&rival.nodes[0].config).unwrap();
    let (mine, theirs) = (rival.nodes[0].address.port(), ensemble.nodes[0].address.port());
    let text = text.replace(&format!("clientPort={mine}"), &format!("clientPort={theirs}"));
    fs::write(&rival.nodes[0].config, text).unwrap();
    let output = refused(rival.nodes[0].command());
    assert!(!output.status.success());
    assert!(said(&output).contains(&theirs.to_string()), "the port is named: {}", said(&output));
}

#[test]
fn sigterm_ends_every_role_cleanly_and_the_others_go_on() {
    let mut ensemble = Ensemble::start(3);
    for round in 0..2 {
        let follower = ensemble.follower();
        ensemble.nodes[follower].signal(Signal::TERM);
        assert_eq!(ensemble.nodes[follower].wait().code(), Some(0));
        ensemble.nodes[follower].start();
        ensemble.nodes[follower].wait_until_serving();

        let leader = ensemble.leader();
        let other = (leader + 1) % 3;
        let ticket = Ticket::new(30_000);
        let mut client = Client::attach(ensemble.nodes[other].address, &ticket).unwrap();
        client.create(&format!("/before-{round}"), b"", 1).unwrap();
        ensemble.nodes[leader].signal(Signal::TERM);
        let next = ensemble.leader_but(&[leader]);
        assert_ne!(next, leader);
        assert_eq!(
            ensemble.nodes[leader].wait().code(),
            Some(0),
            "a leader that was asked to end has not failed"
        );
        let ticket = client.ticket.clone();
        drop(client);
        let address = ensemble.nodes[next].address;
        let mut client = eventually("the session goes on", || Client::attach(address, &ticket).ok());
        assert!(client.exists(&format!("/before-{round}"), false).unwrap().is_some());
        client.create(&format!("/after-{round}"), b"", 0).unwrap();
        ensemble.nodes[leader].start();
        ensemble.wait_until_serving();
    }
    let mut alone = Ensemble::start(1);
    alone.nodes[0].signal(Signal::INT);
    assert_eq!(alone.nodes[0].wait().code(), Some(0));
}

/// A leader is frozen, another takes over and writes; thawed, the old one must neither acknowledge what the ensemble
/// does not have, nor show a state older than what its own client has seen, and it finds back into the ensemble.
#[test]
fn a_frozen_leader_is_replaced_and_comes_back_as_a_follower() {
    let ensemble = Ensemble::start(3);
    let old = ensemble.leader();
    let mut through_old = Client::connect(ensemble.nodes[old].address).unwrap();
    through_old.create("/x", b"before", 0).unwrap();
    ensemble.nodes[old].signal(Signal::STOP);
    // Sent to a process that does not run, to be found by it when it thinks that it leads.
    let stale = Op::SetData { path: "/x".into(), data: Some(Blob::new(b"stale")), version: 0 };
    let xid = through_old.send(stale.clone()).unwrap();

    let new = ensemble.leader_but(&[old]);
    let mut through_new = Client::connect(ensemble.nodes[new].address).unwrap();
    let stat = through_new.set("/x", b"after", 0).unwrap();
    assert_eq!(stat.version, 1);

    ensemble.nodes[old].signal(Signal::CONT);
    match through_old.receive(xid, &stale) {
        Err(Failure::Lost(_)) => {}
        Ok(reply) => {
            assert!(reply.result.is_err(), "a write on version 0 was acknowledged after another one")
        }
        Err(failure) => panic!("{failure}"),
    }
    eventually("the old leader follows", || (ensemble.nodes[old].mode()? == "follower").then_some(()));
    ensemble.nodes[old].wait_until_serving();
    let mut client = Client::connect(ensemble.nodes[old].address).unwrap();
    client.sync().unwrap();
    let (data, seen) = client.get("/x").unwrap();
    assert_eq!((data.as_deref(), seen), (Some(&b"after"[..]), stat));
}

#[test]
fn a_server_without_a_majority_serves_nobody_and_says_so() {
    let mut ensemble = Ensemble::start(3);
    let mut client = Client::connect(ensemble.nodes[0].address).unwrap();
    client.create("/x", b"", 0).unwrap();
    ensemble.nodes[1].kill();
    ensemble.nodes[2].kill();
    eventually("the connection is closed", || client.sync().err());
    eventually("it says that it does not serve", || {
        ensemble.nodes[0].four("srvr")?.contains("not currently serving requests").then_some(())
    });
    assert!(Client::connect(ensemble.nodes[0].address).is_err());
    assert_eq!(ensemble.nodes[0].four("ruok").as_deref(), Some("imok"));
    ensemble.nodes[1].start();
    ensemble.wait_until_serving();
    assert!(Client::connect(ensemble.nodes[0].address).unwrap().exists("/x", false).unwrap().is_some());
}

/// A server that lags so far that what it misses is no longer in anyone's memory gets the state itself.
#[test]
fn a_server_that_was_away_for_long_catches_up() {
    let mut ensemble = Ensemble::start_with(3, "snapCount=200\ncommitLogCount=100\n");
    let away = ensemble.follower();
    ensemble.nodes[away].kill();
    let leader = ensemble.leader_but(&[away]);
    let mut client = Client::connect(ensemble.nodes[leader].address).unwrap();
    let large = vec![3; 10_000];
    for number in 0..2_000 {
        client.create(&format!("/n-{number}"), &large, 0).unwrap();
    }
    ensemble.nodes[away].start();
    ensemble.nodes[away].wait_until_serving();
    let mut behind = Client::connect(ensemble.nodes[away].address).unwrap();
    behind.sync().unwrap();
    assert_eq!(behind.children("/").unwrap(), client.children("/").unwrap());
    assert_eq!(behind.get("/n-1999").unwrap(), client.get("/n-1999").unwrap());
    // And it can lead from there: the others may die.
    let other = (0..3).find(|place| *place != away && *place != leader).unwrap();
    ensemble.nodes[leader].kill();
    ensemble.nodes[leader].start();
    ensemble.nodes[other].kill();
    ensemble.wait_until_serving();
    let mut behind = Client::connect(ensemble.nodes[away].address).unwrap();
    assert_eq!(behind.children("/").unwrap().0.len(), 2_001);
}
