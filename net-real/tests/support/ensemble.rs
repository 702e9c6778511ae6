//! Ensembles of real server processes on this machine.
//!
//! Every ensemble lives in a folder of its own below cargo's temporary one. The folder goes when the test has passed,
//! and stays, with the logs' ends printed, when it has failed.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::client::{Client, Ticket};
use super::eventually;

/// The server under test.
const VIVARIUM: &str = env!("CARGO_BIN_EXE_vivarium");

/// Servers that know each other.
pub struct Ensemble {
    folder: PathBuf,
    /// Server N of the configuration is `nodes[N - 1]`.
    pub nodes: Vec<Node>,
}

/// One server: its configuration, and its process while it runs.
pub struct Node {
    /// As in `myid`.
    pub id: u8,
    /// Where clients connect.
    pub address: SocketAddr,
    /// Its `dataDir`.
    pub data: PathBuf,
    /// Its configuration file.
    pub config: PathBuf,
    /// What it has said, over all its runs.
    pub log: PathBuf,
    process: Option<Child>,
}

impl Ensemble {
    /// Starts an ensemble and waits until every server serves. Ticks are short, so that sessions may be as well.
    pub fn start(size: u8) -> Ensemble {
        Ensemble::start_with(size, "")
    }

    /// Starts an ensemble with more lines in each configuration.
    pub fn start_with(size: u8, more: &str) -> Ensemble {
        let mut ensemble = Ensemble::prepare(size, more);
        for node in &mut ensemble.nodes {
            node.start();
        }
        ensemble.wait_until_serving();
        ensemble
    }

    /// Writes the configuration of an ensemble and starts nothing.
    pub fn prepare(size: u8, more: &str) -> Ensemble {
        let folder = fresh_folder();
        let ports: Vec<[u16; 3]> = (0..size).map(|_| [free_port(), free_port(), free_port()]).collect();
        let mut common = String::from("tickTime=200\ninitLimit=50\nsyncLimit=25\nmaxSessionTimeout=60000\n");
        common.push_str("maxClientCnxns=0\n4lw.commands.whitelist=*\n");
        common.push_str(more);
        if size > 1 {
            for (id, [_, quorum, election]) in (1..).zip(&ports) {
                common.push_str(&format!("server.{id}=127.0.0.1:{quorum}:{election}\n"));
            }
        }
        let nodes = (1..).zip(&ports).map(|(id, [client, ..])| Node::prepare(&folder, id, *client, &common));
        Ensemble { nodes: nodes.collect(), folder }
    }

    /// The connect string: every server.
    pub fn servers(&self) -> String {
        let addresses: Vec<_> = self.nodes.iter().map(|node| node.address.to_string()).collect();
        addresses.join(",")
    }

    /// Waits until every running server opens sessions.
    pub fn wait_until_serving(&self) {
        for node in self.nodes.iter().filter(|node| node.process.is_some()) {
            node.wait_until_serving();
        }
    }

    /// Waits until one of the servers that answer leads, and gives its place in `nodes`. Frozen servers are to be named
    /// in `but`, since asking one would wait for it.
    pub fn leader_but(&self, but: &[usize]) -> usize {
        eventually("a leader", || {
            let mut asked = (0..self.nodes.len()).filter(|place| !but.contains(place));
            asked.find(|place| self.nodes[*place].mode().as_deref() == Some("leader"))
        })
    }

    /// Waits until one of the servers leads, and gives its place in `nodes`.
    pub fn leader(&self) -> usize {
        self.leader_but(&[])
    }

    /// A place in `nodes` that does not lead.
    pub fn follower(&self) -> usize {
        (self.leader() + 1) % self.nodes.len()
    }
}

