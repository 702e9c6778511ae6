//! How fast the simulator is: schedules per second and core, and what an event costs, for schedules of fixed sizes.
//!
//! Time is CPU time of this thread, so that neighbours on the machine disturb as little as possible, and each figure is
//! the best of a few rounds. Processors differ and clock speeds vary, so a calibration loop, a fixed amount of integer
//! work, runs between the rounds: the ratio of an event's cost to one turn of the loop is what may be compared with
//! another day or another machine.
//!
//! The share of checking is what the same schedules cost more with all checkers than with none; making observations is
//! part of it, for without checkers nobody makes them. What a schedule is made of (steps, messages, writes, requests) is
//! counted apart, outside the time that is measured: it depends on nothing but the schedules.
//!
//! Clients wait for answers, and for a server that takes them: faults keep them from asking as often as they would. The
//! table has both, the requests per second that a profile's clients are set to, which they reach while all goes well, and
//! those that they send before the faults end, and for how much of that time they are connected. `three` is set to
//! 100 and sends about half; `loaded` is set to what it takes to send 100 in spite of the faults.
//!
//! ```text
//!   profiles   which schedules are measured
//!   content    what a schedule is made of
//!   world      what a world weighs, and what a fork of it costs
//! ```

pub mod content;
pub mod profiles;
pub mod world;

use std::sync::Arc;

use anyhow::{Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use vivarium_sim::{Memory, Schedule, Verdict, World};

use crate::end::{End, Usage};
use crate::run::Runner;
use content::Content;
use profiles::{PROFILES, Profile};
use world::{Weights, weigh};

/// Measure how fast schedules run
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Only this profile: three, five, sparse, loaded or hunt.
    #[arg(long, value_name = "PROFILE")]
    pub only: Option<String>,
    /// How many schedules make a round; without, as many as the profile says.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub schedules: Option<u64>,
    /// How many rounds; the best one counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Print a JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// All figures.
#[derive(Clone, PartialEq, Serialize, Debug)]
pub struct Figures {
    /// Nanoseconds of one turn of the calibration loop, the best of all rounds.
    pub calibration_ns: f64,
    /// Memory and forks.
    #[serde(flatten)]
    pub weights: Weights,
    /// One for each profile.
    pub profiles: Vec<Measured>,
}

/// The figures of a profile.
#[derive(Clone, PartialEq, Serialize, Debug)]
pub struct Measured {
    /// The profile's name.
    pub profile: &'static str,
    /// Schedules per second and core, all checkers on.
    pub schedules_per_second: f64,
    /// What is aimed at.
    pub target: Option<f64>,
    /// Events per second and core.
    pub events_per_second: f64,
    /// Nanoseconds of an event, its checks included.
    pub ns_per_event: f64,
    /// The same in turns of the calibration loop.
    pub turns_per_event: f64,
    /// The share of the time that goes into checking, per cent.
    pub checking_percent: f64,
    /// Events of a schedule, on average.
    pub events: f64,
    /// Simulated seconds of a schedule, on average.
    pub simulated_seconds: f64,
    /// What a schedule is made of, on average.
    #[serde(flatten)]
    pub content: Content,
    /// Requests that all clients together are set to send per simulated second while all goes well.
    pub requests_per_second_set: Option<u64>,
    /// Requests that they sent per simulated second before the faults ended.
    pub requests_per_second: f64,
    /// Schedules of a round.
    pub schedules: u64,
    /// Hash of all runs' hashes: equal for equal work.
    pub hash: String,
}

/// The verb `speed`.
///
/// # Errors
/// When there is no such profile, when the machine keeps no CPU time, or when a schedule breaks a property: then there
/// is nothing to measure.
pub fn run(plan: &Args) -> Result<End> {
    let chosen: Vec<Profile> =
        PROFILES.into_iter().filter(|p| plan.only.as_ref().is_none_or(|name| name == p.name)).collect();
    let names = PROFILES.map(|profile| profile.name).join(", ");
    if chosen.is_empty() {
        return Err(Usage(format!("no profile is named so; there are {names}")).into());
    }
    // First, while the process has no memory to spare that would not be counted.
    let weights = weigh(&chosen[0])?;
    let mut calibration_ns = f64::MAX;
    let mut profiles = Vec::new();
    for profile in &chosen {
        profiles.push(measure(profile, plan, &mut calibration_ns)?);
    }
    for measured in &mut profiles {
        measured.turns_per_event = measured.ns_per_event / calibration_ns;
    }
    let figures = Figures { calibration_ns, weights, profiles };
    if plan.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        print_table(&figures);
    }
    Ok(End::Clean)
}

