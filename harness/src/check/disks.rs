//! Shadow disks: what each node has written, what of it is durable, and whether it may promise what it promises.
//!
//! A promise about a disk is checked where it is made, when it leaves the node: no crash has to come first.

use vivarium_core::ids::{Epoch, PeerId, Zxid};
use vivarium_core::io::{Output, Write};
use vivarium_core::recovery::Recovery;
use vivarium_core::replica::{PeerMessage, Vow};
use vivarium_sim::Violation;

use super::violation;

/// What a disk holds, as zxids.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shadow {
    promised: Epoch,
    candidate: Option<PeerId>,
    /// The newest whole snapshot.
    snapshot: Zxid,
    /// The one being written: its zxid, and how many chunks there are.
    unfinished: Option<(Zxid, u32)>,
    /// Where the log's history begins.
    base: Zxid,
    entries: Vec<Zxid>,
}

/// The disks of a node: as written by this run of the process, and as a power cut would leave it.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    written: Shadow,
    durable: Shadow,
}

type Checked = Result<(), Box<Violation>>;

impl Disk {
    /// What a power cut would leave.
    pub fn durable(&self) -> &Shadow {
        &self.durable
    }

    /// What the process has written.
    pub fn written(&self) -> &Shadow {
        &self.written
    }

    /// A write has become durable.
    pub fn synced(&mut self, write: &Write) {
        self.durable.apply(write);
    }

    /// A process starts with what the disk gives back: it must be what was durable.
    pub fn booted(&mut self, node: PeerId, recovery: &Recovery) -> Checked {
        let disk = &mut self.durable;
        disk.unfinished = None;
        if !disk.contains(disk.snapshot) {
            // A snapshot that the log does not reach to: the log begins anew after it.
            disk.base = disk.snapshot;
            disk.entries.clear();
        }
        let recovered = &recovery.recovered;
        let snapshot = recovered.snapshot.as_ref().map_or(Zxid::ZERO, |(zxid, _)| *zxid);
        let entries: Vec<Zxid> = recovered.entries.iter().map(|entry| entry.zxid).collect();
        let after: Vec<Zxid> = disk.entries.iter().copied().filter(|zxid| *zxid > disk.snapshot).collect();
        let promised = disk.promise();
        if snapshot != disk.snapshot
            || entries != after
            || (recovered.promised, recovered.candidate) != promised
        {
            return violation(
                "recovery",
                "a node that starts finds all that was durable, and of the rest a prefix",
                format!(
                    "node {node} finds snapshot {snapshot:?}, entries {}, a promise of {:?} to {:?}",
                    brief(&entries),
                    recovered.promised,
                    recovered.candidate
                ),
                format!(
                    "snapshot {:?}, entries {}, a promise of {:?} to {:?}",
                    disk.snapshot,
                    brief(&after),
                    promised.0,
                    promised.1
                ),
            );
        }
        self.written = self.durable.clone();
        Ok(())
    }

    /// A node puts something out: writes must fit what was written before, promises what is durable.
    pub fn output(&mut self, node: PeerId, output: &Output, committed: impl Fn(Zxid) -> bool) -> Checked {
        match output {
            Output::Write { write, .. } => {
                self.check_write(node, write, committed)?;
                self.written.apply(write);
                Ok(())
            }
            Output::Send { message: PeerMessage::Vow(vow), .. } => self.check_vow(node, vow.get()),
            _ => Ok(()),
        }
    }

