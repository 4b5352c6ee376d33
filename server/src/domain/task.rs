//! Batch tasks: work that goes on in the background, part by part.
//!
//! One part is one operation: it creates a bounded number of thngs and writes down how far the task has come, both in
//! the same transaction. So a task that was interrupted goes on where it was, and creates nothing twice.
//!
//! What a task is to make stands in the document that it was created with, and in none of the later ones: it may be as
//! large as a request, and every part writes the document anew.

use std::sync::Arc;

use serde_json::{Map, Value};
use thng_pubsub_protocol::{
    id::Id,
    payload::{Fields, Json, Patch, ResourceKind},
};

use super::{Applied, Event, OperationError, Outcome, resource};
use crate::store::{KeyHash, ResourceRecord, TimestampMs, WriteStore};

/// Thngs that one part creates: few enough that whoever else writes hardly waits.
pub(crate) const CHUNK_THNGS: usize = 100;

/// Bytes of documents that one part creates, beyond the first.
const CHUNK_BYTES: usize = 1 << 20;

/// Thngs that one task may create.
const THNGS_MAX: u64 = 1_000_000;

/// Bytes of documents that one task may create.
const BYTES_MAX: usize = 1 << 30;

/// What a task is to make.
struct Input {
    template: Patch,
    /// About what one thng takes on the disk.
    thng_bytes: usize,
    total: usize,
    /// Of each thng, what the list says: identifiers.
    list: Option<Vec<Value>>,
}

impl Input {
    fn read(parameters: &str) -> Result<Self, String> {
        let parameters: Map<String, Value> =
            serde_json::from_str(parameters).map_err(|_| "inputParameters is an object.".to_owned())?;
        if parameters.get("generateThngs") == Some(&Value::Bool(false)) {
            return Err("inputParameters.generateThngs is false: there would be nothing to make.".into());
        }
        let template = parameters.get("thngTemplate").cloned().unwrap_or_else(|| Value::Object(Map::new()));
        let template = template.to_string();
        let thng_bytes = template.len() + 256;
        let template = Patch::read(ResourceKind::Thng, &template)
            .map_err(|error| format!("inputParameters.thngTemplate: {}", error.0.join(" ")))?;
        if template.get("name").is_none() {
            return Err("inputParameters.thngTemplate: name is required.".into());
        }
        let list = parameters.get("inputData").and_then(Value::as_array);
        match parameters.get("type").and_then(Value::as_str) {
            Some("FIXED_AMOUNT") => {
                let quantity = parameters.get("quantity").and_then(Value::as_u64);
                let quantity = quantity.filter(|count| (1..=THNGS_MAX).contains(count)).ok_or_else(|| {
                    format!("inputParameters.quantity is a whole number from 1 to {THNGS_MAX}.")
                })?;
                Self { template, thng_bytes, total: quantity as usize, list: None }.within_bounds()
            }
            Some("LIST_BASED" | "IDENTIFIERS_LIST_BASED") => {
                let list = list.filter(|list| !list.is_empty() && list.iter().all(|item| identifiers(item).is_some()));
                let list = list.cloned().ok_or_else(|| {
                    "inputParameters.inputData is an array of objects of identifiers, such as [{\"gs1:21\": \"7\"}]."
                        .to_owned()
                })?;
                Self { template, thng_bytes, total: list.len(), list: Some(list) }.within_bounds()
            }
            _ => Err(
                "inputParameters.type is FIXED_AMOUNT, LIST_BASED or IDENTIFIERS_LIST_BASED; files are not read here."
                    .into(),
            ),
        }
    }

    fn within_bounds(self) -> Result<Self, String> {
        match self.total.checked_mul(self.thng_bytes) {
            Some(bytes) if bytes <= BYTES_MAX => Ok(self),
            _ => Err(format!(
                "inputParameters: these thngs would be more than {BYTES_MAX} bytes. Make several tasks."
            )),
        }
    }

    /// Thngs that the next part makes.
    fn chunk(&self) -> usize {
        (CHUNK_BYTES / self.thng_bytes).clamp(1, CHUNK_THNGS)
    }

    /// What the thng with this number is to be.
    fn thng(&self, number: usize) -> Result<Patch, OperationError> {
        let Some(item) = self.list.as_ref().and_then(|list| list.get(number)).and_then(identifiers) else {
            return Ok(self.template.clone());
        };
        let mut identifiers: Map<String, Value> = self
            .template
            .get("identifiers")
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default();
        identifiers.extend(item);
        let patch = Patch::read(
            ResourceKind::Thng,
            &Value::Object(Map::from_iter([("identifiers".to_owned(), Value::Object(identifiers))]))
                .to_string(),
        )?;
        let mut thng = self.template.clone();
        thng.take("identifiers", &patch);
        Ok(thng)
    }
}

/// The identifiers that an entry of a list names: `{"identifiers": {…}}`, or the entry itself.
fn identifiers(item: &Value) -> Option<Map<String, Value>> {
    let object = item.get("identifiers").unwrap_or(item).as_object()?;
    object.values().all(Value::is_string).then(|| object.clone())
}

