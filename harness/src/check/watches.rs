//! Watches of one connection: each fires exactly once, for the first change after it was set, and before any reply that
//! knows of that change.

use std::collections::BTreeMap;

use vivarium_core::api::{EventKind, Id, WatchedEvent, perms};
use vivarium_core::ids::Zxid;
use vivarium_sim::Violation;

use super::model::{Model, may};
use super::violation;

/// The watches that a connection has set and not seen fire.
#[derive(Clone, Debug, Default)]
pub struct Watches {
    set: BTreeMap<(String, bool), Set>,
    /// Zxid of the last notification.
    last: i64,
}

/// A watch.
#[derive(Clone, Debug)]
struct Set {
    /// The zxid of the reply that confirmed it.
    since: Zxid,
    /// Who the client was known to be by then: what they may read, it must be told.
    ids: Vec<Id>,
}

const MEANING: &str =
    "a watch fires once, for the first change after it was set, and before any reply that knows of it";

impl Watches {
    /// A reply at this zxid confirms a watch on a path's data or, `child`, its children.
    pub fn add(&mut self, path: &str, child: bool, since: Zxid, ids: &[Id]) {
        self.set.entry((path.to_owned(), child)).or_insert_with(|| Set { since, ids: ids.to_vec() });
    }

    /// A notification of a change came. `ids` is whom the client may be by now.
    pub fn notified(
        &mut self,
        event: &WatchedEvent,
        ids: &[Id],
        model: &Model,
    ) -> Result<(), Box<Violation>> {
        let path: &str = &event.path;
        let mut hits = Vec::new();
        for child in [false, true] {
            let key = (path.to_owned(), child);
            if let Some(watch) = self.set.get(&key)
                && let Some(trigger) = model.first_trigger(path, child, watch.since)
                && trigger.zxid.wire() == event.zxid
                && trigger.kind == event.kind
                && may(&trigger.acl, perms::READ, ids)
            {
                hits.push(key);
            }
        }
        if hits.is_empty() {
            let set: Vec<_> = [false, true]
                .into_iter()
                .filter_map(|child| {
                    let watch = self.set.get(&(path.to_owned(), child))?;
                    Some((child, watch.since, model.first_trigger(path, child, watch.since)))
                })
                .collect();
            return violation(
                "watch-once",
                MEANING,
                format!("{event:?}"),
                match set.is_empty() {
                    true => "nothing: no watch is set there".into(),
                    false => format!("an event of these watches (child, since, first change): {set:?}"),
                },
            );
        }
        if event.zxid < self.last {
            return violation(
                "watch-order",
                "notifications come in the order of the history",
                format!("{event:?} after one of zxid {:#x}", self.last),
                format!("nothing before {:#x}", self.last),
            );
        }
        self.last = event.zxid;
        for key in hits {
            self.set.remove(&key);
        }
        Ok(())
    }

    /// A reply came that knows of all up to this zxid: nothing may be left to be told.
    pub fn replied(&mut self, zxid: Zxid, model: &Model) -> Result<(), Box<Violation>> {
        let mut hidden = Vec::new();
        for ((path, child), watch) in &self.set {
            let Some(trigger) = model.first_trigger(path, *child, watch.since) else { continue };
            if trigger.zxid > zxid {
                continue;
            }
            if may(&trigger.acl, perms::READ, &watch.ids) {
                return violation(
                    "watch-before-data",
                    MEANING,
                    format!(
                        "a reply at {zxid:?}, and no notification of {:?} of {path:?} at {:?}",
                        trigger.kind, trigger.zxid
                    ),
                    format!("the notification first: the watch was set at {:?}", watch.since),
                );
            }
            // Not to be told, or perhaps not: the watch is spent either way.
            hidden.push((path.clone(), *child));
        }
        for key in hidden {
            self.set.remove(&key);
        }
        Ok(())
    }
}

/// What a setWatches that is executed at `zxid` must notify at once, in order, and which watches it sets (section 6.6).
#[derive(Debug, PartialEq, Eq)]
pub struct Renewal {
    /// Kinds and paths of the notifications.
    pub events: Vec<(EventKind, String)>,
    /// Paths, and whether of the list of children.
    pub set: Vec<(String, bool)>,
}

impl Renewal {
    /// What section 6.6 says.
    pub fn new(
        model: &Model,
        zxid: Zxid,
        since: i64,
        data: &[String],
        exist: &[String],
        child: &[String],
    ) -> Renewal {
        let mut renewal = Renewal { events: Vec::new(), set: Vec::new() };
        let mut decide = |path: &String, event: Option<EventKind>, child: bool| match event {
            Some(kind) => renewal.events.push((kind, path.clone())),
            None => renewal.set.push((path.clone(), child)),
        };
        for path in data {
            let event = match model.at(path, zxid) {
                None => Some(EventKind::NodeDeleted),
                Some(view) if view.stat.mzxid.wire() > since => Some(EventKind::NodeDataChanged),
                Some(_) => None,
            };
            decide(path, event, false);
        }
        for path in exist {
            decide(path, model.at(path, zxid).map(|_| EventKind::NodeCreated), false);
        }
        for path in child {
            let event = match model.at(path, zxid) {
                None => Some(EventKind::NodeDeleted),
                Some(view) if view.stat.pzxid.wire() > since => Some(EventKind::NodeChildrenChanged),
                Some(_) => None,
            };
            decide(path, event, true);
        }
        renewal
    }
}
