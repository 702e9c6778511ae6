//! `harness record`, which makes a `*.trace` file, and `harness show`, which prints one.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use super::source::Source;
use super::{Broken, Event, Header, State, file};
use crate::hunt::options::SabotageName;
use crate::run::End;

/// Run a schedule and write down all that happens
#[derive(Debug, clap::Args)]
pub struct RecordArgs {
    /// A schedule (*.sched).
    #[arg(required_unless_present = "seed", conflicts_with = "seed")]
    file: Option<PathBuf>,
    /// A seed.
    #[arg(long)]
    seed: Option<u64>,
    /// With `--seed`: what the simulated world itself does wrong.
    #[arg(long, value_enum, value_name = "KIND", requires = "seed")]
    sabotage: Option<SabotageName>,
    /// The recording to write (*.trace).
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

/// Print what `record` wrote
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// A recording (*.trace).
    file: PathBuf,
    /// Begin with the event of this number.
    #[arg(long, value_name = "ID", default_value_t = 1)]
    from: u64,
    /// Print at most so many events.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Print JSON: a line for the header, then a line for each event.
    #[arg(long)]
    json: bool,
}

/// Runs a schedule and writes down all that happens. Whether a property is broken is part of that, and no failure.
///
/// # Errors
/// When the schedule cannot be read or the file cannot be written.
pub fn record(args: &RecordArgs) -> Result<End> {
    let source = match (&args.file, args.seed) {
        (Some(file), _) => Source::File(file.clone()),
        (None, Some(seed)) => Source::Seed(seed, args.sabotage),
        (None, None) => unreachable!("clap demands a seed or a file"),
    };
    let recording = source.recording()?;
    file::save(&recording, &args.out)?;
    let bytes = std::fs::metadata(&args.out).map_or(0, |data| data.len());
    println!(
        "{}: {} events, {} bytes; {}",
        args.out.display(),
        recording.events.len(),
        bytes,
        ending(&recording.header)
    );
    Ok(End::Clean)
}

/// Prints a trace file.
///
/// # Errors
/// When it cannot be read, and where it is damaged.
pub fn show(args: &ShowArgs) -> Result<End> {
    let out = std::io::stdout().lock();
    match print(args, &mut std::io::BufWriter::new(out)) {
        // A reader that has seen enough is no failure.
        Err(error) if error.downcast_ref().is_some_and(is_broken_pipe) => Ok(End::Clean),
        Err(error) => Err(error.context(format!("{}", args.file.display()))),
        Ok(()) => Ok(End::Clean),
    }
}

fn is_broken_pipe(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}

fn print(args: &ShowArgs, out: &mut impl Write) -> Result<()> {
    let mut reader = open(&args.file)?;
    let header = reader.header().clone();
    if args.json {
        writeln!(out, "{}", header_json(&header))?;
    } else {
        writeln!(out, "{}: {} events, {}", header.name, header.events, ending(&header))?;
    }
    reader.seek(args.from)?;
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0
        && let Some(event) = reader.next()?
    {
        left -= 1;
        if args.json {
            writeln!(out, "{}", event_json(&event))?;
        } else {
            writeln!(out, "{}", line(&event))?;
        }
    }
    out.flush()?;
    Ok(())
}

fn open(path: &Path) -> Result<file::Reader<std::io::BufReader<std::fs::File>>> {
    file::Reader::open(std::io::BufReader::new(std::fs::File::open(path).context("cannot be opened")?))
}

fn ending(header: &Header) -> String {
    match &header.violation {
        None => format!("every property holds after {} ms", header.ended_at / vivarium_sim::MS),
        Some(broken) => format!("\"{}\" is broken at event {}", broken.property, broken.event),
    }
}

/// An event as a line of text.
pub fn line(event: &Event) -> String {
    let other = event.other.map_or(String::new(), |other| format!(" [{other}]"));
    format!(
        "{:>6} {:>6}.{:06} {:>5} {:<9} {}{other}{}",
        event.id,
        event.at / vivarium_sim::MS,
        event.at % vivarium_sim::MS,
        event.lane.to_string(),
        event.kind.name(),
        event.text,
        event.causes.first().map_or(String::new(), |cause| format!("  <- {cause}")),
    )
}

fn header_json(header: &Header) -> serde_json::Value {
    json!({
        "name": header.name,
        "nodes": header.nodes,
        "clients": header.clients,
        "events": header.events,
        "ended_at_ns": header.ended_at,
        "heals_at_ns": header.heals_at,
        "hash": format!("{:016x}", header.hash),
        "violation": header.violation.as_ref().map(Broken::json),
        "schedule": header.schedule,
        "record": header.again,
        "replay": header.replay,
    })
}

/// An event as JSON. Sessions and zxids are hexadecimal text, since JSON's numbers do not hold 64 bits.
pub fn event_json(event: &Event) -> serde_json::Value {
    let mut value = json!({
        "id": event.id,
        "at_ns": event.at,
        "step": event.step,
        "lane": event.lane.to_string(),
        "kind": event.kind.name(),
        "text": event.text,
        "causes": event.causes,
    });
    let object = value.as_object_mut().expect("an object");
    let mut put = |key: &str, value: serde_json::Value| object.insert(key.into(), value);
    if !event.detail.is_empty() {
        put("detail", event.detail.as_str().into());
    }
    if let Some(other) = event.other {
        put("other", other.to_string().into());
    }
    if !event.sessions.is_empty() {
        put("sessions", event.sessions.iter().map(|session| format!("0x{session:x}")).collect());
    }
    if !event.paths.is_empty() {
        put("paths", event.paths.iter().map(String::as_str).collect());
    }
    if let Some((first, last)) = event.zxids {
        put("zxids", json!([format!("0x{first:x}"), format!("0x{last:x}")]));
    }
    if let Some(fate) = event.fate {
        put("fate", format!("{fate:?}").to_lowercase().into());
    }
    if let Some(state) = event.after {
        put("after", state_json(&state));
    }
    value
}

fn state_json(state: &State) -> serde_json::Value {
    json!({
        "role": state.role.to_string(),
        "epoch": state.epoch,
        "last": format!("0x{:x}", state.last),
        "committed": format!("0x{:x}", state.committed),
        "applied": format!("0x{:x}", state.applied),
        "sessions": state.sessions,
        "znodes": state.znodes,
        "watches": state.watches,
        "outstanding": state.outstanding,
    })
}
