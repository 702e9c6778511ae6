//! One history: who leads which epoch, what was proposed, and in which order every node executes it.
//!
//! An epoch's entries are numbered without gaps from its opening, in proposals and in what is executed, so that every
//! zxid has its place and nothing has to be searched.

use std::sync::Arc;

use vivarium_core::entry::{Body, SharedEntry};
use vivarium_core::ids::{ConnId, Epoch, Origin, PeerId, Zxid};
use vivarium_sim::Violation;

use super::disks::{Disk, Shadow};
use super::model::{Model, Told};
use super::table::Table;
use super::violation;

/// The global history: what some node has executed.
#[derive(Clone, Debug, Default)]
pub struct History {
    records: Table<Record>,
    /// Ascending.
    reigns: Vec<Reign>,
    established: Epoch,
    /// The newest zxid that a leader has said to be committed.
    claimed: Zxid,
    /// The streams that commands come in, and the number of the last one executed.
    streams: Vec<(PeerId, u64, u64)>,
}

/// An epoch.
#[derive(Clone, Debug)]
struct Reign {
    epoch: Epoch,
    leader: Option<(PeerId, u32)>,
    /// What was proposed in it, by counter.
    proposed: Table<SharedEntry>,
    /// The place of its opening in the history, and how many of its entries have been executed.
    start: Position,
    executed: usize,
}

/// An entry that was executed.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its zxid.
    zxid: Zxid,
    /// The entry.
    pub entry: SharedEntry,
    /// The digest that the first node to execute it had then.
    pub digest: u64,
    /// What the model says it comes to.
    pub told: Told,
    /// The request that it is, if it is a client's.
    pub asked: Option<Asked>,
    /// Whether a client has been told.
    pub answered: bool,
    /// The newest epoch that was established when the first node executed it: it was committed no later.
    committed_in: Epoch,
}

/// A write of a client: the connection, and which of the writes sent over it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// The connection.
    pub conn: ConnId,
    /// Counts its writes.
    pub number: u32,
}

/// Where a node is in the history: how many records it has executed, or holds in the snapshot it started from.
pub type Position = usize;

type Checked = Result<(), Box<Violation>>;

impl History {
    /// Forgets all of it.
    pub fn clear(&mut self) {
        self.records.clear();
        self.reigns.clear();
        self.streams.clear();
        self.established = Epoch::default();
        self.claimed = Zxid::ZERO;
    }

    /// The last entry that any node has executed.
    pub fn last(&self) -> Zxid {
        self.records.last().map_or(Zxid::ZERO, |record| record.zxid)
    }

    /// Whether an entry is in the history.
    pub fn contains(&self, zxid: Zxid) -> bool {
        zxid == Zxid::ZERO || self.find(zxid).is_some()
    }

    /// The record that a node at this position has executed last.
    pub fn executed_at(&self, position: Position) -> Option<&Record> {
        self.records.get(position.checked_sub(1)?)
    }

    /// A client is told of the entry that a node at this position has executed last; whether one was before.
    pub fn answer(&mut self, position: Position) -> bool {
        std::mem::replace(&mut self.records[position - 1].answered, true)
    }

    /// The digest after the last entry.
    pub fn digest(&self) -> Option<u64> {
        self.records.last().map(|record| record.digest)
    }

    /// Where a node is that has the state at a zxid.
    pub fn position(&self, zxid: Zxid) -> Option<Position> {
        if zxid == Zxid::ZERO { Some(0) } else { self.find(zxid).map(|index| index + 1) }
    }

    /// A node says that it leads an epoch, in the given run of its process.
    pub fn leads(&mut self, node: PeerId, life: u32, epoch: Epoch) -> Checked {
        let leader = *self.reign_mut(epoch).leader.get_or_insert((node, life));
        if leader == (node, life) {
            return Ok(());
        }
        violation(
            "one-leader",
            "an epoch has one leader, and one run of its process",
            format!("node {node} leads epoch {epoch}, in its run {life}"),
            format!("nobody but node {} in its run {}", leader.0, leader.1),
        )
    }

    /// A leader is established.
    pub fn established(&mut self, epoch: Epoch) {
        self.established = self.established.max(epoch);
    }

