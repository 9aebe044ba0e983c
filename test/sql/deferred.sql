-- Constraints of the target that are checked at commit: what a dual write violates does not fail the application.
\set VERBOSITY terse
CREATE TABLE df_parent (id int PRIMARY KEY, v text);
CREATE TABLE df_child (id int PRIMARY KEY, p int, u int);
CREATE TABLE df_parent_t (id int PRIMARY KEY, v text);
CREATE TABLE df_child_t (id int PRIMARY KEY, p int CONSTRAINT df_fk REFERENCES df_parent_t DEFERRABLE INITIALLY DEFERRED,
	u int CONSTRAINT df_u UNIQUE DEFERRABLE);
SELECT migrate_create('df') > 0 AS created;
SELECT migrate_map('df', 'df_parent', 'df_parent_t') > 0 AS mapped;
SELECT migrate_map('df', 'df_child', 'df_child_t') > 0 AS mapped;
SELECT migrate_set('df', 'sync_interval', '0');
SELECT migrate_start('df');
CALL migrate_run('df');

-- a foreign key that only the target has
INSERT INTO df_child VALUES (1, 1, 1);
INSERT INTO df_parent VALUES (2, 'two');
INSERT INTO df_child VALUES (2, 2, 2);
DELETE FROM df_parent WHERE id = 2;
SELECT target, key, sqlstate, left(message, 60) FROM migrate_ext.write_errors WHERE migration = 'df' ORDER BY at;
SELECT (SELECT count(*) FROM df_child) AS rows, (SELECT count(*) FROM df_child_t) AS copies;
-- an application that defers everything
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO df_parent VALUES (3, 'three');
INSERT INTO df_child VALUES (3, 3, 7), (4, 3, 7);
UPDATE df_parent SET v = 'three!' WHERE id = 3;
COMMIT;
SELECT count(*) FROM df_child WHERE u = 7;
SELECT key, sqlstate FROM migrate_ext.write_errors WHERE migration = 'df' AND sqlstate = '23505';
-- a sync finds the bad keys among good ones, and settles those
INSERT INTO df_parent VALUES (5, 'five');
UPDATE df_parent SET v = 'V';
SELECT migrate_sync('df');
SELECT key, sqlstate FROM migrate_ext.dirty_key ORDER BY key, sqlstate;
UPDATE df_child SET u = id;
INSERT INTO df_parent VALUES (1, 'one'), (2, 'two');
SELECT migrate_sync('df') > 0 AS settled;
SELECT missing, extra, different, pending FROM migrate_verify('df');
-- a copy fails with the place, as it does for any other constraint
SELECT migrate_rollback('df');
TRUNCATE df_parent_t, df_child_t;
ALTER TABLE df_child_t DROP CONSTRAINT df_u;
DELETE FROM df_parent WHERE id = 1;
SELECT migrate_start('df');
CALL migrate_run('df');
SELECT target, key, sqlstate, constraint_name FROM migrate_ext.rejected_rows;
INSERT INTO df_parent VALUES (1, 'one');
SELECT migrate_retry_rejected('df');
SELECT missing, extra, different, pending FROM migrate_verify('df');
SELECT migrate_rollback('df');
-- on_error abort: the application is to know, at its commit
SELECT migrate_unmap('df', mapping) FROM migrate_ext.mappings WHERE migration = 'df' AND direction = 'forward';
SELECT migrate_map('df', 'df_child', 'df_child_t', on_error => 'abort') > 0 AS mapped;
SELECT migrate_start('df');
BEGIN;
INSERT INTO df_child VALUES (9, 9, 9);
COMMIT;
SELECT count(*) FROM df_child WHERE id = 9;
BEGIN;
INSERT INTO df_child VALUES (9, 9, 9);
INSERT INTO df_parent_t VALUES (9, 'by hand');
COMMIT;
SELECT * FROM df_child_t WHERE id = 9;
SELECT migrate_rollback('df');
SELECT migrate_drop('df');
DROP TABLE df_parent, df_child, df_child_t, df_parent_t;

