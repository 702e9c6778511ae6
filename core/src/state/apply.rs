//! Executing entries: sessions begin, move and end here, and requests are let through to `writes`.
//!
//! Every entry moves `applied`. One that fails moves nothing else.

use crate::api::{EventKind, Response};
use crate::entry::{Body, Command, Entry, Write};
use crate::error::ErrorCode;
use crate::ids::{Origin, SessionId};
use crate::state::writes::Context;
use crate::state::{Change, Outcome, Session, State};

impl State {
    /// Executes an entry. Appends what watches have to see to `changes`.
    ///
    /// # Panics
    /// When the entry is not after the last one applied: the order is broken.
    pub fn apply(&mut self, entry: &Entry, changes: &mut Vec<Change>) -> Outcome {
        assert!(entry.zxid > self.applied, "{} comes after {}", self.applied, entry.zxid);
        self.applied = entry.zxid;
        match &entry.body {
            Body::Opening => Outcome { result: Ok(Response::Empty), ended: None },
            Body::Command(Command::CreateSession { session, password, timeout_ms }) => {
                let new = Session { password: *password, timeout_ms: *timeout_ms, owner: entry.origin };
                answered(self.open(*session, new))
            }
            Body::Command(Command::Attach { session, password, timeout_ms }) => {
                let moved = Session { password: *password, timeout_ms: *timeout_ms, owner: entry.origin };
                answered(self.attach(*session, moved))
            }
            Body::Command(Command::Expire { session, owner }) => {
                if self.admit(*session, *owner).is_err() {
                    return Outcome { result: Ok(Response::Empty), ended: None };
                }
                self.close(*session, changes)
            }
            Body::Command(Command::Request { session, owner, ids, write }) => {
                if let Err(error) = self.admit(*session, *owner) {
                    return Outcome { result: Err(error), ended: None };
                }
                let context =
                    Context { zxid: entry.zxid, time: entry.time.0, session: *session, ids: ids.as_ref() };
                answered(match write {
                    Write::Create(create) => self.create_answered(&context, create, changes),
                    Write::Delete { path, version } => self.delete(&context, path, *version, changes),
                    Write::SetData { path, data, version } => {
                        self.set_data(&context, path, data, *version, changes).map(Response::Stat)
                    }
                    Write::SetAcl { path, acl, version } => {
                        self.set_acl(&context, path, acl.as_deref(), *version).map(Response::Stat)
                    }
                    Write::Multi(items) => Ok(Response::Multi(self.multi(&context, items, changes))),
                    Write::Close => return self.close(*session, changes),
                    Write::Fail(error) => Err(*error),
                })
            }
        }
    }

    fn open(&mut self, id: SessionId, session: Session) -> Result<Response, ErrorCode> {
        if self.sessions.get(id).is_some() {
            return Err(ErrorCode::NodeExists);
        }
        self.sessions.put(id, session);
        Ok(Response::Empty)
    }

    fn attach(&mut self, id: SessionId, session: Session) -> Result<Response, ErrorCode> {
        if self.sessions.get(id).is_none_or(|known| known.password != session.password) {
            return Err(ErrorCode::SessionExpired);
        }
        self.sessions.put(id, session);
        Ok(Response::Empty)
    }

    /// Whether a session is open and still attached where `owner` says.
    fn admit(&self, id: SessionId, owner: Origin) -> Result<(), ErrorCode> {
        match self.sessions.get(id) {
            None => Err(ErrorCode::SessionExpired),
            Some(session) if session.owner != owner => Err(ErrorCode::SessionMoved),
            Some(_) => Ok(()),
        }
    }

    /// Ends a session and removes its ephemerals, by path, all with the zxid of this entry.
    fn close(&mut self, id: SessionId, changes: &mut Vec<Change>) -> Outcome {
        for (path, slot) in self.tree.ephemerals(id.0) {
            changes.push(self.change(EventKind::NodeDeleted, &path, slot));
            self.tree.remove(slot, self.applied);
        }
        self.sessions.remove(id);
        Outcome { result: Ok(Response::Empty), ended: Some(id) }
    }
}

fn answered(result: Result<Response, ErrorCode>) -> Outcome {
    Outcome { result, ended: None }
}
