//! The handshake: sections 1.4 and 1.5 of the protocol.

use super::DecodeError;
use super::read::Reader;
use super::write::{close_packet, open_packet, put_bool, put_buffer, put_i32, put_i64};
use crate::api::{ConnectRequest, ConnectResponse};
use crate::ids::SessionId;

/// Decodes a client's first packet. On an error the connection is closed without an answer.
pub fn decode_connect(body: &[u8]) -> Result<ConnectRequest, DecodeError> {
    let mut reader = Reader::new(body);
    Ok(ConnectRequest {
        protocol_version: reader.i32()?,
        last_zxid_seen: reader.i64()?,
        timeout_ms: reader.i32()?,
        session: SessionId(reader.i64()?),
        password: reader.blob()?,
        read_only: optional_flag(&mut reader)?,
    })
}

/// Appends the answer to a handshake.
pub fn encode_connect_response(response: &ConnectResponse, out: &mut Vec<u8>) {
    let start = open_packet(out);
    put_i32(out, 0);
    put_i32(out, response.timeout_ms);
    put_i64(out, response.session.0);
    put_buffer(out, Some(&response.password));
    if let Some(read_only) = response.read_only {
        put_bool(out, read_only);
    }
    assert!(close_packet(out, start), "a handshake is 41 bytes at most");
}

/// Appends a client's first packet.
///
/// # Panics
/// When the password is of 2 GiB.
pub fn encode_connect(request: &ConnectRequest, out: &mut Vec<u8>) {
    let start = open_packet(out);
    put_i32(out, request.protocol_version);
    put_i64(out, request.last_zxid_seen);
    put_i32(out, request.timeout_ms);
    put_i64(out, request.session.0);
    put_buffer(out, request.password.as_deref());
    if let Some(read_only) = request.read_only {
        put_bool(out, read_only);
    }
    assert!(close_packet(out, start), "a handshake fits a packet");
}

/// Decodes a server's answer to the handshake.
pub fn decode_connect_response(body: &[u8]) -> Result<ConnectResponse, DecodeError> {
    let mut reader = Reader::new(body);
    let _protocol_version = reader.i32()?;
    let timeout_ms = reader.i32()?;
    let session = SessionId(reader.i64()?);
    let password = reader.buffer()?.ok_or(DecodeError::Null("password"))?;
    let password = password.try_into().map_err(|_| DecodeError::Password(password.len()))?;
    Ok(ConnectResponse { timeout_ms, session, password, read_only: optional_flag(&mut reader)? })
}

/// The read-only flag, which is there when a byte is left.
fn optional_flag(reader: &mut Reader<'_>) -> Result<Option<bool>, DecodeError> {
    if reader.left() == 0 { Ok(None) } else { reader.bool().map(Some) }
}
