//! What a client learns from answers and notifications: the watches that it would set anew, names of nodes that it has made,
//! identities that are accepted.

use std::collections::BTreeSet;
use std::sync::Arc;

use vivarium_core::api::{EventKind, Op, Reply, Response, WatchedEvent};
use vivarium_core::error::ErrorCode;
use vivarium_core::jute::ReplyKind;

use super::workload;
use super::{Action, Client};
use crate::Time;
use crate::decision::{Decisions, Kind};

/// A request that waits for its answer: what there is to do when that comes.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) xid: i32,
    /// What a good answer looks like.
    pub(super) kind: ReplyKind,
    pub(super) lesson: Lesson,
    /// Whether it is a step of a probe's.
    pub(super) step: bool,
}

/// What a client learns from an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Lesson {
    Nothing,
    /// Whether there is a watch on the data of this node,
    Data(String),
    /// or else on its creation,
    Exists(String),
    /// or on its children.
    Children(String),
    /// The name of a sequential node.
    Name,
    /// Whether an identity is accepted.
    Identity(&'static str),
    /// The session is over, whatever the answer is.
    Over,
}

impl Lesson {
    /// What the answer to this request teaches.
    pub(super) fn of(op: &Op) -> Lesson {
        match op {
            Op::GetData { path, watch: true } => Lesson::Data(path.clone()),
            Op::Exists { path, watch: true } => Lesson::Exists(path.clone()),
            Op::GetChildren { path, watch: true, .. } => Lesson::Children(path.clone()),
            Op::Create(create) if create.flags >= 2 => Lesson::Name,
            Op::Auth { token: Some(token), .. } => {
                let known = workload::USERS.iter().find(|(user, _)| user.as_bytes() == &token[..]);
                known.map_or(Lesson::Nothing, |(user, _)| Lesson::Identity(user))
            }
            Op::CloseSession => Lesson::Over,
            _ => Lesson::Nothing,
        }
    }
}

/// The watches that a client library would set anew.
#[derive(Clone, Debug, Default)]
pub(super) struct Watches {
    data: BTreeSet<String>,
    exist: BTreeSet<String>,
    child: BTreeSet<String>,
}

impl Client {
    /// A notification came.
    pub fn notified(&mut self, event: &WatchedEvent, now: Time) {
        self.hear(now);
        let path: &str = &event.path;
        let watches = Arc::make_mut(&mut self.watches);
        match event.kind {
            EventKind::NodeCreated | EventKind::NodeDataChanged => {
                watches.data.remove(path);
                watches.exist.remove(path);
            }
            EventKind::NodeDeleted => {
                watches.data.remove(path);
                watches.exist.remove(path);
                watches.child.remove(path);
            }
            EventKind::NodeChildrenChanged => {
                watches.child.remove(path);
            }
        }
    }

    /// Sets its watches anew, on a new connection.
    pub(super) fn set_watches(&mut self, now: Time, decisions: &mut Decisions, actions: &mut Vec<Action>) {
        let Watches { data, exist, child } = &*self.watches;
        if data.is_empty() && exist.is_empty() && child.is_empty() {
            return;
        }
        if self.calm.is_none() && decisions.draw(Kind::Reconnect, self.index % 64, now).one_in(8) {
            // Some clients do not care (kazoo).
            self.watches = Arc::default();
            return;
        }
        let list = |set: &BTreeSet<String>| set.iter().cloned().collect();
        let op = Op::SetWatches {
            relative_zxid: self.zxid_seen,
            data: list(data),
            exist: list(exist),
            child: list(child),
        };
        self.number(now, op, actions);
    }

    /// Remembers what an answer teaches: watches that are set now, nodes that exist, identities that are accepted.
    pub(super) fn learn(&mut self, lesson: Lesson, reply: &Reply) {
        match (lesson, &reply.result) {
            (Lesson::Data(path) | Lesson::Exists(path), Ok(_)) => {
                Arc::make_mut(&mut self.watches).data.insert(path);
            }
            (Lesson::Exists(path), Err(ErrorCode::NoNode)) => {
                Arc::make_mut(&mut self.watches).exist.insert(path);
            }
            (Lesson::Children(path), Ok(_)) => {
                Arc::make_mut(&mut self.watches).child.insert(path);
            }
            (Lesson::Name, Ok(Response::Path(path) | Response::PathStat(path, _)))
                if self.memory.made.len() < 50 =>
            {
                Arc::make_mut(&mut self.memory.made).push(path.clone());
            }
            (Lesson::Identity(user), Ok(_)) if !self.identities.contains(&user) => {
                self.identities.push(user);
            }
            _ => {}
        }
    }
}
