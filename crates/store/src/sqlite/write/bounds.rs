//! The sizes of steps and caches of the writer.

/// How much is done at a time, and how much is remembered.
#[derive(Debug, Clone, Copy)]
pub(in crate::sqlite) struct Bounds {
    /// Events that a deletion removes at once; more are left to [`reclaim`](crate::WriteStore::reclaim).
    pub(in crate::sqlite) at_once: usize,
    /// Properties that go at once with their resource; those of one that has more are left to [`reclaim`](crate::WriteStore::reclaim).
    pub(in crate::sqlite) series_at_once: usize,
    /// Events that one call of [`reclaim`](crate::WriteStore::reclaim) looks at, and rows of sessions that it frees.
    pub(in crate::sqlite) step: usize,
    /// Properties whose series is known without asking the database, about 150 bytes each. Writing one of the
    /// others costs a look-up in an index.
    pub(in crate::sqlite) series_cached: usize,
    /// Resources whose head is known without asking the database, about 300 bytes each.
    pub(in crate::sqlite) resources_cached: usize,
    /// Values in the log that the index by time does not have yet, up to 200 bytes each. Behind a group there are no more,
    /// unless a start found them.
    pub(in crate::sqlite) unindexed_max: usize,
    /// Values that a commit indexes at least, during a round: they share a page of `latest`.
    pub(in crate::sqlite) indexed_at_once: usize,
    /// Bytes of pages that the connection caches.
    pub(in crate::sqlite) cache_bytes: usize,
}

impl Default for Bounds {
    /// Every event may lie on a page of its own, so the first two bound what a commit carries, and how long it holds
    /// up the writes behind it.
    fn default() -> Self {
        Self {
            at_once: 500,
            series_at_once: 8,
            step: 500,
            series_cached: 100_000,
            resources_cached: 50_000,
            unindexed_max: 200_000,
            indexed_at_once: 8,
            cache_bytes: 8 << 20,
        }
    }
}
