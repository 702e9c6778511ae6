//! The service as its documentation describes it: one tree, one writer, no concurrency. Slow and obvious on purpose.
//!
//! It executes the global history, entry by entry, and remembers how every node looked after each of them, so that a
//! read that was answered at some zxid can be compared with the state at that very zxid. It shares the words of the
//! protocol with the core, and none of the code that gives them meaning.

mod acl;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use vivarium_core::api::{Acl, Blob, Data, EventKind, Id, Response, Stat, perms};
use vivarium_core::entry::{Body, Command, Entry, Write};
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::{Origin, SessionId, Zxid};

pub use acl::may;

/// The reference model.
#[derive(Clone, Debug)]
pub struct Model {
    tree: BTreeMap<String, Node>,
    sessions: BTreeMap<SessionId, Session>,
    /// How each path looked, by the zxid since which it did. `None`: it did not exist.
    past: BTreeMap<String, Vec<(Zxid, Option<View>)>>,
    /// What could have fired a watch on each path, in the order of the history.
    triggers: BTreeMap<String, Vec<Trigger>>,
    applied: Zxid,
    // While an entry is executed:
    touched: Vec<String>,
    fired: Vec<Fired>,
}

/// A node.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Node {
    data: Data,
    acl: Arc<[Acl]>,
    czxid: Zxid,
    mzxid: Zxid,
    pzxid: Zxid,
    ctime: i64,
    mtime: i64,
    version: i32,
    aversion: i32,
    owner: i64,
    /// Children ever created; those at birth do not count.
    created: i64,
    children: Arc<Vec<String>>,
}

/// How a node looks from outside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// Its data.
    pub data: Data,
    /// Its ACL, as stored.
    pub acl: Arc<[Acl]>,
    /// Its Stat.
    pub stat: Stat,
    /// The names of its children, sorted.
    pub children: Arc<Vec<String>>,
}

/// An open session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// Its password.
    pub password: [u8; 16],
    /// Its timeout, ms.
    pub timeout_ms: i32,
    /// Where it was attached last.
    pub owner: Origin,
}

/// Something that fires watches of one path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trigger {
    /// When.
    pub zxid: Zxid,
    /// As what.
    pub kind: EventKind,
    /// Who may see it: those who may read under this ACL.
    pub acl: Arc<[Acl]>,
}

/// A change, before it is known whether its multi succeeds.
#[derive(Clone, Debug)]
struct Fired {
    path: String,
    kind: EventKind,
    acl: Arc<[Acl]>,
}

/// What executing an entry comes to.
pub type Outcome = Result<Response, ErrorCode>;

impl Model {
    /// The tree at birth (section 5), and no session.
    pub fn new() -> Model {
        let mut model = Model {
            tree: BTreeMap::new(),
            sessions: BTreeMap::new(),
            past: BTreeMap::new(),
            triggers: BTreeMap::new(),
            applied: Zxid::ZERO,
            touched: Vec::new(),
            fired: Vec::new(),
        };
        let open: Arc<[Acl]> = Acl::open().into();
        let read: Arc<[Acl]> = [Acl { perms: perms::READ, id: Id::anyone() }].into();
        let node = |children: &[&str], acl: &Arc<[Acl]>, version| Node {
            data: Some(Blob::new(b"")),
            acl: acl.clone(),
            czxid: Zxid::ZERO,
            mzxid: Zxid::ZERO,
            pzxid: Zxid::ZERO,
            ctime: 0,
            mtime: 0,
            version,
            aversion: version,
            owner: 0,
            created: 0,
            children: Arc::new(children.iter().map(ToString::to_string).collect()),
        };
        model.tree.insert("/".into(), node(&["zookeeper"], &open, 0));
        model.tree.insert("/zookeeper".into(), node(&["config", "quota"], &open, 0));
        model.tree.insert("/zookeeper/quota".into(), node(&[], &open, 0));
        model.tree.insert("/zookeeper/config".into(), node(&[], &read, -1));
        model.touched = model.tree.keys().cloned().collect();
        model.remember();
        model
    }

