//! Batch tasks: work that goes on in the background, part by part.
//!
//! One part is one command: it creates a bounded number of thngs and writes down how far the task has come, both in
//! the same transaction. So a task that was interrupted goes on where it was, and creates nothing twice.
//!
//! Only the document that a task was created with has its input, which may be as large as a request: every part writes
//! the document again. The input is read once, off the writer ([`input`]), and each part gets it.

use std::sync::Arc;

use serde_json::{Map, Value};
use thng_pubsub_protocol::{
    id::Id,
    payload::{Fields, Json, ResourceKind},
};

use super::{Applied, Command, CommandError, CommandResult, Create, Event, Garbage, Owner, resource};
pub(crate) use input::{PART_THNGS, TaskInput, input_of};
use thng_pubsub_store::{KeyHash, ResourceRecord, TimestampMs, WriteStore};

mod input;

/// Whether a task has work left.
pub(crate) fn is_open(task: &ResourceRecord) -> bool {
    matches!(task.fields().text("status").as_deref(), Some("PENDING" | "EXECUTING"))
}

/// How many thngs a task has made.
fn made(fields: &Fields) -> usize {
    let progress: Option<Value> = fields.get("progress").and_then(|json| serde_json::from_str(json).ok());
    let made = progress.as_ref().and_then(|progress| progress.get("madeAmount")).and_then(Value::as_u64);
    made.unwrap_or_default() as usize
}

/// Why a task ends whose key is gone.
const KEY_REVOKED: &str = "The API key that created this task was revoked.";

/// The field of what a task keeps to itself that names the key it was made with, by its hash.
const KEY: &str = "key";

/// What a task keeps to itself: the key that it was made with.
pub(crate) fn task_private(key: &KeyHash) -> Json {
    let hex: String = key.0.iter().map(|byte| format!("{byte:02x}")).collect();
    Json::parse(format!("{{\"{KEY}\":\"{hex}\"}}")).expect("hexadecimal digits make JSON")
}

/// The key that a task was made with; `None` for one of an earlier version, which did not write it down.
pub(crate) fn key_of_task(task: &ResourceRecord) -> Option<KeyHash> {
    let hex = task.private_text(KEY)?;
    let mut key = KeyHash([0; 32]);
    let digits = hex.as_bytes().as_chunks::<2>().0;
    if digits.len() != key.0.len() {
        return None;
    }
    for (byte, digits) in key.0.iter_mut().zip(digits) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(key)
}

/// Does the next part of a task: creates thngs, and stores how far the task has come. The output is the task as it is now.
///
/// A task that is finished or deleted is not found.
#[derive(Debug)]
pub(crate) struct AdvanceTask {
    pub account: Id,
    pub task: Id,
    /// Ids for the thngs of this part.
    pub ids: Vec<Id>,
    /// What the task creates, or why it cannot.
    pub input: Arc<Result<TaskInput, String>>,
    /// Whether the key that created the task is in force. If not, the task ends.
    pub key_in_force: bool,
}

impl Command for AdvanceTask {
    type Output = Arc<ResourceRecord>;

    fn name(&self) -> &'static str {
        "advance_task"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> CommandResult<Self::Output> {
        let Self { task, ids, input, key_in_force, .. } = self;
        let task = *task;
        let Some(before) =
            store.resource(task)?.filter(|task| task.kind == ResourceKind::Task && is_open(task))
        else {
            return Err(CommandError::NotFound);
        };
        let account = before.account;
        // A batch that is gone takes its tasks with it, if not at once.
        let batch = before.parent.ok_or(CommandError::NotFound)?;
        let batch = resource::own(store, account, ResourceKind::Batch, batch)?;
        let has_key = match key_of_task(&before) {
            Some(key) => *key_in_force && store.has_key(&key)?,
            None => true,
        };
        if !has_key {
            return finish(store, now_ms, before, batch, Ending::KeyRevoked);
        }
        let fields = before.fields();
        let input = match &**input {
            Ok(input) => input,
            Err(fault) => return finish(store, now_ms, before, batch, Ending::Failed(fault.clone())),
        };
        let done = made(&fields);
        let mut events = Vec::new();
        let (mut count, mut failure) = (0, None);
        let mut product = None;
        for (id, number) in ids.iter().zip(done..input.total()).take(input.part()) {
            let applied = input.thng(number).and_then(|patch| {
                product = patch.text("product");
                let creation = Create {
                    account,
                    id: *id,
                    parent: None,
                    patch,
                    set: vec![
                        ("batch", format!("\"{}\"", batch.id)),
                        ("createdByTask", format!("\"{task}\"")),
                    ],
                    scopes: before.scopes.clone(),
                    private: None,
                    keys: Vec::new(),
                };
                creation.apply(store, now_ms)
            });
            match applied {
                Ok(applied) => {
                    count += 1;
                    events.extend(applied.events);
                }
                Err(CommandError::Store(error)) => return Err(CommandError::Store(error)),
                // What was created before stays, and subscribers are notified of it.
                Err(error) => {
                    failure = Some(error.to_string());
                    break;
                }
            }
        }
        let made = done + count;
        let progress = progress(task, made, input.total());
        let (batch, changed) = resource::change(store, now_ms, batch, None, None, |fields| {
            if fields.text("status").as_deref() == Some("EMPTY") {
                fields.set_text("status", "IN_PROGRESS");
            }
            match product.filter(|_| count > 0) {
                Some(product) => add_count(fields, &product, count),
                None => Ok(()),
            }
        })?;
        events.extend(changed);
        let ending = match failure {
            None if made < input.total() => {
                let (record, changed) = resource::change(store, now_ms, before, None, None, |fields| {
                    fields.set_text("status", "EXECUTING");
                    fields.set("progress", Some(progress));
                    fields.set("inputParameters", None);
                    Ok(())
                })?;
                events.extend(changed);
                return Ok(Applied { output: record, events, garbage: Garbage::None });
            }
            None => Ending::Made(made, progress),
            Some(fault) if made > 0 => Ending::Broken(made, progress, fault),
            Some(fault) => Ending::Failed(fault),
        };
        let mut applied = finish(store, now_ms, before, (*batch).clone(), ending)?;
        events.append(&mut applied.events);
        Ok(Applied { events, ..applied })
    }
}

