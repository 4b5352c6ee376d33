//! Account and scopes of resources, kept in memory: every publish and every subscription asks for them.
//!
//! Cached metadata is never older than the last commit that changed it. The writer invalidates entries before any
//! answer goes out, and a reader that is overtaken by an invalidation discards its result. What was read at a generation
//! of the cache is current while the cache still has that one.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use quick_cache::sync::Cache;
use thng_pubsub_protocol::id::Id;

use thng_pubsub_store::{ReadStore, ResourceMeta, StoreError};

/// Resources whose metadata is cached. An entry takes about 150 bytes.
const RESOURCES_CACHED_MAX: usize = 200_000;

#[derive(Debug)]
pub(crate) struct ResourceCache {
    cached: Cache<Id, Arc<ResourceMeta>>,
    /// Counts what was forgotten, before and after, so that a slow reader notices.
    changes: AtomicU64,
}

impl ResourceCache {
    pub(crate) fn new() -> Self {
        Self { cached: Cache::new(RESOURCES_CACHED_MAX), changes: AtomicU64::new(0) }
    }

    /// The metadata, if it is in memory. What does not exist is not remembered: a client could fill the memory with it.
    pub(crate) fn get(&self, id: Id) -> Option<Arc<ResourceMeta>> {
        self.cached.get(&id)
    }

    /// Reads the metadata from the store; may block on the disk.
    pub(crate) fn look_up(
        &self,
        store: &dyn ReadStore,
        id: Id,
    ) -> Result<Option<Arc<ResourceMeta>>, StoreError> {
        let before = self.changes.load(Ordering::SeqCst);
        let Some(meta) = store.resource_meta(id)?.map(Arc::new) else { return Ok(None) };
        if self.changes.load(Ordering::SeqCst) == before {
            self.cached.insert(id, Arc::clone(&meta));
            if self.changes.load(Ordering::SeqCst) != before {
                self.remove(id);
            }
        }
        Ok(Some(meta))
    }

    /// Changes with everything that is forgotten. To be read before the metadata that it is compared for.
    pub(crate) fn generation(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Called by the writer after the commit that changed a resource.
    pub(crate) fn forget(&self, id: Id) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.remove(id);
    }

    /// A reader may have got the entry before it was removed, at the generation of that time.
    fn remove(&self, id: Id) {
        self.cached.remove(&id);
        self.changes.fetch_add(1, Ordering::SeqCst);
    }
}
