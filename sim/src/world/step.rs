//! One step of a node, and what becomes of what it puts out.
//!
//! Outputs are carried out in the order of the driver's contract and with all the freedom that it leaves, and a crash may
//! come between any two of them.

use vivarium_core::ids::{ConnId, PeerId};
use vivarium_core::io::{Input, Lane, Output};

use super::{Checked, Memory, World, peer_id};
use crate::decision::{Draw, Kind};
use crate::observe::{Observation, Observer, Violation};
use crate::queue::ServerPacket;
use crate::schedule::{Blow, Sabotage};
use crate::{NodeIndex, Time};

impl<O: Observer> World<O> {
    /// A node is told something, if a process runs there, and what it wants done is carried out.
    pub(super) fn step(&mut self, node: NodeIndex, input: Input) -> Checked {
        let slot = &mut self.slots[node];
        let Some(machine) = slot.node.as_mut() else {
            slot.wake_at = Time::MAX;
            return Ok(());
        };
        let now = slot.clock.now(self.now);
        self.observer.observe(self.now, &Observation::Input { node, now, input: &input })?;
        let Memory { decisions, out, spare, .. } = &mut self.memory;
        machine.step(now, input, out);
        self.observer.observe(self.now, &Observation::Stepped { node, machine })?;
        slot.plan_wake(node, self.now, self.events, out.wake, self.schedule.wake_lag, decisions);
        self.no_wake_before = self.no_wake_before.min(slot.wake_at);
        if out.list.is_empty() {
            return Ok(());
        }
        let mut outputs = std::mem::replace(&mut out.list, std::mem::take(spare));
        for output in &outputs {
            self.fold.output(node, output);
            self.observer.observe(self.now, &Observation::Output { node, output })?;
        }
        let sprung = if self.ambushes.is_empty() { None } else { self.spring(&outputs) };
        if let Some((Blow::CrashWithin, down)) = sprung {
            self.slots[node].crash_in_step = Some(down);
        }
        let carried = self.carry_out_all(node, &mut outputs);
        outputs.clear();
        self.memory.spare = outputs;
        carried?;
        match sprung {
            Some((Blow::Crash, down)) => self.crash(node, false, down),
            Some((Blow::Pause, length)) => {
                self.pause(node, length);
                Ok(())
            }
            Some((Blow::CrashWithin, _)) | None => Ok(()),
        }
    }

    fn carry_out_all(&mut self, node: NodeIndex, outputs: &mut Vec<Output>) -> Checked {
        let crash = self.slots[node].crash_in_step;
        let mut effects = usize::MAX;
        if self.schedule.shuffle_permille > 0 || crash.is_some() {
            let mut draw = self.memory.decisions.draw(Kind::Step, node, self.now);
            if draw.permille(self.schedule.shuffle_permille) && outputs.len() > 1 {
                // Once all is healed links keep order, as TCP does: so must what is put into them.
                shuffle(outputs, self.healing.is_some(), &mut draw);
            }
            if crash.is_some() && outputs.iter().filter(|o| !matches!(o, Output::Note(_))).count() > 1 {
                effects = draw.below(outputs.len() as u64) as usize;
            }
        }
        for output in outputs.drain(..) {
            if effects == 0 {
                self.slots[node].crash_in_step = None;
                return self.crash(node, false, crash.unwrap_or(0));
            }
            effects = effects.saturating_sub(1);
            self.carry_out(node, output)?;
            if self.slots[node].node.is_none() {
                break;
            }
        }
        Ok(())
    }

    // Not inlined, so that an output is taken apart where it lies, and not moved piece by piece before it is known what
    // it is.
    #[inline(never)]
    fn carry_out(&mut self, node: NodeIndex, output: Output) -> Checked {
        match output {
            Output::Send { to, message } => return self.send(node, to, message),
            Output::Write { lane, seq, write } => {
                self.slots[node].disk.write(lane, seq, write);
                self.sync(node, lane);
            }
            Output::Connected { conn, response } => self.reply(conn, ServerPacket::Connected(response)),
            Output::Reply { conn, reply } => self.send_reply(conn, reply),
            Output::Event { conn, event } => {
                let lost = self.schedule.sabotage == Some(Sabotage::LostNotifications)
                    && self.events.is_multiple_of(4);
                if !lost {
                    self.reply(conn, ServerPacket::Event(event));
                }
            }
            Output::Close { conn, why: _ } => self.close(conn),
            Output::Note(note) => self.slots[node].note(&note),
            Output::Retired => return self.retired(node),
            Output::Halt(fault) => {
                return Err(Box::new(Violation {
                    property: "no-halt",
                    meaning: "no node ever has to stop because its state or history is wrong",
                    seen: format!("node {} halts: {fault}", peer_id(node)),
                    expected: "no disk rots in this schedule, so no fault".into(),
                }));
            }
        }
        Ok(())
    }
}

/// Puts outputs into another order, but keeps it inside a lane and inside a connection; and, where links keep order, among
/// messages to the same server.
fn shuffle(outputs: &mut [Output], links_keep_order: bool, draw: &mut Draw) {
    #[derive(PartialEq)]
    enum Channel {
        Lane(Lane),
        Conn(ConnId),
        Link(PeerId),
        Free,
    }
    let channel = |output: &Output| -> Channel {
        match output {
            Output::Send { to, .. } if links_keep_order => Channel::Link(*to),
            Output::Write { lane, .. } => Channel::Lane(*lane),
            Output::Connected { conn, .. }
            | Output::Reply { conn, .. }
            | Output::Event { conn, .. }
            | Output::Close { conn, .. } => Channel::Conn(*conn),
            Output::Send { .. } | Output::Note(_) | Output::Retired | Output::Halt(_) => Channel::Free,
        }
    };
    for place in 0..outputs.len() {
        let chosen = place + draw.below((outputs.len() - place) as u64) as usize;
        let wanted = channel(&outputs[chosen]);
        let first = match wanted {
            Channel::Free => chosen,
            _ => (place..=chosen).find(|i| channel(&outputs[*i]) == wanted).unwrap_or(chosen),
        };
        outputs[place..=first].rotate_right(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vivarium_core::ids::WriteSeq;
    use vivarium_core::io::Write;

    #[test]
    fn shuffling_keeps_order_inside_a_lane_and_a_connection() {
        let write = |seq| Output::Write {
            lane: Lane::Log,
            seq: WriteSeq(seq),
            write: Write::Truncate { to: vivarium_core::ids::Zxid(seq) },
        };
        let close =
            |conn| Output::Close { conn: ConnId(conn), why: vivarium_core::io::CloseReason::NotServing };
        let mut moved = 0;
        for word in 0..200 {
            let mut outputs =
                vec![write(1), close(1), write(2), close(2), Output::Retired, write(3), close(1)];
            let before = format!("{outputs:?}");
            shuffle(&mut outputs, false, &mut Draw::new(word));
            moved += usize::from(format!("{outputs:?}") != before);
            let seqs: Vec<_> = outputs
                .iter()
                .filter_map(|o| match o {
                    Output::Write { seq, .. } => Some(seq.0),
                    _ => None,
                })
                .collect();
            assert_eq!(seqs, [1, 2, 3]);
            assert_eq!(outputs.len(), 7);
        }
        assert!(moved > 150, "{moved}");
    }
}