    fn check_write(&self, node: PeerId, write: &Write, committed: impl Fn(Zxid) -> bool) -> Checked {
        let disk = &self.written;
        let last = disk.last();
        let problem = match write {
            Write::Append(entry) if entry.zxid <= last => format!("appends {:?} after {last:?}", entry.zxid),
            Write::Promise { epoch, candidate }
                if *epoch < disk.promised
                    || (*epoch == disk.promised
                        && disk.candidate.is_some_and(|other| other != *candidate)) =>
            {
                format!(
                    "promises {epoch:?} to {candidate:?} after {:?} to {:?}",
                    disk.promised, disk.candidate
                )
            }
            Write::Truncate { to } => {
                if let Some(lost) =
                    disk.entries.iter().rev().take_while(|zxid| *zxid > to).find(|z| committed(**z))
                {
                    return violation(
                        "committed-stays",
                        "what is committed is never cut from a log",
                        format!("node {node} cuts its log to {to:?}, and {lost:?} with it"),
                        format!("no cut below {lost:?}, which is committed"),
                    );
                }
                if disk.contains(*to) {
                    return Ok(());
                }
                format!("cuts its log to {to:?}, which it does not contain")
            }
            Write::Reset { base } if self.durable.snapshot < *base => {
                format!(
                    "begins its log anew at {base:?}; its durable snapshot is {:?}",
                    self.durable.snapshot
                )
            }
            Write::Chunk { zxid, index, .. } if *index > 0 && disk.unfinished != Some((*zxid, *index)) => {
                format!("writes chunk {index} of snapshot {zxid:?} after {:?}", disk.unfinished)
            }
            Write::Append(_) | Write::Promise { .. } | Write::Reset { .. } | Write::Chunk { .. } => {
                return Ok(());
            }
        };
        violation(
            "writes-fit",
            "each write to the disk continues what was written before",
            format!("node {node} {problem}"),
            "a write that continues it".into(),
        )
    }

    fn check_vow(&self, node: PeerId, vow: &Vow) -> Checked {
        let disk = &self.durable;
        let (promised, promised_to) = disk.promise();
        let kept_promise = |epoch: Epoch| promised >= epoch;
        let kept = match vow {
            Vow::AckEpoch { epoch, candidate, last } => {
                kept_promise(*epoch)
                    && (promised > *epoch || promised_to == Some(*candidate))
                    && disk.holds(*last)
            }
            Vow::Ack { epoch, upto } => kept_promise(*epoch) && disk.holds(*upto),
            Vow::Positioned { epoch, last, .. } => kept_promise(*epoch) && disk.holds(*last),
        };
        if kept {
            return Ok(());
        }
        violation(
            "durable-first",
            "a node promises nothing about its disk that a power cut at that moment would break",
            format!("node {node} says {vow:?}"),
            format!(
                "that to be durable; its disk has a promise of {promised:?} to {promised_to:?}, snapshot {:?}, and a \
                 log from {:?} to {:?}",
                disk.snapshot,
                disk.base,
                disk.last()
            ),
        )
    }
}

impl Shadow {
    /// Whether an entry, and with it all before it, is here, in the log or in a snapshot.
    pub fn holds(&self, zxid: Zxid) -> bool {
        self.snapshot >= zxid || self.base >= zxid || self.contains(zxid)
    }

    /// The end of the log.
    pub fn last(&self) -> Zxid {
        self.entries.last().copied().unwrap_or(self.base)
    }

    /// The newest promise: the last one written, unless there is history of a later epoch, which nobody has without
    /// following its leader.
    fn promise(&self) -> (Epoch, Option<PeerId>) {
        let newest = self.last().max(self.snapshot).epoch();
        if newest > self.promised { (newest, None) } else { (self.promised, self.candidate) }
    }

    fn contains(&self, zxid: Zxid) -> bool {
        zxid == self.base || self.entries.binary_search(&zxid).is_ok()
    }

    fn apply(&mut self, write: &Write) {
        match write {
            Write::Append(entry) => self.entries.push(entry.zxid),
            Write::Promise { epoch, candidate } => {
                self.promised = *epoch;
                self.candidate = Some(*candidate);
            }
            Write::Truncate { to } => {
                let keep = self.entries.partition_point(|zxid| zxid <= to);
                self.entries.truncate(keep);
            }
            Write::Reset { base } => {
                self.base = *base;
                self.entries.clear();
            }
            Write::Chunk { zxid, index, last, .. } => {
                self.unfinished = Some((*zxid, index + 1));
                if *last {
                    self.unfinished = None;
                    self.snapshot = self.snapshot.max(*zxid);
                }
            }
        }
    }
}

fn brief(zxids: &[Zxid]) -> String {
    match zxids {
        [] => "none".into(),
        [one] => format!("{one:?}"),
        [first, .., last] => format!("{first:?} to {last:?} ({})", zxids.len()),
    }
}
