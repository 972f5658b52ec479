-- Written once for all databases: TEXT compares by bytes, BIGINT is 64 bits, BYTES is bytes (see dialect.schema).
-- Times are microseconds since 1970 in UTC. Statements end with a semicolon at the end of a line.

-- One row.
CREATE TABLE identity (
	id         TEXT   NOT NULL PRIMARY KEY,
	generation BIGINT NOT NULL
);

CREATE TABLE documents (
	kind         TEXT   NOT NULL,
	name         TEXT   NOT NULL,
	environment  TEXT   NOT NULL,
	organisation TEXT   NOT NULL,
	team         TEXT   NOT NULL,
	owner        TEXT   NOT NULL,
	serial       BIGINT NOT NULL,
	created      BIGINT NOT NULL,
	changed      BIGINT NOT NULL,
	document     TEXT   NOT NULL,
	status       TEXT   NOT NULL,
	PRIMARY KEY (kind, name)
);

-- A list reads its page from one of these in the order of names, without sorting. Where filters come together that have
-- no index together, the documents of one are looked through.
CREATE INDEX documents_environment ON documents (kind, environment, name);
CREATE INDEX documents_organisation ON documents (kind, organisation, name);
CREATE INDEX documents_organisation_environment ON documents (kind, organisation, environment, name);
CREATE INDEX documents_team ON documents (kind, team, name);
CREATE INDEX documents_team_environment ON documents (kind, team, environment, name);
CREATE INDEX documents_owner ON documents (kind, owner, name);

CREATE TABLE links (
	from_kind TEXT NOT NULL,
	from_name TEXT NOT NULL,
	to_kind   TEXT NOT NULL,
	to_name   TEXT NOT NULL,
	PRIMARY KEY (to_kind, to_name, from_kind, from_name),
	FOREIGN KEY (from_kind, from_name) REFERENCES documents (kind, name) ON DELETE CASCADE
);
CREATE INDEX links_from ON links (from_kind, from_name);

CREATE TABLE changes (
	seq    BIGINT NOT NULL PRIMARY KEY,
	kind   TEXT   NOT NULL,
	name   TEXT   NOT NULL,
	serial BIGINT NOT NULL,
	time   BIGINT NOT NULL
);

CREATE TABLE verifiers (
	credential TEXT   NOT NULL,
	n          BIGINT NOT NULL,
	data       BYTES  NOT NULL,
	created    BIGINT NOT NULL,
	until      BIGINT,
	revoked    BIGINT,
	last_used  BIGINT,
	PRIMARY KEY (credential, n)
);

CREATE TABLE revisions (
	version    TEXT   NOT NULL,
	n          BIGINT NOT NULL,
	hash       TEXT   NOT NULL,
	document   BYTES  NOT NULL,
	created    BIGINT NOT NULL,
	created_by TEXT   NOT NULL,
	PRIMARY KEY (version, n)
);

-- Only ever added to, so that a restore revives nothing. n is 0 for the credential as a whole.
CREATE TABLE revocations (
	credential TEXT   NOT NULL,
	n          BIGINT NOT NULL,
	time       BIGINT NOT NULL,
	PRIMARY KEY (credential, n, time)
);

-- The truth is in text, whose SHA-256 is in hash; the other columns are for searching.
CREATE TABLE audit (
	seq          BIGINT NOT NULL PRIMARY KEY,
	time         BIGINT NOT NULL,
	actor        TEXT   NOT NULL,
	action       TEXT   NOT NULL,
	kind         TEXT   NOT NULL,
	name         TEXT   NOT NULL,
	organisation TEXT   NOT NULL,
	team         TEXT   NOT NULL,
	text         TEXT   NOT NULL,
	hash         TEXT   NOT NULL
);
CREATE INDEX audit_time ON audit (time, seq);
CREATE INDEX audit_actor ON audit (actor, seq);
CREATE INDEX audit_action ON audit (action, seq);
CREATE INDEX audit_object ON audit (kind, name, seq);
CREATE INDEX audit_organisation ON audit (organisation, seq);
CREATE INDEX audit_team ON audit (team, seq);

CREATE TABLE audit_heads (
	seq       BIGINT NOT NULL,
	signer    TEXT   NOT NULL,
	log       TEXT   NOT NULL,
	hash      TEXT   NOT NULL,
	time      BIGINT NOT NULL,
	signature BYTES  NOT NULL,
	PRIMARY KEY (seq, signer)
);
