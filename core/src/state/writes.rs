//! The writes of clients: what is checked, in which order (section 2.4 of the protocol; the order decides which error
//! wins), and the all-or-nothing of multi (section 3.3). A write checks everything before it changes anything.

use std::borrow::Cow;

use crate::api::{Acl, Create, Data, EventKind, Id, MultiOp, MultiResult, Response, Stat, perms};
use crate::error::ErrorCode;
use crate::ids::{SessionId, Zxid};
use crate::path;
use crate::state::tree::{ROOT, Slot};
use crate::state::{Change, State, acl};

/// Who writes, and when.
#[derive(Clone, Debug)]
pub(super) struct Context<'a> {
    pub(super) zxid: Zxid,
    /// Of the entry: milliseconds since 1970.
    pub(super) time: i64,
    pub(super) session: SessionId,
    pub(super) ids: &'a [Id],
}

impl State {
    pub(super) fn create_answered(
        &mut self,
        context: &Context<'_>,
        create: &Create,
        changes: &mut Vec<Change>,
    ) -> Result<Response, ErrorCode> {
        let (path, stat) = self.create(context, create, changes)?;
        Ok(if create.stat { Response::PathStat(path, stat) } else { Response::Path(path) })
    }

    fn create(
        &mut self,
        context: &Context<'_>,
        create: &Create,
        changes: &mut Vec<Change>,
    ) -> Result<(String, Stat), ErrorCode> {
        let (ephemeral, sequential) = match create.flags {
            0..=3 => (create.flags & 1 != 0, create.flags & 2 != 0),
            // A container to the op code for containers, an ordinary node to these: section 2.3.
            4 => (false, false),
            _ => return Err(ErrorCode::BadArguments),
        };
        let slash = create.path.rfind('/').filter(|_| !create.path.contains('\0'));
        let slash = slash.ok_or(ErrorCode::BadArguments)?;
        let acl = acl::fix_up(create.acl.as_deref(), context.ids)?;
        let parent = self.tree.lookup(&create.path[..slash]).ok_or(ErrorCode::NoNode)?;
        self.allow(parent, perms::CREATE, context.ids)?;
        let path: Cow<'_, str> = if sequential {
            path::sequential(&create.path, self.tree.node(parent).meta.created).into()
        } else {
            create.path.as_str().into()
        };
        path::validate(&path)?;
        let name = &path[slash + 1..];
        // The only valid path without a name is the root's.
        if name.is_empty() || self.tree.child(parent, name).is_some() {
            return Err(ErrorCode::NodeExists);
        }
        if self.tree.node(parent).meta.owner != 0 {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let owner = if ephemeral { context.session.0 } else { 0 };
        let now = (context.zxid, context.time);
        let slot = self.tree.create(parent, name, create.data.clone(), &acl, owner, now);
        changes.push(self.change(EventKind::NodeCreated, &path, slot));
        Ok((path.into_owned(), self.tree.stat(slot)))
    }

    pub(super) fn delete(
        &mut self,
        context: &Context<'_>,
        path: &str,
        version: i32,
        changes: &mut Vec<Change>,
    ) -> Result<Response, ErrorCode> {
        let slash = path.rfind('/').filter(|_| !path::is_reserved(path)).ok_or(ErrorCode::BadArguments)?;
        let parent = self.tree.lookup(&path[..slash]).ok_or(ErrorCode::NoNode)?;
        self.allow(parent, perms::DELETE, context.ids)?;
        // `//a` has a parent, the root, but is not its child `a`.
        let slot = if slash == 1 { None } else { self.tree.find_child(parent, &path[slash + 1..]) };
        let slot = slot.ok_or(ErrorCode::NoNode)?;
        let node = self.tree.node(slot);
        expect_version(version, node.meta.version)?;
        if !node.children.is_empty() {
            return Err(ErrorCode::NotEmpty);
        }
        changes.push(self.change(EventKind::NodeDeleted, path, slot));
        self.tree.remove(slot, context.zxid);
        Ok(Response::Empty)
    }

