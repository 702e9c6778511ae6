//! `fail/SIGNATURE/`: for each kind of failure the schedule that fails in the fewest events, as files that can be run,
//! read and made smaller. A schedule lists all its choices, so that it stays what it is when the drawing of schedules
//! changes; only the code that it runs may make another run of it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

use super::files;
use super::findings::{Finding, Findings};
use super::options::SabotageName;
use super::work::schedule;
use crate::run::{Runner, listed};
use crate::trace::Trace;

/// The examples of a run's folder.
#[derive(Debug, Default)]
pub struct Examples {
    /// By signature, the seed that was written, and whether its minimal form was as well.
    written: BTreeMap<String, (u64, bool)>,
}

impl Examples {
    /// Writes those that are not there yet, or whose finding has a smaller one by now.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&mut self, folder: &Path, findings: &Findings, sabotage: Option<SabotageName>) -> Result<()> {
        for finding in findings.ranked() {
            let failure = &finding.smallest;
            let state = (failure.seed, finding.minimal.is_some());
            if self.written.get(&failure.signature) == Some(&state) {
                continue;
            }
            let folder = folder.join("fail").join(&failure.signature);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
            original(finding, sabotage).save(&folder.join("orig.sched"))?;
            if let Some(minimal) = &finding.minimal {
                files::write(&folder.join("min.sched"), &minimal.text)?;
            }
            self.written.insert(failure.signature.clone(), state);
        }
        Ok(())
    }
}

/// The schedule that failed, with every choice that was made on the way.
fn original(finding: &Finding, sabotage: Option<SabotageName>) -> Trace {
    let failure = &finding.smallest;
    let drawn = schedule(failure.seed, sabotage);
    let (report, choices) = Runner::default().record(&drawn, &mut ());
    let mut trace = Trace::of(listed(&drawn, choices), &report);
    trace.story = vec![
        format!("{}: {}", failure.property, one_line(&failure.meaning)),
        format!("Seen: {}", one_line(&failure.seen)),
        format!("Drawn from seed {}; it fails after {} events.", failure.seed, failure.events),
    ];
    trace
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
