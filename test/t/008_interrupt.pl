# P6: a backfill that is interrupted in the middle of its work, by every means there is, goes on where it
# stopped; one that was not meant to run here says so.  A paused one is easy: here it works.
use strict;
use warnings;

# what does not come soon does not come at all
BEGIN { $ENV{PG_TEST_TIMEOUT_DEFAULT} //= 60; }
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $rows = 40000;
my $node = PostgreSQL::Test::Cluster->new('interrupt');
$node->init;
$node->append_conf('postgresql.conf', "max_worker_processes = 8\nfsync = off\n");
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub fails
{
	my ($sql, $pattern, $name) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $sql);

	like($err, $pattern, $name);
	return;
}

sub workers
{
	return split /\n/, sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker' ORDER BY pid});
}

# Two rows are not passed until the brake is off: both workers are met in the middle of a batch, however late the test comes.
sub brake { return sql("SELECT setval('brake', $_[0])"); }

# A backfill that has copied something, and has a lot before it.
sub begin
{
	brake(1);
	sql(qq{
		SELECT migrate_rollback('m') FROM migrate_ext.migration WHERE name = 'm' AND phase NOT IN ('rolled_back', 'planned');
		SELECT migrate_drop('m') FROM migrate_ext.migration WHERE name = 'm';
		DROP TABLE IF EXISTS src, tgt;
		CREATE TABLE src (id int PRIMARY KEY, v text);
		CREATE TABLE tgt (id int PRIMARY KEY, v text);
		INSERT INTO src SELECT i, repeat('v', 50) || i FROM generate_series(1, $rows) i;
		ANALYZE src;
		SELECT migrate_create('m');
		SELECT migrate_map('m', 'src', 'tgt', columns => '{"id": "id", "v": "CASE WHEN id % 20000 = 15000 THEN slow(v) ELSE v END"}');
		SELECT migrate_start('m')});
	return;
}

sub begin_in_workers
{
	begin();
	sql(q{SELECT migrate_backfill('m', workers => 2, batch_size => 200)});
	$node->poll_query_until('postgres', q{SELECT rows_written > 500 AND (SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'migrate_ext worker' AND wait_event = 'PgSleep') = 2 FROM migrate_progress('m')}) or die 'nothing was copied';
	return;
}

# Interrupted in the middle, resumed, complete.
sub ends_well
{
	my ($how) = @_;

	ok($node->poll_query_until('postgres', q{SELECT state FROM migrate_progress('m')}, 'interrupted'), "$how: interrupted");
	my $before = sql('SELECT count(*) FROM tgt');
	ok($before > 0 && $before < $rows, "$how: in the middle, after $before rows");
	is(sql('SELECT sum(rows) FROM migrate_ext.job_range'), $before, "$how: the counters are equal to the truth");
	brake(0);
	is(sql('SELECT migrate_backfill($$m$$, batch_size => 2000) > 0'), 't', "$how: goes on");
	$node->psql('postgres', q{CALL migrate_wait('m', '60 s')});
	is(sql('SELECT count(*) FROM tgt'), $rows, "$how: complete");
	is(sql('SELECT count(*) FROM (TABLE src EXCEPT ALL TABLE tgt) x'), '0', "$how: equal");
	is(sql('SELECT sum(rows) FROM migrate_ext.job_range'), $rows, "$how: each row was written once");
	return;
}

# A statement that waits for the workers' locks, while they are met in the middle of a batch: its errors, and how long it
# takes when they can go on.
sub in_the_middle
{
	my ($statement) = @_;
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') . ' application_name=dropper', '-c', $statement ], '>', \$out, '2>', \$err);

	ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'dropper' AND wait_event_type = 'Lock'}),
		"$statement waits for a batch");
	my $started = time;
	brake(0);
	eval { $run->finish };
	return ($err, time - $started);
}

# what a sequence says counts at once, whatever the batch's snapshot is
sql(q{CREATE EXTENSION migrate_ext;
	CREATE SEQUENCE brake MINVALUE 0;
	CREATE FUNCTION slow(text) RETURNS text LANGUAGE plpgsql STABLE AS
		'BEGIN WHILE (SELECT last_value FROM public.brake) > 0 LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN $1; END'});

