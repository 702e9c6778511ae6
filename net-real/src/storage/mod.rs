//! Storage: the log and the snapshots of one node in real files.
//!
//! What it guarantees:
//! * [`Report::Synced`] is said only when the bytes would survive a power cut.
//! * A failed write or sync is never retried, since the kernel may have dropped the very pages that failed: it is
//!   reported once as [`Report::Fatal`], and the process has to end.
//! * One process at a time uses a directory, and a directory belongs to one node of one cluster.
//! * A crash at any moment leaves what [`recover`](vivarium_core::recovery::recover) accepts.
//!
//! Layout: `DATA/vivarium/{identity,lock,snapshot-ZXID}` and `LOG/vivarium/{identity,lock,log-NUMBER}`, in one
//! directory when both are the same. The subfolder keeps us apart from ZooKeeper's `version-2` beside it. What is in
//! the files is [`record`](vivarium_core::record)'s business, what to make of it `recovery`'s.

mod identity;
mod lane;
mod log;
mod media;
mod snapshots;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use vivarium_core::ids::WriteSeq;
use vivarium_core::io::{Lane, Write};
use vivarium_core::record::{FileName, Identity};
use vivarium_core::recovery::{Damage, Found, Recovery, recover};

use lane::{LaneThread, Reporter, Writer};
use log::{LogWriter, SegmentList};
use media::{Directory, Media};
use snapshots::SnapshotWriter;

/// The folder inside the data and log directories that everything is in.
pub const SUBFOLDER: &str = "vivarium";

/// What may be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// A segment with at least so many bytes is followed by a new one. Files grow as they are written.
    pub segment_bytes: u64,
    /// `autopurge.snapRetainCount`: how many of the newest snapshots are kept, with the log from the oldest of them on.
    pub retain: usize,
    /// The operator says that this server votes although its directory is empty.
    pub vouched: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { segment_bytes: 64 << 20, retain: 3, vouched: false }
    }
}

/// What the threads of the lanes say.
#[derive(Debug)]
pub enum Report {
    /// A group is durable.
    Synced(Synced),
    /// The disk failed. Nothing is written from here on, and the process must end: the error says what to do.
    Fatal(StorageError),
}

/// A group of writes that is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Synced {
    /// The lane.
    pub lane: Lane,
    /// Every write of the lane up to here is durable.
    pub upto: WriteSeq,
    /// Writes in the group.
    pub writes: usize,
    /// Bytes of the group, about.
    pub bytes: usize,
    /// From taking it off the queue to being durable.
    pub took: Duration,
}

/// Why storage cannot be used, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}. {}", path.display(), advice(source))]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// Another process has it.
    #[error(
        "{} is in use by another process{}: stop it, or give each server a directory of its own", path.display(),
        pid.as_ref().map_or(String::new(), |pid| format!(" (pid {pid})"))
    )]
    Locked { path: PathBuf, pid: Option<String> },
    /// The directory is another's.
    #[error(
        "{} belongs to node {} of cluster {:016x}, but this is node {} of cluster {:016x}: check myid and the \
         configured directories, each server needs its own", path.display(), found.node, found.cluster,
        expected.node, expected.cluster
    )]
    Foreign { path: PathBuf, found: Identity, expected: Identity },
    /// Written by a newer release.
    #[error("{} has format version {found}, this release knows up to {known}: start the newer release", path.display())]
    Newer { path: PathBuf, found: u32, known: u32 },
    /// The identity file says nothing that can be understood.
    #[error(
        "{} cannot be understood: {what}. Restore it from a backup, or remove this node's data and log directories, \
         while a majority of the others is up and healthy, so that it copies the state anew", path.display()
    )]
    Identity { path: PathBuf, what: String },
    /// One directory knows of the node, the other does not.
    #[error(
        "{} was used by this node before, but {} was not: is it mounted, and was the log directory's setting changed \
         without moving the log there?", data.display(), log.display()
    )]
    LogMissing { data: PathBuf, log: PathBuf },
    /// A fault in this program.
    #[error("the thread of the {lane:?} lane ended early: its panic says why. Start this node again")]
    Panicked { lane: Lane },
    /// History is damaged.
    #[error("{}/{damage}", path.display())]
    Damaged { path: PathBuf, damage: Damage },
}

impl StorageError {
    fn io(action: &'static str, path: &Path, source: io::Error) -> StorageError {
        StorageError::Io { action, path: path.to_owned(), source }
    }
}

/// What to do about an error of the file system.
fn advice(error: &io::Error) -> Cow<'static, str> {
    let said = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "Free space there and start this node again; nothing that it acknowledged is lost"
        }
        io::ErrorKind::FileTooLarge => {
            let limit = getrlimit(Resource::Fsize).current;
            let limit = limit.map_or("its file system's limit".to_owned(), |bytes| {
                format!(
                    "the limit of {bytes} bytes that this process was started with (ulimit -f, LimitFSIZE)"
                )
            });
            return format!(
                "Files have reached {limit}: raise it, 256 MiB are plenty for the log, snapshots take what the data \
                 takes; then start this node again; nothing that it acknowledged is lost"
            )
            .into();
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "Check who owns it, and that it is mounted for writing, then start this node again"
        }
        _ => {
            "The disk may be failing: see the kernel's log, then start this node again; it finds out what survived"
        }
    };
    said.into()
}

/// The open storage of one node. Dropping it finishes what is queued and releases the directories.
pub struct Storage {
    log: LaneThread,
    snapshots: LaneThread,
    /// Dropped last: a process that waits for them finds everything written.
    _locks: Vec<File>,
}

