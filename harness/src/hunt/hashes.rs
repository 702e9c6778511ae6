//! What seeds come to, a line each: so that two builds, two machines or two compilers can be compared.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::{Context, Result};
use vivarium_sim::{Report, Schedule, Verdict};

use super::options::SeedArgs;
use crate::build;
use crate::end::{End, Usage};
use crate::run::Runner;

/// Print what each seed comes to, or compare with what another build printed
///
/// Without --seeds, 1,000 schedules. Ends with 3 when something differs.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    seeds: SeedArgs,
    /// Run the seeds of a file that another build has printed (`-`: standard input), and tell where this one differs.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "from"])]
    compare: Option<PathBuf>,
    /// How many threads; 0 for one per core.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    jobs: usize,
}

/// The verb `hashes`: exit code 3 when something differs.
///
/// # Errors
/// When a file cannot be read or is no list of hashes.
pub fn run(args: &Args) -> Result<End> {
    let Some(path) = &args.compare else {
        let share = args.seeds.resolve(Some(1000))?;
        let seeds: Vec<u64> = share.mine.collect();
        let mut text =
            format!("# {} build, {}\n", build::profile(), build::commit().unwrap_or("unknown commit"));
        for line in all(&seeds, args.jobs) {
            text.push_str(&line);
            text.push('\n');
        }
        std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes())
            .context("cannot write the hashes")?;
        return Ok(if seeds.is_empty() { End::NothingRan } else { End::Clean });
    };
    let mut text = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
    } else {
        text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    }
    compare(&text, &path.display().to_string(), args.jobs)
}

fn compare(text: &str, name: &str, jobs: usize) -> Result<End> {
    let (mut seeds, mut theirs) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let mut words = line.split_whitespace();
        let seed = words.next().and_then(|word| word.parse::<u64>().ok());
        let Some(seed) = seed.filter(|_| words.count() >= 3) else {
            let wanted = "SEED HASH EVENTS VERDICT, as `harness hashes` prints it";
            return Err(Usage(format!("{name}, line {}: `{line}` is not {wanted}", number + 1)).into());
        };
        seeds.push(seed);
        theirs.push(line);
    }
    let mut mismatches = 0;
    for (ours, theirs) in all(&seeds, jobs).iter().zip(&theirs) {
        if ours != theirs.trim_end() {
            mismatches += 1;
            println!("there: {theirs}\nhere:  {ours}");
        }
    }
    println!(
        "{} seeds of {name} run with this {} build: {mismatches} mismatches",
        seeds.len(),
        build::profile()
    );
    Ok(match (seeds.len(), mismatches) {
        (0, _) => End::NothingRan,
        (_, 0) => End::Clean,
        _ => End::NotDeterministic,
    })
}

/// What the seeds come to, in their order.
fn all(seeds: &[u64], jobs: usize) -> Vec<String> {
    let jobs = if jobs == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { jobs };
    let (next, lines) = (AtomicUsize::new(0), Mutex::new(vec![String::new(); seeds.len()]));
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(seeds.len()) {
            scope.spawn(|| {
                let mut runner = Runner::default();
                loop {
                    let index = next.fetch_add(1, Relaxed);
                    let Some(seed) = seeds.get(index) else { break };
                    let line = line(*seed, &runner.run(&Schedule::draw(*seed), &mut ()));
                    lines.lock().expect("no thread panics while it holds this")[index] = line;
                }
            });
        }
    });
    lines.into_inner().expect("no thread panics while it holds this")
}

fn line(seed: u64, report: &Report) -> String {
    let verdict = match &report.verdict {
        Verdict::Clean => "clean",
        Verdict::Broken(violation) => violation.property,
    };
    format!("{seed} {:016x} {} {verdict}", report.hash, report.events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_build_agrees_with_itself_and_not_with_a_forgery() {
        let lines = all(&[3, 1, 2], 2);
        assert!(lines[0].starts_with("3 ") && lines[1].starts_with("1 "), "{lines:?}");
        let text = format!("# a comment\n{}\n", lines.join("\n"));
        assert_eq!(compare(&text, "x", 1).unwrap(), End::Clean);
        let digit = if text.contains("3 0") { "1" } else { "0" };
        let forged = format!(
            "{}{digit}{}",
            &text[..text.find("3 ").unwrap() + 2],
            &text[text.find("3 ").unwrap() + 3..]
        );
        assert_eq!(compare(&forged, "x", 1).unwrap(), End::NotDeterministic);
        assert_eq!(compare("# nothing\n", "x", 1).unwrap(), End::NothingRan);
    }

    #[test]
    fn what_is_no_hash_is_refused_with_its_line() {
        let error = compare("1 00 5 clean x\nhello\n", "x.txt", 1).unwrap_err();
        assert!(error.to_string().contains("x.txt, line 2"), "{error}");
    }
}
