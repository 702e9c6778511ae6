//! A disk in memory that forgets what was not synced, and fails when it is told to.
//!
//! After a power cut, a file has what was durable and of the writes since then any, whole, torn or not at all; a
//! directory has what was durable and of the changes of names since then any number of the first.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::StorageError;
use super::super::media::{Media, MediaFile};

const PIECE_BYTES: usize = 40;

/// How it fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Everything fails from here on.
    PowerCut,
    /// Writing fails from here on, after some of the bytes.
    Full,
}

#[derive(Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    /// Since the last sync.
    writes: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Cut(u64),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write(offset, written) => {
                let end = *offset as usize + written.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*offset as usize..end].copy_from_slice(written);
            }
            Change::Cut(length) => bytes.truncate(*length as usize),
        }
    }
}

impl Inode {
    fn current(&self) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        self.writes.iter().for_each(|change| change.apply(&mut bytes));
        bytes
    }

    fn sync(&mut self) {
        self.durable = self.current();
        self.writes.clear();
    }
}

#[derive(Clone)]
enum NameChange {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

#[derive(Clone, Default)]
struct Names {
    durable: BTreeMap<String, usize>,
    changes: Vec<NameChange>,
}

impl Names {
    fn after(&self, changes: usize) -> BTreeMap<String, usize> {
        let mut names = self.durable.clone();
        for change in &self.changes[..changes] {
            match change {
                NameChange::Create(name, inode) => {
                    names.insert(name.clone(), *inode);
                }
                NameChange::Rename(from, to) => {
                    let inode = names.remove(from).expect("it was there");
                    names.insert(to.clone(), inode);
                }
                NameChange::Remove(name) => {
                    names.remove(name).expect("it was there");
                }
            }
        }
        names
    }

    fn current(&self) -> BTreeMap<String, usize> {
        self.after(self.changes.len())
    }
}

#[derive(Clone, Default)]
struct World {
    inodes: Vec<Inode>,
    directories: BTreeMap<&'static str, Names>,
    operations: usize,
    fails: Option<(usize, Fault)>,
}

impl World {
    /// Counts an operation that changes something; whether it goes wrong.
    fn operation(&mut self) -> Option<Fault> {
        let at = self.operations;
        self.operations += 1;
        self.fails.filter(|(from, _)| at >= *from).map(|(_, fault)| fault)
    }

    fn directory(&mut self, name: &'static str) -> &mut Names {
        self.directories.entry(name).or_default()
    }
}

/// The disk; clones share it.
#[derive(Clone)]
pub struct Disk(Arc<Mutex<World>>);

impl Disk {
    pub fn new() -> Disk {
        Disk(Arc::default())
    }

    /// Fails at an operation and after it.
    pub fn failing(at: usize, fault: Fault) -> Disk {
        Disk(Arc::new(Mutex::new(World { fails: Some((at, fault)), ..World::default() })))
    }

    /// Another disk with the same bytes, which fails.
    pub fn clone_failing(&self, at: usize, fault: Fault) -> Disk {
        let world = World { operations: 0, fails: Some((at, fault)), ..self.world().clone() };
        Disk(Arc::new(Mutex::new(world)))
    }

    /// Fails from here on.
    pub fn fail_from_now_on(&self, fault: Fault) {
        let mut world = self.world();
        world.fails = Some((world.operations, fault));
    }

    /// How many operations there were.
    pub fn operations(&self) -> usize {
        self.world().operations
    }

    pub fn media(&self, directory: &'static str) -> Arc<dyn Media> {
        Arc::new(FakeMedia { disk: self.clone(), name: directory, path: Path::new("/fake").join(directory) })
    }

    /// What a power cut leaves.
    pub fn after_power_cut(&self, seed: u64) -> Disk {
        let world = self.world();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
        let mut draw = |below: usize| {
            // Any generator will do (xorshift); the number of cases is what counts.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as usize % below
        };
        let mut left = World::default();
        for inode in &world.inodes {
            let mut bytes = inode.durable.clone();
            for change in &inode.writes {
                match (draw(3), change) {
                    (0, _) => {}
                    (1, Change::Write(offset, written)) => {
                        // Some pieces of it, finer than any disk's sectors.
                        for (index, piece) in written.chunks(PIECE_BYTES).enumerate() {
                            if draw(2) == 0 {
                                let at = offset + (PIECE_BYTES * index) as u64;
                                Change::Write(at, piece.to_vec()).apply(&mut bytes);
                            }
                        }
                    }
                    _ => change.apply(&mut bytes),
                }
            }
            left.inodes.push(Inode { durable: bytes, writes: Vec::new() });
        }
        for (name, names) in &world.directories {
            let durable = names.after(draw(names.changes.len() + 1));
            left.directories.insert(name, Names { durable, changes: Vec::new() });
        }
        Disk(Arc::new(Mutex::new(left)))
    }