impl Storage {
    /// Opens the directories of a node, recovers what is there, and starts a thread for each lane. `report` is called
    /// from those threads; it must not block.
    ///
    /// # Errors
    /// See [`StorageError`]; nothing has been changed then but that directories may have been created.
    pub fn open(
        data_dir: &Path,
        log_dir: &Path,
        identity: Identity,
        options: &Options,
        report: impl Fn(Report) + Send + Sync + 'static,
    ) -> Result<(Storage, Recovery), StorageError> {
        let data: Arc<dyn Media> = Arc::new(Directory::create(data_dir.join(SUBFOLDER))?);
        let log: Arc<dyn Media> = Arc::new(Directory::create(log_dir.join(SUBFOLDER))?);
        let same = same_directory(data.path(), log.path())?;
        let mut locks = vec![lock(data.path())?];
        if !same {
            locks.push(lock(log.path())?);
        }
        let (log_writer, snapshot_writer, recovery) = open_on(data, log, identity, options)?;
        let report: Reporter = Arc::new(report);
        let spawn = |name, writer| {
            LaneThread::spawn(name, writer, report.clone())
                .map_err(|error| StorageError::io("start a thread for", data_dir, error))
        };
        let storage = Storage {
            log: spawn("vivarium-log", Writer::Log(log_writer))?,
            snapshots: spawn("vivarium-snap", Writer::Snapshots(snapshot_writer))?,
            _locks: locks,
        };
        Ok((storage, recovery))
    }

    /// Queues a write of a lane; [`Report::Synced`] says when it is durable. Never waits for the disk.
    pub fn push(&self, lane: Lane, seq: WriteSeq, write: Write) {
        match lane {
            Lane::Log => self.log.push(seq, write),
            Lane::Snapshot => self.snapshots.push(seq, write),
        }
    }
}

fn same_directory(a: &Path, b: &Path) -> Result<bool, StorageError> {
    let canonical = |path: &Path| path.canonicalize().map_err(|error| StorageError::io("find", path, error));
    Ok(canonical(a)? == canonical(b)?)
}

/// Takes a directory for this process, for as long as the file is open. The kernel releases it however the process ends.
fn lock(directory: &Path) -> Result<File, StorageError> {
    let path = directory.join("lock");
    let failed = |error| StorageError::io("lock", &path, error);
    let file =
        File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            let said = io::read_to_string(&file).unwrap_or_default();
            let pid = Some(said.trim().to_owned()).filter(|pid| !pid.is_empty());
            return Err(StorageError::Locked { path: directory.to_owned(), pid });
        }
        Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
    }
    // Who it is, for the message of the next one. Not more than a help: a failure is no harm.
    let _ = file
        .set_len(0)
        .and_then(|()| io::Write::write_all(&mut &file, format!("{}\n", std::process::id()).as_bytes()));
    Ok(file)
}

/// Everything but locks and threads.
fn open_on(
    data: Arc<dyn Media>,
    log: Arc<dyn Media>,
    identity: Identity,
    options: &Options,
) -> Result<(LogWriter, SnapshotWriter, Recovery), StorageError> {
    let used = identity::check(&*data, identity)?;
    let log_used = identity::check(&*log, identity)?;
    if used && !log_used {
        return Err(StorageError::LogMissing { data: data.path().to_owned(), log: log.path().to_owned() });
    }
    let media = |file: FileName| match file {
        FileName::Segment(_) => &log,
        FileName::Snapshot(_) => &data,
    };
    // Each kind only from its own directory: that is where it will be read.
    let mut names = data.names()?;
    names.retain(|name| matches!(FileName::parse(name), Some(FileName::Snapshot(_))));
    names.extend(
        log.names()?.into_iter().filter(|name| matches!(FileName::parse(name), Some(FileName::Segment(_)))),
    );
    let found = Found { identity, formatted: log_used, vouched: options.vouched, names };
    let mut read = |file: FileName, limit: usize| {
        media(file).read(&file.to_string(), limit).map_err(|error| match error {
            StorageError::Io { source, .. } => source.to_string(),
            other => other.to_string(),
        })
    };
    let recovery = recover(&found, &mut read)
        .map_err(|damage| StorageError::Damaged { path: media(damage.file).path().to_owned(), damage })?;

    // What was read may have come from a cache; before anything rests on it, it must be on the disk.
    if let Some(&(number, _)) = recovery.segments.last() {
        let cut = recovery.torn.filter(|torn| torn.segment == number).map(|torn| torn.valid_bytes);
        log.settle(&FileName::Segment(number).to_string(), cut)?;
    }
    for media in [&data, &log] {
        for name in media.names()? {
            if name.ends_with(".tmp") {
                media.remove(&name)?;
            }
        }
        media.sync_names()?;
    }
    let segments: SegmentList = Arc::new(Mutex::new(recovery.segments.clone()));
    let log_writer = LogWriter::begin(
        log.clone(),
        identity,
        recovery.resume,
        recovery.next_segment,
        &recovery.prelude,
        segments.clone(),
        options,
    )?;
    // From here on the log must be there. The data directory's last: it is the one that asks for the log's.
    for media in [&log, &data] {
        identity::write(&**media, identity)?;
    }
    for file in &recovery.garbage {
        media(*file).remove(&file.to_string())?;
    }
    for media in [&data, &log] {
        media.sync_names()?;
    }
    let snapshot_writer =
        SnapshotWriter::new(identity, data, log, recovery.snapshots.clone(), segments, options);
    Ok((log_writer, snapshot_writer, recovery))
}
