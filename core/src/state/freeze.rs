//! Snapshots that are exact and never stop the world: see [`State::freeze`].
//!
//! A freeze is a cursor over the slots of the tree and over the sessions. Between two chunks the state goes on
//! changing; what the cursor has yet to reach is copied into its overlay before it changes. The cost of a snapshot is
//! thus one visit to each node, in pieces, plus one copy (of pointers, not of data) of each node changed meanwhile.
//!
//! # Format, version 1
//!
//! A snapshot is the concatenation of its chunks; no record spans two chunks. Each record is one of [`Record`] in
//! postcard's encoding (little-endian base-128 varints, zigzag for signed numbers, strings and bytes after their
//! length, an enum by the number of its variant):
//!
//! ```text
//! 0 Header   magic "vivarium state\n" as bytes, version, zxid: first, once
//! 1 Acl      a list; the n-th of these is list n, from 0; before the first node that has it
//! 2 Node     ascending by slot; the root has slot 0; a parent may come after its child
//! 3 Session  ascending by id
//! 4 End      numbers of nodes and sessions, and the digest of all: last, once
//! ```
//!
//! Slots only serve to tell who is whose parent.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::api::{Acl, Blob};
use crate::encoding::{self, append, put, put_bytes, put_signed};
use crate::ids::{Origin, SessionId, Zxid};
use crate::state::sessions::Sessions;
use crate::state::tree::{FrozenNode, FrozenView, Meta, Slot, Tree};
use crate::state::{FreezeId, Session, State};

const MAGIC: &[u8] = b"vivarium state\n";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
enum Record<'a> {
    Header {
        #[serde(borrow)]
        magic: Bytes<'a>,
        version: u32,
        zxid: Zxid,
    },
    #[serde(borrow)]
    Acl(Vec<Entry<'a>>),
    #[serde(borrow)]
    Node(NodeRecord<'a>),
    Session {
        id: SessionId,
        password: [u8; 16],
        timeout_ms: i32,
        owner: Origin,
    },
    End {
        nodes: u64,
        sessions: u64,
        digest: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct Entry<'a> {
    perms: i32,
    scheme: &'a str,
    id: &'a str,
}

#[derive(Serialize, Deserialize)]
struct NodeRecord<'a> {
    slot: Slot,
    parent: Slot,
    name: &'a str,
    #[serde(borrow)]
    data: Option<Bytes<'a>>,
    acl: u32,
    czxid: Zxid,
    mzxid: Zxid,
    pzxid: Zxid,
    ctime: i64,
    mtime: i64,
    created: i64,
    owner: i64,
    version: i32,
    aversion: i32,
}

/// Bytes that are read in place.
struct Bytes<'a>(&'a [u8]);

/// The snapshots in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Freezes {
    last: u64,
    open: BTreeMap<FreezeId, Freeze>,
    /// Where pieces are written before they are shared: kept from one to the next, while any snapshot is in the making.
    piece: Vec<u8>,
}

/// One snapshot in the making. The cursors are with what they walk over.
#[derive(Clone, Debug)]
struct Freeze {
    zxid: Zxid,
    digest: u64,
    part: Part,
    /// Lists written so far, and their numbers.
    acls: BTreeMap<Arc<[Acl]>, u32>,
    /// The last one that was looked up: most nodes have the list of the node before.
    acl: Option<(Arc<[Acl]>, u32)>,
    nodes: u64,
    sessions: u64,
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Header,
    Nodes,
    Sessions,
}

impl State {
    /// Begins a snapshot of the state as it is now. Any number may be in the making at once.
    pub fn freeze(&mut self) -> FreezeId {
        self.freezes.last += 1;
        let id = FreezeId(self.freezes.last);
        let (zxid, digest) = (self.applied(), self.digest());
        let freeze = Freeze {
            zxid,
            digest,
            part: Part::Header,
            acls: BTreeMap::new(),
            acl: None,
            nodes: 0,
            sessions: 0,
        };
        self.freezes.open.insert(id, freeze);
        self.tree.freeze(id);
        self.sessions.freeze(id);
        id
    }

    /// The next piece of a snapshot, about `bytes_max` long (a single large node may exceed it), and whether it is the
    /// last. Dropped after the last.
    ///
    /// # Panics
    /// When there is no such snapshot in the making.
    pub fn next_chunk(&mut self, id: FreezeId, bytes_max: usize) -> (Arc<[u8]>, bool) {
        let freeze =
            self.freezes.open.get_mut(&id).expect("frozen, not thawed, and the last piece not taken");
        let mut bytes = std::mem::take(&mut self.freezes.piece);
        bytes.reserve(bytes_max.min(1 << 20));
        let mut last = false;
        while !last && (bytes.is_empty() || bytes.len() < bytes_max) {
            freeze.write(&mut bytes, id, &mut self.tree, &mut self.sessions, &mut last);
        }
        let piece = Arc::from(&bytes[..]);
        if last {
            self.thaw(id);
        }
        if !self.freezes.open.is_empty() {
            bytes.clear();
            self.freezes.piece = bytes;
        }
        (piece, last)
    }

