//! Which event follows from which.
//!
//! The world tells which step made another one happen; this finds the very event in it. Messages between servers are found
//! by content among those sent in that step, however they were lost, doubled and reordered; what is said on a client's
//! connection or written to a disk's lane by order, since those keep it. Two messages of the same content, sent in one step
//! over one link, are taken in their order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;

use vivarium_core::ids::{ConnId, WriteSeq, Zxid};
use vivarium_core::io::{Lane as DiskLane, Write};
use vivarium_core::replica::PeerMessage;
use vivarium_sim::NodeIndex;

use super::EventId;

/// What has been said and not yet heard, and who said it.
#[derive(Debug, Default)]
pub(super) struct Causes {
    /// Messages by sender, receiver and content.
    messages: HashMap<(NodeIndex, NodeIndex, Vec<u8>), Sent>,
    conns: HashMap<ConnId, Conn>,
    /// The paths that an entry touches, parents included.
    entries: HashMap<Zxid, Vec<String>>,
    nodes: BTreeMap<NodeIndex, Process>,
}

#[derive(Debug, Default)]
struct Sent {
    waiting: VecDeque<EventId>,
    arrived: Vec<EventId>,
}

/// A client's connection.
#[derive(Debug, Default)]
struct Conn {
    node: NodeIndex,
    up: VecDeque<(Up, EventId)>,
    down: VecDeque<(Down, EventId)>,
    /// Requests that a node has been given and not answered.
    requests: VecDeque<(i32, EventId)>,
    left: Option<EventId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Up {
    Hello,
    Request(i32),
}

/// What a server says on a client's connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Down {
    /// The handshake's answer.
    Welcome,
    /// The reply to the request with this xid.
    Reply(i32),
    /// A notification.
    Notification,
    /// The end.
    Close,
}

/// What is remembered of a node.
#[derive(Debug, Default)]
struct Process {
    writes: VecDeque<(DiskLane, WriteSeq, Write, EventId)>,
    /// What is durable, or at least written, by lane and number.
    durable: BTreeMap<(DiskLane, WriteSeq), EventId>,
    written: BTreeMap<(DiskLane, WriteSeq), EventId>,
    appended: BTreeMap<Zxid, EventId>,
    /// Where it executed an entry, and where it last executed one that touched a path.
    executed: HashMap<Zxid, EventId>,
    touched: HashMap<String, EventId>,
    /// What will end the process.
    ending: Option<EventId>,
    ended: Option<EventId>,
}

impl Causes {
    /// A node sends a message.
    pub fn send(&mut self, from: NodeIndex, to: NodeIndex, message: &PeerMessage, event: EventId) {
        let content = content(message);
        self.messages.entry((from, to, content)).or_default().waiting.push_back(event);
    }

    /// It arrives, as a consequence of one of the events in `range`. Gives who sent it, and whether it had arrived
    /// before.
    pub fn receive(
        &mut self,
        from: NodeIndex,
        to: NodeIndex,
        message: &PeerMessage,
        range: &Range<EventId>,
    ) -> Option<(EventId, bool)> {
        let sent = self.messages.get_mut(&(from, to, content(message)))?;
        if let Some(place) = sent.waiting.iter().position(|event| range.contains(event)) {
            let event = sent.waiting.remove(place)?;
            sent.arrived.push(event);
            return Some((event, false));
        }
        sent.arrived.iter().find(|event| range.contains(event)).map(|event| (*event, true))
    }

    /// Who sent a message of this content, as one of the events in `range`. With `lost`, it will never arrive.
    pub fn sender(
        &mut self,
        from: NodeIndex,
        to: NodeIndex,
        message: &PeerMessage,
        range: &Range<EventId>,
        lost: bool,
    ) -> Option<EventId> {
        let sent = self.messages.get_mut(&(from, to, content(message)))?;
        let place = sent.waiting.iter().position(|event| range.contains(event))?;
        if lost { sent.waiting.remove(place) } else { sent.waiting.get(place).copied() }
    }

    /// A client opens a connection.
    pub fn connect(&mut self, conn: ConnId, node: NodeIndex, event: EventId) {
        let conn = self.conns.entry(conn).or_default();
        conn.node = node;
        conn.up.push_back((Up::Hello, event));
    }

    /// A client sends a request.
    pub fn ask(&mut self, conn: ConnId, xid: i32, event: EventId) {
        self.conns.entry(conn).or_default().up.push_back((Up::Request(xid), event));
    }

    /// A client's connection ends. Gives why, as far as it is the server's doing.
    pub fn lost(&mut self, conn: ConnId, event: EventId) -> Option<EventId> {
        let state = self.conns.entry(conn).or_default();
        state.left = Some(event);
        let closed = state.down.iter().find(|(what, _)| *what == Down::Close).map(|(_, event)| *event);
        let opened = state.up.front().map_or(0, |(_, event)| *event);
        closed.or_else(|| self.nodes.get(&state.node)?.ended.filter(|ended| *ended > opened))
    }

