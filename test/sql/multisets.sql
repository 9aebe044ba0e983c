-- Sources and targets without any key: rows are counted, and told apart by all they hold.
CREATE SCHEMA multisets;
SET search_path = multisets, public;
\set VERBOSITY terse
CREATE TABLE "lo'g" (at timestamptz, level text COLLATE "C", message text, detail json, place point, n numeric);
CREATE TABLE log_new (id bigint GENERATED ALWAYS AS IDENTITY, happened timestamptz, severity int, message varchar(200) CHECK (message NOT IN ('forbidden', 'never')), detail json, place point, n numeric, memo text DEFAULT 'kept');
INSERT INTO "lo'g" SELECT '2026-01-01'::timestamptz + i % 50 * interval '1 min', (ARRAY['info', 'warning', NULL])[1 + i % 3], 'm' || i % 20,
	CASE WHEN i % 4 > 0 THEN json_build_object('i', i % 4) END, point(i % 2, 1), CASE i % 5 WHEN 0 THEN 1.0 WHEN 1 THEN 1.00 END FROM generate_series(1, 900) i;
INSERT INTO "lo'g" SELECT NULL FROM generate_series(1, 7);
INSERT INTO "lo'g" (message, n) VALUES ('never', 1), ('never', 1), ('never', 2);
-- the new side is wider: nothing is lost on the way back
CREATE VIEW want AS SELECT at AS happened, CASE level WHEN 'info' THEN 1 WHEN 'warning' THEN 2 END AS severity, message::varchar(200), detail::text, place::text, n::text AS n FROM "lo'g" WHERE message IS DISTINCT FROM 'never';
CREATE VIEW have AS SELECT happened, severity, message, detail::text, place::text, n::text AS n FROM log_new;
CREATE FUNCTION verdict(OUT settled bigint, OUT wrong bigint, OUT clean boolean) LANGUAGE plpgsql AS $$
BEGIN
	settled := migrate_sync('multisets');
	SELECT count(*) INTO wrong FROM ((TABLE want EXCEPT ALL TABLE have) UNION ALL (TABLE have EXCEPT ALL TABLE want)) x;
	SELECT bool_and(checksum_match AND pending = 0) INTO clean FROM migrate_verify('multisets');
