//! Something for each of a handful of peers. An ensemble is small and its members are fixed: a row that is walked from its
//! start finds a peer in a few instructions, and the whole of it is walked at every step of a leader.

use crate::ids::PeerId;

/// One value for each peer, ascending.
#[derive(Clone, Debug)]
pub(super) struct ByPeer<T>(Vec<(PeerId, T)>);

impl<T> ByPeer<T> {
    pub(super) fn get(&self, peer: PeerId) -> Option<&T> {
        self.0.iter().find(|(other, _)| *other == peer).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, peer: PeerId) -> Option<&mut T> {
        self.0.iter_mut().find(|(other, _)| *other == peer).map(|(_, value)| value)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerId, &T)> {
        self.0.iter().map(|(peer, value)| (*peer, value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (PeerId, &mut T)> {
        self.0.iter_mut().map(|(peer, value)| (*peer, value))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().map(|(_, value)| value)
    }
}

impl<T> FromIterator<(PeerId, T)> for ByPeer<T> {
    fn from_iter<I: IntoIterator<Item = (PeerId, T)>>(values: I) -> ByPeer<T> {
        let values = Vec::from_iter(values);
        assert!(values.is_sorted_by(|(one, _), (other, _)| one < other), "each peer has one value, in order");
        ByPeer(values)
    }
}
