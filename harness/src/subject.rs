//! Which schedule a verb is about: a trace file's, or a seed's.

use std::path::PathBuf;

use anyhow::Result;
use vivarium_sim::Schedule;
use vivarium_sim::schedule::Choices;

use crate::build;
use crate::hunt::{self, options::SabotageName};
use crate::recording;
use crate::trace::Trace;

/// A schedule by file or by seed, as verbs take it.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Subject {
    /// A schedule (*.sched); `-` for the standard input.
    #[arg(required_unless_present = "seed", conflicts_with = "seed")]
    file: Option<PathBuf>,
    /// A seed.
    #[arg(long)]
    seed: Option<u64>,
    /// With `--seed`: what the simulated world itself does wrong.
    #[arg(long, value_enum, value_name = "KIND", requires = "seed")]
    sabotage: Option<SabotageName>,
}

impl Subject {
    /// The schedule.
    ///
    /// # Errors
    /// When the file cannot be read, or which line of it is wrong.
    pub fn schedule(&self) -> Result<Schedule> {
        match (&self.file, self.seed) {
            (Some(path), _) => Ok(Trace::load(path)?.schedule),
            (None, seed) => {
                Ok(hunt::work::schedule(seed.expect("clap demands a seed or a file"), self.sabotage))
            }
        }
    }

    /// The file's name, if it is one.
    pub fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }

    /// What a recording of it says about where it comes from.
    pub fn recorded(&self, schedule: &Schedule) -> recording::Subject {
        let by = self.named();
        let drawn = schedule.choices == Choices::Drawn;
        let text = Trace { story: Vec::new(), schedule: schedule.clone(), drawn, expect: None, hash: None };
        recording::Subject {
            name: by.trim_start_matches("--").to_owned(),
            again: format!("{} record {by}", build::program()),
            replay: self.command(),
            schedule: text.to_string(),
        }
    }

    /// As it is named in a command line.
    pub fn named(&self) -> String {
        let sabotage = self.sabotage.map(|kind| format!(" --sabotage {}", kind.name())).unwrap_or_default();
        match (&self.file, self.seed) {
            (None, Some(seed)) => format!("--seed {seed}{sabotage}"),
            (file, _) => file.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
        }
    }

    /// The command that runs it again.
    pub fn command(&self) -> String {
        match (&self.file, self.seed) {
            (None, Some(seed)) => hunt::work::replay_command(seed, self.sabotage),
            (file, _) => {
                let file = file.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
                format!("{} replay {file} --verbose", build::program())
            }
        }
    }
}
