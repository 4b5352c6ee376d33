//! API keys: issued once, revoked at once.

use thng_pubsub_protocol::{id::Id, payload::Json};

use super::{AppliedCommand, CommandError, Event, Outcome};
use thng_pubsub_store::{Actor, KeyHash, KeyRecord, TimestampMs, WriteStore};

/// Gives an actor without a key one, and sets the private fields of its resource.
pub(super) fn issue(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    key: &KeyRecord,
    private: Option<&Json>,
) -> Result<AppliedCommand, CommandError> {
    let id = key.actor.id();
    let before =
        store.resource(id)?.filter(|found| found.account == key.account).ok_or(CommandError::NotFound)?;
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
    Ok(AppliedCommand { outcome: Outcome::Key(current), events: Vec::new() })
}

/// Gives an actor one more key. Existing keys stay.
pub(super) fn add(
    store: &mut dyn WriteStore,
    now_ms: TimestampMs,
    key: &KeyRecord,
) -> Result<AppliedCommand, CommandError> {
    store
        .resource(key.actor.id())?
        .filter(|found| found.account == key.account)
        .ok_or(CommandError::NotFound)?;
    let key = KeyRecord { created_at_ms: now_ms, ..key.clone() };
    store.add_key(&key)?;
    Ok(AppliedCommand { outcome: Outcome::Key(key), events: Vec::new() })
}

/// Takes one key away, whosever it is.
pub(super) fn revoke_one(store: &mut dyn WriteStore, hash: &KeyHash) -> Result<AppliedCommand, CommandError> {
    if !store.remove_key(hash)? {
        return Err(CommandError::NotFound);
    }
    Ok(AppliedCommand { outcome: Outcome::Done, events: vec![Event::KeysRevoked { hashes: vec![*hash] }] })
}

/// Takes an actor's keys away.
pub(super) fn revoke(
    store: &mut dyn WriteStore,
    account: Id,
    actor: Actor,
) -> Result<AppliedCommand, CommandError> {
    if store.key_of(actor)?.is_none_or(|key| key.account != account) {
        return Err(CommandError::NotFound);
    }
    let hashes = store.remove_keys(actor)?;
    Ok(AppliedCommand { outcome: Outcome::Done, events: vec![Event::KeysRevoked { hashes }] })
}
