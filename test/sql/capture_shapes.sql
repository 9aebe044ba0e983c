-- Every way a row can change, by the shape of the tables: foreign keys, partitions, children, types, targets.
-- How the table of results is made: test/lib/ways.sql.
\getenv inputdir PG_ABS_SRCDIR
\set machine :inputdir '/lib/ways.sql'
\ir :machine

-- foreign keys from the source to a parent: cascades come from within the parent's statement
INSERT INTO way.world SELECT 'foreign key' || suffix, format($$
	CREATE TABLE parent (id int PRIMARY KEY, code int UNIQUE);
	INSERT INTO parent SELECT i, i * 100 FROM generate_series(0, 6) i;
	CREATE TABLE src (id int PRIMARY KEY, p int, q int DEFAULT 0, v text, pad text DEFAULT repeat('x', 3000)) WITH (fillfactor = 10);
	ALTER TABLE src ALTER pad SET STORAGE PLAIN;
	CREATE VIEW want AS SELECT (id, p, q, v)::text AS w FROM src; CREATE VIEW state AS TABLE want;
	CREATE TABLE tgt (id int PRIMARY KEY, p int, q int, v text);
	INSERT INTO src SELECT i, (i + 1) / 2, (i + 2) / 2, 'v' || i FROM generate_series(1, 6) i; ANALYZE src;
	ALTER TABLE src ADD FOREIGN KEY (p) REFERENCES parent ON DELETE %s ON UPDATE CASCADE;
	ALTER TABLE src ADD FOREIGN KEY (q) REFERENCES parent ON DELETE %s ON UPDATE CASCADE $$, p, q),
	$$ migrate_map('m', 'src', 'tgt') $$, 'before halfway complete reverse'
	FROM (VALUES (', cascade', 'CASCADE', 'NO ACTION'), (', set null and cascade', 'SET NULL', 'CASCADE'), (', cascade and set null', 'CASCADE', 'SET NULL'),
		(', set default', 'NO ACTION', 'SET DEFAULT'), (', set null and default', 'SET NULL', 'SET DEFAULT')) w(suffix, p, q);
INSERT INTO way.way (world, name, statement)
	SELECT world, name, statement FROM way.world, (VALUES
		('delete of a parent', $$ DELETE FROM parent WHERE id = 2 $$),
		('delete of parents', $$ UPDATE src SET q = p WHERE p IN (1, 2) ;; DELETE FROM parent WHERE id IN (1, 2) $$),
		('delete of source and parent', $$ WITH d AS (DELETE FROM src WHERE p = 3 OR q IN (1, 2) RETURNING *) DELETE FROM parent WHERE id IN (1, 2) AND EXISTS (SELECT FROM d) $$),
		('key of a parent', $$ UPDATE parent SET id = id + 10 WHERE id IN (1, 2) $$),
		('keys of parents, chained', $$ UPDATE parent SET id = id - 1 $$)) w(name, statement)
	WHERE world LIKE 'foreign key%' ORDER BY world, name;
INSERT INTO way.world VALUES ('foreign key, the key itself', $$
	CREATE TABLE parent (id int PRIMARY KEY);
	INSERT INTO parent SELECT generate_series(1, 5);
	CREATE TABLE src (id int PRIMARY KEY REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE, v text);
	CREATE TABLE tgt (id int PRIMARY KEY, v text);
	INSERT INTO src SELECT i, 'v' || i FROM generate_series(1, 5) i $$, $$ migrate_map('m', 'src', 'tgt') $$, 'before complete reverse');
INSERT INTO way.way (world, name, statement, expect) VALUES
('foreign key, the key itself', 'delete', 'DELETE FROM parent WHERE id IN (1, 4)', 'equal'),
('foreign key, the key itself', 'key change', 'UPDATE parent SET id = id + 10 WHERE id IN (1, 4)', 'equal'),
('foreign key, the key itself', 'chain', 'UPDATE parent SET id = id - 1', 'equal'),
('foreign key, the key itself', 'truncate cascade', 'TRUNCATE parent CASCADE', 'later');
INSERT INTO way.world VALUES ('foreign key, self', $$
	CREATE TABLE src (id int PRIMARY KEY, up int REFERENCES src ON DELETE CASCADE ON UPDATE CASCADE, v text, pad text DEFAULT repeat('x', 3000)) WITH (fillfactor = 10);
	ALTER TABLE src ALTER pad SET STORAGE PLAIN;
	CREATE VIEW want AS SELECT (id, up, v)::text AS w FROM src; CREATE VIEW state AS TABLE want;
	CREATE TABLE tgt (id int PRIMARY KEY, up int, v text);
	INSERT INTO src SELECT i, nullif(i / 2, 0), 'v' || i FROM generate_series(1, 9) i; ANALYZE src $$, $$ migrate_map('m', 'src', 'tgt') $$, 'before halfway complete reverse');
