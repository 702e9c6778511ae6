//! `run.json`: what a hunt was asked, what it ran, on what, and how it ended. Written by `hunt`, read by `merge`.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::options::{Plan, Profile, SabotageName};
use super::shard::Shard;
use crate::build;
use crate::end::End;

/// The format of `run.json` and of what lies beside it.
pub const FORMAT: u32 = 1;

/// One hunt.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// [`FORMAT`].
    pub format: u32,
    /// The name of the run's folder.
    pub run: String,
    /// When it began, UTC.
    pub started: String,
    /// What ran.
    pub build: Build,
    /// Where it ran.
    pub host: Host,
    /// What it was asked.
    pub options: Options,
    /// The seeds that it was to run,
    pub planned: Range<u64>,
    /// and those that it has run, all of them.
    pub ran: Range<u64>,
    /// What that came to.
    pub totals: Totals,
    /// How it ended; nothing while it runs, and for ever if it was killed.
    pub exit: Option<Exit>,
}

/// What ran.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Build {
    /// Of the package.
    pub version: String,
    /// If it is known.
    pub commit: Option<String>,
    /// The compiler.
    pub toolchain: String,
    /// `debug` or `release`.
    pub profile: String,
}

/// Where it ran.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Host {
    /// Cores that the process may use.
    pub cores: usize,
    /// Operating system and processor.
    pub platform: String,
}

/// What it was asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Options {
    /// The seeds of all shards.
    pub seeds: Range<u64>,
    /// Whether only time ends it.
    pub open_ended: bool,
    /// Which part of the seeds.
    pub shard: Shard,
    /// How that was found out, if not by the command line.
    pub shard_source: Option<String>,
    /// The time limit.
    pub time_seconds: Option<u64>,
    /// Whether it was to end when every mark was hit.
    #[serde(default)]
    pub until_covered: bool,
    /// The bundle of options.
    pub profile: Option<Profile>,
    /// Percentage of seeds that are run twice.
    pub double_check: u32,
    /// How many failing seeds are enough.
    pub failures: u64,
    /// Threads.
    pub jobs: usize,
    /// What the world did wrong.
    pub sabotage: Option<SabotageName>,
}

impl Options {
    /// What all shards of one hunt have in common, in words; differing ones cannot be joined.
    pub fn common(&self) -> Vec<(&'static str, String)> {
        vec![
            ("seeds", format!("{}..{}", self.seeds.start, self.seeds.end)),
            ("number of shards", self.shard.count.to_string()),
            ("time limit", self.time_seconds.map_or("none".into(), |seconds| format!("{seconds} s"))),
            ("until covered", self.until_covered.to_string()),
            ("double check", format!("{} %", self.double_check)),
            ("sabotage", self.sabotage.map_or("none".into(), SabotageName::name)),
        ]
    }
}

/// Counts. The same names as in the last line of `hunt --json`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Seeds that were run.
    pub schedules: u64,
    /// Seeds that broke a property.
    pub failures: u64,
    /// Kinds of failures.
    pub signatures: u64,
    /// The least seed that broke one.
    pub first_failing_seed: Option<u64>,
    /// Seeds whose two runs differed.
    pub nondeterministic: u64,
    /// Seeds that were run twice.
    pub double_checked: u64,
    /// Seeds that were planned and not run; 0 when only time was to end it.
    pub undetermined: u64,
    /// Simulated events, second runs not counted.
    pub events: u64,
    /// Simulated time, in seconds.
    pub simulated_seconds: f64,
    /// Real time.
    pub seconds: f64,
    /// Real time in first runs, of all threads.
    pub busy_seconds: f64,
    /// Threads.
    pub jobs: usize,
    /// First runs only.
    pub schedules_per_second_per_core: f64,
    /// First runs only.
    pub events_per_second_per_core: f64,
    /// Marks that were hit, if they were counted.
    #[serde(default)]
    pub marks_hit: Option<usize>,
    /// Runs in which an order was searched that explains all that clients saw: a sample, first runs only,
    #[serde(default)]
    pub searched: u64,
    /// and those of them in which the search gave up.
    #[serde(default)]
    pub search_gave_up: u64,
    /// The seed that took longest,
    pub slowest_seed: Option<u64>,
    /// and how long.
    pub slowest_seconds: f64,
}

impl Totals {
    /// Fills in what follows from the rest.
    pub fn rates(&mut self) {
        let busy = self.busy_seconds.max(1e-9);
        self.schedules_per_second_per_core = self.schedules as f64 / busy;
        self.events_per_second_per_core = self.events as f64 / busy;
    }
}

