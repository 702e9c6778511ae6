//! A failure explained in text: what is broken and where, the shortest way there, what of it is necessary, and when it
//! became certain.
//!
//! ```text
//!   story      the dozen events that tell most of it
//!   words      decisions in plain words
//! ```
//!
//! Everything that it says was tried or recorded: what is necessary was left out once, what is irrelevant was varied,
//! and the turning point comes from other futures of the same past.

mod story;
mod words;

use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use vivarium_sim::schedule::Choices;
use vivarium_sim::{MS, Schedule};

use crate::build;
use crate::causes::{Curve, Effort};
use crate::numbers::counted;
use crate::recording::{self, Event, Kind, Recording};
use crate::run::End;
use crate::shrink::{Meaning, Options, meaning, shrink};
use crate::subject::Subject;

pub use story::happened;

/// Explain a failure in text: what broke, the story, what is necessary, when it became certain
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    subject: Subject,
    /// As Markdown, to be pasted into a report.
    #[arg(long)]
    md: bool,
    /// Explain the schedule as it is; otherwise one of many decisions is made small first.
    #[arg(long)]
    as_is: bool,
    /// How long making it small may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    budget: u64,
}

/// A schedule of more decisions than this is made small before it is explained.
const LONG: usize = 15;

/// Runs the verb.
///
/// # Errors
/// When the file cannot be read.
pub fn run(args: &Args) -> Result<End> {
    let schedule = args.subject.schedule()?;
    let budget = Duration::from_secs(args.budget);
    let small = !args.as_is && (schedule.choices == Choices::Drawn || schedule.decisions() > LONG);
    let stop = AtomicBool::new(false);
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options { budget, jobs, stop: &stop };
    let (schedule, from, meaning) = match small {
        true => match shrink(&schedule, None, options) {
            Ok(shrunk) => (shrunk.schedule, Some(shrunk.before), Some(shrunk.meaning)),
            Err(_) => (schedule, None, None),
        },
        false => {
            let meaning = meaning(&schedule, options);
            (schedule, None, meaning)
        }
    };
    let recording = recording::record(args.subject.recorded(&schedule), &schedule);
    let curve = Curve::of(&schedule, Effort { budget: Duration::from_secs(5), ..Effort::default() });
    let again = match from {
        // The events are the small schedule's, so that is the one to look at.
        Some(_) => {
            let program = build::program();
            format!(
                "{program} shrink {} -o min.sched; {program} replay min.sched --verbose",
                args.subject.named()
            )
        }
        None => args.subject.command(),
    };
    let explanation = Explanation { schedule: &schedule, from, meaning, recording: &recording, curve, again };
    match explanation.sections() {
        None => {
            println!("every property holds: there is nothing to explain");
            Ok(End::Clean)
        }
        Some(sections) => {
            print!("{}", if args.md { markdown(&sections) } else { text(&sections) });
            Ok(End::Broken)
        }
    }
}

/// Everything that is known of a failure.
#[derive(Debug)]
pub struct Explanation<'a> {
    /// The schedule that fails.
    pub schedule: &'a Schedule,
    /// How many decisions it had before it was made small, where that is known.
    pub from: Option<usize>,
    /// What of it is necessary; none when it was not tried.
    pub meaning: Option<Meaning>,
    /// Its run.
    pub recording: &'a Recording,
    /// How probable the failure was over time.
    pub curve: Option<Curve>,
    /// The command that shows it again.
    pub again: String,
}

