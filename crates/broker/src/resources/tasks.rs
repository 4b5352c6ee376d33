//! Batch tasks: created by REST, worked on in the background.
//!
//! One worker does open tasks part by part through the writer; accounts take turns ([`TaskTurns`]), each with its oldest
//! tasks. How far a task has come is in the store: after a restart the worker goes on where it was.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use hashbrown::{HashMap, HashSet};
use thng_pubsub_protocol::{
    id::Id,
    payload::{Patch, ResourceKind},
};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::{NewResource, Resources, scan_queue::QueueFull, task_turns::TaskTurns};
use crate::{
    auth::Principal,
    commands::{AdvanceTask, Delete, PART_THNGS, TaskInput, input_of, is_open, key_of_task, task_private},
    error::{BrokerError, LogFailure as _},
    random,
    request::RequestContext,
};
use thng_pubsub_store::{ReadStore, ResourceRecord, StoreError};

/// Tasks that are worked on at the same time.
const TASKS_AT_A_TIME: usize = 16;

/// Inputs of tasks in memory. Each may be as large as a request; one that is not among them is read again for each part.
const INPUTS_MAX: usize = 64;

/// Inputs of tasks that are read at the same time: each takes a processor for a while.
pub(crate) const READ_AT_A_TIME: usize = 1;

/// Inputs of tasks that wait to be read. Each may be as large as a request.
pub(crate) const READ_QUEUE_MAX: usize = 64;

/// What a task creates, or why it cannot.
type Input = Arc<Result<TaskInput, String>>;

/// How long to wait when the store cannot write.
const RETRY: Duration = Duration::from_secs(1);

