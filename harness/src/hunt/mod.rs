//! Many schedules, each from a seed of its own, on all cores of one machine or on a part of many machines.
//!
//! ```text
//!   options    the command line, profiles and the environment, resolved into a plan
//!   shard      which part of the seeds is this process's
//!   work       the threads that run seeds
//!   findings   failures that look alike are one finding
//!   progress   how far it is
//!   record     run.json: what was asked, what was run, how it ended
//!   files      the folder of results
//!   examples   in it, the schedules that failed
//!   minimal    what is left of them when everything is left out that can be
//!   junit tell    the same for CI systems and for people
//!   merge      the results of several shards made one
//!   determinism   the same seed twice: where do two runs part?
//!   hashes     what runs come to, one line each, to compare builds
//! ```

pub mod determinism;
pub mod examples;
pub mod files;
pub mod findings;
pub mod hashes;
pub mod junit;
pub mod merge;
pub mod minimal;
pub mod options;
pub mod progress;
pub mod properties;
pub mod record;
pub mod shard;
pub mod tell;
pub mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;

use crate::end::End;
use crate::marks::{Coverage, Mark};
use crate::numbers::{counted, span};
use files::Files;
use findings::{Failure, Finding, Findings};
pub use options::Args;
use options::Plan;
use progress::{Progress, Snapshot, say};
use record::{Exit, Reason, Record, Totals};
use work::{Hunter, Run, Tally, work};

/// How often results are written while a hunt runs and finds nothing.
const SAVE_EVERY: Duration = Duration::from_secs(20);

/// The last line of `--json`.
#[derive(Serialize)]
struct Summary<'a> {
    #[serde(flatten)]
    totals: &'a Totals,
    exit: &'a Option<Exit>,
    seeds: std::ops::Range<u64>,
    shard: String,
    findings: Vec<&'a Finding>,
    out: Option<std::path::PathBuf>,
}

/// The verb `hunt`.
///
/// # Errors
/// When the plan makes no sense or results cannot be written.
pub fn run(args: &Args) -> Result<End> {
    let plan = args.plan()?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The first asks for an orderly end, the second is meant.
        signal_hook::flag::register_conditional_shutdown(
            signal,
            End::Undetermined.code().into(),
            Arc::clone(&interrupted),
        )
        .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&interrupted)))
        .context("cannot listen to signals")?;
    }
    hunt(&plan, || Hunter::new(&plan), &interrupted)
}

/// Runs the plan with runners of this make, until it is done or interrupted.
///
/// # Errors
/// When results cannot be written.
pub fn hunt<R: Run>(plan: &Plan, runner: impl Fn() -> R + Sync, interrupted: &AtomicBool) -> Result<End> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut record = Record::begin(plan, now);
    let mut files = match &plan.out {
        Some(out) => Some(Files::create(out, &mut record)?),
        None => None,
    };
    begin(plan, &record, files.as_ref());
    let mut book = Book {
        plan,
        record,
        findings: Findings::default(),
        coverage: None,
        files: files.take(),
        trouble: None,
    };
    let tally = Tally::new(plan.share.mine.clone(), plan.jobs);
    if plan.time.is_some_and(|limit| limit.is_zero()) {
        tally.stop();
    }
    std::thread::scope(|scope| {
        let (tally, runner) = (&tally, &runner);
        let threads: Vec<_> = (0..plan.jobs)
            .map(|thread| scope.spawn(move || work(plan, tally, thread, &mut runner())))
            .collect();
        book.keep(tally, interrupted);
        for thread in threads {
            if thread.join().is_err() {
                book.trouble = Some(anyhow!("a thread of the hunt panicked: not all that it took was run"));
            }
        }
    });
    if !interrupted.load(Relaxed) && !book.findings.is_empty() && !plan.shrink.is_zero() {
        let progress = Progress::new();
        let (kinds, most) = (counted(book.findings.len(), "kind"), span(plan.shrink.as_secs_f64()));
        progress.doing(format!("making failures small: {kinds}, {most} at most; Ctrl-C ends it"));
        let findings = book.findings.ranked_mut().into_iter();
        minimal::make_small(findings, plan.sabotage, plan.shrink, plan.jobs, interrupted);
        progress.finish();
    }
    book.close()
}

/// Says what is about to happen, where that is not what the command line says.
fn begin(plan: &Plan, record: &Record, files: Option<&Files>) {
    let share = &plan.share;
    if let Some(source) = &share.shard_source {
        say(&format!(
            "{source}: seeds {}..{} of {}..{}",
            share.mine.start, share.mine.end, share.whole.start, share.whole.end
        ));
    }
    if let Some(kind) = plan.sabotage {
        say(&format!(
            "the world itself is sabotaged ({}): failures say nothing about the service",
            kind.name()
        ));
    }
    if let Some(files) = files {
        say(&format!("results of {} go to {}", record.run, files.folder.display()));
    }
}

/// What a hunt has come to so far, and where that is written down.
struct Book<'a> {
    plan: &'a Plan,
    record: Record,
    findings: Findings,
    coverage: Option<Coverage>,
    files: Option<Files>,
    /// Why results cannot be written any more.
    trouble: Option<anyhow::Error>,
}