    /// Executes the next entry.
    pub fn execute(&mut self, entry: &Entry) -> Outcome {
        assert!(entry.zxid > self.applied, "the history ascends");
        self.applied = entry.zxid;
        let outcome = match &entry.body {
            Body::Opening => Ok(Response::Empty),
            Body::Command(Command::CreateSession { session, password, timeout_ms }) => {
                if self.sessions.contains_key(session) {
                    Err(ErrorCode::NodeExists)
                } else {
                    self.attach(*session, *password, *timeout_ms, entry.origin);
                    Ok(Response::Empty)
                }
            }
            Body::Command(Command::Attach { session, password, timeout_ms }) => {
                match self.sessions.get(session) {
                    Some(known) if known.password == *password => {
                        self.attach(*session, *password, *timeout_ms, entry.origin);
                        Ok(Response::Empty)
                    }
                    _ => Err(ErrorCode::SessionExpired),
                }
            }
            Body::Command(Command::Expire { session, owner }) => {
                if self.sessions.get(session).is_some_and(|known| known.owner == *owner) {
                    self.end_session(*session);
                }
                Ok(Response::Empty)
            }
            Body::Command(Command::Request { session, owner, ids, write }) => {
                match self.sessions.get(session) {
                    None => Err(ErrorCode::SessionExpired),
                    Some(known) if known.owner != *owner => Err(ErrorCode::SessionMoved),
                    Some(_) if *write == Write::Close => {
                        self.end_session(*session);
                        Ok(Response::Empty)
                    }
                    Some(_) => self.write(*session, ids, write, entry.time.0),
                }
            }
        };
        self.remember();
        outcome
    }

    /// The last entry executed.
    pub fn applied(&self) -> Zxid {
        self.applied
    }

    /// An open session.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// All open sessions, ascending.
    pub fn sessions(&self) -> impl Iterator<Item = (&SessionId, &Session)> {
        self.sessions.iter()
    }

    /// All paths that exist now.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.tree.keys().map(String::as_str)
    }

    /// How a path looked right after this zxid.
    pub fn at(&self, path: &str, zxid: Zxid) -> Option<&View> {
        // The root goes by two names.
        let path = if path.is_empty() { "/" } else { path };
        let past = self.past.get(path)?;
        let later = past.partition_point(|(since, _)| *since <= zxid);
        past[..later].last()?.1.as_ref()
    }

    /// The first thing after this zxid, if there was any, that would fire a watch on the path's data (or, `child`, on
    /// its list of children).
    pub fn first_trigger(&self, path: &str, child: bool, after: Zxid) -> Option<&Trigger> {
        let triggers = self.triggers.get(path)?;
        let start = triggers.partition_point(|trigger| trigger.zxid <= after);
        triggers[start..].iter().find(|trigger| match trigger.kind {
            EventKind::NodeCreated | EventKind::NodeDataChanged => !child,
            EventKind::NodeChildrenChanged => child,
            EventKind::NodeDeleted => true,
        })
    }

    fn attach(&mut self, session: SessionId, password: [u8; 16], timeout_ms: i32, owner: Origin) {
        self.sessions.insert(session, Session { password, timeout_ms, owner });
    }

    /// A session ends, and all its ephemerals with it, under one zxid.
    fn end_session(&mut self, session: SessionId) {
        self.sessions.remove(&session);
        let ephemerals: Vec<String> = (self.tree.iter())
            .filter(|(_, node)| node.owner == session.0)
            .map(|(path, _)| path.clone())
            .collect();
        for path in ephemerals {
            self.remove(&path);
        }
    }

    /// Writes down what the entry changed.
    fn remember(&mut self) {
        for path in std::mem::take(&mut self.touched) {
            let view = self.tree.get(&path).map(View::of);
            let past = self.past.entry(path).or_default();
            match past.last_mut() {
                Some((since, last)) if *since == self.applied => *last = view,
                _ => past.push((self.applied, view)),
            }
        }
        for Fired { path, kind, acl } in std::mem::take(&mut self.fired) {
            self.triggers.entry(path).or_default().push(Trigger { zxid: self.applied, kind, acl });
        }
    }
}

impl Default for Model {
    fn default() -> Model {
        Model::new()
    }
}

impl View {
    fn of(node: &Node) -> View {
        View {
            data: node.data.clone(),
            acl: node.acl.clone(),
            stat: node.stat(),
            children: node.children.clone(),
        }
    }

