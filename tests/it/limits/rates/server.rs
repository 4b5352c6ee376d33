//! A server with rate limits that are by the day, so that within a test only the burst counts.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use thng_pubsub_protocol::mqtt::ConnectCode;
use thng_pubsub_tests::link::Raw;
use thng_pubsub_tests::mqtt::{Client, Hello};
use thng_pubsub_tests::websocket::WebSocket;
use thng_pubsub_tests::{Launch, Response, Rest, Server, history};

/// Another machine.
pub(super) const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A text that is no API key.
pub(super) fn wrong_key() -> String {
    "x".repeat(80)
}

/// A server with limits, and what was there before it had them.
pub(super) struct RateLimitedServer {
    pub(super) server: Server,
    /// Of an operator who may do everything, as [`KEY`] is of another.
    pub(super) key: String,
    pub(super) thng: String,
}

impl RateLimitedServer {
    #[track_caller]
    pub(super) fn with(flags: &[(&str, &str)]) -> RateLimitedServer {
        let server = Server::start();
        let mut rest = server.rest();
        let key = rest.operator(json!({"role": "admin"})).key;
        let thng = rest.thng();
        let limited =
            |launch| flags.iter().fold(launch, |launch: Launch, (name, value)| launch.flag(name, value));
        RateLimitedServer { server: server.restart_with(limited), key, thng }
    }

    pub(super) fn rest(&self) -> Rest {
        self.server.rest_as(&self.key)
    }

    pub(super) fn rest_from_elsewhere(&self) -> Rest {
        self.rest().from(ELSEWHERE)
    }

    pub(super) fn topic(&self, key: &str) -> String {
        format!("/thngs/{}/properties/{key}", self.thng)
    }

    pub(super) fn hello(&self) -> Hello {
        Hello::with_key(&self.key)
    }

    pub(super) fn exceeded(&self, what: &str, by: &str) -> u64 {
        self.server.metric(&format!(r#"rate_limited_total{{kind="{what}",scope="{by}"}}"#))
    }

    /// The status of an upgrade with this key, 101 if it is made.
    pub(super) fn upgrade(&self, key: &str, topic: &str) -> u16 {
        WebSocket::request(&self.server, topic, &[("Authorization", key)]).err().unwrap_or(101)
    }

    /// What a CONNECT with this key is answered.
    pub(super) fn connect(&self, key: &str) -> ConnectCode {
        Client::greeted(Raw::connect(self.server.mqtt()), &Hello::with_key(key)).1
    }

    /// The values of a property, oldest first; asked for with the key that has no limit to reach.
    pub(super) fn values(&self, key: &str) -> Vec<Value> {
        let points = history::whole(&mut self.server.rest(), &self.thng, key);
        points.into_iter().map(|point| point.value).collect()
    }
}

/// 429 that says which limit it was, how much it allows, and when to come again.
#[track_caller]
pub(super) fn assert_too_often(answer: &Response, limit: &str) {
    let document = answer.expect(429);
    let seconds: u64 = answer.header("retry-after").expect("Retry-After").parse().expect("whole seconds");
    assert!((1..=86_400).contains(&seconds), "{seconds}");
    let sentence = document["errors"][0].as_str().unwrap_or_default();
    let said = format!("{limit}. Try again in {seconds} s.");
    assert!(sentence.ends_with(&said), "{sentence:?} ends with {said:?}");
    assert_eq!(document["code"], 50_331_652);
}

#[track_caller]
pub(super) fn put(rest: &mut Rest, topic: &str, value: u64) -> Response {
    rest.put(topic, format!(r#"[{{"value":{value}}}]"#))
}
