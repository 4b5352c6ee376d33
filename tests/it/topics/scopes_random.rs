//! Notifications reach exactly the keys that can read: random writes to hundreds of resources in random scopes, with
//! dozens of subscribed keys of every kind. After each write REST shows what each key can read, and the key has to receive
//! that.
//!
//! REST is the measure because there rights and scopes are decided with a look-up, and in the fan-out without one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::{QoS, SubAckCode};
use thng_pubsub_tests::keys::text;
use thng_pubsub_tests::mqtt::{Hello, Received};
use thng_pubsub_tests::population::{Key, Population, TYPES};
use thng_pubsub_tests::transports::{Mqtt, SUBSCRIBABLE, Transport, WriteError, mqtt, websocket};
use thng_pubsub_tests::websocket::WebSocket;
use thng_pubsub_tests::{Launch, Rest, Server, WAIT_MAX};
use tungstenite::Message;

const WRITES: usize = 150;
const TOPICS_PER_KEY: usize = 12;

/// A client with a key, and its subscriptions.
struct Holder {
    key: Key,
    rest: Rest,
    /// Without one, each topic has a WebSocket of its own.
    session: Option<Mqtt>,
    watches: Vec<TopicSubscription>,
}

/// A subscription that was granted.
struct TopicSubscription {
    topic: String,
    project: Option<String>,
    string: String,
    socket: Option<WebSocket>,
    /// The marks of the events that REST lets the key read, and of those that it received.
    readable: Vec<String>,
    notified: Vec<String>,
}

/// Something that happened.
struct Event {
    /// That tell of it.
    topics: Vec<String>,
    /// Tells it from the others on a topic.
    mark: String,
    what: What,
}

/// A write by REST, and what happens if it is taken.
struct Request {
    method: &'static str,
    path: String,
    body: Value,
    event: Event,
}

/// Where REST shows it.
enum What {
    /// At the topic.
    Resource,
    /// Below the topic.
    Action(String),
    /// In the list of types.
    Type,
}

impl Event {
    /// Whether a key reads it by REST.
    fn is_readable(&self, rest: &mut Rest, operator: &mut Rest, watch: &TopicSubscription) -> bool {
        let project = watch.project.as_ref().map_or_else(String::new, |project| format!("project={project}"));
        match &self.what {
            What::Resource => is_shown(rest, &format!("{}?{project}", watch.topic)).unwrap_or(false),
            What::Action(id) => {
                let path = format!("/actions/all/{id}?{project}");
                // A key that may not read actions at the root may read those below a resource that it reads. The path of
                // all types also shows those of a type that is hidden from it.
                is_shown(rest, &path).unwrap_or_else(|| {
                    let below = watch.topic.rsplit_once('/').map_or("", |(below, _)| below);
                    is_shown(operator, &path) == Some(true)
                        && is_shown(rest, &format!("{below}/all/{id}")) == Some(true)
                })
            }
            What::Type => {
                let listed = rest.get(&format!("/actions?perPage=100&{project}")).expect(200);
                listed.as_array().expect("a list").iter().any(|it| it["name"] == *self.mark)
            }
        }
    }
}

/// Whether REST shows something to a key; `None` where the key may not ask.
fn is_shown(rest: &mut Rest, path: &str) -> Option<bool> {
    match rest.get(path).status {
        200 => Some(true),
        404 => Some(false),
        403 => None,
        status => panic!("{status} for {path}"),
    }
}

/// The mark of an event in the document that tells of it: the number of the write, or what it names.
fn mark(document: &Value) -> String {
    if let Some(operation) = document["operation"].as_str() {
        return format!("{operation} {}", document["resources"][0].as_str().unwrap_or_default());
    }
    let number = document.pointer("/0/timestamp").or_else(|| document.pointer("/customFields/n"));
    number.unwrap_or(&document["name"]).to_string().replace('"', "")
}

struct Trial {
    server: Server,
    all: Population,
    holders: Vec<Holder>,
    writes: u64,
    /// How often REST showed nothing to a subscriber.
    hidden: u64,
}

