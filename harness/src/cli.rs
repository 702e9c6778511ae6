//! The command line: which verbs there are, and in which groups `--help` tells them. What a verb takes stands beside
//! what it does, as `Args` and `run` of its module.

use anyhow::Result;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::end::{End, INTERNAL, USAGE, code_of};
use crate::recording::command as recording;
use crate::{bugs, causes, cover, diff, explain, hunt, replay, shrink, speed, step, to_test, view};

/// Put the coordination service through disasters, each a function of its seed.
#[derive(Parser, Debug)]
#[command(name = "harness", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Hunt(hunt::Args),
    Merge(hunt::merge::Args),
    CheckDeterminism(hunt::determinism::Args),
    Hashes(hunt::hashes::Args),
    Replay(replay::Args),
    Corpus(replay::CorpusArgs),
    Shrink(shrink::Args),
    Explain(explain::Args),
    Causes(causes::Args),
    ToTest(to_test::Args),
    Bugs(bugs::Args),
    Speed(speed::Args),
    Record(recording::RecordArgs),
    Show(recording::ShowArgs),
    Cover(cover::Args),
    View(view::Args),
    Step(step::Args),
    Diff(diff::Args),
}

/// The verbs by what they are for. One that stands nowhere here is told last, under "More".
const GROUPS: &[(&str, &[&str])] = &[
    ("Find failures", &["hunt", "merge", "corpus", "check-determinism"]),
    ("Understand one", &["replay", "shrink", "explain", "step", "view", "diff", "causes", "to-test"]),
    ("Measure the simulator itself", &["bugs", "cover", "speed"]),
    ("Plumbing", &["record", "show", "hashes"]),
];

fn dispatch(command: Command) -> Result<End> {
    match command {
        Command::Hunt(args) => hunt::run(&args),
        Command::Merge(args) => hunt::merge::run(&args),
        Command::CheckDeterminism(args) => hunt::determinism::run(&args),
        Command::Hashes(args) => hunt::hashes::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Corpus(args) => replay::run_corpus(&args),
        Command::Shrink(args) => shrink::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Causes(args) => causes::run(&args),
        Command::ToTest(args) => to_test::run(&args),
        Command::Bugs(args) => bugs::run(&args),
        Command::Speed(args) => speed::run(&args),
        Command::Record(args) => recording::record(&args),
        Command::Show(args) => recording::show(&args),
        Command::Cover(args) => cover::run(&args),
        Command::View(args) => view::run(&args),
        Command::Step(args) => step::run(&args),
        Command::Diff(args) => diff::run(&args),
    }
}

/// Runs what the process's command line says and gives the exit code.
pub fn main() -> u8 {
    let parsed = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to clap, but not to the user.
            let code = if error.use_stderr() { USAGE } else { End::Clean.code() };
            let _ = error.print();
            return code;
        }
    };
    // Whoever reads through `head` has seen enough: no reason for a complaint, and no verdict either.
    let complain = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !reader_is_gone(info.payload()) {
            complain(info);
        }
    }));
    match std::panic::catch_unwind(|| dispatch(cli.command)) {
        Ok(Ok(end)) => end.code(),
        Ok(Err(error)) => {
            eprintln!("harness: {error:#}");
            code_of(&error)
        }
        Err(payload) if reader_is_gone(&*payload) => End::Undetermined.code(),
        Err(_) => {
            eprintln!(
                "harness: it panicked, which is a mistake of its own and says nothing about the service"
            );
            INTERNAL
        }
    }
}

/// Whether a panic is that of `println!` when nobody reads any more.
fn reader_is_gone(payload: &(dyn std::any::Any + Send)) -> bool {
    let said = payload.downcast_ref::<String>();
    said.is_some_and(|text| text.starts_with("failed printing to stdout: Broken pipe"))
}

/// The command line with a help text in groups: clap itself knows only one list.
fn command() -> clap::Command {
    let mut command = Cli::command();
    // Without this, `help` is not yet among the verbs.
    command.build();
    let mut text = String::new();
    let mut told = Vec::new();
    for (title, verbs) in GROUPS {
        list(&mut text, title, verbs.iter().filter_map(|verb| command.find_subcommand(verb)));
        told.extend_from_slice(verbs);
    }
    list(&mut text, "More", command.get_subcommands().filter(|verb| !told.contains(&verb.get_name())));
    let template = format!(
        "{{about}}\n\nUsage: harness VERB ...\n{text}\nOptions:\n{{options}}\n\nExit codes: 0 all properties held, 1 \
         one is broken, 2 undetermined, 3 not deterministic,\n4 nothing was run, 5 a schedule does not fit this build, \
         64 wrong usage, 70 trouble of the harness itself.\n"
    );
    Cli::command().help_template(template)
}

fn list<'a>(text: &mut String, title: &str, verbs: impl Iterator<Item = &'a clap::Command>) {
    let verbs: Vec<_> = verbs.filter(|verb| !verb.is_hide_set()).collect();
    if verbs.is_empty() {
        return;
    }
    text.push_str(&format!("\n{title}:\n"));
    for verb in verbs {
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("  {:<18} {about}\n", verb.get_name()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_tells_every_verb_once_with_what_it_does() {
        let mut help = command();
        let text = help.render_help().to_string();
        for verb in Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let lines =
                text.lines().filter(|line| line.trim_start().starts_with(&format!("{} ", verb.get_name())));
            assert_eq!(lines.count(), 1, "{} in\n{text}", verb.get_name());
            assert!(verb.get_about().is_some(), "{} does not say what it does", verb.get_name());
        }
    }
}
