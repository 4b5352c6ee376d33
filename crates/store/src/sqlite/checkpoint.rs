//! Carries the write-ahead log over into the database, on a thread beside the writer.
//!
//! SQLite starts the log anew once all of it is carried over and nothing reads from it. With pauses between the commits
//! that happens by itself. Without them the thread comes close, and the writer carries over the last few pages.
//!
//! A checkpoint that does not reach the end of the log is not synced by SQLite: all of it would be by the one that does, on
//! the writer. So the thread syncs the database after each of its own. While a backup or an export reads, the log grows,
//! since it cannot be moved beyond the state that they see. Afterwards the thread catches up: it syncs each 512 KiB and pauses
//! in proportion, since a sync of the writer waits behind all that the disk has to write.

use std::{
    fmt,
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;

use super::{connection, directory::DataDirectory, disk_sync::SyncFailure, fault::Fault, paced_writes};
use crate::paced_file::Pace;

/// Lengths of the log, in pages of the database.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Pages that are not in the database yet, before they are carried over: 12 MiB. A sync of the writer waits for all that
    /// the disk has to write. At 1,000 values per second over 50,000 properties 48 MiB had a p99 of 8 ms, 12 MiB of 1.3 ms.
    carried_at: i64,
    /// The same after a pass over a long log: with fewer, the thread has caught up.
    caught_up: i64,
    /// From here on the writer sees to it that the log starts anew.
    long: i64,
    /// From here on the writer waits until they are carried over: the disk does not keep up.
    too_long: i64,
    /// Pages that the writer carries over itself, so that the log starts anew: 2 MiB, a few milliseconds.
    last: i64,
    /// The same once the log has grown by half of `long` beyond them: so many come while the thread does its part.
    last_under_load: i64,
    /// Pages that a checkpoint leaves where a reader holds the log back: as many as cause the next one, which would leave
    /// them too.
    held_back: i64,
}

impl Bounds {
    fn of(page_bytes: i64) -> Self {
        let pages = |mebibytes: i64| (mebibytes << 20) / page_bytes;
        Self {
            carried_at: pages(12),
            caught_up: pages(48),
            long: pages(56),
            too_long: pages(112),
            last: pages(2),
            last_under_load: pages(16),
            held_back: pages(12),
        }
    }
}

/// How long to leave a log alone that a reader holds back, unless it grows by [`Bounds::long`]: each look sorts all of its
/// pages.
const HELD_BACK_PAUSE: Duration = Duration::from_millis(250);

/// Bytes that the log keeps on disk when a long one starts anew: more than it usually has. A sync of a file that is
/// overwritten in place costs half of one that grows.
const LOG_BYTES_KEPT: u64 = 128 << 20;

/// Bytes that a log which was long is shortened by at a time, and how often: the writer waits for it.
const SHORTENED_BYTES: u64 = 16 << 20;
const SHORTENED_EVERY: Duration = Duration::from_millis(100);

/// What [`Shared::grown_from`] says while the thread catches up with a log that was held back.
const CATCHING_UP: i64 = i64::MAX;

/// The thread that carries over.
pub(super) struct Checkpoints {
    shared: Arc<Shared>,
    log: File,
    frame_bytes: i64,
    shortened: Instant,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the writer and the thread share.
struct Shared {
    /// Locked during a checkpoint: SQLite lets one run at a time, and refuses the second.
    carrying: Mutex<()>,
    bounds: Bounds,
    failure: SyncFailure,
    /// Pages that the log had when a reader was last seen to hold it back; from there it may grow as always.
    grown_from: AtomicI64,
    /// Pages that the log had after the last commit.
    log_pages: AtomicI64,
    /// How often the log has started anew.
    restarts: AtomicU64,
    /// The writer waits for the checkpoint.
    is_awaited: AtomicBool,
    /// The thread leaves a log alone that a reader holds back.
    leaves_alone: AtomicBool,
    /// Parts of long logs that were carried over and synced.
    parts: AtomicU64,
    is_stopping: AtomicBool,
}

impl fmt::Debug for Checkpoints {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Checkpoints").finish_non_exhaustive()
    }
}

impl Checkpoints {
    /// To be called when the writer's connection has made the log.
    pub(super) fn start(directory: &Arc<DataDirectory>, failure: SyncFailure) -> Result<Self, Fault> {
        let connection = connection::checkpointer(directory)?;
        let page_bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let log = File::options().write(true).open(directory.write_ahead_log()).map_err(Fault::File)?;
        let shared = Arc::new(Shared::new(failure, Bounds::of(page_bytes)));
        let (wake, wakes) = mpsc::sync_channel(1);
        let checkpointer =
            Checkpointer { connection, directory: Arc::clone(directory), shared: Arc::clone(&shared) };
        let thread = thread::Builder::new()
            .name("checkpoints".into())
            .spawn(move || checkpointer.run(&wakes))
            .map_err(Fault::Thread)?;
        let frame_bytes = page_bytes + FRAME_HEADER_BYTES;
        let shortened = Instant::now();
        Ok(Self { shared, log, frame_bytes, shortened, wake: Some(wake), thread: Some(thread) })
    }

