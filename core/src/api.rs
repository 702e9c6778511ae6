//! What a client can ask and what it is answered, decoded: the words of the ZooKeeper client protocol.
//!
//! The wire form of these is `jute/`'s business.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::ErrorCode;
use crate::ids::{SessionId, Zxid};

/// Bytes shared between the log, the tree, the peers and replies without copying.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blob(pub Arc<[u8]>);

/// A node's data. Null (`None`) and empty are different things to a client.
pub type Data = Option<Blob>;

/// What identifies the holder of a permission: an authentication scheme and a name in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Id {
    /// `world`, `digest`, `ip`, `auth`, `super`, ...
    pub scheme: String,
    /// The name within the scheme.
    pub id: String,
}

/// One entry of an access control list.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Acl {
    /// Bits of [`perms`]; not validated, as in ZooKeeper.
    pub perms: i32,
    /// Who.
    pub id: Id,
}

/// Permission bits of [`Acl::perms`].
pub mod perms {
    /// Read data and list children.
    pub const READ: i32 = 1;
    /// Set data.
    pub const WRITE: i32 = 2;
    /// Create children.
    pub const CREATE: i32 = 4;
    /// Delete children.
    pub const DELETE: i32 = 8;
    /// Set the ACL.
    pub const ADMIN: i32 = 16;
    /// All of them.
    pub const ALL: i32 = 31;
}

/// A node's metadata, in the order of the wire (68 bytes).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Stat {
    /// Zxid of the creation.
    pub czxid: Zxid,
    /// Zxid of the last change of data.
    pub mzxid: Zxid,
    /// Milliseconds since 1970 of the creation, by the leader's clock.
    pub ctime: i64,
    /// Milliseconds since 1970 of the last change of data.
    pub mtime: i64,
    /// Version of the data.
    pub version: i32,
    /// Version of the list of children: `2 * ever created - present`.
    pub cversion: i32,
    /// Version of the ACL.
    pub aversion: i32,
    /// The session that owns an ephemeral node, else 0.
    pub ephemeral_owner: i64,
    /// Bytes of data; 0 for null.
    pub data_length: i32,
    /// Direct children.
    pub num_children: i32,
    /// Zxid of the last change of the list of children.
    pub pzxid: Zxid,
}

/// The first packet of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectRequest {
    /// Always 0; not checked.
    pub protocol_version: i32,
    /// Highest zxid the client has seen.
    pub last_zxid_seen: i64,
    /// Wanted session timeout, ms.
    pub timeout_ms: i32,
    /// 0 for a new session, else the one to re-attach.
    pub session: SessionId,
    /// The session's password; anything for a new one.
    pub password: Option<Blob>,
    /// The trailing flag, absent from old clients: the response carries it only if the request did.
    pub read_only: Option<bool>,
}

/// The answer to a [`ConnectRequest`]. `timeout_ms` 0 and `session` 0 say that the session is not valid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectResponse {
    /// Negotiated timeout in ms; 0 when refused.
    pub timeout_ms: i32,
    /// The session; 0 when refused.
    pub session: SessionId,
    /// Exactly 16 bytes.
    pub password: [u8; 16],
    /// Present when the request had the field; true on a read-only server.
    pub read_only: Option<bool>,
}

/// A request of an established connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Chosen by the client and echoed; any number is accepted.
    pub xid: i32,
    /// What is asked.
    pub op: Op,
}

/// The operations. Route by these, never by xid: clients differ in the xids of auth and setWatches.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Op {
    /// Ops 1 and 15.
    Create(Create),
    /// Op 2.
    Delete { path: String, version: i32 },
    /// Op 3.
    Exists { path: String, watch: bool },
    /// Op 4.
    GetData { path: String, watch: bool },
    /// Op 5.
    SetData { path: String, data: Data, version: i32 },
    /// Op 6.
    GetAcl { path: String },
    /// Op 7. `acl` is `None` when the client sent a null list.
    SetAcl { path: String, acl: Option<Vec<Acl>>, version: i32 },
    /// Ops 8 (`stat` false) and 12 (`stat` true).
    GetChildren { path: String, watch: bool, stat: bool },
    /// Op 9; the path is echoed, whatever it is.
    Sync { path: Option<String> },
    /// Op 11.
    Ping,
    /// Op 14.
    Multi(Vec<MultiOp>),
    /// Op 100.
    Auth { scheme: Option<String>, token: Option<Blob> },
    /// Op 101.
    SetWatches { relative_zxid: i64, data: Vec<String>, exist: Vec<String>, child: Vec<String> },
    /// Op -11.
    CloseSession,
    /// A record that could not be decoded: -5, the connection stays. `write` when the op is a write, which spends
    /// a zxid even so.
    Malformed { write: bool },
    /// Any other op code: -6 with zxid -1, then the connection closes.
    Unknown { code: i32 },
}

/// What to create.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Create {
    /// Where; the suffix of a sequential node comes after it.
    pub path: String,
    /// Its data.
    pub data: Data,
    /// Its ACL; `None` when the client sent a null list.
    pub acl: Option<Vec<Acl>>,
    /// 0 persistent, 1 ephemeral, 2 persistent sequential, 3 ephemeral sequential.
    pub flags: i32,
    /// Whether the answer carries the Stat (op 15) or just the path (op 1).
    pub stat: bool,
}

