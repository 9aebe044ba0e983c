# Cutover by swap: everything that belongs to the name goes over, and comes back: dumps of the schema are the same.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('swap');
$node->init(allows_streaming => 'logical');
$node->append_conf('postgresql.conf', "fsync = off\nmax_worker_processes = 16\n");
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE app; CREATE ROLE ro; CREATE ROLE old_owner; CREATE ROLE new_owner; GRANT old_owner TO new_owner');

# The schema as pg_dump writes it, without what is random.
sub dump_schema
{
	my ($db) = @_;
	my ($out, $err) = run_command([ 'pg_dump', '-s', '-N', 'migrate_ext', $node->connstr($db) ]);
	return join "\n", grep { !/^\\(?:un)?restrict / } split /\n/, $out;
}

# Makes a database with a migration, cuts it over by swap, has it looked at, and rolls it back.
sub round_trip
{
	my ($db, $setup, $look, $warning) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, "CREATE EXTENSION migrate_ext; $setup");
	my $before = dump_schema($db);
	$node->safe_psql($db, "SELECT migrate_start('m'); CALL migrate_run('m'); SELECT * FROM migrate_verify('m')");
	is($node->safe_psql($db, "SELECT migrate_cutover('m')"), 'soak', "$db: cut over");
	is($node->safe_psql($db, "SELECT detail ->> 'method', (detail ->> 'swap_steps')::int > 2 FROM migrate_ext.history WHERE migration = 'm' ORDER BY event_id DESC LIMIT 1"),
		'swap|t', "$db: recorded");
	diag("$db: " . $node->safe_psql($db, "SELECT format('%s statements, locked for %s ms', detail ->> 'swap_steps', detail ->> 'locked_ms') FROM migrate_ext.history WHERE phase = 'soak' ORDER BY event_id DESC LIMIT 1"));
	$look->($db);
	my ($rc, $out, $err) = $node->psql($db, "SELECT migrate_rollback('m')");
	is($out, 'rolled_back', "$db: rolled back");
	like($err, $warning // qr/^$/, "$db: without a warning, or with the one expected");
	$node->poll_query_until($db, 'SELECT count(*) = 0 FROM migrate_ext.stashed_object WHERE restored_at IS NULL');
	is(dump_schema($db), $before, "$db: the schema is what it was");
	is($node->safe_psql($db, 'SELECT count(*) FROM migrate_ext.swap_step'), '0', "$db: nothing is left to be undone");
	return;
}

