//! The whole: seeds run clean, the same each time, reach the corners, and sabotage of the world is noticed.

use std::collections::BTreeMap;
use std::sync::Arc;

use vivarium_core::api::Op;
use vivarium_core::io::{CloseReason, LookingReason, Note, Output, SyncPlan};
use vivarium_harness::check::linear::{Recorder, Verdict as LinearVerdict};
use vivarium_harness::run::Runner;
use vivarium_sim::schedule::{FaultKind, Sabotage};
use vivarium_sim::{Memory, Observation, Observer, Schedule, Time, Verdict, Violation, World};

#[test]
fn seeds_run_clean_and_twice_the_same() {
    let mut runner = Runner::default();
    let forwards: Vec<_> = (0..300).map(|seed| runner.run(&Schedule::draw(seed), &mut ())).collect();
    for (seed, report) in forwards.iter().enumerate() {
        assert_eq!(report.verdict, Verdict::Clean, "cargo harness replay --seed {seed}");
    }
    for (seed, report) in forwards.iter().enumerate().rev().step_by(5) {
        assert_eq!(runner.run(&Schedule::draw(seed as u64), &mut ()), *report, "seed {seed}, run again");
    }
}

#[test]
fn a_schedule_that_lists_the_choices_of_a_run_runs_the_same() {
    let mut runner = Runner::default();
    for seed in 0..100 {
        let drawn = Schedule::draw(seed);
        let (report, choices) = runner.record(&drawn, &mut ());
        let listed = vivarium_harness::run::listed(&drawn, choices);
        let (again, same) = runner.record(&listed, &mut ());
        assert_eq!(again, report, "seed {seed}");
        assert_eq!(vivarium_harness::run::listed(&drawn, same).choices, listed.choices, "seed {seed}");
    }
}

#[test]
fn even_weather_lets_everybody_be_served() {
    let mut runner = Runner::default();
    for seed in 0..30 {
        let schedule = Schedule { even: true, ..Schedule::draw(seed) };
        assert_eq!(runner.run(&schedule, &mut ()).verdict, Verdict::Clean, "seed {seed}");
    }
}

/// What the checkers say first about the first seeds, with the world sabotaged.
fn found(sabotage: Sabotage) -> BTreeMap<&'static str, u32> {
    let mut runner = Runner::default();
    let mut found = BTreeMap::new();
    for seed in 0..60 {
        let mut schedule = Schedule::draw(seed);
        schedule.sabotage = Some(sabotage);
        if let Verdict::Broken(violation) = runner.run(&schedule, &mut ()).verdict {
            *found.entry(violation.property).or_insert(0) += 1;
        }
    }
    found
}

#[test]
fn disks_that_lie_are_noticed() {
    let found = found(Sabotage::EarlySync);
    assert!(found["durable-first"] > 20, "{found:?}");
}

#[test]
fn replies_out_of_order_are_noticed() {
    let found = found(Sabotage::SwappedReplies);
    assert!(found.contains_key("fifo"), "{found:?}");
}

#[test]
fn lost_notifications_are_noticed() {
    let found = found(Sabotage::LostNotifications);
    assert!(found.contains_key("watch-before-data") || found.contains_key("watch-renewal"), "{found:?}");
}

#[test]
fn forged_data_is_noticed() {
    let found = found(Sabotage::ForgedData);
    assert!(found["reads"] > 20, "{found:?}");
}

#[test]
fn a_node_that_is_never_heard_is_noticed() {
    let found = found(Sabotage::Mute);
    assert!(found["progress"] > 20, "{found:?}");
}

/// What the search for an order that explains what clients saw comes to, with no other checker about.
fn searched(seed: u64, sabotage: Option<Sabotage>) -> Option<LinearVerdict> {
    let mut schedule = Schedule::draw(seed);
    schedule.sabotage = sabotage;
    let mut world = World::new(Arc::new(schedule), Recorder::new(), Memory::default());
    world.run();
    world.into_parts().1.verdict().cloned()
}

#[test]
fn the_checkers_and_the_search_agree() {
    let verdicts: Vec<_> = (0..80).map(|seed| searched(seed, None)).collect();
    let explained = verdicts.iter().filter(|v| **v == Some(LinearVerdict::Explained)).count();
    let undetermined = verdicts.iter().filter(|v| **v == Some(LinearVerdict::Undetermined)).count();
    println!("{explained} explained, {undetermined} undetermined");
    assert_eq!(explained + undetermined, 80, "{verdicts:?}");
    assert!(explained > 60, "{undetermined} undetermined");
}

