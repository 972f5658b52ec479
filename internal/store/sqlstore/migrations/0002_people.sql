CREATE TABLE people (
	login            TEXT   NOT NULL PRIMARY KEY,
	title            TEXT   NOT NULL,
	email            TEXT   NOT NULL,
	platform_admin   BIGINT NOT NULL,
	disabled         BIGINT NOT NULL,
	provider         TEXT   NOT NULL,
	issuer           TEXT,
	subject          TEXT,
	provider_groups  TEXT   NOT NULL,
	seen_by_provider BIGINT,
	created          BIGINT NOT NULL,
	changed          BIGINT NOT NULL,
	password         TEXT   NOT NULL,
	totp             BYTES,
	totp_pending     BYTES,
	totp_step        BIGINT NOT NULL,
	recovery         TEXT   NOT NULL,
	UNIQUE (issuer, subject)
);
CREATE INDEX people_platform_admin ON people (platform_admin, login);

CREATE TABLE logins (
	hash    TEXT   NOT NULL PRIMARY KEY,
	id      TEXT   NOT NULL,
	person  TEXT   NOT NULL REFERENCES people (login) ON DELETE CASCADE,
	method  TEXT   NOT NULL,
	address TEXT   NOT NULL,
	agent   TEXT   NOT NULL,
	created BIGINT NOT NULL,
	seen    BIGINT NOT NULL,
	expires BIGINT NOT NULL
);
CREATE INDEX logins_person ON logins (person, created);
CREATE INDEX logins_expires ON logins (expires);

CREATE TABLE tokens (
	id      TEXT   NOT NULL PRIMARY KEY,
	hash    TEXT   NOT NULL,
	person  TEXT   NOT NULL REFERENCES people (login) ON DELETE CASCADE,
	name    TEXT   NOT NULL,
	scope   TEXT   NOT NULL,
	created BIGINT NOT NULL,
	used    BIGINT,
	expires BIGINT NOT NULL
);
CREATE INDEX tokens_person ON tokens (person, created);
CREATE INDEX tokens_expires ON tokens (expires);

CREATE TABLE one_time_tokens (
	hash    TEXT   NOT NULL PRIMARY KEY,
	purpose TEXT   NOT NULL,
	person  TEXT   NOT NULL,
	created BIGINT NOT NULL,
	expires BIGINT NOT NULL
);
CREATE INDEX one_time_tokens_purpose ON one_time_tokens (purpose, person);
CREATE INDEX one_time_tokens_expires ON one_time_tokens (expires);

-- Logins that failed, by a keyed hash of the name that was typed.
CREATE TABLE failures (
	id    TEXT   NOT NULL PRIMARY KEY,
	count BIGINT NOT NULL,
	last  BIGINT NOT NULL
);
CREATE INDEX failures_last ON failures (last);
