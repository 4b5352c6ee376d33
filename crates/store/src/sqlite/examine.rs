//! Looking a database over for `doctor`: is it whole, and does what it says go together? Changes nothing.

use std::{fs, path::Path};

use rusqlite::Connection;

use super::{
    directory::{DATABASE_FILE, WRITE_AHEAD_FILE},
    fault::Fault,
    layout,
    read_only::ReadOnlyDatabase,
};
use crate::StoreError;

/// Faults that are named at the most: one is enough to restore a backup.
const FAULTS_MAX: i64 = 10;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// What does not fit together; SQLite's own words, which name tables and pages and never a value.
    pub faults: Vec<String>,
    /// Rows that name a row that is not there.
    pub dangling: u64,
}

/// The sizes of a database's files, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    pub database: u64,
    /// The write-ahead log; 0 where there is none.
    pub log: u64,
}

/// The layout that this program writes.
pub const KNOWN_LAYOUT: i64 = layout::KNOWN;

/// How large the files of a database are; `None` where there is no database.
pub fn sizes(directory: &Path) -> Option<Sizes> {
    let bytes = |name: &str| fs::metadata(directory.join(name)).ok().map(|file| file.len());
    let log = bytes(WRITE_AHEAD_FILE).unwrap_or(0);
    Some(Sizes { database: bytes(DATABASE_FILE)?, log })
}

impl ReadOnlyDatabase {
    /// Reads the whole database. `full`: also that each index holds what its table does, which takes several times as long.
    ///
    /// # Errors
    /// [`StoreError`], where it is too damaged to be read at all.
    pub fn examine(&self, full: bool) -> Result<Examination, StoreError> {
        examine(&self.connection, self.layout, full).map_err(|fault| fault.at(&self.data_dir))
    }
}

fn examine(connection: &Connection, layout: i64, full: bool) -> Result<Examination, Fault> {
    let check = if full { "integrity_check" } else { "quick_check" };
    let mut statement = connection.prepare(&format!("PRAGMA {check}({FAULTS_MAX})"))?;
    let faults = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    let mut faults: Vec<_> = faults.into_iter().filter(|fault| fault != "ok").collect();
    if full && layout >= layout::VALUES_BY_TIME {
        for (query, fault) in INDEX_FAULTS {
            let count: i64 = connection.query_row(query, [], |row| row.get(0))?;
            if count > 0 {
                faults.push(format!("{fault}: {count}"));
            }
        }
    }
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let (mut rows, mut dangling) = (statement.raw_query(), 0);
    while rows.next()?.is_some() {
        dangling += 1;
    }
    Ok(Examination { faults, dangling })
}

/// SQLite does not know that one table is an index of another.
const INDEX_FAULTS: [(&str, &str); 2] = [
    (
        "SELECT count(*) FROM value_by_time AS at WHERE NOT EXISTS (SELECT 1 FROM event
            WHERE event.seq = at.seq AND event.series = at.series AND event.ts = at.ts)",
        "rows of value_by_time without their value",
    ),
    (
        "SELECT count(*) FROM event WHERE kind = 1 AND seq <= (SELECT up_to FROM indexed)
            AND NOT EXISTS (SELECT 1 FROM value_by_time AS at
                WHERE at.series = event.series AND at.ts = event.ts AND at.seq = event.seq)",
        "values that value_by_time lacks",
    ),
];
