//! The service as its documentation describes it: one tree, one writer, no concurrency. Obvious on purpose.
//!
//! It executes the global history, entry by entry, and remembers how every node looked after each of them, so that a
//! read that was answered at some zxid can be compared with the state at that very zxid. It shares the words of the
//! protocol with the core, and none of the code that gives them meaning.
//!
//! Paths are looked up once and go by number from then on; a node's versions share what they can, and so do copies of
//! the model.

mod acl;
mod write;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use vivarium_core::api::{Acl, Blob, Data, EventKind, Id, Response, Stat, perms};
use vivarium_core::entry::{Body, Command, Entry, Write};
use vivarium_core::error::ErrorCode;
use vivarium_core::hash::Keyed;
use vivarium_core::ids::{Origin, SessionId, Zxid};

use super::table::Table;
use acl::List;

/// The reference model.
#[derive(Clone, Debug)]
pub struct Model {
    names: Arc<HashMap<Arc<str>, Path, Keyed>>,
    places: Table<Place>,
    sessions: BTreeMap<SessionId, Session>,
    /// Every session there ever was.
    used: BTreeSet<SessionId>,
    /// How many things there were that fire watches.
    triggers: u32,
    applied: Zxid,
    // While an entry is executed:
    changed: bool,
    fired: Vec<Fired>,
    /// What to put back if a multi fails: places, with the version that was replaced, if one was.
    undo: Vec<(Path, Option<Version>)>,
}

/// A path that somebody has named, whether there is a node or not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Path(u32);

/// What is known of a path.
#[derive(Clone, Debug)]
struct Place {
    name: Arc<str>,
    /// What comes before the last slash. `None` without a slash, or with a NUL.
    parent: Option<Path>,
    /// Section 5.
    valid: bool,
    /// How it looked, and since when.
    versions: Vec<Version>,
    /// What could have fired a watch here, in the order of the history.
    triggers: Vec<Trigger>,
}

/// How a path looked from some zxid on. `None`: it did not exist.
#[derive(Clone, Debug)]
struct Version {
    since: Zxid,
    node: Option<Arc<Node>>,
}

/// A node, as it looks from outside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its data.
    pub data: Data,
    /// Its ACL, as stored.
    acl: List,
    /// Its Stat (section 4).
    pub stat: Stat,
    /// Its children, by name.
    children: Arc<Vec<Path>>,
    /// Children ever created; those at birth do not count.
    created: i64,
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
    /// Its ephemerals, and perhaps some that are gone.
    ephemerals: Vec<Path>,
}

/// Something that fires watches of one path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trigger {
    /// When.
    pub zxid: Zxid,
    /// Its place among all triggers: within a zxid they come in the order of section 6.3.
    pub number: u32,
    /// As what.
    pub kind: EventKind,
    acl: List,
}

/// A change, before it is known whether its multi succeeds.
#[derive(Clone, Debug)]
struct Fired {
    path: Path,
    kind: EventKind,
    acl: List,
}

/// What executing an entry comes to.
pub type Outcome = Result<Response, ErrorCode>;

impl Model {
    /// The tree at birth (section 5), and no session.
    pub fn new() -> Model {
        let mut model = Model {
            names: Arc::new(HashMap::with_hasher(Keyed::new(0))),
            places: Table::default(),
            sessions: BTreeMap::new(),
            used: BTreeSet::new(),
            triggers: 0,
            applied: Zxid::ZERO,
            changed: false,
            fired: Vec::new(),
            undo: Vec::new(),
        };
        let open = List::new(Acl::open());
        let read = List::new(vec![Acl { perms: perms::READ, id: Id::anyone() }]);
        let mut node = |name: &str, children: &[Path], acl: &List, version| {
            let path = model.path(name);
            let mut node = Node::new(Some(Blob::new(b"")), acl.clone(), Zxid::ZERO, 0, 0);
            node.children = Arc::new(children.to_vec());
            node.stat.version = version;
            node.stat.aversion = version;
            node.count();
            model.put(path, Some(node));
            path
        };
        let config = node("/zookeeper/config", &[], &read, -1);
        let quota = node("/zookeeper/quota", &[], &open, 0);
        let zookeeper = node("/zookeeper", &[config, quota], &open, 0);
        node("/", &[zookeeper], &open, 0);
        model.fire_all();
        model.changed = false;
        model
    }

    /// Executes the next entry.
    pub fn execute(&mut self, entry: &Entry) -> Outcome {
        assert!(entry.zxid > self.applied, "the history ascends");
        self.applied = entry.zxid;
        self.changed = false;
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
        self.fire_all();
        outcome
    }