    /// Gives up a snapshot in the making. Does nothing when it is done or given up already.
    pub fn thaw(&mut self, id: FreezeId) {
        self.freezes.open.remove(&id);
        if self.freezes.open.is_empty() {
            self.freezes.piece = Vec::new();
        }
        self.tree.thaw(id);
        self.sessions.thaw(id);
    }

    /// Rebuilds the state from the pieces of a snapshot, however they were cut between records.
    ///
    /// # Errors
    /// Says what is wrong with them. Nothing in the bytes is trusted: no length is allocated before it is seen to be
    /// there, and the digest must be that of what was rebuilt.
    pub fn restore<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<State, String> {
        let mut reader = Reader::default();
        for (index, chunk) in chunks.into_iter().enumerate() {
            let mut rest = chunk;
            while !rest.is_empty() {
                let offset = chunk.len() - rest.len();
                let place = |why: String| format!("chunk {index}, byte {offset}: {why}");
                let (record, after) = match usual_node(rest) {
                    Some((node, after)) => (Record::Node(node), after),
                    None => {
                        postcard::take_from_bytes(rest).map_err(|why| place(format!("no record: {why}")))?
                    }
                };
                reader.read(record).map_err(place)?;
                rest = after;
            }
        }
        reader.finish()
    }
}

impl Freeze {
    /// Writes the next record, and the ACL before a node that is the first to have it.
    fn write(
        &mut self,
        bytes: &mut Vec<u8>,
        id: FreezeId,
        tree: &mut Tree,
        sessions: &mut Sessions,
        last: &mut bool,
    ) {
        match self.part {
            Part::Header => {
                self.part = Part::Nodes;
                append(bytes, &Record::Header { magic: Bytes(MAGIC), version: VERSION, zxid: self.zxid })
            }
            Part::Nodes => {
                let found = tree.next_frozen(id, |slot, node| {
                    self.nodes += 1;
                    let acl = self.number_of(node.acl, bytes);
                    append_node(bytes, slot, &node, acl);
                });
                if found.is_none() {
                    self.part = Part::Sessions;
                }
            }
            Part::Sessions => match sessions.next_frozen(id) {
                Some((id, session)) => {
                    self.sessions += 1;
                    append_session(bytes, id, &session);
                }
                None => {
                    *last = true;
                    let Freeze { nodes, sessions, digest, .. } = *self;
                    append(bytes, &Record::End { nodes, sessions, digest })
                }
            },
        }
    }

    /// The number of an ACL, which is written if it has none yet.
    fn number_of(&mut self, acl: &Arc<[Acl]>, bytes: &mut Vec<u8>) -> u32 {
        if let Some((last, number)) = &self.acl
            && Arc::ptr_eq(last, acl)
        {
            return *number;
        }
        let number = match self.acls.get(acl) {
            Some(&number) => number,
            None => {
                let number = self.acls.len() as u32;
                append_acl(bytes, acl);
                self.acls.insert(acl.clone(), number);
                number
            }
        };
        self.acl = Some((acl.clone(), number));
        number
    }
}

// What `append` would make of a `Record`, by hand: nearly all records are of these three kinds, and nearly all their bytes
// are numbers, for which postcard takes ten times as long.

/// The numbers of the variants.
const ACL: u64 = 1;
const NODE: u64 = 2;
const SESSION: u64 = 3;

fn append_acl(bytes: &mut Vec<u8>, list: &[Acl]) {
    put(bytes, ACL);
    put(bytes, list.len() as u64);
    for Acl { perms, id } in list {
        put_signed(bytes, (*perms).into());
        put_bytes(bytes, id.scheme.as_bytes());
        put_bytes(bytes, id.id.as_bytes());
    }
}

fn append_node(bytes: &mut Vec<u8>, slot: Slot, node: &FrozenView<'_>, acl: u32) {
    let FrozenView { parent, name, data, acl: _, meta } = *node;
    let Meta { czxid, mzxid, pzxid, ctime, mtime, created, owner, version, aversion } = *meta;
    put(bytes, NODE);
    put(bytes, slot.into());
    put(bytes, parent.into());
    put_bytes(bytes, name.as_bytes());
    bytes.push(u8::from(data.is_some()));
    if let Some(data) = data {
        put_bytes(bytes, data);
    }
    put(bytes, acl.into());
    for zxid in [czxid, mzxid, pzxid] {
        put(bytes, zxid.0);
    }
    for signed in [ctime, mtime, created, owner, version.into(), aversion.into()] {
        put_signed(bytes, signed);
    }
}

