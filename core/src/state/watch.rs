//! Watches of this server's connections: not replicated, gone with the connection.

use crate::api::{Id, WatchedEvent};
use crate::ids::{ConnId, Zxid};
use crate::state::{Change, State};

/// What is watched: section 6.2. There is no separate table for exists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum WatchKind {
    /// getData and exists.
    Data,
    /// getChildren.
    Child,
}

/// Who watches what.
#[derive(Debug, Default)]
pub struct WatchTable {}

impl WatchTable {
    /// Adds a one-shot watch; one that exists already stays one.
    pub fn add(&mut self, conn: ConnId, kind: WatchKind, path: &str) {
        let _ = (conn, kind, path);
    }

    /// Forgets a connection.
    pub fn remove(&mut self, conn: ConnId) {
        let _ = conn;
    }

    /// Fires what a change fires, in the order of section 6.3; `ids` gives the identities of a connection, for the
    /// filter of section 6.4. A watch that is filtered is consumed all the same.
    pub fn fire<'a>(
        &mut self,
        change: &Change,
        zxid: Zxid,
        state: &State,
        ids: impl Fn(ConnId) -> &'a [Id],
        events: &mut Vec<(ConnId, WatchedEvent)>,
    ) {
        let _ = (change, zxid, state, ids, events);
    }

    /// Connections, paths and watches in the data table, as `wchs` counts them.
    pub fn summary(&self) -> (usize, usize, usize) {
        (0, 0, 0)
    }

    /// Watches in both tables.
    pub fn count(&self) -> usize {
        0
    }
}
