//! What a server does with bytes that are no packets, and with packets at the edges of what is allowed.

mod common;

use std::io::Write;

use common::{Client, Scratch, Server, connect, create, hello, packet, read_to_end};
use vivarium_core::api::{Op, Response};
use vivarium_core::error::ErrorCode;
use vivarium_core::jute;

const MAX: usize = 0xf_ffff;

#[test]
fn impossible_lengths_close_the_connection_and_only_that() {
    let scratch = Scratch::new("lengths");
    let mut server = Server::start(&scratch.0);
    let mut bystander = Client::connect(server.address);
    let lengths = [0, -1, i32::MIN, i32::MAX, i32::try_from(MAX + 1).expect("small")];
    for length in lengths {
        let mut fresh = connect(server.address);
        fresh.write_all(&length.to_be_bytes()).expect("it reads");
        assert_eq!(read_to_end(&mut fresh), "", "length {length} before the handshake");

        let mut client = Client::connect(server.address);
        client.stream.write_all(&length.to_be_bytes()).expect("it reads");
        assert_eq!(read_to_end(&mut client.stream), "", "length {length} after the handshake");
    }
    // Fewer bytes than a request header has.
    for length in 1..8i32 {
        let mut client = Client::connect(server.address);
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.resize(4 + length as usize, 0);
        client.stream.write_all(&bytes).expect("it reads");
        assert_eq!(read_to_end(&mut client.stream), "", "{length} bytes");
    }
    assert!(bystander.call(Op::Ping).result.is_ok());
    server.process.wait_line("announces 0 bytes");
}

#[test]
fn the_longest_packet_is_accepted() {
    let scratch = Scratch::new("longest");
    let server = Server::start(&scratch.0);
    let mut client = Client::connect(server.address);
    let mut around = Vec::new();
    jute::encode_request(&vivarium_core::api::Request { xid: 1, op: create("/big", b"") }, &mut around);
    let data = vec![7; MAX + 4 - around.len()];
    assert!(client.call(create("/big", &data)).result.is_ok());
    let Ok(Response::Data(Some(read), stat)) =
        client.call(Op::GetData { path: "/big".into(), watch: false }).result
    else {
        panic!("no data");
    };
    assert!(read[..] == data[..] && stat.data_length as usize == data.len());
}

#[test]
fn a_packet_may_come_a_byte_at_a_time_and_many_at_once() {
    let scratch = Scratch::new("pieces");
    let server = Server::start(&scratch.0);
    let mut stream = connect(server.address);
    stream.set_nodelay(true).expect("a socket option");
    // The handshake and what a client sends behind it without waiting.
    let mut bytes = Vec::new();
    jute::encode_connect(&hello(), &mut bytes);
    for xid in 1..=3 {
        let op = Op::Exists { path: "/nope".into(), watch: false };
        jute::encode_request(&vivarium_core::api::Request { xid, op }, &mut bytes);
    }
    for byte in &bytes {
        stream.write_all(std::slice::from_ref(byte)).expect("it reads");
    }
    let session = jute::decode_connect_response(&packet(&mut stream).expect("a packet")).expect("an answer");
    assert_eq!(session.timeout_ms, 10_000);
    for xid in 1..=3 {
        let header = jute::decode_reply_header(&packet(&mut stream).expect("a packet")).expect("a header");
        assert_eq!((header.xid, header.error), (xid, ErrorCode::NoNode.code()));
    }
    // More in one write than may be in flight at once.
    bytes.clear();
    for xid in 0..5_000 {
        jute::encode_request(
            &vivarium_core::api::Request { xid, op: create(&format!("/n{xid}"), b"x") },
            &mut bytes,
        );
    }
    let mut writer = stream.try_clone().expect("a second handle");
    let sent = std::thread::spawn(move || writer.write_all(&bytes));
    for xid in 0..5_000 {
        let header = jute::decode_reply_header(&packet(&mut stream).expect("a packet")).expect("a header");
        assert_eq!((header.xid, header.error), (xid, 0));
    }
    sent.join().expect("no panic").expect("all was taken");
}

#[test]
fn strangers_are_named_in_the_log() {
    let scratch = Scratch::new("strangers");
    let mut server = Server::start(&scratch.0);
    for (bytes, name) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "HTTP client"),
        (&b"POST /x HTTP/1.1\r\n\r\n"[..], ""),
        (&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc][..], "TLS client"),
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], "SSH client"),
    ] {
        let mut stream = connect(server.address);
        stream.write_all(bytes).expect("it reads");
        let address = stream.local_addr().expect("it is connected");
        assert_eq!(read_to_end(&mut stream), "");
        if !name.is_empty() {
            let line = server.process.wait_line(name);
            assert!(line.contains(&address.to_string()), "{line}");
        }
    }
}

#[test]
fn a_crowd_is_served_and_a_bound_for_each_address_kept() {
    let scratch = Scratch::new("crowd");
    let config = scratch.0.join("zoo.cfg");
    let text = format!(
        "dataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\nmaxClientCnxns=50\n",
        scratch.0.display()
    );
    std::fs::write(&config, text).expect("a file");
    let mut process = common::Process::spawn(common::vivarium().args(["serve", "--config"]).arg(&config));
    let line = process.wait_line("listening for clients on ");
    let address = line.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("the line ends in it");
    process.wait_line("serving clients");
    let mut crowd: Vec<Client> = (0..50).map(|_| Client::connect(address)).collect();
    let refused = Client::try_connect(address).err().map(|error| error.kind());
    assert!(matches!(
        refused,
        Some(
            std::io::ErrorKind::UnexpectedEof
                | std::io::ErrorKind::ConnectionReset
                | std::io::ErrorKind::BrokenPipe
        )
    ));
    process.wait_line("maxClientCnxns=50");
    for client in &mut crowd {
        assert!(client.call(Op::Ping).result.is_ok());
    }
    drop(crowd);
    common::eventually("a place is free again", || Client::try_connect(address).ok());
}
