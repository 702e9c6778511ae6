//! The verb `cover`: runs schedules and tells how often each mark was hit, those that never were first.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;
use vivarium_sim::{Schedule, Verdict};

use crate::end::Usage;
use crate::marks::{Coverage, Group, Mark, Marker};
use crate::run::{End, Runner};

/// Run schedules and tell what they come to: how often each mark is hit
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// How many seeds from 0 on, or which: `A..B`, without `B`.
    #[arg(long, value_name = "N | A..B", default_value = "20000")]
    seeds: String,
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
    seeds: (u64, u64),
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
/// When the range of seeds makes no sense.
pub fn run(args: &Args) -> Result<End> {
    let (from, to) = range(&args.seeds)?;
    let begun = Instant::now();
    let Counted { coverage, failures, first_failing: first } = count(from, to, args.jobs);
    let missing: Vec<Mark> = coverage.missing(args.least).collect();
    if args.json {
        let told = Told {
            seeds: (from, to),
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

/// `N` or `A..B`.
fn range(text: &str) -> Result<(u64, u64), Usage> {
    let number = |part: &str| {
        part.replace('_', "")
            .parse::<u64>()
            .map_err(|_| Usage(format!("--seeds {text}: {part:?} is no number; give N, or A..B without B")))
    };
    let (from, to) = match text.split_once("..") {
        Some((from, to)) => (number(from)?, number(to)?),
        None => (0, number(text)?),
    };
    if from > to {
        return Err(Usage(format!("--seeds {text}: {from} comes after {to}")));
    }
    Ok((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::Marks;

    #[test]
    fn seeds_are_a_number_or_a_range() {
        assert_eq!(range("20_000").expect("a number"), (0, 20_000));
        assert_eq!(range("7..9").expect("a range"), (7, 9));
        for wrong in ["", "x", "9..7", "1..", "1...2", "-3"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }

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
