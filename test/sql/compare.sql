-- migrate_compare: any two tables, no migration.  With the known wrong answers of the field.
CREATE SCHEMA "c o'Brien; --";
CREATE TABLE ca (id int PRIMARY KEY, a text, b text, n numeric(12,2), f float8, h char(5), arr int[], d interval, j jsonb);
CREATE TABLE "c o'Brien; --".cb (j jsonb, d interval, arr int[], h char(5), f float8, n numeric(12,2), b text, a text, id int PRIMARY KEY);
INSERT INTO ca SELECT i, 'a' || i, 'b', i, i, 'x', ARRAY[i, i], make_interval(days => i), jsonb_build_object('i', i) FROM generate_series(1, 1000) i;
INSERT INTO "c o'Brien; --".cb SELECT j, d, arr, h, f, n, b, a, id FROM ca;
-- equal, whatever the order of the columns, of the rows, and the physical form
SELECT count(*) FROM migrate_compare('ca', '"c o''Brien; --".cb');
-- missing, extra, different, with the columns
DELETE FROM "c o'Brien; --".cb WHERE id = 1;
INSERT INTO "c o'Brien; --".cb (id) VALUES (2000);
UPDATE "c o'Brien; --".cb SET a = 'x', n = 0.5 WHERE id = 3;
SELECT * FROM migrate_compare('ca', '"c o''Brien; --".cb') ORDER BY key ->> 'id';
SELECT kind, source_row -> 'a' AS s, target_row -> 'a' AS t FROM migrate_compare('ca', '"c o''Brien; --".cb', show_values => true) ORDER BY key ->> 'id';
SELECT count(*) FROM migrate_compare('ca', '"c o''Brien; --".cb', max_rows => 2);
SELECT count(*) FROM migrate_compare('ca', '"c o''Brien; --".cb', max_rows => 0);
TRUNCATE "c o'Brien; --".cb;
INSERT INTO "c o'Brien; --".cb SELECT j, d, arr, h, f, n, b, a, id FROM ca;

-- null against empty; ('a|b', 'c') against ('a', 'b|c'); two pairs that cancel under XOR; values moved between rows
UPDATE ca SET a = NULL WHERE id = 1;
UPDATE "c o'Brien; --".cb SET a = '' WHERE id = 1;
UPDATE ca SET a = 'a|b', b = 'c' WHERE id = 2;
UPDATE "c o'Brien; --".cb SET a = 'a', b = 'b|c' WHERE id = 2;
UPDATE "c o'Brien; --".cb SET a = CASE id WHEN 3 THEN 'a4' ELSE 'a3' END WHERE id IN (3, 4);
-- arrays of equal elements and different shape, 1 month and 30 days, one key more in an object
UPDATE "c o'Brien; --".cb SET arr = '[0:1]={5,5}' WHERE id = 5;
UPDATE ca SET d = '30 days' WHERE id = 6;
UPDATE "c o'Brien; --".cb SET d = '1 month' WHERE id = 6;
UPDATE "c o'Brien; --".cb SET j = j || '{"k": null}' WHERE id = 7;
-- -0, NaN
UPDATE ca SET f = '0' WHERE id IN (8, 9);
UPDATE "c o'Brien; --".cb SET f = CASE id WHEN 8 THEN '-0' ELSE 'NaN' END::float8 WHERE id IN (8, 9);
SELECT kind, key, columns FROM migrate_compare('ca', '"c o''Brien; --".cb') ORDER BY (key ->> 'id')::int;
SELECT kind, key, columns FROM migrate_compare('ca', '"c o''Brien; --".cb', equality => 'canonical') ORDER BY (key ->> 'id')::int;

-- other types and scales: strict or canonical
CREATE TABLE cn (id int PRIMARY KEY, n numeric, h char(9), arr numeric[]);
CREATE TABLE cm (id int PRIMARY KEY, n numeric, h char(5), arr numeric[]);
INSERT INTO cn VALUES (1, 1.0, 'x', '{1.0}'), (2, 2, 'y', '{2}'), (3, 3.50, 'z', '{}');
INSERT INTO cm VALUES (1, 1.00, 'x', '{1}'), (2, 2, 'y', '{2}'), (3, 3.51, 'z', '{}');
SELECT kind, key, columns FROM migrate_compare('cn', 'cm') ORDER BY (key ->> 'id')::int;
SELECT kind, key, columns FROM migrate_compare('cn', 'cm', equality => 'canonical') ORDER BY (key ->> 'id')::int;

