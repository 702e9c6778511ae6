//! The sessions as replicated state. Whether a client is alive is not known here.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::hash::{hash64, words64};
use crate::ids::SessionId;
use crate::state::overlay::{Next, Overlay};
use crate::state::{FreezeId, Session};

/// All open sessions.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    open: BTreeMap<SessionId, Session>,
    digest: u64,
    frozen: Vec<(FreezeId, Overlay<SessionId, Session>)>,
}

impl Sessions {
    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.open.get(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.open.iter().map(|(&id, session)| (id, session))
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Opens a session, or replaces what is known of it.
    pub(super) fn put(&mut self, id: SessionId, session: Session) {
        self.preserve(id);
        self.digest = self.digest.wrapping_add(session_hash(id, &session));
        if let Some(before) = self.open.insert(id, session) {
            self.digest = self.digest.wrapping_sub(session_hash(id, &before));
        }
    }

    pub(super) fn remove(&mut self, id: SessionId) {
        self.preserve(id);
        let session = self.open.remove(&id).expect("only open sessions end");
        self.digest = self.digest.wrapping_sub(session_hash(id, &session));
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// The slow twin of [`Sessions::digest`].
    pub(super) fn digest_from_scratch(&self) -> u64 {
        self.iter().fold(0, |digest: u64, (id, session)| digest.wrapping_add(session_hash(id, session)))
    }

    pub(super) fn freeze(&mut self, id: FreezeId) {
        self.frozen.push((id, Overlay::new()));
    }

    pub(super) fn thaw(&mut self, id: FreezeId) {
        self.frozen.retain(|(frozen, _)| *frozen != id);
    }

    /// The next session, by id, as it was when the freeze began.
    pub(super) fn next_frozen(&mut self, id: FreezeId) -> Option<(SessionId, Session)> {
        let Sessions { open, frozen, .. } = self;
        let (_, overlay) =
            frozen.iter_mut().find(|(frozen, _)| *frozen == id).expect("frozen and not thawed");
        loop {
            let after = overlay.passed().map_or(Bound::Unbounded, Bound::Excluded);
            let live = open.range((after, Bound::Unbounded)).next();
            match overlay.advance(live.map(|(&id, _)| id))? {
                Next::Live(_) => return live.map(|(&id, session)| (id, session.clone())),
                Next::Before(id, Some(session)) => return Some((id, *session)),
                Next::Before(_, None) => {}
            }
        }
    }

    fn preserve(&mut self, id: SessionId) {
        for (_, overlay) in &mut self.frozen {
            overlay.preserve(id, || self.open.get(&id).cloned());
        }
    }
}

fn session_hash(id: SessionId, session: &Session) -> u64 {
    let Session { password, timeout_ms, owner } = session;
    let password = hash64(0, password);
    let peer = u64::from(owner.peer.0);
    words64(1, [id.0 as u64, password, *timeout_ms as u64, peer, owner.stream, owner.number])
}