# 1. One of each kind of object.
round_trip('objects', q{
	CREATE TABLE org (id int PRIMARY KEY);
	INSERT INTO org VALUES (1), (2);
	CREATE TABLE users (id serial PRIMARY KEY, org int REFERENCES org, email text NOT NULL CHECK (email <> ''), parent int REFERENCES users,
		seen timestamptz) WITH (fillfactor = 80, autovacuum_enabled = on, toast.autovacuum_enabled = off);
	CREATE UNIQUE INDEX users_email_idx ON users (email);
	CREATE INDEX users_seen_idx ON users (seen) WHERE seen IS NOT NULL;
	CREATE INDEX "ON users USING" ON users USING hash (org);
	COMMENT ON TABLE users IS 'the users';
	COMMENT ON COLUMN users.email IS 'it''s a mail address';
	GRANT SELECT, INSERT, UPDATE ON users TO app;
	GRANT DELETE ON users TO app WITH GRANT OPTION;
	GRANT USAGE ON SEQUENCE users_id_seq TO app;
	GRANT SELECT (id, email) ON users TO ro;
	ALTER TABLE users ALTER COLUMN email SET STATISTICS 500;
	ALTER TABLE users ALTER COLUMN email SET (n_distinct = -1);
	CREATE STATISTICS stat (ndistinct) ON id, email FROM users;
	COMMENT ON STATISTICS stat IS 'these two';
	ALTER STATISTICS stat SET STATISTICS 77;
	ALTER TABLE users REPLICA IDENTITY FULL;
	ALTER TABLE users CLUSTER ON users_email_idx;
	ALTER TABLE users ENABLE ROW LEVEL SECURITY;
	ALTER TABLE users FORCE ROW LEVEL SECURITY;
	CREATE POLICY p_all ON users USING (true);
	CREATE POLICY p_own ON users AS RESTRICTIVE FOR UPDATE TO app, ro USING (email LIKE '%@%') WITH CHECK (org = 1 OR email = '{1,2}');
	CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.seen := coalesce(NEW.seen, ''2020-01-01''); RETURN NEW; END';
	CREATE TRIGGER touch BEFORE INSERT OR UPDATE OF email ON users FOR EACH ROW WHEN (NEW.email <> 'x') EXECUTE FUNCTION touch();
	CREATE TRIGGER off AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION touch();
	ALTER TABLE users DISABLE TRIGGER off;
	DO $$ BEGIN EXECUTE format('CREATE TRIGGER marked BEFORE UPDATE ON users FOR EACH ROW WHEN (OLD.email <> %L) EXECUTE FUNCTION touch()', chr(1) || 'users'::regclass::oid || chr(1) || ';'''); END $$;
	CREATE TRIGGER always BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch();
	ALTER TABLE users ENABLE ALWAYS TRIGGER always;
	CREATE TABLE log (id int, what text);
	CREATE RULE log_it AS ON DELETE TO users DO ALSO INSERT INTO log VALUES (OLD.id, 'gone; "{1}"');
	ALTER TABLE users ENABLE ALWAYS RULE log_it;
	CREATE TABLE posts (id int PRIMARY KEY, user_id int NOT NULL CONSTRAINT posts_user_fkey REFERENCES users ON DELETE CASCADE DEFERRABLE, mail text);
	ALTER TABLE posts ADD CONSTRAINT posts_mail_fkey FOREIGN KEY (mail) REFERENCES users (email) NOT VALID;
	COMMENT ON CONSTRAINT posts_user_fkey ON posts IS 'the author';
	CREATE VIEW active WITH (security_barrier = true) AS SELECT id, email FROM users WHERE seen IS NOT NULL;
	GRANT SELECT ON active TO ro;
	COMMENT ON VIEW active IS 'who was seen';
	CREATE VIEW active2 AS SELECT * FROM active WHERE id > 0;
	CREATE VIEW checked AS SELECT id, org FROM users WHERE org = 1 WITH LOCAL CHECK OPTION;
	CREATE FUNCTION how_many(at_least int) RETURNS bigint STABLE LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM users WHERE id >= at_least; END;
	CREATE PUBLICATION pub FOR TABLE users (id, email, org) WHERE (org = 1) WITH (publish = 'insert');
	CREATE PUBLICATION everything FOR ALL TABLES;
	INSERT INTO users (org, email, seen) SELECT 1 + i % 2, 'u' || i || '@x', now() FROM generate_series(1, 100) i;
	UPDATE users SET parent = id - 1 WHERE id > 1;
	CREATE MATERIALIZED VIEW mat WITH (fillfactor = 70) AS SELECT count(*) AS n, org FROM users GROUP BY org;
	CREATE UNIQUE INDEX "Mat" ON mat (org) WHERE n > 0;
	CREATE INDEX mat_n ON mat USING hash (n);
	CREATE INDEX mat_cluster ON mat (n);
	ALTER MATERIALIZED VIEW mat CLUSTER ON mat_cluster;
	GRANT SELECT ON mat TO ro WITH GRANT OPTION;
	COMMENT ON MATERIALIZED VIEW mat IS 'it''s stored';
	COMMENT ON COLUMN mat.n IS 'how many';
	GRANT SELECT ON users TO old_owner;
	ALTER MATERIALIZED VIEW mat OWNER TO old_owner;
	CREATE MATERIALIZED VIEW empty AS SELECT id FROM users WITH NO DATA;
	CREATE MATERIALIZED VIEW used AS SELECT id FROM users;
	CREATE VIEW uses AS SELECT * FROM used;
	INSERT INTO posts SELECT i, i, CASE WHEN i < 100 THEN 'u' || i || '@x' END FROM generate_series(51, 100) i;
	CREATE TABLE users_new (id int GENERATED BY DEFAULT AS IDENTITY, org int REFERENCES org, email text NOT NULL CHECK (email <> ''), parent int,
		seen timestamptz, extra text DEFAULT 'e', CONSTRAINT new_pk PRIMARY KEY (id));
	ALTER TABLE users_new ADD FOREIGN KEY (parent) REFERENCES users_new DEFERRABLE INITIALLY DEFERRED;
	CREATE UNIQUE INDEX new_email ON users_new (email);
	CREATE INDEX new_seen ON users_new (seen) WHERE seen IS NOT NULL;
	CREATE INDEX new_hash ON users_new USING hash (org);
	CREATE INDEX new_extra ON users_new (extra);
	GRANT SELECT, DELETE ON users_new TO app;
	SELECT migrate_create('m'), migrate_map('m', 'users', 'users_new');
}, sub {
	my ($db) = @_;
	is($node->safe_psql($db, q{SELECT string_agg(indexrelid::regclass::text, ' ' ORDER BY indexrelid::regclass::text) FROM pg_index WHERE indrelid = 'users'::regclass}),
		'"ON users USING" new_extra users_email_idx users_pkey users_seen_idx', 'indexes have the names that the application knows');
	is($node->safe_psql($db, q{SELECT pg_get_serial_sequence('users', 'id'), pg_get_serial_sequence('users_new', 'id')}),
		'public.users_id_seq|public.users_new_id_seq', 'so have sequences');
	is($node->safe_psql($db, q{
		SET ROLE app; INSERT INTO users (org, email) VALUES (1, 'new@x') RETURNING id, extra, seen IS NOT NULL; SELECT currval('users_id_seq');
		RESET ROLE; SET ROLE ro; SELECT email FROM users WHERE id = 101; SELECT count(*) FROM active}), "101|e|t\n101\nnew\@x\n101",
		'the application goes on under its rights');
	like($node->psql($db, 'SET ROLE ro; SELECT org FROM users') . ($node->psql($db, 'SET ROLE ro; SELECT org FROM users'))[2], qr/permission denied/, 'and has no more');
	is($node->safe_psql($db, q{SELECT how_many(100), (SELECT count(*) FROM active2), (SELECT sum(n) FROM mat)}), '2|101|100', 'views and functions read the new side');
	$node->poll_query_until($db, 'SELECT count(*) = 0 FROM migrate_ext.stashed_object WHERE restored_at IS NULL');
	is($node->safe_psql($db, q{SELECT kind, name, error FROM migrate_ext.stashed_object WHERE restored_at IS NULL}), '', 'a worker has done all that it was left');
	is($node->safe_psql($db, q{SELECT sum(n) IN (100, 101) FROM mat; SELECT string_agg(DISTINCT d.refobjid::regclass::text, ' ') FROM pg_rewrite r JOIN pg_depend d ON d.objid = r.oid
		WHERE r.ev_class IN ('mat'::regclass, 'empty'::regclass) AND d.refclassid = 'pg_class'::regclass AND d.refobjid NOT IN ('mat'::regclass, 'empty'::regclass)}),
		"t\nusers", 'materialized views are made again, of the new side');
	is($node->safe_psql($db, q{SELECT count(*) FROM used; REFRESH MATERIALIZED VIEW used; SELECT count(*) FROM uses}), "100\n101", 'one that is used stays with the old side, which is kept up to date');
	is($node->safe_psql($db, q{SELECT string_agg(conname || ' ' || confrelid::regclass || ' ' || convalidated, ', ' ORDER BY conname) FROM pg_constraint
		WHERE conrelid = 'posts'::regclass AND contype = 'f'}), 'posts_mail_fkey users false, posts_user_fkey users true', 'foreign keys are re-pointed, and validated');
	$node->safe_psql($db, q{DELETE FROM users WHERE id = 100; INSERT INTO posts VALUES (1000, 101)});
	is($node->safe_psql($db, q{SELECT count(*) FROM posts WHERE user_id = 100; SELECT * FROM log; SELECT count(*) FROM users_new WHERE id = 100}), "0\n100|gone; \"{1}\"\n0",
		'foreign keys, rules and the write-back work');
	is($node->safe_psql($db, q{SELECT tablename, attnames, rowfilter FROM pg_publication_tables WHERE pubname = 'pub'}), 'users|{id,org,email}|(org = 1)', 'published');
	my ($rc, $out, $err) = $node->psql($db, 'ALTER TABLE users RENAME TO customers');
	like($err, qr/would break migration "m"/, 'the names are kept');
});
is($node->safe_psql('objects', q{SELECT count(*), max(id), (SELECT string_agg(conname || ' ' || convalidated, ', ' ORDER BY conname) FROM pg_constraint
	WHERE conrelid = 'posts'::regclass AND contype = 'f') FROM users}), '100|101|posts_mail_fkey false, posts_user_fkey true', 'what was written since is there');

