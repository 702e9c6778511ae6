//! The few things that storage asks of a directory. A trait, so that tests can cut the power between any two of
//! them or fill the disk; [`Directory`] is the real one.
//!
//! Nothing here retries, and nothing is durable until it is synced: bytes with [`MediaFile::sync`], names with
//! [`Media::sync_names`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::StorageError;

/// A directory.
pub(super) trait Media: Send + Sync {
    /// Where it is, for messages.
    fn path(&self) -> &Path;
    /// Names of the files in it.
    fn names(&self) -> Result<Vec<String>, StorageError>;
    /// The first bytes of a file, at most `limit`.
    fn read(&self, name: &str, limit: usize) -> Result<Vec<u8>, StorageError>;
    /// A new file, or an emptied old one; messages call it by its `final_name`.
    fn create(&self, name: &str, final_name: &str) -> Result<Box<dyn MediaFile>, StorageError>;
    /// Cuts a file to `length` if that is given, and makes all that is left of it durable.
    fn settle(&self, name: &str, length: Option<u64>) -> Result<(), StorageError>;
    /// Renames a file, replacing another.
    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError>;
    /// Removes a file.
    fn remove(&self, name: &str) -> Result<(), StorageError>;
    /// Makes creations, renames and removals durable.
    fn sync_names(&self) -> Result<(), StorageError>;
}

/// A file that is written.
pub(super) trait MediaFile: Send {
    /// Writes all of `bytes`.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError>;
    /// Makes all written bytes durable.
    fn sync(&mut self) -> Result<(), StorageError>;
}

/// A directory of the file system.
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Opens it, after creating it and what leads to it.
    pub fn create(path: PathBuf) -> Result<Directory, StorageError> {
        let missing: Vec<&Path> = path.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
        fs::create_dir_all(&path).map_err(|error| StorageError::io("create", &path, error))?;
        // A directory is an entry of its parent: without this, a power cut takes it away with all in it.
        for created in missing {
            let parent = match created.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            sync_directory(parent)?;
        }
        Ok(Directory { path })
    }
}

fn sync_directory(path: &Path) -> Result<(), StorageError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| StorageError::io("sync", path, error))
}

impl Media for Directory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> Result<Vec<String>, StorageError> {
        let list = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(&self.path)? {
                // Names that are not UTF-8 are not ours.
                names.extend(entry?.file_name().into_string());
            }
            names.sort_unstable();
            Ok(names)
        };
        list().map_err(|error| StorageError::io("list", &self.path, error))
    }

    fn read(&self, name: &str, limit: usize) -> Result<Vec<u8>, StorageError> {
        let path = self.path.join(name);
        let read = || -> io::Result<Vec<u8>> {
            let file = File::open(&path)?;
            let length = file.metadata()?.len().min(limit as u64);
            let mut bytes = Vec::with_capacity(length as usize);
            file.take(limit as u64).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|error| StorageError::io("read", &path, error))
    }

    fn create(&self, name: &str, final_name: &str) -> Result<Box<dyn MediaFile>, StorageError> {
        let path = self.path.join(final_name);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.path.join(name))
            .map_err(|error| StorageError::io("create", &path, error))?;
        Ok(Box::new(RealFile { file, path }))
    }

    fn settle(&self, name: &str, length: Option<u64>) -> Result<(), StorageError> {
        let path = self.path.join(name);
        let settle = || -> io::Result<()> {
            let file = OpenOptions::new().write(true).open(&path)?;
            if let Some(length) = length {
                file.set_len(length)?;
            }
            file.sync_all()
        };
        settle().map_err(|error| StorageError::io("cut or sync", &path, error))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        let path = self.path.join(to);
        fs::rename(self.path.join(from), &path)
            .map_err(|error| StorageError::io("rename a file to", &path, error))
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        let path = self.path.join(name);
        fs::remove_file(&path).map_err(|error| StorageError::io("remove", &path, error))
    }

    fn sync_names(&self) -> Result<(), StorageError> {
        sync_directory(&self.path)
    }
}

struct RealFile {
    file: File,
    /// For messages.
    path: PathBuf,
}

impl MediaFile for RealFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        self.file.write_all_at(bytes, offset).map_err(|error| StorageError::io("write", &self.path, error))
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.file.sync_data().map_err(|error| StorageError::io("sync", &self.path, error))
    }
}
