//! What a hunt has found: failures that look alike are one finding, told by its smallest example.
//!
//! Two failures look alike when the same property is broken and what was seen differs in numbers, names and contents
//! only. It is a guess: one mistake may show itself in two ways, and two mistakes in one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vivarium_sim::{Report, Verdict};

use super::minimal::Minimal;

/// The property that no checker watches: that a seed gives the same run each time.
pub const DETERMINISM: &str = "determinism";

/// What a panic of the core is reported as.
const INVARIANT: &str = "invariant";

/// One seed that failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// Failures with the same one are taken to have the same cause.
    pub signature: String,
    /// The property's short name.
    pub property: String,
    /// The property in words.
    pub meaning: String,
    /// What was seen, without what differs from seed to seed.
    pub site: String,
    /// What was seen.
    pub seen: String,
    /// What should have been seen.
    pub expected: String,
    /// The seed.
    pub seed: u64,
    /// Servers.
    pub nodes: usize,
    /// Events until it failed.
    pub events: u64,
    /// Simulated microseconds until it failed.
    pub at_us: u64,
    /// The command that shows it again.
    pub replay: String,
}

impl Failure {
    /// What a broken run comes to; `replay` is the command that shows it again.
    pub fn of(seed: u64, nodes: usize, report: &Report, replay: String) -> Option<Failure> {
        let Verdict::Broken(violation) = &report.verdict else { return None };
        let site = site(violation.property, &violation.seen);
        Some(Failure {
            signature: signature(violation.property, &site),
            property: violation.property.to_owned(),
            meaning: violation.meaning.to_owned(),
            site,
            seen: violation.seen.clone(),
            expected: violation.expected.clone(),
            seed,
            nodes,
            events: report.events,
            at_us: report.at / vivarium_sim::US,
            replay,
        })
    }

    /// Two runs of one seed differ.
    pub fn not_deterministic(seed: u64, nodes: usize, one: &Report, two: &Report, replay: String) -> Failure {
        let tell = |report: &Report| {
            let verdict = match &report.verdict {
                Verdict::Clean => "clean".to_owned(),
                Verdict::Broken(violation) => format!("\"{}\" broken", violation.property),
            };
            format!(
                "{} events in {} us, hash {:016x}, {verdict}",
                report.events,
                report.at / 1000,
                report.hash
            )
        };
        Failure {
            signature: DETERMINISM.to_owned(),
            property: DETERMINISM.to_owned(),
            meaning: "a seed gives the same run each time".to_owned(),
            site: String::new(),
            seen: format!("first {}; then {}", tell(one), tell(two)),
            expected: "the same twice".to_owned(),
            seed,
            nodes,
            events: one.events.min(two.events),
            at_us: one.at.min(two.at) / vivarium_sim::US,
            replay,
        }
    }

    /// Whether it is about the harness's or the core's determinism and not about what the service promises.
    pub fn is_nondeterminism(&self) -> bool {
        self.property == DETERMINISM
    }

    /// Smaller is easier to understand; the seed decides between equals, so that threads do not.
    fn size(&self) -> (u64, u64) {
        (self.events, self.seed)
    }
}

/// Failures that look alike.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// How many seeds.
    pub seeds: u64,
    /// The least of them, in order.
    pub least_seeds: Vec<u64>,
    /// The one that fails in the fewest events.
    pub smallest: Failure,
    /// What is left of that one when everything is left out that can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimal: Option<Minimal>,
}

impl Finding {
    /// Whether another breaks the same property with the same kinds of faults: likely the same bug, seen elsewhere.
    pub fn is_like(&self, other: &Finding) -> bool {
        let shape = |finding: &Finding| finding.minimal.as_ref().map(|minimal| minimal.shape.clone());
        self.smallest.property == other.smallest.property
            && shape(self).is_some()
            && shape(self) == shape(other)
    }
}

/// How many seeds of a finding are named.
const NAMED_MAX: usize = 8;

/// All failures, by signature.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Findings {
    by_signature: BTreeMap<String, Finding>,
}

impl Findings {
    /// Takes one in. Whether it is the first of its kind.
    pub fn add(&mut self, failure: Failure) -> bool {
        let Some(finding) = self.by_signature.get_mut(&failure.signature) else {
            let finding =
                Finding { seeds: 1, least_seeds: vec![failure.seed], smallest: failure, minimal: None };
            self.by_signature.insert(finding.smallest.signature.clone(), finding);
            return true;
        };
        finding.seeds += 1;
        let place = finding.least_seeds.partition_point(|seed| *seed < failure.seed);
        finding.least_seeds.insert(place, failure.seed);
        finding.least_seeds.truncate(NAMED_MAX);
        if failure.size() < finding.smallest.size() {
            finding.smallest = failure;
            finding.minimal = None;
        }
        false
    }

    /// All, the most frequent first, then the smallest.
    pub fn ranked(&self) -> Vec<&Finding> {
        let mut all: Vec<_> = self.by_signature.values().collect();
        all.sort_by_key(|finding| (std::cmp::Reverse(finding.seeds), finding.smallest.size()));
        all
    }

    /// The same, to be added to.
    pub fn ranked_mut(&mut self) -> Vec<&mut Finding> {
        let mut all: Vec<_> = self.by_signature.values_mut().collect();
        all.sort_by_key(|finding| (std::cmp::Reverse(finding.seeds), finding.smallest.size()));
        all
    }

    /// How many kinds.
    pub fn len(&self) -> usize {
        self.by_signature.len()
    }

    /// Whether nothing failed.
    pub fn is_empty(&self) -> bool {
        self.by_signature.is_empty()
    }
}

