-- The key of the digests in `call`, sealed: what a call said, confirmation codes among it, is short enough to be guessed from a
-- digest without one. The digests of before get theirs when the database is opened.
ALTER TABLE master_key ADD COLUMN call_key BLOB;
