//! The results of several shards made one: failures by signature, counts, and whether all seeds were run exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::files::{self, Files};
use super::findings::{Failure, Finding, Findings};
use super::progress::say;
use super::record::{Exit, FORMAT, Reason, Record, Totals};
use super::shard::Shard;
use super::tell;
use crate::end::{End, Usage};
use crate::marks::Coverage;

/// Join the results of several shards
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folders of results: of single runs, or ones that hold such folders (what `--out` of a hunt was given).
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Write the joined results into a new folder of this one, as `hunt --out` does.
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write JUnit's XML here.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print a JSON object as the last line.
    #[arg(long)]
    json: bool,
    /// Join what does not belong together: other commits, other options.
    #[arg(long)]
    force: bool,
}

/// One run, read.
struct Run {
    folder: PathBuf,
    record: Record,
    failures: Vec<Failure>,
    /// What it said of its failures; nothing if it was killed before it could.
    findings: Vec<Finding>,
    coverage: Option<Coverage>,
}

/// What several runs come to.
#[derive(Serialize)]
struct Merged {
    #[serde(flatten)]
    record: Record,
    shards: Vec<Part>,
    /// Seeds that nobody ran and somebody should have.
    gaps: Vec<Range<u64>>,
    /// Seeds that more than one ran.
    overlaps: Vec<Range<u64>>,
    /// What is odd about it, in words.
    notes: Vec<String>,
    #[serde(skip)]
    findings: Findings,
    /// The marks of all that counted them.
    #[serde(skip)]
    coverage: Option<Coverage>,
}

/// One of them.
#[derive(Serialize)]
struct Part {
    folder: PathBuf,
    shard: Shard,
    ran: Range<u64>,
    exit: Option<Exit>,
}

/// The last line of `--json`.
#[derive(Serialize)]
struct Summary<'a> {
    #[serde(flatten)]
    merged: &'a Merged,
    findings: Vec<&'a Finding>,
}

/// The verb `merge`: its exit code is that of the worst shard, or 2 when there are gaps.
///
/// # Errors
/// When the folders cannot be read, or hold what does not belong together.
pub fn run(args: &Args) -> Result<End> {
    let mut runs = Vec::new();
    for folder in run_folders(&args.folders)? {
        runs.push(Run::read(&folder)?);
    }
    if runs.is_empty() {
        say("no results there: nothing to join");
        return Ok(End::NothingRan);
    }
    let (mut merged, end) = merge(runs, args.force)?;
    for part in &merged.shards {
        let end = part.exit.as_ref().map_or("was killed, or still runs", |exit| &exit.meaning);
        say(&format!(
            "shard {}: seeds {}..{}, {end} ({})",
            part.shard,
            part.ran.start,
            part.ran.end,
            part.folder.display()
        ));
    }
    for note in &merged.notes {
        say(&format!("note: {note}"));
    }
    if let Some(out) = &args.out {
        let mut files = Files::create(out, &mut merged.record)?;
        for part in &merged.shards {
            for failure in read_failures(&part.folder)?.0 {
                files.failure(&failure)?;
            }
        }
        files.save(&merged.record, &merged.findings, merged.coverage.as_ref())?;
        files::write(&files.folder.join("merge.json"), &(serde_json::to_string_pretty(&merged)? + "\n"))?;
        say(&format!("joined results go to {}", files.folder.display()));
    }
    if let Some(path) = &args.junit {
        files::write(path, &super::junit::xml(&merged.record, &merged.findings))?;
    }
    tell::publish(&merged.record, &merged.findings, merged.coverage.as_ref())?;
    if args.json {
        let summary = Summary { findings: merged.findings.ranked(), merged: &merged };
        say(&serde_json::to_string(&summary)?);
    }
    Ok(end)
}

/// A folder with a `run.json` is a run; else its folders are looked at. Links such as `latest` are not followed.
fn run_folders(given: &[PathBuf]) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for folder in given {
        if folder.join("run.json").is_file() {
            found.insert(folder.canonicalize().with_context(|| folder.display().to_string())?);
            continue;
        }
        let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
            let path = entry.path();
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if path.join("run.json").is_file() {
                found.insert(path.canonicalize().with_context(|| path.display().to_string())?);
            } else {
                // What CI systems make of artefacts: a folder for each job's folder.
                let inner = fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?;
                for entry in inner.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                {
                    if entry.path().join("run.json").is_file() {
                        found.insert(entry.path().canonicalize()?);
                    }
                }
            }
        }
    }
    Ok(found)
}

