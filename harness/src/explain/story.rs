//! The story of a failure: a dozen events of a recording that tell most of it.
//!
//! An event counts by its kind (faults and changes of leadership are turning points, a heartbeat is none), by whether
//! the violation follows from it, and by whether it is about what the violation is about: the same path, session or
//! zxid.

use std::collections::BTreeSet;

use vivarium_sim::MS;

use crate::recording::{Event, EventId, Fate, Kind, Lane, Recording};

/// No story has more lines.
pub const LINES_MAX: usize = 12;

/// What a violation is about.
#[derive(Debug, Default)]
struct Topic {
    paths: BTreeSet<String>,
    sessions: BTreeSet<i64>,
    zxids: BTreeSet<u64>,
}

impl Topic {
    /// What the event that broke the property is about, and what the checker names.
    fn of(recording: &Recording, last: &Event, chain: &[EventId]) -> Topic {
        let mut topic = Topic::default();
        // The next two causes are the same thing, one step earlier: a reply's request, a message's sender.
        for event in chain.iter().take(3).filter_map(|id| recording.event(*id)).chain([last]) {
            topic.paths.extend(event.paths.iter().filter(|path| path.len() > 1).cloned());
            topic.sessions.extend(&event.sessions);
            topic.zxids.extend(event.zxids.filter(|(first, last)| first == last).map(|(zxid, _)| zxid));
        }
        if let Some(broken) = &recording.header.violation {
            topic.named_in(&broken.seen);
            topic.named_in(&broken.expected);
        }
        topic
    }

    /// Takes in the paths, zxids and sessions that a text names: `"/a"`, `1:4`, `0x100...`.
    fn named_in(&mut self, text: &str) {
        let ends =
            |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '"' | '(' | ')' | '[' | ']' | '{' | '}');
        for word in text.split(ends) {
            let word = word.trim_end_matches([':', '.']);
            if word.starts_with('/') && word.len() > 1 {
                self.paths.insert(word.to_owned());
            } else if let Some(session) =
                word.strip_prefix("0x").and_then(|hex| i64::from_str_radix(hex, 16).ok())
            {
                self.sessions.insert(session);
            } else if let Some((epoch, counter)) = word.split_once(':')
                && let (Ok(epoch), Ok(counter)) = (epoch.parse::<u32>(), counter.parse::<u32>())
                && epoch > 0
            {
                self.zxids.insert(u64::from(epoch) << 32 | u64::from(counter));
            }
        }
    }

    fn is_met(&self, event: &Event) -> bool {
        event.paths.iter().any(|path| self.paths.contains(path))
            || event.sessions.iter().any(|session| self.sessions.contains(session))
            || event.zxids.is_some_and(|(first, last)| self.zxids.range(first..=last).next().is_some())
    }
}

/// The events that tell the story, in order.
pub fn chosen(recording: &Recording) -> Vec<&Event> {
    let Some(broken) = &recording.header.violation else { return Vec::new() };
    let Some(violation) = recording.event(broken.event) else { return Vec::new() };
    let Some(last) = violation.causes.first().and_then(|id| recording.event(*id)) else { return Vec::new() };
    let chain = chain(recording, last);
    let topic = Topic::of(recording, last, &chain);
    let cone: BTreeSet<EventId> = cone(recording, last.id);
    let mut scored: Vec<(u32, &Event)> = recording
        .events
        .iter()
        .filter(|event| event.id < broken.event)
        .map(|event| (score(event, last, &topic, &cone), event))
        .filter(|(score, _)| *score > 0)
        .collect();
    scored.sort_by_key(|(score, event)| (std::cmp::Reverse(*score), std::cmp::Reverse(event.id)));
    let mut chosen: Vec<&Event> = Vec::new();
    for (_, event) in scored {
        if chosen.len() == LINES_MAX {
            break;
        }
        // One thing often shows as several events: a request sent and arrived, an entry written, durable and executed.
        if !chosen.iter().any(|other| same_thing(other, event)) {
            chosen.push(event);
        }
    }
    chosen.sort_by_key(|event| event.id);
    chosen
}

