//! A slow and obvious model of what entries do to a ZooKeeper tree: whole paths in one sorted map, the checks one after
//! the other in the order of section 2.4 of the protocol, and a multi on a copy that is thrown away when it fails.

use std::collections::BTreeMap;

use vivarium_core::api::{Acl, Blob, Create, Data, EventKind, Id, MultiOp, MultiResult, Response, Stat};
use vivarium_core::entry::{Body, Command, Entry, Write};
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::{Origin, SessionId, Zxid};

const READ: i32 = 1;
const WRITE: i32 = 2;
const CREATE: i32 = 4;
const DELETE: i32 = 8;
const ADMIN: i32 = 16;

#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    pub data: Data,
    pub acl: Vec<Acl>,
    pub created: i64,
    pub czxid: Zxid,
    pub mzxid: Zxid,
    pub pzxid: Zxid,
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    pub aversion: i32,
    pub owner: i64,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Session {
    pub password: [u8; 16],
    pub timeout_ms: i32,
    pub owner: Origin,
}

/// What a watch would see: kind, path, the node's ACL, the parent's.
pub type Change = (EventKind, String, Vec<Acl>, Option<Vec<Acl>>);

#[derive(Clone, PartialEq, Debug)]
pub struct Model {
    pub nodes: BTreeMap<String, Node>,
    pub sessions: BTreeMap<SessionId, Session>,
}

struct Who<'a> {
    zxid: Zxid,
    time: i64,
    session: SessionId,
    ids: &'a [Id],
}

type Answer<T> = Result<T, ErrorCode>;

impl Model {
    pub fn new() -> Model {
        let node = |perms, version| Node {
            data: Some(Blob::new(b"")),
            acl: vec![Acl { perms, id: Id { scheme: "world".into(), id: "anyone".into() } }],
            created: 0,
            czxid: Zxid(0),
            mzxid: Zxid(0),
            pzxid: Zxid(0),
            ctime: 0,
            mtime: 0,
            version,
            aversion: version,
            owner: 0,
        };
        let mut nodes = BTreeMap::new();
        nodes.insert("/".into(), node(31, 0));
        nodes.insert("/zookeeper".into(), node(31, 0));
        nodes.insert("/zookeeper/quota".into(), node(31, 0));
        nodes.insert("/zookeeper/config".into(), node(1, -1));
        Model { nodes, sessions: BTreeMap::new() }
    }

    pub fn apply(&mut self, entry: &Entry) -> (Answer<Response>, Option<SessionId>, Vec<Change>) {
        let mut changes = Vec::new();
        let Body::Command(command) = &entry.body else {
            return (Ok(Response::Empty), None, changes);
        };
        match command {
            Command::CreateSession { session, password, timeout_ms } => {
                if self.sessions.contains_key(session) {
                    return (Err(ErrorCode::NodeExists), None, changes);
                }
                let new = Session { password: *password, timeout_ms: *timeout_ms, owner: entry.origin };
                self.sessions.insert(*session, new);
                (Ok(Response::Empty), None, changes)
            }
            Command::Attach { session, password, timeout_ms } => match self.sessions.get_mut(session) {
                Some(known) if known.password == *password => {
                    known.owner = entry.origin;
                    known.timeout_ms = *timeout_ms;
                    (Ok(Response::Empty), None, changes)
                }
                _ => (Err(ErrorCode::SessionExpired), None, changes),
            },
            Command::Expire { session, owner } => {
                if self.sessions.get(session).map(|known| known.owner) != Some(*owner) {
                    return (Ok(Response::Empty), None, changes);
                }
                self.close(*session, entry.zxid, &mut changes);
                (Ok(Response::Empty), Some(*session), changes)
            }
            Command::Request { session, owner, ids, write } => {
                match self.sessions.get(session) {
                    None => return (Err(ErrorCode::SessionExpired), None, changes),
                    Some(known) if known.owner != *owner => {
                        return (Err(ErrorCode::SessionMoved), None, changes);
                    }
                    Some(_) => {}
                }
                let who = Who { zxid: entry.zxid, time: entry.time.0, session: *session, ids };
                let result = match write {
                    Write::Create(create) => self.create(&who, create, &mut changes).map(|(path, stat)| {
                        if create.stat { Response::PathStat(path, stat) } else { Response::Path(path) }
                    }),
                    Write::Delete { path, version } => {
                        self.delete(&who, path, *version, &mut changes).map(|()| Response::Empty)
                    }
                    Write::SetData { path, data, version } => {
                        self.set_data(&who, path, data, *version, &mut changes).map(Response::Stat)
                    }
                    Write::SetAcl { path, acl, version } => {
                        self.set_acl(&who, path, acl, *version).map(Response::Stat)
                    }
                    Write::Multi(items) => Ok(Response::Multi(self.multi(&who, items, &mut changes))),
                    Write::Close => {
                        self.close(*session, entry.zxid, &mut changes);
                        return (Ok(Response::Empty), Some(*session), changes);
                    }
                    Write::Fail(error) => Err(*error),
                };
                (result, None, changes)
            }
        }
    }

