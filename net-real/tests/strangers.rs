//! Clients that do not speak the protocol, or abuse it, harm nobody but themselves.
//!
//! In every test a well-behaved client writes and reads all the while, over one connection that must not break. Each
//! kind of abuse is kept up until that client has got a good deal further.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::client::{Client, creation};
use support::ensemble::Ensemble;
use support::eventually;
use vivarium_core::api::{Blob, ConnectRequest, MultiOp, MultiResult, Op, Request, Response};
use vivarium_core::ids::SessionId;
use vivarium_core::jute;

/// Runs `abuse` against server 1 of an ensemble while a client of it works; gives what the server logged.
fn while_another_works(size: u8, abuse: impl FnOnce(&Ensemble, &Witness)) -> String {
    let mut ensemble = Ensemble::start(size);
    let address = ensemble.nodes[0].address;
    let witness = Witness::default();
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| witness.work(address));
        {
            let _end = Ends(&witness.done);
            abuse(&ensemble, &witness);
            witness.gets_on();
        }
        worker.join().expect("the well-behaved client was served");
    });
    assert!(ensemble.nodes[0].runs(), "the server lives");
    let log = ensemble.nodes[0].log_text();
    assert!(!log.contains("panicked"), "the server panicked");
    log
}

/// The well-behaved client, and how far it is.
#[derive(Default)]
struct Witness {
    done: AtomicBool,
    rounds: AtomicU64,
}

impl Witness {
    fn work(&self, address: SocketAddr) {
        let mut client = Client::connect(address).unwrap();
        client.create("/witness", b"0", 0).unwrap();
        while !self.done.load(Ordering::Relaxed) {
            let round = self.rounds.fetch_add(1, Ordering::Relaxed);
            let value = round.to_string().into_bytes();
            let stat = client.set("/witness", &value, -1).unwrap();
            assert_eq!(client.get("/witness").unwrap(), (Some(Blob::new(&value)), stat));
        }
        client.close().unwrap();
    }

    /// Waits until the client has done twenty more rounds.
    fn gets_on(&self) {
        let goal = self.rounds.load(Ordering::Relaxed) + 20;
        eventually("the well-behaved client gets on", || {
            (self.rounds.load(Ordering::Relaxed) >= goal).then_some(())
        });
    }
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(30)).expect("the server accepts");
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Sends bytes and gives the connection, whatever the server makes of them.
fn say(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(address);
    // The server may close before all is written.
    let _ = stream.write_all(bytes);
    stream
}

/// Reads until the server closes, which it must.
fn closes(mut stream: TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the server keeps a connection that it cannot make sense of: {error}"),
    }
    answer
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = i32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

fn handshake() -> Vec<u8> {
    let mut bytes = Vec::new();
    let hello = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0,
        timeout_ms: 30_000,
        session: SessionId(0),
        password: Some(Blob::new(&[0; 16])),
        read_only: Some(false),
    };
    jute::encode_connect(&hello, &mut bytes);
    bytes
}

#[test]
fn random_bytes() {
    while_another_works(1, |ensemble, witness| {
        let mut word = 0x1234_5678_9abc_def1_u64;
        for length in (1..600).chain([5_000, 100_000]) {
            let noise: Vec<u8> = (0..length)
                .map(|_| {
                    word ^= word << 13;
                    word ^= word >> 7;
                    word ^= word << 17;
                    word as u8
                })
                .collect();
            drop(say(ensemble.nodes[0].address, &noise));
            let mut greeted = handshake();
            greeted.extend(&frame(&noise[..noise.len().min(1_000)]));
            greeted.extend(&noise);
            drop(say(ensemble.nodes[0].address, &greeted));
        }
        witness.gets_on();
    });
}

#[test]
fn impossible_lengths() {
    while_another_works(1, |ensemble, witness| {
        for length in [i32::MAX, i32::MIN, -1, 0, 1, 64 << 20, 0x10_0000] {
            let mut bytes = length.to_be_bytes().to_vec();
            bytes.extend([0; 64]);
            let first = say(ensemble.nodes[0].address, &bytes);
            if !(0..=64).contains(&length) {
                closes(first);
            }
            let mut greeted = handshake();
            greeted.extend(&bytes);
            let later = say(ensemble.nodes[0].address, &greeted);
            if !(0..=64).contains(&length) {
                assert_eq!(closes(later).len(), 41, "the handshake is answered, and then nothing");
            }
        }
        witness.gets_on();
    });
}

