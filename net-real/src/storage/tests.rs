//! Storage against power cuts, full disks and wrong directories.
//!
//! [`fake`] is a disk that loses what was not synced: the power is cut, or the disk fills up, at each of its
//! operations in turn. What threads, locks and the file system add is tried on real directories.

mod fake;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use vivarium_core::entry::{Body, Entry, SharedEntry};
use vivarium_core::ids::{Epoch, Origin, PeerId, Zxid};
use vivarium_core::recovery::Recovered;
use vivarium_core::time::Timestamp;

use self::fake::{Disk, Fault};
use super::*;

const IDENTITY: Identity = Identity { cluster: 0xabc, node: PeerId(2) };
/// Segments roll after a few groups.
const SMALL: Options = Options { segment_bytes: 5_000, retain: 2, vouched: false };

fn entry(counter: u32) -> SharedEntry {
    Arc::new(Entry {
        zxid: Zxid::new(Epoch(1), counter),
        time: Timestamp(1),
        origin: Origin { peer: PeerId(1), stream: 9, number: counter.into() },
        body: Body::Opening,
    })
}

fn append(counter: u32) -> Write {
    Write::Append(entry(counter))
}

fn chunk(counter: u32, index: u32, last: bool) -> Write {
    let zxid = Zxid::new(Epoch(1), counter);
    Write::Chunk { zxid, index, bytes: [index as u8; 300].as_slice().into(), last }
}

/// What a node may rely on: what was durable when it was told so.
#[derive(Clone, Copy, Default, Debug)]
struct Relied {
    last: u32,
    promised: u32,
    snapshot: u32,
}

/// Writes, rolls, promises, snapshots and purges, until all is done or the disk fails.
fn story(disk: &Disk, relied: &mut Relied) -> Result<(), StorageError> {
    let (mut log, mut snapshots, _) = open_on(disk.media("data"), disk.media("log"), IDENTITY, &SMALL)?;
    let mut next = relied.last;
    for round in 1..=8u32 {
        let group: Vec<Write> = (next + 1..=next + 4).map(append).collect();
        log.commit(group.iter())?;
        next += 4;
        relied.last = next;
        if round % 2 == 0 {
            log.mark()?;
        }
        if round % 3 == 0 {
            log.commit([Write::Promise { epoch: Epoch(1 + round), candidate: PeerId(1) }].iter())?;
            relied.promised = 1 + round;
        }
        if round % 2 == 1 {
            snapshots.chunk(Zxid::new(Epoch(1), next), 0, &[1; 700], false)?;
            snapshots.flush()?;
            snapshots.chunk(Zxid::new(Epoch(1), next), 1, &[2; 700], true)?;
            relied.snapshot = next;
            snapshots.purge();
        }
    }
    Ok(())
}

fn check(recovered: &Recovered, relied: Relied) {
    let base = recovered.snapshot.as_ref().map_or(0, |(zxid, _)| zxid.counter());
    assert!(base >= relied.snapshot, "snapshot {base}, but {relied:?}");
    let counters: Vec<u32> = recovered.entries.iter().map(|entry| entry.zxid.counter()).collect();
    let last = counters.last().copied().unwrap_or(base);
    assert!(last >= relied.last, "the log ends at {last}, but {relied:?}");
    assert_eq!(counters, (base + 1..=last).collect::<Vec<_>>(), "no hole and nothing twice");
    assert!(
        recovered.promised >= Epoch(relied.promised),
        "promised {:?}, but {relied:?}",
        recovered.promised
    );
    if let Some((_, chunks)) = &recovered.snapshot {
        assert_eq!(chunks.iter().map(|chunk| chunk.len()).collect::<Vec<_>>(), [700, 700]);
    }
}

