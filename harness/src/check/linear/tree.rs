//! The smallest tree that can tell whether an answer makes sense: names, data, versions and owners.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use vivarium_core::api::{Create, Data, MultiOp, MultiResult, Op, Response, Stat};
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::SessionId;

use crate::check::model::Outcome;

use super::What;

/// The tree.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<Arc<str>, Arc<Node>>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Node {
    data: Data,
    version: i32,
    owner: i64,
    /// Children ever created, and those that there are.
    created: i64,
    children: i64,
}

impl Tree {
    pub(super) fn new() -> Tree {
        let node = |children, version| {
            let data = Some(vivarium_core::api::Blob::new(b""));
            Arc::new(Node { data, version, owner: 0, created: 0, children })
        };
        let nodes = [
            ("/", node(1, 0)),
            ("/zookeeper", node(2, 0)),
            ("/zookeeper/config", node(0, -1)),
            ("/zookeeper/quota", node(0, 0)),
        ];
        Tree { nodes: nodes.map(|(path, node)| (path.into(), node)).into() }
    }

    /// What it would look like after this, and what would be answered.
    pub(super) fn after(&self, session: SessionId, what: &What) -> (Option<Tree>, Outcome) {
        if let What::Op(op) = what
            && !super::changes(op)
        {
            return (None, self.read(op));
        }
        let mut tree = self.clone();
        let outcome = match what {
            What::Op(Op::Create(create)) => {
                tree.create(session, create).map(|(path, stat)| match create.stat {
                    true => Response::PathStat(path, stat),
                    false => Response::Path(path),
                })
            }
            What::Op(Op::Delete { path, version }) => tree.delete(path, *version).map(|()| Response::Empty),
            What::Op(Op::SetData { path, data, version }) => {
                tree.set_data(path, data, *version).map(Response::Stat)
            }
            What::Op(Op::Multi(items)) => {
                let results = tree.multi(session, items);
                if results.iter().any(|result| matches!(result, MultiResult::Error(_))) {
                    tree = self.clone();
                }
                Ok(Response::Multi(results))
            }
            What::Op(Op::CloseSession) | What::Expire => {
                tree.end(session);
                Ok(Response::Empty)
            }
            What::Op(other) => unreachable!("{other:?} changes nothing"),
        };
        ((tree != *self).then_some(tree), outcome)
    }

    fn read(&self, op: &Op) -> Outcome {
        let node = |path: &str| {
            let path = if path.is_empty() { "/" } else { path };
            self.nodes.get(path).map(|node| (path.to_owned(), node)).ok_or(ErrorCode::NoNode)
        };
        match op {
            Op::Exists { path, .. } => node(path).map(|(_, node)| Response::Stat(node.stat())),
            Op::GetData { path, .. } => {
                node(path).map(|(_, node)| Response::Data(node.data.clone(), node.stat()))
            }
            Op::GetChildren { path, stat, .. } => node(path).map(|(path, node)| {
                let names = self.children(&path);
                if *stat { Response::ChildrenStat(names, node.stat()) } else { Response::Children(names) }
            }),
            Op::Sync { path } => Ok(Response::Sync(path.clone())),
            other => unreachable!("{other:?} is not followed"),
        }
    }

    fn children(&self, path: &str) -> Vec<String> {
        let prefix = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        self.nodes
            .range::<str, _>((Bound::Included(&*prefix), Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(&prefix))
            .map(|(name, _)| name[prefix.len()..].to_owned())
            .filter(|name| !name.is_empty() && !name.contains('/'))
            .collect()
    }

    fn node_mut(&mut self, path: &str) -> Result<&mut Node, ErrorCode> {
        self.nodes.get_mut(path).map(Arc::make_mut).ok_or(ErrorCode::NoNode)
    }

    fn multi(&mut self, session: SessionId, items: &[MultiOp]) -> Vec<MultiResult> {
        let mut results = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let result = match item {
                MultiOp::Create(create) => {
                    self.create(session, create).map(|(path, stat)| match create.stat {
                        true => MultiResult::Create2(path, stat),
                        false => MultiResult::Create(path),
                    })
                }
                MultiOp::Delete { path, version } => {
                    self.delete(path, *version).map(|()| MultiResult::Delete)
                }
                MultiOp::SetData { path, data, version } => {
                    self.set_data(path, data, *version).map(MultiResult::SetData)
                }
                MultiOp::Check { path, version } => self
                    .node_mut(path)
                    .and_then(|node| expect(*version, node.version))
                    .map(|()| MultiResult::Check),
            };
            match result {
                Ok(result) => results.push(result),
                Err(code) => {
                    let late = MultiResult::Error(Some(ErrorCode::RuntimeInconsistency));
                    let mut failed = vec![MultiResult::Error(None); index];
                    failed.push(MultiResult::Error(Some(code)));
                    failed.resize(items.len(), late);
                    return failed;
                }
            }
        }
        results
    }

