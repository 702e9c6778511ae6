//! What clients are told: in order, fresh enough, and what the model says; and what becomes of all that they ask for,
//! answered or not.
//!
//! ```text
//!   asked     a request, as it is kept until it is executed and answered
//!   answers   what an answer has to be
//! ```

mod answers;
mod asked;

use std::collections::{HashMap, VecDeque};

use vivarium_core::api::{ConnectRequest, ConnectResponse, Id, Op, Reply, Request, Response, WatchedEvent};
use vivarium_core::entry::{Body, Command, Entry};
use vivarium_core::error::ErrorCode;
use vivarium_core::hash::Keyed;
use vivarium_core::ids::{ConnId, Origin, SessionId, Zxid};
use vivarium_sim::world::address;
use vivarium_sim::{ClientIndex, Schedule, Violation};

use super::model::{Model, Path};
use super::order::{self, History, Record};
use super::violation;
use super::watches::{Renewal, Watches};
use answers::{check_write, expect_exactly, identities, is_write, proves, same_ids, sees, target};
use asked::{Asked, Lists, Wanted};

/// All connections of all clients.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Those of which something is still to come: a few. Memory of others is kept for those that follow,
    conns: Vec<Conn>,
    free: Vec<usize>,
    /// and a connection's place is found by its number.
    places: Vec<Option<u32>>,
    lists: Lists,
    /// Which connection an entry has attached to its session.
    owners: HashMap<Origin, ConnId, Keyed>,
    /// The address of each client. They outlive the run.
    addresses: Vec<String>,
    /// The highest zxid that each client has been told.
    seen: Vec<i64>,
    /// The highest zxid that any client has been told. Whatever is asked from now on comes after it.
    told: Zxid,
    superuser: bool,
    timeouts: (i32, i32),
}

/// A connection, as its client sees it.
#[derive(Clone, Debug)]
struct Conn {
    client: ClientIndex,
    /// Whether the client still listens.
    open: bool,
    hello: ConnectRequest,
    session: Option<SessionId>,
    /// What was asked, and is not answered, or is a write that nobody has executed: oldest first.
    asked: VecDeque<Asked>,
    /// How many writes were sent.
    writes: u32,
    /// Identities, once their auth packets are sent: what is asked from then on has them all. One that is confirmed
    /// comes before those that are not yet.
    ids: Vec<Id>,
    /// How many of them are confirmed.
    confirmed: usize,
    watches: Watches,
    /// Notifications of a setWatches whose reply has not come.
    renewed: Vec<WatchedEvent>,
}

type Checked = Result<(), Box<Violation>>;

impl Default for Clients {
    fn default() -> Clients {
        Clients {
            conns: Vec::new(),
            free: Vec::new(),
            places: Vec::new(),
            lists: Lists::default(),
            owners: HashMap::with_hasher(Keyed::new(0)),
            addresses: Vec::new(),
            seen: Vec::new(),
            told: Zxid::ZERO,
            superuser: false,
            timeouts: (0, 0),
        }
    }
}

impl Clients {
    /// Forgets the last run.
    pub(super) fn begin(&mut self, schedule: &Schedule) {
        self.free.clear();
        self.free.extend(0..self.conns.len());
        self.conns.iter_mut().for_each(|conn| conn.asked.clear());
        self.places.clear();
        self.lists.clear();
        self.owners.clear();
        self.seen.clear();
        self.told = Zxid::ZERO;
        self.superuser = schedule.superuser;
        self.timeouts = (schedule.limits.session_timeout_min_ms, schedule.limits.session_timeout_max_ms);
    }

    pub(super) fn connecting(&mut self, client: ClientIndex, conn: ConnId, hello: &ConnectRequest) {
        if self.seen.len() <= client {
            self.seen.resize(client + 1, 0);
        }
        let known = self.addresses.len();
        self.addresses.extend((known..=client).map(|client| address(client).to_string()));
        let address = &self.addresses[client];
        let number = conn.0 as usize;
        if self.places.len() <= number {
            self.places.resize(number + 1, None);
        }
        let place = match self.free.pop() {
            Some(place) => {
                self.conns[place].begin(client, address, hello);
                place
            }
            None => {
                self.conns.push(Conn::new(client, address, hello));
                self.conns.len() - 1
            }
        };
        self.places[number] = Some(place as u32);
    }

