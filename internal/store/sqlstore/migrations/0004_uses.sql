-- When secrets of credentials were last logged in with, and from where; n is 0 where none is counted.
CREATE TABLE uses (
	credential TEXT   NOT NULL,
	n          BIGINT NOT NULL,
	time       BIGINT NOT NULL,
	address    TEXT   NOT NULL,
	software   TEXT   NOT NULL,
	gateway    TEXT   NOT NULL,
	PRIMARY KEY (credential, n)
);
INSERT INTO uses (credential, n, time, address, software, gateway) SELECT credential, n, last_used, '', '', '' FROM verifiers WHERE last_used IS NOT NULL;
ALTER TABLE verifiers DROP COLUMN last_used;