INSERT INTO way.world SELECT 'foreign key, self, set null', replace(setup, 'ON DELETE CASCADE', 'ON DELETE SET NULL'), map, modes FROM way.world WHERE world = 'foreign key, self';
INSERT INTO way.way (world, name, statement)
	SELECT world, name, statement FROM way.world, (VALUES ('delete', 'DELETE FROM src WHERE id = 2'), ('delete many', 'DELETE FROM src WHERE id IN (2, 3, 4)'),
		('key change', 'UPDATE src SET id = 20 WHERE id = 2'), ('key changes', 'UPDATE src SET id = id - 1'),
		('delete, row put back', 'WITH d AS (DELETE FROM src WHERE id = 2 RETURNING *) INSERT INTO src SELECT id, up, ''again'' FROM d')) w(name, statement)
	WHERE world LIKE 'foreign key, self%' ORDER BY world, name;

-- partitions: other column orders, dropped columns, two levels
INSERT INTO way.world VALUES ('partitions', $$
	CREATE TABLE src (id int, r text, v text, PRIMARY KEY (id, r)) PARTITION BY LIST (r);
	CREATE TABLE src_n (gone int, v text, r text NOT NULL, id int NOT NULL);
	ALTER TABLE src_n DROP COLUMN gone;
	ALTER TABLE src ATTACH PARTITION src_n FOR VALUES IN ('n');
	CREATE TABLE src_s PARTITION OF src FOR VALUES IN ('s') PARTITION BY RANGE (id);
	CREATE TABLE src_s1 PARTITION OF src_s FOR VALUES FROM (MINVALUE) TO (5);
	CREATE TABLE src_s2 (r text NOT NULL, more int, id int NOT NULL, v text);
	ALTER TABLE src_s2 DROP COLUMN more;
	ALTER TABLE src_s ATTACH PARTITION src_s2 FOR VALUES FROM (5) TO (MAXVALUE);
	CREATE TABLE src_rest PARTITION OF src DEFAULT;
	CREATE TABLE tgt (id int, r text, v text, row_text text, PRIMARY KEY (r, id));
	INSERT INTO src SELECT i, substr('nse', i % 3 + 1, 1), 'v' || i FROM generate_series(1, 9) i;
	CREATE VIEW want AS SELECT concat_ws(' ', id, r, v, to_jsonb(s)) AS w FROM src s;
	CREATE VIEW have AS SELECT concat_ws(' ', id, r, v, row_text::jsonb) AS w FROM tgt $$,
	$$ migrate_map('m', 'src', 'tgt', '{"id": "id", "r": "r", "v": "v", "row_text": "to_jsonb(src)::text"}') $$, 'before complete');
INSERT INTO way.world SELECT 'partitioned target', $$
	CREATE TABLE src (id int, r text, v text, pad text DEFAULT repeat('x', 3000), PRIMARY KEY (id, r)) WITH (fillfactor = 10);
	ALTER TABLE src ALTER pad SET STORAGE PLAIN;
	CREATE VIEW want AS SELECT concat_ws(' ', id, r, v) AS w FROM src; CREATE VIEW state AS TABLE want;
	INSERT INTO src SELECT i, substr('nse', i % 3 + 1, 1), 'v' || i FROM generate_series(1, 9) i;
	ANALYZE src;
	CREATE TABLE tgt (id int, r text, v text, PRIMARY KEY (r, id)) PARTITION BY LIST (r);
	CREATE TABLE tgt_n (v text, r text NOT NULL, gone int, id int NOT NULL);
	ALTER TABLE tgt_n DROP COLUMN gone;
	ALTER TABLE tgt ATTACH PARTITION tgt_n FOR VALUES IN ('n');
	CREATE TABLE tgt_s PARTITION OF tgt FOR VALUES IN ('s') PARTITION BY RANGE (id);
	CREATE TABLE tgt_s1 PARTITION OF tgt_s FOR VALUES FROM (MINVALUE) TO (5);
	CREATE TABLE tgt_s2 PARTITION OF tgt_s FOR VALUES FROM (5) TO (MAXVALUE);
	CREATE TABLE tgt_rest PARTITION OF tgt DEFAULT;
	CREATE VIEW have AS SELECT concat_ws(' ', id, r, v) AS w FROM tgt $$, $$ migrate_map('m', 'src', 'tgt') $$, 'before halfway complete reverse';
