//! Entries in postcard's encoding, by hand: nearly all that a log holds are requests to create, change or delete a node,
//! and each of them is some thirty numbers and short texts, for which postcard takes several times as long.
//!
//! What is written is what postcard writes, and whatever is not the usual entry is left to it. So is every error: bytes that
//! are strange here are shown to postcard, which takes them or says what is wrong.

use std::sync::Arc;

use crate::api::{Acl, Blob, Create, Data, Id};
use crate::encoding::{Reader, append, put, put_bytes, put_signed};
use crate::entry::{Body, Command, Entry, SharedEntry, Write};
use crate::ids::{Origin, PeerId, SessionId, Zxid};
use crate::time::Timestamp;

// The numbers of the variants.
const COMMAND: u64 = 1;
const REQUEST: u64 = 3;
const CREATE: u64 = 0;
const DELETE: u64 = 1;
const SET_DATA: u64 = 2;

/// Appends an entry.
pub(super) fn encode(bytes: &mut Vec<u8>, entry: &Entry) {
    let Entry { zxid, time, origin, body } = entry;
    let Body::Command(Command::Request { session, owner, ids, write }) = body else {
        return append(bytes, entry);
    };
    put(bytes, zxid.0);
    put_signed(bytes, time.0);
    put_origin(bytes, origin);
    put(bytes, COMMAND);
    put(bytes, REQUEST);
    put_signed(bytes, session.0);
    put_origin(bytes, owner);
    put(bytes, ids.len() as u64);
    ids.iter().for_each(|id| put_id(bytes, id));
    match write {
        Write::Create(Create { path, data, acl, flags, stat }) => {
            put(bytes, CREATE);
            put_bytes(bytes, path.as_bytes());
            put_data(bytes, data);
            bytes.push(u8::from(acl.is_some()));
            if let Some(acl) = acl {
                put(bytes, acl.len() as u64);
                for Acl { perms, id } in acl {
                    put_signed(bytes, (*perms).into());
                    put_id(bytes, id);
                }
            }
            put_signed(bytes, (*flags).into());
            bytes.push(u8::from(*stat));
        }
        Write::Delete { path, version } => {
            put(bytes, DELETE);
            put_bytes(bytes, path.as_bytes());
            put_signed(bytes, (*version).into());
        }
        Write::SetData { path, data, version } => {
            put(bytes, SET_DATA);
            put_bytes(bytes, path.as_bytes());
            put_data(bytes, data);
            put_signed(bytes, (*version).into());
        }
        Write::SetAcl { .. } | Write::Multi(_) | Write::Close | Write::Fail(_) => append(bytes, write),
    }
}

/// Reads entries one after the other. Those of one client share its identities, as they did before they were written.
#[derive(Clone, Debug, Default)]
pub struct EntryDecoder {
    /// Identities that were read before, of as many clients as are likely to take turns.
    known: Vec<Arc<[Id]>>,
    /// The place of the next ones.
    next: usize,
}

impl EntryDecoder {
    const KNOWN_MAX: usize = 16;

    /// Reads the entry of an append.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(&mut self, zxid: Zxid, bytes: &[u8]) -> Result<SharedEntry, String> {
        let (entry, rest) =
            self.read(bytes).map_err(|error| format!("the entry cannot be decoded: {error}"))?;
        if !rest.is_empty() {
            return Err(format!("{} bytes follow the entry", rest.len()));
        }
        if entry.zxid != zxid {
            return Err(format!("the record says {zxid}, its entry {}", entry.zxid));
        }
        Ok(Arc::new(entry))
    }

    /// Reads the entry that `bytes` begin with, and gives what follows it.
    fn read<'a>(&mut self, bytes: &'a [u8]) -> Result<(Entry, &'a [u8]), postcard::Error> {
        match self.usual(bytes) {
            Some(read) => Ok(read),
            None => postcard::take_from_bytes(bytes),
        }
    }

    /// A request. `None` for all else.
    fn usual<'a>(&mut self, bytes: &'a [u8]) -> Option<(Entry, &'a [u8])> {
        let mut reader = Reader(bytes);
        let zxid = Zxid(reader.number()?);
        let time = Timestamp(reader.signed()?);
        let origin = origin(&mut reader)?;
        if reader.byte()? != COMMAND as u8 || reader.byte()? != REQUEST as u8 {
            return None;
        }
        let session = SessionId(reader.signed()?);
        let owner = self::origin(&mut reader)?;
        let ids = self.identities(&mut reader)?;
        // The number of the variant is part of what postcard reads of the rarer ones.
        let at_write = reader.0;
        let write = match u64::from(reader.byte()?) {
            CREATE => {
                let path = reader.text()?.into();
                let data = data(&mut reader)?;
                let acl = match reader.flag()? {
                    true => Some(several(&mut reader, acl)?),
                    false => None,
                };
                let flags = reader.signed_short()?;
                Write::Create(Create { path, data, acl, flags, stat: reader.flag()? })
            }
            DELETE => Write::Delete { path: reader.text()?.into(), version: reader.signed_short()? },
            SET_DATA => {
                let path = reader.text()?.into();
                let data = data(&mut reader)?;
                Write::SetData { path, data, version: reader.signed_short()? }
            }
            _ => {
                let (write, rest) = postcard::take_from_bytes(at_write).ok()?;
                reader.0 = rest;
                write
            }
        };
        let body = Body::Command(Command::Request { session, owner, ids, write });
        Some((Entry { zxid, time, origin, body }, reader.0))
    }

    fn identities(&mut self, reader: &mut Reader<'_>) -> Option<Arc<[Id]>> {
        for ids in &self.known {
            let mut ahead = *reader;
            if are(&mut ahead, ids) {
                *reader = ahead;
                return Some(ids.clone());
            }
        }
        let ids: Arc<[Id]> = several(reader, id)?.into();
        if self.known.len() < EntryDecoder::KNOWN_MAX {
            self.known.push(ids.clone());
        } else {
            self.known[self.next] = ids.clone();
            self.next = (self.next + 1) % EntryDecoder::KNOWN_MAX;
        }
        Some(ids)
    }
}

