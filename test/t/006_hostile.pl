# Names that are SQL, sessions that are set against us.
#
# P1.7: dual writes run as the owner of the tables under a fixed search_path and fixed formats.  A naive
# trigger takes an application's operator or function from a schema in front, with the owner's rights, or
# stores text as the session happens to print it.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('hostile');
$node->init;
$node->append_conf('postgresql.conf', "max_worker_processes = 8\nfsync = off\ntimezone = 'UTC'\n");
$node->start;

# The result, or the error, of SQL as some role.
sub as
{
	my ($role, $sql) = @_;
	my ($rc, $out, $err) =
	  $node->psql('postgres', $sql, extra_params => [ '-U', $role ], on_error_stop => 1);

	return $rc == 0 ? $out : $err;
}

sub ident { return '"' . ($_[0] =~ s/"/""/gr) . '"'; }
sub literal { return "'" . ($_[0] =~ s/'/''/gr) . "'"; }
sub json { return literal("{" . join(", ", map { quote_json($_) } @_) . "}"); }
# a pair is a name and an expression
sub quote_json { return join ': ', map { '"' . (s/([\\"])/\\$1/gr) . '"' } @{ $_[0] }; }

$node->safe_psql('postgres', q{
	CREATE ROLE owner LOGIN;
	CREATE ROLE app LOGIN;
	CREATE EXTENSION migrate_ext;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO owner;
	GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA public TO owner;
	CREATE SCHEMA data AUTHORIZATION owner;
	CREATE SCHEMA evil AUTHORIZATION app;
	GRANT USAGE ON SCHEMA data TO app;
	GRANT USAGE ON SCHEMA evil TO public});

# A whole migration between tables with such names.  All of a life, as each step builds its own SQL.
sub whole_life
{
	my ($label, $m, $source, $target, $key1, $key2, $value, $renamed) = @_;
	my ($lm, $s, $t) = (literal($m), 'data.' . ident($source), 'data.' . ident($target));
	my ($k1, $k2, $v, $r) = map { ident($_) } $key1, $key2, $value, $renamed;
	my $columns = json([ $key1, $k1 ], [ $key2, $k2 ], [ $renamed, "upper($v)" ]);
	my $reverse = json([ $value, "lower($r)" ]);
	my $equal = "SELECT count(*) FROM ((SELECT $k1, $k2, upper($v) FROM $s EXCEPT ALL SELECT $k1, $k2, $r FROM $t)
		UNION ALL (SELECT $k1, $k2, $r FROM $t EXCEPT ALL SELECT $k1, $k2, upper($v) FROM $s)) x";

	is(as('owner', "
		CREATE TABLE $s ($k1 int, $k2 text, $v text, PRIMARY KEY ($k1, $k2));
		CREATE TABLE $t ($k1 int, $k2 text, $r text, PRIMARY KEY ($k1, $k2));
		GRANT ALL ON $s TO app;
		INSERT INTO $s SELECT i, 'k''\"' || i, 'v' || i FROM generate_series(1, 500) i"), '', "$label: tables");
	is(as('owner', "SELECT migrate_create($lm) > 0"), 't', "$label: create");
	is(as('owner', "SELECT migrate_map($lm, " . literal($s) . ', ' . literal($t) .
		", columns => $columns, filter => " . literal("$v <> 'secret'") . ", reverse => $reverse) > 0"), 't', "$label: map");
	is(as('owner', "SELECT count(*) FROM migrate_assess($lm) WHERE severity = 'blocker'"), '0', "$label: assess");
	is(as('owner', "SELECT migrate_start($lm)"), 'dual_write', "$label: start");
	is(as('app', "UPDATE $s SET $v = 'early' WHERE $k1 = 1; DELETE FROM $s WHERE $k1 = 2;
		UPDATE $s SET $k2 = 'other key' WHERE $k1 = 3"), '', "$label: dual writes");
	is(as('owner', "SELECT migrate_backfill($lm, workers => 1) > 0"), 't', "$label: backfill");
	is(as('owner', "SET client_min_messages = warning; CALL migrate_wait($lm, '30 s')"), '', "$label: wait");
	is(as('owner', $equal), '0', "$label: equal after the copy");
	is(as('owner', "SELECT migration FROM migrate_progress($lm) WHERE state = 'done'"), $m, "$label: progress");
	is(as('app', "UPDATE $s SET $v = 'late' WHERE $k1 = 5; INSERT INTO $s VALUES (1000, 'new', 'row'), (1001, 'new', NULL)"),
		'', "$label: more dual writes");
	as('owner', "DELETE FROM $t WHERE $k1 = 10; UPDATE $t SET $r = 'damaged' WHERE $k1 = 11");
	is(as('owner', "SELECT missing || ' ' || different FROM migrate_verify($lm)"), '1 1', "$label: verify");
	is(as('owner', "SELECT string_agg(kind, ' ' ORDER BY kind) FROM migrate_divergence($lm)
		WHERE key ? " . literal($key1) . " AND kind IN ('missing', 'different')"), 'different missing', "$label: divergence");
	is(as('owner', "SELECT migrate_repair($lm)"), '2', "$label: repair");
	is(as('owner', "SELECT checksum_match FROM migrate_verify($lm)"), 't', "$label: verify again");
	is(as('owner', "SELECT bool_and(explained) FROM migrate_ledger($lm)"), 't', "$label: ledger");
	is(as('owner', "SELECT bool_and(passed) FROM migrate_gate($lm)"), 't', "$label: gate");
	is(as('owner', "SELECT migrate_cutover($lm, method => 'switch')"), 'soak', "$label: cutover");
	like(as('app', "UPDATE $s SET $v = 'stale'"), qr/was replaced by a migration/, "$label: stale write");
	is(as('owner', "UPDATE $t SET $r = 'NEW' WHERE $k1 = 20; DELETE FROM $t WHERE $k1 = 21;
		INSERT INTO $t VALUES (2000, 'new', 'SIDE')"), '', "$label: writes on the new side");
	is(as('owner', "SELECT checksum_match FROM migrate_verify($lm)"), 't', "$label: verify the way back");
	is(as('owner', "SELECT migrate_rollback($lm, " . literal($m) . ")"), 'rolled_back', "$label: rollback");
	is(as('owner', "SELECT count(*) FROM (SELECT $k1, $k2, upper($v) FROM $s WHERE $v <> 'secret'
		EXCEPT ALL SELECT $k1, $k2, $r FROM $t) x"), '0', "$label: nothing is lost");
	like(as('owner', "SELECT migrate_report($lm, 'json')::jsonb IS NOT NULL"), qr/^t$/, "$label: JSON report");
	like(as('owner', "SELECT length(migrate_report($lm)) > 0"), qr/^t$/, "$label: report");
	is(as('owner', "SELECT migrate_drop($lm)"), '', "$label: drop");
	return;
}

whole_life('quotes', "o'Brien; --", "o'Brien; --", q{"; DROP TABLE x; --}, "o'Brien; --", 'b"c\\d', q{$1 %s $$}, 'a.b, c');
whole_life('keywords', 'select', 'table', 'select', 'user', 'order', 'default', 'null');
whole_life('aliases', 'm', 'src', 'tgt', 'migrate_k1', 'migrate_n', 'src', 'tgt');
my @long = map { substr("$_ o'Brien; -- \"" . ('x' x 63), 0, 63) } 'a' .. 'f';
whole_life('63 bytes', 'm' . (q{"'} x 200), @long);

# An application with a schema of its own in front, full of traps.
is(as('owner', q{
	CREATE TABLE data.item (id int PRIMARY KEY, v text, f float8, ts timestamptz, iv interval, b bytea, d date);
	CREATE TABLE data.item_new (id int PRIMARY KEY, v text, f text, ts text, iv text, b text, d text);
	ALTER TABLE data.item_new ENABLE ROW LEVEL SECURITY;
	ALTER TABLE data.item_new FORCE ROW LEVEL SECURITY;
	GRANT ALL ON data.item TO app;
	INSERT INTO data.item SELECT i, 'v' || i, i / 3.0, timestamptz '2024-03-31 01:30 UTC' + i * interval '1 h',
		i * interval '25 h 3 min', decode(to_hex(i + 4096), 'hex'), date '2024-01-01' + i FROM generate_series(1, 100) i;
	SELECT count(*) FROM (SELECT migrate_create('m')) c, (SELECT migrate_map('m', 'data.item', 'data.item_new', columns =>
		'{"id": "id", "v": "upper(v) || length(v)", "f": "f::text", "ts": "ts::text", "iv": "iv::text", "b": "b::text",
		"d": "d::text"}', filter => 'id <> 50')) m;
	SELECT migrate_start('m')}), "1\ndual_write", 'a migration with casts to text');
my $traps = q{
	CREATE TABLE evil.log (what text);
	GRANT INSERT ON evil.log TO public;
	CREATE FUNCTION evil.trap(what text) RETURNS void LANGUAGE plpgsql AS
		$$ BEGIN INSERT INTO evil.log VALUES (what || ' as ' || current_user); END $$;
	CREATE FUNCTION evil.upper(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.trap('upper'); RETURN 'evil'; END $$;
	CREATE FUNCTION evil.length(text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.trap('length'); RETURN 0; END $$;
	CREATE TABLE evil.item_new (LIKE data.item);
	CREATE TABLE evil.dirty_key (mapping_id bigint, key jsonb);
	CREATE DOMAIN evil.text AS pg_catalog.text CHECK (false);
	CREATE DOMAIN evil.int4 AS pg_catalog.int4 CHECK (false);
	CREATE DOMAIN evil.jsonb AS pg_catalog.jsonb CHECK (false);
};
for my $op ([ '=', 'int4', 'int4' ], [ '<>', 'int4', 'int4' ], [ '=', 'text', 'text' ], [ '||', 'text', 'text' ],
	[ '||', 'text', 'int4' ], [ '->>', 'jsonb', 'text' ])
{
	my ($name, $left, $right) = map { $_ } @$op;
	my $function = 'evil.op' . unpack('H*', "$name$left$right");
	my $result = $name =~ /=|<>/ ? 'bool' : 'text';
	my $value = $result eq 'bool' ? 'true' : q{'evil'};

	$traps .= "CREATE FUNCTION $function(pg_catalog.$left, pg_catalog.$right) RETURNS pg_catalog.$result LANGUAGE plpgsql AS
		\$\$ BEGIN PERFORM evil.trap('$name'); RETURN $value; END \$\$;
		CREATE OPERATOR evil.$name (FUNCTION = $function, LEFTARG = pg_catalog.$left, RIGHTARG = pg_catalog.$right);\n";
}
is(as('app', $traps), '', 'the traps are set');
my $settings = q{SET search_path = evil, data, public, pg_catalog; SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'iso_8601';
	SET extra_float_digits = -10; SET bytea_output = 'escape'; SET TimeZone = 'Asia/Kathmandu'; SET row_security = on;
	SET standard_conforming_strings = off; SET escape_string_warning = off; SET transform_null_equals = on;};
my $writes = q{
	INSERT INTO data.item SELECT i, 'app', i / 7.0, '2024-06-01 12:00 UTC', '49 h', '\\\\x0102', '2024-02-03' FROM pg_catalog.generate_series(%1$d, %1$d + 9) i;
	UPDATE data.item SET v = 'changed', f = f OPERATOR(pg_catalog.+) 1 WHERE id OPERATOR(pg_catalog.<) %2$d;
	UPDATE data.item SET id = id OPERATOR(pg_catalog.+) %1$d OPERATOR(pg_catalog.+) 500 WHERE id OPERATOR(pg_catalog.<) 3;
	DELETE FROM data.item WHERE id OPERATOR(pg_catalog.>) %1$d + 5 AND id OPERATOR(pg_catalog.<) %1$d + 100};
is(as('app', $settings . sprintf($writes, 1000, 20)), '', 'the application writes before the copy');
is(as('owner', q{SELECT migrate_backfill('m') > 0}), 't', 'the copy runs in workers, with other settings');
is(as('owner', q{SET client_min_messages = warning; CALL migrate_wait('m', '30 s')}), '', 'to its end');
is(as('app', $settings . sprintf($writes, 2000, 30)), '', 'the application writes after the copy');
is($node->safe_psql('postgres', 'SELECT string_agg(DISTINCT what, $$, $$) FROM evil.log'), '', 'no trap was sprung');
is($node->safe_psql('postgres', 'SELECT count(*) FROM evil.item_new') . $node->safe_psql('postgres', 'SELECT count(*) FROM evil.dirty_key'),
	'00', 'no table took another\'s place');
is($node->safe_psql('postgres', q{SELECT count(*) FROM migrate_ext.dirty_key WHERE message IS NOT NULL}), '0', 'nothing had to be deferred');
my $difference = q{SELECT count(*) FROM ((SELECT id, upper(v) || length(v), f::text, ts::text, iv::text, b::text, d::text
	FROM data.item WHERE id <> 50 EXCEPT ALL TABLE data.item_new) UNION ALL (TABLE data.item_new EXCEPT ALL SELECT id, upper(v) || length(v),
	f::text, ts::text, iv::text, b::text, d::text FROM data.item WHERE id <> 50)) x};
is($node->safe_psql('postgres', q{SET DateStyle = 'ISO, YMD'; } . $difference), '0', 'the session\'s formats are not stored');
is($node->safe_psql('postgres', "$settings SELECT checksum_match FROM public.migrate_verify('m')"), 't',
	'a verification in such a session agrees');
is($node->safe_psql('postgres', 'SELECT string_agg(DISTINCT what, $$, $$) FROM evil.log'), '', 'and springs no trap');
$node->stop;
done_testing();
