//! Rules applied: a copy of the sources in which every bug waits to be switched on.
//!
//! All rules go into one copy, so that one build serves them all. Each `planted!()` becomes a look at a number that is
//! set once, when the process starts, from [`VARIABLE`]; without it the copy behaves as the original does. What that
//! module does is in `planted.rs`.
//! The originals are never written to.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::rule::{QUESTION, Rule};
use crate::end::USAGE;

/// The environment variable that says which rule is planted: its name, or its place in the order of names, from 1.
pub const VARIABLE: &str = "VIVARIUM_PLANTED";

/// What a build of the harness needs.
const FOLDERS: [&str; 5] = ["core", "sim", "net-real", "harness", "traces"];
const FILES: [&str; 2] = ["Cargo.toml", "Cargo.lock"];

/// The module of core that knows which bug is planted.
const MODULE: &str = include_str!("planted.rs");

const MAIN: &str = "harness/src/main.rs";
const MAIN_BEGINS: &str = "fn main() -> ExitCode {\n";

/// Files by their path from the top.
#[derive(Clone, Debug)]
pub struct Sources(BTreeMap<String, Vec<u8>>);

impl Sources {
    /// All that a build of the harness needs.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read(top: &Path) -> Result<Sources> {
        let mut sources = Sources(BTreeMap::new());
        for file in FILES {
            let bytes = fs::read(top.join(file)).with_context(|| file.to_owned())?;
            sources.0.insert(file.to_owned(), bytes);
        }
        for folder in FOLDERS {
            sources.read_folder(top, folder)?;
        }
        Ok(sources)
    }

    fn read_folder(&mut self, top: &Path, folder: &str) -> Result<()> {
        for entry in fs::read_dir(top.join(folder)).with_context(|| folder.to_owned())? {
            let entry = entry?;
            let name = entry.file_name().into_string().ok().context("a file's name is plain text")?;
            let path = format!("{folder}/{name}");
            if entry.file_type()?.is_dir() {
                if !matches!(name.as_str(), "target" | "kazoo" | "node_modules" | "vivarium-data") {
                    self.read_folder(top, &path)?;
                }
            } else {
                let bytes = fs::read(entry.path()).with_context(|| path.clone())?;
                self.0.insert(path, bytes);
            }
        }
        Ok(())
    }

    /// Applies all rules, in this order; the first is number 1.
    ///
    /// # Errors
    /// Names the rule that does not apply, the line of its edit, and how often its old text was found.
    pub fn plant(&mut self, rules: &[Rule]) -> Result<()> {
        for (number, rule) in (1u32..).zip(rules) {
            for edit in &rule.edits {
                let answer = format!("crate::planted::is({number})");
                self.replace(&edit.file, &edit.old, &edit.new.replace(QUESTION, &answer)).with_context(|| {
                    format!(
                        "harness/bugs/{}.rule, line {}: the edit of {} does not apply to the sources as they are \
                         (after the rules before it): look at what has changed there, and say the bug anew",
                        rule.name, edit.line, edit.file
                    )
                })?;
            }
        }
        let library = self.text("core/src/lib.rs")?.to_owned();
        self.0.insert("core/src/lib.rs".into(), format!("{library}\npub mod planted;\n").into());
        self.0.insert("core/src/planted.rs".into(), MODULE.into());
        let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
        let begins = format!(
            "{MAIN_BEGINS}    let planted = std::env::var_os(\"{VARIABLE}\").unwrap_or_default();\n    \
             if let Err(wrong) = vivarium_core::planted::set(&planted.to_string_lossy(), &{names:?}) {{\n        \
             eprintln!(\"harness: {VARIABLE}: {{wrong}}\");\n        \
             return ExitCode::from({USAGE});\n    \
             }}\n"
        );
        self.replace(MAIN, MAIN_BEGINS, &begins)
    }

    /// All paths.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The text of a file, as the rules have left it.
    ///
    /// # Errors
    /// When there is no such file, or it is no text.
    pub fn text(&self, file: &str) -> Result<&str> {
        let bytes = self.0.get(file).with_context(|| format!("there is no {file}"))?;
        std::str::from_utf8(bytes).with_context(|| format!("{file} is no text"))
    }

    fn replace(&mut self, file: &str, old: &str, new: &str) -> Result<()> {
        let text = self.text(file)?;
        let found = text.matches(old).count();
        ensure!(found == 1, "its old text has to be in {file} once, and is there {found} times:\n{old}");
        let changed = text.replacen(old, new, 1);
        self.0.insert(file.to_owned(), changed.into());
        Ok(())
    }

    /// Makes a folder hold exactly these files. What is there and the same stays untouched, so that a build after a
    /// small change is short.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        self.sweep(folder, folder)?;
        for (path, bytes) in &self.0 {
            let path = folder.join(path);
            if fs::read(&path).is_ok_and(|there| there == *bytes) {
                continue;
            }
            fs::create_dir_all(path.parent().expect("a file lies in a folder"))?;
            fs::write(&path, bytes).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// Removes files that do not belong.
    fn sweep(&self, top: &Path, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let known = path.strip_prefix(top).ok().and_then(Path::to_str).unwrap_or_default();
            if path.is_dir() {
                self.sweep(top, &path)?;
            } else if !self.0.contains_key(known) {
                fs::remove_file(&path).with_context(|| path.display().to_string())?;
            }
        }
        Ok(())
    }
}
