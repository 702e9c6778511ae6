//! Shadow disks: what each node has written, what of it is durable, and whether it may promise what it promises.
//!
//! A promise about a disk is checked where it is made, when it leaves the node: no crash has to come first.

use vivarium_core::ids::{Epoch, PeerId, Zxid};
use vivarium_core::io::Write;
use vivarium_core::recovery::Recovery;
use vivarium_core::replica::{PeerMessage, Vow};
use vivarium_sim::Violation;

use super::order::History;
use super::violation;

/// What a disk holds, as zxids.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shadow {
    promised: Epoch,
    candidate: Option<PeerId>,
    /// Whether it is marked as a member's.
    member: bool,
    /// The newest whole snapshot.
    snapshot: Zxid,
    /// The one being written: its zxid, and how many chunks there are.
    unfinished: Option<(Zxid, u32)>,
    /// Where the log's history begins.
    base: Zxid,
    /// What follows: stretches of entries without gaps, ascending.
    log: Vec<Stretch>,
    /// The epoch of the newest entry, in the log or in the snapshot.
    newest: Epoch,
}

/// Entries numbered without gaps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stretch {
    first: Zxid,
    last: Zxid,
}

/// The disks of a node: as written by this run of the process, and as a power cut would leave it.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    written: Shadow,
    durable: Shadow,
    /// What the last disk held that this node has lost.
    lost: Shadow,
    /// Something that was durable is damaged.
    rotten: bool,
}

type Checked = Result<(), Box<Violation>>;

impl Disk {
    /// What the process has written.
    pub fn written(&self) -> &Shadow {
        &self.written
    }

    /// The disk is replaced by an empty one.
    pub fn wiped(&mut self) {
        let gone = std::mem::take(&mut self.durable);
        if gone.member {
            self.lost = gone;
        }
        self.written = Shadow::default();
        self.rotten = false;
    }

    /// Something on the disk is damaged: the node has to notice, or not to need it.
    pub fn damaged(&mut self) {
        self.rotten = true;
    }

    /// Whether an entry is durable here, on a disk that counts; or was, on one that was lost since: whoever was told so
    /// then is right to count it.
    pub fn counts_for(&self, zxid: Zxid) -> bool {
        [&self.durable, &self.lost].into_iter().any(|disk| disk.member && disk.holds(zxid))
    }

    /// A write has become durable.
    #[inline]
    pub fn synced(&mut self, write: &Write) {
        self.durable.apply(write);
    }

    /// A process starts with what the disk gives back: it must be what was durable, entry by entry.
    pub fn booted(&mut self, node: PeerId, recovery: &Recovery, history: &History) -> Checked {
        let disk = &mut self.durable;
        disk.unfinished = None;
        let found = recovery.recovered.snapshot.as_ref().map_or(Zxid::ZERO, |(zxid, _)| *zxid);
        let reached = disk.base == found || disk.contains(found);
        if self.rotten && found < disk.snapshot && (reached || disk.last() < found) {
            // The newest snapshot is damaged. An older one will do when the log holds all that came after it; or when the
            // log ends before it, for then nothing that came after it has ever been acknowledged from this disk.
            disk.snapshot = found;
        }
        if !disk.contains(disk.snapshot) {
            // A snapshot that the log does not reach to: the log begins anew after it.
            disk.base = disk.snapshot;
            disk.log.clear();
        }
        disk.look_at_end();
        let recovered = &recovery.recovered;
        let snapshot = recovered.snapshot.as_ref().map_or(Zxid::ZERO, |(zxid, _)| *zxid);
        let mut entries = Shadow::default();
        recovered.entries.iter().for_each(|entry| entries.append(entry.zxid));
        let after = disk.after(disk.snapshot);
        let promised = disk.promise();
        if snapshot != disk.snapshot
            || entries.log != after
            || (recovered.promised, recovered.candidate) != promised
            || recovered.member != disk.member
        {
            return violation(
                "recovery",
                "a node that starts finds all that was durable, and of the rest a prefix",
                format!(
                    "node {node} finds snapshot {snapshot:?}, entries {:?}, a promise of {:?} to {:?}, a member's mark: {}",
                    entries.log, recovered.promised, recovered.candidate, recovered.member
                ),
                format!(
                    "snapshot {:?}, entries {after:?}, a promise of {:?} to {:?}, a member's mark: {}",
                    disk.snapshot, promised.0, promised.1, disk.member
                ),
            );
        }
        for entry in &recovered.entries {
            history.known(node, "finds on its disk", entry)?;
        }
        self.written = self.durable.clone();
        Ok(())
    }

    /// A node writes: it must fit what was written before.
    #[inline]
    pub fn write(&mut self, node: PeerId, write: &Write, history: &History) -> Checked {
        self.check_write(node, write, history)?;
        self.written.apply(write);
        Ok(())
    }

