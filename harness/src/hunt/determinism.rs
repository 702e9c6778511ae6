//! One seed several times: are all runs the same, and if not, where do they part?
//!
//! Each event that an observer is told goes into a chain of hashes with all that it carries. Two chains are the same up
//! to the first event that differs, and that one is told for both runs, with what came before it.

use anyhow::Result;
use vivarium_sim::fold::Fold;
use vivarium_sim::{MS, Observation, Observer, Report, Schedule, Time, Violation};

use super::options::SabotageName;
use super::work::{disturbed, schedule};
use crate::end::End;
use crate::run::Runner;
use crate::tell::line;

/// Run a seed several times and tell the first event in which two runs differ
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The seed.
    seed: u64,
    /// How often.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..))]
    runs: u32,
    /// What the simulated world itself does wrong.
    #[arg(long, value_enum, value_name = "KIND")]
    sabotage: Option<SabotageName>,
    /// To try this out: later runs differ from the first.
    #[arg(long, hide = true)]
    fickle: bool,
}

/// The verb `check-determinism`: exit code 3 when two runs differ.
///
/// # Errors
/// Never; for symmetry.
pub fn run(args: &Args) -> Result<End> {
    let schedule = schedule(args.seed, args.sabotage);
    let later = if args.fickle { disturbed(&schedule) } else { schedule.clone() };
    let first = Chain::of(&schedule);
    for number in 2..=args.runs {
        let again = Chain::of(&later);
        if let Some(difference) = difference(&first, &again) {
            println!("seed {}: run 1 and run {number} differ\n{difference}", args.seed);
            return Ok(End::NotDeterministic);
        }
    }
    let events = first.links.len();
    let (runs, hash) = (args.runs, first.report.hash);
    println!("seed {}: {runs} runs, each with the same {events} observations, hash {hash:016x}", args.seed);
    Ok(End::Clean)
}

/// A run as a chain.
struct Chain {
    links: Vec<Link>,
    report: Report,
}

/// One event: the hash of all up to it, and how to tell it.
struct Link {
    hash: u64,
    told: String,
    /// All it carries, for when the telling leaves out what differs.
    whole: String,
}

#[derive(Default)]
struct Recorder {
    fold: Fold,
    links: Vec<Link>,
}

impl Observer for Recorder {
    fn observe(&mut self, at: Time, observation: &Observation<'_>) -> Result<(), Box<Violation>> {
        let whole = match observation {
            // Whole nodes: what they hold has been told event by event.
            Observation::Stepped { .. } => return Ok(()),
            Observation::Finished { nodes } => format!("finished with {} nodes", nodes.len()),
            // The plan is not part of the run; what follows from it is.
            Observation::Started { .. } => "started".to_owned(),
            other => format!("{other:?}"),
        };
        self.fold.number(at);
        self.fold.number(whole.len() as u64);
        for word in whole.as_bytes().chunks(8) {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            self.fold.number(u64::from_le_bytes(bytes));
        }
        let (who, what) = line(observation);
        let told = format!("{:>5}.{:06} {who:>4} {what}", at / MS, at % MS);
        self.links.push(Link { hash: self.fold.value(), told, whole });
        Ok(())
    }
}

impl Chain {
    fn of(schedule: &Schedule) -> Chain {
        let mut recorder = Recorder::default();
        let report = Runner::default().run(schedule, &mut recorder);
        Chain { links: recorder.links, report }
    }
}

/// How many events before the first difference are told.
const BEFORE: usize = 3;

fn difference(one: &Chain, two: &Chain) -> Option<String> {
    let same = one.links.iter().zip(&two.links).take_while(|(a, b)| a.hash == b.hash).count();
    let (left, right) = (one.links.get(same), two.links.get(same));
    if left.is_none() && right.is_none() {
        let ends = || {
            format!(
                "all observations are the same, but run 1 ends with {:?}, the other with {:?}",
                one.report, two.report
            )
        };
        return (one.report != two.report).then(ends);
    }
    let mut text = format!("the first {same} observations are the same");
    for link in &one.links[same.saturating_sub(BEFORE)..same] {
        text.push_str(&format!("\n  both   {}", link.told));
    }
    for (name, link) in [("run 1", left), ("other", right)] {
        let told = link.map_or("(has ended)", |link| &link.told);
        text.push_str(&format!("\n  {name}  {told}"));
    }
    if let (Some(left), Some(right)) = (left, right)
        && left.told == right.told
    {
        text.push_str(&format!("\n  in full: {}\n  against: {}", left.whole, right.whole));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_schedule_gives_the_same_chain() {
        let schedule = schedule(7, None);
        let (one, two) = (Chain::of(&schedule), Chain::of(&schedule));
        assert!(one.links.len() > 500);
        assert_eq!(difference(&one, &two), None);
    }

    #[test]
    fn the_first_difference_is_told_with_what_came_before() {
        let schedule = schedule(7, None);
        let one = Chain::of(&schedule);
        let text = difference(&one, &Chain::of(&disturbed(&schedule))).expect("a microsecond matters");
        assert_eq!(text.matches("\n  both ").count(), BEFORE, "{text}");
        assert!(text.contains("\n  run 1 ") && text.contains("\n  other "), "{text}");
        // It is the first: one that is cut off there is the same up to its end.
        let mut cut = Chain::of(&schedule);
        cut.links.truncate(10);
        let text = difference(&one, &cut).expect("one is shorter");
        assert!(text.starts_with("the first 10 observations") && text.contains("(has ended)"), "{text}");
        let mut other_end = Chain::of(&schedule);
        other_end.report.hash ^= 1;
        assert!(difference(&one, &other_end).expect("the hashes differ").contains("run 1 ends with"));
    }
}
