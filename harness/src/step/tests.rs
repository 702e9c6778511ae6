//! Walks as scripts: what they say.

use super::*;
use crate::recording::source::Source;

/// What a walk through the run of a seed says to these commands.
fn said(commands: &str) -> String {
    let source = Source::Seed(3, None);
    let recording = source.recording().expect("a seed can be run");
    let schedule = source::schedule(&source, &recording).expect("it has a schedule");
    let mut out = Vec::new();
    walk(recording, schedule, 1, commands.as_bytes(), &mut out, false).expect("a walk does not fail");
    String::from_utf8(out).expect("text")
}

#[test]
fn a_walk_goes_on_and_back() {
    let out = said("n\nn 5\np 2\ng 100\np\ng end\nn\n");
    let places: Vec<&str> =
        out.lines().skip(1).map(|line| line.split_whitespace().next().unwrap_or("")).collect();
    assert_eq!(places[..6], ["1", "2", "7", "5", "100", "99"]);
    assert!(out.ends_with("this is the last event\n"), "{out}");
}

#[test]
fn conditions_find_events_in_both_directions() {
    let out = said(
        "/ node=2 && kind=boot\n? kind=begin\n/kind=violation\nbreak kind=fault\nbreak\nc\ndelete 1\nc\n",
    );
    assert!(out.contains(" n2 boot"), "{out}");
    assert!(out.contains("no event after this one meets `kind=violation`"), "{out}");
    assert!(out.contains("1: kind=fault"), "{out}");
    assert!(out.ends_with("`break CONDITION` says where\n"), "{out}");
}

#[test]
fn states_trees_and_causes_are_told() {
    let out = said("g 4000\nstate\nstate 1\ndiff 1 2\nwhy\nshow\ng violation\n");
    assert!(out.contains("n3  "), "{out}");
    assert!(out.contains("version 0"), "{out}");
    assert!(out.contains("<- "), "{out}");
    assert!(out.contains("every property holds in this run"), "{out}");
}

#[test]
fn what_is_not_understood_is_told_and_the_walk_goes_on() {
    let out = said("jump\ng here\nstate 0\nstate 9\n/ speed=3\n/ kind=nothing\nn\n");
    for wanted in [
        "`help` tells",
        "a number is wanted",
        "counted from 1",
        "no such server",
        "there are node",
        "the kinds are",
    ] {
        assert!(out.contains(wanted), "{wanted}: {out}");
    }
    assert!(said("help\n").contains("the chain of causes"));
}
