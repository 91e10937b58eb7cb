-- As in ../sqlite, where it is the seventh step.
ALTER TABLE master_key ADD COLUMN call_key BYTEA;
