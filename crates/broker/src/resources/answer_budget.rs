//! Bounds the memory of HTTP answers that wait for their clients.
//!
//! All answers share one budget of bytes. An account may have as many of them as are left free, so slow readers of one
//! account leave half of the budget to the others. Pages of lists reserve their bytes before they are read, and become
//! smaller when few are free; other answers are counted when they are complete.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use thng_pubsub_protocol::id::Id;

use crate::{error::BrokerError, metrics::Metrics};

/// Bytes of a page. One that would be larger ends earlier, with a link to the rest.
pub const PAGE_BYTES_MAX: usize = 4 << 20;

/// An answer of so many bytes is not counted: a connection costs as much by itself.
const UNCOUNTED_BYTES: usize = 16 * 1024;

/// The bytes of all answers that are being made or written.
#[derive(Debug)]
pub(crate) struct AnswerBudget {
    bytes_max: usize,
    usage: Mutex<Usage>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Usage {
    bytes: usize,
    /// Never zero; requests without a key have no account.
    accounts: HashMap<Option<Id>, usize>,
}

/// The bytes of one answer. They are free again when it is dropped.
#[derive(Debug)]
pub struct AnswerShare {
    budget: Arc<AnswerBudget>,
    account: Option<Id>,
    /// Changed only under the lock of the usage.
    bytes: AtomicUsize,
}

/// A body that occupies its share until its last byte is written, or its connection has ended.
struct CountedBytes {
    bytes: Bytes,
    _share: Arc<AnswerShare>,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AnswerBudget {
    pub(crate) fn new(bytes_max: usize, metrics: Arc<Metrics>) -> Result<Arc<Self>, prometheus::Error> {
        let budget = Arc::new(Self { bytes_max, usage: Mutex::default(), metrics: Arc::clone(&metrics) });
        let shown = Arc::downgrade(&budget);
        metrics.show_answer_bytes(move || shown.upgrade().map_or(0, |budget| budget.usage.lock().bytes))?;
        Ok(budget)
    }

    /// A share without bytes yet.
    pub(crate) fn share(self: &Arc<Self>, account: Option<Id>) -> Arc<AnswerShare> {
        Arc::new(AnswerShare { budget: Arc::clone(self), account, bytes: AtomicUsize::new(0) })
    }

    /// Bytes that the account may take, so that it has no more than are still free then.
    fn available(&self, usage: &Usage, account: Option<Id>) -> usize {
        let free = self.bytes_max.saturating_sub(usage.bytes);
        let taken = usage.accounts.get(&account).copied().unwrap_or_default();
        free.saturating_sub(taken) / 2
    }
}

impl Usage {
    fn change(&mut self, account: Option<Id>, from: usize, to: usize) {
        self.bytes = self.bytes - from + to;
        let taken = self.accounts.entry(account).or_default();
        *taken = *taken - from + to;
        if *taken == 0 {
            self.accounts.remove(&account);
        }
    }
}

impl AnswerShare {
    /// Reserves the bytes of a page: a third of what the account may still take, so that pages get smaller before any
    /// answer is refused.
    pub fn reserve_page(&self) {
        let mut usage = self.budget.usage.lock();
        let before = self.bytes.load(Relaxed);
        let page = (self.budget.available(&usage, self.account) / 3).min(PAGE_BYTES_MAX);
        if before == 0 && page > UNCOUNTED_BYTES {
            usage.change(self.account, 0, page);
            self.bytes.store(page, Relaxed);
        }
    }

    /// Bytes that a page may have.
    pub fn page_bytes(&self) -> usize {
        self.bytes.load(Relaxed).max(UNCOUNTED_BYTES)
    }

    /// Counts that a page ended early, where the reason was that few bytes are free.
    pub fn page_ended_early(&self) {
        if self.page_bytes() < PAGE_BYTES_MAX {
            self.limited("page_shortened");
        }
    }

    /// Makes the body of the answer occupy the share.
    ///
    /// # Errors
    /// [`BrokerError::TooManyAnswerBytes`] where the account may not take so many more bytes.
    pub fn body(self: &Arc<Self>, bytes: Bytes) -> Result<Bytes, BrokerError> {
        let to = if bytes.len() > UNCOUNTED_BYTES { bytes.len() } else { 0 };
        let mut usage = self.budget.usage.lock();
        let from = self.bytes.load(Relaxed);
        if to.saturating_sub(from) > self.budget.available(&usage, self.account) {
            return Err(BrokerError::TooManyAnswerBytes);
        }
        usage.change(self.account, from, to);
        self.bytes.store(to, Relaxed);
        drop(usage);
        Ok(match to {
            0 => bytes,
            _ => Bytes::from_owner(CountedBytes { bytes, _share: Arc::clone(self) }),
        })
    }

    /// Counts what became of an answer that did not fit.
    pub fn limited(&self, outcome: &str) {
        self.budget.metrics.answers_limited.with_label_values(&[outcome]).inc();
    }
}

impl Drop for AnswerShare {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        if bytes > 0 {
            self.budget.usage.lock().change(self.account, bytes, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn budget(bytes_max: usize) -> Arc<AnswerBudget> {
        let metrics = Arc::new(Metrics::new().expect("metrics can be registered"));
        AnswerBudget::new(bytes_max, metrics).expect("a gauge can be registered")
    }

    fn account(name: char) -> Option<Id> {
        Some(Id::parse(&name.to_string().repeat(24)).expect("an id"))
    }

    fn answer(budget: &Arc<AnswerBudget>, account: Option<Id>, bytes: usize) -> Result<Bytes, BrokerError> {
        budget.share(account).body(vec![0; bytes].into())
    }

    #[test]
    fn one_account_leaves_half_of_the_budget_to_others() {
        let budget = budget(16 * MIB);
        let greedy: Vec<Bytes> = std::iter::from_fn(|| answer(&budget, account('A'), MIB).ok()).collect();
        assert_eq!(greedy.len(), 8);
        let other: Vec<Bytes> = std::iter::from_fn(|| answer(&budget, account('B'), MIB).ok()).collect();
        assert_eq!(other.len(), 4, "half of what is left");
        assert!(answer(&budget, None, 2 * MIB).is_ok());
    }

    #[test]
    fn a_share_is_free_again_when_its_last_bytes_are_dropped() {
        let budget = budget(16 * MIB);
        let mut body = answer(&budget, account('A'), 8 * MIB).expect("half is free");
        assert!(answer(&budget, account('A'), MIB).is_err());
        let rest = body.split_off(8 * MIB - 1);
        drop(body);
        assert_eq!(budget.usage.lock().bytes, 8 * MIB);
        drop(rest);
        assert_eq!(budget.usage.lock().bytes, 0);
        assert!(budget.usage.lock().accounts.is_empty());
    }

    #[test]
    fn small_answers_are_never_refused_and_pages_get_smaller() {
        let budget = budget(16 * MIB);
        let pages: Vec<Arc<AnswerShare>> = (0..200)
            .map(|_| {
                let share = budget.share(account('A'));
                share.reserve_page();
                share
            })
            .collect();
        let sizes: Vec<usize> = pages.iter().map(|share| share.page_bytes()).collect();
        assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
        assert_eq!((sizes[0], sizes[199]), (16 * MIB / 6, UNCOUNTED_BYTES));
        assert!(budget.usage.lock().bytes <= 8 * MIB);
        assert!(answer(&budget, account('A'), UNCOUNTED_BYTES).is_ok());
    }
}
