//! A client that does what is listed, and nothing else of its own will.

use std::collections::VecDeque;

use crate::Time;
use crate::choice::Act;

/// What a client does, where that is listed: then it does nothing else of its own will.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// What it asks and how it behaves, by time.
    pub(super) acts: VecDeque<(Time, Act)>,
    /// When it comes with a wrong password.
    pub(super) impersonations: VecDeque<Time>,
}

impl Script {
    /// The script of these acts. They come by time; those of one time in the order in which they are listed.
    pub fn new(acts: impl Iterator<Item = (Time, Act)>) -> Script {
        let mut single: Vec<(Time, Act)> = Vec::new();
        for (at, act) in acts {
            match act {
                Act::Repeat { op, times, every } => {
                    let moments =
                        (0..Time::from(times)).map(|nth| at.saturating_add(nth.saturating_mul(every)));
                    single.extend(moments.map(|at| (at, Act::Ask(op.clone()))));
                }
                act => single.push((at, act)),
            }
        }
        single.sort_by_key(|(at, _)| *at);
        let mut script = Script::default();
        for (at, act) in single {
            match act {
                Act::Impersonate => script.impersonations.push_back(at),
                act => script.acts.push_back((at, act)),
            }
        }
        script
    }
}

#[cfg(test)]
mod tests {
    use vivarium_core::api::Op;

    use super::*;

    #[test]
    fn what_is_repeated_comes_among_the_rest_by_time() {
        let ask = |path: &str| Act::Ask(Op::Sync { path: Some(path.into()) });
        let repeated = Act::Repeat { op: Op::Sync { path: Some("/r".into()) }, times: 3, every: 4 };
        let script = Script::new([(10, repeated), (14, ask("/a")), (5, Act::Drop)].into_iter());
        let expected = [(5, Act::Drop), (10, ask("/r")), (14, ask("/r")), (14, ask("/a")), (18, ask("/r"))];
        assert_eq!(script.acts, expected);
    }
}
