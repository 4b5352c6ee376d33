//! Lists, reads and writes resources of every kind.

use std::sync::Arc;

use thng_pubsub_protocol::id::Id;

use crate::{error::BrokerError, shared::Shared};
use answer_budget::AnswerBudget;
use scan::Scans;
use scan_queue::ScanQueue;

mod action;
mod answer_budget;
mod application;
mod collection;
mod list;
mod patch_checks;
mod read;
mod role;
mod scan;
mod scan_queue;
mod task_turns;
mod tasks;
mod write;

pub use crate::commands::{ContextVisibility, Extras, document};
pub(crate) use action::actions_source;
pub use action::commissioned_type;
pub use answer_budget::{AnswerShare, PAGE_BYTES_MAX};
pub use list::{GeoFilter, LOOKED_AT_MAX, ListQuery, ListScope};
pub(crate) use role::hexadecimal_id;
/// Records of the store, and which part of a list or of a history is asked for.
pub use thng_pubsub_store::{
    Cursor, HistoryPage, Page, PageRequest, PropertyOwner, ResourceRecord, SortOrder, TimeRange, TimestampMs,
};
pub use write::NewResource;

/// Resources of every kind, by REST; publishes use it to make their commands.
#[derive(Debug)]
pub struct Resources {
    pub(crate) shared: Arc<Shared>,
    /// The turns of reading long inputs, each on a thread of its own.
    reading: Arc<ScanQueue>,
    /// Wakes the background work of tasks.
    tasks: tokio::sync::Notify,
    /// Lists: fewer at a time than the store has readers, because a scan may have to look up who sees a collection, with
    /// another reader.
    pub(crate) scans: Scans,
    answers: Arc<AnswerBudget>,
}

impl Resources {
    pub(crate) fn new(shared: Arc<Shared>) -> Result<Self, prometheus::Error> {
        let (settings, metrics) = (&shared.settings, &shared.metrics);
        let scans = Scans::new(settings.scans, Arc::clone(metrics))?;
        let answers = AnswerBudget::new(settings.answer_bytes_max, Arc::clone(metrics))?;
        let reading = ScanQueue::new(tasks::READ_AT_A_TIME, tasks::READ_QUEUE_MAX);
        Ok(Self { shared, reading, tasks: tokio::sync::Notify::default(), scans, answers })
    }

    /// Items of a page that a list may be asked for.
    pub fn page_size_max(&self) -> usize {
        self.shared.settings.page_size_max
    }

    /// What an HTTP answer to an account occupies; without bytes yet.
    pub fn answer_share(&self, account: Option<Id>) -> Arc<AnswerShare> {
        self.answers.share(account)
    }

    /// Refuses to add more members to a collection than one call may.
    pub(crate) fn check_members(&self, count: usize) -> Result<(), BrokerError> {
        let most = self.shared.settings.members_max;
        match count <= most {
            true => Ok(()),
            false => {
                Err(BrokerError::invalid(format!("One call adds at most {most} members to a collection.")))
            }
        }
    }
}
