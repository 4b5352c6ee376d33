//! The broker that is measured, and the topics on it.
//!
//! On a thng-pubsub server a topic belongs to a thng, which must exist: it is created by REST first. Every other
//! broker gets topics of the same form and length without that.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use thng_pubsub_protocol::id::{Id, PropertyKey};
use thng_pubsub_protocol::topic::{PropertyOwner, Topic};

use crate::rest;

/// Properties of one thng: enough topics for any scenario without thousands of requests before it.
pub(crate) const KEYS_PER_THNG: usize = 100;

/// Where the broker is and how to log in.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its MQTT listener.
    pub mqtt: SocketAddr,
    /// The REST address of a thng-pubsub server.
    pub http: Option<SocketAddr>,
    /// Its HTTPS listener.
    pub https: Option<SocketAddr>,
    /// Its listener for MQTT over TLS.
    pub mqtts: Option<SocketAddr>,
    /// The API key for it.
    pub key: Option<String>,
    /// MQTT user name, if no key is given.
    pub user: Option<String>,
    /// MQTT password, if no key is given.
    pub password: Option<String>,
    /// Its process on this machine.
    pub pid: Option<u32>,
    /// The program of a thng-pubsub server, for its commands.
    pub program: Option<PathBuf>,
    /// The server's data folder.
    pub data: Option<PathBuf>,
}

impl Target {
    /// A broker without authentication.
    pub fn anonymous(mqtt: SocketAddr) -> Self {
        let (http, https, mqtts) = (None, None, None);
        let (key, user, password) = (None, None, None);
        Self { mqtt, http, https, mqtts, key, user, password, pid: None, program: None, data: None }
    }

    /// User name and password for CONNECT.
    pub(crate) fn credentials(&self) -> (Option<&str>, Option<&str>) {
        match &self.key {
            Some(key) => (Some("authorization"), Some(key)),
            None => (self.user.as_deref(), self.password.as_deref()),
        }
    }

    /// Makes so many topics that can be published on and subscribed to.
    ///
    /// # Errors
    /// The REST address does not create a thng.
    pub(crate) fn topics(&self, count: usize) -> anyhow::Result<Vec<String>> {
        let mut topics = Vec::with_capacity(count);
        while topics.len() < count {
            let thng = self.thng(topics.len() / KEYS_PER_THNG)?;
            for number in 0..KEYS_PER_THNG.min(count - topics.len()) {
                let key =
                    PropertyKey::parse(&format!("property{number}")).expect("letters and digits make a key");
                let owner = PropertyOwner::Thng(thng);
                topics.push(Topic::Properties { owner, key: Some(key) }.canonical());
            }
        }
        Ok(topics)
    }

    /// The topic of all properties of a thng.
    ///
    /// # Errors
    /// The REST address does not create a thng.
    pub(crate) fn properties(&self, number: usize) -> anyhow::Result<String> {
        let owner = PropertyOwner::Thng(self.thng(number)?);
        Ok(Topic::Properties { owner, key: None }.canonical())
    }

    /// The id of a thng: a new one on a thng-pubsub server, a made up one for any other broker.
    fn thng(&self, number: usize) -> anyhow::Result<Id> {
        let (Some(http), Some(key)) = (self.http, &self.key) else {
            return Ok(Id::parse(&format!("U{number:023}")).expect("24 letters and digits make an id"));
        };
        let answer = rest::post(http, key, "/thngs", r#"{"name":"bench"}"#)?;
        let id = answer["id"].as_str().context("a created thng has an id")?;
        Id::parse(id).context("a created thng has an id of 24 characters")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_distinct_and_of_the_form_that_a_server_takes() {
        let target = Target::anonymous("127.0.0.1:1".parse().unwrap());
        let topics = target.topics(250).unwrap();
        assert_eq!(topics.len(), 250);
        let distinct: std::collections::BTreeSet<_> = topics.iter().collect();
        assert_eq!(distinct.len(), 250);
        assert!(matches!(Topic::parse_path(&topics[249]), Ok(Topic::Properties { key: Some(_), .. })));
    }

    #[test]
    fn a_key_is_the_password_of_a_fixed_user_name() {
        let mut target = Target::anonymous("127.0.0.1:1".parse().unwrap());
        assert_eq!(target.credentials(), (None, None));
        target.key = Some("k".to_owned());
        assert_eq!(target.credentials(), (Some("authorization"), Some("k")));
    }
}
