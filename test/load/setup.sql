-- One source, one target with expressions, a filter and a second unique column; then a split.
CREATE EXTENSION IF NOT EXISTS migrate_ext;
DROP TABLE IF EXISTS stress_source, stress_target, split_old, split_part, split_note CASCADE;
CREATE TABLE stress_source (id bigint PRIMARY KEY, slot int UNIQUE, v text, n numeric, ts timestamptz, j jsonb, grp int);
INSERT INTO stress_source SELECT i, i, 'v' || i, i * 0.5, now() + i * interval '1 h', jsonb_build_object('a', i), i % 10
	FROM generate_series(1, 20000) i;
CREATE TABLE stress_target (key bigint PRIMARY KEY, place int UNIQUE, v text NOT NULL, n numeric(12,2), d date, a int);
ANALYZE stress_source;
SELECT migrate_create('stress');
SELECT migrate_map('stress', 'stress_source', 'stress_target',
	'{"key": "id", "place": "slot", "v": "upper(v)", "n": "n", "d": "ts::date", "a": "(j ->> ''a'')::int"}',
	filter => 'grp <> 3');
SELECT migrate_set('stress', 'time_zone', 'Europe/Berlin');

CREATE TABLE split_old (p text PRIMARY KEY, ver text NOT NULL DEFAULT '0', note text, n int);
INSERT INTO split_old SELECT 'p' || i, 'v' || i, CASE WHEN i % 3 > 0 THEN 'note ' || i END, i FROM generate_series(1, 5000) i;
CREATE TABLE split_part (p text PRIMARY KEY, ver text NOT NULL, n int);
CREATE TABLE split_note (p text PRIMARY KEY REFERENCES split_part ON DELETE CASCADE, note text NOT NULL);
ANALYZE split_old;
SELECT migrate_create('split');
SELECT migrate_map('split', 'split_old', 'split_part');
SELECT migrate_map('split', 'split_old', 'split_note', filter => 'note IS NOT NULL');
