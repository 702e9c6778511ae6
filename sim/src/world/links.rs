//! Messages between servers, and packets between clients and servers.

use core::net::{IpAddr, Ipv4Addr};
use std::collections::VecDeque;

use vivarium_core::Node;
use vivarium_core::api::{Blob, Reply, Response};
use vivarium_core::ids::{ConnId, PeerId};
use vivarium_core::io::Input;
use vivarium_core::replica::PeerMessage;

use super::{Checked, Memory, World, codec, node_index};
use crate::choice::{Act, Luck, MessageKind, What};
use crate::client::Action;
use crate::decision::Kind;
use crate::network::NODES_MAX;
use crate::observe::{Observation, Observer};
use crate::queue::{ClientPacket, Event, ServerPacket};
use crate::schedule::Sabotage;
use crate::{ClientIndex, NodeIndex, Time, US};

/// One message in so many makes the round trip through its codec.
const CODEC_SHARE: u64 = 64;
/// Latency of packets between clients and servers: least, and mean of what comes on top.
const PACKET_LATENCY: (Time, Time) = (30 * US, 300 * US);

/// A connection of a client to a server: two streams, each in order.
#[derive(Clone, Debug)]
pub(super) struct Conn {
    client: ClientIndex,
    pub(super) node: NodeIndex,
    /// The server's process that accepted it.
    life: Option<u32>,
    /// Whether the client still listens.
    client_open: bool,
    /// Whether the server's process still knows it, as far as the driver can tell.
    pub(super) server_open: bool,
    /// What has arrived and the server has not read: it reads nothing while too much is proposed and not committed.
    pub(super) unread: VecDeque<ClientPacket>,
    /// When the last packet of each direction arrives.
    up: Time,
    down: Time,
}

/// Where a connection is kept.
pub(super) fn place(conn: ConnId) -> usize {
    conn.0 as usize - 1
}

/// The name of the connection kept there.
pub(super) fn name(place: usize) -> ConnId {
    ConnId(place as u64 + 1)
}

/// A client's address.
pub fn address(client: ClientIndex) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, client as u8 + 1))
}

impl<O: Observer> World<O> {
    pub(super) fn send(&mut self, from: NodeIndex, to: PeerId, message: PeerMessage) -> Checked {
        let to = node_index(to);
        assert!(to < self.slots.len() && to != from, "a message from {from} to {to}");
        let kind = MessageKind::of(&message);
        let subject = (from * NODES_MAX + to) * 32 + usize::from(kind.0);
        let (mut draw, nth) = self.memory.decisions.draw_nth(Kind::Message, subject, self.now);
        if self.is_sample() {
            codec::peer_message(&message)?;
        }
        if self.schedule.sabotage == Some(Sabotage::Mute) && from == 0 {
            return Ok(());
        }
        let latency = self.network.latency(&mut draw);
        let luck = match &self.listed {
            Some(listed) => listed.luck(from, to, kind, self.now, nth),
            None => self.network.luck(kind, &mut draw),
        };
        let fate = self.network.fate(from, to, self.now, latency, luck);
        if luck.corrupt {
            codec::damaged_message(&message, &mut draw)?;
            self.memory.queue.push(self.now + latency, Event::PeerGone { node: to, peer: from });
            self.memory.queue.push(self.now + 2 * latency, Event::PeerGone { node: from, peer: to });
        }
        if luck != Luck::default() {
            self.record(|| What::Message { from, to, kind, nth, luck });
        }
        if luck != Luck::default() || fate.first.is_none() {
            let (arrives, again) = (fate.first, fate.again);
            self.observe(&Observation::Unlucky { from, to, message: &message, arrives, again })?;
        }
        if let Some(at) = fate.again {
            self.memory.queue.push(at, Event::Arrive { from, to, message: message.clone() });
        }
        if let Some(at) = fate.first {
            self.memory.queue.push(at, Event::Arrive { from, to, message });
        }
        Ok(())
    }

    /// Whether what happens now makes the round trip through its codec: one in so many. It changes nothing else, so it
    /// is no decision of the run.
    fn is_sample(&self) -> bool {
        self.events.is_multiple_of(CODEC_SHARE)
    }

