//! A recording of whatever the user names: a schedule's file is run, a trace file is read, a seed is drawn and run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use vivarium_sim::Schedule;

use super::{Recording, Subject, file, record};
use crate::build;
use crate::hunt::{self, options::SabotageName};
use crate::trace::Trace;

/// What the user named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A `*.sched` or a `*.trace` file, told apart by its first bytes.
    File(PathBuf),
    /// A seed, and what the world of its schedule itself does wrong.
    Seed(u64, Option<SabotageName>),
}

impl Source {
    /// Makes or reads the recording.
    ///
    /// # Errors
    /// When the file cannot be read, or is neither a schedule nor a recording.
    pub fn recording(&self) -> Result<Recording> {
        match self {
            Source::Seed(seed, sabotage) => {
                let schedule = hunt::work::schedule(*seed, *sabotage);
                Ok(record(seed_subject(*seed, *sabotage, &schedule), &schedule))
            }
            Source::File(path) => {
                let bytes = std::fs::read(path).with_context(|| format!("{}", path.display()))?;
                if bytes.starts_with(&file::MAGIC) {
                    return file::read(std::io::Cursor::new(bytes))
                        .with_context(|| format!("{}", path.display()));
                }
                let text = String::from_utf8(bytes)
                    .ok()
                    .with_context(|| format!("{}: neither a schedule nor a recording", path.display()))?;
                let trace = Trace::parse(&text).with_context(|| format!("{}", path.display()))?;
                Ok(record(file_subject(path, text), &trace.schedule))
            }
        }
    }
}

/// The schedule of a recording that came from there.
///
/// # Errors
/// When the text of the schedule cannot be read any more.
pub fn schedule(source: &Source, recording: &Recording) -> Result<Schedule> {
    match source {
        Source::Seed(seed, sabotage) => Ok(hunt::work::schedule(*seed, *sabotage)),
        Source::File(path) => Ok(Trace::parse(&recording.header.schedule)
            .with_context(|| format!("the schedule in {}", path.display()))?
            .schedule),
    }
}

fn seed_subject(seed: u64, sabotage: Option<SabotageName>, schedule: &Schedule) -> Subject {
    let option = hunt::work::option(sabotage);
    let text = Trace { story: Vec::new(), schedule: schedule.clone(), drawn: true, expect: None, hash: None };
    Subject {
        name: format!("seed {seed}{}", sabotage.map(|kind| format!(", {}", kind.name())).unwrap_or_default()),
        again: format!("{} record --seed {seed}{option} -o seed-{seed}.trace", build::program()),
        replay: hunt::work::replay_command(seed, sabotage),
        schedule: text.to_string(),
    }
}

fn file_subject(path: &Path, text: String) -> Subject {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let trace = path.with_extension("trace");
    Subject {
        name,
        again: format!("{} record {} -o {}", build::program(), path.display(), trace.display()),
        replay: format!("{} replay {} --verbose", build::program(), path.display()),
        schedule: text,
    }
}