# 2. Another schema, other owners, names that need quotes, a sequence that both sides use.
my $long = 'x' x 63;
round_trip('odd', qq{
	CREATE SCHEMA "o'Brien; --";
	CREATE SCHEMA fresh;
	GRANT ALL ON SCHEMA "o'Brien; --", fresh TO old_owner, new_owner;
	CREATE TABLE "o'Brien; --"."Us ""er""s" (id serial, "$long" text, CONSTRAINT pk PRIMARY KEY (id));
	CREATE UNIQUE INDEX i1 ON "o'Brien; --"."Us ""er""s" ("$long");
	CREATE TABLE fresh."Us ""er""s" (LIKE "o'Brien; --"."Us ""er""s" INCLUDING DEFAULTS, more int GENERATED ALWAYS AS IDENTITY, CONSTRAINT pk PRIMARY KEY (id));
	CREATE UNIQUE INDEX i2 ON fresh."Us ""er""s" ("$long");
	CREATE INDEX i1 ON fresh."Us ""er""s" (more);
	ALTER TABLE "o'Brien; --"."Us ""er""s" OWNER TO old_owner;
	ALTER TABLE fresh."Us ""er""s" OWNER TO new_owner;
	GRANT SELECT ON "o'Brien; --"."Us ""er""s" TO app;
	CREATE VIEW v AS SELECT * FROM "o'Brien; --"."Us ""er""s";
	INSERT INTO "o'Brien; --"."Us ""er""s" ("$long") SELECT 'v' || i FROM generate_series(1, 10) i;
	SELECT migrate_create('m'), migrate_map('m', '"o''Brien; --"."Us ""er""s"', 'fresh."Us ""er""s"');
}, sub {
	my ($db) = @_;
	is($node->safe_psql($db, q{SELECT c.relnamespace::regnamespace, pg_get_userbyid(relowner), string_agg(attname, ',' ORDER BY attnum) FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid AND attnum > 0
		WHERE relname = 'Us "er"s' GROUP BY c.oid ORDER BY c.relnamespace::regnamespace::text COLLATE "C"}), qq{"o'Brien; --"|old_owner|id,$long,more\nfresh|new_owner|id,$long}, 'schemas and owners are exchanged');
	is($node->safe_psql($db, q{SELECT string_agg(indexrelid::regclass::text, ' ' ORDER BY indexrelid::regclass::text COLLATE "C") FROM pg_index WHERE indrelid = '"o''Brien; --"."Us ""er""s"'::regclass}),
		q{"o'Brien; --".i1 "o'Brien; --".i2 "o'Brien; --".pk}, 'indexes, too');
	$node->safe_psql($db, qq{INSERT INTO v ("$long") VALUES ('by the view'); DELETE FROM v WHERE id = 1});
	is($node->safe_psql($db, q{SELECT count(*), max(id) FROM fresh."Us ""er""s"; SELECT has_table_privilege('app', '"o''Brien; --"."Us ""er""s"', 'SELECT')}), "10|11\nt", 'written through the view, and back');
});

