//! Lists: the positions of an [`IndexScan`] one after the other, each found by a seek in an index.
//!
//! Every source can say which of its positions comes next from a given one. What is in each of several sources is found
//! by letting them overtake one another, what is in any of them by taking the nearest. So a page costs a few seeks for
//! each item that it shows, wherever in the list it lies and however long the list is.

use std::{cell::Cell, time::Instant};

use rusqlite::{Connection, params};
use thng_pubsub_protocol::payload::ResourceKind;

use super::{column, fault::Fault, read};
use crate::{
    Cursor, IndexScan, ListPart, ListRequest, OpenTask, ResourceRecord, ScanProgress, Sequence, SortOrder,
};

/// What looking at an item costs besides its bytes, in bytes.
const ITEM_BYTES: usize = 512;

/// Seeks with which sources overtake one another in one call: some milliseconds' work.
const SEEKS_AT_ONCE: usize = 1_000;

/// Entries of an index that one query counts: some milliseconds' work.
const COUNTED_AT_ONCE: i64 = 50_000;

/// A source with what it takes to ask it.
struct IndexScanner<'c> {
    connection: &'c Connection,
    account: &'c str,
    kind: i64,
    order: SortOrder,
    node: Node,
    /// Seeks with which sources may still overtake one another. Those that have little in common could do so for long.
    seeks_left: Cell<usize>,
    /// When they stop doing so.
    until: Option<Instant>,
}

/// [`IndexScan`], with ids turned into sequences.
enum Node {
    All,
    Key(i64),
    Members(i64),
    /// In the order of their creation.
    Sequences(Vec<i64>),
    Each(Vec<Node>),
    Any(Vec<Node>),
}

impl Node {
    fn of(connection: &Connection, source: &IndexScan) -> Result<Self, Fault> {
        let nodes = |sources: &[IndexScan]| {
            sources.iter().map(|source| Self::of(connection, source)).collect::<Result<Vec<_>, Fault>>()
        };
        let created_seq = |id: &thng_pubsub_protocol::id::Id| {
            read::one(connection, PLACE, [id.as_str()], |row| Ok(row.get::<_, i64>(0)?))
        };
        Ok(match source {
            IndexScan::All => Self::All,
            IndexScan::Key(term) => Self::Key(*term),
            IndexScan::Members(collection) => match created_seq(collection)? {
                Some(created_seq) => Self::Members(created_seq),
                None => Self::Sequences(Vec::new()),
            },
            IndexScan::Ids(ids) => {
                let mut created_seqs: Vec<i64> =
                    ids.iter().filter_map(|id| created_seq(id).transpose()).collect::<Result<_, _>>()?;
                created_seqs.sort_unstable();
                created_seqs.dedup();
                Self::Sequences(created_seqs)
            }
            IndexScan::Each(sources) => Self::Each(nodes(sources)?),
            IndexScan::Any(sources) => Self::Any(nodes(sources)?),
        })
    }
}

/// Where a search has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    created_seq: i64,
    /// Whether the position is in the source. If not, nothing before it is, and it is where to go on.
    found: bool,
}

