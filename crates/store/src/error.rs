//! Why a call of the store failed.

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database was written by a later version of this program.
    #[error(
        "the database has layout {found}, this program knows up to {known}: start the newer program, or restore a backup made before the upgrade"
    )]
    TooNew { found: i64, known: i64 },
    /// The database was written by a version that was never released.
    #[error(
        "the database has layout {found} of a development version, which was never released: start with an empty folder"
    )]
    TooOld { found: i64 },
    /// It cannot be opened, read or written right now: permissions, a full or failing disk, another process.
    #[error("the database at {place} cannot be used: {reason}")]
    Unavailable { place: String, reason: String },
    /// There is no database where one was to be read.
    #[error("there is no database at {place}: `serve` makes one, `restore` and `import` bring one")]
    Nothing { place: String },
    /// There is none, because what was to make it was interrupted.
    #[error(
        "{place} has no database, but {file} of a restore or an import that was interrupted: run that command again, \
         or delete the file to begin with an empty database"
    )]
    Unfinished { place: String, file: String },
    /// There is none, or an empty one, beside a file that belongs to one.
    #[error(
        "{place} has no database, but {file}, which belongs to one: put that database back, or restore a backup into an \
         empty folder; to begin with an empty database, move the file away"
    )]
    Missing { place: String, file: String },
    /// What was read back is not what was ever written.
    #[error("the database holds something that this program never wrote: {0}")]
    Corrupt(String),
}
