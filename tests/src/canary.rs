//! A polite client that was there before the hostile ones came, and must not notice them.

use thng_pubsub_protocol::mqtt::QoS;

use crate::link::Raw;
use crate::mqtt::Client;
use crate::server::Server;

/// A connected client that watches a property and writes to it.
#[derive(Debug)]
pub struct Canary<'a> {
    server: &'a Server,
    client: Client<Raw>,
    topic: String,
    songs: u64,
}

impl<'a> Canary<'a> {
    /// Connects and subscribes.
    #[must_use]
    #[track_caller]
    pub fn in_the(server: &'a Server) -> Canary<'a> {
        let topic = format!("/thngs/{}/properties/song", server.rest().thng());
        let mut client = Client::connect(server);
        client.subscribed(&topic, QoS::AtLeastOnce);
        Canary { server, client, topic, songs: 0 }
    }

    /// Shows that this client is served as before, and that new ones are served too.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn sings(&mut self) {
        self.songs += 1;
        self.client.publish_acknowledged(&self.topic, &format!(r#"[{{"value":{}}}]"#, self.songs));
        assert_eq!(self.client.message().value(), self.songs, "its own write comes back");
        self.client.assert_nothing_else();
        self.server.assert_serves();
    }
}
