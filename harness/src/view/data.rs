//! What the page is given: recordings in columns, as JSON.
//!
//! A column for each property of events, the same place for the same event; texts are numbered, since most occur more than
//! once. That is small, compresses well, and is read by a browser in a fraction of a second at 100,000 events.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::recording::align::align;
use crate::recording::{Broken, Event, Fate, Kind, Lane, Recording, Role, SpanKind, State};

/// The data of a page: one recording, or two with how they compare.
pub(super) fn data(recordings: &[Recording]) -> Value {
    let runs: Vec<Value> = recordings.iter().map(run).collect();
    let mut data = json!({ "runs": runs, "kinds": Kind::ALL.map(Kind::name).to_vec() });
    if let [first, second] = recordings {
        let alignment = align(first, second);
        data["pairs"] = alignment.pairs.iter().flat_map(|(a, b)| [*a, *b]).collect();
        data["divergence"] = alignment.divergence.map_or(Value::Null, |parted| {
            json!({ "lane": parted.lane.to_string(), "first": parted.first, "second": parted.second })
        });
    }
    data
}

fn run(recording: &Recording) -> Value {
    let header = &recording.header;
    let lanes = lanes(recording);
    let mut columns = Columns { lanes: numbered(&lanes), ..Columns::default() };
    recording.events.iter().for_each(|event| columns.add(event));
    json!({
        "name": header.name,
        "record": header.again,
        "replay": header.replay,
        "schedule": header.schedule,
        "drawn": header.drawn,
        "nodes": header.nodes,
        "endedAt": header.ended_at,
        "healsAt": header.heals_at,
        "steps": header.steps,
        "hash": format!("{:016x}", header.hash),
        "violation": header.violation.as_ref().map(Broken::json),
        "lanes": lanes.iter().map(|lane| lane_json(*lane)).collect::<Value>(),
        "spans": header.spans.iter().map(|span| json!({
            "kind": span_kind(span.kind),
            "event": span.event,
            "from": span.from,
            "until": span.until,
            "nodes": span.nodes,
            "links": span.links,
        })).collect::<Value>(),
        "events": columns.json(),
    })
}

/// The lanes from left to right: the world, clients, and each node with its disk.
fn lanes(recording: &Recording) -> Vec<Lane> {
    let clients = (0..recording.header.clients).map(Lane::Client);
    let nodes = (0..recording.header.nodes).flat_map(|node| [Lane::Node(node), Lane::Disk(node)]);
    [Lane::World].into_iter().chain(clients).chain(nodes).collect()
}

fn lane_json(lane: Lane) -> Value {
    let (kind, node) = match lane {
        Lane::World => ("world", None),
        Lane::Client(_) => ("client", None),
        Lane::Node(node) => ("node", Some(node)),
        Lane::Disk(node) => ("disk", Some(node)),
    };
    json!({ "name": lane.to_string(), "kind": kind, "node": node })
}

fn numbered<T: Copy + Eq + std::hash::Hash>(all: &[T]) -> HashMap<T, usize> {
    all.iter().enumerate().map(|(number, item)| (*item, number)).collect()
}

fn span_kind(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Down => "down",
        SpanKind::Paused => "paused",
        SpanKind::Cut => "cut",
        SpanKind::SlowDisk => "slow-disk",
        SpanKind::SlowLink => "slow-link",
    }
}

/// Texts, each with a number; 0 is the empty one.
#[derive(Debug, Default)]
struct Texts {
    numbers: HashMap<String, usize>,
    all: Vec<String>,
}

impl Texts {
    fn number(&mut self, text: &str) -> usize {
        if text.is_empty() {
            return 0;
        }
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        self.all.push(text.to_owned());
        self.numbers.insert(text.to_owned(), self.all.len());
        self.all.len()
    }
}

#[derive(Debug, Default)]
struct Columns {
    lanes: HashMap<Lane, usize>,
    texts: Texts,
    last_at: u64,
    /// Nanoseconds since the event before.
    at: Vec<u64>,
    step: Vec<u64>,
    lane: Vec<usize>,
    kind: Vec<usize>,
    text: Vec<usize>,
    detail: Vec<usize>,
    /// The number of the other lane plus one, or 0.
    other: Vec<usize>,
    /// Sessions, paths: texts joined with blanks.
    sessions: Vec<usize>,
    paths: Vec<usize>,
    /// First and last zxid, or nothing. A browser's numbers are exact up to epoch 2^21.
    zxids: Vec<Value>,
    /// How far back each cause is.
    causes: Vec<Value>,
    fate: Vec<usize>,
    after: Vec<Value>,
}

