//! One schedule again, by seed or by trace file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use vivarium_sim::{Report, Schedule, Verdict};

use crate::end::Usage;
use crate::hunt::{self, options::SabotageName};
use crate::run::{End, Runner, describe, listed};
use crate::tell::Teller;
use crate::trace::Trace;

/// Run one schedule again, by seed or from a file
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A schedule (*.sched); `-` for the standard input.
    #[arg(required_unless_present = "seed", conflicts_with = "seed")]
    file: Option<PathBuf>,
    /// A seed.
    #[arg(long)]
    seed: Option<u64>,
    /// With `--seed`: what the simulated world itself does wrong.
    #[arg(long, value_enum, value_name = "KIND", requires = "seed")]
    sabotage: Option<SabotageName>,
    /// A line for each event.
    #[arg(long, short)]
    verbose: bool,
    /// The file is of a bug that is known and open: 0 when it still fails, 1 when it does not any more.
    #[arg(long, conflicts_with_all = ["seed", "output"])]
    expect_fail: bool,
    /// Write the run as a schedule (*.sched) that lists every choice; `-` for the standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Run all schedule files of a directory
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct CorpusArgs {
    #[command(subcommand)]
    what: Option<CorpusVerb>,
    #[command(flatten)]
    files: CorpusFiles,
}

#[derive(clap::Subcommand, Debug)]
enum CorpusVerb {
    /// Run them; that is also what `corpus` alone does.
    Run(CorpusFiles),
}

#[derive(clap::Args, Debug)]
struct CorpusFiles {
    /// The directory.
    #[arg(default_value = "traces")]
    directory: PathBuf,
    /// The files are of bugs that are known and open: 0 when all still fail, 1 when one does not any more.
    #[arg(long)]
    expect_fail: bool,
}

/// The verb `replay`.
///
/// # Errors
/// When the file cannot be read.
pub fn run(args: &Args) -> Result<End> {
    if let Some(output) = &args.output {
        let schedule = match (args.seed, &args.file) {
            (Some(seed), _) => hunt::work::schedule(seed, args.sabotage),
            (None, Some(path)) => Trace::load(path)?.schedule,
            (None, None) => unreachable!("clap demands a seed or a file"),
        };
        let (report, choices) = Runner::default().record(&schedule, &mut ());
        Trace::of(listed(&schedule, choices), &report).save(output)?;
        return Ok(if report.verdict == Verdict::Clean { End::Clean } else { End::Broken });
    }
    match (args.seed, &args.file) {
        (Some(number), _) => seed(number, args.sabotage, args.verbose),
        (None, Some(path)) => Ok(judge(path, file(path, args.verbose)?, args.expect_fail)),
        (None, None) => unreachable!("clap demands a seed or a file"),
    }
}

/// The verb `corpus`.
///
/// # Errors
/// When the directory or a file cannot be read.
pub fn run_corpus(args: &CorpusArgs) -> Result<End> {
    let files = match &args.what {
        Some(CorpusVerb::Run(files)) => files,
        None => &args.files,
    };
    corpus(&files.directory, files.expect_fail)
}

/// What a file's end means where it is expected to fail: the bug is known, and its being gone is the news.
fn judge(path: &Path, end: End, expect_fail: bool) -> End {
    match end {
        End::Broken if expect_fail => {
            println!("    (known, and still so)");
            End::Clean
        }
        End::Clean if expect_fail => {
            println!("    fixed? move {} to the traces that hold", path.display());
            End::Broken
        }
        end => end,
    }
}

/// Runs the schedule of a seed; `verbose` tells each event.
///
/// # Errors
/// Never; for symmetry.
pub fn seed(seed: u64, sabotage: Option<SabotageName>, verbose: bool) -> Result<End> {
    let report = replay(&hunt::work::schedule(seed, sabotage), verbose);
    Ok(match &report.verdict {
        Verdict::Clean => {
            println!("seed {seed}: every property holds; {}", figures(&report));
            End::Clean
        }
        Verdict::Broken(violation) => {
            let command = hunt::work::replay_command(seed, sabotage);
            println!("{}", describe(&format!("seed {seed}"), &command, &report, violation));
            End::Broken
        }
    })
}

/// Runs a trace file.
///
/// # Errors
/// When it cannot be read.
pub fn file(path: &Path, verbose: bool) -> Result<End> {
    let trace = Trace::load(path)?;
    let report = replay(&trace.schedule, verbose);
    let name = path.display();
    Ok(match (&report.verdict, &trace.expect) {
        (Verdict::Clean, None) => {
            println!("{name}: every property holds, as expected; {}", figures(&report));
            if let Some(hash) = trace.hash.filter(|hash| *hash != report.hash) {
                println!("    (the code has changed since it was written, when the hash was {hash:016x})");
            }
            End::Clean
        }
        (Verdict::Broken(violation), Some(expected)) if violation.property == expected => {
            println!("{name}: \"{expected}\" is broken, as expected: {}", violation.seen);
            End::Clean
        }
        (Verdict::Broken(violation), _) => {
            let command = format!("cargo harness replay {name} --verbose");
            println!("{}", describe(&name.to_string(), &command, &report, violation));
            End::Broken
        }
        (Verdict::Clean, Some(expected)) => {
            println!("{name}: every property holds, but \"{expected}\" was expected to be broken");
            End::Broken
        }
    })
}

/// Runs all trace files of a directory.
///
/// # Errors
/// When the directory or a file cannot be read.
pub fn corpus(directory: &Path, expect_fail: bool) -> Result<End> {
    let mut files = Vec::new();
    let unreadable = || Usage(format!("cannot read the directory {}", directory.display()));
    for entry in std::fs::read_dir(directory).with_context(unreadable)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sched") {
            files.push(path);
        }
    }
    files.sort();
    let mut worst = End::Clean;
    for path in &files {
        worst = worst.max(judge(path, file(path, false)?, expect_fail));
    }
    println!("{} trace files in {}", files.len(), directory.display());
    Ok(if files.is_empty() { End::NothingRan } else { worst })
}

fn replay(schedule: &Schedule, verbose: bool) -> Report {
    let mut runner = Runner::default();
    if verbose { runner.run(schedule, &mut Teller::new()) } else { runner.run(schedule, &mut ()) }
}

fn figures(report: &Report) -> String {
    format!(
        "{} events in {} simulated ms, hash {:016x}",
        report.events,
        report.at / vivarium_sim::MS,
        report.hash
    )
}
