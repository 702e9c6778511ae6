//! The fences between the parts, held by reading the sources. Each failure says what is wrong, where, and why it matters.

use std::path::{Path, PathBuf};

/// A source file: its path from the top, and its text.
struct Source {
    path: String,
    text: String,
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// All files below `folder` with one of these endings, but for what is built.
fn sources(folder: &str, endings: &[&str]) -> Vec<Source> {
    let (top, mut found, mut folders) = (top(), Vec::new(), vec![top().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && name != ".git" && name != "vivarium-data" {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let text = std::fs::read_to_string(&path).expect("a text file");
                let path = path.strip_prefix(&top).expect("below the top").to_string_lossy().into_owned();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The lines of code: comments do not count.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter_map(|(number, line)| {
        let code = line.split("//").next().unwrap_or_default();
        (!code.trim().is_empty()).then_some((number + 1, code))
    })
}

/// Complains of every line of code that names one of `words`.
fn forbid(sources: &[Source], words: &[&str], why: &str) {
    let mut found = Vec::new();
    for source in sources {
        for (number, line) in code(&source.text) {
            for word in words {
                if line.contains(word) {
                    found.push(format!("{}:{number}: {}", source.path, line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{why}:\n{}", found.join("\n"));
}

fn below(folder: &str) -> Vec<Source> {
    let sources = sources(folder, &[".rs"]);
    assert!(!sources.is_empty(), "{folder} has no sources: this test looks in the wrong place");
    sources
}

#[test]
fn the_core_and_the_simulator_touch_nothing_ambient() {
    let ambient = [
        "std::net",
        "std::fs",
        "std::thread",
        "std::env",
        "std::process",
        "std::time",
        "SystemTime",
        "thread_rng",
        "rand::rng",
        "from_os_rng",
        "RandomState",
        "HashMap::new",
        "HashSet::new",
        "tracing::",
        "println!",
        "eprintln!",
        "unsafe {",
    ];
    for folder in ["core/src", "sim/src"] {
        forbid(
            &below(folder),
            &ambient,
            "the same seed must give the same run on every machine, so time, chance and effects are arguments here",
        );
    }
}

#[test]
fn the_towers_do_not_know_each_other() {
    forbid(
        &below("core/src/replica"),
        &["crate::state", "crate::service", "crate::path", "crate::jute", "crate::node", "crate::snapshots"],
        "the order never looks inside an entry and never knows a client",
    );
    forbid(
        &below("core/src/state"),
        &["crate::replica", "crate::service", "crate::log", "crate::quorum", "crate::jute", "crate::node"],
        "what entries mean does not depend on how they were ordered",
    );
    forbid(
        &below("core/src/service"),
        &["crate::replica", "crate::log", "crate::quorum", "crate::jute", "crate::node"],
        "the front desk does not know who leads",
    );
}

#[test]
fn the_wire_format_is_the_drivers_business() {
    let core: Vec<Source> =
        below("core/src").into_iter().filter(|source| !source.path.starts_with("core/src/jute/")).collect();
    forbid(&core, &["crate::jute"], "the core sees decoded requests only");
}

#[test]
fn the_simulator_and_production_do_not_know_each_other() {
    forbid(&below("sim/src"), &["vivarium_net_real"], "the simulator is a driver of its own");
    forbid(&below("net-real/src"), &["vivarium_sim"], "production does not carry the simulator");
    forbid(&below("harness/src"), &["vivarium_net_real"], "the harness uses the server as a process");
}

#[test]
fn bytes_on_disk_and_on_the_wire_have_fixed_widths() {
    let mut written = below("core/src/record");
    written.extend(below("core/src/jute"));
    forbid(
        &written,
        &["usize::to_", "usize::from_le", "usize::from_be", "to_ne_bytes"],
        "a layout is written down in fixed widths",
    );
}

#[test]
fn every_file_says_what_it_is_and_has_one_subject() {
    const LINES_MAX: usize = 800;
    for folder in ["core", "sim", "net-real", "harness"] {
        for Source { path, text } in below(folder) {
            assert!(
                text.starts_with("//!") || path.ends_with("/mod.rs") && path.contains("/tests/"),
                "{path} does not open with `//!`: what it is, what it guarantees, what is not in it"
            );
            let lines = text.lines().count();
            assert!(lines <= LINES_MAX, "{path} has {lines} lines: its second half wants a name of its own");
        }
    }
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    let private: Vec<String> =
        ["/work", "/home", "/Users", "/root"].iter().map(|folder| format!("{folder}/")).collect();
    for Source { path, text } in sources("", &[".rs", ".md", ".toml", ".py", ".txt", ".sched", ".yml", ".sh"])
    {
        for place in &private {
            assert!(!text.contains(place.as_str()), "{path} names {place}, which is nobody else's");
        }
    }
}
