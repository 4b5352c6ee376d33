//! The file of the client-event journal: a bounded list of events, and the owners of revoked keys.
//!
//! It is a database of its own, so that neither the layout nor the commits of the main one know of it. It is in no backup
//! and no export, and a loss of power may cost its last minutes. A file that cannot be read is replaced by an empty one.

use std::{
    collections::HashMap,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use thng_pubsub_protocol::id::Id;

use super::{column, fault::Fault};
use crate::{
    Actor, Cursor, KeyHash, Page, SortOrder, StoreError, TimestampMs,
    client_events::{
        EventOwner, EventRequest, EventScope, JournalLimits, JournalSize, NewClientEvent,
        RepeatedClientEvent, StoredClientEvent,
    },
};

/// The file in the data folder.
pub const CLIENT_EVENTS_FILE: &str = "client-events.db";

const LAYOUT: i64 = 1;

/// KiB of pages that each of the two connections caches.
const CACHE_KIB: i64 = 512;

/// Bytes that an event takes besides its document: the other columns, and the indices.
const EVENT_BYTES: u64 = 200;

/// Events that are removed at a time where the bytes are too many.
const REMOVED_AT_A_TIME: u64 = 256;

/// Owners of revoked keys that are remembered; beyond it the oldest are forgotten.
const REVOKED_KEYS_MAX: i64 = 100_000;

/// The journal's file: one thread writes, others read.
#[derive(Debug)]
pub struct ClientEventFile {
    path: PathBuf,
    limits: JournalLimits,
    writer: Mutex<Writer>,
    /// One read at a time, so that readers cost one connection.
    reader: Mutex<Connection>,
}

#[derive(Debug)]
struct Writer {
    connection: Connection,
    size: JournalSize,
    next_seq: u64,
    /// Events of each account, and of none.
    of_account: HashMap<Option<Id>, u64>,
}

impl ClientEventFile {
    /// Opens `directory`/client-events.db, and makes it for its owner only where it is missing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub fn open(directory: &Path, limits: JournalLimits) -> Result<Self, StoreError> {
        let path = directory.join(CLIENT_EVENTS_FILE);
        match Self::try_open(&path, limits).map_err(|fault| fault.at_file(&path)) {
            Err(error @ StoreError::Corrupt(_)) => {
                tracing::warn!(%error, "the client-event journal begins anew beside the damaged one");
                set_aside(&path)
                    .and_then(|()| Self::try_open(&path, limits))
                    .map_err(|fault| fault.at_file(&path))
            }
            opened => opened,
        }
    }

    fn try_open(path: &Path, limits: JournalLimits) -> Result<Self, Fault> {
        make(path)?;
        let connection = connect(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        match connection.pragma_query_value(None, "user_version", |row| row.get(0))? {
            LAYOUT => {}
            0 => {
                connection.execute_batch(include_str!("client_events.sql"))?;
                connection.pragma_update(None, "user_version", LAYOUT)?;
            }
            _ => return Err(Fault::Corrupt("of another layout")),
        }
        let reader = connect(path)?;
        reader.pragma_update(None, "query_only", true)?;
        let writer = Mutex::new(Writer::new(connection)?);
        Ok(Self { path: path.into(), limits, writer, reader: Mutex::new(reader) })
    }

    /// Stores a batch in one transaction, and removes what is beyond the limits. Returns the sequences of the new events.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; nothing of the batch is stored then.
    pub fn store(
        &self,
        new: &[NewClientEvent],
        repeated: &[RepeatedClientEvent],
        now_ms: TimestampMs,
    ) -> Result<Vec<u64>, StoreError> {
        let mut writer = self.writer.lock();
        writer.store(new, repeated, self.limits, now_ms).map_err(|fault| {
            // What was counted ahead of the failed transaction is counted again.
            if let Err(fault) = writer.recount() {
                tracing::warn!(error = %fault.at_file(&self.path), "the client-event journal cannot be read");
            }
            fault.at_file(&self.path)
        })
    }

    /// What is stored.
    pub fn size(&self) -> JournalSize {
        self.writer.lock().size
    }

    /// Remembers the owner of keys that were revoked.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub fn remember_revoked(&self, owners: &[EventOwner], now_ms: TimestampMs) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        writer.remember_revoked(owners, now_ms).map_err(|fault| fault.at_file(&self.path))
    }

    /// The owner of a key that was revoked, while it is remembered.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub fn revoked(&self, key: &KeyHash) -> Result<Option<EventOwner>, StoreError> {
        // Lists may keep the reader for long, and the thread that stores events asks this.
        let writer = self.writer.lock();
        owner_of_revoked(&writer.connection, key).map_err(|fault| fault.at_file(&self.path))
    }

    /// The next page of a scope, of the events that `admits` accepts.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub fn list(
        &self,
        request: &EventRequest,
        admits: &mut dyn FnMut(&StoredClientEvent) -> bool,
    ) -> Result<Page<StoredClientEvent>, StoreError> {
        let reader = self.reader.lock();
        list(&reader, request, admits).map_err(|fault| fault.at_file(&self.path))
    }
}

