//! `vivarium dev`: an ensemble on this machine, for trying things out and for tests.
//!
//! Each server is an ordinary `vivarium serve` with a configuration file of its own. The servers hold the other end of a
//! pipe on their standard input, so they end however this process ends.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli::{DevArgs, Exit};
use crate::serve;
use crate::signals::Signals;

/// How long servers may take to elect a leader at start.
const START: Duration = Duration::from_secs(20);
/// How often ports are looked for.
const ATTEMPTS: u32 = 5;
/// How long they may take to end in good order.
const STOP: Duration = Duration::from_secs(5);
/// The first client port, when it and those after it are free.
const USUAL_PORT: u16 = 2181;

/// Runs the ensemble until a signal comes.
pub fn dev(arguments: &DevArgs) -> Exit {
    match run(arguments) {
        Ok(exit) => exit,
        Err((exit, why)) => {
            eprintln!("error: {why}");
            exit
        }
    }
}

type Failure = (Exit, String);

fn run(arguments: &DevArgs) -> Result<Exit, Failure> {
    let mut signals = Signals::install().map_err(|e| (Exit::Fault, format!("cannot watch signals: {e}")))?;
    let began = Instant::now();
    let home = Home::create(arguments.dir.as_deref())?;
    if io::stdout().is_terminal() {
        say(&format!("Starting {} ...\n", count(arguments.nodes.into(), "server")));
    }
    let Some(mut ensemble) = start(arguments, &home, &mut signals)? else {
        home.remove();
        return Ok(Exit::Clean);
    };
    ensemble.announce(began.elapsed(), &home);
    while !signals.wait(Duration::from_millis(200)) {
        ensemble.report_dead();
        if ensemble.servers.iter().all(|server| server.child.is_none()) {
            return Err((
                Exit::Fault,
                format!("no server is left; logs are kept in {}", home.path.display()),
            ));
        }
    }
    ensemble.stop(home.temporary);
    home.remove();
    let what = if home.temporary { "nothing is left behind" } else { "the data is kept" };
    say(&format!("\n{} ended; {what}.\n", count(ensemble.servers.len(), "server")));
    Ok(Exit::Clean)
}

/// Servers that serve; `None` when a signal came first. Ports that are found free may be taken by somebody else before a
/// server listens on them: then others are tried, unless they were asked for.
fn start(arguments: &DevArgs, home: &Home, signals: &mut Signals) -> Result<Option<Ensemble>, Failure> {
    for attempt in 1.. {
        let mut ensemble = Ensemble::start(arguments, home, attempt).inspect_err(|_| home.remove())?;
        match ensemble.wait_ready(signals) {
            Ok(true) => return Ok(Some(ensemble)),
            Ok(false) => {
                ensemble.stop(home.temporary);
                return Ok(None);
            }
            Err(why) => {
                ensemble.stop(true);
                if attempt == ATTEMPTS || !why.contains(serve::CANNOT_LISTEN) {
                    return Err((Exit::Fault, format!("{why}logs are kept in {}", home.path.display())));
                }
            }
        }
    }
    unreachable!("the last attempt returns")
}

/// Standard output may be closed; that is no reason to stop, nor to panic as `println` does.
fn say(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Where everything is.
struct Home {
    path: PathBuf,
    temporary: bool,
}

impl Home {
    fn create(wanted: Option<&Path>) -> Result<Home, Failure> {
        let (path, temporary) = match wanted {
            Some(path) => (path.to_owned(), false),
            None => (std::env::temp_dir().join(format!("vivarium-dev-{}", std::process::id())), true),
        };
        let failed = |error: io::Error| (Exit::Data, format!("cannot create {}: {error}", path.display()));
        if temporary {
            // Not `create_dir_all`: somebody else's directory of that name must not be taken, nor removed at the end.
            fs::create_dir(&path).map_err(failed)?;
        } else {
            fs::create_dir_all(&path).map_err(failed)?;
        }
        let path = path.canonicalize().map_err(failed)?;
        Ok(Home { path, temporary })
    }

    fn remove(&self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            eprintln!("warning: cannot remove {}: {error}", self.path.display());
        }
    }
}

struct Server {
    id: u8,
    client: SocketAddr,
    log: PathBuf,
    child: Option<Child>,
    /// Closed to end the server; the system closes it when this process dies.
    stdin: Option<ChildStdin>,
}

struct Ensemble {
    servers: Vec<Server>,
}

impl Ensemble {
    fn start(arguments: &DevArgs, home: &Home, attempt: u32) -> Result<Ensemble, Failure> {
        let nodes = usize::from(arguments.nodes);
        let client_ports = client_ports(arguments.base_port, nodes, attempt == 1)?;
        let peer_ports =
            free_ports(nodes).map_err(|e| (Exit::Fault, format!("cannot find free ports: {e}")))?;
        let program = std::env::current_exe()
            .map_err(|e| (Exit::Fault, format!("cannot find this program's own file: {e}")))?;
        let mut ensemble = Ensemble { servers: Vec::new() };
        for (index, &port) in client_ports.iter().enumerate() {
            let id = u8::try_from(index + 1).expect("there are at most nine");
            let failed = |error: io::Error| (Exit::Data, format!("cannot prepare server {id}: {error}"));
            let config = configure(home, id, port, &peer_ports).map_err(failed)?;
            let log = home.path.join(format!("server-{id}.log"));
            let output = File::options().create(true).append(true).open(&log).map_err(failed)?;
            let errors = output.try_clone().map_err(failed)?;
            let mut child = Command::new(&program)
                .args(["serve", "--exit-with-stdin", "--log-level", &arguments.log_level, "--config"])
                .arg(config)
                .stdin(Stdio::piped())
                .stdout(output)
                .stderr(errors)
                // Ctrl-C reaches a whole process group; this process decides what it means for the servers.
                .process_group(0)
                .spawn()
                .map_err(|e| (Exit::Fault, format!("cannot start server {id}: {e}")))?;
            let stdin = child.stdin.take();
            let client = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            ensemble.servers.push(Server { id, client, log, child: Some(child), stdin });
        }
        Ok(ensemble)
    }

