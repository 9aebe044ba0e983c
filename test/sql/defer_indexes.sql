-- Indexes and foreign keys of an empty target are put off until its rows are there, and come back as they were.
SET client_min_messages = warning;
CREATE SCHEMA "di o'Brien";
CREATE TABLE di_parent (p int PRIMARY KEY);
INSERT INTO di_parent SELECT i FROM generate_series(0, 9) i;
CREATE TABLE di_source (id int PRIMARY KEY, a text, b int, p int);
INSERT INTO di_source SELECT i, 'a' || i % 100, i, i % 10 FROM generate_series(1, 3000) i;
ANALYZE di_source;
CREATE TABLE "di o'Brien".target (id int PRIMARY KEY, a text COLLATE "C", b int UNIQUE, p int REFERENCES di_parent ON DELETE CASCADE DEFERRABLE, c int);
CREATE INDEX "A; DROP INDEX --" ON "di o'Brien".target (lower(a) text_pattern_ops DESC, b) INCLUDE (p) WITH (fillfactor = 70) WHERE b > 10;
COMMENT ON INDEX "di o'Brien"."A; DROP INDEX --" IS 'it''s for "readers"';
ALTER INDEX "di o'Brien"."A; DROP INDEX --" ALTER COLUMN 1 SET STATISTICS 77;
CREATE INDEX an_index_whose_name_has_as_many_bytes_as_a_name_can_have_63_byt ON "di o'Brien".target USING hash (a);
CREATE INDEX plain ON "di o'Brien".target (p);
CREATE INDEX clustered ON "di o'Brien".target (c);
ALTER TABLE "di o'Brien".target CLUSTER ON clustered;
COMMENT ON CONSTRAINT target_p_fkey ON "di o'Brien".target IS 'the parent';
CREATE VIEW di_now AS
	SELECT c.relname::text AS name, pg_get_indexdef(c.oid) AS definition, i.indisvalid AND i.indisready AS valid, obj_description(c.oid, 'pg_class') AS comment,
		(SELECT string_agg(attstattarget::text, ' ') FROM pg_attribute WHERE attrelid = c.oid AND attstattarget >= 0) AS statistics
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = '"di o''Brien".target'::regclass
	UNION ALL SELECT conname, pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint'), NULL
	FROM pg_constraint WHERE conrelid = '"di o''Brien".target'::regclass AND contype = 'f';
CREATE TABLE di_before AS SELECT * FROM di_now;
SELECT name, comment, statistics FROM di_before ORDER BY name COLLATE "C";
-- until there is nothing to be rebuilt any more
CREATE PROCEDURE di_wait() LANGUAGE plpgsql AS $$ BEGIN
	FOR i IN 1 .. 600 LOOP
		EXIT WHEN NOT EXISTS (SELECT FROM migrate_ext.stashed_object WHERE restored_at IS NULL);
		COMMIT; PERFORM pg_sleep(0.05);
	END LOOP;
END $$;

SELECT migrate_create('di') > 0 AS created;
SELECT migrate_map('di', 'di_source', '"di o''Brien".target') > 0 AS mapped;
-- only where it is asked for
SELECT migrate_start('di');
SELECT count(*) FROM (TABLE di_before EXCEPT TABLE di_now) x;
SELECT migrate_rollback('di');
SELECT migrate_set('di', 'defer_indexes', 'on'), migrate_set('di', 'defer_foreign_keys', 'on');
SELECT migrate_start('di');
SELECT name FROM di_now ORDER BY name COLLATE "C";
SELECT kind, name, tablespace, settings FROM migrate_ext.stashed_object ORDER BY name COLLATE "C";
SELECT passed, measured FROM migrate_gate('di', 'soak') WHERE criterion LIKE 'deferred%';
UPDATE di_source SET a = 'by the application' WHERE id = 7;
CALL migrate_run('di');
SELECT state, step FROM migrate_progress('di');
TABLE di_before EXCEPT TABLE di_now;
TABLE di_now EXCEPT TABLE di_before;
SELECT count(*) FROM migrate_gate('di', 'soak') WHERE criterion LIKE 'deferred%';
SELECT missing, extra, different, checksum_match FROM migrate_verify('di');
-- a target that has rows is in use
SELECT migrate_rollback('di');
SELECT migrate_start('di');
SELECT count(*) FROM (TABLE di_before EXCEPT TABLE di_now) x;
SELECT migrate_rollback('di');

-- a rollback brings them back, too; until then the definitions are not thrown away
TRUNCATE "di o'Brien".target;
SELECT migrate_start('di');
SELECT count(*) FROM (TABLE di_before EXCEPT TABLE di_now) x;
BEGIN;
SELECT migrate_rollback('di');
SAVEPOINT s;
\set VERBOSITY terse
SELECT migrate_drop('di');
\set VERBOSITY default
ROLLBACK TO s;
COMMIT;
CALL di_wait();
TABLE di_before EXCEPT TABLE di_now;

-- an index that a crash has left invalid, and one that is there already
SELECT migrate_start('di');
CREATE INDEX plain ON "di o'Brien".target (p);
CREATE INDEX "A; DROP INDEX --" ON "di o'Brien".target (lower(a) text_pattern_ops DESC, b) INCLUDE (p) WITH (fillfactor = 70) WHERE b > 10;
UPDATE pg_index SET indisvalid = false WHERE indexrelid = '"di o''Brien"."A; DROP INDEX --"'::regclass;
SELECT migrate_backfill('di', workers => 2) > 0 AS job;
CALL migrate_wait('di', '60 s');
TABLE di_before EXCEPT TABLE di_now;
SELECT missing, extra, different, checksum_match FROM migrate_verify('di');
SELECT migrate_rollback('di');

