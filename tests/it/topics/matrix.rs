//! The matrix: every row of the topic table, written over every protocol with and without the right, and subscribed to
//! over every protocol with and without visibility.
//!
//! Generated from the table and from [`thng_pubsub_tests::rows`]: a new row brings its tests.

use std::fmt::Debug;

use serde_json::{Value, json};
use thng_pubsub_protocol::topic::table::{Access, OperationKind, Row, TABLE};
use thng_pubsub_tests::rows::{Cause, Scene, has_same_numbers, is_of_the_root};
use thng_pubsub_tests::transports::{Reader, SUBSCRIBABLE, TRANSPORTS, Transport, WriteError, Writer};
use thng_pubsub_tests::{Rest, Server};

/// The kinds of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Operator,
    /// The secret key of an application of the project.
    Application,
    /// A user of that application, whose role gives them nothing but reading.
    ReadingUser,
    /// An operator whose role gives them nothing but reading, and that in this project.
    ReadingOperator,
    /// The secret key of an application of another project.
    Stranger,
}

const OWNERS: [Who; 2] = [Who::Application, Who::Operator];
const OTHERS: [Who; 3] = [Who::ReadingUser, Who::ReadingOperator, Who::Stranger];

/// The expectation of a client at a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// All that happens.
    Visible,
    /// A topic on which, for them, nothing happens.
    Silence,
    /// Nothing: REST answers with this status.
    Hidden(u16),
}

impl Who {
    /// The rule of docs/permissions.md: first the path is asked, then the resource.
    fn sight(self, row: &Row) -> Sight {
        let is_for_operators = row.template.starts_with("/batches");
        match self {
            Who::Operator | Who::ReadingOperator => Sight::Visible,
            Who::Application | Who::ReadingUser | Who::Stranger if is_for_operators => Sight::Hidden(403),
            Who::Application | Who::ReadingUser => Sight::Visible,
            Who::Stranger if is_of_the_root(row) => Sight::Silence,
            Who::Stranger => Sight::Hidden(404),
        }
    }

    /// What REST answers to a write that is none of theirs. At the root a stranger may write, but not what belongs to
    /// others: their project and its thng are not there for them.
    fn refusal(self, row: &Row) -> u16 {
        match (self, self.sight(row)) {
            (Who::Stranger, Sight::Hidden(status)) => status,
            (Who::Stranger, _) => 400,
            _ => 403,
        }
    }
}

/// A client whose subscription was granted.
#[derive(Debug)]
struct Watcher {
    who: Who,
    transport: Transport,
    reader: Reader,
}

/// A scene, and a key for every kind of client.
struct Cast<'s> {
    server: &'s Server,
    scene: Scene,
    others_project: String,
    keys: Vec<(Who, String)>,
}