    pub fn stat(&self, path: &str) -> Option<Stat> {
        let node = self.nodes.get(path)?;
        let children = self.children(path).len() as i64;
        Some(Stat {
            czxid: node.czxid,
            mzxid: node.mzxid,
            ctime: node.ctime,
            mtime: node.mtime,
            version: node.version,
            cversion: (2 * node.created - children) as i32,
            aversion: node.aversion,
            ephemeral_owner: node.owner,
            data_length: node.data.as_ref().map_or(0, |data| data.0.len() as i32),
            num_children: children as i32,
            pzxid: node.pzxid,
        })
    }

    /// Sorted names.
    pub fn children(&self, path: &str) -> Vec<String> {
        let is_child = |other: &&String| *other != "/" && parent_of(other) == path;
        let name = |path: &String| path.rsplit('/').next().expect("a path has a slash").to_string();
        self.nodes.keys().filter(is_child).map(name).collect()
    }

    pub fn read(&self, path: &str, perms: i32, ids: &[Id]) -> Answer<&Node> {
        let node = self.nodes.get(if path.is_empty() { "/" } else { path }).ok_or(ErrorCode::NoNode)?;
        allowed(&node.acl, perms, ids)?;
        Ok(node)
    }

    /// As getACL shows it.
    pub fn shown_acl(&self, path: &str, ids: &[Id]) -> Answer<Vec<Acl>> {
        let mut list = self.read(path, READ | ADMIN, ids)?.acl.clone();
        if allowed(&list, ADMIN, ids).is_err() {
            for acl in &mut list {
                if acl.id.scheme == "digest" {
                    let colon = acl.id.id.find(':').expect("a digest id has one");
                    acl.id.id.truncate(colon);
                    acl.id.id.push_str(":x");
                }
            }
        }
        Ok(list)
    }

    fn create(&mut self, who: &Who, create: &Create, changes: &mut Vec<Change>) -> Answer<(String, Stat)> {
        if ![0, 1, 2, 3, 4].contains(&create.flags) {
            return Err(ErrorCode::BadArguments);
        }
        if !create.path.contains('/') || create.path.contains('\0') {
            return Err(ErrorCode::BadArguments);
        }
        let acl = fix_up(&create.acl, who.ids)?;
        let parent = parent_of(&create.path);
        let above = self.nodes.get(&parent).ok_or(ErrorCode::NoNode)?;
        allowed(&above.acl, CREATE, who.ids)?;
        let mut path = create.path.clone();
        if create.flags == 2 || create.flags == 3 {
            path += &format!("{:010}", above.created);
        }
        if !valid(&path) {
            return Err(ErrorCode::BadArguments);
        }
        if self.nodes.contains_key(&path) {
            return Err(ErrorCode::NodeExists);
        }
        if above.owner != 0 {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        changes.push((EventKind::NodeCreated, path.clone(), acl.clone(), Some(above.acl.clone())));
        let above = self.nodes.get_mut(&parent).expect("just seen");
        above.created += 1;
        above.pzxid = who.zxid;
        let node = Node {
            data: create.data.clone(),
            acl,
            created: 0,
            czxid: who.zxid,
            mzxid: who.zxid,
            pzxid: who.zxid,
            ctime: who.time,
            mtime: who.time,
            version: 0,
            aversion: 0,
            owner: if create.flags % 2 == 1 { who.session.0 } else { 0 },
        };
        self.nodes.insert(path.clone(), node);
        let stat = self.stat(&path).expect("just created");
        Ok((path, stat))
    }

    fn delete(&mut self, who: &Who, path: &str, version: i32, changes: &mut Vec<Change>) -> Answer<()> {
        let special = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];
        if special.contains(&path) || !path.contains('/') {
            return Err(ErrorCode::BadArguments);
        }
        let above = self.nodes.get(&parent_of(path)).ok_or(ErrorCode::NoNode)?;
        allowed(&above.acl, DELETE, who.ids)?;
        let node = self.nodes.get(path).ok_or(ErrorCode::NoNode)?;
        version_fits(version, node.version)?;
        if !self.children(path).is_empty() {
            return Err(ErrorCode::NotEmpty);
        }
        self.remove(path, who.zxid, changes);
        Ok(())
    }

