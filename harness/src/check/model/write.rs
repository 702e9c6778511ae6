//! Writes as sections 2.3, 2.4, 3.3, 4 and 5 describe them.

use vivarium_core::api::{Acl, Create, Data, EventKind, Id, MultiOp, MultiResult, perms};
use vivarium_core::entry::Write;
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::SessionId;

use super::past::Link;
use super::{ListNumber, Model, Node, OPEN, Path, Told, acl, length};

const UNDELETABLE: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

/// Who writes, and when.
#[derive(Clone, Copy)]
struct Who<'a> {
    session: SessionId,
    ids: &'a [Id],
    time: i64,
}

impl Model {
    /// `path` is the number of the path that is written to, where it is known.
    pub(super) fn write(
        &mut self,
        session: SessionId,
        ids: &[Id],
        write: &Write,
        time: i64,
        path: Option<Path>,
    ) -> Told {
        let who = Who { session, ids, time };
        let done = match write {
            Write::Create(create) => {
                let path = path.unwrap_or_else(|| self.path(&create.path));
                self.create(who, path, create).map(|(path, version)| match create.stat {
                    true => Told::PathStat(path, version),
                    false => Told::Path(path),
                })
            }
            Write::Delete { path: name, version } => {
                let path = path.unwrap_or_else(|| self.path(name));
                self.delete(who, path, *version).map(|()| Told::Empty)
            }
            Write::SetData { path: name, data, version } => {
                let path = path.unwrap_or_else(|| self.path(name));
                self.set_data(who, path, data, *version).map(Told::Stat)
            }
            Write::SetAcl { path: name, acl, version } => {
                let path = path.unwrap_or_else(|| self.path(name));
                self.set_acl(who, path, acl.as_deref(), *version).map(Told::Stat)
            }
            Write::Multi(items) => Ok(Told::Multi(self.multi(who, items).into())),
            Write::Fail(code) => Err(*code),
            Write::Close => unreachable!("closing is not for the tree"),
        };
        done.unwrap_or_else(Told::Failed)
    }

