//! The format of `*.trace` files: a recording in checked frames, with an index to seek by.
//!
//! ```text
//!   "VIVTRACE"  format u32  schema u64  length u16  command ...  crc32     the preamble
//!   length u32  crc32  payload                                             a frame: the header,
//!   length u32  crc32  payload                                             then states and events in turn,
//!   length u32  crc32  payload                                             at last the index
//!   offset of the index u64  crc32 of these 8 bytes  "VIVT"                the footer
//! ```
//!
//! Numbers are little-endian; a frame's checksum is of its length and its payload; payloads are postcard. Before every
//! [`EVENTS_PER_SECTION`] events stands the state of all nodes at that point, and the index says where: a reader finds
//! any event, and the states around it, without reading what comes before.
//!
//! Postcard does not describe itself, so the preamble carries a fingerprint of the types, and the command that makes the
//! recording again: a file of another schema is refused with that command. A damaged file is refused with the offset of
//! the damage; nothing of it is trusted, and no length in it is believed beyond the file's own.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{Event, EventId, Header, Recording, State};

/// The first bytes of a file.
pub const MAGIC: [u8; 8] = *b"VIVTRACE";
const END: [u8; 4] = *b"VIVT";
const FORMAT: u32 = 1;
const FOOTER_BYTES: u64 = 16;
/// How many events lie between two entries of the index.
pub const EVENTS_PER_SECTION: usize = 4096;

/// What a frame holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Frame {
    Header(Box<Header>),
    /// The state of all nodes before the event of this number.
    States(EventId, Vec<State>),
    Event(Box<Event>),
    /// Where each frame of states is.
    Index(Vec<u64>),
}

/// A fingerprint of the types: of their code, without comments.
pub fn schema() -> u64 {
    // FNV-1a. The code says more than the layout, which is on the safe side.
    let code = include_str!("types.rs").lines().map(str::trim);
    let code = code.filter(|line| !line.is_empty() && !line.starts_with("//"));
    code.flat_map(str::bytes)
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Writes a recording.
///
/// # Errors
/// What the writer says.
pub fn write(recording: &Recording, out: &mut impl Write) -> Result<()> {
    let mut out = Counting { out, bytes: 0 };
    out.write_all(&preamble(&recording.header.again, schema()))?;
    out.frame(&Frame::Header(Box::new(recording.header.clone())))?;
    let mut states = vec![State::DOWN; usize::from(recording.header.nodes)];
    let mut index = Vec::new();
    for section in recording.events.chunks(EVENTS_PER_SECTION) {
        index.push(out.bytes);
        out.frame(&Frame::States(section[0].id, states.clone()))?;
        for event in section {
            out.frame(&Frame::Event(Box::new(event.clone())))?;
            event.change(&mut states);
        }
    }
    let footer = out.bytes.to_le_bytes();
    out.frame(&Frame::Index(index))?;
    out.write_all(&footer)?;
    out.write_all(&crc32fast::hash(&footer).to_le_bytes())?;
    out.write_all(&END)?;
    Ok(())
}

/// Writes a recording to a file.
///
/// # Errors
/// When the file cannot be written.
pub fn save(recording: &Recording, path: &Path) -> Result<()> {
    let save = || -> Result<()> {
        let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
        write(recording, &mut out)?;
        Ok(out.flush()?)
    };
    save().with_context(|| format!("cannot write {}", path.display()))
}

/// Reads a whole recording.
///
/// # Errors
/// What is wrong with it, and where.
pub fn read(input: impl Read + Seek) -> Result<Recording> {
    let mut reader = Reader::open(input)?;
    let mut events = Vec::new();
    while let Some(event) = reader.next()? {
        events.push(event);
    }
    Ok(Recording { header: reader.header, events })
}

/// Reads a whole recording from a file.
///
/// # Errors
/// When it cannot be read, and where it is damaged.
pub fn load(path: &Path) -> Result<Recording> {
    let load = || read(std::io::BufReader::new(std::fs::File::open(path)?));
    load().with_context(|| format!("{}", path.display()))
}

/// Reads a recording event by event, from anywhere in it.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    /// Where the reader is.
    offset: u64,
    /// Where the index begins, and so where the events end.
    events_end: u64,
    index: Vec<u64>,
    header: Header,
    next: EventId,
    states: Vec<State>,
}

