-- Tables that expressions read: a row of them that changes makes the keys dirty that it concerns.
CREATE SCHEMA lookups;
SET search_path = lookups, public;
\set VERBOSITY terse
CREATE TABLE "ki'nd" (kind text PRIMARY KEY, label text, memo text);
CREATE TABLE parent (id bigint PRIMARY KEY, name text, region int) PARTITION BY RANGE (id);
CREATE TABLE parent_1 PARTITION OF parent FOR VALUES FROM (0) TO (26);
CREATE TABLE parent_2 PARTITION OF parent FOR VALUES FROM (26) TO (100000);
CREATE TABLE banned (item int PRIMARY KEY);
CREATE TABLE item (id int PRIMARY KEY, kind varchar(10), p int, q int, n int);
CREATE TABLE item_new (id int PRIMARY KEY, label text, pname text, qname text, siblings bigint, n int);
INSERT INTO "ki'nd" SELECT 'k' || i, 'L' || i FROM generate_series(0, 8) i;
INSERT INTO parent SELECT i, 'p' || i, i % 3 FROM generate_series(1, 50) i;
INSERT INTO item SELECT i, 'k' || i % 10, nullif(i % 50, 0), i % 7, i FROM generate_series(1, 300) i;
INSERT INTO banned VALUES (1), (2);
CREATE VIEW wanted AS SELECT i.id, (SELECT k.label FROM "ki'nd" k WHERE k.kind = i.kind) AS label, (SELECT x.name FROM parent x WHERE x.id = i.p) AS pname,
	(SELECT x.name FROM parent x WHERE x.id = i.q AND x.region = 1) AS qname, (SELECT count(*) FROM item j WHERE j.p = i.p) AS siblings, i.n
	FROM item i WHERE NOT EXISTS (SELECT FROM banned b WHERE b.item = i.id) AND (SELECT k.memo FROM "ki'nd" k WHERE k.kind = i.kind) IS DISTINCT FROM 'no';
-- what is wrong, before and after a sync; the sync is asked for how many keys it settled
CREATE FUNCTION verdict(OUT settled bigint, OUT wrong bigint, OUT clean boolean) LANGUAGE plpgsql AS $$
BEGIN
	settled := migrate_sync('lookups');
	SELECT count(*) INTO wrong FROM ((TABLE wanted EXCEPT TABLE item_new) UNION ALL (TABLE item_new EXCEPT TABLE wanted)) x;
	SELECT bool_and(checksum_match AND pending = 0) INTO clean FROM migrate_verify('lookups');
END $$;
SELECT migrate_create('lookups') > 0 AS created;
SELECT migrate_map('lookups', 'item', 'item_new', $${"id": "id", "label": "(SELECT k.label FROM \"ki'nd\" k WHERE k.kind = src.kind)",
	"pname": "(SELECT name FROM parent x WHERE src.p = x.id)", "qname": "(SELECT name FROM parent x WHERE x.id = src.q AND region = 1)",
	"siblings": "(SELECT count(*) FROM item j WHERE j.p = src.p)", "n": "n"}$$,
	filter => 'NOT EXISTS (SELECT FROM banned b WHERE b.item = src.id)') AS m \gset
