//! Where the reader stands, and what is shown there.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::{Context, Result, bail};
use vivarium_core::ids::Zxid;
use vivarium_sim::Schedule;

use super::command::{Command, HELP, Place};
use super::condition::Condition;
use super::deep::Deep;
use crate::recording::command::line;
use crate::recording::{Event, EventId, Recording, State};

/// Links of a chain of causes that are shown.
const CHAIN_MAX: usize = 30;

/// A walk.
pub struct Walk {
    recording: Recording,
    deep: Deep,
    here: EventId,
    breaks: Vec<Condition>,
}

impl Walk {
    /// Begins at an event, or at the one nearest to it.
    pub fn new(recording: Recording, schedule: Schedule, at: EventId) -> Walk {
        let here = at.clamp(1, recording.events.len().max(1) as EventId);
        Walk { recording, deep: Deep::new(schedule), here, breaks: Vec::new() }
    }

    /// Where the reader stands.
    pub fn here(&self) -> EventId {
        self.here
    }

    /// Says what run this is.
    pub fn welcome(&self, out: &mut impl Write) -> Result<()> {
        let header = &self.recording.header;
        write!(
            out,
            "{}: {} events, {} servers, {} clients; ",
            header.name, header.events, header.nodes, header.clients
        )?;
        match &header.violation {
            None => writeln!(out, "every property holds")?,
            Some(broken) => writeln!(
                out,
                "\"{}\" is broken at event {} (g violation): {}",
                broken.property, broken.event, broken.seen
            )?,
        }
        self.show_line(out)
    }

    /// Does what a command says.
    pub fn follow(&mut self, command: &Command, out: &mut impl Write) -> Result<()> {
        match command {
            Command::Next(count) => self.go(self.here.saturating_add(*count), out),
            Command::Back(count) => self.go(self.here.saturating_sub(*count), out),
            Command::Goto(Place::Event(id)) => self.go(*id, out),
            Command::Goto(Place::End) => self.go(EventId::MAX, out),
            Command::Goto(Place::Violation) => {
                let broken = self.recording.header.violation.as_ref();
                let event = broken.context("every property holds in this run")?.event;
                self.go(event, out)
            }
            Command::Find { condition, back } => {
                let found = self.find(|event| condition.holds(event), *back);
                self.go(found.with_context(|| format!("no event {} meets `{condition}`", side(*back)))?, out)
            }
            Command::Go => {
                if self.breaks.is_empty() {
                    bail!("there is nothing to stop at: `break CONDITION` says where");
                }
                let found =
                    self.find(|event| self.breaks.iter().any(|condition| condition.holds(event)), false);
                self.go(found.context("no event after this one meets a condition of `break`")?, out)
            }
            Command::Break(Some(condition)) => {
                self.breaks.push(condition.clone());
                Ok(writeln!(out, "{}: {condition}", self.breaks.len())?)
            }
            Command::Break(None) => {
                for (place, condition) in self.breaks.iter().enumerate() {
                    writeln!(out, "{}: {condition}", place + 1)?;
                }
                Ok(())
            }
            Command::Delete(number) => {
                if !(1..=self.breaks.len()).contains(number) {
                    bail!("there are {} conditions, counted from 1", self.breaks.len());
                }
                self.breaks.remove(number - 1);
                Ok(())
            }
            Command::Show => self.show(out),
            Command::List(count) => self.list(*count, out),
            Command::State => self.states(out),
            Command::Node(node) => {
                let step = self.event()?.step;
                self.deep.node(step, *node, out)
            }
            Command::Diff(one, other) => {
                let states = self.recording.states_after(self.here);
                for node in [*one, *other] {
                    let state = states.get(usize::from(node)).context("there is no such server")?;
                    writeln!(out, "{}", state_line(node, state))?;
                }
                let step = self.event()?.step;
                self.deep.diff(step, *one, *other, out)
            }
            Command::Why => self.why(out),
            Command::Help => Ok(writeln!(out, "{HELP}")?),
            Command::Quit => Ok(()),
        }
    }

