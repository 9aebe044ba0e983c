-- Difference sketches: the keys that differ, from one pass over each side; exact, or not told at all.
SET client_min_messages = warning;
-- nothing, one row, every kind of difference
CREATE TABLE sk_a (id bigint, v text);
CREATE TABLE sk_b (id bigint, v text);
CREATE FUNCTION sk_decode(cells int DEFAULT 300) RETURNS bigint[] LANGUAGE sql AS $$
	SELECT CASE WHEN d IS NOT NULL THEN array(SELECT DISTINCT unnest(d) ORDER BY 1) END FROM migrate_ext.sketch_decode(
		(SELECT migrate_ext.sketch(cells, 1, id, id, v) FROM sk_a), (SELECT migrate_ext.sketch(cells, 1, id, id, v) FROM sk_b)) d $$;
SELECT sk_decode();
INSERT INTO sk_a SELECT i, 'v' || i FROM generate_series(-500, 500) i;
INSERT INTO sk_b TABLE sk_a;
SELECT sk_decode();
DELETE FROM sk_b WHERE id = -500;
INSERT INTO sk_b VALUES (9223372036854775807, 'extra'), (-9223372036854775808, NULL);
UPDATE sk_b SET v = '' WHERE id = 7;
SELECT sk_decode();
-- a row that is there twice; one that is there two times more is not told
INSERT INTO sk_a VALUES (3, 'v3'), (NULL, NULL);
INSERT INTO sk_b VALUES (NULL, NULL);
SELECT sk_decode();
INSERT INTO sk_b VALUES (4, 'v4'), (4, 'v4');
SELECT sk_decode() IS NULL AS not_told;
DELETE FROM sk_b WHERE id = 4;
DELETE FROM sk_a WHERE id IS NULL;
-- the checksum is that of migrate_checksum
SELECT migrate_ext.sketch_checksum(migrate_ext.sketch(300, 1, id, id, v)) = migrate_checksum(id, v) FROM sk_a;
-- more differences than can be told: null, not some of them
SELECT migrate_ext.sketch_decode((SELECT migrate_ext.sketch(30, 1, id, id, v) FROM sk_a), NULL) IS NULL AS too_many;
-- a parallel plan gives the same
SELECT migrate_ext.sketch(300, 1, id, id, v) AS serial FROM sk_a \gset
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT migrate_ext.sketch(300, 1, id, id, v) FROM sk_a;
SELECT migrate_ext.sketch(300, 1, id, id, v) = :'serial'::bytea AS same FROM sk_a;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
-- what is no sketch
\set VERBOSITY terse
SELECT migrate_ext.sketch_decode('\x00', NULL);
SELECT migrate_ext.sketch_decode(decode(repeat('ff', 5000), 'hex'), NULL);
SELECT migrate_ext.sketch_decode((SELECT migrate_ext.sketch(300, 1, id, id, v) FROM sk_a), (SELECT migrate_ext.sketch(330, 1, id, id, v) FROM sk_a));
SELECT migrate_ext.sketch(3, 1, id, id) FROM sk_a;
SELECT migrate_ext.sketch(300, 0, id) FROM sk_a;
SELECT migrate_ext.sketch(300, 5, id, id) FROM sk_a;
\set VERBOSITY default
-- always complete: random differences of random number, against what SQL says; what cannot be told is null
CREATE FUNCTION sk_random(rounds int, OUT wrong int, OUT told int, OUT few_not_told int) LANGUAGE plpgsql AS $$
DECLARE
	decoded bigint[];
	expected bigint[];
	seed float8 := random();
BEGIN
	wrong := 0;
	told := 0;
	few_not_told := 0;
	PERFORM setseed(seed);
	FOR round IN 1 .. rounds LOOP
		TRUNCATE sk_a, sk_b;
		INSERT INTO sk_a SELECT (random() * 1e6)::bigint, left(md5(random()::text), 2) FROM generate_series(1, 300);
		INSERT INTO sk_b SELECT id, CASE WHEN random() < 0.1 * (round % 5) THEN v || 'x' ELSE v END FROM sk_a WHERE random() > 0.05 * (round % 7);
		INSERT INTO sk_b SELECT (random() * 1e6)::bigint, 'new' FROM generate_series(1, round % 40);
		expected := array(SELECT DISTINCT id FROM ((TABLE sk_a EXCEPT ALL TABLE sk_b) UNION ALL (TABLE sk_b EXCEPT ALL TABLE sk_a)) x ORDER BY 1);
		SELECT array(SELECT DISTINCT unnest(d) ORDER BY 1) INTO decoded FROM migrate_ext.sketch_decode(
			(SELECT migrate_ext.sketch(240, 1, id, id, v) FROM sk_a), (SELECT migrate_ext.sketch(240, 1, id, id, v) FROM sk_b)) d WHERE d IS NOT NULL;
		IF decoded <> expected THEN
			wrong := wrong + 1;
			RAISE WARNING 'seed %, round %: % instead of %', seed, round, decoded, expected;
		END IF;
		told := told + (decoded IS NOT NULL)::int;
		-- in so small a table two items may now and then be in the same cells
		few_not_told := few_not_told + (decoded IS NULL AND cardinality(expected) < 50)::int;
	END LOOP;
END $$;
SELECT wrong, told BETWEEN 50 AND 299 AS some, few_not_told < 30 AS few FROM sk_random(300);

-- a verification by sketch, by the larger one, and by all rows, finds the same
CREATE TABLE sk_source (a int, b text, v int, PRIMARY KEY (a, b));
CREATE TABLE sk_target (a int, b text, v int, PRIMARY KEY (a, b));
INSERT INTO sk_source SELECT i, 'k' || i, i FROM generate_series(1, 3000) i;
SELECT migrate_create('sk') > 0 AS created;
SELECT migrate_map('sk', 'sk_source', 'sk_target') > 0 AS mapped;
SELECT migrate_start('sk');
CALL migrate_run('sk');
SET session_replication_role = replica;
INSERT INTO sk_target SELECT i, 'extra', i FROM generate_series(9001, 9030) i;
DELETE FROM sk_target WHERE a % 100 = 2;
UPDATE sk_target SET v = -v WHERE a % 100 = 3;
RESET session_replication_role;
SELECT missing, extra, different, checksum_match FROM migrate_verify('sk');
CREATE TEMP TABLE sk_found AS SELECT kind, key, columns FROM migrate_divergence('sk');
SELECT kind, count(*), min(key::text) FROM sk_found GROUP BY 1 ORDER BY 1;
SELECT migrate_set('sk', 'sketch_cells', '30');
SELECT missing, extra, different, checksum_match FROM migrate_verify('sk');
SELECT count(*) FROM ((SELECT kind, key, columns FROM migrate_divergence('sk') EXCEPT TABLE sk_found) UNION ALL
	(TABLE sk_found EXCEPT SELECT kind, key, columns FROM migrate_divergence('sk'))) x;
SET session_replication_role = replica;
UPDATE sk_target SET v = v + 1;
RESET session_replication_role;
SELECT missing, extra, different, checksum_match FROM migrate_verify('sk');
SELECT migrate_repair('sk') > 0 AS repaired;
SELECT missing, extra, different, checksum_match FROM migrate_verify('sk');
SELECT migrate_rollback('sk');
SELECT migrate_drop('sk');
DROP TABLE sk_a, sk_b, sk_source, sk_target;
DROP FUNCTION sk_decode, sk_random;