# 3. Partitions on either side.
round_trip('partitions', q{
	CREATE TABLE src (id int, r text, v text, PRIMARY KEY (id, r)) PARTITION BY LIST (r);
	CREATE TABLE src_a PARTITION OF src FOR VALUES IN ('a');
	CREATE TABLE src_b PARTITION OF src FOR VALUES IN ('b');
	CREATE INDEX ON src (v);
	CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
	CREATE TRIGGER note BEFORE INSERT ON src FOR EACH ROW EXECUTE FUNCTION note();
	CREATE TABLE tgt (id int, r text, v text, CONSTRAINT tgt_pk PRIMARY KEY (id, r)) PARTITION BY HASH (id, r);
	CREATE TABLE tgt_0 PARTITION OF tgt FOR VALUES WITH (MODULUS 2, REMAINDER 0);
	CREATE TABLE tgt_1 PARTITION OF tgt FOR VALUES WITH (MODULUS 2, REMAINDER 1);
	CREATE INDEX ON tgt (v);
	CREATE TABLE child (id int, r text, CONSTRAINT child_fkey FOREIGN KEY (id, r) REFERENCES src);
	CREATE VIEW v AS SELECT * FROM src;
	INSERT INTO src SELECT i, CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END, i FROM generate_series(1, 100) i;
	INSERT INTO child VALUES (1, 'b');
	SELECT migrate_create('m'), migrate_map('m', 'src', 'tgt');
}, sub {
	my ($db) = @_;
	$node->safe_psql($db, q{INSERT INTO src VALUES (101, 'a', 'new'); UPDATE src SET r = 'a' WHERE id = 3; DELETE FROM v WHERE id = 5});
	is($node->safe_psql($db, q{SELECT pg_get_partkeydef('src'::regclass), (SELECT count(*) FROM v); TABLE src EXCEPT TABLE tgt; TABLE tgt EXCEPT TABLE src}), 'HASH (id, r)|100', 'written back');
	is(scalar(() = $node->safe_psql($db, q{SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'src'::regclass}) =~ /^src_/mg), 2, 'index names');
});