fn append_session(bytes: &mut Vec<u8>, id: SessionId, session: &Session) {
    let Session { password, timeout_ms, owner } = session;
    put(bytes, SESSION);
    put_signed(bytes, id.0);
    bytes.extend_from_slice(password);
    put_signed(bytes, (*timeout_ms).into());
    bytes.push(owner.peer.0);
    put(bytes, owner.stream);
    put(bytes, owner.number);
}

/// The record that `bytes` begin with, when it is a node's and nothing about it is strange, and what follows it.
fn usual_node(bytes: &[u8]) -> Option<(NodeRecord<'_>, &[u8])> {
    let mut reader = encoding::Reader(bytes);
    if u64::from(reader.byte()?) != NODE {
        return None;
    }
    let node = NodeRecord {
        slot: reader.short()?,
        parent: reader.short()?,
        name: reader.text()?,
        data: match reader.flag()? {
            true => Some(Bytes(reader.bytes()?)),
            false => None,
        },
        acl: reader.short()?,
        czxid: Zxid(reader.number()?),
        mzxid: Zxid(reader.number()?),
        pzxid: Zxid(reader.number()?),
        ctime: reader.signed()?,
        mtime: reader.signed()?,
        created: reader.signed()?,
        owner: reader.signed()?,
        version: reader.signed_short()?,
        aversion: reader.signed_short()?,
    };
    Some((node, reader.0))
}

/// What has been read of a snapshot.
#[derive(Default)]
struct Reader {
    zxid: Option<Zxid>,
    acls: Vec<Arc<[Acl]>>,
    nodes: Vec<(Slot, FrozenNode)>,
    sessions: Sessions,
    last_session: Option<SessionId>,
    /// Nodes, sessions, digest.
    end: Option<(u64, u64, u64)>,
}

impl Reader {
    fn read(&mut self, record: Record<'_>) -> Result<(), String> {
        if self.end.is_some() {
            return Err("something after the end".into());
        }
        if self.zxid.is_none() != matches!(record, Record::Header { .. }) {
            return Err("a snapshot begins with one header".into());
        }
        match record {
            Record::Header { magic, version, zxid } => {
                if magic.0 != MAGIC {
                    return Err("this is no snapshot of the state".into());
                }
                if version != VERSION {
                    return Err(format!("version {version} of the format; this program reads {VERSION}"));
                }
                self.zxid = Some(zxid);
            }
            Record::Acl(list) => self.acls.push(list.iter().map(Entry::acl).collect()),
            Record::Node(node) => {
                if self.nodes.last().is_some_and(|(last, _)| *last >= node.slot) {
                    return Err(format!("node {} comes after one with a higher number", node.slot));
                }
                let acl = self.acls.get(node.acl as usize);
                let acl = acl.ok_or_else(|| format!("there is no ACL {}", node.acl))?.clone();
                self.nodes.push((node.slot, node.frozen(acl)));
            }
            Record::Session { id, password, timeout_ms, owner } => {
                if self.last_session.is_some_and(|last| last >= id) {
                    return Err(format!("session {id} comes after one with a higher id"));
                }
                self.last_session = Some(id);
                self.sessions.put(id, Session { password, timeout_ms, owner });
            }
            Record::End { nodes, sessions, digest } => self.end = Some((nodes, sessions, digest)),
        }
        Ok(())
    }

    fn finish(self) -> Result<State, String> {
        let applied = self.zxid.ok_or("the snapshot is empty")?;
        let (nodes, sessions, digest) = self.end.ok_or("the snapshot ends too early")?;
        let found = (self.nodes.len() as u64, self.sessions.iter().count() as u64);
        if found != (nodes, sessions) {
            return Err(format!(
                "{} nodes and {} sessions, where there should be {nodes} and {sessions}",
                found.0, found.1
            ));
        }
        let tree = Tree::rebuild(self.nodes)?;
        if let Some(owner) = tree.owners().find(|&owner| self.sessions.get(SessionId(owner)).is_none()) {
            return Err(format!("ephemeral nodes of session {}, which is not open", SessionId(owner)));
        }
        let state = State { applied, tree, sessions: self.sessions, freezes: Freezes::default() };
        if state.digest() != digest {
            return Err(format!("digest {:016x}, where it should be {digest:016x}", state.digest()));
        }
        Ok(state)
    }
}