    fn set_data(
        &mut self,
        who: &Who,
        path: &str,
        data: &Data,
        version: i32,
        changes: &mut Vec<Change>,
    ) -> Answer<Stat> {
        if !valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        let node = self.nodes.get_mut(path).ok_or(ErrorCode::NoNode)?;
        allowed(&node.acl, WRITE, who.ids)?;
        version_fits(version, node.version)?;
        node.data = data.clone();
        node.version += 1;
        node.mzxid = who.zxid;
        node.mtime = who.time;
        changes.push((EventKind::NodeDataChanged, path.into(), node.acl.clone(), None));
        Ok(self.stat(path).expect("it is there"))
    }

    fn set_acl(&mut self, who: &Who, path: &str, acl: &Option<Vec<Acl>>, version: i32) -> Answer<Stat> {
        if !valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        let acl = fix_up(acl, who.ids)?;
        let node = self.nodes.get_mut(path).ok_or(ErrorCode::NoNode)?;
        allowed(&node.acl, ADMIN, who.ids)?;
        version_fits(version, node.aversion)?;
        node.acl = acl;
        node.aversion += 1;
        Ok(self.stat(path).expect("it is there"))
    }

    fn check(&self, who: &Who, path: &str, version: i32) -> Answer<()> {
        if !valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        let node = self.nodes.get(path).ok_or(ErrorCode::NoNode)?;
        allowed(&node.acl, READ, who.ids)?;
        version_fits(version, node.version)
    }

    fn multi(&mut self, who: &Who, items: &[MultiOp], changes: &mut Vec<Change>) -> Vec<MultiResult> {
        let mut copy = self.clone();
        let mut copy_changes = Vec::new();
        let mut results = Vec::new();
        for item in items {
            let result = match item {
                MultiOp::Create(create) => copy.create(who, create, &mut copy_changes).map(|(path, stat)| {
                    if create.stat { MultiResult::Create2(path, stat) } else { MultiResult::Create(path) }
                }),
                MultiOp::Delete { path, version } => {
                    copy.delete(who, path, *version, &mut copy_changes).map(|()| MultiResult::Delete)
                }
                MultiOp::SetData { path, data, version } => {
                    copy.set_data(who, path, data, *version, &mut copy_changes).map(MultiResult::SetData)
                }
                MultiOp::Check { path, version } => {
                    copy.check(who, path, *version).map(|()| MultiResult::Check)
                }
            };
            match result {
                Ok(result) => results.push(result),
                Err(error) => {
                    let mut failed = vec![MultiResult::Error(None); results.len()];
                    failed.push(MultiResult::Error(Some(error)));
                    while failed.len() < items.len() {
                        failed.push(MultiResult::Error(Some(ErrorCode::RuntimeInconsistency)));
                    }
                    return failed;
                }
            }
        }
        *self = copy;
        changes.extend(copy_changes);
        results
    }

