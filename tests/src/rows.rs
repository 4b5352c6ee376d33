//! Test data for each row of the topic table: resources for its path, a payload, and where REST shows the result.
//!
//! Everything is found by what the table says of a row: its template, its operation, its events. A row with a
//! parameter without a resource fails the tests. One with an operation or an event of a new kind does not compile until
//! this module handles it.

use serde_json::{Value, json};
use thng_pubsub_protocol::topic::table::{EventKind, OperationKind, Row};

use crate::Rest;
use crate::keys::{Application, text};
use crate::server::Server;
use crate::wait::until;

/// The property of all rows that name one.
const KEY: &str = "temperature";

/// A project with one resource of each kind, all of them visible to all its users.
#[derive(Debug)]
pub struct Scene {
    pub operator: Rest,
    pub project: String,
    pub application: Application,
    /// A name with a space, which has to be escaped in a path.
    pub action_type: String,
    pub product: String,
    pub thng: String,
    pub collection: String,
    pub batch: String,
    /// The task of the batch that was begun last, by its path.
    pub task: String,
    number: u32,
}

/// What an event needs to happen that no publish brings about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The resource of the topic is deleted.
    Deletion,
    /// A task of the batch comes to its end.
    Task,
}

impl Scene {
    /// A scene in a new project. Its action type is also there for `also_seen_in`.
    #[must_use]
    #[track_caller]
    pub fn new(server: &Server, also_seen_in: &str) -> Scene {
        let mut operator = server.rest();
        let project = operator.project();
        let application = operator.application(&project);
        let action_type = format!("_on off {}", &project[..12]);
        let scopes = json!({"projects": [project, also_seen_in], "users": ["all"]});
        operator.create("/actions", json!({"name": action_type, "scopes": scopes}));
        let mut made = |kind: &str, document| operator.id_of(&format!("/{kind}?project={project}"), document);
        let product = made("products", json!({"name": "p"}));
        let thng = made("thngs", json!({"name": "t", "product": product}));
        let collection = made("collections", json!({"name": "c"}));
        let batch = made("batches", json!({"name": "b"}));
        let (task, number) = (String::new(), 0);
        let mut scene = Scene {
            operator,
            project,
            application,
            action_type,
            product,
            thng,
            collection,
            batch,
            task,
            number,
        };
        scene.begin_task(1);
        scene
    }

    /// The row's topic, with the scene's resources in it.
    ///
    /// # Panics
    /// When the scene has nothing for a parameter.
    #[must_use]
    #[track_caller]
    pub fn topic(&self, row: &Row) -> String {
        let segments = row.template.split('/').map(|segment| match segment {
            ":type" => self.action_type.replace(' ', "%20"),
            ":key" => KEY.to_owned(),
            ":thngId" => self.thng.clone(),
            ":productId" => self.product.clone(),
            ":collectionId" => self.collection.clone(),
            ":batchId" => self.batch.clone(),
            ":taskId" => self.task.rsplit('/').next().unwrap_or_default().to_owned(),
            literal => {
                assert!(!literal.starts_with(':'), "the scene has nothing for {literal} of {}", row.template);
                literal.to_owned()
            }
        });
        segments.collect::<Vec<_>>().join("/")
    }

    /// Something new to write on the row's topic. Where no id in the topic says so, it says that it belongs to this
    /// scene, so that no other user may write it.
    #[must_use]
    #[track_caller]
    pub fn payload(&mut self, row: &Row, operation: OperationKind) -> String {
        let thng = self.thng.clone();
        let project = self.project.clone();
        self.payload_of(row, operation, &project, Some(&thng))
    }

    /// As [`payload`](Self::payload) for a user of another project.
    #[must_use]
    #[track_caller]
    pub fn payload_in(&mut self, project: &str, row: &Row, operation: OperationKind) -> String {
        self.payload_of(row, operation, project, None)
    }

