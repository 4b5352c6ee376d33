//! The index of lists: each value of an indexed field of a resource is one number, under which the resource is found.

use sha2::{Digest as _, Sha256};
use thng_pubsub_protocol::{
    id::Id,
    payload::{ResourceKind, UserScope},
};

use super::ResourceRecord;

/// The number that a value of a field is found by. Two values may share one, which the finder's `keep` tells apart.
pub fn index_key(account: Id, kind: ResourceKind, field: &str, value: &str) -> i64 {
    let digest = Sha256::new()
        .chain_update(account.as_str())
        .chain_update(kind.noun())
        .chain_update([0])
        .chain_update(field)
        .chain_update([0])
        .chain_update(value)
        .finalize();
    let first = digest.first_chunk().expect("a digest has 32 bytes");
    i64::from_be_bytes(*first)
}

/// Fields that no document has, for [`index_key`]: they narrow lists before any filter does.
pub mod index_fields {
    /// Resources that are scoped to this project.
    pub const PROJECT: &str = "@project";
    /// Resources that every user of this project sees.
    /// The value is stored in databases and stays.
    pub const ALL_USERS: &str = "@everybody";
    /// Resources that this user sees.
    pub const USER: &str = "@user";
    /// What belongs to this resource.
    pub const PARENT: &str = "@parent";
    /// Tasks that are not finished.
    pub const OPEN: &str = "@open";
    /// Users who are not anonymous.
    pub const NAMED: &str = "@named";
}

/// Everything that a resource is found by.
pub fn index_keys(record: &ResourceRecord) -> Vec<i64> {
    let fields = record.fields();
    let mut found = Vec::with_capacity(8);
    let mut add = |field: &str, value: &str| found.push(index_key(record.account, record.kind, field, value));
    fields.terms(|field, value| add(&field, &value));
    if let Some(parent) = &record.parent {
        add(index_fields::PARENT, parent.as_str());
    }
    for project in &record.scopes.projects {
        add(index_fields::PROJECT, project.as_str());
        if record.scopes.users == UserScope::All {
            add(index_fields::ALL_USERS, project.as_str());
        }
    }
    if let UserScope::Only(users) = &record.scopes.users {
        users.iter().for_each(|user| add(index_fields::USER, user.as_str()));
    }
    match record.kind {
        ResourceKind::Action => {
            record.action_collections(&fields).iter().for_each(|id| add("collection", id));
            for key in ["city", "countryCode"] {
                let values = record.private_values("context", key);
                values.iter().for_each(|value| add(&format!("context.{key}"), value.as_str()));
            }
        }
        ResourceKind::Task if matches!(fields.text("status").as_deref(), Some("PENDING" | "EXECUTING")) => {
            add(index_fields::OPEN, "");
        }
        ResourceKind::User if record.user_status() != "anonymous" => add(index_fields::NAMED, ""),
        _ => {}
    }
    found.sort_unstable();
    found.dedup();
    found
}
