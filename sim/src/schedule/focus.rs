//! What one in a few schedules is all about.
//!
//! Some things go wrong only where several rare things meet: a message of one kind that is a second late, and a follower
//! that has left and returned meanwhile; a leader that stood still, and a client that asked it to `sync` just then.
//! Schedules that do a bit of everything come there once in a hundred thousand. So one in a few gives up most of what was
//! drawn for it for the sake of one such meeting (Groce et al., "Swarm testing", ISSTA 2012). The others stay as they are.

use vivarium_core::time::Duration;

use super::draw::draw_clock;
use super::*;
use crate::NodeIndex;
use crate::choice::MessageKind;
use crate::client::workload::{self, OPS};
use crate::decision::Draw;

impl Schedule {
    /// Makes something of one kind out of one schedule in a few.
    pub(super) fn focus(&mut self, draw: &mut Draw) {
        if draw.one_in(8) {
            match draw.below(6) {
                0 => self.on_strays(draw),
                1 => self.on_old_snapshots(draw),
                2 | 3 => self.on_deposed_leaders(draw),
                4 => self.on_transfers(draw),
                _ => self.on_rivals(draw),
            }
        }
        if draw.one_in(8) {
            self.without_a_minority(draw);
        }
        self.faults.sort_by_key(|fault| fault.at);
    }

    /// Messages of one or two kinds come again when their time has long passed, while followers leave and return.
    fn on_strays(&mut self, draw: &mut Draw) {
        const KINDS: [&str; 12] = [
            "NewEpoch",
            "Refused",
            "Vow",
            "Heartbeat",
            "Position",
            "Truncate",
            "Propose",
            "Commit",
            "SnapshotChunk",
            "SnapshotReceived",
            "Forward",
            "HandOver",
        ];
        self.astray(&[KINDS[draw.below(12) as usize], KINDS[draw.below(12) as usize]], draw);
        self.network.stray_max = *draw.pick(&[50, 500, 2000, 2000]) * MS;
        if draw.one_in(2) {
            self.tiny_window(draw);
            // A state that fits into one piece or two, of which a late one does something by itself.
            self.limits.snapshot_chunk_bytes = 8192;
        }
        self.spare_faults(draw);
        for at in self.times(draw, 3, 9) {
            let target = self.some_target(draw);
            let kind = match draw.below(6) {
                0 => FaultKind::Crash { target, power: draw.one_in(2), down: draw.between(1, 20) * MS },
                1 => FaultKind::Pause { target, length: self.silences(draw, 1, 6) },
                _ => FaultKind::Disconnect { target },
            };
            self.faults.push(Fault { at, kind });
        }
    }

    /// A leader that is told late where a follower stood long ago offers its state; and copies of that come when the follower,
    /// which has more by then, has started again and is not known to be in sync yet, because it is heard late.
    fn on_old_snapshots(&mut self, draw: &mut Draw) {
        self.limits.log_window_entries_max = draw.between(2, 12) as usize;
        self.limits.log_window_bytes_max = 1 << 20;
        self.limits.snapshot_chunk_bytes = 1 << 16;
        self.limits.snapshot_entries = 2000;
        self.limits.snapshot_bytes = 1 << 24;
        self.network.ordered = false;
        self.network.loss_permille = *draw.pick(&[0, 30, 100]);
        self.network.duplicate_permille = *draw.pick(&[0, 20, 200]);
        self.astray(&["Position", "SnapshotChunk"], draw);
        self.network.stray_permille = 300;
        self.network.stray_max = *draw.pick(&[50, 200, 1000]) * MS;
        self.spare_faults(draw);
        let follower = draw.below(self.nodes as u64) as NodeIndex;
        let extra = self.silences(draw, 0, 2);
        for other in (0..self.nodes).filter(|other| *other != follower) {
            let kind = FaultKind::SlowLink { link: Link(follower, other), extra, length: self.chaos };
            self.faults.push(Fault { at: 200 * MS, kind });
        }
        for at in self.times(draw, 6, 16) {
            let target = Target::Node(follower);
            let down = draw.between(1, 10) * MS;
            let kind = match draw.below(4) {
                0 => FaultKind::Disconnect { target },
                _ => FaultKind::Crash { target, power: draw.one_in(2), down },
            };
            self.faults.push(Fault { at, kind });
        }
    }