# 4. Two pairs that refer to each other, and expressions that name them.
round_trip('pairs', q{
	CREATE TABLE users (id int PRIMARY KEY, region text NOT NULL);
	CREATE TABLE orders (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users, v text);
	CREATE TABLE users_new (id int PRIMARY KEY, region text NOT NULL);
	CREATE TABLE orders_new (id int PRIMARY KEY, user_id int NOT NULL, region text, v text);
	ALTER TABLE orders_new ADD CONSTRAINT to_new FOREIGN KEY (user_id) REFERENCES users_new;
	CREATE TABLE lines (id int PRIMARY KEY, order_id int REFERENCES orders, user_id int REFERENCES users);
	CREATE VIEW joined AS SELECT o.id, u.region FROM orders o JOIN users u ON u.id = o.user_id;
	CREATE VIEW both_sides AS SELECT u.id, n.region FROM users u JOIN users_new n USING (id);
	INSERT INTO users SELECT i, 'r' || i FROM generate_series(1, 5) i;
	INSERT INTO orders SELECT i, 1 + i % 5, i FROM generate_series(1, 20) i;
	INSERT INTO lines VALUES (1, 1, 1);
	SELECT migrate_create('m'), migrate_map('m', 'users', 'users_new');
	SELECT migrate_map('m', 'orders', 'orders_new', '{"id": "id", "user_id": "user_id", "v": "v", "region": "(SELECT u.region FROM users u WHERE u.id = user_id)"}',
		filter => 'EXISTS (SELECT FROM users u WHERE u.id = user_id)', reverse => '{"v": "lower(v)"}');
}, sub {
	my ($db) = @_;
	is($node->safe_psql($db, q{SELECT direction, filter, scope, (SELECT expression FROM migrate_ext.mapping_column c WHERE c.mapping_id = m.mapping AND target_column = 'region')
		FROM migrate_ext.mappings m WHERE filter IS NOT NULL OR scope IS NOT NULL ORDER BY 1}) =~ s/\s+/ /gr =~ s/\( /(/gr,
		'forward|(EXISTS (SELECT FROM public.users_new u WHERE (u.id = src.user_id)))||(SELECT u.region FROM public.users_new u WHERE (u.id = src.user_id)) ' .
		'reverse||(EXISTS (SELECT FROM public.users_new u WHERE (u.id = migrate_t.user_id)))|', 'expressions mean the tables that they meant');
	is($node->safe_psql($db, q{SELECT string_agg(conrelid::regclass || ' ' || confrelid::regclass, ', ' ORDER BY conrelid::regclass::text, conname) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace}),
		'lines orders, lines users, orders users, orders_new users_new', 'each world refers to itself');
	$node->safe_psql($db, q{INSERT INTO users VALUES (6, 'r6'); INSERT INTO orders (id, user_id, v) VALUES (21, 6, 'NEW')});
	is($node->safe_psql($db, q{SELECT * FROM orders_new WHERE id = 21; SELECT * FROM joined WHERE id = 21; SELECT count(*) FROM both_sides}), "21|6|new\n21|r6\n6", 'written back');
}, qr/^psql:<stdin>:1: WARNING:  public.users_new is not written any more, but is still used by: view public.both_sides\n[^\n]*$/);
is($node->safe_psql('pairs', q{SELECT filter FROM migrate_ext.mappings WHERE filter IS NOT NULL}) =~ s/\s+/ /gr =~ s/\( /(/gr, '(EXISTS (SELECT FROM public.users u WHERE (u.id = src.user_id)))', 'and again after the rollback');

# 5. A dump of a database in the middle of it: where it is restored the way back is there, too.
$node->safe_psql('pairs', q{DROP VIEW both_sides; SELECT migrate_start('m'); CALL migrate_run('m'); SELECT * FROM migrate_verify('m')});
my $before = dump_schema('pairs');
$node->safe_psql('pairs', q{SELECT migrate_cutover('m')});
$node->poll_query_until('pairs', 'SELECT count(*) = 0 FROM migrate_ext.stashed_object WHERE restored_at IS NULL');
my $dump = PostgreSQL::Test::Utils::tempdir . '/pairs.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('pairs') ], 'dumped after the cutover');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-qX1', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('restored') ], 'restored');
$node->safe_psql('restored', q{INSERT INTO users VALUES (7, 'r7')});
is($node->safe_psql('restored', q{SELECT migrate_rollback('m'); SELECT count(*) FROM users WHERE id = 7}), "rolled_back\n1", 'rolled back there');
$node->poll_query_until('restored', 'SELECT count(*) = 0 FROM migrate_ext.stashed_object WHERE restored_at IS NULL');
is(join("\n", grep { !/migrate_ext|^--|^$/ } split /\n/, dump_schema('restored')), join("\n", grep { !/migrate_ext|^--|^$/ } split /\n/, $before), 'the schema is what it was before the cutover');
$node->safe_psql('pairs', q{SELECT migrate_rollback('m'); CREATE VIEW both_sides AS SELECT u.id, n.region FROM users u JOIN users_new n USING (id)});
$node->poll_query_until('pairs', 'SELECT count(*) = 0 FROM migrate_ext.stashed_object WHERE restored_at IS NULL');

# 6. What is made on the new side after the cutover, dropped or changed.
$node->safe_psql('pairs', q{
	SELECT migrate_start('m'); CALL migrate_run('m'); SELECT * FROM migrate_verify('m'); SELECT migrate_cutover('m');
	CREATE VIEW made_since AS SELECT region FROM orders;
	CREATE TABLE refers (id int REFERENCES orders);
	DROP VIEW both_sides;
	CREATE OR REPLACE VIEW joined AS SELECT o.id, u.region, o.v FROM orders o JOIN users u ON u.id = o.user_id;
	ALTER TABLE lines DROP CONSTRAINT lines_user_id_fkey});
my ($rc, $out, $err) = $node->psql('pairs', "SELECT migrate_rollback('m')");
is($out, 'rolled_back', 'rolled back all the same');
like($err, qr/could not take back: foreign key lines_user_id_fkey.*could not take back: view public.joined/s, 'what could not be taken back is told');
like($err, qr/public\.orders_new is not written any more, but is still used by: foreign key refers_id_fkey of public.refers, view public.joined, view public.made_since/,
	'and what still uses the new side');
is($node->safe_psql('pairs', q{SELECT to_regclass('both_sides') IS NULL}), 't', 'what was dropped since is not made again');
is($node->safe_psql('pairs', q{SELECT detail ->> 'steps_not_taken_back' FROM migrate_ext.history ORDER BY event_id DESC LIMIT 1}), '2', 'it is recorded');

$node->stop;
done_testing();
