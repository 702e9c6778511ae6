//! The peer port tells strangers from servers, and servers of another ensemble from our own.

mod common;

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use common::{Process, Scratch, connect, read_to_end, vivarium};
use rustix::process::Signal;

fn ports(count: usize) -> Vec<u16> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    held.iter().map(|listener| listener.local_addr().expect("it is bound").port()).collect()
}

fn server(home: &Path, id: usize, peers: &[(usize, u16)]) -> Process {
    let data: PathBuf = home.join(format!("server-{id}"));
    fs::create_dir_all(&data).expect("a directory");
    fs::write(data.join("myid"), format!("{id}\n")).expect("a file");
    let mut text = format!(
        "dataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\ninitLimit=10\nsyncLimit=5\n",
        data.display()
    );
    for (id, port) in peers {
        text += &format!("server.{id}=127.0.0.1:{port}:{port}\n");
    }
    let config = home.join(format!("{id}.cfg"));
    fs::write(&config, text).expect("a file");
    Process::spawn(vivarium().args(["serve", "--config"]).arg(config))
}

#[test]
fn strangers_are_refused_by_name() {
    let scratch = Scratch::new("peer-strangers");
    let ports = ports(3);
    let peers: Vec<(usize, u16)> = ports.iter().enumerate().map(|(n, port)| (n + 1, *port)).collect();
    let mut process = server(&scratch.0, 1, &peers);
    let line = process.wait_line("listening for peers on ");
    let address: SocketAddr = line.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("an address");
    let mut stream = connect(address);
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("it reads");
    assert_eq!(read_to_end(&mut stream), "");
    let line = process.wait_line("on the peer port");
    assert!(line.contains("HTTP client") && line.contains("127.0.0.1:"), "{line}");
}

#[test]
fn servers_with_different_lists_refuse_each_other_and_say_why() {
    let scratch = Scratch::new("peer-lists");
    let ports = ports(4);
    let three = [(1, ports[0]), (2, ports[1]), (3, ports[2])];
    let other = [(1, ports[0]), (2, ports[1]), (4, ports[3])];
    let mut first = server(&scratch.0, 1, &three);
    let mut second = server(&scratch.0, 2, &other);
    // Both dial, so each log has both the refusal it spoke and the one it heard.
    first.wait_line("its configuration names servers 1,2,4, this one's 1,2,3");
    second.wait_line("its configuration names servers 1,2,3, this one's 1,2,4");
}

#[test]
fn a_server_with_data_of_another_ensemble_is_kept_out() {
    let scratch = Scratch::new("peer-cluster");
    let ports = ports(3);
    let list = [(1, ports[0]), (2, ports[1]), (3, ports[2])];
    // Two ensembles of the same addresses, one after the other.
    for home in ["a", "b"] {
        let home = scratch.0.join(home);
        let mut servers: Vec<Process> = (1..=3).map(|id| server(&home, id, &list)).collect();
        for server in &mut servers {
            server.wait_line("belongs to cluster");
        }
        for server in &mut servers {
            server.signal(Signal::KILL);
            server.wait_exit();
        }
    }
    let mut two: Vec<Process> = (1..=2).map(|id| server(&scratch.0.join("a"), id, &list)).collect();
    let mut stranger = server(&scratch.0.join("b"), 3, &list);
    stranger.wait_line("it refuses this server");
    assert!(stranger.log().contains("holds data of cluster"), "{}", stranger.log());
    for server in &mut two {
        server.wait_line("serving clients");
    }
    // One whose disk was replaced is welcome.
    stranger.signal(Signal::KILL);
    stranger.wait_exit();
    let mut fresh = server(&scratch.0.join("c"), 3, &list);
    fresh.wait_line("serving clients");
}