/// A heading, and its lines.
pub type Section = (&'static str, Vec<String>);

impl Explanation<'_> {
    /// The explanation; none when nothing is broken.
    pub fn sections(&self) -> Option<Vec<Section>> {
        let broken = self.recording.header.violation.as_ref()?;
        let mut sections = vec![
            ("VIOLATION", vec![format!("{}: {}", broken.property, shortened(&broken.seen, 160))]),
            ("WHERE", vec![self.place()]),
            ("SHORTEST", vec![self.size()]),
        ];
        let story = story::chosen(self.recording);
        let numbered =
            story.iter().enumerate().map(|(place, event)| format!("{:>2}. {}", place + 1, self.told(event)));
        sections.push(("STORY", numbered.collect()));
        if let Some(meaning) = &self.meaning {
            sections.push(("NECESSARY", self.necessary(meaning)));
            sections.push(("IRRELEVANT", self.irrelevant(meaning)));
        }
        sections.push(("TURNING", self.turning()));
        sections.push((
            "CHECKER",
            vec![
                format!("{}: {}", broken.property, broken.meaning),
                format!("seen:     {}", shortened(&broken.seen, 400)),
                format!("expected: {}", shortened(&broken.expected, 400)),
            ],
        ));
        sections.push(("REPRO", vec![self.again.clone()]));
        sections.retain(|(_, lines)| !lines.is_empty());
        Some(sections)
    }

    /// A line of the story: a fault with all that the schedule says of it.
    fn told(&self, event: &Event) -> String {
        let fault = self.schedule.faults.iter().find(|fault| {
            event.kind == Kind::Fault && fault.at == event.at && format!("{:?}", fault.kind) == event.detail
        });
        match fault.map(words::fault).as_deref().and_then(|words| words.split_once(": ")) {
            Some((_, words)) => format!("{}.{:03} ms  FAULT {words}", event.at / MS, event.at % MS / 1000),
            None => story::line(event),
        }
    }

    fn place(&self) -> String {
        let header = &self.recording.header;
        let violation = header.violation.as_ref().and_then(|broken| self.recording.event(broken.event));
        let last = violation.and_then(|event| self.recording.event(*event.causes.first()?));
        let (at, who) = match last {
            Some(event) => (event.at, self.role(event)),
            None => (header.ended_at, "the world".to_owned()),
        };
        let healed = if at > header.heals_at {
            format!(", {} ms after all faults had ended", (at - header.heals_at) / MS)
        } else {
            String::new()
        };
        format!("{who}, event {}, {}.{:03} ms{healed}", header.steps, at / MS, at % MS / 1000)
    }

    /// Who it happened to, and as what.
    fn role(&self, event: &Event) -> String {
        use crate::recording::Lane;
        match event.lane {
            Lane::Node(node) | Lane::Disk(node) => {
                let states = self.recording.states_after(event.id);
                let role = states.get(usize::from(node)).map(|state| {
                    format!(
                        " ({}, epoch {}, executed {}:{})",
                        state.role,
                        state.epoch,
                        state.applied >> 32,
                        state.applied as u32
                    )
                });
                format!("node {}{}", node + 1, role.unwrap_or_default())
            }
            Lane::Client(client) => format!("client {client}"),
            Lane::World => "the world".to_owned(),
        }
    }

    fn size(&self) -> String {
        let Schedule { nodes, clients, even, .. } = self.schedule;
        let mut line = format!(
            "{}, {}, {}, {} weather",
            counted(self.schedule.decisions(), "decision"),
            counted(*nodes, "node"),
            counted(clients.len(), "client"),
            if *even { "even" } else { "seeded" }
        );
        if let Some(from) = self.from {
            let _ = write!(line, "   (from {from})");
        }
        if self.schedule.sabotage.is_some() {
            line.push_str("   (the world itself was sabotaged)");
        }
        line
    }

    fn necessary(&self, meaning: &Meaning) -> Vec<String> {
        let faults = self.schedule.faults.iter().zip(&meaning.faults_needed);
        let choices = self.schedule.listed().iter().zip(&meaning.choices_needed);
        let mut needed: Vec<(u64, String)> = faults
            .filter(|(_, needed)| **needed)
            .map(|(fault, _)| (fault.at, words::fault(fault)))
            .chain(
                choices.filter(|(_, needed)| **needed).map(|(choice, _)| (choice.at, words::choice(choice))),
            )
            .collect();
        needed.sort_by_key(|(at, _)| *at);
        let mut lines: Vec<String> =
            needed.iter().enumerate().map(|(place, (_, words))| format!("D{} {words}", place + 1)).collect();
        match lines.len() {
            0 if self.schedule.decisions() == 0 => lines.push("nothing: it fails by itself".into()),
            0 => lines.push("no single decision: without any one of them it still fails".into()),
            1 => lines.push("without it the run passes".into()),
            _ => lines.push("without any one of these the run passes".into()),
        }
        lines
    }

    fn irrelevant(&self, meaning: &Meaning) -> Vec<String> {
        let mut lines = Vec::new();
        let faults = self.schedule.faults.iter().zip(&meaning.faults_needed);
        let choices = self.schedule.listed().iter().zip(&meaning.choices_needed);
        lines.extend(faults.filter(|(_, needed)| !**needed).map(|(fault, _)| words::fault(fault)));
        lines.extend(choices.filter(|(_, needed)| !**needed).map(|(choice, _)| words::choice(choice)));
        let weather = match (meaning.weathers_failing, meaning.weathers) {
            (_, 0) => None,
            (failing, all) if failing == all => {
                Some(format!("latencies and disk times: it fails in all of {all} kinds of weather"))
            }
            (0, all) => Some(format!("(not the weather: in none of {all} other kinds does it fail)")),
            (failing, all) => {
                Some(format!("(the weather matters: it fails in {failing} of {all} other kinds)"))
            }
        };
        lines.extend(weather);
        for (fault, (moves, lasts)) in
            self.schedule.faults.iter().zip(meaning.faults_may_move.iter().zip(&meaning.faults_may_last))
        {
            let what = match (moves, lasts) {
                (true, true) => "may come 5 ms earlier or later, and may last twice as long",
                (true, false) => "may come 5 ms earlier or later",
                (false, true) => "may last twice as long",
                (false, false) => continue,
            };
            lines.push(format!("{}: {what}", words::fault(fault)));
        }
        lines
    }

    fn turning(&self) -> Vec<String> {
        let Some(curve) = &self.curve else { return Vec::new() };
        let mut lines = Vec::new();
        for turn in curve.turns().iter().take(2) {
            let what = happened(self.recording, turn.event);
            let what = what.first().map(|line| format!(" ({})", line.trim())).unwrap_or_default();
            lines.push(format!("{}{what}", turn.told()));
        }
        if lines.is_empty() {
            let first = curve.points.first().map_or(0.0, |point| curve.probability(point));
            lines.push(format!("none: P(fail) is {:.0} % from the beginning", first * 100.0));
        }
        lines
    }
}

