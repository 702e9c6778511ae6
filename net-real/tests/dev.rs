//! `vivarium dev` comes up, is an ensemble, and leaves nothing behind however it ends.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use common::{Client, Process, Scratch, ask, create, eventually, vivarium};
use rustix::process::{Pid, Signal};
use vivarium_core::api::{Op, Response};

struct Dev {
    process: Process,
    addresses: Vec<SocketAddr>,
    screen: String,
}

impl Dev {
    fn start(scratch: &Scratch, arguments: &[&str]) -> Dev {
        let mut command = vivarium();
        command.arg("dev").args(arguments).env("TMPDIR", &scratch.0).stdout(Stdio::piped());
        let mut process = Process::spawn(&mut command);
        let stdout = process.child.stdout.take().expect("it is piped");
        let mut screen = String::new();
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            screen += &line;
            screen.push('\n');
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        let connect = screen.lines().find_map(|line| line.trim().strip_prefix("connect "));
        let connect = connect.unwrap_or_else(|| panic!("no connect string in {screen:?}"));
        let addresses =
            connect.trim().split(',').map(|address| address.parse().expect("an address")).collect();
        Dev { process, addresses, screen }
    }

    /// Processes whose parent it is.
    fn children(&self) -> Vec<u32> {
        let path = format!("/proc/{0}/task/{0}/children", self.process.child.id());
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect()
    }
}

fn alive(pid: u32) -> bool {
    // A zombie has ended; whoever inherited it has only not looked yet.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn files(scratch: &Scratch) -> Vec<PathBuf> {
    fs::read_dir(&scratch.0).expect("it exists").map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn three_servers_replicate_and_leave_nothing_behind() {
    let scratch = Scratch::new("dev");
    let mut dev = Dev::start(&scratch, &[]);
    assert_eq!(dev.addresses.len(), 3);
    assert!(dev.screen.contains("nothing behind"), "{}", dev.screen);
    let modes: Vec<String> = dev
        .addresses
        .iter()
        .map(|address| {
            let srvr = ask(*address, b"srvr");
            srvr.lines().find_map(|line| line.strip_prefix("Mode: ")).expect("a mode").to_owned()
        })
        .collect();
    assert_eq!(modes.iter().filter(|mode| *mode == "leader").count(), 1, "{modes:?}");
    assert_eq!(modes.iter().filter(|mode| *mode == "follower").count(), 2, "{modes:?}");

    for (n, address) in dev.addresses.iter().enumerate() {
        let mut client = Client::connect(*address);
        assert!(client.call(create(&format!("/from-{n}"), b"x")).result.is_ok());
    }
    for address in &dev.addresses {
        let mut client = Client::connect(*address);
        assert!(client.call(Op::Sync { path: Some("/".into()) }).result.is_ok());
        for n in 0..3 {
            let read = client.call(Op::GetData { path: format!("/from-{n}"), watch: false }).result;
            assert!(matches!(read, Ok(Response::Data(..))), "{address} has no /from-{n}");
        }
    }

    let children = dev.children();
    assert_eq!(children.len(), 3);
    assert_eq!(files(&scratch).len(), 1);
    dev.process.signal(Signal::INT);
    assert_eq!(dev.process.wait_exit().code(), Some(0), "{}", dev.process.log());
    assert!(!children.iter().any(|pid| alive(*pid)));
    assert_eq!(files(&scratch), Vec::<PathBuf>::new());
}

#[test]
fn servers_die_with_a_parent_that_is_killed() {
    let scratch = Scratch::new("dev-kill");
    let mut dev = Dev::start(&scratch, &["--nodes", "3"]);
    let children = dev.children();
    assert_eq!(children.len(), 3);
    dev.process.signal(Signal::KILL);
    dev.process.wait_exit();
    eventually("all servers end", || (!children.iter().any(|pid| alive(*pid))).then_some(()));
}

#[test]
fn the_rest_serves_on_when_the_leader_is_killed() {
    let scratch = Scratch::new("dev-leader");
    let mut dev = Dev::start(&scratch, &[]);
    let leads = |address: &SocketAddr| ask(*address, b"srvr").contains("Mode: leader");
    let leader = dev.addresses.iter().position(leads).expect("one leads");
    let mut client = Client::connect(dev.addresses[leader]);
    assert!(client.call(create("/before", b"x")).result.is_ok());
    // Children are listed in the order in which they were started.
    let pid = dev.children()[leader];
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, Signal::KILL).expect("it runs");
    let line = dev.process.wait_line("has ended");
    assert!(line.contains(&format!("server {}", leader + 1)), "{line}");
    let others: Vec<SocketAddr> =
        dev.addresses.iter().copied().filter(|a| *a != dev.addresses[leader]).collect();
    for (n, address) in others.iter().enumerate() {
        eventually("the others serve again", || {
            let mut client = Client::try_connect(*address).ok()?;
            client.try_call(create(&format!("/after-{n}"), b"x")).ok()?.result.ok()
        });
        let mut client = Client::connect(*address);
        assert!(client.call(Op::Exists { path: "/before".into(), watch: false }).result.is_ok());
    }
}

#[test]
fn data_is_kept_on_request() {
    let scratch = Scratch::new("dev-keep");
    let home = scratch.0.join("home");
    let arguments = ["--nodes", "1", "--dir", home.to_str().expect("plain text")];
    let mut dev = Dev::start(&scratch, &arguments);
    assert!(Client::connect(dev.addresses[0]).call(create("/kept", b"x")).result.is_ok());
    dev.process.signal(Signal::TERM);
    assert_eq!(dev.process.wait_exit().code(), Some(0), "{}", dev.process.log());
    let dev = Dev::start(&scratch, &arguments);
    let read = Client::connect(dev.addresses[0]).call(Op::Exists { path: "/kept".into(), watch: false });
    assert!(read.result.is_ok());
}

#[test]
fn a_port_that_is_taken_is_named_and_nothing_is_left_behind() {
    let scratch = Scratch::new("dev-port");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    let mut command = vivarium();
    command.args(["dev", "--nodes", "1", "--base-port", &port]).env("TMPDIR", &scratch.0);
    let mut process = Process::spawn(&mut command);
    assert_eq!(process.wait_exit().code(), Some(2));
    assert!(process.log().contains(&format!("port {port} is not free")), "{}", process.log());
    assert_eq!(files(&scratch), Vec::<PathBuf>::new());
}