impl Columns {
    fn add(&mut self, event: &Event) {
        self.at.push(event.at - self.last_at);
        self.last_at = event.at;
        self.step.push(event.step);
        self.lane.push(self.lanes[&event.lane]);
        self.kind.push(Kind::ALL.iter().position(|kind| *kind == event.kind).expect("all kinds are in ALL"));
        self.text.push(self.texts.number(&event.text));
        self.detail.push(self.texts.number(&event.detail));
        self.other.push(event.other.map_or(0, |lane| self.lanes[&lane] + 1));
        let sessions: Vec<String> = event.sessions.iter().map(|session| format!("0x{session:x}")).collect();
        self.sessions.push(self.texts.number(&sessions.join(" ")));
        self.paths.push(self.texts.number(&event.paths.join(" ")));
        self.zxids.push(match event.zxids {
            None => json!(0),
            Some((first, last)) if first == last => json!(first),
            Some((first, last)) => json!([first, last]),
        });
        self.causes.push(match event.causes.as_slice() {
            [] => json!(0),
            [one] => json!(event.id - one),
            many => many.iter().map(|cause| event.id - cause).collect(),
        });
        self.fate.push(match event.fate {
            None => 0,
            Some(Fate::Lost) => 1,
            Some(Fate::Missed) => 2,
            Some(Fate::Doubled) => 3,
            Some(Fate::Late) => 4,
        });
        self.after.push(event.after.map_or(json!(0), |state| state_json(&state)));
    }

    fn json(self) -> Value {
        json!({
            "texts": self.texts.all,
            "at": self.at,
            "step": self.step,
            "lane": self.lane,
            "kind": self.kind,
            "text": self.text,
            "detail": self.detail,
            "other": self.other,
            "sessions": self.sessions,
            "paths": self.paths,
            "zxids": self.zxids,
            "causes": self.causes,
            "fate": self.fate,
            "after": self.after,
        })
    }
}

/// Role (down 0, looking 1, joining 2, following 3, about to lead 4, leading 5), leader or -1, and the figures.
fn state_json(state: &State) -> Value {
    let (role, leader) = match state.role {
        Role::Down => (0, -1),
        Role::Looking => (1, -1),
        Role::Following { leader, in_sync } => (if in_sync { 3 } else { 2 }, i32::from(leader)),
        Role::Leading { established } => (if established { 5 } else { 4 }, -1),
    };
    json!([
        role,
        leader,
        state.epoch,
        state.last,
        state.committed,
        state.applied,
        state.sessions,
        state.znodes,
        state.watches,
        state.outstanding
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::source::Source;

    #[test]
    fn each_column_has_a_place_for_each_event() {
        let recording = Source::Seed(3, None).recording().unwrap();
        let data = data(std::slice::from_ref(&recording));
        let events = data["runs"][0]["events"].as_object().unwrap();
        assert_eq!(events.len(), 14);
        for (name, column) in events {
            if name != "texts" {
                assert_eq!(column.as_array().unwrap().len(), recording.events.len(), "{name}");
            }
        }
        let end: u64 = events["at"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap()).sum();
        assert_eq!(end, recording.events.last().unwrap().at, "times add up");
        let texts = events["texts"].as_array().unwrap();
        for (place, event) in recording.events.iter().enumerate() {
            let number = events["text"][place].as_u64().unwrap() as usize;
            assert_eq!(texts[number - 1], event.text.as_str());
        }
        assert!(data.get("pairs").is_none());
    }

    #[test]
    fn two_recordings_come_with_what_is_the_same() {
        let recording = Source::Seed(3, None).recording().unwrap();
        let data = data(&[recording.clone(), recording.clone()]);
        assert_eq!(data["pairs"].as_array().unwrap().len(), 2 * recording.events.len());
        assert!(data["divergence"].is_null());
    }
}
