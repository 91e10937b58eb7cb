-- Whether the order may be downloaded any number of times.
ALTER TABLE profile ADD COLUMN reusable INTEGER NOT NULL DEFAULT 0;