    /// Does what a client wants done.
    pub(super) fn act(&mut self, client: ClientIndex) -> Checked {
        if !self.memory.actions.is_empty() {
            self.carry_out_actions(client)?;
        }
        // Never in the past: what else happens at this moment was planned before, and comes before.
        let wake_at = self.clients[client].deadline().max(self.now);
        self.client_wakes[client] = (wake_at, self.events);
        self.no_wake_before = self.no_wake_before.min(wake_at);
        Ok(())
    }

    fn carry_out_actions(&mut self, client: ClientIndex) -> Checked {
        let mut actions = std::mem::take(&mut self.memory.actions);
        for action in actions.drain(..) {
            match action {
                Action::Connect { node, impostor, hello } => {
                    if impostor {
                        self.record(|| What::Client { client, act: Act::Impersonate });
                    }
                    let conn = name(self.conns.len());
                    self.conns.push(Conn {
                        client,
                        node,
                        life: None,
                        client_open: true,
                        server_open: false,
                        unread: VecDeque::new(),
                        up: self.now,
                        down: self.now,
                    });
                    self.client_conns[client] = Some(conn);
                    self.clients[client].connecting(conn, self.now);
                    self.observer
                        .observe(self.now, &Observation::Connecting { client, conn, node, hello: &hello })?;
                    if self.is_sample() {
                        codec::hello(&hello)?;
                    }
                    self.ask(conn, ClientPacket::Hello(hello), 0);
                }
                Action::Send(request) => {
                    let Some(conn) = self.client_conns[client] else { continue };
                    self.observer
                        .observe(self.now, &Observation::Sent { client, conn, request: &request })?;
                    if self.is_sample() {
                        codec::request(&request)?;
                    }
                    self.ask(conn, ClientPacket::Request(request), 0);
                }
                Action::Close => {
                    if let Some(conn) = self.client_conns[client] {
                        self.leave(client, conn)?;
                        self.ask(conn, ClientPacket::Gone, 0);
                    }
                }
                Action::Abandon => {
                    if let Some(conn) = self.client_conns[client] {
                        self.leave(client, conn)?;
                        let mut draw = self.memory.decisions.draw(Kind::Gone, 32 + client % 32, self.now);
                        if !draw.one_in(3) {
                            let late = draw.skewed(self.schedule.limits.silence.0);
                            self.ask(conn, ClientPacket::Gone, late);
                        }
                    }
                }
            }
        }
        self.memory.actions = actions;
        Ok(())
    }

    /// A client stops listening to a connection.
    fn leave(&mut self, client: ClientIndex, conn: ConnId) -> Checked {
        self.client_conns[client] = None;
        self.conns[place(conn)].client_open = false;
        self.observer.observe(self.now, &Observation::Lost { client, conn })
    }

    fn ask(&mut self, conn: ConnId, packet: ClientPacket, late: Time) {
        let latency = self.packet_latency(conn) + late;
        let state = &mut self.conns[place(conn)];
        state.up = state.up.max(self.now + latency);
        self.memory.queue.push(state.up, Event::ToServer { conn, packet });
    }

    pub(super) fn reply(&mut self, conn: ConnId, packet: ServerPacket) {
        let latency = self.packet_latency(conn);
        let state = &mut self.conns[place(conn)];
        if state.client_open {
            state.down = state.down.max(self.now + latency);
            self.memory.queue.push(state.down, Event::ToClient { conn, packet });
        }
    }

    pub(super) fn send_reply(&mut self, conn: ConnId, mut reply: Reply) {
        match self.schedule.sabotage {
            Some(Sabotage::SwappedReplies) => {
                let held = self.held.take();
                if held.is_none() && self.events.is_multiple_of(16) {
                    self.held = Some((conn, reply));
                    return;
                }
                self.reply(conn, ServerPacket::Reply(reply));
                if let Some((conn, reply)) = held {
                    self.reply(conn, ServerPacket::Reply(reply));
                }
                return;
            }
            Some(Sabotage::ForgedData) => {
                if let Ok(Response::Data(data, _)) = &mut reply.result {
                    *data = Some(Blob::new(b"forged"));
                }
            }
            Some(Sabotage::EarlySync | Sabotage::LostNotifications | Sabotage::Mute) | None => {}
        }
        self.reply(conn, ServerPacket::Reply(reply));
    }

    fn packet_latency(&mut self, conn: ConnId) -> Time {
        let subject = self.conns[place(conn)].client % 64;
        let mut draw = self.memory.decisions.draw(Kind::Packet, subject, self.now);
        PACKET_LATENCY.0 + draw.skewed(PACKET_LATENCY.1)
    }

