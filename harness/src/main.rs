//! The `harness` command. Exit codes: 0 all properties hold, 1 one is broken, 2 undetermined, 3 not deterministic,
//! 64 wrong usage, 70 something is wrong with the harness itself.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use vivarium_harness::{hunt, replay};

/// Runs are short and full of small allocations: this takes a sixth off their time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Put the coordination service through disasters, each a function of its seed.
#[derive(Parser)]
#[command(name = "harness", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run many schedules, each drawn from a seed of its own, and check every property.
    Hunt(Hunt),
    /// Run one schedule again.
    Replay(Replay),
    /// Run all trace files of a directory.
    Corpus {
        /// The directory.
        #[arg(default_value = "traces")]
        directory: PathBuf,
    },
}

#[derive(Args)]
struct Hunt {
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many threads; 0 for one per core.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Print a JSON object as the last line.
    #[arg(long)]
    json: bool,
    /// Percentage of the seeds that are run twice, to see that both runs are the same.
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=100))]
    double_check: u32,
    /// Stop after so many seconds; what has not been run by then is undetermined.
    #[arg(long, value_name = "SECONDS")]
    budget: Option<u64>,
    /// Stop at this many failures.
    #[arg(long, default_value_t = 10)]
    failures: u64,
}

#[derive(Args)]
struct Replay {
    /// A trace file.
    #[arg(required_unless_present = "seed", conflicts_with = "seed")]
    file: Option<PathBuf>,
    /// A seed.
    #[arg(long)]
    seed: Option<u64>,
    /// A line for each event.
    #[arg(long, short)]
    verbose: bool,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to clap, but not to the user.
            let code = if error.use_stderr() { 64 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let result = match cli.command {
        Command::Hunt(hunt) => hunt::hunt(&hunt::Plan {
            seeds: hunt.seeds,
            from: hunt.from,
            jobs: hunt.jobs,
            json: hunt.json,
            double_check_percent: hunt.double_check,
            budget_seconds: hunt.budget,
            failures_max: hunt.failures.max(1),
        }),
        Command::Replay(Replay { seed: Some(seed), verbose, .. }) => replay::seed(seed, verbose),
        Command::Replay(Replay { file: Some(file), verbose, .. }) => replay::file(&file, verbose),
        Command::Replay(Replay { .. }) => unreachable!("clap demands a seed or a file"),
        Command::Corpus { directory } => replay::corpus(&directory),
    };
    match result {
        Ok(end) => ExitCode::from(end.code()),
        Err(error) => {
            eprintln!("harness: {error:#}");
            ExitCode::from(70)
        }
    }
}