    /// A server confirms a session, with the entry that it has executed last: that entry must have made the session, or
    /// moved it here.
    pub(super) fn welcomed(
        &mut self,
        conn: ConnId,
        response: &ConnectResponse,
        executed: Option<&Record>,
    ) -> Checked {
        if response.session.0 == 0 {
            return Ok(());
        }
        if let Some(record) = executed
            && record.told.is_ok()
            && let Body::Command(
                Command::CreateSession { session, password, timeout_ms }
                | Command::Attach { session, password, timeout_ms },
            ) = record.entry.body
            && (session, password, timeout_ms) == (response.session, response.password, response.timeout_ms)
            && self.owners.insert(record.entry.origin, conn).is_none()
        {
            return Ok(());
        }
        violation(
            "session-ordered",
            "a session is confirmed when the entry that makes it, or moves it here, is executed, and to one connection",
            format!("{conn:?} is told {response:?} after {:?}", executed.map(|record| &record.entry)),
            "the entry for this connection and session, with its password and timeout".into(),
        )
    }

    /// A request of a client is executed for the first time anywhere: it must be the next one of its connection, as it
    /// was asked, whether its client will ever hear of it or not. Gives the path that it writes to, too.
    pub(super) fn executed(
        &mut self,
        entry: &Entry,
        model: &Model,
    ) -> Result<(Option<order::Asked>, Option<Path>), Box<Violation>> {
        let Body::Command(Command::Request { owner, ids, write, .. }) = &entry.body else {
            return Ok((None, None));
        };
        let owner = self.owners.get(owner).copied();
        let place = owner.and_then(|conn| self.places.get(conn.0 as usize).copied().flatten());
        let found = place.and_then(|place| {
            let asked = &self.conns[place as usize].asked;
            Some((place as usize, asked.iter().position(|asked| asked.write > 0 && !asked.executed)?))
        });
        if let (Some(conn), Some((place, next))) = (owner, found) {
            let state = &mut self.conns[place];
            let asked = &mut state.asked[next];
            if asked.wanted.is(write, model, &self.lists) && same_ids(ids, &state.ids[..asked.ids]) {
                asked.executed = true;
                let known = (order::Asked { conn, number: asked.write }, asked.wanted.path());
                self.settle(conn, place);
                return Ok((Some(known.0), known.1));
            }
        }
        violation(
            "exactly-once",
            "what clients ask for is executed in their order, and at most once",
            format!("{entry:?}, of connection {owner:?}"),
            match found {
                Some((place, next)) => {
                    let state = &self.conns[place];
                    let next = &state.asked[next];
                    format!(
                        "{:?} as {:?}, which it has asked for next",
                        next.wanted.op(model, &self.lists),
                        &state.ids[..next.ids]
                    )
                }
                None => "nothing more: it has asked for nothing else".into(),
            },
        )
    }

    /// The handshake is answered (sections 1.5 and 7).
    pub(super) fn connected(&mut self, conn: ConnId, response: &ConnectResponse, model: &Model) -> Checked {
        let place = self.place(conn);
        let state = &mut self.conns[place];
        let hello = &state.hello;
        let known = model.session(hello.session);
        let right = known.is_some_and(|known| {
            hello.password.as_ref().is_some_and(|password| password[..] == known.password)
        });
        let problem = if response.session.0 == 0 || response.timeout_ms <= 0 {
            if hello.session.0 == 0 {
                Some("a new session is never refused")
            } else if right {
                Some("a session that is open is not refused to the holder of its password")
            } else {
                None
            }
        } else {
            let granted = hello.timeout_ms.clamp(self.timeouts.0, self.timeouts.1);
            let renewed = hello.session.0 != 0;
            let session = model.session(response.session);
            if renewed && response.session != hello.session {
                Some("the session that was asked for")
            } else if renewed && known.is_some() && !right {
                Some("a session is not given to someone who has not its password")
            } else if session.is_some_and(|session| session.password != response.password) {
                Some("the session's password")
            } else if response.timeout_ms != granted {
                Some("the timeout that was asked for, within the limits")
            } else if response.read_only != hello.read_only.map(|_| false) {
                Some("the read-only flag if, and only if, the client has it")
            } else if response.session.0 < 0 {
                Some("a positive session id")
            } else {
                None
            }
        };
        state.session = Some(response.session).filter(|session| session.0 != 0);
        match problem {
            None => Ok(()),
            Some(expected) => violation(
                "handshake",
                "a handshake is answered as the session's state demands",
                format!("{response:?} to {hello:?}; the session is {known:?}"),
                expected.into(),
            ),
        }
    }

