-- Notifications on their way, and those that were given up. A lane is one receiver.
CREATE TABLE outbox (
	id           TEXT   NOT NULL PRIMARY KEY,
	seq          BIGINT NOT NULL UNIQUE,
	lane         TEXT   NOT NULL,
	channel      TEXT   NOT NULL,
	receiver     TEXT   NOT NULL,
	team         TEXT   NOT NULL,
	organisation TEXT   NOT NULL,
	type         TEXT   NOT NULL,
	event        TEXT   NOT NULL,
	time         BIGINT NOT NULL,
	next         BIGINT NOT NULL,
	attempts     BIGINT NOT NULL,
	problem      TEXT   NOT NULL,
	failed       BIGINT
);
CREATE INDEX outbox_lane ON outbox (lane, seq);
CREATE INDEX outbox_team ON outbox (team, seq);
CREATE INDEX outbox_failed ON outbox (failed, seq);
