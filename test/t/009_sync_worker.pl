# P3, P6: the continuous sync: it settles what is dirty by itself, in both directions, gives way to whoever moves
# the migration, and goes on after errors, interruptions and restarts.
use strict;
use warnings;

# what does not come soon does not come at all
BEGIN { $ENV{PG_TEST_TIMEOUT_DEFAULT} //= 60; }
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = PostgreSQL::Test::Cluster->new('sync_worker');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
max_worker_processes = 4
max_parallel_workers = 0
restart_after_crash = on
log_statement = none
fsync = off
CONF
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub becomes
{
	my ($query, $value, $name) = @_;

	ok($node->poll_query_until('postgres', $query, $value), $name);
	return;
}

sub sync_state_becomes
{
	my ($state, $name) = @_;

	becomes(q{SELECT sync_state FROM migrate_progress('m')}, $state, $name);
	return;
}

sub settled { becomes(q{SELECT pending_keys FROM migrate_progress('m')}, '0', $_[0]); return; }

sub no_worker
{
	my ($name) = @_;
	my $started = time;

	becomes(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker'}, '0', $name);
	cmp_ok(time - $started, '<', 15, "$name, soon");
	return;
}

# Plain SQL, nothing of the extension: how many rows differ.
sub equal
{
	my ($name) = @_;

	is(sql(q{SELECT count(*) FROM ((SELECT id, grp, upper(v) FROM src EXCEPT ALL TABLE tgt)
		UNION ALL (TABLE tgt EXCEPT ALL SELECT id, grp, upper(v) FROM src)) x}), '0', $name);
	return;
}

sub begin
{
	my ($capture) = @_;

	sql(qq{
		SELECT migrate_rollback('m') FROM migrate_ext.migration WHERE name = 'm' AND phase NOT IN ('rolled_back', 'planned');
		SELECT migrate_drop('m') FROM migrate_ext.migration WHERE name = 'm';
		DROP TABLE IF EXISTS src, tgt;
		CREATE TABLE src (id int PRIMARY KEY, grp int, v text);
		CREATE TABLE tgt (id int PRIMARY KEY, grp int, v text CHECK (v <> 'BAD'));
		INSERT INTO src SELECT i, i % 7, 'v' || i FROM generate_series(1, 2000) i;
		ANALYZE src;
		SELECT migrate_create('m');
		SELECT migrate_map('m', 'src', 'tgt', columns => '{"id": "id", "grp": "grp", "v": "upper(v)"}',
			reverse => '{"v": "lower(v)"}', capture => '$capture')});
	return;
}

# Writers for some seconds: insert, update, delete, change of key; savepoints and rollbacks.
sub writers
{
	my ($table, $seconds) = @_;
	my $script = $node->basedir . "/$table.sql";

	unlink $script;
	append_to_file($script, <<"SQL");
\\set a random(1, 2200)
\\set b random(3000, 1000000000)
BEGIN;
UPDATE $table SET grp = grp + 1 WHERE id BETWEEN :a AND :a + 2;
SAVEPOINT s;
DELETE FROM $table WHERE id = :a + 5;
ROLLBACK TO s;
UPDATE $table SET grp = grp + 1 WHERE id = :a;
COMMIT;
DELETE FROM $table WHERE id = :a + 7;
INSERT INTO $table VALUES (:a, 0, 'again') ON CONFLICT DO NOTHING;
UPDATE $table SET id = :b WHERE id = :a + 9 AND NOT EXISTS (SELECT FROM $table WHERE id = :b);
DELETE FROM $table WHERE id = :b;
SQL
	my $run = IPC::Run::start([ 'pgbench', '-n', '-c', '3', '-T', $seconds, '--max-tries=10', '-f', $script,
		'-h', $node->host, '-p', $node->port, 'postgres' ], '>', \my $out, '2>', \my $err);
	return $run;
}

sql('CREATE EXTENSION migrate_ext');

# off unless asked for, or keys are queued
begin('trigger');
sql(q{SELECT migrate_start('m')});
is(sql(q{SELECT sync_state FROM migrate_progress('m')}), 'off', 'without a queue there is no worker');
is(sql(q{SELECT migrate_set('m', 'sync_interval', '200ms')}), '0', 'the setting was 0');
is(sql(q{SELECT sync_state FROM migrate_progress('m')}), 'running', 'setting it starts the worker');
sql(q{BEGIN; SELECT migrate_set('m', 'sync_interval', '0'); SELECT migrate_set('m', 'sync_interval', '100ms'); COMMIT});
is(sql(q{SELECT sync_state FROM migrate_progress('m')}), 'running', 'a call that changes its mind keeps it');
sql(q{CALL migrate_run('m'); TRUNCATE src; INSERT INTO src VALUES (1, 1, 'x')});
settled('TRUNCATE is settled');
equal('and nothing is left');

# a queue: the worker comes by itself, with the start; load, with a copy in the middle of it
begin('queue');
sql(q{SELECT migrate_start('m')});
is(sql(q{SELECT sync_state FROM migrate_progress('m')}), 'running', 'a queue has its worker');
is(sql(q{SELECT migrate_set('m', 'sync_interval', '100ms')}), '1000', 'each second by default');
my $load = writers('src', 4);
usleep(500_000);
sql(q{SELECT migrate_backfill('m', workers => 1, batch_size => 200)});
$node->psql('postgres', q{CALL migrate_wait('m', '15 s')});
is(sql(q{SELECT state FROM migrate_progress('m')}), 'done', 'the copy ends although keys come in all the time');
ok($load->finish, 'no writer failed');
settled('the lag goes to 0');
equal('queue mode under load: equal');
is($node->psql('postgres', q{
	DO $$
	BEGIN
		FOR i IN 0 .. 5999 LOOP
			IF i % 50 = 0 THEN UPDATE src SET grp = grp + 1; END IF;
			COMMIT;
			IF (SELECT sync_rate > 0 FROM migrate_progress('m')) THEN RETURN; END IF;
			PERFORM pg_sleep(0.01);
		END LOOP;
		RAISE 'no rate';
	END $$}, on_error_stop => 1), 0, 'the rate is shown');
settled('settled again');
my $with_snapshot = 0;
for (1 .. 10)
{
	usleep(17_000);
	$with_snapshot += sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker' AND backend_xmin IS NOT NULL});
}
cmp_ok($with_snapshot, '<', 5, 'between its turns it holds no snapshot');

# a key that fails does not block the others, nor is it tried all the time
my $since = time;
sql(q{UPDATE src SET v = 'bad' WHERE id = (SELECT min(id) FROM src); UPDATE src SET v = 'good' WHERE id > (SELECT min(id) FROM src)});
becomes(q{SELECT pending_keys FROM migrate_progress('m')}, '1', 'the other keys are settled');
usleep(2_500_000);
my $attempts = sql('SELECT attempts FROM migrate_ext.dirty_key');
cmp_ok(2 ** $attempts, '<=', 4 * (1 + time - $since), 'the bad key waits longer each time');
is(sql(q{SELECT count(*) FROM migrate_ext.history WHERE kind = 'alarm'}), '1', 'with one alarm');
like(sql(q{SELECT error FROM migrate_progress('m')}), qr/cannot be settled.*check constraint/, 'and the error shown');
sql(q{UPDATE src SET v = 'mended' WHERE v = 'bad'});
becomes(q{SELECT count(*) FROM tgt WHERE v = 'MENDED'}, '1', 'mended, its new entry does not wait');
settled('and the old one in turn');
becomes(q{SELECT coalesce(error, 'none') FROM migrate_progress('m')}, 'none', 'the error is taken back');
equal('equal again');

# an error that is not a key's
sql('ALTER TABLE migrate_ext.dirty_key RENAME TO away');
becomes(q{SELECT error_message ~ 'does not exist' FROM migrate_ext.job WHERE kind = 'sync'}, 't', 'any other error is shown');
usleep(1_500_000);
sql('ALTER TABLE migrate_ext.away RENAME TO dirty_key');
sql(q{UPDATE src SET v = 'after'});
settled('and the worker goes on when it is over');
is(sql(q{SELECT count(*) FROM migrate_ext.history WHERE reason ~ '^sync: '}), '1', 'with one alarm, too');

# pause, resume, off, on
sql(q{SELECT migrate_pause('m')});
sync_state_becomes('paused', 'paused');
becomes(q{SELECT throttle_reason FROM migrate_ext.job WHERE kind = 'sync' AND status = 'running'}, 'paused', 'the worker has seen it');
sql(q{UPDATE src SET v = 'paused'});
usleep(400_000);
is(sql(q{SELECT pending_keys = (SELECT count(*) FROM src) AND oldest_pending > '0.3 s' FROM migrate_progress('m')}), 't',
	'a paused sync leaves the keys');
sql(q{SELECT migrate_resume('m')});
settled('a resumed one settles them');
sql(q{SELECT migrate_set('m', 'sync_interval', '0')});
no_worker('0 ends it');
is(sql(q{SELECT sync_state FROM migrate_progress('m')}), 'off', 'it is off');
sql(q{UPDATE src SET v = 'off'; SELECT migrate_set('m', 'sync_interval', '100ms')});
settled('on again');

# lost workers
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker'});
sync_state_becomes('not running', 'a worker that was terminated is missed');
like(sql(q{SELECT next_step FROM migrate_status('m')}), qr/migrate_resume starts the lost sync worker/, 'with what to do');
sql(q{UPDATE src SET v = 'lost'; SELECT migrate_resume('m')});
settled('migrate_resume starts another');
kill 'KILL', sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker'});
usleep(300_000);
$node->poll_query_until('postgres', 'SELECT true');
sync_state_becomes('not running', 'a crash loses it');
sql(q{UPDATE src SET v = 'crashed'; SELECT migrate_backfill('m')});
settled('migrate_backfill starts it again');
equal('equal after all of that');

# cutover and rollback while it runs, with writers of the new side
is(sql(q{SELECT clean FROM (SELECT missing + extra + different + pending = 0 AS clean FROM migrate_verify('m')) v}), 't', 'verified');
is(sql(q{SELECT migrate_cutover('m', 'switch')}), 'soak', 'cut over');
$load = writers('tgt', 2);
ok($load->finish, 'no writer of the new side failed');
settled('the way back is settled');
is(sql(q{SELECT count(*) FROM ((SELECT id, grp, lower(v) FROM tgt EXCEPT ALL TABLE src)
	UNION ALL (TABLE src EXCEPT ALL SELECT id, grp, lower(v) FROM tgt)) x}), '0', 'the old side follows');
is(sql(q{SELECT migrate_rollback('m')}), 'rolled_back', 'rolled back');
no_worker('a rollback ends it');

# no slot is free: a warning, and all else is done
sql(q{CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); INSERT INTO a VALUES (1);
	SELECT migrate_create('other'); SELECT migrate_map('other', 'a', 'b'); SELECT migrate_start('other'); SELECT migrate_pause('other')});
# a slot is free when the server has noticed that its worker is gone, which is later than that nobody sees it
for (1 .. 100)
{
	$node->psql('postgres', q{SELECT migrate_backfill('other', workers => 2); SELECT migrate_set('other', 'workers', '3')});
	last if sql(q{SELECT workers FROM migrate_progress('other')}) eq '3';
	usleep(100_000);
}
my ($rc, $out, $err) = $node->psql('postgres', q{SELECT migrate_start('m')});
is($out, 'dual_write', 'without a free slot the start succeeds');
like($err, qr/WARNING.*sync worker.*could not be started.*max_worker_processes/s, 'with a warning');
is(sql(q{SELECT sync_state FROM migrate_progress('m')}), 'not running', 'that can be seen');
sql(q{SELECT migrate_rollback('other'); SELECT migrate_drop('other'); CALL migrate_run('m')});
no_worker('the slots are free');
for (1 .. 100)
{
	sql(q{SELECT migrate_resume('m')});
	last if sql(q{SELECT sync_state FROM migrate_progress('m')}) eq 'running';
	usleep(100_000);
}
is(sql(q{SELECT sync_state FROM migrate_progress('m')}), 'running', 'now it is started');

# a backfill does not end while another sync, here a session, has taken keys that it wants
begin('trigger');
sql(q{SELECT migrate_start('m'); TRUNCATE src; INSERT INTO src SELECT i, 0, 'v' FROM generate_series(1, 100) i});
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN');
$holder->query_safe('SELECT count(*) FROM (SELECT FROM migrate_ext.dirty_key FOR UPDATE) taken');
sql(q{SELECT migrate_backfill('m', workers => 1)});
becomes(q{SELECT step FROM migrate_progress('m')}, 'drain', 'all is copied');
sleep 1;
is(sql(q{SELECT state || ' ' || step FROM migrate_progress('m')}), 'running drain', 'it waits for who has taken keys');
$holder->query_safe('COMMIT');
$holder->quit;
becomes(q{SELECT state FROM migrate_progress('m')}, 'done', 'and goes on then');
is(sql(q{SELECT count(*) FROM migrate_ext.dirty_key}), '0', 'no key is left');
equal('both sides are equal');

# the extension, the database and the server go away while it works
sql(q{INSERT INTO src SELECT i, 0, 'more' FROM generate_series(10000, 40000) i ON CONFLICT DO NOTHING});
becomes(q{SELECT count(*) > 0 FROM tgt WHERE id BETWEEN 10000 AND 40000}, 't', 'in the middle of its work');
($rc, $out, $err) = $node->psql('postgres', 'DROP EXTENSION migrate_ext');
is($err, '', 'DROP EXTENSION comes through');
no_worker('and ends it');
$node->safe_psql('postgres', 'CREATE DATABASE gone');
$node->safe_psql('gone', q{CREATE EXTENSION migrate_ext; CREATE TABLE s (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY);
	SELECT migrate_create('m'); SELECT migrate_map('m', 's', 't', capture => 'queue'); SELECT migrate_start('m')});
sql('DROP DATABASE gone WITH (FORCE)');
no_worker('DROP DATABASE ends it');
sql('CREATE EXTENSION migrate_ext');
begin('queue');
sql(q{SELECT migrate_start('m')});
my $started = time;
$node->stop('fast');
cmp_ok(time - $started, '<', 20, 'a fast shutdown is fast');
unlike(slurp_file($node->logfile), qr/TRAP|PANIC|terminated by signal (?!9:)/, 'nothing crashed by itself');
done_testing();
