//! The log: one line on standard error for each change of state, none for a request.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;
use vivarium_core::ids::PeerId;
use vivarium_core::io::{Lack, LookingReason, Note, SyncPlan};

use crate::bounds;

/// Starts the log. `level` comes from the command line and wins over `RUST_LOG`.
///
/// # Errors
/// What is wrong with the level.
pub fn init(level: Option<&str>) -> Result<(), String> {
    let wanted = match level {
        Some(level) => level.to_owned(),
        None => std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned()),
    };
    let filter = EnvFilter::try_new(&wanted).map_err(|e| {
        format!("log level {wanted:?} is not understood ({e}); use error, warn, info, debug or trace")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}

/// Writes what the core noted, in an operator's words.
pub fn note(note: &Note) {
    match note {
        // One for each entry: for observers, not for a log.
        Note::Applied { .. } => {}
        Note::PreVoting { epoch, last } => {
            info!(
                "asking whether a quorum would follow this server in epoch {epoch}; its log ends at {last}"
            );
        }
        Note::Candidate { epoch, last } => {
            info!("standing for leader of epoch {epoch}; the log ends at {last}");
        }
        Note::Elected { epoch, last } => {
            info!("elected leader of epoch {epoch}; the log ends at {last}; waiting for a quorum to sync");
        }
        Note::Established { epoch, committed } => {
            info!("leading epoch {epoch}: serving clients; committed up to {committed}");
        }
        Note::Following { leader, epoch } => info!("following server {leader} in epoch {epoch}; catching up"),
        Note::InSync { leader, epoch, last } => {
            info!("in sync with leader {leader} of epoch {epoch} at {last}: serving clients");
        }
        Note::Looking { why } => match why {
            LookingReason::Started => info!("looking for a leader: this server has just started"),
            why => warn!("looking for a leader, not serving clients: {}", looking_reason(*why)),
        },
        Note::Rolling { epoch, admitting: false } => {
            info!("zxids of this epoch are used up; opening epoch {epoch}");
        }
        Note::Rolling { epoch, admitting: true } => {
            info!("opening epoch {epoch} to count a server whose disk was empty as a voter");
        }
        Note::Joined => info!("this server's data directory was new; from here on it counts as a voter"),
        Note::Lacking(lack) => warn!("no leader: {}", lacking(lack)),
        Note::Synchronizing { follower, last, plan } => {
            let how = match plan {
                SyncPlan::Diff => "sending the entries it misses",
                SyncPlan::Truncate => "cutting entries that were never committed",
                SyncPlan::Snapshot => "sending a snapshot, it is too far behind",
            };
            info!("bringing server {follower} up to date from {last}: {how}");
        }
        Note::Truncated { from, to } => {
            info!("log cut from {from} to {to}; what was cut was never committed")
        }
        Note::SnapshotStarted { zxid } => info!("writing a snapshot of the state at {zxid}"),
        Note::SnapshotDurable { zxid } => info!("snapshot at {zxid} is on disk"),
        Note::SnapshotInstalled { zxid } => {
            info!("state replaced by the leader's snapshot at {zxid}");
        }
        Note::SessionCreated { session, timeout_ms } => {
            tracing::debug!("session {session} created, timeout {timeout_ms} ms");
        }
        Note::SessionAttached { session } => tracing::debug!("session {session} moved to this server"),
        Note::SessionEnded { session, expired: true } => info!("session {session} expired"),
        Note::SessionEnded { session, expired: false } => tracing::debug!("session {session} closed"),
        // The driver logs these itself, with the client's address, when it closes the connection.
        Note::Refused { .. } => {}
        Note::HandedOver { to } => info!("leadership handed over to server {to}"),
        Note::FollowerLost { follower, silent } => {
            warn!("server {follower} has been silent for {} ms and is left behind", silent.as_millis());
        }
    }
}

fn looking_reason(why: LookingReason) -> &'static str {
    match why {
        LookingReason::Started => "this server has just started",
        LookingReason::LeaderSilent => "the leader was silent for too long",
        LookingReason::LeaderGone => "the connection to the leader broke",
        LookingReason::QuorumLost => "this leader cannot reach a quorum any more",
        LookingReason::Superseded => "a newer epoch exists",
        LookingReason::LeftBehind => "this server fell so far behind that it needs a snapshot",
        LookingReason::SyncTooSlow => "synchronization took longer than initLimit allows",
        LookingReason::HandOver => "the leader handed over",
    }
}

