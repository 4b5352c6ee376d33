//! Reading everything that is remembered, for an export: one state of the database, row by row.

use std::fmt;

use rusqlite::{Connection, Row};

use super::{column, fault::Fault, read::Snapshot, read_only::ReadOnlyDatabase};
use crate::{
    Sequence, StoreError,
    export::{
        EventKind, ExportHeader, ExportRecord, ExportedEvent, ExportedResource, ExportedSeries, SeriesKind,
    },
};

/// One state of a database, as records.
pub struct ExportReader<'b> {
    read_only: &'b ReadOnlyDatabase,
    _snapshot: Snapshot<'b>,
}

impl fmt::Debug for ExportReader<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ExportReader").field("database", self.read_only).finish_non_exhaustive()
    }
}

impl ReadOnlyDatabase {
    /// Everything that is remembered now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn records(&self) -> Result<ExportReader<'_>, StoreError> {
        let snapshot = Snapshot::of(&self.connection).map_err(|fault| fault.at(&self.data_dir))?;
        Ok(ExportReader { read_only: self, _snapshot: snapshot })
    }
}

impl ExportReader<'_> {
    /// What is not in the records themselves.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn header(&self) -> Result<ExportHeader, StoreError> {
        let last = super::session_queue::last_sequence(&self.read_only.connection);
        let last = last.map_err(|fault| fault.at(&self.read_only.data_dir))?;
        Ok(ExportHeader { layout: self.read_only.layout, next_sequence: last + 1 })
    }

    /// Visits each record, in the order of [`ExportRecord`]'s variants.
    ///
    /// # Errors
    /// [`StoreError`], and whatever `visit` returns.
    pub fn each<E: From<StoreError>>(
        &self,
        mut visit: impl FnMut(ExportRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let ReadOnlyDatabase { connection, data_dir, .. } = self.read_only;
        for (query, record) in TABLES {
            each_row(connection, query, record, data_dir, &mut visit)?;
        }
        Ok(())
    }
}

fn each_row<E: From<StoreError>>(
    connection: &Connection,
    query: &str,
    record: fn(&Row<'_>) -> Result<ExportRecord, Fault>,
    data_dir: &str,
    visit: &mut impl FnMut(ExportRecord) -> Result<(), E>,
) -> Result<(), E> {
    let at = |error: rusqlite::Error| Fault::from(error).at(data_dir);
    let mut statement = connection.prepare(query).map_err(at)?;
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(at)? {
        visit(record(row).map_err(|fault| fault.at(data_dir))?)?;
    }
    Ok(())
}

/// `series.kind`.
pub(super) fn series_kind_number(kind: SeriesKind) -> i64 {
    match kind {
        SeriesKind::Property => column::PROPERTY,
        SeriesKind::Changes => column::CHANGES,
        SeriesKind::Location => column::LOCATION,
        SeriesKind::Actions => column::ACTIONS,
        SeriesKind::Membership => column::MEMBERSHIP,
    }
}

/// `event.kind`.
pub(super) fn event_kind_number(kind: EventKind) -> i64 {
    match kind {
        EventKind::Value => column::VALUE,
        EventKind::Created => 2,
        EventKind::Updated => 3,
        EventKind::Deleted => 4,
        EventKind::Members => column::MEMBERS,
    }
}

type Table = (&'static str, fn(&Row<'_>) -> Result<ExportRecord, Fault>);

/// In the order of [`ExportRecord`]'s variants.
const TABLES: [Table; 8] = [
    ("SELECT name, body FROM note ORDER BY name", |row| {
        Ok(ExportRecord::Meta { name: row.get(0)?, text: row.get(1)? })
    }),
    ("SELECT id, created_at_ms FROM account ORDER BY num", |row| {
        Ok(ExportRecord::Account { id: column::id(row, 0)?, created_at_ms: row.get(1)? })
    }),
    (KEYS, |row| Ok(ExportRecord::Key(column::key(row)?))),
    (
        "SELECT series.id, account.id, owner_kind, owner, kind, key
         FROM series CROSS JOIN account ON account.num = series.account ORDER BY series.id",
        |row| {
            let kind: i64 = row.get(4)?;
            let kind = SeriesKind::ALL.into_iter().find(|known| series_kind_number(*known) == kind);
            Ok(ExportRecord::Series(ExportedSeries {
                number: row.get(0)?,
                account: column::id(row, 1)?,
                owner_kind: column::kind(row.get(2)?)?,
                owner: column::id(row, 3)?,
                kind: kind.ok_or(Fault::Corrupt("series.kind"))?,
                key: row.get(5)?,
            }))
        },
    ),
    (EVENTS, |row| {
        let kind: i64 = row.get(2)?;
        let kind = EventKind::ALL.into_iter().find(|known| event_kind_number(*known) == kind);
        Ok(ExportRecord::Event(ExportedEvent {
            seq: row.get::<_, i64>(0)? as Sequence,
            series: row.get(1)?,
            kind: kind.ok_or(Fault::Corrupt("event.kind"))?,
            part: row.get(3)?,
            timestamp_ms: row.get(4)?,
            arrived_at_ms: row.get(5)?,
            body: row.get(6)?,
        }))
    }),
    (RESOURCES, |row| {
        let (resource, document) = (column::resource(row)?, row.get::<_, i64>(11)?);
        Ok(ExportRecord::Resource(ExportedResource {
            created_seq: resource.created_seq,
            id: resource.id,
            account: resource.account,
            kind: resource.kind,
            parent: resource.parent,
            document: document as Sequence,
            private: resource.private,
            scopes: resource.scopes,
            created_at_ms: resource.created_at_ms,
            updated_at_ms: resource.updated_at_ms,
        }))
    }),
    ("SELECT collection, kind, resource FROM member ORDER BY collection, kind, resource", |row| {
        Ok(ExportRecord::Member {
            collection: row.get::<_, i64>(0)? as Sequence,
            kind: column::kind(row.get(1)?)?,
            member: row.get::<_, i64>(2)? as Sequence,
        })
    }),
    ("SELECT place, id, kind FROM orphaned ORDER BY place", |row| {
        Ok(ExportRecord::Orphan {
            created_seq: row.get::<_, i64>(0)? as Sequence,
            id: column::id(row, 1)?,
            kind: column::kind(row.get(2)?)?,
        })
    }),
];

const KEYS: &str = concat!(
    "SELECT ",
    column::key_columns!(),
    " FROM api_key CROSS JOIN account ON account.num = api_key.account ORDER BY hash"
);

/// In the order of their rows: a CROSS JOIN keeps SQLite from another one. Without those that are deleted and not freed yet:
/// no client sees them any more, and an import begins with none of them.
const EVENTS: &str = "SELECT event.seq, event.series, event.kind, event.part, event.ts, event.at, event.body
    FROM event CROSS JOIN series ON series.id = event.series
    WHERE NOT EXISTS (SELECT 1 FROM doomed WHERE doomed.series = event.series
        AND doomed.before_ts > event.ts AND doomed.up_to >= event.seq)
    ORDER BY event.seq";

const RESOURCES: &str = concat!(
    "SELECT ",
    column::resource_columns!(),
    ", resource.doc
     FROM resource CROSS JOIN account ON account.num = resource.account
     CROSS JOIN event ON event.seq = resource.doc ORDER BY resource.created"
);

/// Every query of this file, for the test that looks at how SQLite goes about them.
#[cfg(test)]
pub(super) fn queries() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|(query, _)| *query)
}
