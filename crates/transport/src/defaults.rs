//! The defaults of the limits of transports, with units and reasons. A setting of the same name overrides each.

/// Milliseconds between SUBACK and the initial state (`pubStates`). Existing clients register their handler only when
/// the SUBACK is processed, and lose a message that comes in the same TCP segment; 20 ms later it is safe.
pub const INITIAL_STATE_DELAY_MS: u64 = 25;

/// Seconds that a new connection has for its TLS handshake, then for its MQTT CONNECT or the head of an HTTP request.
pub const CONNECT_TIMEOUT_S: u64 = 10;

/// Seconds that an HTTP connection may wait for its next request. Pools of common proxies close a connection after 60 s;
/// a longer time here means that no request meets a connection that is being closed.
pub const HTTP_IDLE_TIMEOUT_S: u64 = 75;

/// Seconds that the body of an HTTP request may take.
pub const BODY_TIMEOUT_S: u64 = 30;

/// Bytes a second that a client takes of HTTP answers at the least. The slowest mobile networks in use carry a few KiB.
pub const ANSWER_RATE_MIN: u64 = 4 * 1024;

/// Seconds over which the least rate of answers is averaged: as long as a body may take. A phone may lose its network for
/// some of them.
pub const ANSWER_RATE_WINDOW_S: u64 = 30;

/// Seconds without a byte from a native WebSocket before it is pinged, and again before it is closed. Proxies close
/// what is silent for a minute.
pub const WEBSOCKET_PING_INTERVAL_S: u64 = 30;

/// Seconds of MQTT keep alive that are honoured at the most; the product description's number.
pub const KEEP_ALIVE_S_MAX: u16 = 120;

/// Bytes of one MQTT packet, or of one message on a native WebSocket.
pub const MESSAGE_BYTES_MAX: usize = 128 * 1024;

/// Bytes of one WebSocket message at `/mqtt`. Clients put everything that they have to say into one message: a thousand
/// queued publishes of 1 kB fit.
pub const MQTT_WEBSOCKET_MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// The least value of it: clients in the field send messages of 64 KiB, and a little more.
pub const MQTT_WEBSOCKET_MESSAGE_BYTES_LEAST: usize = 128 * 1024;

/// The greatest value of it: a connection may make the server remember a whole message.
pub const MQTT_WEBSOCKET_MESSAGE_BYTES_MOST: usize = 16 * 1024 * 1024;

/// Bytes of an HTTP request's body.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Subscriptions of one MQTT session.
pub const SUBSCRIPTIONS_MAX: usize = 10_000;

/// Publishes of one connection that may wait for their commit. Reading stops beyond it. It is also what one
/// connection can bring into one commit, so it bounds a single publisher's throughput.
pub const PUBLISHES_IN_FLIGHT_MAX: usize = 256;

/// QoS 1 messages that a client may leave unacknowledged before more are held back.
pub const DELIVERIES_IN_FLIGHT_MAX: usize = 256;

/// Messages that may wait for one connection. Beyond it QoS 0 messages are dropped and a QoS 1 session is ended.
pub const OUTBOUND_QUEUE_MESSAGES_MAX: usize = 10_000;

/// Bytes that may wait for one connection; the same consequences.
pub const OUTBOUND_QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Wrong keys and passwords of one address outside of private networks. An address of a private network may be a proxy,
/// and an attacker behind it would lock all other clients out. Elsewhere, too, many clients may share an address: a
/// thousand devices with a revoked key may each try once, and a hundred of them every five seconds, before others wait.
/// An attacker needs 14 hours for a million passwords.
pub const FAILED_LOGINS_PER_ADDRESS: &str = "public:20/s:1000";

/// Seconds that rate limits may delay a publish before its connection is ended. Clients wait about as
/// long for an answer to a ping.
pub const PUBLISH_DELAY_MAX_S: u64 = 10;

/// Keys, and addresses, that each rate limit remembers. One takes about 100 bytes for as long as it has used a part of
/// its burst.
pub const RATE_LIMIT_ENTRIES_MAX: usize = 100_000;