impl<'s> Cast<'s> {
    fn new(server: &'s Server) -> Cast<'s> {
        let mut operator = server.rest();
        let others_project = operator.project();
        let stranger = operator.application(&others_project).secret_key;
        let scene = Scene::new(server, &others_project);

        let role = operator.id_of("/roles", json!({"name": "readers", "type": "userInApp", "version": 2}));
        let permissions =
            ["/thngs", "/products", "/collections"].map(|it| json!({"path": it, "access": "r"}));
        operator.put(&format!("/roles/{role}/permissions"), json!(permissions)).assert_status(200);
        let application = format!("/projects/{}/applications/{}", scene.project, scene.application.id);
        operator.put(&application, json!({"defaultRole": role})).assert_status(200);
        let user = server.rest_as(&scene.application.public_key).anonymous_user().key;

        let role = operator.id_of("/roles", json!({"name": "reads one project"}));
        let switch = json!({"name": "project_read", "enabled": true, "projects": [scene.project]});
        operator.put(&format!("/roles/{role}/permissions/project_read"), switch).assert_status(200);
        let reading = operator.operator(json!({"role": role})).key;

        let keys = vec![
            (Who::Operator, server.key().to_owned()),
            (Who::Application, scene.application.secret_key.clone()),
            (Who::ReadingUser, user),
            (Who::ReadingOperator, reading),
            (Who::Stranger, stranger),
        ];
        Cast { server, scene, others_project, keys }
    }

    fn key(&self, who: Who) -> &str {
        &self.keys.iter().find(|(known, _)| *known == who).expect("everybody has a key").1
    }

    fn rest(&self, who: Who) -> Rest {
        self.server.rest_as(self.key(who))
    }

    /// All clients subscribe over every protocol, each in several spellings; a client that sees nothing is refused.
    fn watch(&self, row: &Row, topic: &str) -> Vec<Watcher> {
        let mut readers = Vec::new();
        for (who, key) in &self.keys {
            for transport in SUBSCRIBABLE {
                let project = if *who == Who::Stranger { &self.others_project } else { &self.scene.project };
                let strings = spellings(transport, topic, project);
                match (Reader::open(transport, self.server, Some(key), &strings), who.sight(row)) {
                    (Ok(reader), Sight::Visible | Sight::Silence) => {
                        readers.push(Watcher { who: *who, transport, reader });
                    }
                    (Err(WriteError(status)), Sight::Hidden(_)) => {
                        assert_eq!(
                            status,
                            (transport == Transport::WebSocket).then_some(403),
                            "{topic} by {who:?}"
                        );
                    }
                    (opened, sight) => panic!("{topic} by {who:?}: {opened:?}, but {sight:?}"),
                }
            }
        }
        readers
    }

    /// Writes as an owner over a protocol. Returns what was written, and the document that REST shows of it to every client
    /// that sees it, and not to the others.
    fn written(
        &mut self,
        row: &Row,
        operation: OperationKind,
        access: Access,
        by: Who,
        transport: Transport,
    ) -> ExpectedNotification {
        let payload = self.scene.payload(row, operation);
        let topic = self.scene.topic(row);
        let mut writer =
            Writer::open(transport, self.server, self.key(by), &topic).expect("an owner may write");
        writer.write(access, &payload).unwrap_or_else(|it| panic!("{topic} by {by:?}: {it:?} to {payload}"));

        let shown = |who| self.scene.shown(&mut self.rest(who), row, operation, &payload);
        let document = shown(Who::Operator).expect("an operator sees everything");
        assert!(document.is_array() || document.is_object(), "{topic}: REST shows {document}");
        for (who, _) in &self.keys {
            let expected = match who.sight(row) {
                Sight::Visible => Ok(document.clone()),
                Sight::Silence => Ok(Value::Null),
                Sight::Hidden(status) => Err(status),
            };
            assert_eq!(shown(*who), expected, "{topic} by {who:?}, after {payload} by {by:?}");
        }
        ExpectedNotification { payload, document }
    }
}

/// The expected notifications of every client that sees it.
#[derive(Debug)]
struct ExpectedNotification {
    payload: String,
    document: Value,
}

/// In MQTT, clients differ in how they spell a topic and have to find their own spelling on each message.
fn spellings(transport: Transport, topic: &str, project: &str) -> Vec<String> {
    match transport {
        Transport::Rest => Vec::new(),
        Transport::WebSocket => vec![topic.to_owned(), format!("{topic}/?pubStates=0&project={project}")],
        Transport::Mqtt | Transport::MqttOverWebSocket => vec![
            topic.to_owned(),
            topic[1..].to_owned(),
            format!("{topic}/"),
            format!("{}?project={project}&pubStates=0", &topic[1..]),
        ],
    }
}

/// Compares what readers get with the expected notifications: exactly those, in this order, and the same text for all.
#[track_caller]
fn assert_notified<'r>(
    readers: impl Iterator<Item = &'r mut Watcher>,
    notified: &[ExpectedNotification],
    after: impl Debug,
) {
    let mut first: Option<Vec<String>> = None;
    for Watcher { who, transport, reader } in readers {
        for (string, notifications) in reader.read(notified.len()) {
            let first = first.get_or_insert_with(|| notifications.clone());
            assert_eq!(notifications, *first, "{string} by {who:?} through {transport:?}, after {after:?}");
        }
    }
    let first = first.expect("somebody watches");
    for (notification, ExpectedNotification { payload, document }) in first.iter().zip(notified) {
        let mut json: Value = serde_json::from_str(notification).expect("a notification is JSON");
        // REST does not show when a thng joined a collection.
        if let Some(change) = json.as_object_mut().filter(|it| it.contains_key("operation")) {
            assert!(change.remove("timestamp").is_some_and(|it| it.is_u64()), "{notification}");
        }
        assert_eq!(json, *document, "told after {after:?}, and shown by REST");
        assert!(has_same_numbers(payload, notification), "{payload} became {notification}");
    }
}

