# Verification by ranges: under load, interrupted, paused, throttled; finds what differs, and nothing else.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "max_worker_processes = 12\n");
$node->start;

sub until_true
{
	my ($query, $name) = @_;
	ok($node->poll_query_until('postgres', $query), $name);
}

# What the newest range verification says.
my $result = q{SELECT concat_ws(' ', finished, source_rows = (SELECT count(*) FROM src), missing, extra, different, pending)
	FROM migrate_ext.verifications WHERE method = 'range' ORDER BY verification_id DESC LIMIT 1};

$node->safe_psql('postgres', q{
	CREATE EXTENSION migrate_ext;
	CREATE TABLE src (id int PRIMARY KEY, v text, n int);
	CREATE TABLE tgt (id int PRIMARY KEY, v text, n int);
	INSERT INTO src SELECT i, md5(i::text), i FROM generate_series(1, 600000) i;
	VACUUM ANALYZE src;
	SELECT migrate_create('m');
	SELECT migrate_map('m', 'src', 'tgt');
	SELECT migrate_start('m');
	SELECT migrate_set('m', 'max_replica_lag', '0');
});
$node->safe_psql('postgres', q{CALL migrate_run('m')});

# ranges as small as they get
$node->safe_psql('postgres', q{SELECT migrate_set('m', 'batch_target_time', '1ms')});

# writers who move rows between ranges, too
my $script = $node->basedir . '/load.sql';
append_to_file($script, <<'SQL');
\set id random(1, 600000)
\set to random(600001, 2000000000)
\set what random(1, 4)
\if :what = 1
UPDATE src SET id = :to WHERE id = :id;
\elif :what = 2
UPDATE src SET v = v || 'x' WHERE id = :id;
\elif :what = 3
DELETE FROM src WHERE id = :id;
\else
INSERT INTO src VALUES (:id, 'new', 1) ON CONFLICT DO NOTHING;
\endif
SQL
my $load = IPC::Run::start([ 'pgbench', '-n', '-c', '2', '-T', '600', '-f', $script, $node->connstr('postgres') ],
	'>', '/dev/null', '2>', '/dev/null');

# a snapshot a range: while the worker works, none is held for longer
$node->safe_psql('postgres', q{SELECT migrate_verify('m', 'range')});
my $oldest = 0;
for (1 .. 10)
{
	my $ms = $node->safe_psql('postgres', q{SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start) * 1000), 0)::int
		FROM pg_stat_activity WHERE query LIKE 'migrate_ext m: comparing%' AND backend_xmin IS NOT NULL});
	$oldest = $ms if $ms > $oldest;
	usleep(20_000);
}
cmp_ok($oldest, '<', 5000, 'no range holds a snapshot for long');

# interrupted several times, and asked for again
my $interruptions = 0;
for (1 .. 100)
{
	last if $interruptions >= 5;
	my $gone = $node->safe_psql('postgres', q{SELECT count(*) FROM migrate_ext.job_lock l JOIN migrate_ext.job j USING (job_id), pg_terminate_backend(l.pid)
		WHERE j.kind = 'verify'});
	last if $gone == 0 && $node->safe_psql('postgres', q{SELECT status FROM migrate_ext.job WHERE kind = 'verify' ORDER BY job_id DESC LIMIT 1}) eq 'done';
	$interruptions += $gone;
	until_true(q{SELECT NOT EXISTS (SELECT FROM migrate_ext.job_lock l JOIN migrate_ext.job j USING (job_id) WHERE j.kind = 'verify')}, 'the worker is gone')
	  if $gone > 0;
	is($node->safe_psql('postgres', q{SELECT state FROM migrate_ext.verifications WHERE method = 'range' ORDER BY verification_id DESC LIMIT 1}), 'interrupted', 'and shown as interrupted')
	  if $gone > 0;
	my ($rc, $out, $err) = $node->psql('postgres', q{CALL migrate_wait('m', '1 second')});
	like($err, qr/the verification of migration "m" was interrupted/, 'migrate_wait says so') if $gone > 0;
	$node->safe_psql('postgres', q{SELECT migrate_verify('m', 'range')});
	usleep(20_000);
}
cmp_ok($interruptions, '>', 0, 'the worker was interrupted');
my ($rc, $out, $err) = $node->psql('postgres', q{CALL migrate_wait('m', '5 minutes')});
is($rc, 0, "it came to its end: $err");
like($err, qr/verification done: \d+ ranges, \d+ rows compared, 0 differ/, 'with no false difference');
is($node->safe_psql('postgres', q{SELECT finished AND missing + extra + different = 0 AND ranges > 50 FROM migrate_ext.verifications
	WHERE method = 'range' ORDER BY verification_id DESC LIMIT 1}), 't', 'many ranges under load, none differs');