impl Trial {
    fn new() -> Trial {
        // No client reads before everything is written, however long that takes, so that no ping is answered either.
        let server = Launch::new().flag("--websocket-ping-interval-s", "3600").start();
        let all = Population::new(&server);
        let holder = |key: &Key| Holder {
            key: key.clone(),
            rest: server.rest_as(&key.key),
            session: None,
            watches: Vec::new(),
        };
        Trial { holders: all.keys.iter().map(holder).collect(), server, all, writes: 0, hidden: 0 }
    }

    /// All clients subscribe to some topics over some protocol, and are granted those that REST lets them read.
    fn subscribe(&mut self) {
        for at in 0..self.holders.len() {
            let Key { name, key, device } = self.holders[at].key.clone();
            let transport = SUBSCRIBABLE[self.all.random.usize(..SUBSCRIBABLE.len())];
            if transport != Transport::WebSocket {
                self.holders[at].session =
                    Some(mqtt(transport, &self.server, &Hello { keep_alive_s: 0, ..Hello::with_key(&key) }));
            }
            let mut topics =
                BTreeSet::from(["/actions".to_owned(), format!("/actions/{}", self.all.action_type())]);
            topics.extend((0..TOPICS_PER_KEY).map(|_| self.all.topic(device.as_ref())));
            for topic in topics {
                let project = self.all.project_for(&topic, device.as_ref());
                let option =
                    project.as_ref().map_or_else(String::new, |project| format!("?project={project}"));
                let string = format!("{topic}{option}");
                let Holder { rest, session, watches, .. } = &mut self.holders[at];
                let may = rest.get(&topic).status == 200;
                let (granted, socket) = match session {
                    Some(client) => {
                        (client.subscribe(&string, QoS::AtLeastOnce) != SubAckCode::Refused, None)
                    }
                    None => match websocket(&self.server, Some(&key), &string) {
                        Ok(socket) => (true, Some(socket)),
                        Err(WriteError(status)) => {
                            assert_eq!(status, Some(403), "{string} by {name}");
                            (false, None)
                        }
                    },
                };
                assert_eq!(granted, may, "{string} by {name}: granted, and to be read by REST");
                if granted {
                    let (readable, notified) = (Vec::new(), Vec::new());
                    watches.push(TopicSubscription { topic, project, string, socket, readable, notified });
                }
            }
        }
    }

    /// Asks REST who reads of something that is there now.
    fn happened(&mut self, event: &Event) {
        for Holder { rest, watches, .. } in &mut self.holders {
            for watch in watches.iter_mut().filter(|watch| event.topics.contains(&watch.topic)) {
                match event.is_readable(rest, &mut self.all.operator, watch) {
                    true => watch.readable.push(event.mark.clone()),
                    false => self.hidden += 1,
                }
            }
        }
    }

    /// What a write on a topic may be.
    fn request(&mut self, topic: &str, scopes: Option<Value>) -> Request {
        self.writes += 1;
        let number = self.writes;
        let segments: Vec<&str> = topic[1..].split('/').collect();
        let (mut method, mut path) = ("PUT", topic.to_owned());
        let mut event = Event { topics: vec![path.clone()], mark: number.to_string(), what: What::Resource };
        let mut body = json!({"customFields": {"n": number}});
        // A device has the rights of the scopes that its thng had.
        let keeps_scopes = segments.len() == 2 && self.all.devices.contains_key(segments[1]);
        if let Some(scopes) = scopes.filter(|_| !keeps_scopes) {
            body["scopes"] = scopes;
        }
        match segments[..] {
            ["actions"] => {
                method = "POST";
                body["name"] = format!("_{number}").into();
                body["customFields"] = json!({});
                event = Event { mark: format!("_{number}"), what: What::Type, ..event };
            }
            ["actions", name] | [_, _, "actions", name] => {
                method = "POST";
                if name == "all" {
                    body["type"] = TYPES[self.all.random.usize(..TYPES.len())].into();
                }
                if let Some((field, id)) = self.all.subject().filter(|_| segments.len() == 2) {
                    body[field] = id.into();
                }
            }
            [_, _] => {}
            [_, _, "location"] => body = json!([{"latitude": 1, "longitude": 2, "timestamp": number}]),
            [kind, id, "properties", ..] => {
                body = json!([{"key": "k", "value": 1, "timestamp": number}]);
                event.topics = ["", "/k"].map(|key| format!("/{kind}/{id}/properties{key}")).to_vec();
            }
            [_, collection, "thngs"] => {
                let thng = self.all.one(&self.all.thngs.clone());
                let is_in = self.all.members[collection].contains(&thng);
                if is_in {
                    method = "DELETE";
                    path = format!("{topic}/{thng}");
                }
                event.mark = format!("{} {thng}", if is_in { "thngsRemoved" } else { "thngsAdded" });
                body = json!([thng]);
            }
            _ => panic!("{topic} is none of those that are watched"),
        }
        Request { method, path, body, event }
    }