/// The first causes, one behind the other, the last event's first.
fn chain(recording: &Recording, last: &Event) -> Vec<EventId> {
    let mut chain = Vec::new();
    let mut event = Some(last);
    while let Some(cause) = event.and_then(|event| event.causes.first()).copied() {
        chain.push(cause);
        event = recording.event(cause);
    }
    chain
}

/// All that an event follows from.
fn cone(recording: &Recording, from: EventId) -> BTreeSet<EventId> {
    let mut cone = BTreeSet::new();
    let mut open = vec![from];
    while let Some(id) = open.pop() {
        if cone.insert(id)
            && let Some(event) = recording.event(id)
        {
            open.extend(&event.causes);
        }
    }
    cone
}

fn score(event: &Event, last: &Event, topic: &Topic, cone: &BTreeSet<EventId>) -> u32 {
    if event.id == last.id {
        return 1000;
    }
    let about = topic.is_met(event);
    let word = |word: &str| event.text.contains(word);
    let base = match event.kind {
        Kind::Fault | Kind::Decision => 200,
        Kind::Halt => 190,
        // At the beginning everybody starts, with nothing.
        Kind::Boot if !word("no snapshot, 0 entries") => 90,
        Kind::End => 40,
        Kind::Healed => 70,
        Kind::Send if event.fate.is_some() => match event.fate {
            Some(Fate::Lost | Fate::Late | Fate::Doubled) if about || cone.contains(&event.id) => 160,
            Some(Fate::Missed) => 20,
            _ => 60,
        },
        Kind::Note if word("established") => 110,
        Kind::Note if word("log cut") || word("installed") || word("expires") => 120,
        Kind::Note if word("is closed") || word("moves") => 70,
        Kind::Note if word("brings") => 80,
        Kind::Note if word("looks for a leader") && !word("Started") => 75,
        Kind::Note if word("elected") || word("in sync") => 50,
        Kind::Note if word("executes") && about => 45,
        Kind::Note if word("follows") || word("stands") || word("would follow") => 25,
        // Pings, and what a client library says by itself.
        Kind::Ask | Kind::Answer if word("#-") => 0,
        Kind::Ask if about => 100,
        Kind::Ask => 55,
        Kind::Answer | Kind::Notice if about => 85,
        Kind::Answer | Kind::Notice => 15,
        Kind::Connect | Kind::Connected if about => 30,
        Kind::Lost => 5,
        Kind::Write if word("promise") || word("truncate") || word("reset") => 48,
        Kind::Write if about => 46,
        Kind::Durable if about => 35,
        Kind::Receive if about => 25,
        Kind::Reply | Kind::Request | Kind::Notify if about => 20,
        Kind::Close => 10,
        _ => 0,
    };
    if base == 0 {
        return 0;
    }
    base + if cone.contains(&event.id) { 40 } else { 0 } + if about { 10 } else { 0 }
}

/// Whether two events say the same of the same thing, so that one of them is enough.
fn same_thing(one: &Event, two: &Event) -> bool {
    let is_traffic = |event: &Event| {
        matches!(
            event.kind,
            Kind::Write | Kind::Durable | Kind::Receive | Kind::Request | Kind::Reply | Kind::Notify
        ) || event.kind == Kind::Note && event.text.starts_with("executes")
    };
    if one.lane == two.lane && one.kind == two.kind {
        // Who keeps trying is told of once.
        let repeats = !matches!(
            one.kind,
            Kind::Fault | Kind::Ask | Kind::Answer | Kind::Notice | Kind::Write | Kind::Durable
        );
        if one.text == two.text || repeats && without_numbers(&one.text) == without_numbers(&two.text) {
            return true;
        }
    }
    if one.at.abs_diff(two.at) > 50 * MS {
        return false;
    }
    // A crash's fault and the end of the process; a request and its arrival; an answer and its sending.
    let pair = |a: Kind, b: Kind| (one.kind, two.kind) == (a, b) || (one.kind, two.kind) == (b, a);
    if pair(Kind::Fault, Kind::End) && one.at == two.at {
        return true;
    }
    if pair(Kind::Ask, Kind::Request) || pair(Kind::Answer, Kind::Reply) || pair(Kind::Notice, Kind::Notify) {
        return one.text == two.text;
    }
    is_traffic(one)
        && is_traffic(two)
        && one.zxids.is_some()
        && one.zxids == two.zxids
        && one.lane == two.lane
}

