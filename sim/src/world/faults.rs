//! Breaking things: crashes, pauses, partitions, slow disks, jumping clocks, and processes that start again.

use vivarium_core::Node;
use vivarium_core::io::{Boot, Input, Output};

use super::{Checked, World, peer_id};
use crate::client::workload::USERS;
use crate::decision::{Kind, mix};
use crate::network::link_bit;
use crate::observe::{Observation, Observer, Violation};
use crate::queue::{Event, Mend, ServerPacket};
use crate::schedule::{Blow, FaultKind, Link, Moment, Target};
use crate::{MS, NodeIndex, Time, US};

/// A process that has stood still reads what each sender has sent so much later than what the one before it has.
const READS_APART: Time = US;

impl<O: Observer> World<O> {
    pub(super) fn fault(&mut self, index: usize) -> Checked {
        let schedule = self.schedule.clone();
        let kind = &schedule.faults[index].kind;
        match *kind {
            FaultKind::Crash { target, power, down } => {
                let node = self.aim(kind, target)?;
                self.crash(node, power, down)
            }
            FaultKind::CrashInStep { target, down } => {
                let node = self.aim(kind, target)?;
                self.slots[node].crash_in_step = Some(down);
                Ok(())
            }
            FaultKind::Ambush { moment, blow, down } => {
                self.observe(&Observation::Fault { kind, node: None })?;
                self.ambushes.push((moment, blow, down));
                Ok(())
            }
            FaultKind::CrashAll { down } => {
                self.observe(&Observation::Fault { kind, node: None })?;
                (0..self.slots.len()).try_for_each(|node| self.crash(node, true, down))
            }
            FaultKind::Pause { target, length } => {
                let node = self.aim(kind, target)?;
                self.pause(node, length);
                Ok(())
            }
            FaultKind::Stall { target, length, ref order } => {
                let node = self.aim(kind, target)?;
                self.stall(node, length, order);
                Ok(())
            }
            FaultKind::HoldBack { nodes } => {
                self.observe(&Observation::Fault { kind, node: None })?;
                self.held_back |= nodes;
                Ok(())
            }
            FaultKind::Partition { side, both, length } => {
                self.observe(&Observation::Fault { kind, node: None })?;
                let links = self.between(side, both);
                self.cut_links(links, length);
                Ok(())
            }
            FaultKind::Isolate { target, both, length } => {
                let node = self.aim(kind, target)?;
                self.cut(|from, to| to == node || (both && from == node), length);
                Ok(())
            }
            FaultKind::CutLinks { ref links, length } => {
                self.observe(&Observation::Fault { kind, node: None })?;
                self.cut(|from, to| links.contains(&Link(from, to)), length);
                Ok(())
            }
            FaultKind::Flap { side, both, length, times } => {
                self.observe(&Observation::Fault { kind, node: None })?;
                let links = self.between(side, both);
                self.flap(links, length, times);
                Ok(())
            }
            FaultKind::Stagger { apart, ref back, length } => {
                self.observe(&Observation::Fault { kind, node: None })?;
                self.stagger(apart, back, length);
                Ok(())
            }
            FaultKind::SlowLink { link: Link(from, to), extra, length } => {
                self.observe(&Observation::Fault { kind, node: None })?;
                self.network.slow(from, to, extra);
                let until = self.until(length);
                self.memory.queue.push(until, Event::Mend { what: Mend::SlowLink { from, to } });
                Ok(())
            }
            FaultKind::CrashTogether { nodes, power, down } => {
                self.observe(&Observation::Fault { kind, node: None })?;
                (0..self.slots.len())
                    .filter(|node| nodes >> node & 1 == 1)
                    .try_for_each(|node| self.crash(node, power, down))
            }
            FaultKind::MonoJump { target, by } => {
                let node = self.aim(kind, target)?;
                self.leap(node, by);
                Ok(())
            }
            FaultKind::WallJump { target, by_ms } => {
                let node = self.aim(kind, target)?;
                self.slots[node].clock.wall_ms += by_ms;
                Ok(())
            }
            FaultKind::SlowDisk { target, extra, length } => {
                let node = self.aim(kind, target)?;
                self.slots[node].sync_extra = extra;
                self.memory.queue.push(self.until(length), Event::Mend { what: Mend::SlowDisk { node } });
                Ok(())
            }
            FaultKind::Wipe { target, down } => {
                let node = self.aim(kind, target)?;
                self.crash(node, true, down)?;
                if self.can_spare(node) { self.wipe(node) } else { Ok(()) }
            }
            FaultKind::Rot { target, rot, down } => {
                let node = self.aim(kind, target)?;
                self.crash(node, true, down)?;
                let mut draw = self.memory.decisions.draw(Kind::Crash, 16 + node, self.now);
                if self.can_spare(node) && self.slots[node].disk.rot(rot, &mut draw) {
                    return self.observe(&Observation::Rotten { node });
                }
                Ok(())
            }
            FaultKind::SyncFails { target, down } => {
                let node = self.aim(kind, target)?;
                self.slots[node].sync_fails = Some(down);
                Ok(())
            }
            FaultKind::FullDisk { target, length } => {
                let node = self.aim(kind, target)?;
                self.slots[node].full_until = self.until(length);
                Ok(())
            }
            FaultKind::CrashInBoot { target, times, down } => {
                let node = self.aim(kind, target)?;
                self.crash(node, false, down)?;
                self.slots[node].boots_in_part = times;
                Ok(())
            }
            FaultKind::Retire { target, down } => {
                let node = self.aim(kind, target)?;
                if self.slots[node].node.is_none() {
                    return Ok(());
                }
                self.slots[node].retiring = Some(down);
                self.step(node, Input::Retire)
            }
            FaultKind::Disconnect { target } => {
                let node = self.aim(kind, target)?;
                let other =
                    self.memory.decisions.draw(Kind::Fault, 1, self.now).below(self.slots.len() as u64)
                        as usize;
                if other != node {
                    self.memory.queue.push(self.now, Event::PeerGone { node, peer: other });
                    self.memory.queue.push(self.now + MS, Event::PeerGone { node: other, peer: node });
                }
                Ok(())
            }
        }
    }