SELECT migrate_add_rule('lookups', :m, 'kind says no', $$(SELECT k.memo FROM "ki'nd" k WHERE k.kind = src.kind) = 'no'$$) > 0 AS ruled;
SELECT severity, subject, finding FROM migrate_assess('lookups') WHERE severity <> 'blocker' AND subject NOT LIKE 'cutover%';
SELECT migrate_set('lookups', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('lookups');
CALL migrate_run('lookups');
SELECT * FROM verdict();
SELECT tgrelid::regclass, regexp_replace(tgname, '[0-9]+', 'N') AS tgname, tgenabled FROM pg_trigger WHERE tgname LIKE '%lookup\_%' ORDER BY 1, 2;

-- noted is what was and is there in the columns that are compared
UPDATE "ki'nd" SET label = 'changed' WHERE kind = 'k1';
UPDATE parent SET id = 1000 WHERE id = 3;
SELECT reason, key, lookup - 'relation' AS lookup FROM migrate_ext.dirty_key ORDER BY dirty_key_id;
SELECT pending > 0 AS pending, missing, extra, different FROM migrate_verify('lookups');
SELECT * FROM verdict();
-- a change of a column that nothing reads is none; nor is one that is rolled back
UPDATE parent SET region = region, name = name;
UPDATE "ki'nd" SET label = label || '' WHERE kind = 'k2';
BEGIN; DELETE FROM "ki'nd"; ROLLBACK;
TABLE migrate_ext.dirty_key;
-- every kind of statement, through the partitioned table and its partitions
DELETE FROM "ki'nd" WHERE kind IN ('k2', 'k3');
INSERT INTO "ki'nd" VALUES ('k9', 'came late', NULL), ('k3', 'came back', NULL);
SELECT * FROM verdict();
UPDATE parent_1 SET name = 'by partition' WHERE id < 5;
INSERT INTO parent_2 VALUES (3000, 'unused', 1);
MERGE INTO parent p USING (VALUES (10), (4000)) v (id) ON p.id = v.id WHEN MATCHED THEN UPDATE SET region = 1, name = 'merged' WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'new', 1);
UPDATE parent SET id = id + 60000 WHERE id = 8;
SELECT * FROM verdict();
COPY banned FROM STDIN;
7
8
\.
SELECT * FROM verdict();
TRUNCATE banned;
SELECT reason, key, lookup FROM migrate_ext.dirty_key;
SELECT * FROM verdict();
-- a rule; a row that enters the target with it
UPDATE "ki'nd" SET memo = 'no' WHERE kind = 'k4';
SELECT * FROM verdict();
SELECT count(*) FROM migrate_rejected('lookups') WHERE rule IS NOT NULL;
SELECT rule, action, bool_and(source_row ->> 'kind' = 'k4' AND key ->> 'id' = source_row ->> 'id') AS right FROM migrate_rejected('lookups') GROUP BY 1, 2;
UPDATE item SET kind = 'k5' WHERE id = 4;
UPDATE "ki'nd" SET memo = 'no' WHERE kind = 'k5';
SELECT * FROM verdict();
SELECT source_row ->> 'kind' AS kind, count(*), (SELECT sum(rejected_rows) FROM migrate_progress('lookups')) AS all FROM migrate_rejected('lookups') GROUP BY 1 ORDER BY 1;
UPDATE "ki'nd" SET memo = NULL WHERE kind IN ('k4', 'k5');
SELECT * FROM verdict();
SELECT count(*) FROM migrate_rejected('lookups');
UPDATE item SET kind = 'k4' WHERE id = 4;
-- the source itself is read, too
DELETE FROM item WHERE id IN (101, 102);
INSERT INTO item VALUES (400, 'k5', 7, 3, 1);
UPDATE item SET p = 12 WHERE id = 13;
SELECT * FROM verdict();
-- very many
INSERT INTO parent SELECT i, 'x' || i FROM generate_series(5000, 7000) i;
SELECT count(*), count(lookup) FROM migrate_ext.dirty_key WHERE reason = 'lookup';
SELECT * FROM verdict();
-- as a replica gets it
SET session_replication_role = replica;
UPDATE "ki'nd" SET label = 'replicated' WHERE kind = 'k6';
RESET session_replication_role;
SELECT * FROM verdict();
-- a new partition is watched, too; what an expression reads cannot be dropped
CREATE TABLE parent_3 PARTITION OF parent FOR VALUES FROM (100000) TO (200000);
UPDATE item SET p = 100001 WHERE id = 50;
INSERT INTO parent_3 VALUES (100001, 'in a new partition', 1);
SELECT * FROM verdict();
ALTER TABLE "ki'nd" DROP COLUMN label CASCADE;
DROP TABLE banned CASCADE;
DO $$ DECLARE t text;
BEGIN
	SELECT tgname INTO t FROM pg_trigger WHERE tgrelid = 'banned'::regclass AND tgname LIKE '%insert';
	EXECUTE format('DROP TRIGGER %I ON banned', t);
