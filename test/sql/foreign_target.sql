-- A foreign table as the target: rows are moved to another server (here the same one, through a loop) by the copy and a sync.
SET client_min_messages = warning;
CREATE SCHEMA f;
SET search_path = f, public;
CREATE EXTENSION postgres_fdw SCHEMA f;
DO $$ BEGIN
	EXECUTE format('CREATE SERVER f_server FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L)',
		split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database());
	EXECUTE format('CREATE USER MAPPING FOR CURRENT_USER SERVER f_server OPTIONS (user %L)', current_user);
END $$;
CREATE TABLE src (id int, part text, v text UNIQUE, n numeric, PRIMARY KEY (id, part));
INSERT INTO src SELECT i, substr('nse', i % 3 + 1, 1), 'v' || i, i / 8.0 FROM generate_series(1, 1000) i;
CREATE TABLE there (v text UNIQUE, part text, "the id" int, n numeric(9,2) CHECK (n <> 9999), own text DEFAULT 'own', PRIMARY KEY ("the id", part));
CREATE FOREIGN TABLE tgt (number int OPTIONS (column_name 'the id') NOT NULL, v text, n numeric(9,2), part text NOT NULL) SERVER f_server OPTIONS (schema_name 'f', table_name 'there');
CREATE VIEW differing AS (SELECT id, part, v, n::numeric(9,2) FROM src EXCEPT ALL SELECT "the id", part, v, n FROM there) UNION ALL (SELECT "the id", part, v, n FROM there EXCEPT ALL SELECT id, part, v, n::numeric(9,2) FROM src);
SELECT migrate_create('f') > 0 AS created;
-- what cannot be is said at once
\set columns '{"number": "id", "part": "part", "v": "v", "n": "n"}'
SELECT migrate_map('f', 'src', 'tgt', :'columns', key => '{number,part}');
SELECT migrate_map('f', 'src', 'tgt', :'columns', capture => 'queue');
SELECT migrate_map('f', 'src', 'tgt', :'columns', key => '{v}', capture => 'queue');
SELECT migrate_map('f', 'src', 'tgt', :'columns', key => '{number,part}', reverse => '{"v": "v"}', capture => 'queue');
SELECT migrate_map('f', 'tgt', 'src', capture => 'queue');
SELECT migrate_map('f', 'src', 'tgt', :'columns', key => '{number,part}', capture => 'queue') > 0 AS mapped;
SELECT migrate_set('f', 'sync_interval', '0');
SELECT severity, subject, regexp_replace(finding, 'for example.*', '...') AS finding FROM migrate_assess('f') WHERE severity <> 'info' ORDER BY subject COLLATE "C", finding COLLATE "C";
SELECT rows_tried, rows_rejected, errors FROM migrate_rehearse('f', 50) WHERE mapping IS NOT NULL;
SELECT count(*) FROM there;
SELECT migrate_start('f');
-- before the copy, while some rows are there already, and one that cannot be stored
UPDATE src SET v = v || '!' WHERE id < 10;
UPDATE src SET id = id + 10000 WHERE id = 11;
DELETE FROM src WHERE id = 12;
UPDATE src SET n = 9999 WHERE id = 13;
INSERT INTO there VALUES ('stale', 'n', 3);
CALL migrate_run('f');
SELECT state, rejected_rows FROM migrate_progress('f');
SELECT key, sqlstate FROM migrate_rejected('f');
SELECT * FROM differing;
UPDATE src SET n = 98 WHERE id = 13;
SELECT migrate_sync('f');
SELECT count(*) FROM differing;
SELECT DISTINCT own FROM there;
-- after it: each kind of write, values that are exchanged, and keys that are looked up there by index
UPDATE src SET v = 'x' || v WHERE id % 7 = 0;
UPDATE src SET id = id + 10000 WHERE id = 20;
UPDATE src SET part = 'other' WHERE id BETWEEN 21 AND 23;
DELETE FROM src WHERE id BETWEEN 30 AND 33;
WITH d AS (DELETE FROM src WHERE id BETWEEN 34 AND 35 RETURNING *) INSERT INTO src SELECT id, 'again', v, n FROM d;
UPDATE src SET v = 'aside' WHERE id = 40;
UPDATE src SET v = 'v40' WHERE id = 41;
UPDATE src SET v = 'v41' WHERE id = 40;
INSERT INTO src VALUES (50000, 's', 'new', 1), (50001, 's', NULL, NULL) ON CONFLICT (id, part) DO NOTHING;
UPDATE src SET n = 9999 WHERE id = 50;
SELECT migrate_sync('f') > 100 AS settled;
SELECT key, sqlstate FROM migrate_ext.dirty_key;
SELECT id, n FROM differing;
UPDATE src SET n = 98 WHERE id = 50;
SELECT migrate_sync('f');
SELECT count(*) FROM differing;
SELECT missing, extra, different, checksum_match FROM migrate_verify('f');
-- what is wrong there is found and mended
UPDATE there SET v = 'wrong' WHERE "the id" = 60;
DELETE FROM there WHERE "the id" = 61;
INSERT INTO there VALUES ('extra', 'e', 777777);
SELECT missing, extra, different, checksum_match FROM migrate_verify('f');
SELECT migrate_repair('f');
SELECT count(*) FROM differing;
SELECT missing, extra, different, checksum_match FROM migrate_verify('f');
SELECT mismatches FROM migrate_shadow_read('f', 20);
-- no way back, so only force cuts over
SELECT criterion, measured FROM migrate_gate('f') WHERE NOT passed AND criterion LIKE 'way back%';
SELECT migrate_cutover('f', 'switch', force => true, reason => 'it is another server''s from now on');
\set VERBOSITY terse
UPDATE src SET v = 'stale';
\set VERBOSITY default
INSERT INTO tgt (number, part) VALUES (60000, 'n');
SELECT migrate_rollback('f');
SELECT * FROM differing;
-- once more, into what is there; and every row is gone
SELECT migrate_start('f');
CALL migrate_run('f');
SELECT count(*) FROM differing;
TRUNCATE src;
SELECT migrate_sync('f') > 100 AS settled;
SELECT count(*) FROM there;
SELECT migrate_rollback('f');
SELECT migrate_drop('f');
-- rows of one server to another, neither of them this one
CREATE FOREIGN TABLE from_there (id int OPTIONS (column_name 'the id') NOT NULL, v text, part text NOT NULL) SERVER f_server OPTIONS (schema_name 'f', table_name 'there');
CREATE TABLE copied (id int PRIMARY KEY, v text);
CREATE FOREIGN TABLE to_there (id int NOT NULL, v text) SERVER f_server OPTIONS (schema_name 'f', table_name 'copied');
INSERT INTO there SELECT 'v' || i, 'n', i FROM generate_series(1, 100) i;
SELECT migrate_create('f') > 0 AS created;
SELECT migrate_map('f', 'from_there', 'to_there', key => '{id}', capture => 'none') > 0 AS mapped;
SELECT migrate_start('f');
CALL migrate_run('f');
SELECT count(*) FROM (SELECT "the id", v FROM there EXCEPT ALL TABLE copied) d;
SELECT missing, extra, different, checksum_match FROM migrate_verify('f');
SELECT migrate_rollback('f');
SELECT migrate_drop('f');
-- a swap gives the foreign table the name that the application uses, and takes it back
CREATE TABLE swapped (id int PRIMARY KEY, v text);
INSERT INTO swapped SELECT i, 'v' || i FROM generate_series(1, 10) i;
TRUNCATE copied;
SELECT migrate_create('f') > 0 AS created;
SELECT migrate_map('f', 'swapped', 'to_there', key => '{id}', capture => 'queue') > 0 AS mapped;
SELECT migrate_set('f', 'sync_interval', '0');
SELECT migrate_start('f');
CALL migrate_run('f');
SELECT missing, extra, different, checksum_match FROM migrate_verify('f');
SELECT migrate_cutover('f', 'swap', force => true, reason => 'for good');
INSERT INTO swapped VALUES (11, 'new');
UPDATE swapped SET v = 'changed' WHERE id = 1;
SELECT * FROM copied WHERE id IN (1, 11) ORDER BY id;
SELECT relname, relkind FROM pg_class WHERE relname IN ('swapped', 'to_there') ORDER BY 1;
SELECT migrate_rollback('f');
SELECT relname, relkind FROM pg_class WHERE relname IN ('swapped', 'to_there') ORDER BY 1;
SELECT migrate_drop('f');
SET client_min_messages = error;
DROP SCHEMA f CASCADE;
