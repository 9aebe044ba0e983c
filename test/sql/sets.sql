-- One source row becomes several rows of one target: a set-returning projection with its own key part.
CREATE SCHEMA sets;
SET search_path = sets, public;
\set VERBOSITY terse
CREATE TABLE "do'c" (id bigint PRIMARY KEY, title text NOT NULL, tags text[], lines jsonb, "o'Brien; --" text, shown boolean NOT NULL DEFAULT true);
CREATE TABLE doc_new (id bigint PRIMARY KEY, title text NOT NULL, words text, shown boolean NOT NULL);
CREATE TABLE doc_tag (doc_id bigint, place int, tag text NOT NULL CHECK (tag <> 'forbidden'), PRIMARY KEY (doc_id, place));
CREATE TABLE doc_line (doc_id bigint, no int, item text, price numeric(10, 2), "o'Brien; --" text DEFAULT 'kept', UNIQUE (doc_id, no));
ALTER TABLE doc_line ALTER doc_id SET NOT NULL, ALTER no SET NOT NULL;
CREATE TABLE doc_word (word text, doc_id bigint, title text, PRIMARY KEY (word, doc_id));
INSERT INTO "do'c" SELECT i, 'title ' || i, CASE WHEN i % 7 = 0 THEN NULL ELSE (SELECT array_agg('t' || (i * j) % 11) FROM generate_series(1, i % 5) j) END,
	(SELECT jsonb_agg(jsonb_build_object('item', 'i' || j, 'price', i + j)) FROM generate_series(1, i % 4) j), 'a b ' || i % 3 || ' b', i % 10 <> 0
	FROM generate_series(1, 400) i;