is($node->safe_psql('postgres', q{SELECT state || ' ' || percent FROM migrate_ext.verifications WHERE method = 'range' ORDER BY verification_id DESC LIMIT 1}), 'done 100.0', 'done');
is($node->safe_psql('postgres', q{SELECT count(*) FROM migrate_ext.verifications WHERE method = 'range'}), '1', 'it was one verification all the time');

# paused: it says why, and goes on
$node->safe_psql('postgres', q{SELECT migrate_verify('m', 'range')});
$node->safe_psql('postgres', q{SELECT migrate_pause('m')});
until_true(q{SELECT throttle_reason = 'paused' FROM migrate_ext.job WHERE kind = 'verify' ORDER BY job_id DESC LIMIT 1}, 'a pause holds it');
my $before = $node->safe_psql('postgres', q{SELECT ranges FROM migrate_ext.verifications ORDER BY verification_id DESC LIMIT 1});
usleep(500_000);
is($node->safe_psql('postgres', q{SELECT ranges FROM migrate_ext.verifications ORDER BY verification_id DESC LIMIT 1}), $before, 'nothing is compared then');
is($node->safe_psql('postgres', q{SELECT concat_ws(' ', finished, state, throttle_reason, newest, percent BETWEEN 0 AND 99.9) FROM migrate_ext.verifications
	ORDER BY verification_id DESC LIMIT 1}), 'f paused paused f t', 'that can be seen, and no gate sees it');

# lost while it is paused: migrate_resume brings it back
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(l.pid) FROM migrate_ext.job_lock l JOIN migrate_ext.job j USING (job_id) WHERE j.kind = 'verify'});
until_true(q{SELECT NOT EXISTS (SELECT FROM migrate_ext.job_lock l JOIN migrate_ext.job j USING (job_id) WHERE j.kind = 'verify')}, 'the worker is gone');
$node->safe_psql('postgres', q{SELECT migrate_resume('m')});
$node->safe_psql('postgres', q{CALL migrate_wait('m', '5 minutes')});
$load->kill_kill;

# what differs is found, exactly this
is($node->safe_psql('postgres', q{SELECT missing + extra + different + pending FROM migrate_verify('m')}), '0', 'both sides are equal');
$node->safe_psql('postgres', q{
	SET session_replication_role = replica;
	CREATE TABLE planted AS SELECT id, row_number() OVER () % 3 AS what FROM (SELECT id FROM tgt ORDER BY random() LIMIT 300) t;
	DELETE FROM tgt WHERE id IN (SELECT id FROM planted WHERE what = 0);
	UPDATE tgt SET n = -1 WHERE id IN (SELECT id FROM planted WHERE what = 1);
	UPDATE planted SET id = -id WHERE what = 2;
	INSERT INTO tgt SELECT id, 'extra', 0 FROM planted WHERE what = 2;
});
$node->safe_psql('postgres', q{SELECT migrate_verify('m', 'range')});
$node->safe_psql('postgres', q{CALL migrate_wait('m', '5 minutes')});
is($node->safe_psql('postgres', $result), 't t 100 100 100 0', 'all that was planted');
is($node->safe_psql('postgres', q{SELECT count(*) FROM migrate_divergence('m') d FULL JOIN planted p ON (d.key ->> 'id')::int = p.id
	WHERE d.kind IS DISTINCT FROM (ARRAY['missing', 'different', 'extra'])[p.what + 1]}), '0', 'exactly these keys');
