-- As which SM-DP+ this server was in a session: its installation result may come once the server is another one. Nothing in a
-- session of before.
ALTER TABLE session ADD COLUMN smdp_oid BLOB;
