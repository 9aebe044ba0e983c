-- Freeze, sign-off, cleanup: each criterion of the last gate is failed once, and then passed.
CREATE TABLE fi_old (id int PRIMARY KEY, v text, parent int REFERENCES fi_old);
CREATE TABLE fi_new (id int PRIMARY KEY, v text, parent int);
CREATE TABLE fi_ref (id int PRIMARY KEY);
ALTER TABLE fi_old ADD FOREIGN KEY (id) REFERENCES fi_ref;
INSERT INTO fi_ref SELECT generate_series(1, 200);
INSERT INTO fi_old SELECT i, 'v' || i FROM generate_series(1, 100) i;
SELECT migrate_create('fi') > 0 AS created;
SELECT migrate_map('fi', 'fi_old', 'fi_new') > 0 AS mapped;
\set VERBOSITY terse
SELECT migrate_freeze('fi');
SELECT migrate_sign_off('fi');
SELECT migrate_cleanup('fi');
SELECT migrate_cleanup(NULL);
SELECT migrate_sign_off(NULL);
\set VERBOSITY default
SELECT migrate_start('fi');

-- frozen: a clear error for everybody; the extension goes on
SELECT migrate_freeze('fi');
SELECT migrate_freeze('fi');
\set VERBOSITY terse
INSERT INTO fi_old VALUES (101);
UPDATE fi_old SET v = 'x';
DELETE FROM fi_old WHERE false;
TRUNCATE fi_old;
ALTER TABLE fi_old DISABLE TRIGGER ALL;
\set VERBOSITY default
SELECT next_step FROM migrate_status('fi');
CALL migrate_run('fi');
SELECT missing, extra, different, checksum_match FROM migrate_verify('fi');
SELECT migrate_unfreeze('fi');
\set VERBOSITY terse
SELECT migrate_unfreeze('fi');
\set VERBOSITY default
UPDATE fi_old SET v = 'after' WHERE id = 1;
SELECT v FROM fi_new WHERE id = 1;
SELECT migrate_freeze('fi');

-- the cutover ends it
SELECT migrate_cutover('fi', 'switch');
UPDATE fi_new SET v = 'new side' WHERE id = 2;
SELECT v FROM fi_old WHERE id = 2;

-- the new side can be frozen, too, and what forwards to it
SELECT migrate_set('fi', 'stale_writes', 'forward');
UPDATE fi_old SET v = 'forwarded' WHERE id = 3;
SELECT v FROM fi_new WHERE id = 3;
SELECT kind, relation, detail LIKE 'pid % (%)' AS told FROM migrate_ext.old_side_use;
SELECT migrate_freeze('fi');
\set VERBOSITY terse
UPDATE fi_new SET v = 'x' WHERE id = 4;
UPDATE fi_old SET v = 'x' WHERE id = 4;
\set VERBOSITY default
SELECT migrate_unfreeze('fi');
UPDATE fi_new SET v = 'thawed' WHERE id = 4;

-- every criterion fails ...
ALTER TABLE fi_old ADD CONSTRAINT fi_refuse CHECK (v <> 'refused');
UPDATE fi_new SET v = 'refused' WHERE id = 5;
CREATE VIEW fi_view AS SELECT * FROM fi_old;
CREATE FUNCTION fi_count() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM fi_old; END;
CREATE TABLE fi_child (id int REFERENCES fi_old);
SELECT count(*) FROM fi_old;
\c
DO $$ BEGIN
	FOR i IN 1..100 LOOP
		PERFORM pg_stat_clear_snapshot();
		EXIT WHEN EXISTS (SELECT FROM migrate_ext.old_side o JOIN migrate_ext.old_side_counters c USING (mapping_id) WHERE c.seq_scans > o.seq_scans);
		PERFORM pg_sleep(0.1);
	END LOOP; END $$;
SELECT criterion, threshold, regexp_replace(measured, '\d{4}[-\d]* [-\d:+]*|\d\d:\d\d:\d\d|pid \d+ \(\w+\)|\d+ seq', '...', 'g') AS measured FROM migrate_gate('fi') WHERE NOT passed;
\set VERBOSITY terse
SELECT migrate_cleanup('fi');
SELECT migrate_cleanup('fi', force => true);
\set VERBOSITY default
-- ... and passes
DROP VIEW fi_view;
DROP FUNCTION fi_count();
DROP TABLE fi_child;
UPDATE fi_new SET v = 'mended' WHERE id = 5;
SELECT migrate_set('fi', 'stale_writes', 'reject'), migrate_set('fi', 'soak_time', '1s'), migrate_set('fi', 'retention', '1500ms');
SELECT migrate_set('fi', 'retention', '1s');
SELECT migrate_sync('fi');
SELECT missing, extra, different, pending, checksum_match FROM migrate_verify('fi');
SELECT migrate_sign_off('fi', 'numbers agree; "yes"');
SELECT next_step FROM migrate_status('fi');
SELECT pg_sleep(1.1);
SELECT criterion, measured FROM migrate_gate('fi') WHERE NOT passed;

