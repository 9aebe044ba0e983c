# With the library preloaded, a supervisor resumes what a crash, a restart or a failover interrupted; without a call.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'migrate_ext'
migrate_ext.supervisor_interval = 1
max_worker_processes = 12
restart_after_crash = on
CONF
$primary->start;
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

# Asks a server that may be restarting.
sub ask
{
	my ($node, $query) = @_;
	for (1 .. 600)
	{
		my ($rc, $out) = $node->psql('postgres', $query);
		return $out if $rc == 0;
		usleep(100_000);
	}
	die "no answer to $query";
}

# Waits until a query says t.
sub until_true
{
	my ($node, $query, $name) = @_;
	my $out = '';
	for (1 .. 600)
	{
		last if ($out = ask($node, $query)) eq 't';
		usleep(100_000);
	}
	is($out, 't', $name);
}

$primary->safe_psql('postgres', q{
	CREATE DATABASE other;
	CREATE EXTENSION migrate_ext;
	CREATE TABLE src (id int PRIMARY KEY, v text);
	CREATE TABLE tgt (id int PRIMARY KEY, v text);
	-- a copy that takes its time, and more of it as it goes on: it is not over when the test comes late
	CREATE SEQUENCE brake MINVALUE 0;
	SELECT setval('brake', 1);
	CREATE FUNCTION slow(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
	BEGIN
		IF i % 500 = 0 AND (SELECT last_value FROM public.brake) > 0 THEN PERFORM pg_sleep(CASE WHEN i % 30000 < 15000 THEN 0.05 ELSE 1 END); END IF;
		RETURN i;
	END $$;
	INSERT INTO src SELECT i, repeat('v', 100) || i FROM generate_series(1, 60000) i;
	VACUUM ANALYZE src;
	SELECT migrate_create('m');
	SELECT migrate_map('m', 'src', 'tgt', '{"id": "id", "v": "v || public.slow(id)"}');
	SELECT migrate_set('m', 'max_replica_lag', '0');
	SELECT migrate_set('m', 'pause_replica_lag', '0');
	SELECT migrate_start('m')});
my $running = q{SELECT state = 'running' AND workers = 2 FROM migrate_progress('m')};

$primary->safe_psql('postgres', q{SELECT migrate_backfill('m', workers => 2, batch_size => 200)});
my $pid = $primary->safe_psql('postgres', q{SELECT min(pid) FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker'});
kill 'KILL', $pid;
until_true($primary, qq{SELECT pg_postmaster_start_time() IS NOT NULL AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)}, 'a worker was killed');
until_true($primary, $running, 'after the crash the copy goes on by itself');

$primary->restart;
until_true($primary, $running, 'and after a restart');

# one worker of two is not an interruption
$primary->safe_psql('postgres', q{SELECT pg_terminate_backend(min(pid)) FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker'});
until_true($primary, q{SELECT workers = 1 FROM migrate_progress('m')}, 'one worker was terminated, the other goes on');
$primary->safe_psql('postgres', q{SELECT migrate_set('m', 'workers', '2')});

# what does not come forward is left alone: from here on, as until now it did
my $rows = ask($primary, q{SELECT rows_written FROM migrate_progress('m')});
until_true($primary, qq{SELECT rows_written > $rows FROM migrate_progress('m')}, 'it comes forward');
$primary->safe_psql('postgres', q{SELECT migrate_set('m', 'throttle_query', 'SELECT true')});
until_true($primary, q{SELECT throttle_reason IS NOT NULL FROM migrate_progress('m')}, 'the copy waits');
for my $round (1 .. 6)
{
	ask($primary, q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker'});
	until_true($primary, $running, "resumed, $round") if $round < 6;
}
until_true($primary, q{SELECT count(*) = 1 FROM migrate_ext.history WHERE kind = 'alarm' AND reason ~ 'resumed 5 times'}, 'the sixth time is an alarm');
is(ask($primary, q{SELECT state FROM migrate_progress('m')}), 'interrupted', 'and it waits for the DBA');
$primary->safe_psql('postgres', q{SELECT migrate_set('m', 'throttle_query', NULL); SELECT migrate_backfill('m')});

# failover
until_true($primary, q{SELECT rows_written > 5000 FROM migrate_progress('m')}, 'in the middle of the copy');
$primary->wait_for_catchup($standby, 'replay');
$primary->stop('immediate');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'migrate_ext%'}), '0', 'a standby has no supervisor');
$standby->promote;
until_true($standby, $running, 'after a failover the copy goes on by itself');
$standby->safe_psql('postgres', q{SELECT setval('brake', 0)});
$standby->safe_psql('postgres', q{CALL migrate_wait('m', '60 s')});
is($standby->safe_psql('postgres', q{SELECT bool_and(checksum_match) FROM migrate_verify('m')}), 't', 'equal at the end');
is($standby->safe_psql('postgres', q{SELECT sum(rows) FROM migrate_ext.job_range}), '60000', 'each row was written once');

# the sync worker, too
$standby->safe_psql('postgres', q{SELECT migrate_set('m', 'sync_interval', '500ms')});
until_true($standby, q{SELECT sync_state = 'running' FROM migrate_progress('m')}, 'a sync worker runs');
$standby->restart;
until_true($standby, q{SELECT sync_state = 'running' FROM migrate_progress('m')}, 'and after a restart');

# it can be turned off
$standby->append_conf('postgresql.conf', "migrate_ext.supervisor_interval = 0\n");
$standby->restart;
usleep(2_500_000);
is(ask($standby, q{SELECT sync_state FROM migrate_progress('m')}), 'not running', 'turned off, it resumes nothing');
$standby->stop;
done_testing();
