-- A rehearsal: what would be rejected, how long it takes, whether a swap would go through; nothing stays.
CREATE TABLE re_parent (id int PRIMARY KEY, name text);
CREATE TABLE re_child (id int PRIMARY KEY, parent int REFERENCES re_parent, n text);
INSERT INTO re_parent SELECT i, 'parent ' || i FROM generate_series(1, 500) i;
INSERT INTO re_child SELECT i, 1 + i % 500, CASE WHEN i % 100 = 0 THEN 'not a number' WHEN i % 250 = 1 THEN '-1' ELSE i::text END FROM generate_series(1, 3000) i;
ANALYZE re_parent, re_child;
CREATE TABLE re_parent_new (id int PRIMARY KEY, name text);
CREATE TABLE re_child_new (id int PRIMARY KEY, parent int REFERENCES re_parent_new DEFERRABLE INITIALLY DEFERRED, n int CHECK (n >= 0));
SELECT migrate_create('re') > 0 AS created;
SELECT migrate_map('re', 're_parent', 're_parent_new') > 0 AS mapped;
SELECT migrate_map('re', 're_child', 're_child_new', '{"id": "id", "parent": "parent", "n": "n::int"}', reverse => '{"n": "n::text"}') > 0 AS mapped;
SELECT migrate_set('re', 'require_rehearsal', 'on');
SELECT criterion, measured, passed FROM migrate_gate('re');
CREATE VIEW re_view AS SELECT id, n FROM re_child;
SELECT rows_tried, rows_ok, rows_rejected, rows_per_second > 0 AS rate, estimated_duration > '0' AS duration, estimated_size > 0 AS size,
	(SELECT jsonb_agg(e - 'for_example' ORDER BY e ->> 'sqlstate') FROM jsonb_array_elements(errors) e) AS errors FROM migrate_rehearse('re');
SELECT criterion, measured, passed FROM migrate_gate('re') WHERE criterion = 'rehearsal';
-- nothing stays
SELECT (SELECT count(*) FROM re_parent_new), (SELECT count(*) FROM re_child_new), (SELECT count(*) FROM migrate_ext.swap_step), (SELECT count(*) FROM migrate_ext.stashed_object WHERE restored_at IS NULL);
SELECT conrelid::regclass, conname, confrelid::regclass, condeferred FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text LIKE 're\_%' ORDER BY conname;
SELECT attname FROM pg_attribute WHERE attrelid = 're_child'::regclass AND attnum > 0;
SELECT phase FROM migrate_status('re');
\set VERBOSITY terse
SELECT migrate_start('re');
\set VERBOSITY default
-- mended: it passes; a changed mapping asks for another one
DROP VIEW re_view;
UPDATE re_child SET n = '0' WHERE n !~ '^\d+$';
SELECT rows_tried, rows_rejected, errors FROM migrate_rehearse('re', 100);
SELECT criterion, measured, passed FROM migrate_gate('re') WHERE criterion = 'rehearsal';
SELECT migrate_add_check('re', 'no name', 'SELECT 1') > 0 AS added;
SELECT mapping IS NULL AS swap, rows_rejected, estimated_duration > '0' AS blocked, errors FROM migrate_rehearse('re', 100) WHERE mapping IS NULL;
SELECT migrate_add_check('re', 'no name', 'SELECT 1 WHERE false') > 0 AS replaced;
SELECT count(*) FROM migrate_rehearse('re', 100) WHERE errors = '[]';
SELECT migrate_start('re');
-- in the shadow phase the swap is tried with all rows there, and the dual writes stay
CALL migrate_run('re');
SELECT checksum_match FROM migrate_verify('re');
-- beside what came of it
SELECT x ->> 'target' AS target, x -> 'rows_tried' AS tried, (x ->> 'estimated_seconds')::numeric >= 0 AS estimated_seconds, (x ->> 'seconds')::numeric >= 0 AS seconds,
	(x ->> 'estimated_bytes')::numeric >= 0 AS estimated_bytes, (x ->> 'bytes')::numeric > 0 AS bytes, x -> 'rejected' AS rejected
	FROM jsonb_array_elements(migrate_report('re', 'json')::jsonb -> 'rehearsal') x;
