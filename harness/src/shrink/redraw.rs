//! Far simpler schedules at once, each under luck of its own.
//!
//! Leaving decisions out one after the other gets stuck where each shifts what comes after it: a long schedule fails by
//! a coincidence of times, and any shorter one misses it. But what made it fail (its limits, some of its faults,
//! somebody who writes) makes many simpler ones fail as well, under some weather. So schedules are composed at random of
//! little of what the best so far has, with compact decisions in place of many small ones: a client that repeats one
//! request, a slow link for late messages, a cut for lost ones. The simplest that fails in the same way is the new best.

use vivarium_core::api::{Acl, Create, Op};
use vivarium_sim::choice::{Act, What};
use vivarium_sim::decision::Draw;
use vivarium_sim::schedule::{Choices, Fault};
use vivarium_sim::{Choice, MS, Schedule, Time};

use super::gather;
use super::search::Search;
use super::simpler::{ceil, quiet_from};
use super::tighten::tighten_any;

/// So many are composed at a time; the smallest go first.
const BATCH: u64 = 48;

/// Composes simpler schedules as long as some of them fail. `round`: another number gives other luck.
pub fn redraw(search: &mut Search<'_>, round: u64) {
    let (mut batch, mut barren) = (0, 0);
    loop {
        let base = search.best();
        let decisions = base.decisions();
        let told = search.seen().to_owned();
        // The larger it is, the more there is to gain.
        let patience = match decisions {
            0..=1 => 0,
            2..=5 => 1,
            6..=15 => 4,
            _ => 6,
        };
        if barren >= patience || search.is_over() {
            return;
        }
        let mut simpler: Vec<Schedule> = (0..BATCH)
            .map(|nth| compose(&base, &told, &mut Draw::new(round << 40 | batch << 20 | nth)))
            .filter(|schedule| schedule.decisions() < decisions && (batch == 0 || schedule.decisions() > 0))
            .collect();
        simpler.sort_by_key(Schedule::decisions);
        batch += 1;
        match search.adopt_first(simpler.len(), &|place| Some(simpler[place].clone())) {
            Some(_) => barren = 0,
            None => barren += 1,
        }
    }
}

/// A schedule of less than this one has, under luck of its own. `told`: how it fails.
fn compose(base: &Schedule, told: &str, draw: &mut Draw) -> Schedule {
    let mut schedule = base.clone();
    // All is changed at once, or one thing only, which leaves more of what may be needed.
    let part = draw.below(12);
    if part == 0 {
        thin_out(&mut schedule, draw);
    }
    if part == 1 || part > 4 {
        take_faults(&mut schedule, draw);
    }
    if part == 2 || part > 4 {
        take_luck(&mut schedule, draw);
    }
    if part >= 3 {
        let only = (part == 3).then(|| draw.below(base.clients.len().max(1) as u64) as usize);
        for client in (0..base.clients.len()).filter(|client| only.is_none_or(|only| only == *client)) {
            take_requests(&mut schedule, client, told, draw);
        }
    }
    if draw.one_in(3) {
        hasten(&mut schedule);
    }
    if draw.one_in(3) {
        tighten_any(&mut schedule.limits, draw);
    }
    while schedule.nodes > 3 && draw.one_in(3) {
        schedule = schedule.without_node(draw.below(schedule.nodes as u64) as usize);
    }
    if !draw.one_in(4) {
        let last = quiet_from(&schedule);
        let rest = *draw.pick(&[1, 100 * MS, 300 * MS]);
        schedule.chaos = ceil(last + rest, 100 * MS).min(base.chaos);
    }
    match draw.below(if part <= 4 { 3 } else { 6 }) {
        0 => {}
        1 => (schedule.even, schedule.seed) = (true, 0),
        _ => (schedule.even, schedule.seed) = (false, draw.between(1, 999)),
    }
    schedule.faults.sort_by_key(|fault| fault.at);
    if let Choices::Listed(choices) = &mut schedule.choices {
        choices.sort_by_key(|choice| choice.at);
    }
    schedule
}

fn choices(schedule: &mut Schedule) -> &mut Vec<Choice> {
    match &mut schedule.choices {
        Choices::Listed(choices) => choices,
        Choices::Drawn => unreachable!("a schedule that is made smaller lists its choices"),
    }
}

/// Some of everything is left out.
fn thin_out(schedule: &mut Schedule, draw: &mut Draw) {
    let kept = *draw.pick(&[300, 500, 700, 850]);
    schedule.faults.retain(|_| draw.permille(kept));
    choices(schedule).retain(|_| draw.permille(kept));
}

/// A few of the faults, perhaps at other times.
fn take_faults(schedule: &mut Schedule, draw: &mut Draw) {
    let wanted = draw.below(schedule.faults.len().min(4) as u64 + 1) as usize;
    while schedule.faults.len() > wanted {
        let gone = draw.below(schedule.faults.len() as u64) as usize;
        schedule.faults.remove(gone);
    }
    if draw.one_in(2) {
        for fault in &mut schedule.faults {
            fault.at = draw.between(fault.at / 2, fault.at * 3 / 2).min(schedule.chaos);
        }
    }
}

