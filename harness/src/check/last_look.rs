//! The last look, when everybody has come to rest: every node holds exactly what the model holds.

use vivarium_core::Node;
use vivarium_sim::Violation;
use vivarium_sim::world::peer_id;

use super::model::Model;
use super::order::History;
use super::violation;

/// Compares every node with the model.
pub(super) fn look(nodes: &[&Node], history: &History, model: &Model) -> Result<(), Box<Violation>> {
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
        for (number, view) in model.nodes() {
            let path = model.name(number);
            let node = state.whole(path);
            let same = node.as_ref().is_some_and(|node| {
                (node.data, &node.stat) == (&view.data, &view.stat)
                    && node.acl == model.acl(view)
                    && model.had_children(number, model.applied(), &node.children)
            });
            if !same {
                return differs(
                    format!("{path:?} is {node:?}"),
                    format!("{view:?}, with the ACL {:?}", model.acl(view)),
                );
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
