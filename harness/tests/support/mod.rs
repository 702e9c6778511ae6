//! Calling the `harness` binary as a user would, in an environment that sets nothing by itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The command, without anything that would make it think that a CI system called it.
pub fn harness() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
    for (name, _) in std::env::vars() {
        let theirs = ["CI", "GITHUB_", "SLURM_", "JOB_", "HARNESS_", "CIRCLE_", "BUILDKITE_", "NO_COLOR"];
        if theirs.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs it to its end: the exit code, what it wrote to standard output, and to standard error.
#[allow(dead_code, reason = "not every test that has this module waits for the end")]
pub fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the binary was built with the tests");
    let text = |bytes| String::from_utf8(bytes).expect("it writes text");
    (status.code().expect("it was not killed"), text(stdout), text(stderr))
}

/// An empty folder of this test's own, below the build's.
#[allow(dead_code, reason = "not every test that has this module leaves files")]
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a writable build folder");
    folder
}

/// A JSON file.
#[allow(dead_code, reason = "not every test that has this module reads one")]
pub fn json(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