impl Node {
    fn prepare(folder: &Path, id: u8, client_port: u16, common: &str) -> Node {
        let home = folder.join(format!("node-{id}"));
        let data = home.join("data");
        fs::create_dir_all(&data).expect("the folder of the test is writable");
        fs::write(data.join("myid"), format!("{id}\n")).expect("the folder of the test is writable");
        let config = home.join("zoo.cfg");
        let text = format!(
            "dataDir={}\nclientPort={client_port}\nclientPortAddress=127.0.0.1\n{common}",
            data.display()
        );
        fs::write(&config, text).expect("the folder of the test is writable");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, client_port));
        Node { id, address, data, config, log: home.join("log"), process: None }
    }

    /// The command that runs this server, its output going to the log.
    pub fn command(&self) -> Command {
        let mut command = Command::new(VIVARIUM);
        command.arg("serve").arg("--config").arg(&self.config);
        command.stdin(Stdio::null()).stdout(self.log_file()).stderr(self.log_file());
        command
    }

    /// Starts the process; does not wait until it serves.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "server {} runs already", self.id);
        self.process = Some(self.command().spawn().expect("the server's binary can be started"));
    }

    /// Starts the process with a limit on the size of any file it writes, in the blocks of `ulimit -f`: half a kilobyte
    /// or a whole one, as the shell has it.
    pub fn start_with_file_limit(&mut self, blocks: u32) {
        assert!(self.process.is_none(), "server {} runs already", self.id);
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -f {blocks}; exec \"$0\" \"$@\"")).arg(VIVARIUM);
        command.arg("serve").arg("--config").arg(&self.config);
        command.stdin(Stdio::null()).stdout(self.log_file()).stderr(self.log_file());
        self.process = Some(command.spawn().expect("there is a shell"));
    }

    /// Ends the process as a power cut would end it (but for what the kernel still holds).
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("a child can be killed");
            process.wait().expect("a child can be waited for");
        }
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("the server runs");
        kill_process(pid(process), signal).expect("a child can be signalled");
    }

    /// The number of the process.
    pub fn process_id(&self) -> u32 {
        self.process.as_ref().expect("the server runs").id()
    }

    /// Waits for the process to end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("the server runs");
        eventually("the server ends", || process.try_wait().expect("a child can be waited for"))
    }

    /// Whether the process has not ended.
    pub fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(|it| it.try_wait().expect("a child can be waited for").is_none())
    }

    /// Waits until the server opens sessions.
    pub fn wait_until_serving(&self) {
        let what = format!("server {} serves", self.id);
        eventually(&what, || Client::attach(self.address, &Ticket::new(30_000)).ok()?.close().ok());
    }

    /// Asks a four-letter word; `None` when nobody listens.
    pub fn four(&self, word: &str) -> Option<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(10)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        stream.write_all(word.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// One line of the answer to `srvr`, such as `Mode` or `Zxid`.
    pub fn srvr(&self, key: &str) -> Option<String> {
        let answer = self.four("srvr")?;
        let line = answer.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))?;
        Some(line.trim().to_owned())
    }

    /// `leader`, `follower` or `standalone`, when it serves.
    pub fn mode(&self) -> Option<String> {
        self.srvr("Mode")
    }

    /// What it has logged so far.
    pub fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn log_file(&self) -> File {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("the folder of the test is writable")
    }
}

/// The id of a process of ours.
pub fn pid(process: &Child) -> Pid {
    Pid::from_child(process)
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut process) = node.process.take() {
                let _ = process.kill();
                let _ = process.wait();
            }
        }
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
            return;
        }
        for node in &self.nodes {
            let text = node.log_text();
            let lines: Vec<_> = text.lines().collect();
            println!("---- the last lines of {}", node.log.display());
            for line in &lines[lines.len().saturating_sub(40)..] {
                println!("{line}");
            }
        }
    }
}

/// A new folder for one test.
pub fn fresh_folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("vivarium-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("cargo's temporary folder is writable");
    folder
}

/// A port that nobody listens on, below those that the system hands out to outgoing connections: a server that is
/// restarted must find its port free again, whatever connects meanwhile.
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let offset = std::process::id().wrapping_mul(97);
    loop {
        let port = FIRST + (offset.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed))) % COUNT;
        let port = u16::try_from(port).expect("30,000 fits");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
