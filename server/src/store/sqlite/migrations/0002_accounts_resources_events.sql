-- Layout 1: accounts and their keys, resources, and the event log with what points into it.
--
-- Ids are TEXT: 24 characters are 24 bytes either way, and a person with a shell can read them.
-- Times are milliseconds since the epoch, UTC.

CREATE TABLE account (
    num           INTEGER PRIMARY KEY,
    id            TEXT NOT NULL UNIQUE,
    created_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE operator (
    id            TEXT PRIMARY KEY,
    account       INTEGER NOT NULL REFERENCES account (num),
    email         TEXT NOT NULL,
    first_name    TEXT NOT NULL,
    last_name     TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- actor_kind: 1 operator.
CREATE TABLE api_key (
    hash          BLOB PRIMARY KEY,
    account       INTEGER NOT NULL REFERENCES account (num),
    actor_kind    INTEGER NOT NULL,
    actor         TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What has an id, a name and scopes. kind: 1 thng.
-- created is the sequence of the event that tells of its creation: the order of every list, never used twice.
-- tags, projects and users are JSON arrays of strings (users may be ["all"]), identifiers is a JSON object of strings.
CREATE TABLE resource (
    created       INTEGER PRIMARY KEY,
    id            TEXT NOT NULL UNIQUE,
    account       INTEGER NOT NULL REFERENCES account (num),
    kind          INTEGER NOT NULL,
    name          TEXT NOT NULL,
    description   TEXT,
    type          TEXT,
    tags          TEXT NOT NULL,
    custom_fields TEXT NOT NULL,
    identifiers   TEXT NOT NULL,
    projects      TEXT NOT NULL,
    users         TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL
) STRICT;

-- By creation: every index entry ends with the row's key.
CREATE INDEX resource_by_account ON resource (account, kind);

-- The resources of a project, in the order of their creation: resource.projects turned round.
CREATE TABLE scope (
    account  INTEGER NOT NULL,
    project  TEXT NOT NULL,
    kind     INTEGER NOT NULL,
    resource INTEGER NOT NULL,
    PRIMARY KEY (account, project, kind, resource)
) STRICT, WITHOUT ROWID;

-- One sequence of events about one thing: the values of a property, or what happened to a resource itself.
-- owner_kind: as resource.kind. kind: 1 a property's values, 2 the owner's own changes (key is '').
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

-- The log. kind: 1 property value, 2 created, 3 updated, 4 deleted. ts: the time that it speaks of, at: its arrival.
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
