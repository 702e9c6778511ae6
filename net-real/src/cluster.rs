//! Which cluster a data directory belongs to: a number in a file beside the data.
//!
//! Servers compare it when they connect, so that one which holds another ensemble's data (a copied directory, an address
//! that was given away) is kept out instead of mixing two histories. It is not derived from the configuration: hosts and
//! ports change in a cluster's life, and a server whose disk was replaced must be able to come back. Instead:
//!
//! 1. a server that has no number goes together with any server that its configuration names;
//! 2. it takes over the number of the first peer that has one;
//! 3. when nobody has one, the first leader makes one up, and writes it down once a peer has it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file.
#[derive(Clone, Debug)]
pub struct ClusterFile {
    directory: PathBuf,
}

const NAME: &str = "cluster";

impl ClusterFile {
    /// The one in this directory, which exists.
    pub fn of(directory: &Path) -> ClusterFile {
        ClusterFile { directory: directory.to_owned() }
    }

    /// The number; 0 when there is none yet.
    ///
    /// # Errors
    /// What is wrong with the file, with its name and what to do.
    pub fn read(&self) -> Result<u64, String> {
        let path = self.directory.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        u64::from_str_radix(text.trim(), 16).ok().filter(|number| *number != 0).ok_or_else(|| {
            format!(
                "{} does not hold 16 hexadecimal digits; copy the file from another server of the cluster, or remove it",
                path.display()
            )
        })
    }

    /// Writes it down; when this returns it would survive a power cut.
    ///
    /// # Errors
    /// What the system said.
    pub fn write(&self, cluster: u64) -> io::Result<()> {
        let draft = self.directory.join(format!("{NAME}.tmp"));
        let mut file = File::create(&draft)?;
        writeln!(file, "{cluster:016x}")?;
        file.sync_all()?;
        fs::rename(&draft, self.directory.join(NAME))?;
        File::open(&self.directory)?.sync_all()
    }
}
