//! How many schedules have come to each mark.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Mark, Marks};

/// How often each mark was hit in a number of schedules. Those of several threads, machines or days can be merged.
///
/// Written down, marks go by name, so that it can be read by a build that has others as well: those that this build
/// does not know are dropped, and those that it was not asked for have no hits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Coverage {
    schedules: u64,
    hits: Vec<Hits>,
}

/// How often a mark was hit.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Hits {
    /// Schedules that came to it.
    pub schedules: u64,
    /// The first of their seeds, if there was one.
    pub first_seed: Option<u64>,
}

/// As it is written down.
#[derive(Serialize, Deserialize)]
struct Written {
    schedules: u64,
    never: Vec<String>,
    marks: BTreeMap<String, Hits>,
}

impl Coverage {
    /// Of no schedule.
    pub fn new() -> Coverage {
        Coverage { schedules: 0, hits: vec![Hits::default(); Mark::COUNT] }
    }

    /// Counts what the schedule of a seed has come to.
    pub fn add(&mut self, seed: u64, marks: &Marks) {
        self.schedules += 1;
        for mark in marks.iter() {
            let hits = &mut self.hits[mark as usize];
            hits.schedules += 1;
            hits.first_seed = earlier(hits.first_seed, Some(seed));
        }
    }

    /// Adds another's counts, of other schedules.
    pub fn merge(&mut self, other: &Coverage) {
        self.schedules += other.schedules;
        for (mine, theirs) in self.hits.iter_mut().zip(&other.hits) {
            mine.schedules += theirs.schedules;
            mine.first_seed = earlier(mine.first_seed, theirs.first_seed);
        }
    }

    /// How many schedules were counted.
    pub fn schedules(&self) -> u64 {
        self.schedules
    }

    /// How often a mark was hit.
    pub fn hits(&self, mark: Mark) -> Hits {
        self.hits[mark as usize]
    }

    /// How many marks fewer schedules than `least` came to.
    pub fn missing(&self, least: u64) -> impl Iterator<Item = Mark> + '_ {
        Mark::ALL.iter().copied().filter(move |mark| self.hits(*mark).schedules < least)
    }

    /// A line: how many of the marks were hit, and which were not.
    pub fn summary(&self) -> String {
        let never: Vec<&str> = self.missing(1).map(Mark::name).collect();
        let hit = Mark::COUNT - never.len();
        match never.is_empty() {
            true => format!("{hit} of {} marks hit", Mark::COUNT),
            false => format!("{hit} of {} marks hit; never: {}", Mark::COUNT, never.join(", ")),
        }
    }
}

impl Default for Coverage {
    fn default() -> Coverage {
        Coverage::new()
    }
}

impl From<Written> for Coverage {
    fn from(written: Written) -> Coverage {
        let mut coverage = Coverage { schedules: written.schedules, ..Coverage::new() };
        for (name, hits) in written.marks {
            if let Some(mark) = Mark::by_name(&name) {
                coverage.hits[mark as usize] = hits;
            }
        }
        coverage
    }
}

impl From<Coverage> for Written {
    fn from(coverage: Coverage) -> Written {
        Written {
            schedules: coverage.schedules,
            never: coverage.missing(1).map(|mark| mark.name().to_owned()).collect(),
            marks: Mark::ALL
                .iter()
                .filter(|mark| coverage.hits(**mark).schedules > 0)
                .map(|mark| (mark.name().to_owned(), coverage.hits(*mark)))
                .collect(),
        }
    }
}

fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(runs: &[(u64, &[Mark])]) -> Coverage {
        let mut coverage = Coverage::new();
        for (seed, hit) in runs {
            let mut marks = Marks::default();
            hit.iter().for_each(|mark| marks.insert(*mark));
            coverage.add(*seed, &marks);
        }
        coverage
    }

    #[test]
    fn shards_merged_in_any_order_are_what_one_run_counts() {
        let (a, b) = (Mark::SyncDiff, Mark::SnapshotsInARow);
        let whole = of(&[(7, &[a]), (8, &[a, b]), (9, &[]), (10, &[b])]);
        let (left, right) = (of(&[(9, &[]), (10, &[b])]), of(&[(7, &[a]), (8, &[a, b])]));
        for (one, other) in [(&left, &right), (&right, &left)] {
            let mut merged = one.clone();
            merged.merge(other);
            assert_eq!(merged, whole);
        }
        assert_eq!(whole.hits(b), Hits { schedules: 2, first_seed: Some(8) });
        assert_eq!(whole.missing(1).count(), Mark::COUNT - 2);
        assert_eq!(whole.missing(3).count(), Mark::COUNT);
    }

    #[test]
    fn it_is_written_by_name_and_read_again() {
        let coverage = of(&[(3, &[Mark::SyncDiff, Mark::EpochRolled])]);
        let text = serde_json::to_string(&coverage).expect("it has a text");
        assert!(text.contains(r#""sync-diff":{"schedules":1,"first_seed":3}"#), "{text}");
        let read: Coverage = serde_json::from_str(&text).expect("its own text");
        assert_eq!(read, coverage);
        let other = text.replace("sync-diff", "of-another-build");
        let read: Coverage = serde_json::from_str(&other).expect("a text of another build");
        assert_eq!(read, of(&[(3, &[Mark::EpochRolled])]));
        let bytes = postcard::to_stdvec(&coverage).expect("it has bytes");
        assert_eq!(postcard::from_bytes::<Coverage>(&bytes), Ok(coverage));
    }

    #[test]
    fn the_summary_names_what_was_never_hit() {
        let mut marks = Marks::default();
        Mark::ALL.iter().filter(|mark| **mark != Mark::AllDown).for_each(|mark| marks.insert(*mark));
        assert_eq!(marks.len(), Mark::COUNT - 1);
        let mut coverage = Coverage::new();
        coverage.add(0, &marks);
        assert!(coverage.summary().ends_with("never: all-down"), "{}", coverage.summary());
        marks.insert(Mark::AllDown);
        coverage.add(1, &marks);
        assert_eq!(coverage.summary(), format!("{0} of {0} marks hit", Mark::COUNT));
    }
}