    /// To be called after each commit, with the connection that it was made on.
    pub(super) fn after_commit(&mut self, connection: &Connection) {
        let outcome = Lengths::of(connection).and_then(|lengths| self.carry_or_wake(connection, lengths));
        if let Err(error) = outcome {
            // The commit is valid: it is tried again after the next one.
            self.shared.failed(&error);
        }
    }

    fn carry_or_wake(&mut self, connection: &Connection, lengths: Lengths) -> Result<(), rusqlite::Error> {
        let (long, pending) = (lengths.long, lengths.pending());
        let bounds = self.shared.bounds;
        if long < self.shared.log_pages.swap(long, Ordering::Relaxed) {
            self.shared.restarts.fetch_add(1, Ordering::Relaxed);
        }
        let grown = long.saturating_sub(self.shared.grown_from(long));
        if grown >= bounds.too_long {
            let _carrying = self.wait_for_checkpoint();
            let carried = carry(connection)?;
            // A reader came between the thread's looks. What it holds back is the thread's to carry over afterwards.
            if carried.is_held_back(bounds) {
                self.shared.grown_from.store(carried.long, Ordering::Relaxed);
            }
            return Ok(());
        }
        if grown >= bounds.long && self.shared.leaves_alone.swap(false, Ordering::Relaxed) {
            self.unpark();
        }
        let last = if grown >= bounds.long + bounds.long / 2 { bounds.last_under_load } else { bounds.last };
        if long >= bounds.long && pending <= last {
            if let Some(_carrying) = self.shared.carrying.try_lock() {
                return carry(connection).map(drop);
            }
        } else if long >= bounds.long || pending >= bounds.carried_at {
            if let Some(wake) = &self.wake {
                let _already_awake = wake.try_send(());
            }
        } else {
            self.shorten(long);
        }
        Ok(())
    }

    /// Lets the thread end its checkpoint without pauses, and no other begin.
    fn wait_for_checkpoint(&self) -> MutexGuard<'_, ()> {
        self.shared.is_awaited.store(true, Ordering::Relaxed);
        self.unpark();
        let carrying = self.shared.carrying.lock();
        self.shared.is_awaited.store(false, Ordering::Relaxed);
        carrying
    }

    fn unpark(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Parts of long logs that were carried over so far.
    #[cfg(test)]
    pub(super) fn parts(&self) -> u64 {
        self.shared.parts.load(Ordering::Relaxed)
    }

    /// How often the log has started anew.
    #[cfg(test)]
    pub(super) fn restarts(&self) -> u64 {
        self.shared.restarts.load(Ordering::Relaxed)
    }

    /// Gives back what a log that was long has on the disk. SQLite would do it at once, and the writer wait for all of it.
    fn shorten(&mut self, long: i64) {
        let used = u64::try_from((long + self.shared.bounds.long) * self.frame_bytes).unwrap_or(u64::MAX);
        if used > LOG_BYTES_KEPT || self.shortened.elapsed() < SHORTENED_EVERY {
            return;
        }
        self.shortened = Instant::now();
        let shortened = self.log.metadata().and_then(|log| match log.len() {
            ..=LOG_BYTES_KEPT => Ok(()),
            bytes => self.log.set_len((bytes - SHORTENED_BYTES).max(LOG_BYTES_KEPT)),
        });
        if let Err(error) = shortened {
            tracing::warn!(%error, "the write-ahead log could not be shortened");
        }
    }
}

/// Of a frame in the log, before its page.
const FRAME_HEADER_BYTES: i64 = 24;

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::Relaxed);
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has logged its failure itself.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn new(failure: SyncFailure, bounds: Bounds) -> Self {
        Self {
            carrying: Mutex::new(()),
            bounds,
            failure,
            grown_from: AtomicI64::new(0),
            log_pages: AtomicI64::new(0),
            restarts: AtomicU64::new(0),
            is_awaited: AtomicBool::new(false),
            leaves_alone: AtomicBool::new(false),
            parts: AtomicU64::new(0),
            is_stopping: AtomicBool::new(false),
        }
    }

    /// From how many pages on the growth of the log counts, which has so many now.
    fn grown_from(&self, long: i64) -> i64 {
        let from = self.grown_from.load(Ordering::Relaxed);
        if from == CATCHING_UP || from <= long {
            return from;
        }
        // The log has started anew.
        self.grown_from.store(0, Ordering::Relaxed);
        0
    }

    fn sync(&self, directory: &DataDirectory) {
        if let Err(error) = directory.sync_database() {
            self.failure.set();
            tracing::error!(%error, "the database could not be put on the disk");
        }
    }

    fn failed(&self, error: &rusqlite::Error) {
        self.failure.record(error);
        tracing::warn!(%error, "the write-ahead log could not be carried over into the database");
    }
}

