-- Layout 3: durable MQTT sessions, and the notifications that are kept for them.

-- key: the hash of the API key that opened it; a client id belongs to its key.
-- epoch: how often it was opened; what an earlier connection asks for counts no more.
-- left_at_ms: when its connection ended; NULL while it is connected.
-- in_flight: what was sent and not acknowledged, as of the last time it was saved, oldest first, 18 bytes each:
-- packet id (2), number of the subscription (8), sequence (8), big-endian.
CREATE TABLE session (
    num        INTEGER PRIMARY KEY AUTOINCREMENT,
    key        BLOB NOT NULL,
    client_id  TEXT NOT NULL,
    epoch      INTEGER NOT NULL,
    left_at_ms INTEGER,
    in_flight  BLOB NOT NULL,
    UNIQUE (key, client_id)
) STRICT;

-- Those that wait for their client, the longest waiting first.
CREATE INDEX session_by_leaving ON session (left_at_ms) WHERE left_at_ms IS NOT NULL;

-- A topic that a durable session subscribes to at QoS 1. route: account, the byte 0xFF, the topic in canonical form; NULL
-- once nobody does any more, until what was kept for it is freed.
-- notes, bytes: how much is kept for it.
CREATE TABLE session_topic (
    num   INTEGER PRIMARY KEY AUTOINCREMENT,
    route BLOB UNIQUE,
    notes INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT;

-- filter: the string that the client subscribed with; encrypted, behind a byte 0xFF, where it holds an access token.
-- topic: NULL at QoS 0, for which nothing is kept.
-- cursor: up to here everything was acknowledged. sent: up to here everything was sent, as of the last time it was saved:
-- between the two only what is in session.in_flight is open.
CREATE TABLE session_subscription (
    num     INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL,
    filter  BLOB NOT NULL,
    topic   INTEGER,
    cursor  INTEGER NOT NULL,
    sent    INTEGER NOT NULL,
    UNIQUE (session, filter)
) STRICT;

CREATE INDEX session_subscription_by_topic ON session_subscription (topic, cursor) WHERE topic IS NOT NULL;

-- What was told on a topic of session_topic and is not acknowledged by all of its subscriptions. scopes: who sees it, as
-- auth/visibility.rs encodes it. body: the payload.
CREATE TABLE session_note (
    seq    INTEGER NOT NULL,
    topic  INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    scopes BLOB NOT NULL,
    body   BLOB NOT NULL,
    PRIMARY KEY (seq, topic)
) STRICT, WITHOUT ROWID;

CREATE INDEX session_note_by_topic ON session_note (topic, seq);

-- QoS 2 publishes of a session that were stored and whose PUBREL has not come: they are not stored again.
CREATE TABLE session_received (
    session   INTEGER NOT NULL,
    packet_id INTEGER NOT NULL,
    PRIMARY KEY (session, packet_id)
) STRICT, WITHOUT ROWID;