INSERT INTO way.way (world, name, statement)
	SELECT world, name, statement FROM way.world, (VALUES
		('insert', $$ INSERT INTO src (v, r, id) SELECT 'new', unnest('{n,s,e,x}'::text[]), 10 $$),
		('update', $$ UPDATE src SET v = v || '!' $$),
		('delete', $$ DELETE FROM src WHERE id % 2 = 0 $$),
		('movement', $$ UPDATE src SET r = 's' WHERE r <> 's' $$),
		('movement round', $$ UPDATE src SET r = translate(r, 'nse', 'sen'), v = v || '!' $$),
		('movement by id', $$ UPDATE src SET id = 14 - id WHERE r = 's' AND id > 5 $$),
		('conflict', $$ INSERT INTO src SELECT i, 's', 'upserted' FROM generate_series(1, 9) i ON CONFLICT (id, r) DO UPDATE SET v = EXCLUDED.v $$),
		('merge with movement', $$ MERGE INTO src USING generate_series(3, 12) i ON id = i WHEN MATCHED AND r = 'n' THEN DELETE WHEN MATCHED THEN UPDATE SET r = 'n' WHEN NOT MATCHED THEN INSERT VALUES (i, 's', 'merged') $$),
		('movement, and its row put back', $$ WITH a AS (UPDATE src SET r = 'x' WHERE r = 'n' RETURNING *) INSERT INTO src SELECT id, 'n', 'put back' FROM a $$)) w(name, statement)
	WHERE world LIKE 'partition%' ORDER BY world, name;
INSERT INTO way.way (world, name, statement, expect) VALUES
('partitions', 'insert into a partition', $$ INSERT INTO src_n (id, r, v) VALUES (10, 'n', 'new') ;; INSERT INTO src_s (id, r, v) VALUES (10, 's', 'new') ;; INSERT INTO src_s2 (id, r, v) VALUES (11, 's', 'new') $$, 'equal'),
('partitions', 'update of a partition', $$ UPDATE src_n SET v = v || '!' ;; UPDATE src_s SET v = v || '!' ;; UPDATE src_s2 SET v = v || '?' $$, 'equal'),
('partitions', 'key change in a partition', $$ UPDATE src_s2 SET id = id + 10 ;; UPDATE src_s SET id = 20 - id $$, 'equal'),
('partitions', 'delete from a partition', $$ DELETE FROM src_n WHERE id < 5 ;; DELETE FROM src_s WHERE id > 5 $$, 'equal'),
('partitions', 'copy', $$ COPY src (r, v, id) FROM PROGRAM 'printf "n\tx\t10\ns\tx\t10\nq\tx\t10\n"' ;; COPY src_s2 FROM PROGRAM 'printf "s\t11\tx\n"' $$, 'equal'),
('partitions', 'row trigger of a partition', $$ CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE src SET v = v || ''+'' WHERE id = NEW.id AND length(v) < 4; RETURN NULL; END' ;;
	CREATE TRIGGER a AFTER INSERT OR UPDATE ON src_s2 FOR EACH ROW EXECUTE FUNCTION f() ;; UPDATE src SET r = 's' ;; UPDATE src_s2 SET v = 'x' $$, 'equal'),
('partitions', 'truncate of a partition', $$ TRUNCATE src_n ;; INSERT INTO src VALUES (10, 'n', 'new') $$, 'later'),
('partitions', 'truncate', $$ TRUNCATE src ;; INSERT INTO src VALUES (10, 'n', 'new') $$, 'later');

