//! Snapshots that are exact and never stop the world: see [`State::freeze`].
//!
//! A freeze is a cursor over the slots of the tree and over the sessions. Between two chunks the state goes on
//! changing; what the cursor has yet to reach is copied into its overlay before it changes. The cost of a snapshot is
//! thus one visit to each node, in pieces, plus one copy (of pointers, not of data) of each node changed meanwhile.

mod record;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::Acl;
use crate::encoding::append;
use crate::ids::{SessionId, Zxid};
use crate::state::sessions::Sessions;
use crate::state::tree::{FrozenNode, Slot, Tree};
use crate::state::{FreezeId, Session, State};
use record::{Bytes, Entry, MAGIC, Record, VERSION, append_acl, append_node, append_session, usual_node};

/// The snapshots in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Freezes {
    last: u64,
    open: BTreeMap<FreezeId, Freeze>,
    /// Where pieces are written before they are shared: kept from one to the next, while any snapshot is in the making.
    piece: Vec<u8>,
}

/// One snapshot in the making. The cursors are with what they walk over.
#[derive(Clone, Debug)]
struct Freeze {
    zxid: Zxid,
    digest: u64,
    part: Part,
    /// Lists written so far, and their numbers.
    acls: BTreeMap<Arc<[Acl]>, u32>,
    /// The last one that was looked up: most nodes have the list of the node before.
    acl: Option<(Arc<[Acl]>, u32)>,
    nodes: u64,
    sessions: u64,
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Header,
    Nodes,
    Sessions,
}

impl State {
    /// Begins a snapshot of the state as it is now. Any number may be in the making at once.
    pub fn freeze(&mut self) -> FreezeId {
        self.freezes.last += 1;
        let id = FreezeId(self.freezes.last);
        let (zxid, digest) = (self.applied(), self.digest());
        let freeze = Freeze {
            zxid,
            digest,
            part: Part::Header,
            acls: BTreeMap::new(),
            acl: None,
            nodes: 0,
            sessions: 0,
        };
        self.freezes.open.insert(id, freeze);
        self.tree.freeze(id);
        self.sessions.freeze(id);
        id
    }

    /// The next piece of a snapshot, about `bytes_max` long (a single large node may exceed it), and whether it is the
    /// last. Dropped after the last.
    ///
    /// # Panics
    /// When there is no such snapshot in the making.
    pub fn next_chunk(&mut self, id: FreezeId, bytes_max: usize) -> (Arc<[u8]>, bool) {
        let freeze =
            self.freezes.open.get_mut(&id).expect("frozen, not thawed, and the last piece not taken");
        let mut bytes = std::mem::take(&mut self.freezes.piece);
        bytes.reserve(bytes_max.min(1 << 20));
        let mut last = false;
        while !last && (bytes.is_empty() || bytes.len() < bytes_max) {
            freeze.write(&mut bytes, id, &mut self.tree, &mut self.sessions, &mut last);
        }
        let piece = Arc::from(&bytes[..]);
        if last {
            self.thaw(id);
        }
        if !self.freezes.open.is_empty() {
            bytes.clear();
            self.freezes.piece = bytes;
        }
        (piece, last)
    }

    /// Gives up a snapshot in the making. Does nothing when it is done or given up already.
    pub fn thaw(&mut self, id: FreezeId) {
        self.freezes.open.remove(&id);
        if self.freezes.open.is_empty() {
            self.freezes.piece = Vec::new();
        }
        self.tree.thaw(id);
        self.sessions.thaw(id);
    }

    /// Rebuilds the state from the pieces of a snapshot, however they were cut between records.
    ///
    /// # Errors
    /// Says what is wrong with them. Nothing in the bytes is trusted: no length is allocated before it is seen to be
    /// there, and the digest must be that of what was rebuilt.
    pub fn restore<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<State, String> {
        let mut reader = Reader::default();
        for (index, chunk) in chunks.into_iter().enumerate() {
            let mut rest = chunk;
            while !rest.is_empty() {
                let offset = chunk.len() - rest.len();
                let place = |why: String| format!("chunk {index}, byte {offset}: {why}");
                let (record, after) = match usual_node(rest) {
                    Some((node, after)) => (Record::Node(node), after),
                    None => {
                        postcard::take_from_bytes(rest).map_err(|why| place(format!("no record: {why}")))?
                    }
                };
                reader.read(record).map_err(place)?;
                rest = after;
            }
        }
        reader.finish()
    }
}

