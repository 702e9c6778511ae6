//! The service as its documentation describes it: one tree, one writer, no concurrency. Obvious on purpose.
//!
//! It executes the global history, entry by entry, and remembers how every node looked after each of them, so that a
//! read that was answered at some zxid can be compared with the state at that very zxid. It shares the words of the
//! protocol with the core, and none of the code that gives them meaning.
//!
//! Paths are looked up once and go by number from then on; so do ACLs. What has happened is kept in tables that only
//! grow, a node's versions linked from the newest back: an entry costs no memory of its own, a run takes over the tables
//! of the last one, and copies of the model share them.
//!
//! ```text
//!   past       how things looked at some zxid, and what has fired watches since
//!   write      what writes do
//!   acl names  access control; the numbers of paths
//! ```

mod acl;
mod names;
mod past;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vivarium_core::api::{Acl, Blob, Data, EventKind, Id, MultiResult, Response, Stat, perms};
use vivarium_core::entry::{Body, Command, Entry, Write};
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::{Origin, SessionId, Zxid};

use super::table::Table;
use acl::List;
use names::Names;
use past::{Link, Shift, Version};

pub use past::Trigger;

/// The reference model.
#[derive(Clone, Debug)]
pub struct Model {
    names: Arc<Names>,
    /// What is known of each path, by its number,
    places: Table<Place>,
    /// how each looked, oldest first,
    versions: Table<Version>,
    /// how lists of children changed,
    shifts: Table<Shift>,
    /// and what has fired watches.
    triggers: Table<Trigger>,
    /// The ACLs there are, by number.
    lists: Vec<List>,
    sessions: BTreeMap<SessionId, Session>,
    /// Every session there ever was.
    used: BTreeSet<SessionId>,
    /// How many things there were that fire watches.
    triggered: u32,
    applied: Zxid,
    // While an entry is executed:
    changed: bool,
    fired: Vec<Fired>,
    /// Where names are put together.
    scratch: String,
}

/// A path that somebody has named, whether there is a node or not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Path(u32);

const ROOT: Path = Path(0);
/// The root goes by two names when it is read.
const NAMELESS: Path = Path(1);

/// What is known of a path.
#[derive(Clone, Debug)]
struct Place {
    /// What comes before the last slash; the root's is the root. `None` without a slash, or with a NUL.
    parent: Option<Path>,
    /// Section 5.
    valid: bool,
    /// Its newest version, if there ever was a node.
    newest: Link,
    /// The newest thing that could have fired a watch of its data, and of its list of children.
    fired: [Link; 2],
    /// Its children, by name, and the last change of that list.
    children: Vec<Path>,
    shifted: Link,
}

/// A node, as it looks from outside; its children apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its data.
    pub data: Data,
    /// The number of its ACL, as stored.
    acl: ListNumber,
    /// Its Stat (section 4).
    pub stat: Stat,
    /// Children ever created; those at birth do not count.
    created: i64,
}

type ListNumber = u32;
/// The number of the ACL that lets everybody do everything.
const OPEN: ListNumber = 0;

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

/// A change, before it is known whether its multi succeeds: of which path, as what, and the version whose ACL counts.
#[derive(Clone, Debug)]
struct Fired {
    path: Path,
    kind: EventKind,
    version: Link,
}

/// What a client is told.
pub type Outcome = Result<Response, ErrorCode>;

/// What executing an entry comes to, in few bytes: see [`Model::outcome`].
#[derive(Clone, Debug)]
pub enum Told {
    /// It is done.
    Empty,
    /// A node was made,
    Path(Path),
    /// and its Stat is wanted as well.
    PathStat(Path, Link),
    /// The Stat of a version.
    Stat(Link),
    /// What became of the items of a multi.
    Multi(Arc<[MultiResult]>),
    /// It has failed.
    Failed(ErrorCode),
}

impl Model {
    /// The tree at birth (section 5), and no session.
    pub fn new() -> Model {
        let mut model = Model {
            names: Arc::default(),
            places: Table::default(),
            versions: Table::default(),
            shifts: Table::default(),
            triggers: Table::default(),
            lists: Vec::new(),
            sessions: BTreeMap::new(),
            used: BTreeSet::new(),
            triggered: 0,
            applied: Zxid::ZERO,
            changed: false,
            fired: Vec::new(),
            scratch: String::new(),
        };
        model.be_born();
        model
    }

