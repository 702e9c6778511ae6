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
use crate::ids::{Origin, SessionId, Zxid};
use crate::state::sessions::Sessions;
use crate::state::tree::{FrozenNode, Meta, Slot, Tree};
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
        let mut bytes = Vec::with_capacity(bytes_max.min(1 << 20));
        let mut last = false;
        while !last && (bytes.is_empty() || bytes.len() < bytes_max) {
            freeze.write(&mut bytes, id, &mut self.tree, &mut self.sessions, &mut last);
        }
        if last {
            self.thaw(id);
        }
        (bytes.into(), last)
    }

    /// Gives up a snapshot in the making. Does nothing when it is done or given up already.
    pub fn thaw(&mut self, id: FreezeId) {
        self.freezes.open.remove(&id);
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
                let (record, after) =
                    postcard::take_from_bytes(rest).map_err(|why| place(format!("no record: {why}")))?;
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
                let Some((slot, node)) = tree.next_frozen(id) else {
                    self.part = Part::Sessions;
                    return;
                };
                self.nodes += 1;
                let acl = self.number_of(&node.acl, bytes);
                append_node(bytes, slot, &node, acl);
            }
            Part::Sessions => match sessions.next_frozen(id) {
                Some((id, Session { password, timeout_ms, owner })) => {
                    self.sessions += 1;
                    append(bytes, &Record::Session { id, password, timeout_ms, owner })
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
                append(bytes, &Record::Acl(acl.iter().map(Entry::of).collect()));
                self.acls.insert(acl.clone(), number);
                number
            }
        };
        self.acl = Some((acl.clone(), number));
        number
    }
}

fn append(bytes: &mut Vec<u8>, record: &Record<'_>) {
    postcard::serialize_with_flavor(record, Appended(bytes)).expect("a vector takes any record");
}

/// What [`append`] would make of a [`Record::Node`], in a third of the time: nearly all records are nodes, and nearly all
/// their bytes numbers.
fn append_node(bytes: &mut Vec<u8>, slot: Slot, node: &FrozenNode, acl: u32) {
    let FrozenNode { parent, name, data, acl: _, meta } = node;
    let Meta { czxid, mzxid, pzxid, ctime, mtime, created, owner, version, aversion } = *meta;
    let mut numbers = Numbers::default();
    numbers.put(NODE);
    numbers.put(slot.into());
    numbers.put((*parent).into());
    numbers.put(name.len() as u64);
    bytes.extend_from_slice(numbers.taken());
    bytes.extend_from_slice(name.as_bytes());
    let mut numbers = Numbers::default();
    match data {
        None => numbers.put(0),
        Some(data) => {
            numbers.put(1);
            numbers.put(data.len() as u64);
            bytes.extend_from_slice(numbers.taken());
            bytes.extend_from_slice(data);
            numbers = Numbers::default();
        }
    }
    numbers.put(acl.into());
    for zxid in [czxid, mzxid, pzxid] {
        numbers.put(zxid.0);
    }
    for signed in [ctime, mtime, created, owner, version.into(), aversion.into()] {
        numbers.put(((signed << 1) ^ (signed >> 63)) as u64);
    }
    bytes.extend_from_slice(numbers.taken());
}

/// The number of the variant [`Record::Node`].
const NODE: u64 = 2;

/// Varints in a row.
struct Numbers {
    bytes: [u8; Numbers::MAX],
    length: usize,
}

impl Default for Numbers {
    fn default() -> Numbers {
        Numbers { bytes: [0; Numbers::MAX], length: 0 }
    }
}

impl Numbers {
    /// Room for the eleven numbers of a node that come in a row, ten bytes each at most.
    const MAX: usize = 112;

    fn put(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes[self.length] = number as u8 | 0x80;
            self.length += 1;
            number >>= 7;
        }
        self.bytes[self.length] = number as u8;
        self.length += 1;
    }

    fn taken(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Writes at the end of a vector. postcard's own way there goes through an iterator for each number, which takes several
/// times as long as all the rest of a snapshot.
struct Appended<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Appended<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if let [byte] = bytes {
            self.0.push(*byte);
        } else {
            self.0.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
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

    #[test]
    fn a_node_written_by_hand_is_what_the_format_says() {
        let acl: Arc<[Acl]> = Acl::open().into();
        let numbers = [0, 1, 63, 64, 127, 128, 16_383, 16_384, i64::from(i32::MAX), i64::MAX];
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
            append_node(&mut written, slot, &node, number as u32);
            assert_eq!(written, wanted);
            let usual = postcard::to_stdvec(&Record::Node(NodeRecord::of(slot, &node, number as u32)));
            assert!(written.ends_with(&usual.expect("a vector takes any record")));
        }
    }
}
