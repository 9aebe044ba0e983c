-- The machine behind the tests capture_*.  A "way" is something an application may do to the table
-- src of a "world".  Each is done several times, in a world made anew:
--	control		without a migration: what is in src afterwards
--	before		dual writes, and nothing copied yet: nothing wrong in the target at once
--	settled		... and after the backfill both sides are equal
--	halfway		the copy has stopped in the middle: nothing wrong in the target at once
--	resumed		... and after its end both sides are equal
--	complete	after the backfill: both sides equal at once, and no key is dirty
--	reverse		the same after a cutover whose new side is src
-- and every time the application must see what it saw without a migration.
\set ECHO none
\set QUIET on
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS migrate_ext;
DROP SCHEMA IF EXISTS way, ways CASCADE;
CREATE SCHEMA way;
-- map: the last arguments of migrate_map, or several calls
CREATE TABLE way.world (world text PRIMARY KEY, setup text NOT NULL, map text NOT NULL, modes text NOT NULL);
CREATE TABLE way.way (n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, world text NOT NULL REFERENCES way.world,
	name text NOT NULL, statement text NOT NULL, expect text NOT NULL DEFAULT 'equal');
CREATE TABLE way.result (n int, stage text, outcome text, state text, at int GENERATED ALWAYS AS IDENTITY);

-- What the target should hold, what it holds, and what the application sees, where the world does not say.
CREATE PROCEDURE way.views() LANGUAGE plpgsql AS $$
BEGIN
	IF to_regclass('ways.want') IS NULL THEN CREATE VIEW ways.want AS SELECT s::text AS w FROM ways.src s; END IF;
	IF to_regclass('ways.have') IS NULL THEN CREATE VIEW ways.have AS SELECT t::text AS w FROM ways.tgt t; END IF;
	IF to_regclass('ways.state') IS NULL THEN CREATE VIEW ways.state AS SELECT s::text AS w FROM ways.src s; END IF;
END $$;

-- Writes down how things stand: by "looks" at all, only at what the target has and should not, or at the source only.
CREATE PROCEDURE way.note(way int, stage text, looks text) LANGUAGE plpgsql AS $$
DECLARE
	now text;
	wrong text;
	dirty text;
BEGIN
	SELECT coalesce(string_agg(w, ' ' ORDER BY w COLLATE "C"), 'nothing') INTO now FROM ways.state;
	IF length(now) > 150 THEN
		SELECT count(*) || ' rows, md5 ' || left(md5(now), 8) INTO now FROM ways.state;
	END IF;
	IF looks <> 'source' THEN
		SELECT string_agg(w, ' ' ORDER BY w COLLATE "C") INTO wrong FROM (
			SELECT '-' || w AS w FROM (SELECT w FROM ways.want EXCEPT ALL SELECT w FROM ways.have) missing WHERE looks = 'all'
			UNION ALL SELECT '+' || w FROM (SELECT w FROM ways.have EXCEPT ALL SELECT w FROM ways.want) wrong) d;
	END IF;
	IF looks = 'all' THEN
		SELECT string_agg(DISTINCT concat_ws(' ', 'dirty', key::text, reason, sqlstate, message), ', ') INTO dirty FROM migrate_ext.dirty_key;
	END IF;
	IF now <> (SELECT r.state FROM way.result r WHERE r.n = way AND r.stage = 'control') THEN
		dirty := concat_ws(', ', dirty, 'the application sees ' || now);
	END IF;
	INSERT INTO way.result VALUES (way, stage, left(concat_ws(', ', wrong, dirty), 300), now);
END $$;

-- A copy that is to stop must have copied some rows and not others.
CREATE PROCEDURE way.be_halfway() LANGUAGE plpgsql AS $$
BEGIN
	ASSERT (SELECT count(*) FROM ways.have) BETWEEN 1 AND (SELECT count(*) FROM ways.want) - 1;
END $$;
-- A VACUUM removes dead rows where no other snapshot may see them: an ANALYZE of the server has one now and then.
CREATE PROCEDURE way.let_vacuum() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..200 LOOP
		PERFORM pg_stat_clear_snapshot();
		EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL);
		PERFORM pg_sleep(0.05);
	END LOOP;
END $$;
CREATE FUNCTION way.stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the copy stops here' USING ERRCODE = 'object_not_in_prerequisite_state'; END $$;

