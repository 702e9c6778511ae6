//! The tail of the log that is kept in memory: for followers that lag, and for what is not executed yet.
//!
//! Entries have strictly increasing zxids. Two logs that hold the same zxid hold the same entries up to it, because
//! only one leader ever gives out a zxid and it proposes in order; so comparing logs is comparing zxids.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::entry::SharedEntry;
use crate::ids::Zxid;

/// The log after `base`.
#[derive(Clone, Debug)]
pub struct Log {
    base: Zxid,
    /// Shared with clones until one side changes.
    entries: Arc<VecDeque<SharedEntry>>,
    /// Weight of all entries.
    bytes: usize,
    /// How many of `entries` have been handed out for execution.
    delivered: usize,
}

impl Log {
    /// A log that continues after `base`, with `entries` not yet executed.
    ///
    /// # Panics
    /// When the entries are not in order.
    pub fn new(base: Zxid, entries: Vec<SharedEntry>) -> Log {
        let mut log = Log { base, entries: Arc::default(), bytes: 0, delivered: 0 };
        for entry in entries {
            log.append(entry);
        }
        log
    }

    /// The zxid before the first entry in memory: what a follower needs to have at least.
    pub fn base(&self) -> Zxid {
        self.base
    }

    /// The zxid of the last entry.
    pub fn last(&self) -> Zxid {
        self.entries.back().map_or(self.base, |entry| entry.zxid)
    }

    /// The last entry handed out for execution.
    pub fn delivered(&self) -> Zxid {
        match self.delivered {
            0 => self.base,
            n => self.entries[n - 1].zxid,
        }
    }

    /// Whether the log is known to hold `zxid`: as an entry in memory, or as its base.
    pub fn contains(&self, zxid: Zxid) -> bool {
        zxid == self.base || self.find(zxid).is_ok()
    }

    /// The newest zxid of the log that is not after `zxid`; `None` when that lies before what is in memory.
    pub fn floor(&self, zxid: Zxid) -> Option<Zxid> {
        match self.find(zxid) {
            Ok(at) => Some(self.entries[at].zxid),
            Err(0) => (zxid >= self.base).then_some(self.base),
            Err(at) => Some(self.entries[at - 1].zxid),
        }
    }

    /// The entries after `zxid`, which the log holds.
    pub fn after(&self, zxid: Zxid) -> impl ExactSizeIterator<Item = &SharedEntry> {
        let start = match self.find(zxid) {
            Ok(at) => at + 1,
            Err(at) => at,
        };
        self.entries.range(start..)
    }

    /// How many entries have not been handed out for execution.
    pub fn undelivered(&self) -> usize {
        self.entries.len() - self.delivered
    }

    /// Adds an entry at the end.
    ///
    /// # Panics
    /// When it does not come after the last one.
    pub fn append(&mut self, entry: SharedEntry) {
        assert!(entry.zxid > self.last(), "entry {:?} does not follow {:?}", entry.zxid, self.last());
        self.bytes += entry.weight();
        Arc::make_mut(&mut self.entries).push_back(entry);
    }

    /// The next entry to execute, if it is committed.
    pub fn deliver(&mut self, committed: Zxid) -> Option<SharedEntry> {
        let entry = self.entries.get(self.delivered)?;
        if entry.zxid > committed {
            return None;
        }
        self.delivered += 1;
        Some(entry.clone())
    }

    /// Cuts all entries after `to`.
    ///
    /// # Panics
    /// When one of them has been executed: a committed entry would be lost.
    pub fn truncate(&mut self, to: Zxid) {
        assert!(
            to >= self.delivered(),
            "cutting to {to:?} would lose {:?}, which is executed",
            self.delivered()
        );
        while self.entries.back().is_some_and(|entry| entry.zxid > to) {
            let entry = Arc::make_mut(&mut self.entries).pop_back().expect("just seen");
            self.bytes -= entry.weight();
        }
    }