/// An operation inside a multi.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum MultiOp {
    /// Item types 1 and 15.
    Create(Create),
    /// Item type 2.
    Delete { path: String, version: i32 },
    /// Item type 5.
    SetData { path: String, data: Data, version: i32 },
    /// Item type 13.
    Check { path: String, version: i32 },
}

/// What a successful request is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Response {
    /// A header only: delete, ping, auth, setWatches, closeSession.
    Empty,
    /// create.
    Path(String),
    /// create2.
    PathStat(String, Stat),
    /// exists, setData, setACL.
    Stat(Stat),
    /// getData.
    Data(Data, Stat),
    /// getChildren.
    Children(Vec<String>),
    /// getChildren2.
    ChildrenStat(Vec<String>, Stat),
    /// getACL.
    Acl(Arc<[Acl]>, Stat),
    /// sync: the path, echoed.
    Sync(Option<String>),
    /// multi, failed ones included: their header carries no error.
    Multi(Vec<MultiResult>),
}

/// The result of one operation of a multi.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MultiResult {
    /// Type 1.
    Create(String),
    /// Type 15.
    Create2(String, Stat),
    /// Type 2.
    Delete,
    /// Type 5: the Stat right after this item.
    SetData(Stat),
    /// Type 13.
    Check,
    /// Type -1: nothing of the multi was applied. `None` is code 0, for the items before the one that failed.
    Error(Option<ErrorCode>),
}

/// A reply: in the order of the requests of its connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The request's (ping: -2).
    pub xid: i32,
    /// See section 2.1 of the protocol: the write's own zxid, or the last one processed.
    pub zxid: i64,
    /// Errors have no body.
    pub result: Result<Response, ErrorCode>,
}

/// What a watch saw. The numbers are the protocol's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(i32)]
pub enum EventKind {
    /// 1
    NodeCreated = 1,
    /// 2
    NodeDeleted = 2,
    /// 3
    NodeDataChanged = 3,
    /// 4
    NodeChildrenChanged = 4,
}

/// A notification (xid -1 on the wire, state 3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchedEvent {
    /// What happened.
    pub kind: EventKind,
    /// To which node.
    pub path: Arc<str>,
    /// The zxid that triggered it; -1 for one made by setWatches.
    pub zxid: i64,
}

impl Id {
    /// `world:anyone`.
    pub fn anyone() -> Id {
        Id { scheme: "world".into(), id: "anyone".into() }
    }
}

impl Acl {
    /// `world:anyone` with all permissions: what most clients send.
    pub fn open() -> Vec<Acl> {
        vec![Acl { perms: perms::ALL, id: Id::anyone() }]
    }
}

impl Blob {
    /// Copies bytes into a shared blob.
    pub fn new(bytes: &[u8]) -> Blob {
        Blob(bytes.into())
    }
}

impl std::ops::Deref for Blob {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(&self.0) {
            Ok(text) if text.len() <= 64 => write!(f, "{text:?}"),
            _ => write!(f, "[{} bytes]", self.0.len()),
        }
    }
}

/// Bytes in binary formats. In readable ones a text where it is one, else the list of the bytes; a long run of one
/// byte is the pair of its length and the byte.
impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if !s.is_human_readable() {
            return s.serialize_bytes(&self.0);
        }
        match (self.0.first(), std::str::from_utf8(&self.0)) {
            (Some(first), _) if self.0.len() > 32 && self.0.iter().all(|byte| byte == first) => {
                (self.0.len(), *first).serialize(s)
            }
            (_, Ok(text)) if !text.chars().any(char::is_control) => s.serialize_str(text),
            _ => (self.0.len(), &self.0[..]).serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Blob, D::Error> {
        struct Bytes;
        impl<'de> serde::de::Visitor<'de> for Bytes {
            type Value = Blob;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a text, or the length and the byte that is repeated, or the length and the bytes",
                )
            }
            fn visit_bytes<E>(self, v: &[u8]) -> Result<Blob, E> {
                Ok(Blob::new(v))
            }
            fn visit_str<E>(self, v: &str) -> Result<Blob, E> {
                Ok(Blob::new(v.as_bytes()))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Blob, A::Error> {
                let short = |read| serde::de::Error::invalid_length(read, &self);
                let length: usize = seq.next_element()?.ok_or_else(|| short(0))?;
                match seq.next_element::<Content>()?.ok_or_else(|| short(1))? {
                    Content::Repeated(byte) if length <= 1 << 24 => Ok(Blob::new(&vec![byte; length])),
                    Content::Bytes(bytes) if bytes.len() == length => Ok(Blob::new(&bytes)),
                    Content::Repeated(_) | Content::Bytes(_) => Err(short(length)),
                }
            }
        }
        if d.is_human_readable() { d.deserialize_any(Bytes) } else { d.deserialize_bytes(Bytes) }
    }
}

/// The second half of a blob that is no text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Repeated(u8),
    Bytes(Vec<u8>),
}