    /// Whether a step with these outputs is one that an ambush waits for: what befalls the process, and for how long.
    pub(super) fn spring(&mut self, outputs: &[Output]) -> Option<(Blow, Time)> {
        let waits = |(moment, _, _): &(Moment, Blow, Time)| outputs.iter().any(|output| moment.is(output));
        let place = self.ambushes.iter().position(waits)?;
        let (_, blow, down) = self.ambushes.remove(place);
        Some((blow, down))
    }

    /// Whom a fault hits; the observers are told.
    fn aim(&mut self, kind: &FaultKind, target: Target) -> Result<NodeIndex, Box<Violation>> {
        let wanted = match target {
            Target::Node(node) => Some(node),
            Target::Leader => self.slots.iter().position(|slot| slot.leading),
            Target::Writer => self.slots.iter().position(|slot| slot.node.is_some() && slot.disk.is_busy()),
        };
        let node = match wanted {
            Some(node) => node,
            None => {
                self.memory.decisions.draw(Kind::Fault, 0, self.now).below(self.slots.len() as u64) as usize
            }
        };
        self.observe(&Observation::Fault { kind, node: Some(node) })?;
        Ok(node)
    }

    /// When a fault of this length ends: never later than all faults do.
    fn until(&self, length: Time) -> Time {
        (self.now + length).min(self.schedule.chaos.max(self.now))
    }

    pub(super) fn pause(&mut self, node: NodeIndex, length: Time) {
        self.stall(node, length, &[]);
    }

    /// A process stands still, and then hears these senders later than others, one after the other.
    fn stall(&mut self, node: NodeIndex, length: Time, order: &[u8]) {
        let until = self.until(length);
        let slot = &mut self.slots[node];
        // What waits for a paused process waits in order, so a pause is not made longer.
        if slot.node.is_none() || slot.paused_until > self.now {
            return;
        }
        slot.paused_until = until;
        slot.reads_later.fill(0);
        for (place, sender) in (1..).zip(order) {
            if let Some(later) = slot.reads_later.get_mut(usize::from(*sender)) {
                *later = place * READS_APART;
            }
        }
        if slot.wake_at != Time::MAX {
            slot.wake_at = slot.wake_at.max(until);
        }
        self.memory.queue.push(until, Event::Mend { what: Mend::Pause { node } });
    }

