-- Which order a session is about: a profile may be ordered anew while a session about its last order is still open.
ALTER TABLE session ADD COLUMN matching_id TEXT;

-- Only so many notifications that cannot be believed are kept; this finds the oldest of them.
CREATE INDEX notification_distrusted ON notification (id) WHERE verified = 0;
