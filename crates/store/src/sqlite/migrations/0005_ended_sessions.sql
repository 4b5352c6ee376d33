-- Layout 5: sessions that have ended, and whose rows are freed in steps.

-- A session that is in session no more: its rows in session_subscription and session_received count for nothing.
CREATE TABLE ended_session (session INTEGER PRIMARY KEY) STRICT;

-- A key that is in api_key no more: its rows in session count for nothing.
CREATE TABLE ended_session_key (key BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