    pub(super) fn set_data(
        &mut self,
        context: &Context<'_>,
        path: &str,
        data: &Data,
        version: i32,
        changes: &mut Vec<Change>,
    ) -> Result<Stat, ErrorCode> {
        path::validate(path)?;
        let slot = self.tree.lookup(path).ok_or(ErrorCode::NoNode)?;
        self.allow(slot, perms::WRITE, context.ids)?;
        expect_version(version, self.tree.node(slot).meta.version)?;
        self.tree.set_data(slot, data.clone(), (context.zxid, context.time));
        changes.push(self.change(EventKind::NodeDataChanged, path, slot));
        Ok(self.tree.stat(slot))
    }

    pub(super) fn set_acl(
        &mut self,
        context: &Context<'_>,
        path: &str,
        acl: Option<&[Acl]>,
        version: i32,
    ) -> Result<Stat, ErrorCode> {
        path::validate(path)?;
        let acl = acl::fix_up(acl, context.ids)?;
        let slot = self.tree.lookup(path).ok_or(ErrorCode::NoNode)?;
        self.allow(slot, perms::ADMIN, context.ids)?;
        expect_version(version, self.tree.node(slot).meta.aversion)?;
        self.tree.set_acl(slot, &acl);
        Ok(self.tree.stat(slot))
    }

    fn check(&self, context: &Context<'_>, path: &str, version: i32) -> Result<(), ErrorCode> {
        path::validate(path)?;
        let slot = self.tree.lookup(path).ok_or(ErrorCode::NoNode)?;
        self.allow(slot, perms::READ, context.ids)?;
        expect_version(version, self.tree.node(slot).meta.version)
    }

    /// All of it or nothing, each item on top of those before it.
    pub(super) fn multi(
        &mut self,
        context: &Context<'_>,
        items: &[MultiOp],
        changes: &mut Vec<Change>,
    ) -> Vec<MultiResult> {
        let changes_before = changes.len();
        let mut results = Vec::with_capacity(items.len());
        self.tree.begin();
        for item in items {
            match self.item(context, item, changes) {
                Ok(result) => results.push(result),
                Err(error) => {
                    self.tree.rollback();
                    changes.truncate(changes_before);
                    let failed = results.len();
                    return (0..items.len())
                        .map(|index| match index.cmp(&failed) {
                            std::cmp::Ordering::Less => MultiResult::Error(None),
                            std::cmp::Ordering::Equal => MultiResult::Error(Some(error)),
                            std::cmp::Ordering::Greater => {
                                MultiResult::Error(Some(ErrorCode::RuntimeInconsistency))
                            }
                        })
                        .collect();
                }
            }
        }
        self.tree.commit();
        results
    }

    fn item(
        &mut self,
        context: &Context<'_>,
        item: &MultiOp,
        changes: &mut Vec<Change>,
    ) -> Result<MultiResult, ErrorCode> {
        match item {
            MultiOp::Create(create) => {
                let (path, stat) = self.create(context, create, changes)?;
                Ok(if create.stat { MultiResult::Create2(path, stat) } else { MultiResult::Create(path) })
            }
            MultiOp::Delete { path, version } => {
                self.delete(context, path, *version, changes)?;
                Ok(MultiResult::Delete)
            }
            MultiOp::SetData { path, data, version } => {
                self.set_data(context, path, data, *version, changes).map(MultiResult::SetData)
            }
            MultiOp::Check { path, version } => {
                self.check(context, path, *version)?;
                Ok(MultiResult::Check)
            }
        }
    }

    /// What watches are told of a node that was just created or changed, or is about to be removed.
    pub(super) fn change(&self, kind: EventKind, path: &str, slot: Slot) -> Change {
        let parent = match kind {
            EventKind::NodeCreated | EventKind::NodeDeleted => {
                assert!(slot != ROOT, "the root is neither created nor deleted");
                Some(self.tree.acl(self.tree.node(slot).parent).clone())
            }
            EventKind::NodeDataChanged | EventKind::NodeChildrenChanged => None,
        };
        Change { kind, path: path.into(), acl: self.tree.acl(slot).clone(), parent_acl: parent }
    }
}

/// -1 is fine with any.
fn expect_version(expected: i32, actual: i32) -> Result<(), ErrorCode> {
    if expected == -1 || expected == actual { Ok(()) } else { Err(ErrorCode::BadVersion) }
}