impl<R: Read + Seek> Reader<R> {
    /// Opens a recording and stands before its first event.
    ///
    /// # Errors
    /// What is wrong with the file's beginning or end, and where.
    pub fn open(mut input: R) -> Result<Reader<R>> {
        let bytes = input.seek(SeekFrom::End(0))?;
        input.seek(SeekFrom::Start(0))?;
        let preamble = read_preamble(&mut input)?;
        let footer_at = bytes
            .checked_sub(FOOTER_BYTES)
            .filter(|at| *at >= preamble)
            .with_context(|| format!("at offset {bytes}: the file ends before its footer: {CUT}"))?;
        input.seek(SeekFrom::Start(footer_at))?;
        let mut footer = [0; FOOTER_BYTES as usize];
        input.read_exact(&mut footer)?;
        let (place, rest) = footer.split_first_chunk::<8>().expect("16 bytes");
        let (crc, end) = rest.split_first_chunk::<4>().expect("8 bytes");
        ensure!(end == END, "at offset {footer_at}: the file does not end as a trace ends: {CUT}");
        ensure!(
            crc32fast::hash(place) == u32::from_le_bytes(*crc),
            "at offset {footer_at}: the footer's checksum does not match: {DAMAGED}"
        );
        let events_end = u64::from_le_bytes(*place);
        ensure!(
            (preamble..footer_at).contains(&events_end),
            "at offset {footer_at}: the footer points out of the file: {DAMAGED}"
        );
        let mut reader = Reader {
            input,
            offset: events_end,
            events_end: footer_at,
            index: Vec::new(),
            header: Header::empty(),
            next: 1,
            states: Vec::new(),
        };
        reader.input.seek(SeekFrom::Start(events_end))?;
        match reader.frame()? {
            Frame::Index(index) => reader.index = index,
            _ => bail!("at offset {events_end}: the index is something else: {DAMAGED}"),
        }
        ensure!(
            reader.offset == footer_at,
            "at offset {}: bytes that belong to nothing: {DAMAGED}",
            reader.offset
        );
        reader.events_end = events_end;
        reader.go(preamble)?;
        match reader.frame()? {
            Frame::Header(header) => reader.header = *header,
            _ => bail!("at offset {preamble}: the header is something else: {DAMAGED}"),
        }
        let sections = reader.header.events.div_ceil(EVENTS_PER_SECTION as u64);
        ensure!(
            reader.index.len() as u64 == sections,
            "at offset {events_end}: the index has {} places, and {} events want {sections}: {DAMAGED}",
            reader.index.len(),
            reader.header.events
        );
        Ok(reader)
    }

    /// What was run, and how it ended.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The state of all nodes before the event that comes next.
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// Stands before the event of this number; at the end when there is none.
    ///
    /// # Errors
    /// Where the file is damaged.
    pub fn seek(&mut self, id: EventId) -> Result<()> {
        let id = id.max(1);
        let place = (id - 1) / EVENTS_PER_SECTION as u64;
        match usize::try_from(place).ok().and_then(|place| self.index.get(place)) {
            None => {
                self.next = self.header.events + 1;
                return self.go(self.events_end);
            }
            Some(offset) => {
                let offset = *offset;
                ensure!(
                    offset < self.events_end,
                    "at offset {}: the index points out of the events: {DAMAGED}",
                    self.events_end
                );
                self.next = place * EVENTS_PER_SECTION as u64 + 1;
                self.go(offset)?;
            }
        }
        while self.next < id {
            if self.next()?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// The next event, or none when there are no more.
    ///
    /// # Errors
    /// Where the file is damaged.
    #[allow(clippy::should_implement_trait, reason = "an iterator cannot fail half way")]
    pub fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if self.offset == self.events_end {
                ensure!(
                    self.next == self.header.events + 1,
                    "at offset {}: the events end with {}, and {} were promised: {DAMAGED}",
                    self.offset,
                    self.next - 1,
                    self.header.events
                );
                return Ok(None);
            }
            let at = self.offset;
            match self.frame()? {
                Frame::States(id, states) => {
                    ensure!(
                        id == self.next && states.len() == usize::from(self.header.nodes),
                        "at offset {at}: states of another place: {DAMAGED}"
                    );
                    self.states = states;
                }
                Frame::Event(event) => {
                    ensure!(
                        event.id == self.next
                            && event.causes.iter().all(|cause| (1..event.id).contains(cause)),
                        "at offset {at}: event {} where {} belongs, or one that comes before its cause: {DAMAGED}",
                        event.id,
                        self.next
                    );
                    self.next += 1;
                    event.change(&mut self.states);
                    return Ok(Some(*event));
                }
                Frame::Header(_) | Frame::Index(_) => {
                    bail!("at offset {at}: a header or an index among the events: {DAMAGED}")
                }
            }
        }
    }

    fn go(&mut self, offset: u64) -> Result<()> {
        self.input.seek(SeekFrom::Start(offset))?;
        self.offset = offset;
        Ok(())
    }

