//! Building the planted copy, and hunting for one bug in it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::plant::VARIABLE;

/// Past its budget by this much, a hunt is taken to be stuck within one schedule, and ended.
const GRACE: Duration = Duration::from_secs(20);
/// Less than this is not worth another hunt.
const REST_MIN: Duration = Duration::from_millis(500);
/// A process that waits for a core may take so many times as long as on a machine of its own.
const BUSY: u64 = 30;
/// So many decisions can be read by people.
const FEW: u64 = 15;
/// Where more than a few are left, so many failing schedules are made small.
const SEEDS_MAX: usize = 3;

/// The planted copy, built.
#[derive(Clone, Debug)]
pub struct Bench {
    binary: PathBuf,
    logs: PathBuf,
}

/// What came of the hunt for a bug.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Hunted {
    /// The seed that found it.
    pub seed: Option<u64>,
    /// The property that broke.
    pub property: Option<String>,
    /// Schedules run, the one that found it included.
    pub schedules: u64,
    /// Processor time of it all.
    pub cpu: Duration,
    /// Decisions in the smallest schedule that was found to show it,
    pub decisions: Option<u64>,
    /// and the processor time that making it small took.
    pub shrinking: Duration,
    /// A schedule did not come to an end, and the hunt was ended from outside.
    pub stuck: bool,
}

impl Bench {
    /// Builds the sources in `folder`, for speed of building as much as of running; everything goes below `target`.
    ///
    /// # Errors
    /// With what the compiler says, when it does not build.
    pub fn build(folder: &Path, target: &Path) -> Result<Bench> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .current_dir(folder)
            .args(["build", "--release", "--locked", "--quiet", "-p", "vivarium-harness", "--bin", "harness"])
            .env("CARGO_TARGET_DIR", target)
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "none")
            .env("RUSTFLAGS", "--cap-lints=warn")
            .stdin(Stdio::null())
            .output()
            .context("cargo does not start")?;
        if !output.status.success() {
            bail!(
                "the sources with the bugs planted, in {}, do not build:\n{}",
                folder.display(),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let logs = target.join("hunts");
        std::fs::create_dir_all(&logs).with_context(|| logs.display().to_string())?;
        Ok(Bench { binary: target.join("release/harness"), logs })
    }

    /// Hunts, on one core, for the bug with this number (0: for none) until it is found or the budget of processor time
    /// is spent.
    ///
    /// # Errors
    /// When the hunt fails in another way than by finding something.
    pub fn hunt(&self, number: u32, name: &str, budget: Duration) -> Result<Hunted> {
        let mut hunted = Hunted::default();
        loop {
            let rest = budget.saturating_sub(hunted.cpu);
            if hunted.seed.is_some() || hunted.stuck || rest < REST_MIN {
                return Ok(hunted);
            }
            self.hunt_once(number, name, rest, &mut hunted)?;
        }
    }

    /// A hunt for a bug from this seed on, which ends with the first that fails.
    fn hunt_from(&self, number: u32, from: u64, rest: Duration) -> Command {
        let mut command = self.command(number);
        command
            .args([
                "hunt",
                "--json",
                "--failures",
                "1",
                "--jobs",
                "1",
                "--double-check",
                "0",
                "--shard",
                "1/1",
                // What is timed is the finding of it, as anybody would hunt who knows nothing of the bug.
                "--shrink",
                "0",
            ])
            .args(["--seeds", "1000000000", "--from", &from.to_string()])
            .args(["--time", &format!("{}s", rest.as_secs().max(1))]);
        command
    }

    fn hunt_once(&self, number: u32, name: &str, rest: Duration, hunted: &mut Hunted) -> Result<()> {
        let command = self.hunt_from(number, hunted.schedules, rest);
        let Ran { code, cpu, text } = self.run(command, &format!("{name}.hunt"), Limits::at(rest + GRACE))?;
        hunted.cpu += cpu;
        let Some(code) = code else {
            hunted.stuck = true;
            return Ok(());
        };
        ensure!(matches!(code, 0..=2), "the hunt for {name} ended with exit code {code}:\n{text}");
        let summary =
            summary(&text).with_context(|| format!("the hunt for {name} gave no summary:\n{text}"))?;
        let schedules = summary["schedules"].as_u64().context("a summary without `schedules`")?;
        hunted.schedules += schedules;
        if code == 1 {
            hunted.seed = summary["first_failing_seed"].as_u64();
            hunted.property = property(&summary);
        } else {
            ensure!(schedules > 0, "the hunt for {name} ran no schedule in {cpu:?}:\n{text}");
        }
        Ok(())
    }

    /// Makes the schedule that found it small, for so long at most, and keeps the smallest as `NAME.sched` beside the
    /// logs. Where much is left of it, the next schedule that fails alike may be simpler. What does not come to an end
    /// leaves the size unknown.
    ///
    /// # Errors
    /// When a process cannot be started, or a file not be moved.
    pub fn shrink(&self, number: u32, name: &str, time: Duration, hunted: &mut Hunted) -> Result<()> {
        let (mut seed, property) = (hunted.seed, hunted.property.clone().unwrap_or_default());
        for _ in 0..SEEDS_MAX {
            let left = time.saturating_sub(hunted.shrinking);
            let (Some(failing), true) = (seed, left >= REST_MIN) else { break };
            self.shrink_one(number, name, (failing, &property), left / 2, hunted)?;
            if hunted.decisions.is_none_or(|decisions| decisions <= FEW) {
                break;
            }
            let log = format!("{name}.again");
            let again = self.run(self.hunt_from(number, failing + 1, left / 4), &log, Limits::at(left))?;
            hunted.shrinking += again.cpu;
            seed = summary(&again.text).and_then(|summary| summary["first_failing_seed"].as_u64());
        }
        Ok(())
    }

    fn shrink_one(
        &self,
        number: u32,
        name: &str,
        (seed, property): (u64, &str),
        time: Duration,
        hunted: &mut Hunted,
    ) -> Result<()> {
        let output = format!("{name}.sched.new");
        let mut command = self.command(number);
        command
            .args(["shrink", "--json", "--jobs", "1", "--seed", &seed.to_string(), "--keep", property])
            // It counts time as it passes, and here it may wait for a core: what ends it is processor time.
            .args(["--budget", &(BUSY * time.as_secs().max(1)).to_string(), "--output", &output]);
        let limits = Limits { ask: time, end: time + GRACE };
        let Ran { cpu, text, .. } = self.run(command, &format!("{name}.shrink"), limits)?;
        hunted.shrinking += cpu;
        let decisions = summary(&text).and_then(|summary| summary["decisions_after"].as_u64());
        if decisions.is_some() && hunted.decisions.is_none_or(|least| decisions < Some(least)) {
            hunted.decisions = decisions;
            std::fs::rename(self.logs.join(output), self.logs.join(format!("{name}.sched")))?;
        }
        Ok(())
    }

    /// The planted binary, with a bug switched on.
    fn command(&self, number: u32) -> Command {
        let mut command = Command::new(&self.binary);
        command.env(VARIABLE, number.to_string()).current_dir(&self.logs).stdin(Stdio::null());
        command
    }

    /// Runs it to its end, with what it says going to a log.
    fn run(&self, mut command: Command, log: &str, limits: Limits) -> Result<Ran> {
        let path = self.logs.join(log);
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        let mut child = command
            .stderr(Stdio::from(file.try_clone()?))
            .stdout(Stdio::from(file))
            .spawn()
            .with_context(|| self.binary.display().to_string())?;
        let (code, cpu) = wait(&mut child, limits)?;
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(Ran { code, cpu, text })
    }
}

