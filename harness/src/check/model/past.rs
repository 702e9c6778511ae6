//! How things looked at some zxid, and what has fired watches since.

use std::borrow::Cow;

use vivarium_core::api::{EventKind, Id, Stat, perms};
use vivarium_core::ids::Zxid;

use super::{Fired, Model, NAMELESS, Names, Node, Path, Place, ROOT};

/// The place of something in a table, or of nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link(u32);

/// How a path looked from some zxid on.
#[derive(Clone, Debug)]
pub(super) struct Version {
    since: Zxid,
    path: Path,
    before: Link,
    /// `None`: it did not exist.
    node: Option<Node>,
}

/// A list of children has changed.
#[derive(Clone, Debug)]
pub(super) struct Shift {
    zxid: Zxid,
    parent: Path,
    child: Path,
    added: bool,
    before: Link,
}

/// Something that fires watches of one path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trigger {
    /// When.
    pub zxid: Zxid,
    /// Its place among all triggers: within a zxid they come in the order of section 6.3.
    pub number: u32,
    /// As what.
    pub kind: EventKind,
    /// Whose ACL says who may see it.
    version: Link,
    before: Link,
}

impl Link {
    pub(super) const NONE: Link = Link(0);

    fn to(index: usize) -> Link {
        Link(index as u32 + 1)
    }

    /// The number of what it leads to.
    #[inline]
    fn index(self) -> Option<usize> {
        (self.0 as usize).checked_sub(1)
    }
}

impl Model {
    /// How a path looked right after this zxid.
    pub fn at(&self, path: Path, zxid: Zxid) -> Option<&Node> {
        let mut link = self.place(real(path)).newest;
        while let Some(index) = link.index() {
            let version = &self.versions[index];
            if version.since <= zxid {
                return version.node.as_ref();
            }
            link = version.before;
        }
        None
    }

    /// All nodes that exist now, with their paths.
    pub fn nodes(&self) -> impl Iterator<Item = (Path, &Node)> {
        let paths = (0..self.places.len()).map(|number| Path(number as u32));
        paths.filter_map(|path| Some((path, self.now(path)?)))
    }

