//! Names of things: servers, epochs, zxids, connections, sessions, writes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A server of the ensemble, as in `myid` and `server.N`: 1 to 255.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId(pub u8);

/// The reign of one leader. Two leaders never share an epoch. 0 is the epoch before the first leader.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Epoch(pub u32);

/// A transaction id: `epoch << 32 | counter`, ordered as a number.
///
/// Counter 0 is the entry that opens its epoch; the first client write of an epoch has counter 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Zxid(pub u64);

/// A client connection of this process. The driver numbers them and never uses a number twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnId(pub u64);

/// A client session, as it appears on the wire. Never 0; our own are positive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub i64);

/// Position of a write in its lane's stream to the disk, counted from 1 in each run of the process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct WriteSeq(pub u64);

/// Where a command entered the ensemble: which server, in which of its streams, as which number.
///
/// A stream is one uninterrupted stay under one leader; its nonce is drawn afresh each time, so that an entry of
/// an earlier run of the process can never be taken for the answer to a request of this one. A session's owner is
/// the origin of the entry that attached it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The server that admitted the command.
    pub peer: PeerId,
    /// Nonce of the stream.
    pub stream: u64,
    /// Number within the stream, from 1.
    pub number: u64,
}

impl Zxid {
    /// Before any entry.
    pub const ZERO: Zxid = Zxid(0);

    /// The entry `counter` of `epoch`.
    pub const fn new(epoch: Epoch, counter: u32) -> Zxid {
        Zxid((epoch.0 as u64) << 32 | counter as u64)
    }

    /// The epoch in which the entry was first proposed.
    pub const fn epoch(self) -> Epoch {
        Epoch((self.0 >> 32) as u32)
    }

    /// The position within the epoch.
    pub const fn counter(self) -> u32 {
        self.0 as u32
    }

    /// As the wire has it: a signed 64-bit number.
    pub const fn wire(self) -> i64 {
        self.0 as i64
    }
}

impl Epoch {
    /// The zxid of the entry that opens this epoch.
    pub const fn opening(self) -> Zxid {
        Zxid::new(self, 0)
    }

    /// The next one. Panics at 2^32, which one election a second reaches in 136 years.
    pub fn next(self) -> Epoch {
        Epoch(self.0.checked_add(1).expect("an epoch fits 32 bits for centuries"))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}
impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.0)
    }
}
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
impl fmt::Debug for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch().0, self.counter())
    }
}
impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}
impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}
impl fmt::Debug for WriteSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}", self.0)
    }
}
impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{:x}/{}", self.peer, self.stream, self.number)
    }
}
