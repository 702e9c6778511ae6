//! Which schedule a verb is about: a trace file's, or a seed's.

use std::path::PathBuf;

use anyhow::Result;
use vivarium_sim::Schedule;

use crate::build;
use crate::hunt::{self, options::SabotageName};
use crate::trace::Trace;

/// A schedule by file or by seed, as verbs take it.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Subject {
    /// A trace file; `-` for the standard input.
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
