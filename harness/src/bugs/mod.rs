//! The bench that measures the simulator: known bugs of real systems, planted into the core one at a time, and how
//! much work it takes the hunt to find each.
//!
//! ```text
//!   rule      a bug as a small text file: edits of the core's sources, and the properties that may notice
//!   plant     all rules applied to one copy of the sources, to be switched on one at a time
//!   bench     building that copy, hunting for one bug with processes of its own
//!   entries   the list that the rules come from, and what is said about entries without a rule
//!   report    the table, and the same as JSON
//! ```
//!
//! The rules are in `harness/bugs/`; no line of them is in the core. A run with nothing planted has to be clean: else
//! the bench would measure something else than what it plants.

pub mod bench;
pub mod entries;
pub mod plant;
#[cfg(test)]
mod planted;
#[cfg(test)]
mod planted_tests;
pub mod report;
pub mod rule;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::end::{End, Usage};
use bench::{Bench, Hunted};
use plant::Sources;
use report::Row;
use rule::Rule;

/// Plant known bugs one at a time and measure how fast the hunt finds each
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Only rules whose name begins like this. May be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Processor time for each bug, in seconds.
    #[arg(long, value_name = "CPU-SECONDS", default_value_t = 60)]
    budget: u64,
    /// Processor time to make the schedule that found a bug smaller, in seconds; 0 for not at all.
    #[arg(long, value_name = "CPU-SECONDS", default_value_t = 10)]
    shrink: u64,
    /// Only the rules marked as canaries, which the gate runs.
    #[arg(long)]
    canaries: bool,
    /// Say which rules there are, and do nothing else.
    #[arg(long)]
    list: bool,
    /// How many hunts at once, each on one core; 0 for one per core.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Print a JSON object as the last line.
    #[arg(long)]
    json: bool,
}

/// Builds the planted copy, hunts for each bug and prints the table.
///
/// # Errors
/// When a rule does not apply, the copy does not build, a hunt fails in another way than by finding something, or
/// something is found with nothing planted.
pub fn run(args: &Args) -> Result<End> {
    let top = top();
    let rules = Rule::read_all(&top.join("harness/bugs"))?;
    let chosen: Vec<(u32, &Rule)> = (1u32..).zip(&rules).filter(|(_, rule)| args.wants(rule)).collect();
    if let Some(unknown) =
        args.only.iter().find(|name| !rules.iter().any(|rule| rule.name.starts_with(*name)))
    {
        bail!(Usage(format!(
            "no rule in harness/bugs is named {unknown}; `harness bugs --list` says which there are"
        )));
    }
    ensure!(!chosen.is_empty(), "no rule in harness/bugs is wanted");
    if args.list {
        report::list(chosen.iter().map(|(_, rule)| *rule));
        return Ok(End::Clean);
    }
    let target = target(&top).join("bugs");
    let mut sources = Sources::read(&top)?;
    sources.plant(&rules)?;
    let folder = target.join("source");
    sources.write(&folder)?;
    eprintln!("building a copy of the sources with {} bugs planted, in {}", rules.len(), folder.display());
    let bench = Bench::build(&folder, &target.join("build"))?;
    let budget = Duration::from_secs(args.budget.max(1));
    let rows = hunt_all(&bench, &chosen, budget, args)?;
    report::print(&rows, budget, args.json)?;
    Ok(if rows.iter().all(|row| row.hunted.seed.is_some()) { End::Clean } else { End::Broken })
}

impl Args {
    fn wants(&self, rule: &Rule) -> bool {
        let named = self.only.is_empty() || self.only.iter().any(|name| rule.name.starts_with(name.as_str()));
        named && (rule.canary || !self.canaries)
    }
}

/// The control run with nothing planted, and every chosen bug: in parallel, each on one core.
fn hunt_all<'a>(
    bench: &Bench,
    chosen: &[(u32, &'a Rule)],
    budget: Duration,
    args: &Args,
) -> Result<Vec<Row<'a>>> {
    let shrink = Duration::from_secs(args.shrink);
    let jobs = match args.jobs {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    };
    // The control run is the longest for sure, so it goes first.
    let tasks: Vec<Option<(u32, &Rule)>> =
        std::iter::once(None).chain(chosen.iter().copied().map(Some)).collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(tasks.len()) {
            scope.spawn(|| {
                while let Some((index, task)) = Some(next.fetch_add(1, Relaxed))
                    .and_then(|index| tasks.get(index).map(|task| (index, *task)))
                {
                    let result = match task {
                        None => control(bench, budget),
                        Some((number, rule)) => planted(bench, number, rule, budget, shrink),
                    };
                    let failed = result.is_err();
                    done.lock().expect("no thread panics while it holds this").push((index, result));
                    if failed {
                        next.store(tasks.len(), Relaxed);
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no thread panics while it holds this");
    done.sort_by_key(|(index, _)| *index);
    let mut rows = Vec::new();
    for (index, result) in done {
        let hunted = result?;
        if let Some((_, rule)) = tasks[index] {
            rows.push(Row { rule, hunted });
        }
    }
    Ok(rows)
}

fn planted(bench: &Bench, number: u32, rule: &Rule, budget: Duration, shrink: Duration) -> Result<Hunted> {
    let mut hunted = bench.hunt(number, &rule.name, budget)?;
    if shrink > Duration::ZERO {
        bench.shrink(number, &rule.name, shrink, &mut hunted)?;
    }
    eprintln!("{}", report::progress(rule, &hunted));
    Ok(hunted)
}

fn control(bench: &Bench, budget: Duration) -> Result<Hunted> {
    let hunted = bench.hunt(0, "nothing", budget)?;
    ensure!(
        hunted.seed.is_none() && !hunted.stuck,
        "with nothing planted, seed {:?} breaks {:?}: the bench would measure that. `cargo harness replay --seed {}` \
         shows it",
        hunted.seed,
        hunted.property,
        hunted.seed.unwrap_or_default()
    );
    eprintln!("nothing planted: {} schedules, all clean", hunted.schedules);
    Ok(hunted)
}

/// The top of the sources.
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the harness lies in the workspace").to_path_buf()
}

/// Where builds go.
fn target(top: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => std::path::absolute(&folder).unwrap_or_else(|_| folder.into()),
        None => top.join("target"),
    }
}