/// What the thread has.
struct Checkpointer {
    connection: Connection,
    directory: Arc<DataDirectory>,
    shared: Arc<Shared>,
}

impl Checkpointer {
    fn run(self, wakes: &Receiver<()>) {
        let mut last = Pass::default();
        for () in wakes {
            match self.carry(last) {
                Ok(pass) => last = pass,
                Err(error) => self.shared.failed(&error),
            }
            // One of the commits meanwhile; the next one wakes it again where that is needed.
            let _done_already = wakes.try_recv();
            if last.is_blocked && !self.shared.is_stopping.load(Ordering::Relaxed) {
                self.shared.leaves_alone.store(true, Ordering::Relaxed);
                thread::park_timeout(HELD_BACK_PAUSE);
                self.shared.leaves_alone.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Carries over what can be, and syncs it. `last` is the pass before.
    fn carry(&self, last: Pass) -> Result<Pass, rusqlite::Error> {
        let _carrying = self.shared.carrying.lock();
        let restarts = self.shared.restarts.load(Ordering::Relaxed);
        // A log that has started anew was carried over to its end: nothing is left of what the last pass found.
        let last = if last.restarts == restarts { last } else { Pass::default() };
        let before = Lengths::of(&self.connection)?;
        if last.is_blocked {
            self.shared.grown_from.store(CATCHING_UP, Ordering::Relaxed);
        }
        let (pages, bounds) = (before.pending(), self.shared.bounds);
        let is_long =
            pages >= if last.is_blocked || last.is_behind { bounds.caught_up } else { bounds.too_long };
        // The writer waits for a log that grows by more, unless the thread catches up.
        let growth = if last.is_blocked { (pages / 2).max(bounds.long) } else { bounds.long };
        let carried = match is_long {
            true => self.carry_in_parts(before.long + growth),
            false => carry(&self.connection),
        };
        self.shared.sync(&self.directory);
        let is_blocked = carried.as_ref().is_ok_and(|lengths| lengths.is_held_back(bounds));
        let after = Lengths::of(&self.connection);
        // As long as each pass of a long log leaves half of the pages, the log grows by no more than it was long.
        let catches_up = last.is_behind && after.as_ref().is_ok_and(|after| after.pending() <= pages / 2);
        if last.is_blocked || is_blocked || catches_up {
            self.shared.grown_from.store(after.map_or(0, |after| after.long), Ordering::Relaxed);
        }
        carried.map(|_| Pass { is_blocked, is_behind: is_long, restarts })
    }

    /// Carries over a long log with a sync and a pause after each part.
    ///
    /// There are no pauses while the server stops, nor once the log has so many pages: then the writes are faster than the
    /// pauses allow. While the writer waits, there are no syncs either.
    fn carry_in_parts(&self, too_long: i64) -> Result<Lengths, rusqlite::Error> {
        let (shared, directory) = (Arc::clone(&self.shared), Arc::clone(&self.directory));
        let mut pace = Pace::default();
        let after_write = move |bytes| {
            if shared.is_awaited.load(Ordering::Relaxed) {
                return;
            }
            let sync = || {
                shared.sync(&directory);
                Ok(())
            };
            let Ok(Some(pause)) = pace.written(bytes, sync) else { return };
            shared.parts.fetch_add(1, Ordering::Relaxed);
            let has_grown = shared.log_pages.load(Ordering::Relaxed) >= too_long;
            match has_grown || shared.is_stopping.load(Ordering::Relaxed) {
                true => pace.stop_pausing(),
                false => thread::park_timeout(pause),
            }
        };
        paced_writes::with(after_write, || carry(&self.connection))
    }
}

/// What a pass of the thread found.
#[derive(Debug, Clone, Copy, Default)]
struct Pass {
    /// A reader holds the rest of the log back.
    is_blocked: bool,
    /// The pages were many: then those that came meanwhile may be many too.
    is_behind: bool,
    /// As [`Shared::restarts`] was when it began.
    restarts: u64,
}

/// Pages in the log, and how many of them are in the database.
#[derive(Debug, Clone, Copy)]
struct Lengths {
    long: i64,
    carried: i64,
}

impl Lengths {
    fn of(connection: &Connection) -> Result<Self, rusqlite::Error> {
        connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?.query_row([], Self::read)
    }

    fn pending(self) -> i64 {
        self.long - self.carried
    }

    /// After a checkpoint.
    fn is_held_back(self, bounds: Bounds) -> bool {
        self.pending() >= bounds.held_back
    }

    fn read(row: &rusqlite::Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self { long: row.get(1)?, carried: row.get(2)? })
    }
}

/// As much as can be without waiting for those who read. Returns where the log ended when it began.
fn carry(connection: &Connection) -> Result<Lengths, rusqlite::Error> {
    connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], Lengths::read)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three parts, where parts are largest.
    const BLOB_BYTES: i64 = 24 << 20;

