//! An account with hundreds of resources whose scopes are random, and dozens of keys of every kind.
//!
//! For the tests that hold two ways of deciding who sees what against each other. Everything is made by REST, and the
//! same seed makes the same account but for the ids.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::keys::text;
use crate::rest::Rest;
use crate::server::Server;
use crate::wait::random;

const PROJECTS: usize = 4;
const THNGS: usize = 120;
const PRODUCTS: usize = 50;
const COLLECTIONS: usize = 30;

/// Of each kind, so many are chosen more often than the others, so that several keys have to do with the same.
const POPULAR: usize = 4;

/// Names of action types. The first is built in, the others have scopes.
pub const TYPES: [&str; 4] = ["scans", "_a", "_b", "_c d"];

/// The account.
#[derive(Debug)]
pub struct Population {
    pub random: fastrand::Rng,
    pub operator: Rest,
    pub projects: Vec<String>,
    pub users: Vec<String>,
    pub thngs: Vec<String>,
    pub products: Vec<String>,
    pub collections: Vec<String>,
    /// Which thngs are in which collection.
    pub members: BTreeMap<String, BTreeSet<String>>,
    /// Thngs that have a key, and their projects: a device's rights are those of the scopes and the product that its
    /// thng had when it connected.
    pub devices: BTreeMap<String, Vec<String>>,
    pub keys: Vec<Key>,
}

/// A key with its owner.
#[derive(Debug, Clone)]
pub struct Key {
    pub name: String,
    pub key: String,
    /// The thng that it belongs to.
    pub device: Option<String>,
}

impl Population {
    /// Makes it all.
    #[must_use]
    #[track_caller]
    pub fn new(server: &Server) -> Population {
        let mut operator = server.rest();
        let mut all = Population {
            random: random(),
            projects: (0..PROJECTS).map(|_| operator.project()).collect(),
            operator,
            users: Vec::new(),
            thngs: Vec::new(),
            products: Vec::new(),
            collections: Vec::new(),
            members: BTreeMap::new(),
            devices: BTreeMap::new(),
            keys: Vec::new(),
        };
        all.add_applications_and_users(server);
        all.add_resources();
        all.add_devices();
        all.add_operators_and_tokens(server);
        all
    }

    /// Some of these, in their order.
    #[must_use]
    pub fn some<T: Clone>(&mut self, all: &[T]) -> Vec<T> {
        all.iter().filter(|_| self.random.u8(..3) == 0).cloned().collect()
    }

    /// One of these, one of the first few as often as not.
    #[must_use]
    pub fn one<T: Clone>(&mut self, all: &[T]) -> T {
        let among = if self.random.bool() { POPULAR.min(all.len()) } else { all.len() };
        all[self.random.usize(..among)].clone()
    }

    /// Scopes of anything.
    #[must_use]
    pub fn scopes(&mut self) -> Value {
        let (projects, users) = (self.projects.clone(), self.users.clone());
        let users = match self.random.u8(..5) {
            0 => Vec::new(),
            1 | 2 => self.some(&users),
            _ => vec!["all".to_owned()],
        };
        json!({"projects": self.some(&projects), "users": users})
    }

    /// An action type as it is written in a path.
    #[must_use]
    pub fn action_type(&mut self) -> String {
        let types = [&TYPES[..], &["all"; 3]].concat();
        types[self.random.usize(..types.len())].replace(' ', "%20")
    }

    /// What an action may be about: a field of it and an id, or nothing.
    #[must_use]
    pub fn subject(&mut self) -> Option<(&'static str, String)> {
        Some(match self.random.u8(..4) {
            0 => ("thng", self.one(&self.thngs.clone())),
            1 => ("product", self.one(&self.products.clone())),
            2 => ("collection", self.one(&self.collections.clone())),
            _ => return None,
        })
    }

    /// The topic of some resource, as often as not of the device's own.
    #[must_use]
    pub fn topic(&mut self, device: Option<&String>) -> String {
        const BELOW_THNGS: [&str; 5] = ["", "/properties", "/properties/k", "/location", "/actions"];
        let own = device.filter(|_| self.random.bool());
        let (path, below) = match (own, self.random.u8(..4)) {
            (Some(thng), _) => (format!("/thngs/{thng}"), &BELOW_THNGS[..]),
            (None, 0 | 1) => (format!("/thngs/{}", self.one(&self.thngs.clone())), &BELOW_THNGS[..]),
            (None, 2) => (
                format!("/products/{}", self.one(&self.products.clone())),
                &["", "/properties", "/properties/k", "/actions"][..],
            ),
            (None, _) => (
                format!("/collections/{}", self.one(&self.collections.clone())),
                &["", "/thngs", "/actions"][..],
            ),
        };
        match below[self.random.usize(..below.len())] {
            "/actions" => format!("{path}/actions/{}", self.action_type()),
            below => format!("{path}{below}"),
        }
    }

    /// A project to narrow a subscription to, one in two times: of what keeps its scopes, one that it has, for else
    /// there would be no notification.
    #[must_use]
    pub fn project_for(&mut self, topic: &str, device: Option<&String>) -> Option<String> {
        let named = topic.split('/').nth(2).map(str::to_owned);
        let of = if topic == "/actions" { device } else { named.as_ref() };
        let among = of.and_then(|id| self.devices.get(id)).unwrap_or(&self.projects).clone();
        (self.random.bool() && !among.is_empty()).then(|| among[self.random.usize(..among.len())].clone())
    }

