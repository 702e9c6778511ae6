//! `vivarium serve`: from a configuration to a running server, and from its end to an exit code.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use mio::net::TcpListener;
use mio::{Poll, Waker};
use tracing::{error, info, warn};
use vivarium_core::Node;
use vivarium_core::ids::PeerId;
use vivarium_core::io::Boot;
use vivarium_core::record::Identity;

use crate::bounds;
use crate::cli::{Exit, ServeArgs};
use crate::clock::Clock;
use crate::cluster::ClusterFile;
use crate::config::{Config, Loaded};
use crate::peers;
use crate::server::{Ending, Parts, Server, waker_token};
use crate::signals::Signals;
use crate::storage::{self, Storage};
use crate::words;

/// Where data is kept when nothing else is said.
const DATA_DIR: &str = "vivarium-data";

/// How the message about a port that cannot be had begins.
pub const CANNOT_LISTEN: &str = "cannot listen";

/// Runs one server until it is told to end, or must.
pub fn serve(arguments: &ServeArgs) -> Exit {
    match prepare(arguments) {
        Ok(mut server) => match server.run() {
            Ending::Retired => {
                // Waits until the lanes have synced what they hold.
                drop(server.into_storage());
                info!("ended in good order");
                Exit::Clean
            }
            // At once: nothing that is queued for a socket or the disk may still get there.
            Ending::Fault => std::process::exit(Exit::Fault.code().into()),
        },
        Err((exit, why)) => {
            error!("{why}");
            exit
        }
    }
}

type Failure = (Exit, String);

fn fault(what: &'static str) -> impl FnOnce(io::Error) -> Failure {
    move |error| (Exit::Fault, format!("{what}: {error}"))
}

fn prepare(arguments: &ServeArgs) -> Result<Server, Failure> {
    let mut config = configuration(arguments)?;
    info!("vivarium {}, serving the protocol of ZooKeeper {}", env!("CARGO_PKG_VERSION"), words::version());
    raise_file_limit();
    // Before anything takes long, so that a signal during recovery is not lost.
    let signals = Signals::install().map_err(fault("cannot watch signals"))?;
    let poll = Poll::new().map_err(fault("cannot watch sockets"))?;
    let waker = Waker::new(poll.registry(), waker_token()).map_err(fault("cannot watch sockets"))?;
    let waker = Arc::new(waker);
    let end = Arc::new(AtomicBool::new(false));
    if arguments.exit_with_stdin {
        end_with_stdin(Arc::clone(&end), Arc::clone(&waker)).map_err(fault("cannot watch standard input"))?;
    }

    let (reporter, disk_news) = channel();
    let disk_waker = Arc::clone(&waker);
    let report = move |report| {
        // Neither fails unless the process is ending.
        let _ = reporter.send(report);
        let _ = disk_waker.wake();
    };
    // Servers agree on a cluster by themselves: see `cluster`.
    let identity = Identity { cluster: 0, node: config.id };
    let retain = if config.purge { config.snapshots_retained as usize } else { usize::MAX };
    let options = storage::Options { retain, vouched: arguments.vote_empty, ..storage::Options::default() };
    let (storage, recovery) = Storage::open(&config.data_dir, &config.log_dir, identity, &options, report)
        .map_err(|error| (Exit::Data, error.to_string()))?;
    let cluster_file = ClusterFile::of(&config.data_dir.join(storage::SUBFOLDER));
    let cluster = cluster_file.read().map_err(|why| (Exit::Data, why))?;
    info!("data in {}: {}", config.data_dir.display(), recovered(&recovery.recovered));

    for remark in &recovery.remarks {
        warn!("{remark}");
    }

    let clock = Clock::start();
    let boot = Boot {
        id: config.id,
        voters: config.voters(),
        limits: config.limits(),
        super_digest: config.super_digest.as_ref().map(|digest| digest.0.clone()),
        seed: entropy().map_err(fault("the system gives no random numbers"))?,
        recovered: recovery.recovered,
    };
    let node = Node::boot(boot).map_err(|why| {
        (Exit::Data, format!("the snapshot in {} cannot be used: {why}", config.data_dir.display()))
    })?;

    let client_listeners = listen_clients(&mut config)?;
    let peer_listener = listen_peers(&config)?;
    let others: Vec<(PeerId, String, u16)> = config
        .servers
        .iter()
        .filter(|(id, _)| **id != config.id)
        .map(|(id, server)| (*id, server.peer.host.clone(), server.peer.port))
        .collect();
    if !others.is_empty() {
        info!(
            "this is server {} of {}; peers: {}",
            config.id,
            config.servers.len(),
            peers::describe(&others)
        );
    }
    let parts = Parts {
        node,
        clock,
        storage,
        disk_news,
        waker,
        poll,
        signals,
        end,
        client_listeners,
        peer_listener,
        me: config.id,
        others,
        cluster,
        cluster_made_up: entropy().map_err(fault("the system gives no random numbers"))?.max(1),
        cluster_file,
        config,
    };
    Server::new(parts).map_err(fault("cannot watch sockets"))
}

