-- As in ../sqlite, where it is the eighth step.
ALTER TABLE session ADD COLUMN smdp_oid BYTEA;
