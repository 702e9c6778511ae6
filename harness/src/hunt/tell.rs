//! The end of a hunt in words: on a screen, for GitHub, as Markdown.

use std::fmt::Write;

use anyhow::{Context, Result};

use super::findings::{Finding, Findings};
use super::minimal::{Minimal, decisions};
use super::progress::say;
use super::record::{Reason, Record, Totals};
use crate::check::linear;
use crate::marks::{Coverage, Mark};
use crate::numbers::{counted, grouped, span};

/// One kind of failure, in full.
pub fn finding(finding: &Finding) -> String {
    let failure = &finding.smallest;
    let seeds = match finding.seeds {
        1 => "1 seed".to_owned(),
        seeds => format!("{} seeds", grouped(seeds)),
    };
    let mut text = format!(
        "{}: {seeds}\n  property  \"{}\": {}\n  seen      {}\n  expected  {}\n  smallest  seed {}: after {} events, \
         {}.{:03} ms, on {} nodes",
        failure.signature,
        failure.property,
        indented(&failure.meaning),
        indented(&failure.seen),
        indented(&failure.expected),
        failure.seed,
        grouped(failure.events),
        failure.at_us / 1000,
        failure.at_us % 1000,
        failure.nodes,
    );
    let others: Vec<String> =
        finding.least_seeds.iter().filter(|seed| **seed != failure.seed).map(u64::to_string).collect();
    if !others.is_empty() {
        let more = if finding.seeds > finding.least_seeds.len() as u64 { ", ..." } else { "" };
        let _ = write!(text, "\n  also      seeds {}{more}", others.join(", "));
    }
    let _ = write!(text, "\n  replay    {}", failure.replay);
    if let Some(minimal) = &finding.minimal {
        let _ = write!(text, "\n  minimal   {}", small(minimal));
    }
    text
}

/// More lines than this are better read in the file.
const LINES_MAX: usize = 24;

/// What is left of a schedule, in words and in full.
fn small(minimal: &Minimal) -> String {
    let mut text = format!(
        "{} of {}, {}, {} events ({} replays, {:.1} s{}): {}",
        counted(minimal.decisions, "decision"),
        minimal.decisions_before,
        counted(minimal.nodes, "node"),
        grouped(minimal.events),
        grouped(minimal.replays),
        minimal.seconds,
        if minimal.complete { "" } else { "; there was no time for more" },
        minimal.shape,
    );
    let lines: Vec<&str> = decisions(&minimal.text).collect();
    if lines.len() <= LINES_MAX {
        lines.iter().for_each(|line| text.push_str(&format!("\n            | {line}")));
    }
    text
}

fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n            ")
}

/// One line for all of it.
pub fn headline(record: &Record) -> String {
    let meaning = record.exit.as_ref().map_or("still running", |exit| &exit.meaning);
    format!("{meaning}, {} schedules", grouped(record.totals.schedules))
}

/// The last lines: what was run, how fast, how it ended.
pub fn totals(record: &Record, coverage: Option<&Coverage>) -> String {
    let totals = &record.totals;
    let mut text = format!(
        "{} schedules, {} failures, {} events in {:.1} s: {:.0} schedules and {:.0} events per second and core; {} run \
         twice, {} not deterministic",
        totals.schedules,
        totals.failures,
        totals.events,
        totals.seconds,
        totals.schedules_per_second_per_core,
        totals.events_per_second_per_core,
        totals.double_checked,
        totals.nondeterministic,
    );
    let part = match record.options.shard.count {
        1 => String::new(),
        _ => format!(" of shard {}", record.options.shard),
    };
    let _ = write!(
        text,
        "\nseeds {}..{}{part}, {} simulated",
        record.ran.start,
        record.ran.end,
        span(totals.simulated_seconds)
    );
    if let (Some(seed), true) = (totals.slowest_seed, totals.slowest_seconds >= 0.01) {
        let _ = write!(text, ", slowest seed {seed} with {:.2} s", totals.slowest_seconds);
    }
    let _ = write!(text, "\n{}", searches(totals));
    if let Some(coverage) = coverage {
        let _ = write!(text, "\n{}", marks(coverage));
    }
    if let Some(exit) = &record.exit {
        if exit.reason != Reason::Complete {
            let early = if exit.reason == Reason::Uncovered { "" } else { " early" };
            let _ = write!(text, "\nended{early}: {}", exit.reason.words());
            if totals.undetermined > 0 {
                let _ = write!(text, "; {} seeds were not run", grouped(totals.undetermined));
            }
        }
        let _ = write!(text, "\n{} (exit code {})", exit.meaning, exit.code);
    }
    text
}

