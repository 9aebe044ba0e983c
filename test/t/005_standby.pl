# A hot standby shows, and changes nothing; promoted in the middle of a backfill, it goes on.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "max_worker_processes = 8\n");
$primary->start;
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

$primary->safe_psql('postgres', q{
	CREATE EXTENSION migrate_ext;
	CREATE TABLE src (id int PRIMARY KEY, v text);
	CREATE TABLE tgt (id int PRIMARY KEY, v text);
	INSERT INTO src SELECT i, repeat('v', 100) || i FROM generate_series(1, 50000) i;
	SELECT migrate_create('m');
	-- a copy that is met in the middle: it does not pass this row while the brake is on
	CREATE SEQUENCE brake MINVALUE 0;
	SELECT setval('brake', 1);
	CREATE FUNCTION slow(i int, v text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
	BEGIN
		WHILE i = 30000 AND (SELECT last_value FROM public.brake) > 0 LOOP PERFORM pg_sleep(0.02); END LOOP;
		RETURN v;
	END $$;
	SELECT migrate_map('m', 'src', 'tgt', '{"id": "id", "v": "public.slow(id, v)"}');
	SELECT migrate_start('m')});
$primary->safe_psql('postgres', q{SELECT migrate_backfill('m', workers => 1, batch_size => 100)});
$primary->poll_query_until('postgres', q{SELECT blocks_done > 5 FROM migrate_progress('m')});
$primary->wait_for_catchup($standby);

is($standby->safe_psql('postgres', q{SELECT phase FROM migrate_status('m')}), 'backfill', 'the standby shows the state');
for my $call (q{migrate_start('m')}, q{migrate_backfill('m')}, q{migrate_pause('m')}, q{migrate_cutover('m', 'switch')},
	q{migrate_rollback('m')}, q{migrate_repair('m')}, q{migrate_set('m', 'workers', '1')}, q{migrate_drop('m')})
{
	my ($rc, $out, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\nSELECT $call");

	like($err, qr/25006.*on a standby server.*primary/s, "$call is refused");
}
my ($rc, $out, $err) = $standby->psql('postgres', q{SELECT migrate_create('x')});
like($err, qr/cannot execute migrate_create\(\)/, 'so is migrate_create');

# failover: what was committed with its checkpoint is there, the rest is copied
$primary->stop('immediate');
$standby->promote;
is($standby->safe_psql('postgres', q{SELECT state FROM migrate_progress('m')}), 'interrupted', 'after the failover it is interrupted');
my $before = $standby->safe_psql('postgres', 'SELECT count(*) FROM tgt');
cmp_ok($before, '>', 0, 'in the middle');
cmp_ok($before, '<', 50000, 'of the copy');
is($standby->safe_psql('postgres', q{SELECT sum(rows) FROM migrate_ext.job_range}), $before, 'the counters survived with the rows');
$standby->safe_psql('postgres', q{SELECT setval('brake', 0); SELECT migrate_backfill('m')});
$standby->safe_psql('postgres', q{CALL migrate_wait('m', '60 s')});
is($standby->safe_psql('postgres', q{SELECT bool_and(checksum_match) FROM migrate_verify('m')}), 't', 'the new primary finishes it');
is($standby->safe_psql('postgres', q{SELECT sum(rows) FROM migrate_ext.job_range}), '50000', 'each row was written once');
$standby->stop;
done_testing();
