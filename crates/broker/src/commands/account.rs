//! Accounts: each is created with one operator, which may do everything in it.

use thng_pubsub_protocol::{
    id::Id,
    payload::{Patch, ResourceKind},
};

use super::{Applied, Command, CommandResult, Create, Garbage, Owner};
use thng_pubsub_store::{Actor, KeyHash, KeyRecord, TimestampMs, WriteStore};

/// Creates an account with an operator that may do everything in it.
#[derive(Debug)]
pub(crate) struct CreateAccount {
    pub account: Id,
    pub operator: Id,
    /// The operator's access to the account.
    pub access: Id,
    pub name: String,
    /// The operator's.
    pub email: String,
    /// The operator's key, which is not shown again.
    pub key: KeyHash,
}

impl Command for CreateAccount {
    type Output = ();

    fn name(&self) -> &'static str {
        "create_account"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> CommandResult<Self::Output> {
        let Self { account, operator, access, name, email, key } = self;
        let (account, actor) = (*account, Actor::Operator(*operator));
        let key = KeyRecord { hash: *key, account, actor, nonce: None, created_at_ms: now_ms };
        let (name, email) = (serde_json::Value::from(name.as_str()), serde_json::Value::from(email.as_str()));
        let id = |id: &Id| format!("\"{id}\"");
        let parts = [
            (ResourceKind::Account, account, format!(r#"{{"name":{name}}}"#), Vec::new(), Vec::new()),
            (
                ResourceKind::Operator,
                *operator,
                format!(r#"{{"email":{email},"firstName":"First","lastName":"Operator"}}"#),
                Vec::new(),
                vec![key],
            ),
            (
                ResourceKind::Access,
                *access,
                format!(r#"{{"email":{email},"role":"admin"}}"#),
                vec![("account", id(&account)), ("operator", id(operator))],
                Vec::new(),
            ),
        ];
        let mut creations = Vec::new();
        for (kind, id, body, set, keys) in parts {
            let patch = Patch::parse(kind, body.as_bytes())?;
            let (parent, scopes, private) = (None, Default::default(), None);
            creations.push(Create { account, id, parent, patch, set, scopes, private, keys });
        }
        // The ids are new, so that none of them can collide with what is there: what is refused is refused by now.
        let mut events = Vec::new();
        for creation in creations {
            events.extend(creation.apply(store, now_ms)?.events);
        }
        Ok(Applied { output: (), events, garbage: Garbage::None })
    }
}
