//! Writes as sections 2.3, 2.4, 3.3, 4 and 5 describe them.

use std::sync::Arc;

use vivarium_core::api::{Acl, Create, Data, EventKind, Id, MultiOp, MultiResult, Response, Stat, perms};
use vivarium_core::entry::Write;
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::SessionId;

use super::acl::{List, fix};
use super::{Fired, Model, Node, Outcome, Path, last_part, length};

const UNDELETABLE: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

/// Who writes, and when.
#[derive(Clone, Copy)]
struct Who<'a> {
    session: SessionId,
    ids: &'a [Id],
    time: i64,
}

impl Model {
    pub(super) fn write(&mut self, session: SessionId, ids: &[Id], write: &Write, time: i64) -> Outcome {
        let who = Who { session, ids, time };
        match write {
            Write::Create(create) => self.create(who, create).map(|(path, stat)| match create.stat {
                true => Response::PathStat(path, stat),
                false => Response::Path(path),
            }),
            Write::Delete { path, version } => self.delete(who, path, *version).map(|()| Response::Empty),
            Write::SetData { path, data, version } => {
                self.set_data(who, path, data, *version).map(Response::Stat)
            }
            Write::SetAcl { path, acl, version } => {
                self.set_acl(who, path, acl.as_deref(), *version).map(Response::Stat)
            }
            Write::Multi(items) => Ok(Response::Multi(self.multi(who, items))),
            Write::Fail(code) => Err(*code),
            Write::Close => unreachable!("closing is not for the tree"),
        }
    }