#[test]
fn power_cuts_at_every_operation_and_again_while_recovering() {
    let disk = Disk::new();
    story(&disk, &mut Relied::default()).expect("nothing fails");
    let operations = disk.operations();
    assert!(operations > 60, "{operations}");
    let mut torn = 0;
    for at in 0..operations {
        for seed in 0..6 {
            let disk = Disk::failing(at, Fault::PowerCut);
            let mut relied = Relied::default();
            story(&disk, &mut relied).expect_err("the power is cut");
            let mut disk = disk.after_power_cut(seed);
            let at_once = disk.after_exit();
            let (_, _, recovery) = open_on(at_once.media("data"), at_once.media("log"), IDENTITY, &SMALL)
                .unwrap_or_else(|error| panic!("operation {at}, seed {seed}: {error}"));
            check(&recovery.recovered, relied);
            torn += u32::from(recovery.torn.is_some());
            // Up to three more power cuts while it recovers.
            for again in 0..3 {
                let failing = disk.clone_failing((seed as usize * 7 + again * 3 + at) % 23, Fault::PowerCut);
                let _ = open_on(failing.media("data"), failing.media("log"), IDENTITY, &SMALL);
                disk = failing.after_power_cut(seed + again as u64);
            }
            let (_, _, recovery) = open_on(disk.media("data"), disk.media("log"), IDENTITY, &SMALL)
                .unwrap_or_else(|error| panic!("operation {at}, seed {seed}: {error}"));
            check(&recovery.recovered, relied);
            // And life goes on.
            let (base, last) = (recovery.recovered.snapshot.as_ref(), recovery.recovered.entries.last());
            relied.last =
                last.map(|entry| entry.zxid).or(base.map(|(zxid, _)| *zxid)).unwrap_or_default().counter();
            story(&disk, &mut relied).expect("nothing fails");
            let (_, _, recovery) = open_on(disk.media("data"), disk.media("log"), IDENTITY, &SMALL)
                .unwrap_or_else(|error| panic!("operation {at}, seed {seed}, second run: {error}"));
            check(&recovery.recovered, relied);
        }
    }
    println!("{operations} operations, {torn} torn tails");
    assert!(torn > 20, "{torn}");
}

#[test]
fn a_disk_that_is_full_is_named_and_loses_nothing_that_was_durable() {
    let disk = Disk::new();
    story(&disk, &mut Relied::default()).expect("nothing fails");
    let mut refused = 0;
    for at in 0..disk.operations() {
        let disk = Disk::failing(at, Fault::Full);
        let mut relied = Relied::default();
        if let Err(error) = story(&disk, &mut relied) {
            refused += 1;
            let said = error.to_string();
            assert!(said.contains("Free space there and start this node again"), "{said}");
            assert!(said.contains("/fake/"), "{said}");
        }
        // Space was made; the process starts anew, and the machine had not crashed.
        let disk = disk.after_exit();
        let (_, _, recovery) = open_on(disk.media("data"), disk.media("log"), IDENTITY, &SMALL)
            .unwrap_or_else(|error| panic!("operation {at}: {error}"));
        check(&recovery.recovered, relied);
        // What was read may never have been synced, and the node relies on it now: it must survive a power cut.
        let recovered = recovery.recovered;
        relied.last = recovered.entries.last().map_or(relied.last, |entry| entry.zxid.counter());
        for seed in 0..6 {
            let disk = disk.after_power_cut(seed);
            let (_, _, recovery) = open_on(disk.media("data"), disk.media("log"), IDENTITY, &SMALL)
                .unwrap_or_else(|error| panic!("operation {at}: {error}"));
            check(&recovery.recovered, relied);
        }
    }
    assert!(refused > 50, "{refused}");
}

#[test]
fn purge_keeps_what_the_oldest_kept_snapshot_needs_and_drafts_go() {
    let disk = Disk::new();
    story(&disk, &mut Relied::default()).expect("nothing fails");
    disk.media("data").create("snapshot.tmp", "snapshot.tmp").expect("nothing fails");
    open_on(disk.media("data"), disk.media("log"), IDENTITY, &SMALL).expect("nothing fails");
    let names = disk.media("data").names().expect("nothing fails");
    assert_eq!(names, ["identity", "snapshot-0000000100000014", "snapshot-000000010000001c"]);
    let segments = disk.media("log").names().expect("nothing fails");
    assert!(!segments.contains(&"log-0000000001".to_owned()), "{segments:?}");
    // The newest is damaged: the older one and the log from there on are enough.
    disk.corrupt("data", &names[2], 100);
    let (_, _, recovery) =
        open_on(disk.media("data"), disk.media("log"), IDENTITY, &SMALL).expect("the older snapshot will do");
    check(&recovery.recovered, Relied { last: 32, promised: 7, snapshot: 20 });
    assert_eq!(recovery.recovered.entries.len(), 12);
    assert_eq!(recovery.remarks.len(), 1, "{:?}", recovery.remarks);
}