impl Resources {
    /// Creates a task of a batch; the work begins at once, and the answer does not wait for it.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn create_task(
        &self,
        request: &RequestContext,
        batch: Id,
        patch: Patch,
        payload_bytes: usize,
    ) -> Result<Arc<ResourceRecord>, BrokerError> {
        self.shared.authorize(request, ResourceKind::Batch, batch)?;
        let (patch, input) = self.checked_input(request.principal(), patch).await?;
        self.check_patch(request, input.template(), None)?;
        let mut new = NewResource::of(patch).under("batch", batch);
        new.set.push(("status", "\"PENDING\"".into()));
        // What it makes is seen by those who see what the caller makes.
        new.scopes = Some(request.default_scopes());
        // It ends with the key that it was made with.
        new.private = Some(task_private(&request.principal().key));
        let task = self.create(request, new, payload_bytes).await?;
        self.tasks.notify_one();
        Ok(task)
    }

    /// Reads what a task is to create, and refuses what could never be done. A list may have ten thousand entries: the
    /// threads of the runtime have others to serve meanwhile.
    async fn checked_input(
        &self,
        principal: &Principal,
        patch: Patch,
    ) -> Result<(Patch, TaskInput), BrokerError> {
        let turn = self.reading.take(principal.account, principal.key).await;
        let turn = turn.map_err(|QueueFull| {
            self.shared.metrics.commands_rejected.with_label_values(&["task_queue"]).inc();
            BrokerError::TooManyTasks
        })?;
        let read = spawn_blocking(move || {
            // The work goes on when its client has left, and the next one waits for it.
            let _turn = turn;
            let parameters = patch.get("inputParameters").ok_or("inputParameters is required.")?;
            let input = TaskInput::read(parameters)?;
            input.check_list()?;
            Ok::<_, String>((patch, input))
        });
        read.await.map_err(|_| BrokerError::Unavailable)?.map_err(BrokerError::invalid)
    }

    /// A task of a batch.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn task(
        &self,
        request: &RequestContext,
        batch: Id,
        id: Id,
    ) -> Result<ResourceRecord, BrokerError> {
        self.authorize_task(request, batch, id)
    }

    /// Checks that a task is there for the caller, in this batch, which has to be there as well: by REST and on topics.
    pub(crate) fn authorize_task(
        &self,
        request: &RequestContext,
        batch: Id,
        task: Id,
    ) -> Result<ResourceRecord, BrokerError> {
        self.shared.authorize(request, ResourceKind::Batch, batch)?;
        self.shared.authorize(request, ResourceKind::Task, task)?;
        let record = self.shared.store.resource(task).log_failure()?;
        record
            .filter(|record| record.kind == ResourceKind::Task && record.parent == Some(batch))
            .ok_or(BrokerError::NotFound)
    }

    /// Works on open tasks until it is stopped.
    pub async fn run_task_worker(&self, stop: CancellationToken) {
        let mut inputs: HashMap<Id, Input> = HashMap::new();
        let mut turns = TaskTurns::new(TASKS_AT_A_TIME);
        let mut parts = FuturesUnordered::new();
        while !stop.is_cancelled() {
            match tokio::task::block_in_place(|| self.shared.store.open_tasks(TASKS_AT_A_TIME)) {
                Ok(open) => {
                    let tasks: HashSet<Id> = open.iter().map(|open| open.task).collect();
                    inputs.retain(|task, _| tasks.contains(task));
                    // Each waits for the turns of its own account, so none waits for the part of another.
                    let begun = turns.begin(&open).into_iter();
                    parts.extend(begun.map(|task| self.advance(task, inputs.get(&task).map(Arc::clone))));
                }
                Err(error) => {
                    tracing::warn!(%error, "open tasks could not be read; trying again");
                    if !pause(&stop).await {
                        return;
                    }
                    continue;
                }
            }
            let mut done = tokio::select! {
                () = stop.cancelled() => return,
                () = self.tasks.notified() => continue,
                Some(done) = parts.next() => Some(done),
            };
            while let Some((task, input)) = done {
                turns.end(task);
                inputs.extend(input.map(|input| (task, input)));
                // One that is between two parts makes space.
                let mut between = inputs.keys().filter(|other| **other != task && !turns.is_working(**other));
                if inputs.len() > INPUTS_MAX
                    && let Some(other) = between.next().copied()
                {
                    inputs.remove(&other);
                }
                done = parts.next().now_or_never().flatten();
            }
        }
    }

    /// Does the next part of a task. Where nothing can be done right now, it takes a while, so that the next try comes
    /// later. Returns what the task creates, where that is known.
    async fn advance(&self, task: Id, input: Option<Input>) -> (Id, Option<Input>) {
        let input = match input {
            Some(input) => input,
            None => match self.read_input(task).await {
                Ok(input) => input,
                Err(error) => {
                    tracing::warn!(task.id = %task, %error, "the input of a batch task could not be read");
                    tokio::time::sleep(RETRY).await;
                    return (task, None);
                }
            },
        };
        match self.make_part(task, Arc::clone(&input)).await {
            Ok(record) if is_open(&record) => {}
            Ok(_) => tracing::info!(task.id = %task, "a batch task has ended"),
            // It was deleted, or something else ended it before.
            Err(BrokerError::NotFound) => self.forget_orphan(task).await,
            Err(refusal) => {
                tracing::warn!(task.id = %task, reason = refusal.reason(), "a batch task waits for the store");
                tokio::time::sleep(RETRY).await;
            }
        }
        (task, Some(input))
    }

    /// Makes the next part of what a task creates, in the turn of its account.
    async fn make_part(&self, task: Id, input: Input) -> Result<Arc<ResourceRecord>, BrokerError> {
        let record = self.shared.store.resource(task).log_failure()?.ok_or(BrokerError::NotFound)?;
        let key_in_force = self.is_key_in_force(&record)?;
        let ids = (0..PART_THNGS).map(|_| Id::generate(random::byte)).collect();
        self.shared.execute(AdvanceTask { account: record.account, task, ids, input, key_in_force }, 0).await
    }

    /// Whether the key that created a task still exists, with everything that it depends on.
    fn is_key_in_force(&self, task: &ResourceRecord) -> Result<bool, BrokerError> {
        Ok(match key_of_task(task) {
            Some(key) => self.shared.keys.is_in_force(&key).log_failure()?,
            None => true,
        })
    }

    /// What a task is to create, out of the document that it was created with: that never changes.
    async fn read_input(&self, task: Id) -> Result<Input, StoreError> {
        let store = Arc::clone(&self.shared.store);
        let read = spawn_blocking(move || {
            let parameters = parameters_of(&*store, task)?.unwrap_or_default();
            Ok(Arc::new(TaskInput::read(&parameters)))
        });
        read.await.unwrap_or_else(|_| Ok(Arc::new(Err("inputParameters cannot be read.".into()))))
    }

    /// What a task is to make, where its document does not say it any more.
    pub(crate) fn task_input(
        &self,
        task: &ResourceRecord,
    ) -> Result<Option<(&'static str, String)>, BrokerError> {
        if task.fields().get("inputParameters").is_some() {
            return Ok(None);
        }
        let input = input_of(self.shared.store.first_document(task.created_seq).log_failure()?);
        Ok(input.map(|input| ("inputParameters", input)))
    }

    /// A task whose batch is gone is freed with it in time; until then it must not be found again and again.
    async fn forget_orphan(&self, task: Id) {
        let record = self.shared.store.resource(task);
        if let Ok(Some(record)) = record {
            let (account, kind, id) = (record.account, record.kind, record.id);
            let _ = self.shared.execute(Delete { account, kind, id }, 0).await;
        }
    }
}

