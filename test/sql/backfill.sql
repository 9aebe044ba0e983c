-- The copy: what it meets, and how it ends.

-- An old target row (its dual write was deferred) holds the unique value of a row to be copied.  The rows of that
-- block are left to the sync at the end, which settles both together.
CREATE TABLE bf_source (id int PRIMARY KEY, u int UNIQUE DEFERRABLE);
CREATE TABLE bf_target (id int PRIMARY KEY, u int UNIQUE);
INSERT INTO bf_source VALUES (1, 1), (2, 2), (3, 3);
SELECT migrate_create('bf') > 0 AS created;
SELECT migrate_map('bf', 'bf_source', 'bf_target') > 0 AS mapped;
SELECT migrate_start('bf');
UPDATE bf_source SET u = u WHERE id < 3;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
UPDATE bf_source SET u = 2 WHERE id = 1;
UPDATE bf_source SET u = 1 WHERE id = 2;
COMMIT;
UPDATE bf_source SET u = 50 WHERE id = 1;
UPDATE bf_source SET u = 2 WHERE id = 3;
SELECT DISTINCT key, reason, sqlstate FROM migrate_ext.dirty_key ORDER BY key;
CALL migrate_run('bf');
SELECT state, pending_keys, error FROM migrate_progress('bf');
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('bf');
SELECT * FROM bf_target ORDER BY id;
SELECT migrate_rollback('bf');
SELECT migrate_drop('bf');

-- a value that the target really holds twice: the copy ends, one row is rejected, the gate stays shut
ALTER TABLE bf_source DROP CONSTRAINT bf_source_u_key;
UPDATE bf_source SET u = 7 WHERE id < 3;
TRUNCATE bf_target;
SELECT migrate_create('bf') > 0 AS created;
SELECT migrate_map('bf', 'bf_source', 'bf_target') > 0 AS mapped;
SELECT migrate_start('bf');
CALL migrate_run('bf');
SELECT state, pending_keys FROM migrate_progress('bf');
SELECT count(*), count(DISTINCT u) FROM bf_target;
SELECT action, sqlstate FROM migrate_rejected('bf');
SELECT rejected, pending, missing, checksum_match FROM migrate_verify('bf');
SELECT measured, passed FROM migrate_gate('bf') WHERE criterion LIKE 'rejected%';
SELECT kind, detail, reason IS NOT NULL AS reason FROM migrate_ext.history WHERE migration = 'bf' AND kind = 'alarm';
UPDATE bf_source SET u = id;
SELECT migrate_retry_rejected('bf');
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('bf');
SELECT migrate_rollback('bf');
SELECT migrate_drop('bf');

-- an empty source; rows of several blocks in batches of one
TRUNCATE bf_source, bf_target;
SELECT migrate_create('bf') > 0 AS created;
SELECT migrate_map('bf', 'bf_source', 'bf_target') > 0 AS mapped;
SELECT migrate_start('bf');
CALL migrate_run('bf');
SELECT state, percent, rows_written FROM migrate_progress('bf');
SELECT checksum_match FROM migrate_verify('bf');
SELECT migrate_rollback('bf');
INSERT INTO bf_source SELECT i, i FROM generate_series(1, 2000) i;
SELECT migrate_start('bf');
SELECT migrate_set('bf', 'batch_rows', '1');
CALL migrate_run('bf');
SELECT state, batches = blocks_total AS a_block_a_batch, rows_written FROM migrate_progress('bf');
SELECT checksum_match FROM migrate_verify('bf');
SELECT migrate_rollback('bf');
SELECT migrate_drop('bf');

-- where no row may be rejected, the job fails with the place, and goes on when the cause is mended
TRUNCATE bf_target;
ALTER TABLE bf_target ADD CONSTRAINT bf_small CHECK (u < 1999);
SELECT migrate_create('bf') > 0 AS created;
SELECT migrate_map('bf', 'bf_source', 'bf_target') > 0 AS mapped;
SELECT migrate_set('bf', 'max_rejects', '0');
SELECT migrate_start('bf');
\set VERBOSITY terse
CALL migrate_run('bf');
\set VERBOSITY default
SELECT state, error FROM migrate_progress('bf');
ALTER TABLE bf_target DROP CONSTRAINT bf_small;
CALL migrate_run('bf');
SELECT state, error FROM migrate_progress('bf');
SELECT checksum_match FROM migrate_verify('bf');
SELECT migrate_rollback('bf');
SELECT migrate_drop('bf');
DROP TABLE bf_source, bf_target;

-- rows that are there already are met without a retry: the batch is copied once more, cautiously
CREATE TABLE bc_source (id int PRIMARY KEY, v text, big text);
CREATE TABLE bc_parent (p int PRIMARY KEY);
INSERT INTO bc_parent VALUES (0), (1), (2);
CREATE TABLE bc_target (dropped int, id int PRIMARY KEY, v text NOT NULL CHECK (v <> ''), big text, own text DEFAULT 'default',
	n int GENERATED ALWAYS AS (length(v)) STORED, p int REFERENCES bc_parent);
