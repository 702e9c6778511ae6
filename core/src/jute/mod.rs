//! The client wire format: pure functions between bytes and [`crate::api`].
//!
//! Both ends are here. A server decodes [`decode_connect`] and [`decode_request`] and encodes
//! [`encode_connect_response`], [`encode_reply`] and [`encode_event`]; a client does the opposite.
//!
//! * A decoder takes the body of one packet, without the length in front of it. It never panics and never reserves
//!   memory by a number that it has not compared with the bytes at hand.
//! * An encoder appends one whole packet, the length in front included, and allocates nothing besides what the vector
//!   needs to grow.
//! * Bytes left over after a record are ignored, as ZooKeeper ignores them.
//!
//! Not here: cutting a stream into packets and bounding their length (the driver's), four-letter words, and what any
//! of it means.

mod connect;
mod read;
mod reply;
mod request;
#[cfg(test)]
mod tests;
mod write;

pub use connect::{decode_connect, decode_connect_response, encode_connect, encode_connect_response};
pub use reply::{
    ReplyHeader, ReplyKind, decode_event, decode_reply, decode_reply_header, encode_event, encode_reply,
};
pub use request::{decode_request, encode_request};

/// Operation codes, the item types of a multi among them (section 2.2 of the protocol).
pub mod op {
    #![allow(missing_docs)]
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_ACL: i32 = 6;
    pub const SET_ACL: i32 = 7;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const GET_CHILDREN2: i32 = 12;
    /// Only as an item of a multi.
    pub const CHECK: i32 = 13;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const AUTH: i32 = 100;
    pub const SET_WATCHES: i32 = 101;
    pub const CLOSE_SESSION: i32 = -11;
    /// Not an operation: the result type of a failed item of a multi, and the type of the item that ends one.
    pub const ERROR: i32 = -1;
}

/// The xid that marks a packet of the server as a notification.
pub const NOTIFICATION_XID: i32 = -1;
/// The xid of pings and of their replies.
pub const PING_XID: i32 = -2;
/// `SyncConnected`, the one connection state that a server ever names in a notification.
const STATE_CONNECTED: i32 = 3;

/// Why bytes are not the record they should be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// The record goes on after the last byte.
    #[error("{wanted} bytes wanted, {left} left")]
    Ended { wanted: usize, left: usize },
    /// A length below -1.
    #[error("unreasonable length {0}")]
    Length(i32),
    /// A null where there has to be a value.
    #[error("null {0}")]
    Null(&'static str),
    /// A multi may not hold an item of this type.
    #[error("item of type {0} in a multi")]
    Item(i32),
    /// An item of a multi has create flags that no mode has.
    #[error("create flags {0}")]
    Flags(i32),
    /// A password that is not of 16 bytes.
    #[error("password of {0} bytes")]
    Password(usize),
    /// Not a notification, or one of a type that servers do not send.
    #[error("notification of type {kind}, xid {xid}")]
    Event { xid: i32, kind: i32 },
    /// An error code that is not known here.
    #[error("unknown error code {0}")]
    Error(i32),
}