-- rows that name each other, of one transaction: neither can be stored or removed without the other, and they are settled together
SET client_min_messages = error;
CREATE SCHEMA de_round;
SET search_path = de_round, public;
CREATE TABLE a (id int PRIMARY KEY, x int NOT NULL, y int NOT NULL);
CREATE TABLE b (x int, y int, c text NOT NULL, PRIMARY KEY (x, y));
CREATE TABLE c (id text PRIMARY KEY, a int NOT NULL, mate text REFERENCES c DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE a_new (id bigint PRIMARY KEY, x bigint NOT NULL, y int NOT NULL);
CREATE TABLE b_new (y int, x bigint, c varchar NOT NULL, PRIMARY KEY (x, y));
CREATE TABLE c_new (id varchar PRIMARY KEY, a bigint NOT NULL REFERENCES a_new DEFERRABLE, mate varchar REFERENCES c_new DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE a_new ADD FOREIGN KEY (y, x) REFERENCES b_new (y, x) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE b_new ADD FOREIGN KEY (c) REFERENCES c_new DEFERRABLE INITIALLY DEFERRED;
CREATE FUNCTION more(lo int, hi int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO a SELECT i, i, i + 1 FROM generate_series(lo, hi) i;
	INSERT INTO b SELECT i, i + 1, 'c' || i FROM generate_series(lo, hi) i;
	INSERT INTO c SELECT 'c' || i, i, 'c' || (hi + lo - i) FROM generate_series(lo, hi) i;
$$;
CREATE VIEW wrong AS (SELECT 'a', a::text FROM a EXCEPT SELECT 'a', a_new::text FROM a_new) UNION ALL (SELECT 'a', a_new::text FROM a_new EXCEPT SELECT 'a', a::text FROM a)
	UNION ALL (SELECT 'b', (x, y, c)::text FROM b EXCEPT SELECT 'b', (x, y, c)::text FROM b_new) UNION ALL (SELECT 'b', (x, y, c)::text FROM b_new EXCEPT SELECT 'b', (x, y, c)::text FROM b)
	UNION ALL (SELECT 'c', c::text FROM c EXCEPT SELECT 'c', c_new::text FROM c_new) UNION ALL (SELECT 'c', c_new::text FROM c_new EXCEPT SELECT 'c', c::text FROM c);
SELECT more(1, 30);
SELECT migrate_create('round') > 0 AS created, migrate_map('round', 'a', 'a_new') > 0 AS a, migrate_map('round', 'b', 'b_new') > 0 AS b, migrate_map('round', 'c', 'c_new') > 0 AS c;
SELECT migrate_set('round', 'sync_interval', '0') IS NOT NULL AND migrate_set('round', 'max_rejects', '0') IS NOT NULL AS set;
SELECT migrate_start('round');
CALL migrate_run('round');
TABLE wrong;
SELECT more(101, 140);
SELECT count(*) > 0 AS pending, bool_and(sqlstate = '23503') AS refused FROM migrate_ext.dirty_key;
SELECT migrate_sync('round') > 0 AS synced;
SELECT count(*) FROM migrate_ext.dirty_key;
TABLE wrong;
-- removed and exchanged
BEGIN;
DELETE FROM a WHERE id IN (3, 110);
DELETE FROM b WHERE x IN (3, 110);
UPDATE c SET mate = NULL WHERE mate IN ('c3', 'c110');
DELETE FROM c WHERE id IN ('c3', 'c110');
UPDATE c SET a = CASE a WHEN 1 THEN 2 ELSE 1 END WHERE a IN (1, 2);
COMMIT;
SELECT migrate_sync('round') > 0 AS synced;
SELECT count(*) FROM migrate_ext.dirty_key;
TABLE wrong;
-- one that names nothing keeps nobody else
BEGIN; SELECT more(201, 210); INSERT INTO a VALUES (300, 300, 300); COMMIT;
SELECT migrate_sync('round') > 0 AS synced;
SELECT key, sqlstate FROM migrate_ext.dirty_key;
TABLE wrong;
DELETE FROM a WHERE id = 300;
SELECT migrate_sync('round') > 0 AS synced;
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('round');
-- constraints of the caller's transaction are as they were declared
BEGIN;
SELECT more(401, 402);
SELECT migrate_sync('round') > 0 AS synced;
INSERT INTO c_new VALUES ('c77', -1);
ROLLBACK;
SELECT migrate_sync('round') = 0 AS nothing;
TABLE wrong;
SELECT migrate_rollback('round');
SELECT migrate_drop('round');
DROP SCHEMA de_round CASCADE;