    /// The last entry executed.
    pub fn applied(&self) -> Zxid {
        self.applied
    }

    /// Whether the last entry executed has changed anything.
    pub fn changed(&self) -> bool {
        self.changed
    }

    /// An open session.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// Whether there was ever such a session.
    pub fn knew(&self, id: SessionId) -> bool {
        self.used.contains(&id)
    }

    /// All open sessions, ascending.
    pub fn sessions(&self) -> impl Iterator<Item = (&SessionId, &Session)> {
        self.sessions.iter()
    }

    /// All nodes that exist now, with their paths.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.places.iter().filter_map(|place| Some((&*place.name, place.now()?)))
    }

    /// A path by its name.
    pub fn path(&mut self, name: &str) -> Path {
        if let Some(path) = self.names.get(name) {
            return *path;
        }
        let parent = write::parent(name).filter(|parent| *parent != name).map(|parent| self.path(parent));
        let valid = write::validate(name).is_ok();
        let name: Arc<str> = name.into();
        let place = Place { name: name.clone(), parent, valid, versions: Vec::new(), triggers: Vec::new() };
        let path = Path(self.places.push(place) as u32);
        Arc::make_mut(&mut self.names).insert(name, path);
        path
    }

    /// The name of a path.
    pub fn name(&self, path: Path) -> &str {
        &self.places[path.0 as usize].name
    }

    /// How a path looked right after this zxid.
    pub fn at(&self, path: &str, zxid: Zxid) -> Option<&Node> {
        // The root goes by two names.
        let path = if path.is_empty() { "/" } else { path };
        let versions = &self.place(*self.names.get(path)?).versions;
        let mut newest = versions.iter().rev();
        newest.find(|version| version.since <= zxid)?.node.as_deref()
    }

    /// The names of a node's children, in order.
    pub fn children<'a>(&'a self, node: &'a Node) -> impl ExactSizeIterator<Item = &'a str> {
        node.children.iter().map(|child| last_part(self.name(*child)))
    }

    /// The first thing after this zxid, if there was any, that would fire a watch on the path's data (or, `child`, on
    /// its list of children).
    pub fn first_trigger(&self, path: Path, child: bool, after: Zxid) -> Option<&Trigger> {
        let triggers = &self.place(path).triggers;
        if triggers.last()?.zxid <= after {
            return None;
        }
        let start = triggers.partition_point(|trigger| trigger.zxid <= after);
        triggers[start..].iter().find(|trigger| match trigger.kind {
            EventKind::NodeCreated | EventKind::NodeDataChanged => !child,
            EventKind::NodeChildrenChanged => child,
            EventKind::NodeDeleted => true,
        })
    }

    /// How many things there were that fire watches: while this stays, none has fired.
    pub fn triggered(&self) -> u32 {
        self.triggers
    }

    fn attach(&mut self, session: SessionId, password: [u8; 16], timeout_ms: i32, owner: Origin) {
        self.changed = true;
        self.used.insert(session);
        let ephemerals = self.sessions.remove(&session).map(|known| known.ephemerals).unwrap_or_default();
        self.sessions.insert(session, Session { password, timeout_ms, owner, ephemerals });
    }

    /// A session ends, and all its ephemerals with it, by path, under one zxid.
    fn end_session(&mut self, session: SessionId) {
        self.changed = true;
        let Some(ended) = self.sessions.remove(&session) else { return };
        let mut ephemerals: Vec<(Arc<str>, Path)> = (ended.ephemerals.into_iter())
            .filter(|path| self.now(*path).is_some_and(|node| node.stat.ephemeral_owner == session.0))
            .map(|path| (self.place(path).name.clone(), path))
            .collect();
        ephemerals.sort();
        ephemerals.dedup();
        for (_, path) in ephemerals {
            self.remove(path);
        }
    }

    fn place(&self, path: Path) -> &Place {
        &self.places[path.0 as usize]
    }

    /// A node as it is now.
    fn now(&self, path: Path) -> Option<&Node> {
        self.place(path).now()
    }

    /// A node looks like this from now on.
    fn put(&mut self, path: Path, node: Option<Node>) {
        let since = self.applied;
        self.changed = true;
        let versions = &mut self.places[path.0 as usize].versions;
        let replaced =
            if versions.last().is_some_and(|last| last.since == since) { versions.pop() } else { None };
        versions.push(Version { since, node: node.map(Arc::new) });
        self.undo.push((path, replaced));
    }

    /// Writes down what the entry has fired.
    fn fire_all(&mut self) {
        self.undo.clear();
        let mut fired = std::mem::take(&mut self.fired);
        for Fired { path, kind, acl } in fired.drain(..) {
            self.triggers += 1;
            let trigger = Trigger { zxid: self.applied, number: self.triggers, kind, acl };
            self.places[path.0 as usize].triggers.push(trigger);
        }
        self.fired = fired;
    }
}

