//! Batch tasks: created by REST, worked on in the background.
//!
//! One worker takes the open tasks of all accounts, oldest first, and does them part by part through the writer, so
//! that nobody else waits for more than one part. How far a task has come is in the store: after a restart the worker
//! goes on where it was.

use std::{collections::HashMap, sync::Arc, time::Duration};

use thng_pubsub_protocol::{
    id::Id,
    payload::{Patch, ResourceKind},
};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::{Caller, Gateway, New, Refusal};
use crate::{
    domain::{Operation, Outcome, PART_THNGS, TaskInput, input_of, is_open, key_of_task, task_private},
    random,
    store::{ReadStore, ResourceRecord, StoreError},
};

/// Tasks that are looked at before the worker looks again.
const TASKS_AT_A_TIME: usize = 16;

/// Inputs of tasks that are read at the same time: each takes a processor for a while.
pub(super) const READ_AT_A_TIME: usize = 1;

/// What a task creates, or why it cannot.
type Input = Arc<Result<TaskInput, String>>;

/// How long to wait when the store cannot write.
const RETRY: Duration = Duration::from_secs(1);

impl Gateway {
    /// Creates a task of a batch; the work begins at once, and the answer does not wait for it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) async fn create_task(
        &self,
        caller: &Caller<'_>,
        batch: Id,
        patch: Patch,
        payload_bytes: usize,
    ) -> Result<Arc<ResourceRecord>, Refusal> {
        self.authorise(caller, ResourceKind::Batch, batch)?;
        let (patch, input) = self.checked_input(caller.principal.account, patch).await?;
        self.check_patch(caller, input.template(), None)?;
        let mut new = New::of(patch).under("batch", batch);
        new.set.push(("status", "\"PENDING\"".into()));
        // What it makes is seen by those who see what the caller makes.
        new.scopes = Some(caller.default_scopes());
        // It ends with the key that it was made with.
        new.private = Some(task_private(&caller.principal.key));
        let task = self.create(caller, new, payload_bytes).await?;
        self.tasks.notify_one();
        Ok(task)
    }

    /// Reads what a task is to create, and refuses what could never be done. A list may have ten thousand entries: the
    /// threads of the runtime have others to serve meanwhile.
    async fn checked_input(&self, account: Id, patch: Patch) -> Result<(Patch, TaskInput), Refusal> {
        let _turn = self.reading.take(account).await;
        let read = spawn_blocking(move || {
            let parameters = patch.get("inputParameters").ok_or("inputParameters is required.")?;
            let input = TaskInput::read(parameters)?;
            input.check_list()?;
            Ok::<_, String>((patch, input))
        });
        read.await.map_err(|_| Refusal::Unavailable)?.map_err(Refusal::invalid)
    }

    /// A task of a batch.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) async fn task(
        &self,
        caller: &Caller<'_>,
        batch: Id,
        id: Id,
    ) -> Result<ResourceRecord, Refusal> {
        self.authorise_task(caller, batch, id)?;
        self.read(caller, ResourceKind::Task, id).await
    }

    /// Checks that a task is there for the caller, in this batch, which has to be there as well: by REST and on topics.
    pub(super) fn authorise_task(&self, caller: &Caller<'_>, batch: Id, task: Id) -> Result<(), Refusal> {
        self.authorise(caller, ResourceKind::Batch, batch)?;
        self.authorise(caller, ResourceKind::Task, task)?;
        let is_in_batch = self.store.resource(task)?.is_some_and(|task| task.parent == Some(batch));
        if is_in_batch { Ok(()) } else { Err(Refusal::NotFound) }
    }

    /// Works on open tasks until told to stop.
    pub(crate) async fn work(&self, stop: CancellationToken) {
        let mut inputs: HashMap<Id, Input> = HashMap::new();
        loop {
            let open = tokio::task::block_in_place(|| self.store.open_tasks(TASKS_AT_A_TIME));
            match open {
                Ok(open) if open.is_empty() => {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = self.tasks.notified() => {}
                    }
                }
                Ok(open) => {
                    // Each gets a part done in turn: a small task does not wait for a large one.
                    let mut moved = false;
                    inputs.retain(|task, _| open.contains(task));
                    for task in open {
                        if stop.is_cancelled() {
                            return;
                        }
                        moved |= self.work_on(task, &mut inputs).await;
                    }
                    if !moved && !pause(&stop).await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "open tasks could not be read; trying again");
                    if !pause(&stop).await {
                        return;
                    }
                }
            }
        }
    }

    /// Does the next part of a task. `false` where nothing could be done right now.
    async fn work_on(&self, task: Id, inputs: &mut HashMap<Id, Input>) -> bool {
        let input = match inputs.get(&task) {
            Some(input) => Arc::clone(input),
            None => match self.read_input(task).await {
                Ok(input) => Arc::clone(inputs.entry(task).or_insert(input)),
                Err(error) => {
                    tracing::warn!(task.id = %task, %error, "the input of a batch task could not be read");
                    return false;
                }
            },
        };
        let ids = (0..PART_THNGS).map(|_| Id::generate(random::byte)).collect();
        let worked = match self.is_key_in_force(task) {
            Ok(key_in_force) => self.execute(Operation::WorkOn { task, ids, input, key_in_force }, 0).await,
            Err(refusal) => Err(refusal),
        };
        match worked {
            Ok(Outcome::Resource(record)) if is_open(&record) => true,
            Ok(_) => {
                tracing::info!(task.id = %task, "a batch task has ended");
                true
            }
            // It was deleted, with its batch or before somebody else ended it.
            Err(Refusal::NotFound) => {
                self.forget_orphan(task).await;
                true
            }
            Err(refusal) => {
                tracing::warn!(task.id = %task, reason = refusal.reason(), "a batch task waits for the store");
                false
            }
        }
    }

    /// Whether the key that a task was made with is there, and what it stands on.
    fn is_key_in_force(&self, task: Id) -> Result<bool, Refusal> {
        let Some(key) = self.store.resource(task)?.and_then(|task| key_of_task(&task)) else {
            return Ok(true);
        };
        Ok(self.keys.is_in_force(&key)?)
    }

    /// What a task is to create, out of the document that it was created with: that never changes.
    async fn read_input(&self, task: Id) -> Result<Input, StoreError> {
        let store = Arc::clone(&self.store);
        let read = spawn_blocking(move || {
            let parameters = parameters_of(&*store, task)?.unwrap_or_default();
            Ok(Arc::new(TaskInput::read(&parameters)))
        });
        read.await.unwrap_or_else(|_| Ok(Arc::new(Err("inputParameters cannot be read.".into()))))
    }

    /// What a task is to make, where its document does not say it any more.
    pub(super) fn task_input(
        &self,
        task: &ResourceRecord,
    ) -> Result<Option<(&'static str, String)>, Refusal> {
        if task.fields().get("inputParameters").is_some() {
            return Ok(None);
        }
        let input = input_of(self.store.first_document(task.place)?);
        Ok(input.map(|input| ("inputParameters", input)))
    }

    /// A task whose batch is gone is freed with it in time; until then it must not be found again and again.
    async fn forget_orphan(&self, task: Id) {
        let record = self.store.resource(task);
        if let Ok(Some(record)) = record {
            let (account, kind, id) = (record.account, record.kind, record.id);
            let _ = self.execute(Operation::Delete { account, kind, id }, 0).await;
        }
    }
}

fn parameters_of(store: &dyn ReadStore, task: Id) -> Result<Option<String>, StoreError> {
    let Some(task) = store.resource(task)? else { return Ok(None) };
    Ok(match task.fields().get("inputParameters") {
        Some(parameters) => Some(parameters.to_owned()),
        None => input_of(store.first_document(task.place)?),
    })
}

/// Waits a moment. `false` when told to stop.
async fn pause(stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(RETRY) => true,
    }
}
