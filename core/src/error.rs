//! The protocol's error codes, as a client sees them in a reply header.

use serde::{Deserialize, Serialize};

/// An error a client can be told. The numbers are the protocol's own (`KeeperException.Code`).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, thiserror::Error,
)]
#[repr(i32)]
pub enum ErrorCode {
    /// Filler for the operations of a multi that follow the one that failed.
    #[error("an earlier operation of the multi failed")]
    RuntimeInconsistency = -2,
    /// The request could not be decoded. The connection stays open.
    #[error("the request could not be decoded")]
    MarshallingError = -5,
    /// No such operation, or one that is switched off.
    #[error("operation not supported")]
    Unimplemented = -6,
    /// An invalid path, flag or other argument.
    #[error("invalid arguments")]
    BadArguments = -8,
    /// The node, or for a create its parent, does not exist.
    #[error("no such node")]
    NoNode = -101,
    /// The ACL does not allow it.
    #[error("not allowed by the ACL")]
    NoAuth = -102,
    /// The expected version is not the node's.
    #[error("version conflict")]
    BadVersion = -103,
    /// An ephemeral node cannot have children.
    #[error("ephemeral nodes cannot have children")]
    NoChildrenForEphemerals = -108,
    /// The node exists already.
    #[error("node exists")]
    NodeExists = -110,
    /// A node with children cannot be deleted.
    #[error("node has children")]
    NotEmpty = -111,
    /// The session is closed or expired.
    #[error("session expired")]
    SessionExpired = -112,
    /// The ACL list is empty, names an unknown scheme, or an id its scheme does not allow.
    #[error("invalid ACL")]
    InvalidAcl = -114,
    /// The authentication was refused; the connection closes after it.
    #[error("authentication failed")]
    AuthFailed = -115,
    /// The session has moved to another connection. Never sent: the connection is closed.
    #[error("session moved to another connection")]
    SessionMoved = -118,
}

impl ErrorCode {
    /// Every one of them.
    pub const ALL: [ErrorCode; 14] = [
        ErrorCode::RuntimeInconsistency,
        ErrorCode::MarshallingError,
        ErrorCode::Unimplemented,
        ErrorCode::BadArguments,
        ErrorCode::NoNode,
        ErrorCode::NoAuth,
        ErrorCode::BadVersion,
        ErrorCode::NoChildrenForEphemerals,
        ErrorCode::NodeExists,
        ErrorCode::NotEmpty,
        ErrorCode::SessionExpired,
        ErrorCode::InvalidAcl,
        ErrorCode::AuthFailed,
        ErrorCode::SessionMoved,
    ];

    /// The number on the wire.
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// The error that a number on the wire stands for.
    pub fn from_code(code: i32) -> Option<ErrorCode> {
        ErrorCode::ALL.into_iter().find(|error| error.code() == code)
    }
}
