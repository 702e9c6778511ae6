//! Reading jute's types off a slice. Every length is compared with what is left before it is believed.

use super::DecodeError;
use crate::api::{Acl, Blob, Id, Stat};
use crate::ids::Zxid;

/// The bytes of a record that are still to be read.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes }
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.array::<1>()? != [0])
    }

    pub(super) fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(super) fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    fn zxid(&mut self) -> Result<Zxid, DecodeError> {
        Ok(Zxid(u64::from_be_bytes(self.array()?)))
    }

    /// A buffer, or the bytes of a string; `None` is null.
    pub(super) fn buffer(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.length()? {
            None => Ok(None),
            Some(length) => self.take(length).map(Some),
        }
    }

    pub(super) fn blob(&mut self) -> Result<Option<Blob>, DecodeError> {
        Ok(self.buffer()?.map(Blob::new))
    }

    /// Malformed UTF-8 is replaced, not refused, as in ZooKeeper's reader.
    pub(super) fn string(&mut self) -> Result<Option<String>, DecodeError> {
        Ok(self.buffer()?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    }

    /// A string that may not be null; `what` is for the error.
    pub(super) fn some_string(&mut self, what: &'static str) -> Result<String, DecodeError> {
        self.string()?.ok_or(DecodeError::Null(what))
    }

    /// A path that may not be null.
    pub(super) fn path(&mut self) -> Result<String, DecodeError> {
        self.some_string("path")
    }

    /// A vector, `None` when null. An element takes at least `element_bytes_min` bytes, which bounds what is reserved.
    fn vector<T>(
        &mut self,
        element_bytes_min: usize,
        mut element: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.length()? else {
            return Ok(None);
        };
        let wanted = count.saturating_mul(element_bytes_min);
        if wanted > self.left() {
            return Err(DecodeError::Ended { wanted, left: self.left() });
        }
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    /// A vector of strings, neither it nor any of them null.
    pub(super) fn strings(&mut self, what: &'static str) -> Result<Vec<String>, DecodeError> {
        self.vector(4, |reader| reader.some_string(what))?.ok_or(DecodeError::Null(what))
    }

    /// An ACL list. A null scheme reads as the empty one, which no scheme has: it is an invalid ACL, where a null id is
    /// an undecodable request (section 8.3). Except with the scheme `auth`, whose id nobody looks at: kazoo writes the
    /// empty id of its `CREATOR_ALL_ACL` as null.
    pub(super) fn acl(&mut self) -> Result<Option<Vec<Acl>>, DecodeError> {
        self.vector(12, |reader| {
            let perms = reader.i32()?;
            let scheme = reader.string()?.unwrap_or_default();
            let id = match reader.string()? {
                None if scheme != "auth" => return Err(DecodeError::Null("ACL id")),
                id => id.unwrap_or_default(),
            };
            Ok(Acl { perms, id: Id { scheme, id } })
        })
    }

    pub(super) fn stat(&mut self) -> Result<Stat, DecodeError> {
        Ok(Stat {
            czxid: self.zxid()?,
            mzxid: self.zxid()?,
            ctime: self.i64()?,
            mtime: self.i64()?,
            version: self.i32()?,
            cversion: self.i32()?,
            aversion: self.i32()?,
            ephemeral_owner: self.i64()?,
            data_length: self.i32()?,
            num_children: self.i32()?,
            pzxid: self.zxid()?,
        })
    }

    /// -1 is null; nothing else may be negative.
    fn length(&mut self) -> Result<Option<usize>, DecodeError> {
        match self.i32()? {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| DecodeError::Length(length)),
        }
    }

    fn take(&mut self, wanted: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(wanted)
            .ok_or(DecodeError::Ended { wanted, left: self.bytes.len() })?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) =
            self.bytes.split_first_chunk().ok_or(DecodeError::Ended { wanted: N, left: self.bytes.len() })?;
        self.bytes = rest;
        Ok(*taken)
    }
}
