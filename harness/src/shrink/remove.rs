//! Leaving decisions out: faults, luck of messages, slow syncs, what clients do.
//!
//! Each pass tries to leave out all decisions of a kind, then halves of them, quarters, and so on down to single ones,
//! the latest first, since what comes late changes little of what comes before.

use vivarium_sim::choice::{Act, What};
use vivarium_sim::schedule::Choices;
use vivarium_sim::{Choice, Schedule, Time};

use super::search::Search;

/// A decision, by its place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Atom {
    /// A fault.
    Fault(usize),
    /// A listed choice.
    Choice(usize),
}

/// Which decisions a pass is about.
type Kind<'a> = &'a dyn Fn(Decision<'_>) -> bool;

/// A decision, looked at.
#[derive(Clone, Copy, Debug)]
pub enum Decision<'a> {
    /// A fault.
    Fault,
    /// A listed choice.
    Choice(&'a Choice),
}

/// The decisions of a kind, the latest first.
pub fn atoms(schedule: &Schedule, kind: Kind<'_>) -> Vec<Atom> {
    let faults = schedule.faults.iter().enumerate().filter(|_| kind(Decision::Fault));
    let choices = schedule.listed().iter().enumerate().filter(|(_, choice)| kind(Decision::Choice(choice)));
    let mut atoms: Vec<(Time, Atom)> = faults
        .map(|(place, fault)| (fault.at, Atom::Fault(place)))
        .chain(choices.map(|(place, choice)| (choice.at, Atom::Choice(place))))
        .collect();
    atoms.sort();
    atoms.into_iter().rev().map(|(_, atom)| atom).collect()
}

/// The schedule without these.
pub fn without(schedule: &Schedule, gone: &[Atom]) -> Schedule {
    let mut keep_faults = vec![true; schedule.faults.len()];
    let mut keep_choices = vec![true; schedule.listed().len()];
    for atom in gone {
        match atom {
            Atom::Fault(place) => keep_faults[*place] = false,
            Atom::Choice(place) => keep_choices[*place] = false,
        }
    }
    let kept = |keep: &[bool], place: &mut usize| {
        *place += 1;
        keep[*place - 1]
    };
    let mut schedule = schedule.clone();
    let mut place = 0;
    schedule.faults.retain(|_| kept(&keep_faults, &mut place));
    if let Choices::Listed(choices) = &mut schedule.choices {
        let mut place = 0;
        choices.retain(|_| kept(&keep_choices, &mut place));
    }
    schedule
}

/// Leaves out what comes after the violation.
pub fn cut_tail(search: &mut Search<'_>) {
    let at = search.report().at;
    let mut schedule = Schedule::clone(&search.best());
    let before = schedule.decisions();
    schedule.faults.retain(|fault| fault.at <= at);
    if let Choices::Listed(choices) = &mut schedule.choices {
        choices.retain(|choice| choice.at <= at);
    }
    if schedule.decisions() < before {
        search.adopt(schedule);
    }
}

/// What usually can go at once.
pub fn remove_whole_kinds(search: &mut Search<'_>) {
    let is_luck = |decision: Decision<'_>| {
        matches!(decision, Decision::Choice(Choice { what: What::Message { .. } | What::Sync { .. }, .. }))
    };
    let is_manners = |decision: Decision<'_>| matches!(decision, Decision::Choice(Choice { what: What::Client { act, .. }, .. }) if !matches!(act, Act::Ask(_)));
    let is_fault = |decision: Decision<'_>| matches!(decision, Decision::Fault);
    let kinds: [Kind<'_>; 5] = [
        &|_| true,
        &|decision| is_luck(decision) || is_manners(decision) || is_fault(decision),
        &|decision| is_luck(decision) || is_manners(decision),
        &is_luck,
        &is_manners,
    ];
    for kind in kinds {
        remove_all(search, kind);
    }
}

/// Everything, one kind after the other, in parts of so many parts of a hundred at least.
pub fn remove_by_kind(search: &mut Search<'_>, percent: usize) {
    let is_message = |decision: Decision<'_>| {
        matches!(decision, Decision::Choice(Choice { what: What::Message { .. }, .. }))
    };
    let is_sync =
        |decision: Decision<'_>| matches!(decision, Decision::Choice(Choice { what: What::Sync { .. }, .. }));
    let is_client = |decision: Decision<'_>| {
        matches!(decision, Decision::Choice(Choice { what: What::Client { .. }, .. }))
    };
    remove(search, &is_message, percent);
    remove(search, &is_sync, percent);
    remove(search, &|decision| matches!(decision, Decision::Fault), percent);
    for wanted in (0..search.best().clients.len()).rev() {
        remove_all(
            search,
            &|decision| matches!(decision, Decision::Choice(Choice { what: What::Client { client, .. }, .. }) if *client == wanted),
        );
    }
    remove(search, &is_client, percent);
}

/// All decisions together, until none can be left out.
pub fn remove_any(search: &mut Search<'_>) {
    loop {
        let before = search.best().decisions();
        remove(search, &|_| true, 0);
        if search.best().decisions() == before || search.is_over() {
            return;
        }
    }
}

/// Pairs of decisions that can only go together: so many decisions at most, since pairs are many.
pub fn remove_pairs(search: &mut Search<'_>, decisions_max: usize) {
    loop {
        let base = search.best();
        let atoms = atoms(&base, &|_| true);
        if atoms.len() > decisions_max || atoms.len() < 2 {
            return;
        }
        let pairs: Vec<[Atom; 2]> = (1..atoms.len())
            .flat_map(|b| (0..b).map(move |a| (a, b)))
            .map(|(a, b)| [atoms[a], atoms[b]])
            .collect();
        if search.adopt_first(pairs.len(), &|place| Some(without(&base, &pairs[place]))).is_none() {
            return;
        }
    }
}

/// Leaves one decision out and takes other weather, which may do the same.
pub fn remove_by_weather(search: &mut Search<'_>, tries: u64) {
    loop {
        let base = search.best();
        let atoms = atoms(&base, &|_| true);
        let count = atoms.len() * tries as usize;
        let adopted = search.adopt_first(count, &|place| {
            let mut smaller = without(&base, &[atoms[place % atoms.len()]]);
            smaller.even = false;
            smaller.seed = (place / atoms.len()) as u64 + 1;
            Some(smaller)
        });
        if adopted.is_none() {
            return;
        }
    }
}

fn remove_all(search: &mut Search<'_>, kind: Kind<'_>) {
    let base = search.best();
    let atoms = atoms(&base, kind);
    if !atoms.is_empty() {
        search.adopt(without(&base, &atoms));
    }
}

/// All of a kind, halves, quarters, ... down to so many parts of a hundred; to single ones for 0.
fn remove(search: &mut Search<'_>, kind: Kind<'_>, percent: usize) {
    let mut size = atoms(&search.best(), kind).len();
    let least = (size * percent / 100).max(1);
    while size >= least && !search.is_over() {
        let mut from = 0;
        loop {
            let base = search.best();
            let atoms = atoms(&base, kind);
            let chunks: Vec<&[Atom]> = atoms.chunks(size).skip(from).collect();
            // What comes after a chunk that has gone takes its place.
            match search.adopt_first(chunks.len(), &|place| Some(without(&base, chunks[place]))) {
                Some(place) => from += place,
                None => break,
            }
        }
        let left = atoms(&search.best(), kind).len();
        if left == 0 {
            return;
        }
        size = if size == 1 { 0 } else { (size / 2).min(left) };
    }
}