    /// Forgets all that has happened since birth.
    pub fn clear(&mut self) {
        match Arc::get_mut(&mut self.names) {
            Some(names) => names.clear(),
            None => self.names = Arc::default(),
        }
        self.places.clear();
        self.versions.clear();
        self.shifts.clear();
        self.triggers.clear();
        self.lists.clear();
        self.sessions.clear();
        self.used.clear();
        self.triggered = 0;
        self.applied = Zxid::ZERO;
        self.fired.clear();
        self.be_born();
    }

    fn be_born(&mut self) {
        self.lists.push(List::new(Acl::open()));
        let read = self.list(List::new(vec![Acl { perms: perms::READ, id: Id::anyone() }]));
        assert_eq!((self.path("/"), self.path("")), (ROOT, NAMELESS), "the first that are named");
        let mut node = |name: &str, children: &[Path], acl: ListNumber, version| {
            let path = self.path(name);
            let mut node = Node::new(Some(Blob::new(b"")), acl, Zxid::ZERO, 0, 0);
            node.stat.version = version;
            node.stat.aversion = version;
            node.count(children.len());
            self.places[path.0 as usize].children.extend(children);
            self.put(path, Some(node));
            path
        };
        let config = node("/zookeeper/config", &[], read, -1);
        let quota = node("/zookeeper/quota", &[], OPEN, 0);
        let zookeeper = node("/zookeeper", &[config, quota], OPEN, 0);
        node("/", &[zookeeper], OPEN, 0);
        self.changed = false;
    }

    /// Executes the next entry. Whoever knows the number of the path that it writes to saves looking it up.
    pub fn execute(&mut self, entry: &Entry, path: Option<Path>) -> Told {
        assert!(entry.zxid > self.applied, "the history ascends");
        self.applied = entry.zxid;
        self.changed = false;
        let told = match &entry.body {
            Body::Opening => Told::Empty,
            Body::Command(Command::CreateSession { session, password, timeout_ms }) => {
                if self.sessions.contains_key(session) {
                    Told::Failed(ErrorCode::NodeExists)
                } else {
                    self.attach(*session, *password, *timeout_ms, entry.origin);
                    Told::Empty
                }
            }
            Body::Command(Command::Attach { session, password, timeout_ms }) => {
                match self.sessions.get(session) {
                    Some(known) if known.password == *password => {
                        self.attach(*session, *password, *timeout_ms, entry.origin);
                        Told::Empty
                    }
                    _ => Told::Failed(ErrorCode::SessionExpired),
                }
            }
            Body::Command(Command::Expire { session, owner }) => {
                if self.sessions.get(session).is_some_and(|known| known.owner == *owner) {
                    self.end_session(*session);
                }
                Told::Empty
            }
            Body::Command(Command::Request { session, owner, ids, write }) => {
                match self.sessions.get(session) {
                    None => Told::Failed(ErrorCode::SessionExpired),
                    Some(known) if known.owner != *owner => Told::Failed(ErrorCode::SessionMoved),
                    Some(_) if *write == Write::Close => {
                        self.end_session(*session);
                        Told::Empty
                    }
                    Some(_) => self.write(*session, ids, write, entry.time.0, path),
                }
            }
        };
        self.fire_all();
        told
    }

    /// What a client is told of what was executed.
    pub fn outcome(&self, told: &Told) -> Outcome {
        Ok(match told {
            Told::Empty => Response::Empty,
            Told::Path(path) => Response::Path(self.name(*path).to_owned()),
            Told::PathStat(path, version) => {
                Response::PathStat(self.name(*path).to_owned(), *self.stat_of(*version))
            }
            Told::Stat(version) => Response::Stat(*self.stat_of(*version)),
            Told::Multi(results) => Response::Multi(results.to_vec()),
            Told::Failed(code) => return Err(*code),
        })
    }