fn parameters_of(store: &dyn ReadStore, task: Id) -> Result<Option<String>, StoreError> {
    let Some(task) = store.resource(task)? else { return Ok(None) };
    Ok(match task.fields().get("inputParameters") {
        Some(parameters) => Some(parameters.to_owned()),
        None => input_of(store.first_document(task.created_seq)?),
    })
}

/// Waits a moment. `false` when it is stopped.
async fn pause(stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(RETRY) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::Pin, sync::mpsc};

    use super::*;
    use crate::testing::TestBroker;

    const TASK: &[u8] = br#"{"type":"POPULATING","inputParameters":{"type":"FIXED_AMOUNT","quantity":1,"thngTemplate":{"name":"n"}}}"#;

    type Reading<'h> = Pin<Box<dyn Future<Output = Result<(Patch, TaskInput), BrokerError>> + 'h>>;

    fn read<'h>(broker: &'h TestBroker, principal: &'h Principal) -> Reading<'h> {
        let patch = Patch::parse(ResourceKind::Task, TASK).expect("a document");
        Box::pin(broker.resources.checked_input(principal, patch))
    }

    #[test]
    fn input_is_read_in_its_turn_though_its_client_has_left() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().max_blocking_threads(1).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let broker = TestBroker::open().await;
            let (go_on, blocked) = mpsc::channel::<()>();
            let blocker = spawn_blocking(move || blocked.recv());
            let mut left = read(&broker, &broker.owner);
            assert!((&mut left).now_or_never().is_none());
            drop(left);
            let mut next = read(&broker, &broker.stranger);
            assert!((&mut next).now_or_never().is_none());
            assert_eq!(broker.resources.reading.waiting(), 1, "the first is not read yet, and has its turn");
            drop(go_on);
            next.await.expect("its turn comes");
            drop(blocker.await);
        });
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn inputs_that_wait_to_be_read_are_bounded_for_all_accounts() {
        let broker = TestBroker::open().await;
        let (owner, stranger) = (&broker.owner, &broker.stranger);
        let turn = broker.resources.reading.take(owner.account, owner.key).await.expect("it is free");
        let mut waiting: Vec<_> = (0..READ_QUEUE_MAX).map(|_| read(&broker, owner)).collect();
        assert!(waiting.iter_mut().all(|reading| reading.now_or_never().is_none()));
        let refused = read(&broker, owner).await.map(drop);
        assert_eq!(refused, Err(BrokerError::TooManyTasks));
        // The account that has most makes way for another one.
        let mut other = read(&broker, stranger);
        assert!((&mut other).now_or_never().is_none());
        let last = waiting.pop().expect("there are some").await.map(drop);
        assert_eq!(last, Err(BrokerError::TooManyTasks));
        assert_eq!(broker.metrics.commands_rejected.with_label_values(&["task_queue"]).get(), 2);
        drop((turn, waiting));
        other.await.expect("its turn comes");
    }
}