ALTER TABLE bc_target DROP COLUMN dropped;
CREATE INDEX ON bc_target (lower(v)) WHERE id % 2 = 0;
CREATE TABLE bc_part (LIKE bc_target INCLUDING DEFAULTS INCLUDING INDEXES) PARTITION BY RANGE (id);
CREATE TABLE bc_part_p PARTITION OF bc_part DEFAULT;
INSERT INTO bc_source SELECT i, 'v' || i, CASE WHEN i % 100 = 0 THEN (SELECT string_agg(md5(j::text || i), '') FROM generate_series(1, 2000) j) END
	FROM generate_series(1, 2000) i;
INSERT INTO bc_source SELECT i, 'x' || i, repeat('compressed', 1000) FROM generate_series(2001, 2010) i;
ANALYZE bc_source;
SELECT migrate_create('bc') > 0 AS created;
SELECT migrate_map('bc', 'bc_source', 'bc_target', '{"id": "id", "v": "upper(v)", "big": "big", "p": "id % 3"}', filter => 'id <> 77') > 0 AS mapped;
SELECT migrate_map('bc', 'bc_source', 'bc_part', '{"id": "id", "v": "v", "big": "big"}') > 0 AS mapped;
SELECT migrate_set('bc', 'batch_rows', '500');
SELECT migrate_start('bc');
UPDATE bc_source SET v = v || '!' WHERE id IN (3, 1003, 1500);
CALL migrate_run('bc');
SELECT retries, pending_keys, rows_written FROM migrate_progress('bc');
SELECT missing, extra, different, checksum_match FROM migrate_verify('bc');
SELECT count(*), count(*) FILTER (WHERE own = 'default' AND n = length(v) AND p = id % 3), sum(length(big)) FROM bc_target;
SELECT count(*) FROM bc_target WHERE lower(v) = 'v1000' AND id % 2 = 0;
SELECT id, v FROM bc_part WHERE v LIKE '%!' ORDER BY id;
SELECT migrate_rollback('bc');
-- rows whose parent is missing are left to the end of the copy, when it may be there, and rejected then
DELETE FROM bc_target;
DELETE FROM bc_parent WHERE p = 2;
SELECT migrate_start('bc');
CALL migrate_run('bc');
SELECT state, rejected_rows, pending_keys FROM migrate_progress('bc');
SELECT DISTINCT sqlstate, (source_row ->> 'id')::int % 3 FROM migrate_rejected('bc');
INSERT INTO bc_parent VALUES (2);
SELECT migrate_retry_rejected('bc');
SELECT missing, extra, different, checksum_match FROM migrate_verify('bc');
SELECT migrate_rollback('bc');
SELECT migrate_drop('bc');
DROP TABLE bc_source, bc_target, bc_part, bc_parent;