    fn frame(&mut self) -> Result<Frame> {
        let at = self.offset;
        let whole = || format!("at offset {at}: the file ends within a frame: {CUT}");
        let mut head = [0; 8];
        ensure!(self.events_end - at >= head.len() as u64, "{}", whole());
        self.input.read_exact(&mut head).with_context(whole)?;
        let (length, crc) = head.split_at(4);
        let length: [u8; 4] = length.try_into().expect("4 bytes");
        let crc = u32::from_le_bytes(crc.try_into().expect("4 bytes"));
        let bytes = u64::from(u32::from_le_bytes(length));
        // Whoever believes a damaged length allocates all memory.
        ensure!(
            bytes <= self.events_end - at - head.len() as u64,
            "at offset {at}: a frame of {bytes} bytes does not fit: {DAMAGED}"
        );
        let mut payload = vec![0; usize::try_from(bytes)?];
        self.input.read_exact(&mut payload).with_context(whole)?;
        ensure!(
            checksum(length, &payload) == crc,
            "at offset {at}: the frame's checksum does not match: {DAMAGED}"
        );
        self.offset = at + head.len() as u64 + bytes;
        let (frame, rest) = postcard::take_from_bytes(&payload)
            .with_context(|| format!("at offset {at}: the frame is none of this version's: {DAMAGED}"))?;
        ensure!(rest.is_empty(), "at offset {at}: the frame is longer than what it holds: {DAMAGED}");
        Ok(frame)
    }
}

const CUT: &str = "it was cut short; record it again";
const DAMAGED: &str = "it is damaged; record it again";

impl Header {
    fn empty() -> Header {
        Header {
            name: String::new(),
            again: String::new(),
            replay: String::new(),
            schedule: String::new(),
            drawn: String::new(),
            nodes: 0,
            clients: 0,
            heals_at: 0,
            violation: None,
            ended_at: 0,
            steps: 0,
            hash: 0,
            events: 0,
            spans: Vec::new(),
        }
    }
}

/// Writes, and counts what it has written.
struct Counting<'a, W: Write> {
    out: &'a mut W,
    bytes: u64,
}

impl<W: Write> Counting<'_, W> {
    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn frame(&mut self, frame: &Frame) -> Result<()> {
        let payload = postcard::to_stdvec(frame)?;
        let length = u32::try_from(payload.len()).context("an event of 4 GiB")?.to_le_bytes();
        self.write_all(&length)?;
        self.write_all(&checksum(length, &payload).to_le_bytes())?;
        self.write_all(&payload)
    }
}

fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(payload);
    hasher.finalize()
}

fn preamble(again: &str, schema: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend(schema.to_le_bytes());
    let mut end = again.len().min(usize::from(u16::MAX));
    while !again.is_char_boundary(end) {
        end -= 1;
    }
    bytes.extend((end as u16).to_le_bytes());
    bytes.extend(&again.as_bytes()[..end]);
    let crc = crc32fast::hash(&bytes);
    bytes.extend(crc.to_le_bytes());
    bytes
}

/// Reads and checks the preamble; gives where it ends.
fn read_preamble(input: &mut impl Read) -> Result<u64> {
    let mut fixed = [0; 22];
    let mut got = 0;
    while got < fixed.len() {
        match input.read(&mut fixed[got..])? {
            0 => break,
            more => got += more,
        }
    }
    let begins_right = fixed[..got.min(MAGIC.len())] == MAGIC[..got.min(MAGIC.len())];
    ensure!(begins_right && got > 0, "at offset 0: this is no trace: it does not begin with VIVTRACE");
    ensure!(got == fixed.len(), "at offset {got}: the file ends within its first bytes: {CUT}");
    let format = u32::from_le_bytes(fixed[8..12].try_into().expect("4 bytes"));
    let schema = u64::from_le_bytes(fixed[12..20].try_into().expect("8 bytes"));
    let length = u16::from_le_bytes(fixed[20..].try_into().expect("2 bytes"));
    let mut rest = vec![0; usize::from(length) + 4];
    input
        .read_exact(&mut rest)
        .with_context(|| format!("at offset {got}: the file ends within its first bytes: {CUT}"))?;
    let (again, crc) = rest.split_at(usize::from(length));
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&fixed);
    hasher.update(again);
    ensure!(
        hasher.finalize().to_le_bytes() == crc,
        "at offset 0: the checksum of the first bytes does not match: {DAMAGED}"
    );
    let again = String::from_utf8_lossy(again);
    ensure!(
        format == FORMAT && schema == self::schema(),
        "it was recorded by another version (format {format}, schema {schema:016x}; this one reads format {FORMAT}, \
         schema {:016x}); record it again with\n  {again}",
        self::schema()
    );
    Ok((fixed.len() + rest.len()) as u64)
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
