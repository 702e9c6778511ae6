//! From the entries of a `zoo.cfg` to a [`Config`]: section 12 of the protocol.

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use vivarium_core::ids::PeerId;

use super::ignored::{Effect, effect};
use super::properties::{self, Entry};
use super::server::{ClientListen, Server, parse_server};
use super::words::{WORDS, Words};
use super::{Config, ConfigError, Loaded, Problem, SuperDigest};

/// The keys with an effect, `server.N` aside.
pub const KEYS: [&str; 23] = [
    "4lw.commands.whitelist",
    "DigestAuthenticationProvider.superDigest",
    "autopurge.purgeInterval",
    "autopurge.snapRetainCount",
    "clientPort",
    "clientPortAddress",
    "clientPortListenBacklog",
    "commitLogCount",
    "dataDir",
    "dataLogDir",
    "globalOutstandingLimit",
    "initLimit",
    "jute.maxbuffer",
    "maxClientCnxns",
    "maxCnxns",
    "maxSessionTimeout",
    "minSessionTimeout",
    "quorumListenOnAllIPs",
    "snapCount",
    "snapSizeLimitInKb",
    "standaloneEnabled",
    "syncLimit",
    "tickTime",
];

/// ZooKeeper's tick, when a file does not set one; its sample files do.
const TICK_MS_DEFAULT: u32 = 3_000;
/// Ticks of `initLimit` and `syncLimit`; ZooKeeper's sample files have these.
const TICKS: RangeInclusive<i64> = 1..=10_000;
/// Snapshots that are always kept, as in ZooKeeper.
const SNAPSHOTS_RETAINED_MIN: u32 = 3;
const INT_MAX: i64 = i32::MAX as i64;