    /// A node says something to a peer: what it promises is durable, and what it has promised it keeps.
    #[inline]
    pub fn said(&self, node: PeerId, to: PeerId, message: &PeerMessage) -> Checked {
        match message {
            PeerMessage::Vow(vow) => self.check_vow(node, to, vow.get()),
            PeerMessage::NewEpoch { epoch, .. } | PeerMessage::Form { epoch, .. } => {
                self.check_candidacy(node, *epoch)
            }
            // To follow, or to lead.
            PeerMessage::Alive { epoch, .. }
            | PeerMessage::Position { epoch, .. }
            | PeerMessage::Forward { epoch, .. }
            | PeerMessage::SnapshotReceived { epoch, .. } => self.check_kept(node, to, *epoch, message),
            PeerMessage::Heartbeat { epoch, .. }
            | PeerMessage::Truncate { epoch, .. }
            | PeerMessage::Propose { epoch, .. }
            | PeerMessage::Commit { epoch, .. }
            | PeerMessage::SnapshotChunk { epoch, .. }
            | PeerMessage::BarrierPassed { epoch, .. } => self.check_kept(node, node, *epoch, message),
            PeerMessage::PreVote { .. }
            | PeerMessage::PreVoteReply { .. }
            | PeerMessage::Refused { .. }
            | PeerMessage::Barrier { .. }
            | PeerMessage::Heard { .. }
            | PeerMessage::HandOver { .. } => Ok(()),
        }
    }

    #[inline]
    fn check_write(&self, node: PeerId, write: &Write, history: &History) -> Checked {
        let disk = &self.written;
        let last = disk.last();
        if let Write::Append(entry) = write
            && entry.zxid > last
            && entry.zxid.epoch() <= disk.promise().0
        {
            return Ok(());
        }
        self.check_rare(node, write, history)
    }

    /// Anything but an entry that fits.
    fn check_rare(&self, node: PeerId, write: &Write, history: &History) -> Checked {
        let disk = &self.written;
        let last = disk.last();
        let problem = match write {
            Write::Append(entry) if entry.zxid <= last => format!("appends {:?} after {last:?}", entry.zxid),
            Write::Append(entry) if entry.zxid.epoch() > disk.promise().0 => {
                format!("appends {:?}, and has promised {:?}", entry.zxid, disk.promise().0)
            }
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
            Write::Join if disk.member => "joins a second time".to_owned(),
            Write::Truncate { to } => {
                self.check_cut(node, *to, history)?;
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
            Write::Reset { base } => return self.check_cut(node, *base, history),
            Write::Chunk { zxid, index, .. } if *index > 0 && disk.unfinished != Some((*zxid, *index)) => {
                format!("writes chunk {index} of snapshot {zxid:?} after {:?}", disk.unfinished)
            }
            Write::Chunk { zxid, .. } if !history.contains(*zxid) => {
                format!("writes a snapshot at {zxid:?}, which nobody has executed")
            }
            Write::Append(_) | Write::Promise { .. } | Write::Join | Write::Chunk { .. } => return Ok(()),
        };
        violation(
            "writes-fit",
            "each write to the disk continues what was written before",
            format!("node {node} {problem}"),
            "a write that continues it".into(),
        )
    }

    /// What comes after `to` is void. Logs that hold a zxid hold the same up to it, so that it is enough to look at
    /// the first entry of each stretch.
    fn check_cut(&self, node: PeerId, to: Zxid, history: &History) -> Checked {
        let dropped = self.written.after(to);
        match dropped.iter().find(|stretch| history.contains(stretch.first)) {
            None => Ok(()),
            Some(lost) => violation(
                "committed-stays",
                "what is committed is never cut from a log",
                format!("node {node} cuts its log to {to:?}, and {:?} with it", lost.first),
                format!("no cut below {:?}, which is committed", lost.first),
            ),
        }
    }

    fn check_vow(&self, node: PeerId, to: PeerId, vow: &Vow) -> Checked {
        let disk = &self.durable;
        let (promised, promised_to) = disk.promise();
        let kept = match vow {
            Vow::AckEpoch { epoch, candidate, last, blank } => {
                promised >= *epoch
                    && (blank.is_some() || disk.member)
                    && (promised > *epoch || promised_to == Some(*candidate))
                    && disk.holds(*last)
            }
            Vow::Ack { epoch, upto, member } => {
                promised >= *epoch && disk.holds(*upto) && (!member || disk.member)
            }
            Vow::Positioned { epoch, last, .. } => promised >= *epoch && disk.holds(*last),
        };
        if !kept {
            return violation(
                "durable-first",
                "a node promises nothing about its disk that a power cut at that moment would break",
                format!("node {node} says {vow:?}"),
                format!(
                    "that to be durable; its disk has a promise of {promised:?} to {promised_to:?}, snapshot {:?}, and \
                     a log from {:?} to {:?}; a member's mark: {}",
                    disk.snapshot,
                    disk.base,
                    disk.last(),
                    disk.member
                ),
            );
        }
        match vow {
            // An old one may be said late: its candidate asks for no other than that epoch.
            Vow::AckEpoch { .. } => Ok(()),
            Vow::Ack { epoch, .. } | Vow::Positioned { epoch, .. } => self.check_kept(node, to, *epoch, vow),
        }
    }

    /// Whoever asks for the promises of others has made, and kept, its own.
    fn check_candidacy(&self, node: PeerId, epoch: Epoch) -> Checked {
        let (promised, promised_to) = self.durable.promise();
        if promised > epoch || (promised == epoch && promised_to == Some(node)) {
            return Ok(());
        }
        violation(
            "durable-first",
            "a candidate's own promise is durable before it asks others for theirs",
            format!("node {node} asks to be promised {epoch:?}"),
            format!("its disk to say so; it has a promise of {promised:?} to {promised_to:?}"),
        )
    }

    /// A node that has promised an epoch to another neither follows nor leads an older one. A leader that opens a new
    /// epoch without an election goes on in the old one until a quorum has promised.
    #[inline]
    fn check_kept(&self, node: PeerId, leader: PeerId, epoch: Epoch, what: &dyn std::fmt::Debug) -> Checked {
        let (promised, promised_to) = self.durable.promise();
        if epoch >= promised || promised_to.is_none_or(|to| to == leader) {
            return Ok(());
        }
        self.not_kept(node, what)
    }

    #[cold]
    fn not_kept(&self, node: PeerId, what: &dyn std::fmt::Debug) -> Checked {
        let (promised, promised_to) = self.durable.promise();
        violation(
            "promise-kept",
            "whoever has promised an epoch to a candidate neither follows nor leads an older one",
            format!("node {node} says {what:?}"),
            format!("nothing of an epoch before {promised:?}, which it has promised to {promised_to:?}"),
        )
    }
}

impl Shadow {
    /// Whether an entry, and with it all before it, is here, in the log or in a snapshot.
    pub fn holds(&self, zxid: Zxid) -> bool {
        self.snapshot >= zxid || self.base >= zxid || self.contains(zxid)
    }