#[test]
fn half_a_frame_and_silence() {
    while_another_works(1, |ensemble, witness| {
        let whole = handshake();
        let mut silent = Vec::new();
        for end in 0..whole.len() {
            silent.push(say(ensemble.nodes[0].address, &whole[..end]));
        }
        let mut request = Vec::new();
        jute::encode_request(&Request { xid: 1, op: Op::Create(creation("/never", b"", 0)) }, &mut request);
        for end in 0..request.len() {
            let mut bytes = whole.clone();
            bytes.extend(&request[..end]);
            silent.push(say(ensemble.nodes[0].address, &bytes));
        }
        witness.gets_on();
        drop(silent);
        let mut client = Client::connect(ensemble.nodes[0].address).unwrap();
        assert_eq!(client.exists("/never", false).unwrap(), None);
    });
}

#[test]
fn a_frame_that_comes_one_byte_at_a_time_is_a_frame() {
    while_another_works(1, |ensemble, _| {
        let mut stream = connect(ensemble.nodes[0].address);
        stream.set_nodelay(true).unwrap();
        for byte in handshake() {
            stream.write_all(&[byte]).unwrap();
        }
        let mut answer = [0; 41];
        stream.read_exact(&mut answer).unwrap();
        assert_ne!(answer[12..20], [0; 8], "a session was opened");
    });
}

