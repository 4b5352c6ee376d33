//! The settings of a session, fixed when it is created. All times are in milliseconds unless the name says otherwise.

use std::fmt;

/// An API key. It does not show in anything that is printed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Key(pub String);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The identity of a connection, and its time limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The name of the session towards the server; different for every session.
    pub client_id: String,
    /// The API key, sent as the password of the user `authorization`.
    pub key: Key,
    /// The longest silence that the server is promised, in seconds; 0 turns keep alive off.
    ///
    /// The server waits half as long again. The default is 50: a browser runs the timers of a hidden tab once a
    /// minute, which is still within 75 s.
    pub keep_alive_s: u16,
    /// How long opening a connection may take, CONNACK included.
    pub connect_timeout_ms: u32,
    /// How long the server may be silent while an acknowledgement is pending.
    pub answer_timeout_ms: u32,
    /// The upper bound of the first delay before a connection is made again; it doubles with every attempt.
    pub reconnect_ms: u32,
    /// The bound beyond which it doubles no further.
    pub reconnect_ms_max: u32,
    /// How many publishes may wait for a connection, or for space in the buffer of the socket.
    pub queue_limit: usize,
    /// Whether a first connection that cannot be made is tried again, as later ones are.
    pub retry_first_connection: bool,
    /// How long a connection stays open while there is neither a subscription nor a call; 0 for ever.
    pub idle_timeout_ms: u32,
    /// What the jitter of the delays grows from; different for every session, so that many clients of a restarted
    /// server do not come back at once.
    pub seed: u64,
}

/// The defaults of the package, except that the first connection is not retried and none closes for lack of use.
impl Default for Options {
    fn default() -> Self {
        Self {
            client_id: String::new(),
            key: Key::default(),
            keep_alive_s: 50,
            connect_timeout_ms: 30_000,
            answer_timeout_ms: 30_000,
            reconnect_ms: 1_000,
            reconnect_ms_max: 30_000,
            queue_limit: 1_000,
            retry_first_connection: false,
            idle_timeout_ms: 0,
            seed: 1,
        }
    }
}