-- archived: not in the way, and nobody else's
GRANT SELECT ON fi_old TO PUBLIC;
SELECT migrate_set('fi', 'old_side', 'burn');
SELECT migrate_set('fi', 'old_side', 'archive');
SELECT migrate_cleanup('fi');
SELECT phase, next_step FROM migrate_status('fi');
SELECT relname, relacl IS NULL OR NOT has_table_privilege('pg_monitor', oid, 'SELECT') AS closed FROM pg_class WHERE relname LIKE 'fi\_old%' AND relkind = 'r';
SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%migrate_ext%';
UPDATE fi_new SET v = 'alone' WHERE id = 1;
SELECT v FROM fi_old_archived WHERE id = 1;
\set VERBOSITY terse
SELECT migrate_rollback('fi');
\set VERBOSITY default
SELECT kind, phase, reason FROM migrate_ext.history WHERE migration = 'fi' ORDER BY event_id;
SELECT detail - 'locked_ms' AS detail FROM migrate_ext.history WHERE migration = 'fi' AND phase = 'done';
SELECT criterion, passed FROM migrate_ext.gates WHERE migration = 'fi' AND to_phase = 'done' ORDER BY gate_result_id;
SELECT migrate_drop('fi');
SELECT count(*) FROM migrate_ext.old_side_use;

-- dropped, after a swap; not while another migration maps it
SELECT migrate_create('fi2') > 0 AS created;
CREATE TABLE fi_wide (id int PRIMARY KEY, v text, parent int, extra int);
SELECT migrate_map('fi2', 'fi_new', 'fi_wide') > 0 AS mapped;
SELECT migrate_create('fi3') > 0 AS created;
CREATE TABLE fi_copy (id int PRIMARY KEY, v text);
SELECT migrate_map('fi3', 'fi_new', 'fi_copy') > 0 AS mapped;
SELECT migrate_start('fi2');
CALL migrate_run('fi2');
SELECT missing, extra, different FROM migrate_verify('fi2');
SELECT migrate_cutover('fi2');
-- what this session did before, and has not reported yet, is no use of the old side
SELECT measured FROM migrate_gate('fi2', 'done') WHERE criterion LIKE 'reads of%';
\set VERBOSITY terse
SELECT migrate_cleanup('fi2', true, 'test');
\set VERBOSITY default
SELECT migrate_drop('fi3');
SELECT migrate_cleanup('fi2', true, 'test');
SELECT to_regclass('fi_wide') IS NULL AS gone, count(*) FROM fi_new;
SELECT count(*) FROM migrate_ext.swap_step;
SELECT mapping > 0 AS there, source FROM migrate_ext.mappings WHERE migration = 'fi2' AND direction = 'reverse';
SELECT migration IS NOT NULL AS reported FROM migrate_report('fi2') r (migration);
SELECT migrate_drop('fi2');

-- in place there is no old side: the columns stay; freezing does not stop the copy
CREATE TABLE fi_ip (id int PRIMARY KEY, a int, b text);
INSERT INTO fi_ip SELECT i, i FROM generate_series(1, 10) i;
SELECT migrate_create('fi4') > 0 AS created;
SELECT migrate_map('fi4', 'fi_ip', 'fi_ip', '{"b": "a::text"}', reverse => '{"a": "b::int"}') > 0 AS mapped;
SELECT migrate_start('fi4');
SELECT migrate_freeze('fi4');
\set VERBOSITY terse
UPDATE fi_ip SET a = 0;
\set VERBOSITY default
CALL migrate_run('fi4');
SELECT count(*) FROM fi_ip WHERE b IS DISTINCT FROM a::text;
SELECT missing, extra, different FROM migrate_verify('fi4');
SELECT migrate_cutover('fi4', 'switch');
UPDATE fi_ip SET b = '77' WHERE id = 1;
SELECT migrate_cleanup('fi4', true, 'test');
SELECT * FROM fi_ip WHERE id = 1;
SELECT migrate_drop('fi4');
DROP TABLE fi_new, fi_old_archived, fi_copy, fi_ref, fi_ip;