#[test]
fn a_failed_lane_says_so_once_and_claims_nothing_after_it() {
    for fault in [Fault::Full, Fault::PowerCut] {
        let disk = Disk::new();
        let (log, ..) =
            open_on(disk.media("data"), disk.media("log"), IDENTITY, &SMALL).expect("nothing fails");
        let (sender, receiver) = mpsc::channel();
        let report = Arc::new(move |report| sender.send(report).expect("the test listens"));
        let lane = LaneThread::spawn("lane", Writer::Log(log), report).expect("a thread");
        lane.push(WriteSeq(1), append(1));
        wait(&receiver, Lane::Log, 1);
        disk.fail_from_now_on(fault);
        for seq in 2..100 {
            lane.push(WriteSeq(seq), append(seq as u32));
        }
        drop(lane);
        let said: Vec<Report> = receiver.iter().collect();
        assert!(matches!(said[..], [Report::Fatal(StorageError::Io { .. })]), "{said:?}");
    }
}

/// A real directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("vivarium-storage-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary directory can be written");
        Scratch(path)
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(data: &Path, log: &Path) -> Result<(Storage, Recovery, mpsc::Receiver<Report>), StorageError> {
    open_as(data, log, IDENTITY)
}

fn open_as(
    data: &Path,
    log: &Path,
    identity: Identity,
) -> Result<(Storage, Recovery, mpsc::Receiver<Report>), StorageError> {
    let (sender, receiver) = mpsc::channel();
    let report = move |report| {
        // A test that does not listen any more is fine.
        let _ = sender.send(report);
    };
    let (storage, recovery) = Storage::open(data, log, identity, &SMALL, report)?;
    Ok((storage, recovery, receiver))
}

/// The error of an attempt that must fail.
fn refusal<T>(result: Result<T, StorageError>) -> String {
    match result {
        Ok(_) => panic!("this must be refused"),
        Err(error) => error.to_string(),
    }
}

/// Waits until a lane is durable up to a write.
fn wait(receiver: &mpsc::Receiver<Report>, wanted: Lane, upto: u64) {
    loop {
        match receiver.recv().expect("the lanes run") {
            Report::Synced(synced) if synced.lane == wanted && synced.upto >= WriteSeq(upto) => return,
            Report::Synced(_) => {}
            Report::Fatal(error) => panic!("{error}"),
        }
    }
}

#[test]
fn what_was_written_is_there_after_reopening() {
    for same in [true, false] {
        let scratch = Scratch::new();
        let (data, log) = (scratch.dir("data"), scratch.dir(if same { "data" } else { "log" }));
        let mut written = 0;
        for run in 1..=3u32 {
            let (storage, recovery, receiver) = open(&data, &log).expect("it opens");
            let base = recovery.recovered.snapshot.as_ref().map_or(0, |(zxid, _)| zxid.counter());
            assert_eq!(base + recovery.recovered.entries.len() as u32, written);
            assert_eq!(recovery.recovered.promised, Epoch(run - 1).max(Epoch((written > 0).into())));
            for seq in 1..=50 {
                written += 1;
                storage.push(Lane::Log, WriteSeq(seq), append(written));
            }
            storage.push(Lane::Log, WriteSeq(51), Write::Promise { epoch: Epoch(run), candidate: PeerId(1) });
            wait(&receiver, Lane::Log, 51);
            for index in 0..3 {
                storage.push(
                    Lane::Snapshot,
                    WriteSeq(u64::from(index) + 1),
                    chunk(written - 7, index, index == 2),
                );
            }
            wait(&receiver, Lane::Snapshot, 3);
            // Dropping finishes what is queued, reported or not.
            written += 1;
            storage.push(Lane::Log, WriteSeq(52), append(written));
        }
        let (_storage, recovery, _) = open(&data, &log).expect("it opens");
        let (zxid, chunks) = recovery.recovered.snapshot.expect("one was written");
        assert_eq!((zxid.counter(), chunks.len()), (written - 8, 3));
        assert_eq!(recovery.recovered.entries.len(), 8);
    }
}

