# The real pg_cron runs a window of the backfill twice, as it would each night: it goes on where it stopped.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('cron');
$node->init;
$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'pg_cron'
cron.database_name = 'postgres'
cron.host = '@{[$node->host]}'
max_worker_processes = 12
CONF
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]); }

# Each night has a minute here, and the window 8 seconds, for which the copy waits half of the time.
sql(q{
	CREATE EXTENSION migrate_ext;
	CREATE EXTENSION pg_cron;
	CREATE TABLE src (id int PRIMARY KEY, v text);
	CREATE TABLE tgt (id int PRIMARY KEY, v text);
	CREATE FUNCTION slow(i int, v text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
		'BEGIN IF i % 500 = 0 THEN PERFORM pg_sleep(0.2); END IF; RETURN v; END';
	INSERT INTO src SELECT i, repeat('v', 100) || i FROM generate_series(1, 30000) i;
	VACUUM ANALYZE src;
	SELECT migrate_create('m');
	SELECT migrate_map('m', 'src', 'tgt', '{"id": "id", "v": "public.slow(id, v)"}');
	SELECT migrate_set('m', 'workers', '1');
	SELECT migrate_start('m');
	SELECT cron.schedule('night', '* * * * *', $$SELECT migrate_backfill('m', batch_size => 500, run_for => '8 seconds')$$)});
ok($node->poll_query_until('postgres', q{SELECT state FROM migrate_progress('m')}, 'stopped'), 'the first window ends in the middle');
my $first = sql(q{SELECT rows_written FROM migrate_progress('m')});
cmp_ok($first, '>', 0, 'it has copied some');
cmp_ok($first, '<', 30000, 'and not all');
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker'}, '0'), 'by day nobody works');
sql(q{UPDATE src SET v = 'by day' WHERE id % 100 = 0; DELETE FROM src WHERE id % 1000 = 1});
ok($node->poll_query_until('postgres', q{SELECT state = 'running' OR rows_written > } . $first . q{ FROM migrate_progress('m')}), 'the second window begins');
ok($node->poll_query_until('postgres', qq{SELECT rows_written > $first FROM migrate_progress('m')}), 'where the first one stopped');
is(sql(q{SELECT count(DISTINCT job_id) FROM migrate_ext.job WHERE kind = 'backfill'}), '1', 'it is one job');
is(sql(q{SELECT count(*) FILTER (WHERE status = 'failed') FROM cron.job_run_details}), '0', 'for pg_cron all calls succeeded');
# the rest at once
sql(q{SELECT cron.unschedule('night')});
sql(q{CREATE OR REPLACE FUNCTION slow(i int, v text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT v'});
ok($node->poll_query_until('postgres', q{SELECT state IN ('stopped', 'done') FROM migrate_progress('m')}), 'the second window ends');
sql(q{SELECT migrate_backfill('m')});
sql(q{CALL migrate_wait('m', '60 s')});
is(sql(q{SELECT bool_and(checksum_match) AND sum(pending) = 0 FROM migrate_verify('m')}), 't', 'equal at the end');
$node->stop;
done_testing();