impl Run {
    fn read(folder: &Path) -> Result<Run> {
        let path = folder.join("run.json");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let record: Record = serde_json::from_str(&text)
            .with_context(|| format!("{} is not what `harness hunt --out` writes", path.display()))?;
        ensure!(
            record.format == FORMAT,
            "{} has format {}; this program reads format {FORMAT}",
            path.display(),
            record.format
        );
        let (failures, _) = read_failures(folder)?;
        let path = folder.join("findings.json");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let findings = serde_json::from_str(&text)
            .with_context(|| format!("{} is not what `harness hunt --out` writes", path.display()))?;
        // A run that did not count marks has no such file.
        let path = folder.join("coverage.json");
        let coverage = match fs::read_to_string(&path) {
            Ok(text) => Some(
                serde_json::from_str(&text)
                    .with_context(|| format!("{} is not what `harness hunt --out` writes", path.display()))?,
            ),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        Ok(Run { folder: folder.to_path_buf(), record, failures, findings, coverage })
    }

    fn end(&self) -> End {
        let Some(exit) = &self.record.exit else {
            // It was killed, and what it had found by then counts.
            return match self.failures.iter().map(Failure::is_nondeterminism).max() {
                Some(true) => End::NotDeterministic,
                Some(false) => End::Broken,
                None => End::Undetermined,
            };
        };
        End::ALL.into_iter().find(|end| end.code() == exit.code).unwrap_or(End::Undetermined)
    }

    fn reason(&self) -> Reason {
        self.record.exit.as_ref().map_or(Reason::Interrupted, |exit| exit.reason)
    }
}

/// The failures of a run, and whether the last line is only half there, for its writer was killed.
fn read_failures(folder: &Path) -> Result<(Vec<Failure>, bool)> {
    let path = folder.join("failures.jsonl");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let whole = text.ends_with('\n') || text.is_empty();
    let lines: Vec<&str> = text.lines().collect();
    let mut failures = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        match serde_json::from_str(line) {
            Ok(failure) => failures.push(failure),
            Err(_) if number + 1 == lines.len() && !whole => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{}, line {}: not a failure", path.display(), number + 1));
            }
        }
    }
    Ok((failures, !whole))
}

