-- A message that a phone has sent: who its status report goes to, and the reference it has there.
ALTER TABLE sms_message ADD COLUMN sender TEXT;
ALTER TABLE sms_message ADD COLUMN reference BIGINT;
