-- Every way a row can change, captured.  After each part both sides must be equal.
CREATE TABLE dw_source (id int CONSTRAINT dw_source_key UNIQUE DEFERRABLE, name text, n numeric, ts timestamptz, kind text DEFAULT 'a');
ALTER TABLE dw_source ALTER id SET NOT NULL;
CREATE TABLE dw_target (key int PRIMARY KEY, name text, n numeric(8,2) CHECK (n < 1000), day date, total int GENERATED ALWAYS AS (key + 1) STORED,
	seen int GENERATED ALWAYS AS IDENTITY);
INSERT INTO dw_source SELECT i, 'n' || i, i, '2024-01-01 23:30:00+00' FROM generate_series(1, 5) i;
SELECT migrate_create('dw') > 0 AS created;
SELECT migrate_map('dw', 'dw_source', 'dw_target',
	'{"key": "id", "name": "upper(name)", "n": "n", "day": "ts::date"}', filter => 'kind <> ''hidden''') > 0 AS mapped;
SELECT expression FROM migrate_ext.mapping_column JOIN migrate_ext.mapping USING (mapping_id) WHERE direction = 'forward' ORDER BY ordinal;
SELECT migrate_start('dw');
CALL migrate_run('dw');

CREATE FUNCTION dw_check() RETURNS text LANGUAGE sql AS $$
	WITH want AS (SELECT id, upper(name), n::numeric(8,2), (ts AT TIME ZONE (SELECT settings->>'time_zone' FROM migrate_ext.migration WHERE name = 'dw'))::date
			FROM dw_source WHERE kind <> 'hidden'),
		have AS (SELECT key, name, n, day FROM dw_target),
		wrong AS ((TABLE want EXCEPT ALL TABLE have) UNION ALL (TABLE have EXCEPT ALL TABLE want))
	SELECT coalesce('differs: ' || string_agg(DISTINCT id::text, ','), 'ok') FROM wrong $$;
SELECT dw_check();

-- single and multi-row statements, key changes
INSERT INTO dw_source VALUES (10, 'ten', 10, now()), (11, 'eleven', 11, now());
UPDATE dw_source SET name = 'changed', n = 1.005 WHERE id IN (1, 10);
DELETE FROM dw_source WHERE id IN (2, 11);
UPDATE dw_source SET id = 20 WHERE id = 3;
SELECT dw_check();
UPDATE dw_source SET id = id + 1;
SELECT dw_check();
UPDATE dw_source SET id = CASE id WHEN 2 THEN 5 WHEN 5 THEN 2 ELSE id END WHERE id IN (2, 5);
SELECT dw_check();

-- into and out of the filter
UPDATE dw_source SET kind = 'hidden' WHERE id = 5;
SELECT dw_check(), count(*) FROM dw_target WHERE key = 5;
UPDATE dw_source SET kind = 'a', name = 'back' WHERE id = 5;
SELECT dw_check(), count(*) FROM dw_target WHERE key = 5;

-- ON CONFLICT, MERGE, COPY, writable CTEs
ALTER TABLE dw_source DROP CONSTRAINT dw_source_key, ADD PRIMARY KEY (id);
INSERT INTO dw_source VALUES (5, 'conflict', 1, now()), (30, 'new', 1, now()) ON CONFLICT (id) DO UPDATE SET name = 'updated';
INSERT INTO dw_source VALUES (5, 'ignored', 1, now()) ON CONFLICT (id) DO NOTHING;
SELECT dw_check();
MERGE INTO dw_source s USING (VALUES (5), (30), (31)) v(id) ON s.id = v.id
	WHEN MATCHED AND v.id = 30 THEN DELETE
	WHEN MATCHED THEN UPDATE SET name = 'merged'
	WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'merged in', 2, now());
SELECT dw_check();
COPY dw_source (id, name, n, ts) FROM stdin;
40	copied	4	2024-05-05 12:00:00+00
41	copied	4	2024-05-05 12:00:00+00
\.
SELECT dw_check();
WITH gone AS (DELETE FROM dw_source WHERE id = 40 RETURNING *),
	up AS (UPDATE dw_source SET name = 'cte' WHERE id = 41 RETURNING *)
INSERT INTO dw_source SELECT 42, name, n, ts FROM gone;
SELECT dw_check();

