//! The schedules whose speed is measured: the same ones every time, as a hunt draws them, but all of one size.
//!
//! What a hunt draws varies widely, one run being ten times as long as another. Here each profile fixes the number of
//! nodes, the length of the run, the rate of requests and the time between two heartbeats (an operator's 100 ms, to which
//! all other timeouts keep the ratio that was drawn; a hunt's are shorter, to see more elections in less time). Faults,
//! sizes, links, disks and clients' manners are what the seeds draw. So that the faults of a longer run come as thick as
//! those of a drawn one, they are taken from as many seeds as it takes to fill it.

use vivarium_sim::schedule::Schedule;
use vivarium_sim::{MS, Time};

/// Between two heartbeats.
const HEARTBEAT: Time = 100 * MS;

/// A size of schedule.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Profile {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in words.
    pub about: &'static str,
    /// Its shape; `None` for what a hunt draws.
    pub shape: Option<Shape>,
    /// Schedules of a round.
    pub schedules: u64,
    /// Schedules per second and core that are aimed at.
    pub target: Option<f64>,
}

/// What a profile fixes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Servers.
    pub nodes: usize,
    /// Clients.
    pub clients: usize,
    /// Requests per simulated second that all clients together send while all goes well.
    pub rate: u64,
    /// How long faults go on.
    pub chaos: Time,
}

const BUSY: Shape = Shape { nodes: 3, clients: 3, rate: 100, chaos: 10_000 * MS };

/// All profiles, the most important first.
pub const PROFILES: [Profile; 5] = [
    Profile {
        name: "three",
        about: "3 nodes, 10 s simulated, clients set to 100 requests/s, all faults",
        shape: Some(BUSY),
        schedules: 200,
        target: Some(1000.0),
    },
    Profile {
        name: "five",
        about: "5 nodes, 10 s simulated, clients set to 100 requests/s, all faults",
        shape: Some(Shape { nodes: 5, ..BUSY }),
        schedules: 100,
        target: Some(500.0),
    },
    Profile {
        name: "sparse",
        about: "3 nodes, 10 s simulated, clients set to 10 requests/s, all faults",
        shape: Some(Shape { rate: 10, ..BUSY }),
        schedules: 400,
        target: Some(5000.0),
    },
    Profile {
        name: "loaded",
        about: "3 nodes, 10 s simulated, 100 requests/s in spite of all faults",
        shape: Some(Shape { clients: 6, rate: 185, ..BUSY }),
        schedules: 100,
        target: None,
    },
    Profile { name: "hunt", about: "what a hunt draws", shape: None, schedules: 500, target: None },
];

impl Profile {
    /// The first `count` of its schedules, or as many as a round has.
    pub fn schedules(&self, count: Option<u64>) -> Vec<Schedule> {
        let count = usize::try_from(count.unwrap_or(self.schedules)).unwrap_or(usize::MAX);
        match self.shape {
            None => (0..).map(Schedule::draw).take(count).collect(),
            Some(shape) => {
                let mut seeds = 0..;
                std::iter::repeat_with(|| shape.schedule(&mut seeds)).take(count).collect()
            }
        }
    }
}

impl Shape {
    /// The next schedule of this shape.
    fn schedule(&self, seeds: &mut impl Iterator<Item = u64>) -> Schedule {
        let mut source = seeds.map(Schedule::draw).filter(|schedule| schedule.nodes == self.nodes);
        let mut schedule = source.next().expect("seeds do not run out");
        let mut filled = schedule.chaos;
        while filled < self.chaos {
            let more = source.next().expect("seeds do not run out");
            let later = more.faults.into_iter().map(|mut fault| {
                fault.at += filled;
                fault
            });
            schedule.faults.extend(later);
            filled += more.chaos;
            schedule.clients.extend(more.clients);
        }
        schedule.faults.retain(|fault| fault.at <= self.chaos);
        schedule.chaos = self.chaos;
        while schedule.clients.len() < self.clients {
            schedule.clients.extend(source.next().expect("seeds do not run out").clients);
        }
        schedule.clients.truncate(self.clients);
        let limits = &mut schedule.limits;
        let drawn = limits.heartbeat.0;
        for time in [
            &mut limits.heartbeat,
            &mut limits.tick,
            &mut limits.silence,
            &mut limits.sync,
            &mut limits.election,
        ] {
            time.0 = time.0 * HEARTBEAT / drawn;
        }
        for ms in [&mut limits.session_timeout_min_ms, &mut limits.session_timeout_max_ms] {
            *ms = (*ms as u64 * HEARTBEAT / drawn) as i32;
        }
        for client in &mut schedule.clients {
            client.think = self.clients as u64 * 1000 * MS / self.rate;
            client.timeout_ms = (client.timeout_ms as u64 * HEARTBEAT / drawn) as i32;
            // The rate is that of living clients.
            client.dies = None;
        }
        schedule
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_has_the_same_schedules_every_time_and_all_of_its_shape() {
        for profile in PROFILES {
            let (one, two) = (profile.schedules(Some(20)), profile.schedules(Some(20)));
            assert_eq!(format!("{one:?}"), format!("{two:?}"));
            assert_eq!(one.len(), 20);
            let Some(shape) = profile.shape else { continue };
            for schedule in &one {
                assert_eq!((schedule.nodes, schedule.chaos), (shape.nodes, shape.chaos));
                assert_eq!((schedule.clients.len(), schedule.clocks.len()), (shape.clients, shape.nodes));
                assert!(schedule.faults.is_sorted_by_key(|fault| fault.at));
                assert!(schedule.faults.iter().all(|fault| fault.at <= shape.chaos));
            }
            assert!(one.iter().any(|schedule| schedule.faults.len() > 10));
        }
    }
}