#[test]
fn http_and_tls_are_recognised_in_the_log() {
    let log = while_another_works(1, |ensemble, _| {
        let address = ensemble.nodes[0].address;
        closes(say(address, b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"));
        // The beginning of a ClientHello.
        let mut hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
        hello.resize(517, 0xaa);
        closes(say(address, &hello));
    });
    assert!(log.contains("HTTP"), "the log names HTTP");
    assert!(log.contains("TLS"), "the log names TLS");
}

#[test]
fn peers_ports_shrug_off_strangers() {
    while_another_works(3, |ensemble, witness| {
        let mut kept = Vec::new();
        for node in &ensemble.nodes {
            let text = std::fs::read_to_string(&node.config).unwrap();
            for line in text.lines().filter(|line| line.starts_with("server.")) {
                for port in line.split(':').skip(1) {
                    let address = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
                    // There may be nobody: one of the two ports of a server is all it needs.
                    let Ok(mut stream) = TcpStream::connect(address) else { continue };
                    let mut noise = [i32::MAX.to_be_bytes(), [0x5a; 4]].concat();
                    noise.resize(4_096, 0x5a);
                    let _ = stream.write_all(match kept.len() % 4 {
                        0 => b"GET / HTTP/1.1\r\n\r\n",
                        1 => &noise,
                        2 => &[0, 0, 0, 41],
                        _ => &[],
                    });
                    kept.push(stream);
                }
            }
        }
        witness.gets_on();
        assert!(kept.len() >= 3, "at least one port of each server was tried");
    });
}

#[test]
fn five_thousand_connections() {
    // The limit is inherited by the server.
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let wanted = 5_000;
    let possible = limit.maximum.map_or(wanted, |maximum| wanted.min(maximum.saturating_sub(200)));
    println!("{possible} connections");
    while_another_works(1, |ensemble, witness| {
        let address = ensemble.nodes[0].address;
        let mut streams: Vec<_> = (0..possible).map(|_| connect(address)).collect();
        witness.gets_on();
        let hello = handshake();
        for stream in &mut streams {
            stream.write_all(&hello).unwrap();
        }
        for stream in &mut streams {
            let mut answer = [0; 41];
            stream.read_exact(&mut answer).unwrap();
        }
        witness.gets_on();
        drop(streams);
        witness.gets_on();
        eventually("the server forgets connections that are gone", || {
            let text = ensemble.nodes[0].srvr("Connections")?;
            (text.parse::<u64>().unwrap() < 10).then_some(())
        });
    });
}

#[test]
fn a_huge_multi_is_served_and_one_too_large_is_not() {
    while_another_works(1, |ensemble, witness| {
        let address = ensemble.nodes[0].address;
        let mut client = Client::connect(address).unwrap();
        client.create("/m", b"", 0).unwrap();
        let items = |count: usize| -> Vec<MultiOp> {
            (0..count).map(|number| MultiOp::Create(creation(&format!("/m/{number}"), b"", 0))).collect()
        };
        let results = client.multi(items(10_000)).unwrap();
        assert_eq!(results.len(), 10_000);
        assert_eq!(results[9_999], MultiResult::Create("/m/9999".into()));
        witness.gets_on();
        assert!(client.multi(items(40_000)).is_err(), "more than a packet may hold");
        witness.gets_on();
        let mut client = Client::connect(address).unwrap();
        assert_eq!(client.children("/m").unwrap().0.len(), 10_000);
        // The deletion of them all, in one.
        let all = (0..10_000).map(|number| MultiOp::Delete { path: format!("/m/{number}"), version: -1 });
        assert_eq!(client.multi(all.collect()).unwrap().len(), 10_000);
    });
}

#[test]
fn a_client_that_never_reads() {
    while_another_works(1, |ensemble, witness| {
        let address = ensemble.nodes[0].address;
        let mut owner = Client::connect(address).unwrap();
        owner.create("/large", &vec![1; 900_000], 0).unwrap();
        let mut deaf: Vec<TcpStream> = Vec::new();
        for _ in 0..4 {
            let mut stream = connect(address);
            stream.write_all(&handshake()).unwrap();
            stream.set_nonblocking(true).unwrap();
            let mut request = Vec::new();
            for xid in 0..5_000 {
                jute::encode_request(
                    &Request { xid, op: Op::GetData { path: "/large".into(), watch: true } },
                    &mut request,
                );
            }
            // 4.5 GB of answers, if the server made them all. It may stop reading at any point.
            let _ = stream.write(&request);
            deaf.push(stream);
        }
        for _ in 0..10 {
            witness.gets_on();
        }
        let memory = resident_bytes(ensemble);
        assert!(memory < 512 << 20, "the server holds {memory} bytes for clients that do not read");
        owner.set("/large", b"small", -1).unwrap();
        witness.gets_on();
        for stream in &deaf {
            let _ = stream.shutdown(Shutdown::Both);
        }
    });
}

#[test]
fn requests_out_of_turn() {
    while_another_works(1, |ensemble, witness| {
        let address = ensemble.nodes[0].address;
        // A request before the handshake reads as a bad handshake.
        let mut early = Vec::new();
        jute::encode_request(&Request { xid: 1, op: Op::Sync { path: Some("/".into()) } }, &mut early);
        drop(say(address, &early));
        // A second handshake reads as a request that no client makes.
        let twice = [handshake(), handshake()].concat();
        drop(say(address, &twice));
        // Operations that nobody knows.
        for code in [-100, 10, 77, 1_000, i32::MAX] {
            let body = [7_i32.to_be_bytes(), code.to_be_bytes(), [0; 4]].concat();
            let bytes = [handshake(), frame(&body)].concat();
            closes(say(address, &bytes));
        }
        // Authentication by schemes that nobody knows.
        let mut client = Client::connect(address).unwrap();
        let token = Some(Blob::new(&[0xff; 100]));
        assert!(client.call(Op::Auth { scheme: Some("voodoo".into()), token }).is_err());
        witness.gets_on();
    });
}

#[test]
fn paths_that_are_none_are_refused_and_the_connection_stays() {
    while_another_works(1, |ensemble, _| {
        let mut client = Client::connect(ensemble.nodes[0].address).unwrap();
        for path in ["", "x", "/x/", "//", "/x//y", "/.", "/..", "/x/../y", "/\u{0}", "/\u{1}", "/\u{f8ff}"] {
            let outcome = client.create(path, b"", 0);
            assert!(matches!(outcome, Err(support::client::Failure::Refused(_))), "{path:?}: {outcome:?}");
        }
        let long = format!("/{}", "n".repeat(500_000));
        client.create(&long, b"", 0).unwrap();
        assert!(matches!(client.call(Op::GetData { path: long, watch: true }).unwrap(), Response::Data(..)));
    });
}

/// What a server's process holds in memory.
fn resident_bytes(ensemble: &Ensemble) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", ensemble.nodes[0].process_id())).unwrap();
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells a process's memory");
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes * 1024
}
