//! Roles and access policies: those that are built in, and what each grants.

use thng_pubsub_protocol::{
    id::Id,
    payload::{Object, Patch, ResourceKind, Scopes, UserScope},
};

use super::{ListQuery, NewResource, Resources, action::admits_built_in, list::check_filter};
use crate::{
    auth::roles::{self, PathPermission, RolePermissions, Switch},
    commands::{Extras, document},
    error::{BrokerError, LogFailure as _},
    request::RequestContext,
};
use thng_pubsub_store::{Actor, Cursor, IndexScan, Page, ResourceRecord};

/// Roles that are there without having been created.
const BUILT_IN_ROLES: [(&str, &str); 3] = [
    (roles::ADMIN, r#"{"id":"admin","name":"admin","description":"Operators who may do everything."}"#),
    (roles::NONE, r#"{"id":"none","name":"none","description":"Operators who may do nothing."}"#),
    (
        roles::BASE,
        r#"{"id":"base_app_user","name":"base_app_user","description":"Application users.","type":"userInApp","version":2}"#,
    ),
];

const BUILT_IN_POLICIES: [(&str, &str); 1] = [(
    roles::ACCOUNT_ADMIN,
    r#"{"id":"UevtAccountAdminPGKYaaaa","name":"evt:accountAdmin","description":"Everything in the account.","permissions":["*:*"],"tags":[],"customFields":{},"identifiers":{}}"#,
)];

/// A role, as it is stored or built in.
#[derive(Debug)]
pub enum Role {
    BuiltIn(&'static str, &'static str),
    Own(Box<ResourceRecord>),
}

impl Role {
    fn permissions(&self) -> RolePermissions {
        match self {
            Self::BuiltIn(..) => RolePermissions::default(),
            Self::Own(record) => RolePermissions::read(record.private.as_ref()),
        }
    }

    fn is_for_users(&self) -> bool {
        match self {
            Self::BuiltIn(name, _) => *name == roles::BASE,
            Self::Own(record) => record.fields().text("type").as_deref() == Some("userInApp"),
        }
    }

    pub fn document(&self) -> String {
        match self {
            Self::BuiltIn(_, document) => (*document).to_owned(),
            Self::Own(record) => document(record, &Extras::default()),
        }
    }
}

impl Resources {
    /// A list that begins with what is built in, and how long it is where that is asked for. The page of what is built in
    /// has cursors of its own.
    pub(crate) async fn list_behind<'b>(
        &self,
        request: &RequestContext,
        kind: ResourceKind,
        built_in: impl Iterator<Item = (&'b str, String)>,
        query: &ListQuery,
        show: impl Fn(&ResourceRecord) -> String,
    ) -> Result<(Page<String>, Option<usize>), BrokerError> {
        request.permit()?;
        if let Some(filter) = &query.filter {
            check_filter(request, kind, filter)?;
        }
        // Built-in entries come before everything that has a sequence in the log.
        let start = match query.page.after {
            None => Some(query.skip),
            Some(Cursor { at_ms, seq: BUILT_IN }) => usize::try_from(at_ms).ok(),
            Some(_) => None,
        };
        let admitted: Vec<String> = built_in
            .filter(|(name, document)| admits_built_in(query, name, document))
            .map(|(_, document)| document)
            .collect();
        let count = admitted.len();
        let whole = match query.counted {
            true => Some(count + self.count(request, kind, IndexScan::All, query).await?),
            false => None,
        };
        let mut items: Vec<String> = match start {
            Some(start) => admitted.into_iter().skip(start).take(query.page.items).collect(),
            None => Vec::new(),
        };
        let mut query = query.clone();
        if let Some(start) = start {
            if start + items.len() < count {
                let next = Cursor { at_ms: (start + items.len()) as i64, seq: BUILT_IN };
                return Ok((Page { items, next: Some(next) }, whole));
            }
            query.page.after = None;
            query.skip = start.saturating_sub(count);
            query.page.items -= items.len();
        }
        if query.page.items == 0 {
            // Whether there is more is known by looking for one.
            query.page.items = 1;
            let rest = self.list_within(request, kind, IndexScan::All, &query).await?;
            let next = Cursor { at_ms: count as i64, seq: BUILT_IN };
            // The scan may have ended before it came to one.
            let has_more = !rest.items.is_empty() || rest.next.is_some();
            return Ok((Page { items, next: has_more.then_some(next) }, whole));
        }
        let rest = self.list_within(request, kind, IndexScan::All, &query).await?;
        items.extend(rest.items.iter().map(show));
        Ok((Page { items, next: rest.next }, whole))
    }

    /// Roles: those that are built in, then those of the account. Application users see those of their kind.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn roles(
        &self,
        request: &RequestContext,
        query: &ListQuery,
    ) -> Result<(Page<String>, Option<usize>), BrokerError> {
        let seen = BUILT_IN_ROLES.iter().filter(|(name, _)| can_see_built_in(request, name));
        let built_in = seen.map(|(name, document)| (*name, (*document).to_owned()));
        let show = |record: &ResourceRecord| document(record, &Extras::default());
        self.list_behind(request, ResourceKind::Role, built_in, query, show).await
    }

    /// A role by its id.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn role(&self, request: &RequestContext, id: &str) -> Result<Role, BrokerError> {
        request.permit()?;
        let mut seen = BUILT_IN_ROLES.iter().filter(|(name, _)| can_see_built_in(request, name));
        if let Some((name, document)) = seen.find(|(name, _)| *name == id) {
            return Ok(Role::BuiltIn(name, document));
        }
        let id = Id::parse(id).map_err(|_| BrokerError::NotFound)?;
        Ok(Role::Own(Box::new(self.read(request, ResourceKind::Role, id).await?)))
    }

    /// A role that can be changed.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn own_role(&self, request: &RequestContext, id: &str) -> Result<ResourceRecord, BrokerError> {
        request.permit()?;
        request.may_grant_rights()?;
        match self.role(request, id).await? {
            Role::BuiltIn(..) => Err(BrokerError::invalid("This role is built in: it cannot be changed.")),
            Role::Own(record) => Ok(*record),
        }
    }

    /// Creates a role.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn create_role(
        &self,
        request: &RequestContext,
        patch: Patch,
        payload_bytes: usize,
    ) -> Result<std::sync::Arc<ResourceRecord>, BrokerError> {
        let for_users = patch.text("type").as_deref() == Some("userInApp");
        let mut new = NewResource::of(patch);
        // The platform's roles have ids of another form.
        new.id = hexadecimal_id();
        new.private = Some(RolePermissions::new(for_users).to_private());
        // Users see the roles that are for users, and nothing of what operators may do.
        let users = if for_users { UserScope::All } else { UserScope::Only(Vec::new()) };
        new.scopes = Some(Scopes { projects: Vec::new(), users });
        self.create(request, new, payload_bytes).await
    }

    /// What a role grants, as its kind of role says it.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn permissions(&self, request: &RequestContext, id: &str) -> Result<String, BrokerError> {
        let role = self.role(request, id).await?;
        Ok(match role {
            Role::BuiltIn(roles::BASE, _) => {
                let paths =
                    crate::auth::grants::BASE_APP_USER.iter().filter(|(_, access)| !access.is_empty());
                let shown = paths.map(|(path, access)| PathPermission {
                    path: (*path).into(),
                    access: (*access).into(),
                    default: true,
                });
                to_json(&shown.collect::<Vec<_>>())
            }
            Role::BuiltIn(name, _) => {
                let mut all = RolePermissions::new(false);
                for switch in &mut all.switches {
                    switch.enabled = name == roles::ADMIN;
                    switch.children.iter_mut().for_each(|child| child.enabled = name == roles::ADMIN);
                }
                to_json(&all.switches)
            }
            role if role.is_for_users() => to_json(&role.permissions().shown_paths()),
            role => to_json(&role.permissions().switches),
        })
    }

    /// Replaces what a role of application users grants beside the defaults.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn replace_permissions(
        &self,
        request: &RequestContext,
        id: &str,
        body: &[u8],
    ) -> Result<String, BrokerError> {
        let role = Role::Own(Box::new(self.own_role(request, id).await?));
        let mut permissions = role.permissions();
        let Role::Own(record) = &role else { return Err(BrokerError::NotFound) };
        if role.is_for_users() {
            permissions.replace_paths(body).map_err(BrokerError::Invalid)?;
            self.update_private(request, ResourceKind::Role, record.id, permissions.to_private()).await?;
            return Ok(to_json(&permissions.shown_paths()));
        }
        let given: Vec<Object<Switch>> = serde_json::from_slice(body).map_err(|_| switch_wrong())?;
        for switch in given.iter().flat_map(|Object(switch)| std::iter::once(switch).chain(&switch.children))
        {
            self.check_projects(request, switch)?;
            if !permissions.set_switch(&switch.name, switch.enabled, switch.projects.clone()) {
                return Err(BrokerError::NotFound);
            }
        }
        self.update_private(request, ResourceKind::Role, record.id, permissions.to_private()).await?;
        Ok(to_json(&permissions.switches))
    }

    /// One switch of a role of operators.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn permission(
        &self,
        request: &RequestContext,
        id: &str,
        name: &str,
    ) -> Result<String, BrokerError> {
        let role = self.role(request, id).await?;
        let permissions = match &role {
            Role::BuiltIn(..) => RolePermissions::new(false),
            Role::Own(_) => role.permissions(),
        };
        let mut switch = permissions.switch(name).cloned().ok_or(BrokerError::NotFound)?;
        if let Role::BuiltIn(name, _) = role {
            switch.enabled = name == roles::ADMIN;
        }
        Ok(to_json(&switch))
    }

    /// Sets one switch of a role of operators.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn set_permission(
        &self,
        request: &RequestContext,
        id: &str,
        name: &str,
        body: &[u8],
    ) -> Result<String, BrokerError> {
        #[derive(serde::Deserialize)]
        struct Setting {
            enabled: bool,
            #[serde(default)]
            projects: Option<Vec<String>>,
        }
        let record = self.own_role(request, id).await?;
        let Object(Setting { enabled, projects }) =
            serde_json::from_slice(body).map_err(|_| switch_wrong())?;
        let mut permissions = RolePermissions::read(record.private.as_ref());
        let mut switch = permissions.switch(name).cloned().ok_or(BrokerError::NotFound)?;
        switch.projects.clone_from(&projects);
        self.check_projects(request, &switch)?;
        permissions.set_switch(name, enabled, projects);
        self.update_private(request, ResourceKind::Role, record.id, permissions.to_private()).await?;
        permissions.switch(name).map(to_json).ok_or(BrokerError::NotFound)
    }

    fn check_projects(&self, request: &RequestContext, switch: &Switch) -> Result<(), BrokerError> {
        for project in switch.projects.iter().flatten() {
            let id = Id::parse(project).map_err(|_| BrokerError::invalid("projects are ids of projects."))?;
            self.shared.can_reference(request, ResourceKind::Project, id, "projects")?;
        }
        Ok(())
    }

    /// Refuses a role that a document names and that does not exist.
    pub(crate) fn known_role(
        &self,
        request: &RequestContext,
        patch: &Patch,
        field: &str,
    ) -> Result<(), BrokerError> {
        let Some(role) = patch.text(field) else { return Ok(()) };
        if BUILT_IN_ROLES.iter().any(|(name, _)| *name == role) {
            return Ok(());
        }
        let id =
            Id::parse(&role).map_err(|_| BrokerError::invalid(format!("{field}: there is no such role.")))?;
        self.shared.can_reference(request, ResourceKind::Role, id, field)
    }

    /// Access policies: the one that is built in, then those of the account.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn policies(
        &self,
        request: &RequestContext,
        query: &ListQuery,
    ) -> Result<(Page<String>, Option<usize>), BrokerError> {
        let built_in = BUILT_IN_POLICIES.iter().map(|(name, document)| (*name, (*document).to_owned()));
        let show = |record: &ResourceRecord| document(record, &Extras::default());
        self.list_behind(request, ResourceKind::AccessPolicy, built_in, query, show).await
    }

    /// The document of an access policy, by its id or its name.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub(crate) fn known_policy(&self, request: &RequestContext, policy: &str) -> Result<String, BrokerError> {
        if let Some((_, document)) =
            BUILT_IN_POLICIES.iter().find(|(name, _)| *name == policy || policy == roles::ACCOUNT_ADMIN_ID)
        {
            return Ok((*document).to_owned());
        }
        let missing = || BrokerError::invalid("policies: there is no such access policy.");
        let account = request.principal().account;
        let id = match Id::parse(policy) {
            Ok(id) => Some(id),
            Err(_) => self.shared.store.named(account, ResourceKind::AccessPolicy, policy).log_failure()?,
        };
        let record = id.map(|id| self.shared.store.resource(id)).transpose().log_failure()?.flatten();
        let record = record
            .filter(|record| record.kind == ResourceKind::AccessPolicy && record.account == account)
            .ok_or_else(missing)?;
        Ok(document(&record, &Extras::default()))
    }

    /// One access policy.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn policy(&self, request: &RequestContext, id: &str) -> Result<String, BrokerError> {
        request.permit()?;
        if id == roles::ACCOUNT_ADMIN_ID || id == roles::ACCOUNT_ADMIN {
            return Ok(BUILT_IN_POLICIES[0].1.to_owned());
        }
        let id = Id::parse(id).map_err(|_| BrokerError::NotFound)?;
        let record = self.read(request, ResourceKind::AccessPolicy, id).await?;
        Ok(document(&record, &Extras::default()))
    }
}

/// Application users see the built-in role that is for them.
fn can_see_built_in(request: &RequestContext, name: &str) -> bool {
    name == roles::BASE || !matches!(request.principal().actor, Actor::User(_))
}

/// The sequence in cursors among built-in entries: none that the log ever assigns.
const BUILT_IN: u64 = u64::MAX;

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("permissions become JSON")
}

fn switch_wrong() -> BrokerError {
    BrokerError::invalid("A permission is an object such as {\"name\": \"global_read\", \"enabled\": true}.")
}

/// 24 hexadecimal digits, as the ids of roles and accesses were.
pub(crate) fn hexadecimal_id() -> Id {
    let digits: String = (0..12).map(|_| format!("{:02x}", crate::random::byte())).collect();
    Id::parse(&digits).expect("24 digits are an id")
}
