//! The second half of a run: all faults end, and progress is demanded within bounds of simulated time. In some runs a
//! minority stays cut off at first, and the others have to serve without it.

use std::collections::BTreeSet;

use super::{Checked, Verdict, World, peer_id};
use crate::client::{Client, PROBE_STEPS};
use crate::observe::{Observation, Observer, Violation};
use crate::queue::Event;
use crate::schedule::Schedule;
use crate::{MS, NodeIndex, Time};

/// How often the world looks whether everybody is well.
const POLL: Time = 20 * MS;
/// How long clients go on asking after the faults have ended.
const AFTERGLOW: Time = 300 * MS;

/// The bounds of the second half.
#[derive(Clone, Copy, Debug)]
pub(super) struct Healing {
    /// By then every node serves: a client that insists on it connects, writes, syncs and reads.
    serving: Time,
    /// By then all have applied the same, and sessions without a client are gone.
    settled: Time,
    probes: usize,
    /// Servers that are still cut off, bit by bit.
    held: u8,
}

impl Healing {
    fn new(schedule: &Schedule, now: Time, held: u8) -> Healing {
        let limits = &schedule.limits;
        let slowest = schedule.network.latency_min
            + 8 * schedule.network.latency_mean
            + schedule.disk.sync_min
            + 8 * schedule.disk.sync_mean;
        // To notice that the leader is gone, then elections: a few, since candidates may split the votes.
        let elected = 2 * limits.silence.0 + 4 * 8 * limits.election.0 + 20 * slowest;
        // To bring everybody up to date, from a snapshot if need be, and one more round for the probes.
        let served = 2 * elected + 400 * slowest / 10 + AFTERGLOW;
        // What a quorum needs. Synchronization may take much longer where a server stands still, but a leader whose voters
        // have left has no business waiting for it.
        let serving = now + served + if held == 0 { limits.sync.0 } else { 0 };
        let expired = limits.session_timeout_max_ms as Time * MS + 3 * limits.tick.0;
        Healing { serving, settled: serving + expired + elected, probes: schedule.clients.len(), held }
    }
}

impl<O: Observer> World<O> {
    /// All faults end; but those that are held back stay cut off for now.
    pub(super) fn heal(&mut self) -> Checked {
        self.network.heal();
        self.ambushes.clear();
        for slot in &mut self.slots {
            slot.sync_extra = 0;
            slot.crash_in_step = None;
            slot.sync_fails = None;
            slot.full_until = 0;
            slot.boots_in_part = 0;
            assert!(slot.paused_until <= self.now, "pauses end before the faults do");
        }
        let held = std::mem::take(&mut self.held_back);
        if held == 0 || !self.can_do_without(held) {
            return self.heal_all();
        }
        self.network.hold(self.between(held, true));
        self.healing = Some(Healing::new(&self.schedule, self.now, held));
        self.probe(held);
        self.memory.queue.push(self.now + POLL, Event::Poll);
        Ok(())
    }

    /// Nothing is wrong any more, and nothing will be.
    fn heal_all(&mut self) -> Checked {
        self.network.heal();
        self.healing = Some(Healing::new(&self.schedule, self.now, 0));
        self.observe(&Observation::Healed)?;
        for client in 0..self.schedule.clients.len() {
            self.clients[client].calm(self.now + AFTERGLOW);
            self.client_wakes[client] = (self.clients[client].deadline(), self.events);
        }
        self.no_wake_before = self.now;
        self.probe(0);
        self.memory.queue.push(self.now + POLL, Event::Poll);
        Ok(())
    }

    /// Sends a probe to every server but these.
    fn probe(&mut self, held: u8) {
        self.no_wake_before = self.now;
        let timeout_ms = self.schedule.limits.session_timeout_max_ms;
        for node in (0..self.slots.len()).filter(|node| held >> node & 1 == 0) {
            let client = Client::probe(self.clients.len(), node, self.slots.len(), timeout_ms, self.now);
            self.client_wakes.push((client.deadline(), self.events));
            self.client_conns.push(None);
            self.clients.push(client);
        }
    }