    /// Whether this is what a client is told of what was executed.
    pub fn is_told(&self, told: &Told, outcome: &Outcome) -> bool {
        match (told, outcome) {
            (Told::Empty, Ok(Response::Empty)) => true,
            (Told::Path(path), Ok(Response::Path(name))) => self.name(*path) == name,
            (Told::PathStat(path, version), Ok(Response::PathStat(name, stat))) => {
                self.name(*path) == name && self.stat_of(*version) == stat
            }
            (Told::Stat(version), Ok(Response::Stat(stat))) => self.stat_of(*version) == stat,
            (Told::Multi(results), Ok(Response::Multi(seen))) => results[..] == seen[..],
            (Told::Failed(code), Err(seen)) => code == seen,
            _ => false,
        }
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

    /// A path by its name.
    pub fn path(&mut self, name: &str) -> Path {
        let hash = match self.names.find(name) {
            Ok(number) => return Path(number),
            Err(hash) => hash,
        };
        let parent = match write::parent(name) {
            Some(parent) if parent == name => Some(ROOT),
            parent => parent.map(|parent| self.path(parent)),
        };
        let place = Place {
            parent,
            valid: write::validate(name).is_ok(),
            newest: Link::NONE,
            fired: [Link::NONE; 2],
            children: Vec::new(),
            shifted: Link::NONE,
        };
        let number = Arc::make_mut(&mut self.names).insert(name, hash);
        assert_eq!(self.places.push(place), number as usize, "every name has its place");
        Path(number)
    }

    /// The name of a path.
    #[inline]
    pub fn name(&self, path: Path) -> &str {
        self.names.get(path.0)
    }

    /// Whether someone with these identities has one of the permissions for a node.
    pub fn allows(&self, node: &Node, wanted: i32, ids: &[Id]) -> bool {
        self.lists[node.acl as usize].allows(wanted, ids)
    }

    /// A node's ACL, as stored.
    pub fn acl(&self, node: &Node) -> &[Acl] {
        &self.lists[node.acl as usize].entries
    }

    /// A node's ACL as it is shown to someone: without ADMIN, digests are hidden (section 8.5).
    pub fn acl_for(&self, node: &Node, ids: &[Id]) -> Vec<Acl> {
        let mut shown = self.acl(node).to_vec();
        if !self.allows(node, perms::ADMIN, ids) {
            for entry in shown.iter_mut().filter(|entry| entry.id.scheme == "digest") {
                let user: &str = entry.id.id.split(':').next().unwrap_or("");
                entry.id.id = format!("{user}:x");
            }
        }
        shown
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
        let Some(mut ended) = self.sessions.remove(&session) else { return };
        ended
            .ephemerals
            .retain(|path| self.now(*path).is_some_and(|node| node.stat.ephemeral_owner == session.0));
        ended.ephemerals.sort_by(|one, other| self.name(*one).cmp(self.name(*other)));
        ended.ephemerals.dedup();
        for path in ended.ephemerals {
            self.remove(path);
        }
    }

    /// The number of an ACL.
    fn list(&mut self, list: List) -> ListNumber {
        let known = self.lists.iter().position(|other| *other == list);
        known.unwrap_or_else(|| {
            self.lists.push(list);
            self.lists.len() - 1
        }) as ListNumber
    }
}

impl Told {
    /// Whether it has succeeded.
    pub fn is_ok(&self) -> bool {
        !matches!(self, Told::Failed(_))
    }
}

impl Default for Model {
    fn default() -> Model {
        Model::new()
    }
}

impl Node {
    fn new(data: Data, acl: ListNumber, zxid: Zxid, time: i64, owner: i64) -> Node {
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
        Node { data, acl, stat, created: 0 }
    }

