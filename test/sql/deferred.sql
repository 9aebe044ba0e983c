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
