//! The round trip through the codecs: what is encoded and decoded is what it was.
//!
//! Messages travel as plain data, which is what makes a run fast; a share of them is put through the encoders that the
//! real world uses.

use std::fmt::Debug;

use vivarium_core::api::{ConnectRequest, ConnectResponse, Op, Reply, Request, WatchedEvent};
use vivarium_core::jute::{self, ReplyKind};
use vivarium_core::replica::PeerMessage;

use super::Checked;
use crate::decision::Draw;
use crate::observe::Violation;

/// The length in front of a client's or a server's packet.
const LENGTH_BYTES: usize = 4;

/// A message between servers.
pub(super) fn peer_message(message: &PeerMessage) -> Checked {
    let decoded = postcard::to_stdvec(message).and_then(|bytes| postcard::from_bytes(&bytes));
    same(message, decoded.map_err(|error| error.to_string()))
}

/// A message with a bit that is wrong. The frame's checksum tells in the real world; should it ever not, reading it
/// must still harm nobody.
pub(super) fn damaged_message(message: &PeerMessage, draw: &mut Draw) -> Checked {
    let Ok(mut bytes) = postcard::to_stdvec(message) else { return Ok(()) };
    let place = draw.below(bytes.len() as u64) as usize;
    bytes[place] ^= 1 << draw.below(8);
    // Whatever it says now: it says something, or that it cannot be read.
    match postcard::from_bytes::<PeerMessage>(&bytes) {
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A client's first packet.
pub(super) fn hello(hello: &ConnectRequest) -> Checked {
    let mut packet = Vec::new();
    jute::encode_connect(hello, &mut packet);
    same(hello, body(&packet).and_then(|body| jute::decode_connect(body).map_err(|error| error.to_string())))
}

/// Its answer.
pub(super) fn response(response: &ConnectResponse) -> Checked {
    let mut packet = Vec::new();
    jute::encode_connect_response(response, &mut packet);
    let decoded = |body| jute::decode_connect_response(body).map_err(|error| error.to_string());
    same(response, body(&packet).and_then(decoded))
}

/// A request. Those that stand for something undecodable have no encoding.
pub(super) fn request(request: &Request) -> Checked {
    if matches!(request.op, Op::Malformed { .. } | Op::Unknown { .. }) {
        return Ok(());
    }
    let mut packet = Vec::new();
    jute::encode_request(request, &mut packet);
    same(
        request,
        body(&packet).and_then(|body| jute::decode_request(body).map_err(|error| error.to_string())),
    )
}

/// Its answer.
pub(super) fn reply(reply: &Reply, kind: ReplyKind) -> Checked {
    let mut packet = Vec::new();
    jute::encode_reply(reply, &mut packet);
    let decoded = |body| jute::decode_reply(body, kind).map_err(|error| error.to_string());
    same(reply, body(&packet).and_then(decoded))
}

/// A notification.
pub(super) fn event(event: &WatchedEvent) -> Checked {
    let mut packet = Vec::new();
    jute::encode_event(event, &mut packet);
    same(event, body(&packet).and_then(|body| jute::decode_event(body).map_err(|error| error.to_string())))
}

/// A packet without its length, which has to be right.
fn body(packet: &[u8]) -> Result<&[u8], String> {
    match packet.split_first_chunk::<LENGTH_BYTES>() {
        Some((length, body)) if i32::from_be_bytes(*length) as usize == body.len() => Ok(body),
        _ => Err(format!("a packet of {} bytes with another length in front", packet.len())),
    }
}

fn same<T: PartialEq + Debug>(original: &T, decoded: Result<T, String>) -> Checked {
    if decoded.as_ref() == Ok(original) {
        return Ok(());
    }
    Err(Box::new(Violation {
        property: "codec",
        meaning: "what is encoded and decoded is what it was",
        seen: format!("{decoded:?}"),
        expected: format!("{original:?}"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_codec_that_loses_something_is_caught() {
        assert_eq!(same(&5, Ok(5)), Ok(()));
        assert_eq!(same(&5, Ok(6)).unwrap_err().property, "codec");
        assert!(same(&5, Err("no bytes".into())).is_err());
        assert!(body(&[0, 0, 0, 2, 1]).is_err());
        assert_eq!(body(&[0, 0, 0, 1, 7]), Ok(&[7][..]));
    }
}
