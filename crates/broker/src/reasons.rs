//! The cure of each reason for which a client is refused or disconnected.

/// The reason table: each word of logs, metrics and client events, with its cure.
pub const CURES: &[(&str, &str)] = &[
    (
        "no_key",
        "Send an API key: as password with user name `authorization`, in the Authorization header, or as ?access_token=.",
    ),
    (
        "invalid_key",
        "Check that the whole key is sent, belongs to this server and is not revoked; else use a new key.",
    ),
    ("bad_login", "Check email and password, and whether the user is validated."),
    ("forbidden", "Use a key whose role or policies allow it."),
    ("not_found", "Check the id, and whether the resource is in a project that the key can see."),
    ("conflict", "Read the resource again and resolve the collision, such as a name that is taken."),
    ("invalid_topic", "Compare the topic with the list of available topics."),
    ("subscribe_only", "Subscribe to this topic; write by REST or on the topic of a single resource."),
    ("invalid", "Correct the payload or the request as the sentence says."),
    (
        "connection_limit_per_key",
        "Close connections of this key, use a key for each client, or raise the setting.",
    ),
    ("too_many_subscriptions", "End subscriptions, use another connection, or raise the setting."),
    ("subscription_memory_per_key", "End subscriptions of this key, use another key, or raise the setting."),
    ("subscription_memory_per_account", "End subscriptions of this account, or raise the setting."),
    ("subscription_memory", "Try again later, or raise the setting."),
    ("too_many_sessions", "Connect with clean session 1, or raise the settings."),
    ("password_queue_full", "Try again in a second."),
    ("scan_queue_full", "Try again shortly, and fewer lists at a time."),
    ("answer_memory", "Read answers faster, ask for smaller pages, or try again shortly."),
    ("task_queue_full", "Try again shortly, and fewer tasks at a time."),
    ("rate_limited", "Send less often, spread the load over keys and addresses, or raise the setting."),
    ("unavailable", "Try again shortly; look at the server's log and its disk."),
    ("stopped_partway", "Repeat the call shortly for the rest."),
    ("disconnect", "Nothing: the client ended the connection itself."),
    ("client_closed", "Nothing: the client ended the connection itself."),
    ("connection_lost", "Look at the network and the client: it went without DISCONNECT."),
    ("protocol", "Look for a fault in the client's library; the sentence names the rule."),
    ("publish_refused", "Look at the refused publish: its event precedes this one."),
    ("slow_consumer", "Read faster, subscribe to less, or raise the bounds of the outbound queue."),
    ("keep_alive", "Send PINGREQ within the keep alive, or look at the network."),
    ("ping", "Answer pings, or look at the network."),
    ("revoked", "Use a key that is in force."),
    ("session_evicted", "Raise --sessions-max, or give the clients fewer durable sessions."),
    ("taken_over", "Give each client its own client id; two that share one end each other."),
    ("stopping", "Reconnect after a random delay."),
    ("connect_timeout", "Send CONNECT at once, or look at the network."),
    ("connect_refused", "Look at the refused CONNECT: its event precedes this one."),
    ("protocol_level", "Set the client to MQTT 3.1.1."),
    ("empty_client_id", "Set a client id, or connect at level 3.1.1 with clean session 1."),
    ("origin", "Add the page's origin to --allowed-origins."),
    ("too_many_connections", "Close connections, or raise --connections-max."),
    ("open_files_limit", "Raise the limit of open files (`ulimit -n`)."),
    (
        "connection_limit_per_address",
        "Close connections of this address, or raise --connections-per-address-max.",
    ),
    ("tls_handshake", "Check the client's TLS versions and that it trusts the certificate."),
    ("tls_timeout", "Look at the network: the handshake took too long."),
    ("not_tls", "Use TLS on this port, or the port without it."),
];

/// What to do about a reason; nothing for a word that is none.
pub fn cure(reason: &str) -> Option<&'static str> {
    CURES.iter().find(|(word, _)| *word == reason).map(|(_, cure)| *cure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_one_cure() {
        for (at, (word, cure)) in CURES.iter().enumerate() {
            assert!(!cure.is_empty() && cure.ends_with('.'), "{word}");
            assert!(CURES[..at].iter().all(|(other, _)| other != word), "{word}");
        }
    }
}
