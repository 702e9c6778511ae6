//! What an answer has to be: the model's, at the zxid that the answer names.

use vivarium_core::api::{Id, Op, Reply, Response, perms};
use vivarium_core::error::ErrorCode;
use vivarium_core::ids::{ConnId, Zxid};
use vivarium_sim::client::workload::USERS;

use super::super::model::{Model, Outcome, Path};
use super::super::order::{self, History};
use super::super::violation;
use super::Checked;
use super::asked::{Asked, Lists, Wanted};

/// What a read is of, and which permission it needs, one of them (section 8.4).
pub(super) fn target(wanted: &Wanted) -> Option<(Path, i32)> {
    match wanted {
        Wanted::Exists { path, .. } | Wanted::Data { path, .. } | Wanted::Children { path, .. } => {
            Some((*path, perms::READ))
        }
        Wanted::Acl { path } => Some((*path, perms::READ | perms::ADMIN)),
        _ => None,
    }
}

/// Whether a read that was answered at some zxid has the result that it must have.
pub(super) fn sees(model: &Model, wanted: &Wanted, ids: &[Id], zxid: Zxid, result: &Outcome) -> bool {
    let Some((path, permission)) = target(wanted) else {
        return match (wanted, result) {
            (Wanted::Sync { path }, Ok(Response::Sync(echoed))) => {
                path.map(|path| model.name(path)) == echoed.as_deref()
            }
            (Wanted::Other(op), result) => match (&**op, result) {
                (Op::SetWatches { .. } | Op::Ping, Ok(Response::Empty)) => true,
                (Op::Malformed { .. }, Err(code)) => *code == ErrorCode::MarshallingError,
                _ => false,
            },
            _ => false,
        };
    };
    let Some(node) = model.at(path, zxid) else { return *result == Err(ErrorCode::NoNode) };
    if !model.allows(node, permission, ids) {
        return *result == Err(ErrorCode::NoAuth);
    }
    let Ok(response) = result else { return false };
    match (wanted, response) {
        (Wanted::Exists { .. }, Response::Stat(stat)) => *stat == node.stat,
        (Wanted::Data { .. }, Response::Data(data, stat)) => (data, stat) == (&node.data, &node.stat),
        (Wanted::Children { stat: false, .. }, Response::Children(names)) => {
            model.had_children(path, zxid, names)
        }
        (Wanted::Children { stat: true, .. }, Response::ChildrenStat(names, stat)) => {
            *stat == node.stat && model.had_children(path, zxid, names)
        }
        (Wanted::Acl { .. }, Response::Acl(acl, stat)) => {
            *stat == node.stat && acl[..] == model.acl_for(node, ids)[..]
        }
        _ => false,
    }
}

/// A write's reply names an entry of the history: this very write, with the outcome that the model gives it. That it
/// comes after all that had been answered when it was asked follows: it was asked before it was first executed.
pub(super) fn check_write(
    conn: ConnId,
    asked: &Asked,
    reply: &Reply,
    history: &mut History,
    position: order::Position,
    model: &Model,
    lists: &Lists,
) -> Checked {
    let twice = position > 0 && history.answer(position);
    let Some(record) = history.executed_at(position) else {
        return violation(
            "writes",
            "the answer to a write names its entry in the history",
            format!("{reply:?} to {:?}", asked.wanted.op(model, lists)),
            "the zxid of an entry".into(),
        );
    };
    if twice || record.asked != Some(order::Asked { conn, number: asked.write }) {
        return violation(
            "writes",
            "the answer to a write names its entry in the history, and no entry answers two",
            format!(
                "{reply:?} to {:?}, {conn:?}'s write {}, names {:?}",
                asked.wanted.op(model, lists),
                asked.write,
                record.entry
            ),
            format!("the zxid of that very write; this one is {:?}", record.asked),
        );
    }
    if !model.is_told(&record.told, &reply.result) || reply.result == Err(ErrorCode::SessionMoved) {
        return violation(
            "writes-linearizable",
            "a write has the outcome that it has when the history is executed one by one",
            format!("{reply:?} to {:?}, entry {:?}", asked.wanted.op(model, lists), record.entry),
            format!("{:?}", model.outcome(&record.told)),
        );
    }
    Ok(())
}

/// The answer to a request that is not for the tree.
pub(super) fn expect_exactly(reply: &Reply, zxid: i64, result: &Outcome, op: &Op) -> Checked {
    if reply.zxid == zxid && reply.result == *result {
        return Ok(());
    }
    violation(
        "reads",
        "a request that is not for the tree has its one answer",
        format!("{reply:?} to {op:?}"),
        format!("zxid {zxid}, {result:?}"),
    )
}

/// Whether a request is an entry of the order.
pub(super) fn is_write(op: &Op) -> bool {
    match op {
        Op::Create(_)
        | Op::Delete { .. }
        | Op::SetData { .. }
        | Op::SetAcl { .. }
        | Op::Multi(_)
        | Op::CloseSession
        | Op::Malformed { write: true } => true,
        Op::Exists { .. }
        | Op::GetData { .. }
        | Op::GetAcl { .. }
        | Op::GetChildren { .. }
        | Op::Sync { .. }
        | Op::Ping
        | Op::Auth { .. }
        | Op::SetWatches { .. }
        | Op::Malformed { write: false }
        | Op::Unknown { .. } => false,
    }
}

/// Whether two clients are the same people.
pub(super) fn same_ids(some: &[Id], others: &[Id]) -> bool {
    some.len() == others.len() && some.iter().all(|id| others.contains(id))
}

/// The user whose an auth packet is, if it is one's.
pub(super) fn proves(op: &Op) -> Option<usize> {
    let Op::Auth { scheme: Some(scheme), token: Some(token) } = op else { return None };
    USERS.iter().position(|(user, _)| scheme == "digest" && user.as_bytes() == &token[..])
}

/// The identities that an auth packet proves; `None` when it proves nothing, or is none.
pub(super) fn identities(op: &Op, superuser: bool) -> Option<Vec<Id>> {
    let user = proves(op)?;
    let mut ids = vec![Id { scheme: "digest".into(), id: USERS[user].1.into() }];
    if superuser && user == 1 {
        ids.push(Id { scheme: "super".into(), id: String::new() });
    }
    Some(ids)
}