    /// All topics of an action: those of the root and of its subject.
    #[must_use]
    #[track_caller]
    pub fn topics_of_action(&mut self, id: &str) -> Vec<String> {
        let action = self.operator.get(&format!("/actions/all/{id}")).expect(200);
        let about = |field: &str| action[field].as_str().map(str::to_owned);
        let mut collections: BTreeSet<String> = about("collection").into_iter().collect();
        if let Some(thng) = about("thng") {
            let of = self.members.iter().filter(|(_, members)| members.contains(&thng));
            collections.extend(of.map(|(collection, _)| collection.clone()));
        }
        let mut bases = vec![String::new()];
        bases.extend(about("thng").map(|id| format!("/thngs/{id}")));
        bases.extend(about("product").map(|id| format!("/products/{id}")));
        bases.extend(collections.iter().map(|id| format!("/collections/{id}")));
        let action_type = text(&action, "type").replace(' ', "%20");
        bases
            .iter()
            .flat_map(|base| ["all", &action_type].map(|last| format!("{base}/actions/{last}")))
            .collect()
    }

    fn register(&mut self, name: String, key: &str, device: Option<String>) {
        self.keys.push(Key { name, key: key.to_owned(), device });
    }

    fn add_applications_and_users(&mut self, server: &Server) {
        for (number, project) in self.projects.clone().into_iter().enumerate() {
            let application = self.operator.application(&project);
            self.register(format!("the secret key of project {number}"), &application.secret_key, None);
            self.register(format!("the public key of project {number}"), &application.public_key, None);
            if number % 2 == 1 {
                let all = [
                    ("/thngs", "r"),
                    ("/thngs", "cru"),
                    ("/thngs/:id/properties", "ru"),
                    ("/thngs/:id/actions", "r"),
                    ("/products", "r"),
                    ("/products/:id/properties", "ru"),
                    ("/collections", "r"),
                    ("/collections/:id/actions", "r"),
                    ("/actions/:type", "cr"),
                ];
                let permissions: Vec<Value> = self
                    .some(&all)
                    .iter()
                    .map(|(path, access)| json!({"path": path, "access": access}))
                    .collect();
                let role = json!({"name": "some", "type": "userInApp", "version": 2});
                let role = self.operator.id_of("/roles", role);
                self.operator
                    .put(&format!("/roles/{role}/permissions"), json!(permissions))
                    .assert_status(200);
                let path = format!("/projects/{project}/applications/{}", application.id);
                self.operator.put(&path, json!({"defaultRole": role})).assert_status(200);
            }
            for user in 0..3 {
                let created = server.rest_as(&application.public_key).anonymous_user();
                self.register(format!("user {user} of project {number}"), &created.key, None);
                self.users.push(created.id);
            }
        }
    }

    fn add_resources(&mut self) {
        for name in &TYPES[1..] {
            let scopes = self.scopes();
            self.operator.create("/actions", json!({"name": name, "scopes": scopes}));
        }
        for _ in 0..PRODUCTS {
            let scopes = self.scopes();
            let id = self.operator.id_of("/products", json!({"name": "p", "scopes": scopes}));
            self.products.push(id);
        }
        for _ in 0..THNGS {
            let mut thng = json!({"name": "t", "scopes": self.scopes()});
            if self.random.u8(..4) > 0 {
                thng["product"] = self.one(&self.products.clone()).into();
            }
            let id = self.operator.id_of("/thngs", thng);
            self.thngs.push(id);
        }
        for _ in 0..COLLECTIONS {
            let scopes = self.scopes();
            let id = self.operator.id_of("/collections", json!({"name": "c", "scopes": scopes}));
            let members: BTreeSet<String> = (0..6).map(|_| self.one(&self.thngs.clone())).collect();
            self.operator.put(&format!("/collections/{id}/thngs"), json!(members)).assert_status(200);
            self.members.insert(id.clone(), members);
            self.collections.push(id);
        }
    }

    fn add_devices(&mut self) {
        for number in POPULAR - 2..POPULAR + 6 {
            let thng = self.thngs[number].clone();
            let device = self.operator.device(&thng);
            self.register(format!("the key of thng {number}"), &device.key, Some(thng.clone()));
            let shown = self.operator.get(&format!("/thngs/{thng}?withScopes=true")).expect(200);
            let projects: Vec<String> =
                serde_json::from_value(shown["scopes"]["projects"].clone()).expect("ids");
            self.devices.insert(thng, projects);
        }
    }

    fn add_operators_and_tokens(&mut self, server: &Server) {
        self.register("the operator".to_owned(), server.key(), None);
        for number in 0..4 {
            let role = self.operator.id_of("/roles", json!({"name": "reads"}));
            let switch = if number == 0 { "global_read" } else { "project_read" };
            let projects = [self.some(&self.projects.clone()), vec![self.projects[number].clone()]].concat();
            let body = json!({"name": switch, "enabled": true, "projects": projects});
            self.operator.put(&format!("/roles/{role}/permissions/{switch}"), body).assert_status(200);
            let operator = self.operator.operator(json!({"role": role}));
            self.register(format!("operator {number} with {switch}"), &operator.key, None);
        }
        for number in 0..8 {
            let mut conditions = Vec::new();
            for (kind, ids) in [
                ("projects", self.projects.clone()),
                ("thngs", self.thngs.clone()),
                ("products", self.products.clone()),
            ] {
                while self.random.u8(..3) == 0 {
                    conditions.push(format!("{kind}:{}", self.one(&ids)));
                }
            }
            let mut permissions = self.some(&[
                "thngs:read",
                "thngs.actions:*",
                "products:read",
                "collections:read,update",
                "collections.actions:*",
            ]);
            // Who may not read actions at the root reads them below what they see.
            permissions.push(match self.random.bool() {
                true => "actions:list,read,create",
                false => "thngs:read,list",
            });
            let token = self.operator.access_token(&permissions, &conditions);
            self.register(format!("token {number}, {permissions:?} on {conditions:?}"), &token.key, None);
        }
    }
}
