# P6: workers that cannot start, are ended, wait, fail, or lose their tables.
use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('workers');
$node->init;
$node->append_conf('postgresql.conf', "max_worker_processes = 4\nmax_parallel_workers = 0\nfsync = off\n");
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]); }

# The state of the backfill, when it has become so.
sub becomes
{
	my ($state, $name) = @_;

	ok($node->poll_query_until('postgres', q{SELECT state FROM migrate_progress('m')}, $state), $name);
}

sub fresh
{
	sql(q{
		SELECT migrate_rollback('m') FROM migrate_ext.migration WHERE name = 'm' AND phase NOT IN ('rolled_back', 'planned');
		SELECT migrate_drop('m') FROM migrate_ext.migration WHERE name = 'm';
		DROP TABLE IF EXISTS src, tgt;
		CREATE TABLE src (id int PRIMARY KEY, v text);
		CREATE TABLE tgt (id int PRIMARY KEY, v text);
		INSERT INTO src SELECT i, 'v' || i FROM generate_series(1, 30000) i;
		ANALYZE src;
		SELECT migrate_create('m');
		SELECT migrate_map('m', 'src', 'tgt');
		SELECT migrate_start('m')});
}

sql('CREATE EXTENSION migrate_ext');
fresh();

# a paused backfill keeps its workers; with them the slots are used up
sql(q{SELECT migrate_pause('m')});
sql(q{SELECT migrate_backfill('m', workers => 3)});
becomes('paused', 'a paused backfill waits');
sql(q{CREATE TABLE src2 (id int PRIMARY KEY); CREATE TABLE tgt2 (id int PRIMARY KEY); INSERT INTO src2 VALUES (1);
	SELECT migrate_create('m2'); SELECT migrate_map('m2', 'src2', 'tgt2'); SELECT migrate_start('m2')});
my ($rc, $out, $err) = $node->psql('postgres', q{SELECT migrate_backfill('m2')});
isnt($rc, 0, 'no free slot is an error');
like($err, qr/no free background worker slot.*max_worker_processes.*migrate_run/s, 'that says what to do');
is(sql(q{SELECT phase FROM migrate_status('m2')}), 'dual_write', 'and leaves nothing half done');
sql(q{CALL migrate_run('m2')});
is(sql('SELECT count(*) FROM tgt2'), '1', 'migrate_run does the same work in the foreground');

# slots enough from here on: that of a worker that has gone is free only when the server has noticed
$node->append_conf('postgresql.conf', "max_worker_processes = 32\n");
$node->restart;
sql(q{SELECT migrate_backfill('m', workers => 3)});
becomes('paused', 'it waits again after a restart');

# calls are idempotent
($rc, $out, $err) = $node->psql('postgres', q{SELECT migrate_backfill('m')});
like($err, qr/NOTICE.*is running already/, 'a running backfill is reported');

# waiting
($rc, $out, $err) = $node->psql('postgres', q{CALL migrate_wait('m', '300 ms')});
like($err, qr/did not end in time/, 'migrate_wait has a timeout');
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker' AND backend_xmin IS NOT NULL
	AND state <> 'active'}), '0', 'a paused worker holds no snapshot');

# terminated workers: interrupted, and resumable
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker'});
becomes('interrupted', 'without workers it is interrupted');
($rc, $out, $err) = $node->psql('postgres', q{CALL migrate_wait('m')});
like($err, qr/was interrupted.*migrate_backfill again/s, 'migrate_wait says so');
sql(q{SELECT migrate_resume('m')});
$node->psql('postgres', q{CALL migrate_wait('m', '90 s')});
becomes('done', 'migrate_resume starts new ones');
is(sql('SELECT count(*) FROM tgt'), '30000', 'and everything is copied');

# run_for stops, another call goes on
fresh();
sql(q{SELECT migrate_pause('m')});
sql(q{SELECT migrate_backfill('m', run_for => '200 ms')});
becomes('stopped', 'run_for ends the run');
sql(q{SELECT migrate_resume('m')});
$node->psql('postgres', q{CALL migrate_wait('m', '90 s')});
is(sql('SELECT count(*) FROM tgt'), '30000', 'and the next one goes on');

