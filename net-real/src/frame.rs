//! Cutting byte streams into packets, and queueing bytes for a socket.
//!
//! A client's packet is a length of 4 bytes, big-endian, and as many bytes (section 1.2 of the protocol). A peer's is a
//! length and a CRC-32, both of 4 bytes and little-endian, and as many bytes. Nothing here knows what is inside one.

use std::io::{self, Read, Write};

/// What the beginning of a buffer holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Cut<'a> {
    /// A whole packet. `size` is what it takes up in the buffer, its header included.
    Whole { body: &'a [u8], size: usize },
    /// Not yet one.
    Partial,
    /// A length that no packet may have.
    BadLength(i64),
    /// The checksum does not fit (peers only).
    BadChecksum,
}

/// Cuts a client's packet; lengths from 1 to `max` are accepted.
pub fn cut_client(bytes: &[u8], max: usize) -> Cut<'_> {
    let Some((head, rest)) = bytes.split_first_chunk::<4>() else { return Cut::Partial };
    let length = i32::from_be_bytes(*head);
    match usize::try_from(length) {
        Ok(length) if (1..=max).contains(&length) => match rest.get(..length) {
            Some(body) => Cut::Whole { body, size: 4 + length },
            None => Cut::Partial,
        },
        _ => Cut::BadLength(length.into()),
    }
}

/// Cuts a peer's packet; lengths from 1 to `max` are accepted.
pub fn cut_peer(bytes: &[u8], max: usize) -> Cut<'_> {
    let Some((head, rest)) = bytes.split_first_chunk::<PEER_HEAD>() else { return Cut::Partial };
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let sum = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    if length == 0 || length as usize > max {
        return Cut::BadLength(length.into());
    }
    match rest.get(..length as usize) {
        Some(body) if crc32fast::hash(body) != sum => Cut::BadChecksum,
        Some(body) => Cut::Whole { body, size: PEER_HEAD + length as usize },
        None => Cut::Partial,
    }
}

/// Bytes before a peer's packet.
pub const PEER_HEAD: usize = 8;

/// Appends a peer's packet whose body `fill` writes. Returns the length of the body.
pub fn put_peer(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; PEER_HEAD]);
    fill(out);
    let body = start + PEER_HEAD;
    let length = out.len() - body;
    let sum = crc32fast::hash(&out[body..]);
    let word = u32::try_from(length).expect("a packet is bounded far below 4 GiB");
    out[start..start + 4].copy_from_slice(&word.to_le_bytes());
    out[start + 4..body].copy_from_slice(&sum.to_le_bytes());
    length
}

/// Bytes on their way to a socket.
#[derive(Debug, Default)]
pub struct OutBuffer {
    bytes: Vec<u8>,
    sent: usize,
}

/// Above this an empty buffer gives its memory back, so that thousands of idle connections hold none.
const KEEP_MAX: usize = 32 << 10;

impl OutBuffer {
    /// Where to append.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Bytes not yet taken by the socket.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Whether all is with the socket.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.bytes = Vec::new();
        self.sent = 0;
    }

    /// Gives the socket as much as it takes. `Ok(true)` when some was taken.
    ///
    /// # Errors
    /// What the socket said, except that it is full.
    pub fn flush(&mut self, socket: &mut impl Write) -> io::Result<bool> {
        let before = self.sent;
        while self.sent < self.bytes.len() {
            match socket.write(&self.bytes[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        let progress = self.sent > before;
        if self.sent == self.bytes.len() {
            self.sent = 0;
            self.bytes.clear();
            if self.bytes.capacity() > KEEP_MAX {
                self.bytes = Vec::new();
            }
        } else if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        Ok(progress)
    }
}

/// What a socket gave.
#[derive(Debug)]
pub enum Got {
    /// So many bytes, at the beginning of the buffer; there may be more.
    Bytes(usize),
    /// So many bytes, and then nothing: the next readiness event will say when there is more.
    Last(usize),
    /// The other side will send no more.
    Ended,
    /// The connection broke.
    Broke(io::Error),
}

/// Reads once. A read that does not fill the buffer has emptied a stream socket, so that no second call has to find
/// that out; `hangup` says that the end of the stream was announced, which then has to be read.
pub fn read_once(socket: &mut impl Read, buffer: &mut [u8], hangup: bool) -> Got {
    loop {
        return match socket.read(buffer) {
            Ok(0) => Got::Ended,
            Ok(n) if n < buffer.len() && !hangup => Got::Last(n),
            Ok(n) => Got::Bytes(n),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Got::Last(0),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => Got::Broke(e),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_lengths_are_checked_at_their_bounds() {
        assert_eq!(cut_client(&[0, 0, 0], 10), Cut::Partial);
        assert_eq!(cut_client(&[0, 0, 0, 0], 10), Cut::BadLength(0));
        assert_eq!(cut_client(&[0xff, 0xff, 0xff, 0xff], 10), Cut::BadLength(-1));
        assert_eq!(cut_client(&[0, 0, 0, 11], 10), Cut::BadLength(11));
        assert_eq!(cut_client(&[0, 0, 0, 10], 10), Cut::Partial);
        assert_eq!(cut_client(&[0, 0, 0, 2, 7, 8, 9], 10), Cut::Whole { body: &[7, 8], size: 6 });
    }

    #[test]
    fn peer_packets_come_back_whole_or_not_at_all() {
        let mut bytes = Vec::new();
        assert_eq!(put_peer(&mut bytes, |out| out.extend_from_slice(b"hello")), 5);
        assert_eq!(cut_peer(&bytes, 5), Cut::Whole { body: b"hello", size: 13 });
        assert_eq!(cut_peer(&bytes, 4), Cut::BadLength(5));
        for end in 0..bytes.len() {
            assert_eq!(cut_peer(&bytes[..end], 5), Cut::Partial);
        }
        bytes[9] ^= 1;
        assert_eq!(cut_peer(&bytes, 5), Cut::BadChecksum);
    }

    #[test]
    fn a_buffer_survives_a_socket_that_takes_little() {
        struct Slow(Vec<u8>, bool);
        impl Write for Slow {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1 = !self.1;
                if self.1 {
                    let n = bytes.len().min(3);
                    self.0.extend_from_slice(&bytes[..n]);
                    Ok(n)
                } else {
                    Err(io::ErrorKind::WouldBlock.into())
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut slow = Slow(Vec::new(), false);
        let mut buffer = OutBuffer::default();
        buffer.tail().extend_from_slice(b"0123456789");
        while !buffer.is_empty() {
            buffer.flush(&mut slow).unwrap();
            if slow.0.len() == 6 {
                buffer.tail().extend_from_slice(b"ab");
            }
        }
        assert_eq!(slow.0, b"0123456789ab");
    }
}