impl Writer {
    fn new(connection: Connection) -> Result<Self, Fault> {
        let (size, of_account) = (JournalSize::default(), HashMap::new());
        let mut writer = Self { connection, size, next_seq: 1, of_account };
        writer.recount()?;
        Ok(writer)
    }

    fn recount(&mut self) -> Result<(), Fault> {
        self.size = JournalSize::default();
        self.of_account.clear();
        let mut statement = self.connection.prepare_cached(COUNT)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (events, bytes) = (unsigned(row, 1)?, unsigned(row, 2)?);
            self.of_account.insert(column::optional_id(row, 0)?, events);
            self.size.events += events;
            self.size.bytes += bytes + events * EVENT_BYTES;
        }
        let newest: Option<u64> = self
            .connection
            .query_row(NEWEST, [], |row| Ok(row.get::<_, Option<i64>>(0)?.map(i64::cast_unsigned)))?;
        self.next_seq = self.next_seq.max(newest.unwrap_or(0) + 1);
        Ok(())
    }

    fn store(
        &mut self,
        new: &[NewClientEvent],
        repeated: &[RepeatedClientEvent],
        limits: JournalLimits,
        now_ms: TimestampMs,
    ) -> Result<Vec<u64>, Fault> {
        let Self { connection, size, next_seq, of_account } = self;
        let transaction = connection.transaction()?;
        let mut seqs = Vec::with_capacity(new.len());
        for event in new {
            let NewClientEvent { owner, first_at_ms, last_at_ms, count, document } = event;
            let (kind, actor) = owner.actor.map(column::actor_columns).unzip();
            transaction.prepare_cached(ADD)?.execute(params![
                next_seq.cast_signed(),
                owner.account.as_ref().map(Id::as_str),
                owner.key.map(|key| key.handle()),
                kind,
                actor.as_ref().map(Id::as_str),
                first_at_ms,
                last_at_ms,
                count.cast_signed(),
                document,
            ])?;
            seqs.push(*next_seq);
            *next_seq += 1;
            *of_account.entry(owner.account).or_default() += 1;
            size.events += 1;
            size.bytes += document.len() as u64 + EVENT_BYTES;
        }
        for again in repeated {
            transaction.prepare_cached(REPEAT)?.execute(params![
                again.seq.cast_signed(),
                again.last_at_ms,
                again.count.cast_signed()
            ])?;
        }
        let mut removed = remove_old(&transaction, now_ms.saturating_sub(limits.age_ms))?;
        removed.subtract(size, of_account);
        while size.events > limits.events || size.bytes > limits.bytes {
            let Some((account, excess)) = largest(of_account, size, limits) else { break };
            removed = remove_of(&transaction, account, excess)?;
            if removed.0.is_empty() {
                break;
            }
            removed.subtract(size, of_account);
        }
        transaction.commit()?;
        Ok(seqs)
    }

    fn remember_revoked(&mut self, owners: &[EventOwner], now_ms: TimestampMs) -> Result<(), Fault> {
        let transaction = self.connection.transaction()?;
        for owner in owners {
            let (Some(key), Some(account)) = (owner.key, owner.account) else { continue };
            let (kind, actor) = owner.actor.map(column::actor_columns).unzip();
            transaction.prepare_cached(REMEMBER)?.execute(params![
                &key.0[..],
                account.as_str(),
                kind,
                actor.as_ref().map(Id::as_str),
                now_ms
            ])?;
        }
        transaction.prepare_cached(FORGET)?.execute([REVOKED_KEYS_MAX])?;
        Ok(transaction.commit()?)
    }
}

/// The accounts of removed events, with the bytes of each.
struct Removed(Vec<(Option<Id>, u64)>);

impl Removed {
    fn read(mut rows: rusqlite::Rows<'_>) -> Result<Self, Fault> {
        let mut removed = Vec::new();
        while let Some(row) = rows.next()? {
            removed.push((column::optional_id(row, 0)?, unsigned(row, 1)? + EVENT_BYTES));
        }
        Ok(Self(removed))
    }

