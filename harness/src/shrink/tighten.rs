//! Smaller limits. Where a failure needs a full window, a snapshot or the wrap of a counter, a schedule is long only
//! because it takes many writes to get there: with a smaller limit fewer of them do.

use vivarium_core::limits::Limits;
use vivarium_sim::choice::What;
use vivarium_sim::{Choice, Schedule};

use super::remove::{Atom, Decision, atoms, without};
use super::search::Search;

/// A limit that writes run into: how it is read, how it is set, and the least that makes sense.
struct Limit {
    read: fn(&Limits) -> u64,
    set: fn(&mut Limits, u64),
    least: u64,
}

const LIMITS: [Limit; 6] = [
    Limit {
        read: |limits| u64::from(limits.counter_max),
        set: |limits, value| limits.counter_max = value as u32,
        least: 3,
    },
    Limit {
        read: |limits| limits.snapshot_entries,
        set: |limits, value| limits.snapshot_entries = value,
        least: 1,
    },
    Limit {
        read: |limits| limits.log_window_entries_max as u64,
        set: |limits, value| limits.log_window_entries_max = value as usize,
        least: 1,
    },
    Limit {
        read: |limits| limits.log_window_bytes_max as u64,
        set: |limits, value| limits.log_window_bytes_max = value as usize,
        least: 64,
    },
    Limit {
        read: |limits| limits.follower_in_flight_bytes_max as u64,
        set: |limits, value| limits.follower_in_flight_bytes_max = value as usize,
        least: 64,
    },
    Limit {
        read: |limits| limits.snapshot_bytes,
        set: |limits, value| limits.snapshot_bytes = value,
        least: 64,
    },
];

/// A limit above this was never reached by anybody in a run.
const OUT_OF_REACH: u64 = 4096;
/// With fewer requests than this there is nothing to gain.
const WORTH_IT: usize = 3;

/// Smaller limits, as long as requests can be left out for them.
pub fn tighten(search: &mut Search<'_>) {
    for limit in &LIMITS {
        while !search.is_over() && tighten_one(search, limit) {}
    }
}

/// A smaller limit, and fewer requests with it. Whether that did.
fn tighten_one(search: &mut Search<'_>, limit: &Limit) -> bool {
    let base = search.best();
    let now = (limit.read)(&base.limits);
    let requests: Vec<Atom> = atoms(&base, &|decision| {
        matches!(decision, Decision::Choice(Choice { what: What::Client { .. }, .. }))
    });
    if now > OUT_OF_REACH || now <= limit.least || requests.len() < WORTH_IT {
        return false;
    }
    let count = requests.len() as u64;
    let mut values: Vec<u64> =
        [limit.least, limit.least * 2, now / 4, now / 2, now.saturating_sub(count / 2), now - 1].to_vec();
    values.retain(|value| *value >= limit.least && *value < now);
    values.sort();
    values.dedup();
    // Half of the requests, from either end; a quarter from anywhere; one; and last of all none, which is a start.
    let (half, quarter) = (requests.len().div_ceil(2), requests.len().div_ceil(4));
    let mut gone: Vec<&[Atom]> = vec![&requests[..half], &requests[requests.len() - half..]];
    gone.extend(requests.chunks(quarter));
    gone.extend([&requests[..1], &requests[requests.len() - 1..], &requests[..0]]);
    let candidate = |place: usize| -> Option<Schedule> {
        let mut schedule = without(&base, gone[place / values.len()]);
        (limit.set)(&mut schedule.limits, values[place % values.len()]);
        Some(schedule)
    };
    search.adopt_first(gone.len() * values.len(), &candidate).is_some()
}
