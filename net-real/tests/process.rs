//! How a server process starts, ends and is kept from doing harm.

mod common;

use common::{Client, Process, Scratch, Server, create, vivarium};
use rustix::process::Signal;
use vivarium_core::api::{Op, Response};

#[test]
fn a_signal_ends_it_in_good_order_and_nothing_is_lost() {
    for signal in [Signal::TERM, Signal::INT] {
        let scratch = Scratch::new("term");
        let mut server = Server::start(&scratch.0);
        let mut client = Client::connect(server.address);
        assert!(client.call(create("/kept", b"x")).result.is_ok());
        server.process.signal(signal);
        assert_eq!(server.process.wait_exit().code(), Some(0), "{}", server.process.log());
        let again = Server::start(&scratch.0);
        let mut client = Client::connect(again.address);
        let read = client.call(Op::GetData { path: "/kept".into(), watch: false }).result;
        assert!(matches!(read, Ok(Response::Data(Some(data), _)) if data[..] == *b"x"));
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let scratch = Scratch::new("kill");
    for round in 0..3 {
        let mut server = Server::start(&scratch.0);
        let mut client = Client::connect(server.address);
        for n in 0..20 {
            assert!(client.call(create(&format!("/{round}-{n}"), b"x")).result.is_ok());
        }
        server.process.signal(Signal::KILL);
        server.process.wait_exit();
    }
    let server = Server::start(&scratch.0);
    let mut client = Client::connect(server.address);
    let Ok(Response::Children(children)) =
        client.call(Op::GetChildren { path: "/".into(), watch: false, stat: false }).result
    else {
        panic!("no children");
    };
    assert_eq!(children.len(), 61, "{children:?}");
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let scratch = Scratch::new("second");
    let server = Server::start(&scratch.0);
    let mut second = Process::spawn(vivarium().args(["serve", "--port", "0", "--data-dir"]).arg(&scratch.0));
    assert_eq!(second.wait_exit().code(), Some(3));
    let pid = server.process.child.id().to_string();
    assert!(
        second.log().contains("in use by another process") && second.log().contains(&pid),
        "{}",
        second.log()
    );
    // The first goes on.
    assert!(Client::connect(server.address).call(Op::Ping).result.is_ok());
}

#[test]
fn a_directory_of_another_server_is_refused() {
    let scratch = Scratch::new("foreign");
    let mut server = Server::start(&scratch.0);
    server.process.signal(Signal::TERM);
    server.process.wait_exit();
    std::fs::write(scratch.0.join("myid"), "2\n").expect("a file");
    let config = scratch.0.join("zoo.cfg");
    let text = format!(
        "dataDir={}\nclientPort=0\ninitLimit=10\nsyncLimit=5\nserver.1=127.0.0.1:1:1\nserver.2=127.0.0.1:2:2\n\
         server.3=127.0.0.1:3:3\n",
        scratch.0.display()
    );
    std::fs::write(&config, text).expect("a file");
    let mut other = Process::spawn(vivarium().args(["serve", "--config"]).arg(&config));
    assert_eq!(other.wait_exit().code(), Some(3), "{}", other.log());
    assert!(other.log().contains("belongs to node 1"), "{}", other.log());
}

#[test]
fn wrong_arguments_and_configurations_end_with_2() {
    let scratch = Scratch::new("usage");
    let config = scratch.0.join("zoo.cfg");
    std::fs::write(&config, "clientPort=nonsense\n").expect("a file");
    let bad_config = format!("--config={}", config.display());
    let cases: [&[&str]; 5] = [
        &["serve", "--no-such-thing"],
        &["serve", "--port", "65536"],
        &["serve", "--config", "/does/not/exist"],
        &["serve", &bad_config],
        &["serve", "--log-level", "loud=very=much"],
    ];
    for arguments in cases {
        let output = vivarium().args(arguments).output().expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(!said.is_empty());
    }
    let output = vivarium().args(["serve", &bad_config]).output().expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("zoo.cfg:1") && said.contains("nonsense"), "{said}");
    let version = vivarium().arg("--version").output().expect("the binary starts");
    assert_eq!(version.status.code(), Some(0));
    assert!(version.stdout.starts_with(b"vivarium "));
}

#[test]
fn a_directory_that_cannot_be_made_ends_with_3() {
    let scratch = Scratch::new("nodir");
    let file = scratch.0.join("file");
    std::fs::write(&file, "").expect("a file");
    let mut process =
        Process::spawn(vivarium().args(["serve", "--port", "0", "--data-dir"]).arg(file.join("data")));
    assert_eq!(process.wait_exit().code(), Some(3), "{}", process.log());
    assert!(process.log().contains("file/data"), "{}", process.log());
}
