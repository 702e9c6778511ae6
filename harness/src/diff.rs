//! `harness diff`: where two runs part first, and what followed in each.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;

use crate::end::{End, Usage};
use crate::recording::align::align;
use crate::recording::command::{event_json, line};
use crate::recording::source::Source;
use crate::recording::{Event, EventId, Lane, Recording};

/// Show where two runs part first, and what followed
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A schedule (*.sched), a recording (*.trace), or `seed:N`.
    first: PathBuf,
    /// The other one.
    second: PathBuf,
    /// How many events to show after the first difference, of each run.
    #[arg(long, value_name = "N", default_value_t = 12)]
    after: usize,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

/// The verb `diff`. Exit code 0 when both runs are the same, 1 when they differ.
///
/// # Errors
/// When a file cannot be read.
pub fn run(args: &Args) -> Result<End> {
    let (first, second) = (named(&args.first)?.recording()?, named(&args.second)?.recording()?);
    compare(&first, &second, args.after, args.json, &mut std::io::stdout().lock())
}

fn compare(
    first: &Recording,
    second: &Recording,
    after: usize,
    as_json: bool,
    out: &mut impl Write,
) -> Result<End> {
    let alignment = align(first, second);
    let Some(parting) = alignment.divergence else {
        match as_json {
            true => writeln!(out, "{}", json!({ "same": true, "events": first.events.len() }))?,
            false => writeln!(out, "both runs are the same: {} events", first.events.len())?,
        }
        return Ok(End::Clean);
    };
    let paired: (BTreeSet<EventId>, BTreeSet<EventId>) = alignment.pairs.iter().copied().unzip();
    let followed = (
        consequences(first, parting.first, &paired.0, after),
        consequences(second, parting.second, &paired.1, after),
    );
    if as_json {
        let side = |recording: &Recording, at: Option<EventId>, after: &[&Event]| {
            json!({
                "name": recording.header.name,
                "event": at.and_then(|id| recording.event(id)).map(event_json),
                "followed": after.iter().map(|event| event_json(event)).collect::<Vec<_>>(),
            })
        };
        let value = json!({
            "same": false,
            "lane": parting.lane.to_string(),
            "alike": alignment.pairs.len(),
            "first": side(first, parting.first, &followed.0),
            "second": side(second, parting.second, &followed.1),
        });
        writeln!(out, "{value}")?;
        return Ok(End::Broken);
    }
    writeln!(
        out,
        "{} and {} part at {}; {} events of {} and {} are alike",
        first.header.name,
        second.header.name,
        place(parting.lane),
        alignment.pairs.len(),
        first.events.len(),
        second.events.len()
    )?;
    for (recording, at, after) in [(first, parting.first, &followed.0), (second, parting.second, &followed.1)]
    {
        writeln!(out, "\n{}", recording.header.name)?;
        match at.and_then(|id| recording.event(id)) {
            Some(event) => writeln!(out, "> {}", line(event))?,
            None => writeln!(out, "> nothing more happens there")?,
        }
        for event in after {
            writeln!(out, "  {}", line(event))?;
        }
        let end = match &recording.header.violation {
            Some(broken) => format!("\"{}\" is broken: {}", broken.property, broken.seen),
            None => "every property holds".into(),
        };
        writeln!(out, "  in the end {end}")?;
    }
    Ok(End::Broken)
}

fn place(lane: Lane) -> String {
    match lane {
        Lane::World => "what the world does".into(),
        lane => lane.to_string(),
    }
}

/// `seed:N`, or a file.
fn named(name: &std::path::Path) -> Result<Source> {
    match name.to_str().and_then(|name| name.strip_prefix("seed:")) {
        Some(seed) => {
            let wrong = || Usage(format!("`seed:N` is wanted, not seed:{seed}"));
            Ok(Source::Seed(seed.parse().map_err(|_| wrong())?, None))
        }
        None => Ok(Source::File(name.to_owned())),
    }
}

/// What followed from an event, and has nothing like it in the other run.
fn consequences<'a>(
    recording: &'a Recording,
    from: Option<EventId>,
    alike: &BTreeSet<EventId>,
    most: usize,
) -> Vec<&'a Event> {
    let Some(from) = from else { return Vec::new() };
    let mut cone = BTreeSet::from([from]);
    let mut followed = Vec::new();
    for event in recording.events.iter().skip(from as usize) {
        if event.causes.iter().any(|cause| cone.contains(cause)) {
            cone.insert(event.id);
            if !alike.contains(&event.id) {
                followed.push(event);
                if followed.len() == most {
                    break;
                }
            }
        }
    }
    followed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(first: &Recording, second: &Recording, as_json: bool) -> (End, String) {
        let mut out = Vec::new();
        let end = compare(first, second, 3, as_json, &mut out).expect("memory can be written to");
        (end, String::from_utf8(out).expect("text"))
    }

    #[test]
    fn a_run_is_like_itself_and_unlike_another() {
        let (first, second) =
            (Source::Seed(3, None).recording().unwrap(), Source::Seed(4, None).recording().unwrap());
        let (end, text) = told(&first, &first, false);
        assert_eq!(end, End::Clean);
        assert!(text.starts_with("both runs are the same"), "{text}");
        let (end, text) = told(&first, &second, false);
        assert_eq!(end, End::Broken);
        assert!(text.contains("seed 3 and seed 4 part at") && text.contains("in the end"), "{text}");
        let (_, text) = told(&first, &second, true);
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["same"], false);
        assert_eq!(value["second"]["name"], "seed 4");
    }

    #[test]
    fn what_is_named_is_a_seed_or_a_file() {
        assert_eq!(named(std::path::Path::new("seed:7")).unwrap(), Source::Seed(7, None));
        assert!(named(std::path::Path::new("seed:x")).is_err());
        assert_eq!(named(std::path::Path::new("a.sched")).unwrap(), Source::File("a.sched".into()));
    }
}
