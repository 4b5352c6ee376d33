//! Carrying the write-ahead log over into the database, beside the writer: it writes scattered pages and waits for the
//! disk twice, which took a quarter of a busy writer's time (docs/performance.md).
//!
//! SQLite starts the log anew once all of it is carried over and nobody reads from it. With pauses between the commits
//! that happens by itself. Without them the log only grows, so that the writer carries the rest over where it has become
//! long; by then there is not much of it.

use std::{
    fmt,
    sync::{
        Arc,
        mpsc::{self, Receiver, SyncSender},
    },
    thread::{self, JoinHandle},
};

use parking_lot::Mutex;
use rusqlite::Connection;

use super::{connection, directory::DataDirectory, disk_sync::SyncFailure, fault::Fault};

/// Pages in the log that are not in the database yet, before they are carried over: 48 MiB. A page that many commits
/// changed is carried over once, so more is less work: with 5,000 properties 16 MiB cost a tenth of the writes per second.
/// A start after a crash reads them all, in a tenth of a second.
const CARRIED_AT_PAGES: i64 = 6_144;

/// Pages in the log from which on the writer sees to it that the log starts anew.
const LONG_PAGES: i64 = 7_168;

/// Pages in the log from which on the writer waits until they are carried over: the disk does not keep up.
const TOO_LONG_PAGES: i64 = 2 * LONG_PAGES;

/// The thread that carries over.
pub(super) struct Checkpoints {
    /// Held while somebody carries over: SQLite lets one at a time, and refuses the second.
    carrying: Arc<Mutex<()>>,
    failure: SyncFailure,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Checkpoints {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Checkpoints").finish_non_exhaustive()
    }
}

impl Checkpoints {
    pub(super) fn start(directory: &DataDirectory, failure: SyncFailure) -> Result<Self, Fault> {
        let connection = connection::checkpointer(directory)?;
        let carrying = Arc::new(Mutex::new(()));
        let (wake, wakes) = mpsc::sync_channel(1);
        let own = Arc::clone(&carrying);
        let thread = thread::Builder::new()
            .name("checkpoints".into())
            .spawn({
                let failure = failure.clone();
                move || run(&connection, &own, &failure, &wakes)
            })
            .map_err(Fault::Thread)?;
        Ok(Self { carrying, failure, wake: Some(wake), thread: Some(thread) })
    }

    /// To be called after each commit, with the connection that it was made on.
    pub(super) fn after_commit(&self, connection: &Connection) {
        let outcome = Self::lengths(connection).and_then(|(long, carried)| {
            if long >= TOO_LONG_PAGES {
                let _carrying = self.carrying.lock();
                return carry(connection);
            }
            if long - carried >= CARRIED_AT_PAGES {
                if let Some(wake) = &self.wake {
                    let _already_awake = wake.try_send(());
                }
            } else if long >= LONG_PAGES
                && let Some(_carrying) = self.carrying.try_lock()
            {
                return carry(connection);
            }
            Ok(())
        });
        if let Err(error) = outcome {
            // The commit is valid: it is tried again after the next one.
            self.failure.note(&error);
            tracing::warn!(%error, "the write-ahead log could not be carried over into the database");
        }
    }

    /// Pages in the log, and how many of them are in the database.
    fn lengths(connection: &Connection) -> Result<(i64, i64), rusqlite::Error> {
        connection
            .prepare_cached("PRAGMA wal_checkpoint(NOOP)")?
            .query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.wake = None;
        // It has told of its failure itself.
        self.thread.take().map(JoinHandle::join);
    }
}

fn run(connection: &Connection, carrying: &Mutex<()>, failure: &SyncFailure, wakes: &Receiver<()>) {
    for () in wakes {
        let _carrying = carrying.lock();
        if let Err(error) = carry(connection) {
            failure.note(&error);
            tracing::warn!(%error, "the write-ahead log could not be carried over into the database");
        }
    }
}

/// As much as can be without waiting for those who read.
fn carry(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()))
}
