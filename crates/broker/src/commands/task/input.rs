//! Parses the input of a batch task, once, from the `inputParameters` of its document.
//!
//! A list has as many entries as a request can hold, and a template may be as large. They are checked separately: the
//! cost of a request grows with its length, never with the product of both.

use std::collections::BTreeMap;

use serde_json::{Map, Value, value::RawValue};
use thng_pubsub_protocol::{
    filter::integer,
    limits,
    payload::{Fields, Patch, PayloadError, ResourceKind, ScopesPatch},
};

use crate::commands::CommandError;

/// Thngs that one part of the work creates at the most: few enough that other writers hardly wait.
pub(crate) const PART_THNGS: usize = 100;

/// Bytes of documents that one part creates, beyond the first thng.
const PART_BYTES: usize = 1 << 20;

/// Rows of the database that one part writes, beyond the first thng. A row takes about ten microseconds.
const PART_ROWS: usize = 2_000;

/// Rows of a thng that has only a name.
const THNG_ROWS: usize = 8;

/// Rows of each property and each membership: the entry itself, its event, and what it is found by.
const ENTRY_ROWS: usize = 4;

/// Thngs that one task may create.
const THNGS_MAX: u64 = 1_000_000;

/// Bytes of documents that one task may create.
const BYTES_MAX: usize = 1 << 30;

/// What a task creates.
#[derive(Debug)]
pub(crate) struct TaskInput {
    template: Patch,
    /// The identifiers of the template, to which each entry of the list adds its own.
    identifiers: Map<String, Value>,
    total: usize,
    /// Thngs that one part of the work creates.
    part: usize,
    /// The entries of the list as they were sent: parsed, they would take many times the memory.
    list: Option<Vec<Box<RawValue>>>,
}

impl TaskInput {
    /// Reads what a task is to create. The entries of a list are left to [`check_list`](Self::check_list).
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn read(parameters: &str) -> Result<Self, String> {
        let given: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(parameters).map_err(|_| "inputParameters is an object.".to_owned())?;
        let raw = |name: &str| given.get(name).map(|raw| raw.get());
        if raw("generateThngs") == Some("false") {
            return Err("inputParameters.generateThngs is false: there would be nothing to make.".into());
        }
        let template_text = raw("thngTemplate").unwrap_or("{}");
        let template = Patch::read(ResourceKind::Thng, template_text)
            .map_err(|error| format!("inputParameters.thngTemplate: {}", error.0.join(" ")))?;
        if template.get("name").is_none() {
            return Err("inputParameters.thngTemplate: name is required.".into());
        }
        let (total, list) = match raw("type")
            .and_then(|raw| serde_json::from_str::<String>(raw).ok())
            .as_deref()
        {
            Some("FIXED_AMOUNT") => (quantity(raw("quantity"))?, None),
            Some("LIST_BASED" | "IDENTIFIERS_LIST_BASED") => {
                let list = entries(raw("inputData"))?;
                (list.len(), Some(list))
            }
            _ => {
                return Err(
                    "inputParameters.type is FIXED_AMOUNT, LIST_BASED or IDENTIFIERS_LIST_BASED; files are not read here."
                        .into(),
                );
            }
        };
        let thng_bytes = template_text.len() + 256;
        if total.checked_mul(thng_bytes).is_none_or(|bytes| bytes > BYTES_MAX) {
            return Err(format!(
                "inputParameters: these thngs would be more than {BYTES_MAX} bytes. Make several tasks."
            ));
        }
        let part = PART_THNGS.min(PART_BYTES / thng_bytes).min(PART_ROWS / rows(&template)).max(1);
        let identifiers =
            template.get("identifiers").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        Ok(Self { template, identifiers, total, part, list })
    }

