//! Decisions of a schedule in plain words.

use vivarium_sim::choice::{Act, What};
use vivarium_sim::schedule::{Blow, Fault, FaultKind, Target};
use vivarium_sim::{Choice, MS, Time, times};

/// A fault.
pub fn fault(fault: &Fault) -> String {
    let at = moment(fault.at);
    let last = |time: Time| times::format(time);
    match &fault.kind {
        FaultKind::Crash { target, power, down } => {
            let how = if *power { "loses power" } else { "crashes" };
            format!("{at}: {} {how} and is down for {}", whom(*target), last(*down))
        }
        FaultKind::CrashInStep { target, down } => {
            format!(
                "{at}: {} crashes in the middle of its next step, down for {}",
                whom(*target),
                last(*down)
            )
        }
        FaultKind::CrashAll { down } => format!("{at}: all nodes lose power, down for {}", last(*down)),
        FaultKind::Pause { target, length } => {
            format!("{at}: {} stands still for {}", whom(*target), last(*length))
        }
        FaultKind::Stall { target, length, order } => {
            let order: Vec<String> = order
                .iter()
                .map(|name| if *name == 0 { "clients".to_owned() } else { format!("n{name}") })
                .collect();
            format!(
                "{at}: {} stands still for {}, and then reads last what came from {}",
                whom(*target),
                last(*length),
                order.join(", then ")
            )
        }
        FaultKind::HoldBack { nodes } => {
            format!("when all faults end: {{{}}} stay cut off until the others serve", names(*nodes))
        }
        FaultKind::Partition { side, both, length } => {
            let how = if *both { "cut off from" } else { "not hearing" };
            format!("{at}: {{{}}} {how} the others for {}", names(*side), last(*length))
        }
        FaultKind::Isolate { target, both, length } => {
            let how = if *both { "neither hears nor is heard" } else { "hears nobody" };
            format!("{at}: {} {how} for {}", whom(*target), last(*length))
        }
        FaultKind::CutLinks { links, length } => {
            let links: Vec<String> =
                links.iter().map(|link| format!("n{} to n{}", link.0 + 1, link.1 + 1)).collect();
            format!("{at}: nothing gets from {} for {}", links.join(", "), last(*length))
        }
        FaultKind::Flap { side, both, length, times } => {
            let how = if *both { "cut off from" } else { "not hearing" };
            format!("{at}: {{{}}} {how} the others, {times} times for {}", names(*side), last(*length))
        }
        FaultKind::Stagger { apart, length, .. } => {
            format!(
                "{at}: nodes are cut off one after the other, {} apart, for {}",
                last(*apart),
                last(*length)
            )
        }
        FaultKind::SlowLink { link, extra, length } => format!(
            "{at}: messages from n{} to n{} take {} longer for {}",
            link.0 + 1,
            link.1 + 1,
            last(*extra),
            last(*length)
        ),
        FaultKind::CrashTogether { nodes, power, down } => {
            let how = if *power { "lose power" } else { "crash" };
            format!("{at}: {{{}}} {how} together and are down for {}", names(*nodes), last(*down))
        }
        FaultKind::Ambush { moment, blow, down } => {
            let how = match blow {
                Blow::Crash => "crashes at once",
                Blow::CrashWithin => "crashes in the midst of what follows from it",
                Blow::Pause => "stands still",
            };
            format!("{at}: the next process that comes to {moment:?} {how}, for {}", last(*down))
        }
        FaultKind::MonoJump { target, by } => {
            format!("{at}: the monotonic clock of {} leaps ahead by {}", whom(*target), last(*by))
        }
        FaultKind::WallJump { target, by_ms } => {
            format!("{at}: the wall clock of {} jumps by {by_ms} ms", whom(*target))
        }
        FaultKind::SlowDisk { target, extra, length } => {
            format!("{at}: syncs of {} take {} longer for {}", whom(*target), last(*extra), last(*length))
        }
        FaultKind::Retire { target, down } => {
            format!("{at}: {} is asked to end, and is down for {}", whom(*target), last(*down))
        }
        FaultKind::Disconnect { target } => {
            format!("{at}: a connection of {} to another node breaks", whom(*target))
        }
        #[allow(unreachable_patterns, reason = "faults that come to be are named by their Debug form")]
        other => format!("{at}: {other:?}"),
    }
}

fn names(nodes: u8) -> String {
    let names: Vec<String> =
        (0..8).filter(|bit| nodes >> bit & 1 == 1).map(|bit| format!("n{}", bit + 1)).collect();
    names.join(", ")
}

fn whom(target: Target) -> String {
    match target {
        Target::Node(node) => format!("n{}", node + 1),
        Target::Leader => "the leader".into(),
        Target::Writer => "a node with writes under way".into(),
    }
}

/// A choice.
pub fn choice(choice: &Choice) -> String {
    let at = moment(choice.at);
    match &choice.what {
        What::Message { from, to, kind, nth, luck } => {
            let mut how = Vec::new();
            if luck.lost {
                how.push("is lost".to_owned());
            }
            if luck.corrupt {
                how.push("is damaged on its way".to_owned());
            }
            if luck.late > 0 {
                how.push(format!("is late by {}", times::format(luck.late)));
            }
            if let Some(again) = luck.again {
                how.push(format!("comes again after {}", times::format(again)));
            }
            let which = if *nth == 0 { String::new() } else { format!(" #{nth}") };
            format!("{at}: {}{which} from n{} to n{} {}", kind.name(), from + 1, to + 1, how.join(" and "))
        }
        What::Sync { node, lane, extra, .. } => {
            format!("{at}: a sync of n{}'s {lane:?} lane takes {} longer", node + 1, times::format(*extra))
        }
        What::Client { client, act } => match act {
            Act::Ask(op) => format!("{at}: c{client} asks {}", crate::recording::asked(op)),
            Act::Repeat { op, times: count, every } => format!(
                "{at}: c{client} asks {} {count} times, every {}",
                crate::recording::asked(op),
                times::format(*every)
            ),
            Act::Drop => format!("{at}: c{client} drops its connection"),
            Act::Move => format!("{at}: c{client} moves to another server"),
            Act::Silence(length) => format!("{at}: c{client} is silent for {}", times::format(*length)),
            Act::Away(length) => {
                format!(
                    "{at}: c{client} closes its connection and comes back after {}",
                    times::format(*length)
                )
            }
            Act::Haunt => format!("{at}: c{client} comes back with a session that it had before"),
            Act::Impersonate => format!("{at}: c{client} comes with a wrong password"),
        },
    }
}

fn moment(at: Time) -> String {
    format!("{}.{} ms", at / MS, at % MS / 100_000)
}
