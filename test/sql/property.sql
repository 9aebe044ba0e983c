-- Tables of random types, values and physical histories: what is equal stays equal, and every single change is seen, exactly.
SET client_min_messages = warning;
CREATE TYPE pr_mood AS ENUM ('sad', 'ok', 'happy''; --');
CREATE TYPE pr_pair AS (a int, b text, c numeric[]);
CREATE DOMAIN pr_positive AS int CHECK (value > 0);
-- the types, and an expression for a value of each
CREATE TABLE pr_type (type text, expression text);
INSERT INTO pr_type VALUES
	('int', '(random() * 1e6)::int'), ('smallint', '(random() * 100 - 50)::smallint'), ('bigint', '(random() * 1e15)::bigint'),
	('numeric', 'round((random() * 1e6)::numeric, (random() * 6)::int)'), ('numeric(12,2)', '(random() * 1e6)::numeric(12,2)'),
	('float8', '(random() - 0.5) * 1e10 ^ (random() * 3)'), ('real', '((random() - 0.5) * 1e5)::real'), ('boolean', 'random() < 0.5'),
	('text', 'repeat(md5(random()::text), (random() * 3)::int)'), ('text', 'repeat(md5(random()::text), (random() * 200)::int)'),
	('text', '(SELECT string_agg(md5(random()::text), '''') FROM generate_series(1, 120))'), ('varchar(40)', 'md5(random()::text)'),
	('char(12)', 'left(md5(random()::text), (random() * 12)::int)'), ('name', 'left(md5(random()::text), 20)::name'), ('"char"', '''x''::"char"'),
	('date', 'date ''2000-01-01'' + (random() * 10000)::int'), ('time', 'time ''00:00'' + random() * interval ''1 day'''),
	('timestamp', 'timestamp ''2000-01-01'' + random() * interval ''30 years'''), ('timestamptz', 'timestamptz ''2000-01-01 00:00Z'' + random() * interval ''30 years'''),
	('interval', 'make_interval(months => (random() * 20)::int, days => (random() * 40)::int, secs => random() * 1e5)'),
	('uuid', 'md5(random()::text)::uuid'), ('bytea', 'decode(md5(random()::text), ''hex'')'), ('inet', '(''10.'' || (random() * 255)::int || ''.0.1/'' || (random() * 32)::int)::inet'),
	('macaddr', '''08:00:2b:01:02:03''::macaddr'), ('bit varying(20)', 'left(((random() * 1e6)::int)::bit(20)::text, (random() * 20)::int)::bit varying(20)'),
	('jsonb', 'jsonb_build_object(''a'', random(), ''b'', jsonb_build_array(md5(random()::text), NULL, random() < 0.5))'),
	('json', '(''{"a" : '' || random() || ''}'')::json'), ('xml', '(''<a>'' || random() || ''</a>'')::xml'), ('point', 'point(random(), random())'),
	('int[]', 'ARRAY[(random() * 9)::int, NULL, (random() * 9)::int]'), ('int[]', 'array_fill((random() * 9)::int, ARRAY[2, 2], ARRAY[(random() * 3)::int, 1])'),
	('text[]', 'ARRAY[md5(random()::text), '''', NULL]'), ('numeric[]', 'ARRAY[round(random()::numeric, (random() * 5)::int)]'),
	('int4range', 'int4range((random() * 9)::int, 10 + (random() * 9)::int, ''[]'')'), ('numrange', 'numrange(NULL, random()::numeric, ''(]'')'),
	('tstzmultirange', 'tstzmultirange(tstzrange(now(), now() + random() * interval ''1 day''))'), ('pr_mood', '(enum_range(NULL::pr_mood))[1 + (random() * 2)::int]'),
	('pr_pair', 'ROW((random() * 9)::int, md5(random()::text), ARRAY[random()::numeric])::pr_pair'), ('pr_pair[]', 'ARRAY[ROW(1, NULL, NULL)::pr_pair, NULL]'),
	('pr_positive', '1 + (random() * 9)::int'), ('tsvector', 'to_tsvector(''simple'', md5(random()::text))'), ('oid', '(random() * 1e5)::int::oid'),
	('money', '(random() * 100)::numeric(9,2)::money'), ('pg_lsn', '(''0/'' || to_hex((random() * 1e6)::int))::pg_lsn');

-- A table of n columns, and one that holds the same values: other order, dropped columns, other storage, rows written again.
CREATE PROCEDURE pr_make(types text[], expressions text[]) LANGUAGE plpgsql AS $$
DECLARE
	n int := cardinality(types);
	names text := '';
	list text := '';
	definition text := '';
	shuffled text := '';
	i int;
BEGIN
	FOR i IN 1 .. n LOOP
		definition := definition || format(', c%s %s', i, types[i]);
		names := names || format(', c%s', i);
		list := list || format(', CASE WHEN random() < 0.15 THEN NULL ELSE %s END', expressions[i]);
	END LOOP;
	EXECUTE 'CREATE TABLE pr_a (id int PRIMARY KEY' || definition || ')';
	EXECUTE 'INSERT INTO pr_a SELECT i' || list || ' FROM generate_series(1, 12) i';
	FOR i IN SELECT g FROM generate_series(1, n) g ORDER BY random() LOOP
		shuffled := shuffled || format('c%s %s, ', i, types[i]) || CASE WHEN random() < 0.3 THEN format('gone%s text DEFAULT ''x'', ', i) ELSE '' END;
	END LOOP;
	EXECUTE 'CREATE TABLE pr_b (' || shuffled || 'id int PRIMARY KEY)';
	FOR i IN 1 .. n LOOP
		IF random() < 0.3 AND types[i] IN ('text', 'jsonb', 'bytea', 'json', 'xml', 'tsvector') THEN
			EXECUTE format('ALTER TABLE pr_b ALTER c%s SET STORAGE %s', i, (ARRAY['external', 'extended', 'main'])[1 + (random() * 2)::int]);
		END IF;
		IF shuffled LIKE format('%%gone%s text%%', i) AND random() < 0.7 THEN
			EXECUTE format('ALTER TABLE pr_b DROP gone%s', i);
		END IF;
	END LOOP;
	EXECUTE 'INSERT INTO pr_b (id' || names || ') SELECT id' || names || ' FROM pr_a ORDER BY random()';
	IF random() < 0.5 THEN
		UPDATE pr_b SET id = id WHERE random() < 0.5;
	END IF;
END $$;

-- Changes one thing in the second table; returns what a comparison must say.
CREATE FUNCTION pr_change(n int, expressions text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	way int := (random() * 3)::int;
	victim int := 1 + (random() * 11)::int;
	i int := 1 + floor(random() * n)::int;
	is_null boolean;
BEGIN
	IF way = 0 THEN
		DELETE FROM pr_b WHERE id = victim;
		RETURN 'missing ' || victim;
	ELSIF way = 1 THEN
		INSERT INTO pr_b (id) VALUES (100);
		RETURN 'extra 100';
	END IF;
	EXECUTE format('SELECT c%s IS NULL FROM pr_b WHERE id = $1', i) INTO is_null USING victim;
	-- ROW(NULL, ...) IS NULL: nothing would change
	EXECUTE format('UPDATE pr_b SET c%s = %s WHERE id = $1', i, CASE WHEN is_null THEN expressions[i] ELSE 'NULL' END) USING victim;
	RETURN format('different %s c%s', victim, i);
END $$;

CREATE FUNCTION pr_run(rounds int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	seed float8 := random();
	types text[];
	expressions text[];
	expected text;
	found text;
BEGIN
	PERFORM setseed(seed);
	FOR round IN 1 .. rounds LOOP
		SELECT array_agg(type), array_agg(expression) INTO types, expressions
			FROM (SELECT * FROM pr_type ORDER BY random() LIMIT 1 + (random() * 7)::int) t;
		CALL pr_make(types, expressions);
		-- the session's settings change nothing
		PERFORM set_config('DateStyle', (ARRAY['ISO', 'German', 'SQL, DMY'])[1 + (random() * 2)::int], true),
			set_config('extra_float_digits', (round % 4 - 2)::text, true), set_config('bytea_output', (ARRAY['hex', 'escape'])[1 + round % 2], true),
			set_config('IntervalStyle', (ARRAY['postgres', 'iso_8601'])[1 + round % 2], true), set_config('TimeZone', (ARRAY['UTC', 'Asia/Tokyo'])[1 + round % 2], true);
		SELECT string_agg(kind || ' ' || (key ->> 'id') || coalesce(' ' || array_to_string(columns, ','), ''), '; ') INTO found FROM migrate_compare('pr_a', 'pr_b');
		IF found IS NOT NULL THEN
			RETURN format('seed %s, round %s: equal tables of %s differ: %s', seed, round, types, found);
		END IF;
		expected := pr_change(cardinality(types), expressions);
		SELECT string_agg(kind || ' ' || (key ->> 'id') || coalesce(' ' || array_to_string(columns, ','), ''), '; ') INTO found FROM migrate_compare('pr_a', 'pr_b');
		IF found IS DISTINCT FROM expected THEN
			RETURN format('seed %s, round %s: of %s is told: %s, instead of: %s', seed, round, types, found, expected);
		END IF;
		DROP TABLE pr_a, pr_b;
	END LOOP;
	RETURN 'ok';
END $$;
SELECT 'SELECT pr_run(200)' FROM generate_series(1, 15) \gexec
DROP TABLE pr_type;
DROP FUNCTION pr_change, pr_run;
DROP PROCEDURE pr_make;
DROP TYPE pr_pair, pr_mood;
DROP DOMAIN pr_positive;
