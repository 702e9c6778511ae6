//! Tests of the trace format: what is written is read, and what is damaged is refused with the place.

use std::io::Cursor;

use super::*;
use crate::recording::{Kind, Lane, Role, Subject, record};
use vivarium_sim::Schedule;

fn recording() -> Recording {
    let mut schedule = Schedule::draw(7);
    schedule.chaos = 1_500_000_000;
    schedule.faults.truncate(2);
    schedule.clients.truncate(1);
    let subject = Subject {
        name: "seed 7".into(),
        again: "cargo harness record --seed 7 -o 7.trace".into(),
        replay: "cargo harness replay --seed 7".into(),
        schedule: "seed 7".into(),
    };
    record(subject, &schedule)
}

/// A recording of so few bytes that each of them can be damaged.
fn small() -> Recording {
    let mut recording = recording();
    recording.events.truncate(12);
    recording.header.events = recording.events.len() as u64;
    recording.header.drawn = String::new();
    recording.header.spans.clear();
    recording.header.violation = None;
    recording
}

fn bytes_of(recording: &Recording) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(recording, &mut bytes).unwrap();
    bytes
}

fn complaint(bytes: &[u8]) -> String {
    format!("{:#}", read(Cursor::new(bytes)).expect_err("a bad file"))
}

#[test]
fn what_is_written_is_read() {
    let recording = recording();
    assert!(recording.events.len() > EVENTS_PER_SECTION, "{} events", recording.events.len());
    assert_eq!(read(Cursor::new(bytes_of(&recording))).unwrap(), recording);
}

#[test]
fn any_event_is_found_with_the_states_before_it() {
    let recording = recording();
    let mut reader = Reader::open(Cursor::new(bytes_of(&recording))).unwrap();
    let count = recording.events.len() as u64;
    let section = EVENTS_PER_SECTION as u64;
    for id in [1, 2, section, section + 1, section + 7, count, 3] {
        reader.seek(id).unwrap();
        let event = reader.next().unwrap().expect("there is one");
        assert_eq!(Some(&event), recording.event(id));
        assert_eq!(reader.states(), recording.states_after(id), "event {id}");
    }
    reader.seek(count + 1).unwrap();
    assert_eq!(reader.next().unwrap(), None);
    reader.seek(u64::MAX).unwrap();
    assert_eq!(reader.next().unwrap(), None);
}

#[test]
fn a_file_that_was_cut_anywhere_is_refused_with_the_place() {
    let bytes = bytes_of(&small());
    for length in 0..bytes.len() {
        let complaint = complaint(&bytes[..length]);
        assert!(complaint.contains("at offset"), "cut at {length}: {complaint}");
    }
}

#[test]
fn a_bit_that_flipped_anywhere_is_noticed() {
    let bytes = bytes_of(&small());
    for place in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[place] ^= 1 << (place % 8);
        let complaint = complaint(&bytes);
        assert!(complaint.contains("at offset"), "flipped at {place}: {complaint}");
    }
}

#[test]
fn another_schema_is_refused_with_the_command_that_records_it_again() {
    let bytes = bytes_of(&small());
    let again = "cargo harness record --seed 7 -o 7.trace";
    let mut other = preamble(again, schema() ^ 1);
    other.extend(&bytes[other.len()..]);
    let complaint = complaint(&other);
    assert!(complaint.contains("record it again with") && complaint.contains(again), "{complaint}");
}

#[test]
fn events_that_do_not_belong_are_refused() {
    let mut missing = small();
    missing.events.remove(5);
    assert!(complaint(&bytes_of(&missing)).contains("event 7 where 6 belongs"));
    let mut from_the_future = small();
    from_the_future.events[5].causes = vec![9];
    assert!(complaint(&bytes_of(&from_the_future)).contains("before its cause"));
    let mut promised = small();
    promised.header.events += 1;
    assert!(complaint(&bytes_of(&promised)).contains("were promised"));
    let mut more = bytes_of(&small());
    more.extend(b"more");
    assert!(complaint(&more).contains("does not end as a trace ends"));
}

#[test]
fn what_happens_follows_from_what_made_it_happen() {
    let recording = recording();
    let cause_kinds = |kind: Kind| -> Vec<Option<Kind>> {
        let events = recording.events.iter().filter(|event| event.kind == kind);
        events.map(|event| Some(recording.event(*event.causes.first()?)?.kind)).collect()
    };
    for (effect, cause) in [
        (Kind::Receive, Kind::Send),
        (Kind::Durable, Kind::Write),
        (Kind::Synced, Kind::Durable),
        (Kind::Request, Kind::Ask),
        (Kind::Answer, Kind::Reply),
        (Kind::Connected, Kind::Welcome),
        (Kind::Open, Kind::Connect),
    ] {
        let causes = cause_kinds(effect);
        assert!(!causes.is_empty(), "no {effect:?} in the run");
        assert!(causes.iter().all(|found| *found == Some(cause)), "{effect:?} follows from {causes:?}");
    }
    for event in &recording.events {
        assert!(event.causes.iter().all(|cause| recording.event(*cause).unwrap().at <= event.at));
    }
    let leads = |state: &State| matches!(state.role, Role::Leading { established: true });
    assert_eq!(recording.states_after(u64::MAX).iter().filter(|state| leads(state)).count(), 1);
    assert!(recording.states_after(0).iter().all(|state| *state == State::DOWN));
    assert!(recording.events.iter().any(|event| matches!(event.lane, Lane::Disk(_))));
}
