//! What a schedule is made of: counts that depend on nothing but the schedules, whatever the machine and the build.

use std::sync::Arc;

use serde::Serialize;
use vivarium_core::ids::Zxid;
use vivarium_core::io::{Note, Output};
use vivarium_sim::{ClientIndex, Memory, Observation, Observer, Schedule, Time, Violation, World};

/// Of one schedule, on average.
#[derive(Clone, PartialEq, Serialize, Default, Debug)]
pub struct Content {
    /// Steps of nodes.
    pub steps: f64,
    /// Messages that nodes sent to each other.
    pub messages: f64,
    /// Writes to disks.
    pub writes: f64,
    /// Entries that were executed, each counted once.
    pub entries: f64,
    /// Requests that clients sent before the faults ended, pings and what a reconnection takes among them.
    pub requests: f64,
    /// The share of the time before the faults ended for which a client was connected, per cent.
    pub connected_percent: f64,
    /// Faults that happened.
    pub faults: f64,
    /// How long faults went on, simulated seconds.
    pub chaos_seconds: f64,
}

/// Counts what it sees in one run.
#[derive(Default)]
struct Counter {
    chaos: Time,
    steps: u64,
    messages: u64,
    writes: u64,
    entries: u64,
    requests: u64,
    faults: u64,
    /// The newest entry that was executed.
    executed: Zxid,
    /// Since when each client has been connected, if it is,
    since: Vec<Option<Time>>,
    /// and for how long all of them were.
    connected: Time,
}

impl Content {
    /// Runs them once.
    pub fn of(schedules: &[Schedule]) -> Content {
        let mut all = Content::default();
        let mut memory = Memory::default();
        let share = 1.0 / schedules.len() as f64;
        for schedule in schedules {
            let mut counter = Counter { chaos: schedule.chaos, ..Counter::default() };
            counter.since.resize(schedule.clients.len(), None);
            let mut world = World::new(Arc::new(schedule.clone()), counter, std::mem::take(&mut memory));
            world.run();
            let (spare, mut counter) = world.into_parts();
            memory = spare;
            (0..counter.since.len()).for_each(|client| counter.leaves(client, schedule.chaos));
            let could = (schedule.chaos * schedule.clients.len() as u64).max(1) as f64;
            for (sum, count) in [
                (&mut all.steps, counter.steps as f64),
                (&mut all.messages, counter.messages as f64),
                (&mut all.writes, counter.writes as f64),
                (&mut all.entries, counter.entries as f64),
                (&mut all.requests, counter.requests as f64),
                (&mut all.connected_percent, 100.0 * counter.connected as f64 / could),
                (&mut all.faults, counter.faults as f64),
                (&mut all.chaos_seconds, schedule.chaos as f64 / 1e9),
            ] {
                *sum += share * count;
            }
        }
        all
    }
}

impl Counter {
    fn leaves(&mut self, client: ClientIndex, at: Time) {
        if let Some(since) = self.since.get_mut(client).and_then(Option::take) {
            self.connected += at.min(self.chaos).saturating_sub(since);
        }
    }
}

impl Observer for Counter {
    fn observe(&mut self, at: Time, observation: &Observation<'_>) -> Result<(), Box<Violation>> {
        match observation {
            Observation::Stepped { .. } => self.steps += 1,
            Observation::Output { output, .. } => match output {
                Output::Send { .. } => self.messages += 1,
                Output::Write { .. } => self.writes += 1,
                Output::Note(Note::Applied { zxid, .. }) if *zxid > self.executed => {
                    self.executed = *zxid;
                    self.entries += 1;
                }
                _ => {}
            },
            Observation::Sent { .. } => self.requests += u64::from(at < self.chaos),
            Observation::Connected { client, response, .. } if response.session.0 != 0 => {
                // Those that come when all is healed are not counted.
                if let Some(since) = self.since.get_mut(*client) {
                    *since = Some(at);
                }
            }
            Observation::Lost { client, .. } => self.leaves(*client, at),
            Observation::Fault { .. } => self.faults += 1,
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vivarium_sim::MS;

    #[test]
    fn a_quiet_run_sends_as_much_as_it_is_set_to() {
        let profile = &super::super::profiles::PROFILES[0];
        let mut schedules = profile.schedules(Some(4));
        let stormy = Content::of(&schedules);
        for schedule in &mut schedules {
            let plain = Schedule::plain(schedule.seed);
            schedule.faults.clear();
            (schedule.network, schedule.disk) = (plain.network, plain.disk);
            schedule.clients.iter_mut().for_each(|client| client.pipeline = 64);
            assert_eq!(schedule.chaos, 10_000 * MS);
        }
        let quiet = Content::of(&schedules);
        assert!(quiet.connected_percent > stormy.connected_percent, "{quiet:?} {stormy:?}");
        let rate = profile.shape.unwrap().rate as f64;
        let sent = quiet.requests / quiet.chaos_seconds;
        assert!(sent > 0.6 * rate && sent < 1.4 * rate, "{quiet:?}");
        assert!(quiet.faults == 0.0 && stormy.faults > 10.0);
        assert!(stormy.entries > 10.0 && stormy.writes > stormy.entries && stormy.steps > stormy.requests);
    }
}