END $$;
SELECT migrate_create('multisets') > 0 AS created;
\set columns '{"happened": "at", "severity": "CASE level WHEN ''info'' THEN 1 WHEN ''warning'' THEN 2 END", "message": "message", "detail": "detail", "place": "place", "n": "n"}'
\set reverse '{"level": "CASE severity WHEN 1 THEN ''info'' WHEN 2 THEN ''warning'' END", "message": "message"}'
-- what is refused, and what is said
SELECT migrate_map('multisets', '"lo''g"', 'log_new', :'columns');
SELECT migrate_map('multisets', '"lo''g"', 'log_new', :'columns', key => '{}', dedupe_by => 'at');
SELECT migrate_map('multisets', '"lo''g"', '"lo''g"', '{"message": "level"}', key => '{}');
SELECT migrate_map('multisets', '"lo''g"', 'log_new', :'columns', key => '{}', reverse => :'reverse') AS mapping \gset
SELECT migrate_map('multisets', '"lo''g"', 'log_new', :'columns', key => '{}', filter => 'false');
SELECT direction, key, capture FROM migrate_ext.mapping ORDER BY 1;
SELECT severity, subject, finding FROM migrate_assess('multisets') WHERE subject NOT LIKE 'cutover by swap%' ORDER BY 1, 2, 3;
SELECT rows_tried > 0 AS tried, rows_rejected, errors FROM migrate_rehearse('multisets');
SELECT count(*) FROM log_new;
SELECT migrate_set('multisets', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('multisets');

-- before the copy
INSERT INTO "lo'g" VALUES ('2026-02-01', 'info', 'new'), ('2026-02-01', 'info', 'new'), (NULL, NULL, NULL);
UPDATE "lo'g" SET message = message || '!' WHERE message = 'm1';
DELETE FROM "lo'g" WHERE ctid = ANY (ARRAY(SELECT ctid FROM "lo'g" WHERE message IS NULL LIMIT 2));
SELECT count(*) > 0 AS noted, count(DISTINCT key) > 1 AS keys, min(length(key ->> 'row')) FROM migrate_ext.dirty_key;
-- they wait for the copy, which would bring the same rows once more
SELECT migrate_sync('multisets'), (SELECT count(*) FROM log_new);
CALL migrate_run('multisets');
SELECT * FROM verdict();
SELECT action, sqlstate, count(*), count(DISTINCT key) FROM migrate_ext.rejected_rows WHERE migration = 'multisets' GROUP BY 1, 2;
SELECT source_rows = (SELECT count(*) FROM "lo'g") AS all, target_rows = source_rows - rejected AS moved, filtered, expanded, rejected, deduplicated, checksum_match FROM migrate_verify('multisets');

-- after it, all kinds of writes; many rows are the same, and changes may change nothing
INSERT INTO "lo'g" SELECT * FROM "lo'g" WHERE message IN ('m2', 'm3');
UPDATE "lo'g" SET n = 1.000 WHERE n = 1 AND message = 'm5';
UPDATE "lo'g" SET n = n;
UPDATE "lo'g" SET place = NULL, detail = '{"i":  1}' WHERE message = 'm7';
DELETE FROM "lo'g" WHERE message = 'm9' AND level IS NULL;
WITH one AS (DELETE FROM "lo'g" WHERE ctid = (SELECT min(ctid) FROM "lo'g" WHERE message = 'm4') RETURNING *) INSERT INTO "lo'g" SELECT * FROM one UNION ALL SELECT * FROM one;
COPY "lo'g" (message) FROM STDIN;
copied
copied
\.
BEGIN; UPDATE "lo'g" SET message = 'lost'; SAVEPOINT s; DELETE FROM "lo'g"; ROLLBACK TO s; ROLLBACK;
SELECT pending > 0 AS pending, missing, extra, different FROM migrate_verify('multisets');
SELECT * FROM verdict();
SELECT count(*) = count(id) AND count(*) = count(DISTINCT id) AND bool_and(memo = 'kept') AS own_columns FROM log_new;

-- divergences: rows too many and too few of the same kind
INSERT INTO log_new (message) SELECT 'copied' FROM generate_series(1, 5);
DELETE FROM log_new WHERE message = 'm3' AND severity = 2;
UPDATE log_new SET memo = 'changed' WHERE severity = 1;
SELECT missing > 1 AS missing, extra, different, checksum_match FROM migrate_verify('multisets');
SELECT kind, count(*) > 0 AS found, min(length(key ->> 'row')) AS key FROM migrate_divergence('multisets') GROUP BY 1 ORDER BY 1;
SELECT line, CASE WHEN line = 'unexplained' THEN sign(rows) END AS unexplained, explained FROM migrate_ledger('multisets') WHERE line LIKE 'un%';
SELECT sum(missing + extra) > 0 AS sampled FROM migrate_verify('multisets', sample_rows => 100000);
SELECT migrate_repair('multisets') > 0 AS repaired;
SELECT * FROM verdict();
SELECT count(*) FROM migrate_verify('multisets', 'range');
SELECT count(*) FROM migrate_shadow_read('multisets');

-- a row that cannot be stored is rejected with its like, by what it holds
INSERT INTO "lo'g" (message) VALUES ('forbidden'), ('forbidden'), (repeat('x', 300)), ('fine');
SELECT migrate_sync('multisets') > 0 AS settled;
SELECT action, sqlstate, row_image ->> 'message' = 'forbidden' AS forbidden FROM migrate_ext.rejected_rows WHERE migration = 'multisets' ORDER BY 2;
SELECT key ->> 'row' IS NOT NULL AS key, sqlstate FROM migrate_ext.dirty_key ORDER BY 2;
SELECT rejected, pending, missing, extra, checksum_match FROM migrate_verify('multisets');
DELETE FROM "lo'g" WHERE length(message) > 200;
UPDATE "lo'g" SET message = 'allowed' WHERE message = 'forbidden';
SELECT * FROM verdict();

-- a rule
SELECT migrate_add_rule('multisets', :mapping, 'no m6', $$message = 'm6'$$) > 0 AS ruled;
SELECT * FROM verdict();
SELECT line, rows <> 0 AS any FROM migrate_ledger('multisets') WHERE line = 'rejected';
SELECT count(*) FROM log_new WHERE message = 'm6';
DELETE FROM "lo'g" WHERE message = 'm6';
SELECT * FROM verdict();


-- the way back; what the new side has refused stays on the old one, and is no divergence
SELECT migrate_cutover('multisets', 'switch', force => true, reason => 'test');
INSERT INTO log_new (happened, severity, message) VALUES ('2027-01-01', 1, 'back'), ('2027-01-01', 1, 'back');
UPDATE log_new SET severity = 2 WHERE message = 'm2';
DELETE FROM log_new WHERE message = 'm8';
UPDATE log_new SET memo = 'not mapped';
SELECT * FROM verdict();
SELECT rejected, pending, missing, extra, checksum_match FROM migrate_verify('multisets');
SELECT migrate_repair('multisets');
SELECT migrate_rollback('multisets');
SELECT count(*) FROM "lo'g" WHERE message = 'back' AND level = 'info';
SELECT count(*) FROM "lo'g" WHERE message = 'never';
SELECT migrate_drop('multisets');

-- a copy that stops halfway, and begins again as the source is rewritten: no row is there twice in the end
TRUNCATE log_new;
CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the copy stops here' USING ERRCODE = 'object_not_in_prerequisite_state'; END $$;
INSERT INTO "lo'g" (message) VALUES ('stop');
SELECT migrate_create('multisets') > 0 AS created;
SELECT migrate_map('multisets', '"lo''g"', 'log_new', :'columns', key => '{}', reverse => :'reverse') > 0 AS mapped;
SELECT migrate_set('multisets', 'sync_interval', '0') IS NOT NULL AS set, migrate_set('multisets', 'batch_rows', '100..100') IS NOT NULL AS batch;
SELECT migrate_start('multisets');
CREATE TRIGGER stop BEFORE INSERT ON log_new FOR EACH ROW WHEN (NEW.message = 'stop') EXECUTE FUNCTION stop();
CALL migrate_run('multisets');
SELECT count(*) > 100 AND count(*) < (SELECT count(*) FROM "lo'g") AS halfway FROM log_new;
DROP TRIGGER stop ON log_new;
VACUUM FULL "lo'g";
CALL migrate_run('multisets');
SELECT * FROM verdict();
SELECT migrate_rollback('multisets');
-- and once more, over what is there
SELECT migrate_set('multisets', 'allow_nonempty_target', 'on') IS NOT NULL AS set;
INSERT INTO log_new (message) VALUES ('left over');
DELETE FROM "lo'g" WHERE message = 'm10';
SELECT migrate_start('multisets');
CALL migrate_run('multisets');
SELECT * FROM verdict();
SELECT migrate_rollback('multisets');
SELECT migrate_drop('multisets');

-- a source with a key, into a target without one, by a filter and a set; a table that is read changes
CREATE TABLE item (id int PRIMARY KEY, kind int, parts text[]);
CREATE TABLE kind (id int PRIMARY KEY, label text);
CREATE TABLE part (label text, part text);
INSERT INTO kind VALUES (1, 'one'), (2, 'two');
INSERT INTO item SELECT i, 1 + i % 2, ARRAY['a', 'b', 'a'] FROM generate_series(1, 20) i;
SELECT migrate_create('multisets') > 0 AS created;
SELECT migrate_map('multisets', 'item', 'part', '{"label": "(SELECT k.label FROM kind k WHERE k.id = src.kind)", "part": "unnest(parts)"}', key => '{}', filter => 'id > 2') > 0 AS mapped;
SELECT migrate_set('multisets', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('multisets');
CALL migrate_run('multisets');
SELECT source_rows, filtered, expanded, target_rows, checksum_match FROM migrate_verify('multisets');
UPDATE kind SET label = 'changed' WHERE id = 1;
UPDATE item SET parts = '{c}' WHERE id IN (1, 2, 3);
DELETE FROM item WHERE id = 4;
SELECT migrate_sync('multisets') > 0 AS settled;
SELECT source_rows, filtered, expanded, target_rows, pending, checksum_match FROM migrate_verify('multisets');
SELECT label, part, count(*) FROM part GROUP BY 1, 2 ORDER BY 1, 2;
TRUNCATE item;
SELECT migrate_sync('multisets') > 0 AS settled;
SELECT source_rows, target_rows, pending, checksum_match FROM migrate_verify('multisets');
SELECT migrate_rollback('multisets');
SELECT migrate_drop('multisets');

-- rows that have no checksum, as a value cannot be had, are kept from it by the filter
CREATE TABLE raw (id int, n text);
CREATE TABLE number (n int);
INSERT INTO raw SELECT i, CASE WHEN i % 3 = 0 THEN 'x' ELSE (i % 5)::text END FROM generate_series(1, 60) i;
SELECT migrate_create('multisets') > 0 AS created;
SELECT migrate_map('multisets', 'raw', 'number', '{"n": "n::int"}', key => '{}', filter => $$n ~ '^[0-9]+$'$$) AS m \gset
SELECT migrate_set('multisets', 'sync_interval', '0') IS NOT NULL AS set;
SELECT rows_rejected, errors FROM migrate_rehearse('multisets');
SELECT migrate_start('multisets');
CALL migrate_run('multisets');
UPDATE raw SET n = 'y' WHERE id % 7 = 1;
UPDATE raw SET n = '9' WHERE id % 8 = 1;
SELECT count(*) FILTER (WHERE key IS NULL) AS every, count(*) > 0 AS keys FROM migrate_ext.dirty_key;
SELECT migrate_sync('multisets') > 0 AS settled;
DELETE FROM number WHERE n = 9;
INSERT INTO number VALUES (77), (77);
SELECT missing > 0 AS missing, extra, pending FROM migrate_verify('multisets');
SELECT count(*) FROM migrate_verify('multisets', sample_rows => 1000);
SELECT migrate_repair('multisets') > 0 AS repaired;
SELECT migrate_add_rule('multisets', :m, 'no two', $$n = '2'$$) > 0 AS ruled;
SELECT migrate_sync('multisets') > 0 AS settled;
SELECT source_rows = filtered + rejected + target_rows AS adds_up, rejected > 0 AS rejected, pending, missing, extra, checksum_match FROM migrate_verify('multisets');
SELECT migrate_rollback('multisets');
SELECT migrate_drop('multisets');

-- what the filter leaves out has no place on the old side: it is told, and not written there again and again
CREATE TABLE note (n int, v varchar(3));
CREATE TABLE note_new (n int, v varchar(3));
INSERT INTO note SELECT i % 4, 'v' || i % 2 FROM generate_series(1, 40) i;
SELECT migrate_create('multisets') > 0 AS created;
SELECT migrate_map('multisets', 'note', 'note_new', key => '{}', filter => 'n > 0') > 0 AS mapped;
SELECT migrate_set('multisets', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('multisets');
CALL migrate_run('multisets');
SELECT count(*) FROM migrate_verify('multisets');
SELECT migrate_cutover('multisets', 'switch');
INSERT INTO note_new VALUES (0, 'out'), (0, 'out'), (9, 'in'), (9, 'in');
SELECT migrate_sync('multisets'), migrate_sync('multisets');
SELECT sqlstate, message FROM migrate_ext.dirty_key;
SELECT v, count(*) FROM note WHERE v NOT LIKE 'v%' GROUP BY 1;
SELECT pending, missing, extra FROM migrate_verify('multisets');
DELETE FROM note_new WHERE v = 'out';
SELECT migrate_sync('multisets') >= 0 AS synced;
SELECT pending, missing, extra, checksum_match FROM migrate_verify('multisets');
SELECT count(*) FILTER (WHERE n = 0) AS never_moved, count(*) FROM note;
SELECT migrate_rollback('multisets');
SELECT migrate_drop('multisets');
-- a value that a cast would cut is no other value
TRUNCATE note, note_new;
ALTER TABLE note ALTER v TYPE text;
INSERT INTO note VALUES (1, 'abc'), (1, 'abcd'), (1, 'abc   '), (2, 'abcde');
SELECT migrate_create('multisets') > 0 AS created;
SELECT migrate_map('multisets', 'note', 'note_new', key => '{}') > 0 AS mapped;
SELECT migrate_set('multisets', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('multisets');
CALL migrate_run('multisets');
SELECT * FROM note_new ORDER BY 1, 2;
SELECT row_image ->> 'v' AS v, sqlstate FROM migrate_ext.rejected_rows WHERE migration = 'multisets' ORDER BY 1;
SELECT source_rows, rejected, target_rows, missing, extra, checksum_match FROM migrate_verify('multisets');
UPDATE note SET v = 'abc' WHERE v = 'abcd';
SELECT migrate_sync('multisets') > 0 AS settled;
SELECT n, v, count(*) FROM note_new GROUP BY 1, 2 ORDER BY 1, 2;
SELECT source_rows, rejected, target_rows, pending, missing, extra, checksum_match FROM migrate_verify('multisets');
SELECT migrate_rollback('multisets');
SELECT migrate_drop('multisets');
CREATE TABLE bits (b bit(2));
CREATE TABLE bits_new (b bit(3));
SELECT migrate_create('multisets') > 0 AS created;
SELECT migrate_map('multisets', 'bits', 'bits_new', key => '{}');
SELECT migrate_drop('multisets');

-- a rejected row of the old side is known again as it is, not by an image that has lost what json and arrays look like
CREATE TABLE looks (a int, j json, i int[]);
CREATE TABLE looks_new (a int CHECK (a > 0), j json, i int[]);
INSERT INTO looks VALUES (1, '{}', NULL), (-4, '{"a":1}', '[0:1]={1,2}');
INSERT INTO looks SELECT i % 3, 'null', NULL FROM generate_series(3, 9000) i WHERE i % 3 > 0;
SELECT migrate_create('multisets') > 0 AS created;
SELECT migrate_map('multisets', 'looks', 'looks_new', key => '{}') > 0 AS mapped;
SELECT migrate_set('multisets', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('multisets');
CALL migrate_run('multisets');
-- thousands of rows are alike: they are counted, and not compared with each other
INSERT INTO looks VALUES (1, 'null', NULL), (2, 'null', NULL);
SELECT migrate_sync('multisets') > 0 AS settled;
SELECT source_rows - rejected = target_rows AS adds_up, rejected, checksum_match FROM migrate_verify('multisets');
SELECT migrate_cutover('multisets', 'switch');
SELECT pending, missing, extra, checksum_match FROM migrate_verify('multisets');
TRUNCATE looks_new;
SELECT migrate_sync('multisets') > 0 AS settled;
TABLE looks;
SELECT migrate_rollback('multisets');
SELECT migrate_drop('multisets');
-- a way back that does not give just what the row was: each would be one row more
CREATE TABLE name (e text);
CREATE TABLE name_new (e text);
INSERT INTO name VALUES ('Ann'), ('bob');
SELECT migrate_create('multisets') > 0 AS created;
SELECT migrate_map('multisets', 'name', 'name_new', '{"e": "lower(e)"}', key => '{}', reverse => '{"e": "e"}') > 0 AS mapped;
SELECT severity, subject, finding FROM migrate_assess('multisets') WHERE finding LIKE '%there and back%';
SELECT migrate_drop('multisets');

-- not all columns of the source are told: no way back; and the target refuses some rows for another index
CREATE TABLE pair (a int, b int);
CREATE TABLE pair_new (a int UNIQUE);
INSERT INTO pair SELECT i % 90, i FROM generate_series(1, 100) i;
SELECT migrate_create('multisets') > 0 AS created;
SELECT migrate_map('multisets', 'pair', 'pair_new', key => '{}') > 0 AS mapped;
SELECT count(*) FROM migrate_ext.mapping WHERE direction = 'reverse';
SELECT severity, subject, finding FROM migrate_assess('multisets') WHERE severity <> 'info' AND finding NOT LIKE '%has not, or%' ORDER BY 1, 2, 3;
SELECT migrate_start('multisets');
CALL migrate_run('multisets');
SELECT count(*), count(DISTINCT key), min(sqlstate) FROM migrate_ext.dirty_key;
SELECT source_rows, rejected, target_rows, pending, missing, extra, checksum_match FROM migrate_verify('multisets');
SELECT migrate_rollback('multisets');
SET client_min_messages = warning;
SELECT migrate_drop('multisets');
DROP SCHEMA multisets CASCADE;
