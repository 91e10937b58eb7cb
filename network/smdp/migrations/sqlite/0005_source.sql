-- Where a session was begun from: a network's address; empty where that is not known.
ALTER TABLE session ADD COLUMN source TEXT NOT NULL DEFAULT '';
CREATE INDEX session_waiting_by_source ON session (source, expires_at) WHERE state = 'Initiated';