impl IndexScanner<'_> {
    /// The nearest position at `from` or beyond.
    fn seek(&self, node: &Node, from: i64) -> Result<Option<Candidate>, Fault> {
        let newest_first = self.order == SortOrder::NewestFirst;
        let ask = |newest: &str, oldest: &str, parameters: &[&dyn rusqlite::ToSql]| {
            let query = if newest_first { newest } else { oldest };
            read::one(self.connection, query, parameters, |row| Ok(row.get(0)?))
        };
        let created_seq = match node {
            Node::All => ask(ALL_NEWEST, ALL_OLDEST, params![self.account, self.kind, from])?,
            Node::Key(term) => ask(TERM_NEWEST, TERM_OLDEST, params![term, from])?,
            Node::Members(created_seq) => {
                ask(MEMBERS_NEWEST, MEMBERS_OLDEST, params![created_seq, self.kind, from])?
            }
            Node::Sequences(created_seqs) => {
                if newest_first {
                    created_seqs[..created_seqs.partition_point(|created_seq| *created_seq <= from)]
                        .last()
                        .copied()
                } else {
                    created_seqs[created_seqs.partition_point(|created_seq| *created_seq < from)..]
                        .first()
                        .copied()
                }
            }
            Node::Each(nodes) => return self.seek_each(nodes, from),
            Node::Any(nodes) => return self.seek_any(nodes, from),
        };
        Ok(created_seq.map(|created_seq| Candidate { created_seq, found: true }))
    }

    /// Lets the sources overtake one another until all of them are at the same position, or the bound is reached.
    fn seek_each(&self, nodes: &[Node], from: i64) -> Result<Option<Candidate>, Fault> {
        let mut at = from;
        loop {
            let before = at;
            let mut found = !nodes.is_empty();
            for node in nodes {
                let Some(candidate) = self.seek(node, at)? else { return Ok(None) };
                at = candidate.created_seq;
                found &= candidate.found;
                // Not before it has moved: a search that ends early has come further all the same.
                if self.is_last_seek() && at != from {
                    return Ok(Some(Candidate { created_seq: at, found: false }));
                }
            }
            // Where no source moved, all of them are there.
            if at == before {
                return Ok(Some(Candidate { created_seq: at, found }));
            }
        }
    }

    /// Counts a seek. Whether sources are not to overtake one another any further.
    fn is_last_seek(&self) -> bool {
        let left = self.seeks_left.get().saturating_sub(1);
        self.seeks_left.set(left);
        left == 0 || self.until.is_some_and(|until| Instant::now() >= until)
    }

    fn seek_any(&self, nodes: &[Node], from: i64) -> Result<Option<Candidate>, Fault> {
        let mut nearest: Option<Candidate> = None;
        for node in nodes {
            let Some(candidate) = self.seek(node, from)? else { continue };
            nearest = Some(match nearest {
                None => candidate,
                Some(one) if one.created_seq == candidate.created_seq => {
                    Candidate { found: one.found || candidate.found, ..one }
                }
                Some(one)
                    if (one.created_seq > candidate.created_seq)
                        == (self.order == SortOrder::NewestFirst) =>
                {
                    one
                }
                Some(_) => candidate,
            });
        }
        Ok(nearest)
    }

    /// The position behind this one, where the search goes on.
    fn beyond(&self, created_seq: i64) -> i64 {
        match self.order {
            SortOrder::NewestFirst => created_seq.saturating_sub(1),
            SortOrder::OldestFirst => created_seq.saturating_add(1),
        }
    }

    /// The position in front of this one.
    fn before(&self, created_seq: i64) -> i64 {
        match self.order {
            SortOrder::NewestFirst => created_seq.saturating_add(1),
            SortOrder::OldestFirst => created_seq.saturating_sub(1),
        }
    }

    /// Where a scan begins.
    fn first(&self, request: &ListRequest<'_>) -> i64 {
        if let Some(after) = request.page.after {
            return self.beyond(i64::try_from(after.seq).unwrap_or(i64::MAX));
        }
        match self.order {
            SortOrder::NewestFirst => i64::MAX,
            SortOrder::OldestFirst => 0,
        }
    }
}

fn scanner<'c>(connection: &'c Connection, request: &'c ListRequest<'_>) -> Result<IndexScanner<'c>, Fault> {
    let node = Node::of(connection, &request.source)?;
    let kind = column::kind_number(request.kind);
    Ok(IndexScanner {
        connection,
        account: request.account.as_str(),
        kind,
        order: request.page.order,
        node,
        seeks_left: Cell::new(request.looked_at_max.min(SEEKS_AT_ONCE)),
        until: request.bounds.until,
    })
}

/// Reads the resource at a position and asks whether it belongs to the list.
/// Also says how large it is.
fn look(
    connection: &Connection,
    request: &ListRequest<'_>,
    created_seq: i64,
) -> Result<(usize, Option<ResourceRecord>), Fault> {
    let Some(record) = read::one(connection, AT, [created_seq], column::resource)? else {
        return Ok((0, None));
    };
    let size = record.body.len() + record.private.as_ref().map_or(0, |private| private.as_str().len());
    if record.kind != request.kind || record.account != request.account {
        return Ok((size, None));
    }
    let fault = Cell::new(None);
    let collections = || {
        read::collections_of(connection, record.id, usize::MAX).unwrap_or_else(|error| {
            fault.set(Some(error));
            Vec::new()
        })
    };
    let belongs = request.record_filter.is_none_or(|record_filter| record_filter(&record, &collections));
    match fault.take() {
        Some(fault) => Err(fault),
        None => Ok((size, belongs.then_some(record))),
    }
}

