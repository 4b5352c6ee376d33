//! Batch tasks: created by REST, worked on in the background.
//!
//! One worker takes the open tasks of all accounts, oldest first, and does them part by part through the writer, so
//! that nobody else waits for more than one part. How far a task has come is in the store: after a restart the worker
//! goes on where it was.

use std::{sync::Arc, time::Duration};

use thng_pubsub_protocol::{
    id::Id,
    payload::{Patch, ResourceKind},
};
use tokio_util::sync::CancellationToken;

use super::{Caller, Gateway, New, Refusal};
use crate::{
    domain::{CHUNK_THNGS, Operation, Outcome, check_input, input_of, is_open, key_of_task, task_private},
    random,
    store::ResourceRecord,
};

/// Tasks that are looked at before the worker looks again.
const TASKS_AT_A_TIME: usize = 16;

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
        let template = check_input(patch.get("inputParameters")).map_err(Refusal::Invalid)?;
        self.check_patch(caller, &template, None)?;
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
                    for task in open {
                        if stop.is_cancelled() {
                            return;
                        }
                        moved |= self.work_on(task).await;
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
    async fn work_on(&self, task: Id) -> bool {
        let ids = (0..CHUNK_THNGS).map(|_| Id::generate(random::byte)).collect();
        let worked = match self.is_key_in_force(task) {
            Ok(key_in_force) => self.execute(Operation::WorkOn { task, ids, key_in_force }, 0).await,
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

/// Waits a moment. `false` when told to stop.
async fn pause(stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(RETRY) => true,
    }
}
