//! The verb `cover`: runs schedules and tells how often each mark was hit, those that never were first.

use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;
use vivarium_sim::{Schedule, Verdict};

use crate::hunt::options::SeedArgs;
use crate::marks::{Coverage, Group, Mark, Marker};
use crate::run::{End, Runner};

/// A mark that so many schedules miss is a part of the service that is not tested.
const SEEDS: u64 = 20_000;

/// Run schedules and tell what they come to: how often each mark is hit
///
/// Without --seeds, 20,000 schedules. Ends with 2 when a mark was hit by fewer than --least of them.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Run nothing, and tell what hunts have counted: their `coverage.json`, added up.
    #[arg(value_name = "FILE", conflicts_with_all = ["seeds", "from", "shard"])]
    counted: Vec<PathBuf>,
    #[command(flatten)]
    seeds: SeedArgs,
    /// How many threads; 0 for one per core.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// How many schedules have to hit each mark.
    #[arg(long, value_name = "N", default_value_t = 1)]
    least: u64,
    /// Print a JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Told<'a> {
    seeds: Option<(u64, u64)>,
    seconds: f64,
    failures: u64,
    first_failing_seed: Option<u64>,
    least: u64,
    /// Marks that fewer schedules hit.
    missing: Vec<&'static str>,
    coverage: &'a Coverage,
}

/// Runs the schedules and prints the table.
///
/// # Errors
/// When it is not clear which seeds are meant, or a file is not what it should be.
pub fn run(args: &Args) -> Result<End> {
    let begun = Instant::now();
    let (seeds, counted) = match &args.counted[..] {
        [] => {
            let Range { start, end } = args.seeds.resolve(Some(SEEDS))?.mine;
            (Some((start, end)), count(start, end, args.jobs))
        }
        files => (None, Counted { coverage: read(files)?, ..Counted::default() }),
    };
    let Counted { coverage, failures, first_failing: first } = counted;
    let missing: Vec<Mark> = coverage.missing(args.least).collect();
    if args.json {
        let told = Told {
            seeds,
            seconds: begun.elapsed().as_secs_f64(),
            failures,
            first_failing_seed: first,
            least: args.least,
            missing: missing.iter().map(|mark| mark.name()).collect(),
            coverage: &coverage,
        };
        println!("{}", serde_json::to_string(&told)?);
    } else {
        print!("{}", table(&coverage, args.least));
        if failures > 0 {
            println!(
                "{failures} schedules broke a property, the first of seed {}",
                first.unwrap_or_default()
            );
        }
    }
    Ok(match (coverage.schedules(), failures, missing.is_empty()) {
        (0, ..) => End::NothingRan,
        (_, 1.., _) => End::Broken,
        (_, 0, false) => End::Undetermined,
        (_, 0, true) => End::Clean,
    })
}

/// What hunts have counted.
fn read(files: &[PathBuf]) -> Result<Coverage> {
    let mut all = Coverage::new();
    for path in files {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let counted: Coverage = serde_json::from_str(&text)
            .with_context(|| format!("{} is not the coverage.json of a hunt", path.display()))?;
        all.merge(&counted);
    }
    Ok(all)
}

/// What schedules came to.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Counted {
    /// Their marks.
    pub coverage: Coverage,
    /// How many broke a property,
    pub failures: u64,
    /// and the first of their seeds.
    pub first_failing: Option<u64>,
}

/// Runs the schedules of seeds, `to` not among them, and gives what they came to.
pub fn count(from: u64, to: u64, jobs: usize) -> Counted {
    let jobs = match jobs {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    };
    let (next, total) = (AtomicU64::new(from), Mutex::new(Counted::default()));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                let (mut runner, mut marker, mut mine) =
                    (Runner::default(), Marker::new(), Counted::default());
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= to {
                        break;
                    }
                    let report = runner.run(&Schedule::draw(seed), &mut marker);
                    if report.verdict != Verdict::Clean {
                        mine.failures += 1;
                        mine.first_failing = mine.first_failing.or(Some(seed));
                    }
                    mine.coverage.add(seed, marker.marks());
                }
                let mut total = total.lock().expect("no thread panics while it holds this");
                total.coverage.merge(&mine.coverage);
                total.failures += mine.failures;
                total.first_failing = [total.first_failing, mine.first_failing].into_iter().flatten().min();
            });
        }
    });
    total.into_inner().expect("no thread panics while it holds this")
}

/// The table: what was hit too seldom, then all of it by group.
pub fn table(coverage: &Coverage, least: u64) -> String {
    let mut text = String::new();
    let all = coverage.schedules();
    let missing: Vec<Mark> = coverage.missing(least).collect();
    if !missing.is_empty() {
        let _ = match least {
            0 | 1 => {
                writeln!(text, "NEVER HIT by {all} schedules: {} of {} marks", missing.len(), Mark::COUNT)
            }
            _ => writeln!(
                text,
                "HIT BY FEWER THAN {least} of {all} schedules: {} of {} marks",
                missing.len(),
                Mark::COUNT
            ),
        };
        for mark in &missing {
            line(&mut text, coverage, *mark);
        }
        text.push('\n');
    }
    for group in Group::ALL {
        let _ = writeln!(text, "{}", group.name());
        for mark in Mark::ALL.iter().filter(|mark| mark.group() == *group && !missing.contains(mark)) {
            line(&mut text, coverage, *mark);
        }
    }
    let _ = writeln!(
        text,
        "\n{} of {} marks hit by {all} schedules; {} by fewer than one in a hundred",
        Mark::COUNT - coverage.missing(1).count(),
        Mark::COUNT,
        coverage.missing(all.div_ceil(100)).count(),
    );
    text
}

fn line(text: &mut String, coverage: &Coverage, mark: Mark) {
    let hits = coverage.hits(mark);
    let share = hits.schedules as f64 * 100.0 / coverage.schedules().max(1) as f64;
    let first = hits.first_seed.map_or_else(|| "-".to_owned(), |seed| seed.to_string());
    let _ = writeln!(
        text,
        "  {:<34} {:>8} {share:>8.3} %  first {first:>8}  {}",
        mark.name(),
        hits.schedules,
        mark.meaning()
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::Marks;

    #[test]
    fn what_was_never_hit_stands_first() {
        let mut marks = Marks::default();
        Mark::ALL.iter().filter(|mark| **mark != Mark::AllDown).for_each(|mark| marks.insert(*mark));
        let mut coverage = Coverage::new();
        coverage.add(41, &marks);
        let text = table(&coverage, 1);
        let mut lines = text.lines();
        let all = Mark::COUNT;
        assert_eq!(lines.next(), Some(format!("NEVER HIT by 1 schedules: 1 of {all} marks").as_str()));
        assert!(lines.next().expect("the mark").trim_start().starts_with("all-down "));
        assert_eq!(text.matches("all-down").count(), 1, "{text}");
        let diff = text.lines().find(|line| line.contains("sync-diff")).expect("a line for each mark");
        assert!(diff.contains("100.000 %") && diff.contains("41"), "{diff}");
        marks.insert(Mark::AllDown);
        coverage.add(42, &marks);
        assert!(!table(&coverage, 1).contains("NEVER"));
        assert!(table(&coverage, 2).starts_with("HIT BY FEWER THAN 2"));
    }
}
