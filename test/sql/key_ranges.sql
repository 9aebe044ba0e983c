-- Relations without blocks of their own are copied by pieces of their keys.
SET client_min_messages = warning;
CREATE EXTENSION postgres_fdw;
DO $$ BEGIN
	EXECUTE format('CREATE SERVER kr_server FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L)',
		split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database());
	EXECUTE format('CREATE USER MAPPING FOR CURRENT_USER SERVER kr_server OPTIONS (user %L)', current_user);
END $$;
CREATE TABLE kr_there (id bigint PRIMARY KEY, v text);
INSERT INTO kr_there SELECT i, 'v' || i FROM generate_series(-5000, 4999) i;
INSERT INTO kr_there VALUES (-300000, 'first');
DELETE FROM kr_there WHERE id BETWEEN 100 AND 300;
CREATE FOREIGN TABLE kr_source (id bigint NOT NULL, v text) SERVER kr_server OPTIONS (table_name 'kr_there');
CREATE TABLE kr_target (id bigint PRIMARY KEY, v text CHECK (v <> 'v4242'));
SELECT migrate_create('kr') > 0 AS created;
\set VERBOSITY terse
SELECT migrate_map('kr', 'kr_source', 'kr_target');
SELECT migrate_map('kr', 'kr_there', 'kr_source', capture => 'none');
\set VERBOSITY default
SELECT migrate_map('kr', 'kr_source', 'kr_target', '{"id": "id", "v": "lower(v)"}', filter => 'id <> 7', capture => 'none') > 0 AS mapped;
SELECT severity, subject FROM migrate_assess('kr') WHERE severity = 'blocker';
SELECT migrate_set('kr', 'batch_rows', '800');
SELECT migrate_start('kr');
SELECT migrate_backfill('kr', workers => 2) > 0 AS job;
CALL migrate_wait('kr', '60 s');
SELECT state, rows_written, rejected_rows, batches > 5 AS several, ranges_done = ranges_total AS all_ranges FROM migrate_progress('kr');
SELECT key_column, min(key_base), max(key_blocks), min(first_block), max(end_block) FROM migrate_ext.job_range JOIN migrate_ext.job USING (job_id)
	JOIN migrate_ext.migration USING (migration_id) WHERE name = 'kr' GROUP BY 1;
SELECT key, sqlstate FROM migrate_rejected('kr');
SELECT source_rows, target_rows, filtered, rejected, missing, extra, different, checksum_match FROM migrate_verify('kr');
-- rows before the first and behind the last key that was seen when the copy was planned
SELECT migrate_rollback('kr');
TRUNCATE kr_target;
SELECT migrate_start('kr');
SELECT migrate_set('kr', 'throttle_query', 'SELECT true');
SELECT migrate_backfill('kr', workers => 1) > 0 AS job;
INSERT INTO kr_there VALUES (-9223372036854775808, 'least'), (9223372036854775807, 'greatest');
SELECT migrate_set('kr', 'throttle_query', NULL);
CALL migrate_wait('kr', '60 s');
SELECT source_rows, target_rows, filtered, rejected, missing, extra, different, checksum_match FROM migrate_verify('kr');
-- keys that lie too far apart now, and keys that are no integers: all rows are one batch
SELECT migrate_rollback('kr');
TRUNCATE kr_target;
SELECT migrate_start('kr');
\set VERBOSITY terse
CALL migrate_run('kr');
\set VERBOSITY default
SELECT key_column, key_blocks, end_block FROM migrate_ext.job_range WHERE job_id = (SELECT max(job_id) FROM migrate_ext.job);
DELETE FROM kr_there WHERE id = 4242;
CALL migrate_run('kr');
SELECT batches, rows_written FROM migrate_progress('kr');
SELECT source_rows, target_rows, filtered, rejected, missing, extra, different, checksum_match FROM migrate_verify('kr');
SELECT migrate_rollback('kr');
SELECT migrate_drop('kr');
-- several rows with one key, whose places nobody knows
TRUNCATE kr_target;
SELECT migrate_create('kr') > 0 AS created;
SELECT migrate_map('kr', 'kr_source', 'kr_target', '{"id": "id % 1000", "v": "v"}', filter => $$v <> 'v4242'$$, dedupe_by => 'id DESC', capture => 'none') > 0 AS mapped;
SELECT migrate_start('kr');
CALL migrate_run('kr');
SELECT source_rows, target_rows, filtered, rejected, deduplicated, missing, extra, different, checksum_match FROM migrate_verify('kr');
SELECT count(*) FROM migrate_rejected('kr') WHERE action = 'duplicate';
SELECT migrate_rollback('kr');
SELECT migrate_drop('kr');
-- the same of a file, whose rows have not even that
CREATE EXTENSION file_fdw;
CREATE SERVER kr_files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE kr_file (id bigint, v text) SERVER kr_files OPTIONS (program $$printf '1,a\n1,b\n2,c\n'$$, format 'csv');
TRUNCATE kr_target;
SELECT migrate_create('kr') > 0 AS created;
SELECT migrate_map('kr', 'kr_file', 'kr_target', dedupe_by => 'v DESC', capture => 'none') > 0 AS mapped;
SELECT migrate_start('kr');
CALL migrate_run('kr');
TABLE kr_target;
SELECT action, key, sqlstate, source_row FROM migrate_rejected('kr') ORDER BY 1;
SELECT migrate_rollback('kr');
SELECT migrate_drop('kr');
DROP EXTENSION file_fdw CASCADE;
-- an empty one
TRUNCATE kr_target, kr_there;
SELECT migrate_create('kr') > 0 AS created;
SELECT migrate_map('kr', 'kr_source', 'kr_target', capture => 'none') > 0 AS mapped;
SELECT migrate_start('kr');
CALL migrate_run('kr');
SELECT state, rows_written FROM migrate_progress('kr');
SELECT migrate_rollback('kr');
SELECT migrate_drop('kr');
DROP FOREIGN TABLE kr_source;
DROP TABLE kr_there, kr_target;
DROP EXTENSION postgres_fdw CASCADE;