-- inheritance: children with columns of their own
INSERT INTO way.world VALUES ('children', $$
	CREATE TABLE src (id int PRIMARY KEY, v text);
	CREATE TABLE child (more int, PRIMARY KEY (id)) INHERITS (src);
	CREATE TABLE other (v text, id int, extra text);
	ALTER TABLE other DROP COLUMN extra, ALTER id SET NOT NULL, ADD PRIMARY KEY (id), INHERIT src;
	CREATE TABLE tgt (id int PRIMARY KEY, v text);
	INSERT INTO src SELECT i, 'v' || i FROM generate_series(1, 3) i; INSERT INTO child SELECT i, 'v' || i, i FROM generate_series(4, 6) i;
	INSERT INTO other SELECT 'v' || i, i FROM generate_series(7, 9) i $$, $$ migrate_map('m', 'src', 'tgt') $$, 'before complete');
INSERT INTO way.way (world, name, statement, expect)
	SELECT 'children', name, statement, 'later' FROM (VALUES
		('insert', $$ INSERT INTO src VALUES (10, 'new') ;; INSERT INTO child VALUES (11, 'new', 1) ;; INSERT INTO other VALUES ('new', 12) $$),
		('update', $$ UPDATE src SET v = v || '!' ;; UPDATE child SET v = 'child', more = 2 ;; UPDATE other SET v = 'other' WHERE id > 7 ;; UPDATE ONLY src SET v = 'only' $$),
		('key change', $$ UPDATE src SET id = id + 10 ;; UPDATE child SET id = id + 10 $$),
		('delete', $$ DELETE FROM src WHERE id % 2 = 0 ;; DELETE FROM ONLY src ;; DELETE FROM other WHERE id = 7 $$),
		('from one to another', $$ WITH d AS (DELETE FROM ONLY src RETURNING *) INSERT INTO child SELECT id, v || '!' FROM d ;; WITH d AS (DELETE FROM child RETURNING *) INSERT INTO other SELECT v, id FROM d $$)) w(name, statement);
INSERT INTO way.way (world, name, statement, expect) VALUES ('children', 'truncate', $$ TRUNCATE src ;; INSERT INTO child VALUES (4, 'new') $$, 'later');

-- types: each a column, and some of them keys
INSERT INTO way.world SELECT 'types', $$
	CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');
	CREATE TYPE pair AS (a int, b text);
	CREATE DOMAIN small AS int CHECK (VALUE < 1000);
	CREATE TABLE src (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, m mood, s small, a int[], t text[], j jsonb, js json, n numeric, f float8, b bytea, c char(5), r int4range, ts timestamptz, p pair, u uuid, x xml,
		bits varbit, iv interval, big text, unmapped text, g text GENERATED ALWAYS AS (left(big, 3)) STORED, l text);
	ALTER TABLE src ALTER big SET STORAGE EXTERNAL, ALTER unmapped SET STORAGE EXTERNAL;
	CREATE TABLE tgt (p pair, id int PRIMARY KEY, m mood, s small, a int[], t text[], j jsonb, js json, n numeric, f float8, b bytea, c char(5), r int4range, ts timestamptz, u uuid, x xml, bits varbit, iv interval, big text, g text, l text);
	INSERT INTO src (m, s, a, t, j, js, n, f, b, c, r, ts, p, u, x, bits, iv, big, unmapped, l)
		SELECT 'ok', i, ARRAY[i, NULL], ARRAY['a,b', 'NULL', NULL], '{"a": 1}', '{"b":  2}', (i || '.0')::numeric, 'NaN', '\x00ff', 'c', '[1,5)', '2024-03-31 02:30+00', (i, 'b')::pair, md5(i::text)::uuid, '<a/>', B'101', '1 month', repeat('big', 5000), repeat('un', 5000), repeat('l', 3000)
		FROM generate_series(1, 4) i;
	CREATE VIEW want AS SELECT (id, m, s, a, t, j, js::text, n, f, b, c, r, ts, p, u, x::text, bits, iv, md5(big), g, md5(l))::text AS w FROM src;
	CREATE VIEW have AS SELECT (id, m, s, a, t, j, js::text, n, f, b, c, r, ts, p, u, x::text, bits, iv, md5(big), g, md5(l))::text AS w FROM tgt $$,
	$$ migrate_map('m', 'src', 'tgt') $$, 'before complete';