    /// Leaders stand still just when their connections break, so that others take over at once; and hear of that last, after
    /// all that their clients have asked meanwhile.
    fn on_deposed_leaders(&mut self, draw: &mut Draw) {
        self.spare_faults(draw);
        let heartbeat = draw.between(30, 60);
        let tick = 5 * heartbeat;
        self.limits.heartbeat = Duration::millis(heartbeat);
        self.limits.silence = Duration::millis(9 * heartbeat);
        self.limits.sync = Duration::millis(30 * heartbeat);
        self.limits.election = Duration::millis(draw.between(10, 20));
        self.limits.tick = Duration::millis(tick);
        self.limits.session_timeout_min_ms = (2 * tick) as i32;
        self.limits.session_timeout_max_ms = (20 * tick) as i32;
        // What it finds when it runs on is much, and part of the chaos still.
        let latest = self.chaos.saturating_sub(2 * self.limits.silence.0).max(300 * MS);
        for at in self.times(draw, 2, 6) {
            let at = at.min(latest);
            let mut order: Vec<u8> = (0..=self.nodes as u8).collect();
            for place in (1..order.len()).rev() {
                order.swap(place, draw.below(place as u64 + 1) as usize);
            }
            order.truncate(1 + draw.below(order.len() as u64) as usize);
            let (target, length) = (Target::Leader, self.silences(draw, 2, 5));
            self.faults.push(Fault { at, kind: FaultKind::Stall { target, length, order } });
            for nth in 1..2 * self.nodes as u64 {
                // To any one of the others: most of them hear of it.
                let at = (at + nth * MS).min(self.chaos);
                self.faults.push(Fault { at, kind: FaultKind::Disconnect { target } });
            }
        }
        let silence = self.limits.silence.0;
        for _ in self.clients.len()..5 {
            self.clients.push(self.clients[0].clone());
        }
        for client in &mut self.clients {
            client.dies = None;
            client.timeout_ms = self.limits.session_timeout_max_ms / 2;
            client.pipeline = 20;
            client.think = draw.between(silence / 32, silence / 8);
            client.mix = [0; OPS];
            client.mix[workload::SYNC] = 10;
            client.mix[workload::CREATE] = draw.between(1, 10) as u32;
            client.mix[workload::GET_DATA] = 5;
        }
    }

    /// Followers that fall behind over and over, and get the state in many small pieces over links that do not keep order.
    fn on_transfers(&mut self, draw: &mut Draw) {
        self.tiny_window(draw);
        self.limits.snapshot_chunk_bytes = draw.between(32, 128) as usize;
        self.limits.snapshot_chunks_in_flight_max = draw.between(2, 8) as usize;
        self.network.ordered = false;
        self.network.loss_permille = *draw.pick(&[0, 0, 10]);
        self.network.duplicate_permille = *draw.pick(&[0, 20, 200]);
        if draw.one_in(2) {
            self.astray(&["SnapshotChunk", "SnapshotReceived"], draw);
            self.network.stray_max = *draw.pick(&[5, 50, 500]) * MS;
        }
        self.spare_faults(draw);
        for at in self.times(draw, 2, 6) {
            let target = Target::Node(draw.below(self.nodes as u64) as NodeIndex);
            let length = self.silences(draw, 2, 8);
            let kind = match draw.below(3) {
                0 => FaultKind::Crash { target, power: false, down: length },
                1 => FaultKind::Pause { target, length },
                _ => FaultKind::Isolate { target, both: true, length },
            };
            self.faults.push(Fault { at, kind });
        }
    }