-- other columns and expressions, filters, keys
CREATE TABLE cold (nr int PRIMARY KEY, name text, gone boolean);
CREATE TABLE cnew (id bigint, name text, since date DEFAULT '2026-01-01');
INSERT INTO cold SELECT i, 'Name ' || i, i % 10 = 0 FROM generate_series(1, 100) i;
INSERT INTO cnew SELECT nr, upper(name) FROM cold WHERE NOT gone;
SELECT count(*) FROM migrate_compare('cold', 'cnew', ARRAY['id'], '{"id": "nr", "name": "upper(name)"}', 'NOT gone');
SELECT kind, count(*) FROM migrate_compare('cold', 'cnew', ARRAY['id'], '{"id": "nr", "name": "upper(name)"}') GROUP BY 1;
SELECT count(*) FROM migrate_compare('cold', 'cnew', ARRAY['id'], '{"id": "nr", "name": "name"}', 'src.gone IS FALSE');

-- no key: multisets, each row as often as one side has it more
CREATE TABLE ma (a int, b text);
CREATE TABLE mb (a int, b text);
INSERT INTO ma VALUES (1, 'x'), (1, 'x'), (1, 'x'), (2, 'y'), (NULL, NULL), (NULL, NULL), (4, 'only');
INSERT INTO mb VALUES (1, 'x'), (2, 'y'), (2, 'y'), (NULL, NULL), (NULL, NULL), (NULL, '');
SELECT kind, key, source_row, target_row FROM migrate_compare('ma', 'mb', show_values => true) ORDER BY 1, 3, 4;
SELECT kind, count(*) FROM migrate_compare('ma', 'mb') GROUP BY 1 ORDER BY 1;
-- a key that is none, or is null: no difference is overlooked, none made up
SELECT kind, source_row, target_row FROM migrate_compare('ma', 'mb', ARRAY['a'], show_values => true) ORDER BY 1, 2, 3;
TRUNCATE ma, mb;
INSERT INTO ma VALUES (NULL, 'n'), (1, 'x');
INSERT INTO mb VALUES (NULL, 'n'), (1, 'y');
SELECT kind, columns, source_row, target_row FROM migrate_compare('ma', 'mb', ARRAY['a'], show_values => true) ORDER BY 1;
-- columns of one side only are said
ALTER TABLE mb ADD c int, ADD "D d" int;
ALTER TABLE ma ADD e int;
UPDATE mb SET b = 'x' WHERE a = 1;
SELECT count(*) FROM migrate_compare('ma', 'mb');
-- rows of megabytes, compressed or not, that differ in their last byte; rows of nulls
CREATE TABLE ch_a (id int PRIMARY KEY, plain text, big text, raw bytea);
CREATE TABLE ch_b (LIKE ch_a INCLUDING ALL);
ALTER TABLE ch_a ALTER plain SET STORAGE EXTERNAL;
INSERT INTO ch_a SELECT i, repeat(md5(i::text), 100000), repeat('x', 5000000), decode(repeat(md5(i::text), 50000), 'hex') FROM generate_series(1, 3) i;
INSERT INTO ch_a VALUES (4), (5);
INSERT INTO ch_b SELECT * FROM ch_a ORDER BY id DESC;
SELECT * FROM migrate_compare('ch_a', 'ch_b');
UPDATE ch_b SET plain = left(plain, -1) || 'x' WHERE id = 1;
UPDATE ch_b SET big = left(big, -1) || 'y', raw = set_byte(raw, 799999, 255) WHERE id = 2;
UPDATE ch_b SET raw = '' WHERE id = 4;
SELECT kind, key, columns FROM migrate_compare('ch_a', 'ch_b') ORDER BY key;
DROP TABLE ch_a, ch_b;