/// What a scan has done, held against its bounds.
struct Progress<'f> {
    request: &'f ListRequest<'f>,
    scanned: ScanProgress,
}

impl<'f> Progress<'f> {
    fn new(request: &'f ListRequest<'f>) -> Self {
        Self { request, scanned: ScanProgress { next: request.page.after, ..ScanProgress::default() } }
    }

    /// Whether the scan ends before the next item. It always comes further by one, so that it comes to its end.
    fn is_over(&self) -> bool {
        let bounds = &self.request.bounds;
        self.scanned.items > 0
            && (self.scanned.items >= self.request.looked_at_max
                || self.scanned.work_bytes >= bounds.work_bytes
                || bounds.until.is_some_and(|until| Instant::now() >= until))
    }

    fn looked_at(&mut self, bytes: usize) {
        self.scanned.items += 1;
        let bytes = u64::try_from(bytes + ITEM_BYTES).unwrap_or(u64::MAX);
        self.scanned.work_bytes += bytes.saturating_mul(self.request.bounds.passes);
    }

    fn ended(self, next: Option<Cursor>) -> ScanProgress {
        ScanProgress { next, ..self.scanned }
    }
}

/// A part of a page of a list.
pub(super) fn page(connection: &Connection, request: &ListRequest<'_>) -> Result<ListPart, Fault> {
    let scanner = scanner(connection, request)?;
    let mut from = scanner.first(request);
    let mut progress = Progress::new(request);
    let (mut items, mut bytes) = (Vec::new(), 0);
    let mut skip = request.skip;
    while let Some(Candidate { created_seq, found }) = scanner.seek(&scanner.node, from)? {
        if !found || progress.is_over() {
            let next = if found { progress.scanned.next } else { Some(cursor(scanner.before(created_seq))) };
            return Ok(ListPart { items, is_full: false, scanned: progress.ended(next) });
        }
        let (size, record) = look(connection, request, created_seq)?;
        progress.looked_at(size);
        if let Some(record) = record {
            bytes += size;
            let is_full = items.len() == request.page.items || bytes > request.bounds.page_bytes;
            if is_full && (!items.is_empty() || request.page.items == 0) {
                let next = progress.scanned.next;
                return Ok(ListPart { items, is_full, scanned: progress.ended(next) });
            }
            if skip > 0 {
                skip -= 1;
                bytes = 0;
                progress.scanned.skipped += 1;
            } else {
                items.push(record);
            }
        }
        progress.scanned.next = Some(cursor(created_seq));
        from = scanner.beyond(created_seq);
    }
    Ok(ListPart { items, is_full: false, scanned: progress.ended(None) })
}

/// Lists are by creation only, so a position says it all.
fn cursor(created_seq: i64) -> Cursor {
    Cursor { at_ms: 0, seq: created_seq as Sequence }
}

/// How many items a part of a list has.
pub(super) fn count(
    connection: &Connection,
    request: &ListRequest<'_>,
) -> Result<(usize, ScanProgress), Fault> {
    let mut scanner = scanner(connection, request)?;
    scanner.order = SortOrder::OldestFirst;
    let from = scanner.first(request);
    let counted = |query: &str, parameters: &[&dyn rusqlite::ToSql]| {
        read::one(connection, query, parameters, |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?))
        })
    };
    let indexed = match &scanner.node {
        Node::All if request.record_filter.is_none() => {
            counted(COUNT, params![scanner.account, scanner.kind, from, COUNTED_AT_ONCE])?
        }
        Node::Key(term) if request.record_filter.is_none() => {
            counted(COUNT_TERM, params![term, from, COUNTED_AT_ONCE])?
        }
        _ => None,
    };
    if let Some((count, last)) = indexed {
        let next = last.filter(|_| count == COUNTED_AT_ONCE).map(cursor);
        let scanned = ScanProgress { work_bytes: count.unsigned_abs(), next, ..ScanProgress::default() };
        return Ok((usize::try_from(count).unwrap_or_default(), scanned));
    }
    let (mut count, mut from, mut progress) = (0, from, Progress::new(request));
    while let Some(Candidate { created_seq, found }) = scanner.seek(&scanner.node, from)? {
        if !found || progress.is_over() {
            let next = if found { progress.scanned.next } else { Some(cursor(scanner.before(created_seq))) };
            return Ok((count, progress.ended(next)));
        }
        let (size, record) = look(connection, request, created_seq)?;
        progress.looked_at(size);
        count += usize::from(record.is_some());
        progress.scanned.next = Some(cursor(created_seq));
        from = scanner.beyond(created_seq);
    }
    Ok((count, progress.ended(None)))
}

