-- New keys for old ones: given out once, by whoever needs one first, and found again by children and on the way back.
CREATE SCHEMA key_map;
SET search_path = key_map, public;
\set VERBOSITY terse
CREATE TABLE cust (code text PRIMARY KEY, name text);
CREATE TABLE ord (shop int, no int, cust text REFERENCES cust ON UPDATE CASCADE, total int, PRIMARY KEY (shop, no));
CREATE TABLE line (shop int, no int, pos int, what text, PRIMARY KEY (shop, no, pos), FOREIGN KEY (shop, no) REFERENCES ord ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE "new o'cust" (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code text, name text);
CREATE TABLE new_ord (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), cust_id bigint REFERENCES "new o'cust", total int);
CREATE TABLE new_line (ord_id uuid REFERENCES new_ord ON DELETE CASCADE, pos int, what text, PRIMARY KEY (ord_id, pos));
INSERT INTO cust SELECT 'c' || i, 'n' || i FROM generate_series(1, 50) i;
INSERT INTO ord SELECT i % 3, i, nullif('c' || (i % 50), 'c0'), i FROM generate_series(1, 200) i;
INSERT INTO line SELECT i % 3, i, p, 'w' || p FROM generate_series(1, 200) i, generate_series(1, 3) p;
-- what both sides say, without the keys
CREATE VIEW old_side AS SELECT c.code, c.name, o.total, l.pos, l.what FROM cust c FULL JOIN ord o ON o.cust = c.code FULL JOIN line l USING (shop, no);
CREATE VIEW new_side AS SELECT c.code, c.name, o.total, l.pos, l.what FROM "new o'cust" c FULL JOIN new_ord o ON o.cust_id = c.id FULL JOIN new_line l ON l.ord_id = o.id;
CREATE VIEW wrong AS (TABLE old_side EXCEPT ALL TABLE new_side) UNION ALL (TABLE new_side EXCEPT ALL TABLE old_side);
SELECT migrate_create('km') > 0 AS created;
-- refused
SELECT migrate_map('km', 'cust', '"new o''cust"', '{"id": "migrate_lookup(''km'', NULL, code)", "name": "migrate_lookup(''km'', NULL, code)"}');
SELECT migrate_map('km', 'cust', 'new_line', '{"ord_id": "migrate_lookup(''km'', NULL, code)", "pos": "1"}');
SELECT migrate_map('km', 'cust', '"new o''cust"', '{"id": "migrate_lookup(''km'', 999, code)", "code": "code"}') > 0 AS of_no_mapping;
SELECT migrate_lookup('km', NULL, 'c1'::text);
SELECT migrate_lookup('km', 999, 'c1'::text);
SELECT migrate_unmap('km', (SELECT max(mapping) FROM migrate_ext.mappings WHERE direction = 'forward'));
SELECT migrate_map('km', 'cust', '"new o''cust"', $${"id": "migrate_lookup('km', NULL, code)", "code": "code", "name": "name"}$$) AS cust \gset
SELECT migrate_map('km', 'ord', 'new_ord', format($${"id": "migrate_lookup('km', NULL, shop, no)", "cust_id": "migrate_lookup('km', %s, cust)", "total": "total"}$$, :cust)::jsonb) AS ord \gset
SELECT migrate_map('km', 'line', 'new_line', format($${"ord_id": "migrate_lookup('km', %s, shop, no)", "pos": "pos", "what": "what"}$$, :ord)::jsonb) AS line \gset
SELECT m.source, m.target, m.direction, m.key, c.target_column, c.made_of, c.part, c.parts, c.map = :cust AS of_cust FROM migrate_ext.mappings m JOIN migrate_ext.mapping_column c ON mapping_id = mapping
	WHERE migration = 'km' AND map IS NOT NULL ORDER BY mapping, ordinal;