/// A name for a folder: the property, and a few digits for the site.
fn signature(property: &str, site: &str) -> String {
    // FNV-1a: the same in every build, and enough to tell a handful of sites apart.
    let hash = site.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{property}-{:08x}", hash >> 32)
}

/// What was seen, without numbers, names and contents. Of a panic only where it was: messages of assertions are full of
/// values.
pub fn site(property: &str, seen: &str) -> String {
    if property == INVARIANT
        && let Some(place) = panic_place(seen)
    {
        return place;
    }
    let mut site = String::new();
    let mut chars = seen.chars().peekable();
    let mut depth = 0_u32;
    let mut number = false;
    while let Some(c) = chars.next() {
        match c {
            // What stands in brackets and braces is contents, and in parentheses after a space an aside.
            '[' | '{' => depth += 1,
            '(' if depth > 0 || site.ends_with(' ') => depth += 1,
            ']' | '}' | ')' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            '"' => {
                while let Some(c) = chars.next() {
                    match c {
                        '\\' => drop(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
                site.push('_');
            }
            // Zxids read 1:48, addresses 10.0.0.1: all one number.
            c if c.is_ascii_digit() || number && matches!(c, ':' | '.' | '-') => {
                let joined = c.is_ascii_digit() || chars.peek().is_some_and(char::is_ascii_digit);
                if joined && !number {
                    site.push('#');
                }
                if !joined {
                    site.push(c);
                }
                number = joined;
                continue;
            }
            c => site.push(c),
        }
        number = false;
    }
    let site = site.replace("true", "bool").replace("false", "bool");
    let mut words: Vec<&str> = site.split_whitespace().collect();
    words.dedup();
    let site = words.join(" ");
    site.char_indices().nth(SITE_MAX).map_or(site.clone(), |(end, _)| site[..end].to_owned())
}

/// Longer ones say more about contents than about places.
const SITE_MAX: usize = 160;

/// `panicked at FILE:LINE:COLUMN:` without the column, which changes with the width of a name.
fn panic_place(seen: &str) -> Option<String> {
    let place = seen.split("panicked at ").nth(1)?.lines().next()?;
    let mut parts = place.split(':');
    let (file, line) = (parts.next()?, parts.next()?);
    line.bytes().all(|b| b.is_ascii_digit()).then(|| format!("{file}:{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(seed: u64, events: u64, seen: &str) -> Failure {
        let site = site("fifo", seen);
        Failure {
            signature: signature("fifo", &site),
            property: "fifo".into(),
            meaning: String::new(),
            site,
            seen: seen.into(),
            expected: String::new(),
            seed,
            nodes: 3,
            events,
            at_us: 0,
            replay: String::new(),
        }
    }

    #[test]
    fn sites_differ_by_kind_and_not_by_content() {
        for (one, two) in [
            ("node 1 says Ack { upto: 1:48 }", "node 3 says Ack { upto: 12:9 }"),
            ("Data(Some(\"forged\"), 3) at \"/e\"", "Data(Some(\"x \\\" y\"), 12) at \"/c/x\""),
            ("could not connect (1: Following, 2: Leading)", "could not connect (1: Leading)"),
            ("sees [1, 2, 3] there", "sees [\"a\", [4]] there"),
            ("watch: true of n3", "watch: false of n12"),
            ("at -17 ms", "at 4.25 ms"),
            (
                "Reply { xid: 4, result: Ok(Empty) } to Get { path: \"/\" }",
                "Reply { xid: 4, result: Err(NoNode) } to Get { }",
            ),
        ] {
            let two = two.replace("at 4", "at -4");
            assert_eq!(site("p", one), site("p", &two), "{one} and {two}");
        }
        for (one, two) in [
            ("result: Err(NoNode)", "result: Err(BadVersion)"),
            ("node 1 says Ack", "node 1 says AckEpoch"),
            ("Data(Some(\"x\"))", "Data(None)"),
        ] {
            assert_ne!(site("p", one), site("p", two));
        }
        assert!(site("p", &"long words ever again and on ".repeat(99)).len() <= SITE_MAX);
        assert_eq!(site("p", "never closed [1, \"2"), "never closed");
        assert_eq!(site("p", ") stray ]"), ") stray ]");
    }

    #[test]
    fn a_panic_is_known_by_its_place() {
        let one = "panicked at core/src/replica/leader.rs:120:9:\nassertion failed: 1:48 <= 1:47";
        let two = "panicked at core/src/replica/leader.rs:120:13:\nassertion failed: 3:4 <= 1:1";
        assert_eq!(site("invariant", one), "core/src/replica/leader.rs:120");
        assert_eq!(site("invariant", one), site("invariant", two));
        assert_eq!(site("invariant", "a panic"), "a panic");
    }

    #[test]
    fn a_finding_is_told_by_its_smallest_whatever_the_order() {
        let failures = [
            failure(9, 50, "node 1"),
            failure(4, 50, "node 2"),
            failure(7, 60, "node 3"),
            failure(1, 5, "client"),
        ];
        let mut forwards = Findings::default();
        let fresh: Vec<bool> = failures.iter().map(|failure| forwards.add(failure.clone())).collect();
        assert_eq!(fresh, [true, false, false, true]);
        let mut backwards = Findings::default();
        failures.iter().rev().for_each(|failure| {
            backwards.add(failure.clone());
        });
        assert_eq!(forwards, backwards);
        let ranked = forwards.ranked();
        assert_eq!((ranked.len(), forwards.len()), (2, 2));
        assert_eq!((ranked[0].seeds, ranked[0].smallest.seed), (3, 4));
        assert_eq!(ranked[0].least_seeds, [4, 7, 9]);
    }
}
