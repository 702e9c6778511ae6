//! The rules of `harness/bugs` fit the sources as they are, and every known bug has a rule or an argument. Nothing is
//! built here.

use std::collections::{BTreeMap, BTreeSet};

use vivarium_harness::bugs::entries::{ENTRIES, OTHERS, Verdict, verdicts};
use vivarium_harness::bugs::plant::Sources;
use vivarium_harness::bugs::rule::Rule;
use vivarium_harness::bugs::top;

fn rules() -> Vec<Rule> {
    Rule::read_all(&top().join("harness/bugs")).unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn every_rule_applies_to_the_sources_as_they_are() {
    let mut sources = Sources::read(&top()).unwrap_or_else(|error| panic!("{error:#}"));
    sources.plant(&rules()).unwrap_or_else(|error| panic!("{error:#}"));
    for edit in rules().iter().flat_map(|rule| &rule.edits) {
        let text = sources.text(&edit.file).expect("it was just edited");
        assert!(!text.contains("planted!()"), "{}: a question without an answer", edit.file);
    }
}

#[test]
fn every_rule_names_an_entry_and_is_named_after_it() {
    for rule in rules() {
        let known = ENTRIES.contains(&rule.entry.as_str()) || OTHERS.contains(&rule.entry.as_str());
        assert!(known, "{}.rule: {:?} is not in the list of entries", rule.name, rule.entry);
        assert!(rule.name.starts_with(&rule.entry), "{}.rule is about {}", rule.name, rule.entry);
    }
}

/// A property that a rule names must be one that somebody can break.
#[test]
fn every_property_that_a_rule_names_is_checked_somewhere() {
    let sources = Sources::read(&top()).unwrap_or_else(|error| panic!("{error:#}"));
    let checked: String = sources
        .paths()
        .filter(|path| path.starts_with("harness/src/") || path.starts_with("sim/src/"))
        .filter(|path| path.ends_with(".rs"))
        .map(|path| sources.text(path).expect("a source is text"))
        .collect();
    for rule in rules() {
        for property in &rule.breaks {
            assert!(
                checked.contains(&format!("\"{property}\"")),
                "{}.rule: no checker knows a property {property:?}",
                rule.name
            );
        }
    }
}

#[test]
fn every_known_bug_has_a_rule_or_an_argument() {
    let readme = std::fs::read_to_string(top().join("harness/bugs/README.md")).expect("the README");
    let verdicts = verdicts(&readme).unwrap_or_else(|error| panic!("harness/bugs/README.md: {error:#}"));
    let told: BTreeMap<&str, Verdict> = verdicts.iter().copied().collect();
    assert_eq!(told.len(), verdicts.len(), "an entry is there twice");
    let rules = rules();
    let planted: BTreeSet<&str> = rules.iter().map(|rule| rule.entry.as_str()).collect();
    for entry in ENTRIES {
        let verdict =
            told.get(entry).unwrap_or_else(|| panic!("harness/bugs/README.md does not name {entry}"));
        assert_eq!(
            planted.contains(entry),
            *verdict == Verdict::Planted,
            "{entry}: {verdict:?} in harness/bugs/README.md, but the rules say otherwise"
        );
    }
}

#[test]
fn there_are_ten_canaries() {
    assert_eq!(rules().iter().filter(|rule| rule.canary).count(), 10);
}
