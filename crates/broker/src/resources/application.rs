//! Applications: what belongs to a project and has a public and a secret key; and the rules of redirectors.

use std::sync::Arc;

use thng_pubsub_protocol::{
    id::Id,
    payload::{Json, Patch, ResourceKind, has_duplicate_members},
};

use super::{NewResource, Resources};
use crate::{error::BrokerError, request::RequestContext};
use thng_pubsub_store::{Actor, ResourceRecord};

impl Resources {
    /// Creates an application with both its keys.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn create_application(
        &self,
        request: &RequestContext,
        project: Id,
        patch: Patch,
        payload_bytes: usize,
    ) -> Result<Arc<ResourceRecord>, BrokerError> {
        self.shared.authorize(request, ResourceKind::Project, project)?;
        self.known_role(request, &patch, "defaultRole")?;
        let mut new = NewResource::of(patch).under("project", project);
        let account = request.principal().account;
        new.keys = [Actor::Application(new.id), Actor::TrustedApplication(new.id)]
            .map(|actor| self.shared.new_key(account, actor))
            .into();
        new.scopes = Some(of_project(project));
        self.create(request, new, payload_bytes).await
    }

    /// Checks that an application is there for the caller, and in this project where one is named.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn application(
        &self,
        request: &RequestContext,
        project: Option<Id>,
        id: Id,
    ) -> Result<ResourceRecord, BrokerError> {
        let record = self.read(request, ResourceKind::Application, id).await?;
        match project.is_none_or(|project| record.parent == Some(project)) {
            true => Ok(record),
            false => Err(BrokerError::NotFound),
        }
    }

    /// The application that the caller's key belongs to.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`] for keys that belong to none.
    pub fn own_application(&self, request: &RequestContext) -> Result<Id, BrokerError> {
        request.permit()?;
        request.principal().app.ok_or(BrokerError::NotFound)
    }

    /// Changes an application.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn update_application(
        &self,
        request: &RequestContext,
        id: Id,
        patch: Patch,
        payload_bytes: usize,
    ) -> Result<Arc<ResourceRecord>, BrokerError> {
        let mut patch = patch;
        if request.is_unlimited() {
            self.known_role(request, &patch, "defaultRole")?;
        } else {
            // An application does not say what its users may do; it sends its whole document back all the same.
            patch.pass_over("defaultRole");
        }
        self.update(request, id, patch, payload_bytes).await
    }

    /// What an application's document shows besides its fields: its public key.
    pub(crate) fn public_key(&self, id: Id) -> Result<Option<(&'static str, String)>, BrokerError> {
        let key = self.shared.key_of(Actor::Application(id))?;
        Ok(key.map(|key| ("appApiKey", format!("\"{key}\""))))
    }

    /// An application's secret key.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn secret_key(&self, id: Id) -> Result<String, BrokerError> {
        self.shared.key_of(Actor::TrustedApplication(id))?.ok_or(BrokerError::NotFound)
    }

    /// The rules of a redirector, as they were given.
    pub fn redirector(record: &ResourceRecord) -> String {
        let private: Option<serde_json::Map<String, serde_json::Value>> =
            record.private.as_ref().and_then(|private| serde_json::from_str(private.as_str()).ok());
        let rules = private.and_then(|mut private| private.remove("redirector"));
        rules.map_or_else(|| r#"{"rules":[]}"#.into(), |rules| rules.to_string())
    }

    /// Stores the rules of a redirector, which reads them from here.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn set_redirector(
        &self,
        request: &RequestContext,
        record: &ResourceRecord,
        body: &[u8],
    ) -> Result<String, BrokerError> {
        let rules: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(body).map_err(|_| rules_wrong())?;
        if !rules.get("rules").is_some_and(serde_json::Value::is_array)
            || std::str::from_utf8(body).is_ok_and(has_duplicate_members)
            || ["errors", "body"].iter().any(|name| rules.contains_key(*name))
        {
            return Err(rules_wrong());
        }
        let rules = serde_json::Value::Object(rules);
        let private =
            Json::parse(serde_json::json!({ "redirector": rules }).to_string()).map_err(|_| rules_wrong())?;
        let record = self.update_private(request, record.kind, record.id, private).await?;
        Ok(Self::redirector(&record))
    }
}

fn rules_wrong() -> BrokerError {
    BrokerError::invalid("A redirector is an object such as {\"rules\": [{\"match\": \"thng.name=test\"}]}.")
}

/// Visible within the project.
pub(crate) fn of_project(project: Id) -> thng_pubsub_protocol::payload::Scopes {
    let users = thng_pubsub_protocol::payload::UserScope::Only(Vec::new());
    thng_pubsub_protocol::payload::Scopes { projects: vec![project], users }
}