fn configuration(arguments: &ServeArgs) -> Result<Config, Failure> {
    let Loaded { mut config, warnings } = match &arguments.config {
        Some(file) => Config::load(file).map_err(|error| (Exit::Usage, error.to_string()))?,
        None => {
            let data_dir = arguments.data_dir.clone().unwrap_or_else(|| PathBuf::from(DATA_DIR));
            Loaded { config: Config::default_single(data_dir), warnings: Vec::new() }
        }
    };
    for warning in warnings {
        warn!("{warning}");
    }
    if let Some(data_dir) = &arguments.data_dir {
        config.data_dir = data_dir.clone();
        config.log_dir = data_dir.clone();
    }
    if let Some(port) = arguments.port {
        config.client.port = port;
    }
    Ok(config)
}

fn recovered(recovered: &vivarium_core::recovery::Recovered) -> String {
    let entries = recovered.entries.len();
    match (&recovered.snapshot, recovered.entries.last()) {
        (None, None) => "empty".to_owned(),
        (None, Some(last)) => format!("{entries} entries up to {}", last.zxid),
        (Some((zxid, _)), None) => format!("a snapshot at {zxid}"),
        (Some((zxid, _)), Some(last)) => {
            format!("a snapshot at {zxid} and {entries} entries up to {}", last.zxid)
        }
    }
}

fn entropy() -> io::Result<u64> {
    let mut bytes = [0; 8];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    assert_eq!(got, bytes.len(), "the system gives up to 256 bytes at once");
    Ok(u64::from_le_bytes(bytes))
}

/// As many files as the system lets this process have: every client is one.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        let have = limit.current.unwrap_or(u64::MAX);
        warn!("the limit of open files stays at {have}, which bounds the clients: {error}");
    }
}

/// A thread that waits for the end of standard input, and then ends the server.
fn end_with_stdin(end: Arc<AtomicBool>, waker: Arc<Waker>) -> io::Result<()> {
    std::thread::Builder::new().name("stdin".into()).spawn(move || {
        // What comes is of no interest; that it ends is.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        end.store(true, Ordering::Relaxed);
        let _ = waker.wake();
    })?;
    Ok(())
}

fn listen_clients(config: &mut Config) -> Result<Vec<TcpListener>, Failure> {
    let listen = &config.client;
    let addresses = addresses(listen.host.as_deref(), listen.port).map_err(|error| {
        let host = listen.host.as_deref().unwrap_or_default();
        (Exit::Usage, format!("the client address {host:?} (clientPortAddress) does not resolve: {error}"))
    })?;
    let backlog = config.client_backlog.and_then(|n| i32::try_from(n).ok()).unwrap_or(bounds::BACKLOG);
    let listener = bind(&addresses, backlog).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "; another server has it, choose another clientPort or --port",
            io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
            _ => "",
        };
        (Exit::Fault, format!("{CANNOT_LISTEN} for clients on {listen}: {error}{hint}"))
    })?;
    let address = listener.local_addr().map_err(fault("cannot listen for clients"))?;
    config.client.port = address.port();
    info!("listening for clients on {address}");
    Ok(vec![listener])
}

/// The peer port: on the address of this server's own line, unless that is a name that does not lead here (behind a
/// translated network, or not in the name service yet); then on every interface.
fn listen_peers(config: &Config) -> Result<Option<TcpListener>, Failure> {
    let Some(own) = config.own_server() else { return Ok(None) };
    let (host, port) = (own.peer.host.as_str(), own.peer.port);
    let everywhere = addresses(None, port).expect("there is nothing to resolve");
    let literal = host.parse::<IpAddr>().is_ok();
    let bound = if config.peer_listen_all {
        bind(&everywhere, bounds::BACKLOG)
    } else {
        match addresses(Some(host), port).and_then(|addresses| bind(&addresses, bounds::BACKLOG)) {
            Err(error) if !literal && error.kind() != io::ErrorKind::AddrInUse => {
                warn!("cannot listen for peers on {host} only ({error}); listening on every interface");
                bind(&everywhere, bounds::BACKLOG)
            }
            bound => bound,
        }
    };
    let listener = bound.map_err(|error| {
        let id = config.id;
        (Exit::Fault, format!("{CANNOT_LISTEN} for peers on {host}:{port} (server.{id}): {error}"))
    })?;
    let address = listener.local_addr().map_err(fault("cannot listen for peers"))?;
    info!("listening for peers on {address}");
    Ok(Some(listener))
}

/// Addresses to try, best first. No host is every interface: of IPv6 and IPv4, or of IPv4 where there is nothing else.
fn addresses(host: Option<&str>, port: u16) -> io::Result<Vec<SocketAddr>> {
    match host {
        None => Ok(vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]),
        Some(host) => Ok((host, port).to_socket_addrs()?.collect()),
    }
}

fn bind(addresses: &[SocketAddr], backlog: i32) -> io::Result<TcpListener> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpListener::bind(*address) {
            Ok(listener) => {
                // Listening again only sets the length of the queue.
                rustix::net::listen(&listener, backlog)?;
                return Ok(listener);
            }
            // Falling back to IPv4 here would serve half of the interfaces.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}