    /// Writes something on a topic: by the operator, or by another holder, who may be refused.
    fn write(&mut self, topic: &str, by: Option<usize>, scopes: Option<Value>) {
        let Request { method, path, body, mut event } = self.request(topic, scopes);
        let rest = by.map_or(&mut self.all.operator, |at| &mut self.holders[at].rest);
        let answer = match method {
            "POST" => rest.post(&path, body.clone()),
            "PUT" => rest.put(&path, body.clone()),
            _ => rest.delete(&path),
        };
        if by.is_some() && matches!(answer.status, 400 | 403 | 404) {
            return;
        }
        assert!(answer.status < 300, "{method} {path} with {body}: {}", answer.text());
        if topic.contains("/actions/") {
            let id = text(&answer.json(), "id");
            event.topics = self.all.topics_of_action(&id);
            event.what = What::Action(id);
        } else if let Some(members) = topic.split('/').nth(2).and_then(|id| self.all.members.get_mut(id))
            && let Some(thng) = body[0].as_str()
            && !members.remove(thng)
        {
            members.insert(thng.to_owned());
        }
        self.happened(&event);
    }

    /// Takes an action type away, and makes it anew in other scopes.
    fn renew_type(&mut self) {
        let name = TYPES[self.all.random.usize(1..TYPES.len())];
        let topic = format!("/actions/{}", name.replace(' ', "%20"));
        let event =
            |topic: &str| Event { topics: vec![topic.to_owned()], mark: name.to_owned(), what: What::Type };
        self.happened(&event(&topic));
        self.all.operator.delete(&topic).assert_status(200);
        let scopes = self.all.scopes();
        self.all.operator.create("/actions", json!({"name": name, "scopes": scopes}));
        self.happened(&event("/actions"));
    }

    /// Writes to every subscribed topic once more, so that every client receives a last notification.
    fn write_markers(&mut self) {
        let before: Vec<usize> = self.watches().map(|watch| watch.readable.len()).collect();
        let all_users = json!({"projects": self.all.projects, "users": ["all"]});
        let topics: BTreeSet<String> = self.watches().map(|watch| watch.topic.clone()).collect();
        let resource = |topic: &String| topic.split('/').take(3).collect::<Vec<_>>().join("/");
        let resources: BTreeSet<String> =
            topics.iter().filter(|topic| !topic.starts_with("/actions")).map(resource).collect();
        for topic in resources.iter().chain(&topics) {
            self.write(topic, None, Some(all_users.clone()));
        }
        // A device sees actions on its own thng, and types of its projects or, if it is in none, of none.
        for at in 0..self.holders.len() {
            let Some(thng) = self.holders[at].key.device.clone() else { continue };
            let topics = self.holders[at].watches.iter().map(|watch| watch.topic.clone());
            for topic in topics.filter(|topic| topic.starts_with("/actions/")).collect::<Vec<_>>() {
                self.write(&format!("/thngs/{thng}{topic}"), None, Some(all_users.clone()));
            }
        }
        self.write("/actions", None, None);
        let silent = self.watches().zip(before).find(|(watch, before)| watch.readable.len() <= *before);
        assert!(
            silent.is_none(),
            "of what is told to all, nothing is told on {}",
            silent.expect("some").0.string
        );
    }