EXCEPTION WHEN dependent_objects_still_exist THEN RAISE NOTICE 'refused';
END $$;
-- rows that change without a write
ALTER TABLE banned ADD extra float8 DEFAULT random();
SELECT reason FROM migrate_ext.dirty_key;
SELECT * FROM verdict();
ALTER TABLE parent DETACH PARTITION parent_3;
SELECT * FROM verdict();
-- nobody asks: a worker does it
SELECT migrate_set('lookups', 'sync_interval', NULL);
UPDATE "ki'nd" SET label = 'by the worker' WHERE kind = 'k7';
DO $$ BEGIN
	FOR i IN 1..300 LOOP
		EXIT WHEN NOT EXISTS (SELECT FROM migrate_ext.dirty_key);
		PERFORM pg_sleep(0.1);
	END LOOP; END $$;
SELECT count(*) AS left_over FROM migrate_ext.dirty_key;
SELECT migrate_set('lookups', 'sync_interval', '0') IS NOT NULL AS set;
SELECT wrong, clean FROM verdict();
-- noted for what the mapping does not read any more: any key
UPDATE item_new SET label = 'damaged' WHERE id = 20;
INSERT INTO migrate_ext.dirty_key (mapping_id, reason, lookup) VALUES (:m, 'lookup', '{"relation": 0, "columns": ["x"], "values": ["1"]}');
SELECT * FROM verdict();
SELECT migrate_rollback('lookups');
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'migrate\_ext\_%' AND tgname LIKE '%lookup%';
SELECT migrate_drop('lookups');

-- a subquery of several tables, or without a comparison: any key; one in dedupe_by; and on the way back
CREATE TABLE rate (currency text PRIMARY KEY, rate numeric);
CREATE TABLE fee (region int, fee numeric);
CREATE TABLE sale (id int PRIMARY KEY, code text NOT NULL, currency text, cents int);
CREATE TABLE sale_new (code text PRIMARY KEY, id int NOT NULL UNIQUE, currency text, amount numeric, total numeric, nested text);
INSERT INTO rate VALUES ('EUR', 1), ('USD', 2);
INSERT INTO fee VALUES (1, 0.5), (2, 1);
INSERT INTO sale SELECT i, 'c' || i % 30, CASE i % 2 WHEN 0 THEN 'EUR' ELSE 'USD' END, i FROM generate_series(1, 100) i;
SELECT migrate_create('lookups') > 0 AS created;
SELECT migrate_map('lookups', 'sale', 'sale_new', '{"code": "code", "id": "id", "currency": "currency", "amount": "cents * (SELECT rate FROM rate r WHERE r.currency = src.currency)",
	"total": "(SELECT sum(fee) FROM fee JOIN rate r ON r.rate = fee.region WHERE r.currency = src.currency)",
	"nested": "(SELECT r.rate || (SELECT max(fee) FROM fee)::text FROM rate r WHERE r.currency = src.currency)"}',
	dedupe_by => '(SELECT rate FROM rate r WHERE r.currency = src.currency) DESC, id',
	reverse => '{"cents": "amount / (SELECT rate FROM rate r WHERE r.currency = src.currency)"}') > 0 AS mapped;
CREATE VIEW wanted_sale AS SELECT DISTINCT ON (code) code, id, currency, cents * (SELECT rate FROM rate r WHERE r.currency = s.currency) AS amount,
	(SELECT sum(fee) FROM fee JOIN rate r ON r.rate = fee.region WHERE r.currency = s.currency) AS total,
	(SELECT r.rate || (SELECT max(fee) FROM fee)::text FROM rate r WHERE r.currency = s.currency) AS nested
	FROM sale s ORDER BY code, (SELECT rate FROM rate r WHERE r.currency = s.currency) DESC, id;