-- empty tables, partitioned tables, views
TRUNCATE ma, mb;
SELECT count(*) FROM migrate_compare('ma', 'mb', columns => '{"a": "a"}');
CREATE TABLE pa (id int PRIMARY KEY, v text) PARTITION BY HASH (id);
CREATE TABLE pa0 PARTITION OF pa FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE pa1 PARTITION OF pa FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO pa SELECT i, 'v' FROM generate_series(1, 10) i;
CREATE VIEW pv AS SELECT id, CASE WHEN id = 4 THEN 'w' ELSE v END AS v FROM pa;
SELECT kind, key, columns FROM migrate_compare('pv', 'pa');
SELECT kind, key, columns FROM migrate_compare('pa', 'pv', ARRAY['id']);

-- errors
\set VERBOSITY terse
SELECT migrate_compare(NULL, 'pa');
SELECT migrate_compare('pa', NULL);
SELECT migrate_compare('pa', 'ca_no');
SELECT migrate_compare('pa', 'pa_pkey');
SELECT migrate_compare('pa', 'pa', ARRAY['nope']);
SELECT migrate_compare('pa', 'pa', ARRAY[NULL]);
SELECT migrate_compare('pa', 'pa', columns => '{"nope": "1"}');
SELECT migrate_compare('pa', 'pa', columns => '[]');
SELECT migrate_compare('pa', 'pa', columns => '{"id": 1}');
SELECT migrate_compare('pa', 'pa', filter => 'id');
SELECT migrate_compare('pa', 'pa', max_rows => -1);
SELECT migrate_compare('pa', 'pa', equality => 'roughly');
SELECT migrate_compare('pa', 'cold');
-- with the caller's rights
CREATE ROLE c_reader;
GRANT EXECUTE ON FUNCTION migrate_compare(regclass, regclass, text[], jsonb, text, bigint, boolean, text) TO c_reader;
GRANT SELECT ON pa TO c_reader;
SET ROLE c_reader;
SELECT count(*) FROM migrate_compare('pa', 'pa');
SELECT count(*) FROM migrate_compare('pa', 'pv');
RESET ROLE;
\set VERBOSITY default
DROP OWNED BY c_reader;
DROP ROLE c_reader;
DROP VIEW pv;
DROP TABLE ca, cn, cm, cold, cnew, ma, mb, pa;
DROP SCHEMA "c o'Brien; --" CASCADE;

-- another server: where it has the extension, checksums and sketches cross the network, not rows
CREATE EXTENSION postgres_fdw;
DO $$ BEGIN
	EXECUTE format('CREATE SERVER c_server FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L, extensions ''migrate_ext'')',
		split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database());
	EXECUTE format('CREATE USER MAPPING FOR CURRENT_USER SERVER c_server OPTIONS (user %L)', current_user);
END $$;
CREATE TABLE c_there (id int PRIMARY KEY, v text, n numeric);
CREATE TABLE c_here (id int PRIMARY KEY, v text, n numeric);
INSERT INTO c_there SELECT i, 'v' || i, i * 1.5 FROM generate_series(1, 1000) i;
INSERT INTO c_here TABLE c_there;
CREATE FOREIGN TABLE c_foreign (id int, v text, n numeric) SERVER c_server OPTIONS (table_name 'c_there');
EXPLAIN (VERBOSE, COSTS OFF) SELECT count(*), migrate_checksum(id, v, n) FROM c_foreign WHERE id > 10;
EXPLAIN (VERBOSE, COSTS OFF) SELECT migrate_ext.sketch(300, 1, id, id, v, n) FROM c_foreign;
SELECT (SELECT migrate_ext.sketch_decode(migrate_ext.sketch(300, 1, id, id, v, n), (SELECT migrate_ext.sketch(300, 1, id, id, v, n) FROM c_here)) FROM c_foreign);
UPDATE c_here SET v = 'x' WHERE id = 77;
DELETE FROM c_here WHERE id = 78;
SELECT (SELECT migrate_ext.sketch_decode(migrate_ext.sketch(300, 1, id, id, v, n), (SELECT migrate_ext.sketch(300, 1, id, id, v, n) FROM c_here)) FROM c_foreign);
SELECT * FROM migrate_compare('c_foreign', 'c_here') ORDER BY key ->> 'id';
SELECT (SELECT checksum FROM migrate_table_checksum('c_foreign')) = (SELECT checksum FROM migrate_table_checksum('c_there')) AS same;
DROP FOREIGN TABLE c_foreign;
DROP TABLE c_there, c_here;
DROP EXTENSION postgres_fdw CASCADE;
