-- Row encoding and checksums.

-- test vectors: the encoding of version 1 never changes
SELECT migrate_row_checksum(1) AS int4, migrate_row_checksum(1::bigint) AS int8,
	migrate_row_checksum(1::smallint) AS int2;
SELECT migrate_row_checksum(NULL::int) AS "null", migrate_row_checksum('') AS empty,
	migrate_row_checksum('a'::text, NULL::text) AS a_null, migrate_row_checksum(NULL::text, 'a'::text) AS null_a;
SELECT migrate_row_checksum(true, 1.50::numeric, 'héllo'::varchar, '\x00ff'::bytea, '2024-02-29'::date,
	'2024-02-29 12:00:00+00'::timestamptz, '1 month 2 days'::interval,
	'6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid, '{"a": [1, null]}'::jsonb, 1.5::float8, 1.5::float4) AS mixed;
SELECT migrate_row_checksum(ARRAY[1, NULL, 3], '[2:3]={x,y}'::text[], '{{1,2},{3,4}}'::int[]) AS arrays,
	migrate_row_checksum('[1,5)'::int4range, 'empty'::int4range, '{[1,2),[5,)}'::int4multirange) AS ranges;

-- equal values agree, different values do not
CREATE FUNCTION pg_temp.differ(VARIADIC text[]) RETURNS boolean LANGUAGE sql AS
	'SELECT count(DISTINCT x) = count(*) FROM unnest($1) x';
SELECT pg_temp.differ(migrate_row_checksum(1.0), migrate_row_checksum(1.00), migrate_row_checksum(1)) AS scale,
	pg_temp.differ(migrate_row_checksum(0::float8), migrate_row_checksum('-0'::float8)) AS zero,
	pg_temp.differ(migrate_row_checksum('1 month'::interval), migrate_row_checksum('30 days'::interval)) AS interval,
	pg_temp.differ(migrate_row_checksum('{}'::int[]), migrate_row_checksum(NULL::int[]), migrate_row_checksum('{NULL}'::int[])) AS arrays,
	pg_temp.differ(migrate_row_checksum('{1,2}'::int[]), migrate_row_checksum('[0:1]={1,2}'::int[]), migrate_row_checksum('{{1,2}}'::int[])) AS bounds,
	pg_temp.differ(migrate_row_checksum('ab'::text, 'c'::text), migrate_row_checksum('a'::text, 'bc'::text), migrate_row_checksum('abc'::text, ''::text)) AS moved,
	pg_temp.differ(migrate_row_checksum('a'::text), migrate_row_checksum('a'::text, NULL::text)) AS width,
	pg_temp.differ(migrate_row_checksum('[1,3]'::numrange), migrate_row_checksum('[1,3)'::numrange)) AS ranges;
SELECT migrate_row_checksum('NaN'::float8) = migrate_row_checksum('NaN'::float8) AS nan,
	migrate_row_checksum('a'::text) = migrate_row_checksum('a'::varchar) AS varchar,
	migrate_row_checksum('[1,3]'::int4range) = migrate_row_checksum('[1,4)'::int4range) AS canonical_range;

-- nothing depends on the session's settings
CREATE TABLE sum_types (ts timestamptz, d date, i interval, f float8, g float4, b bytea, x text, p point, m money);
INSERT INTO sum_types VALUES ('2024-07-01 12:34:56.789+02', '2024-07-01', '1 year 2 mons -3 days 04:05:06.7',
	0.1 + 0.2, 1.1, '\xdeadbeef', 'Grüße', '(0.1,0.2)', 12.34);
SELECT migrate_checksum(ts, d, i, f, g, b, x, p) AS plain FROM sum_types \gset
SET TimeZone = 'Asia/Kolkata'; SET DateStyle = 'German'; SET IntervalStyle = 'iso_8601';
SET extra_float_digits = -10; SET bytea_output = 'escape'; SET client_encoding = 'LATIN1';
SELECT migrate_checksum(ts, d, i, f, g, b, x, p) = :'plain' AS same FROM sum_types;
RESET ALL;
DROP TABLE sum_types;

-- nothing depends on the physical form
CREATE TYPE sum_mood AS ENUM ('sad', 'happy');
CREATE DOMAIN sum_posint AS int CHECK (VALUE > 0);
CREATE TYPE sum_pair AS (a int, b text);
CREATE TABLE sum_a (id int, t text, mood sum_mood, n sum_posint, pair sum_pair, pairs sum_pair[], j jsonb);
INSERT INTO sum_a SELECT i, repeat('long text ' || i, 2000), 'happy', i, ROW(i, 'b')::sum_pair, ARRAY[ROW(i, NULL)::sum_pair], '{"k": 1}'
	FROM generate_series(1, 20) i;
CREATE TABLE sum_b (gone int, j jsonb, pairs sum_pair[], pair sum_pair, t text, n sum_posint, mood sum_mood, id int);
ALTER TABLE sum_b DROP COLUMN gone, ALTER t SET STORAGE EXTERNAL;
INSERT INTO sum_b SELECT j, pairs, pair, t, n, mood, id FROM sum_a ORDER BY id DESC;
SELECT a.rows, a.rows = b.rows AND a.checksum = b.checksum AS same
	FROM migrate_table_checksum('sum_a') a, migrate_table_checksum('sum_b') b;
UPDATE sum_b SET t = t;
VACUUM FULL sum_b;
SELECT checksum = (SELECT checksum FROM migrate_table_checksum('sum_a')) AS same FROM migrate_table_checksum('sum_b');
UPDATE sum_b SET t = overlay(t placing 'X' from 19990 for 1) WHERE id = 7;
SELECT checksum = (SELECT checksum FROM migrate_table_checksum('sum_a')) AS same FROM migrate_table_checksum('sum_b');
SELECT a.checksum = b.checksum AS same FROM migrate_table_checksum('sum_a', '{id,mood}', 'id <> 7') a,
	migrate_table_checksum('sum_b', '{id,mood}', 'id <> 7') b;

-- sets: order does not matter, duplicates count, sums can be taken apart
SELECT migrate_checksum(x ORDER BY x) = migrate_checksum(x ORDER BY x DESC) AS order_free FROM generate_series(1, 100) x;
SELECT migrate_checksum(x) = migrate_checksum(y) AS pairs_cancel FROM (VALUES (1, 2), (1, 2)) v(x, y);
SELECT migrate_checksum(x) AS nothing FROM generate_series(1, 0) x;
SELECT migrate_checksum_add(migrate_checksum(x) FILTER (WHERE x <= 40), migrate_checksum(x) FILTER (WHERE x > 40))
	= migrate_checksum(x) AS adds_up,
	migrate_checksum_subtract(migrate_checksum(x), migrate_checksum(x) FILTER (WHERE x > 40))
	= migrate_checksum(x) FILTER (WHERE x <= 40) AS subtracts,
	migrate_checksum_subtract(migrate_checksum(x), migrate_checksum(x)) AS zero
	FROM generate_series(1, 100) x;
SELECT migrate_checksum(x) = migrate_row_checksum(5) AS one_row FROM generate_series(5, 5) x;
SELECT x % 2 AS odd, migrate_checksum(x) FROM generate_series(1, 4) x GROUP BY 1 ORDER BY 1;

-- parallel and serial agree
CREATE TABLE sum_many AS SELECT i, i::text AS t FROM generate_series(1, 20000) i;
ANALYZE sum_many;
SELECT migrate_checksum(i, t) AS serial FROM sum_many \gset
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT migrate_checksum(i, t) FROM sum_many;
SELECT migrate_checksum(i, t) = :'serial' AS same FROM sum_many;
RESET ALL;

-- more columns than a function call has arguments
SELECT format('CREATE TABLE sum_wide (%s)', string_agg('c' || i || ' int DEFAULT ' || i, ', ')) FROM generate_series(1, 150) i \gexec
INSERT INTO sum_wide DEFAULT VALUES;
SELECT rows, checksum <> repeat('0', 32) AS summed FROM migrate_table_checksum('sum_wide');

-- identical: what the values show
SELECT migrate_ext.identical(1.0, 1.00) AS scale, migrate_ext.identical(NULL::int, NULL::int) AS nulls,
	migrate_ext.identical(NULL::int, 0) AS null_zero, migrate_ext.identical('{"a":1}'::json, '{"a":1}'::json) AS json,
	migrate_ext.identical('{"a":1}'::json, '{"a": 1}'::json) AS json_text, migrate_ext.identical('x'::text, 'x') AS text;

-- errors
SELECT migrate_checksum_add('xyz', repeat('0', 32));
SELECT migrate_checksum_subtract(repeat('0', 32), repeat('g', 32));
SELECT migrate_row_checksum(VARIADIC ARRAY[1, 2]);
SELECT * FROM migrate_table_checksum('sum_a', '{nope}');
SELECT * FROM migrate_table_checksum('sum_a', NULL, 'id = ');
SELECT * FROM migrate_table_checksum(NULL);
DROP TABLE sum_a, sum_b, sum_many, sum_wide;
DROP TYPE sum_pair, sum_mood;
DROP DOMAIN sum_posint;

-- long values go into the hash piece by piece: these vectors are those of the encoding as a whole
SELECT migrate_row_checksum(repeat('x', 100000), 1),
	migrate_row_checksum(1, repeat('ab', 8192), repeat('c', 16384), repeat('d', 16385), 2);
SELECT migrate_row_checksum(ARRAY(SELECT i FROM generate_series(1, 20000) i)),
	migrate_row_checksum(ARRAY(SELECT 'v' || i FROM generate_series(1, 20000) i), decode(repeat('00ff', 40000), 'hex'), NULL::text, '\x01'::bytea);
SELECT migrate_ext.identical(repeat('x', 100000), repeat('x', 100000)) AS same, migrate_ext.identical(repeat('x', 100000), repeat('x', 99999) || 'y') AS other,
	migrate_ext.identical(repeat('x', 100000), repeat('x', 10)) AS short, migrate_ext.identical(repeat('x', 10), repeat('x', 100000)) AS long;

-- types that are not sent by their send functions are encoded as these would
CREATE TABLE sent (n numeric, d date, t time, z timestamptz, s timestamp, u uuid, o oid, i interval, m money, tz timetz);
INSERT INTO sent SELECT CASE i % 4 WHEN 0 THEN (random() * 10.0 ^ (i % 60 - 20))::numeric * (i % 3 - 1) WHEN 1 THEN i / 10::numeric ^ (i % 300) WHEN 2 THEN -i * 10::numeric ^ (i % 900) ELSE round(i * 1.5, i % 20) END::numeric,
	date '2000-01-01' + i * 100 - 50000, time '00:00' + i * interval '77.001 s', now() + i * interval '1000 hours', localtimestamp - i * interval '1000 hours', gen_random_uuid(), i, i * interval '1 day 3 us 1 month', i, '12:00+02'
	FROM generate_series(1, 1000) i;
INSERT INTO sent (n) VALUES ('NaN'), ('Infinity'), ('-Infinity'), (0), (0.000), (-0.5), (1e-16383), (1e131071), (repeat('123456789', 2000)::numeric), (repeat('7', 100000)::numeric),
	(10::numeric ^ 60 + 0.1), (1e256), (1e-300), (9999), (10000), (99999999), (0.0001), (0.00001);
INSERT INTO sent (d, z, s) VALUES ('infinity', '-infinity', 'infinity'), ('0044-03-15 BC', '294276-12-31', '4713-01-01 BC');
SELECT count(*) FILTER (WHERE migrate_row_checksum(n) <> migrate_row_checksum(numeric_send(n))) AS n, count(*) FILTER (WHERE migrate_row_checksum(d) <> migrate_row_checksum(date_send(d))) AS d,
	count(*) FILTER (WHERE migrate_row_checksum(t) <> migrate_row_checksum(time_send(t))) AS t, count(*) FILTER (WHERE migrate_row_checksum(z) <> migrate_row_checksum(timestamptz_send(z))) AS z,
	count(*) FILTER (WHERE migrate_row_checksum(s) <> migrate_row_checksum(timestamp_send(s))) AS s, count(*) FILTER (WHERE migrate_row_checksum(u) <> migrate_row_checksum(uuid_send(u))) AS u,
	count(*) FILTER (WHERE migrate_row_checksum(o) <> migrate_row_checksum(oidsend(o))) AS o, count(*) FILTER (WHERE migrate_row_checksum(i) <> migrate_row_checksum(interval_send(i))) AS i,
	count(*) FILTER (WHERE migrate_row_checksum(m) <> migrate_row_checksum(cash_send(m))) AS m, count(*) FILTER (WHERE migrate_row_checksum(ARRAY[n, 1.5]) <> migrate_row_checksum(ARRAY[numeric_send(n), numeric_send(1.5)])) AS a, count(*) FROM sent;
DROP TABLE sent;

-- blanks at the end of character(n) are none in canonical form
SELECT migrate_ext.canonical_row_checksum('a'::char(5)) = migrate_ext.canonical_row_checksum('a'::char(10)) AS canonical, migrate_row_checksum('a'::char(5)) = migrate_row_checksum('a'::char(10)) AS strict,
	migrate_ext.canonical_row_checksum('a '::text) = migrate_ext.canonical_row_checksum('a'::text) AS text;