SELECT migrate_set('lookups', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('lookups');
CALL migrate_run('lookups');
CREATE FUNCTION verdict_sale(OUT settled boolean, OUT wrong bigint, OUT clean boolean) LANGUAGE plpgsql AS $$
BEGIN
	settled := migrate_sync('lookups') > 0;
	SELECT count(*) INTO wrong FROM ((TABLE wanted_sale EXCEPT TABLE sale_new) UNION ALL (TABLE sale_new EXCEPT TABLE wanted_sale)) x;
	SELECT bool_and(checksum_match AND pending = 0) INTO clean FROM migrate_verify('lookups');
END $$;
SELECT * FROM verdict_sale();
UPDATE fee SET fee = 7 WHERE region = 2;
INSERT INTO fee VALUES (3, 9);
SELECT * FROM verdict_sale();
UPDATE rate SET rate = CASE currency WHEN 'EUR' THEN 2 ELSE 1 END;
SELECT * FROM verdict_sale();
DELETE FROM fee;
SELECT * FROM verdict_sale();
SELECT migrate_cutover('lookups', 'switch', force => true, reason => 'test');
SELECT tgrelid::regclass, regexp_replace(tgname, '[0-9]+', 'N') AS tgname FROM pg_trigger WHERE tgname LIKE '%lookup\_%' ORDER BY 1, 2;
UPDATE rate SET rate = 4 WHERE currency = 'EUR';
SELECT pending > 0 AS pending, missing, extra, different FROM migrate_verify('lookups');
SELECT migrate_sync('lookups') > 0 AS synced;
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('lookups');
SELECT count(*) AS wrong FROM sale_new n JOIN sale s USING (id) WHERE s.cents <> (n.amount / (SELECT rate FROM rate r WHERE r.currency = n.currency))::int;
SELECT migrate_rollback('lookups');
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'migrate\_ext\_%';
SELECT migrate_drop('lookups');

-- rules that may concern any key: who is rejected by which one is listed so, and those are left alone to whom nothing happened
CREATE TABLE closed (a int, b int);
CREATE TABLE order_old (id int PRIMARY KEY, n int);
CREATE TABLE order_new (id int PRIMARY KEY, n int);
INSERT INTO order_old SELECT i, i % 5 FROM generate_series(1, 50) i;
INSERT INTO closed VALUES (1, 10);
SELECT migrate_create('lookups') > 0 AS created;
SELECT migrate_map('lookups', 'order_old', 'order_new') AS m \gset
SELECT migrate_add_rule('lookups', :m, 'one', 'src.n IN (SELECT x.a FROM closed x JOIN closed y USING (a, b))') > 0 AS rule_1,
	migrate_add_rule('lookups', :m, 'two', 'src.n IN (SELECT x.b FROM closed x JOIN closed y USING (a, b))') > 0 AS rule_2;
SELECT migrate_set('lookups', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('lookups');
CALL migrate_run('lookups');
CREATE VIEW listed AS SELECT rule, source_row ->> 'n' AS n, count(*) FROM migrate_rejected('lookups') GROUP BY 1, 2;
TABLE listed ORDER BY 1, 2;
CREATE TABLE first_listed AS SELECT rejected_row_id FROM migrate_ext.rejected_row;
INSERT INTO closed VALUES (2, 11), (10, 3);
SELECT migrate_sync('lookups') AS settled;
TABLE listed ORDER BY 1, 2;
SELECT count(*) AS left_alone FROM migrate_ext.rejected_row JOIN first_listed USING (rejected_row_id);
UPDATE closed SET a = 12, b = 2 WHERE a = 2;
SELECT migrate_sync('lookups') AS settled;
TABLE listed ORDER BY 1, 2;
TRUNCATE closed;
SELECT migrate_sync('lookups') AS settled;
TABLE listed;
SELECT target_rows, checksum_match FROM migrate_verify('lookups');
SELECT migrate_rollback('lookups');
SELECT migrate_drop('lookups');
-- a key, or a set, that reads other tables: what a row had before their change is not told by them
CREATE TABLE code (id int PRIMARY KEY, code text, shown boolean);
CREATE TABLE thing (id int PRIMARY KEY, code int, tags int[]);
CREATE TABLE thing_new (code text, id int, PRIMARY KEY (code, id));
CREATE TABLE thing_tag (id int, tag text, PRIMARY KEY (id, tag));
CREATE TABLE thing_shown (id int PRIMARY KEY);
INSERT INTO code SELECT i, 'c' || i, true FROM generate_series(1, 5) i;
INSERT INTO thing SELECT i, 1 + i % 5, ARRAY[1 + i % 5, 1 + (i + 1) % 5] FROM generate_series(1, 20) i;
SELECT migrate_create('codes') > 0 AS created;
SELECT migrate_map('codes', 'thing', 'thing_new', '{"id": "id", "code": "(SELECT c.code FROM code c WHERE c.id = src.code)"}') > 0 AS mapped;
SELECT migrate_map('codes', 'thing', 'thing_tag', '{"id": "id", "tag": "unnest(ARRAY(SELECT c.code FROM code c WHERE c.id = ANY (src.tags)))"}') > 0 AS mapped;
SELECT migrate_map('codes', 'thing', 'thing_shown', '{"id": "id"}', filter => '(SELECT c.shown FROM code c WHERE c.id = src.code)') > 0 AS mapped;
SELECT migrate_set('codes', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('codes');
CALL migrate_run('codes');
CREATE VIEW codes_wrong AS
	SELECT (SELECT count(*) FROM ((SELECT c.code, t.id FROM thing t JOIN code c ON c.id = t.code EXCEPT ALL TABLE thing_new) UNION ALL (TABLE thing_new EXCEPT ALL SELECT c.code, t.id FROM thing t JOIN code c ON c.id = t.code)) x) AS keys,
		(SELECT count(*) FROM ((SELECT t.id, c.code FROM thing t JOIN code c ON c.id = ANY (t.tags) EXCEPT ALL TABLE thing_tag) UNION ALL (TABLE thing_tag EXCEPT ALL SELECT t.id, c.code FROM thing t JOIN code c ON c.id = ANY (t.tags))) x) AS sets,
		(SELECT count(*) FROM ((SELECT t.id FROM thing t JOIN code c ON c.id = t.code WHERE c.shown EXCEPT ALL TABLE thing_shown) UNION ALL (TABLE thing_shown EXCEPT ALL SELECT t.id FROM thing t JOIN code c ON c.id = t.code WHERE c.shown)) x) AS filters;
TABLE codes_wrong;
UPDATE code SET code = 'new' WHERE id = 2;
SELECT migrate_sync('codes') > 0 AS settled;
TABLE codes_wrong;
-- changed, and then the row goes, before anybody looks
UPDATE code SET code = 'newer' WHERE id = 3;
DELETE FROM thing WHERE code = 3 AND id < 10;
UPDATE thing SET id = id + 100 WHERE code = 3;
UPDATE code SET shown = false WHERE id = 4;
DELETE FROM thing WHERE code = 4 AND id < 10;
UPDATE thing SET id = id + 100 WHERE code = 4;
SELECT migrate_sync('codes') > 0 AS settled;
TABLE codes_wrong;
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('codes') ORDER BY mapping;
SELECT migrate_rollback('codes');
SELECT migrate_drop('codes');
DROP VIEW codes_wrong;
SET client_min_messages = warning;
DROP SCHEMA lookups CASCADE;