    fn multi(&mut self, who: Who<'_>, items: &[MultiOp]) -> Vec<MultiResult> {
        assert!(self.undo.is_empty() && self.fired.is_empty(), "a multi is all of its entry");
        let mut results = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let result = match item {
                MultiOp::Create(create) => self.create(who, create).map(|(path, stat)| match create.stat {
                    true => MultiResult::Create2(path, stat),
                    false => MultiResult::Create(path),
                }),
                MultiOp::Delete { path, version } => {
                    self.delete(who, path, *version).map(|()| MultiResult::Delete)
                }
                MultiOp::SetData { path, data, version } => {
                    self.set_data(who, path, data, *version).map(MultiResult::SetData)
                }
                MultiOp::Check { path, version } => {
                    self.check(who, path, *version).map(|()| MultiResult::Check)
                }
            };
            match result {
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

    /// Nothing of the present entry has happened.
    fn take_back(&mut self) {
        while let Some((path, replaced)) = self.undo.pop() {
            let versions = &mut self.places[path.0 as usize].versions;
            versions.pop();
            versions.extend(replaced);
        }
        self.fired.clear();
        self.changed = false;
    }

    fn create(&mut self, who: Who<'_>, create: &Create) -> Result<(String, Stat), ErrorCode> {
        let (ephemeral, sequential) = match create.flags {
            // 4 is a container to another op code; to this one it is an ordinary node.
            0 | 4 => (false, false),
            1 => (true, false),
            2 => (false, true),
            3 => (true, true),
            _ => return Err(ErrorCode::BadArguments),
        };
        let parent = self.path(parent(&create.path).ok_or(ErrorCode::BadArguments)?);
        let acl = fix(create.acl.as_deref(), who.ids)?;
        let above = self.now(parent).ok_or(ErrorCode::NoNode)?;
        allowed(above, perms::CREATE, who)?;
        let mut name = create.path.clone();
        if sequential {
            name.push_str(&format!("{:010}", above.created));
        }
        let path = self.path(&name);
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
        let node = Node::new(create.data.clone(), acl.clone(), self.applied, who.time, owner);
        let stat = node.stat;
        self.put(path, Some(node));
        if ephemeral && let Some(session) = self.sessions.get_mut(&who.session) {
            session.ephemerals.push(path);
        }
        above.created += 1;
        above.stat.pzxid = self.applied;
        let place = above.children.partition_point(|other| last_part(self.name(*other)) < last_part(&name));
        Arc::make_mut(&mut above.children).insert(place, path);
        above.count();
        let parent_acl = above.acl.clone();
        self.put(parent, Some(above));
        self.fire(path, EventKind::NodeCreated, acl);
        self.fire(parent, EventKind::NodeChildrenChanged, parent_acl);
        Ok((name, stat))
    }

    fn delete(&mut self, who: Who<'_>, path: &str, version: i32) -> Result<(), ErrorCode> {
        let parent = parent(path).filter(|_| !UNDELETABLE.contains(&path)).ok_or(ErrorCode::BadArguments)?;
        let parent = self.path(parent);
        allowed(self.now(parent).ok_or(ErrorCode::NoNode)?, perms::DELETE, who)?;
        let path = self.path(path);
        let node = self.now(path).ok_or(ErrorCode::NoNode)?;
        same_version(version, node.stat.version)?;
        if !node.children.is_empty() {
            return Err(ErrorCode::NotEmpty);
        }
        self.remove(path);
        Ok(())
    }

    /// Removes a node without children.
    pub(super) fn remove(&mut self, path: Path) {
        let acl = self.now(path).expect("only what exists is removed").acl.clone();
        let parent = self.place(path).parent.expect("the root is never removed");
        self.put(path, None);
        let mut above = self.now(parent).expect("a node has a parent").clone();
        above.stat.pzxid = self.applied;
        Arc::make_mut(&mut above.children).retain(|other| *other != path);
        above.count();
        let parent_acl = above.acl.clone();
        self.put(parent, Some(above));
        self.fire(path, EventKind::NodeDeleted, acl);
        self.fire(parent, EventKind::NodeChildrenChanged, parent_acl);
    }

    fn set_data(&mut self, who: Who<'_>, path: &str, data: &Data, version: i32) -> Result<Stat, ErrorCode> {
        let path = self.valid(path)?;
        let mut node = self.now(path).ok_or(ErrorCode::NoNode)?.clone();
        allowed(&node, perms::WRITE, who)?;
        same_version(version, node.stat.version)?;
        node.data = data.clone();
        node.stat.data_length = length(data);
        node.stat.version += 1;
        node.stat.mzxid = self.applied;
        node.stat.mtime = who.time;
        let (stat, acl) = (node.stat, node.acl.clone());
        self.put(path, Some(node));
        self.fire(path, EventKind::NodeDataChanged, acl);
        Ok(stat)
    }

    fn set_acl(
        &mut self,
        who: Who<'_>,
        path: &str,
        acl: Option<&[Acl]>,
        version: i32,
    ) -> Result<Stat, ErrorCode> {
        let path = self.valid(path)?;
        let acl = fix(acl, who.ids)?;
        let mut node = self.now(path).ok_or(ErrorCode::NoNode)?.clone();
        allowed(&node, perms::ADMIN, who)?;
        same_version(version, node.stat.aversion)?;
        node.acl = acl;
        node.stat.aversion += 1;
        let stat = node.stat;
        self.put(path, Some(node));
        Ok(stat)
    }

    fn check(&mut self, who: Who<'_>, path: &str, version: i32) -> Result<(), ErrorCode> {
        let path = self.valid(path)?;
        let node = self.now(path).ok_or(ErrorCode::NoNode)?;
        allowed(node, perms::READ, who)?;
        same_version(version, node.stat.version)
    }

    fn valid(&mut self, name: &str) -> Result<Path, ErrorCode> {
        let path = self.path(name);
        if self.place(path).valid { Ok(path) } else { Err(ErrorCode::BadArguments) }
    }

    fn fire(&mut self, path: Path, kind: EventKind, acl: List) {
        self.fired.push(Fired { path, kind, acl });
    }
}

fn allowed(node: &Node, wanted: i32, who: Who<'_>) -> Result<(), ErrorCode> {
    if node.allows(wanted, who.ids) { Ok(()) } else { Err(ErrorCode::NoAuth) }
}

fn same_version(expected: i32, actual: i32) -> Result<(), ErrorCode> {
    if expected == -1 || expected == actual { Ok(()) } else { Err(ErrorCode::BadVersion) }
}

/// What comes before the last slash. `None` without a slash, or with a NUL.
pub(super) fn parent(path: &str) -> Option<&str> {
    if path.contains('\0') {
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
    if legal && !path.chars().any(bad) { Ok(()) } else { Err(ErrorCode::BadArguments) }
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
