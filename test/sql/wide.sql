-- Tables of 1,600 columns, the most there can be: there and back by both methods, in place, and rows that no page has room for.
SET client_min_messages = warning;
CREATE SCHEMA wide;
SET search_path = wide, public;
CREATE FUNCTION type(i int) RETURNS text LANGUAGE sql AS $$ SELECT (ARRAY['int', 'text', 'numeric', 'bool'])[i % 4 + 1] $$;
\set ECHO none
SELECT 'CREATE TABLE src (id int PRIMARY KEY, ' || string_agg('c' || i || ' ' || type(i), ', ') || ')' FROM generate_series(1, 1599) i \gexec
SELECT 'CREATE TABLE tgt (' || string_agg('c' || i || ' ' || type(i), ', ' ORDER BY i DESC) || ', id int PRIMARY KEY)' FROM generate_series(1, 1599) i \gexec
SELECT 'INSERT INTO src SELECT g, ' || string_agg(CASE i % 4 WHEN 0 THEN 'g' WHEN 1 THEN 'CASE WHEN g % 2 = 0 THEN ''x'' || g END' WHEN 2 THEN '(g % 10) / 2.0' ELSE 'g % 2 = 0' END, ', ') || ' FROM generate_series(1, 50) g' FROM generate_series(1, 1599) i \gexec
\set ECHO all
-- the oracle: all columns as text, on both sides
\set ECHO none
SELECT format('CREATE VIEW differing AS (SELECT %1$s FROM src EXCEPT ALL SELECT %1$s FROM tgt) UNION ALL (SELECT %1$s FROM tgt EXCEPT ALL SELECT %1$s FROM src)', 'ROW(id, ' || string_agg('c' || i, ', ') || ')::text') FROM generate_series(1, 1599) i \gexec
\set ECHO all
SELECT migrate_create('w') > 0 AS created;
-- that this takes seconds and not minutes is part of the test
SET statement_timeout = '10s';
SELECT migrate_map('w', 'src', 'tgt') > 0 AS mapped;
RESET statement_timeout;
SELECT severity, subject, finding FROM migrate_assess('w') WHERE severity <> 'info';
SELECT migrate_start('w');
INSERT INTO src (id, c1) VALUES (100, 'new'), (101, 'new');
UPDATE src SET c1 = 'changed', c1599 = NOT c1599 WHERE id < 10;
UPDATE src SET id = id + 200 WHERE id BETWEEN 10 AND 12;
DELETE FROM src WHERE id = 20;
SELECT count(*) FROM tgt;
CALL migrate_run('w');
SELECT count(*) FROM differing;
WITH d AS (DELETE FROM src WHERE id IN (30, 31) RETURNING id) INSERT INTO src (id, c2) SELECT id, 1.50 FROM d;
INSERT INTO src (id, c1) VALUES (32, 'conflict'), (102, 'new') ON CONFLICT (id) DO UPDATE SET c1 = EXCLUDED.c1;
SELECT (SELECT count(*) FROM differing) AS differing, (SELECT count(*) FROM migrate_ext.dirty_key) AS dirty;
-- what is wrong is found, to the column, and mended
UPDATE tgt SET c800 = 7, c1 = NULL WHERE id = 40;
DELETE FROM tgt WHERE id = 41;
SELECT missing, extra, different, checksum_match FROM migrate_verify('w');
SELECT kind, key, columns FROM migrate_divergence('w') ORDER BY kind;
SELECT kind, key, columns FROM migrate_compare('src', 'tgt', key => '{id}') ORDER BY kind;
SELECT migrate_repair('w'), migrate_sync('w');
SELECT a.checksum = b.checksum AS same_rows, a.rows FROM migrate_compare('src', 'tgt') c RIGHT JOIN migrate_table_checksum('src') a ON true, migrate_table_checksum('src') b;
SELECT missing, extra, different, checksum_match FROM migrate_verify('w');
SELECT count(*), count(*) FILTER (WHERE nulls > 0) AS with_nulls FROM migrate_profile('tgt');
SELECT migrate_cutover('w', 'switch');
UPDATE tgt SET c3 = NOT c3, c4 = id WHERE id < 10;
INSERT INTO tgt (id, c1) VALUES (300, 'new');
DELETE FROM tgt WHERE id = 21;
UPDATE tgt SET id = id + 300 WHERE id = 22;
SELECT (SELECT count(*) FROM differing) AS differing, (SELECT count(*) FROM migrate_ext.dirty_key) AS dirty;
SELECT missing, extra, different, checksum_match FROM migrate_verify('w');
SELECT length(migrate_report('w', 'html')) > 1000 AS reported;
SELECT migrate_rollback('w');
SELECT count(*) FROM differing;
-- and by exchanging the names, with a view that reads them all
\set ECHO none
SELECT 'CREATE VIEW reads AS SELECT id, ' || string_agg('c' || i, ', ') || ' FROM src' FROM generate_series(1, 1599) i \gexec
\set ECHO all
DROP VIEW differing;
SELECT migrate_start('w');
CALL migrate_run('w');
SELECT missing, extra, different, checksum_match FROM migrate_verify('w');
SELECT migrate_cutover('w', 'swap');
UPDATE src SET c1 = 'swapped' WHERE id < 10;
SELECT count(*) FROM reads WHERE c1 = 'swapped';
SELECT missing, extra, different, checksum_match FROM migrate_verify('w');
SELECT migrate_rollback('w');
SELECT count(*) FROM src WHERE c1 = 'swapped';
SELECT migrate_drop('w');
DROP TABLE tgt, src CASCADE;

