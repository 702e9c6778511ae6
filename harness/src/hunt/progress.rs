//! How far a hunt is: a block of at most four lines that is drawn again and again on a terminal, or a line now and then
//! anywhere else. Not more than ten times a second, on standard error, so that standard output has results only.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::record::Totals;
use crate::numbers::{grouped, span};

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// What there is to say.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Counts so far.
    pub totals: Totals,
    /// Seeds to run, if there is such a number.
    pub planned: Option<u64>,
    /// The time limit, seconds.
    pub limit: Option<f64>,
    /// Marks that were hit, and all there are, if they are counted.
    pub coverage: Option<(usize, usize)>,
}

/// Tells it.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    live: bool,
    told: Instant,
}

impl Progress {
    /// For this process: live on a terminal, unless CI says that nobody looks at it.
    pub fn new() -> Progress {
        let set = |name: &str| {
            std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0" && value != "false")
        };
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let live = std::io::stderr().is_terminal() && !set("CI") && !dumb;
        let bar = if live {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10))
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        Progress { bar, live, told: Instant::now() }
    }

    /// Tells how far it is, if it is time to. The snapshot is made only then.
    pub fn tell(&mut self, snapshot: impl FnOnce() -> Snapshot) {
        let every = if self.live { Duration::from_millis(100) } else { LINE_EVERY };
        if self.told.elapsed() < every {
            return;
        }
        self.told = Instant::now();
        if self.live {
            // Draws it, too.
            self.bar.set_message(block(&snapshot()));
        } else {
            eprintln!("{}", line(&snapshot()));
        }
    }

    /// Tells what is being done now that takes its time and has no figures.
    pub fn doing(&self, what: String) {
        if self.live {
            self.bar.set_message(what);
        } else {
            eprintln!("{what}");
        }
    }

    /// Writes a line of result between.
    pub fn say(&self, text: &str) {
        self.bar.suspend(|| say(text));
    }

    /// Takes the block away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::new()
    }
}

/// Writes a line to standard output. A reader that has gone away is no reason to lose the rest of the work.
pub fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// The block for a terminal.
fn block(snapshot: &Snapshot) -> String {
    let totals = &snapshot.totals;
    let seconds = totals.seconds.max(1e-3);
    let mut text = format!(
        "seeds      {}, {:.0}/s, {}\nsimulated  {} in {} ({} times real time), {} events/s\nfailures   {}",
        seeds(snapshot),
        totals.schedules as f64 / seconds,
        left(snapshot),
        span(totals.simulated_seconds),
        span(totals.seconds),
        grouped((totals.simulated_seconds / seconds) as u64),
        short(totals.events as f64 / seconds),
        failures(totals),
    );
    if let Some((hit, all)) = snapshot.coverage {
        text.push_str(&format!("; coverage {hit}/{all} marks"));
    }
    if let Some(seed) = totals.slowest_seed {
        text.push_str(&format!(
            "\nslowest    seed {seed}: {:.2} s; {} run twice",
            totals.slowest_seconds,
            grouped(totals.double_checked)
        ));
    }
    text
}

/// The line for a log.
fn line(snapshot: &Snapshot) -> String {
    let totals = &snapshot.totals;
    let seconds = totals.seconds.max(1e-3);
    let coverage = snapshot.coverage.map(|(hit, all)| format!(", coverage {hit}/{all}")).unwrap_or_default();
    format!(
        "{}: {} seeds, {:.0}/s, {} events/s, {} times real time, {}{coverage}, {}",
        span(totals.seconds),
        seeds(snapshot),
        totals.schedules as f64 / seconds,
        short(totals.events as f64 / seconds),
        grouped((totals.simulated_seconds / seconds) as u64),
        failures(totals),
        left(snapshot),
    )
}

fn seeds(snapshot: &Snapshot) -> String {
    let done = snapshot.totals.schedules;
    match snapshot.planned {
        Some(planned) => {
            format!("{} of {} ({} %)", grouped(done), grouped(planned), 100 * done / planned.max(1))
        }
        None => grouped(done),
    }
}

fn left(snapshot: &Snapshot) -> String {
    let totals = &snapshot.totals;
    let by_seeds = snapshot.planned.filter(|_| totals.schedules > 0).map(|planned| {
        totals.seconds * planned.saturating_sub(totals.schedules) as f64 / totals.schedules as f64
    });
    let by_time = snapshot.limit.map(|limit| (limit - totals.seconds).max(0.0));
    match by_seeds.into_iter().chain(by_time).reduce(f64::min) {
        Some(left) => format!("{} left", span(left)),
        None => "begins".into(),
    }
}

fn failures(totals: &Totals) -> String {
    let mut text = match totals.failures {
        0 => "no failures".to_owned(),
        all => format!("{} distinct in {} seeds", totals.signatures, grouped(all)),
    };
    if totals.nondeterministic > 0 {
        text.push_str(&format!(", {} NOT DETERMINISTIC", totals.nondeterministic));
    }
    text
}

fn short(number: f64) -> String {
    match number {
        n if n >= 1e6 => format!("{:.1} million", n / 1e6),
        n => grouped(n as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        Snapshot {
            totals: Totals {
                schedules: 5000,
                failures: 37,
                signatures: 2,
                events: 50_000_000,
                simulated_seconds: 40_000.0,
                seconds: 25.0,
                slowest_seed: Some(4711),
                slowest_seconds: 0.21,
                double_checked: 250,
                ..Totals::default()
            },
            planned: Some(20_000),
            limit: None,
            coverage: Some((80, 112)),
        }
    }

    #[test]
    fn a_block_has_four_lines_with_all_figures() {
        let text = block(&snapshot());
        assert_eq!(
            text,
            "seeds      5,000 of 20,000 (25 %), 200/s, 1 min 15 s left\n\
             simulated  11 h 06 min in 25 s (1,600 times real time), 2.0 million events/s\n\
             failures   2 distinct in 37 seeds; coverage 80/112 marks\n\
             slowest    seed 4711: 0.21 s; 250 run twice"
        );
        assert!(block(&Snapshot::default()).lines().count() <= 4);
    }

    #[test]
    fn a_line_is_one_line_without_returns() {
        let mut snapshot = snapshot();
        snapshot.planned = None;
        snapshot.limit = Some(60.0);
        snapshot.totals.nondeterministic = 1;
        let text = line(&snapshot);
        assert_eq!(
            text,
            "25 s: 5,000 seeds, 200/s, 2.0 million events/s, 1,600 times real time, 2 distinct in 37 seeds, 1 NOT \
             DETERMINISTIC, coverage 80/112, 35 s left"
        );
        assert!(!line(&Snapshot::default()).contains(['\r', '\n']));
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.25, 59.9, 61.0, 7260.0, 200_000.0].map(span),
            ["0.2 s", "59 s", "1 min 01 s", "2 h 01 min", "2 d 07 h"]
        );
    }
}
