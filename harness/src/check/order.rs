//! One history: who leads which epoch, what was proposed, and in which order every node executes it.

use std::collections::BTreeMap;

use vivarium_core::entry::SharedEntry;
use vivarium_core::ids::{Epoch, PeerId, Zxid};
use vivarium_sim::Violation;

use super::disks::Shadow;
use super::model::Outcome;
use super::violation;

/// The global history: what some node has executed.
#[derive(Clone, Debug, Default)]
pub struct History {
    records: Vec<Record>,
    proposed: BTreeMap<Zxid, SharedEntry>,
    leaders: BTreeMap<Epoch, (PeerId, u32)>,
    established: Epoch,
}

/// An entry that was executed.
#[derive(Clone, Debug)]
pub struct Record {
    /// The entry.
    pub entry: SharedEntry,
    /// The digest that the first node to execute it had then.
    pub digest: u64,
    /// What the model says it comes to.
    pub outcome: Outcome,
    /// Whether a client has been told.
    pub answered: bool,
    /// The newest epoch that was established when the first node executed it: it was committed no later.
    committed_in: Epoch,
}

/// Where a node is in the history: how many records it has executed, or holds in the snapshot it started from.
pub type Position = usize;

impl History {
    /// The last entry that any node has executed.
    pub fn last(&self) -> Zxid {
        self.records.last().map_or(Zxid::ZERO, |record| record.entry.zxid)
    }

    /// Whether an entry is in the history.
    pub fn contains(&self, zxid: Zxid) -> bool {
        zxid == Zxid::ZERO || self.find(zxid).is_some()
    }

    /// The record of an entry.
    pub fn record(&mut self, zxid: Zxid) -> Option<&mut Record> {
        self.find(zxid).map(|index| &mut self.records[index])
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
    pub fn leads(&mut self, node: PeerId, life: u32, epoch: Epoch) -> Result<(), Box<Violation>> {
        let leader = *self.leaders.entry(epoch).or_insert((node, life));
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

    /// A node elected to lead must hold all that earlier leaders have committed. It may be late to learn that it was
    /// elected: what later leaders have committed it need not hold, and can never contradict.
    pub fn elected(&self, node: PeerId, epoch: Epoch, log: &Shadow) -> Result<(), Box<Violation>> {
        let earlier = self.records.partition_point(|record| record.committed_in < epoch);
        let Some(last) = self.records[..earlier].last().map(|record| record.entry.zxid) else {
            return Ok(());
        };
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
    pub fn append(&mut self, node: PeerId, life: u32, entry: &SharedEntry) -> Result<bool, Box<Violation>> {
        let zxid = entry.zxid;
        if let Some(known) = self.proposed.get(&zxid) {
            if std::sync::Arc::ptr_eq(known, entry) || known == entry {
                return Ok(false);
            }
            return violation(
                "agreement",
                "a zxid names one entry, everywhere and forever",
                format!("node {node} appends {entry:?}"),
                format!("{known:?}"),
            );
        }
        self.leads(node, life, zxid.epoch())?;
        if zxid.counter() > 0 && !self.proposed.contains_key(&Zxid(zxid.0 - 1)) {
            return violation(
                "no-gaps",
                "a leader numbers its entries without gaps, from the opening of its epoch",
                format!("node {node} proposes {zxid:?}"),
                format!("{:?} to have been proposed before", Zxid(zxid.0 - 1)),
            );
        }
        self.proposed.insert(zxid, entry.clone());
        Ok(true)
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
            if record.entry.zxid != zxid {
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
        if zxid <= self.last() || position > self.records.len() {
            return violation(
                "prefix-agreement",
                "all nodes execute the same entries in the same order",
                format!("node {node} executes {zxid:?} as number {position}"),
                format!("something after {:?}, number {}", self.last(), self.records.len()),
            );
        }
        match self.proposed.get(&zxid) {
            Some(entry) => Ok(Some(entry.clone())),
            None => violation(
                "integrity",
                "what is executed has been proposed by a leader",
                format!("node {node} executes {zxid:?}"),
                "something that was proposed".into(),
            ),
        }
    }

    /// The history goes on. What is executed must be durable on a quorum.
    pub fn extend<'a>(
        &mut self,
        entry: SharedEntry,
        digest: u64,
        outcome: Outcome,
        disks: impl ExactSizeIterator<Item = &'a Shadow>,
    ) -> Result<(), Box<Violation>> {
        let zxid = entry.zxid;
        let nodes = disks.len();
        let holders = disks.filter(|disk| disk.holds(zxid)).count();
        if holders <= nodes / 2 {
            return violation(
                "durable-on-quorum",
                "what is executed, and so what a client is told, is durable on more than half of the nodes",
                format!("{zxid:?} is executed, and durable on {holders} of {nodes} nodes"),
                format!("at least {}", nodes / 2 + 1),
            );
        }
        self.records.push(Record { entry, digest, outcome, answered: false, committed_in: self.established });
        Ok(())
    }

    fn find(&self, zxid: Zxid) -> Option<usize> {
        self.records.binary_search_by_key(&zxid, |record| record.entry.zxid).ok()
    }
}