-- in place: 799 columns beside 799 others
\set ECHO none
SELECT 'CREATE TABLE ip (id int PRIMARY KEY, ' || string_agg('c' || i || ' int, n' || i || ' int', ', ') || ')' FROM generate_series(1, 799) i \gexec
SELECT 'INSERT INTO ip (id, ' || string_agg('c' || i, ', ') || ') SELECT g, ' || string_agg('nullif(g % ' || i || ', 1)', ', ') || ' FROM generate_series(1, 20) g' FROM generate_series(1, 799) i \gexec
SELECT 'CREATE VIEW differing AS SELECT id FROM ip WHERE ROW(' || string_agg('c' || i, ', ') || ') IS DISTINCT FROM ROW(' || string_agg('n' || i, ', ') || ')' FROM generate_series(1, 799) i \gexec
\set ECHO all
SELECT migrate_create('ip') > 0 AS created;
SELECT migrate_map('ip', 'ip', 'ip', jsonb_object_agg('n' || i, 'c' || i), reverse => jsonb_object_agg('c' || i, 'n' || i)) > 0 AS mapped FROM generate_series(1, 799) i;
SELECT rows_tried, rows_rejected, errors FROM migrate_rehearse('ip', 20);
SELECT migrate_start('ip');
UPDATE ip SET c1 = 4, c799 = 6 WHERE id < 10;
UPDATE ip SET n2 = 100 WHERE id = 20;
INSERT INTO ip (id, n4) VALUES (101, 1);
CALL migrate_run('ip');
SELECT count(*) FROM differing;
SELECT missing, extra, different, checksum_match FROM migrate_verify('ip');
SELECT migrate_cutover('ip', 'switch');
UPDATE ip SET n1 = 8 WHERE id < 30;
SELECT count(*) FROM differing;
SELECT migrate_rollback('ip');
SELECT migrate_drop('ip');
DROP TABLE ip CASCADE;

-- rows that fit into a page of the source, and not of the target: bad rows, as others are
\set ECHO none
SELECT 'CREATE TABLE src (id int PRIMARY KEY, ' || string_agg('c' || i || ' int', ', ') || ')' FROM generate_series(1, 1599) i \gexec
SELECT 'CREATE TABLE tgt (id int PRIMARY KEY, ' || string_agg('c' || i || ' bigint', ', ') || ')' FROM generate_series(1, 1599) i \gexec
SELECT 'INSERT INTO src SELECT g, ' || string_agg('CASE WHEN g <= 3 OR g % 4 = ' || i % 4 || ' THEN g END', ', ') || ' FROM generate_series(1, 20) g' FROM generate_series(1, 1599) i \gexec
\set ECHO all
SELECT migrate_create('big') > 0 AS created;
SET statement_timeout = '10s';
SELECT migrate_map('big', 'src', 'tgt', jsonb_object_agg('c' || i, 'c' || i || ' + 1') || '{"id": "id"}', reverse => jsonb_object_agg('c' || i, 'c' || i || ' - 1')) AS by_expressions FROM generate_series(1, 1599) i \gset
RESET statement_timeout;
SELECT migrate_unmap('big', :by_expressions);
SELECT migrate_map('big', 'src', 'tgt') > 0 AS mapped;
SELECT migrate_start('big');
UPDATE src SET c1 = 7 WHERE id IN (1, 5);
SELECT key, sqlstate, message FROM migrate_ext.dirty_key;
CALL migrate_run('big');
SELECT key, sqlstate, message FROM migrate_rejected('big') ORDER BY key;
SELECT source_rows, target_rows, rejected, missing, extra, different, checksum_match FROM migrate_verify('big');
\set ECHO none
SELECT 'UPDATE src SET ' || string_agg('c' || i || ' = NULL', ', ') || ' WHERE id < 3' FROM generate_series(1, 1000) i \gexec
\set ECHO all
SELECT key, sqlstate FROM migrate_rejected('big') ORDER BY key;
SELECT source_rows, target_rows, rejected, missing, extra, different, checksum_match FROM migrate_verify('big');
SELECT migrate_rollback('big');
SELECT migrate_drop('big');
DROP SCHEMA wide CASCADE;
