//! What to hunt: the command line, the profiles, the environment, and the one plan that they come to.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use vivarium_sim::schedule::Sabotage;

use super::shard::{Shard, choose};
use crate::build;
use crate::end::Usage;

/// Run many schedules, each drawn from a seed of its own, and check every property
///
/// Without --seeds, 1,000 schedules; as many as fit into --time; as many as it takes --until-covered.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Args {
    #[command(flatten)]
    seeds: SeedArgs,
    /// Stop after this long (90, 90s, 30m, 2h). Without `--seeds`, take as many seeds as fit; with it, what is left by
    /// then is undetermined.
    #[arg(long, value_name = "TIME", value_parser = parse_time, alias = "budget")]
    time: Option<Duration>,
    /// Go on until every mark was hit, the points of interest that runs come to; but no longer than --seeds and --time
    /// say, and what was not hit by then is undetermined.
    #[arg(long, conflicts_with = "no_coverage")]
    until_covered: bool,
    /// A named bundle of the other options; each can still be given, and then counts.
    #[arg(long, value_enum)]
    profile: Option<Profile>,
    /// Percentage of the seeds that are run twice, to see that both runs are the same [default: 5].
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100))]
    double_check: Option<u32>,
    /// Stop at this many failing seeds [default: 10].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    failures: Option<u64>,
    /// In the end, make one failing schedule of each kind small, for at most this long in all; 0 for not at all
    /// [default: 20s].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    shrink: Option<Duration>,
    /// How many threads; 0 for one per core [default: 0].
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    jobs: usize,
    /// Write results into a new folder of this one, with a link `latest` to it: run.json, findings.json,
    /// failures.jsonl, coverage.json, junit.xml, fail/SIGNATURE/*.sched.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Do not count marks, the points of interest that runs come to.
    #[arg(long)]
    no_coverage: bool,
    /// Write JUnit's XML here: a test case for each property.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print a JSON object as the last line.
    #[arg(long)]
    json: bool,
    /// To try this out: the simulated world itself breaks a promise, and the checkers have to notice.
    #[arg(long, value_enum, value_name = "KIND")]
    sabotage: Option<SabotageName>,
    /// To try this out: the second run of a seed differs from the first.
    #[arg(long, hide = true)]
    fickle: bool,
}

/// Which seeds: of `hunt`, and of what else runs many.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct SeedArgs {
    /// How many, or which: `20000`, or `1000..2000` (the last is not part of it), or `1000..=1999`.
    #[arg(long, value_name = "N|A..B", value_parser = parse_seeds)]
    seeds: Option<Seeds>,
    /// The first seed; `commit`: a number made of the commit's id, so that each commit has seeds of its own
    /// [default: 0].
    #[arg(long, value_name = "SEED|commit", value_parser = parse_from)]
    from: Option<From>,
    /// Run only part K of N of the seeds. Without it, the environment decides: HARNESS_SHARD_INDEX (from 0; for
    /// GitHub's `strategy.job-index`) or JOB_COMPLETION_INDEX (Kubernetes) with HARNESS_SHARDS, SLURM_ARRAY_TASK_*,
    /// and what GitLab, CircleCI and Buildkite set.
    #[arg(long, value_name = "K/N", value_parser = Shard::parse)]
    shard: Option<Shard>,
}

/// Named bundles of options.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Does it work at all: --seeds 300 --double-check 20 --failures 1
    Smoke,
    /// For each change: --seeds 20000 --from commit --time 10m --double-check 5 --failures 10
    Pr,
    /// Every night, on each shard: --time 1h --double-check 5 --failures 100 --shrink 5m
    Nightly,
    /// Until something turns up: --time 12h --double-check 1 --failures 1000 --shrink 10m
    Soak,
}

struct Bundle {
    seeds: Option<u64>,
    from: Option<From>,
    minutes: Option<u64>,
    double_check: u32,
    failures: u64,
    shrink_seconds: u64,
}