/// How it ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code.
    pub code: u8,
    /// What that means.
    pub meaning: String,
    /// Why it ended when it did.
    pub reason: Reason,
}

/// Why a hunt ended when it did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// All seeds were run.
    Complete,
    /// Every mark was hit, and more was not asked.
    Covered,
    /// All that there was to run or time for was run, and some mark was not hit that was to be.
    Uncovered,
    /// Time was up.
    Time,
    /// There were failures enough.
    Failures,
    /// Someone asked it to end.
    Interrupted,
    /// Its results could not be written any more.
    Output,
}

impl Reason {
    /// For a summary.
    pub fn words(self) -> &'static str {
        match self {
            Reason::Complete => "all seeds were run",
            Reason::Covered => "every mark was hit (--until-covered)",
            Reason::Uncovered => "seeds or time were used up, and not every mark was hit (--until-covered)",
            Reason::Time => "time was up",
            Reason::Failures => "there were failures enough (--failures)",
            Reason::Interrupted => "it was interrupted",
            Reason::Output => "its results could not be written",
        }
    }
}

/// How a hunt ended, from what it counted.
pub fn end(totals: &Totals, reason: Reason, open_ended: bool) -> End {
    let undetermined = match reason {
        Reason::Complete | Reason::Covered => false,
        // Without a number of seeds to reach, reaching the time is all that was asked.
        Reason::Time => !open_ended,
        Reason::Uncovered | Reason::Failures | Reason::Interrupted | Reason::Output => true,
    };
    if totals.nondeterministic > 0 {
        End::NotDeterministic
    } else if totals.failures > 0 {
        End::Broken
    } else if undetermined {
        End::Undetermined
    } else if totals.schedules == 0 {
        End::NothingRan
    } else {
        End::Clean
    }
}

impl Record {
    /// Of a hunt that begins now, `now` seconds after 1970.
    pub fn begin(plan: &Plan, now: u64) -> Record {
        let started = utc(now);
        let stamp: String = started.chars().filter(char::is_ascii_digit).collect();
        let shard = plan.share.shard;
        let part = match shard.count {
            1 => String::new(),
            count => format!("-shard-{}-of-{count}", shard.index),
        };
        Record {
            format: FORMAT,
            run: format!("{}-{}{part}", &stamp[..8], &stamp[8..]),
            started,
            build: Build {
                version: env!("CARGO_PKG_VERSION").into(),
                commit: build::commit().map(str::to_owned),
                toolchain: build::toolchain().into(),
                profile: build::profile().into(),
            },
            host: Host {
                cores: std::thread::available_parallelism().map_or(1, usize::from),
                platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
            },
            options: Options {
                seeds: plan.share.whole.clone(),
                open_ended: plan.share.open_ended,
                shard,
                shard_source: plan.share.shard_source.clone(),
                time_seconds: plan.time.map(|time| time.as_secs()),
                until_covered: plan.until_covered,
                profile: plan.profile,
                double_check: plan.double_check,
                failures: plan.failures_max,
                jobs: plan.jobs,
                sabotage: plan.sabotage,
            },
            planned: plan.share.mine.clone(),
            ran: plan.share.mine.start..plan.share.mine.start,
            totals: Totals { jobs: plan.jobs, ..Totals::default() },
            exit: None,
        }
    }
}

/// Seconds after 1970 as `2026-01-31T23:59:59Z`.
pub fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Counted from 0000-03-01, so that the day that some years have more is the last of its year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        for (seconds, wanted) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
        ] {
            assert_eq!(utc(seconds), wanted);
        }
    }

    #[test]
    fn the_worst_decides_how_it_ends() {
        let ran = Totals { schedules: 5, ..Totals::default() };
        assert_eq!(end(&ran, Reason::Complete, false), End::Clean);
        assert_eq!(end(&ran, Reason::Time, true), End::Clean);
        assert_eq!(end(&ran, Reason::Time, false), End::Undetermined);
        assert_eq!(end(&ran, Reason::Covered, false), End::Clean);
        assert_eq!(end(&ran, Reason::Uncovered, true), End::Undetermined);
        assert_eq!(end(&ran, Reason::Interrupted, true), End::Undetermined);
        assert_eq!(end(&Totals::default(), Reason::Complete, false), End::NothingRan);
        assert_eq!(end(&Totals::default(), Reason::Interrupted, false), End::Undetermined);
        let broken = Totals { failures: 1, ..ran };
        assert_eq!(end(&broken, Reason::Interrupted, false), End::Broken);
        let fickle = Totals { nondeterministic: 1, ..broken };
        assert_eq!(end(&fickle, Reason::Complete, false), End::NotDeterministic);
    }
}
