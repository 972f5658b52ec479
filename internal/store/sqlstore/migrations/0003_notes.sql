-- What the control plane itself remembers, a word each: of which seed it is, how far the audit log has been sent.
CREATE TABLE notes (
	name  TEXT NOT NULL PRIMARY KEY,
	value TEXT NOT NULL
);
