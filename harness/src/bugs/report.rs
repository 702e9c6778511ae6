//! The bench's table, for people and for programs.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::bench::Hunted;
use super::rule::Rule;

/// A rule, and what came of the hunt for it.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// What was planted.
    pub rule: &'a Rule,
    /// What came of it.
    pub hunted: Hunted,
}

/// The last line of `--json`.
#[derive(Serialize)]
struct Summary<'a> {
    rules: usize,
    found: usize,
    budget_cpu_seconds: f64,
    median_cpu_seconds: f64,
    percentile_95_cpu_seconds: f64,
    /// Of the schedules that could be made smaller.
    median_decisions: Option<u64>,
    percentile_95_decisions: Option<u64>,
    median_shrinking_cpu_seconds: Option<f64>,
    bugs: Vec<Bug<'a>>,
}

#[derive(Serialize)]
struct Bug<'a> {
    entry: &'a str,
    name: &'a str,
    title: &'a str,
    canary: bool,
    found: bool,
    stuck: bool,
    seed: Option<u64>,
    schedules: u64,
    cpu_seconds: f64,
    property: Option<&'a str>,
    /// Whether the rule names that property.
    expected: bool,
    decisions: Option<u64>,
    shrinking_cpu_seconds: f64,
}

impl Row<'_> {
    fn expected(&self) -> bool {
        self.hunted.property.as_ref().is_some_and(|property| self.rule.breaks.contains(property))
    }

    /// What it has cost; a bug that was not found costs at least the budget.
    fn cost(&self, budget: Duration) -> Duration {
        if self.hunted.seed.is_some() { self.hunted.cpu } else { self.hunted.cpu.max(budget) }
    }
}

/// Which rules there are.
pub fn list<'a>(rules: impl Iterator<Item = &'a Rule>) {
    for rule in rules {
        let canary = if rule.canary { "canary" } else { "" };
        println!("{:<24} {canary:<7} {}", rule.name, rule.title);
    }
}

/// A line for one bug as soon as its hunt is over.
pub fn progress(rule: &Rule, hunted: &Hunted) -> String {
    let end = match (hunted.seed, hunted.stuck) {
        (Some(_), _) => format!("found: {}", hunted.property.as_deref().unwrap_or("?")),
        (None, true) => "a schedule does not end".to_owned(),
        (None, false) => "NOT FOUND".to_owned(),
    };
    format!("{:<24} {:>8} schedules {:>8.2} s  {end}", rule.name, hunted.schedules, hunted.cpu.as_secs_f64())
}

/// Prints the table and its closing line.
///
/// # Errors
/// Only when the JSON cannot be made.
pub fn print(rows: &[Row<'_>], budget: Duration, json: bool) -> Result<()> {
    println!(
        "{:<14} {:<24} {:<5} {:>8} {:>8}  {:<23} {:>4} {:>8}  what is planted",
        "entry", "name", "found", "seeds", "CPU s", "property", "size", "shrink s"
    );
    for row in rows {
        let Hunted { seed, property, schedules, cpu, decisions, shrinking, stuck } = &row.hunted;
        let found = match (seed, stuck) {
            (Some(_), _) => "yes",
            (None, true) => "stuck",
            (None, false) => "NO",
        };
        let flag = if property.is_some() && !row.expected() { " (!)" } else { "" };
        let property = format!("{}{flag}", property.as_deref().unwrap_or("-"));
        let size = decisions.map_or("-".to_owned(), |decisions| decisions.to_string());
        println!(
            "{:<14} {:<24} {found:<5} {schedules:>8} {:>8.2}  {property:<23} {size:>4} {:>8.2}  {}",
            row.rule.entry,
            row.rule.name,
            cpu.as_secs_f64(),
            shrinking.as_secs_f64(),
            row.rule.title
        );
    }
    let found = rows.iter().filter(|row| row.hunted.seed.is_some()).count();
    let mut costs: Vec<Duration> = rows.iter().map(|row| row.cost(budget)).collect();
    costs.sort_unstable();
    let seconds = |percent| percentile(&costs, percent).unwrap_or_default().as_secs_f64();
    let (median, high) = (seconds(50), seconds(95));
    if rows.iter().any(|row| row.hunted.property.is_some() && !row.expected()) {
        println!("(!) another property than those that the rule names");
    }
    println!(
        "found {found} of {}; CPU seconds: median {median:.2}, 95th percentile {high:.2} (what was not found counts \
         with the budget of {} s)",
        rows.len(),
        budget.as_secs()
    );
    let mut sizes: Vec<u64> = rows.iter().filter_map(|row| row.hunted.decisions).collect();
    sizes.sort_unstable();
    let shrunk = rows.iter().filter(|row| row.hunted.decisions.is_some());
    let mut times: Vec<Duration> = shrunk.map(|row| row.hunted.shrinking).collect();
    times.sort_unstable();
    if let (Some(size), Some(large), Some(time)) =
        (percentile(&sizes, 50), percentile(&sizes, 95), percentile(&times, 50))
    {
        println!(
            "smallest schedules of {}: median {size} decisions, 95th percentile {large}; median {:.2} CPU seconds to \
             get there",
            sizes.len(),
            time.as_secs_f64()
        );
    }
    if json {
        let summary = Summary {
            rules: rows.len(),
            found,
            budget_cpu_seconds: budget.as_secs_f64(),
            median_cpu_seconds: median,
            percentile_95_cpu_seconds: high,
            median_decisions: percentile(&sizes, 50),
            percentile_95_decisions: percentile(&sizes, 95),
            median_shrinking_cpu_seconds: percentile(&times, 50).map(|time| time.as_secs_f64()),
            bugs: rows.iter().map(bug).collect(),
        };
        println!("{}", serde_json::to_string(&summary)?);
    }
    Ok(())
}

fn bug<'a>(row: &'a Row<'_>) -> Bug<'a> {
    let Hunted { seed, property, schedules, cpu, decisions, shrinking, stuck } = &row.hunted;
    Bug {
        entry: &row.rule.entry,
        name: &row.rule.name,
        title: &row.rule.title,
        canary: row.rule.canary,
        found: seed.is_some(),
        stuck: *stuck,
        seed: *seed,
        schedules: *schedules,
        cpu_seconds: cpu.as_secs_f64(),
        property: property.as_deref(),
        expected: row.expected(),
        decisions: *decisions,
        shrinking_cpu_seconds: shrinking.as_secs_f64(),
    }
}

/// The value that so many of a hundred do not exceed (nearest rank).
fn percentile<T: Copy>(ascending: &[T], percent: usize) -> Option<T> {
    let rank = (ascending.len() * percent).div_ceil(100).max(1);
    ascending.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occur() {
        let numbers = |n: u64| (1..=n).collect::<Vec<_>>();
        assert_eq!(percentile(&numbers(3), 50), Some(2));
        assert_eq!(percentile(&numbers(60), 95), Some(57));
        assert_eq!(percentile(&numbers(1), 95), Some(1));
        assert_eq!(percentile(&numbers(0), 95), None);
    }
}