-- savepoints, rollback, functions, prepared transactions
BEGIN;
INSERT INTO dw_source VALUES (50, 'kept', 1, now());
SAVEPOINT s;
UPDATE dw_source SET name = 'undone';
DELETE FROM dw_source WHERE id < 40;
ROLLBACK TO s;
UPDATE dw_source SET name = 'kept too' WHERE id = 42;
COMMIT;
BEGIN;
DELETE FROM dw_source;
ROLLBACK;
SELECT dw_check();
CREATE FUNCTION dw_write() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE dw_source SET n = 7 WHERE id = 42;
	BEGIN
		DELETE FROM dw_source;
		RAISE EXCEPTION 'undo';
	EXCEPTION WHEN raise_exception THEN NULL;
	END;
END $$;
SELECT dw_write();
SELECT dw_check();

-- foreign keys that cascade into the source
CREATE TABLE dw_parent (id int PRIMARY KEY);
ALTER TABLE dw_source ADD parent int REFERENCES dw_parent ON DELETE CASCADE ON UPDATE CASCADE;
INSERT INTO dw_parent VALUES (1), (2);
UPDATE dw_source SET parent = 1 WHERE id IN (41, 42);
DELETE FROM dw_parent WHERE id = 1;
SELECT dw_check(), count(*) FROM dw_source WHERE id IN (41, 42);

-- a session's settings do not change what is derived
SET TimeZone = 'Pacific/Auckland'; SET DateStyle = 'German, DMY';
UPDATE dw_source SET ts = '2024-03-03 23:30:00+00' WHERE id = 50;
RESET ALL;
SELECT dw_check();
CREATE SCHEMA dw_evil;
CREATE FUNCTION dw_evil.upper(text) RETURNS text LANGUAGE sql AS 'SELECT ''fooled''::text';
SET search_path = dw_evil, pg_catalog, public;
SELECT upper('session');
UPDATE dw_source SET name = 'not fooled' WHERE id = 50;
RESET search_path;
DROP SCHEMA dw_evil CASCADE;
SELECT dw_check();

-- no write where nothing that is mapped has changed
SELECT ctid AS before FROM dw_target WHERE key = 50 \gset
UPDATE dw_source SET parent = 2 WHERE id = 50;
SELECT ctid = :'before' AS untouched FROM dw_target WHERE key = 50;
-- but one where only the image has
UPDATE dw_source SET n = 7.10 WHERE id = 50;
SELECT dw_check();

-- defer: the application's write stands, its key is dirty, the sync settles it
UPDATE dw_source SET n = 5000 WHERE id = 50;
SELECT n FROM dw_source WHERE id = 50;
SELECT dw_check();
SELECT key, reason, sqlstate, message FROM migrate_ext.dirty_key;
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('dw');
SELECT migrate_sync('dw');
SELECT attempts FROM migrate_ext.dirty_key;
ALTER TABLE dw_target DROP CONSTRAINT dw_target_n_check;
SELECT migrate_sync('dw');
SELECT dw_check(), count(*) FROM migrate_ext.dirty_key;

-- a column that is gone: nothing crashes, the application's write stands
ALTER TABLE dw_target RENAME name TO title;
ALTER EVENT TRIGGER migrate_ext_ddl_command_end DISABLE;
SELECT subject, finding FROM migrate_assess('dw') WHERE subject = 'event triggers';
ALTER TABLE dw_target RENAME name TO title;
ALTER EVENT TRIGGER migrate_ext_ddl_command_end ENABLE;
UPDATE dw_source SET name = 'while renamed' WHERE id = 50;
INSERT INTO dw_source VALUES (60, 'while renamed', 1, now());
SELECT key, reason, sqlstate, message FROM migrate_ext.dirty_key ORDER BY dirty_key_id;
ALTER TABLE dw_target RENAME title TO name;
SELECT migrate_sync('dw');
SELECT dw_check();
ALTER TABLE dw_source ADD extra int DEFAULT 3;
UPDATE dw_source SET name = 'after ADD COLUMN' WHERE id = 60;
SELECT dw_check();

-- values of another unique index exchanged between rows
UPDATE dw_source SET name = 'u' || id;
CREATE UNIQUE INDEX ON dw_target (name);
SELECT dw_check();
UPDATE dw_source SET name = CASE id WHEN 50 THEN 'u60' ELSE 'u50' END WHERE id IN (50, 60);
SELECT count(*) FROM migrate_ext.dirty_key;
SELECT migrate_sync('dw');
SELECT dw_check();