/// Whether these very identities follow.
fn are(reader: &mut Reader<'_>, ids: &[Id]) -> bool {
    let is = |reader: &mut Reader<'_>, text: &str| reader.bytes() == Some(text.as_bytes());
    reader.number() == Some(ids.len() as u64)
        && ids.iter().all(|Id { scheme, id }| is(reader, scheme) && is(reader, id))
}

fn put_origin(bytes: &mut Vec<u8>, origin: &Origin) {
    let Origin { peer, stream, number } = *origin;
    bytes.push(peer.0);
    put(bytes, stream);
    put(bytes, number);
}

fn origin(reader: &mut Reader<'_>) -> Option<Origin> {
    Some(Origin { peer: PeerId(reader.byte()?), stream: reader.number()?, number: reader.number()? })
}

fn put_id(bytes: &mut Vec<u8>, Id { scheme, id }: &Id) {
    put_bytes(bytes, scheme.as_bytes());
    put_bytes(bytes, id.as_bytes());
}

fn id(reader: &mut Reader<'_>) -> Option<Id> {
    Some(Id { scheme: reader.text()?.into(), id: reader.text()?.into() })
}

fn acl(reader: &mut Reader<'_>) -> Option<Acl> {
    Some(Acl { perms: reader.signed_short()?, id: id(reader)? })
}

fn put_data(bytes: &mut Vec<u8>, data: &Data) {
    bytes.push(u8::from(data.is_some()));
    if let Some(data) = data {
        put_bytes(bytes, data);
    }
}

fn data(reader: &mut Reader<'_>) -> Option<Data> {
    Some(match reader.flag()? {
        true => Some(Blob::new(reader.bytes()?)),
        false => None,
    })
}

