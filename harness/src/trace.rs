//! Trace files: a schedule, what it is expected to come to, and the story of the bug that it once found.
//!
//! ```text
//! # Lines like this one tell the story.
//! format 1
//! seed 1234
//! expect clean
//! note  what the run should be remembered for
//! nodes 5
//! ```
//!
//! `format`, `seed` and `expect` (`clean`, or `violation PROPERTY`) have to be there. After them come changes to the
//! schedule that the seed draws: `nodes N`, `chaos-ms N`, `clients N` (the first N of them), `faults I,J,...` (only
//! these of its faults, counted from 0; `none` for none), `sabotage KIND` (the world itself does something wrong: a test
//! of the checkers).

use anyhow::{Context, Result, bail, ensure};
use vivarium_sim::schedule::Sabotage;
use vivarium_sim::{MS, Schedule};

/// A trace file, read.
#[derive(Clone, Debug)]
pub struct Trace {
    /// What to run.
    pub schedule: Schedule,
    /// The property that is broken, or none.
    pub expect: Option<String>,
}

impl Trace {
    /// Reads a trace file's text.
    ///
    /// # Errors
    /// Which line is wrong, and how.
    pub fn parse(text: &str) -> Result<Trace> {
        let mut format = None;
        let mut schedule: Option<Schedule> = None;
        let mut expect = None;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let rest = rest.trim();
            let context = || format!("line {}: {line}", number + 1);
            match word {
                "format" => format = Some(rest.parse::<u32>().with_context(context)?),
                "seed" => schedule = Some(Schedule::draw(rest.parse().with_context(context)?)),
                "expect" => {
                    expect = Some(match rest.split_once(char::is_whitespace) {
                        None if rest == "clean" => None,
                        Some(("violation", property)) => Some(property.trim().to_owned()),
                        _ => bail!("{}: `clean` or `violation PROPERTY` wanted", context()),
                    });
                }
                "note" => {}
                change => {
                    let schedule =
                        schedule.as_mut().with_context(|| format!("{}: after `seed`, please", context()))?;
                    edit(schedule, change, rest).with_context(context)?;
                }
            }
        }
        ensure!(format == Some(1), "`format 1` wanted; this is format {format:?}");
        Ok(Trace { schedule: schedule.context("no `seed`")?, expect: expect.context("no `expect`")? })
    }
}

fn edit(schedule: &mut Schedule, change: &str, value: &str) -> Result<()> {
    match change {
        "nodes" => {
            let nodes: usize = value.parse()?;
            ensure!((1..=7).contains(&nodes), "1 to 7 nodes");
            let last = *schedule.clocks.last().context("a schedule has at least one node")?;
            schedule.nodes = nodes;
            schedule.clocks.resize(nodes, last);
        }
        "chaos-ms" => schedule.chaos = value.parse::<u64>()? * MS,
        "clients" => schedule.clients.truncate(value.parse()?),
        "faults" if value == "none" => schedule.faults.clear(),
        "faults" => {
            let wanted: Vec<usize> =
                value.split(',').map(|index| index.trim().parse()).collect::<Result<_, _>>()?;
            let all = std::mem::take(&mut schedule.faults);
            for index in &wanted {
                ensure!(*index < all.len(), "the schedule has {} faults", all.len());
            }
            schedule.faults = wanted.into_iter().map(|index| all[index].clone()).collect();
        }
        "sabotage" => {
            schedule.sabotage = Some(match value {
                "early-sync" => Sabotage::EarlySync,
                "swapped-replies" => Sabotage::SwappedReplies,
                "lost-notifications" => Sabotage::LostNotifications,
                "forged-data" => Sabotage::ForgedData,
                "mute" => Sabotage::Mute,
                other => bail!("sabotage `{other}` is not known"),
            });
        }
        other => bail!("`{other}` is not known"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_says_what_to_run() {
        let trace =
            Trace::parse("# story\nformat 1\nseed 7\nexpect clean\nnote x\nnodes 5\nfaults none\n").unwrap();
        assert_eq!(trace.schedule.seed, 7);
        assert_eq!(trace.schedule.clocks.len(), 5);
        assert!(trace.schedule.faults.is_empty());
        assert_eq!(trace.expect, None);
        let trace = Trace::parse("format 1\nseed 7\nexpect violation progress").unwrap();
        assert_eq!(trace.expect.as_deref(), Some("progress"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (text, complaint) in [
            ("seed 7\nexpect clean", "format 1"),
            ("format 1\nexpect clean", "seed"),
            ("format 1\nseed 7", "expect"),
            ("format 1\nseed 7\nexpect maybe", "line 3"),
            ("format 1\nseed 7\nexpect clean\nfrobnicate 3", "line 4"),
            ("format 1\nseed 7\nexpect clean\nfaults 999", "line 4"),
        ] {
            let error = format!("{:#}", Trace::parse(text).unwrap_err());
            assert!(error.contains(complaint), "{text:?} gave {error:?}");
        }
    }
}
