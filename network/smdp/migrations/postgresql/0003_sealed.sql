-- As in ../sqlite, where it is the sixth step.
CREATE TABLE master_key (
    id                         BIGINT  PRIMARY KEY,
    sealed                     BYTEA   NOT NULL,
    purged                     BIGINT  NOT NULL
);

ALTER TABLE profile ADD COLUMN names_eid BIGINT NOT NULL DEFAULT 0;
UPDATE profile SET names_eid = 1 WHERE eid IS NOT NULL AND downloads = 0;

CREATE INDEX notification_by_time ON notification (received_at);
CREATE INDEX notification_by_euicc ON notification (eid, id) WHERE verified = 1;
