//! Appending jute's types to a vector, and the length of a packet in front of it.

use crate::api::{Acl, Stat};

/// Bytes of a Stat.
const STAT_BYTES: usize = 68;

/// Opens a packet: room for its length, which [`close_packet`] fills in. Returns where.
pub(super) fn open_packet(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    start
}

/// Closes the packet opened at `start`. False when its length does not fit an int; it is then up to the caller to
/// shorten the packet and to close it again.
#[must_use]
pub(super) fn close_packet(out: &mut [u8], start: usize) -> bool {
    let Ok(length) = i32::try_from(out.len() - start - 4) else {
        return false;
    };
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    true
}

pub(super) fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

pub(super) fn put_i32(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put_buffer(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => put_i32(out, -1),
        Some(bytes) => {
            put_length(out, bytes.len());
            out.extend_from_slice(bytes);
        }
    }
}

pub(super) fn put_string(out: &mut Vec<u8>, value: &str) {
    put_buffer(out, Some(value.as_bytes()));
}

pub(super) fn put_strings(out: &mut Vec<u8>, values: &[String]) {
    put_length(out, values.len());
    for value in values {
        put_string(out, value);
    }
}

pub(super) fn put_acl(out: &mut Vec<u8>, acl: Option<&[Acl]>) {
    let Some(acl) = acl else {
        return put_i32(out, -1);
    };
    put_length(out, acl.len());
    for entry in acl {
        put_i32(out, entry.perms);
        put_string(out, &entry.id.scheme);
        put_string(out, &entry.id.id);
    }
}

/// In one piece: most replies carry one.
pub(super) fn put_stat(out: &mut Vec<u8>, stat: &Stat) {
    let mut bytes = [0; STAT_BYTES];
    let (long, int) = (i64::to_be_bytes, i32::to_be_bytes);
    bytes[0..8].copy_from_slice(&long(stat.czxid.wire()));
    bytes[8..16].copy_from_slice(&long(stat.mzxid.wire()));
    bytes[16..24].copy_from_slice(&long(stat.ctime));
    bytes[24..32].copy_from_slice(&long(stat.mtime));
    bytes[32..36].copy_from_slice(&int(stat.version));
    bytes[36..40].copy_from_slice(&int(stat.cversion));
    bytes[40..44].copy_from_slice(&int(stat.aversion));
    bytes[44..52].copy_from_slice(&long(stat.ephemeral_owner));
    bytes[52..56].copy_from_slice(&int(stat.data_length));
    bytes[56..60].copy_from_slice(&int(stat.num_children));
    bytes[60..68].copy_from_slice(&long(stat.pzxid.wire()));
    out.extend_from_slice(&bytes);
}

/// A length that does not fit is written wrong here, and the packet is then too long to be sent: see [`close_packet`].
fn put_length(out: &mut Vec<u8>, length: usize) {
    put_i32(out, i32::try_from(length).unwrap_or(i32::MAX));
}
