//! The identity file: whose directory this is, in words that an operator can read.
//!
//! It is written once, after the first segment of the log is durable, so its presence says that there must be a log.

use vivarium_core::ids::PeerId;
use vivarium_core::record::{FORMAT_VERSION, Identity};

use super::StorageError;
use super::media::Media;

const NAME: &str = "identity";
const DRAFT: &str = "identity.tmp";
const TITLE: &str = "vivarium";

/// Whether the directory was used before; an error when it was, but by another or a newer one.
pub(super) fn check(media: &dyn Media, expected: Identity) -> Result<bool, StorageError> {
    if !media.names()?.iter().any(|name| name == NAME) {
        return Ok(false);
    }
    let path = media.path().join(NAME);
    let bytes = media.read(NAME, 4096)?;
    let (version, found) =
        parse(&bytes).map_err(|what| StorageError::Identity { path: path.clone(), what: what.to_owned() })?;
    if version > FORMAT_VERSION {
        return Err(StorageError::Newer { path, found: version, known: FORMAT_VERSION });
    }
    match found {
        None => Err(StorageError::Identity { path, what: "it names no cluster or no node".to_owned() }),
        Some(found) if found != expected => {
            Err(StorageError::Foreign { path: media.path().to_owned(), found, expected })
        }
        Some(_) => Ok(true),
    }
}

/// Writes it, if it is not there.
pub(super) fn write(media: &dyn Media, identity: Identity) -> Result<(), StorageError> {
    if media.names()?.iter().any(|name| name == NAME) {
        return Ok(());
    }
    let text = format!(
        "{TITLE}\nformat {FORMAT_VERSION}\ncluster {:016x}\nnode {}\n",
        identity.cluster, identity.node
    );
    let mut file = media.create(DRAFT, NAME)?;
    file.write_at(0, text.as_bytes())?;
    file.sync()?;
    media.rename(DRAFT, NAME)?;
    media.sync_names()
}

/// Format version, and the owner if this version says so in words known here.
fn parse(bytes: &[u8]) -> Result<(u32, Option<Identity>), &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let mut lines = text.lines();
    if lines.next() != Some(TITLE) {
        return Err("it does not begin with \"vivarium\"");
    }
    let mut version = None;
    let mut cluster = None;
    let mut node = None;
    for (key, value) in lines.filter_map(|line| line.split_once(' ')) {
        match key {
            "format" => version = value.parse().ok(),
            "cluster" => cluster = u64::from_str_radix(value, 16).ok(),
            "node" => node = value.parse().ok().map(PeerId),
            _ => {}
        }
    }
    let identity = cluster.zip(node).map(|(cluster, node)| Identity { cluster, node });
    Ok((version.ok_or("it names no format version")?, identity))
}
