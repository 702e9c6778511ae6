//! How the planted copy is told which bug it is to have.

use super::planted::{is, set};

const NAMES: &[&str] = &["GEN-18a", "GEN-18b", "ZK-1154"];

// One test, since the number is the process's.
#[test]
fn a_bug_is_planted_by_its_name_or_its_number() {
    for (wanted, number) in
        [("ZK-1154", 3), ("", 0), ("gen-18b", 2), ("0", 0), ("1", 1), (" ZK-1154\n", 3), ("3", 3)]
    {
        set(wanted, NAMES).unwrap_or_else(|wrong| panic!("{wanted:?}: {wrong}"));
        assert!((0..5).all(|other| is(other) == (other == number)), "{wanted:?}");
    }
    for (wanted, said) in [
        ("4", "there is no rule 4: they have the numbers 1 to 3, and 0 is for none"),
        ("GEN-18", "no rule is named \"GEN-18\"; there is GEN-18a, GEN-18b"),
        ("ZK-9", "no rule is named \"ZK-9\"; `harness bugs --list` says which there are"),
        ("-115", "no rule is named \"-115\"; there is ZK-1154"),
    ] {
        assert_eq!(set(wanted, NAMES), Err(said.to_owned()));
        assert!(is(3), "what was planted before stays");
    }
}