    /// False when a signal came first.
    fn wait_ready(&mut self, signals: &mut Signals) -> Result<bool, String> {
        let until = Instant::now() + START;
        let mut waiting: Vec<usize> = (0..self.servers.len()).collect();
        while !waiting.is_empty() {
            for server in &mut self.servers {
                if let Some(child) = &mut server.child
                    && let Ok(Some(status)) = child.try_wait()
                {
                    return Err(format!(
                        "server {} did not start: {status}\n{}",
                        server.id,
                        tail(&server.log)
                    ));
                }
            }
            waiting.retain(|&index| mode(self.servers[index].client).is_none());
            if Instant::now() > until {
                return Err(format!("the servers did not elect a leader within {} s; ", START.as_secs()));
            }
            if signals.wait(Duration::from_millis(5)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn announce(&self, took: Duration, home: &Home) {
        let connect = self.servers.iter().map(|s| s.client.to_string()).collect::<Vec<_>>().join(",");
        let mut text =
            format!("{} up in {:.2} s\n\n", count(self.servers.len(), "server"), took.as_secs_f64());
        for server in &self.servers {
            let mode = mode(server.client).unwrap_or_else(|| "starting".into());
            text += &format!("  server {}  {}  {mode}\n", server.id, server.client);
        }
        text += &format!("\n  connect   {connect}\n");
        text += &format!("  logs      {}\n", home.path.join("server-*.log").display());
        text += &format!("  try       zkCli.sh -server {connect}\n");
        let first = self.servers[0].client;
        text += &format!("            echo srvr | nc {} {}\n\n", first.ip(), first.port());
        text += if home.temporary {
            "Ctrl-C ends all of it and leaves nothing behind.\n"
        } else {
            "Ctrl-C ends all of it and keeps the data.\n"
        };
        say(&text);
    }

    fn report_dead(&mut self) {
        for server in &mut self.servers {
            let Some(child) = &mut server.child else { continue };
            if let Ok(Some(status)) = child.try_wait() {
                let (id, log) = (server.id, &server.log);
                eprintln!("server {id} has ended: {status}; its log is {}\n{}", log.display(), tail(log));
                server.child = None;
                server.stdin = None;
            }
        }
    }

    /// Ends all servers; when nothing has to be kept, without ceremony.
    fn stop(&mut self, at_once: bool) {
        for server in &mut self.servers {
            server.stdin = None;
        }
        let until = Instant::now() + if at_once { Duration::ZERO } else { STOP };
        for server in &mut self.servers {
            let Some(mut child) = server.child.take() else { continue };
            while Instant::now() < until && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(5));
            }
            // Neither fails but for a child that is gone.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        self.stop(true);
    }
}

/// Writes a server's directory and configuration; returns the latter's path.
fn configure(home: &Home, id: u8, client_port: u16, peer_ports: &[u16]) -> io::Result<PathBuf> {
    let data = home.path.join(format!("server-{id}"));
    fs::create_dir_all(&data)?;
    fs::write(data.join("myid"), format!("{id}\n"))?;
    let mut text = format!(
        "# Written by `vivarium dev` at each start.\n\
         dataDir={}\n\
         clientPort={client_port}\n\
         clientPortAddress=127.0.0.1\n\
         tickTime=2000\n\
         initLimit=10\n\
         syncLimit=5\n\
         maxClientCnxns=0\n\
         4lw.commands.whitelist=*\n",
        data.display()
    );
    if peer_ports.len() > 1 {
        for (index, port) in peer_ports.iter().enumerate() {
            // Nothing listens on the second port; the file's form asks for one.
            text += &format!("server.{}=127.0.0.1:{port}:{port}\n", index + 1);
        }
    }
    let path = home.path.join(format!("server-{id}.cfg"));
    fs::write(&path, text)?;
    Ok(path)
}

/// Ports for clients: those asked for, or the usual ones if they are wanted and free, or any.
fn client_ports(base: Option<u16>, nodes: usize, usual: bool) -> Result<Vec<u16>, Failure> {
    let from = |base: u16| (0..nodes).map(|n| base.checked_add(n as u16)).collect::<Option<Vec<u16>>>();
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).map(drop);
    if let Some(base) = base {
        let ports = from(base).filter(|_| base != 0).ok_or_else(|| {
            (Exit::Usage, format!("--base-port {base} leaves no room for {nodes} ports between 1 and 65535"))
        })?;
        for port in &ports {
            free(port).map_err(|e| {
                (
                    Exit::Usage,
                    format!("port {port} is not free ({e}); choose another --base-port or leave it out"),
                )
            })?;
        }
        return Ok(ports);
    }
    match from(USUAL_PORT) {
        Some(ports) if usual && ports.iter().all(|port| free(port).is_ok()) => Ok(ports),
        _ => free_ports(nodes).map_err(|e| (Exit::Fault, format!("cannot find free ports: {e}"))),
    }
}

/// Ports that nobody has at this moment.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    // All are held until all are known, so that none comes twice.
    let held = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<io::Result<Vec<TcpListener>>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// What a server says it is; `None` while it does not serve.
fn mode(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok()?;
    stream.set_read_timeout(Some(Duration::from_millis(500))).ok()?;
    stream.write_all(b"srvr").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
}

/// The last lines of a log, indented.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].iter().map(|line| format!("  | {line}\n")).collect()
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
