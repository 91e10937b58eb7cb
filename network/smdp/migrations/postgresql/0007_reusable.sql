-- As in ../sqlite, where it is the tenth step.
ALTER TABLE profile ADD COLUMN reusable BIGINT NOT NULL DEFAULT 0;
