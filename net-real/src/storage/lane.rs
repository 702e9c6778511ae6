//! One thread per lane: it takes all that is queued, makes it durable as one group, and says so.
//!
//! The thread that pushes never waits for the disk. After a failure a lane does nothing more: writes that are pushed
//! then are dropped, and no durability is ever claimed for them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Instant;

use vivarium_core::ids::WriteSeq;
use vivarium_core::io::{Lane, Write};

use super::log::LogWriter;
use super::snapshots::SnapshotWriter;
use super::{Report, StorageError, Synced};

/// What the threads of both lanes say things with.
pub(super) type Reporter = Arc<dyn Fn(Report) + Send + Sync>;

/// A write and its place in the lane.
type Queued = (WriteSeq, Write);

/// The writer behind a lane.
pub(super) enum Writer {
    Log(LogWriter),
    Snapshots(SnapshotWriter),
}

impl Writer {
    fn lane(&self) -> Lane {
        match self {
            Writer::Log(_) => Lane::Log,
            Writer::Snapshots(_) => Lane::Snapshot,
        }
    }

    /// Makes a group durable. Gives its size, bytes.
    fn commit(&mut self, group: &[Queued]) -> Result<usize, StorageError> {
        match self {
            Writer::Log(log) => log.commit(group.iter().map(|(_, write)| write)),
            Writer::Snapshots(snapshots) => {
                let mut bytes_total = 0;
                for (_, write) in group {
                    let Write::Chunk { zxid, index, bytes, last } = write else {
                        panic!("only chunks of snapshots go to their lane");
                    };
                    bytes_total += snapshots.chunk(*zxid, *index, bytes, *last)?;
                }
                snapshots.flush()?;
                Ok(bytes_total)
            }
        }
    }

    /// After a group that ended a snapshot, and was reported.
    fn tidy(&mut self, group: &[Queued]) {
        if let Writer::Snapshots(snapshots) = self
            && group.iter().any(|(_, write)| matches!(write, Write::Chunk { last: true, .. }))
        {
            snapshots.purge();
        }
    }

    /// When nothing is queued.
    fn idle(&mut self) -> Result<(), StorageError> {
        match self {
            Writer::Log(log) => log.mark(),
            Writer::Snapshots(_) => Ok(()),
        }
    }
}

#[derive(Default)]
struct Queue {
    writes: Vec<Queued>,
    /// Nobody will push any more.
    closed: bool,
    /// The thread has ended.
    ended: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("nobody panics with it held")
    }
}

/// A lane's queue and thread. Dropping it finishes what is queued.
pub(super) struct LaneThread {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl LaneThread {
    pub fn spawn(name: &str, writer: Writer, report: Reporter) -> std::io::Result<LaneThread> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let run = move || {
            let _end = End { shared: &theirs, lane: writer.lane(), report: &*report };
            run(&theirs, writer, &*report);
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(LaneThread { shared, thread: Some(thread) })
    }

    /// Queues a write. Never waits for the disk.
    pub fn push(&self, seq: WriteSeq, write: Write) {
        let mut queue = self.shared.lock();
        if queue.ended {
            return;
        }
        queue.writes.push((seq, write));
        // Who has a group in its hands looks again before it sleeps.
        if queue.writes.len() == 1 {
            self.shared.changed.notify_one();
        }
    }
}

impl Drop for LaneThread {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook, and the process is ending.
            let _ = thread.join();
        }
    }
}

/// However the thread ends: nothing piles up behind it, and nobody waits for it unknowingly.
struct End<'a> {
    shared: &'a Shared,
    lane: Lane,
    report: &'a (dyn Fn(Report) + Send + Sync),
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.ended = true;
        queue.writes.clear();
        drop(queue);
        if std::thread::panicking() {
            (self.report)(Report::Fatal(StorageError::Panicked { lane: self.lane }));
        }
    }
}

/// The thread: until the queue is closed and empty, or the disk fails.
fn run(shared: &Shared, mut writer: Writer, report: &(dyn Fn(Report) + Send + Sync)) {
    let lane = writer.lane();
    let mut group: Vec<Queued> = Vec::new();
    // Whether a mark follows the last record. A segment without any record needs none.
    let mut idle = true;
    loop {
        {
            let mut queue = shared.lock();
            if queue.writes.is_empty() && !queue.closed && idle {
                queue = shared
                    .changed
                    .wait_while(queue, |queue| queue.writes.is_empty() && !queue.closed)
                    .expect("nobody panics with it held");
            }
            if queue.writes.is_empty() && queue.closed && idle {
                return;
            }
            // Two vectors change places: nothing is allocated in steady state.
            std::mem::swap(&mut queue.writes, &mut group);
        }
        let result = match group.last() {
            Some((upto, _)) => {
                let (upto, began) = (*upto, Instant::now());
                idle = false;
                writer.commit(&group).map(|bytes| {
                    let writes = group.len();
                    report(Report::Synced(Synced { lane, upto, writes, bytes, took: began.elapsed() }));
                    writer.tidy(&group);
                })
            }
            None => {
                idle = true;
                writer.idle()
            }
        };
        group.clear();
        if let Err(error) = result {
            report(Report::Fatal(error));
            return;
        }
    }
}
