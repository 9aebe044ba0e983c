-- Each mistake is a clear error, and leaves nothing half done.
CREATE TABLE bad_source (id int PRIMARY KEY, name text, amount numeric, created timestamptz DEFAULT now());
CREATE TABLE bad_target (id int PRIMARY KEY, name text, amount int, doubled int GENERATED ALWAYS AS (amount * 2) STORED);
CREATE VIEW bad_view AS SELECT * FROM bad_source;
CREATE SEQUENCE bad_sequence;
CREATE TEMP TABLE bad_temp (id int PRIMARY KEY);
CREATE TABLE bad_nokey (id int, name text);
CREATE TABLE bad_keys (a int NOT NULL, b int NOT NULL, c int, d int NOT NULL, e int NOT NULL);
ALTER TABLE bad_keys ADD UNIQUE (a) DEFERRABLE;
CREATE UNIQUE INDEX ON bad_keys (b) WHERE b > 0;
CREATE UNIQUE INDEX ON bad_keys (c);
CREATE UNIQUE INDEX ON bad_keys ((d + 1));

-- names and arguments
SELECT migrate_create(NULL);
SELECT migrate_create('');
SELECT migrate_create('bad') > 0 AS created;
SELECT migrate_create('bad');
\echo :LAST_ERROR_SQLSTATE
SELECT migrate_map('nope', 'bad_source', 'bad_target');
\echo :LAST_ERROR_SQLSTATE
SELECT migrate_map('bad', 'missing', 'bad_target');
SELECT migrate_map('bad', NULL, 'bad_target');
SELECT migrate_map('bad', 4294967, 'bad_target');
SELECT migrate_start('nope');
SELECT migrate_backfill('nope');
SELECT migrate_backfill(NULL);
SELECT migrate_sync('nope');
SELECT migrate_verify('nope');
SELECT migrate_status('nope');
SELECT migrate_progress('nope');
SELECT migrate_report('nope');
SELECT migrate_cutover('nope', method => 'switch');
SELECT migrate_cutover(NULL, NULL);
SELECT migrate_rollback('nope');
SELECT migrate_rollback(NULL);
SELECT migrate_pause('nope');
SELECT migrate_drop('nope');
SELECT migrate_unmap('bad', 999999);
SELECT migrate_verify(NULL);
CALL migrate_wait('nope');
CALL migrate_wait(NULL);
CALL migrate_run('nope');
CALL migrate_run(NULL);

-- sides
SELECT migrate_map('bad', 'bad_view', 'bad_target');
\echo :LAST_ERROR_SQLSTATE
SELECT migrate_map('bad', 'bad_source', 'bad_view');
SELECT migrate_map('bad', 'bad_sequence', 'bad_target');
SELECT migrate_map('bad', 'pg_class', 'bad_target');
SELECT migrate_map('bad', 'bad_source', 'migrate_ext.event');
SELECT migrate_map('bad', 'bad_temp', 'bad_target');
SELECT migrate_map('bad', 'bad_source', 'bad_source');

-- keys
SELECT migrate_map('bad', 'bad_source', 'bad_nokey');
\echo :LAST_ERROR_SQLSTATE
SELECT migrate_map('bad', 'bad_source', 'bad_keys', '{"a": "id"}', key => '{a}');
SELECT migrate_map('bad', 'bad_source', 'bad_keys', '{"b": "id"}', key => '{b}');
SELECT migrate_map('bad', 'bad_source', 'bad_keys', '{"c": "id"}', key => '{c}');
SELECT migrate_map('bad', 'bad_source', 'bad_keys', '{"d": "id"}', key => '{d}');
SELECT migrate_map('bad', 'bad_source', 'bad_keys', '{"e": "id"}', key => '{e}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', key => '{id,id}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', key => '{nope}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', key => '{NULL}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"name": "name"}');

-- columns
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "id", "nope": "name"}');
\echo :LAST_ERROR_SQLSTATE
SELECT migrate_map('bad', 'bad_source', 'bad_target', '[1]');
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": 5}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "id", "doubled": "4"}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "id"}', reverse => '{"nope": "id"}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "id + 1"}', reverse => '{"name": "name"}');

-- expressions: the position points into the expression
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "id", "name": "upper(nam)"}');
\echo :LAST_ERROR_SQLSTATE
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "id", "name": "upper(name"}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "id", "name": ""}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "id, id"}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "id FROM bad_source"}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "1; DROP TABLE bad_source"}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "*"}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "id", "name": "name AS x"}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "id", "amount": "created"}');
\echo :LAST_ERROR_SQLSTATE
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "id", "amount": "(SELECT name FROM bad_source LIMIT 1)"}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "max(id)"}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "row_number() OVER ()"}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "id", "amount": "generate_series(1, 2)"}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "id", "amount": "random()"}');
\echo :LAST_ERROR_SQLSTATE
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "id", "name": "now()::text"}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "id", "name": "current_user"}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "id", "name": "ctid::text"}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "id", "name": "$1"}');
SELECT migrate_map('bad', 'bad_source', 'bad_target', filter => 'id + 1');
SELECT migrate_map('bad', 'bad_source', 'bad_target', filter => 'nope > 1');