    /// A node is told of a connection's first packet.
    pub fn opened(&mut self, conn: ConnId) -> Option<EventId> {
        self.take_up(conn, Up::Hello)
    }

    /// A node is given a request.
    pub fn requested(&mut self, conn: ConnId, xid: i32, event: EventId) -> Option<EventId> {
        let asked = self.take_up(conn, Up::Request(xid));
        self.conns.entry(conn).or_default().requests.push_back((xid, event));
        asked
    }

    fn take_up(&mut self, conn: ConnId, what: Up) -> Option<EventId> {
        let up = &mut self.conns.get_mut(&conn)?.up;
        let place = up.iter().position(|(known, _)| *known == what)?;
        up.drain(..=place).next_back().map(|(_, event)| event)
    }

    /// A node is told that a connection is gone.
    pub fn gone(&mut self, conn: ConnId) -> Option<EventId> {
        self.conns.get(&conn)?.left
    }

    /// A node says something to a client. Gives the request that it answers.
    pub fn say(&mut self, conn: ConnId, what: Down, event: EventId) -> Option<EventId> {
        let conn = self.conns.entry(conn).or_default();
        conn.down.push_back((what, event));
        let Down::Reply(xid) = what else { return None };
        let place = conn.requests.iter().position(|(known, _)| *known == xid)?;
        conn.requests.remove(place).map(|(_, event)| event)
    }

    /// A client hears it.
    pub fn hear(&mut self, conn: ConnId, what: Down) -> Option<EventId> {
        let down = &mut self.conns.get_mut(&conn)?.down;
        let place = down.iter().position(|(known, _)| *known == what)?;
        down.remove(place).map(|(_, event)| event)
    }

    /// A node writes.
    pub fn write(&mut self, node: NodeIndex, lane: DiskLane, seq: WriteSeq, write: &Write, event: EventId) {
        let process = self.nodes.entry(node).or_default();
        process.writes.push_back((lane, seq, write.clone(), event));
        process.written.insert((lane, seq), event);
        if let Write::Append(entry) = write {
            process.appended.insert(entry.zxid, event);
        }
    }

    /// An entry exists, and is about these paths. Their parents' lists of children may change with them.
    pub fn entry(&mut self, zxid: Zxid, paths: &[String]) {
        self.entries.entry(zxid).or_insert_with(|| {
            let parents = paths.iter().filter_map(|path| path.rsplit_once('/'));
            let parents = parents.map(|(parent, _)| if parent.is_empty() { "/" } else { parent }.to_owned());
            paths.iter().cloned().chain(parents).collect()
        });
    }

    /// A node executes an entry.
    pub fn execute(&mut self, node: NodeIndex, zxid: Zxid, event: EventId) {
        let process = self.nodes.entry(node).or_default();
        process.executed.insert(zxid, event);
        for path in self.entries.get(&zxid).into_iter().flatten() {
            process.touched.insert(path.clone(), event);
        }
    }

    /// What a node's answer at a zxid rests on: the last entries executed there that touched these paths, and that zxid.
    pub fn rests_on(&self, node: NodeIndex, zxid: i64, paths: &[String]) -> Vec<EventId> {
        let Some(process) = self.nodes.get(&node) else { return Vec::new() };
        let touched = paths.iter().filter_map(|path| process.touched.get(path));
        touched.chain(process.executed.get(&Zxid(zxid as u64))).copied().collect()
    }

    /// A write is durable. Gives the event of writing it.
    pub fn durable(&mut self, node: NodeIndex, write: &Write, event: EventId) -> Option<EventId> {
        let process = self.nodes.entry(node).or_default();
        let place = process.writes.iter().position(|(_, _, known, _)| known == write)?;
        let (lane, seq, _, written) = process.writes.remove(place)?;
        process.durable.insert((lane, seq), event);
        Some(written)
    }

    /// A node is told that its writes up to this are durable. Gives the event of that, or of writing if it is not.
    pub fn synced(&mut self, node: NodeIndex, lane: DiskLane, upto: WriteSeq) -> Option<EventId> {
        let process = self.nodes.get(&node)?;
        let key = (lane, upto);
        process.durable.get(&key).or_else(|| process.written.get(&key)).copied()
    }

    /// Where a node wrote an entry last.
    pub fn appended(&self, node: NodeIndex, zxid: Zxid) -> Option<EventId> {
        self.nodes.get(&node)?.appended.get(&zxid).copied()
    }

    /// Something will end a node's process.
    pub fn ending(&mut self, node: NodeIndex, event: EventId) {
        self.nodes.entry(node).or_default().ending = Some(event);
    }

