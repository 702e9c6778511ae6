//! The verb `causes`: the curve as a chart of text, and the leaps with what happened there.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use vivarium_sim::MS;

use super::{Curve, Effort, Turn};
use crate::explain::happened;
use crate::run::End;
use crate::subject::Subject;

/// Say from which event on a failure was to come: its probability over time, by trying other futures
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    subject: Subject,
    /// How many futures are tried at each point.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    samples: u32,
    /// How many points at equal distances to begin with; leaps between them are looked at more closely.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=1000))]
    points: u32,
    /// After so many seconds leaps are not looked at more closely any more.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    budget: u64,
    /// Print a JSON object instead.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    curve: &'a Curve,
    turns: Vec<Turn>,
}

/// Runs the verb.
///
/// # Errors
/// When the file cannot be read.
pub fn run(args: &Args) -> Result<End> {
    let schedule = args.subject.schedule()?;
    let effort =
        Effort { samples: args.samples, points: args.points, budget: Duration::from_secs(args.budget) };
    let Some(curve) = Curve::of(&schedule, effort) else {
        println!("every property holds: there is nothing to look for the cause of");
        return Ok(End::Clean);
    };
    if args.json {
        println!("{}", serde_json::to_string(&Told { curve: &curve, turns: curve.turns() })?);
        return Ok(End::Broken);
    }
    print!("{}", chart(&curve));
    let recording = crate::recording::record(args.subject.recorded(&schedule), &schedule);
    for turn in curve.turns() {
        println!("{}", turn.told());
        for line in happened(&recording, turn.event) {
            println!("    {line}");
        }
    }
    Ok(End::Broken)
}

impl Turn {
    /// In words.
    pub fn told(&self) -> String {
        format!(
            "P(fail) {} {:.0} % -> {:.0} % {} event {}, {} ms",
            if self.after - self.before > 0.5 { "jumps" } else { "rises" },
            self.before * 100.0,
            self.after * 100.0,
            if self.event - self.last_before == 1 { "at" } else { "by" },
            self.event,
            self.at / MS
        )
    }
}

/// A line for each point.
fn chart(curve: &Curve) -> String {
    const WIDTH: usize = 40;
    let mut text = format!(
        "P(\"{}\" is broken), each point from {} other futures:\n{:>9} {:>10}\n",
        curve.property, curve.samples, "event", "ms"
    );
    for point in &curve.points {
        let probability = curve.probability(point);
        let full = (probability * WIDTH as f64).round() as usize;
        let _ = writeln!(
            text,
            "{:>9} {:>6}.{:03} |{:<WIDTH$}| {:>3.0} %",
            point.event,
            point.at / MS,
            point.at % MS / 1000,
            "#".repeat(full),
            probability * 100.0
        );
    }
    text
}