fn measure(profile: &Profile, plan: &Args, calibration_ns: &mut f64) -> Result<Measured> {
    let schedules = profile.schedules(plan.schedules);
    let mut counts = Counts::default();
    let (mut checked, mut bare) = (f64::MAX, f64::MAX);
    for round in 0..plan.rounds.max(1) {
        *calibration_ns = calibration_ns.min(calibrate()?);
        let mut runner = Runner::default();
        // Its memory is that of a runner that has run many.
        checked_round(&mut runner, &schedules[..1])?;
        let (seconds, seen) = timed(|| checked_round(&mut runner, &schedules))?;
        checked = checked.min(seconds);
        let seen = seen?;
        ensure!(round == 0 || counts == seen, "the same schedules gave another result the second time");
        counts = seen;
        let mut memory = Memory::default();
        let (seconds, ()) = timed(|| {
            for schedule in &schedules {
                let mut world = World::new(Arc::new(schedule.clone()), (), std::mem::take(&mut memory));
                world.run();
                memory = world.into_parts().0;
            }
        })?;
        bare = bare.min(seconds);
    }
    let content = Content::of(&schedules);
    let runs = schedules.len() as f64;
    Ok(Measured {
        profile: profile.name,
        schedules_per_second: runs / checked,
        target: profile.target,
        events_per_second: counts.events as f64 / checked,
        ns_per_event: checked * 1e9 / counts.events as f64,
        turns_per_event: 0.0,
        checking_percent: 100.0 * (checked - bare).max(0.0) / checked,
        events: counts.events as f64 / runs,
        simulated_seconds: counts.simulated as f64 / 1e9 / runs,
        requests_per_second: content.requests / content.chaos_seconds,
        requests_per_second_set: profile.shape.map(|shape| shape.rate),
        content,
        schedules: schedules.len() as u64,
        hash: format!("{:016x}", counts.hash),
    })
}

/// What a round did: numbers that do not depend on the machine.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Counts {
    events: u64,
    simulated: u64,
    hash: u64,
}

fn checked_round(runner: &mut Runner, schedules: &[Schedule]) -> Result<Counts> {
    let mut counts = Counts::default();
    for schedule in schedules {
        let report = runner.run(schedule, &mut ());
        if let Verdict::Broken(violation) = &report.verdict {
            anyhow::bail!("seed {} breaks \"{}\": {}", schedule.seed, violation.property, violation.seen);
        }
        counts.events += report.events;
        counts.simulated += report.at;
        counts.hash = vivarium_sim::decision::mix(counts.hash ^ report.hash);
    }
    Ok(counts)
}

/// CPU seconds that this thread spends on something.
fn timed<T>(work: impl FnOnce() -> T) -> Result<(f64, T)> {
    let begun = cpu_seconds();
    let result = work();
    let seconds = cpu_seconds() - begun;
    ensure!(seconds > 0.0, "too short to measure: more schedules, please");
    Ok((seconds, result))
}

fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// Nanoseconds of one turn of a loop that no compiler can shorten: each turn needs the result of the one before.
fn calibrate() -> Result<f64> {
    const TURNS: u64 = 20_000_000;
    let (seconds, word) =
        timed(|| (0..TURNS).fold(1u64, |word, turn| vivarium_sim::decision::mix(word ^ turn)))?;
    std::hint::black_box(word);
    Ok(seconds * 1e9 / TURNS as f64)
}

fn print_table(figures: &Figures) {
    let weights = &figures.weights;
    println!(
        "calibration: {:.3} ns per turn\na world: {:.0} KiB (aim: 4096); a fork of one with {} znodes: {:.1} us (aim: 5), with its checkers {:.1} us",
        figures.calibration_ns,
        weights.world_kib,
        weights.fork_znodes,
        weights.fork_us,
        weights.fork_checked_us,
    );
    println!(
        "{:<8} {:>11} {:>8} {:>11} {:>9} {:>11} {:>9} {:>9} {:>10}",
        "profile",
        "schedules/s",
        "target",
        "events/s",
        "ns/event",
        "turns/event",
        "checking",
        "events",
        "simulated"
    );
    for m in &figures.profiles {
        println!(
            "{:<8} {:>11.0} {:>8} {:>11.0} {:>9.1} {:>11.1} {:>7.1} % {:>9.0} {:>8.1} s   {}",
            m.profile,
            m.schedules_per_second,
            m.target.map_or_else(|| "-".into(), |target| format!("{target:.0}")),
            m.events_per_second,
            m.ns_per_event,
            m.turns_per_event,
            m.checking_percent,
            m.events,
            m.simulated_seconds,
            m.hash,
        );
    }
    println!(
        "what a schedule is made of, its quiet end included but for the requests, which are those before the faults end:"
    );
    println!(
        "{:<8} {:>8} {:>9} {:>8} {:>8} {:>9} {:>9} {:>9} {:>10} {:>10}",
        "profile",
        "steps",
        "messages",
        "writes",
        "entries",
        "requests",
        "a second",
        "set to",
        "connected",
        "faults"
    );
    for m in &figures.profiles {
        let c = &m.content;
        println!(
            "{:<8} {:>8.0} {:>9.0} {:>8.0} {:>8.0} {:>9.0} {:>9.1} {:>9} {:>8.1} % {:>10.1}",
            m.profile,
            c.steps,
            c.messages,
            c.writes,
            c.entries,
            c.requests,
            m.requests_per_second,
            m.requests_per_second_set.map_or_else(|| "-".into(), |rate| rate.to_string()),
            c.connected_percent,
            c.faults,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_can_be_measured() {
        for profile in &PROFILES {
            let plan = Args { only: None, schedules: Some(3), rounds: 2, json: false };
            let measured = measure(profile, &plan, &mut f64::MAX.clone()).unwrap();
            assert_eq!(measured.schedules, 3);
            assert!(measured.events > 100.0 && measured.ns_per_event > 0.0, "{measured:?}");
        }
    }

    #[test]
    fn a_profile_that_is_not_there_is_refused_with_the_names_of_those_that_are() {
        let plan = Args { only: Some("fast".into()), schedules: None, rounds: 1, json: false };
        let error = run(&plan).unwrap_err().to_string();
        assert!(PROFILES.iter().all(|profile| error.contains(profile.name)), "{error}");
    }
}