fn shortened(text: &str, chars_max: usize) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text,
    }
}

/// As it is printed in a terminal.
pub fn text(sections: &[Section]) -> String {
    let mut text = String::new();
    for (heading, lines) in sections {
        for (place, line) in lines.iter().enumerate() {
            let _ = writeln!(text, "{:<10} {line}", if place == 0 { heading } else { "" });
        }
    }
    text
}

/// As Markdown.
pub fn markdown(sections: &[Section]) -> String {
    let mut text = String::new();
    for (heading, lines) in sections {
        match (*heading, lines.as_slice()) {
            ("VIOLATION", [line]) => {
                let _ = writeln!(text, "### {line}\n");
            }
            ("REPRO", [line]) => {
                let _ = writeln!(text, "**Repro**\n\n```\n{line}\n```");
            }
            ("STORY", lines) => {
                let _ = writeln!(text, "**Story**\n\n```\n{}\n```\n", lines.join("\n"));
            }
            (heading, [line]) => {
                let _ = writeln!(text, "**{}** {line}\n", capitalised(heading));
            }
            (heading, lines) => {
                let _ = writeln!(text, "**{}**\n", capitalised(heading));
                lines.iter().for_each(|line| {
                    let _ = writeln!(text, "- {line}");
                });
                text.push('\n');
            }
        }
    }
    text
}

fn capitalised(heading: &str) -> String {
    let mut chars = heading.chars();
    chars.next().into_iter().chain(chars.flat_map(char::to_lowercase)).collect()
}
