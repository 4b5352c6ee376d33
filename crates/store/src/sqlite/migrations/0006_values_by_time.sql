-- Layout 6: values are found by their time in a table of its own, which is written later than the log and in larger parts.

-- It replaces the index event_by_time, and lacks the values behind indexed.up_to, except those of series whose
-- latest.indexed is further.
CREATE TABLE value_by_time (
    series INTEGER NOT NULL,
    ts     INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    PRIMARY KEY (series, ts, seq)
) STRICT, WITHOUT ROWID;

-- In the order of the index, which has all of it.
INSERT INTO value_by_time (series, ts, seq) SELECT series, ts, seq FROM event
    WHERE series NOT IN (SELECT id FROM series WHERE kind NOT IN (1, 3)) ORDER BY series, ts, seq;

DROP INDEX event_by_time;

-- Up to which seq the values of the series are in value_by_time, and are considered by this row.
ALTER TABLE latest ADD COLUMN indexed INTEGER NOT NULL DEFAULT 0;

-- Up to which seq the values of all series are in value_by_time and in latest: a start reads those behind it.
CREATE TABLE indexed (up_to INTEGER NOT NULL) STRICT;
INSERT INTO indexed SELECT coalesce(max(seq), 0) FROM event;
