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
    let end = match (&hunted.property, hunted.stuck) {
        (Some(property), _) => format!("found: {property}"),
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
    let header = ["entry", "name", "found", "seeds", "CPU s", "property", "size", "what is planted"];
    println!(
        "{:<14} {:<24} {:<5} {:>8} {:>8}  {:<22} {:>4}  {}",
        header[0], header[1], header[2], header[3], header[4], header[5], header[6], header[7]
    );
    for row in rows {
        let Hunted { seed, property, schedules, cpu, decisions, stuck } = &row.hunted;
        let found = match (seed, stuck) {
            (Some(_), _) => "yes",
            (None, true) => "stuck",
            (None, false) => "NO",
        };
        let flag = if property.is_some() && !row.expected() { " (!)" } else { "" };
        let property = format!("{}{flag}", property.as_deref().unwrap_or("-"));
        let size = decisions.map_or("-".to_owned(), |decisions| decisions.to_string());
        println!(
            "{:<14} {:<24} {found:<5} {schedules:>8} {:>8.2}  {property:<22} {size:>4}  {}",
            row.rule.entry,
            row.rule.name,
            cpu.as_secs_f64(),
            row.rule.title
        );
    }
    let found = rows.iter().filter(|row| row.hunted.seed.is_some()).count();
    let mut costs: Vec<Duration> = rows.iter().map(|row| row.cost(budget)).collect();
    costs.sort_unstable();
    let (median, high) = (percentile(&costs, 50).as_secs_f64(), percentile(&costs, 95).as_secs_f64());
    if rows.iter().any(|row| row.hunted.property.is_some() && !row.expected()) {
        println!("(!) another property than those that the rule names");
    }
    println!(
        "found {found} of {}; CPU seconds: median {median:.2}, 95th percentile {high:.2} (what was not found counts \
         with the budget of {} s)",
        rows.len(),
        budget.as_secs()
    );
    if json {
        let summary = Summary {
            rules: rows.len(),
            found,
            budget_cpu_seconds: budget.as_secs_f64(),
            median_cpu_seconds: median,
            percentile_95_cpu_seconds: high,
            bugs: rows.iter().map(bug).collect(),
        };
        println!("{}", serde_json::to_string(&summary)?);
    }
    Ok(())
}

fn bug<'a>(row: &'a Row<'_>) -> Bug<'a> {
    let Hunted { seed, property, schedules, cpu, decisions, stuck } = &row.hunted;
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
    }
}

/// The value that so many of a hundred do not exceed (nearest rank); nothing of nothing is zero.
fn percentile(ascending: &[Duration], percent: usize) -> Duration {
    let rank = (ascending.len() * percent).div_ceil(100).max(1);
    ascending.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occur() {
        let seconds = |n: u64| (1..=n).map(Duration::from_secs).collect::<Vec<_>>();
        assert_eq!(percentile(&seconds(3), 50), Duration::from_secs(2));
        assert_eq!(percentile(&seconds(60), 95), Duration::from_secs(57));
        assert_eq!(percentile(&seconds(1), 95), Duration::from_secs(1));
        assert_eq!(percentile(&[], 95), Duration::ZERO);
    }
}