is($node->safe_psql('postgres', q{SELECT migrate_repair('m')}), '300', 'they are repaired');
is($node->safe_psql('postgres', q{SELECT method || ' ' || missing + extra + different FROM migrate_ext.verifications ORDER BY verification_id DESC LIMIT 1}), 'keys 0', 'and verified');

# again and again: a pass a second, over a cutover, with an alarm for what it finds, until it is told to end
$node->safe_psql('postgres', q{SELECT migrate_set('m', 'batch_target_time', '500ms'); SELECT migrate_set('m', 'verify_interval', '1s'); SELECT migrate_verify('m', 'range')});
$node->safe_psql('postgres', q{CALL migrate_wait('m', '1 minute')});
my $clean = q{SELECT count(*) >= %d FROM migrate_ext.verifications WHERE method = 'range' AND clean AND finished AND direction = '%s'};
until_true(sprintf($clean, 4, 'forward'), 'pass after pass');
my $job = $node->safe_psql('postgres', q{SELECT max(job_id) FROM migrate_ext.job WHERE kind = 'verify'});
$node->safe_psql('postgres', q{SELECT migrate_set('m', 'verify_interval', '1h')});
until_true(q{SELECT bool_and(finished) FROM migrate_ext.verifications WHERE method = 'range'}, 'a pass ends, and the next one is far away');
($rc, $out, $err) = $node->psql('postgres', q{SELECT count(*) FROM migrate_verify('m', 'range')});
like($err, qr/NOTICE:  the verification of migration "m" is running already/, 'it runs between two passes, too');
$node->safe_psql('postgres', q{SELECT migrate_set('m', 'verify_interval', '1s')});
is($node->safe_psql('postgres', q{SELECT max(job_id) FROM migrate_ext.job WHERE kind = 'verify' AND status = 'running'}), $job, 'by one job');
$node->safe_psql('postgres', q{SET session_replication_role = replica; UPDATE tgt SET n = -7 WHERE id = (SELECT min(id) FROM tgt)});
until_true(q{SELECT count(*) > 0 FROM migrate_ext.history WHERE kind = 'alarm' AND concat(reason, detail) LIKE '%verification by ranges found 1 diff%'}, 'an alarm for what differs');
$node->safe_psql('postgres', q{SELECT migrate_repair('m')});
$node->safe_psql('postgres', q{SELECT migrate_verify('m')});
$node->safe_psql('postgres', q{SELECT migrate_cutover('m', method => 'switch')});
until_true(sprintf($clean, 2, 'reverse'), 'the other direction after a cutover');
$node->safe_psql('postgres', q{SELECT migrate_set('m', 'verify_interval', '0')});
until_true(q{SELECT status = 'done' FROM migrate_ext.job WHERE kind = 'verify' ORDER BY job_id DESC LIMIT 1}, 'it ends when it is told to');

# a rollback in the middle ends it
$node->safe_psql('postgres', q{SELECT migrate_verify('m', 'range')});
$node->safe_psql('postgres', q{SELECT migrate_rollback('m')});
until_true(q{SELECT NOT EXISTS (SELECT FROM migrate_ext.job_lock)}, 'a rollback ends the worker');
is($node->safe_psql('postgres', q{SELECT status FROM migrate_ext.job WHERE kind = 'verify' ORDER BY job_id DESC LIMIT 1}), 'cancelled', 'and the job');

$node->stop;
done_testing();