    /// Brings the numbers about its children up to date.
    fn count(&mut self, children: usize) {
        let children = children as i64;
        self.stat.num_children = children as i32;
        self.stat.cversion = (2 * self.created - children) as i32;
    }
}

fn length(data: &Data) -> i32 {
    data.as_ref().map_or(0, |data| data.len() as i32)
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
        let told = model.execute(&Entry { zxid, time: Timestamp(1000), origin: ORIGIN, body }, None);
        let outcome = model.outcome(&told);
        assert!(model.is_told(&told, &outcome));
        outcome
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

    fn at<'a>(model: &'a mut Model, name: &str, zxid: Zxid) -> Option<&'a Node> {
        let path = model.path(name);
        model.at(path, zxid)
    }

    fn now<'a>(model: &'a mut Model, name: &str) -> Option<&'a Node> {
        let applied = model.applied();
        at(model, name, applied)
    }

    fn children(model: &Model, path: Path, zxid: Zxid) -> Vec<&str> {
        model.children(path, zxid).iter().map(|child| model.last_part(path, *child)).collect()
    }

    #[test]
    fn the_root_at_birth_has_a_strange_cversion() {
        let mut model = Model::new();
        assert_eq!(at(&mut model, "", Zxid::ZERO).unwrap().stat.cversion, -1);
        assert_eq!(at(&mut model, "/zookeeper", Zxid::ZERO).unwrap().stat.cversion, -2);
    }

    #[test]
    fn the_past_is_remembered() {
        let mut model = with_session();
        write(&mut model, create("/a", 0)).unwrap();
        let then = model.applied();
        write(&mut model, Write::Delete { path: "/a".into(), version: -1 }).unwrap();
        assert!(at(&mut model, "/a", then).is_some());
        assert!(now(&mut model, "/a").is_none());
        assert_eq!(children(&model, ROOT, then), ["a", "zookeeper"]);
        assert_eq!(children(&model, ROOT, model.applied()), ["zookeeper"]);
        assert_eq!(now(&mut model, "/").unwrap().stat.cversion, 1);
    }

    #[test]
    fn ephemerals_and_their_session_end_together() {
        let mut model = with_session();
        write(&mut model, create("/e", 1)).unwrap();
        assert_eq!(now(&mut model, "/e").unwrap().stat.ephemeral_owner, SESSION.0);
        run(&mut model, Command::Expire { session: SESSION, owner: Origin { number: 2, ..ORIGIN } }).unwrap();
        assert!(model.session(SESSION).is_some(), "it has moved since");
        run(&mut model, Command::Expire { session: SESSION, owner: ORIGIN }).unwrap();
        assert!(model.session(SESSION).is_none());
        assert!(now(&mut model, "/e").is_none());
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
        let all = |model: &Model| {
            let nodes = model.nodes().map(|(path, node)| {
                (
                    model.name(path).to_owned(),
                    node.clone(),
                    model.children(path, model.applied()).into_owned(),
                )
            });
            nodes.collect::<Vec<_>>()
        };
        let then = all(&model);
        let item = |path: &str| match create(path, 1) {
            Write::Create(create) => MultiOp::Create(create),
            _ => unreachable!(),
        };
        let delete = MultiOp::Delete { path: "/a".into(), version: -1 };
        let items = vec![item("/b"), delete.clone(), item("/a"), item("/b")];
        write(&mut model, Write::Multi(items)).unwrap();
        assert!(!model.changed());
        assert_eq!(all(&model), then);
        write(&mut model, Write::Multi(vec![item("/b"), delete, item("/a")])).unwrap();
        assert!(model.changed() && now(&mut model, "/a").unwrap().stat.ephemeral_owner != 0);
    }

    #[test]
    fn copies_go_their_own_ways() {
        let mut model = with_session();
        write(&mut model, create("/a", 0)).unwrap();
        let mut other = model.clone();
        write(&mut model, create("/b", 0)).unwrap();
        write(&mut other, create("/c", 0)).unwrap();
        assert!(now(&mut other, "/b").is_none() && now(&mut model, "/c").is_none());
        assert_eq!(children(&model, ROOT, model.applied()), ["a", "b", "zookeeper"]);
        assert_eq!(children(&other, ROOT, other.applied()), ["a", "c", "zookeeper"]);
    }

    #[test]
    fn one_that_was_used_is_as_good_as_new() {
        let mut model = with_session();
        write(&mut model, create("/a", 1)).unwrap();
        let copy = model.clone();
        model.clear();
        let fresh = Model::new();
        let all = |model: &Model| format!("{:?}", model.nodes().collect::<Vec<_>>());
        assert_eq!(all(&model), all(&fresh));
        assert!(model.session(SESSION).is_none() && !model.knew(SESSION) && model.triggered() == 0);
        assert!(now(&mut model, "/a").is_none() && copy.nodes().count() == 5);
    }
}