-- modes and settings
SELECT migrate_map('bad', 'bad_source', 'bad_target', capture => 'magic');
SELECT migrate_map('bad', 'bad_source', 'bad_target', capture => 'logical');
SELECT migrate_map('bad', 'bad_source', 'bad_target', on_error => 'ignore');
SELECT migrate_map('bad', 'bad_source', 'bad_target', dedupe_by => 'nowhere DESC');
SELECT migrate_set('bad', 'nope', '1');
SELECT migrate_set('bad', 'workers', '0');
SELECT migrate_set('bad', 'workers', 'many');
SELECT migrate_set('bad', 'lock_timeout', '2 weeks');
SELECT migrate_set('bad', 'batch_rows', '10..1');
SELECT migrate_set('bad', 'store_values', 'perhaps');
SELECT migrate_set('bad', 'time_zone', 'Mars');
SELECT migrate_set('bad', NULL, '1');
SELECT migrate_set('bad', 'batch_target_time', '1s');
SELECT migrate_set('bad', 'batch_target_time', NULL);
SELECT migrate_set('bad', 'batch_rows', '500');

-- nothing of all this was kept
SELECT count(*) FROM migrate_ext.mapping;
SELECT count(*) FROM migrate_ext.mapping_column;

-- phases
SELECT migrate_start('bad');
\echo :LAST_ERROR_SQLSTATE
SELECT migrate_map('bad', 'bad_source', 'bad_target', '{"id": "id", "name": "name", "amount": "amount"}') > 0 AS mapped;
SELECT migrate_backfill('bad');
\echo :LAST_ERROR_SQLSTATE
SELECT migrate_cutover('bad', method => 'switch');
SELECT migrate_repair('bad');
CALL migrate_run('bad');
CALL migrate_wait('bad');
SELECT migrate_cutover('bad');
SELECT migrate_cutover('bad', method => 'magic');
SELECT migrate_report('bad', 'pdf');
SELECT * FROM migrate_gate('bad', 'nonsense');
SELECT * FROM migrate_gate('bad', 'done');
SELECT * FROM migrate_verify('bad', method => 'guess');
SELECT migrate_backfill('bad', workers => 0);
INSERT INTO bad_target (id) VALUES (99);
SELECT severity, subject, finding FROM migrate_assess('bad') WHERE severity = 'blocker';
SELECT migrate_start('bad');
DELETE FROM bad_target;
SELECT migrate_start('bad');
SELECT migrate_start('bad');
SELECT migrate_map('bad', 'bad_source', 'bad_target');
SELECT migrate_unmap('bad', (SELECT min(mapping_id) FROM migrate_ext.mapping));
SELECT migrate_drop('bad');
SELECT migrate_set('bad', 'time_zone', 'UTC');
SELECT migrate_cutover('bad', method => 'switch');
BEGIN;
CALL migrate_run('bad');
ROLLBACK;
CALL migrate_run('bad');
SELECT migrate_cutover('bad', method => 'switch');
\echo :LAST_ERROR_SQLSTATE
SELECT migrate_cutover('bad', method => 'switch', force => true);

-- not the owner
CREATE ROLE bad_other;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO bad_other;
GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA public TO bad_other;
\set VERBOSITY terse
SET ROLE bad_other;
SELECT migrate_status('bad');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM migrate_status();
SELECT migrate_pause('bad');
SELECT migrate_rollback('bad');
CALL migrate_run('bad');
SELECT migrate_create('others') > 0 AS created;
SELECT migrate_map('others', 'bad_source', 'bad_target');
SELECT count(*) FROM migrate_ext.migration;
SELECT migrate_drop('others');
RESET ROLE;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM bad_other;
REVOKE EXECUTE ON ALL PROCEDURES IN SCHEMA public FROM bad_other;
SET ROLE bad_other;
SELECT migrate_create('others');
RESET ROLE;
DROP ROLE bad_other;

\set VERBOSITY default

-- a mapped relation goes away
SELECT migrate_rollback('bad');
DROP TABLE bad_target;
SELECT severity, finding FROM migrate_assess('bad');
SELECT migrate_start('bad');
SELECT migrate_drop('bad');
DROP TABLE bad_source CASCADE;
DROP TABLE bad_nokey, bad_keys;
DROP SEQUENCE bad_sequence;
SELECT count(*) FROM migrate_ext.migration;