    pub(super) fn cut(&mut self, is_cut: impl Fn(usize, usize) -> bool, length: Time) {
        let mut links = 0;
        for from in 0..self.slots.len() {
            for to in 0..self.slots.len() {
                if from != to && is_cut(from, to) {
                    links |= link_bit(from, to);
                }
            }
        }
        self.cut_links(links, length);
    }

    fn cut_links(&mut self, links: u64, length: Time) {
        let until = self.until(length);
        self.network.cut(links, until);
        self.memory.queue.push(until, Event::Mend { what: Mend::Cut { links } });
    }

    /// The links between a side and the others: from those who are not of it, or `both` ways.
    pub(super) fn between(&self, side: u8, both: bool) -> u64 {
        let mut links = 0;
        for from in 0..self.slots.len() {
            for to in 0..self.slots.len() {
                let (from_side, to_side) = (side >> from & 1, side >> to & 1);
                if from_side != to_side && (both || from_side == 0) {
                    links |= link_bit(from, to);
                }
            }
        }
        links
    }

    /// Cuts links for a while, and again after as long a while, as often as is left.
    pub(super) fn flap(&mut self, links: u64, length: Time, times: u32) {
        if times == 0 || self.healing.is_some() {
            return;
        }
        self.cut_links(links, length);
        let next = self.now + 2 * length;
        if next < self.schedule.chaos {
            self.memory
                .queue
                .push(next, Event::Mend { what: Mend::Flap { links, length, times: times - 1 } });
        }
    }

    /// Cuts all servers off one by one, and lets them come back one by one in another order.
    fn stagger(&mut self, apart: Time, back: &[u8], length: Time) {
        for node in 0..self.slots.len() {
            let place = back.iter().position(|name| usize::from(*name) == node + 1).unwrap_or(0);
            let from = self.until(apart * node as u64);
            let until = self.until(apart * (self.slots.len() + place) as u64 + length);
            self.memory.queue.push(from, Event::Mend { what: Mend::Stagger { node, until } });
        }
    }

    /// A node's monotonic clock leaps ahead: what it waits for comes sooner.
    fn leap(&mut self, node: NodeIndex, by: Time) {
        let slot = &mut self.slots[node];
        slot.clock.offset += by;
        if slot.wake_at != Time::MAX {
            slot.wake_at = slot.wake_at.saturating_sub(by).max(self.now + 1).max(slot.paused_until);
        }
    }

    /// Whether the disk of a node may be lost: what the ensemble has promised to survive. The others that are members'
    /// and whole are a quorum; or there is no cluster yet.
    fn can_spare(&self, node: NodeIndex) -> bool {
        let dependable = |other: &NodeIndex| *other != node && self.slots[*other].disk.is_dependable();
        let others = (0..self.slots.len()).filter(dependable).count();
        others > self.slots.len() / 2
    }

    /// Whether the others serve without these servers: they are a quorum whose disks can be relied on, and another server
    /// that is cut off makes no difference to them.
    pub(super) fn can_do_without(&self, nodes: u8) -> bool {
        let others = |node: &NodeIndex| nodes >> *node & 1 == 0 && self.slots[*node].disk.is_dependable();
        (0..self.slots.len()).filter(others).count() > self.slots.len() / 2
    }

    /// A node that is down gets an empty disk.
    fn wipe(&mut self, node: NodeIndex) -> Checked {
        self.slots[node].disk.wipe();
        self.observe(&Observation::Wiped { node })
    }

    /// A process ends at once. With `power`, so does its machine: nobody is told.
    pub(super) fn crash(&mut self, node: NodeIndex, power: bool, down: Time) -> Checked {
        if self.slots[node].node.is_none() {
            return Ok(());
        }
        let mut draw = self.memory.decisions.draw(Kind::Crash, node, self.now);
        let survivors = self.slots[node].disk.crash(&mut draw);
        self.end(node, &survivors, power, down)
    }

