//! Keys of every kind, made by REST as their owners make them.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::{Rest, Server};

/// An application and its keys.
#[derive(Debug, Clone)]
pub struct Application {
    pub id: String,
    pub public_key: String,
    pub secret_key: String,
}

/// An application user, or a device, and its key.
#[derive(Debug, Clone)]
pub struct Keyed {
    pub id: String,
    pub key: String,
}

/// A text in a document.
///
/// # Panics
/// When there is none.
#[must_use]
#[track_caller]
pub fn text(document: &Value, field: &str) -> String {
    document[field].as_str().unwrap_or_else(|| panic!("{field} in {document}")).to_owned()
}

/// A name that nothing else has: some names are taken once for a whole account, and tests share a server.
#[must_use]
pub fn unique(what: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("{what} {} {}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A unique email address.
#[must_use]
pub fn unique_email() -> String {
    format!("{}@example.com", unique("ada").replace(' ', "."))
}

impl Server {
    /// A REST client of a new account's operator, and the operator's key.
    #[must_use]
    #[track_caller]
    pub fn another_account(&self) -> (Rest, String) {
        let made = self.administer(&["accounts", "create", "--json"]).printed();
        let key = text(&serde_json::from_str(&made).expect("an object"), "key");
        (self.rest_as(&key), key)
    }
}

impl Rest {
    /// Creates something; returns its document.
    #[track_caller]
    pub fn create(&mut self, path: &str, document: Value) -> Value {
        self.post(path, document).expect(201)
    }

    /// Creates something; returns its id.
    #[must_use]
    #[track_caller]
    pub fn id_of(&mut self, path: &str, document: Value) -> String {
        text(&self.create(path, document), "id")
    }

    /// A new project, by its id.
    #[must_use]
    #[track_caller]
    pub fn project(&mut self) -> String {
        self.id_of("/projects", json!({"name": "a project of the tests"}))
    }

    /// A new application of a project.
    #[must_use]
    #[track_caller]
    pub fn application(&mut self, project: &str) -> Application {
        let path = format!("/projects/{project}/applications");
        let created =
            self.create(&path, json!({"name": "an application of the tests", "socialNetworks": {}}));
        let id = text(&created, "id");
        let secret = self.get(&format!("{path}/{id}/secretKey")).expect(200);
        Application { id, public_key: text(&created, "appApiKey"), secret_key: text(&secret, "secretApiKey") }
    }

    /// A new anonymous user; to be called with an application's key.
    #[must_use]
    #[track_caller]
    pub fn anonymous_user(&mut self) -> Keyed {
        let created = self.post("/auth/evrythng/users?anonymous=true", "{}").expect(201);
        Keyed { id: text(&created, "evrythngUser"), key: text(&created, "evrythngApiKey") }
    }

    /// The key of a thng.
    #[must_use]
    #[track_caller]
    pub fn device(&mut self, thng: &str) -> Keyed {
        let created = self.create("/auth/evrythng/thngs", json!({"thngId": thng}));
        Keyed { id: thng.to_owned(), key: text(&created, "thngApiKey") }
    }

    /// A new access token with a policy of these permissions.
    #[must_use]
    #[track_caller]
    pub fn access_token(&mut self, permissions: &[&str], conditions: &[String]) -> Keyed {
        let policy = self.access_policy(permissions);
        let token = json!({"name": "a token of the tests", "policies": [policy], "conditions": conditions});
        let created = self.create("/accessTokens", token);
        Keyed { id: text(&created, "id"), key: text(&created, "apiKey") }
    }

    /// A new access policy, by its id.
    #[must_use]
    #[track_caller]
    pub fn access_policy(&mut self, permissions: &[&str]) -> String {
        self.id_of("/accessPolicies", json!({"name": unique("policy"), "permissions": permissions}))
    }

    /// A new user with this email address and password, validated; to be called with an application's key.
    #[must_use]
    #[track_caller]
    pub fn named_user(&mut self, email: &str, password: &str) -> Keyed {
        let user = json!({"email": email, "password": password, "firstName": "Ada", "lastName": "L"});
        let created = self.create("/auth/evrythng/users", user);
        let id = text(&created, "evrythngUser");
        let code = json!({"activationCode": created["activationCode"]});
        let validated = self.create(&format!("/auth/evrythng/users/{id}/validate"), code);
        Keyed { id, key: text(&validated, "evrythngApiKey") }
    }

    /// The account of the key, by its id.
    #[must_use]
    #[track_caller]
    pub fn account(&mut self) -> String {
        text(&self.get("/access").expect(200), "account")
    }

    /// A new operator whose access holds these fields, such as `role` or `policies`. The id is that of the access.
    #[must_use]
    #[track_caller]
    pub fn operator(&mut self, mut access: Value) -> Keyed {
        access["email"] = unique_email().into();
        let path = format!("/accounts/{}/accesses", self.account());
        let created = self.create(&path, access);
        Keyed { id: text(&created, "id"), key: text(&created, "apiKey") }
    }
}
