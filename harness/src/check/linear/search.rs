//! The search (after Wing and Gong, with the memory of Lowe): depth first over the order of writes.
//!
//! What changes nothing (reads, syncs, writes that fail) is taken as soon as it fits: taken earlier it only lifts what it
//! holds back. So the search branches where writes overlap, and remembers the states that it has been in.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use vivarium_core::api::Op;
use vivarium_core::ids::SessionId;

use super::tree::{Tree, agrees};
use super::{Invocation, What};

/// What a search comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// There is an order that explains everything.
    Explained,
    /// There is none; where the longest attempt got stuck.
    Impossible(String),
    /// It takes too long to say.
    Undetermined,
}

/// How far an attempt is: the next invocation of each session, and the tree.
#[derive(Clone)]
struct State {
    next: Vec<u32>,
    tree: Rc<Tree>,
}

/// Looks for an order of what the sessions did that explains what they saw. Each session's invocations are in the order
/// in which they were asked, and so answered.
pub fn search(history: &[(SessionId, Vec<Invocation>)], steps_max: usize) -> Verdict {
    let start = State { next: vec![0; history.len()], tree: Rc::new(Tree::new()) };
    let mut been = HashSet::new();
    let mut attempts = vec![start];
    let mut steps = 0;
    let mut longest: Option<State> = None;
    while let Some(mut state) = attempts.pop() {
        steps += 1;
        if steps > steps_max {
            return Verdict::Undetermined;
        }
        settle(history, &mut state);
        if waiting(history, &state).next().is_none() {
            return Verdict::Explained;
        }
        if !been.insert(state.key()) {
            continue;
        }
        let length = |state: &State| state.next.iter().sum::<u32>();
        if longest.as_ref().is_none_or(|longest| length(longest) < length(&state)) {
            longest = Some(state.clone());
        }
        // The last one pushed is tried first: of those that are answered the one whose answer says that it was first.
        let mut candidates = writes(history, &state);
        candidates.sort_by_key(|(hint, ..)| std::cmp::Reverse(*hint));
        for (_, session, next, tree) in candidates {
            let mut after = State { next: state.next.clone(), tree: Rc::new(tree) };
            after.next[session] = next;
            attempts.push(after);
        }
    }
    let stuck = longest.map(|state| {
        let heads = waiting(history, &state).take(8).map(|(session, invocation)| {
            format!("session {:?} was answered {invocation:?}", history[session].0)
        });
        heads.collect::<Vec<_>>().join("; ")
    });
    Verdict::Impossible(format!("nothing explains, all at once: {}", stuck.unwrap_or_default()))
}

/// The next answered invocation of each session that has one.
fn waiting<'a>(
    history: &'a [(SessionId, Vec<Invocation>)],
    state: &'a State,
) -> impl Iterator<Item = (usize, &'a Invocation)> {
    let next = |(session, (_, invocations)): (usize, &'a (SessionId, Vec<Invocation>))| {
        let rest = &invocations[state.next[session] as usize..];
        rest.iter().find(|invocation| invocation.answer.is_some()).map(|invocation| (session, invocation))
    };
    history.iter().enumerate().filter_map(next)
}

/// Nothing that was asked after this can have happened before what is still waiting.
fn horizon(history: &[(SessionId, Vec<Invocation>)], state: &State) -> u32 {
    let answered = |(_, invocation): (usize, &Invocation)| invocation.answer.as_ref().map(|(at, _)| *at);
    waiting(history, state).filter_map(answered).min().unwrap_or(u32::MAX)
}

fn is_read(what: &What) -> bool {
    matches!(what, What::Op(Op::Exists { .. } | Op::GetData { .. } | Op::GetChildren { .. }))
}

/// Takes all that fits and changes nothing.
fn settle(history: &[(SessionId, Vec<Invocation>)], state: &mut State) {
    loop {
        let mut moved = false;
        for (session, (id, invocations)) in history.iter().enumerate() {
            loop {
                let horizon = horizon(history, state);
                let first = state.next[session] as usize;
                // Unanswered ones before it never happen, if it is taken: try that only when they are none.
                let Some(invocation) = invocations.get(first) else { break };
                let Some((_, seen)) = &invocation.answer else { break };
                if !is_read(&invocation.what) && invocation.asked >= horizon {
                    break;
                }
                let (changed, expected) = state.tree.after(*id, &invocation.what);
                if changed.is_some() || !agrees(seen, &expected) {
                    break;
                }
                state.next[session] += 1;
                moved = true;
            }
        }
        if !moved {
            return;
        }
    }
}

/// What may come next and makes a difference: what was answered so, or was not answered; with what comes of it.
fn writes(history: &[(SessionId, Vec<Invocation>)], state: &State) -> Vec<(i64, usize, u32, Tree)> {
    let horizon = horizon(history, state);
    let mut candidates = Vec::new();
    for (session, (id, invocations)) in history.iter().enumerate() {
        let first = state.next[session] as usize;
        for (index, invocation) in invocations.iter().enumerate().skip(first) {
            let in_time = is_read(&invocation.what) || invocation.asked < horizon;
            let (changed, expected) = state.tree.after(*id, &invocation.what);
            let next = index as u32 + 1;
            match &invocation.answer {
                None => {
                    if in_time && let Some(tree) = changed {
                        candidates.push((invocation.hint, session, next, tree));
                    }
                }
                Some((_, seen)) => {
                    if in_time && agrees(seen, &expected) && (changed.is_some() || index > first) {
                        let tree = changed.unwrap_or_else(|| (*state.tree).clone());
                        candidates.push((invocation.hint, session, next, tree));
                    }
                    break;
                }
            }
        }
    }
    candidates
}

impl State {
    fn key(&self) -> (Vec<u32>, u64) {
        let mut hasher = DefaultHasher::new();
        self.tree.hash(&mut hasher);
        (self.next.clone(), hasher.finish())
    }
}