SELECT mapping, errors FROM migrate_rehearse('re');
INSERT INTO re_parent VALUES (501, 'after the rehearsal');
SELECT name FROM re_parent_new WHERE id = 501;
SELECT migrate_cutover('re');
\set VERBOSITY terse
SELECT migrate_rehearse('re');
SELECT migrate_rehearse('re', 0);
SELECT migrate_rehearse(NULL);
\set VERBOSITY default
SELECT migrate_rollback('re');
-- after a rollback the targets hold rows: those of the sample are upserted, and taken back
SELECT rows_tried > 400 AS tried, rows_rejected, errors FROM migrate_rehearse('re', 500) WHERE mapping IS NOT NULL;
SELECT kind, detail - 'mappings' AS detail FROM migrate_ext.history WHERE migration = 're' AND kind = 'rehearsed' AND (detail ->> 'passed')::boolean ORDER BY event_id LIMIT 1;
DO $$ BEGIN
	FOR i IN 1..100 LOOP
		EXIT WHEN NOT EXISTS (SELECT FROM migrate_ext.stashed_object WHERE restored_at IS NULL);
		PERFORM pg_sleep(0.1);
	END LOOP; END $$;
SELECT migrate_drop('re');
DROP TABLE re_parent, re_child, re_parent_new, re_child_new;

-- rows that stand out are tried first: what random ones would hardly meet
CREATE TABLE re_rare (id int PRIMARY KEY, name text, n bigint, note text) PARTITION BY RANGE (id);
CREATE TABLE re_rare_1 PARTITION OF re_rare FOR VALUES FROM (0) TO (25000);
CREATE TABLE re_rare_2 PARTITION OF re_rare DEFAULT;
CREATE TABLE re_rare_new (id int PRIMARY KEY, name varchar(12), n int CHECK (n > -5), note text NOT NULL);
INSERT INTO re_rare SELECT i, 'n' || i, i, 'x' FROM generate_series(1, 50000) i;
UPDATE re_rare SET name = 'longer than twelve' WHERE id = 7777;
UPDATE re_rare SET n = 3000000000 WHERE id = 33333;
UPDATE re_rare SET n = -5 WHERE id = 44444;
UPDATE re_rare SET note = NULL WHERE id = 22222;
ANALYZE re_rare;
SELECT migrate_create('re') > 0 AS created;
SELECT migrate_map('re', 're_rare', 're_rare_new') > 0 AS mapped;
SELECT rows_tried, rows_rejected, (SELECT jsonb_agg(e -> 'for_example' ORDER BY e -> 'for_example') FROM jsonb_array_elements(errors) e) AS errors
	FROM migrate_rehearse('re', 100) WHERE mapping IS NOT NULL;
SELECT migrate_drop('re');
DROP TABLE re_rare, re_rare_new;

-- in place: in a table like it, as another table's owner; the rows themselves are not touched
CREATE ROLE re_owner;
CREATE TABLE re_place (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, cents int NOT NULL, price numeric CHECK (price < 9), twice int GENERATED ALWAYS AS (cents * 2) STORED,
	"o'Brien; --" text);
INSERT INTO re_place (cents) SELECT i FROM generate_series(1, 1000) i;
ANALYZE re_place;
ALTER TABLE re_place OWNER TO re_owner;
SELECT migrate_create('re') > 0 AS created;
SELECT migrate_map('re', 're_place', 're_place', '{"price": "cents / 100.0", "o''Brien; --": "cents::text"}') > 0 AS mapped;
BEGIN;
SELECT rows_tried, rows_ok, rows_rejected, rows_per_second > 0 AS rate, estimated_size > 0 AS size,
	(SELECT jsonb_agg(e - 'for_example' ORDER BY e ->> 'sqlstate') FROM jsonb_array_elements(errors) e) AS errors FROM migrate_rehearse('re');
SELECT count(*) AS locks FROM pg_locks WHERE relation = 're_place'::regclass AND mode NOT IN ('AccessShareLock') AND pid = pg_backend_pid();
COMMIT;
SELECT count(price), pg_current_xact_id_if_assigned() FROM re_place;
SELECT count(*) FROM pg_class WHERE relname = 'migrate_rehearsal';
SELECT migrate_drop('re');
DROP TABLE re_place;
DROP ROLE re_owner;
