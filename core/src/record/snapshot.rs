//! Snapshot files: a header, chunks, a footer. The layout is in the parent module.
//!
//! A snapshot exists when its footer does: one that was cut short anywhere is no snapshot. What the chunks mean is
//! the state's business.

use std::sync::Arc;

use super::*;

const MAGIC: &[u8; 8] = b"vivasnap";
const HEADER_BYTES: usize = 48;
const CHECKED_BYTES: usize = 44;

/// Makes the bytes of one snapshot file, chunk after chunk.
#[derive(Clone, Debug)]
pub struct SnapshotEncoder {
    zxid: Zxid,
    salt: u32,
    chunks: u32,
    bytes: u64,
}

impl SnapshotEncoder {
    /// Appends the header of the snapshot at `zxid`.
    pub fn begin(identity: Identity, zxid: Zxid, out: &mut Vec<u8>) -> SnapshotEncoder {
        let start = out.len();
        out.resize(start + HEADER_BYTES, 0);
        let header = &mut out[start..];
        write_prefix(header, MAGIC, identity);
        header[32..40].copy_from_slice(&zxid.0.to_le_bytes());
        let salt = checksum(0, &header[..CHECKED_BYTES]);
        header[CHECKED_BYTES..].copy_from_slice(&salt.to_le_bytes());
        SnapshotEncoder { zxid, salt, chunks: 0, bytes: 0 }
    }

    /// Appends the next chunk.
    pub fn chunk(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        write_record(out, self.salt, KIND_CHUNK, self.chunks.into(), 0, |out| out.extend_from_slice(bytes));
        self.chunks += 1;
        self.bytes += bytes.len() as u64;
    }

    /// Which snapshot this is, and the index of its next chunk.
    pub fn position(&self) -> (Zxid, u32) {
        (self.zxid, self.chunks)
    }

    /// Appends the footer, which makes it a snapshot.
    pub fn finish(self, out: &mut Vec<u8>) {
        write_record(out, self.salt, KIND_FOOTER, self.chunks.into(), 0, |out| {
            out.extend_from_slice(&self.chunks.to_le_bytes());
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&self.bytes.to_le_bytes());
            out.extend_from_slice(&self.zxid.0.to_le_bytes());
        });
    }
}

/// Why a snapshot file is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Its header is not accepted.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// It ends before its footer.
    #[error("it is cut short: there is no footer after chunk {chunks}")]
    Unfinished { chunks: u32 },
    /// A checksum does not hold.
    #[error("chunk {chunk} is damaged at byte {offset}")]
    Damaged { chunk: u32, offset: usize },
    /// The footer does not fit what precedes it, or is not the end.
    #[error("the footer at byte {offset} does not fit the chunks before it")]
    Footer { offset: usize },
}

/// The chunks of the snapshot file with `zxid` in its name.
///
/// # Errors
/// Why it is not a whole snapshot of this server.
pub fn decode_snapshot(
    bytes: &[u8],
    zxid: Zxid,
    identity: Identity,
) -> Result<Vec<Arc<[u8]>>, SnapshotError> {
    let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(HeaderError::Damaged)?;
    let salt = read_prefix(&header[..CHECKED_BYTES], u32_at(header, CHECKED_BYTES), MAGIC, identity)?;
    let found = Zxid(u64_at(header, 32));
    if found != zxid {
        return Err(HeaderError::Misnamed { found: FileName::Snapshot(found) }.into());
    }
    let mut chunks: Vec<Arc<[u8]>> = Vec::new();
    let mut total = 0u64;
    let mut offset = HEADER_BYTES;
    loop {
        let chunk = chunks.len() as u32;
        if offset >= bytes.len() {
            return Err(SnapshotError::Unfinished { chunks: chunk });
        }
        let damaged = SnapshotError::Damaged { chunk, offset };
        let head = Head::read(bytes, offset, salt).ok_or_else(|| damaged.clone())?;
        let payload = head.payload(bytes, offset).ok_or_else(|| damaged.clone())?;
        if head.number != u64::from(chunk) {
            return Err(damaged);
        }
        match head.kind {
            KIND_CHUNK => {
                chunks.push(payload.into());
                total += payload.len() as u64;
                offset += head.record_bytes();
            }
            KIND_FOOTER => {
                let fits = payload.len() == 24
                    && u32_at(payload, 0) == chunk
                    && u64_at(payload, 8) == total
                    && u64_at(payload, 16) == zxid.0
                    && offset + head.record_bytes() == bytes.len();
                return if fits { Ok(chunks) } else { Err(SnapshotError::Footer { offset }) };
            }
            _ => return Err(damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PeerId;

    const IDENTITY: Identity = Identity { cluster: 7, node: PeerId(1) };
    const ZXID: Zxid = Zxid(0x1_0000_0005);

    fn sample() -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = SnapshotEncoder::begin(IDENTITY, ZXID, &mut out);
        encoder.chunk(b"one", &mut out);
        encoder.chunk(b"", &mut out);
        encoder.chunk(&[3; 100], &mut out);
        encoder.finish(&mut out);
        out
    }

    #[test]
    fn whole_or_not_at_all() {
        let whole = sample();
        let chunks = decode_snapshot(&whole, ZXID, IDENTITY).expect("whole");
        assert_eq!(chunks.iter().map(|c| c.len()).collect::<Vec<_>>(), [3, 0, 100]);
        for cut in 0..whole.len() {
            assert!(decode_snapshot(&whole[..cut], ZXID, IDENTITY).is_err(), "cut at {cut}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert!(decode_snapshot(&longer, ZXID, IDENTITY).is_err());
    }

    #[test]
    fn no_flipped_bit_of_content_is_accepted() {
        let whole = sample();
        let chunks = decode_snapshot(&whole, ZXID, IDENTITY).expect("whole");
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // Padding carries nothing: a flipped bit there leaves the same chunks.
            if let Ok(read) = decode_snapshot(&bytes, ZXID, IDENTITY) {
                assert_eq!(read, chunks, "bit {bit}");
            }
        }
    }

    #[test]
    fn other_owners_names_and_versions_are_refused() {
        let other = Identity { cluster: 8, ..IDENTITY };
        let refused = decode_snapshot(&sample(), ZXID, other).expect_err("another cluster's").to_string();
        assert!(refused.contains("cluster 0000000000000007") && refused.contains("0000000000000008"));
        assert!(decode_snapshot(&sample(), Zxid(1), IDENTITY).is_err());
        let mut newer = sample();
        newer[8] = 2;
        let prefix = checksum(0, &newer[..12]);
        newer[12..16].copy_from_slice(&prefix.to_le_bytes());
        let refused = decode_snapshot(&newer, ZXID, IDENTITY).expect_err("newer").to_string();
        assert!(refused.contains("format version is 2"), "{refused}");
    }
}
