//! How roles and access policies say what they grant, as documents and as [`Grants`].
//!
//! - Roles of application users: `[{"path", "access"}]` beside defaults that every user has.
//! - Roles of operators: a small tree of switches, some of them for single projects.
//! - Access policies: strings such as `thngs:read,list`.

use serde::{Deserialize, Serialize};
use thng_pubsub_protocol::{
    id::Id,
    limits,
    payload::{Json, Object, ResourceKind},
    topic::table::Access,
};

use super::{
    Right,
    grants::{BASE_APP_USER, EVERY_USER, Grants, Verbs},
    visibility::Visibility,
};

/// The built-in role of operators who may do everything.
pub(crate) const ADMIN: &str = "admin";
/// The built-in role of those who may do nothing.
pub(crate) const NONE: &str = "none";
/// The built-in role of application users.
pub(crate) const BASE: &str = "base_app_user";

/// The built-in access policy that grants everything.
pub(crate) const ACCOUNT_ADMIN: &str = "evt:accountAdmin";
/// Its id.
pub(crate) const ACCOUNT_ADMIN_ID: &str = "UevtAccountAdminPGKYaaaa";

/// One permission of a role of application users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PathPermission {
    pub path: String,
    pub access: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
}

/// One switch of a role of operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Switch {
    pub name: String,
    pub enabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_scoped: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projects: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Switch>,
}

/// What a role keeps to itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RolePermissions {
    #[serde(default)]
    pub paths: Vec<PathPermission>,
    #[serde(default)]
    pub switches: Vec<Switch>,
}

fn defaults() -> impl Iterator<Item = PathPermission> {
    EVERY_USER.iter().map(|(path, access)| PathPermission {
        path: (*path).into(),
        access: (*access).into(),
        default: true,
    })
}

impl RolePermissions {
    /// Reads what [`to_private`](Self::to_private) wrote.
    pub(crate) fn read(private: Option<&Json>) -> Self {
        private.and_then(|json| serde_json::from_str(json.as_str()).ok()).unwrap_or_default()
    }

    pub(crate) fn to_private(&self) -> Json {
        let text = serde_json::to_string(self).expect("permissions become JSON");
        Json::parse(text).expect("what was just written is JSON")
    }

    /// What a new role starts with.
    pub(crate) fn new(for_users: bool) -> Self {
        if for_users {
            return Self::default();
        }
        let switch = |name: &str, scoped: bool, children| Switch {
            name: name.into(),
            enabled: false,
            project_scoped: scoped.then_some(true),
            projects: scoped.then(Vec::new),
            children,
        };
        let global = vec![
            switch("gl_resource_update", false, Vec::new()),
            switch("gl_project_update", false, Vec::new()),
        ];
        let project = vec![
            switch("project_update", true, Vec::new()),
            switch("project_resource_update", true, Vec::new()),
        ];
        let switches = vec![switch("global_read", false, global), switch("project_read", true, project)];
        Self { paths: Vec::new(), switches }
    }

    /// What `GET /roles/:id/permissions` shows of a role of application users: the defaults, then the rest.
    pub(crate) fn shown_paths(&self) -> Vec<PathPermission> {
        defaults().chain(self.paths.iter().cloned()).collect()
    }