INSERT INTO way.way (world, name, statement) VALUES
('types', 'insert', $$ INSERT INTO src (m, n, big) VALUES ('sad', 1.50, repeat('new', 4000)), (NULL, 'NaN', NULL) $$),
('types', 'toasted value untouched', $$ UPDATE src SET m = 'glad', unmapped = 'short' $$),
('types', 'only the toasted value', $$ UPDATE src SET big = big || 'x' WHERE id > 1 ;; UPDATE src SET big = NULL WHERE id = 2 $$),
('types', 'only an unmapped toasted value', $$ UPDATE src SET unmapped = repeat('u', 9000) $$),
('types', 'all to null', $$ UPDATE src SET m = NULL, s = NULL, a = NULL, t = NULL, j = NULL, js = NULL, n = NULL, f = NULL, b = NULL, c = NULL, r = NULL, ts = NULL, p = NULL, u = NULL, x = NULL, bits = NULL, iv = NULL, big = NULL, l = NULL $$),
('types', 'equal, but not the same', $$ UPDATE src SET n = n * 1.0, f = -f, iv = '30 days', js = '{"b":2}', x = '<a></a>', j = '{"a": 1.0}' $$),
('types', 'zero and minus zero', $$ UPDATE src SET f = 0 ;; UPDATE src SET f = '-0' $$),
('types', 'new values', $$ UPDATE src SET m = 'sad', s = 7, a = '[0:1]={1,2}', t = t || 'x'::text, j = '[]', b = '', c = 'cc', r = 'empty', ts = ts + '1 day', p = (NULL, 'x'), bits = B'', l = 'short' $$),
('types', 'identity and key', $$ UPDATE src SET id = DEFAULT WHERE id = 2 ;; INSERT INTO src (id, m) OVERRIDING SYSTEM VALUE VALUES (2, 'ok') $$),
('types', 'restart identity', $$ DELETE FROM src ;; ALTER TABLE src ALTER id RESTART ;; INSERT INTO src (m) VALUES ('ok'), ('sad') $$);
INSERT INTO way.way (world, name, statement, expect) VALUES
('types', 'truncate restart identity', $$ TRUNCATE src RESTART IDENTITY ;; INSERT INTO src (m) VALUES ('ok'), ('sad') $$, 'later');

-- keys of other types, and of several columns; "1.0" and "1.00", "a" and "A" are one key
INSERT INTO way.world SELECT 'key ' || type, format($$
	CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
	CREATE TYPE mood AS ENUM ('a', 'b', 'c', 'd', 'e', 'f');
	CREATE DOMAIN dom AS text CHECK (VALUE <> '');
	CREATE TABLE src (k %1$s PRIMARY KEY, v text);
	CREATE TABLE tgt (v text, k %1$s PRIMARY KEY);
	INSERT INTO src SELECT t::%3$s, 'v' || t::%3$s::text FROM unnest(%2$L::text[]) t;
	CREATE VIEW want AS SELECT (k, v)::text AS w FROM src; CREATE VIEW have AS SELECT (k, v)::text AS w FROM tgt $$, type, values, split_part(type, ' COLLATE', 1)),
	$$ migrate_map('m', 'src', 'tgt') $$, 'before complete reverse'
	FROM (VALUES ('text', '{a,b,c,d}'), ('text COLLATE nocase', '{a,b,c,d}'), ('numeric', '{1.0,2.0,3.0,4.0}'), ('float8', '{0,1,2,NaN}'), ('dom', '{a,b,c,d}'), ('mood', '{a,b,c,d}'),
		('char(3)', '{a,b,c,d}'), ('interval', '{1 month,2 months,3 months,4 months}'), ('timestamptz', '{2024-01-01 00:00+00,infinity,-infinity,0044-01-01 BC}'),
		('uuid', '{00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000002,00000000-0000-0000-0000-000000000003,00000000-0000-0000-0000-000000000004}'),
		('bytea', '{"\\x00","\\x01","\\x02","\\x03"}'), ('bool', '{t,f}'), ('int[]', '{}'), ('jsonb', '{1,2,"{}"}'), ('bigint', '{1,2,9223372036854775807}')) w(type, values);