    /// A node that is elected, or opens an epoch, must hold all that earlier leaders have committed. It may be late to
    /// learn that it was elected: what later leaders have committed it need not hold, and can never contradict.
    pub fn complete(&self, node: PeerId, epoch: Epoch, log: &Shadow) -> Checked {
        let mut earlier = self.records.iter().rev().skip_while(|record| record.committed_in >= epoch);
        let Some(last) = earlier.next().map(|record| record.zxid) else { return Ok(()) };
        if log.holds(last) {
            return Ok(());
        }
        violation(
            "leader-completeness",
            "whoever is elected holds all that is committed",
            format!("node {node} leads epoch {epoch} with a log that ends at {:?}", log.last()),
            format!("a log with {last:?}, which some node has executed"),
        )
    }

    /// A node appends an entry to its log: the leader of its epoch proposes it, or a follower takes it. Whether it
    /// was seen for the first time.
    #[inline]
    pub fn append(&mut self, node: PeerId, life: u32, entry: &SharedEntry) -> Result<bool, Box<Violation>> {
        // What followers take is the very entry that their leader has proposed.
        if let Some(reign) = self.reigns.last()
            && let Some(known) = reign.proposed.get(entry.zxid.counter() as usize)
            && Arc::ptr_eq(known, entry)
        {
            return Ok(false);
        }
        self.append_other(node, life, entry)
    }

    fn append_other(&mut self, node: PeerId, life: u32, entry: &SharedEntry) -> Result<bool, Box<Violation>> {
        if self.known(node, "appends", entry)? {
            return Ok(false);
        }
        let zxid = entry.zxid;
        self.leads(node, life, zxid.epoch())?;
        let reign = self.reign_mut(zxid.epoch());
        if reign.proposed.len() != zxid.counter() as usize {
            let next = Zxid::new(zxid.epoch(), reign.proposed.len() as u32);
            return violation(
                "no-gaps",
                "a leader numbers its entries without gaps, from the opening of its epoch",
                format!("node {node} proposes {zxid:?}"),
                format!("{next:?}"),
            );
        }
        reign.proposed.push(entry.clone());
        Ok(true)
    }

    /// A node has this entry, from wherever. Whether it was proposed as such.
    pub fn known(&self, node: PeerId, does: &str, entry: &SharedEntry) -> Result<bool, Box<Violation>> {
        match self.proposal(entry.zxid) {
            None => Ok(false),
            Some(known) if Arc::ptr_eq(known, entry) || known == entry => Ok(true),
            Some(known) => violation(
                "agreement",
                "a zxid names one entry, everywhere and forever",
                format!("node {node} {does} {entry:?}"),
                format!("{known:?}"),
            ),
        }
    }

    /// A node at this position executes an entry. When it is the first to do so, gives the entry: the history is to be
    /// extended by it, with [`History::extend`].
    pub fn executes(
        &self,
        node: PeerId,
        position: Position,
        zxid: Zxid,
        digest: u64,
    ) -> Result<Option<SharedEntry>, Box<Violation>> {
        if let Some(record) = self.records.get(position) {
            if record.zxid != zxid {
                return violation(
                    "prefix-agreement",
                    "all nodes execute the same entries in the same order",
                    format!("node {node} executes {zxid:?} as number {position}"),
                    format!("{:?}, which another node has executed there", record.entry.zxid),
                );
            }
            if record.digest != digest {
                return violation(
                    "same-state",
                    "nodes that have executed the same entries have the same state",
                    format!("node {node} has digest {digest:016x} at {zxid:?}, after {:?}", record.entry),
                    format!("{:016x}, as another node has", record.digest),
                );
            }
            return Ok(None);
        }
        let last = self.last();
        let follows = zxid.counter() == 0 || zxid.0 == last.0 + 1;
        if zxid <= last || position > self.records.len() || !follows {
            return violation(
                "prefix-agreement",
                "all nodes execute the same entries in the same order, and none is left out",
                format!("node {node} executes {zxid:?} as number {position}"),
                format!("what follows {last:?}, number {}", self.records.len()),
            );
        }
        match self.proposal(zxid) {
            Some(entry) if (zxid.counter() == 0) == (entry.body == Body::Opening) => Ok(Some(entry.clone())),
            other => violation(
                "integrity",
                "what is executed has been proposed by a leader, and an epoch begins with its opening",
                format!("node {node} executes {zxid:?}, {other:?}"),
                "something that was proposed".into(),
            ),
        }
    }

