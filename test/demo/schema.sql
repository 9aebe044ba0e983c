-- The old shape: one wide table.  The new shape: three tables.
CREATE EXTENSION migrate_ext;

CREATE TABLE legacy_package (
	package			text PRIMARY KEY,
	version			text,
	section			text,
	priority		text,
	architecture	text,
	installed_size	bigint,
	maintainer		text,
	homepage		text,
	depends			text,
	description		text,
	tags			text
);

CREATE TABLE package (
	package			text PRIMARY KEY,
	version			text,
	section			text,
	priority		text,
	architecture	text,
	installed_bytes	bigint,
	homepage		text,
	depends			text,
	tags			text[]
);

CREATE TABLE maintainer (
	package			text PRIMARY KEY REFERENCES package ON DELETE CASCADE,
	name			text NOT NULL,
	address			text
);
CREATE INDEX ON maintainer (address);

CREATE TABLE description (
	package			text PRIMARY KEY REFERENCES package ON DELETE CASCADE,
	summary			text NOT NULL
);

-- What the load on the new shape wrote, in the same transactions: the witness.
CREATE TABLE journal (
	id				bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	package			text NOT NULL,
	summary			text
);
CREATE INDEX ON journal (package, id);

-- Package names for the load to pick from.
CREATE TABLE pick (n int PRIMARY KEY, package text NOT NULL);