-- TRUNCATE: every key is dirty
TRUNCATE dw_source;
SELECT key, reason FROM migrate_ext.dirty_key;
SELECT pending > 0 AS pending, missing, extra, different FROM migrate_verify('dw');
SELECT migrate_sync('dw') > 0 AS settled;
SELECT dw_check(), count(*) FROM dw_target;
INSERT INTO dw_source VALUES (1, 'again', 1, now());
SELECT dw_check();

-- statement_timeout is the application's, and is not swallowed
\set SHOW_CONTEXT never
CREATE FUNCTION dw_slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(10); RETURN NEW; END $$;
CREATE TRIGGER dw_slow BEFORE UPDATE ON dw_target FOR EACH ROW EXECUTE FUNCTION dw_slow();
SET statement_timeout = '100ms';
UPDATE dw_source SET name = 'slow';
RESET statement_timeout;
DROP TRIGGER dw_slow ON dw_target;
SELECT dw_check(), count(*) FROM migrate_ext.dirty_key;
SELECT migrate_rollback('dw');
UPDATE dw_source SET name = 'not captured';
SELECT dw_check();
SELECT migrate_drop('dw');
DROP TABLE dw_target;

-- abort: the error reaches the application
CREATE TABLE dw_target (id int PRIMARY KEY, name text CHECK (name <> 'bad'));
SELECT migrate_create('dw_abort') > 0 AS created;
SELECT migrate_map('dw_abort', 'dw_source', 'dw_target', on_error => 'abort') > 0 AS mapped;
SELECT migrate_start('dw_abort');
\set VERBOSITY terse
UPDATE dw_source SET name = 'bad';
\set VERBOSITY default
SELECT name FROM dw_source;
SELECT migrate_rollback('dw_abort');
SELECT migrate_drop('dw_abort');
TRUNCATE dw_target;

-- queue: only the key is recorded; none: nothing is
SELECT migrate_create('dw_queue') > 0 AS created;
SELECT migrate_map('dw_queue', 'dw_source', 'dw_target', capture => 'queue') > 0 AS mapped;
SELECT migrate_set('dw_queue', 'sync_interval', '0');
SELECT migrate_start('dw_queue');
CALL migrate_run('dw_queue');
INSERT INTO dw_source VALUES (2, 'queued', 1, now());
UPDATE dw_source SET id = 3 WHERE id = 1;
DELETE FROM dw_source WHERE id = 2;
SELECT key, reason FROM migrate_ext.dirty_key ORDER BY dirty_key_id;
SELECT pending, missing, extra, different FROM migrate_verify('dw_queue');
SELECT migrate_sync('dw_queue');
TABLE dw_target;
-- keys touched again are settled once; one that comes and goes leaves nothing
INSERT INTO dw_source VALUES (4, 'a', 1, now()), (5, 'b', 1, now());
UPDATE dw_source SET name = name || '!' WHERE id IN (3, 4, 5);
UPDATE dw_source SET name = name || '!' WHERE id = 4;
DELETE FROM dw_source WHERE id = 5;
SELECT key, count(*), min(reason) AS reason FROM migrate_ext.dirty_key GROUP BY key ORDER BY key;
SELECT migrate_sync('dw_queue');
SELECT * FROM dw_target ORDER BY id;
-- after a rollback to a savepoint the key is still dirty
BEGIN;
SAVEPOINT s;
UPDATE dw_source SET name = 'undone' WHERE id = 3;
ROLLBACK TO s;
UPDATE dw_source SET name = 'done' WHERE id = 3;
SELECT migrate_sync('dw_queue');
UPDATE dw_source SET name = 'done again' WHERE id = 3;
COMMIT;
SELECT migrate_sync('dw_queue');
SELECT * FROM dw_target ORDER BY id;
TRUNCATE dw_source;
INSERT INTO dw_source VALUES (6, 'after', 1, now());
SELECT key, reason FROM migrate_ext.dirty_key ORDER BY dirty_key_id;
SELECT migrate_sync('dw_queue') > 0 AS settled;
SELECT * FROM dw_target ORDER BY id;
SELECT sync_state FROM migrate_progress('dw_queue');
SELECT count(*) FROM migrate_ext.dirty_key;
SELECT migrate_rollback('dw_queue');
SELECT migrate_drop('dw_queue');

