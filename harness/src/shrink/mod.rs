//! From a failing schedule to a handful of decisions that fail in the same way.
//!
//! ```text
//!   search     candidates are replayed on all threads; the best so far is always at hand
//!   redraw     far simpler schedules at once, each under luck of its own
//!   gather     one compact decision in place of many small ones
//!   remove     leaving out faults, luck, slow syncs and what clients do
//!   tighten    smaller limits, so that fewer requests come to the same
//!   simpler    fewer servers, plain settings, even weather, short and round times
//!   rename     servers and clients by their smallest names
//!   meaning    what of the result is necessary, and what plays no part
//!   command    the verb `shrink`
//! ```
//!
//! A schedule that draws its choices is first turned into one that lists them, which runs the same. From there on
//! everything is editing: a candidate is adopted if it breaks the same property, an invariant at the same place. The
//! result is minimal in the sense that no single decision can be left out, unless the budget ended before.

mod command;
mod gather;
mod meaning;
mod redraw;
mod remove;
mod rename;
mod search;
mod simpler;
mod tighten;

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use vivarium_sim::schedule::Choices;
use vivarium_sim::{NodeIndex, Observation, Observer, Report, Schedule, Time, Verdict, Violation};

use crate::run::{Runner, listed};

pub use command::{Args, run};
pub use meaning::Meaning;
use search::Search;
pub use search::{Bounds, Signature};

/// What a smaller schedule is looked for with.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// How long it may take; what is left unshrunk by then stays.
    pub budget: Duration,
    /// Threads.
    pub jobs: usize,
    /// Set it to end early, with the best so far.
    pub stop: &'a AtomicBool,
}

/// A failing schedule, made small.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The schedule. It lists its choices.
    pub schedule: Schedule,
    /// What it comes to.
    pub report: Report,
    /// How many decisions there were: faults, messages' luck, slow syncs, what clients did.
    pub before: usize,
    /// How many are left.
    pub after: usize,
    /// How many schedules were run on the way.
    pub replays: u64,
    /// How long it took.
    pub took: Duration,
    /// Whether the budget was enough: then no single decision can be left out.
    pub minimal: bool,
    /// What is necessary in it, and what is not.
    pub meaning: Meaning,
}

impl Shrunk {
    /// In a line.
    pub fn summary(&self) -> String {
        format!(
            "{} decisions -> {} ({} replays, {:.1} s){}",
            self.before,
            self.after,
            self.replays,
            self.took.as_secs_f64(),
            if self.minimal { "" } else { "; the budget ended before it was minimal" }
        )
    }

    /// The property that is broken.
    pub fn violation(&self) -> &Violation {
        match &self.report.verdict {
            Verdict::Broken(violation) => violation,
            Verdict::Clean => unreachable!("what is kept fails"),
        }
    }
}

/// Makes a failing schedule small. `wanted`: what it is to fail with; without, whatever it fails with.
///
/// # Errors
/// What the schedule comes to, where that is not a failure of the wanted kind.
pub fn shrink(
    schedule: &Schedule,
    wanted: Option<Signature>,
    options: Options<'_>,
) -> Result<Shrunk, Box<Report>> {
    let began = Instant::now();
    let mut runner = Runner::default();
    let mut hits = Hits::default();
    let (report, choices) = runner.record(schedule, &mut hits);
    let wanted = match (&report.verdict, wanted) {
        (Verdict::Broken(violation), None) => Signature::of(violation),
        (Verdict::Broken(violation), Some(wanted)) if wanted.covers(violation) => wanted,
        _ => return Err(Box::new(report)),
    };
    let whole = match &schedule.choices {
        Choices::Drawn => listed(schedule, choices),
        // Recorded anew, what it says in one would be many.
        Choices::Listed(_) => schedule.clone(),
    };
    let before = whole.decisions();
    let bounds = Bounds { deadline: began + options.budget, stop: options.stop };
    let mut search = Search::new(wanted, whole, report, options.jobs, bounds);
    passes(&mut search, &hits.0);
    let minimal = !search.is_over();
    let meaning = Meaning::of(&mut search);
    let schedule = Schedule::clone(&search.best());
    Ok(Shrunk {
        report: search.report().clone(),
        before,
        after: schedule.decisions(),
        schedule,
        replays: search.replays(),
        took: began.elapsed(),
        minimal,
        meaning,
    })
}

/// What of a failing schedule is necessary, without making it smaller; none when it does not fail.
pub fn meaning(schedule: &Schedule, options: Options<'_>) -> Option<Meaning> {
    let report = Runner::default().run(schedule, &mut ());
    let Verdict::Broken(violation) = &report.verdict else { return None };
    let bounds = Bounds { deadline: Instant::now() + options.budget, stop: options.stop };
    let wanted = Signature::of(violation);
    let mut search = Search::new(wanted, schedule.clone(), report, options.jobs, bounds);
    Some(Meaning::of(&mut search))
}

/// More decisions than this are not tried in pairs, nor with other weather: it would take too long.
const FEW: usize = 24;

/// As long as there is a lot, parts of less than this many parts of a hundred are not tried one by one.
const COARSE: usize = 6;

/// So many rounds of all passes at most.
const ROUNDS_MAX: u64 = 5;

/// All passes, those first that usually take away the most.
fn passes(search: &mut Search<'_>, hits: &[Option<NodeIndex>]) {
    remove::cut_tail(search);
    simpler::name_targets(search, hits);
    simpler::drop_odds(search);
    remove::remove_whole_kinds(search);
    simpler::calm_weather(search);
    simpler::heal_earlier(search);
    gather::gather(search);
    remove::remove_by_kind(search, COARSE);
    redraw::redraw(search, 0);
    remove::remove_by_kind(search, 0);
    remove::cut_tail(search);
    let mut rounds = 0;
    loop {
        let before = size(search);
        redraw::redraw(search, rounds + 1);
        gather::gather(search);
        simpler::calm_weather(search);
        tighten::tighten(search);
        remove::remove_any(search);
        simpler::drop_clients(search);
        simpler::drop_nodes(search);
        simpler::plain_settings(search);
        if search.best().decisions() <= FEW {
            remove::remove_pairs(search, FEW);
            remove::remove_by_weather(search, 3);
        } else if size(search) < before && rounds < ROUNDS_MAX {
            // As long as there is a lot, and ever less of it, nothing is polished that will go.
            rounds += 1;
            continue;
        }
        simpler::plain_faults(search);
        simpler::fewer_repeats(search);
        simpler::close_gaps(search);
        simpler::heal_earlier(search);
        simpler::round_times(search);
        simpler::simplify_requests(search);
        rename::rename(search);
        if search.best().decisions() <= FEW {
            // A decision may only have hastened the violation.
            search.be_patient(true);
            remove::remove_any(search);
            search.be_patient(false);
        }
        rounds += 1;
        if search.is_over() || size(search) == before || rounds >= ROUNDS_MAX {
            return;
        }
    }
}

/// What has to go down for another round to be worth it.
fn size(search: &Search<'_>) -> (usize, usize, usize, bool) {
    let best = search.best();
    (best.decisions(), best.nodes, best.clients.len(), !best.even)
}

/// Takes note of whom faults hit.
#[derive(Debug, Default)]
struct Hits(Vec<Option<NodeIndex>>);

impl Observer for Hits {
    fn observe(&mut self, _: Time, observation: &Observation<'_>) -> Result<(), Box<Violation>> {
        if let Observation::Fault { node, .. } = observation {
            self.0.push(*node);
        }
        Ok(())
    }
}