    fn close(&mut self, session: SessionId, zxid: Zxid, changes: &mut Vec<Change>) {
        let owned = self.nodes.iter().filter(|(_, node)| node.owner == session.0);
        let paths: Vec<String> = owned.map(|(path, _)| path.clone()).collect();
        for path in paths {
            self.remove(&path, zxid, changes);
        }
        self.sessions.remove(&session);
    }

    fn remove(&mut self, path: &str, zxid: Zxid, changes: &mut Vec<Change>) {
        let node = self.nodes.remove(path).expect("callers have looked");
        let above = self.nodes.get_mut(&parent_of(path)).expect("every node has a parent");
        above.pzxid = zxid;
        changes.push((EventKind::NodeDeleted, path.into(), node.acl, Some(above.acl.clone())));
    }
}

fn parent_of(path: &str) -> String {
    let slash = path.rfind('/').expect("callers have looked for a slash");
    if slash == 0 { "/".into() } else { path[..slash].into() }
}

fn version_fits(expected: i32, actual: i32) -> Answer<()> {
    if expected == -1 || expected == actual { Ok(()) } else { Err(ErrorCode::BadVersion) }
}

/// The rules that the paths of these tests can break.
fn valid(path: &str) -> bool {
    if path == "/" {
        return true;
    }
    let bad_char = |character: char| {
        let code = character as u32;
        code <= 0x1f || (0x7f..=0x9f).contains(&code) || (0xd800..=0xf8ff).contains(&code) || code >= 0xfff0
    };
    path.starts_with('/')
        && !path.contains(bad_char)
        && path.split('/').skip(1).all(|name| !name.is_empty() && name != "." && name != "..")
}

fn fix_up(list: &Option<Vec<Acl>>, ids: &[Id]) -> Answer<Vec<Acl>> {
    let mut stored = Vec::new();
    let mut seen: Vec<&Acl> = Vec::new();
    for acl in list.as_deref().unwrap_or_default() {
        if seen.contains(&acl) {
            continue;
        }
        seen.push(acl);
        match acl.id.scheme.as_str() {
            "auth" => {
                let mut any = false;
                for id in ids.iter().filter(|id| id.scheme == "digest") {
                    stored.push(Acl { perms: acl.perms, id: id.clone() });
                    any = true;
                }
                if !any {
                    return Err(ErrorCode::InvalidAcl);
                }
            }
            "world" if acl.id.id == "anyone" => stored.push(acl.clone()),
            "digest" if acl.id.id.matches(':').count() == 1 => stored.push(acl.clone()),
            "ip" if network(&acl.id.id).is_some() => stored.push(acl.clone()),
            _ => return Err(ErrorCode::InvalidAcl),
        }
    }
    if stored.is_empty() { Err(ErrorCode::InvalidAcl) } else { Ok(stored) }
}

fn allowed(list: &[Acl], perms: i32, ids: &[Id]) -> Answer<()> {
    for id in ids {
        if id.scheme == "super" {
            return Ok(());
        }
    }
    for acl in list {
        if acl.perms & perms == 0 {
            continue;
        }
        let met = match acl.id.scheme.as_str() {
            "world" => true,
            "digest" => ids.contains(&acl.id),
            _ => ids.iter().any(|id| id.scheme == "ip" && inside(&id.id, &acl.id.id)),
        };
        if met {
            return Ok(());
        }
    }
    Err(ErrorCode::NoAuth)
}

/// The bits of an IPv4 network, as a string of 0 and 1.
fn network(text: &str) -> Option<String> {
    let (address, bits) = text.split_once('/').unwrap_or((text, "32"));
    let parts: Vec<u8> = address.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let bits: usize = bits.parse().ok()?;
    if parts.len() != 4 || bits > 32 {
        return None;
    }
    let binary: String = parts.iter().map(|part| format!("{part:08b}")).collect();
    Some(binary[..bits].to_string())
}

fn inside(address: &str, wanted: &str) -> bool {
    network(address).expect("test addresses are fine").starts_with(&network(wanted).expect("stored ones too"))
}
