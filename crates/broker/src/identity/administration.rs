//! Administration without a key: creates accounts and keys, and revokes keys.
//!
//! Its commands come through the administration socket or run in a process of their own. They need no key, since a user
//! that can read the data folder could do all of this anyway. They pass the single writer like every other command, so
//! that connections end with their keys.

use std::sync::Arc;

use serde_json::json;
use thng_pubsub_protocol::{
    id::Id,
    payload::{Patch, ResourceKind},
    topic::table::Access,
};

use super::{Identity, operators::new_account};
use crate::{
    auth::{Principal, Right, grants::Grants, keys, visibility::Visibility},
    commands::{AddKey, CreateAccount, RevokeKey},
    error::{BrokerError, LogFailure as _},
    random,
    request::RequestContext,
    resources::NewResource,
};
use thng_pubsub_store::{Actor, KeyHash, KeyRecord};

/// Hexadecimal digits that name a key at the least: fewer are typed by accident.
const HANDLE_DIGITS_MIN: usize = 8;

/// A new key, shown only once.
pub struct IssuedKey {
    pub account: Id,
    pub actor: Actor,
    pub hash: KeyHash,
    pub text: String,
}

impl std::fmt::Debug for IssuedKey {
    /// Without the key.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("IssuedKey").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// What an operator may do who is to be let in.
#[derive(Debug, Clone, Default)]
pub struct Rights {
    pub role: Option<String>,
    pub policies: Vec<String>,
    pub conditions: Vec<String>,
}

impl Rights {
    fn are_none(&self) -> bool {
        self.role.is_none() && self.policies.is_empty() && self.conditions.is_empty()
    }
}

impl Identity {
    /// Makes another account with an operator who may do everything in it.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] for a name or an address that cannot be, [`BrokerError::Unavailable`].
    pub async fn make_account(&self, name: &str, email: &str) -> Result<IssuedKey, BrokerError> {
        let text = keys::generate(random::byte);
        let new = new_account(&text, name, email);
        let CreateAccount { account, operator, key: hash, .. } = new;
        self.shared.execute(new, 0).await?;
        Ok(IssuedKey { account, actor: Actor::Operator(operator), hash, text })
    }

    /// Gives an operator one more key, or lets a new one in with these rights. `account`: may be left out where there is
    /// only one.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`], also where it is not clear who is meant.
    pub async fn make_operator_key(
        &self,
        account: Option<&str>,
        operator: &str,
        rights: &Rights,
    ) -> Result<IssuedKey, BrokerError> {
        let account = self.account_meant(account)?;
        let known = match Id::parse(operator) {
            Ok(id) => self
                .shared
                .resource_meta(id)
                .log_failure()?
                .filter(|meta| meta.kind == ResourceKind::Operator)
                .map(|meta| meta.id),
            Err(_) => self
                .shared
                .store
                .named(account, ResourceKind::Operator, &operator.to_lowercase())
                .log_failure()?,
        };
        let known = match known {
            Some(id) => self
                .shared
                .resource_meta(id)
                .log_failure()?
                .filter(|meta| meta.account == account)
                .map(|meta| meta.id),
            None => None,
        };
        match known {
            Some(_) if !rights.are_none() => Err(BrokerError::Conflict(format!(
                "The operator {operator} is in account {account} already, with rights of their own. Leave the role and the \
                 policies out for one more key, or change the rights by REST."
            ))),
            Some(id) => self.add_key(account, Actor::Operator(id)).await,
            None if rights.are_none() => Err(BrokerError::invalid(format!(
                "There is no operator {operator} in account {account}; --role (such as admin) or --policy lets a new one in."
            ))),
            None => self.let_operator_in(account, operator, rights).await,
        }
    }

    async fn let_operator_in(
        &self,
        account: Id,
        email: &str,
        Rights { role, policies, conditions }: &Rights,
    ) -> Result<IssuedKey, BrokerError> {
        let mut body = json!({ "email": email, "policies": policies, "conditions": conditions });
        if let Some(role) = role {
            body["role"] = json!(role);
        }
        let principal = Arc::new(administrator(account));
        let access = self
            .create_access(&RequestContext::new(&principal, Access::Create, "/"), body.to_string().as_bytes())
            .await?;
        let operator = access.fields().id("operator").ok_or(BrokerError::Unavailable)?;
        let actor = Actor::Operator(operator);
        let key = self.shared.store.key_of(actor).log_failure()?.ok_or(BrokerError::Unavailable)?;
        let text = self.shared.reveal(&key).ok_or(BrokerError::Unavailable)?;
        Ok(IssuedKey { account, actor, hash: key.hash, text })
    }

