//! A request, as it is kept until it is executed and answered.
//!
//! Most requests are about one path; they take a few words, so that taking note of one costs no memory of its own.

use vivarium_core::api::{Acl, Create, Data, Op};
use vivarium_core::entry::Write;
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::Zxid;

use super::super::model::{Model, Path};

/// A request that is not over.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) xid: i32,
    /// Which of its connection's writes it is, from 1; 0 for what is no write.
    pub(super) write: u32,
    /// How many identities its client had.
    pub(super) ids: usize,
    /// The highest zxid that any client had been told when it was sent.
    pub(super) told: Zxid,
    /// Its client knows what became of it, or will never know.
    pub(super) answered: bool,
    /// Some node has executed it.
    pub(super) executed: bool,
    pub(super) wanted: Wanted,
}

/// What is wanted.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    Exists {
        path: Path,
        watch: bool,
    },
    Data {
        path: Path,
        watch: bool,
    },
    Children {
        path: Path,
        watch: bool,
        stat: bool,
    },
    Acl {
        path: Path,
    },
    Sync {
        path: Option<Path>,
    },
    Create {
        path: Path,
        data: Data,
        acl: ListNumber,
        flags: i32,
        stat: bool,
    },
    Delete {
        path: Path,
        version: i32,
    },
    SetData {
        path: Path,
        data: Data,
        version: i32,
    },
    /// What is rare.
    Other(Box<Op>),
}

/// The ACLs that clients have given to new nodes: a few, over and over.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists(Vec<Option<Vec<Acl>>>);

type ListNumber = usize;

impl Asked {
    /// Whether nothing comes of it any more.
    pub(super) fn is_over(&self) -> bool {
        self.answered && (self.executed || self.write == 0)
    }
}

impl Wanted {
    pub(super) fn of(op: &Op, model: &mut Model, lists: &mut Lists) -> Wanted {
        match op {
            Op::Exists { path, watch } => Wanted::Exists { path: model.path(path), watch: *watch },
            Op::GetData { path, watch } => Wanted::Data { path: model.path(path), watch: *watch },
            Op::GetChildren { path, watch, stat } => {
                Wanted::Children { path: model.path(path), watch: *watch, stat: *stat }
            }
            Op::GetAcl { path } => Wanted::Acl { path: model.path(path) },
            Op::Sync { path } => Wanted::Sync { path: path.as_ref().map(|path| model.path(path)) },
            Op::Create(Create { path, data, acl, flags, stat }) => Wanted::Create {
                path: model.path(path),
                data: data.clone(),
                acl: lists.number(acl),
                flags: *flags,
                stat: *stat,
            },
            Op::Delete { path, version } => Wanted::Delete { path: model.path(path), version: *version },
            Op::SetData { path, data, version } => {
                Wanted::SetData { path: model.path(path), data: data.clone(), version: *version }
            }
            Op::SetAcl { .. }
            | Op::Ping
            | Op::Multi(_)
            | Op::Auth { .. }
            | Op::SetWatches { .. }
            | Op::CloseSession
            | Op::Malformed { .. }
            | Op::Unknown { .. } => Wanted::Other(Box::new(op.clone())),
        }
    }

    /// As it was asked.
    pub(super) fn op(&self, model: &Model, lists: &Lists) -> Op {
        let name = |path: &Path| model.name(*path).to_owned();
        match self {
            Wanted::Exists { path, watch } => Op::Exists { path: name(path), watch: *watch },
            Wanted::Data { path, watch } => Op::GetData { path: name(path), watch: *watch },
            Wanted::Children { path, watch, stat } => {
                Op::GetChildren { path: name(path), watch: *watch, stat: *stat }
            }
            Wanted::Acl { path } => Op::GetAcl { path: name(path) },
            Wanted::Sync { path } => Op::Sync { path: path.as_ref().map(name) },
            Wanted::Create { path, data, acl, flags, stat } => Op::Create(Create {
                path: name(path),
                data: data.clone(),
                acl: lists.0[*acl].clone(),
                flags: *flags,
                stat: *stat,
            }),
            Wanted::Delete { path, version } => Op::Delete { path: name(path), version: *version },
            Wanted::SetData { path, data, version } => {
                Op::SetData { path: name(path), data: data.clone(), version: *version }
            }
            Wanted::Other(op) => (**op).clone(),
        }
    }

    /// The path that a write is to, if it is one to one path.
    pub(super) fn path(&self) -> Option<Path> {
        match self {
            Wanted::Create { path, .. } | Wanted::Delete { path, .. } | Wanted::SetData { path, .. } => {
                Some(*path)
            }
            _ => None,
        }
    }

    pub(super) fn is_auth(&self) -> bool {
        matches!(self, Wanted::Other(op) if matches!(**op, Op::Auth { .. }))
    }

    /// Whether an entry is what a client asked for.
    pub(super) fn is(&self, write: &Write, model: &Model, lists: &Lists) -> bool {
        match (self, write) {
            (Wanted::Create { path, data, acl, flags, stat }, Write::Create(done)) => {
                model.name(*path) == done.path
                    && (*flags, *stat) == (done.flags, done.stat)
                    && *data == done.data
                    && lists.0[*acl] == done.acl
            }
            (Wanted::Delete { path, version }, Write::Delete { path: name, version: done }) => {
                model.name(*path) == name && version == done
            }
            (Wanted::SetData { path, data, version }, Write::SetData { path: name, data: d, version: v }) => {
                model.name(*path) == name && (data, version) == (d, v)
            }
            (Wanted::Other(op), write) => is_same(op, write),
            _ => false,
        }
    }
}

impl Lists {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn number(&mut self, acl: &Option<Vec<Acl>>) -> ListNumber {
        self.0.iter().position(|known| known == acl).unwrap_or_else(|| {
            self.0.push(acl.clone());
            self.0.len() - 1
        })
    }
}

fn is_same(op: &Op, write: &Write) -> bool {
    match (op, write) {
        (Op::SetAcl { path, acl, version }, Write::SetAcl { path: p, acl: a, version: v }) => {
            (path, acl, version) == (p, a, v)
        }
        (Op::Multi(asked), Write::Multi(done)) => asked == done,
        (Op::CloseSession, Write::Close) => true,
        (Op::Malformed { write: true }, Write::Fail(ErrorCode::MarshallingError)) => true,
        _ => false,
    }
}
