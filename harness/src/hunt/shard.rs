//! Which part of the seeds is this process's: `--shard K/N`, or what the system that started it has set.
//!
//! The parts of a range are consecutive, none overlaps another, together they are the range, and their lengths differ
//! by one at most. Nobody talks to anybody: each process computes its part from the same range and its own number.

use std::ops::Range;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::end::Usage;

/// Part `index` of `count`, counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Shard {
    /// From 1 to `count`.
    pub index: u32,
    /// At least 1.
    pub count: u32,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Shard = Shard { index: 1, count: 1 };

    /// Reads `K/N`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Shard, String> {
        let wrong = || format!("`{text}` is not K/N with 1 <= K <= N, such as 3/8");
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        let (index, count) = (index.trim().parse().ok(), count.trim().parse().ok());
        match (index, count) {
            (Some(index), Some(count)) if 1 <= index && index <= count => Ok(Shard { index, count }),
            _ => Err(wrong()),
        }
    }

    /// Its part of a range.
    pub fn part(self, range: &Range<u64>) -> Range<u64> {
        let length = u128::from(range.end.saturating_sub(range.start));
        let cut = |pieces: u32| {
            let offset = length * u128::from(pieces) / u128::from(self.count);
            range.start + u64::try_from(offset).expect("not more than the length, which is a u64")
        };
        cut(self.index - 1)..cut(self.index)
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// Where a process's number comes from, when the command line has none.
struct System {
    name: &'static str,
    index: &'static str,
    first: First,
    count: &'static str,
}

/// What the first process is called.
enum First {
    Number(u64),
    Variable(&'static str),
}

/// The first whose index is set counts. The first row is for systems that set nothing by themselves, such as GitHub,
/// whose matrix is known to the workflow's text only.
const SYSTEMS: &[System] = &[
    System {
        name: "the environment",
        index: "HARNESS_SHARD_INDEX",
        first: First::Number(0),
        count: "HARNESS_SHARDS",
    },
    System {
        name: "a Kubernetes Indexed Job",
        index: "JOB_COMPLETION_INDEX",
        first: First::Number(0),
        count: "HARNESS_SHARDS",
    },
    System {
        name: "a Slurm array",
        index: "SLURM_ARRAY_TASK_ID",
        first: First::Variable("SLURM_ARRAY_TASK_MIN"),
        count: "SLURM_ARRAY_TASK_COUNT",
    },
    System { name: "GitLab", index: "CI_NODE_INDEX", first: First::Number(1), count: "CI_NODE_TOTAL" },
    System {
        name: "CircleCI",
        index: "CIRCLE_NODE_INDEX",
        first: First::Number(0),
        count: "CIRCLE_NODE_TOTAL",
    },
    System {
        name: "Buildkite",
        index: "BUILDKITE_PARALLEL_JOB",
        first: First::Number(0),
        count: "BUILDKITE_PARALLEL_JOB_COUNT",
    },
];

/// The part to run, and the sentence that says why, when it is not the command line that said so.
///
/// # Errors
/// When the environment knows a number but not of how many, or they do not fit: running the wrong part would be worse
/// than running nothing.
pub fn choose(
    option: Option<Shard>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(Shard, Option<String>)> {
    if let Some(shard) = option {
        return Ok((shard, None));
    }
    let Some(system) = SYSTEMS.iter().find(|system| variable(system.index).is_some()) else {
        return Ok((Shard::WHOLE, None));
    };
    let number = |name: &str| -> Result<u64> {
        let Some(text) = variable(name) else {
            return Err(Usage(format!(
                "{} is set, as by {}, but {name} is not: set it, or say --shard K/N (--shard 1/1 for all seeds)",
                system.index, system.name
            ))
            .into());
        };
        text.trim().parse().map_err(|_| Usage(format!("{name} is `{text}`, which is not a number")).into())
    };
    let (index, count) = (number(system.index)?, number(system.count)?);
    let (first, mut told) = match system.first {
        First::Number(first) => (first, String::new()),
        First::Variable(name) => (number(name)?, format!(" {name}={}", number(name)?)),
    };
    let mut place = index.checked_sub(first);
    if system.index.starts_with("SLURM") && variable("SLURM_ARRAY_TASK_STEP").is_some() {
        let step = number("SLURM_ARRAY_TASK_STEP")?.max(1);
        place = place.filter(|offset| offset % step == 0).map(|offset| offset / step);
        told.push_str(&format!(" SLURM_ARRAY_TASK_STEP={step}"));
    }
    let shard = place
        .filter(|place| *place < count)
        .and_then(|place| Some((u32::try_from(place + 1).ok()?, u32::try_from(count).ok()?)))
        .map(|(index, count)| Shard { index, count });
    let said = format!("{}={index}{told} {}={count}", system.index, system.count);
    match shard {
        Some(shard) => Ok((shard, Some(format!("shard {shard}, from {said} of {}", system.name)))),
        None => Err(Usage(format!(
            "{said} is no part of a whole: the numbers must be consecutive, without holes; or say --shard K/N"
        ))
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_consecutive_and_whole() {
        for range in
            [0..0, 5..6, 0..1000, 7..20_007, 1 << 40..(1 << 40) + 3, 0..u64::MAX, u64::MAX - 9..u64::MAX]
        {
            for count in [1, 2, 3, 7, 64, 1000] {
                let mut next = range.start;
                let (mut least, mut most) = (u64::MAX, 0);
                for index in 1..=count {
                    let part = Shard { index, count }.part(&range);
                    assert_eq!(part.start, next, "{range:?} {index}/{count}");
                    next = part.end;
                    least = least.min(part.end - part.start);
                    most = most.max(part.end - part.start);
                }
                assert_eq!(next, range.end);
                assert!(most - least <= 1, "{range:?} in {count}: {least} to {most}");
            }
        }
    }

    #[test]
    fn what_is_no_part_of_a_whole_is_refused() {
        assert_eq!(Shard::parse("3/8"), Ok(Shard { index: 3, count: 8 }));
        for text in ["", "3", "0/8", "9/8", "1/0", "-1/3", "a/b", "1/2/3", "1/99999999999"] {
            assert!(Shard::parse(text).unwrap_err().contains("K/N"), "{text}");
        }
    }

    fn from(variables: &[(&str, &str)]) -> Result<(Shard, Option<String>)> {
        let variables: std::collections::BTreeMap<_, _> = variables.iter().copied().collect();
        choose(None, |name| variables.get(name).map(ToString::to_string))
    }

    #[test]
    fn each_system_gives_each_process_its_part() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("JOB_COMPLETION_INDEX", "0"), ("HARNESS_SHARDS", "4")], "1/4"),
            (&[("JOB_COMPLETION_INDEX", "3"), ("HARNESS_SHARDS", "4")], "4/4"),
            (&[("HARNESS_SHARD_INDEX", "2"), ("HARNESS_SHARDS", "3")], "3/3"),
            (
                &[
                    ("SLURM_ARRAY_TASK_ID", "10"),
                    ("SLURM_ARRAY_TASK_MIN", "10"),
                    ("SLURM_ARRAY_TASK_MAX", "19"),
                    ("SLURM_ARRAY_TASK_COUNT", "10"),
                ],
                "1/10",
            ),
            (
                &[
                    ("SLURM_ARRAY_TASK_ID", "14"),
                    ("SLURM_ARRAY_TASK_MIN", "10"),
                    ("SLURM_ARRAY_TASK_STEP", "2"),
                    ("SLURM_ARRAY_TASK_COUNT", "5"),
                ],
                "3/5",
            ),
            (&[("CI_NODE_INDEX", "1"), ("CI_NODE_TOTAL", "2")], "1/2"),
            (&[("CIRCLE_NODE_INDEX", "1"), ("CIRCLE_NODE_TOTAL", "2")], "2/2"),
            (&[("BUILDKITE_PARALLEL_JOB", "0"), ("BUILDKITE_PARALLEL_JOB_COUNT", "9")], "1/9"),
        ];
        for (variables, wanted) in cases {
            let (shard, source) = from(variables).unwrap();
            assert_eq!(shard.to_string(), *wanted, "{variables:?}");
            let source = source.expect("it says where it is from");
            assert!(source.contains(variables[0].0), "{source}");
        }
        assert_eq!(from(&[]).unwrap(), (Shard::WHOLE, None));
    }

    #[test]
    fn half_an_answer_is_refused() {
        for (variables, complaint) in [
            (&[("JOB_COMPLETION_INDEX", "0")][..], "HARNESS_SHARDS is not"),
            (&[("JOB_COMPLETION_INDEX", "4"), ("HARNESS_SHARDS", "4")], "no part of a whole"),
            (&[("JOB_COMPLETION_INDEX", "x"), ("HARNESS_SHARDS", "4")], "not a number"),
            (
                &[
                    ("SLURM_ARRAY_TASK_ID", "7"),
                    ("SLURM_ARRAY_TASK_MIN", "1"),
                    ("SLURM_ARRAY_TASK_COUNT", "3"),
                ],
                "without holes",
            ),
            (&[("CI_NODE_INDEX", "0"), ("CI_NODE_TOTAL", "2")], "no part of a whole"),
        ] {
            let error = from(variables).unwrap_err();
            assert!(error.to_string().contains(complaint), "{variables:?}: {error}");
            assert_eq!(crate::end::code_of(&error), 64);
        }
    }

    #[test]
    fn the_command_line_has_the_last_word() {
        let chosen = choose(Some(Shard::WHOLE), |_| Some("7".into())).unwrap();
        assert_eq!(chosen, (Shard::WHOLE, None));
    }
}