fn progress(task: Id, made: usize, total: usize) -> Json {
    Json::parse(format!(
        "{{\"contributions\":{{\"{task}\":{{\"thngs\":{made},\"urlBindings\":0,\"failedThngs\":0,\
         \"failedUrlBindings\":0}}}},\"madeAmount\":{made},\"totalAmount\":{total}}}"
    ))
    .expect("numbers make JSON")
}

fn add_count(fields: &mut Fields, product: &str, count: usize) -> Result<(), CommandError> {
    let mut counts: Map<String, Value> = fields
        .get("resourceCountsByProduct")
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default();
    let before = counts.get(product).and_then(Value::as_u64).unwrap_or_default();
    counts.insert(product.to_owned(), Value::from(before + count as u64));
    fields.set("resourceCountsByProduct", Some(Json::parse(Value::Object(counts).to_string())?));
    Ok(())
}

enum Ending {
    Made(usize, Json),
    Broken(usize, Json, String),
    Failed(String),
    /// Whatever it has made by then.
    KeyRevoked,
}

/// Ends a task: its status, its result, its batch's status, and the calls that wait for it.
fn finish(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    before: ResourceRecord,
    batch: ResourceRecord,
    ending: Ending,
) -> CommandResult<Arc<ResourceRecord>> {
    let done = made(&before.fields());
    let (status, made, progress, error) = match ending {
        Ending::Made(made, progress) => ("EXECUTED", made, Some(progress), None),
        Ending::Broken(made, progress, fault) => {
            ("EXECUTED_WITH_FAILURES", made, Some(progress), Some(fault))
        }
        Ending::Failed(fault) if done > 0 => ("EXECUTED_WITH_FAILURES", done, None, Some(fault)),
        Ending::Failed(fault) => ("FAILED", 0, None, Some(fault)),
        Ending::KeyRevoked => ("FAILED", done, None, Some(KEY_REVOKED.to_owned())),
    };
    let error = error.map(|fault| format!(",\"error\":{}", Value::from(fault))).unwrap_or_default();
    let failed = usize::from(!error.is_empty());
    let result = format!(
        "{{\"type\":\"POPULATING\",\"totalCount\":{made},\"totalThngsCreated\":{made},\"totalUrlBindingsCreated\":0,\
         \"failedOperationsAmount\":{failed}{error}}}"
    );
    let (record, mut events) = resource::change(store, now_ms, before, None, None, |fields| {
        fields.set_text("status", status);
        fields.set_integer("completedAt", now_ms);
        fields.set("inputParameters", None);
        fields.set("result", Some(Json::parse(result)?));
        if progress.is_some() {
            fields.set("progress", progress);
        }
        Ok(())
    })?;
    let (batch, changed) = resource::change(store, now_ms, batch, None, None, |fields| {
        fields.set_text("status", "COMPLETE");
        Ok(())
    })?;
    events.extend(changed);
    let seq = events
        .iter()
        .find_map(|event| match event {
            Event::ResourceChanged { seq, meta, .. } if meta.id == record.id => Some(*seq),
            _ => None,
        })
        .unwrap_or_default();
    let meta = Arc::new(record.meta());
    let batch = Arc::new(batch.meta());
    events.push(Event::TaskCompleted { seq, meta, batch, record: Arc::clone(&record) });
    Ok(Applied { output: record, events, garbage: Garbage::None })
}