#[test]
fn a_copy_taken_at_any_moment_recovers() {
    let scratch = Scratch::new();
    let data = scratch.dir("data");
    let (storage, _, receiver) = open(&data, &data).expect("it opens");
    let copy = scratch.dir("copy");
    for counter in 1..=150u32 {
        storage.push(Lane::Log, WriteSeq(counter.into()), append(counter));
        if counter % 10 != 0 {
            continue;
        }
        wait(&receiver, Lane::Log, u64::from(counter) - 5);
        // The lane is writing meanwhile: this is what a kill would leave.
        let _ = fs::remove_dir_all(&copy);
        fs::create_dir_all(copy.join(SUBFOLDER)).expect("a directory");
        for name in
            Directory::create(data.join(SUBFOLDER)).expect("it is there").names().expect("it can be listed")
        {
            // A draft may be renamed between the listing and here: then it was not yet there.
            let _ = fs::copy(data.join(SUBFOLDER).join(&name), copy.join(SUBFOLDER).join(&name));
        }
        let (_, recovery, _) = open(&copy, &copy).expect("a copy recovers");
        let kept = recovery.recovered.entries.len() as u32;
        assert!((counter - 5..=counter).contains(&kept), "{kept} of {counter}");
    }
}

#[test]
fn a_directory_in_use_is_refused() {
    let scratch = Scratch::new();
    let (data, log, other) = (scratch.dir("data"), scratch.dir("log"), scratch.dir("other"));
    let (storage, ..) = open(&data, &log).expect("it opens");
    let said = refusal(open(&data, &log));
    assert!(said.contains(&format!("in use by another process (pid {})", std::process::id())), "{said}");
    let said = refusal(open(&other, &log));
    assert!(said.contains(&log.join(SUBFOLDER).display().to_string()), "{said}");
    drop(storage);
    open(&data, &log).expect("it is free again");
}

#[test]
fn another_nodes_directory_is_refused_and_both_are_named() {
    let scratch = Scratch::new();
    let data = scratch.dir("data");
    open(&data, &data).expect("it opens");
    let before =
        Directory::create(data.join(SUBFOLDER)).expect("it is there").names().expect("it can be listed");
    let said = refusal(open_as(&data, &data, Identity { node: PeerId(7), ..IDENTITY }));
    assert!(said.contains("belongs to node 2 of") && said.contains("this is node 7 of"), "{said}");
    let said = refusal(open_as(&data, &data, Identity { cluster: 1, ..IDENTITY }));
    assert!(said.contains("0000000000000abc") && said.contains("0000000000000001"), "{said}");
    let identity = data.join(SUBFOLDER).join("identity");
    fs::write(&identity, "vivarium\nformat 9\nowner unknown to us\n").expect("it can be written");
    let said = refusal(open(&data, &data));
    assert!(said.contains("format version 9"), "{said}");
    fs::write(&identity, "something else\n").expect("it can be written");
    let said = refusal(open(&data, &data));
    assert!(said.contains("identity cannot be understood"), "{said}");
    let after =
        Directory::create(data.join(SUBFOLDER)).expect("it is there").names().expect("it can be listed");
    assert_eq!(before, after, "a refusal changes nothing");
}

#[test]
fn a_log_directory_that_is_not_mounted_is_refused() {
    let scratch = Scratch::new();
    let (data, log) = (scratch.dir("data"), scratch.dir("log"));
    open(&data, &log).expect("it opens");
    fs::remove_dir_all(&log).expect("it is there");
    let said = refusal(open(&data, &log));
    assert!(said.contains("is it mounted"), "{said}");
    // Mounted, but the segments are gone.
    let said = refusal(open(&data, &data));
    assert!(said.contains("is the log directory mounted?"), "{said}");
}

#[test]
fn starting_over_and_over_leaves_no_trail_of_segments() {
    let scratch = Scratch::new();
    let data = scratch.dir("data");
    for _ in 0..5 {
        open(&data, &data).expect("it opens");
    }
    let names =
        Directory::create(data.join(SUBFOLDER)).expect("it is there").names().expect("it can be listed");
    assert_eq!(names, ["identity", "lock", "log-0000000005"]);
}

#[test]
fn damage_is_refused_with_the_place_and_nothing_is_changed() {
    let scratch = Scratch::new();
    let data = scratch.dir("data");
    let (storage, _, receiver) = open(&data, &data).expect("it opens");
    for counter in 1..=3 {
        storage.push(Lane::Log, WriteSeq(counter.into()), append(counter));
        wait(&receiver, Lane::Log, counter.into());
    }
    drop(storage);
    let segment = data.join(SUBFOLDER).join("log-0000000001");
    let mut bytes = fs::read(&segment).expect("it is there");
    bytes[4096 + 40] ^= 1;
    fs::write(&segment, &bytes).expect("it can be written");
    let said = refusal(open(&data, &data));
    assert!(said.contains(&format!("{} at byte 4096", segment.display())), "{said}");
    assert_eq!(fs::read(&segment).expect("it is there"), bytes);
}
