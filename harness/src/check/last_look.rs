//! The last look, when everybody has come to rest: every node holds exactly what the model holds.

use vivarium_core::Node;
use vivarium_core::api::Id;
use vivarium_sim::Violation;
use vivarium_sim::world::peer_id;

use super::model::Model;
use super::order::History;
use super::violation;

/// Compares every node with the model.
pub(super) fn look(nodes: &[&Node], history: &History, model: &Model) -> Result<(), Box<Violation>> {
    let nobody_is_refused = [Id { scheme: "super".into(), id: String::new() }];
    for (index, node) in nodes.iter().enumerate() {
        let who = peer_id(index);
        let differs = |seen: String, expected: String| {
            violation(
                "nothing-lost",
                "in the end every node holds all that was ever acknowledged, and nothing else",
                format!("node {who}: {seen}"),
                expected,
            )
        };
        let applied = node.status().applied;
        if applied != history.last() {
            return differs(format!("has executed up to {applied:?}"), format!("{:?}", history.last()));
        }
        let state = node.state();
        if history.digest().is_some_and(|digest| digest != state.digest()) {
            return differs(format!("digest {:016x}", state.digest()), format!("{:016x?}", history.digest()));
        }
        // Every list of children is compared, so a node that the model does not have is seen in its parent's list.
        for (path, view) in model.nodes() {
            let data = state.get_data(path, &nobody_is_refused);
            let children = state.get_children(path, &nobody_is_refused).map(|(names, _)| names);
            let acl = state.get_acl(path, &nobody_is_refused).map(|(acl, _)| acl);
            let same = data.as_ref().is_ok_and(|(data, stat)| (data, stat) == (&view.data, &view.stat))
                && children.as_ref().is_ok_and(|names| model.children(view).eq(names.iter()))
                && acl.as_ref().is_ok_and(|acl| acl[..] == *view.acl());
            if !same {
                return differs(format!("{path:?} is {data:?}, {children:?}, {acl:?}"), format!("{view:?}"));
            }
        }
        let seen: Vec<_> = state.sessions().map(|(id, s)| (id, s.timeout_ms, s.owner)).collect();
        let expected: Vec<_> = model.sessions().map(|(id, s)| (*id, s.timeout_ms, s.owner)).collect();
        if seen != expected {
            return differs(format!("sessions {seen:?}"), format!("{expected:?}"));
        }
    }
    Ok(())
}
