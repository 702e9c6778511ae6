//! Watches of this server's connections: not replicated, gone with the connection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::api::{Acl, EventKind, Id, WatchedEvent};
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
#[derive(Clone, Debug, Default)]
pub struct WatchTable {
    data: Table,
    child: Table,
}

/// Watches of one kind, found from either side. No path and no connection is kept without a watch.
#[derive(Clone, Debug, Default)]
struct Table {
    /// Connections ascending.
    by_path: BTreeMap<Arc<str>, Vec<ConnId>>,
    by_conn: BTreeMap<ConnId, BTreeSet<Arc<str>>>,
    count: usize,
}

impl WatchTable {
    /// Adds a one-shot watch; one that exists already stays one.
    pub fn add(&mut self, conn: ConnId, kind: WatchKind, path: &str) {
        match kind {
            WatchKind::Data => self.data.add(conn, path),
            WatchKind::Child => self.child.add(conn, path),
        }
    }

    /// Forgets a connection.
    pub fn remove(&mut self, conn: ConnId) {
        self.data.remove(conn);
        self.child.remove(conn);
    }

    /// Fires what a change fires, in the order of section 6.3 and by connection within each table; `ids` gives the
    /// identities of a connection, for the filter of section 6.4. A watch that is filtered is consumed all the same.
    pub fn fire<'a>(
        &mut self,
        change: &Change,
        zxid: Zxid,
        state: &State,
        ids: impl Fn(ConnId) -> &'a [Id],
        events: &mut Vec<(ConnId, WatchedEvent)>,
    ) {
        let mut tell = |conns: &[ConnId], kind: EventKind, path: &Arc<str>, acl: &[Acl]| {
            let told = conns.iter().filter(|&&conn| state.may_read(acl, ids(conn)));
            let event = WatchedEvent { kind, path: path.clone(), zxid: zxid.wire() };
            events.extend(told.map(|&conn| (conn, event.clone())));
        };
        let watchers = self.data.take(&change.path);
        tell(&watchers, change.kind, &change.path, &change.acl);
        if change.kind == EventKind::NodeDeleted {
            // One event for those who watch both, and none at all when it was filtered: the ACL is the same.
            let mut others = self.child.take(&change.path);
            others.retain(|conn| watchers.binary_search(conn).is_err());
            tell(&others, change.kind, &change.path, &change.acl);
        }
        if let Some(parent_acl) = &change.parent_acl {
            let parent = match change.path.rfind('/') {
                None | Some(0) => "/",
                Some(slash) => &change.path[..slash],
            };
            let watchers = self.child.take(parent);
            if !watchers.is_empty() {
                tell(&watchers, EventKind::NodeChildrenChanged, &parent.into(), parent_acl);
            }
        }
    }

    /// Connections, paths and watches in the data table, as `wchs` counts them.
    pub fn summary(&self) -> (usize, usize, usize) {
        (self.data.by_conn.len(), self.data.by_path.len(), self.data.count)
    }

    /// Watches in both tables.
    pub fn count(&self) -> usize {
        self.data.count + self.child.count
    }
}

impl Table {
    fn add(&mut self, conn: ConnId, path: &str) {
        let path = match self.by_path.get_key_value(path) {
            Some((path, _)) => path.clone(),
            None => path.into(),
        };
        if !self.by_conn.entry(conn).or_default().insert(path.clone()) {
            return;
        }
        let conns = self.by_path.entry(path).or_default();
        let place = conns.binary_search(&conn).expect_err("both sides know the same watches");
        conns.insert(place, conn);
        self.count += 1;
    }

    fn remove(&mut self, conn: ConnId) {
        for path in self.by_conn.remove(&conn).unwrap_or_default() {
            let conns = self.by_path.get_mut(&path).expect("both sides know the same watches");
            let place = conns.binary_search(&conn).expect("both sides know the same watches");
            conns.remove(place);
            if conns.is_empty() {
                self.by_path.remove(&path);
            }
            self.count -= 1;
        }
    }

    /// Removes the watches on a path.
    fn take(&mut self, path: &str) -> Vec<ConnId> {
        let conns = self.by_path.remove(path).unwrap_or_default();
        for conn in &conns {
            let paths = self.by_conn.get_mut(conn).expect("both sides know the same watches");
            assert!(paths.remove(path), "both sides know the same watches");
            if paths.is_empty() {
                self.by_conn.remove(conn);
            }
        }
        self.count -= conns.len();
        conns
    }
}
