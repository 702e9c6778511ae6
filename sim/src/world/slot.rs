//! A machine: its clocks and its disk, and the process that runs on it, when one does.

use std::collections::VecDeque;

use vivarium_core::Node;
use vivarium_core::ids::ConnId;
use vivarium_core::io::Note;
use vivarium_core::record::Identity;
use vivarium_core::time::Instant;

use super::peer_id;
use crate::clock::Clock;
use crate::decision::{Decisions, Kind};
use crate::disk::Disk;
use crate::network::NODES_MAX;
use crate::schedule::Schedule;
use crate::{EventId, NodeIndex, Time};

/// The cluster that all simulated nodes belong to.
const CLUSTER: u64 = 0x7669_7661_7269_756d;

/// A machine.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) node: Option<Node>,
    /// Counts processes; what is meant for an earlier one does not reach this one.
    pub(super) life: u32,
    pub(super) clock: Clock,
    pub(super) disk: Disk,
    /// When the process is woken next; `Time::MAX` for never.
    pub(super) wake_at: Time,
    wake: Option<Instant>,
    /// The event after which it was decided.
    pub(super) wake_cause: EventId,
    pub(super) paused_until: Time,
    /// So much later than that it reads what has come from clients, and from each server.
    pub(super) reads_later: [Time; NODES_MAX + 1],
    pub(super) leading: bool,
    /// Crash in the midst of the next step that has something to lose, for so long.
    pub(super) crash_in_step: Option<Time>,
    /// It was asked to end, and starts again after so long.
    pub(super) retiring: Option<Time>,
    pub(super) sync_extra: Time,
    /// The next sync fails, and the process starts again after so long.
    pub(super) sync_fails: Option<Time>,
    /// The disk is full until then.
    pub(super) full_until: Time,
    /// So many starts of a process end before they are done.
    pub(super) boots_in_part: u32,
    /// When the last sync of each lane is told.
    pub(super) told: [Time; 2],
    /// The connections of packets that have arrived and are not read yet, in the order in which they came.
    pub(super) unread: VecDeque<ConnId>,
}

impl Slot {
    /// A machine with an empty disk and no process.
    pub(super) fn new(schedule: &Schedule, node: NodeIndex, decisions: &mut Decisions) -> Slot {
        let mut draw = decisions.draw(Kind::Boot, 32 + node, 0);
        let identity = Identity { cluster: CLUSTER, node: peer_id(node) };
        let segment_writes = draw.between(4, 200) as usize;
        let retain = draw.between(1, 3) as usize;
        Slot {
            node: None,
            life: 0,
            clock: schedule.clocks[node],
            disk: Disk::new(identity, segment_writes, retain),
            wake_at: Time::MAX,
            wake: None,
            wake_cause: 0,
            paused_until: 0,
            reads_later: [0; NODES_MAX + 1],
            leading: false,
            crash_in_step: None,
            retiring: None,
            sync_extra: 0,
            sync_fails: None,
            full_until: 0,
            boots_in_part: 0,
            told: [0; 2],
            unread: VecDeque::new(),
        }
    }

    /// Takes note of when the node wants to be woken, and decides how late that will be.
    #[inline]
    pub(super) fn plan_wake(
        &mut self,
        node: NodeIndex,
        now: Time,
        present: EventId,
        wake: Option<Instant>,
        lag_mean: Time,
        decisions: &mut Decisions,
    ) {
        if wake == self.wake && self.wake_at > now {
            return;
        }
        self.wake = wake;
        self.wake_cause = present;
        self.wake_at = match wake {
            None => Time::MAX,
            Some(wake) => {
                let lag = match lag_mean {
                    0 => 0,
                    mean => decisions.draw(Kind::Wake, node, now).skewed(mean),
                };
                // A deadline that has passed already: at once, but never in no time, so that a node that always
                // wants to be woken does not stop the world.
                (self.clock.when(wake).max(now + 1) + lag).max(self.paused_until)
            }
        };
    }

    /// What a node says of itself.
    pub(super) fn note(&mut self, note: &Note) {
        match note {
            Note::Established { .. } => self.leading = true,
            Note::Looking { .. } | Note::Following { .. } => self.leading = false,
            _ => {}
        }
    }

    /// The process is gone.
    pub(super) fn end(&mut self) {
        self.node = None;
        self.life += 1;
        self.wake_at = Time::MAX;
        self.wake = None;
        self.paused_until = 0;
        self.reads_later = [0; NODES_MAX + 1];
        self.leading = false;
        self.crash_in_step = None;
        self.sync_fails = None;
        self.retiring = None;
        self.unread.clear();
    }
}
