//! API keys: issued once, revoked at once.

use thng_pubsub_protocol::{id::Id, payload::Json};

use super::{Applied, Command, CommandError, CommandResult, Event, Garbage, Owner};
use thng_pubsub_store::{Actor, KeyHash, KeyRecord, ResourceRecord, TimestampMs, WriteStore};

/// Gives an actor without a key one, and sets the private fields of its resource. An existing key stays.
#[derive(Debug)]
pub(crate) struct IssueKey {
    pub key: KeyRecord,
    /// The private fields of the actor's resource from now on.
    pub private: Option<Json>,
}

impl Command for IssueKey {
    type Output = KeyRecord;

    fn name(&self) -> &'static str {
        "issue_key"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.key.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> CommandResult<Self::Output> {
        let Self { key, private } = self;
        let before = actor(store, key)?;
        if let Some(private) = private {
            let mut after = before.clone();
            after.private = Some(private.clone());
            after.updated_at_ms = now_ms.max(before.created_at_ms + 1);
            store.put_resource(Some(&before), &after)?;
        }
        let current = match store.key_of(key.actor)? {
            Some(current) => current,
            None => {
                let key = KeyRecord { created_at_ms: now_ms, ..key.clone() };
                store.add_key(&key)?;
                key
            }
        };
        Ok(Applied { output: current, events: Vec::new(), garbage: Garbage::None })
    }
}

/// The resource of a key's actor, if it is there and of the key's account.
fn actor(store: &mut dyn WriteStore, key: &KeyRecord) -> Result<ResourceRecord, CommandError> {
    let found = store.resource(key.actor.id())?;
    found.filter(|found| found.account == key.account).ok_or(CommandError::NotFound)
}

/// Gives an actor one more key. Existing keys stay.
#[derive(Debug)]
pub(crate) struct AddKey {
    pub key: KeyRecord,
}

impl Command for AddKey {
    type Output = ();

    fn name(&self) -> &'static str {
        "add_key"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.key.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> CommandResult<Self::Output> {
        actor(store, &self.key)?;
        store.add_key(&KeyRecord { created_at_ms: now_ms, ..self.key.clone() })?;
        Ok(Applied::done(Garbage::None))
    }
}

/// Revokes one key of any actor.
#[derive(Debug)]
pub(crate) struct RevokeKey {
    pub account: Id,
    pub actor: Actor,
    pub hash: KeyHash,
}

impl Command for RevokeKey {
    type Output = ();

    fn name(&self) -> &'static str {
        "revoke_key"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, _: TimestampMs) -> CommandResult<Self::Output> {
        if !store.remove_key(&self.hash)? {
            return Err(CommandError::NotFound);
        }
        let keys = vec![(self.actor, self.hash)];
        let events = vec![Event::KeysRevoked { account: self.account, keys }];
        Ok(Applied { output: (), events, garbage: Garbage::Sessions })
    }
}

/// Revokes all keys of an actor.
#[derive(Debug)]
pub(crate) struct RevokeKeys {
    pub account: Id,
    pub actor: Actor,
}

impl Command for RevokeKeys {
    type Output = ();

    fn name(&self) -> &'static str {
        "revoke_keys"
    }

    fn owner(&self) -> Owner {
        Owner::Account(self.account)
    }

    fn apply(&self, store: &mut dyn WriteStore, _: TimestampMs) -> CommandResult<Self::Output> {
        if store.key_of(self.actor)?.is_none_or(|key| key.account != self.account) {
            return Err(CommandError::NotFound);
        }
        let keys = store.remove_keys(self.actor)?.into_iter().map(|hash| (self.actor, hash)).collect();
        let events = vec![Event::KeysRevoked { account: self.account, keys }];
        Ok(Applied { output: (), events, garbage: Garbage::Sessions })
    }
}
