-- ways to verify: ranges of keys by a worker, random rows, repaired keys; and the ledger in checksums
SET client_min_messages = warning;
CREATE SCHEMA "v o'Brien; --";
CREATE TABLE "v o'Brien; --".source (tenant int, name text COLLATE "C", v text, n numeric, kind text, PRIMARY KEY (tenant, name));
CREATE TABLE vf_target (name text COLLATE "POSIX", tenant bigint, v text, n numeric(10,2), PRIMARY KEY (tenant, name));
INSERT INTO "v o'Brien; --".source SELECT i % 7, CASE i % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'B' ELSE 'ä''' END || i, 'v' || i, i, CASE WHEN i % 10 = 0 THEN 'no' END
	FROM generate_series(1, 50000) i;
SELECT migrate_create('vf') > 0 AS created;
SELECT migrate_map('vf', '"v o''Brien; --".source', 'vf_target', '{"tenant": "tenant", "name": "name", "v": "v", "n": "n"}',
	filter => 'kind IS NULL') AS m \gset
SELECT migrate_start('vf');

-- before and while rows are copied, those that are not there yet are pending: the ledger explains them in rows and in checksums
INSERT INTO "v o'Brien; --".source VALUES (100, 'new', 'dual', 1, NULL);
SELECT source_rows, target_rows, filtered, pending, missing, extra, different, checksum_match FROM migrate_verify('vf');
SELECT line, rows, explained, checksum IS NULL AS none, checksum = repeat('0', 32) AS zero FROM migrate_ledger('vf');
CALL migrate_run('vf');
SELECT source_rows, target_rows, filtered, pending, missing, extra, different, checksum_match FROM migrate_verify('vf');
SELECT line, rows, explained, checksum = (SELECT checksum FROM migrate_ledger('vf') WHERE line = 'target') AS as_target FROM migrate_ledger('vf');

-- by ranges: the worker compares all rows, a snapshot a range
SELECT source_rows, target_rows, checksum_match FROM migrate_verify('vf', 'range');
CALL migrate_wait('vf', '1 minute');
SELECT method, finished, clean, newest, source_rows, target_rows, filtered, pending, missing, extra, different, ranges > 2 AS several, position FROM migrate_ext.verifications
	WHERE migration = 'vf' ORDER BY verification_id DESC LIMIT 1;
SELECT count(DISTINCT (source_rows, target_rows, filtered, source_checksum, target_checksum)) FROM migrate_ext.verifications WHERE migration = 'vf' AND clean;
SELECT phase FROM migrate_status('vf');

-- and finds what differs, at either end and in between, once
SET session_replication_role = replica;
INSERT INTO vf_target VALUES ('', -5, 'first', 0), ('z', 1000, 'last', 0), ('a5', 3, 'between', 0);
DELETE FROM vf_target WHERE n IN (1, 49999) OR n = 12001;
UPDATE vf_target SET v = 'x' WHERE n IN (2, 12002, 49998);
UPDATE vf_target SET n = 12003.01 WHERE n = 12003;
RESET session_replication_role;
SELECT count(*) FROM migrate_verify('vf', 'range');
CALL migrate_wait('vf', '1 minute');
SELECT source_rows, target_rows, pending, missing, extra, different, checksum_match, clean, finished FROM migrate_ext.verifications WHERE migration = 'vf' AND newest;
SELECT kind, key, columns FROM migrate_divergence('vf') ORDER BY 1, (key ->> 'tenant')::int, key ->> 'name' COLLATE "C";
SELECT line, rows, explained, checksum = repeat('0', 32) AS zero FROM migrate_ledger('vf') WHERE line IN ('pending', 'unexplained');
SELECT missing, extra, different FROM migrate_verify('vf');

-- keys in the queue are pending there, too
INSERT INTO migrate_ext.dirty_key (mapping_id, key, reason) SELECT mapping, key, 'reconcile' FROM migrate_divergence('vf') WHERE kind = 'extra';
SELECT count(*) FROM migrate_verify('vf', 'range');
CALL migrate_wait('vf', '1 minute');
SELECT pending, missing, extra, different, checksum_match, clean FROM migrate_ext.verifications WHERE migration = 'vf' AND newest;
SELECT line, rows, explained FROM migrate_ledger('vf') WHERE line IN ('pending', 'unexplained');
DELETE FROM migrate_ext.dirty_key;

-- the way into soak asks for one snapshot
SELECT criterion, threshold, measured, passed FROM migrate_gate('vf', 'shadow') WHERE criterion LIKE 'verif%';
SELECT threshold, passed FROM migrate_gate('vf', 'soak') WHERE criterion LIKE 'verif%';

-- a sample: these rows only, no proof
SELECT source_rows <= 50 AS few, source_rows >= 25 AS some, missing + extra + different BETWEEN 0 AND 10 AS perhaps FROM migrate_verify('vf', sample_rows => 50);
SELECT source_rows, target_rows, missing, extra, different, checksum_match FROM migrate_verify('vf', 'sample', 1000000);
SELECT method, newest FROM migrate_ext.verifications WHERE migration = 'vf' ORDER BY verification_id DESC LIMIT 2;
SELECT migrate_set('vf', 'sample_rows', '20');
SELECT source_rows BETWEEN 10 AND 20 AS ok FROM migrate_verify('vf', 'sample');
ANALYZE "v o'Brien; --".source, vf_target;
SELECT source_rows BETWEEN 10 AND 20 AS ok FROM migrate_verify('vf', 'sample');