impl<'a> Entry<'a> {
    #[cfg(test)]
    fn of(acl: &'a Acl) -> Entry<'a> {
        Entry { perms: acl.perms, scheme: &acl.id.scheme, id: &acl.id.id }
    }

    fn acl(&self) -> Acl {
        Acl { perms: self.perms, id: crate::api::Id { scheme: self.scheme.into(), id: self.id.into() } }
    }
}

impl<'a> NodeRecord<'a> {
    #[cfg(test)]
    fn of(slot: Slot, node: &'a FrozenNode, acl: u32) -> NodeRecord<'a> {
        let FrozenNode { parent, name, data, acl: _, meta } = node;
        let Meta { czxid, mzxid, pzxid, ctime, mtime, created, owner, version, aversion } = *meta;
        let data = data.as_ref().map(|data| Bytes(data));
        NodeRecord {
            slot,
            parent: *parent,
            name,
            data,
            acl,
            czxid,
            mzxid,
            pzxid,
            ctime,
            mtime,
            created,
            owner,
            version,
            aversion,
        }
    }

    fn frozen(&self, acl: Arc<[Acl]>) -> FrozenNode {
        let NodeRecord { czxid, mzxid, pzxid, ctime, mtime, created, owner, version, aversion, .. } = *self;
        FrozenNode {
            parent: self.parent,
            name: self.name.into(),
            data: self.data.as_ref().map(|data| Blob::new(data.0)),
            acl,
            meta: Meta { czxid, mzxid, pzxid, ctime, mtime, created, owner, version, aversion },
        }
    }
}

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes<'a>, D::Error> {
        <&'a [u8]>::deserialize(deserializer).map(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Id;
    use crate::ids::PeerId;

    #[test]
    fn a_node_written_by_hand_is_what_the_format_says() {
        let acl: Arc<[Acl]> = Acl::open().into();
        let mut numbers = vec![0, 1, 63, 64, i64::from(i32::MAX), i64::MAX];
        numbers.extend((1..9).flat_map(|bytes| [(1 << (7 * bytes)) - 1, 1 << (7 * bytes)]));
        let mut written = Vec::new();
        for (index, &number) in numbers.iter().enumerate() {
            let meta = Meta {
                czxid: Zxid(number as u64),
                mzxid: Zxid(u64::MAX - number as u64),
                pzxid: Zxid(1 << index),
                ctime: number,
                mtime: -number,
                created: number >> index,
                owner: i64::MIN + number,
                version: number as i32,
                aversion: -1 - number as i32,
            };
            let data = [None, Some(Blob::new(&[])), Some(Blob::new(&[7; 200]))][index % 3].clone();
            let node = FrozenNode {
                parent: number as u32,
                name: "é".repeat(index * 20).into(),
                data,
                acl: acl.clone(),
                meta,
            };
            let slot = u32::MAX - number as u32;
            let mut wanted = written.clone();
            append(&mut wanted, &Record::Node(NodeRecord::of(slot, &node, number as u32)));
            append_node(&mut written, slot, &node.view(), number as u32);
            assert_eq!(written, wanted);
            let usual = postcard::to_stdvec(&Record::Node(NodeRecord::of(slot, &node, number as u32)));
            let usual = usual.expect("a vector takes any record");
            assert!(written.ends_with(&usual));
            let (read, rest) = usual_node(&usual).expect("a node");
            assert!(rest.is_empty());
            wanted.clear();
            append(&mut wanted, &Record::Node(read));
            assert_eq!(wanted, usual);
            for cut in 0..usual.len() {
                assert!(usual_node(&usual[..cut]).is_none(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn sessions_and_lists_written_by_hand_are_what_the_format_says() {
        for number in [0, 1, -1, 64, i64::MIN, i64::MAX] {
            let owner = Origin { peer: PeerId(number as u8), stream: number as u64, number: 1 << 40 };
            let (id, password, timeout_ms) = (SessionId(number), [number as u8; 16], number as i32);
            let mut written = Vec::new();
            append_session(&mut written, id, &Session { password, timeout_ms, owner });
            let mut wanted = Vec::new();
            append(&mut wanted, &Record::Session { id, password, timeout_ms, owner });
            assert_eq!(written, wanted);
            let acl = Acl { perms: number as i32, id: Id { scheme: "digest".into(), id: "é".into() } };
            for list in [vec![], vec![acl.clone()], vec![acl; 200]] {
                written.clear();
                append_acl(&mut written, &list);
                wanted.clear();
                append(&mut wanted, &Record::Acl(list.iter().map(Entry::of).collect()));
                assert_eq!(written, wanted);
            }
        }
    }
}