    fn event(&self) -> Result<&Event> {
        self.recording.event(self.here).context("the recording is empty")
    }

    fn go(&mut self, id: EventId, out: &mut impl Write) -> Result<()> {
        let there = id.clamp(1, self.recording.events.len().max(1) as EventId);
        if there == self.here && id != there {
            bail!("this is the {} event", if id > there { "last" } else { "first" });
        }
        self.here = there;
        self.show_line(out)
    }

    fn find(&self, meets: impl Fn(&Event) -> bool, back: bool) -> Option<EventId> {
        let here = self.here as usize;
        let found = match back {
            false => self.recording.events.get(here..)?.iter().find(|event| meets(event)),
            true => self.recording.events.get(..here - 1)?.iter().rev().find(|event| meets(event)),
        };
        found.map(|event| event.id)
    }

    fn show_line(&self, out: &mut impl Write) -> Result<()> {
        Ok(writeln!(out, "{}", line(self.event()?))?)
    }

    fn list(&self, count: u64, out: &mut impl Write) -> Result<()> {
        let from = self.here.saturating_sub(count).max(1);
        for id in from..=self.here.saturating_add(count) {
            let Some(event) = self.recording.event(id) else { break };
            writeln!(out, "{}{}", if id == self.here { '>' } else { ' ' }, line(event))?;
        }
        Ok(())
    }

    fn show(&self, out: &mut impl Write) -> Result<()> {
        let event = self.event()?;
        writeln!(out, "{}", line(event))?;
        if !event.detail.is_empty() {
            writeln!(out, "  {}", event.detail)?;
        }
        for (what, list) in [
            ("sessions", event.sessions.iter().map(|session| format!("{session:#x}")).collect::<Vec<_>>()),
            ("paths", event.paths.clone()),
            ("causes", event.causes.iter().map(|cause| format!("#{cause}")).collect()),
        ] {
            if !list.is_empty() {
                writeln!(out, "  {what}: {}", list.join(" "))?;
            }
        }
        if let Some(fate) = event.fate {
            writeln!(out, "  on its way: {}", format!("{fate:?}").to_lowercase())?;
        }
        if let (Some(state), crate::recording::Lane::Node(node)) = (event.after, event.lane) {
            writeln!(out, "  then {}", state_line(node, &state))?;
        }
        Ok(())
    }

    fn states(&self, out: &mut impl Write) -> Result<()> {
        for (node, state) in self.recording.states_after(self.here).iter().enumerate() {
            writeln!(out, "{}", state_line(node as u8, state))?;
        }
        Ok(())
    }

    /// Follows the most direct cause of each event back to where it began.
    fn why(&self, out: &mut impl Write) -> Result<()> {
        let mut chain = vec![self.event()?];
        let mut seen = BTreeSet::from([self.here]);
        while let Some(cause) = chain.last().and_then(|event| event.causes.first())
            && seen.insert(*cause)
            && let Some(event) = self.recording.event(*cause)
        {
            chain.push(event);
        }
        let left_out = chain.len().saturating_sub(CHAIN_MAX);
        if left_out > 0 {
            writeln!(out, "  ... {left_out} earlier causes")?;
        }
        for event in chain.iter().take(CHAIN_MAX).rev() {
            writeln!(out, "{}{}", if event.id == self.here { '>' } else { ' ' }, line(event))?;
        }
        Ok(())
    }
}

fn side(back: bool) -> &'static str {
    if back { "before this one" } else { "after this one" }
}

fn state_line(node: u8, state: &State) -> String {
    format!(
        "n{}  {:<14} epoch {:<3} log to {:<6} committed {:<6} executed {:<6} {} znodes, {} sessions, {} watches, {} \
         requests waiting",
        node + 1,
        state.role.to_string(),
        state.epoch,
        format!("{:?}", Zxid(state.last)),
        format!("{:?}", Zxid(state.committed)),
        format!("{:?}", Zxid(state.applied)),
        state.znodes,
        state.sessions,
        state.watches,
        state.outstanding,
    )
}
