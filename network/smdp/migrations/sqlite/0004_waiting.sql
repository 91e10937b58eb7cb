-- Sessions whose eUICC has not shown itself, of which there are only so many; and progress by whom it waits for.
CREATE INDEX session_waiting ON session (expires_at) WHERE state = 'Initiated';
CREATE INDEX progress_by_operator ON progress (operator, due_at);