#[test]
fn the_search_notices_forged_data() {
    let verdicts = (0..40).map(|seed| searched(seed, Some(Sabotage::ForgedData)));
    let impossible = verdicts.filter(|verdict| matches!(verdict, Some(LinearVerdict::Impossible(_)))).count();
    println!("{impossible} of 40");
    assert!(impossible > 20, "{impossible}");
}

/// Counts what happens.
#[derive(Default)]
struct Census(BTreeMap<&'static str, u32>, [bool; 8]);

impl Observer for Census {
    fn observe(&mut self, _: Time, observation: &Observation<'_>) -> Result<(), Box<Violation>> {
        let name = match observation {
            Observation::Output { output: Output::Note(note), .. } => match note {
                Note::Established { .. } => "leader established",
                Note::Rolling { admitting: true, .. } => "new disk admitted",
                Note::Rolling { .. } => "epoch rolled",
                Note::HandedOver { .. } => "leadership handed over",
                Note::Truncated { .. } => "log cut",
                Note::SnapshotDurable { .. } => "snapshot durable",
                Note::SnapshotInstalled { .. } => "snapshot installed",
                Note::Synchronizing { plan: SyncPlan::Diff, .. } => "diff",
                Note::Synchronizing { plan: SyncPlan::Truncate, .. } => "trunc",
                Note::Synchronizing { plan: SyncPlan::Snapshot, .. } => "snap",
                Note::SessionEnded { expired: true, .. } => "session expired",
                Note::SessionEnded { expired: false, .. } => "session closed",
                Note::SessionAttached { .. } => "session moved",
                Note::Looking { why: LookingReason::QuorumLost } => "quorum lost",
                Note::Looking { why: LookingReason::LeftBehind } => "left behind",
                Note::Looking { why: LookingReason::LeaderSilent } => "leader silent",
                Note::Refused { why: CloseReason::SessionMoved, .. } => "old connection closed",
                Note::Refused { why: CloseReason::SessionInvalid, .. } => "impostor or late comer refused",
                Note::Refused { why: CloseReason::ClientAhead, .. } => "client ahead of its server",
                _ => return Ok(()),
            },
            Observation::Notified { event, .. } if event.zxid == -1 => "watch renewed too late",
            Observation::Notified { .. } => "watch fired",
            Observation::Sent { request, .. } if matches!(request.op, Op::SetWatches { .. }) => {
                "watches renewed"
            }
            Observation::Rotten { node } => {
                self.1[*node] = true;
                "disk damaged"
            }
            Observation::Refused { node, .. } => {
                self.1[*node] = false;
                "damaged disk refused"
            }
            Observation::Wiped { .. } => "disk wiped",
            Observation::Booted { node, .. } if std::mem::take(&mut self.1[*node]) => {
                "damage where nothing is needed"
            }
            Observation::Fault { kind: FaultKind::FullDisk { .. }, .. } => "disk full",
            Observation::Fault { kind: FaultKind::SyncFails { .. }, .. } => "sync fails",
            Observation::Fault { kind: FaultKind::CrashInBoot { .. }, .. } => "crash in boot",
            Observation::Booted { recovery, .. } if recovery.torn.is_some() => "torn log",
            Observation::Booted { recovery, .. } if !recovery.prelude.is_empty() => {
                "snapshot ahead of the log"
            }
            _ => return Ok(()),
        };
        *self.0.entry(name).or_insert(0) += 1;
        Ok(())
    }
}

/// A green run must not be an empty one: all of these happen.
#[test]
fn the_corners_are_reached() {
    let mut runner = Runner::default();
    let mut census = Census::default();
    for seed in 1000..1400 {
        runner.run(&Schedule::draw(seed), &mut census);
    }
    let wanted = [
        "leader established",
        "new disk admitted",
        "disk wiped",
        "disk damaged",
        "damaged disk refused",
        "damage where nothing is needed",
        "disk full",
        "sync fails",
        "crash in boot",
        "epoch rolled",
        "leadership handed over",
        "log cut",
        "snapshot durable",
        "snapshot installed",
        "diff",
        "trunc",
        "snap",
        "session expired",
        "session closed",
        "session moved",
        "quorum lost",
        "left behind",
        "leader silent",
        "old connection closed",
        "impostor or late comer refused",
        "client ahead of its server",
        "watch renewed too late",
        "watch fired",
        "watches renewed",
        "torn log",
        "snapshot ahead of the log",
    ];
    println!("{:#?}", census.0);
    for name in wanted {
        assert!(census.0.get(name).is_some_and(|count| *count > 0), "{name}: {:#?}", census.0);
    }
}

#[test]
fn the_corpus_holds() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../traces");
    let end = vivarium_harness::replay::corpus(std::path::Path::new(directory), false)
        .expect("the traces can be read");
    assert_eq!(end.code(), 0);
}
