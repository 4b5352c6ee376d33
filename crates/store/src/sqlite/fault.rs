//! Errors inside the store, and the sentences that its callers see.
//!
//! The sentences name what to look at (disk, permissions, another process), never a value that was stored.

use std::{io, path::Path};

use rusqlite::{Error, ErrorCode, ffi};

use crate::StoreError;

/// Why a statement or a row was not what it should be; [`Fault::at`] makes a [`StoreError`] of it.
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(Error),
    /// The operating system refused a thread.
    Thread(io::Error),
    /// A file could not be opened, written or synced.
    File(io::Error),
    /// The write-ahead log that a crash has left could not be put on the disk.
    Log(io::Error),
    /// There is no database, or none that was ever used.
    Nothing,
    /// There is no database, but this file of one that was being made.
    Unfinished(&'static str),
    /// There is no database, but this file that belongs to one.
    Missing(&'static str),
    /// A row that does not read as what it was written from; says which column.
    Corrupt(&'static str),
    TooNew {
        found: i64,
        known: i64,
    },
    TooOld {
        found: i64,
    },
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Fault {
    /// The error for the caller; `data_dir` is where it is.
    pub(super) fn at(self, data_dir: &str) -> StoreError {
        self.of(data_dir, &format!("{data_dir}/{}", super::directory::DATABASE_FILE))
    }

    /// The error for the caller, about a file that is not in its data directory.
    pub(super) fn at_file(self, file: &Path) -> StoreError {
        let file = file.display().to_string();
        match self {
            Self::Corrupt(what) => StoreError::Corrupt(format!("{file} is {what}")),
            fault => fault.of(&file, &file),
        }
    }

    fn of(self, data_dir: &str, file: &str) -> StoreError {
        match self {
            Self::Sqlite(Error::SqliteFailure(error, _) | Error::SqlInputError { error, .. }) => {
                failure(error, data_dir, file)
            }
            // What else rusqlite reports is about a row that is there and does not fit.
            Self::Sqlite(_) => StoreError::Corrupt("a column of another type".into()),
            Self::Thread(error) => StoreError::Unavailable {
                data_dir: data_dir.into(),
                reason: format!("no thread for it: {error}"),
            },
            Self::File(error) => {
                StoreError::Unavailable { data_dir: data_dir.into(), reason: describe(&error) }
            }
            Self::Log(error) => StoreError::Unavailable {
                data_dir: data_dir.into(),
                reason: format!("its write-ahead log cannot be put on the disk: {}", describe(&error)),
            },
            Self::Nothing => StoreError::Nothing { data_dir: data_dir.into() },
            Self::Unfinished(file) => StoreError::Unfinished { data_dir: data_dir.into(), file: file.into() },
            Self::Missing(file) => StoreError::Missing { data_dir: data_dir.into(), file: file.into() },
            Self::Corrupt(what) => StoreError::Corrupt(what.into()),
            Self::TooNew { found, known } => StoreError::TooNew { found, known },
            Self::TooOld { found } => StoreError::TooOld { found },
        }
    }
}

fn failure(error: ffi::Error, data_dir: &str, file: &str) -> StoreError {
    let reason = match error.code {
        ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt => {
            return StoreError::Corrupt(format!("{file} is damaged"));
        }
        ErrorCode::DiskFull => "the disk is full".into(),
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => "this process may not write there".into(),
        ErrorCode::CannotOpen => "its files cannot be opened, look at the permissions".into(),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => "another process holds it locked".into(),
        ErrorCode::SystemIoFailure => format!("the disk failed (SQLite's code {})", error.extended_code),
        _ => ffi::code_to_str(error.extended_code).to_ascii_lowercase(),
    };
    StoreError::Unavailable { data_dir: data_dir.into(), reason }
}

/// The sentence for a failure of the file system.
pub(super) fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock => "another server has it open".into(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "this process may not write there".into()
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full".into(),
        io::ErrorKind::DirectoryNotEmpty => "it is not empty".into(),
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "it is not a directory".into(),
        _ => error.to_string(),
    }
}
