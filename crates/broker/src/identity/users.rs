//! Application users: how they come, prove who they are, get in and out.

use std::{net::IpAddr, sync::Arc};

use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _, password_hash::phc::PasswordHash};
use serde::Deserialize;
use thng_pubsub_protocol::{
    id::Id,
    limits,
    payload::{Json, Object, Patch, ResourceKind, Scopes, UserScope},
};

use super::{
    Identity,
    password_queue::{HashPermit, QueueFull},
};
use crate::{
    auth::{keys, roles},
    commands::RevokeKeys,
    error::{BrokerError, LogFailure as _},
    random,
    request::RequestContext,
    resources::NewResource,
};
use thng_pubsub_store::{Actor, ResourceRecord};

/// A user who was just created, and what lets them in.
#[derive(Debug)]
pub struct NewUser {
    pub user: Arc<ResourceRecord>,
    /// Of a user with a name: what `validate` asks for.
    pub activation_code: Option<String>,
    /// Of an anonymous user: their key.
    pub key: Option<String>,
}

/// A user who showed who they are.
#[derive(Debug)]
pub struct Login {
    pub user: ResourceRecord,
    pub key: String,
    /// The role that their application gives them: an id, or the built-in one.
    pub role: String,
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    password: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Activation {
    #[serde(default)]
    activation_code: Option<String>,
}

fn private(members: &[(&str, &str)]) -> Json {
    let members = members.iter().map(|(name, text)| ((*name).to_owned(), (*text).into()));
    let object = serde_json::Value::Object(members.collect());
    Json::parse(object.to_string()).expect("what was just written is JSON")
}

impl Identity {
    /// Creates a user of the caller's application.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn create_user(
        &self,
        request: &RequestContext,
        address: IpAddr,
        body: &[u8],
        anonymous: bool,
    ) -> Result<NewUser, BrokerError> {
        request.permit()?;
        let (app, project) = self.own_app(request)?;
        let body = if body.is_empty() { b"{}" } else { body };
        let patch = Patch::parse(ResourceKind::User, body)?;
        let credentials = credentials(body)?;
        let mut new = NewResource::of(patch).under("app", app);
        new.set_id("project", project);
        new.scopes = Some(Scopes { projects: vec![project], users: UserScope::Only(vec![new.id]) });
        let bytes = body.len();
        if anonymous {
            new.patch.pass_over("email");
            new.private = Some(private(&[("status", "anonymous")]));
            let key = self.shared.new_key(request.principal().account, Actor::User(new.id));
            let text = self.shared.reveal(&key);
            new.keys.push(key);
            let user = self.resources.create(request, new, bytes).await?;
            return Ok(NewUser { user, activation_code: None, key: text });
        }
        let mut faults = Vec::new();
        if new.patch.get("email").is_none() {
            faults.push("email is required: an address such as ada@example.com.".to_owned());
        }
        let (least, most) = limits::PASSWORD_CHARS;
        let password = credentials.password.filter(|text| (least..=most).contains(&text.chars().count()));
        if password.is_none() {
            faults.push(format!("password is a string of {least} to {most} characters."));
        }
        let (None, Some(password)) = (faults.first(), password) else {
            return Err(BrokerError::Invalid(faults));
        };
        let hash = self.hash(address, password).await?;
        let code = keys::generate(random::byte)[..24].to_owned();
        new.private = Some(private(&[("status", "inactive"), ("password", &hash), ("activation", &code)]));
        let user = self.resources.create(request, new, bytes).await?;
        Ok(NewUser { user, activation_code: Some(code), key: None })
    }

    fn own_app(&self, request: &RequestContext) -> Result<(Id, Id), BrokerError> {
        request.principal().app.zip(request.principal().project).ok_or_else(|| {
            BrokerError::invalid("Users belong to an application: call this with the key of one.")
        })
    }

    /// A user of the caller's application.
    fn user_of(&self, request: &RequestContext, id: Id) -> Result<ResourceRecord, BrokerError> {
        let (app, _) = self.own_app(request)?;
        let found = self.shared.store.resource(id).log_failure()?;
        found
            .filter(|user| user.kind == ResourceKind::User && user.parent == Some(app))
            .ok_or(BrokerError::NotFound)
    }