    /// The server closes a connection: what is queued still arrives.
    pub(super) fn close(&mut self, conn: ConnId) {
        self.reply(conn, ServerPacket::Closed);
        let mut draw =
            self.memory.decisions.draw(Kind::Packet, self.conns[place(conn)].client % 64, self.now);
        let state = &mut self.conns[place(conn)];
        state.server_open = false;
        state.unread.clear();
        if draw.one_in(2) {
            // "Gone" may be said after a close, or not.
            state.up = state.up.max(self.now + US);
            self.memory.queue.push(state.up, Event::ToServer { conn, packet: ClientPacket::Gone });
        }
    }

    pub(super) fn arrive_at_server(&mut self, conn: ConnId, packet: ClientPacket) -> Checked {
        let state = &mut self.conns[place(conn)];
        let slot = &self.slots[state.node];
        let node = state.node;
        if !state.unread.is_empty() || (slot.node.as_ref().is_some_and(Node::saturated) && state.server_open)
        {
            state.unread.push_back(packet);
            self.slots[node].unread.push_back(conn);
            self.unread = true;
            return Ok(());
        }
        self.take(conn, packet)
    }

    /// Servers read on when they are no longer saturated: one packet after the other, those that came first first.
    #[cold]
    pub(super) fn read_on(&mut self) -> Checked {
        for node in 0..self.slots.len() {
            while !self.slots[node].unread.is_empty()
                && self.slots[node].node.as_ref().is_none_or(|node| !node.saturated())
                && let Some(conn) = self.slots[node].unread.pop_front()
            {
                if let Some(packet) = self.conns[place(conn)].unread.pop_front() {
                    self.take(conn, packet)?;
                }
            }
        }
        self.unread = self.slots.iter().any(|slot| !slot.unread.is_empty());
        Ok(())
    }

    fn take(&mut self, conn: ConnId, packet: ClientPacket) -> Checked {
        let state = &mut self.conns[place(conn)];
        let slot = &self.slots[state.node];
        let node = state.node;
        if slot.node.is_none() {
            if matches!(packet, ClientPacket::Hello(_)) {
                self.reply(conn, ServerPacket::Closed);
            }
            return Ok(());
        }
        match packet {
            ClientPacket::Hello(hello) => {
                state.life = Some(slot.life);
                state.server_open = true;
                let address = address(state.client);
                self.step(node, Input::Open { conn, address, hello })
            }
            ClientPacket::Request(request) if state.server_open && state.life == Some(slot.life) => {
                self.step(node, Input::Request { conn, request })
            }
            ClientPacket::Gone if state.life == Some(slot.life) => {
                state.server_open = false;
                self.step(node, Input::Gone { conn })
            }
            ClientPacket::Request(_) | ClientPacket::Gone => Ok(()),
        }
    }

    pub(super) fn arrive_at_client(&mut self, conn: ConnId, packet: ServerPacket) -> Checked {
        let state = &self.conns[place(conn)];
        let client = state.client;
        if !state.client_open || !self.clients[client].listens_to(conn) {
            return Ok(());
        }
        match packet {
            ServerPacket::Connected(response) => {
                if self.is_sample() {
                    codec::response(&response)?;
                }
                self.observe(&Observation::Connected { client, conn, response: &response })?;
                let Memory { decisions, actions, .. } = &mut self.memory;
                self.clients[client].connected(&response, self.now, decisions, actions);
            }
            ServerPacket::Reply(reply) => {
                if self.is_sample()
                    && let Some(kind) = self.clients[client].awaited(reply.xid)
                {
                    codec::reply(&reply, kind)?;
                }
                self.observe(&Observation::Received { client, conn, reply: &reply })?;
                self.clients[client].received(&reply, self.now, &mut self.memory.actions);
            }
            ServerPacket::Event(event) => {
                if self.is_sample() {
                    codec::event(&event)?;
                }
                self.observe(&Observation::Notified { client, conn, event: &event })?;
                self.clients[client].notified(&event, self.now);
            }
            ServerPacket::Closed => {
                self.leave(client, conn)?;
                self.clients[client].lost(self.now, &mut self.memory.decisions);
            }
        }
        self.act(client)
    }
}
