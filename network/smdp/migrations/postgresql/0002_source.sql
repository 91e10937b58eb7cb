-- As in ../sqlite, where it is the fifth step.
ALTER TABLE session ADD COLUMN source TEXT NOT NULL DEFAULT '';
CREATE INDEX session_waiting_by_source ON session (source, expires_at) WHERE state = 'Initiated';