begin_in_workers();
is(sql(q{SELECT bool_and(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker'}), 't',
	'pg_cancel_backend reaches the workers');
ends_well('pg_cancel_backend');

begin_in_workers();
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker'});
ends_well('pg_terminate_backend');

# one of two workers is lost: the other one does it all
begin_in_workers();
my @pids = workers();
is(scalar(@pids), 2, 'two workers');
sql("SELECT pg_terminate_backend($pids[0])");
$node->poll_query_until('postgres', q{SELECT workers = 1 FROM migrate_progress('m')});
brake(0);
$node->psql('postgres', q{CALL migrate_wait('m', '60 s')});
is(sql('SELECT count(*) FROM (TABLE src EXCEPT ALL TABLE tgt) x'), '0', 'one worker is lost: the other one does its part');

# a fast shutdown does not wait for the copy
begin_in_workers();
my $started = time;
$node->stop('fast');
cmp_ok(time - $started, '<', 20, 'a fast shutdown is fast');
$node->start;
ends_well('fast shutdown');

# pause and resume in the middle
begin_in_workers();
sql(q{SELECT migrate_pause('m')});
brake(0);
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM pg_stat_activity WHERE query = 'migrate_ext m: paused'}), 'both workers pause');
is(sql(q{SELECT throttle_reason FROM migrate_progress('m')}), 'paused', 'and say so');
my $paused = sql('SELECT count(*) FROM tgt');
usleep(300_000);
is(sql('SELECT count(*) FROM tgt'), $paused, 'a paused backfill writes nothing');
cmp_ok($paused, '<', $rows, 'and is not at its end');
sql(q{INSERT INTO src VALUES (1000000, 'dual write')});
is(sql('SELECT count(*) FROM tgt WHERE id = 1000000'), '1', 'while dual writes go on');
sql(q{SELECT migrate_resume('m')});
$node->psql('postgres', q{CALL migrate_wait('m', '60 s')});
is(sql('SELECT count(*) FROM (TABLE src EXCEPT ALL TABLE tgt) x'), '0', 'resumed, it goes to its end');

# the foreground: cancelled and terminated in the middle
for my $end ('pg_cancel_backend', 'pg_terminate_backend')
{
	begin();
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start([ 'psql', '-X', '-d', $node->connstr('postgres') . ' application_name=foreground', '-c', q{CALL migrate_run('m')} ],
		'>', \$out, '2>', \$err);
	$node->poll_query_until('postgres', q{SELECT rows_written > 500 FROM migrate_progress('m')});
	sql(qq{SELECT $end(pid) FROM pg_stat_activity WHERE application_name = 'foreground'});
	eval { $run->finish };
	like($err, qr/canceling statement|terminating connection/, "$end of CALL migrate_run");
	ends_well("CALL migrate_run and $end");
}

# where it cannot commit
begin();
fails(q{BEGIN; CALL migrate_run('m')}, qr/migrate_run cannot run inside a transaction block/, 'migrate_run in a transaction block');
fails(q{DO $$ BEGIN BEGIN CALL migrate_run('m'); EXCEPTION WHEN division_by_zero THEN NULL; END; END $$},
	qr/cannot run inside a transaction block/, 'migrate_run in a block with a handler');
fails(q{BEGIN; CALL migrate_wait('m')}, qr/migrate_wait cannot run inside a transaction block/, 'migrate_wait in a transaction block');
fails(q{SET default_transaction_isolation = 'repeatable read'; CALL migrate_run('m')}, qr/READ COMMITTED/,
	'migrate_run at REPEATABLE READ');
is(sql('SELECT count(*) FROM migrate_ext.job'), '0', 'and nothing has begun');

# a call that is rolled back leaves no worker and no job
sql(q{BEGIN; SELECT migrate_backfill('m'); ROLLBACK});
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker'}, '0'),
	'migrate_backfill that is rolled back leaves no worker');
is(sql('SELECT count(*) || $$ $$ || (SELECT count(*) FROM tgt) FROM migrate_ext.job'), '0 0', 'nor a job, nor a row');

# dropped while the workers are at work, not paused
begin_in_workers();
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity
	WHERE query ~ '^migrate_ext m: copying blocks \d+ to \d+ of public.src$'}), 'pg_stat_activity shows what is copied');
in_the_middle('SET session_replication_role = replica; DROP TABLE src CASCADE');
ok($node->poll_query_until('postgres', q{SELECT state FROM migrate_progress('m')}, 'failed'), 'a source dropped in the middle fails the job');
fails(q{CALL migrate_wait('m', '30 s')}, qr/failed: .*(?:does not exist|was dropped)/, 'which migrate_wait reports');
begin_in_workers();
my ($err, $took) = in_the_middle('DROP EXTENSION migrate_ext');
is($err, '', 'DROP EXTENSION in the middle comes through');
cmp_ok($took, '<', 10, 'and soon');
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker'}, '0'),
	'and leaves no worker');
sql(q{INSERT INTO src VALUES (1000001, 'no trigger')});
is(sql('SELECT count(*) FROM tgt WHERE id = 1000001'), '0', 'nor a dual write');
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal|TRAP/, 'nothing crashed');
$node->stop;
done_testing();