/// Parses the text of `file`. `read` reads `myid`.
pub fn parse(
    file: &Path,
    text: &str,
    read: impl Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Loaded, ConfigError> {
    let mut parser = Parser {
        file,
        config: Config { tick_ms: TICK_MS_DEFAULT, ..Config::default_single("") },
        draft: Draft::default(),
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    for entry in parser.last_of_each_key(properties::parse(text)) {
        parser.entry(&entry);
    }
    parser.finish(read)
}

struct Parser<'a> {
    file: &'a Path,
    config: Config,
    draft: Draft,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

/// What can be judged only when all is known.
#[derive(Default)]
struct Draft {
    data_dir: Option<PathBuf>,
    log_dir: Option<PathBuf>,
    client_port: Option<(usize, u16)>,
    client_host: Option<String>,
    secure_port: Option<usize>,
    session_timeout_min_ms: Option<i32>,
    session_timeout_max_ms: Option<i32>,
    servers: BTreeMap<PeerId, (usize, Server)>,
    ensemble_of_one: bool,
    lines: BTreeMap<String, usize>,
}

impl Parser<'_> {
    /// A key that comes again replaces the earlier one, as in Java; it is hardly ever meant.
    fn last_of_each_key(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        let mut kept: Vec<Entry> = Vec::new();
        for mut entry in entries {
            // A system property's full name means the same.
            if let Some(short) = entry.key.strip_prefix("zookeeper.") {
                entry.key = short.to_owned();
            }
            if let Some(earlier) = self.draft.lines.insert(entry.key.clone(), entry.line) {
                self.warn(entry.line, format!("{} replaces the one on line {earlier}", entry.key));
                kept.retain(|other| other.key != entry.key);
            }
            kept.push(entry);
        }
        kept
    }

    fn entry(&mut self, entry: &Entry) {
        match entry.key.as_str() {
            "dataDir" => self.draft.data_dir = self.directory(entry),
            "dataLogDir" => self.draft.log_dir = self.directory(entry),
            "clientPort" => {
                self.draft.client_port =
                    self.number(entry, 0..=65_535, "port").map(|port: u16| (entry.line, port));
            }
            "clientPortAddress" => self.draft.client_host = self.host(entry),
            "clientPortListenBacklog" => {
                self.config.client_backlog =
                    self.number(entry, -1..=65_535, "").and_then(|backlog: i64| u32::try_from(backlog).ok());
            }
            "tickTime" => put(self.number(entry, 1..=3_600_000, "ms"), &mut self.config.tick_ms),
            "initLimit" => put(self.number(entry, TICKS, "ticks"), &mut self.config.init_limit),
            "syncLimit" => put(self.number(entry, TICKS, "ticks"), &mut self.config.sync_limit),
            "minSessionTimeout" => self.draft.session_timeout_min_ms = self.session_timeout(entry),
            "maxSessionTimeout" => self.draft.session_timeout_max_ms = self.session_timeout(entry),
            "maxClientCnxns" => {
                let connections = self.number(entry, 0..=INT_MAX, "connections, 0 for no bound");
                put(connections, &mut self.config.connections_per_address_max);
            }
            "maxCnxns" => {
                let connections = self.number(entry, 0..=INT_MAX, "connections, 0 for no bound");
                put(connections, &mut self.config.connections_max);
            }
            "snapCount" => {
                put(self.number(entry, 2..=INT_MAX, "entries"), &mut self.config.snapshot_entries);
            }
            "snapSizeLimitInKb" => self.config.snapshot_bytes = self.snapshot_bytes(entry),
            "commitLogCount" => {
                self.config.log_window_entries = self.number(entry, 1..=10_000_000, "entries");
            }
            "autopurge.snapRetainCount" => self.snapshots_retained(entry),
            "autopurge.purgeInterval" => self.purge_interval(entry),
            "globalOutstandingLimit" => {
                self.config.outstanding_max = self.number(entry, 1..=10_000_000, "requests");
            }
            "jute.maxbuffer" => {
                put(self.number(entry, 1_024..=(1 << 30), "bytes"), &mut self.config.packet_bytes_max);
            }
            "4lw.commands.whitelist" => self.words(entry),
            "DigestAuthenticationProvider.superDigest" => self.super_digest(entry),
            "quorumListenOnAllIPs" => put(self.boolean(entry), &mut self.config.peer_listen_all),
            "standaloneEnabled" => {
                self.draft.ensemble_of_one = self.boolean(entry) == Some(false);
            }
            key if key.starts_with("server.") => self.server(entry),
            key => {
                if key == "secureClientPort" {
                    self.draft.secure_port = Some(entry.line);
                }
                match effect(key, &entry.value) {
                    Effect::Done => {}
                    Effect::Nothing(why) => self.warn(entry.line, format!("{key} has no effect: {why}")),
                    Effect::Refused(why) => {
                        self.problem(Some(entry.line), format!("{key} = {:?}: {why}", entry.value));
                    }
                }
            }
        }
    }

    fn server(&mut self, entry: &Entry) {
        let number = entry.key["server.".len()..].parse().ok().filter(|number| *number > 0);
        let Some(id) = number.map(PeerId) else {
            return self.problem(
                Some(entry.line),
                format!("{}: the number of a server is from 1 to 255", entry.key),
            );
        };
        let mut warnings = Vec::new();
        match parse_server(&entry.value, |text| warnings.push(text)) {
            Err(why) => self.wrong(entry, &why),
            Ok(server) => {
                let same = |(_, other): &&(usize, Server)| other.peer == server.peer;
                if let Some((line, _)) = self.draft.servers.values().find(same) {
                    self.wrong(entry, &format!("line {line} has a server at the same {}", server.peer));
                } else if let Some((line, _)) = self.draft.servers.insert(id, (entry.line, server)) {
                    // server.1 and server.01.
                    self.wrong(entry, &format!("line {line} is about server {id} already"));
                }
            }
        }
        for warning in warnings {
            self.warn(entry.line, format!("{}: {warning}", entry.key));
        }
    }

    fn directory(&mut self, entry: &Entry) -> Option<PathBuf> {
        if entry.value.is_empty() {
            self.wrong(entry, "the path of a directory is wanted");
            return None;
        }
        let path = PathBuf::from(&entry.value);
        if path.is_relative() && !entry.value.starts_with('.') {
            let text = format!(
                "{} = {} is relative to where the server is started; begin it with ./ if that is meant",
                entry.key, entry.value
            );
            self.warn(entry.line, text);
        }
        Some(path)
    }

    fn host(&mut self, entry: &Entry) -> Option<String> {
        let bare = entry.value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = bare.unwrap_or(&entry.value);
        let is_address = host.parse::<std::net::IpAddr>().is_ok();
        if host.is_empty() || (!is_address && host.contains([':', '/', ' ', ','])) {
            self.wrong(entry, "one host name or address is wanted, without a port");
            return None;
        }
        Some(host.to_owned())
    }

    /// -1 is the default, which depends on the tick.
    fn session_timeout(&mut self, entry: &Entry) -> Option<i32> {
        if entry.value == "-1" {
            return None;
        }
        self.number(entry, 1..=INT_MAX, "ms, or -1 for the default")
    }

    fn snapshot_bytes(&mut self, entry: &Entry) -> Option<u64> {
        let kib: i64 = self.number(entry, -1..=(1 << 40), "KiB, 0 or -1 for no bound")?;
        Some(if kib <= 0 { u64::MAX } else { kib.unsigned_abs() << 10 })
    }

    fn snapshots_retained(&mut self, entry: &Entry) {
        let Some(count) = self.number::<u32>(entry, 0..=INT_MAX, "snapshots") else { return };
        if count < SNAPSHOTS_RETAINED_MIN {
            let text = format!("{} = {count}: {SNAPSHOTS_RETAINED_MIN} are kept at least", entry.key);
            self.warn(entry.line, text);
        }
        self.config.snapshots_retained = count.max(SNAPSHOTS_RETAINED_MIN);
    }

    fn purge_interval(&mut self, entry: &Entry) {
        let digits = entry.value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit_is_known = matches!(entry.value[digits.len()..].trim(), "ms" | "s" | "m" | "" | "h" | "d");
        let count = digits.trim().parse::<u64>().ok().filter(|count| *count <= INT_MAX.unsigned_abs());
        match count {
            Some(count) if unit_is_known => self.config.purge = count > 0,
            _ => self.wrong(entry, "hours are wanted, or a number with ms, s, m, h or d; 0 for never"),
        }
    }

    fn words(&mut self, entry: &Entry) {
        let (words, unknown) = Words::parse(&entry.value);
        self.config.words = words;
        for word in unknown {
            let text = format!("{}: there is no word {word:?}; there are {}", entry.key, WORDS.join(", "));
            self.warn(entry.line, text);
        }
    }

    /// The value is close to a password: it is not repeated in the message.
    fn super_digest(&mut self, entry: &Entry) {
        let well_formed = entry.value.split_once(':').is_some_and(|(user, hash)| {
            let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
            !user.is_empty()
                && hash.len() == 28
                && hash.strip_suffix('=').is_some_and(|digits| digits.chars().all(is_base64))
        });
        if well_formed {
            self.config.super_digest = Some(SuperDigest(entry.value.clone()));
        } else {
            let text = format!("{}: user:base64(sha1(user:password)) is wanted", entry.key);
            self.problem(Some(entry.line), text);
        }
    }

    fn boolean(&mut self, entry: &Entry) -> Option<bool> {
        let value = match entry.value.to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        if value.is_none() {
            self.wrong(entry, "true or false is wanted");
        }
        value
    }

    /// A number, decimal or with 0x in front. `allowed` has to fit `T`.
    fn number<T: TryFrom<i64>>(
        &mut self,
        entry: &Entry,
        allowed: RangeInclusive<i64>,
        unit: &str,
    ) -> Option<T> {
        let value = match entry.value.strip_prefix("0x") {
            Some(digits) => i64::from_str_radix(digits, 16),
            None => entry.value.parse(),
        };
        match value {
            Ok(value) if allowed.contains(&value) => {
                Some(T::try_from(value).ok().expect("what is allowed fits the type"))
            }
            _ => {
                let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
                let text = format!("a number from {} to {}{unit} is wanted", allowed.start(), allowed.end());
                self.wrong(entry, &text);
                None
            }
        }
    }

    fn wrong(&mut self, entry: &Entry, allowed: &str) {
        self.problem(Some(entry.line), format!("{} = {:?}: {allowed}", entry.key, entry.value));
    }

    fn problem(&mut self, line: Option<usize>, message: String) {
        self.problems.push(Problem { file: self.file.into(), line, message });
    }

    fn warn(&mut self, line: usize, message: String) {
        self.warnings.push(format!("{}:{line}: {message}", self.file.display()));
    }

    fn line_of(&self, key: &str) -> Option<usize> {
        self.draft.lines.get(key).copied()
    }

    fn finish(mut self, read: impl Fn(&Path) -> io::Result<Vec<u8>>) -> Result<Loaded, ConfigError> {
        self.directories();
        self.session_timeouts();
        self.ensemble(read);
        self.client_listen();
        if self.problems.is_empty() {
            Ok(Loaded { config: self.config, warnings: self.warnings })
        } else {
            self.problems.sort_by_key(|problem| (problem.line.is_none(), problem.line));
            Err(ConfigError::Invalid(self.problems))
        }
    }

    fn directories(&mut self) {
        match self.draft.data_dir.take() {
            Some(path) => self.config.data_dir = path,
            None if self.line_of("dataDir").is_none() => {
                self.problem(None, "dataDir is missing: the directory for the server's data".into());
            }
            None => {}
        }
        self.config.log_dir = self.draft.log_dir.take().unwrap_or_else(|| self.config.data_dir.clone());
    }

    fn session_timeouts(&mut self) {
        let ticks = |count| {
            i32::try_from(self.config.tick_ms).expect("a tick is an hour at most").saturating_mul(count)
        };
        let min = self.draft.session_timeout_min_ms.unwrap_or(ticks(2));
        let max = self.draft.session_timeout_max_ms.unwrap_or(ticks(20));
        (self.config.session_timeout_min_ms, self.config.session_timeout_max_ms) = (min, max);
        if min > max {
            let line = self.line_of("minSessionTimeout").or_else(|| self.line_of("maxSessionTimeout"));
            let text = format!(
                "minSessionTimeout ({min} ms, 2 ticks unless set) is above maxSessionTimeout ({max} ms, 20 ticks unless set)"
            );
            self.problem(line, text);
        }
    }

    fn ensemble(&mut self, read: impl Fn(&Path) -> io::Result<Vec<u8>>) {
        let servers: BTreeMap<PeerId, Server> =
            self.draft.servers.iter().map(|(id, (_, server))| (*id, server.clone())).collect();
        if servers.len() <= 1 && !self.draft.ensemble_of_one {
            // One server needs no `myid`, and no port for peers.
            if let Some((id, server)) = servers.into_iter().next() {
                self.config.id = id;
                self.draft.client_port =
                    self.draft.client_port.or(server.client.as_ref().map(|c| (0, c.port)));
                let host = server.client.and_then(|client| client.host);
                self.draft.client_host = self.draft.client_host.take().or(host);
            }
            return;
        }
        if servers.is_empty() {
            let line = self.line_of("standaloneEnabled");
            return self.problem(line, "standaloneEnabled = false needs server.N lines".into());
        }
        if servers.len() == 2 {
            let text = "two servers survive the loss of neither; three survive the loss of any one";
            self.warnings.push(format!("{}: {text}", self.file.display()));
        }
        self.config.servers = servers;
        if !self.config.data_dir.as_os_str().is_empty() {
            self.my_id(read);
        }
    }

    fn my_id(&mut self, read: impl Fn(&Path) -> io::Result<Vec<u8>>) {
        let path = self.config.data_dir.join("myid");
        let known: Vec<String> = self.config.servers.keys().map(PeerId::to_string).collect();
        let known = known.join(", ");
        let message = match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => format!(
                "the file is missing: write the number of this server into it, one of {known}, such as with: echo 1 > {}",
                path.display()
            ),
            Err(error) => format!("cannot be read: {error}"),
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let text = text.trim();
                match text.parse().ok().filter(|number| *number > 0).map(PeerId) {
                    Some(id) if self.config.servers.contains_key(&id) => {
                        self.config.id = id;
                        return;
                    }
                    Some(id) => format!(
                        "says that this is server {id}, and {} has no server.{id} line; it has {known}",
                        self.file.display()
                    ),
                    None => format!(
                        "{:?} is not the number of a server, from 1 to 255",
                        text.chars().take(32).collect::<String>()
                    ),
                }
            }
        };
        self.problems.push(Problem { file: path, line: None, message });
    }

    fn client_listen(&mut self) {
        let own = self.config.own_server().and_then(|server| server.client.clone());
        let (port, host) = match (self.draft.client_port, own) {
            (Some((line, port)), Some(own)) if own.port != port => {
                let id = self.config.id;
                let text = format!(
                    "clientPort = {port}, and server.{id} says {}: take one out or make them agree",
                    own.port
                );
                return self.problem(Some(line), text);
            }
            (Some((_, port)), own) => (port, own.and_then(|own| own.host)),
            (None, Some(own)) => (own.port, own.host),
            (None, None) => {
                if let Some(line) = self.draft.secure_port {
                    let text = "secureClientPort without clientPort: TLS is not supported yet, so no client could connect";
                    return self.problem(Some(line), text.into());
                }
                if self.line_of("clientPort").is_none() {
                    let text = "clientPort is not set: clients are listened for on 2181";
                    self.warnings.push(format!("{}: {text}", self.file.display()));
                }
                (2181, None)
            }
        };
        self.config.client = ClientListen { host: self.draft.client_host.take().or(host), port };
    }
}

fn put<T>(value: Option<T>, field: &mut T) {
    if let Some(value) = value {
        *field = value;
    }
}