impl Profile {
    fn bundle(profile: Option<Profile>) -> Bundle {
        let (seeds, from, minutes, double_check, failures, shrink_seconds) = match profile {
            None => (None, None, None, 5, 10, 20),
            Some(Profile::Smoke) => (Some(300), None, None, 20, 1, 20),
            Some(Profile::Pr) => (Some(20_000), Some(From::Commit), Some(10), 5, 10, 20),
            Some(Profile::Nightly) => (None, None, Some(60), 5, 100, 300),
            Some(Profile::Soak) => (None, None, Some(12 * 60), 1, 1000, 600),
        };
        Bundle { seeds, from, minutes, double_check, failures, shrink_seconds }
    }
}

/// What the world can do wrong, by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SabotageName {
    /// Disks say that they have synced before they have.
    EarlySync,
    /// Now and then a reply is held back until after the next one.
    SwappedReplies,
    /// Some notifications never reach the client.
    LostNotifications,
    /// Replies to getData carry other data.
    ForgedData,
    /// What the first node sends never arrives.
    Mute,
}

impl SabotageName {
    /// What a schedule calls it.
    pub fn kind(self) -> Sabotage {
        match self {
            SabotageName::EarlySync => Sabotage::EarlySync,
            SabotageName::SwappedReplies => Sabotage::SwappedReplies,
            SabotageName::LostNotifications => Sabotage::LostNotifications,
            SabotageName::ForgedData => Sabotage::ForgedData,
            SabotageName::Mute => Sabotage::Mute,
        }
    }

    /// As it is written in a command line and in a trace file.
    pub fn name(self) -> String {
        let value = self.to_possible_value().expect("no variant is skipped");
        value.get_name().to_owned()
    }
}

/// `--seeds`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Seeds {
    Count(u64),
    Range(u64, u64),
}

/// `--from`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum From {
    Seed(u64),
    Commit,
}

/// How many seeds there are to take from when only time ends a hunt. Small enough that with any commit's first seed
/// every number stays exact in JSON readers that know only doubles.
const OPEN_ENDED: u64 = 1 << 40;

/// Which seeds are to be run, and why these.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Share {
    /// The seeds of all shards.
    pub whole: Range<u64>,
    /// Those of this one.
    pub mine: Range<u64>,
    /// Which part that is.
    pub shard: Shard,
    /// How the part was found out, when it was not the command line.
    pub shard_source: Option<String>,
    /// Whether the end of the range is only the end of what there is to take from.
    pub open_ended: bool,
}

impl SeedArgs {
    /// What they come to; `default_count` is taken when nothing is said, `None` for as many as fit.
    ///
    /// # Errors
    /// When they contradict each other or the environment is of no use.
    pub fn resolve(&self, default_count: Option<u64>) -> Result<Share> {
        self.resolve_in(default_count, None, |name| std::env::var(name).ok())
    }