/// Nothing of the luck, some of it, or a fault or two that come to the same.
fn take_luck(schedule: &mut Schedule, draw: &mut Draw) {
    let is_luck = |choice: &Choice| !matches!(choice.what, What::Client { .. });
    match draw.below(4) {
        0 => {
            let kept = *draw.pick(&[100, 300, 1000]);
            choices(schedule).retain(|choice| !is_luck(choice) || draw.permille(kept));
        }
        1 => {
            let luck: Vec<Choice> =
                schedule.listed().iter().filter(|choice| is_luck(choice)).cloned().collect();
            if !luck.is_empty() {
                let faults: Vec<Fault> = (0..draw.between(1, 2))
                    .filter_map(|_| {
                        let like = draw.pick(&luck);
                        let width = *draw.pick(&[30 * MS, 100 * MS, 300 * MS, 10_000 * MS]);
                        gather::as_fault(luck.iter().filter(|choice| {
                            gather::alike(choice, like) && choice.at.abs_diff(like.at) <= width
                        }))
                    })
                    .collect();
                schedule.faults.extend(faults);
            }
            choices(schedule).retain(|choice| !is_luck(choice));
        }
        _ => choices(schedule).retain(|choice| !is_luck(choice)),
    }
}

/// Of what a client does: nothing, a few things in a row, what is about the same nodes as the failure, or one request
/// again and again.
fn take_requests(schedule: &mut Schedule, client: usize, told: &str, draw: &mut Draw) {
    let mine = |choice: &Choice| matches!(choice.what, What::Client { client: other, .. } if other == client);
    let acts: Vec<Choice> = schedule.listed().iter().filter(|choice| mine(choice)).cloned().collect();
    let (Some(first), Some(last)) = (acts.first(), acts.last()) else { return };
    if acts.len() <= 2 && draw.one_in(2) {
        return;
    }
    choices(schedule).retain(|choice| !mine(choice));
    let kept: Vec<Choice> = match draw.below(8) {
        0 | 1 => Vec::new(),
        2 => {
            let kept = *draw.pick(&[300, 1000]);
            acts.iter().filter(|choice| is_about(choice, told) && draw.permille(kept)).cloned().collect()
        }
        3 => {
            let length = draw.between(1, (acts.len() as u64).min(8)) as usize;
            let from = draw.below((acts.len() - length) as u64 + 1) as usize;
            acts[from..from + length].to_vec()
        }
        _ => {
            let manners_kept = *draw.pick(&[0, 0, 300]);
            let at = draw.between(first.at, last.at);
            let at = if draw.one_in(2) { first.at } else { at };
            let mut kept = vec![Choice { at, what: repeated(&acts, client, draw) }];
            let manners = acts.iter().filter(|choice| {
                !matches!(choice.what, What::Client { act: Act::Ask(_) | Act::Repeat { .. }, .. })
            });
            kept.extend(manners.filter(|_| draw.permille(manners_kept)).cloned());
            kept
        }
    };
    choices(schedule).extend(kept);
}

/// Whether a client asks something about a node that is named here.
fn is_about(choice: &Choice, told: &str) -> bool {
    let What::Client { act: Act::Ask(op) | Act::Repeat { op, .. }, .. } = &choice.what else { return false };
    let op = format!("{op:?}");
    op.split('"').any(|word| word.starts_with('/') && told.contains(&format!("\"{word}\"")))
}

/// One request, again and again: one of these, or a plain write.
fn repeated(acts: &[Choice], client: usize, draw: &mut Draw) -> What {
    let asked: Vec<&Op> = acts
        .iter()
        .filter_map(|choice| match &choice.what {
            What::Client { act: Act::Ask(op) | Act::Repeat { op, .. }, .. } => Some(op),
            _ => None,
        })
        .collect();
    let op = match draw.below(4) {
        0 => Op::SetData { path: "/".into(), data: None, version: -1 },
        1 => Op::Create(Create {
            path: "/s-".into(),
            data: None,
            acl: Some(Acl::open()),
            flags: 2,
            stat: false,
        }),
        _ if asked.is_empty() => Op::Sync { path: Some("/".into()) },
        _ => (*draw.pick(&asked)).clone(),
    };
    let times = *draw.pick(&[2, 5, 10, 20, 50, 100]);
    let every: Time = *draw.pick(&[MS / 10, MS, 5 * MS, 20 * MS]);
    What::Client { client, act: Act::Repeat { op, times, every } }
}

/// Everything comes in half the time.
fn hasten(schedule: &mut Schedule) {
    schedule.chaos = (schedule.chaos / 2).max(100 * MS);
    schedule.faults.iter_mut().for_each(|fault| fault.at /= 2);
    choices(schedule).iter_mut().for_each(|choice| choice.at /= 2);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Runner, listed};

    #[test]
    fn requests_about_what_is_told_are_known() {
        let ask = |path: &str| Choice {
            at: 0,
            what: What::Client { client: 0, act: Act::Ask(Op::Sync { path: Some(path.into()) }) },
        };
        let told = "no notification of NodeDeleted of \"/a/x\" at 1:7";
        assert!(is_about(&ask("/a/x"), told));
        assert!(!is_about(&ask("/a"), told) && !is_about(&ask("/a/x/y"), told));
    }

    #[test]
    fn what_is_composed_is_in_order_and_smaller_and_comes_to_an_end() {
        let mut runner = Runner::default();
        let drawn = Schedule::draw(5);
        let (_, choices) = runner.record(&drawn, &mut ());
        let whole = listed(&drawn, choices);
        let mut sizes: Vec<usize> = Vec::new();
        for nth in 0..40 {
            let composed = compose(&whole, "a reply about \"/a\"", &mut Draw::new(nth));
            assert!(composed.faults.is_sorted_by_key(|fault| fault.at));
            assert!(composed.listed().is_sorted_by_key(|choice| choice.at));
            assert_eq!(runner.run(&composed, &mut ()).verdict, vivarium_sim::Verdict::Clean, "{composed:?}");
            sizes.push(composed.decisions());
        }
        sizes.sort();
        assert!(sizes[20] * 2 < whole.decisions(), "{sizes:?} of {}", whole.decisions());
    }
}