/// The oldest tasks of each account that are not finished. There are few: each is found by its account's term.
pub(super) fn open_tasks(connection: &Connection, most_per_account: usize) -> Result<Vec<OpenTask>, Fault> {
    let mut statement = connection.prepare_cached(ACCOUNTS)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let account = column::id(row, 0)?;
        let term = crate::index_key(account, ResourceKind::Task, crate::index_fields::OPEN, "");
        let mut tasks = connection.prepare_cached(OPEN)?;
        let mut tasks = tasks.query(params![term, most_per_account as i64])?;
        while let Some(row) = tasks.next()? {
            found.push(OpenTask { account, task: column::id(row, 0)? });
        }
    }
    Ok(found)
}

const PLACE: &str = "SELECT created FROM resource WHERE id = ?1";

const AT: &str = concat!(
    "SELECT ",
    column::resource_columns!(),
    " FROM resource JOIN account ON account.num = resource.account JOIN event ON event.seq = resource.doc
     WHERE resource.created = ?1"
);

const ALL_NEWEST: &str = "SELECT created FROM resource
    WHERE account = (SELECT num FROM account WHERE id = ?1) AND kind = ?2 AND created <= ?3
    ORDER BY created DESC LIMIT 1";

const ALL_OLDEST: &str = "SELECT created FROM resource
    WHERE account = (SELECT num FROM account WHERE id = ?1) AND kind = ?2 AND created >= ?3
    ORDER BY created LIMIT 1";

const TERM_NEWEST: &str =
    "SELECT resource FROM term WHERE term = ?1 AND resource <= ?2 ORDER BY resource DESC LIMIT 1";

const TERM_OLDEST: &str =
    "SELECT resource FROM term WHERE term = ?1 AND resource >= ?2 ORDER BY resource LIMIT 1";

const MEMBERS_NEWEST: &str = "SELECT resource FROM member
    WHERE collection = ?1 AND kind = ?2 AND resource <= ?3 ORDER BY resource DESC LIMIT 1";

const MEMBERS_OLDEST: &str = "SELECT resource FROM member
    WHERE collection = ?1 AND kind = ?2 AND resource >= ?3 ORDER BY resource LIMIT 1";

const COUNT: &str = "SELECT count(*), max(created) FROM (SELECT created FROM resource
    WHERE account = (SELECT num FROM account WHERE id = ?1) AND kind = ?2 AND created >= ?3
    ORDER BY created LIMIT ?4)";

const COUNT_TERM: &str = "SELECT count(*), max(resource) FROM (SELECT resource FROM term
    WHERE term = ?1 AND resource >= ?2 ORDER BY resource LIMIT ?3)";

const ACCOUNTS: &str = "SELECT id FROM account";

const OPEN: &str = "SELECT resource.id FROM term JOIN resource ON resource.created = term.resource
    WHERE term = ?1 ORDER BY term.resource LIMIT ?2";

/// Every query of this file, for the test that looks at how SQLite goes about them.
#[cfg(test)]
pub(super) const QUERIES: &[&str] = &[
    PLACE,
    AT,
    ALL_NEWEST,
    ALL_OLDEST,
    TERM_NEWEST,
    TERM_OLDEST,
    MEMBERS_NEWEST,
    MEMBERS_OLDEST,
    COUNT,
    COUNT_TERM,
    OPEN,
];