    fn resolve_in(
        &self,
        default_count: Option<u64>,
        default_from: Option<From>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Share> {
        let usage = |text: String| anyhow::Error::from(Usage(text));
        let (start, count) = match (self.seeds, self.from) {
            (Some(Seeds::Range(..)), Some(_)) => {
                return Err(usage("--seeds A..B already says the first seed: leave --from out".into()));
            }
            (Some(Seeds::Range(start, end)), None) => (start, Some(end - start)),
            (seeds, from) => {
                let start = match from.or(default_from).unwrap_or(From::Seed(0)) {
                    From::Seed(seed) => seed,
                    From::Commit => commit_seed()?,
                };
                let count = match seeds {
                    Some(Seeds::Count(count)) => Some(count),
                    _ => default_count,
                };
                (start, count)
            }
        };
        let end = start
            .checked_add(count.unwrap_or(OPEN_ENDED))
            .ok_or_else(|| usage(format!("there are no so many seeds after {start}")))?;
        let (shard, shard_source) = choose(self.shard, variable)?;
        let whole = start..end;
        Ok(Share { mine: shard.part(&whole), whole, shard, shard_source, open_ended: count.is_none() })
    }
}

/// A whole hunt, resolved.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which seeds.
    pub share: Share,
    /// When to stop.
    pub time: Option<Duration>,
    /// Whether it ends when every mark was hit, and is undetermined as long as one was not.
    pub until_covered: bool,
    /// The bundle it came from.
    pub profile: Option<Profile>,
    /// Percentage of seeds that are run twice.
    pub double_check: u32,
    /// How many failing seeds are enough.
    pub failures_max: u64,
    /// How long failing schedules are made small.
    pub shrink: Duration,
    /// Threads, at least one.
    pub jobs: usize,
    /// Where results go.
    pub out: Option<PathBuf>,
    /// Whether marks are counted.
    pub coverage: bool,
    /// Where JUnit's XML goes, besides.
    pub junit: Option<PathBuf>,
    /// Whether the last line is a JSON object.
    pub json: bool,
    /// What the world does wrong.
    pub sabotage: Option<SabotageName>,
    /// Whether second runs are made to differ.
    pub fickle: bool,
}

impl Args {
    /// What they come to.
    ///
    /// # Errors
    /// When they contradict each other or the environment is of no use.
    pub fn plan(&self) -> Result<Plan> {
        let bundle = Profile::bundle(self.profile);
        let time = self.time.or(bundle.minutes.map(|minutes| Duration::from_secs(60 * minutes)));
        let count = match (bundle.seeds, time) {
            (Some(count), _) => Some(count),
            (None, Some(_)) => None,
            (None, None) if self.until_covered => None,
            (None, None) => Some(1000),
        };
        let jobs = match self.jobs {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            jobs => jobs,
        };
        Ok(Plan {
            share: self.seeds.resolve_in(count, bundle.from, |name| std::env::var(name).ok())?,
            time,
            until_covered: self.until_covered,
            profile: self.profile,
            double_check: self.double_check.unwrap_or(bundle.double_check),
            failures_max: self.failures.unwrap_or(bundle.failures),
            shrink: self.shrink.unwrap_or(Duration::from_secs(bundle.shrink_seconds)),
            jobs,
            out: self.out.clone(),
            coverage: !self.no_coverage,
            junit: self.junit.clone(),
            json: self.json,
            sabotage: self.sabotage,
            fickle: self.fickle,
        })
    }
}

fn parse_number(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    let parsed = match digits.strip_prefix("0x") {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16),
        None => digits.parse(),
    };
    parsed.map_err(|_| format!("`{text}` is not a seed: a number from 0 to {}", u64::MAX))
}

fn parse_seeds(text: &str) -> Result<Seeds, String> {
    let Some((start, end)) = text.split_once("..") else {
        return parse_number(text).map(Seeds::Count);
    };
    let start = parse_number(start)?;
    let end = match end.strip_prefix('=') {
        Some(last) => parse_number(last)?.checked_add(1).ok_or("the last seed is too large")?,
        None => parse_number(end)?,
    };
    if end < start {
        return Err(format!("`{text}` ends before it begins"));
    }
    Ok(Seeds::Range(start, end))
}

fn parse_from(text: &str) -> Result<From, String> {
    match text {
        "commit" => Ok(From::Commit),
        number => parse_number(number).map(From::Seed),
    }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(format!("`{text}`: the unit is s, m or h")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("`{text}` is not a time such as 90s, 30m or 2h"))?;
    number.checked_mul(factor).map(Duration::from_secs).ok_or_else(|| format!("`{text}` is too long"))
}