/// Why blank disks keep an ensemble from electing, and what to do.
fn lacking(lack: &Lack) -> String {
    let list = |peers: &[PeerId]| {
        let word = if peers.len() == 1 { "server" } else { "servers" };
        let names: Vec<String> = peers.iter().map(|peer| peer.to_string()).collect();
        format!("{word} {}", names.join(","))
    };
    let silent = match &lack.silent[..] {
        [] => "all servers answer".to_owned(),
        silent => format!("not heard: {}", list(silent)),
    };
    let vote = "vivarium serve --vote-empty";
    if lack.blank && lack.members.is_empty() && !lack.blanks.is_empty() | !lack.silent.is_empty() {
        format!(
            "this server's data directory is new. A new cluster is formed when all its servers are up together ({silent}); \
             a cluster that exists takes this server in once it has a leader. To form one with a quorum only, start \
             servers with {vote}"
        )
    } else if lack.blank {
        format!(
            "this server's data directory is new, and {} has data of an existing cluster: this server can follow, but \
             not vote before it has copied the data ({silent})",
            list(&lack.members)
        )
    } else {
        format!(
            "{} lost its data, or was never started, and cannot vote before it has copied the data from a leader; without \
             it there is no quorum ({silent}). Start what is down, or restore its data. If a majority's data is gone for \
             good, start the empty servers with {vote}: the newest data that is left wins, what only the lost disks \
             held is lost",
            list(&lack.blanks)
        )
    }
}

/// Keeps lines that anybody on the network can cause from flooding the log: one of a kind in
/// [`bounds::LOG_PAUSE`], and how many were left out.
#[derive(Debug, Default)]
pub struct Throttle {
    kinds: BTreeMap<&'static str, (Option<Instant>, u64)>,
}

impl Throttle {
    /// Logs a warning of this kind, or counts it.
    pub fn warn(&mut self, kind: &'static str, line: impl FnOnce() -> String) {
        if let Some(more) = self.admit(kind, Instant::now(), bounds::LOG_PAUSE) {
            warn!("{}{more}", line());
        }
    }

    /// Logs an error of this kind, or counts it.
    pub fn error(&mut self, kind: &'static str, line: impl FnOnce() -> String) {
        if let Some(more) = self.admit(kind, Instant::now(), bounds::LOG_PAUSE) {
            error!("{}{more}", line());
        }
    }

    fn admit(&mut self, kind: &'static str, now: Instant, pause: Duration) -> Option<String> {
        let (last, left_out) = self.kinds.entry(kind).or_default();
        if last.is_some_and(|last| now.duration_since(last) < pause) {
            *left_out += 1;
            return None;
        }
        *last = Some(now);
        let count = std::mem::take(left_out);
        Some(if count == 0 { String::new() } else { format!(" (and {count} more like it before)") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_becomes_a_count() {
        let mut throttle = Throttle::default();
        let start = Instant::now();
        let pause = Duration::from_secs(5);
        assert_eq!(throttle.admit("a", start, pause).as_deref(), Some(""));
        assert_eq!(throttle.admit("a", start, pause), None);
        assert_eq!(throttle.admit("a", start, pause), None);
        assert_eq!(throttle.admit("b", start, pause).as_deref(), Some(""));
        assert!(throttle.admit("a", start + pause, pause).unwrap().contains("2 more"));
    }
}
