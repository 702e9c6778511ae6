//! Requests of an established connection: section 2 of the protocol, and 3.3 for multi.

use super::read::Reader;
use super::write::{
    close_packet, open_packet, put_acl, put_bool, put_buffer, put_i32, put_i64, put_string, put_strings,
};
use super::{DecodeError, op};
use crate::api::{Create, MultiOp, Op, Request};

/// Decodes a request. The error is a header that ends early: the connection is closed without a reply.
///
/// A record that cannot be decoded is [`Op::Malformed`], and a code that no client may send is [`Op::Unknown`]: both
/// are answered. Create flags are not judged here, save in a multi, where unknown ones make all of it undecodable.
pub fn decode_request(body: &[u8]) -> Result<Request, DecodeError> {
    let mut reader = Reader::new(body);
    let xid = reader.i32()?;
    let code = reader.i32()?;
    let op = read_op(code, &mut reader).unwrap_or_else(|_| Op::Malformed { write: is_write(code) });
    Ok(Request { xid, op })
}

fn read_op(code: i32, reader: &mut Reader<'_>) -> Result<Op, DecodeError> {
    Ok(match code {
        op::CREATE => Op::Create(read_create(reader, false)?),
        op::CREATE2 => Op::Create(read_create(reader, true)?),
        op::DELETE => Op::Delete { path: reader.path()?, version: reader.i32()? },
        op::EXISTS => Op::Exists { path: reader.path()?, watch: reader.bool()? },
        op::GET_DATA => Op::GetData { path: reader.path()?, watch: reader.bool()? },
        op::SET_DATA => Op::SetData { path: reader.path()?, data: reader.blob()?, version: reader.i32()? },
        op::GET_ACL => Op::GetAcl { path: reader.path()? },
        op::SET_ACL => Op::SetAcl { path: reader.path()?, acl: reader.acl()?, version: reader.i32()? },
        op::GET_CHILDREN => Op::GetChildren { path: reader.path()?, watch: reader.bool()?, stat: false },
        op::GET_CHILDREN2 => Op::GetChildren { path: reader.path()?, watch: reader.bool()?, stat: true },
        op::SYNC => Op::Sync { path: reader.string()? },
        op::PING => Op::Ping,
        op::MULTI => Op::Multi(read_multi(reader)?),
        op::AUTH => {
            let _kind = reader.i32()?;
            Op::Auth { scheme: reader.string()?, token: reader.blob()? }
        }
        op::SET_WATCHES => Op::SetWatches {
            relative_zxid: reader.i64()?,
            data: reader.strings("data watches")?,
            exist: reader.strings("exist watches")?,
            child: reader.strings("child watches")?,
        },
        op::CLOSE_SESSION => Op::CloseSession,
        _ => Op::Unknown { code },
    })
}

/// Whether an undecodable request of this kind spends a zxid.
fn is_write(code: i32) -> bool {
    matches!(
        code,
        op::CREATE | op::CREATE2 | op::DELETE | op::SET_DATA | op::SET_ACL | op::MULTI | op::CLOSE_SESSION
    )
}

fn read_create(reader: &mut Reader<'_>, stat: bool) -> Result<Create, DecodeError> {
    Ok(Create { path: reader.path()?, data: reader.blob()?, acl: reader.acl()?, flags: reader.i32()?, stat })
}

/// Items up to the one that says it is the last; what its type says does not matter.
fn read_multi(reader: &mut Reader<'_>) -> Result<Vec<MultiOp>, DecodeError> {
    let mut items = Vec::new();
    loop {
        let kind = reader.i32()?;
        let done = reader.bool()?;
        let _error = reader.i32()?;
        if done {
            return Ok(items);
        }
        items.push(match kind {
            op::CREATE => MultiOp::Create(known_flags(read_create(reader, false)?)?),
            op::CREATE2 => MultiOp::Create(known_flags(read_create(reader, true)?)?),
            op::DELETE => MultiOp::Delete { path: reader.path()?, version: reader.i32()? },
            op::SET_DATA => {
                MultiOp::SetData { path: reader.path()?, data: reader.blob()?, version: reader.i32()? }
            }
            op::CHECK => MultiOp::Check { path: reader.path()?, version: reader.i32()? },
            other => return Err(DecodeError::Item(other)),
        });
    }
}

/// Flags that no create mode has fail a multi as a whole, where alone they fail just the create (section 3.3).
fn known_flags(create: Create) -> Result<Create, DecodeError> {
    if (0..=6).contains(&create.flags) { Ok(create) } else { Err(DecodeError::Flags(create.flags)) }
}