    pub(super) fn sent(&mut self, conn: ConnId, request: &Request, model: &mut Model) {
        let place = self.place(conn);
        let state = &mut self.conns[place];
        if matches!(request.op, Op::Auth { .. }) {
            for id in identities(&request.op, self.superuser).unwrap_or_default() {
                if !state.ids.contains(&id) {
                    state.ids.push(id);
                }
            }
        }
        let is_write = is_write(&request.op);
        state.writes += u32::from(is_write);
        state.asked.push_back(Asked {
            xid: request.xid,
            write: if is_write { state.writes } else { 0 },
            ids: state.ids.len(),
            told: self.told,
            answered: false,
            executed: false,
            wanted: Wanted::of(&request.op, model, &mut self.lists),
        });
    }

    pub(super) fn lost(&mut self, conn: ConnId) {
        let place = self.place(conn);
        let state = &mut self.conns[place];
        state.open = false;
        state.asked.iter_mut().for_each(|asked| asked.answered = true);
        self.settle(conn, place);
    }

    pub(super) fn notified(&mut self, conn: ConnId, event: &WatchedEvent, model: &mut Model) -> Checked {
        let place = self.place(conn);
        let state = &mut self.conns[place];
        if event.zxid == -1 {
            state.renewed.push(event.clone());
            return Ok(());
        }
        state.watches.notified(event, &state.ids, model)
    }

    pub(super) fn received(
        &mut self,
        conn: ConnId,
        reply: &Reply,
        history: &mut History,
        model: &mut Model,
    ) -> Checked {
        let place = self.place(conn);
        let state = &mut self.conns[place];
        let Some(which) = state.answered_by(reply) else {
            let first = state.asked.iter().find(|asked| !asked.answered);
            return violation(
                "fifo",
                "requests of a connection are answered in their order",
                format!("{reply:?}"),
                format!("an answer to {:?}", first.map(|asked| asked.wanted.op(model, &self.lists))),
            );
        };
        state.asked[which].answered = true;
        match &state.asked[which].wanted {
            Wanted::Other(op) if matches!(**op, Op::Auth { .. }) => {
                state.authenticated(which, reply)?;
            }
            Wanted::Other(op) if matches!(**op, Op::Unknown { .. }) => {
                expect_exactly(reply, -1, &Err(ErrorCode::Unimplemented), op)?;
            }
            _ => self.check_reply(conn, place, which, reply, history, model)?,
        }
        self.settle(conn, place);
        Ok(())
    }

    /// A reply that knows of the tree.
    fn check_reply(
        &mut self,
        conn: ConnId,
        place: usize,
        which: usize,
        reply: &Reply,
        history: &mut History,
        model: &mut Model,
    ) -> Checked {
        let state = &mut self.conns[place];
        let asked = &state.asked[which];
        let zxid = Zxid(reply.zxid as u64);
        let seen = &mut self.seen[state.client];
        *seen = (*seen).max(state.hello.last_zxid_seen);
        if reply.zxid < *seen {
            return violation(
                "monotonic",
                "a client never goes back in time, on whichever server",
                format!("{reply:?} to {:?}", asked.wanted.op(model, &self.lists)),
                format!("a zxid of at least {seen:#x}, which it has seen"),
            );
        }
        let Some(position) = history.position(zxid) else {
            return violation(
                "integrity",
                "the zxid of a reply is one that is committed",
                format!("{reply:?} to {:?}", asked.wanted.op(model, &self.lists)),
                format!("a zxid of the history, which ends at {:?}", history.last()),
            );
        };
        *seen = reply.zxid;
        // What this reply knows of must have been told before, own changes included.
        state.watches.replied(zxid, &state.ids, model)?;
        if asked.write > 0 {
            check_write(conn, asked, reply, history, position, model, &self.lists)?;
        } else {
            state.check_read(which, reply, zxid, model, &self.lists)?;
        }
        self.told = self.told.max(zxid);
        Ok(())
    }

    /// The place of a connection that its client has open.
    #[inline]
    fn place(&self, conn: ConnId) -> usize {
        let place = self.places.get(conn.0 as usize).copied().flatten();
        let place = place.expect("who asks or is answered has connected") as usize;
        assert!(self.conns[place].open, "and listens");
        place
    }

    /// Forgets what is over.
    #[inline]
    fn settle(&mut self, conn: ConnId, place: usize) {
        let state = &mut self.conns[place];
        while state.asked.front().is_some_and(Asked::is_over) {
            state.asked.pop_front();
        }
        if !state.open {
            self.settle_closed(conn, place);
        }
    }

    fn settle_closed(&mut self, conn: ConnId, place: usize) {
        let state = &mut self.conns[place];
        state.asked.retain(|asked| !asked.is_over());
        if state.asked.is_empty() {
            self.free.push(place);
            self.places[conn.0 as usize] = None;
        }
    }
}