-- parents before children, whatever the order of the mappings: foreign keys of the targets hold in every batch
CREATE TABLE st_a (id int PRIMARY KEY, up int);
CREATE TABLE st_b (id int PRIMARY KEY, up int);
CREATE TABLE st_c (id int PRIMARY KEY);
INSERT INTO st_a SELECT i, i FROM generate_series(1, 3000) i;
INSERT INTO st_b SELECT i, i FROM generate_series(1, 3000) i;
INSERT INTO st_c SELECT i FROM generate_series(1, 3000) i;
ANALYZE st_a, st_b, st_c;
CREATE TABLE st_c_t (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE st_c_p PARTITION OF st_c_t DEFAULT;
CREATE TABLE st_b_t (id int PRIMARY KEY, up int REFERENCES st_c_t);
CREATE TABLE st_a_t (id int PRIMARY KEY, up int REFERENCES st_b_t);
SELECT migrate_create('st') > 0 AS created;
SELECT migrate_map('st', 'st_a', 'st_a_t') > 0 AS mapped;
SELECT migrate_map('st', 'st_b', 'st_b_t') > 0 AS mapped;
SELECT migrate_map('st', 'st_c', 'st_c_t') > 0 AS mapped;
SELECT migrate_start('st');
SELECT migrate_backfill('st', workers => 3, batch_size => 200) > 0 AS started;
SET client_min_messages = warning;
CALL migrate_wait('st', '1 minute');
RESET client_min_messages;
SELECT DISTINCT source, stage, done FROM migrate_ext.job_range ORDER BY 1;
SELECT missing, extra, different, checksum_match FROM migrate_verify('st');
SELECT migrate_rollback('st');
SELECT migrate_drop('st');
-- in a circle there is no such order
ALTER TABLE st_c_t ADD up int REFERENCES st_a_t;
TRUNCATE st_a_t, st_b_t, st_c_t;
SELECT migrate_create('st') > 0 AS created;
SELECT migrate_map('st', 'st_a', 'st_a_t', '{"id": "id"}') > 0 AS mapped;
SELECT migrate_map('st', 'st_b', 'st_b_t', '{"id": "id"}') > 0 AS mapped;
SELECT migrate_map('st', 'st_c', 'st_c_t', '{"id": "id"}') > 0 AS mapped;
SELECT migrate_start('st');
CALL migrate_run('st');
SELECT missing, extra, different, checksum_match FROM migrate_verify('st');
SELECT migrate_rollback('st');
SELECT migrate_drop('st');
DROP TABLE st_a, st_b, st_c, st_a_t, st_b_t, st_c_t;

-- rows of one form on both sides are copied as they are stored, whatever has happened to them
CREATE TABLE al_source (a text, id int PRIMARY KEY, b text, c numeric);
ALTER TABLE al_source ALTER c SET STORAGE EXTERNAL;
INSERT INTO al_source SELECT 'a' || i, i, CASE WHEN i % 3 > 0 THEN 'b' || i END, i * 1.50 FROM generate_series(1, 500) i;
UPDATE al_source SET a = a || '!' WHERE id % 7 = 0;
BEGIN;
DELETE FROM al_source WHERE id % 5 = 0;
ROLLBACK;
BEGIN;
SELECT count(*) FROM (SELECT 1 FROM al_source WHERE id % 11 = 0 FOR UPDATE) locked;
SAVEPOINT s;
UPDATE al_source SET a = a || '?' WHERE id % 11 = 0;
COMMIT;
ALTER TABLE al_source ADD added text DEFAULT 'as it was added';
INSERT INTO al_source SELECT repeat('compressed', 1000), i, (SELECT string_agg(md5(j::text || i), '') FROM generate_series(1, 1000) j), 1e3000
	FROM generate_series(501, 510) i;
INSERT INTO al_source VALUES ('mixed', 511, 'up');
CREATE TABLE al_target (a text NOT NULL, id int PRIMARY KEY, b text, c numeric CHECK (c <> 15), added text);
CREATE INDEX ON al_target (added, id);
CREATE TABLE al_swapped (a text, id int PRIMARY KEY, b text, c numeric, added text);
CREATE TABLE al_default (a text, id int PRIMARY KEY, b text, c numeric, added text DEFAULT 'of the target');
CREATE TABLE al_short (a text, id int PRIMARY KEY, b text, c numeric);
CREATE TABLE al_dropped (gone text, a text, id int PRIMARY KEY, b text, c numeric);
ALTER TABLE al_dropped DROP COLUMN gone;
SELECT migrate_create('al') > 0 AS created;
SELECT migrate_map('al', 'al_source', 'al_target', filter => 'id <> 78') > 0 AS mapped;
SELECT migrate_map('al', 'al_source', 'al_swapped', '{"a": "b", "id": "id", "b": "a", "c": "c", "added": "added"}') > 0 AS mapped;
SELECT migrate_map('al', 'al_source', 'al_default', '{"a": "a", "id": "id", "b": "b", "c": "c"}') > 0 AS mapped;
SELECT migrate_map('al', 'al_source', 'al_short', '{"a": "a", "id": "id", "b": "b", "c": "c"}') > 0 AS mapped;
SELECT migrate_map('al', 'al_source', 'al_dropped', '{"a": "a", "id": "id", "b": "b", "c": "c"}') > 0 AS mapped;
SELECT migrate_start('al');
CALL migrate_run('al');
SELECT source_row ->> 'id' AS id, sqlstate FROM migrate_rejected('al');
SELECT missing, extra, different, checksum_match FROM migrate_verify('al');
SELECT * FROM al_source EXCEPT SELECT * FROM al_target;
SELECT count(*), count(*) FILTER (WHERE xmax <> 0) AS locked FROM al_target;
SELECT migrate_rollback('al');
SELECT migrate_drop('al');
DROP TABLE al_source;
SELECT sum(length(a)), sum(length(b)), count(c), count(added) FROM al_target;
SELECT sum(length(b)), sum(length(a)), count(c), count(added) FROM al_swapped;
SELECT DISTINCT added FROM al_default;
ALTER TABLE al_short ADD added text;
SELECT DISTINCT added FROM al_short;
SET enable_seqscan = off;
SELECT count(*) FROM al_target WHERE added = 'as it was added';
RESET enable_seqscan;
UPDATE al_target SET a = upper(a), b = 'new' WHERE id % 2 = 0;
DELETE FROM al_target WHERE id % 3 = 0;
SELECT count(*), count(*) FILTER (WHERE b = 'new') FROM al_target;
DROP TABLE al_target, al_swapped, al_dropped, al_default, al_short;
