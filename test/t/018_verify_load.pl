# Verifications while clients write: a hundred without a false difference, and planted ones found exactly.
use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('verify');
$node->init;
$node->append_conf('postgresql.conf', "max_worker_processes = 12\nfsync = off\nsynchronous_commit = off\n");
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{
	CREATE EXTENSION migrate_ext;
	CREATE TABLE src (id int PRIMARY KEY, v text, n int);
	CREATE TABLE tgt (id int PRIMARY KEY, v text, n int);
	INSERT INTO src SELECT i, 'v' || i, 0 FROM generate_series(1, 20000) i;
	SELECT migrate_create('m');
	SELECT migrate_map('m', 'src', 'tgt', '{"id": "id", "v": "upper(v)", "n": "n"}');
	SELECT migrate_start('m')});
sql(q{CALL migrate_run('m')});

my $script = $node->basedir . '/write.sql';
append_to_file($script, <<'SQL');
\set id random(1, 19000)
\set to random(30001, 39000)
BEGIN;
UPDATE src SET n = n + 1, v = 'w' || :id WHERE id BETWEEN :id AND :id + 5;
DELETE FROM src WHERE id = :to;
INSERT INTO src VALUES (:to, 'new', 1);
END;
SQL
my $load = IPC::Run::start(
	[ 'pgbench', '-n', '-c', '4', '-T', '300', '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ],
	'>', \my $out, '2>', \my $err);
$node->poll_query_until('postgres', q{SELECT max(n) > 1 FROM src});
my ($verified, $false) = (0, '');
for (1 .. 100)
{
	my $found = sql(q{SELECT missing + extra + different, pending FROM migrate_verify('m')});
	$verified++;
	$false .= "$found " if $found !~ /^0\|/;
}
is($false, '', "$verified verifications under load without a false difference");

# keys that the clients leave alone
sql(q{DELETE FROM tgt WHERE id IN (19500, 19501); UPDATE tgt SET v = 'planted' WHERE id IN (19600, 19700);
	INSERT INTO tgt VALUES (50000, 'planted', 0)});
is(sql(q{SELECT missing, extra, different FROM migrate_verify('m')}), '2|1|2', 'planted ones are found');
is(sql(q{SELECT string_agg(kind || ' ' || (key ->> 'id'), ', ' ORDER BY kind, key ->> 'id') FROM migrate_divergence('m')}),
	'different 19600, different 19700, extra 50000, missing 19500, missing 19501', 'exactly these');
sql(q{SELECT migrate_repair('m')});
is(sql(q{SELECT missing + extra + different FROM migrate_verify('m')}), '0', 'repaired under load');
$load->kill_kill;
is(sql(q{SELECT count(*) FROM migrate_ext.write_error}), '0', 'no dual write has failed');

# what differs is not kept in memory: nothing is copied yet, and a key is in the queue
SKIP:
{
	skip 'no /proc here', 1 unless -r '/proc/self/status';
	sql(q{
		CREATE TABLE many (id int PRIMARY KEY, v text);
		CREATE TABLE many_t (id int PRIMARY KEY, v text);
		INSERT INTO many SELECT i, 'v' || i FROM generate_series(1, 300000) i;
		SELECT migrate_create('many');
		SELECT migrate_map('many', 'many', 'many_t');
		SELECT migrate_start('many');
		INSERT INTO migrate_ext.dirty_key (mapping_id, key, reason) SELECT mapping, '{"id": 0}', 'reconcile' FROM migrate_ext.mappings WHERE migration = 'many'});
	my $session = $node->background_psql('postgres');
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	is($session->query_safe(q{SELECT pending FROM migrate_verify('many')}), '300001', 'all is pending');
	my ($peak) = slurp_file("/proc/$pid/status") =~ /^VmHWM:\s*(\d+) kB/m;
	cmp_ok($peak, '<', 200_000, 'kB at most in a verification of 300,000 rows that differ');
	$session->quit;
}
$node->stop;
done_testing();
