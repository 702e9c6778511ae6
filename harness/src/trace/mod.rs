//! Trace files (`*.sched`): a schedule as text, what it is expected to come to, and the story of the bug that it found.
//!
//! ```text
//!   parse      reading; what is wrong is told with its line and what was wanted there
//!   print      writing
//!   settings   `name key=value ...`: only what differs from a plain world
//! ```
//!
//! The format is told to people in `traces/README.md`.

mod parse;
mod print;
mod settings;

use std::path::Path;

use anyhow::{Context, Result};
use vivarium_sim::{Report, Schedule, Verdict};

use crate::end::Usage;

/// The number of the format, in each file's first line that is no comment.
pub const FORMAT: u32 = 2;

/// A trace file, read.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The story, line by line, without the marks of comments.
    pub story: Vec<String>,
    /// What to run.
    pub schedule: Schedule,
    /// Whether choices and faults are drawn from the seed, or these.
    pub drawn: bool,
    /// The property that is broken, or none.
    pub expect: Option<String>,
    /// The running hash of all outputs when the file was written: another one means that the code has changed since.
    pub hash: Option<u64>,
}

impl Trace {
    /// Reads a file; `-` is the standard input.
    ///
    /// # Errors
    /// When it cannot be read, or which line is wrong.
    pub fn load(path: &Path) -> Result<Trace> {
        let text = match path == Path::new("-") {
            true => std::io::read_to_string(std::io::stdin()),
            false => std::fs::read_to_string(path),
        };
        let named = || Usage(format!("{}", path.display()));
        Trace::parse(&text.with_context(named)?).with_context(named)
    }

    /// Writes a file, whole or not at all; `-` is the standard output.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        if path == Path::new("-") {
            print!("{self}");
            return Ok(());
        }
        let named = || format!("cannot write {}", path.display());
        let beside = path.with_extension("sched.new");
        std::fs::write(&beside, self.to_string()).with_context(named)?;
        std::fs::rename(&beside, path).with_context(named)
    }

    /// The trace of a schedule that came to this.
    pub fn of(schedule: Schedule, report: &Report) -> Trace {
        let expect = match &report.verdict {
            Verdict::Clean => None,
            Verdict::Broken(violation) => Some(violation.property.to_owned()),
        };
        let drawn = schedule.choices == vivarium_sim::schedule::Choices::Drawn;
        Trace { story: Vec::new(), schedule, drawn, expect, hash: Some(report.hash) }
    }
}

#[cfg(test)]
mod tests;
