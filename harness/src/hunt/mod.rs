//! Many schedules, each from a seed of its own, on all cores.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use vivarium_sim::{Schedule, Verdict};

use crate::run::{End, Runner, describe};

/// Run many schedules, each drawn from a seed of its own, and check every property
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
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

/// The last line of `--json`.
#[derive(Serialize)]
struct Summary {
    schedules: u64,
    failures: u64,
    first_failing_seed: Option<u64>,
    nondeterministic: u64,
    double_checked: u64,
    undetermined: u64,
    events: u64,
    seconds: f64,
    jobs: usize,
    schedules_per_second_per_core: f64,
    events_per_second_per_core: f64,
}

#[derive(Default)]
struct Tally {
    next: AtomicU64,
    done: AtomicU64,
    events: AtomicU64,
    failures: AtomicU64,
    double_checked: AtomicU64,
    nondeterministic: AtomicU64,
    busy_nanos: AtomicU64,
    stop: AtomicBool,
    first_failing: Mutex<Option<u64>>,
}

/// Runs all seeds of the plan and reports each failure as it is found.
///
/// # Errors
/// Only when the output cannot be written.
pub fn run(plan: &Args) -> Result<End> {
    let jobs = match plan.jobs {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    };
    let tally = Tally::default();
    let started = Instant::now();
    let bar = progress_bar(plan.seeds);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| work(plan, &tally, &bar));
        }
        watch(plan, &tally, &bar, started);
    });
    bar.finish_and_clear();
    let schedules = tally.done.load(Relaxed);
    let busy = (tally.busy_nanos.load(Relaxed) as f64 / 1e9).max(1e-9);
    let summary = Summary {
        schedules,
        failures: tally.failures.load(Relaxed),
        first_failing_seed: *tally.first_failing.lock().expect("no thread panics while it holds this"),
        nondeterministic: tally.nondeterministic.load(Relaxed),
        double_checked: tally.double_checked.load(Relaxed),
        undetermined: plan.seeds - schedules,
        events: tally.events.load(Relaxed),
        seconds: started.elapsed().as_secs_f64(),
        jobs,
        schedules_per_second_per_core: schedules as f64 / busy,
        events_per_second_per_core: tally.events.load(Relaxed) as f64 / busy,
    };
    println!(
        "{} schedules, {} failures, {} events in {:.1} s: {:.0} schedules and {:.0} events per second and core; {} run \
         twice, {} not deterministic",
        summary.schedules,
        summary.failures,
        summary.events,
        summary.seconds,
        summary.schedules_per_second_per_core,
        summary.events_per_second_per_core,
        summary.double_checked,
        summary.nondeterministic,
    );
    if plan.json {
        println!("{}", serde_json::to_string(&summary)?);
    }
    Ok(if summary.nondeterministic > 0 {
        End::NotDeterministic
    } else if summary.failures > 0 {
        End::Broken
    } else if summary.undetermined > 0 {
        End::Undetermined
    } else {
        End::Clean
    })
}

fn work(plan: &Args, tally: &Tally, bar: &ProgressBar) {
    let mut runner = Runner::default();
    loop {
        let index = tally.next.fetch_add(1, Relaxed);
        if index >= plan.seeds || tally.stop.load(Relaxed) {
            return;
        }
        let seed = plan.from.wrapping_add(index);
        let schedule = Schedule::draw(seed);
        let begun = Instant::now();
        let report = runner.run(&schedule, &mut ());
        tally.busy_nanos.fetch_add(begun.elapsed().as_nanos() as u64, Relaxed);
        tally.events.fetch_add(report.events, Relaxed);
        let again = vivarium_sim::decision::mix(seed) % 100 < u64::from(plan.double_check);
        if again {
            tally.double_checked.fetch_add(1, Relaxed);
            let second = runner.run(&schedule, &mut ());
            if second != report {
                tally.nondeterministic.fetch_add(1, Relaxed);
                say(bar, &format!("seed {seed}: not deterministic: {report:?}, then {second:?}"));
            }
        }
        if let Verdict::Broken(violation) = &report.verdict {
            let command = format!("cargo harness replay --seed {seed}");
            say(bar, &describe(&format!("seed {seed}"), &command, &report, violation));
            let mut first = tally.first_failing.lock().expect("no thread panics while it holds this");
            *first = Some(first.map_or(seed, |f: u64| f.min(seed)));
            if tally.failures.fetch_add(1, Relaxed) + 1 >= plan.failures.max(1) {
                tally.stop.store(true, Relaxed);
            }
        }
        tally.done.fetch_add(1, Relaxed);
    }
}

/// Shows how far it is, until all is run or the budget ends.
fn watch(plan: &Args, tally: &Tally, bar: &ProgressBar, started: Instant) {
    let mut told = Instant::now();
    loop {
        let done = tally.done.load(Relaxed);
        let over = plan.budget.is_some_and(|budget| started.elapsed() >= Duration::from_secs(budget));
        if over {
            tally.stop.store(true, Relaxed);
        }
        if done >= plan.seeds || tally.stop.load(Relaxed) {
            return;
        }
        bar.set_position(done);
        if bar.is_hidden() && told.elapsed() >= Duration::from_secs(30) {
            told = Instant::now();
            println!(
                "{done} of {} schedules, {} failures, {:.0} s",
                plan.seeds,
                tally.failures.load(Relaxed),
                started.elapsed().as_secs_f64()
            );
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn progress_bar(seeds: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} schedules, {per_sec}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(seeds).with_style(style)
}

fn say(bar: &ProgressBar, text: &str) {
    bar.suspend(|| println!("{text}"));
}
