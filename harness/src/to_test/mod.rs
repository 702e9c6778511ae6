//! A failing schedule as a Rust test: its text, and an assertion of what it comes to.
//!
//! The test stands by itself: pasted into `harness/tests/`, it compiles and says by its outcome whether the bug is still
//! there. What it asserts is the verdict that the run has now, or with `--fixed` that it is clean.

use std::fmt::Write as _;

use anyhow::Result;
use vivarium_sim::schedule::Choices;
use vivarium_sim::{Report, Schedule, Verdict};

use crate::run::{End, Runner, listed};
use crate::subject::Subject;
use crate::trace::Trace;

/// Print a schedule as a Rust test that runs it and asserts what it comes to
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    subject: Subject,
    /// Assert that every property holds, as it will once the bug is fixed.
    #[arg(long)]
    fixed: bool,
    /// The test's name [default: of the file, or of the seed].
    #[arg(long)]
    name: Option<String>,
}

/// Runs the verb.
///
/// # Errors
/// When the file cannot be read.
pub fn run(args: &Args) -> Result<End> {
    let schedule = args.subject.schedule()?;
    let name = args.name.clone().unwrap_or_else(|| {
        let file = args.subject.file().and_then(|path| path.file_stem());
        file.map_or_else(|| args.subject.named(), |stem| stem.to_string_lossy().into_owned())
    });
    let (report, choices) = Runner::default().record(&schedule, &mut ());
    let schedule = match schedule.choices {
        Choices::Drawn => listed(&schedule, choices),
        Choices::Listed(_) => schedule,
    };
    print!("{}", test(&name, schedule, &report, args.fixed));
    Ok(End::Clean)
}

/// The text of the test.
pub fn test(name: &str, schedule: Schedule, report: &Report, fixed: bool) -> String {
    let mut trace = Trace::of(schedule, report);
    // What the run came to is the test's to say, and its hash changes with the code.
    trace.hash = None;
    let property = match (&report.verdict, fixed) {
        (Verdict::Broken(violation), false) => Some(violation.property),
        (Verdict::Broken(_), true) | (Verdict::Clean, _) => {
            trace.expect = None;
            None
        }
    };
    let body = trace.to_string();
    let hashes = hashes(&body);
    let mut text = String::new();
    let _ = writeln!(text, "use vivarium_harness::run::Runner;");
    let _ = writeln!(text, "use vivarium_harness::trace::Trace;");
    let _ = writeln!(text, "use vivarium_sim::Verdict;\n");
    let _ = writeln!(text, "#[test]\nfn {}() {{", identifier(name));
    let _ = writeln!(text, "    let schedule = r{hashes}\"\n{body}\"{hashes};");
    let _ = writeln!(text, "    let trace = Trace::parse(schedule).expect(\"a schedule\");");
    let _ = writeln!(text, "    let report = Runner::default().run(&trace.schedule, &mut ());");
    match property {
        Some(property) => {
            let _ = writeln!(text, "    let Verdict::Broken(violation) = &report.verdict else {{");
            let _ = writeln!(text, "        panic!(\"every property holds: is the bug fixed?\");");
            let _ = writeln!(text, "    }};");
            let _ = writeln!(text, "    assert_eq!(violation.property, {property:?}, \"{{violation:?}}\");");
        }
        None => {
            let _ = writeln!(text, "    assert_eq!(report.verdict, Verdict::Clean);");
        }
    }
    text.push_str("}\n");
    text
}

/// As many as a raw string needs around this text.
fn hashes(body: &str) -> String {
    let mut hashes = "#".to_owned();
    while body.contains(&format!("\"{hashes}")) {
        hashes.push('#');
    }
    hashes
}

/// A name that a function may have.
fn identifier(name: &str) -> String {
    let mut identifier: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    identifier = identifier.trim_matches('_').to_owned();
    if identifier.is_empty() || identifier.starts_with(|c: char| c.is_ascii_digit()) {
        identifier.insert_str(0, "schedule_");
    }
    identifier
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers() {
        for (name, wanted) in [
            ("--seed 17", "seed_17"),
            ("candidate-forgot", "candidate_forgot"),
            ("3-nodes", "schedule_3_nodes"),
            ("", "schedule_"),
        ] {
            assert_eq!(identifier(name), wanted);
        }
        assert_eq!(hashes("a \"# b"), "##");
    }
}