    const DEADLINE: Duration = Duration::from_secs(60);

    struct Log {
        folder: tempfile::TempDir,
        writer: Connection,
        checkpointer: Checkpointer,
    }

    fn long_log() -> Log {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = Arc::new(DataDirectory::claim(folder.path()).expect("a directory"));
        let writer = connection::writer(&directory).expect("a connection");
        connection::prepare_writer(&writer, 1 << 20).expect("a log");
        writer.execute_batch("CREATE TABLE t (x)").expect("a table");
        writer.execute("INSERT INTO t VALUES (zeroblob(?1))", [BLOB_BYTES]).expect("a long log");
        let connection = connection::checkpointer(&directory).expect("a connection");
        let page_bytes = writer.pragma_query_value(None, "page_size", |row| row.get(0)).expect("a number");
        let checkpointer = Checkpointer {
            connection,
            directory,
            shared: Arc::new(Shared::new(SyncFailure::default(), Bounds::of(page_bytes))),
        };
        Log { folder, writer, checkpointer }
    }

    #[test]
    fn a_checkpoint_that_the_writer_awaits_is_not_paced() {
        for is_awaited in [false, true] {
            let log = long_log();
            let shared = &log.checkpointer.shared;
            shared.is_awaited.store(is_awaited, Ordering::Relaxed);
            let carried = log.checkpointer.carry_in_parts(i64::MAX).expect("a checkpoint");
            assert_eq!(carried.pending(), 0);
            let parts = shared.parts.load(Ordering::Relaxed);
            assert_eq!(parts > 0, !is_awaited, "{parts} parts");
        }
    }

    #[test]
    fn a_writer_that_waits_says_so_and_then_does_not() {
        let Log { folder: _folder, writer, checkpointer } = long_log();
        let mut checkpoints =
            Checkpoints::start(&checkpointer.directory, SyncFailure::default()).expect("a thread");
        let shared = Arc::clone(&checkpoints.shared);
        let carrying = shared.carrying.lock();
        let waits = thread::spawn(move || {
            let too_long = Lengths { long: checkpoints.shared.bounds.too_long, carried: 0 };
            checkpoints.carry_or_wake(&writer, too_long).expect("a checkpoint");
            Lengths::of(&writer).expect("lengths").pending()
        });
        let began = Instant::now();
        while !shared.is_awaited.load(Ordering::Relaxed) {
            assert!(began.elapsed() < DEADLINE, "the writer does not wait");
            thread::yield_now();
        }
        drop(carrying);
        assert_eq!(waits.join().expect("no panic"), 0);
        assert!(!shared.is_awaited.load(Ordering::Relaxed));
    }

    #[test]
    fn a_writer_does_not_wait_twice_for_a_log_held_back() {
        let Log { folder, writer, checkpointer } = long_log();
        let mut checkpoints =
            Checkpoints::start(&checkpointer.directory, SyncFailure::default()).expect("a thread");
        let reader = Connection::open(folder.path().join("thng-pubsub.db")).expect("a reader");
        reader.execute_batch("BEGIN; SELECT count(*) FROM t").expect("it reads");
        writer.execute("INSERT INTO t VALUES (zeroblob(?1))", [2 * BLOB_BYTES]).expect("a longer log");
        let lengths = Lengths::of(&writer).expect("lengths");
        let too_long = Lengths { long: checkpoints.shared.bounds.too_long, ..lengths };
        checkpoints.carry_or_wake(&writer, too_long).expect("a checkpoint");
        assert_eq!(checkpoints.shared.grown_from.load(Ordering::Relaxed), lengths.long);
    }

    #[test]
    fn the_growth_counts_from_where_a_later_pass_ended() {
        let log = long_log();
        let shared = &log.checkpointer.shared;
        let before = Lengths::of(&log.checkpointer.connection).expect("lengths");
        let last = Pass { is_behind: true, ..Pass::default() };
        let pass = log.checkpointer.carry(last).expect("a checkpoint");
        assert!(!pass.is_blocked);
        assert_eq!(shared.grown_from.load(Ordering::Relaxed), before.long);
    }
}
