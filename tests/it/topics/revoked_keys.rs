//! A revoked key ends its connections and subscriptions, on every protocol; changed rights do not.

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::{ConnectCode, QoS, SubAckCode};
use thng_pubsub_tests::link::{Link, Raw};
use thng_pubsub_tests::mqtt::{Client, Hello, LastWill};
use thng_pubsub_tests::websocket::{CloseOutcome, MqttFrames, WebSocket};
use thng_pubsub_tests::{Keyed, Rest, Server, wait};

/// The close code of a WebSocket whose peer may not go on (RFC 6455, 7.4.1).
const POLICY: u16 = 1008;

/// A topic that a key may subscribe to, and how the key is revoked.
struct Case {
    what: &'static str,
    key: String,
    topic: String,
    revoke: Box<dyn FnOnce(&mut Rest)>,
}

fn property(thng: &str) -> String {
    format!("/thngs/{thng}/properties/k")
}

fn deleted(what: &'static str, key: String, topic: String, path: String) -> Case {
    Case { what, key, topic, revoke: Box::new(move |rest| rest.delete(&path).assert_status(200)) }
}

/// Every way to take a key away.
fn cases(server: &Server) -> Vec<Case> {
    let mut rest = server.rest();
    let in_project = |rest: &mut Rest, project: &str| {
        rest.id_of(&format!("/thngs?project={project}"), json!({"name": "t"}))
    };
    let device = |rest: &mut Rest| {
        let thng = rest.thng();
        rest.device(&thng)
    };
    let mut cases = Vec::new();

    let Keyed { id, key } = device(&mut rest);
    cases.push(deleted("a device's key", key, property(&id), format!("/auth/evrythng/thngs/{id}")));
    let Keyed { id, key } = device(&mut rest);
    cases.push(deleted("a device's thng", key, property(&id), format!("/thngs/{id}")));

    let (project, thng) = (rest.project(), rest.thng());
    let application = rest.application(&project);
    let token = rest.access_token(&["thngs:read", "thngs.properties:read"], &[]);
    let path = format!("/accessTokens/{}", token.id);
    let revoke = move |rest: &mut Rest| rest.delete(&path).assert_status(204);
    let topic = property(&thng);
    cases.push(Case { what: "an access token", key: token.key, topic, revoke: Box::new(revoke) });

    let topic = property(&in_project(&mut rest, &project));
    let path = format!("/projects/{project}/applications/{}", application.id);
    cases.push(deleted("an application", application.secret_key, topic, path));

    let project = rest.project();
    let application = rest.application(&project);
    let topic = property(&in_project(&mut rest, &project));
    cases.push(deleted("a project", application.secret_key, topic, format!("/projects/{project}")));

    let project = rest.project();
    let application = rest.application(&project);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let path = format!("/users/{}", user.id);
    cases.push(deleted("a user", user.key, "/actions/all".into(), path));

    let project = rest.project();
    let application = rest.application(&project);
    let user = server.rest_as(&application.public_key).anonymous_user();
    let path = format!("/projects/{project}/applications/{}", application.id);
    cases.push(deleted("a user's application", user.key, "/actions/all".into(), path));
    cases
}

/// Bug class 10 of `docs/security.md`: a subscription that outlives its key (CVE-2021-34434).
#[test]
fn a_revoked_key_ends_its_connections_on_every_protocol() {
    let server = Server::shared();
    for Case { what, key, topic, revoke } in cases(server) {
        let hello = Hello::with_key(&key);
        let mut mqtt = Client::connect_as(server, &hello);
        let mut framed = Client::accepted(MqttFrames::open(server, "mqtt"), &hello);
        assert_eq!(mqtt.subscribe(&topic, QoS::AtLeastOnce), SubAckCode::Granted(QoS::AtLeastOnce), "{what}");
        framed.subscribed(&topic, QoS::AtMostOnce);
        let mut socket = WebSocket::request(server, &topic, &[("Authorization", &key)]).expect(what);
        let mut idle = Client::connect_as(server, &hello);
        let mut owner = Client::connect(server);

        revoke(&mut server.rest());
        assert_eq!(socket.ended(), CloseOutcome::Code(POLICY), "{what}");
        mqtt.assert_closed_after(what);
        framed.assert_closed_after(what);
        idle.assert_closed_after(what);
        owner.ping();

        let (mut late, code) = Client::greeted(Raw::connect(server.mqtt()), &hello);
        assert_eq!(code, ConnectCode::NotAuthorised, "{what}");
        late.assert_closed();
        assert_eq!(WebSocket::request(server, &topic, &[("Authorization", &key)]).err(), Some(403), "{what}");
    }
}

