-- Layout 4: the sessions of a key that wait for their client, the longest waiting first.
CREATE INDEX session_by_key ON session (key, left_at_ms) WHERE left_at_ms IS NOT NULL;