/// What came of a process: no exit code when it had to be ended.
struct Ran {
    code: Option<i32>,
    cpu: Duration,
    text: String,
}

/// The last line that is JSON.
fn summary(text: &str) -> Option<Value> {
    text.lines().rev().find_map(|line| serde_json::from_str(line).ok())
}

/// The property that the hunt says is broken.
fn property(summary: &Value) -> Option<String> {
    Some(summary["findings"][0]["smallest"]["property"].as_str()?.to_owned())
}

/// What a process may use of the processor.
#[derive(Clone, Copy)]
struct Limits {
    /// Then it is asked to come to an end, as with ^C,
    ask: Duration,
    /// and then it is ended.
    end: Duration,
}

impl Limits {
    /// It is ended without being asked.
    fn at(end: Duration) -> Limits {
        Limits { ask: Duration::MAX, end }
    }
}

/// Waits for a child to end: its exit code and processor time; no code when it had to be ended.
fn wait(child: &mut Child, limits: Limits) -> Result<(Option<i32>, Duration)> {
    let begun = Instant::now();
    let mut asked = false;
    loop {
        // A child that has ended and was not waited for still says what it has used.
        let used = usage(child.id());
        let cpu = used.map_or_else(|| begun.elapsed(), |(cpu, _)| cpu);
        let over = used.is_some_and(|(_, ended)| ended);
        if over || used.is_none() {
            if let Some(status) = if over { Some(child.wait()?) } else { child.try_wait()? } {
                return Ok((Some(status.code().context("a hunt was ended from outside")?), cpu));
            }
        } else if cpu > limits.ask && !asked {
            asked = true;
            rustix::process::kill_process(
                rustix::process::Pid::from_child(child),
                rustix::process::Signal::INT,
            )?;
        } else if cpu > limits.end {
            child.kill()?;
            child.wait()?;
            return Ok((None, cpu));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Processor time of a process so far, and whether it has ended. `None` where the system does not say.
fn usage(process: u32) -> Option<(Duration, bool)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name, in parentheses, may contain anything; after it comes the state, and times in 1/100 s.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some((Duration::from_millis(ticks * 10), fields.first() == Some(&"Z")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_has_used_its_time_is_asked_to_end_and_then_ended() {
        let busy = |on_asked: &str| {
            let script = format!("trap '{on_asked}' INT; while :; do :; done");
            Command::new("sh").args(["-c", &script]).spawn().expect("there is a shell")
        };
        let limits = Limits { ask: Duration::from_millis(50), end: Duration::from_millis(200) };
        let (code, cpu) = wait(&mut busy("exit 7"), limits).expect("it can be waited for");
        assert!(code == Some(7) && cpu >= limits.ask, "{code:?} after {cpu:?}");
        let (code, cpu) = wait(&mut busy(":"), limits).expect("it can be waited for");
        assert!(code.is_none() && cpu >= limits.end, "{code:?} after {cpu:?}");
    }

    #[test]
    fn the_property_is_taken_from_the_hunts_summary() {
        let summary =
            serde_json::json!({"schedules": 8, "findings": [{"smallest": {"property": "agreement"}}]});
        assert_eq!(property(&summary).as_deref(), Some("agreement"));
        assert_eq!(property(&serde_json::json!({"findings": []})), None);
    }
}
