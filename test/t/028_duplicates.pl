# What may happen while a backfill looks for the rows that lose their key to others (dedupe_by), which takes long.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('duplicates');
$node->init;
$node->append_conf('postgresql.conf', "max_worker_processes = 16\n");
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub becomes
{
	my ($query, $wanted, $what) = @_;
	ok($node->poll_query_until('postgres', $query, $wanted), $what) or diag($node->safe_psql('postgres', $query));
	return;
}

# The order asks a function, which does not come back as long as somebody holds the gate.
sql(q{
	CREATE EXTENSION migrate_ext;
	CREATE TABLE src (id int PRIMARY KEY, who int);
	CREATE TABLE tgt (who int PRIMARY KEY, id int);
	INSERT INTO src SELECT i, i % 500 FROM generate_series(1, 5000) i;
	CREATE FUNCTION pass(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
	BEGIN
		WHILE $1 = 1 AND EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND granted) LOOP
			PERFORM pg_sleep(0.02);
		END LOOP;
		RETURN $1;
	END $$;
	SELECT migrate_create('m'), migrate_map('m', 'src', 'tgt', dedupe_by => 'pass(id) DESC'), migrate_set('m', 'sync_interval', '0')});
my $gate = $node->background_psql('postgres');
my $searching = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker' AND wait_event = 'PgSleep'};
my $noted = 'SELECT count(*) FROM migrate_ext.job_duplicate';

# Begins a backfill, whose search comes to the closed gate.
sub begin_search
{
	my ($options) = @_;
	sql("SELECT migrate_start('m')");
	$gate->query_safe('SELECT pg_advisory_lock(4711)');
	sql("SELECT migrate_backfill('m', $options)");
	becomes($searching, '1', "$options: a worker searches");
	return;
}

sub open_gate { $gate->query_safe('SELECT pg_advisory_unlock(4711)'); return; }

# It ends, and all is right.
sub ends_well
{
	my ($what) = @_;
	is(($node->psql('postgres', q{CALL migrate_wait('m', '120 s')}))[0], 0, "$what: the backfill ends");
	is(sql(q{SELECT count(*) FROM (SELECT who, max(id) FROM src GROUP BY 1 EXCEPT TABLE tgt) x}), '0', "$what: each key has its row");
	is(sql(q{SELECT (SELECT count(*) FROM src) - count(DISTINCT who) FROM src}), sql(q{SELECT count(*) FROM migrate_rejected('m') WHERE action = 'duplicate'}),
		"$what: the others are listed");
	is(sql(q{SELECT count(*) - count(DISTINCT source_row) FROM migrate_rejected('m')}), '0', "$what: once");
	is(sql($noted), '0', "$what: no place is noted any more");
	is(sql(q{SELECT migrate_rollback('m')}), 'rolled_back', "$what: rolled back");
	sql('TRUNCATE tgt');
	return;
}

# who wants to lock the table does not wait until it is over
begin_search('workers => 1');
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN');
$locker->query_until(qr/asked/, "\\echo asked\nLOCK TABLE src IN ACCESS EXCLUSIVE MODE;\nSELECT 'noted ' || count(*) FROM migrate_ext.job_duplicate;\n");
becomes(q{SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'src'::regclass}, '1', 'somebody waits for the table');
open_gate();
like($locker->query_until(qr/noted \d+/, ''), qr/noted 0/, 'the search gives way to who waits for the table');
$locker->query_safe('INSERT INTO src VALUES (5001, 1), (5002, 1001)');
$locker->query_safe('COMMIT');
$locker->quit;
ends_well('after it gave way');

# its time ends, which another worker finds out
begin_search('workers => 2');
sql(q{UPDATE migrate_ext.job SET run_until = clock_timestamp() WHERE status = 'running'});
becomes('SELECT status FROM migrate_ext.job ORDER BY job_id DESC LIMIT 1', 'stopped', 'the time ends');
open_gate();
becomes('SELECT step FROM migrate_ext.job ORDER BY job_id DESC LIMIT 1', 'copy', 'what it has found is not lost');
isnt(sql($noted), '0', 'it is noted');
sql(q{SELECT migrate_backfill('m')});
ends_well('when it goes on');

# it is terminated; the server dies
begin_search('workers => 1');
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker'});
becomes($searching, '0', 'it is terminated');
sql(q{SELECT migrate_backfill('m', workers => 2)});
becomes($searching, '1', 'and begins anew');
$gate->quit;
$node->stop('immediate');
$node->start;
$gate = $node->background_psql('postgres');
is(sql($noted), '0', 'nothing is noted after a crash');
sql(q{SELECT migrate_backfill('m', workers => 2)});
ends_well('after a crash');

# a rollback when it has found them
begin_search('workers => 1');
sql(q{SELECT migrate_pause('m')});
open_gate();
becomes('SELECT step FROM migrate_ext.job ORDER BY job_id DESC LIMIT 1', 'copy', 'it has found them');
isnt(sql($noted), '0', 'they are noted');
is(sql(q{SELECT migrate_rollback('m')}), 'rolled_back', 'a rollback');
is(sql($noted), '0', 'no place is noted after a rollback');
sql(q{SELECT migrate_resume('m')});
sql('TRUNCATE tgt');
begin_search('workers => 1');
open_gate();
ends_well('begun anew');
$gate->quit;
$node->stop;
done_testing();
