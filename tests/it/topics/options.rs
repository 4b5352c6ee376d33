//! The options behind a topic's `?`: in every order and combination, escaped or not, on every protocol with
//! subscriptions; and the keys that topics bring.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::{QoS, SubAckCode};
use thng_pubsub_tests::mqtt::Hello;
use thng_pubsub_tests::transports::{Reader, SUBSCRIBABLE, Transport, mqtt};
use thng_pubsub_tests::{Application, Rest, Server};

/// Two projects, each with an application and a thng.
struct Two {
    rest: Rest,
    projects: [String; 2],
    applications: [Application; 2],
    thngs: [String; 2],
}

impl Two {
    fn new(server: &Server) -> Two {
        let mut rest = server.rest();
        let projects = [rest.project(), rest.project()];
        let applications = projects.each_ref().map(|project| rest.application(project));
        let thng = |project| rest.id_of(&format!("/thngs?project={project}"), json!({"name": "t"}));
        let thngs = projects.each_ref().map(thng);
        Two { rest, projects, applications, thngs }
    }

    fn set(&mut self, thng: usize, value: i32) {
        let path = format!("/thngs/{}/properties/k", self.thngs[thng]);
        self.rest.put(&path, json!([{"value": value}])).assert_status(200);
    }
}

/// An option as it is written.
type Pair = (&'static str, String);

/// Every choice of one value or none of each option, in every order.
fn combinations(options: &[(&'static str, [String; 2])]) -> Vec<Vec<Pair>> {
    let mut all = vec![Vec::new()];
    for (index, (name, values)) in options.iter().enumerate() {
        let others = [&options[..index], &options[index + 1..]].concat();
        for value in values {
            let first = (*name, value.clone());
            all.extend(combinations(&others).into_iter().map(|rest| [vec![first.clone()], rest].concat()));
        }
    }
    all
}

/// The same text with escapes: one for its first letter, which needs none, and one for whatever may need it.
fn escaped(text: &str) -> String {
    format!("%{:02x}{}", text.as_bytes()[0], utf8_percent_encode(&text[1..], NON_ALPHANUMERIC))
}

#[test]
fn options_work_in_any_order_and_encoding_on_every_transport() {
    let server = Server::shared();
    let mut two = Two::new(server);
    let topic = format!("/thngs/{}/properties/k", two.thngs[0]);
    two.set(0, 1);
    // The thng is in the first project. The connection's own key, where there is one, is an operator's.
    let options = [
        ("project", two.projects.clone()),
        ("pubStates", ["1".to_owned(), "0".to_owned()]),
        ("access_token", two.applications.each_ref().map(|it| it.secret_key.clone())),
    ];
    let mut combinations = combinations(&options);
    assert_eq!(combinations.len(), 1 + 3 * 2 + 3 * 2 * 4 + 6 * 8);
    let is = |pairs: &[Pair], name, index: usize| {
        let (_, values) = options.iter().find(|(known, _)| *known == name).expect("an option");
        pairs.contains(&(name, values[index].clone()))
    };
    // What brings nothing yet is subscribed first: by the time the states of the others are there, its own would be.
    combinations.sort_by_key(|pairs| !is(pairs, "project", 1));

    let (mut seeing, mut waiting, mut refused) = (Vec::new(), Vec::new(), 0);
    for (number, pairs) in combinations.iter().enumerate() {
        for (turn, transport) in SUBSCRIBABLE.into_iter().enumerate() {
            let written = |(name, value): &Pair| match (number + turn) % 2 {
                0 => format!("{name}={value}"),
                _ => format!("{}={}", escaped(name), escaped(value)),
            };
            let query = pairs.iter().map(written).collect::<Vec<_>>().join("&");
            let string = format!("{topic}?{query}");
            // Of a key in the header and one in the query, a native WebSocket takes that in the header.
            let brings_key = pairs.iter().any(|(name, _)| *name == "access_token");
            let is_anonymous = brings_key && (transport == Transport::WebSocket || number % 4 < 2);
            let key = (!is_anonymous).then(|| server.key());
            let opened = Reader::open(transport, server, key, std::slice::from_ref(&string));
            assert_eq!(opened.is_err(), is(pairs, "access_token", 1), "{string} through {transport:?}");
            match opened {
                Ok(reader) if is(pairs, "project", 1) => waiting.push((string, reader)),
                Ok(reader) => seeing.push((string, reader, is(pairs, "pubStates", 0))),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(seeing.len() > 50 && waiting.len() > 25 && refused > 50, "{} {}", seeing.len(), waiting.len());

    let assert_read = |string: &str, reader: &mut Reader, values: &[i32]| {
        let read = reader.read(values.len());
        let value = |text: &String| serde_json::from_str::<Value>(text).expect("JSON")[0]["value"].clone();
        assert_eq!(read[0].1.iter().map(value).collect::<Vec<_>>(), values, "{string}");
    };
    for (string, reader, _) in seeing.iter_mut().filter(|(_, _, has_state)| *has_state) {
        assert_read(string, reader, &[1]);
    }
    two.set(0, 2);
    let scopes = json!({"scopes": {"projects": two.projects}});
    two.rest.put(&format!("/thngs/{}", two.thngs[0]), scopes).assert_status(200);
    two.set(0, 3);
    for (string, reader, _) in &mut seeing {
        assert_read(string, reader, &[2, 3]);
    }
    for (string, reader) in &mut waiting {
        assert_read(string, reader, &[3]);
    }
}

/// The values that tell of these thngs: two of each, the second of which is the marker of the first.
fn notified(of: &[usize]) -> Vec<Value> {
    [1, 2].iter().flat_map(|n| of.iter().map(move |of| json!(n * 10 + of))).collect()
}

/// The expected notifications of a key: of the first thng, of the second, and of actions on which of them.
type Rights = (bool, bool, Option<&'static [usize]>);

#[test]
fn a_subscription_with_its_own_key_has_that_keys_rights() {
    let server = Server::start();
    let mut two = Two::new(&server);
    let [first, second] = two.applications.clone();
    let user = server.rest_as(&first.public_key).anonymous_user().key;
    let device = two.rest.device(&two.thngs[0]).key;
    let unknown = server.key().to_lowercase();
    let keys: [(&str, Rights); 8] = [
        (server.key(), (true, true, Some(&[0, 1]))),
        (&first.secret_key, (true, false, Some(&[0]))),
        (&second.secret_key, (false, true, Some(&[1]))),
        (&user, (true, false, Some(&[0]))),
        (&device, (true, false, Some(&[0]))),
        (&first.public_key, (false, false, None)),
        (&unknown, (false, false, None)),
        ("", (false, false, None)),
    ];
    for transport in [Transport::Mqtt, Transport::MqttOverWebSocket] {
        let mut keyless = mqtt(transport, &server, &Hello::anonymous());
        let mut expected: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (key, (of_first, of_second, actions)) in &keys {
            let option = if key.is_empty() { String::new() } else { format!("?access_token={key}") };
            let topics = [
                (format!("/thngs/{}/properties", two.thngs[0]), of_first.then_some(&[0][..])),
                (format!("/thngs/{}/properties", two.thngs[1]), of_second.then_some(&[1][..])),
                ("/actions/all".to_owned(), *actions),
            ];
            for (topic, of) in topics {
                let string = topic + &option;
                let granted = keyless.subscribe(&string, QoS::AtLeastOnce) != SubAckCode::Refused;
                assert_eq!(granted, of.is_some(), "{string}");
                expected.extend(of.map(|of| (string.clone(), notified(of))));
            }
        }
        for n in [1, 2] {
            for of in [0, 1] {
                let value = n * 10 + of;
                let payload = json!([{"key": "k", "value": value}]).to_string();
                let token = format!("?access_token={}", two.applications[of].secret_key);
                keyless
                    .publish_acknowledged(&format!("/thngs/{}/properties{token}", two.thngs[of]), &payload);
                let payload = json!({"customFields": {"n": value}}).to_string();
                keyless.publish_acknowledged(
                    &format!("/thngs/{}/actions/scans{token}", two.thngs[of]),
                    &payload,
                );
            }
        }
        let mut came: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for _ in 0..expected.values().map(Vec::len).sum() {
            let message = keyless.message();
            let document = message.json();
            let value = document.pointer("/0/value").or_else(|| document.pointer("/customFields/n")).cloned();
            came.entry(message.topic).or_default().push(value.expect("a value or an action"));
        }
        assert_eq!(came, expected, "through {transport:?}");
        keyless.assert_nothing_else();
    }
}