/// The first eleven hexadecimal digits of the commit: 44 bits, so that a range that begins there is exact in JSON.
fn commit_seed() -> Result<u64> {
    let commit = build::commit().context(
        "--from commit: the commit is not known, for this is no git checkout and HARNESS_COMMIT was not set; give a number",
    )?;
    let digits = commit.get(..11).unwrap_or_default();
    u64::from_str_radix(digits, 16).with_context(|| format!("--from commit: `{commit}` is not a commit's id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(args: &[&str]) -> Result<Plan> {
        use clap::Parser;
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        let line = Line::try_parse_from(std::iter::once("hunt").chain(args.iter().copied()));
        line.map_err(|error| anyhow::Error::from(Usage(error.to_string())))?.args.plan()
    }

    #[test]
    fn seeds_are_a_number_or_a_range() {
        for (args, wanted) in [
            (&[][..], 0..1000),
            (&["--seeds", "20000"], 0..20_000),
            (&["--seeds", "20_000", "--from", "7"], 7..20_007),
            (&["--seeds", "5..9"], 5..9),
            (&["--seeds", "5..=9"], 5..10),
            (&["--seeds", "0x10..0x20"], 16..32),
            (&["--seeds", "5..5"], 5..5),
            (&["--time", "1m", "--seeds", "9"], 0..9),
            (&["--time", "1m"], 0..OPEN_ENDED),
            (&["--until-covered"], 0..OPEN_ENDED),
            (&["--until-covered", "--seeds", "9"], 0..9),
            (&["--profile", "smoke"], 0..300),
            (&["--profile", "nightly", "--from", "3", "--seeds", "10"], 3..13),
        ] {
            let mut args = args.to_vec();
            args.extend(["--shard", "1/1"]);
            assert_eq!(resolve(&args).unwrap().share.whole, wanted, "{args:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_wrong_usage() {
        for (args, complaint) in [
            (&["--seeds", "9..5"][..], "before it begins"),
            (&["--seeds", "a..b"], "not a seed"),
            (&["--seeds", "1..2", "--from", "1"], "--from"),
            (&["--seeds", "10", "--from", "18446744073709551615"], "no so many"),
            (&["--shard", "9/8"], "K/N"),
            (&["--time", "3d"], "s, m or h"),
            (&["--time", "soon"], "s, m or h"),
            (&["--double-check", "101"], "101"),
            (&["--failures", "0"], "0"),
            (&["--profile", "weekly"], "weekly"),
            (&["--until-covered", "--no-coverage"], "--no-coverage"),
        ] {
            let error = resolve(args).unwrap_err();
            assert!(error.to_string().contains(complaint), "{args:?}: {error}");
            assert_eq!(crate::end::code_of(&error), 64, "{args:?}");
        }
    }

    #[test]
    fn an_option_outdoes_its_profile() {
        let plan = resolve(&["--profile", "soak", "--time", "5s", "--shard", "1/1"]).unwrap();
        assert_eq!((plan.time, plan.double_check), (Some(Duration::from_secs(5)), 1));
        assert!(plan.share.open_ended);
        let plan = resolve(&["--profile", "soak", "--double-check", "50", "--shard", "1/1"]).unwrap();
        assert_eq!((plan.time, plan.double_check), (Some(Duration::from_secs(12 * 3600)), 50));
    }

    #[test]
    fn the_help_of_a_profile_says_what_it_sets() {
        // What stands in the help is what the profile does: read back, it gives the same plan.
        for profile in Profile::value_variants() {
            let value = profile.to_possible_value().unwrap();
            let help = value.get_help().unwrap().to_string();
            let options: Vec<&str> = help.split(": ").nth(1).unwrap().split(' ').collect();
            let shard = ["--shard", "1/1"];
            let spelled = resolve(&[&options[..], &shard].concat());
            let named = resolve(&[&["--profile", value.get_name()][..], &shard].concat());
            let (Ok(spelled), Ok(named)) = (spelled, named) else {
                // `--from commit` outside of a checkout.
                assert!(help.contains("commit") && build::commit().is_none());
                continue;
            };
            assert_eq!(
                (spelled.share, spelled.time, spelled.double_check, spelled.failures_max, spelled.shrink),
                (named.share, named.time, named.double_check, named.failures_max, named.shrink),
                "{help}"
            );
        }
    }
}