    fn subtract(&self, size: &mut JournalSize, of_account: &mut HashMap<Option<Id>, u64>) {
        for (account, bytes) in &self.0 {
            size.events = size.events.saturating_sub(1);
            size.bytes = size.bytes.saturating_sub(*bytes);
            if let Some(events) = of_account.get_mut(account) {
                *events = events.saturating_sub(1);
            }
        }
        of_account.retain(|_, events| *events > 0);
    }
}

/// The account that has most events, and how many of them have to go before another one has more.
fn largest(
    of_account: &HashMap<Option<Id>, u64>,
    size: &JournalSize,
    limits: JournalLimits,
) -> Option<(Option<Id>, u64)> {
    let (account, most) = of_account.iter().max_by_key(|(_, events)| **events)?;
    let second = of_account.iter().filter(|(other, _)| *other != account).map(|(_, events)| *events).max();
    let lead = most.saturating_sub(second.unwrap_or(0)).max(1);
    let excess = size.events.saturating_sub(limits.events);
    let excess = if excess == 0 { REMOVED_AT_A_TIME } else { excess };
    Some((*account, excess.min(lead).min(*most)))
}

fn remove_old(connection: &Connection, before_ms: TimestampMs) -> Result<Removed, Fault> {
    // Events are stored in the order of time, so the oldest says whether there is one to remove.
    let oldest: Option<TimestampMs> =
        connection.prepare_cached(OLDEST)?.query_row([], |row| row.get(0)).optional()?;
    if oldest.is_none_or(|oldest| oldest >= before_ms) {
        return Ok(Removed(Vec::new()));
    }
    Removed::read(connection.prepare_cached(REMOVE_OLD)?.query([before_ms])?)
}

fn remove_of(connection: &Connection, account: Option<Id>, events: u64) -> Result<Removed, Fault> {
    let account = account.as_ref().map(Id::as_str);
    Removed::read(connection.prepare_cached(REMOVE_OF)?.query(params![account, events.cast_signed()])?)
}

fn owner_of_revoked(connection: &Connection, key: &KeyHash) -> Result<Option<EventOwner>, Fault> {
    let mut statement = connection.prepare_cached(REVOKED)?;
    let mut rows = statement.query([&key.0[..]])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(EventOwner { account: column::optional_id(row, 0)?, key: Some(*key), actor: actor(row, 1)? }))
}

fn list(
    connection: &Connection,
    request: &EventRequest,
    admits: &mut dyn FnMut(&StoredClientEvent) -> bool,
) -> Result<Page<StoredClientEvent>, Fault> {
    let EventRequest { scope, page, looked_at_max } = request;
    let newest_first = page.order == SortOrder::NewestFirst;
    let after = page.after.map(|after| after.seq.cast_signed());
    let mut items = Vec::new();
    let mut looked_at = 0;
    let mut last = None;
    let mut next = None;
    let mut position = after;
    // Two scopes have two indices: what has no account is merged by sequence.
    let sources: Vec<(&str, [Option<String>; 2])> = match *scope {
        EventScope::Account(account) => vec![(of_account(newest_first), [Some(account.to_string()), None])],
        EventScope::AccountAndUnattributed(account) => vec![
            (of_account(newest_first), [Some(account.to_string()), None]),
            (of_account(newest_first), [None, None]),
        ],
        EventScope::Actor(account, own) => {
            let (_, id) = column::actor_columns(own);
            vec![(of_actor(newest_first), [Some(id.to_string()), Some(account.to_string())])]
        }
    };
    let is_before = |one: u64, other: u64| if newest_first { one > other } else { one < other };
    'pages: loop {
        let mut batch: Vec<StoredClientEvent> = Vec::new();
        for (statement, [first, second]) in &sources {
            let mut statement = connection.prepare_cached(statement)?;
            let mut rows = statement.query(params![first, second, position, BATCH])?;
            while let Some(row) = rows.next()? {
                batch.push(stored(row)?);
            }
        }
        batch.sort_unstable_by(|one, other| {
            if is_before(one.seq, other.seq) { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater }
        });
        batch.truncate(usize::try_from(BATCH).unwrap_or(usize::MAX));
        let is_last = (batch.len() as i64) < BATCH;
        for event in batch {
            if looked_at == *looked_at_max || items.len() == page.items {
                next = last;
                break 'pages;
            }
            looked_at += 1;
            position = Some(event.seq.cast_signed());
            last = Some(Cursor { at_ms: event.first_at_ms, seq: event.seq });
            if admits(&event) {
                items.push(event);
            }
        }
        if is_last {
            break;
        }
    }
    Ok(Page { items, next })
}

/// Events that are read at a time.
const BATCH: i64 = 128;

