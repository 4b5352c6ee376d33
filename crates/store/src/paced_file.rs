//! Writes a large file beside a server without delaying the server's own syncs.
//!
//! A sync waits for everything that the disk received before it.
//! So a copy of the database hands over little at a time, syncs it, and pauses in proportion to the time of that sync.
//! It also sleeps between short slices of work.
//! Otherwise a thread of the server that wakes up on the same processor waits for a slice of the scheduler.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

/// How much of the disk a backup or an export takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CopySpeed {
    /// A part of it, for a server that uses the same disk.
    #[default]
    BesideServer,
    /// All of it.
    Full,
}

/// The longest pause. Where a sync of so little takes longer, the disk has other work, and pauses would only draw out the
/// copy: the log of the server grows meanwhile.
const PAUSE_MAX: Duration = Duration::from_millis(10);

/// Bytes of a server's write-ahead log from which on a copy beside it no longer pauses: four times what is usual. The log
/// grows as long as the copy reads, and must not fill the disk.
const LOG_BYTES_MAX: u64 = 512 << 20;

/// Work of a copy between two rests, and their length: the server's threads wait for no more than one slice.
const WORK_SLICE: Duration = Duration::from_millis(1);
const REST: Duration = Duration::from_micros(500);

impl CopySpeed {
    /// Bytes between two syncs. Another sync waits as long as these take: half a millisecond, and two with 2 MiB.
    pub(crate) const fn bytes_between_syncs(self) -> u64 {
        match self {
            Self::BesideServer => 512 << 10,
            Self::Full => 8 << 20,
        }
    }

    /// Bytes of a database that are copied at once.
    pub(crate) const fn bytes_at_once(self) -> u64 {
        match self {
            Self::BesideServer => 128 << 10,
            Self::Full => 8 << 20,
        }
    }

    /// The pause behind a sync that took this time.
    fn pause_after(self, sync: Duration) -> Duration {
        match self {
            Self::BesideServer => (5 * sync).min(PAUSE_MAX),
            Self::Full => Duration::ZERO,
        }
    }
}

/// Says when a file that is written is to be synced, and how long to pause afterwards.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    speed: CopySpeed,
    unsynced: u64,
}

impl Pace {
    /// Goes on without pauses.
    pub(crate) fn stop_pausing(&mut self) {
        self.speed = CopySpeed::Full;
    }

    /// To be called after each write. Syncs where enough was written, and returns the pause that is due.
    ///
    /// # Errors
    /// Those of `sync`.
    pub(crate) fn written(
        &mut self,
        bytes: u64,
        sync: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<Option<Duration>> {
        self.unsynced += bytes;
        if self.unsynced < self.speed.bytes_between_syncs() {
            return Ok(None);
        }
        self.unsynced = 0;
        let began = Instant::now();
        sync()?;
        Ok(Some(self.speed.pause_after(began.elapsed())))
    }
}

/// A file that is synced as it grows, with pauses.
#[derive(Debug)]
pub struct PacedFile {
    file: File,
    pace: Pace,
    /// The log of the database that is copied.
    log: PathBuf,
    log_bytes_max: u64,
    pause: fn(Duration),
    /// The end of the last pause or rest.
    working_since: Instant,
    rest: fn(Duration),
}

impl PacedFile {
    /// A file that is empty so far, for a copy of the database with this write-ahead log.
    pub(crate) fn new(file: File, speed: CopySpeed, log: PathBuf) -> Self {
        let pace = Pace { speed, unsynced: 0 };
        let working_since = Instant::now();
        let (pause, rest) = (thread::sleep, thread::sleep);
        Self { file, pace, log, log_bytes_max: LOG_BYTES_MAX, pause, working_since, rest }
    }

    /// To be called after each write, also of another handle of the same file.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn written(&mut self, bytes: u64) -> io::Result<()> {
        if let Some(pause) = self.pace.written(bytes, || self.file.sync_data())? {
            // Without a server there is no log.
            match fs::metadata(&self.log).is_ok_and(|log| log.len() > self.log_bytes_max) {
                true => self.pace.stop_pausing(),
                false => (self.pause)(pause),
            }
            self.working_since = Instant::now();
        } else if self.pace.speed == CopySpeed::BesideServer && self.working_since.elapsed() >= WORK_SLICE {
            (self.rest)(REST);
            self.working_since = Instant::now();
        }
        Ok(())
    }

    /// The file itself, of which the last part is not synced yet.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Write for PacedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.written(written as u64)?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// From so many on the log is too long in these tests.
    const LOG_BYTES: u64 = 100;

    thread_local! {
        static PAUSES: Cell<u32> = const { Cell::new(0) };
    }

    fn pauses_of(speed: CopySpeed, bytes: usize) -> u32 {
        pauses_beside(PathBuf::from("/nowhere/log"), speed, bytes)
    }

    fn pauses_beside(log: PathBuf, speed: CopySpeed, bytes: usize) -> u32 {
        let file = tempfile::tempfile().expect("a file");
        let mut file = PacedFile {
            pause: |pause| PAUSES.with(|pauses| pauses.set(pauses.get() + u32::from(!pause.is_zero()))),
            log_bytes_max: LOG_BYTES,
            ..PacedFile::new(file, speed, log)
        };
        PAUSES.set(0);
        for part in vec![0; bytes].chunks(8_192) {
            file.write_all(part).expect("written");
        }
        assert_eq!(file.file().metadata().expect("a file").len(), bytes as u64);
        PAUSES.get()
    }

    #[test]
    fn a_copy_beside_a_server_pauses_after_each_512_kibibytes() {
        assert_eq!(pauses_of(CopySpeed::BesideServer, (2560 << 10) - 1), 4);
    }

    #[test]
    fn a_copy_beside_a_server_rests_after_a_slice_of_work() {
        thread_local! {
            static RESTS: Cell<u32> = const { Cell::new(0) };
        }
        for (speed, rests) in [(CopySpeed::BesideServer, 1), (CopySpeed::Full, 0)] {
            let file = tempfile::tempfile().expect("a file");
            let mut file = PacedFile::new(file, speed, PathBuf::from("/nowhere/log"));
            file.rest = |_| RESTS.with(|rests| rests.set(rests.get() + 1));
            file.working_since = Instant::now().checked_sub(WORK_SLICE).expect("the clock is further");
            RESTS.set(0);
            file.write_all(b"a part").expect("written");
            assert_eq!(RESTS.get(), rests, "{speed:?}");
        }
    }

    #[test]
    fn a_copy_beside_a_long_log_does_not_pause() {
        for (log_bytes, pauses) in [(LOG_BYTES, 4), (LOG_BYTES + 1, 0)] {
            let log = tempfile::NamedTempFile::new().expect("a file");
            log.as_file().set_len(log_bytes).expect("it grows");
            let path = log.path().to_path_buf();
            assert_eq!(pauses_beside(path, CopySpeed::BesideServer, (2560 << 10) - 1), pauses);
        }
    }

    #[test]
    fn a_copy_at_full_speed_never_pauses() {
        assert_eq!(pauses_of(CopySpeed::Full, 20 << 20), 0);
    }

    #[test]
    fn a_pause_lasts_five_times_a_sync_up_to_a_limit() {
        let pause_ms =
            |sync_ms| CopySpeed::BesideServer.pause_after(Duration::from_millis(sync_ms)).as_millis();
        assert_eq!((pause_ms(0), pause_ms(1), pause_ms(10_000)), (0, 5, PAUSE_MAX.as_millis()));
    }
}
