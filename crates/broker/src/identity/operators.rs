//! Operators, the account that they work in, and their accesses to it.

use std::sync::Arc;

use thng_pubsub_protocol::{
    id::Id,
    payload::{Patch, ResourceKind},
};

use super::Identity;
use crate::{
    auth::{keys, principal, roles},
    commands::{Command as _, CreateAccount, Delete, Extras},
    error::{BrokerError, LogFailure as _},
    random,
    request::RequestContext,
    resources::{NewResource, hexadecimal_id},
};
use thng_pubsub_store::{Actor, ResourceRecord, StoreError, TimestampMs, WriteStore};

/// Short domains of an account. Redirections live on another host; clients ask for these names all the same.
const SHORT_DOMAIN: &str = "tn.gg";

impl Identity {
    /// An operator by their id or address: oneself, or for those who reach everything any.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn operator(&self, request: &RequestContext, id: &str) -> Result<ResourceRecord, BrokerError> {
        let (account, kind) = (request.principal().account, ResourceKind::Operator);
        let id = match Id::parse(id) {
            Ok(id) => Some(id),
            Err(_) => {
                let name = id.to_lowercase();
                self.shared.store.named(account, kind, &name).log_failure()?
            }
        };
        let id = id.ok_or(BrokerError::NotFound)?;
        if request.principal().actor != Actor::Operator(id) && !request.is_unlimited() {
            return Err(BrokerError::NotFound);
        }
        self.resources.read(request, kind, id).await
    }

    /// The account of the caller, where the path names it.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn account(&self, request: &RequestContext, id: Id) -> Result<ResourceRecord, BrokerError> {
        if id != request.principal().account {
            request.permit()?;
            return Err(BrokerError::NotFound);
        }
        self.resources.read(request, ResourceKind::Account, id).await
    }

    /// The members that an access shows besides its fields: the caller's own key. A caller that may do everything also
    /// sees those of others that can be shown, since it can create such keys as well.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`].
    pub fn access_extras(
        &self,
        request: &RequestContext,
        access: &ResourceRecord,
        own_key: &str,
    ) -> Result<Extras, BrokerError> {
        let operator = access.fields().id("operator").map(Actor::Operator);
        let key = match operator {
            Some(actor) if actor == request.principal().actor => Some(own_key.to_owned()),
            Some(actor) if request.principal().is_admin() => self.shared.key_of(actor)?,
            _ => None,
        };
        let more = key.map(|key| ("apiKey", format!("\"{key}\""))).into_iter().collect();
        Ok(Extras { more, ..Extras::default() })
    }

    /// Lets another operator into the account.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn create_access(
        &self,
        request: &RequestContext,
        body: &[u8],
    ) -> Result<Arc<ResourceRecord>, BrokerError> {
        let account = request.principal().account;
        let access = Patch::parse(ResourceKind::Access, body)?;
        self.check_access(request, &access)?;
        let mut operator = NewResource::of(Patch::parse(ResourceKind::Operator, body)?);
        operator.keys.push(self.shared.new_key(account, Actor::Operator(operator.id)));
        let id = operator.id;
        let mut new = NewResource::of(access);
        new.id = hexadecimal_id();
        new.set_id("account", account);
        new.set_id("operator", id);
        if new.patch.get("role").is_none() && new.patch.texts("policies").is_empty() {
            new.patch.set_text("role", roles::NONE);
        }
        // Both are checked before either is made.
        let access = self.resources.creation(request, new)?;
        let operator = self.resources.creation(request, operator)?;
        let bytes = body.len();
        self.shared
            .in_steps(move |shared, changed| async move {
                shared.execute(operator, bytes).await?;
                changed.add(1);
                // An operator without an access may do nothing, so an interruption here grants nothing.
                shared.execute(access, bytes).await
            })
            .await
    }

    /// Refuses an access that names what does not exist.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn check_access(&self, request: &RequestContext, access: &Patch) -> Result<(), BrokerError> {
        request.may_grant_rights()?;
        self.resources.known_role(request, access, "role")?;
        access
            .texts("policies")
            .iter()
            .try_for_each(|policy| self.resources.known_policy(request, policy).map(drop))
    }

    /// Takes an operator's access away, and with it the operator.
    ///
    /// # Errors
    /// [`BrokerError`], also for one's own.
    pub async fn delete_access(&self, request: &RequestContext, id: Id) -> Result<(), BrokerError> {
        request.permit()?;
        request.may_grant_rights()?;
        let access = self.resources.read(request, ResourceKind::Access, id).await?;
        let account = request.principal().account;
        let operator = access.fields().id("operator");
        if operator.is_some_and(|operator| request.principal().actor == Actor::Operator(operator)) {
            return Err(BrokerError::invalid("This is your own access; another operator can take it away."));
        }
        let delete = move |kind, id| Delete { account, kind, id };
        self.shared
            .in_steps(move |shared, changed| async move {
                if let Some(operator) = operator {
                    match shared.execute(delete(ResourceKind::Operator, operator), 0).await {
                        Ok(()) => {
                            changed.add(1);
                        }
                        Err(BrokerError::NotFound) => {}
                        Err(refusal) => return Err(refusal),
                    }
                }
                shared.execute(delete(ResourceKind::Access, id), 0).await
            })
            .await
    }

    /// The access of the caller, with the documents of its policies: `GET /me`.
    ///
    /// # Errors
    /// [`BrokerError::Forbidden`] for keys that are not an operator's.
    pub async fn me(&self, request: &RequestContext) -> Result<String, BrokerError> {
        request.permit()?;
        let Actor::Operator(id) = request.principal().actor else { return Err(BrokerError::Forbidden) };
        let account = request.principal().account;
        let operator = self.shared.store.resource(id).log_failure()?.ok_or(BrokerError::NotFound)?;
        let access = principal::access_of(&*self.shared.store, account, id)
            .log_failure()?
            .ok_or(BrokerError::NotFound)?;
        let fields = operator.fields();
        let text = |name: &str| fields.text(name).unwrap_or_default();
        let full_name = format!("{} {}", text("firstName"), text("lastName"));
        let own = access.fields();
        let mut policies = Vec::new();
        for policy in own.texts("policies") {
            // One that is gone by now grants nothing, and is no reason to be refused.
            policies.extend(self.resources.known_policy(request, &policy).ok());
        }
        if own.texts("policies").is_empty() && own.text("role").as_deref() == Some(roles::ADMIN) {
            policies.push(self.resources.known_policy(request, roles::ACCOUNT_ADMIN)?);
        }
        let conditions = own.get("conditions").unwrap_or("[]");
        let name = serde_json::Value::from(full_name.trim());
        let email = serde_json::Value::from(text("email"));
        Ok(format!(
            r#"{{"id":"{}","operator":"{id}","name":{name},"email":{email},"policies":[{}],"conditions":{conditions}}}"#,
            access.id,
            policies.join(",")
        ))
    }

    /// The domains of an account.
    pub fn domains(account: Id) -> String {
        format!(r#"[{{"id":"{account}","accountId":"{account}","domain":"{SHORT_DOMAIN}"}}]"#)
    }

    /// The short domains of an account.
    pub fn short_domains() -> String {
        format!(r#"["{SHORT_DOMAIN}"]"#)
    }
}

/// Makes an account with an operator who may do everything, in a group of its own. Returns both ids.
///
/// # Errors
/// The store's.
pub fn first_account(
    store: &mut dyn WriteStore,
    key: &str,
    now_ms: TimestampMs,
) -> Result<(Id, Id), StoreError> {
    let new = new_account(key, "Account", "operator@localhost");
    let ids = (new.account, new.operator);
    store.begin()?;
    match new.apply(store, now_ms) {
        Ok(_) => {}
        Err(crate::commands::CommandError::Store(error)) => return Err(error),
        Err(error) => unreachable!("the first account is like any other: {error}"),
    }
    store.commit()?;
    store.disk_sync().sync()?;
    Ok(ids)
}

/// A new account whose operator has this key, which was found to be one.
pub(crate) fn new_account(key: &str, name: &str, email: &str) -> CreateAccount {
    CreateAccount {
        account: Id::generate(random::byte),
        operator: Id::generate(random::byte),
        access: hexadecimal_id(),
        name: name.into(),
        email: email.into(),
        key: keys::hash(key).expect("the key was checked before"),
    }
}