    /// The end of the log.
    #[inline]
    pub fn last(&self) -> Zxid {
        self.log.last().map_or(self.base, |stretch| stretch.last)
    }

    /// The newest promise: the last one written, unless there is history of a later epoch, which nobody has without
    /// following its leader.
    #[inline]
    fn promise(&self) -> (Epoch, Option<PeerId>) {
        if self.newest > self.promised { (self.newest, None) } else { (self.promised, self.candidate) }
    }

    fn contains(&self, zxid: Zxid) -> bool {
        let mut newest_first = self.log.iter().rev();
        zxid == self.base || newest_first.any(|stretch| stretch.first <= zxid && zxid <= stretch.last)
    }

    fn after(&self, zxid: Zxid) -> Vec<Stretch> {
        let cut =
            |stretch: &Stretch| Stretch { first: stretch.first.max(Zxid(zxid.0 + 1)), last: stretch.last };
        self.log.iter().filter(|stretch| stretch.last > zxid).map(cut).collect()
    }

    fn append(&mut self, zxid: Zxid) {
        self.newest = zxid.max(self.snapshot).epoch();
        match self.log.last_mut() {
            Some(stretch) if stretch.last.0 + 1 == zxid.0 => stretch.last = zxid,
            _ => self.log.push(Stretch { first: zxid, last: zxid }),
        }
    }

    #[inline]
    fn apply(&mut self, write: &Write) {
        if let Write::Append(entry) = write { self.append(entry.zxid) } else { self.apply_rare(write) }
    }

    fn apply_rare(&mut self, write: &Write) {
        match write {
            Write::Append(entry) => self.append(entry.zxid),
            Write::Promise { epoch, candidate } => {
                self.promised = *epoch;
                self.candidate = Some(*candidate);
            }
            Write::Join => self.member = true,
            Write::Truncate { to } => {
                while let Some(stretch) = self.log.last_mut()
                    && stretch.last > *to
                {
                    if stretch.first > *to {
                        self.log.pop();
                    } else {
                        stretch.last = *to;
                    }
                }
            }
            Write::Reset { base } => {
                self.base = *base;
                self.log.clear();
            }
            Write::Chunk { zxid, index, last, .. } => {
                self.unfinished = Some((*zxid, index + 1));
                if *last {
                    self.unfinished = None;
                    self.snapshot = self.snapshot.max(*zxid);
                }
            }
        }
        self.look_at_end();
    }

    /// The end of the log or the snapshot may be another.
    fn look_at_end(&mut self) {
        self.newest = self.last().max(self.snapshot).epoch();
    }
}
