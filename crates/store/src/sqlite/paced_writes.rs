//! Lets a thread do something after each page that SQLite writes, such as sync and pause.
//!
//! SQLite writes all pages of a checkpoint in one call and offers no way to pause it. Its files are written by a table of
//! system calls that a program may replace, and `pwrite` is replaced here.

#![allow(unsafe_code, reason = "the table of system calls is a part of SQLite's C interface")]

use std::{
    cell::RefCell,
    ffi::{c_int, c_void},
    mem, ptr,
    sync::{Once, OnceLock},
};

use rusqlite::ffi;

/// SQLite is compiled for offsets of 64 bits everywhere.
type Write = unsafe extern "C" fn(c_int, *const c_void, usize, i64) -> isize;
type SystemCall = unsafe extern "C" fn();
type AfterWrite = Box<dyn FnMut(u64)>;

/// The `pwrite` that SQLite had. It is set before SQLite gets the other one.
static SYSTEM_WRITE: OnceLock<Write> = OnceLock::new();

thread_local! {
    /// What follows each write of this thread; it is given the bytes.
    static AFTER_WRITE: RefCell<Option<AfterWrite>> = const { RefCell::new(None) };
}

/// Replaces SQLite's `pwrite`. To be called before each connection is opened, since SQLite does not lock the table.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        if !replace() {
            tracing::warn!(
                "this SQLite has no pwrite to replace: a long write-ahead log is carried over at once, and writes wait"
            );
        }
    });
}

/// Returns whether there was something to replace.
fn replace() -> bool {
    // SAFETY: Null names the default. What SQLite returns is valid for as long as the process lives.
    let vfs = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
    let Some(calls) = (unsafe { vfs.as_ref() }).filter(|vfs| vfs.iVersion >= 3) else { return false };
    let (Some(get), Some(set)) = (calls.xGetSystemCall, calls.xSetSystemCall) else { return false };
    // SAFETY: `vfs` is not null, the name is a C string, and both functions belong to this `vfs`.
    let Some(system_write) = (unsafe { get(vfs, c"pwrite".as_ptr()) }) else { return false };
    // SAFETY: SQLite calls the entry of this name with the type of POSIX's `pwrite`, and casts it in the same way.
    let system_write = unsafe { mem::transmute::<SystemCall, Write>(system_write) };
    let ours = unsafe { mem::transmute::<Write, SystemCall>(write) };
    // SAFETY: As for `get`. This runs once, and no connection of the store is open, so nothing reads the table: each is
    // opened after a call of `install`.
    SYSTEM_WRITE.set(system_write).is_ok()
        && unsafe { set(vfs, c"pwrite".as_ptr(), Some(ours)) } == ffi::SQLITE_OK
}

/// Does `work`, and `after_write` after each write of SQLite's on this thread meanwhile.
pub(super) fn with<T>(after_write: impl FnMut(u64) + 'static, work: impl FnOnce() -> T) -> T {
    /// Also when `work` panics.
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            AFTER_WRITE.set(None);
        }
    }
    AFTER_WRITE.set(Some(Box::new(after_write)));
    let _reset = Reset;
    work()
}

/// # Safety
/// As for POSIX's `pwrite`.
unsafe extern "C" fn write(file: c_int, bytes: *const c_void, count: usize, offset: i64) -> isize {
    // It is set: `install` sees to that first.
    let Some(system_write) = SYSTEM_WRITE.get() else { return -1 };
    // SAFETY: SQLite passes what it would pass to the system's.
    let written = unsafe { system_write(file, bytes, count, offset) };
    // After a failure SQLite reads the number of the error, so nothing may be called that changes it.
    if written > 0 {
        // It fails while the thread ends, or for a write within `after_write`.
        let _ = AFTER_WRITE.try_with(|after_write| {
            if let Ok(mut after_write) = after_write.try_borrow_mut()
                && let Some(after_write) = after_write.as_mut()
            {
                after_write(written.unsigned_abs() as u64);
            }
        });
    }
    written
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use rusqlite::Connection;

    use super::*;

    #[test]
    fn each_page_of_a_checkpoint_is_followed_by_a_call() {
        install();
        let folder = tempfile::tempdir().expect("a folder");
        let connection = Connection::open(folder.path().join("database")).expect("a database");
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x);
                 INSERT INTO t VALUES (zeroblob(3000000))",
            )
            .expect("written");
        let (pages, longest) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let calls = (Rc::clone(&pages), Rc::clone(&longest));
        let after_write = move |bytes: u64| {
            calls.0.set(calls.0.get() + 1);
            calls.1.set(calls.1.get().max(bytes));
        };
        let carried: u32 = with(after_write, || {
            connection
                .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(2))
                .expect("a checkpoint")
        });
        assert!(carried > 700, "{carried} pages of 4 KiB");
        // The page that two commits changed is written once.
        assert!((carried - 3..=carried).contains(&pages.get()), "{} of {carried}", pages.get());
        assert_eq!(longest.get(), 4_096);
        let before = pages.get();
        connection.execute_batch("INSERT INTO t VALUES (1)").expect("written");
        assert_eq!(pages.get(), before, "writes afterwards are not followed by it");
    }
}
