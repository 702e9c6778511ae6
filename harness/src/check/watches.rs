//! Watches of one connection: each fires exactly once, for the first change after it was set, and before any reply that
//! knows of that change.

use vivarium_core::api::{EventKind, Id, WatchedEvent};
use vivarium_core::ids::Zxid;
use vivarium_sim::Violation;

use super::model::{Model, Path};
use super::violation;

/// The watches that a connection has set and not seen fire.
#[derive(Clone, Debug, Default)]
pub struct Watches {
    set: Vec<Watch>,
    /// The number of the last trigger that was told.
    told: u32,
    /// How many triggers there were when a reply last found nothing due; from then on only new ones count.
    looked: u32,
}

/// A watch.
#[derive(Clone, Debug)]
struct Watch {
    path: Path,
    child: bool,
    /// The zxid of the reply that confirmed it.
    since: Zxid,
    /// Who the client was known to be by then, as the number of its identities: what they may read, it must be told.
    ids: usize,
}

const MEANING: &str =
    "a watch fires once, for the first change after it was set, and before any reply that knows of it";

impl Watches {
    /// Forgets them all.
    pub fn clear(&mut self) {
        self.set.clear();
        self.told = 0;
        self.looked = 0;
    }

    /// A reply at this zxid confirms a watch on a path's data or, `child`, its children.
    /// `ids` is how many identities the client has by then.
    pub fn add(&mut self, path: Path, child: bool, since: Zxid, ids: usize) {
        if !self.set.iter().any(|watch| (watch.path, watch.child) == (path, child)) {
            self.set.push(Watch { path, child, since, ids });
            self.looked = 0;
        }
    }

    /// A notification of a change came. `ids` is whom the client may be by now.
    pub fn notified(
        &mut self,
        event: &WatchedEvent,
        ids: &[Id],
        model: &mut Model,
    ) -> Result<(), Box<Violation>> {
        let path = model.path(&event.path);
        let mut number = 0;
        self.set.retain(|watch| {
            if watch.path != path {
                return true;
            }
            let hit = model.first_trigger(path, watch.child, watch.since).filter(|trigger| {
                trigger.zxid.wire() == event.zxid && trigger.kind == event.kind && model.shows(trigger, ids)
            });
            number = hit.map_or(number, |trigger| trigger.number);
            hit.is_none()
        });
        if number == 0 {
            let set: Vec<_> = (self.set.iter().filter(|watch| watch.path == path))
                .map(|watch| (watch.child, watch.since, model.first_trigger(path, watch.child, watch.since)))
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
        if number <= self.told {
            return violation(
                "watch-order",
                "notifications come in the order of the history, and within a zxid in that of section 6.3",
                format!("{event:?}, change {number}, after one of change {}", self.told),
                "a later change".into(),
            );
        }
        self.told = number;
        Ok(())
    }

    /// A reply came that knows of all up to this zxid: nothing may be left to be told. `ids` is whom the client may be.
    #[inline]
    pub fn replied(&mut self, zxid: Zxid, ids: &[Id], model: &Model) -> Result<(), Box<Violation>> {
        if self.looked == model.triggered() {
            return Ok(());
        }
        if self.set.is_empty() {
            self.looked = model.triggered();
            return Ok(());
        }
        self.look(zxid, ids, model)
    }

    fn look(&mut self, zxid: Zxid, ids: &[Id], model: &Model) -> Result<(), Box<Violation>> {
        let mut later = false;
        let mut hidden = false;
        for watch in &self.set {
            let Some(trigger) = model.first_trigger(watch.path, watch.child, watch.since) else { continue };
            if trigger.zxid > zxid {
                later = true;
                continue;
            }
            if model.shows(trigger, &ids[..watch.ids]) {
                return violation(
                    "watch-before-data",
                    MEANING,
                    format!(
                        "a reply at {zxid:?}, and no notification of {:?} of {:?} at {:?}",
                        trigger.kind,
                        model.name(watch.path),
                        trigger.zxid
                    ),
                    format!("the notification first: the watch was set at {:?}", watch.since),
                );
            }
            hidden = true;
        }
        if hidden {
            // Not to be told, or perhaps not: the watch is spent either way.
            let spent = |watch: &Watch| {
                let trigger = model.first_trigger(watch.path, watch.child, watch.since);
                trigger.is_some_and(|trigger| trigger.zxid <= zxid)
            };
            self.set.retain(|watch| !spent(watch));
        }
        self.looked = if later { 0 } else { model.triggered() };
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
        model: &mut Model,
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
        let mut stat = |name: &String| {
            let path = model.path(name);
            model.at(path, zxid).map(|node| node.stat)
        };
        for path in data {
            let event = match stat(path) {
                None => Some(EventKind::NodeDeleted),
                Some(stat) if stat.mzxid.wire() > since => Some(EventKind::NodeDataChanged),
                Some(_) => None,
            };
            decide(path, event, false);
        }
        for path in exist {
            decide(path, stat(path).map(|_| EventKind::NodeCreated), false);
        }
        for path in child {
            let event = match stat(path) {
                None => Some(EventKind::NodeDeleted),
                Some(stat) if stat.pzxid.wire() > since => Some(EventKind::NodeChildrenChanged),
                Some(_) => None,
            };
            decide(path, event, true);
        }
        renewal
    }
}