    fn payload_of(
        &mut self,
        row: &Row,
        operation: OperationKind,
        project: &str,
        thng: Option<&str>,
    ) -> String {
        self.number += 1;
        let number = self.number;
        let value = literal(number);
        match operation {
            OperationKind::CreateActionType => {
                let name = format!("_{number} {}", &self.project[..12]);
                json!({"name": name, "scopes": {"projects": [project], "users": ["all"]}}).to_string()
            }
            OperationKind::CreateAction => {
                let about = thng.filter(|_| is_of_the_root(row));
                let about = about.map_or_else(String::new, |thng| format!(r#""thng":"{thng}","#));
                let named = serde_json::to_string(&self.action_type).expect("a string becomes JSON");
                format!(r#"{{{about}"type":{named},"customFields":{{"number":{value}}}}}"#)
            }
            OperationKind::UpdateCollection | OperationKind::UpdateProduct | OperationKind::UpdateThng => {
                format!(r#"{{"name":"n{number}","customFields":{{"number":{value}}}}}"#)
            }
            OperationKind::AddThngs => {
                let path = format!("/thngs?project={}", self.project);
                json!([self.operator.id_of(&path, json!({"name": "joins"}))]).to_string()
            }
            OperationKind::UpdateLocation => format!(r#"[{{"latitude":8.{number:04},"longitude":47}}]"#),
            OperationKind::UpdateProperties => format!(r#"[{{"key":"{KEY}","value":{value}}}]"#),
        }
    }

    /// What the key of `rest` is shown of what was written last, in the form of a notification; `null` where what it is
    /// shown does not hold it.
    ///
    /// # Errors
    /// The status, where it is shown nothing.
    #[track_caller]
    pub fn shown(
        &self,
        rest: &mut Rest,
        row: &Row,
        operation: OperationKind,
        payload: &str,
    ) -> Result<Value, u16> {
        let written: Value = serde_json::from_str(payload).expect("a payload is JSON");
        let answer = rest.get(&format!("{}?perPage=100", self.topic(row)));
        if answer.status != 200 {
            return Err(answer.status);
        }
        let found = |list: &Value, field: &str, expected: &Value| {
            let items = list.as_array().expect("a list").iter();
            items.clone().find(|item| item[field] == *expected).cloned().unwrap_or_default()
        };
        let mut shown = answer.json();
        Ok(match operation {
            OperationKind::CreateActionType => found(&shown, "name", &written["name"]),
            OperationKind::CreateAction => found(&shown, "customFields", &written["customFields"]),
            OperationKind::UpdateCollection | OperationKind::UpdateProduct | OperationKind::UpdateThng => {
                let document = shown.as_object_mut().expect("a document");
                document.retain(|field, _| !matches!(field.as_str(), "properties" | "location"));
                shown
            }
            OperationKind::AddThngs => {
                let joined = found(&shown, "id", &written[0]);
                json!({"operation": "thngsAdded", "resources": [joined["id"]]})
            }
            OperationKind::UpdateLocation => json!([shown[0]]),
            OperationKind::UpdateProperties => {
                let mut newest = shown[0].clone();
                // A property's own history does not repeat its key.
                newest["key"] = newest.get("key").cloned().unwrap_or_else(|| KEY.into());
                json!([newest])
            }
        })
    }

    /// How an event comes about, where publishing on its topic is not how.
    #[must_use]
    pub fn cause(event: EventKind) -> Option<Cause> {
        match event {
            EventKind::ActionTypeDeleted | EventKind::CollectionDeleted => Some(Cause::Deletion),
            EventKind::TaskCompleted => Some(Cause::Task),
            EventKind::ActionTypeCreated
            | EventKind::ActionCreated
            | EventKind::CollectionUpdated
            | EventKind::MembershipChanged
            | EventKind::ProductUpdated
            | EventKind::ThngUpdated
            | EventKind::LocationUpdated
            | EventKind::PropertiesUpdated => None,
        }
    }

    /// Begins a task in the scene's batch that makes so many thngs.
    #[track_caller]
    pub fn begin_task(&mut self, thngs: u32) {
        let input = json!({
            "type": "FIXED_AMOUNT", "quantity": thngs, "generateThngs": true, "thngTemplate": {"name": "made"}
        });
        let path = format!("/batches/{}/tasks?project={}", self.batch, self.project);
        let begun = self.operator.post(&path, json!({"type": "POPULATING", "inputParameters": input}));
        begun.assert_status(202);
        let location = begun.header("location").expect("202 comes with a Location");
        self.task = location[location.find("/batches/").expect("the path of a task")..].to_owned();
    }

    /// Whether the task is still at work.
    #[must_use]
    #[track_caller]
    pub fn is_at_work(&mut self) -> bool {
        let task = self.operator.get(&self.task).expect(200);
        matches!(text(&task, "status").as_str(), "PENDING" | "EXECUTING")
    }

    /// The document of the task once it has ended, in the form of a notification.
    #[must_use]
    #[track_caller]
    pub fn ended_task(&mut self) -> Value {
        until("the task has ended", || (!self.is_at_work()).then_some(()));
        let mut end = self.operator.get(&self.task).expect(200);
        end.as_object_mut().expect("a document").remove("inputParameters");
        end
    }
}

/// A number that is not the same text when it was read as a number and written again.
fn literal(number: u32) -> String {
    format!("{number}.50")
}

/// Whether a row's topics name no resource, so that every key with the right may subscribe to them.
#[must_use]
pub fn is_of_the_root(row: &Row) -> bool {
    !row.template.contains("Id")
}

/// Whether what was written kept every number as the text that it was.
#[must_use]
pub fn has_same_numbers(payload: &str, notification: &str) -> bool {
    let numbers = payload.split(|it: char| !it.is_ascii_digit() && it != '.');
    numbers
        .filter(|number| number.ends_with(".50"))
        .all(|number| notification.contains(&format!(":{number}")))
}