impl Default for Model {
    fn default() -> Model {
        Model::new()
    }
}

impl Place {
    fn now(&self) -> Option<&Node> {
        self.versions.last()?.node.as_deref()
    }
}

impl Trigger {
    /// Whether someone with these identities may see it.
    pub fn visible_to(&self, ids: &[Id]) -> bool {
        self.acl.allows(perms::READ, ids)
    }
}

impl Node {
    fn new(data: Data, acl: List, zxid: Zxid, time: i64, owner: i64) -> Node {
        let stat = Stat {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            ephemeral_owner: owner,
            data_length: length(&data),
            ..Stat::default()
        };
        Node { data, acl, stat, children: Arc::default(), created: 0 }
    }

    /// Brings the numbers about its children up to date.
    fn count(&mut self) {
        let children = self.children.len() as i64;
        self.stat.num_children = children as i32;
        self.stat.cversion = (2 * self.created - children) as i32;
    }

    /// Whether someone with these identities has one of the permissions.
    pub fn allows(&self, wanted: i32, ids: &[Id]) -> bool {
        self.acl.allows(wanted, ids)
    }

    /// Its ACL, as stored.
    pub fn acl(&self) -> &[Acl] {
        &self.acl.entries
    }

    /// The ACL as it is shown to someone: without ADMIN, digests are hidden (section 8.5).
    pub fn acl_for(&self, ids: &[Id]) -> Vec<Acl> {
        let mut shown = self.acl.entries.to_vec();
        if !self.acl.allows(perms::ADMIN, ids) {
            for entry in shown.iter_mut().filter(|entry| entry.id.scheme == "digest") {
                let user: &str = entry.id.id.split(':').next().unwrap_or("");
                entry.id.id = format!("{user}:x");
            }
        }
        shown
    }
}

fn length(data: &Data) -> i32 {
    data.as_ref().map_or(0, |data| data.len() as i32)
}

/// What comes after the last slash.
fn last_part(path: &str) -> &str {
    path.rfind('/').map_or(path, |slash| &path[slash + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use vivarium_core::api::{Create, MultiOp};
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
        let (a, root) = (model.path("/a"), model.path("/"));
        for child in [false, true] {
            assert_eq!(model.first_trigger(a, child, then).unwrap().kind, EventKind::NodeDeleted);
        }
        assert_eq!(model.first_trigger(root, true, then).unwrap().kind, EventKind::NodeChildrenChanged);
        assert!(model.first_trigger(root, false, Zxid::ZERO).is_none());
        assert!(model.first_trigger(a, true, model.applied()).is_none());
    }

    #[test]
    fn a_multi_that_fails_leaves_nothing_behind() {
        let mut model = with_session();
        write(&mut model, create("/a", 0)).unwrap();
        let then = format!("{:?}", model.nodes().collect::<Vec<_>>());
        let item = |path: &str| match create(path, 1) {
            Write::Create(create) => MultiOp::Create(create),
            _ => unreachable!(),
        };
        let delete = MultiOp::Delete { path: "/a".into(), version: -1 };
        let items = vec![item("/b"), delete.clone(), item("/a"), item("/b")];
        write(&mut model, Write::Multi(items)).unwrap();
        assert!(!model.changed());
        assert_eq!(format!("{:?}", model.nodes().collect::<Vec<_>>()), then);
        write(&mut model, Write::Multi(vec![item("/b"), delete, item("/a")])).unwrap();
        assert!(model.changed() && model.at("/a", model.applied()).unwrap().stat.ephemeral_owner != 0);
    }

    #[test]
    fn copies_go_their_own_ways() {
        let mut model = with_session();
        write(&mut model, create("/a", 0)).unwrap();
        let mut other = model.clone();
        write(&mut model, create("/b", 0)).unwrap();
        write(&mut other, create("/c", 0)).unwrap();
        assert!(other.at("/b", other.applied()).is_none() && model.at("/c", model.applied()).is_none());
        assert_eq!(
            model.children(model.at("/", model.applied()).unwrap()).collect::<Vec<_>>(),
            ["a", "b", "zookeeper"]
        );
    }
}
