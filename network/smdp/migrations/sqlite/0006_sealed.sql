-- Packages and the hashes of confirmation codes are sealed from here on, with a master key that is not in the database.
-- A known text shows which one it is. What was written before is sealed when the database is opened; `purged` is 1 once
-- nothing of it is left in free pages and in the write-ahead log either. One row at most.
CREATE TABLE master_key (
    id                         INTEGER PRIMARY KEY,
    sealed                     BLOB    NOT NULL,
    purged                     INTEGER NOT NULL
) STRICT;

-- Whether it is the order that names the eUICC, rather than the first one that came.
ALTER TABLE profile ADD COLUMN names_eid INTEGER NOT NULL DEFAULT 0;
UPDATE profile SET names_eid = 1 WHERE eid IS NOT NULL AND downloads = 0;

-- Notifications are kept for so long, and so many.
CREATE INDEX notification_by_time ON notification (received_at);
CREATE INDEX notification_by_euicc ON notification (eid, id) WHERE verified = 1;
