//! What happens when: events ordered by time, and among equal times by when they were planned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use vivarium_core::api::{ConnectRequest, ConnectResponse, Reply, Request, WatchedEvent};
use vivarium_core::ids::{ConnId, WriteSeq};
use vivarium_core::io::Lane;
use vivarium_core::replica::PeerMessage;

use crate::{EventId, NodeIndex, Time};

/// Something that will happen, unless a crash comes first. `life` is the run of the process it is meant for.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message arrives; whoever runs there by then gets it.
    Arrive { from: NodeIndex, to: NodeIndex, message: PeerMessage },
    /// A node's transport notices that a peer is gone.
    PeerGone { node: NodeIndex, peer: NodeIndex },
    /// The disk has made a lane durable up to a write.
    Durable { node: NodeIndex, life: u32, lane: Lane, upto: WriteSeq },
    /// The process is told so.
    Synced { node: NodeIndex, life: u32, lane: Lane, upto: WriteSeq },
    /// A packet of a client arrives.
    ToServer { conn: ConnId, packet: ClientPacket },
    /// A packet of a server arrives.
    ToClient { conn: ConnId, packet: ServerPacket },
    /// A fault of the schedule begins.
    Fault { index: usize },
    /// What a fault broke is mended.
    Mend { what: Mend },
    /// A process starts again.
    Restart { node: NodeIndex, life: u32 },
    /// All faults end.
    Heal,
    /// Is everybody well again?
    Poll,
}

/// What a client sends.
#[derive(Clone, Debug)]
pub enum ClientPacket {
    /// The first packet of a connection.
    Hello(ConnectRequest),
    /// A request.
    Request(Request),
    /// The connection ends.
    Gone,
}

/// What a server sends.
#[derive(Clone, Debug)]
pub enum ServerPacket {
    /// The handshake's answer.
    Connected(ConnectResponse),
    /// A reply.
    Reply(Reply),
    /// A watch fired.
    Event(WatchedEvent),
    /// The connection ends.
    Closed,
}

/// What can be mended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mend {
    /// A partition: bit `from * 8 + to` for each direction that was cut.
    Cut { links: u64 },
    /// A paused process runs on.
    Pause { node: NodeIndex },
    /// A disk is as fast as before.
    SlowDisk { node: NodeIndex },
}

/// The queue.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    heap: BinaryHeap<Reverse<(Time, u64, u32)>>,
    events: Vec<Option<(EventId, Event)>>,
    free: Vec<u32>,
    planned: u64,
    /// What happens now: the cause of what is planned meanwhile.
    present: EventId,
}

impl Queue {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.heap.clear();
        self.events.clear();
        self.free.clear();
        self.planned = 0;
        self.present = 0;
    }

    /// What is planned from now on has this cause.
    pub fn during(&mut self, present: EventId) {
        self.present = present;
    }

    /// Plans an event.
    pub fn push(&mut self, at: Time, event: Event) {
        let event = (self.present, event);
        let slot = match self.free.pop() {
            Some(slot) => {
                self.events[slot as usize] = Some(event);
                slot
            }
            None => {
                self.events.push(Some(event));
                u32::try_from(self.events.len() - 1).expect("fewer than 2^32 events wait at a time")
            }
        };
        self.planned += 1;
        self.heap.push(Reverse((at, self.planned, slot)));
    }

    /// When the next event happens.
    pub fn next_at(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Takes the next event: when it was to happen, what caused it, and what it is.
    pub fn pop(&mut self) -> Option<(Time, EventId, Event)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        let (cause, event) = self.events[slot as usize].take().expect("a planned slot holds its event");
        Some((at, cause, event))
    }

    /// How many events wait.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_then_in_the_order_planned() {
        let mut queue = Queue::default();
        for (at, index) in [(5, 1), (3, 2), (5, 3), (3, 4)] {
            queue.push(at, Event::Fault { index });
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop())
            .map(|(at, _, event)| match event {
                Event::Fault { index } => (at, index),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(order, [(3, 2), (3, 4), (5, 1), (5, 3)]);
    }
}
