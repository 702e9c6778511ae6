//! Replies and notifications: sections 2.1, 3.3 and 6.1 of the protocol.

use super::read::Reader;
use super::write::{
    close_packet, open_packet, put_acl, put_bool, put_buffer, put_i32, put_i64, put_stat, put_string,
    put_strings,
};
use super::{DecodeError, NOTIFICATION_XID, STATE_CONNECTED, op};
use crate::api::{EventKind, MultiResult, Op, Reply, Response, WatchedEvent};
use crate::error::ErrorCode;

/// Bytes of a header.
const HEADER_BYTES: usize = 16;

/// What every packet of a server begins with, once the handshake is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyHeader {
    /// The request's, or [`NOTIFICATION_XID`].
    pub xid: i32,
    /// See [`Reply::zxid`].
    pub zxid: i64,
    /// 0, or an error's number: then no body follows.
    pub error: i32,
}

/// The form of a successful reply's body. The bytes do not tell: a client has to know what it asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)]
pub enum ReplyKind {
    Empty,
    Path,
    PathStat,
    Stat,
    Data,
    Children,
    ChildrenStat,
    Acl,
    Sync,
    Multi,
}

impl ReplyKind {
    /// What an operation is answered when it succeeds.
    pub fn of(operation: &Op) -> ReplyKind {
        match operation {
            Op::Create(create) if create.stat => ReplyKind::PathStat,
            Op::Create(_) => ReplyKind::Path,
            Op::Exists { .. } | Op::SetData { .. } | Op::SetAcl { .. } => ReplyKind::Stat,
            Op::GetData { .. } => ReplyKind::Data,
            Op::GetAcl { .. } => ReplyKind::Acl,
            Op::GetChildren { stat: false, .. } => ReplyKind::Children,
            Op::GetChildren { stat: true, .. } => ReplyKind::ChildrenStat,
            Op::Sync { .. } => ReplyKind::Sync,
            Op::Multi(_) => ReplyKind::Multi,
            Op::Delete { .. }
            | Op::Ping
            | Op::Auth { .. }
            | Op::SetWatches { .. }
            | Op::CloseSession
            | Op::Malformed { .. }
            | Op::Unknown { .. } => ReplyKind::Empty,
        }
    }
}

/// Appends a reply. One that is too long for a packet (2 GiB: a list of very many children) is answered with
/// `MarshallingError`.
pub fn encode_reply(reply: &Reply, out: &mut Vec<u8>) {
    let start = open_packet(out);
    let error = reply.result.as_ref().err().map_or(0, |error| error.code());
    put_header(out, reply.xid, reply.zxid, error);
    if let Ok(response) = &reply.result {
        put_response(out, response);
    }
    if !close_packet(out, start) {
        out.truncate(start);
        let start = open_packet(out);
        put_header(out, reply.xid, reply.zxid, ErrorCode::MarshallingError.code());
        assert!(close_packet(out, start), "a header fits a packet");
    }
}

fn put_header(out: &mut Vec<u8>, xid: i32, zxid: i64, error: i32) {
    put_i32(out, xid);
    put_i64(out, zxid);
    put_i32(out, error);
}

fn put_response(out: &mut Vec<u8>, response: &Response) {
    match response {
        Response::Empty => {}
        Response::Path(path) => put_string(out, path),
        Response::PathStat(path, stat) => {
            put_string(out, path);
            put_stat(out, stat);
        }
        Response::Stat(stat) => put_stat(out, stat),
        Response::Data(data, stat) => {
            put_buffer(out, data.as_deref());
            put_stat(out, stat);
        }
        Response::Children(names) => put_strings(out, names),
        Response::ChildrenStat(names, stat) => {
            put_strings(out, names);
            put_stat(out, stat);
        }
        Response::Acl(acl, stat) => {
            put_acl(out, Some(acl));
            put_stat(out, stat);
        }
        Response::Sync(path) => put_buffer(out, path.as_deref().map(str::as_bytes)),
        Response::Multi(results) => put_multi_results(out, results),
    }
}

fn put_multi_results(out: &mut Vec<u8>, results: &[MultiResult]) {
    for result in results {
        match result {
            MultiResult::Create(path) => {
                put_result_header(out, op::CREATE, false, 0);
                put_string(out, path);
            }
            MultiResult::Create2(path, stat) => {
                put_result_header(out, op::CREATE2, false, 0);
                put_string(out, path);
                put_stat(out, stat);
            }
            MultiResult::Delete => put_result_header(out, op::DELETE, false, 0),
            MultiResult::SetData(stat) => {
                put_result_header(out, op::SET_DATA, false, 0);
                put_stat(out, stat);
            }
            MultiResult::Check => put_result_header(out, op::CHECK, false, 0),
            MultiResult::Error(error) => {
                let code = error.map_or(0, ErrorCode::code);
                put_result_header(out, op::ERROR, false, code);
                put_i32(out, code);
            }
        }
    }
    put_result_header(out, op::ERROR, true, -1);
}