    fn create(&mut self, session: SessionId, create: &Create) -> Result<(String, Stat), ErrorCode> {
        let ephemeral = matches!(create.flags, 1 | 3);
        let sequential = matches!(create.flags, 2 | 3);
        let above = parent(&create.path);
        let mut path = create.path.clone();
        let parent = self.node_mut(above)?;
        if sequential {
            path.push_str(&format!("{:010}", parent.created));
        }
        let barren = parent.owner != 0;
        if self.nodes.contains_key(&*path) {
            return Err(ErrorCode::NodeExists);
        }
        if barren {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let parent = self.node_mut(above)?;
        parent.created += 1;
        parent.children += 1;
        let owner = if ephemeral { session.0 } else { 0 };
        let node = Node { data: create.data.clone(), version: 0, owner, created: 0, children: 0 };
        let stat = node.stat();
        self.nodes.insert(path.as_str().into(), Arc::new(node));
        Ok((path, stat))
    }

    fn delete(&mut self, path: &str, version: i32) -> Result<(), ErrorCode> {
        let node = self.node_mut(path)?;
        expect(version, node.version)?;
        if node.children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        self.remove(path);
        Ok(())
    }

    fn remove(&mut self, path: &str) {
        self.nodes.remove(path);
        if let Ok(parent) = self.node_mut(parent(path)) {
            parent.children -= 1;
        }
    }

    fn set_data(&mut self, path: &str, data: &Data, version: i32) -> Result<Stat, ErrorCode> {
        let node = self.node_mut(path)?;
        expect(version, node.version)?;
        node.data = data.clone();
        node.version += 1;
        Ok(node.stat())
    }

    fn end(&mut self, session: SessionId) {
        let owned = |(path, node): (&Arc<str>, &Arc<Node>)| (node.owner == session.0).then(|| path.clone());
        let paths: Vec<Arc<str>> = self.nodes.iter().filter_map(owned).collect();
        paths.iter().for_each(|path| self.remove(path));
    }
}

impl Node {
    /// What of a Stat can be known here.
    fn stat(&self) -> Stat {
        Stat {
            version: self.version,
            cversion: (2 * self.created - self.children) as i32,
            ephemeral_owner: self.owner,
            data_length: self.data.as_ref().map_or(0, |data| data.len() as i32),
            num_children: self.children as i32,
            ..Stat::default()
        }
    }
}

/// Whether what was seen is what is expected, as far as can be known.
pub(super) fn agrees(seen: &Outcome, expected: &Outcome) -> bool {
    match (seen, expected) {
        (Ok(seen), Ok(expected)) => known(seen) == *expected,
        (Err(seen), Err(expected)) => seen == expected,
        _ => false,
    }
}

/// An answer without what cannot be known here.
fn known(response: &Response) -> Response {
    let stat = |stat: &Stat| Stat {
        version: stat.version,
        cversion: stat.cversion,
        ephemeral_owner: stat.ephemeral_owner,
        data_length: stat.data_length,
        num_children: stat.num_children,
        ..Stat::default()
    };
    match response {
        Response::PathStat(path, full) => Response::PathStat(path.clone(), stat(full)),
        Response::Stat(full) => Response::Stat(stat(full)),
        Response::Data(data, full) => Response::Data(data.clone(), stat(full)),
        Response::ChildrenStat(names, full) => Response::ChildrenStat(names.clone(), stat(full)),
        Response::Multi(results) => Response::Multi(
            (results.iter().cloned())
                .map(|result| match result {
                    MultiResult::Create2(path, full) => MultiResult::Create2(path, stat(&full)),
                    MultiResult::SetData(full) => MultiResult::SetData(stat(&full)),
                    other => other,
                })
                .collect(),
        ),
        other => other.clone(),
    }
}

fn expect(expected: i32, actual: i32) -> Result<(), ErrorCode> {
    if expected == -1 || expected == actual { Ok(()) } else { Err(ErrorCode::BadVersion) }
}

fn parent(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(slash) => &path[..slash],
    }
}
