//! The names of all properties, so that a report can also say which of them held.

/// All that a hunt can find broken, in order.
pub const PROPERTIES: &[&str] = &[
    "agreement",
    "bounded",
    "changes-as-told",
    "clients-reported",
    "codec",
    "committed-stays",
    "determinism",
    "durable-first",
    "durable-on-quorum",
    "exactly-once",
    "expiry-in-time",
    "few-copies",
    "few-elections",
    "few-messages",
    "few-reports",
    "fifo",
    "hand-over",
    "handshake",
    "integrity",
    "invariant",
    "leader-completeness",
    "linearizable",
    "monotonic",
    "no-early-expiry",
    "no-gaps",
    "no-halt",
    "no-livelock",
    "nothing-lost",
    "one-leader",
    "opening-commits-first",
    "pieces-kept",
    "prefix-agreement",
    "progress",
    "promise-fits",
    "promise-kept",
    "quorum-heard",
    "reads",
    "recovery",
    "recovery-state",
    "retire",
    "same-state",
    "session-ordered",
    "session-unique",
    "snapshot-ahead",
    "stay-named",
    "sync",
    "watch-before-data",
    "watch-once",
    "watch-order",
    "watch-renewal",
    "writes",
    "writes-fit",
    "writes-linearizable",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::PROPERTIES;

    /// The first text between quotes after each of these, where nothing but white space comes between.
    fn named(text: &str, found: &mut BTreeSet<String>) {
        for start in ["violation(", "property: "] {
            for (place, _) in text.match_indices(start) {
                let rest = text[place + start.len()..].trim_start();
                let name = rest.strip_prefix('"').and_then(|rest| rest.split('"').next());
                found.extend(name.map(str::to_owned));
            }
        }
    }

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("tests.rs")
                && !path.components().any(|part| part.as_os_str() == "tests")
            {
                found.push(path);
            }
        }
    }

    #[test]
    fn what_is_checked_is_listed_and_nothing_else() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = vec![top.join("src/run.rs")];
        sources(&top.join("src/check"), &mut files);
        sources(&top.join("../sim/src"), &mut files);
        let mut found = BTreeSet::from([super::super::findings::DETERMINISM.to_owned()]);
        for path in files {
            let text = std::fs::read_to_string(&path).expect("a text file");
            // Tests come last in a file.
            named(text.split("#[cfg(test)]").next().unwrap_or_default(), &mut found);
        }
        let listed: BTreeSet<String> = PROPERTIES.iter().map(ToString::to_string).collect();
        assert_eq!(
            listed, found,
            "left: PROPERTIES in harness/src/hunt/properties.rs; right: what the sources name"
        );
        assert!(PROPERTIES.is_sorted() && listed.len() == PROPERTIES.len());
    }
}
