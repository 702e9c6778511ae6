//! What this binary is made of, as far as it is known: it goes with results, so that they can be made again.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// The compiler.
pub fn toolchain() -> &'static str {
    env!("HARNESS_RUSTC")
}

/// `debug` or `release`.
pub fn profile() -> &'static str {
    env!("HARNESS_PROFILE")
}

/// The commit: what HARNESS_COMMIT was when it was built, else that of the checkout it was built in, as it is now, with
/// `-dirty` when that has been changed since.
pub fn commit() -> Option<&'static str> {
    static COMMIT: OnceLock<Option<String>> = OnceLock::new();
    let commit = COMMIT.get_or_init(|| match option_env!("HARNESS_COMMIT") {
        Some(commit) if !commit.is_empty() => Some(commit.to_owned()),
        _ => checkout(Path::new(env!("CARGO_MANIFEST_DIR"))),
    });
    commit.as_deref()
}

fn checkout(folder: &Path) -> Option<String> {
    let described = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"])
        .output()
        .ok()?;
    let text = String::from_utf8(described.stdout).ok()?.trim().to_owned();
    (described.status.success() && !text.is_empty()).then_some(text)
}

/// How to call this program again: through cargo's alias when that is how it was called.
pub fn program() -> String {
    if std::env::var_os("CARGO").is_some() {
        return "cargo harness".into();
    }
    std::env::args().next().unwrap_or_else(|| "harness".into())
}