SELECT severity, subject, finding FROM migrate_assess('km') WHERE severity <> 'info';
SELECT mapping IS NULL AS swap, rows_tried, rows_rejected, errors FROM migrate_rehearse('km') WHERE mapping IS NOT NULL;
SELECT count(*) AS kept_of_rehearsal FROM migrate_ext.key_map;
SELECT migrate_set('km', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('km');
-- before the copy: a child whose parent was not copied, a parent and its child
INSERT INTO line VALUES (0, 3, 9, 'before its parent');
INSERT INTO cust VALUES ('early', 'bird');
INSERT INTO ord VALUES (9, 9, 'early', 9);
INSERT INTO line VALUES (9, 9, 1, 'early');
CREATE TABLE given AS SELECT * FROM migrate_ext.key_map;
CALL migrate_run('km');
TABLE wrong;
SELECT source_rows, target_rows, pending, missing, extra, different, checksum_match FROM migrate_verify('km');
SELECT count(*) >= 3 AS given, count(*) FILTER (WHERE k.target_key IS DISTINCT FROM g.target_key) AS changed FROM given g LEFT JOIN migrate_ext.key_map k USING (mapping_id, source_key);
SELECT (SELECT count(*) FROM migrate_ext.key_map) = (SELECT count(*) FROM cust) + (SELECT count(*) FROM ord) AS one_each;
UPDATE cust SET name = 'changed' WHERE code IN ('c5', 'early');
UPDATE cust SET code = 'renamed' WHERE code = 'c6';
DELETE FROM ord WHERE no IN (7, 8);
UPDATE ord SET no = 7000, total = 7000 WHERE no = 10;
INSERT INTO ord VALUES (1, 7, 'c1', 7) ;
INSERT INTO line VALUES (1, 7, 1, 'again');
-- a customer whose orders still name it: these are settled first
SELECT migrate_sync('km') >= 0 AS synced;
SELECT migrate_sync('km') >= 0 AS synced;
TABLE wrong;
SELECT source_rows, target_rows, pending, missing, extra, different, checksum_match FROM migrate_verify('km');
-- the same key again for one that comes back; whoever asks gets what there is
SELECT k.target_key = o.id::text AS same FROM migrate_ext.key_map k, new_ord o WHERE k.source_key = '["1", "7"]' AND o.total = 7;
SELECT migrate_lookup('km', :cust, 'c5'::text) = id::text AS found, migrate_lookup('km', :cust, 'nobody'::text), migrate_lookup('km', :ord, 1, NULL::int) FROM "new o'cust" WHERE code = 'c5';
-- damage is found and repaired
UPDATE new_ord SET total = 0 WHERE total = 20;
DELETE FROM new_line WHERE what = 'early';
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('km');
SELECT migrate_repair('km');
TABLE wrong;
SELECT bool_and(checksum_match) FROM migrate_verify('km');
SELECT reads > 0 AS read, mismatches FROM migrate_shadow_read('km', 100);

-- and back
SELECT migrate_cutover('km', 'switch', force => true, reason => 'reads are not as fast');
UPDATE "new o'cust" SET name = 'after' WHERE code = 'c9';
UPDATE new_ord SET total = -1, cust_id = (SELECT id FROM "new o'cust" WHERE code = 'c11') WHERE total = 12;
DELETE FROM new_ord WHERE total = 30;
INSERT INTO "new o'cust" (code, name) VALUES ('brandnew', 'x');
INSERT INTO new_line SELECT id, 77, 'added' FROM new_ord WHERE total = -1;
SELECT migrate_sync('km') > 0 AS synced;
TABLE wrong;
SELECT source_rows, target_rows, pending, missing, extra, different, checksum_match FROM migrate_verify('km');
-- an order that has no old key: it is not lost without a word
INSERT INTO new_ord (total) VALUES (5555);
SELECT migrate_sync('km');
SELECT reason, key, message FROM migrate_ext.dirty_key;
SELECT migrate_rollback('km');
DELETE FROM new_ord WHERE total = 5555;
SELECT migrate_sync('km');
SELECT migrate_rollback('km');
TABLE wrong;
SELECT migrate_drop('km');
SELECT count(*) FROM migrate_ext.key_map;
DROP TABLE given;

-- sources with the same keys merged into one table; on the way back each has its own rows, and an old key is taken for a new row of one source
CREATE TABLE a (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, v text);
CREATE TABLE b (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, v text);
CREATE TABLE c (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, v text);
CREATE TABLE merged (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, v text);
CREATE TABLE alone (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, v text);
INSERT INTO a (v) SELECT 'a' || i FROM generate_series(1, 30) i;
INSERT INTO b (v) SELECT 'b' || i FROM generate_series(1, 40) i;
INSERT INTO c (v) SELECT 'c' || i FROM generate_series(1, 20) i;
CREATE VIEW wrong_merge AS (SELECT v FROM (TABLE a UNION ALL TABLE b) x EXCEPT ALL SELECT v FROM merged) UNION ALL (SELECT v FROM merged EXCEPT ALL SELECT v FROM (TABLE a UNION ALL TABLE b) x)
	UNION ALL (SELECT v FROM c EXCEPT ALL SELECT v FROM alone) UNION ALL (SELECT v FROM alone EXCEPT ALL SELECT v FROM c);
SELECT migrate_create('km') > 0 AS created;
SELECT migrate_map('km', 'a', 'merged', $${"id": "migrate_lookup('km', NULL, id)", "v": "v"}$$) > 0 AS mapped;
SELECT migrate_map('km', 'b', 'merged', $${"id": "migrate_lookup('km', NULL, id)", "v": "v"}$$) > 0 AS mapped;
SELECT migrate_map('km', 'c', 'alone', $${"id": "migrate_lookup('km', NULL, id)", "v": "v"}$$) > 0 AS mapped;
SELECT migrate_set('km', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('km');
CALL migrate_run('km');
UPDATE a SET v = 'changed a' WHERE id = 3;
DELETE FROM b WHERE id = 3;
INSERT INTO b (v) VALUES ('new b');
TABLE wrong_merge;
SELECT source_rows, target_rows, pending, missing, extra, different, checksum_match FROM migrate_verify('km');
-- a row that nobody has given is too many for both
INSERT INTO merged VALUES (100000, 'alien');
SELECT source_rows, target_rows, pending, missing, extra, different, checksum_match FROM migrate_verify('km');
SELECT migrate_repair('km');
TABLE wrong_merge;
SELECT bool_and(checksum_match) FROM migrate_verify('km');
SELECT migrate_cutover('km', 'switch');
UPDATE merged SET v = v || '!' WHERE v IN ('a7', 'b7');
DELETE FROM merged WHERE v = 'a8';
INSERT INTO alone (v) VALUES ('new in c');
SELECT migrate_sync('km') >= 0 AS synced;
TABLE wrong_merge;
SELECT id = (SELECT max(id) FROM c) AS next FROM c WHERE v = 'new in c';
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('km');
SELECT migrate_rollback('km');
INSERT INTO c (v) VALUES ('goes on') RETURNING id;
SELECT migrate_drop('km');

-- one batch of more rows than a batch of keys: each old key gets one value of the default, of which none is taken for nothing
CREATE TABLE many (shop int, no int, PRIMARY KEY (shop, no));
CREATE TABLE many_line (id int PRIMARY KEY, shop int, no int);
CREATE TABLE new_many (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, shop int, no int);
CREATE TABLE new_many_line (id int PRIMARY KEY, many_id int);
INSERT INTO many SELECT i % 7, i FROM generate_series(1, 12000) i;
INSERT INTO many_line SELECT i, j % 7, j FROM (SELECT i, 1 + i * 7919 % 12000 AS j FROM generate_series(1, 13000) i) x;
SELECT migrate_create('km') > 0 AS created;
SELECT migrate_map('km', 'many', 'new_many', $${"id": "migrate_lookup('km', NULL, shop, no)", "shop": "shop", "no": "no"}$$) AS many \gset
SELECT migrate_map('km', 'many_line', 'new_many_line', format($${"id": "id", "many_id": "migrate_lookup('km', %s, shop, no)"}$$, :many)::jsonb) > 0 AS mapped;
SELECT migrate_set('km', 'sync_interval', '0') IS NOT NULL AND migrate_set('km', 'batch_rows', '1000000') IS NOT NULL AS set;
SELECT migrate_start('km');
CALL migrate_run('km');
SELECT count(*), count(DISTINCT target_key), max(target_key::int) FROM migrate_ext.key_map;
SELECT count(*) AS wrong FROM many_line l LEFT JOIN new_many_line n USING (id) LEFT JOIN new_many m ON m.id = n.many_id WHERE (m.shop, m.no) IS DISTINCT FROM (l.shop, l.no);
SELECT bool_and(checksum_match) FROM migrate_verify('km');
SELECT migrate_rollback('km');
SELECT migrate_drop('km');
SET client_min_messages = warning;
DROP SCHEMA key_map CASCADE;