    /// What the end of the process leaves: all of it.
    pub fn after_exit(&self) -> Disk {
        let world = World { fails: None, operations: 0, ..self.world().clone() };
        Disk(Arc::new(Mutex::new(world)))
    }

    /// Flips a bit.
    pub fn corrupt(&self, directory: &'static str, name: &str, at: usize) {
        let mut world = self.world();
        let inode = world.directory(directory).current()[name];
        world.inodes[inode].sync();
        world.inodes[inode].durable[at] ^= 1;
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("nobody panics with it held")
    }
}

struct FakeMedia {
    disk: Disk,
    name: &'static str,
    path: PathBuf,
}

fn failure(action: &'static str, path: &Path, fault: Fault) -> StorageError {
    let kind = match fault {
        Fault::PowerCut => io::ErrorKind::Other,
        Fault::Full => io::ErrorKind::StorageFull,
    };
    StorageError::io(action, path, kind.into())
}

impl FakeMedia {
    fn change(&self, action: &'static str, name: &str, change: NameChange) -> Result<(), StorageError> {
        let mut world = self.disk.world();
        let removes = matches!(change, NameChange::Remove(_));
        match world.operation() {
            // A full disk can still delete.
            Some(Fault::Full) if removes => {}
            Some(fault) => return Err(failure(action, &self.path.join(name), fault)),
            None => {}
        }
        world.directory(self.name).changes.push(change);
        Ok(())
    }

    fn inode(&self, name: &str) -> Result<usize, StorageError> {
        let missing = || StorageError::io("find", &self.path.join(name), io::ErrorKind::NotFound.into());
        self.disk.world().directory(self.name).current().get(name).copied().ok_or_else(missing)
    }
}

impl Media for FakeMedia {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> Result<Vec<String>, StorageError> {
        Ok(self.disk.world().directory(self.name).current().into_keys().collect())
    }

    fn read(&self, name: &str, limit: usize) -> Result<Vec<u8>, StorageError> {
        let inode = self.inode(name)?;
        let mut bytes = self.disk.world().inodes[inode].current();
        bytes.truncate(limit);
        Ok(bytes)
    }

    fn create(&self, name: &str, final_name: &str) -> Result<Box<dyn MediaFile>, StorageError> {
        let inode = {
            let mut world = self.disk.world();
            world.inodes.push(Inode::default());
            world.inodes.len() - 1
        };
        self.change("create", final_name, NameChange::Create(name.to_owned(), inode))?;
        Ok(Box::new(FakeFile { disk: self.disk.clone(), inode, path: self.path.join(final_name) }))
    }

    fn settle(&self, name: &str, length: Option<u64>) -> Result<(), StorageError> {
        let inode = self.inode(name)?;
        let mut world = self.disk.world();
        // Two operations: the power may be cut in between.
        if let Some(length) = length {
            match world.operation() {
                Some(Fault::PowerCut) => return Err(failure("cut", &self.path.join(name), Fault::PowerCut)),
                _ => world.inodes[inode].writes.push(Change::Cut(length)),
            }
        }
        match world.operation() {
            Some(Fault::PowerCut) => return Err(failure("sync", &self.path.join(name), Fault::PowerCut)),
            _ => world.inodes[inode].sync(),
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.inode(from)?;
        self.change("rename a file to", to, NameChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        self.inode(name)?;
        self.change("remove", name, NameChange::Remove(name.to_owned()))
    }

    fn sync_names(&self) -> Result<(), StorageError> {
        let mut world = self.disk.world();
        if world.operation() == Some(Fault::PowerCut) {
            return Err(failure("sync", &self.path, Fault::PowerCut));
        }
        let names = world.directory(self.name);
        *names = Names { durable: names.current(), changes: Vec::new() };
        Ok(())
    }
}

struct FakeFile {
    disk: Disk,
    inode: usize,
    path: PathBuf,
}

impl MediaFile for FakeFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let mut world = self.disk.world();
        let fault = world.operation();
        let kept = if fault == Some(Fault::Full) { bytes.len() / 2 } else { bytes.len() };
        if fault != Some(Fault::PowerCut) || world.operations.is_multiple_of(2) {
            // A write that the power cut may have begun.
            world.inodes[self.inode].writes.push(Change::Write(offset, bytes[..kept].to_vec()));
        }
        fault.map_or(Ok(()), |fault| Err(failure("write", &self.path, fault)))
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        let mut world = self.disk.world();
        match world.operation() {
            Some(fault) => Err(failure("sync", &self.path, fault)),
            None => {
                world.inodes[self.inode].sync();
                Ok(())
            }
        }
    }
}