    /// A process that was asked to end has nothing left to do.
    pub(super) fn retired(&mut self, node: NodeIndex) -> Checked {
        let Some(down) = self.slots[node].retiring else {
            return Err(Box::new(Violation {
                property: "retire",
                meaning: "a node retires only when it is asked to",
                seen: format!("node {} says that it is retired", peer_id(node)),
                expected: "nothing: nobody asked".into(),
            }));
        };
        let written = self.slots[node].disk.shut_down();
        self.end(node, &written, false, down)
    }

    fn end(
        &mut self,
        node: NodeIndex,
        written: &[vivarium_core::io::Write],
        power: bool,
        down: Time,
    ) -> Checked {
        for write in written {
            self.observer.observe(self.now, &Observation::Durable { node, write })?;
        }
        self.observer.observe(self.now, &Observation::Ended { node })?;
        self.slots[node].end();
        let life = self.slots[node].life;
        self.memory.queue.push(self.until(down), Event::Restart { node, life });
        self.hang_up(node, power);
        if !power {
            for peer in (0..self.slots.len()).filter(|peer| *peer != node) {
                let mut draw = self.memory.decisions.draw(Kind::Gone, peer, self.now);
                if !draw.one_in(4) {
                    let at = self.now + draw.skewed(self.schedule.network.latency_mean);
                    self.memory.queue.push(at, Event::PeerGone { node: peer, peer: node });
                }
            }
        }
        Ok(())
    }

    /// The clients of a process that ended find out, or not.
    fn hang_up(&mut self, node: NodeIndex, power: bool) {
        for place in 0..self.conns.len() {
            let conn = &mut self.conns[place];
            if conn.node == node && conn.server_open {
                conn.server_open = false;
                conn.unread.clear();
                if !power {
                    self.reply(super::links::name(place), ServerPacket::Closed);
                }
            }
        }
    }

    pub(super) fn restart(&mut self, node: NodeIndex, life: u32) -> Checked {
        if self.slots[node].node.is_some() || self.slots[node].life != life {
            return Ok(());
        }
        let boot_failed = |what: String| {
            Box::new(Violation {
                property: "recovery",
                meaning: "a node starts from whatever a power cut leaves of its disk",
                seen: format!("node {}: {what}", peer_id(node)),
                expected: "a torn tail is dropped, all else is whole: this disk has not been damaged".into(),
            })
        };
        if self.slots[node].full_until > self.now {
            // It reads what is there, and cannot begin another segment.
            self.memory.queue.push(self.until(10 * MS), Event::Restart { node, life });
            return Ok(());
        }
        let mut draw = self.memory.decisions.draw(Kind::Crash, 24 + node, self.now);
        if self.slots[node].boots_in_part > 0 {
            self.slots[node].boots_in_part -= 1;
            self.slots[node].disk.boot_in_part(&mut draw);
            let down = draw.between(1, 20) * MS;
            self.memory.queue.push(self.until(down), Event::Restart { node, life });
            return Ok(());
        }
        let recovery = match self.slots[node].disk.boot() {
            Err(damage) if self.slots[node].disk.is_rotten() => {
                self.observe(&Observation::Refused { node, damage: &damage })?;
                // The operator does what the message says.
                self.wipe(node)?;
                self.slots[node].disk.boot()
            }
            verdict => verdict,
        };
        let recovery = recovery.map_err(|damage| boot_failed(damage.to_string()))?;
        self.observe(&Observation::Booted { node, recovery: &recovery })?;
        let entropy = self.memory.decisions.draw(Kind::Boot, node, self.now).word();
        // In even weather all draws are alike. But processes that are all alike never elect one of them, and one that is
        // like its predecessor on the same machine would take the same nonces once more.
        let seed = mix(entropy.wrapping_add(u64::from(life) << 8 | node as u64));
        let boot = Boot {
            id: peer_id(node),
            voters: (0..self.slots.len()).map(peer_id).collect(),
            limits: self.schedule.limits.clone(),
            super_digest: self.schedule.superuser.then(|| USERS[1].1.to_owned()),
            seed,
            recovered: recovery.recovered,
        };
        self.slots[node].node = Some(Node::boot(boot).map_err(boot_failed)?);
        self.step(node, Input::Wake)
    }
}
