//! What the black-box tests share: server processes, a raw client, waiting.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use vivarium_core::api::{Acl, ConnectRequest, ConnectResponse, Create, Op, Reply, Request};
use vivarium_core::ids::SessionId;
use vivarium_core::jute::{self, ReplyKind};

/// Longer than anything takes on the slowest machine; only a failing test waits for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A directory that goes away with the test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("vivarium-test-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a temporary directory can be made");
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn vivarium() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vivarium"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// A process and its log. Killed when the test ends in any way.
pub struct Process {
    pub child: Child,
    lines: Receiver<String>,
    pub seen: Vec<String>,
}

impl Process {
    pub fn spawn(command: &mut Command) -> Process {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary starts");
        let stderr = child.stderr.take().expect("it is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Process { child, lines, seen: Vec::new() }
    }

    /// The next log line that contains this.
    #[track_caller]
    pub fn wait_line(&mut self, part: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(_) => panic!("no line with {part:?} in\n{}", self.seen.join("\n")),
            }
        }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a child has a pid"), signal).expect("it is our own child");
    }

    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        let status = eventually("the process ends", || self.child.try_wait().expect("it is our own child"));
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.seen.push(line);
        }
        status
    }

    pub fn log(&self) -> String {
        self.seen.join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is there.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A lone server on a free port.
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(data: &Path) -> Server {
        Server::start_with(data, |_| {})
    }

    pub fn start_with(data: &Path, more: impl FnOnce(&mut Command)) -> Server {
        let mut command = vivarium();
        command.args(["serve", "--port", "0", "--data-dir"]).arg(data);
        more(&mut command);
        let mut process = Process::spawn(&mut command);
        let line = process.wait_line("listening for clients on ");
        let address =
            line.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("the line ends in it");
        process.wait_line("serving clients");
        Server { process, address }
    }

    pub fn word(&self, word: &str) -> String {
        ask(self.address, word.as_bytes())
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a duration");
    stream
}

/// Sends bytes, and returns all that comes back until the other side closes.
#[track_caller]
pub fn ask(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    stream.write_all(bytes).expect("it reads");
    read_to_end(&mut stream)
}

#[track_caller]
pub fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it closes in good order, without a reset");
    String::from_utf8_lossy(&answer).into_owned()
}

/// A client of the protocol, as plain as can be.
pub struct Client {
    pub stream: TcpStream,
    pub session: ConnectResponse,
    xid: i32,
}

impl Client {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).expect("the handshake succeeds")
    }

    pub fn try_connect(address: SocketAddr) -> std::io::Result<Client> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut bytes = Vec::new();
        jute::encode_connect(&hello(), &mut bytes);
        stream.write_all(&bytes)?;
        let body = packet(&mut stream)?;
        let session = jute::decode_connect_response(&body).expect("a connect response");
        Ok(Client { stream, session, xid: 0 })
    }

    #[track_caller]
    pub fn call(&mut self, op: Op) -> Reply {
        self.try_call(op).expect("the connection holds")
    }

    pub fn try_call(&mut self, op: Op) -> std::io::Result<Reply> {
        self.xid += 1;
        let (kind, request) = (ReplyKind::of(&op), Request { xid: self.xid, op });
        let mut bytes = Vec::new();
        jute::encode_request(&request, &mut bytes);
        self.stream.write_all(&bytes)?;
        let body = packet(&mut self.stream)?;
        Ok(jute::decode_reply(&body, kind).expect("a reply of the right kind"))
    }
}

pub fn hello() -> ConnectRequest {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0,
        timeout_ms: 10_000,
        session: SessionId(0),
        password: None,
        read_only: Some(false),
    }
}

pub fn create(path: &str, data: &[u8]) -> Op {
    let data = Some(vivarium_core::api::Blob::new(data));
    Op::Create(Create { path: path.into(), data, acl: Some(Acl::open()), flags: 0, stat: false })
}

pub fn packet(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut body = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("a sane length")];
    stream.read_exact(&mut body)?;
    Ok(body)
}