    /// The ACL as it is shown to someone: without ADMIN, digests are hidden (section 8.5).
    pub fn acl_for(&self, ids: &[Id]) -> Vec<Acl> {
        let mut shown = self.acl.to_vec();
        if !may(&self.acl, perms::ADMIN, ids) {
            for entry in shown.iter_mut().filter(|entry| entry.id.scheme == "digest") {
                let user: &str = entry.id.id.split(':').next().unwrap_or("");
                entry.id.id = format!("{user}:x");
            }
        }
        shown
    }
}

impl Node {
    /// Section 4.
    fn stat(&self) -> Stat {
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: (2 * self.created - self.children.len() as i64) as i32,
            aversion: self.aversion,
            ephemeral_owner: self.owner,
            data_length: self.data.as_ref().map_or(0, |data| data.len() as i32),
            num_children: self.children.len() as i32,
            pzxid: self.pzxid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vivarium_core::api::Create;
    use vivarium_core::ids::{Epoch, PeerId};
    use vivarium_core::time::Timestamp;

    const SESSION: SessionId = SessionId(77);
    const ORIGIN: Origin = Origin { peer: PeerId(1), stream: 5, number: 1 };

    fn run(model: &mut Model, command: Command) -> Outcome {
        let zxid = Zxid::new(Epoch(1), model.applied().counter() + 1);
        let body = Body::Command(command);
        model.execute(&Entry { zxid, time: Timestamp(1000), origin: ORIGIN, body })
    }

    fn write(model: &mut Model, write: Write) -> Outcome {
        run(model, Command::Request { session: SESSION, owner: ORIGIN, ids: [].into(), write })
    }

    fn create(path: &str, flags: i32) -> Write {
        Write::Create(Create { path: path.into(), data: None, acl: Some(Acl::open()), flags, stat: false })
    }

    fn with_session() -> Model {
        let mut model = Model::new();
        run(&mut model, Command::CreateSession { session: SESSION, password: [1; 16], timeout_ms: 9 })
            .unwrap();
        model
    }

    #[test]
    fn the_root_at_birth_has_a_strange_cversion() {
        let model = Model::new();
        assert_eq!(model.at("", Zxid::ZERO).unwrap().stat.cversion, -1);
        assert_eq!(model.at("/zookeeper", Zxid::ZERO).unwrap().stat.cversion, -2);
    }

    #[test]
    fn the_past_is_remembered() {
        let mut model = with_session();
        write(&mut model, create("/a", 0)).unwrap();
        let then = model.applied();
        write(&mut model, Write::Delete { path: "/a".into(), version: -1 }).unwrap();
        assert!(model.at("/a", then).is_some());
        assert!(model.at("/a", model.applied()).is_none());
        assert_eq!(model.at("/", then).unwrap().children.len(), 2);
        assert_eq!(model.at("/", model.applied()).unwrap().stat.cversion, 1);
    }

    #[test]
    fn ephemerals_and_their_session_end_together() {
        let mut model = with_session();
        write(&mut model, create("/e", 1)).unwrap();
        assert_eq!(model.at("/e", model.applied()).unwrap().stat.ephemeral_owner, SESSION.0);
        run(&mut model, Command::Expire { session: SESSION, owner: Origin { number: 2, ..ORIGIN } }).unwrap();
        assert!(model.session(SESSION).is_some(), "it has moved since");
        run(&mut model, Command::Expire { session: SESSION, owner: ORIGIN }).unwrap();
        assert!(model.session(SESSION).is_none());
        assert!(model.at("/e", model.applied()).is_none());
        assert_eq!(write(&mut model, create("/x", 0)), Err(ErrorCode::SessionExpired));
    }

    #[test]
    fn a_deletion_fires_both_kinds_of_watches_and_the_parents() {
        let mut model = with_session();
        write(&mut model, create("/a", 0)).unwrap();
        let then = model.applied();
        write(&mut model, Write::Delete { path: "/a".into(), version: -1 }).unwrap();
        for child in [false, true] {
            assert_eq!(model.first_trigger("/a", child, then).unwrap().kind, EventKind::NodeDeleted);
        }
        assert_eq!(model.first_trigger("/", true, then).unwrap().kind, EventKind::NodeChildrenChanged);
        assert!(model.first_trigger("/", false, Zxid::ZERO).is_none());
        assert!(model.first_trigger("/a", true, model.applied()).is_none());
    }
}