fn without_numbers(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// An event as a line of the story.
pub fn line(event: &Event) -> String {
    let who = match event.lane {
        Lane::World => String::new(),
        lane => format!("{lane} "),
    };
    let other = event.other.map(|other| other.to_string()).unwrap_or_default();
    let what = match event.kind {
        Kind::Send => {
            let fate = match event.fate {
                Some(Fate::Lost) => ", which is lost",
                Some(Fate::Missed) => ", where no process runs",
                Some(Fate::Doubled) => ", which arrives twice",
                Some(Fate::Late) => ", which is late",
                None => "",
            };
            format!("sends {other} {}{fate}", event.text)
        }
        Kind::Receive => format!("hears of {other}: {}", event.text),
        Kind::Request => format!("is asked by {other}: {}", event.text),
        Kind::Reply => format!("replies to {other}: {}", event.text),
        Kind::Notify => format!("notifies {other}: {}", event.text),
        Kind::Ask => format!("asks {}", event.text),
        Kind::Answer => format!("is answered {}", event.text),
        Kind::Notice => format!("is notified: {}", event.text),
        Kind::Connect => format!("connects to {other}: {}", event.text),
        Kind::Connected => format!("is let in: {}", event.text),
        Kind::Write => format!("writes: {}", event.text),
        Kind::Fault => format!("FAULT {}", event.text),
        Kind::Healed => "all faults have ended".to_owned(),
        _ => event.text.clone(),
    };
    format!("{}.{:03} ms  {who}{what}", event.at / MS, event.at % MS / 1000)
}

/// What happened in a step of the world, the important things first.
pub fn happened(recording: &Recording, step: u64) -> Vec<String> {
    let mut events: Vec<&Event> =
        recording.events.iter().filter(|event| event.step == step && event.kind != Kind::Violation).collect();
    let cone = BTreeSet::new();
    let topic = Topic::default();
    events.sort_by_key(|event| {
        // What arrives says most of why the rest happened.
        let arrives = matches!(event.kind, Kind::Receive | Kind::Request | Kind::Synced | Kind::Wake);
        std::cmp::Reverse(score(event, event, &topic, &cone).min(1) + if arrives { 40 } else { rank(event) })
    });
    events.into_iter().take(3).map(line).collect()
}

fn rank(event: &Event) -> u32 {
    match event.kind {
        Kind::Fault | Kind::Boot | Kind::End | Kind::Halt => 60,
        Kind::Note => 50,
        Kind::Durable => 45,
        Kind::Ask | Kind::Answer | Kind::Notice => 45,
        Kind::Write => 30,
        _ => 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_checker_names_is_found_in_its_words() {
        let mut topic = Topic::default();
        topic.named_in("a reply at 1:4, and no notification of NodeCreated of \"/b/e\" to 0x1f: 10.0.0.1");
        assert_eq!(topic.paths.into_iter().collect::<Vec<_>>(), ["/b/e"]);
        assert_eq!(topic.zxids.into_iter().collect::<Vec<_>>(), [1 << 32 | 4]);
        assert_eq!(topic.sessions.into_iter().collect::<Vec<_>>(), [0x1f]);
    }
}