    /// The history goes on. What is executed must be durable on a quorum, and its command is executed once.
    /// `told` is what the model, which has just executed it, says that it comes to.
    pub fn extend<'a>(
        &mut self,
        entry: SharedEntry,
        digest: u64,
        told: Told,
        asked: Option<Asked>,
        model: &Model,
        disks: impl ExactSizeIterator<Item = &'a Disk>,
    ) -> Checked {
        let zxid = entry.zxid;
        self.durable(zxid, "executed", disks)?;
        self.once(&entry)?;
        if let Some(before) = self.records.last()
            && (before.digest != digest) != model.changed()
        {
            return violation(
                "changes-as-told",
                "a write that fails changes nothing, and one that succeeds does",
                format!("digest {:016x} before and {digest:016x} after {entry:?}", before.digest),
                format!(
                    "{} digest: it comes to {:?}",
                    if model.changed() { "another" } else { "the same" },
                    model.outcome(&told)
                ),
            );
        }
        let index = self.records.len();
        let reign = self.reign_mut(zxid.epoch());
        if zxid.counter() == 0 {
            reign.start = index;
        }
        reign.executed = zxid.counter() as usize + 1;
        let committed_in = self.established;
        self.records.push(Record { zxid, entry, digest, told, asked, answered: false, committed_in });
        Ok(())
    }

    /// A leader says that all up to here is committed.
    #[inline]
    pub fn claims<'a>(&mut self, committed: Zxid, disks: impl ExactSizeIterator<Item = &'a Disk>) -> Checked {
        if committed <= self.claimed {
            return Ok(());
        }
        self.durable(committed, "said to be committed", disks)?;
        self.claimed = committed;
        Ok(())
    }

    fn durable<'a>(&self, zxid: Zxid, what: &str, disks: impl ExactSizeIterator<Item = &'a Disk>) -> Checked {
        let nodes = disks.len();
        let holders = disks.filter(|disk| disk.counts_for(zxid)).count();
        if holders > nodes / 2 {
            return Ok(());
        }
        violation(
            "durable-on-quorum",
            "what is executed, and so what a client is told, is durable on more than half of the nodes",
            format!("{zxid:?} is {what}, and durable on {holders} of {nodes} nodes"),
            format!("at least {}", nodes / 2 + 1),
        )
    }

    /// Commands of a stream are executed in their order, each once.
    fn once(&mut self, entry: &SharedEntry) -> Checked {
        let Body::Command(_) = entry.body else { return Ok(()) };
        let Origin { peer, stream, number } = entry.origin;
        let mut newest_first = self.streams.iter_mut().rev();
        match newest_first.find(|known| (known.0, known.1) == (peer, stream)) {
            Some((.., last)) if *last < number => *last = number,
            None => self.streams.push((peer, stream, number)),
            Some((.., last)) => {
                return violation(
                    "exactly-once",
                    "what clients ask for is executed in their order, and at most once",
                    format!("{entry:?}, command {number} of its stream"),
                    format!("a command after {last}"),
                );
            }
        }
        Ok(())
    }

    fn proposal(&self, zxid: Zxid) -> Option<&SharedEntry> {
        self.reign(zxid.epoch())?.proposed.get(zxid.counter() as usize)
    }

    fn find(&self, zxid: Zxid) -> Option<Position> {
        let reign = self.reign(zxid.epoch())?;
        let counter = zxid.counter() as usize;
        (counter < reign.executed).then_some(reign.start + counter)
    }

    fn reign(&self, epoch: Epoch) -> Option<&Reign> {
        self.reigns.iter().rev().find(|reign| reign.epoch == epoch)
    }

    fn reign_mut(&mut self, epoch: Epoch) -> &mut Reign {
        let place = self.reigns.iter().rposition(|reign| reign.epoch <= epoch);
        let index = match place {
            Some(index) if self.reigns[index].epoch == epoch => index,
            _ => {
                let index = place.map_or(0, |before| before + 1);
                let proposed = Table::default();
                self.reigns.insert(index, Reign { epoch, leader: None, proposed, start: 0, executed: 0 });
                index
            }
        };
        &mut self.reigns[index]
    }
}
