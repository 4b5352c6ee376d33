//! Every default, with its unit and its reason. A setting of the same name overrides it.

pub(crate) use thng_pubsub_transport::defaults::*;

/// Where REST, WebSocket, the SDK and health are served.
pub(crate) const HTTP: &str = "127.0.0.1:8080";

/// Where MQTT over TCP is served.
pub(crate) const MQTT: &str = "127.0.0.1:1883";

/// The folder of the database and the operator's key.
pub(crate) const DATA: &str = "./data";

/// What is logged.
pub(crate) const LOG: &str = "info";

/// The least of `--answer-bytes-max`: half of it holds the largest document, several times.
pub(crate) const ANSWER_BYTES_LEAST: usize = 16 << 20;

/// Bytes of HTTP answers in memory: six of the largest pages. One account has half of them.
pub(crate) const ANSWER_BYTES_MAX: usize = 24 << 20;

/// Connections of all protocols together. An idle one takes a few KiB and a file descriptor, so raise `ulimit -n`
/// with it.
pub(crate) const CONNECTIONS_MAX: usize = 100_000;

/// Items of a page that a list may be asked for.
pub(crate) const PAGE_SIZE_MAX: usize = 100;

/// Bytes of documents that one list goes through, each once and once for each value of its filter: a large part of a second's
/// work.
pub(crate) const SCAN_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Milliseconds of work of one list.
pub(crate) const SCAN_TIME_MAX_MS: u64 = 2_000;

/// Lists that wait for a connection to the database. One takes about 1 KiB, and each has some milliseconds at a time.
pub(crate) const SCAN_QUEUE_MAX: usize = 1_000;

/// Members that one call adds to a collection. More fit into no notification.
pub(crate) const MEMBERS_MAX: usize = 10_000;

/// Notifications that one command may cause: all writers wait meanwhile, for about ten microseconds each. 500 actions on
/// a thng of a product need 3,000, one action on a thng in 100 collections 204.
pub(crate) const COMMAND_NOTIFICATIONS_MAX: usize = 3_000;

/// Durable MQTT sessions that are stored. One takes about 200 bytes on the disk, and as much for each subscription.
pub(crate) const SESSIONS_MAX: usize = 100_000;

/// Subscriptions of all durable MQTT sessions together. One takes up to 400 bytes of memory while it is stored.
pub(crate) const SESSION_SUBSCRIPTIONS_MAX: usize = 1_000_000;

/// The least that the bounds of memory for subscriptions can be: one subscription fits.
pub(crate) const SUBSCRIPTION_BYTES_MIN: usize = 8192;

/// Bytes of memory of the subscriptions of one API key: 100,000 devices that share a key have one each. A subscription
/// counts 1 KiB and twice its filter.
pub(crate) const SUBSCRIPTION_BYTES_PER_KEY_MAX: usize = 128 << 20;

/// The same for all keys of an account: half of what there is for all, so that no account takes it all.
pub(crate) const SUBSCRIPTION_BYTES_PER_ACCOUNT_MAX: usize = 512 << 20;

/// The same for all accounts.
pub(crate) const SUBSCRIPTION_BYTES_MAX: usize = 1 << 30;

/// Seconds that a durable MQTT session waits for its client: a week, so that a device survives a long weekend.
pub(crate) const SESSION_EXPIRY_S: u64 = 604_800;

/// Messages of one topic that are kept for durable sessions.
pub(crate) const SESSION_QUEUE_MESSAGES_MAX: usize = 10_000;

/// Bytes of messages that are kept for durable sessions, of all topics together.
pub(crate) const SESSION_QUEUE_BYTES_MAX: usize = 1 << 30;

/// Bytes of operations that may wait for their commit, of all connections together. Callers wait beyond it.
pub(crate) const WRITE_QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Passwords that may wait to be hashed, a quarter of them of one address. Two are hashed at a time, in about 30 ms, so the
/// last of one address waits for a second, and of all for four.
pub(crate) const PASSWORD_QUEUE_MAX: usize = 256;

/// No clock that is right is before this: 2026, the year in which this program was begun. Unix milliseconds.
pub(crate) const EARLIEST_MS: i64 = 1_767_225_600_000;

/// Connections to the database that read.
pub(crate) const DATABASE_READERS: usize = 4;

/// Threads that carry notifications from the bus to the sessions.
pub(crate) const DISPATCHERS: usize = 2;

/// Seconds from SIGTERM to the end, whatever still runs.
pub(crate) const STOP_TIMEOUT_S: u64 = 9;

/// Resources that one call changes or deletes by `ids` or `filter`. Source: the platform's own limit. All of them are
/// changed in one transaction, so this is also how long other writers wait.
pub(crate) const BULK_SIZE_MAX: usize = 500;
