//! The running hash of a run: two runs that differ anywhere differ here.
//!
//! It takes in what each output is, whom it is for, its zxids and sizes: numbers only, never a debug text or an address
//! in memory, so that it is the same for every build.

use vivarium_core::api::{Reply, Response};
use vivarium_core::io::{Lane, Note, Output, Write};
use vivarium_core::replica::{PeerMessage, Vow};

use crate::decision::mix;

/// The running hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fold(u64);

impl Default for Fold {
    fn default() -> Fold {
        Fold(0x0005_eed0_f01d)
    }
}

impl Fold {
    /// Takes in a number.
    pub fn number(&mut self, n: u64) {
        self.0 = (self.0 ^ n).wrapping_mul(0x9fb2_1c65_1e98_df25).rotate_left(29);
    }

    /// The hash so far.
    pub fn value(&self) -> u64 {
        mix(self.0)
    }

    /// Takes in an output of a node.
    pub fn output(&mut self, node: usize, output: &Output) {
        self.number(node as u64);
        match output {
            Output::Send { to, message } => {
                self.number(1 << 8 | u64::from(to.0));
                self.message(message);
            }
            Output::Write { lane, seq, write } => {
                self.number(2 << 8 | u64::from(*lane == Lane::Snapshot));
                self.number(seq.0);
                self.write(write);
            }
            Output::Connected { conn, response } => {
                self.number(3 << 8);
                self.number(conn.0);
                self.number(response.session.0 as u64);
                self.number(response.timeout_ms as u64);
            }
            Output::Reply { conn, reply } => {
                self.number(4 << 8);
                self.number(conn.0);
                self.reply(reply);
            }
            Output::Event { conn, event } => {
                self.number(5 << 8 | event.kind as u64);
                self.number(conn.0);
                self.number(event.zxid as u64);
                self.number(event.path.len() as u64);
            }
            Output::Close { conn, why } => {
                self.number(6 << 8 | *why as u64);
                self.number(conn.0);
            }
            Output::Note(note) => {
                self.number(7 << 8);
                self.note(note);
            }
            Output::Retired => self.number(8 << 8),
            Output::Halt(_) => self.number(9 << 8),
        }
    }

    fn message(&mut self, message: &PeerMessage) {
        match message {
            PeerMessage::Vow(vow) => match vow.get() {
                Vow::AckEpoch { epoch, last, .. } => {
                    self.number(u64::from(epoch.0));
                    self.number(last.0);
                }
                Vow::Ack { upto, .. } => self.number(upto.0),
                Vow::Positioned { last, stream, .. } => {
                    self.number(last.0);
                    self.number(*stream);
                }
            },
            PeerMessage::Heartbeat { round, committed, .. } => {
                self.number(*round);
                self.number(committed.0);
            }
            PeerMessage::Propose { previous, entries, committed, .. } => {
                self.number(previous.0);
                self.number(entries.len() as u64);
                self.number(committed.0);
            }
            PeerMessage::SnapshotChunk { zxid, index, bytes, .. } => {
                self.number(zxid.0);
                self.number(u64::from(*index));
                self.number(bytes.len() as u64);
            }
            other => self.number(other.name().len() as u64),
        }
    }

    fn write(&mut self, write: &Write) {
        match write {
            Write::Append(entry) => self.number(entry.zxid.0),
            Write::Promise { epoch, candidate } => {
                self.number(u64::from(epoch.0) << 8 | u64::from(candidate.0));
            }
            Write::Join => self.number(1),
            Write::Truncate { to } => self.number(to.0),
            Write::Reset { base } => self.number(base.0),
            Write::Chunk { zxid, index, bytes, .. } => {
                self.number(zxid.0);
                self.number(u64::from(*index) << 32 | bytes.len() as u64);
            }
        }
    }

    fn reply(&mut self, reply: &Reply) {
        self.number(reply.xid as u64);
        self.number(reply.zxid as u64);
        match &reply.result {
            Err(code) => self.number(code.code() as u64),
            Ok(Response::Stat(stat) | Response::Data(_, stat) | Response::ChildrenStat(_, stat)) => {
                self.number(stat.mzxid.0 ^ stat.pzxid.0.rotate_left(7));
            }
            Ok(Response::Path(path) | Response::PathStat(path, _)) => self.number(path.len() as u64),
            Ok(Response::Children(names)) => self.number(names.len() as u64),
            Ok(Response::Multi(results)) => self.number(results.len() as u64),
            Ok(Response::Empty | Response::Acl(..) | Response::Sync(_)) => {}
        }
    }

    fn note(&mut self, note: &Note) {
        match note {
            Note::Applied { zxid, digest } => {
                self.number(zxid.0);
                self.number(*digest);
            }
            Note::Elected { epoch, last } => {
                self.number(u64::from(epoch.0));
                self.number(last.0);
            }
            Note::Looking { why } => self.number(*why as u64),
            _ => self.number(1),
        }
    }
}