    /// Lets a user in who shows the code that their creation gave out; returns their key.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn validate_user(
        &self,
        request: &RequestContext,
        id: Id,
        body: &[u8],
    ) -> Result<(ResourceRecord, String), BrokerError> {
        request.permit()?;
        let user = self.user_of(request, id)?;
        let Object(given): Object<Activation> =
            serde_json::from_slice(body).map_err(|_| BrokerError::invalid("activationCode is required."))?;
        let code = user.private_text("activation");
        if user.user_status() == "anonymous" || code.is_none() || given.activation_code != code {
            return Err(BrokerError::invalid("activationCode is not the one of this user."));
        }
        // The code opens once; from here on it is the password that does.
        let password = user.private_text("password").unwrap_or_default();
        let now = self.shared.clock.now_ms().to_string();
        let private = private(&[("status", "active"), ("password", &password), ("activatedAt", &now)]);
        let key = self.issue(user.account, Actor::User(id), Some(private)).await?;
        Ok((user, key))
    }

    /// Lets a user in who knows their password.
    ///
    /// # Errors
    /// [`BrokerError::BadLogin`] where email and password do not fit, or the user was not validated,
    /// [`BrokerError::PasswordQueueFull`].
    pub async fn log_in(
        &self,
        request: &RequestContext,
        address: IpAddr,
        body: &[u8],
    ) -> Result<Login, BrokerError> {
        request.permit()?;
        let (app, _) = self.own_app(request)?;
        let Credentials { email: Some(email), password: Some(password) } = credentials(body)? else {
            return Err(BrokerError::invalid("email and password are required."));
        };
        if password.chars().count() > limits::PASSWORD_CHARS.1 {
            return Err(BrokerError::BadLogin);
        }
        let name = format!("{app}/{}", email.to_lowercase());
        let account = request.principal().account;
        let id = self.shared.store.named(account, ResourceKind::User, &name).log_failure()?;
        let user = id.map(|id| self.shared.store.resource(id)).transpose().log_failure()?.flatten();
        let hash = user.as_ref().and_then(|user| user.private_text("password"));
        // An unknown address takes as long as a wrong password.
        let fits = self.verify(address, password, hash.unwrap_or_else(|| NOBODY.to_owned())).await?;
        let user = user.filter(|user| fits && user.user_status() == "active").ok_or(BrokerError::BadLogin)?;
        let key = self.issue(account, Actor::User(user.id), None).await?;
        let application = self.shared.store.resource(app).log_failure()?;
        let role = application.and_then(|application| application.fields().text("defaultRole"));
        Ok(Login { user, key, role: role.unwrap_or_else(|| roles::BASE.to_owned()) })
    }

    /// Takes the caller's own key away.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn log_out(&self, request: &RequestContext) -> Result<(), BrokerError> {
        request.permit()?;
        let Actor::User(_) = request.principal().actor else {
            return Err(BrokerError::invalid("Only application users log out."));
        };
        let (account, actor) = (request.principal().account, request.principal().actor);
        self.shared.execute(RevokeKeys { account, actor }, 0).await
    }

    async fn hash(&self, address: IpAddr, password: String) -> Result<String, BrokerError> {
        let turn = self.password_turn(address).await?;
        let salt: [u8; 16] = std::array::from_fn(|_| random::byte());
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
            hash.map(|hash| hash.to_string()).map_err(|_| BrokerError::Unavailable)
        })
        .await
        .map_err(|_| BrokerError::Unavailable)?
    }

    async fn verify(&self, address: IpAddr, password: String, hash: String) -> Result<bool, BrokerError> {
        let turn = self.password_turn(address).await?;
        tokio::task::spawn_blocking(move || {
            // A client that goes away does not end the hashing, so its turn lasts until the hashing has ended.
            let _turn = turn;
            PasswordHash::new(&hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        })
        .await
        .map_err(|_| BrokerError::Unavailable)
    }

    async fn password_turn(&self, address: IpAddr) -> Result<HashPermit, BrokerError> {
        self.passwords.turn(address).await.map_err(|full| {
            let bound = match full {
                QueueFull::Address => "address",
                QueueFull::Total => "all",
            };
            self.shared.metrics.passwords_refused.with_label_values(&[bound]).inc();
            BrokerError::PasswordQueueFull
        })
    }
}

/// The hash of an unknown password, made as the others are.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn credentials(body: &[u8]) -> Result<Credentials, BrokerError> {
    let read = serde_json::from_slice(body).map(|Object(credentials)| credentials);
    read.map_err(|_| BrokerError::invalid("email and password are strings of an object."))
}
