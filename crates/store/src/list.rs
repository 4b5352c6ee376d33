//! Requests for lists and histories, their bounds on cost, and their pages.

use std::time::Instant;

use thng_pubsub_protocol::{id::Id, payload::ResourceKind};

use super::{ResourceRecord, Sequence, TimestampMs};

/// Which end of a list comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortOrder {
    #[default]
    NewestFirst,
    OldestFirst,
}

/// Where a page starts: behind the item with this time and sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub at_ms: TimestampMs,
    pub seq: Sequence,
}

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// 1 or more.
    pub items: usize,
    pub order: SortOrder,
    pub after: Option<Cursor>,
}

/// A part of a list, and where the next part starts if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<Cursor>,
}

/// Which part of a history; both ends are included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeRange {
    pub from_ms: Option<TimestampMs>,
    pub to_ms: Option<TimestampMs>,
}

/// Where the items of a list come from. Every source is answered by an index, one item at a time, so that a page costs
/// what it shows and not what lies around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexScan {
    /// All of the kind.
    All,
    /// Those that have this value in this field, or one that differs from it only in the document.
    Key(i64),
    /// The members of a collection.
    Members(Id),
    /// These.
    Ids(Vec<Id>),
    /// Those that are in each of these.
    Each(Vec<IndexScan>),
    /// Those that are in any of these.
    Any(Vec<IndexScan>),
}

impl IndexScan {
    /// What is in both; no narrower than it must be.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, other) | (other, Self::All) => other,
            (Self::Each(mut sources), other) => {
                sources.push(other);
                Self::Each(sources)
            }
            (source, other) => Self::Each(vec![source, other]),
        }
    }
}

/// Says whether a resource belongs to a list; it may ask for the collections that the resource is in.
pub type RecordFilter<'a> = &'a (dyn Fn(&ResourceRecord, &dyn Fn() -> Vec<Id>) -> bool + Sync);

/// A page of a history. It ends before the bytes of its values do, but has at least one.
#[derive(Debug, Clone, Copy)]
pub struct HistoryPage {
    pub page: PageRequest,
    /// Values to pass over before the page.
    pub skip: usize,
    /// Bytes of the page.
    pub bytes: usize,
}

impl From<PageRequest> for HistoryPage {
    fn from(page: PageRequest) -> Self {
        Self { page, skip: 0, bytes: usize::MAX }
    }
}

/// What a list asks for.
pub struct ListRequest<'a> {
    pub account: Id,
    pub kind: ResourceKind,
    pub source: IndexScan,
    /// The resources of the scan that belong to the list; `None` for all.
    pub record_filter: Option<RecordFilter<'a>>,
    pub page: PageRequest,
    /// Items to pass over before the page.
    pub skip: usize,
    /// Items of the source that are looked at; a page that would need more ends there, with the position to go on from.
    pub looked_at_max: usize,
    /// What the scan may cost besides.
    pub bounds: ScanBounds,
}

/// What a scan may cost. It ends at the first item that reaches a bound, with the position to go on from.
#[derive(Debug, Clone, Copy)]
pub struct ScanBounds {
    /// Bytes that are looked at, each as often as `passes` says.
    pub work_bytes: u64,
    /// How often the bytes of an item are gone through: once, and once for each value that they are compared with.
    pub passes: u64,
    /// When it ends.
    pub until: Option<Instant>,
    /// Bytes of the page.
    pub page_bytes: usize,
}

impl ScanBounds {
    /// For lookups that are short by their source.
    pub const NONE: Self = Self { work_bytes: u64::MAX, passes: 1, until: None, page_bytes: usize::MAX };
}

/// What of a scan is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanProgress {
    /// Items that were looked at.
    pub items: usize,
    /// As [`ScanBounds::work_bytes`] counts them.
    pub work_bytes: u64,
    /// Items that were passed over before the page.
    pub skipped: usize,
    /// Where the scan goes on; nothing at its end.
    pub next: Option<Cursor>,
}

/// A part of a page of a list.
#[derive(Debug)]
pub struct ListPart {
    pub items: Vec<ResourceRecord>,
    /// Whether the page has as many items, or bytes, as it may.
    pub is_full: bool,
    pub scanned: ScanProgress,
}

/// A task that is not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenTask {
    pub account: Id,
    pub task: Id,
}

impl std::fmt::Debug for ListRequest<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ListRequest")
            .field("account", &self.account)
            .field("kind", &self.kind)
            .field("source", &self.source)
            .field("page", &self.page)
            .finish_non_exhaustive()
    }
}