    /// Reads what `PUT /roles/:id/permissions` says.
    ///
    /// # Errors
    /// A sentence for each permission that is none, or more than the base role grants.
    pub(crate) fn replace_paths(&mut self, body: &[u8]) -> Result<(), Vec<String>> {
        let given: Vec<Object<PathPermission>> = serde_json::from_slice(body).map_err(|_| {
            vec!["Permissions are an array such as [{\"path\": \"/thngs\", \"access\": \"cr\"}].".to_owned()]
        })?;
        if given.len() > limits::PERMISSIONS_MAX {
            return Err(vec![format!("A role has at most {} permissions.", limits::PERMISSIONS_MAX)]);
        }
        let base = Grants::of(BASE_APP_USER.iter().copied());
        let mut faults = Vec::new();
        let mut paths = Vec::new();
        for Object(permission) in given {
            let is_default =
                defaults().any(|known| known.path == permission.path && known.access == permission.access);
            if permission.default || is_default {
                continue;
            }
            let PathPermission { path, access, .. } = &permission;
            match Verbs::parse(access) {
                None => faults.push("access is one to four of the letters c, r, u and d.".to_owned()),
                Some(_) if !path.starts_with('/') || path.len() > 256 => {
                    faults.push("path is a REST path such as /thngs/:id/properties.".to_owned());
                }
                Some(verbs) if !verbs.is_within(base.on(path, ":self")) => {
                    faults.push(format!("{path} {access}: a role cannot grant more than {BASE} does."));
                }
                Some(_) => paths.push(permission),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        self.paths = paths;
        Ok(())
    }

    /// A switch by its name, at any level of the tree.
    pub(crate) fn switch(&self, name: &str) -> Option<&Switch> {
        let all = self.switches.iter().flat_map(|switch| std::iter::once(switch).chain(&switch.children));
        { all }.find(|switch| switch.name == name)
    }

    /// Sets a switch; `false` where there is none of this name.
    pub(crate) fn set_switch(&mut self, name: &str, enabled: bool, projects: Option<Vec<String>>) -> bool {
        for switch in &mut self.switches {
            let is_own = switch.name == name;
            let found =
                if is_own { Some(switch) } else { switch.children.iter_mut().find(|one| one.name == name) };
            if let Some(switch) = found {
                switch.enabled = enabled;
                if switch.project_scoped.is_some() && projects.is_some() {
                    switch.projects = projects;
                }
                return true;
            }
        }
        false
    }

    /// What a role of application users grants.
    pub(crate) fn user_grants(&self) -> Grants {
        let mut grants = Grants::of(EVERY_USER.iter().copied());
        for PathPermission { path, access, .. } in &self.paths {
            grants.add(path, Verbs::parse(access).unwrap_or_default());
        }
        // What the base role takes back from what lies above it, such as from `/thngs`, no other role grants.
        for (path, _) in BASE_APP_USER.iter().filter(|(_, letters)| letters.is_empty()) {
            grants.add(path, Verbs::default());
        }
        grants
    }

    /// What a role of operators grants.
    pub(crate) fn operator_rights(&self, operator: Id) -> Vec<Right> {
        /// What reading does not reach: keys.
        const SECRETS: [(&str, &str); 2] =
            [("/projects/:id/applications/:id/secretKey", ""), ("/auth/evrythng/thngs", "")];
        const RESOURCES: [&str; 9] = [
            "/thngs",
            "/products",
            "/collections",
            "/places",
            "/actions",
            "/actionTypes",
            "/batches",
            "/users",
            "/auth",
        ];
        let everywhere = |verbs: &'static str| move |path: &&'static str| (*path, verbs);
        let is_on = |name: &str| self.switch(name).is_some_and(|switch| switch.enabled);
        let projects = |name: &str| {
            let ids = self.switch(name).filter(|switch| switch.enabled)?.projects.clone().unwrap_or_default();
            Some(Visibility::Projects(ids.iter().filter_map(|id| Id::parse(id).ok()).collect()))
        };
        let own = [
            ("/access", "r"),
            ("/time", "r"),
            ("/rateLimits", "r"),
            ("/clientEvents", "r"),
            ("/me", "r"),
            ("/operators/:self", "ru"),
        ];
        let mut rights = vec![Right { grants: Grants::of(own), view: Visibility::Itself(operator) }];
        if is_on("global_read") {
            let grants = Grants::of([("/", "r")].into_iter().chain(SECRETS));
            rights.push(Right { grants, view: Visibility::Account });
        }
        if is_on("gl_resource_update") {
            rights.push(Right {
                grants: Grants::of(RESOURCES.iter().map(everywhere("cud"))),
                view: Visibility::Account,
            });
        }
        if is_on("gl_project_update") {
            rights.push(Right {
                grants: Grants::of([("/projects", "cud"), ("/applications", "cud")]),
                view: Visibility::Account,
            });
        }
        if let Some(view) = projects("project_read") {
            let paths = RESOURCES.iter().chain(&["/projects", "/applications"]).map(everywhere("r"));
            rights.push(Right { grants: Grants::of(paths.chain(SECRETS)), view });
        }
        if let Some(view) = projects("project_update") {
            // Its applications, and the project itself, but no new one.
            let grants = Grants::of([("/projects/:id", "ud"), ("/projects/:id/applications", "cud")]);
            rights.push(Right { grants, view });
        }
        if let Some(view) = projects("project_resource_update") {
            rights.push(Right { grants: Grants::of(RESOURCES.iter().map(everywhere("cud"))), view });
        }
        rights
    }
}

/// Checks the form of an access policy's permissions.
///
/// # Errors
/// A sentence for each that is none.
pub(crate) fn check_permissions(permissions: &[String]) -> Result<(), Vec<String>> {
    let is_fine = |permission: &String| {
        permission.split_once(':').is_some_and(|(resource, operations)| {
            !resource.is_empty()
                && resource.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
                && !operations.is_empty()
                && operations
                    .split(',')
                    .all(|operation| ["create", "list", "read", "update", "delete", "*"].contains(&operation))
        })
    };
    let wrong = permissions.iter().filter(|permission| !is_fine(permission));
    let faults: Vec<String> = wrong
        .map(|_| {
            "A permission is `resource:operation,…` with create, list, read, update, delete or *.".to_owned()
        })
        .take(1)
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// What a permission on something does not reach below it: keys, what happens with them, and what others may do. It has
/// permissions of its own, such as `accounts.accesses:list`.
const APART: [&str; 6] = [
    "/projects/:id/applications/:id/secretKey",
    "/accounts/:id/accesses",
    "/accounts/:id/operatorAccess",
    "/roles/:id/permissions",
    "/auth/:id/thngs",
    "/thngs/:id/clientEvents",
];

/// Adds what an access policy's permissions grant. `thngs.properties` is what lies below each thng.
pub(crate) fn grant_permissions(grants: &mut Grants, permissions: &[String]) {
    for path in APART {
        grants.add(path, Verbs::default());
    }
    for (resource, operations) in permissions.iter().filter_map(|permission| permission.split_once(':')) {
        let path = format!("/{}", resource.replace('.', "/:id/"));
        let (mut on_list, mut on_one) = (Verbs::default(), Verbs::default());
        for operation in operations.split(',') {
            let is = |name: &str| operation == name || operation == "*";
            if is("create") {
                on_list = on_list.with(Access::Create);
                on_one = on_one.with(Access::Create);
            }
            if is("list") {
                on_list = on_list.with(Access::Read);
            }
            if is("read") {
                on_one = on_one.with(Access::Read);
            }
            if is("update") {
                on_list = on_list.with(Access::Update);
                on_one = on_one.with(Access::Update).with(Access::Create);
            }
            if is("delete") {
                on_list = on_list.with(Access::Delete);
                on_one = on_one.with(Access::Delete);
            }
        }
        grants.add(&path, on_list);
        grants.add(&format!("{path}/:id"), on_one);
    }
}

/// The kinds that conditions narrow, by their names there.
const CONDITION_KINDS: [(&str, ResourceKind); 6] = [
    ("thngs", ResourceKind::Thng),
    ("products", ResourceKind::Product),
    ("collections", ResourceKind::Collection),
    ("places", ResourceKind::Place),
    ("projects", ResourceKind::Project),
    ("batches", ResourceKind::Batch),
];

/// Writes a condition as it is read.
pub(crate) fn condition(kind: ResourceKind, id: Id) -> String {
    let name = CONDITION_KINDS.iter().find(|(_, known)| *known == kind).map_or("", |(name, _)| name);
    format!("{name}:{id}")
}

/// Reads conditions such as `places:ID`.
///
/// # Errors
/// A sentence where one is none.
pub(crate) fn conditions(texts: &[String]) -> Result<Vec<(ResourceKind, Id)>, String> {
    let read = |text: &String| {
        let (name, id) = text.split_once(':')?;
        let (_, kind) = CONDITION_KINDS.iter().find(|(known, _)| *known == name)?;
        Some((*kind, Id::parse(id).ok()?))
    };
    let wrong = || {
        "A condition is `kind:id` with thngs, products, collections, places, projects or batches.".to_owned()
    };
    texts.iter().map(|text| read(text).ok_or_else(wrong)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(body: &str) -> Result<Vec<PathPermission>, Vec<String>> {
        let mut role = RolePermissions::new(true);
        role.replace_paths(body.as_bytes()).map(|()| role.shown_paths())
    }

    #[test]
    fn a_role_of_users_shows_its_defaults_before_what_it_was_given() {
        let count = |body| replace(body).map(|shown| shown.len());
        let none = EVERY_USER.len();
        assert!(none >= 5);
        assert_eq!(count("[]"), Ok(none));
        assert_eq!(count(r#"[{"path":"/thngs","access":"cr"}]"#), Ok(none + 1));
        // Clients send back what they were shown.
        assert_eq!(
            count(r#"[{"path":"/access","access":"r","default":true},{"path":"/time","access":"r"}]"#),
            Ok(none)
        );
    }

    #[test]
    fn a_role_of_users_cannot_grant_more_than_the_base_role() {
        for body in [
            r#"[{"path":"/thngs","access":"d"}]"#,
            r#"[{"path":"/projects","access":"r"}]"#,
            r#"[{"path":"/","access":"r"}]"#,
            r#"[{"path":"/thngs","access":"x"}]"#,
            r#"[{"path":"/thngs","access":""}]"#,
            r#"[{"path":"thngs","access":"r"}]"#,
            r#"{"path":"/thngs"}"#,
        ] {
            assert!(replace(body).is_err(), "{body}");
        }
        assert!(replace(r#"[{"path":"/thngs/:id/properties","access":"ru"}]"#).is_ok());
    }

    #[test]
    fn a_role_of_users_keeps_what_the_base_role_takes_back() {
        let mut role = RolePermissions::new(true);
        let body = r#"[{"path":"/thngs","access":"r"},{"path":"/thngs/*/*","access":"r"},{"path":"/applications/me","access":"r"}]"#;
        role.replace_paths(body.as_bytes()).expect("within the base role");
        let grants = role.user_grants();
        for (path, expected) in [
            ("/thngs/x", true),
            ("/thngs/x/properties", true),
            ("/thngs/x/clientEvents", false),
            ("/applications/me", true),
            ("/applications/me/secretKey", false),
        ] {
            assert_eq!(grants.on(path, "").has(Access::Read), expected, "{path}");
        }
        assert!(role.replace_paths(br#"[{"path":"/thngs/:id/clientEvents","access":"r"}]"#).is_err());
    }

    #[test]
    fn a_role_of_operators_is_a_tree_that_begins_with_global_read() {
        let mut role = RolePermissions::new(false);
        assert_eq!(role.switches[0].name, "global_read");
        assert!(role.switches.len() >= 2);
        assert!(role.set_switch("gl_project_update", true, None));
        assert!(role.switch("gl_project_update").is_some_and(|switch| switch.enabled));
        assert!(!role.set_switch("nothing", true, None));
        assert_eq!(RolePermissions::read(Some(&role.to_private())), role);
    }

    #[test]
    fn switches_for_projects_reach_only_those() {
        let project = "p".repeat(24);
        let mut role = RolePermissions::new(false);
        role.set_switch("project_read", true, Some(vec![project.clone()]));
        let rights = role.operator_rights(Id::parse(&"o".repeat(24)).expect("an id"));
        let reads: Vec<_> =
            rights.iter().filter(|right| right.grants.on("/thngs/x", "").has(Access::Read)).collect();
        assert_eq!(reads.len(), 1);
        assert_eq!(reads[0].view, Visibility::Projects([Id::parse(&project).expect("an id")].into()));
        assert!(!rights.iter().any(|right| right.grants.on("/thngs/x", "").has(Access::Update)));
    }

    #[test]
    fn policy_permissions_distinguish_a_list_from_its_items() {
        let mut grants = Grants::default();
        grant_permissions(
            &mut grants,
            &[
                "thngs:read,update".into(),
                "places:*".into(),
                "batches.tasks:list".into(),
                "projects:read".into(),
                "accounts:*".into(),
            ],
        );
        for (path, access, expected) in [
            ("/thngs", Access::Read, false),
            ("/thngs/x", Access::Read, true),
            ("/thngs/x/properties", Access::Update, true),
            ("/thngs/x/properties", Access::Create, true),
            ("/thngs", Access::Create, false),
            ("/thngs/x", Access::Delete, false),
            ("/places", Access::Create, true),
            ("/places/x", Access::Delete, true),
            ("/batches", Access::Read, false),
            ("/batches/x/tasks", Access::Read, true),
            ("/projects/x", Access::Read, true),
            ("/projects/x/applications/y", Access::Read, true),
            ("/projects/x/applications/y/secretKey", Access::Read, false),
            ("/accounts/x/accesses/y", Access::Read, false),
            ("/thngs/x/clientEvents", Access::Read, false),
        ] {
            assert_eq!(grants.on(path, "").has(access), expected, "{access:?} {path}");
        }
    }

    #[test]
    fn what_is_no_permission_or_condition_is_refused() {
        for permission in ["", "thngs", "thngs:", ":read", "th ngs:read", "thngs:fly", "thngs:read,"] {
            assert!(check_permissions(&[permission.into()]).is_err(), "{permission}");
        }
        assert!(check_permissions(&["thngs:read,list".into(), "a.b:*".into()]).is_ok());
        for condition in ["", "places", "places:x", "fish:aaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert!(conditions(&[condition.into()]).is_err(), "{condition}");
        }
        assert!(conditions(&["places:aaaaaaaaaaaaaaaaaaaaaaaa".into()]).is_ok());
    }
}