fn of_account(newest_first: bool) -> &'static str {
    if newest_first { OF_ACCOUNT_NEWEST } else { OF_ACCOUNT_OLDEST }
}

fn of_actor(newest_first: bool) -> &'static str {
    if newest_first { OF_ACTOR_NEWEST } else { OF_ACTOR_OLDEST }
}

fn stored(row: &Row<'_>) -> Result<StoredClientEvent, Fault> {
    Ok(StoredClientEvent {
        seq: unsigned(row, 0)?,
        handle: row.get(1)?,
        actor: actor(row, 2)?,
        first_at_ms: row.get(4)?,
        last_at_ms: row.get(5)?,
        count: unsigned(row, 6)?,
        document: row.get(7)?,
    })
}

fn actor(row: &Row<'_>, first: usize) -> Result<Option<Actor>, Fault> {
    let kind: Option<i64> = row.get(first)?;
    kind.map(|_| column::actor(row, first)).transpose()
}

fn unsigned(row: &Row<'_>, column: usize) -> Result<u64, Fault> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}

fn connect(path: &Path) -> Result<Connection, Fault> {
    let connection = super::connection::open(path)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    Ok(connection)
}

/// Makes the file for its owner only; SQLite gives its other files the same permissions.
fn make(path: &Path) -> Result<(), Fault> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create(true).truncate(false).open(path).map(drop).map_err(Fault::File)
}

/// Renames a damaged file, so that it can be looked at; one that was set aside before goes.
fn set_aside(path: &Path) -> Result<(), Fault> {
    for suffix in ["-wal", "-shm"] {
        match fs::remove_file(path.with_file_name(format!("{CLIENT_EVENTS_FILE}{suffix}"))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Fault::File(error)),
            Ok(()) | Err(_) => {}
        }
    }
    fs::rename(path, path.with_file_name(format!("{CLIENT_EVENTS_FILE}.damaged"))).map_err(Fault::File)
}

const ADD: &str = "INSERT INTO event
    (seq, account, handle, actor_kind, actor, first_at_ms, last_at_ms, count, document)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

const REPEAT: &str = "UPDATE event SET count = count + ?3, last_at_ms = max(last_at_ms, ?2) WHERE seq = ?1";

const COUNT: &str =
    "SELECT account, count(*), sum(length(CAST(document AS BLOB))) FROM event GROUP BY account";

const NEWEST: &str = "SELECT max(seq) FROM event";

const OLDEST: &str = "SELECT last_at_ms FROM event ORDER BY seq LIMIT 1";

const REMOVE_OLD: &str = "DELETE FROM event WHERE last_at_ms < ?1
    RETURNING account, length(CAST(document AS BLOB))";

const REMOVE_OF: &str = "DELETE FROM event WHERE seq IN
    (SELECT seq FROM event WHERE account IS ?1 ORDER BY seq LIMIT ?2)
    RETURNING account, length(CAST(document AS BLOB))";

const REMEMBER: &str = "INSERT OR REPLACE INTO revoked_key (hash, account, actor_kind, actor, at_ms)
    VALUES (?1, ?2, ?3, ?4, ?5)";

const FORGET: &str = "DELETE FROM revoked_key WHERE hash IN
    (SELECT hash FROM revoked_key ORDER BY at_ms DESC LIMIT -1 OFFSET ?1)";

const REVOKED: &str = "SELECT account, actor_kind, actor FROM revoked_key WHERE hash = ?1";

const OF_ACCOUNT_NEWEST: &str =
    "SELECT seq, handle, actor_kind, actor, first_at_ms, last_at_ms, count, document FROM event
    WHERE account IS ?1 AND ?2 IS NULL AND seq < coalesce(?3, 9223372036854775807) ORDER BY seq DESC LIMIT ?4";

const OF_ACCOUNT_OLDEST: &str =
    "SELECT seq, handle, actor_kind, actor, first_at_ms, last_at_ms, count, document FROM event
    WHERE account IS ?1 AND ?2 IS NULL AND seq > coalesce(?3, -1) ORDER BY seq LIMIT ?4";

const OF_ACTOR_NEWEST: &str =
    "SELECT seq, handle, actor_kind, actor, first_at_ms, last_at_ms, count, document FROM event
    WHERE actor = ?1 AND account = ?2 AND seq < coalesce(?3, 9223372036854775807) ORDER BY seq DESC LIMIT ?4";

const OF_ACTOR_OLDEST: &str =
    "SELECT seq, handle, actor_kind, actor, first_at_ms, last_at_ms, count, document FROM event
    WHERE actor = ?1 AND account = ?2 AND seq > coalesce(?3, -1) ORDER BY seq LIMIT ?4";
