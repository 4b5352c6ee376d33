//! Puts a write-ahead log that a crash has left on the disk, before anything relies on it.
//!
//! After a failed sync the operating system may hold bytes that the disk does not have, and take them for written: a later
//! sync succeeds and leaves them out. SQLite would recover the log from these bytes, append behind them, and copy
//! them into the database; a loss of power then ends the log before what was acknowledged.
//!
//! Every valid frame is therefore written again, the same bytes at the same offset, and synced. A loss of power meanwhile
//! changes nothing: each sector has what it had, or what belongs there. It needs no space, and another process that
//! reads the log goes on reading it, which a copy under the same name would not give.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use super::{directory::DataDirectory, fault::Fault};

/// Frames that are read at a time: 1 MiB with pages of 8 KiB.
const FRAMES_AT_ONCE: usize = 128;

/// Bytes of a log from which on the log of the server says that it is being rewritten: it may take a while.
const LONG_BYTES: u64 = 256 << 20;

/// Rewrites the log of a database that nothing has open for writing. Called with the lock of the directory.
pub(super) fn run(directory: &DataDirectory) -> Result<(), Fault> {
    rewrite(directory).map_err(Fault::Log)
}

fn rewrite(directory: &DataDirectory) -> io::Result<()> {
    rewrite_first_page(directory)?;
    let log = match File::options().read(true).write(true).open(directory.write_ahead_log()) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let bytes = log.metadata()?.len();
    if bytes >= LONG_BYTES {
        tracing::info!(bytes, "rewriting the write-ahead log that a crash has left");
    }
    let rewritten = rewrite_frames(&log)?;
    log.sync_all()?;
    directory.sync()?;
    if rewritten > 0 {
        tracing::info!(bytes = rewritten, "the write-ahead log that a crash has left is on the disk");
    }
    Ok(())
}

/// A database whose file is empty on the disk loses its log: SQLite takes it for that of another one. The other pages that
/// the disk may lack are in the log, which starts anew only after a sync of the database.
fn rewrite_first_page(directory: &DataDirectory) -> io::Result<()> {
    let database = File::options().read(true).write(true).open(directory.database())?;
    let mut header = [0; DATABASE_HEADER_BYTES];
    if read_at_most(&database, &mut header, 0)? < header.len() {
        return Ok(());
    }
    let page_bytes = match u16::from_be_bytes([header[16], header[17]]) {
        // 65,536 does not fit.
        1 => 1 << 16,
        bytes => usize::from(bytes),
    };
    let mut page = vec![0; page_bytes];
    let read = read_at_most(&database, &mut page, 0)?;
    database.write_all_at(&page[..read], 0)?;
    database.sync_all()
}

/// Writes the header and all valid frames again. Returns how many bytes that were.
fn rewrite_frames(log: &File) -> io::Result<u64> {
    let mut header = [0; HEADER_BYTES];
    if read_at_most(log, &mut header, 0)? < HEADER_BYTES {
        return Ok(0);
    }
    let Some(mut frames) = Frames::after(&header) else { return Ok(0) };
    log.write_all_at(&header, 0)?;
    let frame_bytes = FRAME_HEADER_BYTES + frames.page_bytes;
    let mut buffer = vec![0; FRAMES_AT_ONCE * frame_bytes];
    let mut offset = HEADER_BYTES as u64;
    loop {
        let read = read_at_most(log, &mut buffer, offset)?;
        let valid = buffer[..read].chunks_exact(frame_bytes).take_while(|frame| frames.accept(frame)).count();
        log.write_all_at(&buffer[..valid * frame_bytes], offset)?;
        offset += (valid * frame_bytes) as u64;
        if valid < FRAMES_AT_ONCE {
            return Ok(offset);
        }
    }
}

