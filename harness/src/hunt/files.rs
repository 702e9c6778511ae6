//! The folder of results. A file is either as it was or as it is to be, whenever the process or the machine dies:
//! whoever waits for `run.json` never reads half of it. Failures are written down as they are found.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::examples::Examples;
use super::findings::{Failure, Findings};
use super::junit;
use super::record::Record;
use crate::marks::Coverage;

/// Where a hunt's results go.
#[derive(Debug)]
pub struct Files {
    /// The run's own folder.
    pub folder: PathBuf,
    failures: File,
    examples: Examples,
}

impl Files {
    /// Makes a folder for the run in `out`, and the link `latest` to it. The run's name may change for that.
    ///
    /// # Errors
    /// When it cannot be written: better now than after an hour.
    pub fn create(out: &Path, record: &mut Record) -> Result<Files> {
        fs::create_dir_all(out).with_context(|| cannot("make the folder", out))?;
        let base = record.run.clone();
        let mut number = 1;
        let folder = loop {
            let folder = out.join(&record.run);
            match fs::create_dir(&folder) {
                Ok(()) => break folder,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    number += 1;
                    record.run = format!("{base}-{number}");
                }
                Err(error) => return Err(error).with_context(|| cannot("make the folder", &folder)),
            }
        };
        let path = folder.join("failures.jsonl");
        let failures = OpenOptions::new().create(true).append(true).open(&path);
        let failures = failures.with_context(|| cannot("write", &path))?;
        let mut files = Files { folder, failures, examples: Examples::default() };
        files.save(record, &Findings::default(), None)?;
        link_latest(out, &record.run).with_context(|| cannot("make the link", &out.join("latest")))?;
        Ok(files)
    }

    /// Writes down one failure.
    ///
    /// # Errors
    /// When that is not possible.
    pub fn failure(&mut self, failure: &Failure) -> Result<()> {
        let mut line = serde_json::to_vec(failure)?;
        line.push(b'\n');
        self.failures.write_all(&line).with_context(|| cannot("write", &self.folder.join("failures.jsonl")))
    }

    /// Writes everything else as it is now.
    ///
    /// # Errors
    /// When that is not possible.
    pub fn save(&mut self, record: &Record, findings: &Findings, coverage: Option<&Coverage>) -> Result<()> {
        if let Some(coverage) = coverage {
            let text = serde_json::to_string_pretty(coverage)? + "\n";
            write(&self.folder.join("coverage.json"), &text)?;
        }
        self.examples.save(&self.folder, findings, record.options.sabotage)?;
        let ranked = serde_json::to_string_pretty(&findings.ranked())? + "\n";
        write(&self.folder.join("findings.json"), &ranked)?;
        write(&self.folder.join("junit.xml"), &junit::xml(record, findings))?;
        // Last: who finds an end in it finds the rest complete.
        write(&self.folder.join("run.json"), &(serde_json::to_string_pretty(record)? + "\n"))
    }
}

fn cannot(what: &str, path: &Path) -> String {
    format!("cannot {what} {}", path.display())
}

/// Writes a file whole or not at all. What is no regular file, such as a pipe, is written to as it is.
///
/// # Errors
/// Which file, and why not.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let special = fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir());
    let written = if special { fs::write(path, text) } else { replace(path, text) };
    written.with_context(|| cannot("write", path))
}

fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let result = File::create(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // Whatever is left of it is of no use to anybody.
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn link_latest(out: &Path, run: &str) -> std::io::Result<()> {
    let temporary = out.join(format!(".latest.{}", std::process::id()));
    let _ = fs::remove_file(&temporary);
    std::os::unix::fs::symlink(run, &temporary)?;
    fs::rename(&temporary, out.join("latest"))
}
