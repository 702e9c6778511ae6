//! The order that one connection is promised, seen in its very packets: answers in the order of the requests, a watch's
//! event before anything that shows its cause, reads after the session's own writes, and `sync`.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use support::client::{Client, creation};
use support::ensemble::Ensemble;
use vivarium_core::api::{Blob, EventKind, Op, Response};

#[test]
fn pipelined_requests_are_answered_in_order_and_reads_see_the_writes_before_them() {
    let ensemble = Ensemble::start(3);
    for node in &ensemble.nodes {
        let mut client = Client::connect(node.address).unwrap();
        let path = format!("/pipe-{}", node.id);
        let mut asked = vec![Op::Create(creation(&path, b"0", 0))];
        for number in 1..=200 {
            let data = Some(Blob::new(number.to_string().as_bytes()));
            asked.push(Op::SetData { path: path.clone(), data, version: -1 });
            asked.push(Op::GetData { path: path.clone(), watch: false });
        }
        let sent: Vec<_> = asked.into_iter().map(|op| (client.send(op.clone()).unwrap(), op)).collect();
        let mut zxid = 0;
        for (place, (xid, op)) in sent.iter().enumerate() {
            let reply = client.receive(*xid, op).unwrap();
            assert!(reply.zxid >= zxid, "a connection's zxids never go back");
            zxid = reply.zxid;
            if let Response::Data(data, stat) = reply.result.unwrap() {
                let number = (place / 2).to_string();
                assert_eq!(
                    data.as_deref(),
                    Some(number.as_bytes()),
                    "a read sees the write sent just before it"
                );
                assert_eq!(stat.version.to_string(), number);
            }
        }
    }
}

#[test]
fn an_event_comes_before_anything_that_shows_its_cause() {
    let ensemble = Ensemble::start(3);
    let addresses: Vec<_> = ensemble.nodes.iter().map(|node| node.address).collect();
    let mut acting = Client::connect(addresses[0]).unwrap();
    acting.create("/flag", b"", 0).unwrap();
    acting.create("/after", b"", 0).unwrap();
    for address in addresses {
        let mut watching = Client::connect(address).unwrap();
        for round in 0..50 {
            let value = format!("{address} {round}").into_bytes();
            watching.sync().unwrap();
            assert!(watching.events.is_empty(), "a watch fires once");
            watching.call(Op::GetData { path: "/flag".into(), watch: true }).unwrap();
            acting
                .send(Op::SetData { path: "/flag".into(), data: Some(Blob::new(&value)), version: -1 })
                .unwrap();
            let xid = acting
                .send(Op::SetData { path: "/after".into(), data: Some(Blob::new(&value)), version: -1 })
                .unwrap();
            while watching.get("/after").unwrap().0.as_deref() != Some(&value[..]) {}
            let event =
                watching.events.pop_front().expect("the flag's event came before what was written after it");
            assert_eq!((event.kind, &*event.path), (EventKind::NodeDataChanged, "/flag"));
            let set = Op::SetData { path: String::new(), data: None, version: -1 };
            acting.receive(xid - 1, &set).unwrap().result.unwrap();
            acting.receive(xid, &set).unwrap().result.unwrap();
        }
    }
}

#[test]
fn a_read_after_sync_sees_what_was_acknowledged_before() {
    let ensemble = Ensemble::start(3);
    let mut writer = Client::connect(ensemble.nodes[ensemble.leader()].address).unwrap();
    writer.create("/x", b"", 0).unwrap();
    let mut readers: Vec<_> =
        ensemble.nodes.iter().map(|node| Client::connect(node.address).unwrap()).collect();
    for number in 0..100 {
        let value = format!("{number}").into_bytes();
        let stat = writer.set("/x", &value, -1).unwrap();
        for reader in &mut readers {
            reader.sync().unwrap();
            let (data, seen) = reader.get("/x").unwrap();
            assert_eq!((data.as_deref(), seen), (Some(&value[..]), stat));
        }
    }
}

#[test]
fn reads_of_one_session_never_go_back_while_others_write() {
    let ensemble = Ensemble::start(3);
    let addresses: Vec<_> = ensemble.nodes.iter().map(|node| node.address).collect();
    let mut writer = Client::connect(addresses[0]).unwrap();
    writer.create("/x", b"", 0).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = addresses
            .iter()
            .map(|address| {
                let done = &done;
                scope.spawn(move || {
                    let mut reader = Client::connect(*address).unwrap();
                    reader.sync().unwrap();
                    let mut last = 0;
                    while !done.load(Ordering::Relaxed) {
                        let (_, stat) = reader.get("/x").unwrap();
                        assert!(stat.version >= last, "version {} after {last}", stat.version);
                        last = stat.version;
                    }
                    reader.sync().unwrap();
                    reader.get("/x").unwrap().1.version
                })
            })
            .collect();
        for _ in 0..500 {
            writer.set("/x", b"next", -1).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), 500);
        }
    });
}
