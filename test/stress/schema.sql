-- Both sides of the stress.  Every column has an exact inverse, so that the way back can be checked, too.
-- "code" is a second unique column on both sides: values that are exchanged between rows clash there.
SET client_min_messages = warning;
DROP TABLE IF EXISTS stress_old, stress_new;
CREATE TABLE stress_old (
	id		bigint PRIMARY KEY,
	code	text NOT NULL,
	grp		int NOT NULL,
	amount	numeric(14,2),
	at		timestamptz NOT NULL DEFAULT now(),
	doc		jsonb,
	note	text,
	CONSTRAINT stress_old_code UNIQUE (code) DEFERRABLE
);
INSERT INTO stress_old
	SELECT i, 'c' || i, i % 10, CASE WHEN i % 7 > 0 THEN i * 1.25 END, timestamptz '2024-01-01 UTC' + i * interval '1 minute',
		CASE WHEN i % 5 > 0 THEN jsonb_build_object('n', i, 'list', jsonb_build_array(i, null, 'x')) END,
		CASE WHEN i % 3 > 0 THEN 'note ' || i END
	FROM generate_series(1, :rows) i ORDER BY i * 7919 % 10007;
CREATE TABLE stress_new (
	key		bigint PRIMARY KEY,
	ucode	text NOT NULL UNIQUE,
	grp		int NOT NULL CHECK (grp <> 3),
	cents	bigint,
	seen	timestamp NOT NULL DEFAULT now(),
	doc		jsonb,
	label	text
);
ANALYZE stress_old;
