//! When a failure becomes certain: how probable it is from each moment on, found by trying other futures.
//!
//! The run is stopped after an event, the world is copied many times, checkers included, and each copy goes on with a
//! future of its own: other weather, other requests, and no more faults than have begun. The share of copies that fail
//! in the same way is how probable the failure is after that event. Where the share leaps, something decisive happened.
//!
//! A copy fails only by what has happened before, since nothing is planned to go wrong after: so the curve begins near
//! what a faultless run gives, and ends near 1 where the failure cannot be avoided any more. It may also end low: when
//! the failure needs a certain request at a certain moment, the last event is the decisive one.

mod command;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use vivarium_sim::{EventId, Memory, Schedule, Time, Verdict, World};

use crate::check::Checkers;
use crate::run::guarded;
use crate::shrink::Signature;

pub use command::{Args, run};

/// How probable the failure is, by event.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Curve {
    /// The property whose violation is meant.
    pub property: String,
    /// The event with the violation.
    pub failed_at: EventId,
    /// Copies that were tried at each point.
    pub samples: u32,
    /// By event.
    pub points: Vec<Point>,
}

/// How probable the failure is after an event.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Point {
    /// The event of the world; 0 before the first.
    pub event: EventId,
    /// Its time, ns.
    pub at: Time,
    /// How many of the copies failed.
    pub failed: u32,
}

/// A leap of the curve.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Turn {
    /// How probable the failure was before, in 0..=1.
    pub before: f64,
    /// And after.
    pub after: f64,
    /// The last event that is known to lie before the leap.
    pub last_before: EventId,
    /// The event by which it has happened: the one that did it, when it is the next.
    pub event: EventId,
    /// Its time, ns.
    pub at: Time,
}

/// How finely, and for how long, a curve is made.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Copies at each point.
    pub samples: u32,
    /// Points at equal distances to begin with.
    pub points: u32,
    /// What has not been refined by then is left as it is.
    pub budget: Duration,
}

impl Default for Effort {
    fn default() -> Effort {
        Effort { samples: 40, points: 12, budget: Duration::from_secs(20) }
    }
}

/// A leap smaller than this is noise.
const LEAP: f64 = 0.2;

impl Curve {
    /// The curve of a schedule that fails; none when it does not.
    pub fn of(schedule: &Schedule, effort: Effort) -> Option<Curve> {
        let began = Instant::now();
        let mut start = World::new(Arc::new(schedule.clone()), Checkers::new(), Memory::default());
        let mut whole = start.clone();
        let report = guarded(&mut whole, World::run).unwrap_or_else(|report| report);
        let Verdict::Broken(violation) = &report.verdict else { return None };
        let wanted = Signature::of(violation);
        let failed_at = report.events;
        let mut curve = Curve {
            property: wanted.property.clone(),
            failed_at,
            samples: effort.samples,
            points: Vec::new(),
        };
        // Forwards once, and a copy of the world kept at each point, so that refining need not begin anew.
        let mut kept: Vec<World<Checkers>> = Vec::new();
        let count = u64::from(effort.points.max(2));
        for place in 0..=count {
            // Before the event with the violation: after it nothing is open any more.
            let event = failed_at.saturating_sub(1) * place / count;
            advance(&mut start, event);
            if kept.last().is_some_and(|world| world.present().0 == start.present().0) {
                continue;
            }
            curve.points.push(probe(&start, &wanted, effort.samples));
            kept.push(start.clone());
        }
        while began.elapsed() < effort.budget {
            let Some(place) = curve.widest_leap() else { break };
            let (low, high) = (curve.points[place].event, curve.points[place + 1].event);
            let mut world = kept[place].clone();
            advance(&mut world, low + (high - low) / 2);
            curve.points.insert(place + 1, probe(&world, &wanted, effort.samples));
            kept.insert(place + 1, world);
        }
        curve.points.push(Point { event: failed_at, at: report.at, failed: effort.samples });
        Some(curve)
    }

    /// How probable the failure is at a point, in 0..=1.
    pub fn probability(&self, point: &Point) -> f64 {
        f64::from(point.failed) / f64::from(self.samples.max(1))
    }

    /// The leaps, the greatest first.
    pub fn turns(&self) -> Vec<Turn> {
        let mut turns: Vec<Turn> = self
            .points
            .windows(2)
            .map(|pair| Turn {
                before: self.probability(&pair[0]),
                after: self.probability(&pair[1]),
                last_before: pair[0].event,
                event: pair[1].event,
                at: pair[1].at,
            })
            .filter(|turn| turn.after - turn.before >= LEAP)
            .collect();
        turns.sort_by(|a, b| (b.after - b.before).total_cmp(&(a.after - a.before)));
        turns
    }

    /// The place before the greatest leap between two points that are not neighbours.
    fn widest_leap(&self) -> Option<usize> {
        let leap = |place: &usize| {
            self.probability(&self.points[place + 1]) - self.probability(&self.points[*place])
        };
        (0..self.points.len().saturating_sub(1))
            .filter(|place| self.points[place + 1].event - self.points[*place].event > 1)
            .filter(|place| leap(place) >= LEAP)
            .max_by(|a, b| leap(a).total_cmp(&leap(b)))
    }
}

/// Lets the world come to an event; a run that is known to fail later does not fail on the way.
fn advance(world: &mut World<Checkers>, event: EventId) {
    let _ = guarded(world, |world| while world.present().0 < event && world.advance() {});
}

fn probe(world: &World<Checkers>, wanted: &Signature, samples: u32) -> Point {
    let (event, at) = world.present();
    let failed = (1..=samples).filter(|sample| {
        let mut copy = world.clone();
        copy.another_future(u64::from(*sample));
        let report = guarded(&mut copy, World::run).unwrap_or_else(|report| report);
        matches!(&report.verdict, Verdict::Broken(violation) if wanted.covers(violation))
    });
    Point { event, at, failed: failed.count() as u32 }
}
