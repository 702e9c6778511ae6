//! The records that a snapshot of the state consists of, and their bytes.
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

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::api::{Acl, Blob};
use crate::encoding::{self, put, put_bytes, put_signed};
use crate::ids::{Origin, SessionId, Zxid};
use crate::state::Session;
use crate::state::tree::{FrozenNode, FrozenView, Meta, Slot};

pub(super) const MAGIC: &[u8] = b"vivarium state\n";
pub(super) const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
pub(super) enum Record<'a> {
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
pub(super) struct Entry<'a> {
    perms: i32,
    scheme: &'a str,
    id: &'a str,
}

#[derive(Serialize, Deserialize)]
pub(super) struct NodeRecord<'a> {
    pub(super) slot: Slot,
    parent: Slot,
    name: &'a str,
    #[serde(borrow)]
    data: Option<Bytes<'a>>,
    pub(super) acl: u32,
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
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

// What `append` would make of a `Record`, by hand: nearly all records are of these three kinds, and nearly all their bytes
// are numbers, for which postcard takes ten times as long.

/// The numbers of the variants.
const ACL: u64 = 1;
const NODE: u64 = 2;
const SESSION: u64 = 3;

pub(super) fn append_acl(bytes: &mut Vec<u8>, list: &[Acl]) {
    put(bytes, ACL);
    put(bytes, list.len() as u64);
    for Acl { perms, id } in list {
        put_signed(bytes, (*perms).into());
        put_bytes(bytes, id.scheme.as_bytes());
        put_bytes(bytes, id.id.as_bytes());
    }
}

pub(super) fn append_node(bytes: &mut Vec<u8>, slot: Slot, node: &FrozenView<'_>, acl: u32) {
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

pub(super) fn append_session(bytes: &mut Vec<u8>, id: SessionId, session: &Session) {
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
pub(super) fn usual_node(bytes: &[u8]) -> Option<(NodeRecord<'_>, &[u8])> {
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

impl<'a> Entry<'a> {
    #[cfg(test)]
    fn of(acl: &'a Acl) -> Entry<'a> {
        Entry { perms: acl.perms, scheme: &acl.id.scheme, id: &acl.id.id }
    }

    pub(super) fn acl(&self) -> Acl {
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

    pub(super) fn frozen(&self, acl: Arc<[Acl]>) -> FrozenNode {
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
    use crate::encoding::append;
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