fn merge(mut runs: Vec<Run>, force: bool) -> Result<(Merged, End)> {
    let mut notes = refuse_strangers(&runs, force)?;
    keep_longest_of_each_shard(&mut runs, &mut notes);
    runs.sort_by_key(|run| (run.record.options.shard, run.record.ran.start));

    let mut findings = Findings::default();
    let mut seen = BTreeSet::new();
    for failure in runs.iter().flat_map(|run| &run.failures) {
        if seen.insert((failure.seed, &failure.signature)) {
            findings.add(failure.clone());
        }
    }
    for finding in findings.ranked_mut() {
        let told = runs.iter().flat_map(|run| &run.findings);
        let same =
            told.filter(|other| other.smallest == finding.smallest).find_map(|other| other.minimal.clone());
        finding.minimal = same;
    }
    let mut coverage: Option<Coverage> = None;
    for counted in runs.iter().filter_map(|run| run.coverage.as_ref()) {
        coverage.get_or_insert_with(Coverage::new).merge(counted);
    }
    let first = &runs[0].record;
    let (whole, open_ended) = (first.options.seeds.clone(), first.options.open_ended);
    let until_covered = first.options.until_covered;
    let covered = until_covered && coverage.as_ref().is_some_and(super::whole);
    let wanted: Vec<Range<u64>> = if open_ended || until_covered {
        // How far each shard gets is up to its machine, or to what it meets; but each has to begin.
        Vec::new()
    } else {
        vec![whole.clone()]
    };
    let (gaps, overlaps) = holes(&wanted, runs.iter().map(|run| run.record.ran.clone()));
    let missing: Vec<String> = (1..=first.options.shard.count)
        .filter(|index| !runs.iter().any(|run| run.record.options.shard.index == *index))
        .map(|index| index.to_string())
        .collect();
    if !missing.is_empty() {
        notes.push(format!("no results of shard {} of {}", missing.join(", "), first.options.shard.count));
    }
    for gap in &gaps {
        notes.push(format!("seeds {}..{} were not run", gap.start, gap.end));
    }
    for overlap in &overlaps {
        notes.push(format!(
            "seeds {}..{} were run by more than one, and count twice",
            overlap.start, overlap.end
        ));
    }
    for run in runs.iter().filter(|run| run.record.exit.is_none()) {
        notes.push(format!("{} has no end: it was killed, or still runs", run.folder.display()));
    }

    let ended = |run: &Run| match (run.end(), run.reason()) {
        // All together have hit what this one has not.
        (End::Undetermined, Reason::Uncovered) if covered => End::Clean,
        (end, _) => end,
    };
    let mut end = runs.iter().map(ended).max().unwrap_or(End::NothingRan);
    // A shard with nothing to do is no harm beside others that had something.
    if end == End::NothingRan && runs.iter().any(|run| run.record.totals.schedules > 0) {
        end = End::Clean;
    }
    if !gaps.is_empty() || !missing.is_empty() {
        end = end.max(End::Undetermined);
    }
    let reason = runs.iter().map(Run::reason).find(|reason| *reason != Reason::Complete);
    let reason = match reason.unwrap_or(Reason::Complete) {
        Reason::Covered | Reason::Uncovered if covered => Reason::Covered,
        Reason::Covered => Reason::Uncovered,
        reason => reason,
    };
    let mut record = first.clone();
    record.run = "merged".into();
    record.started = runs.iter().map(|run| run.record.started.clone()).min().unwrap_or_default();
    record.options.shard = Shard::WHOLE;
    record.options.shard_source = None;
    record.planned = whole;
    record.ran = runs.iter().map(|run| run.record.ran.start).min().unwrap_or_default()
        ..runs.iter().map(|run| run.record.ran.end).max().unwrap_or_default();
    record.totals = sum(&runs, &findings);
    record.totals.marks_hit = coverage.as_ref().map(super::hit);
    record.totals.undetermined = gaps.iter().map(|gap| gap.end - gap.start).sum();
    record.exit = Some(Exit { code: end.code(), meaning: end.words().into(), reason });
    let parts = runs.iter().map(|run| Part {
        folder: run.folder.clone(),
        shard: run.record.options.shard,
        ran: run.record.ran.clone(),
        exit: run.record.exit.clone(),
    });
    let shards = parts.collect();
    Ok((Merged { record, shards, gaps, overlaps, notes, findings, coverage }, end))
}

/// Runs of another commit or with other options say nothing about this one.
fn refuse_strangers(runs: &[Run], force: bool) -> Result<Vec<String>> {
    let first = &runs[0];
    let mut differences = Vec::new();
    for run in &runs[1..] {
        let mut differ = |what: &str, here: &str, there: &str| {
            if here != there {
                differences.push(format!(
                    "{what} is {there} in {}, and {here} in {}",
                    run.folder.display(),
                    first.folder.display()
                ));
            }
        };
        let commit = |run: &Run| run.record.build.commit.clone().unwrap_or_else(|| "unknown".into());
        differ("the commit", &commit(first), &commit(run));
        for ((what, here), (_, there)) in
            first.record.options.common().iter().zip(run.record.options.common())
        {
            differ(what, here, &there);
        }
    }
    if force || differences.is_empty() {
        return Ok(differences);
    }
    Err(Usage(format!(
        "these do not belong together (--force joins them all the same): {}",
        differences.join("; ")
    ))
    .into())
}

/// A shard that was tried again has several folders: the last tries the same seeds from the start.
fn keep_longest_of_each_shard(runs: &mut Vec<Run>, notes: &mut Vec<String>) {
    let mut longest: BTreeMap<(u32, u64), (u64, PathBuf)> = BTreeMap::new();
    for run in &*runs {
        let key = (run.record.options.shard.index, run.record.planned.start);
        let this = (run.record.ran.end - run.record.ran.start, run.folder.clone());
        let best = longest.entry(key).or_insert_with(|| this.clone());
        *best = this.max(best.clone());
    }
    runs.retain(|run| {
        let keep = longest.values().any(|(_, folder)| *folder == run.folder);
        if !keep {
            let shard = run.record.options.shard;
            notes.push(format!("shard {shard} ran more than once; {} is left out", run.folder.display()));
        }
        keep
    });
}