CREATE TABLE new_key (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
CREATE VIEW want_tag AS SELECT d.id, t.place::int, t.tag FROM "do'c" d, unnest(d.tags) WITH ORDINALITY t (tag, place) WHERE d.shown;
CREATE VIEW want_line AS SELECT d.id, l.no::int, l.line ->> 'item' AS item, (l.line ->> 'price')::numeric(10, 2) AS price FROM "do'c" d, jsonb_array_elements(d.lines) WITH ORDINALITY l (line, no);
CREATE VIEW want_word AS SELECT DISTINCT w, d.id, d.title FROM "do'c" d, string_to_table(d."o'Brien; --", ' ') w;
-- what is wrong, one-sided rows of each target, and whether everybody knows; keys may be left to a sync
CREATE FUNCTION verdict(OUT settled bigint, OUT wrong bigint, OUT clean boolean) LANGUAGE plpgsql AS $$
BEGIN
	settled := migrate_sync('sets');
	SELECT count(*) INTO wrong FROM (
		(TABLE want_tag EXCEPT ALL TABLE doc_tag) UNION ALL (TABLE doc_tag EXCEPT ALL TABLE want_tag)
		UNION ALL SELECT 0, 0, x::text FROM ((TABLE want_line EXCEPT ALL SELECT doc_id, no, item, price FROM doc_line)
			UNION ALL (SELECT doc_id, no, item, price FROM doc_line EXCEPT ALL TABLE want_line)) x
		UNION ALL SELECT 0, 0, x::text FROM ((TABLE want_word EXCEPT ALL TABLE doc_word) UNION ALL (TABLE doc_word EXCEPT ALL TABLE want_word)) x) x;
	SELECT bool_and(checksum_match AND pending = 0) INTO clean FROM migrate_verify('sets');
END $$;

SELECT migrate_create('sets') > 0 AS created;
-- what is refused
SELECT migrate_map('sets', '"do''c"', 'doc_tag', '{"doc_id": "id", "place": "1", "tag": "unnest(tags)"}');
SELECT migrate_map('sets', '"do''c"', 'doc_tag', '{"doc_id": "id", "place": "generate_subscripts(tags, 1)", "tag": "unnest(tags)"}', filter => 'unnest(tags) > 1');
SELECT migrate_map('sets', '"do''c"', 'doc_tag', '{"doc_id": "id", "place": "generate_subscripts(tags, 1)", "tag": "unnest(tags)"}', dedupe_by => 'title');
SELECT migrate_map('sets', '"do''c"', 'doc_tag', '{"doc_id": "id", "place": "generate_subscripts(tags, 1)", "tag": "unnest(tags)"}', reverse => '{"id": "generate_series(1, doc_id)"}');
SELECT migrate_map('sets', '"do''c"', '"do''c"', '{"id": "generate_series(1, id)"}');
SELECT migrate_map('sets', '"do''c"', 'new_key', '{"id": "migrate_lookup(''sets'', NULL, unnest(tags))"}');
SELECT migrate_map('sets', '"do''c"', 'doc_tag', '{"doc_id": "id", "place": "CASE WHEN shown THEN generate_subscripts(tags, 1) END", "tag": "unnest(tags)"}');

SELECT migrate_map('sets', '"do''c"', 'doc_new', '{"id": "id", "title": "title", "words": "\"o''Brien; --\"", "shown": "shown"}') > 0 AS mapped;
SELECT migrate_map('sets', '"do''c"', 'doc_tag', '{"doc_id": "id", "place": "generate_subscripts(tags, 1)", "tag": "unnest(tags)"}', filter => 'shown',
	reverse => $${"id": "doc_id", "tags": "(SELECT array_agg(t.tag ORDER BY t.place) FROM doc_tag t WHERE t.doc_id = src.doc_id)"}$$) AS tag_mapping \gset
SELECT migrate_map('sets', '"do''c"', 'doc_line', $${"doc_id": "id", "no": "generate_series(1, jsonb_array_length(lines))", "item": "jsonb_array_elements(lines) ->> 'item'",
	"price": "(jsonb_array_elements(lines) ->> 'price')::numeric"}$$, key => '{doc_id,no}') > 0 AS mapped;
SELECT migrate_map('sets', '"do''c"', 'doc_word', $${"doc_id": "id", "title": "title", "word": "unnest(ARRAY(SELECT DISTINCT string_to_table(src.\"o'Brien; --\", ' ')))"}$$) > 0 AS mapped;
SELECT direction, target::text, filter, scope, dedupe_by, clears FROM migrate_ext.mapping WHERE direction = 'reverse' ORDER BY mapping_id;
SELECT severity, subject, finding FROM migrate_assess('sets') WHERE severity <> 'info' ORDER BY 1, 2, 3;
SELECT mapping - :tag_mapping AS mapping, rows_tried > 0 AS tried, rows_rejected, errors FROM migrate_rehearse('sets') ORDER BY 1;
SELECT migrate_set('sets', 'sync_interval', '0') IS NOT NULL AS set;
-- of a row that the copy meets only the part that cannot be stored is rejected
INSERT INTO "do'c" VALUES (1003, 'forbidden', '{f1,forbidden,f3}', '[{"item": "x"}]', 'f');
SELECT migrate_start('sets');

-- before the copy: rows of the target come and go with the values of the source row
UPDATE "do'c" SET tags = ARRAY['a', 'b', 'c'] WHERE id = 1;
UPDATE "do'c" SET tags = tags[1:1] WHERE id IN (1, 2, 3);
DELETE FROM "do'c" WHERE id = 4;
INSERT INTO "do'c" VALUES (1001, 'new', '{x,NULL}', '[{"item": "one", "price": 1}]', 'w'), (1002, 'new', '{}', '[]', '');
SELECT reason, count(*) FROM migrate_ext.dirty_key GROUP BY 1 ORDER BY 1;
SELECT key, sqlstate FROM migrate_ext.dirty_key WHERE sqlstate IS NOT NULL ORDER BY key;
UPDATE "do'c" SET tags = '{x,y}' WHERE id = 1001;
CALL migrate_run('sets');
SELECT key, action, sqlstate FROM migrate_ext.rejected_rows WHERE migration = 'sets';
SELECT * FROM doc_tag WHERE doc_id = 1003 ORDER BY 2;
SELECT rejected, expanded, missing, extra, different, checksum_match FROM migrate_verify('sets') WHERE mapping = :tag_mapping;
DELETE FROM "do'c" WHERE id = 1003;
SELECT * FROM verdict();
SELECT source_rows, target_rows, filtered, expanded, rejected, deduplicated, checksum_match FROM migrate_verify('sets');
SELECT line, rows FROM migrate_ledger('sets') WHERE mapping = :tag_mapping;
SELECT count(*) = (SELECT count(*) FROM want_tag) AS all_there FROM doc_tag;

-- after it, all kinds of writes
UPDATE "do'c" SET tags = tags || 'more'::text, lines = lines - 0 WHERE id % 3 = 0;
UPDATE "do'c" SET tags = (SELECT array_agg(t ORDER BY t DESC) FROM unnest(tags) t), title = title || '!' WHERE id % 4 = 1;
UPDATE "do'c" SET id = id + 5000 WHERE id BETWEEN 20 AND 30;
UPDATE "do'c" SET shown = NOT shown WHERE id BETWEEN 40 AND 60;
UPDATE "do'c" SET tags = NULL, lines = NULL, "o'Brien; --" = NULL WHERE id IN (61, 62);
DELETE FROM "do'c" WHERE id BETWEEN 70 AND 80;
INSERT INTO "do'c" SELECT i, 'copied', ARRAY['c', 'd'], NULL, 'c' FROM generate_series(2000, 2005) i
	ON CONFLICT (id) DO UPDATE SET title = 'never';
INSERT INTO "do'c" SELECT i, 'again', ARRAY['e'], NULL, 'f g' FROM generate_series(2004, 2007) i
	ON CONFLICT (id) DO UPDATE SET tags = ARRAY['f', 'g', 'h'];
COPY "do'c" (id, title, tags) FROM STDIN;
3000	copy	{k,l}
\.
MERGE INTO "do'c" d USING (VALUES (3000), (3001)) v (id) ON d.id = v.id WHEN MATCHED THEN UPDATE SET tags = '{m}' WHEN NOT MATCHED THEN INSERT (id, title, tags) VALUES (v.id, 'm', '{n,o}');
BEGIN; UPDATE "do'c" SET tags = '{lost}'; SAVEPOINT s; DELETE FROM "do'c"; ROLLBACK TO s; ROLLBACK;
SELECT count(*) FROM migrate_ext.dirty_key;
SELECT * FROM verdict();

-- one of the rows cannot be stored: it is its key alone that waits
UPDATE "do'c" SET tags = '{ok,forbidden,fine}' WHERE id = 101;
SELECT key, sqlstate FROM migrate_ext.dirty_key WHERE key ->> 'place' = '2';
SELECT migrate_sync('sets') > 0 AS settled;
SELECT doc_id, place, tag FROM doc_tag WHERE doc_id = 101 ORDER BY 2;
UPDATE "do'c" SET tags = '{ok,good,fine}' WHERE id = 101;
SELECT * FROM verdict();
-- divergences are found and repaired
DELETE FROM doc_tag WHERE doc_id = 101 AND place = 2;
UPDATE doc_tag SET tag = 'wrong' WHERE doc_id = 102;
INSERT INTO doc_tag VALUES (999999, 1, 'extra');
SELECT missing, extra, different, checksum_match FROM migrate_verify('sets');
SELECT kind, key FROM migrate_divergence('sets') ORDER BY key;
SET client_min_messages = warning;
SELECT count(*) FROM migrate_verify('sets', 'range');
CALL migrate_wait('sets', '60 s');
RESET client_min_messages;
SELECT v.mapping - :tag_mapping AS mapping, missing, extra, different, checksum_match, source_rows, filtered, source_rows - filtered + expanded - rejected = target_rows + missing - extra AS adds_up
	FROM migrate_ext.verifications v WHERE migration = 'sets' AND method = 'range' ORDER BY 1;
SELECT sum(different) >= 1 AS sampled FROM migrate_verify('sets', 'scan', 100000);
SELECT migrate_repair('sets');
SELECT * FROM verdict();
SELECT mapping - :tag_mapping AS mapping, reads > 0 AS reads, mismatches FROM migrate_shadow_read('sets', 50) ORDER BY 1;

-- a rule leaves rows out, and they are listed by each of their keys
SELECT migrate_add_rule('sets', :tag_mapping, 'no drafts', $$title = 'copied'$$) > 0 AS ruled;
SELECT * FROM verdict();
SELECT line, rows FROM migrate_ledger('sets') WHERE mapping = :tag_mapping;
SELECT key, action, rule FROM migrate_ext.rejected_rows WHERE migration = 'sets' ORDER BY key LIMIT 3;
UPDATE "do'c" SET title = 'final' WHERE title = 'copied';
SELECT * FROM verdict();

-- the way back: what is written to the rows becomes the set of one row
SELECT migrate_cutover('sets', 'switch', force => true, reason => 'test');
DELETE FROM doc_tag WHERE doc_id = 101 AND place = 2;
UPDATE doc_tag SET tag = 'changed' WHERE doc_id = 102 AND place = 1;
INSERT INTO doc_tag SELECT 103, i, 'n' || i FROM generate_series(10, 12) i;
DELETE FROM doc_tag WHERE doc_id = 104;
UPDATE doc_tag SET doc_id = 106, place = place + 100 WHERE doc_id = 108;
INSERT INTO doc_new VALUES (9000, 'new on this side', NULL, true); INSERT INTO doc_tag VALUES (9000, 1, 'first'), (9000, 2, 'second');
SELECT migrate_sync('sets') > 0 AS settled;
SELECT d.id, d.tags, (SELECT array_agg(t.tag ORDER BY t.place) FROM doc_tag t WHERE t.doc_id = d.id) IS NOT DISTINCT FROM d.tags AS same
	FROM "do'c" d WHERE id IN (101, 102, 103, 104, 106, 108, 9000) ORDER BY 1;
SELECT count(*) FROM "do'c" d WHERE shown AND coalesce(tags, '{}') IS DISTINCT FROM coalesce((SELECT array_agg(t.tag ORDER BY t.place) FROM doc_tag t WHERE t.doc_id = d.id), '{}');
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('sets') ORDER BY mapping;
-- what the new side has written may be in the queue still: no write to the old side overtakes it
SELECT migrate_set('sets', 'stale_writes', 'forward');
SELECT count(*) FROM migrate_ext.rejected_rows WHERE migration = 'sets' AND action = 'duplicate';
SELECT migrate_rollback('sets');
SELECT id, tags FROM "do'c" WHERE id IN (101, 104, 9000) ORDER BY 1;
SELECT migrate_drop('sets');

-- a set that gives one key twice: it is told, and not swallowed
TRUNCATE doc_word;
CREATE TABLE twice (id bigint PRIMARY KEY, words text[], title text);
INSERT INTO twice VALUES (1, '{a,b}', 'one'), (2, '{a,b,a}', 'two'), (3, '{c}', 'three');
SELECT migrate_create('sets') > 0 AS created;
SELECT migrate_map('sets', 'twice', 'doc_word', '{"doc_id": "id", "word": "unnest(words)", "title": "title"}') > 0 AS mapped;
SELECT severity, finding FROM migrate_assess('sets') WHERE severity <> 'info';
SELECT migrate_set('sets', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('sets');
CALL migrate_run('sets');
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('sets');
SELECT kind, key FROM migrate_divergence('sets');
UPDATE twice SET words = '{x,y,x}' WHERE id = 3;
SELECT key, sqlstate, message FROM migrate_ext.dirty_key ORDER BY key;
TABLE doc_word ORDER BY 2, 1;
UPDATE twice SET words = ARRAY(SELECT DISTINCT unnest(words));
SELECT migrate_sync('sets') > 0 AS settled;
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('sets');
SELECT (SELECT array_agg((word, doc_id)::text ORDER BY doc_id, word) FROM doc_word) = (SELECT array_agg((w, id)::text ORDER BY id, w) FROM twice, unnest(words) w) AS right;
SELECT migrate_rollback('sets');
SELECT migrate_drop('sets');
-- nor where the rows of the key differ
TRUNCATE doc_word;
UPDATE twice SET words = '{a,b,a}' WHERE id = 2;
SELECT migrate_create('sets') > 0 AS created;
SELECT migrate_map('sets', 'twice', 'doc_word', '{"doc_id": "id", "word": "unnest(words)", "title": "generate_subscripts(words, 1)::text"}') > 0 AS mapped;
SELECT migrate_set('sets', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('sets');
CALL migrate_run('sets');
SELECT pending, rejected, missing, extra, different, checksum_match FROM migrate_verify('sets');
UPDATE twice SET words = '{b,a}' WHERE id = 2;
SELECT migrate_sync('sets') >= 0 AS settled;
SELECT pending, rejected, missing, extra, different, checksum_match FROM migrate_verify('sets');
SELECT migrate_rollback('sets');
SELECT migrate_drop('sets');
-- the rest of a source row stays where its set is gathered by the only mapping, and many ranges are told from one
CREATE TABLE many (id int PRIMARY KEY, memo text, tags text[]);
CREATE TABLE many_tag (id int, tag text, PRIMARY KEY (id, tag));
INSERT INTO many SELECT i, 'memo', CASE WHEN i % 5 > 0 THEN ARRAY['a', 'b', 'c'] END FROM generate_series(1, 7000) i;
SELECT migrate_create('sets') > 0 AS created;
SELECT migrate_map('sets', 'many', 'many_tag', '{"id": "id", "tag": "unnest(tags)"}', filter => 'id > 100',
	reverse => $${"id": "id", "tags": "(SELECT array_agg(t.tag ORDER BY t.tag) FROM many_tag t WHERE t.id = src.id)"}$$) > 0 AS mapped;
SELECT migrate_set('sets', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('sets');
CALL migrate_run('sets');
SET client_min_messages = warning;
SELECT count(*) FROM migrate_verify('sets', 'range');
CALL migrate_wait('sets', '60 s');
RESET client_min_messages;
SELECT ranges > 1 AS ranges, source_rows, filtered, expanded, target_rows, checksum_match FROM migrate_ext.verifications WHERE migration = 'sets' AND method = 'range';
SELECT count(*) FROM migrate_verify('sets');
SELECT migrate_cutover('sets', 'switch');
DELETE FROM many_tag WHERE id IN (101, 102);
DELETE FROM many_tag WHERE id = 103 AND tag = 'b';
SELECT migrate_sync('sets') > 0 AS settled;
SELECT * FROM many WHERE id IN (1, 101, 102, 103) ORDER BY id;
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('sets');
SELECT migrate_rollback('sets');
SELECT migrate_drop('sets');
-- a null in the key of a row that the copy meets: it alone is rejected, and nothing stays in the queue
CREATE TABLE hole (id int PRIMARY KEY, tags text[]);
CREATE TABLE hole_tag (id int, tag text, PRIMARY KEY (id, tag));
INSERT INTO hole VALUES (1, '{a,NULL,b}'), (2, '{c}');
SELECT migrate_create('sets') > 0 AS created;
SELECT migrate_map('sets', 'hole', 'hole_tag', '{"id": "id", "tag": "unnest(tags)"}') > 0 AS mapped;
SELECT migrate_start('sets');
CALL migrate_run('sets');
TABLE hole_tag ORDER BY id, tag;
SELECT key, action, sqlstate FROM migrate_ext.rejected_rows WHERE migration = 'sets';
SELECT count(*) AS pending FROM migrate_ext.dirty_key;
SELECT migrate_rollback('sets');
SELECT migrate_drop('sets');
-- a part of a set that the new side has refused is not lost with what is written to the others
CREATE TABLE torn (id int PRIMARY KEY, tags text[]);
CREATE TABLE torn_tag (id int, place int, tag text CHECK (tag <> 'bad'), PRIMARY KEY (id, place));
INSERT INTO torn VALUES (1, '{a,bad,c}'), (2, '{a,b}');
SELECT migrate_create('sets') > 0 AS created;
SELECT migrate_map('sets', 'torn', 'torn_tag', '{"id": "id", "place": "generate_subscripts(tags, 1)", "tag": "unnest(tags)"}',
	reverse => $${"id": "id", "tags": "(SELECT array_agg(t.tag ORDER BY t.place) FROM torn_tag t WHERE t.id = src.id)"}$$) > 0 AS mapped;
SELECT migrate_set('sets', 'sync_interval', '0') IS NOT NULL AS set, migrate_set('sets', 'max_rejected_rate', '1') IS NOT NULL AS rate;
SELECT migrate_start('sets');
CALL migrate_run('sets');
SELECT rejected, checksum_match FROM migrate_verify('sets');
SELECT migrate_cutover('sets', 'switch');
SELECT pending, rejected, missing, extra, different, checksum_match FROM migrate_verify('sets');
SELECT migrate_repair('sets');
UPDATE torn_tag SET tag = upper(tag);
SELECT migrate_sync('sets') > 0 AS settled;
SELECT key, sqlstate, message FROM migrate_ext.dirty_key;
TABLE torn ORDER BY id;
SELECT migrate_rollback('sets');
SELECT migrate_rollback('sets', 'the row is as it was');
TABLE torn ORDER BY id;
SELECT migrate_drop('sets');
-- an array that is no array, in one of the rows
CREATE TABLE odd (id bigint PRIMARY KEY, body jsonb);
INSERT INTO odd SELECT i, CASE WHEN i = 7 THEN '"no array"'::jsonb WHEN i = 8 THEN 'null' ELSE jsonb_build_array('p' || i, 'q') END FROM generate_series(1, 20) i;
CREATE TABLE odd_item (id bigint, item text, PRIMARY KEY (id, item));
SELECT migrate_create('sets') > 0 AS created;
SELECT migrate_map('sets', 'odd', 'odd_item', '{"id": "id", "item": "jsonb_array_elements_text(body)"}') > 0 AS mapped;
SELECT severity, subject, finding FROM migrate_assess('sets') WHERE finding LIKE '%cannot be had%';
SELECT migrate_drop('sets');
SELECT migrate_create('sets') > 0 AS created;
SELECT migrate_map('sets', 'odd', 'odd_item', '{"id": "id", "item": "jsonb_array_elements_text(body)"}', filter => $$jsonb_typeof(body) = 'array'$$) > 0 AS mapped;
SELECT migrate_start('sets');
CALL migrate_run('sets');
SELECT source_rows, filtered, expanded, target_rows, checksum_match FROM migrate_verify('sets');
UPDATE odd SET body = '["now"]' WHERE id = 7;
UPDATE odd SET body = '1' WHERE id = 9;
SELECT source_rows, filtered, expanded, target_rows, checksum_match FROM migrate_verify('sets');
SELECT migrate_rollback('sets');
SELECT migrate_drop('sets');
-- the filter keeps rows from the set also where keys are only recorded, settled, rehearsed, or found by what is read elsewhere
TRUNCATE odd_item;
ALTER TABLE odd_item ADD label text;
CREATE TABLE label (id int PRIMARY KEY, label text);
INSERT INTO label VALUES (0, 'even'), (1, 'odd');
UPDATE odd SET body = '["p7", "q"]' WHERE id = 7;
SELECT migrate_create('sets') > 0 AS created;
SELECT migrate_map('sets', 'odd', 'odd_item', '{"id": "id", "item": "jsonb_array_elements_text(body)", "label": "(SELECT l.label FROM label l WHERE l.id = src.id % 2)"}',
	filter => $$jsonb_typeof(body) = 'array'$$, capture => 'queue') AS m \gset
SELECT migrate_set('sets', 'sync_interval', '0') IS NOT NULL AS set;
SELECT rows_tried, rows_rejected, errors FROM migrate_rehearse('sets');
SELECT migrate_start('sets');
CALL migrate_run('sets');
UPDATE odd SET body = '"none"' WHERE id = 10;
UPDATE odd SET body = '2' WHERE id = 9;
UPDATE label SET label = 'ODD' WHERE id = 1;
INSERT INTO migrate_ext.dirty_key (mapping_id, key, reason) VALUES (:m, '{"id": 9, "item": "p9"}', 'error');
SELECT key, reason, lookup IS NOT NULL AS lookup FROM migrate_ext.dirty_key ORDER BY key, reason;
SELECT migrate_add_rule('sets', :m, 'not this one', 'id = 11') > 0 AS ruled;
SELECT migrate_sync('sets') > 0 AS settled;
SELECT count(*) FROM migrate_ext.dirty_key;
SELECT source_rows, filtered, expanded, rejected, target_rows, checksum_match FROM migrate_verify('sets');
SELECT label, count(*) FROM odd_item GROUP BY 1 ORDER BY 1;
SELECT migrate_rollback('sets');
SELECT migrate_drop('sets');
SET client_min_messages = warning;
DROP SCHEMA sets CASCADE;