# a cancelled foreground run
fresh();
sql(q{SELECT migrate_pause('m')});
my $run = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') . ' application_name=run', '-c', q{CALL migrate_run('m')} ], '>', \$out, '2>', \$err);
becomes('paused', 'migrate_run waits');
sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'run'});
eval { $run->finish };
like($err, qr/canceling statement/, 'migrate_run can be cancelled');
becomes('interrupted', 'and holds nothing afterwards');
sql(q{SELECT migrate_resume('m')});
$node->psql('postgres', q{CALL migrate_wait('m', '90 s')});
is(sql('SELECT count(*) FROM tgt'), '30000', 'and is resumed by workers');

# data that the target does not take
fresh();
sql(q{ALTER TABLE tgt ADD CHECK (id <> 20000)});
sql(q{SELECT migrate_set('m', 'max_rejects', '0')});
sql(q{SELECT migrate_backfill('m', workers => 1)});
($rc, $out, $err) = $node->psql('postgres', q{CALL migrate_wait('m', '90 s')});
like($err, qr/failed: .*violates check constraint/, 'bad data fails the job with its reason');
like(sql(q{SELECT error FROM migrate_progress('m')}), qr/check constraint/, 'which is shown');
like(sql(q{SELECT error_context FROM migrate_ext.job ORDER BY job_id DESC LIMIT 1}),
	qr/copying blocks \d+ to \d+ of public\.src/, 'with the place');
is(sql(q{SELECT error_sqlstate FROM migrate_ext.job ORDER BY job_id DESC LIMIT 1}), '23514', 'and the SQLSTATE');
sql(q{ALTER TABLE tgt DROP CONSTRAINT tgt_id_check; SELECT migrate_backfill('m')});
$node->psql('postgres', q{CALL migrate_wait('m', '90 s')});
is(sql('SELECT count(*) FROM tgt'), '30000', 'mended, it goes on');

# a rewrite of the source during the copy
fresh();
sql(q{SELECT migrate_pause('m')});
sql(q{SELECT migrate_backfill('m', workers => 1, batch_size => 1000)});
sql(q{DELETE FROM src WHERE id % 2 = 0});
sql('VACUUM FULL src');
sql(q{SELECT migrate_resume('m')});
$node->psql('postgres', q{CALL migrate_wait('m', '90 s')});
is(sql('SELECT count(*) FROM (TABLE src EXCEPT TABLE tgt) x'), '0', 'VACUUM FULL moves rows, none is lost');
is(sql('SELECT count(*) FROM tgt'), '15000', 'nor brought back');

# the source goes away
fresh();
sql(q{SELECT migrate_pause('m')});
sql(q{SELECT migrate_backfill('m', workers => 1)});
($rc, $out, $err) = $node->psql('postgres', 'DROP TABLE src');
like($err, qr/would be gone/, 'a mapped table is not dropped by accident');
sql('SET session_replication_role = replica; DROP TABLE src');
sql(q{SELECT migrate_resume('m')});
becomes('failed', 'a dropped source fails the job');
like(sql(q{SELECT error FROM migrate_progress('m')}), qr/does not exist/, 'with a clear error');
is(sql(q{SELECT migrate_rollback('m')}), 'rolled_back', 'and can be rolled back');

# the extension goes away
fresh();
sql(q{SELECT migrate_pause('m')});
sql(q{SELECT migrate_backfill('m', workers => 2)});
sql('DROP EXTENSION migrate_ext');
ok($node->poll_query_until('postgres',
	q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker'}, '0'),
	'DROP EXTENSION leaves no worker behind');
is(sql(q{SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'migrate_ext%'}), '0', 'nor a trigger');

# the database goes away; a fast shutdown is fast
sql('CREATE DATABASE gone');
$node->safe_psql('gone', q{CREATE EXTENSION migrate_ext; CREATE TABLE s (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY);
	SELECT migrate_create('m'); SELECT migrate_map('m', 's', 't'); SELECT migrate_start('m'); SELECT migrate_pause('m')});
$node->safe_psql('gone', q{SELECT migrate_backfill('m')});
sql('DROP DATABASE gone WITH (FORCE)');
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker'}), '0', 'DROP DATABASE ends the workers');
unlike(slurp_file($node->logfile), qr/TRAP|PANIC|terminated by signal/, 'nothing crashed');
$node->stop('fast');
done_testing();
