# P2.7: kill -9 of a worker, and immediate shutdowns, at random moments of a backfill; with and without
# writers.  At the end no row is lost, none is there twice, and the counters are equal to the truth.
use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $seed = $ENV{CRASH_SEED} // int(rand(1_000_000));
srand($seed);
note("seed $seed");

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
max_worker_processes = 16
restart_after_crash = on
CONF
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION migrate_ext;
CREATE TABLE src (id int PRIMARY KEY, v text);
CREATE TABLE tgt (id int PRIMARY KEY, v text);
INSERT INTO src SELECT i, repeat('v' || i, 10) FROM generate_series(1, 400000) i;
ANALYZE src;
SELECT migrate_create('m');
-- a copy that is met by all crashes: while there are more to come it takes its time, and does not pass the last rows
CREATE SEQUENCE crashes_to_come MINVALUE 0;
CREATE FUNCTION slow(i int, v text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	IF i % 1000 = 0 THEN
		WHILE (SELECT last_value FROM public.crashes_to_come) > 0 LOOP
			PERFORM pg_sleep(0.02);
			EXIT WHEN i < 390000;
		END LOOP;
	END IF;
	RETURN upper(v);
END $$;
SELECT migrate_map('m', 'src', 'tgt', '{"id": "id", "v": "public.slow(id, v)"}');
SQL

my $equal = q{SELECT count(*) FROM ((SELECT id, upper(v) FROM src EXCEPT ALL TABLE tgt)
	UNION ALL (TABLE tgt EXCEPT ALL SELECT id, upper(v) FROM src)) x};

# The answer to a query.  A server whose worker was killed ends every session, perhaps a moment later, and is back
# within moments.
sub ask
{
	my ($query) = @_;

	for (1 .. 600)
	{
		my ($rc, $out) = $node->psql('postgres', $query);
		return $out if $rc == 0;
		usleep(100_000);
	}
	die "no answer to $query";
}

sub resume
{
	ask(q{SELECT migrate_backfill('m', workers => 2, batch_size => 50)});
}

sub kill_a_worker
{
	my $pid = '';

	# one that was started a moment ago may not be there yet
	for (1 .. 100)
	{
		$pid = ask(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker' ORDER BY random() LIMIT 1});
		last if $pid ne '';
		usleep(100_000);
	}
	return 0 if $pid eq '';
	kill 'KILL', $pid;
	return 1;
}

for my $writers (0, 1)
{
	my $crashes = 0;
	my $load;

	$node->safe_psql('postgres', q{SELECT setval('crashes_to_come', 1); TRUNCATE tgt; SELECT migrate_start('m')});
	resume();
	for my $round (1 .. 12)
	{
		if ($writers)
		{
			my $script = $node->basedir . '/write.sql';
			append_to_file($script, <<'SQL') if $round == 1;
\set a random(1, 61000)
UPDATE src SET v = 'w' || :a WHERE id BETWEEN :a AND :a + 3;
DELETE FROM src WHERE id = :a + 7;
INSERT INTO src VALUES (:a, 'again') ON CONFLICT DO NOTHING;
SQL
			$load = IPC::Run::start(
				[ 'pgbench', '-n', '-T', '60', '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ],
				'>', \my $out, '2>', \my $err);
		}
		usleep(10_000 + rand(150_000));
		my $state = ask(q{SELECT state FROM migrate_progress('m')});
		resume() if $state eq 'interrupted';	# the crash came after the call that was to resume it
		last if $state eq 'done';
		if ($round % 2)
		{
			$crashes += kill_a_worker();
		}
		else
		{
			$node->stop('immediate');
			$node->start;
			$crashes++;
		}
		# the clients of a server that crashes are gone
		eval { $load->finish } if $load;
		undef $load;
		resume();
	}
	if ($load) { $load->kill_kill; }
	ask(q{SELECT setval('crashes_to_come', 0)});
	for (1 .. 3)
	{
		resume();
		my ($rc) = $node->psql('postgres', q{CALL migrate_wait('m', '60 s')});
		last if $rc == 0;
	}
	cmp_ok($crashes, '>=', 10, "crashed $crashes times" . ($writers ? ' under load' : ''));
	$node->safe_psql('postgres', q{SELECT migrate_sync('m')});
	is($node->safe_psql('postgres', $equal), '0', 'both sides are equal, to the row');
	is( $node->safe_psql('postgres', q{SELECT bool_and(checksum_match) FROM migrate_verify('m')}),
		't', 'and the checksums agree');
	is( $node->safe_psql('postgres', q{SELECT sum(rows) = (SELECT count(*) FROM tgt) FROM migrate_ext.job_range
			WHERE job_id = (SELECT max(job_id) FROM migrate_ext.job)}),
		't', 'the counters are equal to the truth') unless $writers;
	is( $node->safe_psql('postgres', q{SELECT count(*) FROM migrate_ext.job_range WHERE NOT done}),
		'0', 'no range is left over');
	$node->safe_psql('postgres', q{SELECT migrate_rollback('m')});
}
# a crash while an index is built again that was put off
$node->safe_psql('postgres', q{
	SELECT migrate_drop('m');
	TRUNCATE tgt;
	CREATE INDEX tgt_v ON tgt (v);
	SELECT migrate_create('m');
	SELECT migrate_map('m', 'src', 'tgt');
	SELECT migrate_set('m', 'defer_indexes', 'on');
	SELECT migrate_start('m')});
my $reader = $node->background_psql('postgres');
$reader->query_safe(q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tgt});	# the index waits for it
ask(q{SELECT migrate_backfill('m', workers => 2)});
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query ~ 'rebuilding index tgt_v' AND wait_event_type = 'Lock'});
is(ask(q{SELECT step FROM migrate_progress('m')}), 'index', 'an index is being built');
my $pid = ask(q{SELECT pid FROM pg_stat_activity WHERE query ~ 'rebuilding index tgt_v' AND backend_type = 'migrate_ext worker'});
kill 'KILL', $pid;
for (1 .. 600)
{
	last if ask("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid") eq '0';
	usleep(100_000);
}
eval { $reader->{run}->kill_kill };
is(ask(q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'tgt_v'::regclass}), 'f', 'the crash has left an invalid one');
resume();
$node->safe_psql('postgres', q{CALL migrate_wait('m', '60 s')});
is(ask(q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'tgt_v'::regclass}), 't', 'which was dropped and built anew');
is(ask(q{SELECT count(*) FROM pg_index WHERE indrelid = 'tgt'::regclass}), '2', 'none is left over');
$node->stop;
done_testing();
