//! What an operator decides: an ordinary `zoo.cfg` and `myid`, read as ZooKeeper reads them.
//!
//! * All that is wrong with a file is said at once, each with its line, key, value and what is allowed.
//! * A key that has no effect here is warned of and never ends the start, save where going on without it would weaken what
//!   the operator asked for: a missing safeguard is an error.
//! * Names of hosts are not resolved here.
//!
//! Not here: command line and environment, and what the driver bounds by itself (`bounds.rs`).

mod conf;
mod ignored;
mod parse;
mod problem;
mod properties;
mod server;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use conf::{Conf, DirectorySizes};
pub use problem::{ConfigError, Problem};
pub use server::{ClientListen, HostPort, Server};
use vivarium_core::ids::PeerId;
use vivarium_core::limits::Limits;
pub use words::{WORDS, WORDS_BY_DEFAULT, Words};

/// Everything a server has to know to start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Who this server is: `myid`, or the one server there is.
    pub id: PeerId,
    /// The voters, this one among them. Empty for a server alone, which listens for no peers.
    pub servers: BTreeMap<PeerId, Server>,
    /// Where clients are listened for: `clientPort`, `clientPortAddress`, or this server's own line.
    pub client: ClientListen,
    /// Whether peers are listened for on every interface, not just on the address in this server's line:
    /// `quorumListenOnAllIPs`.
    pub peer_listen_all: bool,
    /// `dataDir`: snapshots and `myid`.
    pub data_dir: PathBuf,
    /// `dataLogDir`: the log; the same as `data_dir` unless set.
    pub log_dir: PathBuf,
    /// `tickTime`, ms.
    pub tick_ms: u32,
    /// `initLimit`, ticks.
    pub init_limit: u32,
    /// `syncLimit`, ticks.
    pub sync_limit: u32,
    /// `minSessionTimeout`, ms; two ticks unless set.
    pub session_timeout_min_ms: i32,
    /// `maxSessionTimeout`, ms; twenty ticks unless set.
    pub session_timeout_max_ms: i32,
    /// `maxClientCnxns`: connections from one address; 0 is no bound.
    pub connections_per_address_max: u32,
    /// `maxCnxns`: connections of clients in all; 0 is no bound.
    pub connections_max: u32,
    /// `clientPortListenBacklog`, if set.
    pub client_backlog: Option<u32>,
    /// `jute.maxbuffer`: the longest packet of a client, inclusive.
    pub packet_bytes_max: u32,
    /// `globalOutstandingLimit`, if set: writes in progress past which clients are not read.
    pub outstanding_max: Option<u32>,
    /// `snapCount`: entries between snapshots.
    pub snapshot_entries: u64,
    /// `snapSizeLimitInKb`, if set: bytes of log between snapshots.
    pub snapshot_bytes: Option<u64>,
    /// `commitLogCount`, if set: applied entries kept for followers that lag.
    pub log_window_entries: Option<u32>,
    /// `autopurge.snapRetainCount`: snapshots that are kept, 3 at least.
    pub snapshots_retained: u32,
    /// `autopurge.purgeInterval`: 0 keeps everything. Otherwise, and by default, older snapshots are removed whenever a
    /// new one is complete.
    pub purge: bool,
    /// `4lw.commands.whitelist`.
    pub words: Words,
    /// `DigestAuthenticationProvider.superDigest`: whoever authenticates as this passes every check.
    pub super_digest: Option<SuperDigest>,
}

/// `user:base64(sha1(user:password))`. `Debug` hides it, so that it does not reach a log.
#[derive(Clone, PartialEq, Eq)]
pub struct SuperDigest(pub String);

/// A configuration, and what its reader should know about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the file says.
    pub config: Config,
    /// What it says without effect, and what is likely not meant.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads a `zoo.cfg`, and `myid` in its `dataDir` when it is of an ensemble.
    pub fn load(file: &Path) -> Result<Loaded, ConfigError> {
        let bytes = std::fs::read(file).map_err(|source| ConfigError::Read { file: file.into(), source })?;
        parse::parse(file, &properties::text(&bytes), |path| std::fs::read(path))
    }

    /// A server alone on 127.0.0.1:2181 that keeps its data in `data_dir`: what is served without a file.
    pub fn default_single(data_dir: impl Into<PathBuf>) -> Config {
        let data_dir = data_dir.into();
        let limits = Limits::default();
        Config {
            id: PeerId(1),
            servers: BTreeMap::new(),
            client: ClientListen { host: Some("127.0.0.1".into()), port: 2181 },
            peer_listen_all: false,
            log_dir: data_dir.clone(),
            data_dir,
            tick_ms: u32::try_from(limits.tick.as_millis()).expect("a tick is short"),
            init_limit: 10,
            sync_limit: 5,
            session_timeout_min_ms: limits.session_timeout_min_ms,
            session_timeout_max_ms: limits.session_timeout_max_ms,
            connections_per_address_max: 60,
            connections_max: 0,
            client_backlog: None,
            packet_bytes_max: 0xf_ffff,
            outstanding_max: None,
            snapshot_entries: limits.snapshot_entries,
            snapshot_bytes: None,
            log_window_entries: None,
            snapshots_retained: 3,
            purge: true,
            words: Words::default(),
            super_digest: None,
        }
    }

    /// All voters, this server among them, ascending.
    pub fn voters(&self) -> Vec<PeerId> {
        if self.servers.is_empty() { vec![self.id] } else { self.servers.keys().copied().collect() }
    }

    /// This server's own line; `None` for a server alone.
    pub fn own_server(&self) -> Option<&Server> {
        self.servers.get(&self.id)
    }

    /// The bounds of the core. `tickTime`, `initLimit` and `syncLimit` are upper bounds of durations for which our own
    /// defaults are shorter: a failure is noticed in a second whatever the tick.
    pub fn limits(&self) -> Limits {
        use vivarium_core::time::Duration;
        let ticks = |count: u32| Duration::millis(u64::from(self.tick_ms) * u64::from(count));
        let default = Limits::default();
        let silence = default.silence.min(ticks(self.sync_limit));
        Limits {
            tick: ticks(1),
            heartbeat: default.heartbeat.min(Duration(silence.0 / 5)),
            silence,
            sync: default.sync.min(ticks(self.init_limit)),
            election: default.election.min(silence),
            session_timeout_min_ms: self.session_timeout_min_ms,
            session_timeout_max_ms: self.session_timeout_max_ms,
            snapshot_entries: self.snapshot_entries,
            snapshot_bytes: self.snapshot_bytes.unwrap_or(default.snapshot_bytes),
            log_window_entries_max: self
                .log_window_entries
                .map_or(default.log_window_entries_max, |entries| entries as usize),
            proposals_max: self.outstanding_max.map_or(default.proposals_max, |writes| writes as usize),
            ..default
        }
    }
}

impl fmt::Debug for SuperDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}