/// Fills the buffer as far as the file reaches.
fn read_at_most(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

// The format is at https://www.sqlite.org/fileformat2.html#the_write_ahead_log.

const DATABASE_HEADER_BYTES: usize = 100;
const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;

/// The last bit says in which order the bytes of a checksum's words are.
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;

/// Tells valid frames from those of an earlier log, and from what was half written, as SQLite's recovery does.
struct Frames {
    page_bytes: usize,
    is_big_endian: bool,
    salt: [u8; 8],
    /// Of everything before the next frame.
    checksum: [u32; 2],
}

impl Frames {
    /// Those after this header; `None` where it is none of a log that SQLite would use.
    fn after(header: &[u8; HEADER_BYTES]) -> Option<Self> {
        let magic = word(header, 0);
        let page_bytes = word(header, 8) as usize;
        let is_usable = magic & !1 == MAGIC
            && word(header, 4) == VERSION
            && page_bytes.is_power_of_two()
            && (512..=1 << 16).contains(&page_bytes);
        let mut frames = Self {
            page_bytes,
            is_big_endian: magic & 1 == 1,
            salt: header[16..24].try_into().expect("8 bytes"),
            checksum: [0; 2],
        };
        frames.add(&header[..24]);
        (is_usable && frames.checksum == [word(header, 24), word(header, 28)]).then_some(frames)
    }

    /// Whether this is the next frame.
    fn accept(&mut self, frame: &[u8]) -> bool {
        if word(frame, 0) == 0 || frame[8..16] != self.salt {
            return false;
        }
        self.add(&frame[..8]);
        self.add(&frame[FRAME_HEADER_BYTES..]);
        self.checksum == [word(frame, 16), word(frame, 20)]
    }

    fn add(&mut self, bytes: &[u8]) {
        let read = if self.is_big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
        let [mut first, mut second] = self.checksum;
        for pair in bytes.chunks_exact(8) {
            first = first.wrapping_add(read(pair[..4].try_into().expect("4 bytes"))).wrapping_add(second);
            second = second.wrapping_add(read(pair[4..].try_into().expect("4 bytes"))).wrapping_add(first);
        }
        self.checksum = [first, second];
    }
}

/// The headers are in network byte order.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rusqlite::Connection;

    use super::*;

    const PAGE_BYTES: u64 = 512;

    /// The log of a database with so many commits, a frame or more each.
    fn log_of(commits: u32) -> (tempfile::TempDir, Vec<u8>, u64) {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Connection::open(folder.path().join("db")).expect("a database");
        database.execute_batch("PRAGMA page_size = 512; PRAGMA journal_mode = WAL").expect("WAL");
        database.execute_batch("CREATE TABLE t (v)").expect("a table");
        for number in 0..commits {
            database.execute("INSERT INTO t VALUES (?1)", [format!("{number:0200}")]).expect("a row");
        }
        let frames = database.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get::<_, i64>(1));
        let frames = u64::try_from(frames.expect("how many")).expect("a number");
        let log = fs::read(folder.path().join("db-wal")).expect("the log");
        (folder, log, 32 + frames * (24 + PAGE_BYTES))
    }

    /// Rewrites a file with these bytes, which it must leave as they are. Returns up to where it was rewritten.
    fn rewritten(folder: &tempfile::TempDir, bytes: &[u8]) -> u64 {
        let path = folder.path().join("log");
        fs::write(&path, bytes).expect("a file");
        let log = File::options().read(true).write(true).open(&path).expect("the file");
        let end = rewrite_frames(&log).expect("it can be written");
        assert!(fs::read(&path).expect("the file") == bytes, "no byte has changed");
        end
    }

    #[test]
    fn all_frames_that_sqlite_would_read_are_rewritten() {
        for commits in [0, 1, 100, 500] {
            let (folder, log, end) = log_of(commits);
            assert_eq!(rewritten(&folder, &log), end, "{commits} commits");
        }
    }

    #[test]
    fn a_log_is_rewritten_up_to_its_first_invalid_frame() {
        let (folder, log, _) = log_of(300);
        let frame_bytes = 24 + PAGE_BYTES as usize;
        for frame in [0, 1, 127, 128, 129, 255, 256] {
            let at = 32 + frame * frame_bytes;
            // Its page number, salt, checksum, and the first and last byte of its page.
            for byte in [at, at + 8, at + 16, at + 24, at + frame_bytes - 1] {
                let mut broken = log.clone();
                broken[byte] ^= 0xff;
                assert_eq!(rewritten(&folder, &broken), at as u64, "byte {byte}");
            }
            assert_eq!(rewritten(&folder, &log[..at + 40]), at as u64, "cut in frame {frame}");
        }
    }

    #[test]
    fn what_sqlite_takes_for_no_log_is_left_alone() {
        let (folder, log, _) = log_of(3);
        assert_eq!(rewritten(&folder, b""), 0);
        assert_eq!(rewritten(&folder, &log[..31]), 0);
        for byte in [0, 4, 8, 16, 24] {
            let mut broken = log.clone();
            broken[byte] ^= 0xff;
            assert_eq!(rewritten(&folder, &broken), 0, "byte {byte}");
        }
    }
}