/// As many as there are said to be. No room is taken for more than can be there: each has two bytes at least.
fn several<T>(reader: &mut Reader<'_>, mut one: impl FnMut(&mut Reader<'_>) -> Option<T>) -> Option<Vec<T>> {
    let count = usize::try_from(reader.number()?).ok().filter(|count| *count <= reader.0.len() / 2)?;
    let mut all = Vec::with_capacity(count.min(16));
    for _ in 0..count {
        all.push(one(reader)?);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    fn id(scheme: &str, id: &str) -> Id {
        Id { scheme: scheme.into(), id: id.into() }
    }

    fn writes() -> Vec<Write> {
        let path = || "/a/ä".to_owned();
        let acl = |perms| vec![Acl { perms, id: id("digest", "bob:x") }, Acl { perms: -1, id: id("", "") }];
        let create =
            |data: Data, acl, flags, stat| Write::Create(Create { path: path(), data, acl, flags, stat });
        vec![
            create(None, None, 0, false),
            create(Some(Blob::new(&[])), Some(Vec::new()), 3, true),
            create(Some(Blob::new(&[7; 300])), Some(acl(31)), i32::MIN, false),
            Write::Delete { path: String::new(), version: -1 },
            Write::Delete { path: path(), version: i32::MAX },
            Write::SetData { path: path(), data: None, version: 0 },
            Write::SetData { path: path(), data: Some(Blob::new(b"data")), version: i32::MIN },
            Write::SetAcl { path: path(), acl: Some(acl(1)), version: 5 },
            Write::Multi(Vec::new()),
            Write::Close,
            Write::Fail(ErrorCode::MarshallingError),
        ]
    }

    fn entries() -> Vec<Entry> {
        let origin = |peer, stream, number| Origin { peer: PeerId(peer), stream, number };
        let password = [200; 16];
        let mut bodies = vec![Body::Opening];
        for session in [SessionId(1), SessionId(i64::MIN), SessionId(i64::MAX)] {
            let owner = origin(255, u64::MAX, 1 << 35);
            bodies.push(Body::Command(Command::Expire { session, owner }));
            bodies.push(Body::Command(Command::CreateSession { session, password, timeout_ms: 4000 }));
            bodies.push(Body::Command(Command::Attach { session, password, timeout_ms: -1 }));
            for ids in [vec![], vec![id("ip", "10.0.0.1"), id("digest", "ä:x")]] {
                for write in writes() {
                    let ids = ids.clone().into();
                    bodies.push(Body::Command(Command::Request { session, owner, ids, write }));
                }
            }
        }
        let (zxids, times) = ([0, 1 << 32, u64::MAX], [0, 1_700_000_000_000, -1]);
        let entry = |(at, body)| Entry {
            zxid: Zxid(zxids[at % 3]),
            time: Timestamp(times[at / 3 % 3]),
            origin: origin(at as u8, at as u64, u64::MAX - at as u64),
            body,
        };
        bodies.into_iter().enumerate().map(entry).collect()
    }

    #[test]
    fn what_is_written_is_what_postcard_writes_and_reads_back() {
        let mut all = Vec::new();
        for entry in entries() {
            let mut bytes = Vec::new();
            encode(&mut bytes, &entry);
            assert_eq!(bytes, postcard::to_stdvec(&entry).expect("plain data"), "{entry:?}");
            let usual = matches!(entry.body, Body::Command(Command::Request { .. }));
            assert_eq!(EntryDecoder::default().usual(&bytes).is_some(), usual, "{entry:?}");
            all.extend_from_slice(&bytes);
        }
        let mut rest = &all[..];
        let mut decoder = EntryDecoder::default();
        for entry in entries() {
            let (read, after) = decoder.read(rest).expect("it was just written");
            assert_eq!(read, entry);
            rest = after;
        }
        assert!(rest.is_empty());
    }

    /// Every cut and every changed byte: the same entry or the same error as postcard's.
    #[test]
    fn bytes_that_are_wrong_are_read_as_postcard_reads_them() {
        for entry in entries() {
            let mut bytes = Vec::new();
            encode(&mut bytes, &entry);
            let mut decoder = EntryDecoder::default();
            decoder.read(&bytes).expect("it was just written");
            let mut decode = |bytes: &[u8]| decoder.read(bytes).map(|(entry, rest)| (entry, rest.len()));
            let usually = |bytes: &[u8]| {
                postcard::take_from_bytes::<Entry>(bytes).map(|(entry, rest)| (entry, rest.len()))
            };
            bytes.truncate(120);
            for at in 0..bytes.len() {
                assert_eq!(decode(&bytes[..at]), usually(&bytes[..at]), "cut at {at}");
                for other in [0, 1, 2, 0x7f, 0x80, 0xff, bytes[at] ^ 0x10] {
                    let mut bytes = bytes.clone();
                    bytes[at] = other;
                    assert_eq!(decode(&bytes), usually(&bytes), "{at}: {other}, {bytes:x?}");
                }
            }
        }
    }

    #[test]
    fn identities_are_shared_and_never_mixed_up() {
        let mut decoder = EntryDecoder::default();
        let clients: Vec<Arc<[Id]>> =
            (0..40).map(|n| (0..n % 3).map(|k| id("ip", &format!("10.0.{k}.{n}"))).collect()).collect();
        let mut seen: Vec<Arc<[Id]>> = Vec::new();
        for turn in 0..400usize {
            let ids = clients[(turn * 7 + turn / 5) % if turn < 200 { 12 } else { 40 }].clone();
            let owner = Origin { peer: PeerId(1), stream: 2, number: 3 };
            let write = Write::Delete { path: "/a".into(), version: turn as i32 };
            let body = Body::Command(Command::Request { session: SessionId(5), owner, ids, write });
            let entry = Entry { zxid: Zxid(turn as u64), time: Timestamp(0), origin: owner, body };
            let mut bytes = Vec::new();
            encode(&mut bytes, &entry);
            let read = decoder.decode(entry.zxid, &bytes).expect("it was just written");
            assert_eq!(*read, entry);
            let Body::Command(Command::Request { ids, .. }) = &read.body else { unreachable!("a request") };
            if !seen.iter().any(|other| Arc::ptr_eq(other, ids)) {
                seen.push(ids.clone());
            }
            assert!(turn >= 200 || seen.len() <= 12, "clients that take turns share what was read of them");
            assert!(decoder.known.len() <= EntryDecoder::KNOWN_MAX);
        }
    }
}
