//! Two recordings side by side: which event of one is which of the other, and where they part.
//!
//! Events are compared by what they are (lane, kind, other end, words), not by number or time: the same message sent a
//! little later is the same message. What happens twice is told apart by its turn.

use std::collections::HashMap;

use super::{Event, EventId, Kind, Lane, Recording};

/// How two recordings compare.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Alignment {
    /// Events that are the same, ascending in both recordings.
    pub pairs: Vec<(EventId, EventId)>,
    /// Where the recordings part first, or none if every lane saw the same.
    pub divergence: Option<Divergence>,
}

/// The first difference: in one lane, one recording has this event and the other that one, or none any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Divergence {
    /// Where.
    pub lane: Lane,
    /// What the first recording has there.
    pub first: Option<EventId>,
    /// What the second one has there.
    pub second: Option<EventId>,
}

type Key<'a> = (Lane, Kind, Option<Lane>, &'a str);

fn key(event: &Event) -> Key<'_> {
    (event.lane, event.kind, event.other, &event.text)
}

/// Aligns two recordings.
pub fn align(first: &Recording, second: &Recording) -> Alignment {
    Alignment { pairs: pairs(first, second), divergence: divergence(first, second) }
}

fn pairs(first: &Recording, second: &Recording) -> Vec<(EventId, EventId)> {
    let mut turns: HashMap<(Key<'_>, u32), EventId> = HashMap::new();
    for (event, turn) in with_turns(second) {
        turns.insert((key(event), turn), event.id);
    }
    let candidates: Vec<(EventId, EventId)> = with_turns(first)
        .filter_map(|(event, turn)| Some((event.id, *turns.get(&(key(event), turn))?)))
        .collect();
    longest_ascending(&candidates)
}

/// Each event with how often the same has happened before.
fn with_turns(recording: &Recording) -> impl Iterator<Item = (&Event, u32)> {
    let mut turns: HashMap<Key<'_>, u32> = HashMap::new();
    recording.events.iter().map(move |event| {
        let turn = turns.entry(key(event)).or_default();
        *turn += 1;
        (event, *turn)
    })
}

/// The longest part of the pairs that ascends in the second number too: patience sorting.
fn longest_ascending(pairs: &[(EventId, EventId)]) -> Vec<(EventId, EventId)> {
    // The place of the pair that ends the best sequence of each length, and each pair's predecessor.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (place, (_, second)) in pairs.iter().enumerate() {
        let length = ends.partition_point(|end| pairs[*end].1 < *second);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(place);
        } else {
            ends[length] = place;
        }
    }
    let mut chosen = Vec::with_capacity(ends.len());
    let mut next = ends.last().copied();
    while let Some(place) = next {
        chosen.push(pairs[place]);
        next = before[place];
    }
    chosen.reverse();
    chosen
}

fn divergence(first: &Recording, second: &Recording) -> Option<Divergence> {
    let (a, b) = (by_lane(first), by_lane(second));
    let mut lanes: Vec<&Lane> = a.keys().chain(b.keys()).collect();
    lanes.sort_unstable();
    lanes.dedup();
    let parts = lanes.into_iter().filter_map(|lane| {
        let none = Vec::new();
        let (a, b) = (a.get(lane).unwrap_or(&none), b.get(lane).unwrap_or(&none));
        let same = a.iter().zip(b).take_while(|(a, b)| key(a) == key(b)).count();
        let (first, second) = (a.get(same), b.get(same));
        let at = first.into_iter().chain(second).map(|event| event.at).min()?;
        let id = |event: Option<&&Event>| event.map(|event| event.id);
        Some((at, Divergence { lane: *lane, first: id(first), second: id(second) }))
    });
    parts.min_by_key(|(at, _)| *at).map(|(_, divergence)| divergence)
}

fn by_lane(recording: &Recording) -> HashMap<Lane, Vec<&Event>> {
    let mut lanes: HashMap<Lane, Vec<&Event>> = HashMap::new();
    for event in &recording.events {
        // What was to be run differs by design when somebody compares two schedules.
        if event.kind != Kind::Begin {
            lanes.entry(event.lane).or_default().push(event);
        }
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Subject, record};
    use vivarium_sim::Schedule;

    fn recording(edit: impl FnOnce(&mut Schedule)) -> Recording {
        let mut schedule = Schedule::draw(7);
        schedule.chaos = 300_000_000;
        edit(&mut schedule);
        let text = String::new();
        let subject =
            Subject { name: text.clone(), again: text.clone(), replay: text.clone(), schedule: text };
        record(subject, &schedule)
    }

    #[test]
    fn a_run_is_like_itself() {
        let run = recording(|_| {});
        let alignment = align(&run, &run);
        assert_eq!(alignment.divergence, None);
        assert_eq!(alignment.pairs.len(), run.events.len());
        assert!(alignment.pairs.iter().all(|(a, b)| a == b));
    }

    #[test]
    fn runs_part_where_the_first_difference_is() {
        let one = recording(|_| {});
        let two = recording(|schedule| schedule.clients[0].start += 1_000_000);
        let alignment = align(&one, &two);
        let parted = alignment.divergence.expect("another start is another run");
        assert!(alignment.pairs.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
        assert!(
            alignment.pairs.iter().all(|(a, b)| key(one.event(*a).unwrap()) == key(two.event(*b).unwrap()))
        );
        let (a, b) = (parted.first.and_then(|id| one.event(id)), parted.second.and_then(|id| two.event(id)));
        assert_ne!(a.map(key), b.map(key));
        assert!(a.is_none_or(|event| event.lane == parted.lane));
    }

    #[test]
    fn what_is_out_of_order_is_left_out_of_the_pairs() {
        assert_eq!(longest_ascending(&[(1, 3), (2, 1), (3, 2), (4, 4)]), [(2, 1), (3, 2), (4, 4)]);
        assert_eq!(longest_ascending(&[]), []);
    }
}