-- The commands of one way in one mode.  Where "later" is expected, keys may be dirty at first: a sync settles them.
CREATE FUNCTION way.script(w way.way, o way.world, mode text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	later bool := w.expect = 'later';
BEGIN
	RETURN NEXT 'DROP SCHEMA IF EXISTS ways CASCADE; CREATE SCHEMA ways; SET search_path = ways, public; ' || o.setup || '; CALL way.views()';
	IF mode = 'reverse' THEN
		RETURN NEXT 'SELECT migrate_create(''m''), migrate_map(''m'', ''tgt'', ''src''), migrate_set(''m'', ''allow_nonempty_target'', ''on'');'
			'INSERT INTO tgt SELECT (jsonb_populate_record(NULL::tgt, to_jsonb(s))).* FROM src s; SELECT migrate_start(''m'')';
	ELSIF mode <> 'control' THEN
		RETURN NEXT 'SELECT migrate_create(''m''); SELECT ' || o.map || '; SELECT migrate_start(''m'')';
	END IF;
	IF mode = 'halfway' THEN
		RETURN NEXT 'SELECT migrate_set(''m'', ''batch_rows'', ''1'')';
		RETURN NEXT 'CREATE TRIGGER stop BEFORE INSERT ON tgt FOR EACH ROW WHEN (NEW.id = 3) EXECUTE FUNCTION way.stop()';
	END IF;
	IF mode IN ('complete', 'reverse', 'halfway') THEN
		RETURN NEXT 'CALL migrate_run(''m'')';
	END IF;
	IF mode = 'halfway' THEN
		RETURN NEXT 'DROP TRIGGER stop ON tgt';
		RETURN NEXT 'CALL way.be_halfway()';
	ELSIF mode = 'reverse' THEN
		RETURN NEXT 'SELECT migrate_verify(''m'')';
		RETURN NEXT 'SELECT migrate_cutover(''m'', ''switch'')';
	END IF;
	RETURN QUERY SELECT regexp_split_to_table(w.statement, '\s*;;\s*');
	RETURN NEXT 'RESET ALL; SET search_path = ways, public; SET client_min_messages = warning';
	IF mode IN ('before', 'halfway') THEN
		RETURN NEXT format('CALL way.note(%s, %L, %L)', w.n, mode, CASE WHEN later THEN 'source' ELSE 'extra' END);
		RETURN NEXT 'CALL migrate_run(''m'')';
		RETURN NEXT format('CALL way.note(%s, %L, %L)', w.n, CASE mode WHEN 'before' THEN 'settled' ELSE 'resumed' END, 'all');
	ELSIF mode = 'control' OR NOT later THEN
		RETURN NEXT format('CALL way.note(%s, %L, %L)', w.n, mode, CASE mode WHEN 'control' THEN 'source' ELSE 'all' END);
	ELSE
		-- a sync gives way to who locks a table, as autovacuum does when it truncates one: then once more
		RETURN NEXT 'DO $sync$ BEGIN FOR i IN 1..20 LOOP PERFORM migrate_sync(''m''); '
			'EXIT WHEN NOT EXISTS (SELECT FROM migrate_ext.dirty_key WHERE attempts = 0); PERFORM pg_sleep(0.05); END LOOP; END $sync$';
		RETURN NEXT format('CALL way.note(%s, %L, %L)', w.n, mode || ', synced', 'all');
	END IF;
	IF mode <> 'control' THEN
		RETURN NEXT 'SELECT migrate_rollback(''m'', ''over'')';
		RETURN NEXT 'SELECT migrate_drop(''m'')';
	END IF;
END $$;

CREATE VIEW way.scripts AS
	SELECT c.command FROM way.way w JOIN way.world o USING (world),
		LATERAL regexp_split_to_table('control ' || o.modes, ' ') WITH ORDINALITY m(mode, i),
		LATERAL way.script(w, o, m.mode) WITH ORDINALITY c(command, k) ORDER BY w.n, m.i, c.k;

-- A line for each way: what is in src afterwards, in which stages all was well, and what was wrong in others.
CREATE VIEW way.report AS
	SELECT w.world, w.name, max(r.state) FILTER (WHERE r.stage = 'control') AS source,
		string_agg(r.stage, ' ' ORDER BY r.at) FILTER (WHERE r.outcome = '' AND r.stage <> 'control') AS equal,
		string_agg(r.stage || ': ' || r.outcome, '; ' ORDER BY r.at) FILTER (WHERE r.outcome <> '') AS wrong
	FROM way.way w LEFT JOIN way.result r USING (n) GROUP BY w.n ORDER BY w.n;
\set ECHO all
