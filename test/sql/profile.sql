-- migrate_profile: every field, with data of which the right answer is known.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'German';				-- what is shown does not depend on it
CREATE SCHEMA pro;
SET search_path = pro, public;

-- counts, extremes, widths, frequent values
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE pair AS (x int, y text);
CREATE TABLE kinds (id bigint PRIMARY KEY, small smallint, d positive, price numeric(10,2), ratio float8, flag boolean, m mood,
	born date, made timestamptz, tags text[], body jsonb, raw bytea, u uuid, span int4range, p pair, pt point, fixed char(6), label name,
	twice int GENERATED ALWAYS AS (d * 2) STORED);
INSERT INTO kinds SELECT i, i % 3, i, i * 1.5, i / 4.0, i % 4 = 0, (ARRAY['sad', 'ok', 'happy'])[1 + i % 3]::mood,
	date '2020-01-01' + i, timestamptz '2020-01-01 00:00+00' + i * interval '1 hour',
	CASE WHEN i % 5 = 0 THEN '{}'::text[] ELSE ARRAY['a', i::text] END,
	CASE i % 4 WHEN 0 THEN '{}'::jsonb WHEN 1 THEN '[]' WHEN 2 THEN '"x"' ELSE '{"a": 1}' END,
	CASE WHEN i % 10 = 0 THEN '\x'::bytea ELSE '\x0102' END, ('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid,
	int4range(i, i + 2), ROW(i % 2, 'y')::pair, point(i, i), CASE WHEN i % 2 = 0 THEN '' ELSE 'ab' END, 'n' || i % 2
	FROM generate_series(1, 40) i;
INSERT INTO kinds (id) SELECT i FROM generate_series(41, 50) i;
SELECT column_name, data_type, rows, nulls, empties, distinct_values, min, max, round(avg_width::numeric, 3) AS width
	FROM migrate_profile('kinds');
SELECT column_name, top_values, patterns, anomalies FROM migrate_profile('kinds') WHERE column_name IN
	('id', 'small', 'flag', 'm', 'body', 'fixed', 'label', 'p', 'made', 'u', 'twice');

-- what one value is: 1.0 and 1.00, 0 and -0, with and without padding; and NaN
CREATE TABLE same (a numeric, b float8, c char(5), d numeric);
INSERT INTO same VALUES (1.0, 0, 'a', 0), (1.00, '-0', 'a  ', 0.000), (1, 'NaN', 'b', '-1e20'), (10000, 'NaN', NULL, 'NaN'), (1e-20, '-Infinity', NULL, 'Infinity');
SELECT column_name, distinct_values, min, max, top_values, anomalies FROM migrate_profile('same');

-- a key has to be one for a unique index: what shows differently may be equal
CREATE COLLATION pro_folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE equal (folded text COLLATE pro_folding, folded_char char(5) COLLATE pro_folding, folded_array text[] COLLATE pro_folding, span interval, body jsonb,
	spans interval[], p pair, pt point, j json, plain text, ratio numeric[]);
INSERT INTO equal SELECT CASE WHEN i = 1 THEN 'V2' ELSE 'v' || i END, CASE WHEN i = 1 THEN 'V2' ELSE 'v' || i END, ARRAY[CASE WHEN i = 1 THEN 'V2' ELSE 'v' || i END],
	CASE WHEN i = 1 THEN interval '1 month' ELSE i * interval '15 days' END, CASE WHEN i = 1 THEN '{"n": 2.0}' ELSE jsonb_build_object('n', i) END,
	ARRAY[CASE WHEN i = 1 THEN interval '1 month' ELSE i * interval '15 days' END], ROW(i, 'y')::pair, point(i, i), to_json(i), 'v' || i, ARRAY[i, i + 0.50]
	FROM generate_series(1, 200) i;
SELECT column_name, distinct_values, anomalies FROM migrate_profile('equal');
UPDATE equal SET folded = 'new', span = '999 days', p = ROW(2, 'y'), plain = 'v2' WHERE plain = 'v1';
SELECT column_name, distinct_values, anomalies FROM migrate_profile('equal') WHERE column_name IN ('folded', 'span', 'body', 'p', 'plain');

-- many different values: the number is an estimate, the most frequent are found, keys are counted exactly
CREATE TABLE many (id int, skewed int, half int, almost text, word text);
INSERT INTO many SELECT i, CASE WHEN i % 10 < 3 THEN 7 WHEN i % 10 = 3 THEN -8 ELSE i END, i / 2, 'v' || CASE WHEN i > 19990 THEN 5 ELSE i END,
	chr(97 + i % 26) FROM generate_series(1, 20000) i;
SELECT column_name, distinct_values BETWEEN 0.97 * e AND 1.03 * e AS about, distinct_values = e AS exactly, anomalies
	FROM migrate_profile('many'), LATERAL (SELECT CASE column_name WHEN 'id' THEN 20000 WHEN 'skewed' THEN 12002
		WHEN 'half' THEN 10001 WHEN 'almost' THEN 19990 ELSE 26 END AS e) e;
SELECT v ->> 'value' AS value, (v ->> 'rows')::int BETWEEN 0.97 * e AND e AS about, v -> 'about' AS marked
	FROM migrate_profile('many'), jsonb_array_elements(top_values) v, LATERAL (SELECT CASE v ->> 'value' WHEN '7' THEN 6001 ELSE 2000 END AS e) e
	WHERE column_name = 'skewed';
SELECT jsonb_array_length(top_values) AS values, top_values -> 0 AS first, patterns FROM migrate_profile('many') WHERE column_name = 'word';
-- one with few pages at the beginning that repeat, so that hashes are not kept from the start
CREATE TABLE late (v text);
INSERT INTO late SELECT 'same' FROM generate_series(1, 150);
INSERT INTO late SELECT 'v' || i FROM generate_series(1, 20000) i;
SELECT distinct_values, anomalies FROM migrate_profile('late');
-- what is frequent is found where the rows are regular, too
CREATE TABLE regular (v int, w text);
INSERT INTO regular SELECT i, md5(i::text) FROM generate_series(1, 5000) i;
INSERT INTO regular SELECT CASE WHEN i % 2 = 1 THEN -1 ELSE 10000 + i END, CASE WHEN i % 2 = 1 THEN 'No. ' ELSE 'item-' END || 10000 + i FROM generate_series(1, 40000) i;
SELECT v ->> 'value' AS value, (v ->> 'rows')::int BETWEEN 19500 AND 20000 AS about FROM migrate_profile('regular'), jsonb_array_elements(top_values) v WHERE column_name = 'v' LIMIT 1;
SELECT p ->> 'pattern' AS pattern, (p ->> 'rows')::int BETWEEN 18000 AND 22000 AS about FROM migrate_profile('regular'), jsonb_array_elements(patterns) p
	WHERE column_name = 'w' AND (p ->> 'rows')::int > 10000 ORDER BY p ->> 'pattern' COLLATE "C";
-- more columns that may be keys than hashes are kept for
DO $$ BEGIN
	EXECUTE (SELECT 'CREATE TABLE keys AS SELECT ' || string_agg(CASE WHEN i % 10 = 0 THEN 'greatest(g, 2)' ELSE 'g' END || ' AS c' || i, ', ') || ' FROM generate_series(1, 3000) g'
		FROM generate_series(1, 50) i);
END $$;
SELECT anomalies - 'outliers' AS anomalies, distinct_values, count(*) FROM migrate_profile('keys') GROUP BY 1, 2 ORDER BY 2;
-- hashes that do not stay in memory
SET maintenance_work_mem = '1MB';
SET work_mem = '64kB';
CREATE TABLE large AS SELECT i, i % 299999 AS j FROM generate_series(1, 300000) i;
SELECT column_name, distinct_values, anomalies - 'outliers' AS anomalies FROM migrate_profile('large');
RESET work_mem;
RESET maintenance_work_mem;

-- an index that shows it, and those that do not
CREATE TABLE indexed (a int UNIQUE, b int, c int, d int UNIQUE DEFERRABLE, e int NOT NULL);
CREATE UNIQUE INDEX ON indexed (b) WHERE b > 1;
CREATE UNIQUE INDEX ON indexed (c, a);
INSERT INTO indexed SELECT i, greatest(i, 2) - 1, 5, i, 1 FROM generate_series(1, 200) i;
INSERT INTO indexed VALUES (NULL, 1, 5, NULL, 1);
SELECT column_name, nulls, distinct_values, anomalies FROM migrate_profile('indexed');
-- nor those of another equality
CREATE TABLE loosely (folded text COLLATE pro_folding, p pair, same text COLLATE pro_folding UNIQUE, plain text);
CREATE UNIQUE INDEX ON loosely (folded COLLATE "C");
CREATE UNIQUE INDEX ON loosely (p record_image_ops);
CREATE UNIQUE INDEX ON loosely (plain COLLATE pro_folding);
INSERT INTO loosely VALUES ('a', ROW(1, 'a'), 'x', 'a'), ('A', ROW(2, 'a'), 'y', 'b');
SELECT column_name, distinct_values, anomalies FROM migrate_profile('loosely');
-- and not one that is younger than the snapshot, which sees what was deleted for it
CREATE EXTENSION dblink;
DO $$ BEGIN
	PERFORM dblink_connect('other', format('host=%s port=%s dbname=%s user=%s', split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database(), current_user));
END $$;
CREATE TABLE mended (v int);
INSERT INTO mended VALUES (1), (1), (2);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT FROM mended WHERE false;
SELECT dblink_exec('other', 'DELETE FROM pro.mended WHERE ctid = ''(0,1)''');
SELECT dblink_exec('other', 'CREATE UNIQUE INDEX ON pro.mended (v)');
SELECT rows, distinct_values, anomalies FROM migrate_profile('mended');
COMMIT;
SELECT rows, distinct_values, anomalies FROM migrate_profile('mended');
SELECT dblink_disconnect('other');
DROP EXTENSION dblink;

-- masks
CREATE TABLE masks (v text);
INSERT INTO masks VALUES ('555-1234'), ('555-9999'), ('AB-12'), ('EUR'), ('ABCDE-1'), ('Anna Smith'), ('jo@x.org'), ('k.lee@example.com'), ('123456789012'), ('2024-01-31'),
	('École'), ('ÉCOLE'), ('café au lait'), ('naïve'), ('10 €'), ('日本語'), (''), (NULL), (repeat('a1-', 30)), (repeat('word ', 30)), ('x'), ('a' || chr(1) || 'b');
SELECT p ->> 'pattern' AS pattern, p ->> 'rows' AS rows FROM migrate_profile('masks'), jsonb_array_elements(patterns) p WHERE (p ->> 'rows')::int > 1 ORDER BY p ->> 'pattern' COLLATE "C";
CREATE FUNCTION mask(value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	TRUNCATE pro.one;
	INSERT INTO pro.one VALUES (value);
	SELECT patterns -> 0 ->> 'pattern' INTO result FROM migrate_profile('pro.one');
	RETURN result;
END $$;
CREATE TABLE one (v text);
SELECT v, mask(v) FROM masks WHERE v <> '' ORDER BY v COLLATE "C";
-- each text has its own: nothing is frequent
CREATE TABLE hex AS SELECT md5(i::text) AS v FROM generate_series(1, 5000) i;
SELECT distinct_values, top_values, patterns, anomalies FROM migrate_profile('hex');
-- many patterns, and one that most have
INSERT INTO hex SELECT 'item-' || i FROM generate_series(10000, 30000) i;
SELECT p ->> 'pattern' AS pattern, (p ->> 'rows')::int BETWEEN 19000 AND 21000 AS about, p -> 'about' AS marked
	FROM migrate_profile('hex'), jsonb_array_elements(patterns) p LIMIT 1;

-- what stands out in texts
CREATE TABLE dirty (v text);
CREATE FUNCTION findings(VARIADIC texts text[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	result jsonb;
BEGIN
	TRUNCATE pro.dirty;
	INSERT INTO pro.dirty SELECT unnest(texts);
	SELECT anomalies - 'candidate_key' INTO result FROM migrate_profile('pro.dirty');
	RETURN result;
END $$;
SELECT findings('Anna', 'Bob', 'Zoë', 'Jürgen Müller', 'voilà « ici »', 'Ã la carte', 'naïve – “quoted” é… ü» 10 €', 'Привет', '日本', '😀', NULL, '') AS clean;
SELECT findings(' a', E'\tb', 'c ', 'd', E'e\n', ' f ', ' ') AS blanks;
SELECT findings(E'a\x01b', 'c' || chr(127), E'tab\tinside', E'line\nend', repeat('long', 30) || E'\x02', 'c1 ' || chr(133), 'ok') AS controls;
SELECT findings('MÃ¼ller', 'Â£5', 'donâ€™t', 'ðŸ˜€', 'ÐŸÑ€Ð¸', 'Müller', 'Zoë', 'plain', repeat('lang ', 30) || 'Ã¶') AS mojibake;
SELECT findings('MÃ¼ller', 'plain') AS mojibake_alone;
SELECT findings('caf' || chr(65533), 'ok') AS replaced;
SELECT findings('1', '-2', '3.5', '1e5', '4,5', '+7', '.5', 'x') AS numbers, findings('1', 'x', 'y') AS few_numbers, findings('1-2', '.', 'e5', '1e', '--1') AS no_numbers;
SELECT findings('yes', 'No', 'TRUE', 'f', 'maybe') AS booleans, findings('yes', 'maybe', 'never') AS few_booleans;
SELECT findings('2024-01-31', '2024-02-29', '2023-02-29', '0000-00-00', '31/01/2024', '01/31/2024', '03/04/2024', '05/05/2024', '1.2.2024', '20240131', '2024-01-31 10:00:00',
	'2024-01-31T10:00:00.5Z', '31-Jan-2024', '1 feb 24', '31.12.99', '12/31/99', '2024/01/31', '2024.01.31', '13-01-2024', 'never') AS dates;
SELECT findings('2024-01-31', 'a', 'b') AS few_dates, findings('555-1234', '10.0.0.1', '12345678', '1/2', '2024-13', '99991399', '1234-56-7890') AS no_dates;

-- numbers and dates
CREATE TABLE numbers (n int, f float8, g numeric, d date, t timestamp, z timestamptz, calm int, few int, same int);
INSERT INTO numbers SELECT i, i, i, date '2000-01-01' + i, timestamp '2000-01-01' + i * interval '1 day', '2000-01-01 00:00+00', i, CASE WHEN i < 5 THEN i * i * i * i * i END, CASE WHEN i = 1 THEN 99 ELSE 1 END
	FROM generate_series(1, 100) i;
INSERT INTO numbers (n, f, g, d, t, z) VALUES (100000, 'NaN', 'NaN', 'infinity', '-infinity', 'infinity'), (-100000, 'Infinity', 'Infinity', '1899-12-31', '1899-12-31 23:59', '2101-01-01'),
	(90000, '-Infinity', -1e30, '2101-01-01', '2100-12-31 23:59', '4713-01-01 BC'), (NULL, 1e300, 1e30, '1900-01-01', NULL, NULL);
SELECT column_name, nulls, min, max, anomalies - 'candidate_key' AS anomalies FROM migrate_profile('numbers');
-- more outliers than are kept: about so many
CREATE TABLE outside AS SELECT CASE WHEN i % 10 = 0 THEN 1000000 + i ELSE i % 100 END AS v FROM generate_series(1, 50000) i;
SELECT (anomalies #>> '{outliers,rows}')::int BETWEEN 4000 AND 6000 AS rows, anomalies #> '{outliers,about}' AS about FROM migrate_profile('outside');

-- references: declared ones that were not validated, likely ones, none
CREATE TABLE customers (id int PRIMARY KEY, name text);
CREATE TABLE category (code text COLLATE "C" PRIMARY KEY);
CREATE TABLE wide_key (a int, b int, PRIMARY KEY (a, b));
CREATE TABLE hidden (id int PRIMARY KEY);
INSERT INTO customers SELECT i, 'c' FROM generate_series(1, 10) i;
INSERT INTO category VALUES ('x'), ('y');
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, customersid int, billing int, checked int REFERENCES customers, "CategoryId" text, wide_key_id int,
	hidden_id int, category_id int, nobody_id int, orders_id int);
INSERT INTO orders SELECT i, i, i + 5, i, 1, 'x', i, i, i, i, i FROM generate_series(1, 10) i;
UPDATE orders SET customer_id = NULL WHERE id = 1;
UPDATE orders SET "CategoryId" = 'z' WHERE id > 7;
UPDATE orders SET customersid = id, billing = 77 WHERE id < 3;
ALTER TABLE orders ADD CONSTRAINT billing_fkey FOREIGN KEY (billing) REFERENCES customers NOT VALID;
SELECT column_name, anomalies FROM migrate_profile('orders');
-- a likely parent may have changed while the rows were read
CREATE TABLE gadgets (id int PRIMARY KEY);
CREATE FUNCTION change_gadgets() RETURNS int LANGUAGE plpgsql AS $$ BEGIN ALTER TABLE pro.gadgets ALTER id TYPE text; RETURN 1; END $$;
CREATE VIEW changing AS SELECT change_gadgets() AS gadget_id;
SELECT column_name, rows, anomalies FROM migrate_profile('changing');
-- one to a partitioned table is not one to each partition
CREATE TABLE regions (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE regions_a PARTITION OF regions FOR VALUES FROM (0) TO (5);
CREATE TABLE regions_b PARTITION OF regions FOR VALUES FROM (5) TO (20);
INSERT INTO regions SELECT generate_series(1, 10);
ALTER TABLE orders ADD CONSTRAINT nobody_fkey FOREIGN KEY (nobody_id) REFERENCES regions NOT VALID;
SELECT column_name, anomalies FROM migrate_profile('orders') WHERE column_name = 'nobody_id';
ALTER TABLE orders DROP CONSTRAINT nobody_fkey;
-- a declared one is not guessed again
CREATE TABLE partners (id int PRIMARY KEY);
INSERT INTO partners SELECT generate_series(1, 20);
ALTER TABLE orders ADD FOREIGN KEY (customersid) REFERENCES partners;
SELECT column_name, anomalies -> 'orphans' AS orphans FROM migrate_profile('orders') WHERE anomalies ? 'orphans';

-- kinds of relations
CREATE TABLE parted (id int NOT NULL, v text, k int) PARTITION BY RANGE (id);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES FROM (0) TO (50);
CREATE TABLE parted_b (k int, gone int, v text, id int NOT NULL);
ALTER TABLE parted_b DROP COLUMN gone;
ALTER TABLE parted ATTACH PARTITION parted_b FOR VALUES FROM (50) TO (100);
INSERT INTO parted SELECT i, 'v' || i % 3, i % 2 FROM generate_series(0, 99) i;
ALTER TABLE parted ADD PRIMARY KEY (id);
CREATE VIEW seen AS SELECT id, v || '' AS v FROM parted WHERE id < 10;
CREATE MATERIALIZED VIEW stored AS SELECT * FROM seen;
CREATE TABLE child (extra int) INHERITS (kinds);
INSERT INTO child (id, m, extra) VALUES (1, 'sad', 1);
CREATE TEMP TABLE own AS SELECT 1 AS a;
SELECT 'parted', column_name, rows, distinct_values, min, max, top_values FROM migrate_profile('parted')
UNION ALL SELECT 'parted_b', column_name, rows, distinct_values, min, max, top_values FROM migrate_profile('parted_b')
UNION ALL SELECT 'seen', column_name, rows, distinct_values, min, max, top_values FROM migrate_profile('seen')
UNION ALL SELECT 'stored', column_name, rows, distinct_values, min, max, top_values FROM migrate_profile('stored')
UNION ALL SELECT 'own', column_name, rows, distinct_values, min, max, top_values FROM migrate_profile('own');
SELECT rows, distinct_values, anomalies FROM migrate_profile('kinds') WHERE column_name = 'id';
SELECT count(*) > 30 AS columns, min(rows) > 100 AS rows FROM migrate_profile('pg_class');
CREATE SEQUENCE numbers_seq;
SELECT * FROM migrate_profile('numbers_seq');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM migrate_profile('kinds_pkey');
SELECT * FROM migrate_profile('pair');
SELECT * FROM migrate_profile(NULL);
SELECT * FROM migrate_profile(4294967::regclass);

-- other types, with an order and without
CREATE TYPE unordered AS (j json);
CREATE DOMAIN numbers_domain AS int[];
CREATE DOMAIN text_domain AS text CHECK (VALUE <> '');
CREATE DOMAIN inner_domain AS text_domain;
CREATE TABLE types (a point[], b xml, c tsvector, e interval, f inet, g bit(3), i "char", j oidvector, k int4multirange, m json, n timetz, q regclass, t oid, u time, v box,
	x tid, aa unordered, bb numbers_domain, cc inner_domain, dd unordered[]);
INSERT INTO types SELECT ARRAY[point(1, 2)], '<a/>', 'a b', '1 day', '10.0.0.1', '101', 'x', '1 2', '{[1,3)}', '{}', '10:00+00', 'pg_class', 5, '10:00', '((0,0),(1,1))',
	'(0,1)', ROW('{}')::unordered, '{}', ' x', ARRAY[ROW('{}')::unordered] FROM generate_series(1, 3);
SELECT column_name, data_type, empties, distinct_values, min, max, top_values #>> '{0,value}' AS value, anomalies FROM migrate_profile('types');

-- a type of the string category that does not store text; an empty vector; anyarray of any element type
CREATE TYPE packed;
CREATE FUNCTION packed_in(cstring) RETURNS packed LANGUAGE internal IMMUTABLE STRICT AS 'byteain';
CREATE FUNCTION packed_out(packed) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'byteaout';
CREATE TYPE packed (INPUT = packed_in, OUTPUT = packed_out, LIKE = bytea, CATEGORY = 'S');
CREATE TABLE odd (v packed, o oidvector);
INSERT INTO odd VALUES ('\xe2000000', ''), ('\xc3', ''), ('\xc3', '1');
SELECT column_name, empties, distinct_values, top_values, patterns, anomalies FROM migrate_profile('odd');
CREATE TABLE unsent (v aclitem[]);
INSERT INTO unsent SELECT ARRAY[makeaclitem(10, 10, 'SELECT', false)] FROM generate_series(1, 10);
ANALYZE unsent;
SELECT count(*) > 20 AS columns FROM migrate_profile('pg_statistic');

-- a foreign table
CREATE EXTENSION postgres_fdw;
DO $$ BEGIN
	EXECUTE format('CREATE SERVER pro_server FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L)',
		split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database());
	EXECUTE format('CREATE USER MAPPING FOR CURRENT_USER SERVER pro_server OPTIONS (user %L)', current_user);
END $$;
CREATE FOREIGN TABLE pro_foreign (id int, customer_id int) SERVER pro_server OPTIONS (schema_name 'pro', table_name 'orders');
SELECT column_name, rows, nulls, distinct_values, min, max, anomalies FROM migrate_profile('pro_foreign');
SELECT rows BETWEEN 0 AND 10 AS some FROM migrate_profile('pro_foreign', 50) LIMIT 1;
DROP EXTENSION postgres_fdw CASCADE;

-- a share of the blocks
SELECT * FROM migrate_profile('kinds', 0);
SELECT * FROM migrate_profile('kinds', 100.1);
SELECT * FROM migrate_profile('kinds', 'NaN');
\echo :LAST_ERROR_SQLSTATE
SELECT rows FROM migrate_profile('kinds', NULL) WHERE column_name = 'id';
SELECT column_name, rows BETWEEN 20000 AND 100000 AS some, rows - nulls >= distinct_values AS plausible, anomalies FROM migrate_profile('large', 20);
SELECT count(*) FROM migrate_profile('parted', 50);
SELECT rows < 100 AS few FROM migrate_profile('parted', 1e-200) LIMIT 1;
SELECT rows BETWEEN 0 AND 10 AS some FROM migrate_profile('seen', 50) LIMIT 1;
SELECT rows BETWEEN 0 AND 10 AS some FROM migrate_profile('stored', 50) LIMIT 1;

-- nothing there
CREATE TABLE empty (a int, b text, c jsonb);
SELECT * FROM migrate_profile('empty');
CREATE TABLE none ();
INSERT INTO none DEFAULT VALUES;
SELECT * FROM migrate_profile('none');
CREATE TABLE nothing (a int, b text);
INSERT INTO nothing SELECT NULL FROM generate_series(1, 3);
SELECT * FROM migrate_profile('nothing');

-- odd names, wide values, many columns
CREATE TABLE "o'Brien; --" ("a""b" int, "DROP TABLE x; --" text, "123456789012345678901234567890123456789012345678901234567890abc" int, "ü" int);
INSERT INTO "o'Brien; --" VALUES (1, '"quoted" \ and ''so'' {', 2, 3), (1, '"quoted" \ and ''so'' {', 2, 3);
SELECT column_name, min, top_values, patterns FROM migrate_profile($$"o'Brien; --"$$);
CREATE TABLE wide AS SELECT repeat('日本', 2000) AS t, decode(repeat('0a', 2000), 'hex') AS b FROM generate_series(1, 2);
CREATE TABLE toasted (id int, v text, j jsonb, b bytea);
ALTER TABLE toasted ALTER v SET STORAGE EXTERNAL;
INSERT INTO toasted SELECT i, repeat(chr(96 + i), 100000) || CASE WHEN i = 3 THEN ' ' ELSE '' END, jsonb_build_object('k', repeat('x', 50000)),
	decode(repeat('ab', 20000), 'hex') FROM generate_series(1, 4) i;
INSERT INTO toasted SELECT i + 10, v, j, b FROM toasted i (i) WHERE i = 4;
SELECT column_name, length(min) AS min, left(max, 3) || right(max, 5) AS max, distinct_values, avg_width, length(top_values #>> '{0,value}') AS top, top_values #>> '{0,rows}' AS rows,
	patterns, anomalies FROM migrate_profile('toasted');
SELECT column_name, min = left(v, 100) || '...' AS min, top_values #>> '{0,value}' = min AS top FROM migrate_profile('wide'),
	LATERAL (SELECT CASE column_name WHEN 't' THEN t ELSE b::text END AS v FROM wide LIMIT 1) w;
DO $$ BEGIN
	EXECUTE (SELECT 'CREATE TABLE columns (' || string_agg('c' || i || ' int', ', ') || ')' FROM generate_series(1, 1600) i);
	EXECUTE (SELECT 'INSERT INTO columns SELECT ' || string_agg('g % ' || i, ', ') || ' FROM generate_series(1, 300) g' FROM generate_series(1, 1600) i);
END $$;
SELECT count(*), min(rows), max(rows), sum(distinct_values), count(*) FILTER (WHERE anomalies ? 'candidate_key') AS keys FROM migrate_profile('columns');

-- who may: SELECT on all columns, and row security holds
CREATE ROLE regress_profile_reader;
GRANT USAGE ON SCHEMA pro TO regress_profile_reader;
SET ROLE regress_profile_reader;
SELECT count(*) FROM migrate_profile('orders');		-- not the function
RESET ROLE;
GRANT EXECUTE ON FUNCTION migrate_profile(regclass, float8) TO regress_profile_reader;
GRANT SELECT (id, customer_id) ON orders TO regress_profile_reader;
SET ROLE regress_profile_reader;
SELECT count(*) FROM migrate_profile('orders');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM migrate_profile('seen');
RESET ROLE;
-- a parent that cannot be read is not asked
GRANT SELECT ON orders, customers TO regress_profile_reader;
SET ROLE regress_profile_reader;
SELECT column_name, anomalies -> 'orphans' AS orphans FROM migrate_profile('orders') WHERE anomalies ? 'orphans';
RESET ROLE;
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
SET ROLE regress_profile_reader;
SELECT column_name, anomalies -> 'orphans' AS orphans FROM migrate_profile('orders') WHERE anomalies ? 'orphans';
RESET ROLE;
CREATE POLICY few ON orders USING (id <= 4);
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
ALTER TABLE orders FORCE ROW LEVEL SECURITY;
SET ROLE regress_profile_reader;
SELECT column_name, rows, max FROM migrate_profile('orders') LIMIT 2;
SET row_security = off;
SELECT column_name, rows, max FROM migrate_profile('orders') LIMIT 2;
RESET row_security;
RESET ROLE;
SELECT column_name, rows, max FROM migrate_profile('orders') LIMIT 1;
ALTER TABLE orders OWNER TO regress_profile_reader;
SET ROLE regress_profile_reader;
SELECT column_name, rows, max FROM migrate_profile('orders') LIMIT 1;
RESET ROLE;

-- settings are as they were
SHOW DateStyle;
SHOW search_path;

REVOKE ALL ON FUNCTION migrate_profile(regclass, float8) FROM regress_profile_reader;
DROP SCHEMA pro CASCADE;
DROP ROLE regress_profile_reader;