    /// The children of a path right after this zxid, by name.
    pub fn children(&self, path: Path, zxid: Zxid) -> Cow<'_, [Path]> {
        let place = self.place(real(path));
        let mut children = Cow::Borrowed(&place.children[..]);
        let mut link = place.shifted;
        while let Some(index) = link.index() {
            let shift = &self.shifts[index];
            if shift.zxid <= zxid {
                break;
            }
            move_child(&self.names, children.to_mut(), shift.child, !shift.added);
            link = shift.before;
        }
        children
    }

    /// Whether these were the names of a path's children right after this zxid, in order.
    pub fn had_children(&self, path: Path, zxid: Zxid, names: &[impl AsRef<str>]) -> bool {
        let children = self.children(path, zxid);
        children.len() == names.len()
            && children.iter().zip(names).all(|(child, name)| self.last_part(path, *child) == name.as_ref())
    }

    /// The last part of a child's name.
    pub fn last_part(&self, parent: Path, child: Path) -> &str {
        let prefix = if real(parent) == ROOT { 1 } else { self.name(parent).len() + 1 };
        &self.name(child)[prefix..]
    }

    /// The first thing after this zxid, if there was any, that would fire a watch on the path's data (or, `child`, on
    /// its list of children). There are not many: they are told soon.
    pub fn first_trigger(&self, path: Path, child: bool, after: Zxid) -> Option<&Trigger> {
        let mut link = self.place(path).fired[usize::from(child)];
        let mut first = None;
        while let Some(index) = link.index() {
            let trigger = &self.triggers[index];
            if trigger.zxid <= after {
                break;
            }
            first = Some(trigger);
            link = trigger.before;
        }
        first
    }

    /// Whether someone with these identities may see it.
    pub fn shows(&self, trigger: &Trigger, ids: &[Id]) -> bool {
        let node = self.node_of(trigger.version).expect("a node that was there has fired");
        self.allows(node, perms::READ, ids)
    }

    /// How many things there were that fire watches: while this stays, none has fired.
    pub fn triggered(&self) -> u32 {
        self.triggered
    }

    #[inline]
    pub(super) fn place(&self, path: Path) -> &Place {
        &self.places[path.0 as usize]
    }

    /// A node as it is now.
    #[inline]
    pub(super) fn now(&self, path: Path) -> Option<&Node> {
        self.node_of(self.place(path).newest)
    }

    pub(super) fn stat_of(&self, version: Link) -> &Stat {
        &self.node_of(version).expect("a version with a node").stat
    }

    #[inline]
    fn node_of(&self, version: Link) -> Option<&Node> {
        self.versions[version.index()?].node.as_ref()
    }

    /// A node looks like this from now on.
    pub(super) fn put(&mut self, path: Path, node: Option<Node>) -> Link {
        self.changed = true;
        let place = &mut self.places[path.0 as usize];
        let version = Version { since: self.applied, path, before: place.newest, node };
        place.newest = Link::to(self.versions.push(version));
        place.newest
    }

    /// A path has a child more, or one less, from now on. Returns how many it has.
    pub(super) fn shift(&mut self, parent: Path, child: Path, added: bool) -> usize {
        let place = &mut self.places[parent.0 as usize];
        let shift = Shift { zxid: self.applied, parent, child, added, before: place.shifted };
        place.shifted = Link::to(self.shifts.push(shift));
        move_child(&self.names, &mut place.children, child, added);
        place.children.len()
    }

    /// Nothing of the present entry has happened.
    pub(super) fn take_back(&mut self) {
        while self.versions.last().is_some_and(|version| version.since == self.applied) {
            let version = self.versions.pop().expect("there is a last one");
            self.places[version.path.0 as usize].newest = version.before;
        }
        while self.shifts.last().is_some_and(|shift| shift.zxid == self.applied) {
            let shift = self.shifts.pop().expect("there is a last one");
            let place = &mut self.places[shift.parent.0 as usize];
            place.shifted = shift.before;
            move_child(&self.names, &mut place.children, shift.child, !shift.added);
        }
        self.fired.clear();
        self.changed = false;
    }

    /// Something happens to a path that fires watches, if the whole entry does.
    pub(super) fn fire(&mut self, path: Path, kind: EventKind, version: Link) {
        self.fired.push(Fired { path, kind, version });
    }

    /// Writes down what the entry has fired.
    pub(super) fn fire_all(&mut self) {
        for Fired { path, kind, version } in self.fired.drain(..) {
            self.triggered += 1;
            let chains: &[usize] = match kind {
                EventKind::NodeCreated | EventKind::NodeDataChanged => &[0],
                EventKind::NodeChildrenChanged => &[1],
                EventKind::NodeDeleted => &[0, 1],
            };
            let place = &mut self.places[path.0 as usize];
            for chain in chains {
                let before = place.fired[*chain];
                let trigger = Trigger { zxid: self.applied, number: self.triggered, kind, version, before };
                place.fired[*chain] = Link::to(self.triggers.push(trigger));
            }
        }
    }
}

/// The path that is meant when this one is read.
#[inline]
fn real(path: Path) -> Path {
    if path == NAMELESS { ROOT } else { path }
}

/// Puts a child into a list that is sorted by name, or takes it out.
fn move_child(names: &Names, children: &mut Vec<Path>, child: Path, added: bool) {
    let name = names.get(child.0);
    // What is numbered comes last, most often.
    let place = match children.last() {
        Some(last) if names.get(last.0) >= name => {
            children.partition_point(|other| names.get(other.0) < name)
        }
        _ => children.len(),
    };
    if added {
        children.insert(place, child);
    } else {
        let gone = children.remove(place);
        assert_eq!(gone, child, "only a child is taken out");
    }
}