    /// Five servers that lose their leader again and again, all at once, so that several of them ask for the same epoch;
    /// what they ask comes again when one of them has won.
    fn on_rivals(&mut self, draw: &mut Draw) {
        while self.nodes < 5 {
            self.clocks.push(draw_clock(draw));
            self.nodes += 1;
        }
        self.limits.election = Duration::millis(draw.between(4, 20));
        self.network.latency_mean = draw.between(500, 3000) * US;
        self.network.ordered = draw.one_in(3);
        self.astray(&["NewEpoch", if draw.one_in(2) { "Heartbeat" } else { "Vow" }], draw);
        self.network.stray_max = *draw.pick(&[10, 50, 200, 1000]) * MS;
        self.spare_faults(draw);
        for at in self.times(draw, 4, 12) {
            let target = Target::Leader;
            let kind = match draw.below(3) {
                0 => FaultKind::Crash { target, power: false, down: draw.between(1, 20) * MS },
                1 => FaultKind::Isolate { target, both: draw.one_in(2), length: self.silences(draw, 4, 12) },
                _ => FaultKind::Pause { target, length: self.silences(draw, 4, 12) },
            };
            self.faults.push(Fault { at, kind });
        }
    }

    /// When the faults end, fewer than half of the servers stay away for a while.
    fn without_a_minority(&mut self, draw: &mut Draw) {
        let most = (self.nodes as u64 - 1) / 2;
        if most == 0 {
            return;
        }
        let count = draw.between(1, most) as u32;
        let mut nodes: u8 = 0;
        while nodes.count_ones() < count {
            nodes |= 1 << draw.below(self.nodes as u64);
        }
        self.faults.push(Fault { at: self.chaos, kind: FaultKind::HoldBack { nodes } });
        if draw.one_in(2) {
            // Whoever waited for that would wait too long.
            self.limits.sync = Duration(self.limits.sync.0 * 6);
        }
    }

    /// Lets messages of these kinds stray.
    fn astray(&mut self, kinds: &[&str], draw: &mut Draw) {
        for kind in kinds {
            let kind = MessageKind::named(kind).expect("a kind of this name");
            self.network.stray_kinds |= 1 << kind.0;
        }
        self.network.stray_permille = *draw.pick(&[30, 100, 300]);
    }

    /// Keeps a few of the faults that were drawn, or none.
    fn spare_faults(&mut self, draw: &mut Draw) {
        let every = draw.between(2, 4);
        let none = draw.one_in(2);
        self.faults.retain(|_| !none && draw.one_in(every));
    }

    /// A leader that forgets soon what it has sent.
    fn tiny_window(&mut self, draw: &mut Draw) {
        self.limits.log_window_entries_max = draw.between(1, 6) as usize;
        self.limits.log_window_bytes_max = draw.between(64, 1024) as usize;
    }

    /// So many moments at least and at most.
    fn times(&self, draw: &mut Draw, least: u64, most: u64) -> Vec<Time> {
        (0..draw.between(least, most)).map(|_| draw.between(200 * MS, self.chaos)).collect()
    }

    /// So many quarters of the time of silence at least and at most.
    fn silences(&self, draw: &mut Draw, least: u64, most: u64) -> Time {
        self.limits.silence.0 / 4 * draw.between(least, most)
    }

    fn some_target(&self, draw: &mut Draw) -> Target {
        match draw.below(3) {
            0 => Target::Leader,
            _ => Target::Node(draw.below(self.nodes as u64) as NodeIndex),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_focus_is_drawn_and_most_schedules_have_none() {
        let all: Vec<_> = (0..1000).map(Schedule::draw).collect();
        let count = |is: &dyn Fn(&FaultKind) -> bool| {
            all.iter().filter(|schedule| schedule.faults.iter().any(|fault| is(&fault.kind))).count()
        };
        let held = count(&|kind| matches!(kind, FaultKind::HoldBack { .. }));
        let stalled = count(&|kind| matches!(kind, FaultKind::Stall { .. }));
        let strays = all.iter().filter(|schedule| schedule.network.stray_permille > 0).count();
        assert!((60..160).contains(&held), "{held}");
        assert!((10..70).contains(&stalled), "{stalled}");
        assert!((30..150).contains(&strays), "{strays}");
    }

    #[test]
    fn only_a_minority_is_held_back() {
        for schedule in (0..1000).map(Schedule::draw) {
            for fault in &schedule.faults {
                if let FaultKind::HoldBack { nodes } = fault.kind {
                    assert!((nodes.count_ones() as usize) < schedule.nodes.div_ceil(2));
                    assert!(usize::from(nodes) < 1 << schedule.nodes);
                }
            }
        }
    }
}