/// How many histories of clients were searched exhaustively, and what came of it.
fn searches(totals: &Totals) -> String {
    let share = grouped(linear::SHARE);
    match totals.searched {
        0 => {
            format!("exhaustive search: no history, for it takes one run in {share}; all were checked online")
        }
        searched => format!(
            "exhaustive search: {} histories (one run in {share}), {} decided, {} given up",
            grouped(searched),
            grouped(searched - totals.search_gave_up),
            grouped(totals.search_gave_up),
        ),
    }
}

/// No more marks than this are named.
const NAMED_MAX: usize = 6;

/// How many marks were hit, and some of those that were not.
fn marks(coverage: &Coverage) -> String {
    let never: Vec<&str> = coverage.missing(1).map(Mark::name).collect();
    let mut text = format!("coverage: {} of {} marks hit", Mark::COUNT - never.len(), Mark::COUNT);
    if !never.is_empty() {
        let more = if never.len() > NAMED_MAX { ", ..." } else { "" };
        let named = &never[..never.len().min(NAMED_MAX)];
        let _ = write!(text, "; {} never: {}{more}", never.len(), named.join(", "));
    }
    text
}

/// Everything that is said at the end.
pub fn end(record: &Record, findings: &Findings, coverage: Option<&Coverage>) -> String {
    let mut text = String::new();
    let ranked = findings.ranked();
    for (index, one) in ranked.iter().enumerate() {
        let _ = writeln!(text, "\nfailure {} of {}: {}", index + 1, ranked.len(), finding(one));
        if let Some(alike) = ranked[..index].iter().find(|other| other.is_like(one)) {
            let _ = writeln!(
                text,
                "  perhaps   the same as {}: it takes the same faults",
                alike.smallest.signature
            );
        }
    }
    if !ranked.is_empty() {
        text.push('\n');
    }
    text + &totals(record, coverage)
}

/// Says everything at the end: to people, and where GitHub runs it, to GitHub.
///
/// # Errors
/// When GitHub's summary cannot be written.
pub fn publish(record: &Record, findings: &Findings, coverage: Option<&Coverage>) -> Result<()> {
    let text = end(record, findings, coverage);
    if std::env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true") {
        say(&format!("::group::hunt: {}\n{text}\n::endgroup::", headline(record)));
        if !findings.is_empty() {
            say(github_errors(findings).trim_end());
        }
        append_step_summary(&markdown(record, findings, coverage))
    } else {
        say(&text);
        Ok(())
    }
}

/// What GitHub shows beside a job: an error for each kind of failure.
pub fn github_errors(findings: &Findings) -> String {
    let mut text = String::new();
    for one in findings.ranked() {
        let title = format!("{} broken by {} seeds", one.smallest.property, one.seeds);
        let _ = writeln!(text, "::error title={}::{}", github_property(&title), github_data(&finding(one)));
    }
    text
}

fn github_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn github_property(text: &str) -> String {
    github_data(text).replace(':', "%3A").replace(',', "%2C")
}

/// The summary of a job, for people.
pub fn markdown(record: &Record, findings: &Findings, coverage: Option<&Coverage>) -> String {
    let totals = &record.totals;
    let mut text = format!("### Hunt: {}\n\n", headline(record));
    let _ = writeln!(
        text,
        "{} schedules, seeds {}..{} (shard {}), {} events, {} simulated in {}; {} run twice, {} not deterministic.\n",
        grouped(totals.schedules),
        record.ran.start,
        record.ran.end,
        record.options.shard,
        grouped(totals.events),
        span(totals.simulated_seconds),
        span(totals.seconds),
        grouped(totals.double_checked),
        totals.nondeterministic,
    );
    if let Some(coverage) = coverage {
        let _ = writeln!(text, "{}\n", marks(coverage));
    }
    if findings.is_empty() {
        return text;
    }
    text.push_str("| failure | seeds | smallest | replay |\n|---|---|---|---|\n");
    for one in findings.ranked() {
        let failure = &one.smallest;
        let _ = writeln!(
            text,
            "| {} | {} | seed {}, {} events | `{}` |",
            failure.signature,
            grouped(one.seeds),
            failure.seed,
            grouped(failure.events),
            failure.replay
        );
    }
    for one in findings.ranked() {
        // A fence longer than any in the text cannot be closed by it.
        let _ = writeln!(
            text,
            "\n<details><summary>{}</summary>\n\n``````text\n{}\n``````\n\n</details>",
            one.smallest.signature,
            finding(one)
        );
    }
    text
}

fn append_step_summary(markdown: &str) -> Result<()> {
    use std::io::Write;
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    file.and_then(|mut file| file.write_all(markdown.as_bytes()))
        .with_context(|| format!("cannot write GITHUB_STEP_SUMMARY {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_github_reads_as_its_own_is_escaped() {
        assert_eq!(github_data("100 %\nnext"), "100 %25%0Anext");
        assert_eq!(github_property("a: b, c"), "a%3A b%2C c");
    }
}
