//! What a recording does not hold: a node's tree and sessions. The world is run up to the event to see them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result};
use vivarium_core::Node;
use vivarium_core::api::Id;
use vivarium_sim::{Memory, Schedule, World};

/// Lines of a tree that are shown.
const LINES_MAX: usize = 200;

/// A look into nodes.
pub struct Deep {
    schedule: Arc<Schedule>,
}

impl Deep {
    /// Into the nodes of this run.
    pub fn new(schedule: Schedule) -> Deep {
        Deep { schedule: Arc::new(schedule) }
    }

    /// What a node holds after a step of the world.
    pub fn node(&self, step: u64, node: u8, out: &mut impl Write) -> Result<()> {
        let world = self.world(step);
        let lines = held(process(&world, node)?);
        for (what, value) in lines.iter().take(LINES_MAX) {
            writeln!(out, "  {what:<24} {value}")?;
        }
        if lines.len() > LINES_MAX {
            writeln!(out, "  ... {} more", lines.len() - LINES_MAX)?;
        }
        Ok(())
    }

    /// In what two nodes differ.
    pub fn diff(&self, step: u64, one: u8, other: u8, out: &mut impl Write) -> Result<()> {
        let world = self.world(step);
        let (first, second) = (held(process(&world, one)?), held(process(&world, other)?));
        let all: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
        let mut same = true;
        for what in all {
            let (here, there) = (first.get(what), second.get(what));
            if here != there {
                same = false;
                let told = |value: Option<&String>| value.map_or("nothing", String::as_str).to_owned();
                writeln!(
                    out,
                    "  {what}\n    n{}: {}\n    n{}: {}",
                    one + 1,
                    told(here),
                    other + 1,
                    told(there)
                )?;
            }
        }
        if same {
            writeln!(out, "  they hold the same tree and the same sessions")?;
        }
        Ok(())
    }

    fn world(&self, step: u64) -> World<()> {
        let mut world = World::new(self.schedule.clone(), (), Memory::default());
        // A panic is how some runs end: the recording has told it, and what was before it can be looked at.
        let _ = crate::run::guarded(&mut world, |world| while world.present().0 < step && world.advance() {});
        world
    }
}

fn process(world: &World<()>, node: u8) -> Result<&Node> {
    world
        .node(usize::from(node))
        .with_context(|| format!("no process runs on n{} at this time, or there is no such server", node + 1))
}

/// The znodes and sessions of a node.
fn held(node: &Node) -> BTreeMap<String, String> {
    let all_may_be_read = [Id { scheme: "super".into(), id: String::new() }];
    let state = node.state();
    let mut held = BTreeMap::new();
    let mut paths = vec!["/".to_owned()];
    while let Some(path) = paths.pop() {
        let (Ok((data, stat)), Ok((children, _))) =
            (state.get_data(&path, &all_may_be_read), state.get_children(&path, &all_may_be_read))
        else {
            continue;
        };
        for name in children {
            paths.push(if path == "/" { format!("/{name}") } else { format!("{path}/{name}") });
        }
        let owner = match stat.ephemeral_owner {
            0 => String::new(),
            owner => format!(", of session {owner:#x}"),
        };
        let value = format!(
            "{data:?}, version {} {} {}, created {}, changed {}, children changed {}{owner}",
            stat.version, stat.cversion, stat.aversion, stat.czxid, stat.mzxid, stat.pzxid
        );
        held.insert(path, value);
    }
    for (id, session) in state.sessions() {
        held.insert(format!("session {id}"), format!("{} ms, at {:?}", session.timeout_ms, session.owner));
    }
    held
}
