//! What happens when: events ordered by time, and among equal times by when they were planned.
//!
//! The order is kept in a plain list, the next event last. Little is planned at a time, a few dozen events, most of them
//! faults far ahead; what is planned comes up within a few milliseconds, before nearly all that waits. So the place of a
//! new event is found within the last few, and to plan and take an event costs half of what it does in a heap.

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

/// What can be mended, or goes on with a fault that has several steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mend {
    /// A partition: bit `from * 8 + to` for each direction that was cut.
    Cut { links: u64 },
    /// A partition comes, or comes back, for so long, and so many times more after that.
    Flap { links: u64, length: Time, times: u32 },
    /// A server is cut off from all others until then.
    Stagger { node: NodeIndex, until: Time },
    /// A link is as fast as before.
    SlowLink { from: NodeIndex, to: NodeIndex },
    /// A paused process runs on.
    Pause { node: NodeIndex },
    /// A disk is as fast as before.
    SlowDisk { node: NodeIndex },
}

/// An event that waits, and what caused it.
#[derive(Clone, Debug)]
struct Planned {
    cause: EventId,
    event: Option<Event>,
}

/// The queue.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    /// When, and in which slot: the next one last, and among equal times the one planned first.
    order: Vec<(Time, u32)>,
    slots: Vec<Planned>,
    free: Vec<u32>,
    /// What happens now: the cause of what is planned meanwhile.
    present: EventId,
}

impl Queue {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.order.clear();
        self.slots.clear();
        self.free.clear();
        self.present = 0;
    }

    /// What is planned from now on has this cause.
    pub fn during(&mut self, present: EventId) {
        self.present = present;
    }

    /// Plans an event.
    #[inline]
    pub fn push(&mut self, at: Time, event: Event) {
        let slot = match self.free.pop() {
            Some(slot) => {
                let planned = &mut self.slots[slot as usize];
                planned.cause = self.present;
                // A free slot is vacant, so there is nothing to drop, and no need to look.
                std::mem::forget(planned.event.replace(event));
                slot
            }
            None => {
                self.slots.push(Planned { cause: self.present, event: Some(event) });
                u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 events wait at a time")
            }
        };
        self.place(at, slot);
    }

    /// Puts an event planned now before all that comes no later, since those come first.
    fn place(&mut self, at: Time, slot: u32) {
        /// How many make room one by one, before it is worth while to search and to move all of them at once.
        const NEAR: usize = 16;
        self.order.push((at, slot));
        let mut near = self.order.iter_mut().rev();
        let mut vacant = near.next().expect("it was put there a line ago");
        let mut moved = 0;
        for earlier in near {
            if earlier.0 > at || moved == NEAR {
                break;
            }
            *vacant = *earlier;
            vacant = earlier;
            moved += 1;
        }
        *vacant = (at, slot);
        if moved == NEAR {
            let here = self.order.len() - 1 - NEAR;
            let first = self.order[..here].partition_point(|(other, _)| *other > at);
            self.order[first..=here].rotate_right(1);
        }
    }

    /// When the next event happens.
    #[inline]
    pub fn next_at(&self) -> Option<Time> {
        self.order.last().map(|(at, _)| *at)
    }

    /// What the next event is, and what caused it.
    #[inline]
    pub fn first(&self) -> Option<(EventId, &Event)> {
        let (_, slot) = self.order.last()?;
        let planned = &self.slots[*slot as usize];
        planned.event.as_ref().map(|event| (planned.cause, event))
    }

    /// Takes the next event: when it was to happen, what caused it, and what it is.
    #[inline]
    pub fn pop(&mut self) -> Option<(Time, EventId, Event)> {
        let (at, slot) = self.order.pop()?;
        self.free.push(slot);
        let planned = &mut self.slots[slot as usize];
        let event = planned.event.take().expect("a planned slot holds its event");
        Some((at, planned.cause, event))
    }

    /// How many events wait.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
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

    #[test]
    fn however_many_wait_they_come_as_sorting_would_have_it() {
        let mut draw = crate::decision::Draw::new(4);
        for spread in [1, 20, 100_000] {
            let mut queue = Queue::default();
            let (mut wanted, mut found) = (Vec::new(), Vec::new());
            for index in 0..2000 {
                let at = index as Time / 4 + draw.below(spread);
                queue.push(at, Event::Fault { index });
                wanted.push((at, index));
                if index % 3 == 2 {
                    wanted.sort();
                    let (at, _, event) = queue.pop().expect("something waits");
                    assert_eq!(queue.len() + 1, wanted.len());
                    let next = wanted.remove(0);
                    assert_eq!(at, next.0);
                    assert!(matches!(event, Event::Fault { index } if index == next.1), "{event:?} {next:?}");
                    found.push(next);
                }
            }
            assert!(found.len() > 600 && !queue.is_empty());
        }
    }
}