impl Conn {
    fn new(client: ClientIndex, address: &str, hello: &ConnectRequest) -> Conn {
        Conn {
            client,
            open: true,
            hello: hello.clone(),
            session: None,
            asked: VecDeque::new(),
            writes: 0,
            ids: vec![Id { scheme: "ip".into(), id: address.into() }],
            confirmed: 1,
            watches: Watches::default(),
            renewed: Vec::new(),
        }
    }

    /// Another connection takes over the memory of one that is over.
    fn begin(&mut self, client: ClientIndex, address: &str, hello: &ConnectRequest) {
        self.ids.truncate(1);
        self.ids[0].id.clear();
        self.ids[0].id.push_str(address);
        self.client = client;
        self.open = true;
        self.hello = hello.clone();
        self.session = None;
        self.asked.clear();
        self.writes = 0;
        self.confirmed = 1;
        self.watches.clear();
        self.renewed.clear();
    }

    /// The request that a reply answers: the oldest; but auth replies may overtake.
    fn answered_by(&self, reply: &Reply) -> Option<usize> {
        let waits = |asked: &Asked| !asked.answered;
        let first = self.asked.iter().position(waits)?;
        if self.asked[first].xid == reply.xid {
            return Some(first);
        }
        let auth = self.asked.iter().position(|asked| waits(asked) && asked.wanted.is_auth())?;
        (self.asked[auth].xid == reply.xid).then_some(auth)
    }

    fn authenticated(&mut self, which: usize, reply: &Reply) -> Checked {
        let asked = &self.asked[which];
        let Wanted::Other(op) = &asked.wanted else { unreachable!("an auth packet") };
        match proves(op) {
            Some(_) => {
                // Auth packets are answered in their order: all that this client was when it sent this one is confirmed.
                self.confirmed = self.confirmed.max(asked.ids);
                expect_exactly(reply, 0, &Ok(Response::Empty), op)
            }
            None => expect_exactly(reply, 0, &Err(ErrorCode::AuthFailed), op),
        }
    }

    fn check_read(
        &mut self,
        which: usize,
        reply: &Reply,
        zxid: Zxid,
        model: &mut Model,
        lists: &Lists,
    ) -> Checked {
        let Conn { asked, watches, renewed, ids, confirmed, .. } = self;
        let asked = &asked[which];
        match &asked.wanted {
            Wanted::Sync { .. } if zxid < asked.told => {
                return violation(
                    "sync",
                    "after a sync a client sees all that anybody had been told when it asked",
                    format!("a sync passed at {zxid:?}"),
                    format!("at least {:?}", asked.told),
                );
            }
            Wanted::Other(op) => {
                if let Op::SetWatches { relative_zxid, data, exist, child } = &**op {
                    let renewal = Renewal::new(model, zxid, *relative_zxid, data, exist, child);
                    let seen: Vec<_> =
                        renewed.drain(..).map(|event| (event.kind, event.path.to_string())).collect();
                    if seen != renewal.events {
                        return violation(
                            "watch-renewal",
                            "setWatches tells at once what has changed meanwhile, and sets the rest",
                            format!("{seen:?} for {op:?} at {zxid:?}"),
                            format!("{:?}", renewal.events),
                        );
                    }
                    for (path, child) in renewal.set {
                        watches.add(model.path(&path), child, zxid, *confirmed);
                    }
                }
            }
            _ => {}
        }
        if !sees(model, &asked.wanted, &ids[..asked.ids], zxid, &reply.result) {
            return violation(
                "reads",
                "a read answered at some zxid sees the state at that zxid",
                format!("{reply:?} to {:?} of {:?}", asked.wanted.op(model, lists), &ids[..asked.ids]),
                match target(&asked.wanted) {
                    Some((path, _)) => format!(
                        "what {:?} was then: {:?}, with the children {:?} and the ACL {:?}",
                        model.name(path),
                        model.at(path, zxid),
                        model.children(path, zxid).iter().map(|child| model.name(*child)).collect::<Vec<_>>(),
                        model.at(path, zxid).map(|node| model.acl(node)),
                    ),
                    None => "its one answer".into(),
                },
            );
        }
        match (&asked.wanted, &reply.result) {
            (Wanted::Exists { path, watch: true }, Ok(_) | Err(ErrorCode::NoNode))
            | (Wanted::Data { path, watch: true }, Ok(_)) => watches.add(*path, false, zxid, *confirmed),
            (Wanted::Children { path, watch: true, .. }, Ok(_)) => {
                watches.add(*path, true, zxid, *confirmed);
            }
            _ => {}
        }
        Ok(())
    }
}