    fn watches(&self) -> impl Iterator<Item = &TopicSubscription> {
        self.holders.iter().flat_map(|holder| &holder.watches)
    }
}

impl TopicSubscription {
    /// Whether the last event that REST showed is still missing.
    fn is_waiting(&self) -> bool {
        self.notified.len() < self.readable.len() || self.notified.last() != self.readable.last()
    }
}

impl Holder {
    /// Reads until the last events that REST showed have arrived, or nothing comes any more.
    fn listen(&mut self) {
        if let Some(client) = &mut self.session {
            while self.watches.iter().any(TopicSubscription::is_waiting) {
                let Some(Ok(Received::Message(message))) = client.next_within(WAIT_MAX) else { return };
                let watch = self.watches.iter_mut().find(|watch| watch.string == message.topic);
                watch.expect("a string that was subscribed").notified.push(mark(&message.json()));
            }
        }
        for watch in &mut self.watches {
            while watch.is_waiting()
                && let Some(socket) = &mut watch.socket
            {
                let Ok(Some(Message::Text(text))) = socket.receive(WAIT_MAX) else { return };
                watch.notified.push(mark(&serde_json::from_str(text.as_str()).expect("JSON")));
            }
        }
    }
}

/// What explains an answer of REST.
fn outcome(status: u16) -> &'static str {
    match status {
        200 => "allowed",
        403 => "forbidden",
        404 => "notFound",
        status => panic!("{status} for a read"),
    }
}

#[test]
fn explain_says_of_each_key_what_rest_answers_it() {
    let mut trial = Trial::new();
    let mut seen = BTreeMap::new();
    for at in 0..trial.holders.len() {
        let Key { name, device, .. } = trial.holders[at].key.clone();
        for _ in 0..3 * TOPICS_PER_KEY {
            let topic = trial.all.topic(device.as_ref());
            let rest = &mut trial.holders[at].rest;
            let expected = outcome(rest.get(&topic).status);
            let question = json!({"verb": "read", "path": topic});
            let explanation = rest.post("/access/explain", question).expect(200);
            assert_eq!(explanation["outcome"], expected, "{topic} by {name}: {explanation}");
            let is_explained = explanation["decidedBy"].as_array().is_some_and(|entries| !entries.is_empty());
            assert!(is_explained || expected == "forbidden", "{topic} by {name}: {explanation}");
            *seen.entry(expected).or_insert(0) += 1;
        }
    }
    assert!(seen.len() == 3 && seen.values().all(|count| *count > 10), "{seen:?}");
}

#[test]
fn a_key_is_notified_exactly_of_what_it_can_read_by_rest() {
    let mut trial = Trial::new();
    trial.subscribe();
    let topics: Vec<String> = trial.watches().map(|watch| watch.topic.clone()).collect();
    for number in 0..WRITES {
        if number % 25 == 0 {
            trial.renew_type();
        }
        let topic = topics[trial.all.random.usize(..topics.len())].clone();
        let by = trial.all.random.bool().then(|| trial.all.random.usize(..trial.holders.len()));
        let scopes = trial.all.random.bool().then(|| trial.all.scopes());
        trial.write(&topic, by, scopes);
    }
    trial.write_markers();
    trial.holders.iter_mut().for_each(Holder::listen);

    for Holder { key, watches, .. } in &trial.holders {
        for TopicSubscription { string, readable, notified, .. } in watches {
            let same =
                notified.iter().zip(readable).take_while(|(notified, readable)| notified == readable).count();
            assert!(
                notified == readable,
                "{} on {string}: told of {:?}, and can read {:?}, after {same} on which both agree",
                key.name,
                &notified[same..],
                &readable[same..],
            );
        }
    }
    let notified: usize = trial.watches().map(|watch| watch.notified.len()).sum();
    assert!(notified > 500 && trial.hidden > 100, "{notified} were told, {} were not", trial.hidden);
}