    /// Checks each entry of a list by itself: what that costs depends on the length of the list alone.
    ///
    /// # Errors
    /// A sentence about the first entry that is wrong.
    pub(crate) fn check_list(&self) -> Result<(), String> {
        for (number, entry) in self.list.iter().flatten().enumerate() {
            let at = |fault: String| format!("inputParameters.inputData[{number}]: {fault}");
            let own =
                identifiers(entry.get()).ok_or_else(|| at("an object of identifiers is required.".into()))?;
            let added = own.keys().filter(|key| !self.identifiers.contains_key(*key)).count();
            let count = self.identifiers.len() + added;
            if count > limits::IDENTIFIERS_MAX {
                let most = limits::IDENTIFIERS_MAX;
                return Err(at(format!(
                    "with the template it has {count} identifiers; a thng can have {most}."
                )));
            }
            named(own).map_err(|error| at(error.0.join(" ")))?;
        }
        Ok(())
    }

    /// What all of the thngs have in common.
    pub(crate) fn template(&self) -> &Patch {
        &self.template
    }

    /// How many thngs there will be.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// How many of them the next part of the work creates.
    pub(super) fn part(&self) -> usize {
        self.part
    }

    /// What the thng with this number is to be.
    pub(super) fn thng(&self, number: usize) -> Result<Patch, CommandError> {
        let mut thng = self.template.clone();
        let entry = self.list.as_ref().and_then(|list| list.get(number));
        if let Some(own) = entry.and_then(|entry| identifiers(entry.get())) {
            let mut all = self.identifiers.clone();
            all.extend(own);
            thng.take("identifiers", &named(all)?);
        }
        Ok(thng)
    }
}

fn quantity(raw: Option<&str>) -> Result<usize, String> {
    // Whole by its value: `1.0` is one, too.
    let quantity = raw.and_then(integer).and_then(|quantity| u64::try_from(quantity).ok());
    let quantity = quantity.filter(|count| (1..=THNGS_MAX).contains(count));
    let fault = || format!("inputParameters.quantity is a whole number from 1 to {THNGS_MAX}.");
    quantity.map(|count| count as usize).ok_or_else(fault)
}

fn entries(raw: Option<&str>) -> Result<Vec<Box<RawValue>>, String> {
    let list: Option<Vec<Box<RawValue>>> = raw.and_then(|raw| serde_json::from_str(raw).ok());
    let fits = |list: &Vec<Box<RawValue>>| {
        !list.is_empty() && list.iter().all(|entry| identifiers(entry.get()).is_some())
    };
    list.filter(fits).ok_or_else(|| {
        "inputParameters.inputData is an array of objects of identifiers, such as [{\"gs1:21\": \"7\"}]."
            .to_owned()
    })
}

/// The identifiers that an entry of a list names: `{"identifiers": {…}}`, or the entry itself. As in a document, numbers
/// and truth values are the text that was sent.
fn identifiers(entry: &str) -> Option<Map<String, Value>> {
    let mut own: BTreeMap<String, &RawValue> = serde_json::from_str(entry).ok()?;
    if let Some(inner) = own.remove("identifiers") {
        own = serde_json::from_str(inner.get()).ok()?;
    }
    let text = |(key, raw): (String, &RawValue)| {
        let text = match raw.get().as_bytes().first()? {
            b'"' => serde_json::from_str(raw.get()).ok()?,
            b'-' | b'0'..=b'9' | b't' | b'f' => raw.get().to_owned(),
            _ => return None,
        };
        Some((key, Value::String(text)))
    };
    own.into_iter().map(text).collect()
}

/// A patch that says only what the identifiers are.
fn named(identifiers: Map<String, Value>) -> Result<Patch, PayloadError> {
    let document = Map::from_iter([("identifiers".to_owned(), Value::Object(identifiers))]);
    Patch::read(ResourceKind::Thng, &Value::Object(document).to_string())
}

/// About how many rows a thng of this template takes.
fn rows(template: &Patch) -> usize {
    let found_by =
        template.texts("tags").len() + template.get("identifiers").map_or(0, |json| json.len() / 32);
    let (projects, users) = template.scopes.as_ref().map_or((0, 0), ScopesPatch::counts);
    let scopes = projects * 2 + users;
    let entries = template.properties.len() + template.collections.len();
    THNG_ROWS + found_by + scopes + ENTRY_ROWS * entries
}

/// What a task creates, out of the document that it was created with.
pub(crate) fn input_of(first_document: Option<String>) -> Option<String> {
    let fields = Fields::read(ResourceKind::Task, &first_document?).ok()?;
    fields.get("inputParameters").map(ToOwned::to_owned)
}
