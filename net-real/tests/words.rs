//! The four-letter words of a running server have the shapes that scripts take apart.

mod common;

use common::{Client, Scratch, Server, ask, create};
use vivarium_core::api::Op;

fn keys(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.split_once(": ").map(|(key, _)| key)).collect()
}

#[test]
fn srvr_and_stat() {
    let scratch = Scratch::new("srvr");
    let server = Server::start(&scratch.0);
    let mut client = Client::connect(server.address);
    assert!(client.call(create("/a", b"x")).result.is_ok());

    let srvr = server.word("srvr");
    let expected = [
        "Zookeeper version",
        "Latency min/avg/max",
        "Received",
        "Sent",
        "Connections",
        "Outstanding",
        "Zxid",
        "Mode",
        "Node count",
    ];
    assert_eq!(keys(&srvr), expected, "{srvr}");
    assert!(srvr.starts_with("Zookeeper version: 3.9."), "{srvr}");
    assert!(srvr.contains(" UTC\n") && srvr.contains(", built on "), "{srvr}");
    assert!(srvr.contains("\nMode: standalone\n"), "{srvr}");
    assert!(srvr.ends_with("\nNode count: 6\n"), "{srvr}");
    // The session was entry 1 of its epoch, the node entry 2.
    assert!(srvr.contains("\nZxid: 0x100000002\n"), "{srvr}");
    assert!(srvr.contains("\nConnections: 2\n"), "{srvr}");

    let stat = server.word("stat");
    let lines: Vec<&str> = stat.lines().collect();
    assert_eq!(lines[1], "Clients:");
    let me = client.stream.local_addr().expect("it is connected");
    assert!(lines.contains(&format!(" /{me}[1](queued=0,recved=2,sent=2)").as_str()), "{stat}");
    assert!(lines.iter().any(|line| line.ends_with("[0](queued=0,recved=1,sent=0)")), "{stat}");
    let blank = lines.iter().position(|line| line.is_empty()).expect("a blank line after the clients");
    assert!(lines[blank + 1].starts_with("Latency min/avg/max: "), "{stat}");
}

#[test]
fn the_others() {
    let scratch = Scratch::new("words");
    let server = Server::start(&scratch.0);
    let mut client = Client::connect(server.address);
    assert!(client.call(Op::GetData { path: "/".into(), watch: true }).result.is_ok());

    assert_eq!(server.word("ruok"), "imok");
    assert_eq!(ask(server.address, b"ruok\r\n"), "imok");
    assert_eq!(server.word("isro"), "rw");
    assert_eq!(server.word("dump"), "dump is not executed because it is not in the whitelist.\n");
    assert_eq!(server.word("wchs"), "1 connections watching 1 paths\nTotal watches:1\n");

    let cons = server.word("cons");
    let session = client.session.session;
    assert!(cons.contains(&format!("(queued=0,recved=2,sent=2,sid={session},lop=GETD,est=")), "{cons}");
    assert!(cons.contains(",to=10000,lcxid=0x1,lzxid=0x100000001,lresp="), "{cons}");
    assert!(cons.ends_with(")\n\n"), "{cons}");

    let mntr = server.word("mntr");
    for line in mntr.lines() {
        let (name, value) = line.split_once('\t').unwrap_or_else(|| panic!("no tab in {line:?}"));
        assert!(name.starts_with("zk_") && !value.is_empty(), "{line:?}");
    }
    for wanted in [
        "zk_server_state\tstandalone\n",
        "zk_znode_count\t5\n",
        "zk_watch_count\t1\n",
        "zk_global_sessions\t1\n",
    ] {
        assert!(mntr.contains(wanted), "no {wanted:?} in\n{mntr}");
    }

    let conf = server.word("conf");
    assert!(
        conf.starts_with(&format!("clientPort={}\nsecureClientPort=-1\ndataDir=", server.address.port())),
        "{conf}"
    );
    assert!(conf.ends_with("serverId=1\n"), "{conf}");
    let dirs = server.word("dirs");
    let (data, log) = dirs.split_once('\n').expect("two lines");
    for (line, name) in [(data, "datadir_size: "), (log, "logdir_size: ")] {
        let size = line.trim_end().strip_prefix(name).unwrap_or_else(|| panic!("{dirs}"));
        assert!(size.parse::<u64>().is_ok_and(|bytes| bytes > 0), "{dirs}");
    }
    let envi = server.word("envi");
    assert!(envi.starts_with("Environment:\nzookeeper.version=3.9."), "{envi}");
    assert!(envi.contains("\nos.name=Linux\n"), "{envi}");
}

#[test]
fn a_server_without_a_quorum_says_so() {
    let scratch = Scratch::new("no-quorum");
    std::fs::write(scratch.0.join("myid"), "1\n").expect("a file");
    let config = scratch.0.join("zoo.cfg");
    let text = format!(
        "dataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\ninitLimit=10\nsyncLimit=5\n\
         server.1=127.0.0.1:{}:1\nserver.2=127.0.0.1:{}:1\nserver.3=127.0.0.1:{}:1\n",
        scratch.0.display(),
        free_port(),
        free_port(),
        free_port()
    );
    std::fs::write(&config, text).expect("a file");
    let mut process = common::Process::spawn(common::vivarium().args(["serve", "--config"]).arg(&config));
    let line = process.wait_line("listening for clients on ");
    let address = line.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("the line ends in it");
    process.wait_line("cannot reach server 3");
    let refused = "This ZooKeeper instance is not currently serving requests\n";
    for word in ["srvr", "stat", "mntr", "conf", "cons", "dirs", "wchs"] {
        assert_eq!(ask(address, word.as_bytes()), refused, "{word}");
    }
    assert_eq!(ask(address, b"ruok"), "imok");
    assert_eq!(ask(address, b"isro"), "null");
    // A client is closed without a byte.
    assert_eq!(Client::try_connect(address).err().map(|e| e.kind()), Some(std::io::ErrorKind::UnexpectedEof));
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
