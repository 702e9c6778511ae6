//! Smaller limits. Where a failure needs a full window, a snapshot or the wrap of a counter, a schedule is long only
//! because it takes many writes to get there: with a smaller limit fewer of them do.

use vivarium_core::limits::Limits;
use vivarium_sim::choice::What;
use vivarium_sim::decision::Draw;
use vivarium_sim::{Choice, Schedule};

use super::remove::{Atom, Decision, atoms, without};
use super::search::Search;

/// A limit that writes run into, in a schedule's limits.
enum Limit<'a> {
    Narrow(&'a mut u32),
    Wide(&'a mut u64),
    Size(&'a mut usize),
}

/// Finds one of them.
type Access = fn(&mut Limits) -> Limit<'_>;

/// Where each is, and the least that makes sense.
const LIMITS: [(Access, u64); 6] = [
    (|limits| Limit::Narrow(&mut limits.counter_max), 3),
    (|limits| Limit::Wide(&mut limits.snapshot_entries), 1),
    (|limits| Limit::Size(&mut limits.log_window_entries_max), 1),
    (|limits| Limit::Size(&mut limits.log_window_bytes_max), 64),
    (|limits| Limit::Size(&mut limits.follower_in_flight_bytes_max), 64),
    (|limits| Limit::Wide(&mut limits.snapshot_bytes), 64),
];

impl Limit<'_> {
    fn get(&self) -> u64 {
        match self {
            Limit::Narrow(value) => u64::from(**value),
            Limit::Wide(value) => **value,
            Limit::Size(value) => **value as u64,
        }
    }

    /// Values that are set are below those that were there.
    fn set(self, value: u64) {
        match self {
            Limit::Narrow(place) => *place = value as u32,
            Limit::Wide(place) => *place = value,
            Limit::Size(place) => *place = value as usize,
        }
    }
}

/// A limit above this was never reached by anybody in a run.
const OUT_OF_REACH: u64 = 4096;
/// With fewer requests than this there is nothing to gain.
const WORTH_IT: usize = 3;
/// And with more of them each try takes too long: others take away more of these.
const TOO_MANY: usize = 40;

/// Smaller limits, as long as requests can be left out for them.
pub fn tighten(search: &mut Search<'_>) {
    for (limit, least) in LIMITS {
        while !search.is_over() && tighten_one(search, limit, least) {}
    }
}

/// One of the limits smaller, by chance.
pub fn tighten_any(limits: &mut Limits, draw: &mut Draw) {
    let (limit, least) = *draw.pick(&LIMITS);
    let now = limit(limits).get();
    if now > least {
        let highest = if now > OUT_OF_REACH { 32 * least } else { now - 1 };
        limit(limits).set(draw.between(least, highest.min(least * 32).max(least)));
    }
}

/// A smaller limit, and fewer requests with it. Whether that did.
fn tighten_one(search: &mut Search<'_>, limit: Access, least: u64) -> bool {
    let base = search.best();
    let now = limit(&mut base.limits.clone()).get();
    let requests: Vec<Atom> = atoms(&base, &|decision| {
        matches!(decision, Decision::Choice(Choice { what: What::Client { .. }, .. }))
    });
    if now > OUT_OF_REACH || now <= least || !(WORTH_IT..=TOO_MANY).contains(&requests.len()) {
        return false;
    }
    let count = requests.len() as u64;
    let mut values: Vec<u64> =
        [least, least * 2, now / 4, now / 2, now.saturating_sub(count / 2), now - 1].to_vec();
    values.retain(|value| *value >= least && *value < now);
    values.sort();
    values.dedup();
    // Half of the requests, from either end; a quarter from anywhere; one; and last of all none, which is a start.
    let (half, quarter) = (requests.len().div_ceil(2), requests.len().div_ceil(4));
    let mut gone: Vec<&[Atom]> = vec![&requests[..half], &requests[requests.len() - half..]];
    gone.extend(requests.chunks(quarter));
    gone.extend([&requests[..1], &requests[requests.len() - 1..], &requests[..0]]);
    let candidate = |place: usize| -> Option<Schedule> {
        let mut schedule = without(&base, gone[place / values.len()]);
        limit(&mut schedule.limits).set(values[place % values.len()]);
        Some(schedule)
    };
    search.adopt_first(gone.len() * values.len(), &candidate).is_some()
}