fn put_result_header(out: &mut Vec<u8>, kind: i32, done: bool, error: i32) {
    put_i32(out, kind);
    put_bool(out, done);
    put_i32(out, error);
}

/// Appends a notification.
///
/// # Panics
/// When the path is of 2 GiB.
pub fn encode_event(event: &WatchedEvent, out: &mut Vec<u8>) {
    let start = open_packet(out);
    put_header(out, NOTIFICATION_XID, event.zxid, 0);
    put_i32(out, event.kind as i32);
    put_i32(out, STATE_CONNECTED);
    put_string(out, &event.path);
    assert!(close_packet(out, start), "the path of a node came in a packet");
}

/// Decodes just the header, for a client that has yet to find out what the packet is.
pub fn decode_reply_header(body: &[u8]) -> Result<ReplyHeader, DecodeError> {
    let mut reader = Reader::new(body);
    Ok(ReplyHeader { xid: reader.i32()?, zxid: reader.i64()?, error: reader.i32()? })
}

/// Decodes the reply to a request that is answered with a `kind` of body.
pub fn decode_reply(body: &[u8], kind: ReplyKind) -> Result<Reply, DecodeError> {
    let header = decode_reply_header(body)?;
    let result = match header.error {
        0 => Ok(read_response(kind, &mut Reader::new(&body[HEADER_BYTES..]))?),
        code => Err(ErrorCode::from_code(code).ok_or(DecodeError::Error(code))?),
    };
    Ok(Reply { xid: header.xid, zxid: header.zxid, result })
}

fn read_response(kind: ReplyKind, reader: &mut Reader<'_>) -> Result<Response, DecodeError> {
    Ok(match kind {
        ReplyKind::Empty => Response::Empty,
        ReplyKind::Path => Response::Path(reader.path()?),
        ReplyKind::PathStat => Response::PathStat(reader.path()?, reader.stat()?),
        ReplyKind::Stat => Response::Stat(reader.stat()?),
        ReplyKind::Data => Response::Data(reader.blob()?, reader.stat()?),
        ReplyKind::Children => Response::Children(reader.strings("children")?),
        ReplyKind::ChildrenStat => Response::ChildrenStat(reader.strings("children")?, reader.stat()?),
        ReplyKind::Acl => {
            let acl = reader.acl()?.ok_or(DecodeError::Null("ACL"))?;
            Response::Acl(acl.into(), reader.stat()?)
        }
        ReplyKind::Sync => Response::Sync(reader.string()?),
        ReplyKind::Multi => Response::Multi(read_multi_results(reader)?),
    })
}

fn read_multi_results(reader: &mut Reader<'_>) -> Result<Vec<MultiResult>, DecodeError> {
    let mut results = Vec::new();
    loop {
        let kind = reader.i32()?;
        let done = reader.bool()?;
        let _error = reader.i32()?;
        if done {
            return Ok(results);
        }
        results.push(match kind {
            op::CREATE => MultiResult::Create(reader.path()?),
            op::CREATE2 => MultiResult::Create2(reader.path()?, reader.stat()?),
            op::DELETE => MultiResult::Delete,
            op::SET_DATA => MultiResult::SetData(reader.stat()?),
            op::CHECK => MultiResult::Check,
            op::ERROR => MultiResult::Error(match reader.i32()? {
                0 => None,
                code => Some(ErrorCode::from_code(code).ok_or(DecodeError::Error(code))?),
            }),
            other => return Err(DecodeError::Item(other)),
        });
    }
}

/// Decodes a notification.
pub fn decode_event(body: &[u8]) -> Result<WatchedEvent, DecodeError> {
    let header = decode_reply_header(body)?;
    let mut reader = Reader::new(&body[HEADER_BYTES..]);
    let kind = reader.i32()?;
    let _state = reader.i32()?;
    let path = reader.path()?;
    let known = [
        EventKind::NodeCreated,
        EventKind::NodeDeleted,
        EventKind::NodeDataChanged,
        EventKind::NodeChildrenChanged,
    ];
    match known.into_iter().find(|known| *known as i32 == kind) {
        Some(kind) if header.xid == NOTIFICATION_XID => {
            Ok(WatchedEvent { kind, path: path.into(), zxid: header.zxid })
        }
        _ => Err(DecodeError::Event { xid: header.xid, kind }),
    }
}