-- repaired keys are compared once more; that is no verification of all
SELECT migrate_repair('vf');
SELECT method, source_rows, target_rows, missing, extra, different, clean, newest FROM migrate_ext.verifications WHERE migration = 'vf' ORDER BY verification_id DESC LIMIT 1;
SELECT measured, passed FROM migrate_gate('vf', 'shadow') WHERE criterion LIKE 'verif%';
SELECT missing, extra, different, checksum_match FROM migrate_verify('vf');
SELECT bool_and(explained) FROM migrate_ledger('vf');

-- what is pending explains rows that differ or are extra, too, to the bit
SET session_replication_role = replica;
UPDATE vf_target SET v = 'x' WHERE n = 2;
INSERT INTO vf_target VALUES ('', -5, 'first', 0);
RESET session_replication_role;
INSERT INTO migrate_ext.dirty_key (mapping_id, key, reason) VALUES (:m, '{"name": "", "tenant": -5}', 'reconcile'), (:m, '{"name": "ä''2", "tenant": 2}', 'reconcile');
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('vf');
SELECT line, rows, explained, checksum = repeat('0', 32) AS zero FROM migrate_ledger('vf') WHERE line IN ('pending', 'unexplained');
SELECT migrate_sync('vf');
SELECT pending, checksum_match FROM migrate_verify('vf');

-- what cannot be asked for
\set VERBOSITY terse
SELECT migrate_verify('vf', 'guess');
SELECT migrate_verify('vf', 'range', 10);
SELECT migrate_verify('vf', 'sample', 0);
\set VERBOSITY default
SELECT migrate_rollback('vf');
SELECT migrate_drop('vf');
DROP TABLE vf_target;
DROP SCHEMA "v o'Brien; --" CASCADE;

-- sides of different collations, keys that may be null, and a key of an expression
CREATE COLLATION vn_folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE vn_source (k text COLLATE "C" UNIQUE, v int);
CREATE TABLE vn_target (k text COLLATE "en-x-icu" PRIMARY KEY, v int);
CREATE TABLE vn_folded (k text COLLATE vn_folding PRIMARY KEY, v int);
INSERT INTO vn_source SELECT chr(97 + i % 26) || CASE WHEN i % 2 = 0 THEN upper(chr(97 + i % 13)) ELSE '-' END || i, i FROM generate_series(1, 30000) i;
SELECT migrate_create('vn') > 0 AS created;
SELECT migrate_map('vn', 'vn_source', 'vn_target', key => '{k}') > 0 AS mapped;
SELECT migrate_map('vn', 'vn_source', 'vn_folded', key => '{k}', capture => 'queue') > 0 AS mapped;
SELECT migrate_set('vn', 'sync_interval', '0');
SELECT migrate_start('vn');
CALL migrate_run('vn');
UPDATE vn_source SET k = k || '!' WHERE v % 1000 = 0;
UPDATE vn_source SET v = -v WHERE v % 1000 = 1;
DELETE FROM vn_source WHERE v % 1000 = 2;
UPDATE vn_source SET k = upper(k) WHERE v % 1000 = 3;
SELECT migrate_sync('vn');
SELECT missing, extra, different, checksum_match FROM migrate_verify('vn');
SET session_replication_role = replica;
ALTER TABLE vn_target DROP CONSTRAINT vn_target_pkey, ADD UNIQUE (k), ALTER k DROP NOT NULL;
INSERT INTO vn_target VALUES (NULL, 1), (NULL, 2);
DELETE FROM vn_target WHERE v IN (-1, 30000);
UPDATE vn_folded SET k = lower(k) WHERE v = 3;
RESET session_replication_role;
SELECT count(*) FROM migrate_verify('vn', 'range');
CALL migrate_wait('vn', '1 minute');
SELECT source_rows, target_rows, missing, extra, different, ranges >= 2 AS several FROM migrate_ext.verifications WHERE migration = 'vn' AND newest ORDER BY mapping;
SELECT kind, key, columns FROM migrate_divergence('vn') ORDER BY 1, 2;
SELECT migrate_repair('vn');
SELECT missing, extra, different, checksum_match FROM migrate_verify('vn');
SELECT migrate_rollback('vn');
SELECT migrate_drop('vn');
DROP TABLE vn_source, vn_target, vn_folded;
DROP COLLATION vn_folding;

-- an empty source; a type whose order is not the server's
CREATE TABLE ve_source (id int PRIMARY KEY, v int);
CREATE TABLE ve_target (id int PRIMARY KEY, v int);
SELECT migrate_create('ve') > 0 AS created;
SELECT migrate_map('ve', 've_source', 've_target') > 0 AS mapped;
SELECT migrate_start('ve');
CALL migrate_run('ve');
SELECT source_rows FROM migrate_verify('ve', 'range');
CALL migrate_wait('ve', '1 minute');
SELECT source_rows, target_rows, clean, ranges FROM migrate_ext.verifications WHERE migration = 've' AND newest;
SELECT source_rows, target_rows, checksum_match FROM migrate_verify('ve', sample_rows => 10);
SELECT migrate_rollback('ve');
SELECT migrate_drop('ve');
DROP TABLE ve_source, ve_target;
RESET client_min_messages;
