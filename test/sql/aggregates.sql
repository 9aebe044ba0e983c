-- aggregates of two tables side by side; and what a target should fulfil though nothing enforces it
SET client_min_messages = warning;
CREATE SCHEMA "a o'Brien; --";
CREATE TABLE "a o'Brien; --".before (id int PRIMARY KEY, region text, price numeric(12,2), weight float8, note text, at timestamptz, ok bool, tags text[], "odd ""col" int);
CREATE TABLE ag_after (id bigint PRIMARY KEY, region text, price numeric(14,4), weight float8, note text, at timestamptz, ok bool, tags text[], "odd ""col" int);
INSERT INTO "a o'Brien; --".before SELECT i, (ARRAY['north', 'south', 'east'])[i % 3 + 1], i * 1.25, i / 3.0, CASE WHEN i % 4 > 0 THEN 'n' || i END,
	'2024-01-01 00:00+00'::timestamptz + i * interval '1 hour', i % 2 = 0, ARRAY[i::text], i FROM generate_series(1, 1000) i;
INSERT INTO ag_after SELECT * FROM "a o'Brien; --".before ORDER BY random();
-- the same values: sums of floats do not depend on the order of the rows; a change of scale shows
SELECT column_name, measure, source_value, target_value, matches FROM migrate_compare_aggregates('"a o''Brien; --".before', 'ag_after');
SELECT * FROM migrate_compare_aggregates('"a o''Brien; --".before', 'ag_after') WHERE NOT matches;
-- what differs, by group
UPDATE ag_after SET price = price + 1 WHERE id = 300;
UPDATE ag_after SET note = NULL WHERE id = 301;
DELETE FROM ag_after WHERE id = 1000;
INSERT INTO ag_after (id, region) VALUES (-1, 'west');
SELECT group_key, column_name, measure, source_value, target_value FROM migrate_compare_aggregates('"a o''Brien; --".before', 'ag_after', group_by => '{region}') WHERE NOT matches;
SELECT column_name, measure, source_value, target_value, matches
	FROM migrate_compare_aggregates('"a o''Brien; --".before', 'ag_after', '{"id": "id", "region": "upper(region)", "price": "price * 2"}', filter => 'id <= 10') WHERE column_name IS DISTINCT FROM 'id';
-- empty sides, groups of nulls
TRUNCATE ag_after;
SELECT column_name, measure, source_value, target_value FROM migrate_compare_aggregates('ag_after', 'ag_after') LIMIT 3;
INSERT INTO ag_after (id) VALUES (1);
SELECT group_key, measure, source_value, matches FROM migrate_compare_aggregates('ag_after', 'ag_after', '{"id": "id", "region": "region"}', '{region}') WHERE column_name IS DISTINCT FROM 'region';
\set VERBOSITY terse
SELECT * FROM migrate_compare_aggregates(NULL, 'ag_after');
SELECT * FROM migrate_compare_aggregates('ag_after', 'ag_after', group_by => '{nope}');
SELECT * FROM migrate_compare_aggregates('ag_after', 'ag_after', group_by => '{NULL}');
SELECT * FROM migrate_compare_aggregates('ag_after', 'ag_after', '{"id": "nope"}');
\set VERBOSITY default
DROP TABLE ag_after;
DROP SCHEMA "a o'Brien; --" CASCADE;

-- constraints of the source that the target has not, and some of its own that are not validated
CREATE TABLE ck_parent (id int PRIMARY KEY, code text NOT NULL UNIQUE);
CREATE TABLE ck_child (id int PRIMARY KEY, parent int NOT NULL REFERENCES ck_parent, code text REFERENCES ck_parent (code), a int, b int, extra int NOT NULL UNIQUE DEFAULT 0, UNIQUE (a, b));
ALTER TABLE ck_child ALTER extra DROP DEFAULT;
CREATE TABLE ck_parent_new (id int PRIMARY KEY, code text);
CREATE TABLE ck_other (code text PRIMARY KEY);
CREATE TABLE ck_child_new (id int PRIMARY KEY, parent_id int, code text, a int, b int, other text);
INSERT INTO ck_parent SELECT i, 'p' || i FROM generate_series(1, 10) i;
INSERT INTO ck_child SELECT i, i % 10 + 1, 'p' || i % 10 + 1, i, i, i FROM generate_series(1, 100) i;
SELECT migrate_create('ck') > 0 AS created;
SELECT migrate_map('ck', 'ck_parent', 'ck_parent_new') > 0 AS mapped;
SELECT migrate_map('ck', 'ck_child', 'ck_child_new', '{"id": "id", "parent_id": "parent", "code": "code", "a": "a", "b": "b"}') > 0 AS mapped;
SELECT migrate_add_check('ck', 'no big id', 'SELECT FROM public.ck_child_new WHERE id > 1000') > 0 AS added;
SELECT migrate_start('ck');
CALL migrate_run('ck');
SELECT kind, name, columns, violations, passed FROM migrate_check('ck');
SET session_replication_role = replica;
UPDATE ck_child_new SET parent_id = NULL WHERE id IN (1, 2);
UPDATE ck_child_new SET a = 7, b = 7 WHERE id IN (8, 9);
UPDATE ck_child_new SET parent_id = 77 WHERE id = 3;
DELETE FROM ck_parent_new WHERE id = 2;
UPDATE ck_child_new SET other = 'unknown' WHERE id < 5;
UPDATE ck_child_new SET id = 1001 WHERE id = 100;
RESET session_replication_role;
ALTER TABLE ck_child_new ADD CONSTRAINT "fk ""odd" FOREIGN KEY (other) REFERENCES ck_other NOT VALID;
SELECT kind, name, columns, violations, passed FROM migrate_check('ck');
SELECT criterion, threshold, measured, passed FROM migrate_gate('ck', 'shadow') WHERE criterion LIKE 'foreign key%';
INSERT INTO ck_other VALUES ('unknown');
SELECT measured, passed FROM migrate_gate('ck', 'shadow') WHERE criterion LIKE 'foreign key%';
ALTER TABLE ck_child_new VALIDATE CONSTRAINT "fk ""odd";
SELECT count(*) FROM migrate_gate('ck', 'shadow') WHERE criterion LIKE 'foreign key%';
-- what the target declares itself is the server's
ALTER TABLE ck_child_new ADD UNIQUE (id, a);
DELETE FROM ck_child_new WHERE parent_id IS NULL OR parent_id IN (2, 77);
ALTER TABLE ck_child_new ALTER parent_id SET NOT NULL, ADD FOREIGN KEY (parent_id) REFERENCES ck_parent_new;
SELECT kind, name, columns, violations, passed FROM migrate_check('ck');
SELECT migrate_rollback('ck');
SELECT migrate_drop('ck');
DROP TABLE ck_child, ck_parent, ck_child_new, ck_parent_new, ck_other;
RESET client_min_messages;
