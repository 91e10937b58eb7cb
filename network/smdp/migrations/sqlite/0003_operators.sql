-- Operators order over ES2+: whose profile it is, who ordered it, and the last notification believed about it.
ALTER TABLE profile ADD COLUMN operator TEXT;
ALTER TABLE profile ADD COLUMN ordered_by TEXT;
ALTER TABLE profile ADD COLUMN notified_by BLOB;          -- EID
ALTER TABLE profile ADD COLUMN notification_number INTEGER;

-- Calls of ES2+ that were executed, so that a repetition gets the same answer.
CREATE TABLE call (
    requester                  TEXT    NOT NULL,
    call                       TEXT    NOT NULL,
    digest                     BLOB    NOT NULL,  -- SHA-256 of function and request
    answer                     TEXT    NOT NULL,
    answered_at                INTEGER NOT NULL,
    PRIMARY KEY (requester, call, digest)
) STRICT;

CREATE INDEX call_by_time ON call (answered_at);

-- Progress an operator is to hear of: written with the change it is about, removed when the operator has taken it.
CREATE TABLE progress (
    id                         INTEGER PRIMARY KEY,
    operator                   TEXT    NOT NULL,
    iccid                      BLOB    NOT NULL,
    call                       TEXT    NOT NULL,  -- functionCallIdentifier, the same at every try
    info                       TEXT    NOT NULL,  -- HandleDownloadProgressInfo, JSON
    since                      INTEGER NOT NULL,
    attempts                   INTEGER NOT NULL DEFAULT 0,
    due_at                     INTEGER NOT NULL
) STRICT;

CREATE INDEX progress_by_profile ON progress (iccid, id);
CREATE INDEX progress_by_time ON progress (due_at);
