//! `harness view`: a recording as one HTML page, a space-time diagram to read a run by.
//!
//! ```text
//!   data     what the page is given: the recordings in columns, as JSON
//!   page     the page: its parts, put into one file, with the data compressed
//!   page/    those parts: plain HTML, CSS and JavaScript
//! ```
//!
//! The page asks no network for anything, so that it opens from a mail or a CI job's files. It draws on a canvas only
//! what is on the screen, and so takes runs of any length that the browser's memory holds.

mod data;
mod page;

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::end::{End, Usage};
use crate::hunt::options::SabotageName;
use crate::recording::source::Source;

/// Make a page to look at a run, or at two side by side
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A schedule (*.sched) or a recording (*.trace); with a second one, both side by side.
    #[arg(value_name = "FILE", num_args = 0..=2)]
    files: Vec<PathBuf>,
    /// A seed instead of a file; may be given twice.
    #[arg(long, value_name = "SEED")]
    seed: Vec<u64>,
    /// With `--seed`: what the simulated world itself does wrong, in the run of each seed.
    #[arg(long, value_enum, value_name = "KIND", requires = "seed")]
    sabotage: Option<SabotageName>,
    /// The page to write.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

/// The verb `view`.
///
/// # Errors
/// When there are not one or two runs to show, one of them cannot be read, or the page cannot be written.
pub fn run(args: &Args) -> Result<End> {
    let files = args.files.iter().map(|path| Source::File(path.clone()));
    let seeds = args.seed.iter().map(|seed| Source::Seed(*seed, args.sabotage));
    let sources: Vec<Source> = files.chain(seeds).collect();
    if !(1..=2).contains(&sources.len()) {
        let what = format!("{} runs to show: one or two wanted, as FILE or as --seed SEED", sources.len());
        return Err(Usage(what).into());
    }
    let recordings = sources.iter().map(Source::recording).collect::<Result<Vec<_>>>()?;
    let page = page::page(&recordings)?;
    std::fs::write(&args.out, &page).with_context(|| format!("cannot write {}", args.out.display()))?;
    let events: usize = recordings.iter().map(|recording| recording.events.len()).sum();
    println!("{}: {events} events, {} bytes; open it in a browser", args.out.display(), page.len());
    for broken in recordings.iter().filter_map(|recording| recording.header.violation.as_ref()) {
        println!("\"{}\" is broken at event {}: {}", broken.property, broken.event, broken.seen);
    }
    Ok(End::Clean)
}
