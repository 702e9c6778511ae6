//! Writes as sections 2.3, 2.4, 3.3, 4 and 5 describe them.

use std::sync::Arc;

use vivarium_core::api::{Acl, Create, Data, EventKind, Id, MultiOp, MultiResult, Response, Stat, perms};
use vivarium_core::entry::Write;
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::SessionId;

use super::acl::{fix, may};
use super::{Fired, Model, Node, Outcome};

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
        let before = (self.tree.clone(), self.touched.clone(), self.fired.clone());
        let mut results = Vec::new();
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
                    (self.tree, self.touched, self.fired) = before;
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

    fn create(&mut self, who: Who<'_>, create: &Create) -> Result<(String, Stat), ErrorCode> {
        let (ephemeral, sequential) = match create.flags {
            // 4 is a container to another op code; to this one it is an ordinary node.
            0 | 4 => (false, false),
            1 => (true, false),
            2 => (false, true),
            3 => (true, true),
            _ => return Err(ErrorCode::BadArguments),
        };
        let parent_path = parent(&create.path).ok_or(ErrorCode::BadArguments)?;
        let acl = fix(create.acl.as_deref(), who.ids)?;
        let parent = self.tree.get(parent_path).ok_or(ErrorCode::NoNode)?;
        allowed(parent, perms::CREATE, who)?;
        let mut path = create.path.clone();
        if sequential {
            path.push_str(&format!("{:010}", parent.created));
        }
        validate(&path)?;
        if self.tree.contains_key(&path) {
            return Err(ErrorCode::NodeExists);
        }
        if parent.owner != 0 {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let zxid = self.applied;
        let node = Node {
            data: create.data.clone(),
            acl: acl.clone(),
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: who.time,
            mtime: who.time,
            version: 0,
            aversion: 0,
            owner: if ephemeral { who.session.0 } else { 0 },
            created: 0,
            children: Arc::default(),
        };
        let stat = node.stat();
        self.tree.insert(path.clone(), node);
        let name = path[path.rfind('/').expect("a valid path has a slash") + 1..].to_owned();
        let parent_path = parent_path.to_owned();
        let parent = self.tree.get_mut(&parent_path).expect("it was there");
        parent.created += 1;
        parent.pzxid = zxid;
        let children = Arc::make_mut(&mut parent.children);
        let place = children.partition_point(|other| *other < name);
        children.insert(place, name);
        let parent_acl = parent.acl.clone();
        self.fire(&path, EventKind::NodeCreated, acl);
        self.fire(&parent_path, EventKind::NodeChildrenChanged, parent_acl);
        Ok((path, stat))
    }

    fn delete(&mut self, who: Who<'_>, path: &str, version: i32) -> Result<(), ErrorCode> {
        let parent_path = parent(path).filter(|_| !UNDELETABLE.contains(&path));
        let parent = self.tree.get(parent_path.ok_or(ErrorCode::BadArguments)?).ok_or(ErrorCode::NoNode)?;
        allowed(parent, perms::DELETE, who)?;
        let node = self.tree.get(path).ok_or(ErrorCode::NoNode)?;
        same_version(version, node.version)?;
        if !node.children.is_empty() {
            return Err(ErrorCode::NotEmpty);
        }
        self.remove(path);
        Ok(())
    }

    /// Removes a node without children.
    pub(super) fn remove(&mut self, path: &str) {
        let node = self.tree.remove(path).expect("only what exists is removed");
        let parent_path = parent(path).expect("the root is never removed").to_owned();
        let zxid = self.applied;
        let parent = self.tree.get_mut(&parent_path).expect("a node has a parent");
        parent.pzxid = zxid;
        let name = &path[path.rfind('/').expect("it has a slash") + 1..];
        Arc::make_mut(&mut parent.children).retain(|other| other != name);
        let parent_acl = parent.acl.clone();
        self.fire(path, EventKind::NodeDeleted, node.acl);
        self.fire(&parent_path, EventKind::NodeChildrenChanged, parent_acl);
    }

    fn set_data(&mut self, who: Who<'_>, path: &str, data: &Data, version: i32) -> Result<Stat, ErrorCode> {
        validate(path)?;
        let node = self.tree.get_mut(path).ok_or(ErrorCode::NoNode)?;
        allowed(node, perms::WRITE, who)?;
        same_version(version, node.version)?;
        node.data = data.clone();
        node.version += 1;
        node.mzxid = self.applied;
        node.mtime = who.time;
        let (stat, acl) = (node.stat(), node.acl.clone());
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
        validate(path)?;
        let acl = fix(acl, who.ids)?;
        let node = self.tree.get_mut(path).ok_or(ErrorCode::NoNode)?;
        allowed(node, perms::ADMIN, who)?;
        same_version(version, node.aversion)?;
        node.acl = acl;
        node.aversion += 1;
        self.touched.push(path.to_owned());
        Ok(node.stat())
    }

    fn check(&self, who: Who<'_>, path: &str, version: i32) -> Result<(), ErrorCode> {
        validate(path)?;
        let node = self.tree.get(path).ok_or(ErrorCode::NoNode)?;
        allowed(node, perms::READ, who)?;
        same_version(version, node.version)
    }

    fn fire(&mut self, path: &str, kind: EventKind, acl: Arc<[Acl]>) {
        self.touched.push(path.to_owned());
        self.fired.push(Fired { path: path.to_owned(), kind, acl });
    }
}

fn allowed(node: &Node, wanted: i32, who: Who<'_>) -> Result<(), ErrorCode> {
    if may(&node.acl, wanted, who.ids) { Ok(()) } else { Err(ErrorCode::NoAuth) }
}

fn same_version(expected: i32, actual: i32) -> Result<(), ErrorCode> {
    if expected == -1 || expected == actual { Ok(()) } else { Err(ErrorCode::BadVersion) }
}

/// What comes before the last slash. `None` without a slash, or with a NUL.
fn parent(path: &str) -> Option<&str> {
    if path.contains('\0') {
        return None;
    }
    match path.rfind('/')? {
        0 => Some("/"),
        slash => Some(&path[..slash]),
    }
}

/// Section 5.
fn validate(path: &str) -> Result<(), ErrorCode> {
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
