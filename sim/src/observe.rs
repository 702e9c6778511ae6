//! What a checker is told, in the order in which it happens.

use vivarium_core::Node;
use vivarium_core::api::{ConnectRequest, ConnectResponse, Reply, Request, WatchedEvent};
use vivarium_core::ids::ConnId;
use vivarium_core::io::{Input, Output, Write};
use vivarium_core::recovery::{Damage, Recovery};
use vivarium_core::replica::PeerMessage;
use vivarium_core::time::Now;

use crate::queue::Event;
use crate::schedule::{FaultKind, Schedule};
use crate::{ClientIndex, EventId, NodeIndex, Time};

/// Something that an observer may want to know.
#[derive(Debug)]
pub enum Observation<'a> {
    /// A run begins.
    Started { schedule: &'a Schedule },
    /// Something happens; what is told until the next of these is part of it. `cause` is what made it happen.
    Happening { id: EventId, cause: EventId, what: Happening<'a> },
    /// A message sent just now is lost, late or doubled, by bad luck or a partition: it arrives at these times.
    Unlucky {
        from: NodeIndex,
        to: NodeIndex,
        message: &'a PeerMessage,
        arrives: Option<Time>,
        again: Option<Time>,
    },
    /// A process starts, from this.
    Booted { node: NodeIndex, recovery: &'a Recovery },
    /// A process finds damage on its disk that it must not start with, and the operator does what its message says.
    Refused { node: NodeIndex, damage: &'a Damage },
    /// A process ends, by crash or orderly. What it left on disk has been told by `Durable`.
    Ended { node: NodeIndex },
    /// The disk of a node that is down was replaced by an empty one.
    Wiped { node: NodeIndex },
    /// What was durable on the disk of a node that is down is damaged.
    Rotten { node: NodeIndex },
    /// A node is about to be told this.
    Input { node: NodeIndex, now: Now, input: &'a Input },
    /// A node's step put this out. All outputs of a step are told, in order, before any is carried out.
    Output { node: NodeIndex, output: &'a Output },
    /// A step is over, and this is what it made of the node. Told before the step's outputs.
    Stepped { node: NodeIndex, machine: &'a Node },
    /// A write has reached the disk for good: synced, or found there after a crash.
    Durable { node: NodeIndex, write: &'a Write },
    /// A fault begins. `node` is whom it hits, where it hits one.
    Fault { kind: &'a FaultKind, node: Option<NodeIndex> },
    /// A client opens a connection.
    Connecting { client: ClientIndex, conn: ConnId, node: NodeIndex, hello: &'a ConnectRequest },
    /// A client is answered.
    Connected { client: ClientIndex, conn: ConnId, response: &'a ConnectResponse },
    /// A client sends a request.
    Sent { client: ClientIndex, conn: ConnId, request: &'a Request },
    /// A client receives a reply.
    Received { client: ClientIndex, conn: ConnId, reply: &'a Reply },
    /// A client receives a notification.
    Notified { client: ClientIndex, conn: ConnId, event: &'a WatchedEvent },
    /// A client's connection has ended, by whoever's wish.
    Lost { client: ClientIndex, conn: ConnId },
    /// All faults have ended.
    Healed,
    /// The run is over and all nodes agree that they have caught up: the last look.
    Finished { nodes: &'a [&'a Node] },
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub enum Happening<'a> {
    /// Something that was planned.
    Event(&'a Event),
    /// A node wanted to be woken.
    Node(NodeIndex),
    /// A client wanted to be woken.
    Client(ClientIndex),
}

/// A property that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Its short name.
    pub property: &'static str,
    /// The property in words.
    pub meaning: &'static str,
    /// What was seen.
    pub seen: String,
    /// What should have been seen.
    pub expected: String,
}

/// Someone who watches a run.
pub trait Observer {
    /// Takes note, and objects when a property is broken.
    ///
    /// # Errors
    /// The property that is broken; the run ends there.
    fn observe(&mut self, at: Time, observation: &Observation<'_>) -> Result<(), Box<Violation>>;
}

/// Watches nothing.
impl Observer for () {
    fn observe(&mut self, _: Time, _: &Observation<'_>) -> Result<(), Box<Violation>> {
        Ok(())
    }
}

/// Someone who watches for somebody else.
impl<O: Observer> Observer for &mut O {
    fn observe(&mut self, at: Time, observation: &Observation<'_>) -> Result<(), Box<Violation>> {
        (**self).observe(at, observation)
    }
}

/// Two observers, one after the other.
impl<A: Observer, B: Observer> Observer for (A, B) {
    fn observe(&mut self, at: Time, observation: &Observation<'_>) -> Result<(), Box<Violation>> {
        self.0.observe(at, observation)?;
        self.1.observe(at, observation)
    }
}
