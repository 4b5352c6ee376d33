//! Batch tasks: work that goes on in the background, part by part.
//!
//! One part is one operation: it creates a bounded number of thngs and writes down how far the task has come, both in
//! the same transaction. So a task that was interrupted goes on where it was, and creates nothing twice.

use std::sync::Arc;

use serde_json::{Map, Value};
use thng_pubsub_protocol::{
    id::Id,
    payload::{Fields, Json, Patch, ResourceKind},
};

use super::{Applied, Event, OperationError, Outcome, resource};
use crate::store::{ResourceRecord, TimestampMs, WriteStore};

/// Thngs that one part creates: few enough that whoever else writes hardly waits.
pub(crate) const CHUNK_THNGS: usize = 100;

/// Thngs that one task may create.
const THNGS_MAX: u64 = 1_000_000;

/// What a task is to make.
struct Input {
    template: Patch,
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
        let template = Patch::read(ResourceKind::Thng, &template.to_string())
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
                Ok(Self { template, total: quantity as usize, list: None })
            }
            Some("LIST_BASED" | "IDENTIFIERS_LIST_BASED") => {
                let list = list.filter(|list| !list.is_empty() && list.iter().all(|item| identifiers(item).is_some()));
                let list = list.cloned().ok_or_else(|| {
                    "inputParameters.inputData is an array of objects of identifiers, such as [{\"gs1:21\": \"7\"}]."
                        .to_owned()
                })?;
                Ok(Self { template, total: list.len(), list: Some(list) })
            }
            _ => Err(
                "inputParameters.type is FIXED_AMOUNT, LIST_BASED or IDENTIFIERS_LIST_BASED; files are not read here."
                    .into(),
            ),
        }
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

/// Refuses a task that could never be done.
pub(crate) fn check_input(parameters: Option<&str>) -> Result<(), Vec<String>> {
    let parameters = parameters.ok_or_else(|| vec!["inputParameters is required.".to_owned()])?;
    Input::read(parameters).map(drop).map_err(|fault| vec![fault])
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

/// Does the next part of a task: creates thngs with these ids, as many as there are and are missing, and says how far
/// it has come. A task that is finished, or gone, is left alone.
pub(super) fn work_on(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    task: Id,
    ids: &[Id],
) -> Result<Applied, OperationError> {
    let Some(before) = store.resource(task)?.filter(|task| task.kind == ResourceKind::Task && is_open(task))
    else {
        return Err(OperationError::NotFound);
    };
    let account = before.account;
    // A batch that is gone takes its tasks with it, if not at once.
    let batch = before.parent.ok_or(OperationError::NotFound)?;
    let batch = resource::own(store, account, ResourceKind::Batch, batch)?;
    let fields = before.fields();
    let input = match Input::read(fields.get("inputParameters").unwrap_or_default()) {
        Ok(input) => input,
        Err(fault) => return finish(store, now_ms, before, batch, Ending::Failed(fault)),
    };
    let done = made(&fields);
    let mut events = Vec::new();
    let mut by_product: Option<(String, usize)> = None;
    let part = ids.iter().zip(done..input.total);
    for (id, number) in part.clone() {
        let creation = resource::Creation {
            account,
            id: *id,
            parent: None,
            patch: input.thng(number)?,
            set: vec![("batch", format!("\"{}\"", batch.id)), ("createdByTask", format!("\"{task}\""))],
            scopes: before.scopes.clone(),
            private: None,
            keys: Vec::new(),
        };
        // All thngs of a task are alike: what is wrong with one is wrong with the first, before anything is written.
        match resource::create(store, now_ms, &creation) {
            Ok(applied) => events.extend(applied.events),
            Err(OperationError::Store(error)) => return Err(OperationError::Store(error)),
            Err(error) => return finish(store, now_ms, before, batch, Ending::Failed(error.to_string())),
        }
        if let Some(product) = creation.patch.text("product") {
            by_product.get_or_insert((product, 0)).1 += 1;
        }
    }
    let made = done + part.len();
    let progress = progress(task, made, input.total);
    let counts = by_product;
    let (batch, changed) = resource::change(store, now_ms, batch, None, None, |fields| {
        let is_new = fields.text("status").as_deref() == Some("EMPTY");
        if is_new {
            fields.set_text("status", "IN_PROGRESS");
        }
        if let Some((product, count)) = counts {
            add_count(fields, &product, count)?;
        }
        Ok(())
    })?;
    events.extend(changed);
    if made < input.total {
        let (record, changed) = resource::change(store, now_ms, before, None, None, |fields| {
            fields.set_text("status", "EXECUTING");
            fields.set("progress", Some(progress));
            Ok(())
        })?;
        events.extend(changed);
        return Ok(Applied { outcome: Outcome::Resource(record), events });
    }
    let mut applied = finish(store, now_ms, before, (*batch).clone(), Ending::Made(made, progress))?;
    events.append(&mut applied.events);
    Ok(Applied { outcome: applied.outcome, events })
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
    Failed(String),
}

/// Ends a task: its status, its result, its batch's status, and everybody who waits for it.
fn finish(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    before: ResourceRecord,
    batch: ResourceRecord,
    ending: Ending,
) -> Result<Applied, OperationError> {
    let batch_id = batch.id;
    let done = made(&before.fields());
    let (status, made, progress, error) = match ending {
        Ending::Made(made, progress) => ("EXECUTED", made, Some(progress), None),
        Ending::Failed(fault) if done > 0 => ("EXECUTED_WITH_FAILURES", done, None, Some(fault)),
        Ending::Failed(fault) => ("FAILED", 0, None, Some(fault)),
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
        fields.set("result", Some(Json::parse(result)?));
        if progress.is_some() {
            fields.set("progress", progress);
        }
        Ok(())
    })?;
    let (_, changed) = resource::change(store, now_ms, batch, None, None, |fields| {
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
    events.push(Event::TaskCompleted { seq, head, batch: batch_id, record: Arc::clone(&record) });
    Ok(Applied { outcome: Outcome::Resource(record), events })
}
