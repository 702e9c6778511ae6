//! Many small decisions as one that says the same: late messages of a link as a slow link, lost ones as a cut, slow syncs
//! as a slow disk, requests in a row as one that is repeated.

use vivarium_core::api::Op;
use vivarium_sim::choice::{Act, Luck, What};
use vivarium_sim::schedule::{Choices, Fault, FaultKind, Link, Target};
use vivarium_sim::{Choice, MS, Schedule, Time};

use super::search::Search;

/// A group of fewer than this stays as it is.
const GROUP_MIN: usize = 2;
/// So many of the requests in a row are tried as the one that is repeated,
const REQUESTS_MAX: usize = 4;
/// and one where there are more decisions than this: each try takes long then, and only the first is likely to do.
const MANY: usize = 60;
/// Each is tried in so many kinds of weather, that of the best first.
const WEATHERS: usize = 3;

/// Puts one decision in place of many, as long as that does.
pub fn gather(search: &mut Search<'_>) {
    while gather_luck(search) || gather_requests(search) {}
}

/// Whether two choices of luck could be parts of one fault.
pub fn alike(one: &Choice, two: &Choice) -> bool {
    match (&one.what, &two.what) {
        (What::Message { from, to, luck, .. }, What::Message { from: from2, to: to2, luck: luck2, .. }) => {
            (from, to, stops(luck)) == (from2, to2, stops(luck2))
        }
        (What::Sync { node, .. }, What::Sync { node: node2, .. }) => node == node2,
        _ => false,
    }
}

/// Whether a message never arrives as it was sent.
fn stops(luck: &Luck) -> bool {
    luck.lost || luck.corrupt
}

/// The fault that does about what these do, which are alike and in order; none for what is no luck.
pub fn as_fault<'a>(group: impl Iterator<Item = &'a Choice>) -> Option<Fault> {
    let group: Vec<&Choice> = group.collect();
    let (first, last) = (group.first()?, group.last()?);
    let length = last.at - first.at + MS;
    let extra = group.iter().map(|choice| extra(&choice.what)).max()?;
    let kind = match &first.what {
        What::Message { from, to, luck, .. } if stops(luck) => {
            FaultKind::CutLinks { links: vec![Link(*from, *to)], length }
        }
        What::Message { from, to, .. } => FaultKind::SlowLink { link: Link(*from, *to), extra, length },
        What::Sync { node, .. } => FaultKind::SlowDisk { target: Target::Node(*node), extra, length },
        What::Client { .. } => return None,
    };
    Some(Fault { at: first.at, kind })
}

fn extra(what: &What) -> Time {
    match what {
        What::Message { luck, .. } => luck.late.max(luck.again.unwrap_or(0)),
        What::Sync { extra, .. } => *extra,
        What::Client { .. } => 0,
    }
}

/// Groups of luck as faults: all at once, then each.
fn gather_luck(search: &mut Search<'_>) -> bool {
    let base = search.best();
    let mut groups: Vec<Vec<&Choice>> = Vec::new();
    for choice in base.listed().iter().filter(|choice| !matches!(choice.what, What::Client { .. })) {
        match groups.iter_mut().find(|group| alike(group[0], choice)) {
            Some(group) => group.push(choice),
            None => groups.push(vec![choice]),
        }
    }
    groups.retain(|group| group.len() >= GROUP_MIN);
    if groups.is_empty() {
        return false;
    }
    let gathered = |groups: &[Vec<&Choice>]| {
        let mut schedule = Schedule::clone(&base);
        schedule.faults.extend(groups.iter().filter_map(|group| as_fault(group.iter().copied())));
        schedule.faults.sort_by_key(|fault| fault.at);
        if let Choices::Listed(choices) = &mut schedule.choices {
            choices.retain(|choice| !groups.iter().flatten().any(|gone| *gone == choice));
        }
        schedule
    };
    let each = if base.decisions() > MANY { 0 } else { groups.len() };
    let adopted = search.adopt_first(WEATHERS + each, &|place| {
        if place < WEATHERS {
            return Some(in_weather(gathered(&groups), place));
        }
        let one = place - WEATHERS;
        Some(gathered(&groups[one..=one]))
    });
    adopted.is_some()
}

/// What a client asks as one request that is repeated, in as much time.
fn gather_requests(search: &mut Search<'_>) -> bool {
    for client in 0..search.best().clients.len() {
        let base = search.best();
        let asked: Vec<(Time, u32, &Op)> = base
            .listed()
            .iter()
            .filter_map(|choice| match &choice.what {
                What::Client { client: other, act: Act::Ask(op) } if *other == client => {
                    Some((choice.at, 1, op))
                }
                What::Client { client: other, act: Act::Repeat { op, times, .. } } if *other == client => {
                    Some((choice.at, *times, op))
                }
                _ => None,
            })
            .collect();
        if asked.len() < GROUP_MIN {
            continue;
        }
        // Writes first: they fill logs and make snapshots happen.
        let mut ops: Vec<&Op> = Vec::new();
        asked.iter().for_each(|(_, _, op)| {
            if !ops.contains(op) {
                ops.push(op);
            }
        });
        ops.sort_by_key(|op| !matches!(op, Op::Create(_) | Op::SetData { .. }));
        ops.truncate(if base.decisions() > MANY { 1 } else { REQUESTS_MAX });
        let at = asked[0].0;
        let times = asked.iter().map(|(_, times, _)| times).sum::<u32>();
        let every = ((asked[asked.len() - 1].0 - at) / Time::from(times)).max(1);
        let adopted = search.adopt_first(ops.len() * WEATHERS, &|place| {
            let mut schedule = Schedule::clone(&base);
            let Choices::Listed(choices) = &mut schedule.choices else { return None };
            choices.retain(|choice| {
                let What::Client { client: other, act } = &choice.what else { return true };
                *other != client || !matches!(act, Act::Ask(_) | Act::Repeat { .. })
            });
            let act = Act::Repeat { op: ops[place / WEATHERS].clone(), times, every };
            choices.push(Choice { at, what: What::Client { client, act } });
            choices.sort_by_key(|choice| choice.at);
            Some(in_weather(schedule, place % WEATHERS))
        });
        if adopted.is_some() {
            return true;
        }
    }
    false
}

/// The same in other weather; 0 for that which it has.
pub fn in_weather(schedule: Schedule, nth: usize) -> Schedule {
    match nth {
        0 => schedule,
        nth => Schedule { even: false, seed: nth as u64, ..schedule },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vivarium_sim::choice::MessageKind;

    #[test]
    fn luck_of_one_link_is_one_fault() {
        let message = |at, to, luck| Choice {
            at,
            what: What::Message { from: 0, to, kind: MessageKind(9), nth: 0, luck },
        };
        let late = |late| Luck { late, ..Luck::default() };
        let lost = Luck { lost: true, ..Luck::default() };
        let (one, two) = (message(5 * MS, 1, late(3)), message(9 * MS, 1, late(4)));
        assert!(alike(&one, &two) && !alike(&one, &message(5, 2, late(3))));
        assert!(!alike(&one, &message(5, 1, lost)));
        let kind = FaultKind::SlowLink { link: Link(0, 1), extra: 4, length: 5 * MS };
        assert_eq!(as_fault([&one, &two].into_iter()), Some(Fault { at: 5 * MS, kind }));
        let kind = FaultKind::CutLinks { links: vec![Link(0, 2)], length: MS };
        assert_eq!(as_fault([&message(7, 2, lost)].into_iter()), Some(Fault { at: 7, kind }));
        assert_eq!(as_fault(std::iter::empty()), None);
    }
}
