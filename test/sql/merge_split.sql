-- Several sources into one target, told apart by a column of the key; one source into several targets, by rows and by columns.
CREATE SCHEMA merge_split;
SET search_path = merge_split, public;
\set VERBOSITY terse
CREATE TABLE a (id int PRIMARY KEY, v text);
CREATE TABLE b (id int PRIMARY KEY, v text, extra int DEFAULT 7);
CREATE TABLE merged (kind text, id int, v text, PRIMARY KEY (kind, id));
CREATE TABLE other_key (id int, kind char(3), v text, PRIMARY KEY (id, kind)) PARTITION BY LIST (kind);
CREATE TABLE other_key_1 PARTITION OF other_key DEFAULT;
INSERT INTO a SELECT i, 'a' || i FROM generate_series(1, 100) i;
INSERT INTO b SELECT i, 'b' || i FROM generate_series(50, 150) i;
-- rows of others are there already
INSERT INTO merged VALUES ('c', 1, 'not ours');
CREATE VIEW wrong AS
	SELECT 'merged' AS t, x.* FROM (SELECT 'a' AS kind, id, v FROM a UNION ALL SELECT 'b', id, v FROM b) x FULL JOIN (SELECT * FROM merged WHERE kind <> 'c') m
		USING (kind, id) WHERE x.v IS DISTINCT FROM m.v
	UNION ALL SELECT 'other_key', x.* FROM (SELECT 'a' AS kind, id, v FROM a UNION ALL SELECT 'b', id, v FROM b) x FULL JOIN other_key m
		ON m.kind = x.kind AND m.id = x.id WHERE x.v IS DISTINCT FROM m.v;
