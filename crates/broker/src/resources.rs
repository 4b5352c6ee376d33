//! Lists, reads and writes resources of every kind.

pub(crate) mod action;
pub(crate) mod answer_budget;
pub(crate) mod application;
pub(crate) mod collection;
pub(crate) mod list;
pub(crate) mod read;
pub(crate) mod resource_cache;
pub(crate) mod role;
pub(crate) mod scan;
pub(crate) mod scan_queue;
pub(crate) mod task_turns;
pub(crate) mod tasks;
pub(crate) mod write;
