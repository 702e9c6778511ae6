//! Writes on their way to a disk: one sync of a lane at a time takes all that waits, ends late or fails, and is told later
//! still.

use vivarium_core::ids::WriteSeq;
use vivarium_core::io::Lane;

use super::{Checked, World};
use crate::NodeIndex;
use crate::choice::What;
use crate::decision::Kind;
use crate::observe::{Observation, Observer};
use crate::queue::Event;
use crate::schedule::Sabotage;

impl<O: Observer> World<O> {
    /// Begins to sync a lane when it is idle and there is something to sync.
    pub(super) fn sync(&mut self, node: NodeIndex, lane: Lane) {
        let slot = &mut self.slots[node];
        let Some(upto) = slot.disk.begin_sync(lane) else { return };
        let (mut draw, nth) = self.memory.decisions.draw_nth(Kind::Sync, node * 2 + lane as usize, self.now);
        let odds = &self.schedule.disk;
        let takes = odds.sync_min + draw.skewed(odds.sync_mean) + slot.sync_extra;
        let life = slot.life;
        let extra = match &self.listed {
            Some(listed) => listed.sync_extra(node, lane, self.now, nth),
            None if self.healing.is_none() && draw.permille(odds.slow_permille) => {
                draw.skewed(odds.slow_mean)
            }
            None => 0,
        };
        if extra > 0 {
            self.record(|| What::Sync { node, lane, nth, extra });
        }
        let takes = takes + extra;
        self.memory.queue.push(self.now + takes, Event::Durable { node, life, lane, upto });
        if self.schedule.sabotage == Some(Sabotage::EarlySync) {
            self.memory.queue.push(self.now, Event::Synced { node, life, lane, upto });
        }
    }

    /// A sync has ended, at the disk: the process is told a little later.
    pub(super) fn durable(&mut self, node: NodeIndex, life: u32, lane: Lane, upto: WriteSeq) -> Checked {
        let slot = &mut self.slots[node];
        if slot.life != life || slot.node.is_none() {
            return Ok(());
        }
        if let Some(down) = slot.sync_fails.or((slot.full_until > self.now).then_some(crate::MS)) {
            // What is on the disk is not known now: the process ends, and whoever starts next reads what is there.
            return self.crash(node, false, down);
        }
        let (observer, now) = (&mut self.observer, self.now);
        slot.disk.end_sync(lane, |write| observer.observe(now, &Observation::Durable { node, write }))?;
        let mut draw = self.memory.decisions.draw(Kind::Sync, 32 + node * 2 + lane as usize, self.now);
        let told = &mut self.slots[node].told[lane as usize];
        *told = (*told).max(self.now + draw.skewed(self.schedule.disk.told_mean));
        self.memory.queue.push(*told, Event::Synced { node, life, lane, upto });
        self.sync(node, lane);
        Ok(())
    }
}