    /// Makes an access token.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`], also where it is not clear which account is meant.
    pub async fn make_token(
        &self,
        account: Option<&str>,
        name: &str,
        policies: &[String],
        conditions: &[String],
    ) -> Result<IssuedKey, BrokerError> {
        let account = self.account_meant(account)?;
        let body = json!({ "name": name, "policies": policies, "conditions": conditions }).to_string();
        let new = NewResource::of(Patch::parse(ResourceKind::AccessToken, body.as_bytes())?);
        let actor = Actor::AccessToken(new.id);
        let principal = Arc::new(administrator(account));
        let request = RequestContext::new(&principal, Access::Create, "/");
        let (_, text) = self.create_access_token(&request, new, body.len()).await?;
        let hash = keys::hash(&text).map_err(|_| BrokerError::Unavailable)?;
        Ok(IssuedKey { account, actor, hash, text })
    }

    /// Takes the key away whose hash begins so.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] where no key or several are meant.
    pub async fn revoke_by_handle(&self, handle: &str) -> Result<KeyRecord, BrokerError> {
        let (least, greatest) = range_of(handle)?;
        let mut found = self.shared.store.keys_between(&least, &greatest, 2).log_failure()?;
        match (found.pop(), found.is_empty()) {
            (Some(key), true) => {
                self.shared
                    .execute(RevokeKey { account: key.account, actor: key.actor, hash: key.hash }, 0)
                    .await?;
                Ok(key)
            }
            (Some(_), false) => Err(BrokerError::invalid(format!(
                "{handle} is the beginning of several keys' hashes: give more digits, as `keys list --json` shows them."
            ))),
            (None, _) => Err(BrokerError::invalid(format!(
                "There is no key {handle}: `keys list` shows the handles of all."
            ))),
        }
    }

    async fn add_key(&self, account: Id, actor: Actor) -> Result<IssuedKey, BrokerError> {
        let key = self.shared.new_key(account, actor);
        let text = self.shared.reveal(&key).ok_or(BrokerError::Unavailable)?;
        let hash = key.hash;
        self.shared.execute(AddKey { key }, 0).await?;
        Ok(IssuedKey { account, actor, hash, text })
    }

    /// The account that is named, or the only one.
    fn account_meant(&self, account: Option<&str>) -> Result<Id, BrokerError> {
        let Some(account) = account else {
            let accounts = self.shared.store.accounts(2).log_failure()?;
            return match accounts.as_slice() {
                [account] => Ok(*account),
                [] => Err(BrokerError::invalid("There is no account yet: `accounts create` makes one.")),
                _ => Err(BrokerError::invalid("There are several accounts: say which one with --account.")),
            };
        };
        let id = Id::parse(account).ok();
        let meta = id.map(|id| self.shared.resource_meta(id)).transpose().log_failure()?.flatten();
        let is_account = |kind| kind == ResourceKind::Account;
        match meta.filter(|meta| is_account(meta.kind)) {
            Some(meta) => Ok(meta.id),
            None => Err(BrokerError::invalid(format!("There is no account {account}."))),
        }
    }
}

/// An operator that may do everything in an account, and has no key.
fn administrator(account: Id) -> Principal {
    Principal {
        account,
        // No operator has this id.
        actor: Actor::Operator(account),
        key: KeyHash([0; 32]),
        project: None,
        app: None,
        rights: vec![Right { grants: Grants::everything(), view: Visibility::Account }],
    }
}

/// The least and the greatest hash that begin so.
pub(super) fn range_of(handle: &str) -> Result<(KeyHash, KeyHash), BrokerError> {
    let most = 2 * size_of::<KeyHash>();
    let fits = (HANDLE_DIGITS_MIN..=most).contains(&handle.len())
        && handle.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !fits {
        return Err(BrokerError::invalid(format!(
            "A key is named by the first {HANDLE_DIGITS_MIN} to {most} hexadecimal digits of its hash, as `keys list` shows \
             them, never by the key itself."
        )));
    }
    let filled = |with: u8| {
        let mut digits = handle.bytes().chain(std::iter::repeat(with));
        let mut digit = || {
            let digit = digits.next().and_then(|digit| char::from(digit).to_digit(16));
            u8::try_from(digit.unwrap_or_default()).unwrap_or_default()
        };
        KeyHash(std::array::from_fn(|_| digit() << 4 | digit()))
    };
    Ok((filled(b'0'), filled(b'f')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_matches_every_hash_with_that_prefix() {
        let (least, greatest) = range_of("A5a5a5a5b").expect("a handle");
        assert_eq!(least.0[..6], [0xa5, 0xa5, 0xa5, 0xa5, 0xb0, 0]);
        assert_eq!(greatest.0[..6], [0xa5, 0xa5, 0xa5, 0xa5, 0xbf, 0xff]);
        let whole = "0f".repeat(32);
        assert_eq!(range_of(&whole).expect("a whole hash").0.0, [0x0f; 32]);
        for none in ["", "1234567", "1234567g", &"0".repeat(65), "ääää"] {
            assert!(range_of(none).is_err(), "{none}");
        }
    }
}
