-- Layout 2: accounts and their keys, resources and what they are found by, and the event log with what points into it.
-- Layout 1 was never released.
--
-- Ids are TEXT: 24 characters are 24 bytes either way, and a person with a shell can read them.
-- Times are milliseconds since the epoch, UTC.

-- What the server remembers of itself.
CREATE TABLE note (
    name TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE account (
    num           INTEGER PRIMARY KEY,
    id            TEXT NOT NULL UNIQUE,
    created_at_ms INTEGER NOT NULL
) STRICT;

-- actor_kind: 1 operator, 2 application, 3 trusted application, 4 user, 5 device, 6 access token.
-- nonce: what the key was made from besides the server's secret; NULL for a key that is not shown again.
CREATE TABLE api_key (
    hash          BLOB PRIMARY KEY,
    account       INTEGER NOT NULL REFERENCES account (num),
    actor_kind    INTEGER NOT NULL,
    actor         TEXT NOT NULL,
    nonce         BLOB,
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX api_key_by_actor ON api_key (actor, actor_kind);

-- What has an id and a document. kind: see column.rs.
-- created is the sequence of the event that tells of its creation: the order of every list, never used twice.
-- doc is the sequence of the event that holds its document.
-- parent: the project of an application, the application of a user, the batch of a task.
-- thng, product: what an action happened to, and the product of a thng.
-- projects and users are JSON arrays of strings (users may be ["all"]); private is a JSON object.
CREATE TABLE resource (
    created       INTEGER PRIMARY KEY,
    id            TEXT NOT NULL UNIQUE,
    account       INTEGER NOT NULL REFERENCES account (num),
    kind          INTEGER NOT NULL,
    parent        TEXT,
    thng          TEXT,
    product       TEXT,
    doc           INTEGER NOT NULL,
    private       TEXT,
    projects      TEXT NOT NULL,
    users         TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL
) STRICT;

-- By creation: every index entry ends with the row's key.
CREATE INDEX resource_by_account ON resource (account, kind);

-- Names that only one resource of a kind can have in an account.
CREATE TABLE unique_name (
    account  INTEGER NOT NULL,
    kind     INTEGER NOT NULL,
    name     TEXT NOT NULL,
    id       TEXT NOT NULL,
    PRIMARY KEY (account, kind, name)
) STRICT, WITHOUT ROWID;

-- What resources are found by, in the order of their creation. term: the first 64 bits of a hash of account, kind,
-- field and value (store.rs).
CREATE TABLE term (
    term     INTEGER NOT NULL,
    resource INTEGER NOT NULL,
    PRIMARY KEY (term, resource)
) STRICT, WITHOUT ROWID;

-- Who is in a collection: collection and resource are their places (resource.created), kind is the member's.
CREATE TABLE member (
    collection INTEGER NOT NULL,
    kind       INTEGER NOT NULL,
    resource   INTEGER NOT NULL,
    PRIMARY KEY (collection, kind, resource)
) STRICT, WITHOUT ROWID;

CREATE INDEX member_by_resource ON member (resource, collection);

-- Resources that are gone, and whose members and children are not yet. term: that of its children.
CREATE TABLE orphaned (
    place INTEGER PRIMARY KEY,
    id    TEXT NOT NULL,
    kind  INTEGER NOT NULL
) STRICT;

-- One sequence of events about one thing: the values of a property, or what happened to a resource itself.
-- owner_kind: as resource.kind. kind: 1 a property's values, 2 the owner's own changes (key is ''), 3 a thng's locations
-- (key is ''), 4 the actions of a type (the owner is the account, key is the type), 5 who joined and left (key is '').
-- AUTOINCREMENT: the events of a series that is gone may still be there, and must not find a new owner.
CREATE TABLE series (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    account    INTEGER NOT NULL REFERENCES account (num),
    owner_kind INTEGER NOT NULL,
    owner      TEXT NOT NULL,
    kind       INTEGER NOT NULL,
    key        TEXT NOT NULL,
    UNIQUE (owner, kind, key)
) STRICT;

-- The log. kind: 1 value, 2 created, 3 updated, 4 deleted, 5 membership. ts: the time that it speaks of, at: its arrival.
-- body: the JSON value or document. The values of one update stand in a row, part 0, 1, 2, …: seq - part tells it
-- from its neighbours also when some of them are gone.
CREATE TABLE event (
    seq     INTEGER PRIMARY KEY,
    account INTEGER NOT NULL,
    series  INTEGER NOT NULL,
    kind    INTEGER NOT NULL,
    part    INTEGER NOT NULL,
    ts      INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    body    TEXT NOT NULL
) STRICT;

-- By time, and behind it by seq, which every index entry ends with.
CREATE INDEX event_by_time ON event (series, ts);

-- The latest value of each property: the greatest (ts, seq) of its series.
CREATE TABLE latest (
    series INTEGER PRIMARY KEY,
    seq    INTEGER NOT NULL,
    ts     INTEGER NOT NULL
) STRICT;

-- Events that are deleted and not freed yet: those of the series with ts < before_ts and seq <= up_to.
-- late: whether the series got values below before_ts afterwards, which are not meant.
-- freed_ts, freed_seq: how far the freeing has come.
CREATE TABLE doomed (
    series    INTEGER NOT NULL,
    before_ts INTEGER NOT NULL,
    up_to     INTEGER NOT NULL,
    late      INTEGER NOT NULL,
    freed_ts  INTEGER NOT NULL,
    freed_seq INTEGER NOT NULL,
    PRIMARY KEY (series, before_ts)
) STRICT, WITHOUT ROWID;

-- The next seq, as it was when events were last freed: without the newest events the log itself would not tell.
CREATE TABLE log_end (next_seq INTEGER NOT NULL) STRICT;
INSERT INTO log_end VALUES (1);