/// MQTT connections, over TCP and over WebSocket.
fn connections(server: &Server, hello: &Hello) -> [Client<Box<dyn Link>>; 2] {
    let links: [Box<dyn Link>; 2] =
        [Box::new(Raw::connect(server.mqtt())), Box::new(MqttFrames::open(server, "mqtt"))];
    links.map(|link| Client::accepted(link, hello))
}

fn values(server: &Server, topic: &str) -> Vec<Value> {
    let values = server.rest().get(topic).expect(200);
    values.as_array().expect("a list").iter().map(|value| value["value"].clone()).collect()
}

/// A connection remembers the topics that it published on, but not whether their keys count.
#[test]
fn a_token_revoked_between_two_publishes_refuses_the_second() {
    let server = Server::shared();
    let mut rest = server.rest();
    for mut client in connections(server, &Hello::anonymous()) {
        let topic = property(&rest.thng());
        let token = rest.access_token(&["thngs:read,update", "thngs.properties:read,update"], &[]);
        let own = format!("{topic}?access_token={}", token.key);
        client.publish_acknowledged(&own, r#"[{"value":1}]"#);
        client.publish_acknowledged(&own, r#"[{"value":2}]"#);
        rest.delete(&format!("/accessTokens/{}", token.id)).assert_status(204);
        assert_eq!(client.publish_refused(&own, r#"[{"value":3}]"#)["reason"], "invalid_key");
        assert_eq!(values(server, &topic), [2, 1]);
    }
}

#[test]
fn a_token_changed_between_two_publishes_refuses_the_second() {
    let server = Server::shared();
    let mut rest = server.rest();
    for mut client in connections(server, &Hello::anonymous()) {
        let topic = property(&rest.thng());
        let token = rest.access_token(&["thngs:read,update", "thngs.properties:read,update"], &[]);
        let own = format!("{topic}?access_token={}", token.key);
        client.publish_acknowledged(&own, r#"[{"value":1}]"#);
        let reading = rest.access_policy(&["thngs:read", "thngs.properties:read"]);
        rest.put(&format!("/accessTokens/{}", token.id), json!({"policies": [reading]})).assert_status(200);
        assert_eq!(client.publish_refused(&own, r#"[{"value":2}]"#)["status"], 403);
        assert_eq!(values(server, &topic), [1]);
    }
}

#[test]
fn a_key_revoked_between_two_publishes_stops_the_second() {
    let server = Server::shared();
    let mut rest = server.rest();
    let mut device = || {
        let thng = rest.thng();
        let key = rest.device(&thng).key;
        (property(&thng), format!("/auth/evrythng/thngs/{thng}"), key)
    };
    for index in 0..2 {
        let (topic, revoked, key) = device();
        let [tcp, framed] = connections(server, &Hello::with_key(&key));
        let mut client = if index == 0 { tcp } else { framed };
        client.publish_acknowledged(&topic, r#"[{"value":1}]"#);
        client.publish_acknowledged(&topic, r#"[{"value":2}]"#);
        server.rest().delete(&revoked).assert_status(200);
        client.publish_unacknowledged(&topic, r#"[{"value":3}]"#);
        client.assert_closed();
        assert_eq!(values(server, &topic), [2, 1]);
    }
    let (topic, revoked, key) = device();
    let mut socket = WebSocket::request(server, &topic, &[("Authorization", &key)]).expect("a socket");
    for value in [1, 2] {
        socket.send(format!(r#"[{{"value":{value}}}]"#));
        assert_eq!(socket.json()[0]["value"], value);
    }
    server.rest().delete(&revoked).assert_status(200);
    socket.send(r#"[{"value":3}]"#);
    assert_eq!(socket.ended(), CloseOutcome::Code(POLICY));
    assert_eq!(values(server, &topic), [2, 1]);
}

#[test]
fn a_thng_deleted_between_two_publishes_refuses_the_second() {
    let server = Server::shared();
    let mut rest = server.rest();
    for mut client in connections(server, &Hello::with_key(server.key())) {
        let thng = rest.thng();
        let topic = property(&thng);
        client.publish_acknowledged(&topic, r#"[{"value":1}]"#);
        client.publish_acknowledged(&topic, r#"[{"value":2}]"#);
        rest.delete(&format!("/thngs/{thng}")).assert_status(200);
        assert_eq!(client.publish_refused(&topic, r#"[{"value":3}]"#)["status"], 404);
    }
}

/// More topics than a connection remembers, in turn.
#[test]
fn many_topics_in_turn_each_get_their_own_values() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let topics: Vec<String> = (0..20).map(|number| format!("/thngs/{thng}/properties/k{number}")).collect();
    for mut client in connections(server, &Hello::with_key(server.key())) {
        for round in 0..3 {
            for (number, topic) in topics.iter().enumerate() {
                client.publish_acknowledged(topic, &format!(r#"[{{"value":{}}}]"#, number * 10 + round));
            }
        }
        for (number, topic) in topics.iter().enumerate() {
            let last: Vec<Value> = (0..3).rev().map(|round| json!(number * 10 + round)).collect();
            assert_eq!(values(server, topic)[..3], last, "{topic}");
        }
    }
}

#[test]
fn a_subscription_ends_with_its_own_token_only() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let topic = property(&thng);
    let token = rest.access_token(&["thngs:read", "thngs.properties:read"], &[]);
    let (own, others) =
        (format!("{topic}?access_token={}", token.key), format!("{topic}?access_token={}", server.key()));
    let mut client = Client::connect_as(server, &Hello::anonymous());
    client.subscribed(&own, QoS::AtLeastOnce);
    client.subscribed(&others, QoS::AtLeastOnce);

    rest.put(&topic, json!([{"value": 1}])).assert_status(200);
    let mut received = [client.message().topic, client.message().topic];
    received.sort();
    let mut both = [own.clone(), others.clone()];
    both.sort();
    assert_eq!(received, both);

    rest.delete(&format!("/accessTokens/{}", token.id)).assert_status(204);
    rest.put(&topic, json!([{"value": 2}])).assert_status(200);
    rest.put(&topic, json!([{"value": 3}])).assert_status(200);
    for value in [2, 3] {
        let message = client.message();
        assert_eq!((message.value(), message.topic), (json!(value), others.clone()));
    }
    client.assert_nothing_else();
    assert_eq!(client.subscribe(&own, QoS::AtLeastOnce), SubAckCode::Refused, "it is not known any more");
    client.unsubscribe(&own);
}

/// Bug class 8 of `docs/security.md`: a will is authorized again when it fires.
///
/// Also MQTT-3.1.2-8.
#[test]
fn a_will_of_a_revoked_key_is_not_published() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let device = rest.device(&thng);
    let topic = property(&thng);
    let will =
        LastWill { topic: topic.clone(), payload: r#"[{"value":"gone"}]"#.into(), qos: QoS::AtLeastOnce };
    let mut client = Client::connect_as(server, &Hello { will: Some(will), ..Hello::with_key(&device.key) });
    let mut watcher = Client::connect(server);
    watcher.subscribed(&topic, QoS::AtLeastOnce);
    rest.delete(&format!("/auth/evrythng/thngs/{thng}")).assert_status(200);
    client.assert_closed();
    rest.put(&topic, json!([{"value": "last"}])).assert_status(200);
    assert_eq!(watcher.message().value(), "last");
    watcher.assert_nothing_else();
}

#[test]
fn changed_rights_affect_connections_only_after_reconnect() {
    let server = Server::shared();
    let mut rest = server.rest();
    let thng = rest.thng();
    let topic = property(&thng);
    let token = rest.access_token(&["thngs:read", "thngs.properties:read"], &[]);
    let mut client = Client::connect_as(server, &Hello::with_key(&token.key));
    client.subscribed(&topic, QoS::AtLeastOnce);
    let nothing = rest.access_policy(&["places:read"]);
    rest.put(&format!("/accessTokens/{}", token.id), json!({"policies": [nothing]})).assert_status(200);
    wait::until("the token may read no properties", || {
        (server.rest_as(&token.key).get(&format!("/thngs/{thng}/properties")).status == 403).then_some(())
    });
    rest.put(&topic, json!([{"value": 1}])).assert_status(200);
    assert_eq!(client.message().value(), 1);
    let mut again = Client::connect_as(server, &Hello::with_key(&token.key));
    assert_eq!(again.subscribe(&topic, QoS::AtLeastOnce), SubAckCode::Refused);
}