/// Every row over one protocol.
fn check(transport: Transport) {
    // The operator receives everything, so no other client may write here.
    let server = &Server::start();
    let mut cast = Cast::new(server);
    for row in &TABLE {
        let topic = cast.scene.topic(row);
        let Some(publish) = row.publish else {
            check_subscribe_only(&cast, row, transport);
            continue;
        };
        let (operation, access) = (publish.operation, publish.access);
        let mut readers = cast.watch(row, &topic);
        for who in OTHERS {
            let payload = cast.scene.payload(row, operation);
            let key = cast.key(who);
            let refused =
                Writer::open(transport, server, key, &topic).and_then(|mut it| it.write(access, &payload));
            let expected = match (transport, who.sight(row)) {
                (Transport::Mqtt | Transport::MqttOverWebSocket, _) => None,
                (Transport::WebSocket, Sight::Hidden(_)) => Some(403),
                (Transport::WebSocket | Transport::Rest, _) => Some(who.refusal(row)),
            };
            assert_eq!(refused, Err(WriteError(expected)), "{payload} on {topic} by {who:?}");
        }

        // The last is the marker: every other notification came before it.
        let mut notified: Vec<ExpectedNotification> =
            OWNERS.iter().map(|who| cast.written(row, operation, access, *who, transport)).collect();
        notified.push(cast.written(row, operation, access, Who::Operator, Transport::Rest));
        assert_notified(readers.iter_mut().filter(|it| it.who != Who::Stranger), &notified, &topic);

        // A client that sees nothing of it received nothing of it, and still receives its own.
        if Who::Stranger.sight(row) == Sight::Silence {
            let payload = cast.scene.payload_in(&cast.others_project, row, operation);
            let mut rest = cast.rest(Who::Stranger);
            let mut writer =
                Writer::open(Transport::Rest, server, cast.key(Who::Stranger), &topic).expect("REST");
            writer.write(access, &payload).expect("what is theirs");
            let document = cast.scene.shown(&mut rest, row, operation, &payload).expect("what is theirs");
            let own = [ExpectedNotification { payload, document }];
            assert_notified(
                readers.iter_mut().filter(|it| it.who == Who::Stranger),
                &own,
                format!("their own on {topic}"),
            );
        }
    }
}

/// No client publishes on subscribe-only topics. REST has writes of its own on these paths, which are no publishes.
fn check_subscribe_only(cast: &Cast<'_>, row: &Row, transport: Transport) {
    let topic = cast.scene.topic(row);
    for (who, key) in cast.keys.iter().filter(|_| transport != Transport::Rest) {
        let write = |mut writer: Writer| writer.write(Access::Create, "{}");
        let refused = Writer::open(transport, cast.server, key, &topic).and_then(write);
        let status = if who.sight(row) == Sight::Visible { 405 } else { 403 };
        let expected = (transport == Transport::WebSocket).then_some(status);
        assert_eq!(refused, Err(WriteError(expected)), "{topic} by {who:?}");
    }
}

#[test]
fn rest_writes_reach_every_transport() {
    check(Transport::Rest);
}

