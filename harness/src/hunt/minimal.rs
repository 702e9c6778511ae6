//! From a kind of failure to the handful of decisions behind it, at once and within a bounded time: whoever finds the
//! hunt red in the morning begins with the small schedule, not with the seed.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use vivarium_sim::Schedule;
use vivarium_sim::choice::{Act, What};

use super::findings::Finding;
use super::options::SabotageName;
use super::work::schedule;
use crate::shrink::{Options, shrink};

/// What is left of a schedule that still fails in the same way.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Minimal {
    /// Decisions: faults, messages' luck, slow syncs, what clients did.
    pub decisions: usize,
    /// How many there were.
    pub decisions_before: usize,
    /// Servers.
    pub nodes: usize,
    /// Events until it fails.
    pub events: u64,
    /// What is seen then.
    pub seen: String,
    /// Schedules that were run on the way.
    pub replays: u64,
    /// How long it took.
    pub seconds: f64,
    /// Whether there was time enough: then none of the decisions can be left out.
    pub complete: bool,
    /// Which kinds of decisions, without numbers: failures of one property and one shape are likely to be one bug.
    pub shape: String,
    /// The file's text.
    pub text: String,
}

/// Makes the smallest example of each finding small, within the budget for all of them together.
pub fn make_small<'a>(
    findings: impl ExactSizeIterator<Item = &'a mut Finding>,
    sabotage: Option<SabotageName>,
    budget: Duration,
    jobs: usize,
    stop: &AtomicBool,
) {
    let deadline = Instant::now() + budget;
    let mut left = findings.len() as u32;
    for finding in findings {
        let budget = deadline.saturating_duration_since(Instant::now()) / left.max(1);
        left = left.saturating_sub(1);
        if budget.is_zero() || finding.smallest.is_nondeterminism() {
            continue;
        }
        let drawn = schedule(finding.smallest.seed, sabotage);
        // What does not fail when it is run again is no schedule to be made small; that is told by other means.
        let Ok(shrunk) = shrink(&drawn, None, Options { budget, jobs, stop }) else { continue };
        finding.minimal = Some(Minimal {
            decisions: shrunk.after,
            decisions_before: shrunk.before,
            nodes: shrunk.schedule.nodes,
            events: shrunk.report.events,
            seen: shrunk.violation().seen.clone(),
            replays: shrunk.replays,
            seconds: shrunk.took.as_secs_f64(),
            complete: shrunk.minimal,
            shape: shape(&shrunk.schedule),
            text: shrunk.trace().to_string(),
        });
    }
}

/// The text of a trace without its story and without what every trace has.
pub fn decisions(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty())
}

fn shape(schedule: &Schedule) -> String {
    let faults = schedule.faults.iter().map(|fault| first_word(&format!("{:?}", fault.kind)));
    let choices = schedule.listed().iter().map(|choice| match &choice.what {
        What::Message { kind, luck, .. } => {
            let fate = match (luck.lost, luck.again) {
                (true, _) => "lost",
                (false, Some(_)) => "doubled",
                (false, None) => "late",
            };
            format!("{} {fate}", kind.name())
        }
        What::Sync { .. } => "slow sync".to_owned(),
        What::Client { act: Act::Ask(op), .. } => first_word(&format!("{op:?}")),
        What::Client { act: Act::Repeat { op, .. }, .. } => {
            format!("{} repeated", first_word(&format!("{op:?}")))
        }
        What::Client { act, .. } => first_word(&format!("{act:?}")),
    });
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for name in faults.chain(choices) {
        *counts.entry(name).or_default() += 1;
    }
    let parts: Vec<String> = counts
        .into_iter()
        .map(|(name, count)| if count == 1 { name } else { format!("{count} x {name}") })
        .collect();
    if parts.is_empty() { "nothing goes wrong".into() } else { parts.join(", ") }
}

/// The name of a variant.
fn first_word(debug: &str) -> String {
    debug.chars().take_while(|c| c.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hunt::findings::{Failure, Findings};
    use crate::run::Runner;
    use crate::trace::Trace;

    #[test]
    fn a_failure_is_made_small_and_its_text_fails_alike() {
        let kind = SabotageName::ForgedData;
        let mut findings = Findings::default();
        for seed in 0..3 {
            let drawn = schedule(seed, Some(kind));
            let report = Runner::default().run(&drawn, &mut ());
            Failure::of(seed, drawn.nodes, &report, String::new()).into_iter().for_each(|failure| {
                findings.add(failure);
            });
        }
        assert!(!findings.is_empty());
        let go_on = AtomicBool::new(false);
        make_small(findings.ranked_mut().into_iter(), Some(kind), Duration::from_secs(60), 1, &go_on);
        for finding in findings.ranked() {
            let minimal = finding.minimal.as_ref().expect("it fails, so it has a smallest form");
            assert!(minimal.decisions < minimal.decisions_before, "{minimal:?}");
            let trace = Trace::parse(&minimal.text).expect("it is a trace");
            assert_eq!(trace.expect.as_deref(), Some(finding.smallest.property.as_str()));
            let again = Failure::of(0, 1, &Runner::default().run(&trace.schedule, &mut ()), String::new());
            assert_eq!(again.expect("it fails").property, finding.smallest.property);
            assert!(decisions(&minimal.text).count() > 0);
        }
        let mut none = findings.clone();
        none.ranked_mut().into_iter().for_each(|finding| finding.minimal = None);
        make_small(none.ranked_mut().into_iter(), Some(kind), Duration::ZERO, 1, &go_on);
        assert!(none.ranked().iter().all(|finding| finding.minimal.is_none()));
    }
}