/// Appends a request, as a client sends it.
///
/// [`Op::Malformed`] becomes a record cut short, and [`Op::Unknown`] a bare header, so that they come out as what they
/// were as long as the code of the latter is not one of the protocol's.
///
/// # Panics
/// When the request is of 2 GiB.
pub fn encode_request(request: &Request, out: &mut Vec<u8>) {
    let start = open_packet(out);
    put_i32(out, request.xid);
    put_op(out, &request.op);
    assert!(close_packet(out, start), "a request fits a packet");
}

fn put_op(out: &mut Vec<u8>, operation: &Op) {
    match operation {
        Op::Create(create) => {
            put_i32(out, create_code(create));
            put_create(out, create);
        }
        Op::Delete { path, version } => {
            put_i32(out, op::DELETE);
            put_string(out, path);
            put_i32(out, *version);
        }
        Op::Exists { path, watch } => put_read(out, op::EXISTS, path, *watch),
        Op::GetData { path, watch } => put_read(out, op::GET_DATA, path, *watch),
        Op::SetData { path, data, version } => {
            put_i32(out, op::SET_DATA);
            put_set_data(out, path, data.as_deref(), *version);
        }
        Op::GetAcl { path } => {
            put_i32(out, op::GET_ACL);
            put_string(out, path);
        }
        Op::SetAcl { path, acl, version } => {
            put_i32(out, op::SET_ACL);
            put_string(out, path);
            put_acl(out, acl.as_deref());
            put_i32(out, *version);
        }
        Op::GetChildren { path, watch, stat: false } => put_read(out, op::GET_CHILDREN, path, *watch),
        Op::GetChildren { path, watch, stat: true } => put_read(out, op::GET_CHILDREN2, path, *watch),
        Op::Sync { path } => {
            put_i32(out, op::SYNC);
            put_buffer(out, path.as_deref().map(str::as_bytes));
        }
        Op::Ping => put_i32(out, op::PING),
        Op::Multi(items) => put_multi(out, items),
        Op::Auth { scheme, token } => {
            put_i32(out, op::AUTH);
            put_i32(out, 0);
            put_buffer(out, scheme.as_deref().map(str::as_bytes));
            put_buffer(out, token.as_deref());
        }
        Op::SetWatches { relative_zxid, data, exist, child } => {
            put_i32(out, op::SET_WATCHES);
            put_i64(out, *relative_zxid);
            put_strings(out, data);
            put_strings(out, exist);
            put_strings(out, child);
        }
        Op::CloseSession => put_i32(out, op::CLOSE_SESSION),
        Op::Malformed { write: true } => put_i32(out, op::CREATE),
        Op::Malformed { write: false } => put_i32(out, op::GET_DATA),
        Op::Unknown { code } => put_i32(out, *code),
    }
}

fn put_multi(out: &mut Vec<u8>, items: &[MultiOp]) {
    put_i32(out, op::MULTI);
    for item in items {
        match item {
            MultiOp::Create(create) => {
                put_item_header(out, create_code(create), false);
                put_create(out, create);
            }
            MultiOp::Delete { path, version } => {
                put_item_header(out, op::DELETE, false);
                put_string(out, path);
                put_i32(out, *version);
            }
            MultiOp::SetData { path, data, version } => {
                put_item_header(out, op::SET_DATA, false);
                put_set_data(out, path, data.as_deref(), *version);
            }
            MultiOp::Check { path, version } => {
                put_item_header(out, op::CHECK, false);
                put_string(out, path);
                put_i32(out, *version);
            }
        }
    }
    put_item_header(out, op::ERROR, true);
}

fn put_item_header(out: &mut Vec<u8>, kind: i32, done: bool) {
    put_i32(out, kind);
    put_bool(out, done);
    put_i32(out, -1);
}

fn create_code(create: &Create) -> i32 {
    if create.stat { op::CREATE2 } else { op::CREATE }
}

fn put_create(out: &mut Vec<u8>, create: &Create) {
    put_string(out, &create.path);
    put_buffer(out, create.data.as_deref());
    put_acl(out, create.acl.as_deref());
    put_i32(out, create.flags);
}

fn put_set_data(out: &mut Vec<u8>, path: &str, data: Option<&[u8]>, version: i32) {
    put_string(out, path);
    put_buffer(out, data);
    put_i32(out, version);
}

fn put_read(out: &mut Vec<u8>, code: i32, path: &str, watch: bool) {
    put_i32(out, code);
    put_string(out, path);
    put_bool(out, watch);
}