    /// Starts anew after a snapshot at `base`.
    pub fn reset(&mut self, base: Zxid) {
        *self = Log { base, entries: Arc::default(), bytes: 0, delivered: 0 };
    }

    /// Forgets the oldest executed entries until the log is within both bounds, but none after `keep`.
    pub fn trim(&mut self, entries_max: usize, bytes_max: usize, keep: Zxid) {
        while self.delivered > 0 && (self.entries.len() > entries_max || self.bytes > bytes_max) {
            let first = self.entries.front().expect("there is a delivered entry");
            if first.zxid > keep {
                return;
            }
            self.base = first.zxid;
            self.bytes -= first.weight();
            self.delivered -= 1;
            Arc::make_mut(&mut self.entries).pop_front();
        }
    }

    /// Number of entries and their bytes, in memory.
    pub fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }

    fn find(&self, zxid: Zxid) -> Result<usize, usize> {
        // Nearly always asked about the end of the log, or about a place within the newest epoch, where the counter
        // gives the place directly.
        if let Some(back) = self.entries.back() {
            if zxid > back.zxid {
                return Err(self.entries.len());
            }
            if zxid.epoch() == back.zxid.epoch() {
                let distance = (back.zxid.counter() - zxid.counter()) as usize;
                if distance < self.entries.len()
                    && self.entries[self.entries.len() - 1 - distance].zxid == zxid
                {
                    return Ok(self.entries.len() - 1 - distance);
                }
            }
        }
        self.entries.binary_search_by(|entry| entry.zxid.cmp(&zxid))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::entry::{Body, Entry};
    use crate::ids::{Epoch, Origin, PeerId};
    use crate::time::Timestamp;

    fn entry(epoch: u32, counter: u32) -> SharedEntry {
        let zxid = Zxid::new(Epoch(epoch), counter);
        let origin = Origin { peer: PeerId(1), stream: 0, number: 0 };
        Arc::new(Entry { zxid, time: Timestamp(0), origin, body: Body::Opening })
    }

    fn z(epoch: u32, counter: u32) -> Zxid {
        Zxid::new(Epoch(epoch), counter)
    }

    #[test]
    fn the_floor_of_a_zxid_from_an_epoch_this_log_never_saw() {
        let log = Log::new(z(1, 5), vec![entry(1, 6), entry(1, 7), entry(4, 0), entry(4, 1)]);
        assert_eq!(log.floor(z(3, 9)), Some(z(1, 7)));
        assert_eq!(log.floor(z(4, 9)), Some(z(4, 1)));
        assert_eq!(log.floor(z(1, 5)), Some(z(1, 5)));
        assert_eq!(log.floor(z(1, 4)), None);
        assert!(log.contains(z(1, 5)) && log.contains(z(4, 0)) && !log.contains(z(2, 0)));
        assert_eq!(log.after(z(1, 7)).map(|e| e.zxid).collect::<Vec<_>>(), [z(4, 0), z(4, 1)]);
    }

    #[test]
    fn trimming_stops_at_what_is_not_executed_and_at_what_is_kept() {
        let mut log = Log::new(Zxid::ZERO, (0..10).map(|i| entry(1, i)).collect());
        log.trim(0, 0, z(9, 0));
        assert_eq!(log.base(), Zxid::ZERO, "nothing is executed yet");
        while log.deliver(z(1, 6)).is_some() {}
        log.trim(0, 0, z(1, 2));
        assert_eq!(log.base(), z(1, 2));
        log.trim(0, 0, z(9, 0));
        assert_eq!((log.base(), log.delivered(), log.last()), (z(1, 6), z(1, 6), z(1, 9)));
        log.truncate(z(1, 7));
        assert_eq!(log.last(), z(1, 7));
    }

    #[test]
    #[should_panic(expected = "which is executed")]
    fn an_executed_entry_cannot_be_cut() {
        let mut log = Log::new(Zxid::ZERO, vec![entry(1, 0), entry(1, 1)]);
        while log.deliver(z(1, 1)).is_some() {}
        log.truncate(z(1, 0));
    }
}