-- a partitioned source: through the parent, a partition, and across partitions; the whole row as a value
DROP TABLE dw_target, dw_source;
CREATE TABLE dw_source (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE dw_north (gone int, v text, region text NOT NULL, id int NOT NULL);
ALTER TABLE dw_north DROP COLUMN gone;
ALTER TABLE dw_source ATTACH PARTITION dw_north FOR VALUES IN ('n');
CREATE TABLE dw_south PARTITION OF dw_source FOR VALUES IN ('s');
CREATE TABLE dw_target (id int, region text, v text, row_text text, PRIMARY KEY (region, id));
CREATE FUNCTION dw_describe(r dw_source) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT r.id || ''/'' || r.region || ''/'' || r.v';
INSERT INTO dw_source SELECT i, CASE WHEN i % 2 = 0 THEN 'n' ELSE 's' END, 'v' || i FROM generate_series(1, 6) i;
SELECT migrate_create('dw_part') > 0 AS created;
SELECT migrate_map('dw_part', 'dw_source', 'dw_target',
	'{"id": "id", "region": "region", "v": "v", "row_text": "dw_describe(src) || (to_jsonb(src) ->> ''v'')"}') > 0 AS mapped;
SELECT migrate_start('dw_part');
INSERT INTO dw_source VALUES (10, 'n', 'parent');
INSERT INTO dw_north (id, region, v) VALUES (11, 'n', 'partition');
UPDATE dw_south SET v = 'direct' WHERE id = 1;
UPDATE dw_source SET region = 's' WHERE id = 10;
UPDATE dw_source SET v = v || '!' WHERE id IN (1, 2);
DELETE FROM dw_north WHERE id = 4;
CALL migrate_run('dw_part');
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('dw_part');
SELECT * FROM dw_target ORDER BY id, region;
SELECT migrate_rollback('dw_part');
SELECT migrate_drop('dw_part');
DROP TABLE dw_source CASCADE;
DROP TABLE dw_target, dw_parent;
DROP FUNCTION dw_check, dw_write, dw_slow;

-- odd names
CREATE TABLE "o'Brien; --" ("a ""key""" int PRIMARY KEY, "select" text, "sixty_three_bytes_of_a_column_name_that_goes_on_and_on_and_on_1" int);
CREATE TABLE "T %s $1" ("k'" int PRIMARY KEY, "from" text, "Ünï" int);
INSERT INTO "o'Brien; --" VALUES (1, 'x', 1), (2, 'y', 2);
SELECT migrate_create('m''; DROP TABLE x; --') > 0 AS created;
SELECT migrate_map('m''; DROP TABLE x; --', '"o''Brien; --"', '"T %s $1"',
	'{"k''": "\"a \"\"key\"\"\"", "from": "\"select\" || ''%s''", "Ünï": "\"sixty_three_bytes_of_a_column_name_that_goes_on_and_on_and_on_1\""}',
	filter => '"select" <> ''; --''') > 0 AS mapped;
SELECT migrate_start('m''; DROP TABLE x; --');
UPDATE "o'Brien; --" SET "a ""key""" = "a ""key""" + 10, "select" = 'it''s';
CALL migrate_run('m''; DROP TABLE x; --');
SELECT * FROM "T %s $1" ORDER BY 1;
UPDATE "T %s $1" SET "from" = 'damaged' WHERE "k'" = 11;
SELECT missing, extra, different FROM migrate_verify('m''; DROP TABLE x; --');
SELECT key, columns FROM migrate_divergence('m''; DROP TABLE x; --');
SELECT migrate_repair('m''; DROP TABLE x; --');
SELECT missing, extra, different, checksum_match FROM migrate_verify('m''; DROP TABLE x; --');
SELECT migrate_cutover('m''; DROP TABLE x; --', 'switch');
UPDATE "T %s $1" SET "Ünï" = 77;
DELETE FROM "T %s $1" WHERE "k'" = 12;
TABLE "o'Brien; --";
SELECT migrate_rollback('m''; DROP TABLE x; --');
SELECT migrate_drop('m''; DROP TABLE x; --');
DROP TABLE "o'Brien; --", "T %s $1";

-- a parent's key changes, and with it what names it: on either way the parent's row is given the new key, and what names it follows there, too
SET client_min_messages = warning;
CREATE TABLE dw_p (code text PRIMARY KEY, v int);
CREATE TABLE dw_c (id int PRIMARY KEY, p text REFERENCES dw_p ON UPDATE CASCADE);
CREATE TABLE dw_p_new (code text PRIMARY KEY, v int UNIQUE);
CREATE TABLE dw_c_new (id int PRIMARY KEY, p text REFERENCES dw_p_new ON UPDATE CASCADE);
INSERT INTO dw_p SELECT 'p' || i, i FROM generate_series(1, 6) i;
INSERT INTO dw_c SELECT i, 'p' || (1 + i % 5) FROM generate_series(1, 20) i;
SELECT migrate_create('dw') > 0 AS created, migrate_map('dw', 'dw_p', 'dw_p_new') > 0 AS p, migrate_map('dw', 'dw_c', 'dw_c_new') > 0 AS c;
SELECT migrate_set('dw', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('dw');
CALL migrate_run('dw');
ALTER TABLE dw_p_new DROP CONSTRAINT dw_p_new_v_key;
UPDATE dw_p SET code = code || '!' WHERE code IN ('p1', 'p2', 'p6');
SELECT key, reason, sqlstate FROM migrate_ext.dirty_key ORDER BY key;
TABLE dw_c EXCEPT TABLE dw_c_new;
SELECT code FROM dw_p_new ORDER BY 1;
SELECT writes_failed > 0 AS noted FROM (SELECT count(*) AS writes_failed FROM migrate_ext.write_error) x;
SELECT migrate_sync('dw') AS synced;
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('dw');
SELECT migrate_cutover('dw', 'switch', force => true, reason => 'test');
UPDATE dw_p_new SET code = code || '?', v = v + 100 WHERE code IN ('p3', 'p6!');
SELECT key, reason, sqlstate FROM migrate_ext.dirty_key ORDER BY key;
TABLE dw_c_new EXCEPT TABLE dw_c;
SELECT migrate_sync('dw') AS synced;
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('dw');
SELECT migrate_rollback('dw');
-- also where the old row's values are in the way
ALTER TABLE dw_p_new ADD UNIQUE (v);
SELECT migrate_start('dw');
CALL migrate_run('dw');
UPDATE dw_p SET code = 'p4!' WHERE code = 'p4';
SELECT count(*) FROM migrate_ext.dirty_key;
SELECT missing, extra, different, checksum_match FROM migrate_verify('dw');
-- rows that exchange their keys
ALTER TABLE dw_p_new DROP CONSTRAINT dw_p_new_v_key;
BEGIN;
UPDATE dw_p SET code = 'tmp' WHERE code = 'p4!';
UPDATE dw_p SET code = 'p4!' WHERE code = 'p5';
UPDATE dw_p SET code = 'p5' WHERE code = 'tmp';
COMMIT;
SELECT count(*) FROM migrate_ext.dirty_key;
SELECT missing, extra, different, checksum_match FROM migrate_verify('dw');
-- the target's rows do not follow: only the parent's old row is left to the queue
ALTER TABLE dw_c_new DROP CONSTRAINT dw_c_new_p_fkey, ADD FOREIGN KEY (p) REFERENCES dw_p_new;
UPDATE dw_p SET code = 'p5!' WHERE code = 'p5';
SELECT key, reason, sqlstate FROM migrate_ext.dirty_key;
TABLE dw_c EXCEPT TABLE dw_c_new;
SELECT count(*) AS noted FROM migrate_ext.write_error;
SELECT migrate_sync('dw') AS synced;
SELECT missing, extra, different, checksum_match FROM migrate_verify('dw');
-- nor if a column would keep what an INSERT would not give it
ALTER TABLE dw_c_new DROP CONSTRAINT dw_c_new_p_fkey, ADD FOREIGN KEY (p) REFERENCES dw_p_new ON UPDATE CASCADE;
ALTER TABLE dw_p_new ADD own int DEFAULT 1;
UPDATE dw_p SET code = 'p5' WHERE code = 'p5!';
SELECT key FROM migrate_ext.dirty_key;
ALTER TABLE dw_p_new DROP own;
SELECT migrate_sync('dw') AS synced;
-- the source's rows do not follow: those of the target must not
ALTER TABLE dw_c DROP CONSTRAINT dw_c_p_fkey;
UPDATE dw_p SET code = 'p5?' WHERE code = 'p5';
SELECT key FROM migrate_ext.dirty_key;
TABLE dw_c EXCEPT TABLE dw_c_new;
UPDATE dw_c SET p = 'p5?' WHERE p = 'p5';
SELECT migrate_sync('dw') AS synced;
SELECT missing, extra, different, checksum_match FROM migrate_verify('dw');
SELECT migrate_rollback('dw');
SELECT migrate_drop('dw');
DROP TABLE dw_p, dw_c, dw_p_new, dw_c_new;
