//! What of a small schedule is necessary, and what plays no part: each is tried, none is guessed.

use serde::Serialize;
use vivarium_sim::{MS, Schedule};

use super::remove::{Atom, atoms, without};
use super::search::Search;

/// How many kinds of weather are tried.
const WEATHERS: u64 = 20;

/// What was found out about a schedule.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Meaning {
    /// For each fault: whether the run passes without it.
    pub faults_needed: Vec<bool>,
    /// For each listed choice: whether the run passes without it.
    pub choices_needed: Vec<bool>,
    /// For each fault: whether its durations may be twice as long.
    pub faults_may_last: Vec<bool>,
    /// For each fault: whether it may come a little earlier and a little later.
    pub faults_may_move: Vec<bool>,
    /// In how many of so many kinds of weather it fails as well.
    pub weathers_failing: u64,
    /// How many were tried.
    pub weathers: u64,
}

impl Meaning {
    /// Tries what there is to try. It asks for little time and takes it even when the budget is over.
    pub(super) fn of(search: &mut Search<'_>) -> Meaning {
        let base = search.best();
        search.be_patient(true);
        if base.decisions() > 100 {
            // Nobody reads about so many; each would cost a run.
            return Meaning::default();
        }
        let mut meaning = Meaning {
            faults_needed: vec![false; base.faults.len()],
            choices_needed: vec![false; base.listed().len()],
            weathers: WEATHERS,
            ..Meaning::default()
        };
        for atom in atoms(&base, &|_| true) {
            let passes = search.fails(&without(&base, &[atom])).is_none();
            match atom {
                Atom::Fault(place) => meaning.faults_needed[place] = passes,
                Atom::Choice(place) => meaning.choices_needed[place] = passes,
            }
        }
        for seed in 1..=WEATHERS {
            let weather =
                Schedule { even: false, seed: base.seed.wrapping_add(seed), ..Schedule::clone(&base) };
            meaning.weathers_failing += u64::from(search.fails(&weather).is_some());
        }
        for place in 0..base.faults.len() {
            let mut longer = Schedule::clone(&base);
            let mut times = longer.faults[place].kind.times_mut();
            times.iter_mut().for_each(|time| **time *= 2);
            let lasting = !times.is_empty();
            meaning.faults_may_last.push(lasting && search.fails(&longer).is_some());
            let moves = [-5, 5].into_iter().all(|by: i64| {
                let mut moved = Schedule::clone(&base);
                let fault = &mut moved.faults[place];
                fault.at = fault.at.saturating_add_signed(by * MS as i64);
                moved.faults.sort_by_key(|fault| fault.at);
                search.fails(&moved).is_some()
            });
            meaning.faults_may_move.push(moves);
        }
        meaning
    }
}
