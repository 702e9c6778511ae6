//! The texts of the words, in ZooKeeper's shapes (section 11.1 of the protocol).

use std::fmt::Write;
use std::path::Path;
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use vivarium_core::node::Role;

use super::{View, mode};
use crate::clients::Client;
use crate::config::DirectorySizes;
use crate::storage;

/// A line of text into a `String`, which cannot fail.
macro_rules! put {
    ($text:expr, $($argument:tt)*) => {{
        let text: &mut String = $text;
        let _ = std::fmt::Write::write_fmt(text, format_args!($($argument)*));
        text.push('\n');
    }};
}
pub(super) use put;

/// The version line's value. Clients and agents read the number in front, so it is that of the ZooKeeper release whose
/// behaviour this server has; the date is that of the executable file.
pub fn version() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let built = std::env::current_exe()
            .and_then(|path| path.metadata())
            .and_then(|file| file.modified())
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .map_or(0, |since| since.as_secs());
        format!("3.9.5-vivarium-{}, built on {}", env!("CARGO_PKG_VERSION"), utc(built))
    })
}

/// `2026-02-11 20:18 UTC`.
fn utc(seconds: u64) -> String {
    let (days, minutes) = (seconds / 86_400, seconds % 86_400 / 60);
    // The civil calendar, counted in eras of 400 years that begin on 1 March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60, minutes % 60)
}

pub(super) fn srvr(view: &View<'_>, text: &mut String) {
    put!(text, "Zookeeper version: {}", version());
    summary(view, text);
}

pub(super) fn stat(view: &View<'_>, text: &mut String) {
    put!(text, "Zookeeper version: {}", version());
    put!(text, "Clients:");
    for client in view.clients.iter() {
        let account = &client.account;
        put!(
            text,
            " /{}[{:x}](queued={},recved={},sent={})",
            client.address,
            interest(view, client),
            client.pending.len(),
            account.received,
            account.sent
        );
    }
    text.push('\n');
    summary(view, text);
}

fn summary(view: &View<'_>, text: &mut String) {
    let latency = &view.stats.latency;
    put!(text, "Latency min/avg/max: {}/{}/{}", latency.min_ms(), latency.avg_ms(), latency.max_ms());
    put!(text, "Received: {}", view.stats.received);
    put!(text, "Sent: {}", view.stats.sent);
    put!(text, "Connections: {}", view.clients.len());
    put!(text, "Outstanding: {}", view.status.outstanding);
    put!(text, "Zxid: 0x{:x}", view.status.applied.0);
    put!(text, "Mode: {}", mode(view));
    put!(text, "Node count: {}", view.status.node_count);
}

pub(super) fn cons(view: &View<'_>, text: &mut String) {
    for client in view.clients.iter() {
        connection(view, client, text);
    }
    text.push('\n');
}

/// What the socket is waited for, in hexadecimal: 1 to read, 4 to write. The one that asks is at rest.
fn interest(view: &View<'_>, client: &Client) -> u8 {
    if client.conn == view.asker { 0 } else { client.interest() }
}

fn connection(view: &View<'_>, client: &Client, text: &mut String) {
    let account = &client.account;
    let _ = write!(
        text,
        " /{}[{:x}](queued={},recved={},sent={}",
        client.address,
        interest(view, client),
        client.pending.len(),
        account.received,
        account.sent
    );
    if let Some((session, timeout_ms)) = account.session {
        let (name, xid) = account.last.unwrap_or(("SESS", 0));
        let latency = &account.latency;
        let _ = write!(
            text,
            ",sid={session},lop={name},est={},to={timeout_ms},lcxid=0x{:x},lzxid=0x{:x},lresp={},llat={},minlat={},avglat={},maxlat={}",
            account.since_ms,
            xid,
            account.last_zxid,
            account.last_reply_ms,
            latency.last_ms(),
            latency.min_ms(),
            latency.avg_whole_ms(),
            latency.max_ms()
        );
    }
    text.push_str(")\n");
}

pub(super) fn conf(view: &View<'_>, text: &mut String) {
    let _ = write!(text, "{}", view.config.conf(sizes(view)));
}

pub(super) fn dirs(view: &View<'_>, text: &mut String) {
    let sizes = sizes(view);
    put!(text, "datadir_size: {}", sizes.data);
    put!(text, "logdir_size: {}", sizes.log);
}

fn sizes(view: &View<'_>) -> DirectorySizes {
    let of = |directory: &Path| size(&directory.join(storage::SUBFOLDER));
    DirectorySizes { data: of(&view.config.data_dir), log: of(&view.config.log_dir) }
}

/// Bytes of the files in a directory and those below it.
fn size(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(file) if file.is_dir() => size(&entry.path()),
            Ok(file) => file.len(),
            Err(_) => 0,
        })
        .sum()
}

pub(super) fn envi(text: &mut String) {
    let kernel = rustix::system::uname();
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| "n/a".into());
    let memory = rustix::system::sysinfo();
    let mib = |units: u64| format!("{}MB", (units * u64::from(memory.mem_unit)) >> 20);
    put!(text, "Environment:");
    put!(text, "zookeeper.version={}", version());
    put!(text, "host.name={}", kernel.nodename().to_string_lossy());
    for key in ["java.version", "java.vendor", "java.home", "java.class.path", "java.library.path"] {
        put!(text, "{key}=n/a");
    }
    put!(text, "java.io.tmpdir={}", std::env::temp_dir().display());
    put!(text, "java.compiler=n/a");
    put!(text, "os.name={}", kernel.sysname().to_string_lossy());
    put!(text, "os.arch={}", kernel.machine().to_string_lossy());
    put!(text, "os.version={}", kernel.release().to_string_lossy());
    put!(text, "user.name={}", variable("USER"));
    put!(text, "user.home={}", variable("HOME"));
    match std::env::current_dir() {
        Ok(path) => put!(text, "user.dir={}", path.display()),
        Err(_) => put!(text, "user.dir=n/a"),
    }
    put!(text, "os.memory.free={}", mib(memory.freeram));
    put!(text, "os.memory.max={}", mib(memory.totalram));
    put!(text, "os.memory.total={}", mib(memory.totalram));
}

pub(super) fn wchs(view: &View<'_>, text: &mut String) {
    let (connections, paths, watches) = view.status.watch_summary;
    put!(text, "{connections} connections watching {paths} paths");
    put!(text, "Total watches:{watches}");
}

/// The role in `zk_peer_state`'s words.
pub(super) fn peer_state(view: &View<'_>) -> &'static str {
    match view.status.role {
        Role::Leading { established: true } => "leading - broadcast",
        Role::Leading { established: false } => "leading - synchronization",
        Role::Following { in_sync: true, .. } => "following - broadcast",
        Role::Following { in_sync: false, .. } => "following - synchronization",
        Role::Looking => "looking - election",
    }
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(utc(1_770_841_080), "2026-02-11 20:18 UTC");
    }
}
