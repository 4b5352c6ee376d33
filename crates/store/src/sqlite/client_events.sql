CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    account TEXT,
    handle TEXT,
    actor_kind INTEGER,
    actor TEXT,
    first_at_ms INTEGER NOT NULL,
    last_at_ms INTEGER NOT NULL,
    count INTEGER NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX event_by_account ON event (account, seq);
CREATE INDEX event_by_actor ON event (actor, seq) WHERE actor IS NOT NULL;

-- The owners of revoked keys: a client that still uses one is attributed to its account.
CREATE TABLE revoked_key (
    hash BLOB PRIMARY KEY,
    account TEXT NOT NULL,
    actor_kind INTEGER,
    actor TEXT,
    at_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX revoked_key_by_time ON revoked_key (at_ms);
