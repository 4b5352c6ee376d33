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
    #[error("the database at {data_dir} cannot be used: {reason}")]
    Unavailable { data_dir: String, reason: String },
    /// There is no database where one was to be read.
    #[error("there is no database at {data_dir}: `serve` makes one, `restore` and `import` bring one")]
    Nothing { data_dir: String },
    /// There is none, because what was to make it was interrupted.
    #[error(
        "{data_dir} has no database, but {file} of a restore or an import that was interrupted: run that command again, \
         or delete the file to begin with an empty database"
    )]
    Unfinished { data_dir: String, file: String },
    /// There is none, or an empty one, beside a file that belongs to one.
    #[error(
        "{data_dir} has no database, but {file}, which belongs to one: put that database back, or restore a backup into an \
         empty folder; to begin with an empty database, move the file away"
    )]
    Missing { data_dir: String, file: String },
    /// What was read back is not what was ever written.
    #[error("the database holds something that this program never wrote: {0}")]
    Corrupt(String),
}
