//! A recording of whatever the user names: a schedule's file is run, a trace file is read, a seed is drawn and run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use vivarium_sim::Schedule;

use super::{Recording, Subject, file, record};
use crate::trace::{self, Trace};

/// What the user named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A `*.sched` or a `*.trace` file, told apart by its first bytes.
    File(PathBuf),
    /// A seed.
    Seed(u64),
}

impl Source {
    /// Makes or reads the recording.
    ///
    /// # Errors
    /// When the file cannot be read, or is neither a schedule nor a recording.
    pub fn recording(&self) -> Result<Recording> {
        match self {
            Source::Seed(seed) => Ok(record(seed_subject(*seed), &Schedule::draw(*seed))),
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
        Source::Seed(seed) => Ok(Schedule::draw(*seed)),
        Source::File(path) => Ok(Trace::parse(&recording.header.schedule)
            .with_context(|| format!("the schedule in {}", path.display()))?
            .schedule),
    }
}

fn seed_subject(seed: u64) -> Subject {
    Subject {
        name: format!("seed {seed}"),
        again: format!("cargo harness record --seed {seed} -o seed-{seed}.trace"),
        replay: format!("cargo harness replay --seed {seed} --verbose"),
        schedule: format!("format {}\nexpect clean\nseed {seed}\ndrawn\n", trace::FORMAT),
    }
}

fn file_subject(path: &Path, text: String) -> Subject {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let trace = path.with_extension("trace");
    Subject {
        name,
        again: format!("cargo harness record {} -o {}", path.display(), trace.display()),
        replay: format!("cargo harness replay {} --verbose", path.display()),
        schedule: text,
    }
}