SELECT migrate_create('ms') > 0 AS created;
SELECT migrate_map('ms', 'a', 'merged', $${"kind": "'a'", "id": "id", "v": "v"}$$) > 0 AS mapped;
SELECT migrate_map('ms', 'b', 'merged', $${"kind": "lower('B')", "id": "id", "v": "v"}$$) > 0 AS mapped;
SELECT migrate_map('ms', 'a', 'other_key', $${"kind": "'a'", "id": "id", "v": "v"}$$) > 0 AS mapped;
SELECT migrate_map('ms', 'b', 'other_key', $${"kind": "'b'", "id": "id", "v": "v"}$$, capture => 'queue') > 0 AS mapped;
SELECT source::text, target::text, direction, filter, scope, clears FROM migrate_ext.mapping ORDER BY mapping_id;
SELECT severity, subject, finding FROM migrate_assess('ms') WHERE subject NOT LIKE 'cutover%';
SELECT migrate_set('ms', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('ms');
CALL migrate_run('ms');
TABLE wrong;
SELECT source_rows, target_rows, pending, missing, extra, different, checksum_match FROM migrate_verify('ms');
INSERT INTO a VALUES (1000, 'new'), (50, 'clash') ON CONFLICT (id) DO UPDATE SET v = 'clash';
UPDATE b SET v = 'changed' WHERE id < 60;
UPDATE b SET id = id + 1000 WHERE id BETWEEN 60 AND 65;
DELETE FROM a WHERE id BETWEEN 51 AND 55;
SELECT migrate_sync('ms') > 0 AS synced;
TABLE wrong;
TRUNCATE b;
INSERT INTO b VALUES (50, 'again');
SELECT migrate_sync('ms') > 0 AS synced;
TABLE wrong;
-- damage of one is found, and repaired without touching the other's
DELETE FROM merged WHERE kind = 'a' AND id < 10;
INSERT INTO merged VALUES ('b', 77, 'extra');
SELECT source_rows, target_rows, pending, missing, extra, different, checksum_match FROM migrate_verify('ms');
SELECT migrate_repair('ms');
TABLE wrong;
SELECT * FROM merged WHERE kind = 'c';
SELECT bool_and(checksum_match) FROM migrate_verify('ms');
SELECT migrate_set('ms', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_cutover('ms', 'switch');
-- each goes back where it came from
UPDATE merged SET v = 'back' WHERE id = 50;
INSERT INTO merged VALUES ('b', 9, 'nine'), ('c', 2, 'not ours either');
DELETE FROM merged WHERE kind = 'a' AND id = 60;
UPDATE merged SET kind = 'b' WHERE kind = 'a' AND id = 61;
SELECT migrate_sync('ms');
SELECT source_rows, target_rows, pending, missing, extra, different, checksum_match FROM migrate_verify('ms') ORDER BY mapping LIMIT 2;
SELECT * FROM a WHERE id IN (9, 50, 60, 61) ORDER BY id;
SELECT * FROM b ORDER BY id;
SELECT migrate_rollback('ms');
SELECT count(*) FROM a;
SELECT migrate_drop('ms');
DROP VIEW wrong;
DROP TABLE a, b, merged, other_key;

-- one source, its rows into several targets; and columns of one of these into yet another
CREATE TABLE l (code text PRIMARY KEY, scope text NOT NULL, name text NOT NULL, memo text);
CREATE TABLE li (id text PRIMARY KEY, name text NOT NULL);
CREATE TABLE lm (id text PRIMARY KEY, name text NOT NULL);
CREATE TABLE memo (id text PRIMARY KEY, memo text);
INSERT INTO l SELECT 'c' || i, CASE i % 3 WHEN 0 THEN 'I' WHEN 1 THEN 'M' ELSE 'X' END, 'n' || i, 'm' || i FROM generate_series(1, 90) i;
SELECT migrate_create('ms') > 0 AS created;
SELECT migrate_map('ms', 'l', 'li', '{"id": "code", "name": "name"}', filter => $$scope = 'I'$$, reverse => $${"scope": "'I'"}$$) > 0 AS mapped;
SELECT migrate_map('ms', 'l', 'lm', '{"id": "code", "name": "name"}', filter => $$scope = 'M'$$, reverse => $${"scope": "'M'"}$$) > 0 AS mapped;
SELECT migrate_map('ms', 'l', 'memo', '{"id": "code", "memo": "memo"}', filter => $$scope = 'M'$$) > 0 AS mapped;
SELECT source::text, target::text, filter, scope, clears FROM migrate_ext.mapping WHERE direction = 'reverse' ORDER BY mapping_id;
SELECT severity, subject, finding FROM migrate_assess('ms') WHERE severity = 'warning';
SELECT migrate_start('ms');
CALL migrate_run('ms');
SELECT source_rows, target_rows, filtered, checksum_match FROM migrate_verify('ms');
-- from one to the other, and out of both
UPDATE l SET scope = 'M' WHERE code = 'c3';
UPDATE l SET scope = 'X' WHERE code = 'c6';
UPDATE l SET scope = 'I' WHERE code = 'c5';
SELECT (SELECT count(*) FROM li), (SELECT count(*) FROM lm), (SELECT count(*) FROM memo);
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('ms');
SELECT migrate_cutover('ms', 'switch');
DELETE FROM lm WHERE id = 'c1';
DELETE FROM memo WHERE id = 'c4';
DELETE FROM li WHERE id = 'c9'; INSERT INTO lm VALUES ('c9', 'moved');
INSERT INTO lm VALUES ('c12', 'moved first'); DELETE FROM li WHERE id = 'c12';
INSERT INTO li VALUES ('new', 'new');
-- the rows' own targets; what the application has left in the third one is its own
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('ms') ORDER BY mapping LIMIT 2;
SELECT * FROM l WHERE code IN ('c1', 'c4', 'c9', 'c12', 'new') ORDER BY code;
SELECT migrate_rollback('ms');
SELECT count(*) FROM l;
SELECT migrate_drop('ms');
-- filters that may overlap: said before the start
SELECT migrate_create('ms') > 0 AS created;
SELECT migrate_map('ms', 'l', 'li', '{"id": "code", "name": "name"}', filter => $$scope = 'I'$$) > 0 AS mapped;
SELECT migrate_map('ms', 'l', 'lm', '{"id": "code", "name": "name"}', filter => $$length(name) > 2$$) > 0 AS mapped;
SELECT migrate_map('ms', 'l', 'memo', '{"id": "code", "memo": "memo"}') > 0 AS mapped;
SELECT finding FROM migrate_assess('ms') WHERE severity = 'warning' AND finding LIKE 'its rows%';
SET client_min_messages = warning;
SELECT migrate_drop('ms');
DROP SCHEMA merge_split CASCADE;
