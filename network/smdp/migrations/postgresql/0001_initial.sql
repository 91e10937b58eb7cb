-- The tables of ../sqlite, as they are after its fourth step; columns are explained there.
CREATE TABLE profile (
    iccid                      BYTEA   PRIMARY KEY,
    profile_type               TEXT,
    metadata                   BYTEA   NOT NULL,
    package                    BYTEA   NOT NULL,
    required_capability        BIGINT  NOT NULL,
    state                      TEXT    NOT NULL,
    matching_id                TEXT    UNIQUE,
    eid                        BYTEA,
    confirmation_code_hash     BYTEA,
    confirmation_code_failures BIGINT  NOT NULL DEFAULT 0,
    expires_at                 BIGINT,
    downloads                  BIGINT  NOT NULL DEFAULT 0,
    euicc_otpk                 BYTEA,
    added_at                   BIGINT  NOT NULL,
    changed_at                 BIGINT  NOT NULL,
    revision                   BIGINT  NOT NULL DEFAULT 0,
    operator                   TEXT,
    ordered_by                 TEXT,
    notified_by                BYTEA,
    notification_number        BIGINT
);

CREATE INDEX profile_by_eid ON profile (eid) WHERE eid IS NOT NULL;
CREATE INDEX profile_by_type ON profile (profile_type, state);

CREATE TABLE session (
    transaction_id             BYTEA   PRIMARY KEY,
    state                      TEXT    NOT NULL,
    expires_at                 BIGINT  NOT NULL,
    server_address             TEXT    NOT NULL,
    server_challenge           BYTEA   NOT NULL,
    ci                         BYTEA   NOT NULL,
    eid                        BYTEA,
    iccid                      BYTEA,
    euicc_certificate          BYTEA,
    smdp_signature2            BYTEA,
    revision                   BIGINT  NOT NULL DEFAULT 0,
    matching_id                TEXT
);

CREATE INDEX session_by_expiry ON session (expires_at);
CREATE INDEX session_waiting ON session (expires_at) WHERE state = 'Initiated';

CREATE TABLE notification (
    id                         BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest                     BYTEA   NOT NULL UNIQUE,
    received_at                BIGINT  NOT NULL,
    event                      BIGINT  NOT NULL,
    seq_number                 BIGINT  NOT NULL,
    address                    TEXT    NOT NULL,
    iccid                      BYTEA,
    eid                        BYTEA,
    transaction_id             BYTEA,
    result                     TEXT,
    verified                   BIGINT  NOT NULL,
    remark                     TEXT    NOT NULL,
    der                        BYTEA   NOT NULL
);

CREATE INDEX notification_distrusted ON notification (id) WHERE verified = 0;

CREATE TABLE call (
    requester                  TEXT    NOT NULL,
    call                       TEXT    NOT NULL,
    digest                     BYTEA   NOT NULL,
    answer                     TEXT    NOT NULL,
    answered_at                BIGINT  NOT NULL,
    PRIMARY KEY (requester, call, digest)
);

CREATE INDEX call_by_time ON call (answered_at);

CREATE TABLE progress (
    id                         BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator                   TEXT    NOT NULL,
    iccid                      BYTEA   NOT NULL,
    call                       TEXT    NOT NULL,
    info                       TEXT    NOT NULL,
    since                      BIGINT  NOT NULL,
    attempts                   BIGINT  NOT NULL DEFAULT 0,
    due_at                     BIGINT  NOT NULL
);

CREATE INDEX progress_by_profile ON progress (iccid, id);
CREATE INDEX progress_by_time ON progress (due_at);
CREATE INDEX progress_by_operator ON progress (operator, due_at);
