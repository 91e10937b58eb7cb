-- One row per profile; its order lives with it, as a profile has at most one.
CREATE TABLE profile (
    iccid                      BLOB    PRIMARY KEY,  -- as in EF.ICCID
    profile_type               TEXT,
    metadata                   BLOB    NOT NULL,  -- StoreMetadataRequest, DER
    package                    BLOB    NOT NULL,  -- unprotected profile package, DER
    required_capability        INTEGER NOT NULL,  -- UICCCapability, bit 0 lowest
    state                      TEXT    NOT NULL,
    matching_id                TEXT    UNIQUE,
    eid                        BLOB,
    confirmation_code_hash     BLOB,
    confirmation_code_failures INTEGER NOT NULL DEFAULT 0,
    expires_at                 INTEGER,
    downloads                  INTEGER NOT NULL DEFAULT 0,
    euicc_otpk                 BLOB,
    added_at                   INTEGER NOT NULL,
    changed_at                 INTEGER NOT NULL,
    revision                   INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX profile_by_eid ON profile (eid) WHERE eid IS NOT NULL;
CREATE INDEX profile_by_type ON profile (profile_type, state);

-- One row per RSP session. No private key is ever kept.
CREATE TABLE session (
    transaction_id             BLOB    PRIMARY KEY,
    state                      TEXT    NOT NULL,
    expires_at                 INTEGER NOT NULL,
    server_address             TEXT    NOT NULL,
    server_challenge           BLOB    NOT NULL,
    ci                         BLOB    NOT NULL,  -- subject key identifier of the CI of our certificates
    eid                        BLOB,
    iccid                      BLOB,
    euicc_certificate          BLOB,
    smdp_signature2            BLOB,
    revision                   INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX session_by_expiry ON session (expires_at);

-- Notifications as delivered, right or wrong; the same octets are kept once.
CREATE TABLE notification (
    id                         INTEGER PRIMARY KEY,
    digest                     BLOB    NOT NULL UNIQUE,  -- SHA-256 of der
    received_at                INTEGER NOT NULL,
    event                      INTEGER NOT NULL,         -- NotificationEvent, bit 0 lowest
    seq_number                 INTEGER NOT NULL,
    address                    TEXT    NOT NULL,
    iccid                      BLOB,
    eid                        BLOB,
    transaction_id             BLOB,
    result                     TEXT,                     -- of an installation
    verified                   INTEGER NOT NULL,
    remark                     TEXT    NOT NULL,         -- why it is not verified
    der                        BLOB    NOT NULL
) STRICT;