/// What of `wanted` is in none of `ran`, and what is in more than one.
fn holes(wanted: &[Range<u64>], ran: impl Iterator<Item = Range<u64>>) -> (Vec<Range<u64>>, Vec<Range<u64>>) {
    let mut ran: Vec<_> = ran.filter(|range| !range.is_empty()).collect();
    ran.sort_by_key(|range| (range.start, range.end));
    let mut overlaps = Vec::new();
    let mut reached = 0;
    for range in &ran {
        if range.start < reached {
            overlaps.push(range.start..range.end.min(reached));
        }
        reached = reached.max(range.end);
    }
    let mut gaps = Vec::new();
    for wanted in wanted {
        let mut next = wanted.start;
        for range in &ran {
            if range.start >= wanted.end {
                break;
            }
            if range.start > next {
                gaps.push(next..range.start);
            }
            next = next.max(range.end);
        }
        if next < wanted.end {
            gaps.push(next..wanted.end);
        }
    }
    (gaps, overlaps)
}

fn sum(runs: &[Run], findings: &Findings) -> Totals {
    let mut all = Totals { signatures: findings.len() as u64, ..Totals::default() };
    for totals in runs.iter().map(|run| &run.record.totals) {
        all.schedules += totals.schedules;
        all.failures += totals.failures;
        all.nondeterministic += totals.nondeterministic;
        all.double_checked += totals.double_checked;
        all.events += totals.events;
        all.searched += totals.searched;
        all.search_gave_up += totals.search_gave_up;
        all.simulated_seconds += totals.simulated_seconds;
        all.busy_seconds += totals.busy_seconds;
        all.jobs += totals.jobs;
        // They ran beside each other.
        all.seconds = all.seconds.max(totals.seconds);
        all.first_failing_seed = all.first_failing_seed.into_iter().chain(totals.first_failing_seed).min();
        if totals.slowest_seconds > all.slowest_seconds {
            all.slowest_seconds = totals.slowest_seconds;
            all.slowest_seed = totals.slowest_seed;
        }
    }
    all.rates();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_overlaps_are_found() {
        let ranges =
            |list: &[(u64, u64)]| list.iter().map(|(from, to)| *from..*to).collect::<Vec<Range<u64>>>();
        let check = |ran: &[(u64, u64)], gaps: &[(u64, u64)], overlaps: &[(u64, u64)]| {
            let found = holes(std::slice::from_ref(&(0..100)), ranges(ran).into_iter());
            assert_eq!(found, (ranges(gaps), ranges(overlaps)), "{ran:?}");
        };
        check(&[(0, 50), (50, 100)], &[], &[]);
        check(&[(50, 100), (0, 50)], &[], &[]);
        check(&[(0, 40), (50, 100)], &[(40, 50)], &[]);
        check(&[(0, 60), (50, 90)], &[(90, 100)], &[(50, 60)]);
        check(&[(10, 100), (20, 30), (25, 40)], &[(0, 10)], &[(20, 30), (25, 40)]);
        check(&[(5, 5)], &[(0, 100)], &[]);
        check(&[], &[(0, 100)], &[]);
    }

    #[test]
    fn shards_cover_together_what_none_of_them_covers_alone() {
        use crate::marks::{Mark, Marks};
        let shard = |index: u32, hit: fn(usize) -> bool| {
            let mut plan = crate::hunt::tests::plan(0..100, 1);
            plan.until_covered = true;
            plan.share.shard = Shard { index, count: 2 };
            let mut record = Record::begin(&plan, 0);
            let end = 50 * u64::from(index);
            record.ran = end - 50..end - 10;
            record.totals.schedules = 40;
            let (end, reason) = (End::Undetermined, Reason::Uncovered);
            record.exit = Some(Exit { code: end.code(), meaning: end.words().into(), reason });
            let mut marks = Marks::default();
            let chosen = Mark::ALL.iter().enumerate().filter(|(number, _)| hit(*number));
            chosen.for_each(|(_, mark)| marks.insert(*mark));
            let mut coverage = Coverage::new();
            coverage.add(record.ran.start, &marks);
            let (failures, findings) = Default::default();
            Run { folder: PathBuf::new(), record, failures, findings, coverage: Some(coverage) }
        };
        let joined = |second| {
            let (merged, end) = merge(vec![shard(1, |mark| mark % 2 == 0), shard(2, second)], false).unwrap();
            (end, merged.record.exit.unwrap().reason)
        };
        assert_eq!(joined(|mark| mark % 2 == 1), (End::Clean, Reason::Covered));
        assert_eq!(joined(|mark| mark % 4 == 1), (End::Undetermined, Reason::Uncovered));
    }
}