impl Freeze {
    /// Writes the next record, and the ACL before a node that is the first to have it.
    fn write(
        &mut self,
        bytes: &mut Vec<u8>,
        id: FreezeId,
        tree: &mut Tree,
        sessions: &mut Sessions,
        last: &mut bool,
    ) {
        match self.part {
            Part::Header => {
                self.part = Part::Nodes;
                append(bytes, &Record::Header { magic: Bytes(MAGIC), version: VERSION, zxid: self.zxid })
            }
            Part::Nodes => {
                let found = tree.next_frozen(id, |slot, node| {
                    self.nodes += 1;
                    let acl = self.number_of(node.acl, bytes);
                    append_node(bytes, slot, &node, acl);
                });
                if found.is_none() {
                    self.part = Part::Sessions;
                }
            }
            Part::Sessions => match sessions.next_frozen(id) {
                Some((id, session)) => {
                    self.sessions += 1;
                    append_session(bytes, id, &session);
                }
                None => {
                    *last = true;
                    let Freeze { nodes, sessions, digest, .. } = *self;
                    append(bytes, &Record::End { nodes, sessions, digest })
                }
            },
        }
    }

    /// The number of an ACL, which is written if it has none yet.
    fn number_of(&mut self, acl: &Arc<[Acl]>, bytes: &mut Vec<u8>) -> u32 {
        if let Some((last, number)) = &self.acl
            && Arc::ptr_eq(last, acl)
        {
            return *number;
        }
        let number = match self.acls.get(acl) {
            Some(&number) => number,
            None => {
                let number = self.acls.len() as u32;
                append_acl(bytes, acl);
                self.acls.insert(acl.clone(), number);
                number
            }
        };
        self.acl = Some((acl.clone(), number));
        number
    }
}

/// What has been read of a snapshot.
#[derive(Default)]
struct Reader {
    zxid: Option<Zxid>,
    acls: Vec<Arc<[Acl]>>,
    nodes: Vec<(Slot, FrozenNode)>,
    sessions: Sessions,
    last_session: Option<SessionId>,
    /// Nodes, sessions, digest.
    end: Option<(u64, u64, u64)>,
}

impl Reader {
    fn read(&mut self, record: Record<'_>) -> Result<(), String> {
        if self.end.is_some() {
            return Err("something after the end".into());
        }
        if self.zxid.is_none() != matches!(record, Record::Header { .. }) {
            return Err("a snapshot begins with one header".into());
        }
        match record {
            Record::Header { magic, version, zxid } => {
                if magic.0 != MAGIC {
                    return Err("this is no snapshot of the state".into());
                }
                if version != VERSION {
                    return Err(format!("version {version} of the format; this program reads {VERSION}"));
                }
                self.zxid = Some(zxid);
            }
            Record::Acl(list) => self.acls.push(list.iter().map(Entry::acl).collect()),
            Record::Node(node) => {
                if self.nodes.last().is_some_and(|(last, _)| *last >= node.slot) {
                    return Err(format!("node {} comes after one with a higher number", node.slot));
                }
                let acl = self.acls.get(node.acl as usize);
                let acl = acl.ok_or_else(|| format!("there is no ACL {}", node.acl))?.clone();
                self.nodes.push((node.slot, node.frozen(acl)));
            }
            Record::Session { id, password, timeout_ms, owner } => {
                if self.last_session.is_some_and(|last| last >= id) {
                    return Err(format!("session {id} comes after one with a higher id"));
                }
                self.last_session = Some(id);
                self.sessions.put(id, Session { password, timeout_ms, owner });
            }
            Record::End { nodes, sessions, digest } => self.end = Some((nodes, sessions, digest)),
        }
        Ok(())
    }

    fn finish(self) -> Result<State, String> {
        let applied = self.zxid.ok_or("the snapshot is empty")?;
        let (nodes, sessions, digest) = self.end.ok_or("the snapshot ends too early")?;
        let found = (self.nodes.len() as u64, self.sessions.iter().count() as u64);
        if found != (nodes, sessions) {
            return Err(format!(
                "{} nodes and {} sessions, where there should be {nodes} and {sessions}",
                found.0, found.1
            ));
        }
        let tree = Tree::rebuild(self.nodes)?;
        if let Some(owner) = tree.owners().find(|&owner| self.sessions.get(SessionId(owner)).is_none()) {
            return Err(format!("ephemeral nodes of session {}, which is not open", SessionId(owner)));
        }
        let state = State { applied, tree, sessions: self.sessions, freezes: Freezes::default() };
        if state.digest() != digest {
            return Err(format!("digest {:016x}, where it should be {digest:016x}", state.digest()));
        }
        Ok(state)
    }
}