INSERT INTO way.way (world, name, statement)
	SELECT world, 'all', $$ UPDATE src SET v = v || '!' ;; WITH d AS (DELETE FROM src WHERE k = (SELECT min(k::text) FROM src)::$$ || type || $$ RETURNING *) INSERT INTO src SELECT k, 'again' FROM d ;;
		DELETE FROM src WHERE k = (SELECT max(k::text) FROM src)::$$ || type FROM way.world, split_part(substr(world, 5), ' COLLATE', 1) type WHERE world LIKE 'key %' AND world <> 'key int[]';
INSERT INTO way.way (world, name, statement) VALUES
('key text COLLATE nocase', 'case', $$ UPDATE src SET k = upper(k) WHERE k < 'c' ;; UPDATE src SET v = 'x' WHERE k = 'a' $$),
('key text COLLATE nocase', 'case, deleted and inserted', $$ WITH d AS (DELETE FROM src WHERE k < 'c' RETURNING *) INSERT INTO src SELECT upper(k), v FROM d $$),
('key numeric', 'scale', $$ UPDATE src SET k = k::numeric(9,2) WHERE k < 3 ;; UPDATE src SET k = k::int WHERE k > 2 $$),
('key numeric', 'scale and chain', $$ UPDATE src SET k = (k - 1)::numeric(9,2) $$),
('key float8', 'zeros', $$ UPDATE src SET k = '-0' WHERE k = 0 ;; UPDATE src SET v = 'x' WHERE k = 'NaN' $$),
('key interval', 'equal', $$ UPDATE src SET k = '30 days' WHERE k = '1 month' ;; UPDATE src SET k = k + '1 day' $$),
('key char(3)', 'padding', $$ UPDATE src SET k = k || 'x' ;; INSERT INTO src VALUES ('a  ', 'new') $$),
('key text', 'odd texts', $$ UPDATE src SET k = k || $k$'"\{}, $1 %s$k$ || chr(10) ;; UPDATE src SET v = 'x' WHERE k LIKE 'b%' ;; INSERT INTO src VALUES ('', 'empty') ;; DELETE FROM src WHERE k LIKE 'a%' $$),
('key int[]', 'arrays', $$ INSERT INTO src VALUES ('{}', 'a'), ('{1,NULL}', 'b'), ('[0:1]={1,2}', 'c') ;; UPDATE src SET k = k || 7 WHERE v < 'c' ;; DELETE FROM src WHERE v = 'b' $$),
('key bool', 'other', $$ DELETE FROM src WHERE k ;; UPDATE src SET k = NOT k $$);
INSERT INTO way.world VALUES ('composite key', $$
	CREATE TABLE src (a int, b text, c date, v text, PRIMARY KEY (c, a, b) DEFERRABLE);
	CREATE TABLE tgt (v text, b text, c date, a int, PRIMARY KEY (a, b, c));
	INSERT INTO src SELECT i / 3, i % 3, '2024-01-01'::date + i % 2, 'v' || i FROM generate_series(1, 9) i;
	CREATE VIEW want AS SELECT (a, b, c, v)::text AS w FROM src; CREATE VIEW have AS SELECT (a, b, c, v)::text AS w FROM tgt $$, $$ migrate_map('m', 'src', 'tgt') $$, 'before complete');
INSERT INTO way.way (world, name, statement) VALUES
('composite key', 'one column', $$ UPDATE src SET c = c + 1 ;; UPDATE src SET b = '9' WHERE a = 1 AND b = '2' $$),
('composite key', 'rotation', $$ UPDATE src SET b = (b::int + 1) % 3 $$),
('composite key', 'delete', $$ DELETE FROM src WHERE a = 1 ;; INSERT INTO src VALUES (1, '0', '2024-01-02', 'new') $$);

\o /dev/null
\set ECHO none
SELECT command FROM way.scripts \gexec
\set ECHO all
\o
\a
SELECT world, name, source, equal, wrong FROM way.report;
