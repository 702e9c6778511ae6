//! A client that does not read, a crowd that uses up the file descriptors: others are served, and memory stays bounded.

mod common;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use common::{Client, Process, Scratch, Server, connect, create, eventually, hello, packet};
use vivarium_core::api::{Op, Request};
use vivarium_core::jute;

/// The most memory a process ever had, KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_client_that_does_not_read_costs_little_and_gets_everything_in_the_end() {
    const READS: i32 = 300;
    let scratch = Scratch::new("unread");
    let server = Server::start(&scratch.0);
    let mut other = Client::connect(server.address);
    assert!(other.call(create("/big", &vec![7; 1_000_000])).result.is_ok());
    let before = peak_kib(server.process.child.id());

    let mut greedy = connect(server.address);
    let mut bytes = Vec::new();
    jute::encode_connect(&hello(), &mut bytes);
    for xid in 1..=READS {
        jute::encode_request(
            &Request { xid, op: Op::GetData { path: "/big".into(), watch: false } },
            &mut bytes,
        );
    }
    greedy.write_all(&bytes).expect("it reads");
    packet(&mut greedy).expect("the handshake's answer");
    // Until the server has stopped taking its requests: what it has taken does not grow any more.
    let address = greedy.local_addr().expect("it is connected").to_string();
    let received = || {
        let cons = server.word("stat");
        let line = cons.lines().find(|line| line.contains(&address)).expect("it is listed").to_owned();
        let (_, rest) = line.split_once("recved=").expect("the counter");
        rest.split(',').next().and_then(|n| n.parse::<i32>().ok()).expect("a number")
    };
    let mut last = 0;
    eventually("the server stops reading", || {
        assert!(other.call(Op::Ping).result.is_ok());
        let now = received();
        (std::mem::replace(&mut last, now) == now && now > 1).then_some(())
    });
    assert!(last < READS, "{last} of {READS} requests were taken although no answer was read");
    let grown = peak_kib(server.process.child.id()) - before;
    assert!(grown < 64 << 10, "{grown} KiB more for a client that does not read");

    for xid in 1..=READS {
        let body = packet(&mut greedy).expect("an answer");
        let header = jute::decode_reply_header(&body).expect("a header");
        assert_eq!((header.xid, header.error), (xid, 0));
        assert!(body.len() > 1_000_000);
    }
}

#[test]
fn a_server_out_of_file_descriptors_serves_whom_it_has_and_recovers() {
    let scratch = Scratch::new("files");
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_vivarium")])
        .args(["serve", "--port", "0", "--data-dir"])
        .arg(&scratch.0)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    let mut process = Process::spawn(&mut command);
    let line = process.wait_line("listening for clients on ");
    let address = line.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("the line ends in it");
    process.wait_line("serving clients");

    let mut served = vec![Client::connect(address)];
    // The system completes these connections, although the server cannot take them all.
    let crowd: Vec<_> = (0..100).map(|_| connect(address)).collect();
    process.wait_line("raise the limit of open files");
    for _ in 0..100 {
        assert!(served[0].call(Op::Ping).result.is_ok());
    }
    drop(crowd);
    served.push(eventually("there is room again", || Client::try_connect(address).ok()));
    for client in &mut served {
        assert!(client.call(Op::Ping).result.is_ok());
    }
}