    pub(super) fn poll(&mut self) -> Checked {
        let healing = self.healing.expect("the world polls only while it heals");
        let unserved = self.unserved(&healing);
        if healing.held != 0 {
            return self.poll_without(&healing, unserved);
        }
        let unsettled = match &unserved {
            Some(_) => None,
            None => self.unsettled(),
        };
        match (unserved, unsettled) {
            (None, None) => {
                self.verdict = Some(Verdict::Clean);
                let nodes: Vec<_> = self.slots.iter().filter_map(|slot| slot.node.as_ref()).collect();
                self.observer.observe(self.now, &Observation::Finished { nodes: &nodes })
            }
            (Some(what), _) if self.now > healing.serving => Err(no_progress(
                what,
                format!(
                    "every node serves by {} ms, all faults having ended at {} ms",
                    healing.serving / MS,
                    self.schedule.chaos / MS
                ),
            )),
            (_, Some(what)) if self.now > healing.settled => Err(no_progress(
                what,
                format!(
                    "by {} ms all nodes have applied the same, all requests are answered, and sessions without a \
                     client have expired; all faults ended at {} ms",
                    healing.settled / MS,
                    self.schedule.chaos / MS
                ),
            )),
            _ => {
                self.memory.queue.push(self.now + POLL, Event::Poll);
                Ok(())
            }
        }
    }

    /// Whether the others serve without those that are held back, which return then.
    fn poll_without(&mut self, healing: &Healing, unserved: Option<String>) -> Checked {
        let Some(what) = unserved else { return self.heal_all() };
        if self.now <= healing.serving {
            self.memory.queue.push(self.now + POLL, Event::Poll);
            return Ok(());
        }
        let held: Vec<_> =
            (0..self.slots.len()).filter(|node| healing.held >> node & 1 == 1).map(peer_id).collect();
        Err(no_progress(
            what,
            format!(
                "every other node serves by {} ms without {held:?}, which are cut off, all else being well since {} ms",
                healing.serving / MS,
                self.schedule.chaos / MS
            ),
        ))
    }

    /// Which node does not serve yet, of those that are not held back.
    fn unserved(&self, healing: &Healing) -> Option<String> {
        let down = |node: &NodeIndex| self.slots[*node].node.is_none() && healing.held >> node & 1 == 0;
        if let Some(node) = (0..self.slots.len()).find(down) {
            return Some(format!("node {} is down", peer_id(node)));
        }
        let probe = self.clients[healing.probes..]
            .iter()
            .filter_map(Client::progress)
            .find(|p| p.steps < PROBE_STEPS)?;
        let step =
            ["connect", "create a node", "sync", "read", "close its session"][usize::from(probe.steps)];
        let roles: Vec<String> = (self.nodes().iter().enumerate())
            .map(|(node, machine)| format!("{}: {:?}", peer_id(node), machine.status().role))
            .collect();
        Some(format!("a client of node {} could not {step} ({})", peer_id(probe.node), roles.join(", ")))
    }

    /// What has not settled yet.
    fn unsettled(&self) -> Option<String> {
        if let Some(client) = self.clients.iter().position(|client| !client.at_rest()) {
            return Some(format!("client {client} is not connected, or has unanswered requests"));
        }
        let applied: Vec<_> = self.nodes().iter().map(|node| node.state().applied()).collect();
        if applied.iter().any(|zxid| *zxid != applied[0]) {
            return Some(format!("nodes have applied {applied:?}"));
        }
        let live: BTreeSet<_> = self.clients.iter().filter_map(Client::live_session).collect();
        let state = self.slots[0].node.as_ref()?.state();
        let stray = state.sessions().find(|(id, _)| !live.contains(id))?;
        Some(format!(
            "session {} has no client any more and lives, its timeout is {} ms",
            stray.0, stray.1.timeout_ms
        ))
    }
}

fn no_progress(seen: String, expected: String) -> Box<Violation> {
    Box::new(Violation {
        property: "progress",
        meaning: "once all faults have ended, every node serves and the ensemble comes to rest within bounds",
        seen,
        expected,
    })
}