impl Book<'_> {
    /// Keeps the book while the threads work, and tells them when to stop.
    fn keep(&mut self, tally: &Tally, interrupted: &AtomicBool) {
        let started = Instant::now();
        let mut saved = Instant::now();
        let mut progress = Progress::new();
        // Not whether it has stopped: its threads run already, and may have failures enough by now.
        let no_time = self.plan.time.is_some_and(|limit| limit.is_zero());
        let mut stopped_by = no_time.then_some(Reason::Time);
        while tally.working() {
            std::thread::park_timeout(Duration::from_millis(10));
            let fresh = self.take(tally, &progress);
            if fresh || saved.elapsed() >= SAVE_EVERY {
                self.count(tally, started);
                self.save();
                saved = Instant::now();
            }
            let reason = if self.trouble.is_some() {
                Some(Reason::Output)
            } else if interrupted.load(Relaxed) {
                Some(Reason::Interrupted)
            } else if self.plan.until_covered && tally.coverage().is_some_and(|counted| whole(&counted)) {
                Some(Reason::Covered)
            } else if self.plan.time.is_some_and(|limit| started.elapsed() >= limit) {
                Some(Reason::Time)
            } else {
                None
            };
            if stopped_by.is_none() && reason.is_some() {
                stopped_by = reason;
                tally.stop();
            }
            progress.tell(|| {
                let mut totals = tally.totals();
                totals.seconds = started.elapsed().as_secs_f64();
                totals.signatures = self.findings.len() as u64;
                Snapshot {
                    totals,
                    planned: (!self.plan.share.open_ended).then(|| self.planned()),
                    limit: self.plan.time.map(|limit| limit.as_secs_f64()),
                    coverage: tally.coverage().map(|coverage| (hit(&coverage), Mark::COUNT)),
                }
            });
        }
        self.take(tally, &progress);
        progress.finish();
        self.count(tally, started);
        let reason = match stopped_by {
            _ if tally.complete() => Reason::Complete,
            Some(reason) => reason,
            None => Reason::Failures,
        };
        let covered = self.coverage.as_ref().is_some_and(whole);
        let reason = match reason {
            Reason::Complete | Reason::Time if self.plan.until_covered && covered => Reason::Covered,
            Reason::Complete | Reason::Time if self.plan.until_covered => Reason::Uncovered,
            reason => reason,
        };
        if reason == Reason::Covered {
            // What is left of the seeds was to be run for that only.
            self.record.totals.undetermined = 0;
        }
        let end = record::end(&self.record.totals, reason, self.plan.share.open_ended);
        self.record.exit = Some(Exit { code: end.code(), meaning: end.words().into(), reason });
    }

    fn planned(&self) -> u64 {
        self.record.planned.end - self.record.planned.start
    }

    /// Takes in what has failed. Whether there was something of a new kind.
    fn take(&mut self, tally: &Tally, progress: &Progress) -> bool {
        let mut fresh = false;
        for failure in tally.new_failures() {
            if let Some(files) = &mut self.files
                && let Err(error) = files.failure(&failure)
            {
                self.trouble.get_or_insert(error);
            }
            let told = first_words(&failure);
            if self.findings.add(failure) {
                fresh = true;
                progress.say(&told);
            }
        }
        fresh
    }

    fn count(&mut self, tally: &Tally, started: Instant) {
        let ran = tally.ran();
        let mut totals = tally.totals();
        totals.seconds = started.elapsed().as_secs_f64();
        totals.jobs = self.plan.jobs;
        totals.signatures = self.findings.len() as u64;
        totals.undetermined = if self.plan.share.open_ended { 0 } else { self.record.planned.end - ran.end };
        self.coverage = tally.coverage();
        totals.marks_hit = self.coverage.as_ref().map(hit);
        self.record.ran = ran;
        self.record.totals = totals;
    }

    fn save(&mut self) {
        if let Some(files) = &mut self.files
            && let Err(error) = files.save(&self.record, &self.findings, self.coverage.as_ref())
        {
            self.trouble.get_or_insert(error);
        }
    }

    /// Writes and says everything, and gives the verdict.
    fn close(mut self) -> Result<End> {
        self.save();
        let mut trouble = self.trouble.take();
        if let Some(path) = &self.plan.junit
            && let Err(error) = files::write(path, &junit::xml(&self.record, &self.findings))
        {
            trouble.get_or_insert(error);
        }
        if let Err(error) = tell::publish(&self.record, &self.findings, self.coverage.as_ref()) {
            trouble.get_or_insert(error);
        }
        if self.plan.json {
            let summary = Summary {
                totals: &self.record.totals,
                exit: &self.record.exit,
                seeds: self.record.ran.clone(),
                shard: self.record.options.shard.to_string(),
                findings: self.findings.ranked(),
                out: self.files.as_ref().map(|files| files.folder.clone()),
            };
            say(&serde_json::to_string(&summary)?);
        }
        if let Some(error) = trouble {
            // What was found stands above; the exit code must not say that it is also in the files.
            return Err(error.context("the results are not complete"));
        }
        let code = self.record.exit.as_ref().map(|exit| exit.code);
        match End::ALL.into_iter().find(|end| Some(end.code()) == code) {
            Some(end) => Ok(end),
            None => bail!("a hunt ended with no verdict"),
        }
    }
}

/// Whether every mark was hit.
pub fn whole(coverage: &Coverage) -> bool {
    coverage.missing(1).next().is_none()
}

/// How many marks were hit.
pub fn hit(coverage: &Coverage) -> usize {
    Mark::COUNT - coverage.missing(1).count()
}

/// What is said as soon as something of a new kind fails.
fn first_words(failure: &Failure) -> String {
    format!(
        "seed {}: property \"{}\" is broken ({})\n  replay: {}",
        failure.seed, failure.property, failure.signature, failure.replay
    )
}

#[cfg(test)]
mod tests;
