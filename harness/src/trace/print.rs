//! Writing trace files.

use std::fmt::{self, Display, Formatter, Write};

use vivarium_core::limits::Limits;
use vivarium_sim::choice::{Act, What};
use vivarium_sim::clock::Clock;
use vivarium_sim::schedule::{Choices, ClientPlan, DiskOdds, Fault, NetworkOdds};
use vivarium_sim::{Choice, Schedule, Time, times};

use super::{FORMAT, Trace};

/// How operations and faults are written: one line of RON.
pub(super) fn notation() -> ron::Options {
    use ron::extensions::Extensions;
    ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME | Extensions::UNWRAP_NEWTYPES)
}

impl Display for Trace {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for line in &self.story {
            writeln!(f, "{}", format!("# {line}").trim_end())?;
        }
        let Schedule { seed, nodes, chaos, .. } = self.schedule;
        writeln!(f, "format {FORMAT}")?;
        match &self.expect {
            None => writeln!(f, "expect clean")?,
            Some(property) => writeln!(f, "expect violation {property}")?,
        }
        if let Some(hash) = self.hash {
            writeln!(f, "hash {hash:016x}")?;
        }
        writeln!(f, "seed {seed}")?;
        if self.drawn {
            f.write_str("drawn\n")?;
            return sabotage(&self.schedule, f);
        }
        writeln!(f, "nodes {nodes}")?;
        writeln!(f, "chaos {}", times::format(chaos))?;
        settings(&self.schedule, f)?;
        body(&self.schedule, f)
    }
}

/// What differs from a plain world, but for what goes wrong in it.
fn settings(schedule: &Schedule, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(f, "weather {}", if schedule.even { "even" } else { "seeded" })?;
    let mut line = |name: &str, pairs: String| match pairs.is_empty() {
        true => Ok(()),
        false => writeln!(f, "{name}{pairs}"),
    };
    line("limits", super::settings::differences(&schedule.limits, &Limits::default()))?;
    line("network", super::settings::differences(&schedule.network, &NetworkOdds::default()))?;
    line("disk", super::settings::differences(&schedule.disk, &DiskOdds::default()))?;
    for (node, clock) in schedule.clocks.iter().enumerate() {
        line(&format!("clock {}", node + 1), super::settings::differences(clock, &Clock::default()))?;
    }
    if schedule.superuser {
        f.write_str("superuser\n")?;
    }
    if schedule.shuffle_permille > 0 {
        writeln!(f, "shuffle {}", schedule.shuffle_permille)?;
    }
    if schedule.wake_lag > 0 {
        writeln!(f, "wake-lag {}", times::format(schedule.wake_lag))?;
    }
    if schedule.events_max != Schedule::plain(0).events_max {
        writeln!(f, "events-max {}", schedule.events_max)?;
    }
    for (client, plan) in schedule.clients.iter().enumerate() {
        let habits = ClientPlan {
            start: plan.start,
            timeout_ms: plan.timeout_ms,
            dies: plan.dies,
            old: plan.old,
            ..ClientPlan::default()
        };
        let pairs = super::settings::differences(&habits, &ClientPlan::default());
        writeln!(f, "client {client}{pairs}")?;
    }
    sabotage(schedule, f)
}

fn sabotage(schedule: &Schedule, f: &mut Formatter<'_>) -> fmt::Result {
    match schedule.sabotage {
        Some(kind) => writeln!(f, "sabotage {}", super::parse::sabotage_name(kind)),
        None => Ok(()),
    }
}

/// What goes wrong and what clients do, by time.
fn body(schedule: &Schedule, f: &mut Formatter<'_>) -> fmt::Result {
    let choices: &[Choice] = match &schedule.choices {
        Choices::Drawn => &[],
        Choices::Listed(choices) => choices,
    };
    let mut lines: Vec<(Time, String)> =
        choices.iter().map(|choice| (choice.at, what(&choice.what))).collect();
    lines.extend(schedule.faults.iter().map(|fault| (fault.at, fault_line(fault))));
    lines.sort_by_key(|(at, _)| *at);
    let width = lines.iter().map(|(at, _)| times::format(*at).len()).max().unwrap_or(0);
    for (at, line) in lines {
        writeln!(f, "@{:<width$} {line}", times::format(at))?;
    }
    Ok(())
}

/// A fault, without its time.
pub fn fault_line(fault: &Fault) -> String {
    format!("fault {}", notation().to_string(&fault.kind).expect("a fault is plain data"))
}

/// A choice, without its time.
pub fn what(what: &What) -> String {
    match what {
        What::Message { from, to, kind, nth, luck } => {
            let mut line = format!("message {}>{} {}#{nth}", from + 1, to + 1, kind.name());
            if luck.lost {
                line.push_str(" lost");
            }
            if luck.corrupt {
                line.push_str(" corrupt");
            }
            if luck.late > 0 {
                let _ = write!(line, " late={}", times::format(luck.late));
            }
            if let Some(after) = luck.again {
                let _ = write!(line, " again={}", times::format(after));
            }
            line
        }
        What::Sync { node, lane, nth, extra } => {
            format!("sync {} {lane:?}#{nth} late={}", node + 1, times::format(*extra))
        }
        What::Client { client, act } => match act {
            Act::Ask(op) => {
                format!(
                    "client {client} asks {}",
                    notation().to_string(op).expect("an operation is plain data")
                )
            }
            Act::Repeat { op, times: count, every } => {
                let op = notation().to_string(op).expect("an operation is plain data");
                format!("client {client} repeats={count} every={} {op}", times::format(*every))
            }
            Act::Drop => format!("client {client} drops"),
            Act::Move => format!("client {client} moves"),
            Act::Silence(length) => format!("client {client} silent={}", times::format(*length)),
            Act::Away(length) => format!("client {client} away={}", times::format(*length)),
            Act::Haunt => format!("client {client} haunts"),
            Act::Impersonate => format!("client {client} impersonates"),
        },
    }
}
