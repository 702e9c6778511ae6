//! What is replicated: an entry of the log.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::api::{Acl, Create, Data, Id, MultiOp};
use crate::error::ErrorCode;
use crate::ids::{Origin, SessionId, Zxid};
use crate::time::Timestamp;

/// One entry of the replicated log. Entries are shared, never copied: see [`SharedEntry`].
///
/// An entry is a command, not a computed transaction: every replica executes it when it is committed, and the
/// outcome, an error included, is a function of the state alone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its place in the order.
    pub zxid: Zxid,
    /// The leader's wall clock when it was proposed: the only time that executing it may use.
    pub time: Timestamp,
    /// Where the command entered the ensemble, and so who waits for the outcome.
    pub origin: Origin,
    /// What to do.
    pub body: Body,
}

/// An entry as all holders share it.
pub type SharedEntry = Arc<Entry>;

/// An epoch's opening, or a command. Ordering looks no further than this.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Body {
    /// Entry (epoch, 0): once a quorum has synced it, all before it is committed with it and the leader serves.
    Opening,
    /// Something for the state machine.
    Command(Command),
}

/// A change of the replicated state, as it was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// A new session, owned by the entry's origin. Fails with `NodeExists` when the id is taken.
    CreateSession { session: SessionId, password: [u8; 16], timeout_ms: i32 },
    /// A session moves to the connection that the entry's origin names, and gets a new timeout. Fails with
    /// `SessionExpired` when the session is unknown or the password wrong.
    Attach { session: SessionId, password: [u8; 16], timeout_ms: i32 },
    /// The leader has not heard of a session for its timeout. Does nothing when the session has another owner by
    /// now: it was re-attached in time.
    Expire { session: SessionId, owner: Origin },
    /// A request of a session. `owner` is the attachment it was sent over: when the session has moved since, the
    /// command fails with `SessionMoved` and changes nothing.
    Request { session: SessionId, owner: Origin, ids: Arc<[Id]>, write: Write },
}

/// The writes a client can ask for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Write {
    /// create, create2.
    Create(Create),
    /// delete.
    Delete { path: String, version: i32 },
    /// setData.
    SetData { path: String, data: Data, version: i32 },
    /// setACL.
    SetAcl { path: String, acl: Option<Vec<Acl>>, version: i32 },
    /// multi.
    Multi(Vec<MultiOp>),
    /// closeSession.
    Close,
    /// A write that was found wrong before it was ordered: it still spends a zxid and is answered in its place.
    Fail(ErrorCode),
}

/// Something a server's front desk asks of the order, numbered from 1 within its stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Submission {
    /// The number of [`Origin`].
    pub number: u64,
    /// What is asked.
    pub ask: Ask,
}

/// What can be asked of the order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// A place in the order for a command; answered when the entry is executed here.
    Command(Command),
    /// Proof by a quorum that all committed before now is executed here (`sync`); answered by number.
    Barrier,
}

impl Entry {
    /// Bytes it takes in memory and on the wire, about: for bounds, not for layout.
    pub fn weight(&self) -> usize {
        const FIXED: usize = 96;
        FIXED
            + match &self.body {
                Body::Opening => 0,
                Body::Command(command) => command.weight(),
            }
    }
}

impl Command {
    /// Bytes of what the client sent, about.
    pub fn weight(&self) -> usize {
        let data = |data: &Data| data.as_ref().map_or(0, |blob| blob.len());
        let item = |item: &MultiOp| match item {
            MultiOp::Create(create) => 64 + create.path.len() + data(&create.data),
            MultiOp::SetData { path, data: d, .. } => 32 + path.len() + data(d),
            MultiOp::Delete { path, .. } | MultiOp::Check { path, .. } => 32 + path.len(),
        };
        match self {
            Command::Request { write, .. } => match write {
                Write::Create(create) => 64 + create.path.len() + data(&create.data),
                Write::SetData { path, data: d, .. } => path.len() + data(d),
                Write::Delete { path, .. } => path.len(),
                Write::SetAcl { path, acl, .. } => path.len() + acl.as_ref().map_or(0, |acl| acl.len() * 64),
                Write::Multi(items) => items.iter().map(item).sum(),
                Write::Close | Write::Fail(_) => 0,
            },
            Command::CreateSession { .. } | Command::Attach { .. } | Command::Expire { .. } => 32,
        }
    }
}
