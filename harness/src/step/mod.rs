//! `harness step`: a walk through a run, event by event, forwards and backwards.
//!
//! ```text
//!   command     what a reader types, and the help that tells it
//!   condition   which events to stop at
//!   walk        where the reader stands, and what is shown there
//!   deep        what a recording does not hold: a node's tree and sessions, from the world run up to the event
//! ```
//!
//! Commands come from the standard input, so that a walk can be a script; only people at a terminal see a prompt.

mod command;
mod condition;
mod deep;
mod walk;

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::Result;
use vivarium_sim::Schedule;

use crate::end::End;
use crate::hunt::options::SabotageName;
use crate::recording::source::{self, Source};
use command::Command;
use walk::Walk;

/// Walk through a run event by event, forwards and backwards
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A schedule (*.sched) or a recording (*.trace).
    #[arg(required_unless_present = "seed", conflicts_with = "seed")]
    file: Option<PathBuf>,
    /// A seed.
    #[arg(long)]
    seed: Option<u64>,
    /// With `--seed`: what the simulated world itself does wrong.
    #[arg(long, value_enum, value_name = "KIND", requires = "seed")]
    sabotage: Option<SabotageName>,
    /// Where to begin.
    #[arg(long, value_name = "EVENT", default_value_t = 1)]
    at: u64,
}

/// The verb `step`.
///
/// # Errors
/// When the file cannot be read.
pub fn run(args: &Args) -> Result<End> {
    let source = match (&args.file, args.seed) {
        (Some(path), _) => Source::File(path.clone()),
        (None, seed) => Source::Seed(seed.expect("clap demands a seed or a file"), args.sabotage),
    };
    let recording = source.recording()?;
    let schedule = source::schedule(&source, &recording)?;
    let input = std::io::stdin();
    let prompt = input.is_terminal();
    walk(recording, schedule, args.at, input.lock(), &mut std::io::stdout().lock(), prompt)?;
    Ok(End::Clean)
}

/// Reads commands until there are no more. What a command says wrong is told, and the walk goes on.
fn walk(
    recording: crate::recording::Recording,
    schedule: Schedule,
    at: u64,
    input: impl BufRead,
    out: &mut impl Write,
    prompt: bool,
) -> Result<()> {
    let mut walk = Walk::new(recording, schedule, at);
    walk.welcome(out)?;
    let mut last = Command::Next(1);
    let mut lines = input.lines();
    loop {
        if prompt {
            write!(out, "{}> ", walk.here())?;
        }
        out.flush()?;
        let Some(line) = lines.next() else { return Ok(()) };
        let line = line?;
        let command = match line.trim() {
            "" if prompt => Ok(last.clone()),
            "" => continue,
            text => Command::parse(text),
        };
        match command {
            Ok(Command::Quit) => return Ok(()),
            Ok(command) => {
                if let Err(error) = walk.follow(&command, out) {
                    writeln!(out, "{error:#}")?;
                }
                if matches!(command, Command::Next(_) | Command::Back(_) | Command::Find { .. } | Command::Go)
                {
                    last = command;
                }
            }
            Err(error) => writeln!(out, "{error:#}")?,
        }
    }
}

#[cfg(test)]
mod tests;
