# The signals that need more than one server or session: replicas, WAL, waiting sessions, wraparound.
use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', <<'CONF');
max_worker_processes = 16
fsync = off
synchronous_commit = off
autovacuum_freeze_max_age = 100000
autovacuum_naptime = 1s
autovacuum_vacuum_cost_delay = 100ms
autovacuum_vacuum_cost_limit = 1
CONF
$primary->start;
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "primary_conninfo = '" . $primary->connstr . " application_name=one'\n");
$standby->start;
$primary->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'});

$primary->safe_psql('postgres', q{
	CREATE EXTENSION migrate_ext;
	CREATE TABLE src (id int PRIMARY KEY, v text);
	CREATE TABLE tgt (id int PRIMARY KEY, v text, n int);
	-- a copy that takes its time, here and there
	CREATE FUNCTION slow(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
		'BEGIN IF i % 500 = 0 THEN PERFORM pg_sleep(0.4); END IF; RETURN i; END';
	INSERT INTO src SELECT i, repeat('v', 100) || i FROM generate_series(1, 40000) i;
	VACUUM ANALYZE src;
	SELECT migrate_create('m');
	SELECT migrate_map('m', 'src', 'tgt', '{"id": "id", "v": "v", "n": "public.slow(id)"}');
	SELECT migrate_set('m', 'workers', '1');
	SELECT migrate_set('m', 'batch_rows', '500');
	SELECT migrate_set('m', 'yield_to_wraparound_vacuum', 'off');
	SELECT migrate_start('m')});

sub set
{
	my ($name, $value) = @_;
	$primary->safe_psql('postgres', "SELECT migrate_set('m', '$name', '$value')");
}

sub waits_for
{
	my ($pattern, $name) = @_;
	ok($primary->poll_query_until('postgres', "SELECT throttle_reason ~ '$pattern' FROM migrate_progress('m')"), $name);
	note($primary->safe_psql('postgres', q{SELECT throttle_reason, replica_lag FROM migrate_progress('m')}));
}

sub rows_written
{
	return $primary->safe_psql('postgres', q{SELECT rows_written FROM migrate_progress('m')});
}

# replay that stands still: the server's own measure of the lag does, too
$primary->wait_for_catchup('one', 'replay');
set('max_replica_lag', '300ms');
set('pause_replica_lag', '1h');
set('sample_interval', '200ms');
set('throttle_query', 'SELECT true');
$primary->safe_psql('postgres', q{SELECT migrate_backfill('m')});
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
set('throttle_query', '');
waits_for('^replica one is .* behind \(max_replica_lag 0.3 s\)', 'the copy follows a standby whose replay stands still');
my $before = rows_written();
cmp_ok($before, '<', 40000, 'in the middle');
set('pause_replica_lag', '1500ms');
waits_for('^paused: replica one is .* behind \(pause_replica_lag 1.5 s\)', 'a longer lag is an alarm');
is(rows_written(), $before, 'nothing is copied meanwhile');
is($primary->safe_psql('postgres', q{SELECT count(*) FROM migrate_ext.history WHERE kind = 'alarm' AND reason ~ 'pause_replica_lag'}),
	'1', 'recorded once');
is($primary->safe_psql('postgres', q{SELECT halvings FROM migrate_ext.job}), '1', 'batches are halved');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
$primary->poll_query_until('postgres', qq{SELECT rows_written > $before FROM migrate_progress('m')});
pass('the copy goes on by itself when the standby has caught up');
is($primary->safe_psql('postgres', q{SELECT count(*) FROM migrate_ext.history WHERE kind = 'resumed'}), '1', 'which is recorded, too');
is($primary->safe_psql('postgres', q{SELECT count(*) > 0 FROM migrate_ext.sample WHERE replica_lag_ms > 300 AND throttle_reason IS NOT NULL}),
	't', 'the time series has the lag and the reason');

# in bytes, and by name
set('max_replica_lag', '0');
set('pause_replica_lag', '0');
set('max_replica_lag_bytes', '64kB');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
waits_for('^replica one is .* behind \(max_replica_lag_bytes 64 kB\)', 'and the same by bytes');
set('replicas', 'two');
waits_for('^replica two is not connected', 'a replica that is named and not there');
set('replicas', 'one');
waits_for('^replica one is', 'only the named ones are looked at');
$standby->stop('immediate');
waits_for('^replica one is not connected', 'one that is lost stops the copy');
set('replicas', '');

# more WAL than it may be
set('max_replica_lag_bytes', '0');
set('max_wal_rate', '8kB');
waits_for('^[0-9]+ .* of WAL a second \(max_wal_rate 8192 bytes\)', 'the rate of WAL');
set('max_wal_rate', '0');
# the rest at once; later a batch that does not end while the brake is on
$primary->safe_psql('postgres', q{CREATE SEQUENCE brake MINVALUE 0;
	SELECT setval('brake', 0);
	CREATE OR REPLACE FUNCTION slow(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
	'BEGIN WHILE i = 700 AND (SELECT last_value FROM public.brake) > 0 LOOP PERFORM pg_sleep(0.02); END LOOP; RETURN i; END'});
$primary->safe_psql('postgres', q{CALL migrate_wait('m', '60 s')});
is($primary->safe_psql('postgres', q{SELECT bool_and(checksum_match) FROM migrate_verify('m')}), 't', 'equal at the end');
$primary->safe_psql('postgres', q{SELECT migrate_rollback('m'); TRUNCATE tgt});

# sessions that wait for a batch: the other worker stands still
$primary->safe_psql('postgres', q{
	SELECT setval('brake', 1);
	SELECT migrate_drop('m');
	SELECT migrate_create('m');
	SELECT migrate_map('m', 'src', 'tgt', '{"id": "id", "v": "v", "n": "public.slow(id)"}');
	SELECT migrate_set('m', 'max_replica_lag', '0');
	SELECT migrate_set('m', 'pause_replica_lag', '0');
	SELECT migrate_set('m', 'max_lock_waiters', '2');
	SELECT migrate_set('m', 'lock_timeout', '50s');
	SELECT migrate_set('m', 'yield_to_wraparound_vacuum', 'off');
	SELECT migrate_start('m')});
$primary->safe_psql('postgres', q{SELECT migrate_backfill('m', workers => 2, batch_size => 1000)});
$primary->poll_query_until('postgres', q{SELECT rows_written > 100 FROM migrate_progress('m')});
my @sessions = map
{
	IPC::Run::start([ 'psql', '-XAtq', '-d', $primary->connstr('postgres'), '-c', "SET deadlock_timeout = '60s'", '-c', "UPDATE src SET v = v || 'x' WHERE id = $_" ],
		'>', \my $out, '2>', \my $err);
} 1 .. 4;
waits_for('^[34] sessions wait for a lock of a worker \(max_lock_waiters 2\)', 'sessions that wait for a batch');

# a vacuum that must not be held up
set('throttle_query', 'SELECT true');
$primary->safe_psql('postgres', q{SELECT setval('brake', 0)});
$_->finish for @sessions;
$primary->safe_psql('postgres', q{DO $$ BEGIN FOR i IN 1 .. 110000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$});
ok($primary->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE '%to prevent wraparound)'
	AND backend_type = 'autovacuum worker' AND datname = 'postgres'}), 'autovacuum prevents wraparound');
set('yield_to_wraparound_vacuum', 'on');
waits_for('^autovacuum prevents wraparound', 'such a vacuum comes first');
set('yield_to_wraparound_vacuum', 'off');
set('throttle_query', '');
$primary->safe_psql('postgres', q{SELECT migrate_backfill('m', batch_size => 10000)});
$primary->safe_psql('postgres', q{CALL migrate_wait('m', '100 s')});
is($primary->safe_psql('postgres', q{SELECT bool_and(checksum_match) FROM migrate_verify('m')}), 't', 'equal at the end');
$primary->stop;
done_testing();