-- rows without a parent: the key is there for new rows, the job says what is wrong with the old ones
TRUNCATE "di o'Brien".target;
SELECT migrate_start('di');
INSERT INTO di_source VALUES (5000, 'orphan', 5000, 55);
\set VERBOSITY terse
CALL migrate_run('di');
\set VERBOSITY default
SELECT state FROM migrate_progress('di');
SELECT count(*), bool_and(convalidated) FROM pg_constraint WHERE conname = 'target_p_fkey';
DELETE FROM di_source WHERE id = 5000;
CALL migrate_run('di');
SELECT state FROM migrate_progress('di');
TABLE di_before EXCEPT TABLE di_now;
SELECT missing, extra, different, checksum_match FROM migrate_verify('di');
SELECT migrate_rollback('di');

-- somebody has taken the name
TRUNCATE "di o'Brien".target;
SELECT migrate_start('di');
CREATE TABLE "di o'Brien".plain ();
\set VERBOSITY terse
CALL migrate_run('di');
\set VERBOSITY default
DROP TABLE "di o'Brien".plain;
SELECT migrate_backfill('di') > 0 AS job;
CALL migrate_wait('di', '60 s');
TABLE di_before EXCEPT TABLE di_now;
SELECT migrate_rollback('di');
SELECT migrate_drop('di');
DROP VIEW di_now;
DROP TABLE di_before, di_source;
DROP SCHEMA "di o'Brien" CASCADE;
DROP TABLE di_parent;
DROP PROCEDURE di_wait;

-- foreign keys that go round: no order of copying is right, but with the keys put off
CREATE TABLE di_mate (id int PRIMARY KEY, mate int REFERENCES di_mate DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE di_mate_new (id int PRIMARY KEY, mate int REFERENCES di_mate_new DEFERRABLE INITIALLY DEFERRED);
INSERT INTO di_mate SELECT i, 5001 - i FROM generate_series(1, 5000) i;
SELECT migrate_create('di') > 0 AS created, migrate_map('di', 'di_mate', 'di_mate_new') > 0 AS mapped;
SELECT finding FROM migrate_assess('di') WHERE severity = 'warning';
SELECT migrate_set('di', 'defer_foreign_keys', 'on');
SELECT count(*) FROM migrate_assess('di') WHERE severity = 'warning';
SELECT migrate_start('di');
CALL migrate_run('di');
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('di');
SELECT conname, convalidated, condeferred FROM pg_constraint WHERE conrelid = 'di_mate_new'::regclass AND contype = 'f';
SELECT migrate_rollback('di');
SELECT migrate_drop('di');
DROP TABLE di_mate, di_mate_new;

-- two tables whose keys go round: a row that came between the one key and the other names one that is still in the queue
CREATE TABLE di_a (id int PRIMARY KEY, b int NOT NULL);
CREATE TABLE di_b (id int PRIMARY KEY, a int NOT NULL);
CREATE TABLE di_a_new (id int PRIMARY KEY, b int NOT NULL);
CREATE TABLE di_b_new (id int PRIMARY KEY, a int NOT NULL CONSTRAINT di_b_key REFERENCES di_a_new DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE di_a_new ADD CONSTRAINT di_a_key FOREIGN KEY (b) REFERENCES di_b_new DEFERRABLE INITIALLY DEFERRED;
INSERT INTO di_a SELECT i, i FROM generate_series(1, 100) i;
INSERT INTO di_b SELECT i, i FROM generate_series(1, 100) i;
SELECT migrate_create('di') > 0 AS created, migrate_map('di', 'di_a', 'di_a_new') > 0 AS a, migrate_map('di', 'di_b', 'di_b_new') > 0 AS b;
SELECT migrate_set('di', 'defer_foreign_keys', 'on') IS NOT NULL AND migrate_set('di', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('di');
ALTER TABLE di_b_new ADD CONSTRAINT di_b_key CHECK (a > 0);
\set VERBOSITY terse
CALL migrate_run('di');
\set VERBOSITY default
BEGIN; INSERT INTO di_a VALUES (200, 200); INSERT INTO di_b VALUES (200, 200); COMMIT;
SELECT key, sqlstate, (SELECT count(*) FROM di_b_new WHERE id = 200) AS other FROM migrate_ext.dirty_key;
ALTER TABLE di_b_new DROP CONSTRAINT di_b_key;
SELECT migrate_backfill('di') > 0 AS job;
CALL migrate_wait('di', '60 s');
SELECT conname, convalidated FROM pg_constraint WHERE conrelid IN ('di_a_new'::regclass, 'di_b_new'::regclass) AND contype = 'f' ORDER BY 1;
SELECT state, (SELECT count(*) FROM migrate_ext.dirty_key) AS pending FROM migrate_progress('di');
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('di');
-- one that names nothing is still an error
SELECT migrate_rollback('di');
TRUNCATE di_a_new, di_b_new;
SELECT migrate_start('di');
INSERT INTO di_b VALUES (300, 300);
\set VERBOSITY terse
CALL migrate_run('di');
\set VERBOSITY default
DELETE FROM di_b WHERE id = 300;
CALL migrate_run('di');
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('di');
SELECT migrate_rollback('di');
SELECT migrate_drop('di');
DROP TABLE di_a, di_b, di_a_new, di_b_new;
