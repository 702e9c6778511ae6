//! The verb `shrink`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Meaning, Options, Shrunk, Signature, shrink};
use crate::build;
use crate::run::End;
use crate::subject::Subject;
use crate::trace::Trace;

/// Make a failing schedule small: a handful of decisions that fail in the same way
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    subject: Subject,
    /// End after so many seconds, with the best so far; so does ^C.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    budget: u64,
    /// The property that has to stay broken; otherwise the one that is broken, and an invariant at the same place.
    #[arg(long, value_name = "PROPERTY")]
    keep: Option<String>,
    /// How many threads; 0 for one per core.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Where to write it; `-` for the standard output
    /// [default: beside the file that was read, as NAME.min.sched; with --seed, the standard output].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print a JSON object as the last line.
    #[arg(long)]
    json: bool,
}

/// The last line of `--json`.
#[derive(Serialize)]
struct Summary<'a> {
    property: &'a str,
    decisions_before: usize,
    decisions_after: usize,
    nodes: usize,
    clients: usize,
    events: u64,
    replays: u64,
    seconds: f64,
    minimal: bool,
    meaning: &'a Meaning,
    file: String,
}

/// Runs the verb.
///
/// # Errors
/// When a file cannot be read or written.
pub fn run(args: &Args) -> Result<End> {
    let schedule = args.subject.schedule()?;
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGINT, stop.clone()).context("cannot listen for ^C")?;
    let jobs = match args.jobs {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    };
    let options = Options { budget: Duration::from_secs(args.budget), jobs, stop: &stop };
    let shrunk = match shrink(&schedule, args.keep.as_deref().map(Signature::property), options) {
        Ok(shrunk) => shrunk,
        Err(report) => {
            eprintln!(
                "there is nothing to make smaller: it does not fail in this way, but comes to {:?}",
                report.verdict
            );
            return Ok(End::Clean);
        }
    };
    let output = match (&args.output, args.subject.file()) {
        (Some(output), _) => output.clone(),
        (None, Some(file)) if file != Path::new("-") => file.with_extension("min.sched"),
        (None, _) => PathBuf::from("-"),
    };
    shrunk.trace().save(&output)?;
    // What is read by a program is not mixed with what is read by people.
    eprintln!("{}", shrunk.summary());
    if output != Path::new("-") {
        eprintln!("{} explain {}", build::program(), output.display());
    }
    if args.json {
        let summary = Summary {
            property: shrunk.violation().property,
            decisions_before: shrunk.before,
            decisions_after: shrunk.after,
            nodes: shrunk.schedule.nodes,
            clients: shrunk.schedule.clients.len(),
            events: shrunk.report.events,
            replays: shrunk.replays,
            seconds: shrunk.took.as_secs_f64(),
            minimal: shrunk.minimal,
            meaning: &shrunk.meaning,
            file: output.display().to_string(),
        };
        println!("{}", serde_json::to_string(&summary)?);
    }
    Ok(End::Broken)
}

impl Shrunk {
    /// It as a trace file, with what there is to say of it as the story.
    pub fn trace(&self) -> Trace {
        let violation = self.violation();
        // Replies are told whole, and can be long.
        let one_line = |text: &str| -> String {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            match text.char_indices().nth(300) {
                Some((end, _)) => format!("{} ...", &text[..end]),
                None => text,
            }
        };
        let mut trace = Trace::of(self.schedule.clone(), &self.report);
        trace.story = vec![
            format!("{}: {}.", violation.property, one_line(violation.meaning)),
            format!("Seen: {}", one_line(&violation.seen)),
            format!("Expected: {}", one_line(&violation.expected)),
            format!("Made of a schedule of {} decisions; {} are left.", self.before, self.after),
        ];
        trace
    }
}