/// MQTT-7.1.1-1: The transports are TCP and WebSocket.
#[test]
fn mqtt_writes_reach_every_transport() {
    check(Transport::Mqtt);
}

/// Also MQTT-7.1.1-1.
#[test]
fn mqtt_over_websocket_writes_reach_every_transport() {
    check(Transport::MqttOverWebSocket);
}

#[test]
fn native_websocket_writes_reach_every_transport() {
    check(Transport::WebSocket);
}

/// What comes about by other calls than publishes, once for each event of each row.
#[test]
fn subscribe_only_topics_are_notified_on_every_transport() {
    let server = &Server::start();
    for (row, event) in TABLE.iter().flat_map(|row| row.subscribe.iter().map(move |event| (row, *event))) {
        match Scene::cause(event) {
            None => assert!(row.publish.is_some(), "{}: {event:?} comes about by publishing", row.template),
            Some(Cause::Deletion) => check_deletion(&mut Cast::new(server), row),
            Some(Cause::Task) => check_task(&mut Cast::new(server), row),
        }
    }
}

/// The last document of what is deleted.
fn check_deletion(cast: &mut Cast<'_>, row: &Row) {
    let topic = cast.scene.topic(row);
    // A type has no document at the path of its actions.
    let document = match is_of_the_root(row) {
        true => topic.replacen("/actions/", "/actionTypes/", 1),
        false => topic.clone(),
    };
    let document = cast.scene.operator.get(&document).expect(200);
    let mut readers = cast.watch(row, &topic);
    cast.scene.operator.delete(&topic).assert_status(200);
    assert_notified(readers.iter_mut(), &[ExpectedNotification { payload: String::new(), document }], &topic);
    if let Some(publish) = row.publish.filter(|_| is_of_the_root(row)) {
        // Made again, the type shows that its end was published once.
        cast.scene.operator.create("/actions", json!({"name": cast.scene.action_type}));
        let marker = cast.written(row, publish.operation, publish.access, Who::Operator, Transport::Rest);
        let of_the_project = readers.iter_mut().filter(|it| it.who != Who::Stranger);
        assert_notified(of_the_project, &[marker], format!("the end of {topic}"));
    }
}

/// The end of a task that began before the subscriptions or after them.
fn check_task(cast: &mut Cast<'_>, row: &Row) {
    let is_of_one = row.template.ends_with(":taskId");
    let (mut readers, thngs) = (Vec::new(), 1_000);
    // The subscriptions have to come before its end.
    for doubled in 0.. {
        cast.scene.begin_task(thngs << doubled);
        readers = cast.watch(row, &cast.scene.topic(row));
        if !is_of_one || cast.scene.is_at_work() {
            break;
        }
    }
    let notified = |cast: &mut Cast<'_>| ExpectedNotification {
        payload: String::new(),
        document: cast.scene.ended_task(),
    };
    let mut all = vec![notified(cast)];
    if !is_of_one {
        cast.scene.begin_task(1);
        all.push(notified(cast));
    }
    assert_notified(readers.iter_mut(), &all, "the end of a task");
}

#[test]
fn every_transport_refuses_the_same_payloads() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let topic = format!("/thngs/{thng}/properties/k");
    for payload in [
        "[{",
        "{}",
        "not json",
        r#"[{"value":1,"timestamp":"x"}]"#,
        r#"[{"key":"other","value":1}]"#,
        r#""\ud800""#,
        "1e999",
    ] {
        for transport in TRANSPORTS {
            let writer = Writer::open(transport, server, server.key(), &topic);
            let Err(WriteError(status)) = writer.and_then(|mut it| it.write(Access::Update, payload)) else {
                panic!("{payload} through {transport:?} was taken")
            };
            let expected = matches!(transport, Transport::Rest | Transport::WebSocket).then_some(400);
            assert_eq!(status, expected, "{payload} through {transport:?}");
        }
    }
    assert_eq!(rest.get(&format!("/thngs/{thng}/properties")).expect(200), json!([]));
}