/// Refuses a task that could never be done. Returns what each thng will be, for who may make it.
pub(crate) fn check_input(parameters: Option<&str>) -> Result<Patch, Vec<String>> {
    let parameters = parameters.ok_or_else(|| vec!["inputParameters is required.".to_owned()])?;
    let input = Input::read(parameters).map_err(|fault| vec![fault])?;
    if input.list.is_some() {
        for number in 0..input.total {
            input
                .thng(number)
                .map_err(|error| vec![format!("inputParameters.inputData[{number}]: {error}")])?;
        }
    }
    Ok(input.template)
}

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

/// Does the next part of a task: creates thngs with these ids, as many as there are and are missing, and says how far
/// it has come. A task that is finished, or gone, is left alone.
pub(super) fn work_on(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    task: Id,
    ids: &[Id],
    key_in_force: bool,
) -> Result<Applied, OperationError> {
    let Some(before) = store.resource(task)?.filter(|task| task.kind == ResourceKind::Task && is_open(task))
    else {
        return Err(OperationError::NotFound);
    };
    let account = before.account;
    // A batch that is gone takes its tasks with it, if not at once.
    let batch = before.parent.ok_or(OperationError::NotFound)?;
    let batch = resource::own(store, account, ResourceKind::Batch, batch)?;
    let has_key = match key_of_task(&before) {
        Some(key) => key_in_force && store.has_key(&key)?,
        None => true,
    };
    if !has_key {
        return finish(store, now_ms, before, batch, Ending::KeyRevoked);
    }
    let fields = before.fields();
    let input = match fields.get("inputParameters") {
        Some(input) => Some(input.to_owned()),
        None => input_of(store.first_document(before.place)?),
    };
    let input = match Input::read(&input.unwrap_or_default()) {
        Ok(input) => input,
        Err(fault) => return finish(store, now_ms, before, batch, Ending::Failed(fault)),
    };
    let done = made(&fields);
    let mut events = Vec::new();
    let (mut count, mut failure) = (0, None);
    let mut product = None;
    for (id, number) in ids.iter().zip(done..input.total).take(input.chunk()) {
        let applied = input.thng(number).and_then(|patch| {
            product = patch.text("product");
            let creation = resource::Creation {
                account,
                id: *id,
                parent: None,
                patch,
                set: vec![("batch", format!("\"{}\"", batch.id)), ("createdByTask", format!("\"{task}\""))],
                scopes: before.scopes.clone(),
                private: None,
                keys: Vec::new(),
            };
            resource::create(store, now_ms, &creation)
        });
        match applied {
            Ok(applied) => {
                count += 1;
                events.extend(applied.events);
            }
            Err(OperationError::Store(error)) => return Err(OperationError::Store(error)),
            // What was made before it is made, and told.
            Err(error) => {
                failure = Some(error.to_string());
                break;
            }
        }
    }
    let made = done + count;
    let progress = progress(task, made, input.total);
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
        None if made < input.total => {
            let (record, changed) = resource::change(store, now_ms, before, None, None, |fields| {
                fields.set_text("status", "EXECUTING");
                fields.set("progress", Some(progress));
                fields.set("inputParameters", None);
                Ok(())
            })?;
            events.extend(changed);
            return Ok(Applied { outcome: Outcome::Resource(record), events });
        }
        None => Ending::Made(made, progress),
        Some(fault) if made > 0 => Ending::Broken(made, progress, fault),
        Some(fault) => Ending::Failed(fault),
    };
    let mut applied = finish(store, now_ms, before, (*batch).clone(), ending)?;
    events.append(&mut applied.events);
    Ok(Applied { outcome: applied.outcome, events })
}

/// What a task is to make, out of the document that it was created with.
pub(crate) fn input_of(first_document: Option<String>) -> Option<String> {
    let fields = Fields::read(ResourceKind::Task, &first_document?).ok()?;
    fields.get("inputParameters").map(ToOwned::to_owned)
}

fn progress(task: Id, made: usize, total: usize) -> Json {
    Json::parse(format!(
        "{{\"contributions\":{{\"{task}\":{{\"thngs\":{made},\"urlBindings\":0,\"failedThngs\":0,\
         \"failedUrlBindings\":0}}}},\"madeAmount\":{made},\"totalAmount\":{total}}}"
    ))
    .expect("numbers make JSON")
}

fn add_count(fields: &mut Fields, product: &str, count: usize) -> Result<(), OperationError> {
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

/// Ends a task: its status, its result, its batch's status, and everybody who waits for it.
fn finish(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    before: ResourceRecord,
    batch: ResourceRecord,
    ending: Ending,
) -> Result<Applied, OperationError> {
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
            Event::ResourceChanged { seq, head, .. } if head.id == record.id => Some(*seq),
            _ => None,
        })
        .unwrap_or_default();
    let head = Arc::new(record.head());
    let batch = Arc::new(batch.head());
    events.push(Event::TaskCompleted { seq, head, batch, record: Arc::clone(&record) });
    Ok(Applied { outcome: Outcome::Resource(record), events })
}