    fn multi(&mut self, who: Who<'_>, items: &[MultiOp]) -> Vec<MultiResult> {
        assert!(self.fired.is_empty() && !self.changed, "a multi is all of its entry");
        let mut results = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match self.item(who, item) {
                Ok(result) => results.push(result),
                Err(code) => {
                    self.take_back();
                    let of = |other: usize| match other.cmp(&index) {
                        std::cmp::Ordering::Less => None,
                        std::cmp::Ordering::Equal => Some(code),
                        std::cmp::Ordering::Greater => Some(ErrorCode::RuntimeInconsistency),
                    };
                    return (0..items.len()).map(|other| MultiResult::Error(of(other))).collect();
                }
            }
        }
        results
    }

    fn item(&mut self, who: Who<'_>, item: &MultiOp) -> Result<MultiResult, ErrorCode> {
        match item {
            MultiOp::Create(create) => {
                let path = self.path(&create.path);
                let (path, version) = self.create(who, path, create)?;
                let name = self.name(path).to_owned();
                Ok(match create.stat {
                    true => MultiResult::Create2(name, *self.stat_of(version)),
                    false => MultiResult::Create(name),
                })
            }
            MultiOp::Delete { path, version } => {
                let path = self.path(path);
                self.delete(who, path, *version).map(|()| MultiResult::Delete)
            }
            MultiOp::SetData { path, data, version } => {
                let path = self.path(path);
                let version = self.set_data(who, path, data, *version)?;
                Ok(MultiResult::SetData(*self.stat_of(version)))
            }
            MultiOp::Check { path, version } => {
                let path = self.path(path);
                self.check(who, path, *version).map(|()| MultiResult::Check)
            }
        }
    }

    /// Returns the path of the new node, and its first version.
    fn create(&mut self, who: Who<'_>, asked: Path, create: &Create) -> Result<(Path, Link), ErrorCode> {
        let (ephemeral, sequential) = match create.flags {
            // 4 is a container to another op code; to this one it is an ordinary node.
            0 | 4 => (false, false),
            1 => (true, false),
            2 => (false, true),
            3 => (true, true),
            _ => return Err(ErrorCode::BadArguments),
        };
        let parent = self.place(asked).parent.ok_or(ErrorCode::BadArguments)?;
        let acl = self.fix(create.acl.as_deref(), who.ids)?;
        let above = self.now(parent).ok_or(ErrorCode::NoNode)?;
        self.allowed(above, perms::CREATE, who)?;
        let path = if sequential { self.numbered(asked, above.created) } else { asked };
        if !self.place(path).valid {
            return Err(ErrorCode::BadArguments);
        }
        if self.now(path).is_some() {
            return Err(ErrorCode::NodeExists);
        }
        let mut above = self.now(parent).expect("it was there").clone();
        if above.stat.ephemeral_owner != 0 {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let owner = if ephemeral { who.session.0 } else { 0 };
        let node = Node::new(create.data.clone(), acl, self.applied, who.time, owner);
        let version = self.put(path, Some(node));
        if ephemeral && let Some(session) = self.sessions.get_mut(&who.session) {
            session.ephemerals.push(path);
        }
        above.created += 1;
        above.stat.pzxid = self.applied;
        above.count(self.shift(parent, path, true));
        let above = self.put(parent, Some(above));
        self.fire(path, EventKind::NodeCreated, version);
        self.fire(parent, EventKind::NodeChildrenChanged, above);
        Ok((path, version))
    }

    /// The path that a sequential node gets: what was asked for, and ten digits.
    fn numbered(&mut self, asked: Path, number: i64) -> Path {
        let mut name = std::mem::take(&mut self.scratch);
        name.clear();
        name.push_str(self.name(asked));
        let digits = number.to_string();
        name.extend(std::iter::repeat_n('0', 10usize.saturating_sub(digits.len())));
        name.push_str(&digits);
        let path = self.path(&name);
        self.scratch = name;
        path
    }

    fn delete(&mut self, who: Who<'_>, path: Path, version: i32) -> Result<(), ErrorCode> {
        let parent = self.place(path).parent.filter(|_| !UNDELETABLE.contains(&self.name(path)));
        let parent = parent.ok_or(ErrorCode::BadArguments)?;
        self.allowed(self.now(parent).ok_or(ErrorCode::NoNode)?, perms::DELETE, who)?;
        let node = self.now(path).ok_or(ErrorCode::NoNode)?;
        same_version(version, node.stat.version)?;
        if node.stat.num_children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        self.remove(path);
        Ok(())
    }

    /// Removes a node without children.
    pub(super) fn remove(&mut self, path: Path) {
        let place = self.place(path);
        let (last, parent) = (place.newest, place.parent.expect("what exists has a parent"));
        assert!(
            self.now(path).is_some() && path != parent,
            "only what exists is removed, and never the root"
        );
        self.put(path, None);
        let mut above = self.now(parent).expect("a node has a parent").clone();
        above.stat.pzxid = self.applied;
        above.count(self.shift(parent, path, false));
        let above = self.put(parent, Some(above));
        self.fire(path, EventKind::NodeDeleted, last);
        self.fire(parent, EventKind::NodeChildrenChanged, above);
    }

    fn set_data(&mut self, who: Who<'_>, path: Path, data: &Data, version: i32) -> Result<Link, ErrorCode> {
        let node = self.valid(path)?;
        self.allowed(node, perms::WRITE, who)?;
        same_version(version, node.stat.version)?;
        let mut node = Node { data: data.clone(), ..*node };
        node.stat.data_length = length(data);
        node.stat.version += 1;
        node.stat.mzxid = self.applied;
        node.stat.mtime = who.time;
        let version = self.put(path, Some(node));
        self.fire(path, EventKind::NodeDataChanged, version);
        Ok(version)
    }

    fn set_acl(
        &mut self,
        who: Who<'_>,
        path: Path,
        acl: Option<&[Acl]>,
        version: i32,
    ) -> Result<Link, ErrorCode> {
        if !self.place(path).valid {
            return Err(ErrorCode::BadArguments);
        }
        let acl = self.fix(acl, who.ids)?;
        let mut node = self.valid(path)?.clone();
        self.allowed(&node, perms::ADMIN, who)?;
        same_version(version, node.stat.aversion)?;
        node.acl = acl;
        node.stat.aversion += 1;
        Ok(self.put(path, Some(node)))
    }

    fn check(&mut self, who: Who<'_>, path: Path, version: i32) -> Result<(), ErrorCode> {
        let node = self.valid(path)?;
        self.allowed(node, perms::READ, who)?;
        same_version(version, node.stat.version)
    }

    /// The node of a path that may have one.
    fn valid(&self, path: Path) -> Result<&Node, ErrorCode> {
        if !self.place(path).valid {
            return Err(ErrorCode::BadArguments);
        }
        self.now(path).ok_or(ErrorCode::NoNode)
    }

    fn allowed(&self, node: &Node, wanted: i32, who: Who<'_>) -> Result<(), ErrorCode> {
        if self.allows(node, wanted, who.ids) { Ok(()) } else { Err(ErrorCode::NoAuth) }
    }

    /// The number of the list that is stored for one that a client gave.
    fn fix(&mut self, given: Option<&[Acl]>, ids: &[Id]) -> Result<ListNumber, ErrorCode> {
        // What most clients give is stored as it is.
        if let Some([one]) = given
            && one.perms == perms::ALL
            && (&*one.id.scheme, &*one.id.id) == ("world", "anyone")
        {
            return Ok(OPEN);
        }
        let list = acl::fix(given, ids)?;
        Ok(self.list(list))
    }
}

fn same_version(expected: i32, actual: i32) -> Result<(), ErrorCode> {
    if expected == -1 || expected == actual { Ok(()) } else { Err(ErrorCode::BadVersion) }
}

/// What comes before the last slash. `None` without a slash, or with a NUL.
pub(super) fn parent(path: &str) -> Option<&str> {
    if path.as_bytes().contains(&0) {
        return None;
    }
    match path.rfind('/')? {
        0 => Some("/"),
        slash => Some(&path[..slash]),
    }
}

/// Section 5.
pub(super) fn validate(path: &str) -> Result<(), ErrorCode> {
    let legal = path == "/"
        || path
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
    let bad = |c: char| {
        matches!(c, '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
    };
    // Nearly all paths are of plain letters.
    let plain = path.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if legal && (plain || !path.chars().any(bad)) { Ok(()) } else { Err(ErrorCode::BadArguments) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for good in ["/", "/a", "/a b/ü", "/...", "/a.b"] {
            assert_eq!(validate(good), Ok(()), "{good}");
        }
        for bad in ["", "a", "/a/", "/a//b", "/a/./b", "/..", "/\u{1}", "/\u{1F600}", "/\u{e000}"] {
            assert_eq!(validate(bad), Err(ErrorCode::BadArguments), "{bad}");
        }
        assert_eq!(parent("/a"), Some("/"));
        assert_eq!(parent("/a/b"), Some("/a"));
        assert_eq!(parent("a"), None);
    }
}
