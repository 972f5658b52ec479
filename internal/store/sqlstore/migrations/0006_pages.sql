-- The documentation of APIs, a page each. The document has the digest of all of them.
CREATE TABLE pages (
	api  TEXT NOT NULL,
	name TEXT NOT NULL,
	text TEXT NOT NULL,
	PRIMARY KEY (api, name)
);