    /// A process ends; all that it had not made durable is gone. Gives why.
    pub fn end(&mut self, node: NodeIndex, event: EventId) -> Option<EventId> {
        let process = self.nodes.entry(node).or_default();
        let why = process.ending.take();
        // What was executed is gone with the memory; what was durable is there after the restart.
        *process = Process {
            ended: Some(event),
            appended: std::mem::take(&mut process.appended),
            ..Process::default()
        };
        why
    }

    /// A process starts. Gives the end of the one before.
    pub fn boot(&self, node: NodeIndex) -> Option<EventId> {
        self.nodes.get(&node)?.ended
    }
}

/// A message as bytes, to find it again.
fn content(message: &PeerMessage) -> Vec<u8> {
    postcard::to_stdvec(message).expect("a message between servers has an encoding: it travels")
}

#[cfg(test)]
mod tests {
    use super::*;
    use vivarium_core::ids::Epoch;
    use vivarium_core::replica::Membership;

    fn alive(round: u64) -> PeerMessage {
        PeerMessage::Alive { epoch: Epoch(1), round, membership: Membership::Member }
    }

    #[test]
    fn messages_are_found_however_the_network_treats_them() {
        let mut causes = Causes::default();
        causes.send(0, 1, &alive(1), 10);
        causes.send(0, 1, &alive(2), 11);
        causes.send(0, 2, &alive(2), 12);
        let step = 10..13;
        assert_eq!(causes.receive(0, 1, &alive(2), &step), Some((11, false)), "reordered");
        assert_eq!(causes.receive(0, 1, &alive(2), &step), Some((11, true)), "doubled");
        assert_eq!(causes.receive(0, 1, &alive(1), &(13..15)), None, "sent in another step");
        assert_eq!(causes.receive(0, 1, &alive(1), &step), Some((10, false)));
        assert_eq!(causes.receive(0, 2, &alive(2), &step), Some((12, false)), "another link");
        assert_eq!(causes.receive(1, 0, &alive(2), &step), None);
        causes.send(0, 1, &alive(3), 20);
        assert_eq!(causes.sender(0, 1, &alive(3), &(20..21), false), Some(20));
        assert_eq!(causes.sender(0, 1, &alive(3), &(20..21), true), Some(20), "lost");
        assert_eq!(causes.receive(0, 1, &alive(3), &(20..21)), None);
    }

    #[test]
    fn a_reply_follows_from_its_request_and_an_answer_from_its_reply() {
        let mut causes = Causes::default();
        let conn = ConnId(1);
        causes.connect(conn, 0, 1);
        causes.ask(conn, 7, 2);
        assert_eq!(causes.opened(conn), Some(1));
        assert_eq!(causes.requested(conn, 7, 3), Some(2));
        assert_eq!(causes.say(conn, Down::Reply(7), 4), Some(3));
        assert_eq!(causes.hear(conn, Down::Reply(8)), None);
        assert_eq!(causes.hear(conn, Down::Reply(7)), Some(4));
        causes.say(conn, Down::Close, 5);
        assert_eq!(causes.lost(conn, 6), Some(5));
        assert_eq!(causes.gone(conn), Some(6));
    }

    #[test]
    fn an_answer_rests_on_the_last_entry_that_touched_what_it_shows() {
        let mut causes = Causes::default();
        for (zxid, path) in [(1, "/a"), (2, "/a/b"), (3, "/c")] {
            causes.entry(Zxid(zxid), &[path.to_owned()]);
            causes.execute(0, Zxid(zxid), zxid * 10);
        }
        let rests_on = |causes: &Causes, node, path: &str| causes.rests_on(node, 3, &[path.to_owned()]);
        assert_eq!(rests_on(&causes, 0, "/a/b"), [20, 30]);
        assert_eq!(rests_on(&causes, 0, "/a"), [20, 30], "its list of children");
        assert_eq!(rests_on(&causes, 0, "/"), [30, 30]);
        assert_eq!(rests_on(&causes, 0, "/d"), [30]);
        assert!(rests_on(&causes, 1, "/a").is_empty());
        causes.end(0, 40);
        assert!(rests_on(&causes, 0, "/a").is_empty());
    }

    #[test]
    fn a_promise_follows_from_the_disk_and_from_the_write_when_the_disk_was_passed_over() {
        let mut causes = Causes::default();
        let write = Write::Truncate { to: Zxid(5) };
        causes.write(0, DiskLane::Log, WriteSeq(1), &write, 1);
        assert_eq!(causes.synced(0, DiskLane::Log, WriteSeq(1)), Some(1), "told before it was durable");
        assert_eq!(causes.durable(0, &write, 2), Some(1));
        assert_eq!(causes.synced(0, DiskLane::Log, WriteSeq(1)), Some(2));
        causes.end(0, 3);
        assert_eq!(causes.synced(0, DiskLane::Log, WriteSeq(1)), None);
        assert_eq!(causes.boot(0), Some(3));
    }
}
