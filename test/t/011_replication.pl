# What logical replication writes to a source is carried over: its apply fires row triggers only, and
# those that are enabled for replicas.  So is what a session with session_replication_role = replica does.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('node');
$node->init(allows_streaming => 'logical');
$node->append_conf('postgresql.conf', "max_worker_processes = 16\n");
$node->start;

# one server, two databases: the publisher, and the subscriber that is migrated
$node->safe_psql('postgres', 'CREATE DATABASE publisher');
my $ddl = q{
	CREATE TABLE plain (id int PRIMARY KEY, v text, n numeric);
	CREATE TABLE parted (id int PRIMARY KEY, v text, n numeric)};
$node->safe_psql('publisher', qq{
	$ddl;
	INSERT INTO plain SELECT i, 'v' || i, i FROM generate_series(1, 500) i;
	INSERT INTO parted SELECT * FROM plain;
	CREATE PUBLICATION p FOR TABLE plain, parted;
	SELECT pg_create_logical_replication_slot('s', 'pgoutput')});
$node->safe_psql('postgres', qq{
	CREATE EXTENSION migrate_ext;
	$ddl PARTITION BY RANGE (id);
	CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (250);
	CREATE TABLE parted_2 (n numeric, gone int, v text, id int NOT NULL);
	ALTER TABLE parted_2 DROP COLUMN gone;
	ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM (250) TO (100000);
	CREATE TABLE plain_new (LIKE plain INCLUDING ALL);
	CREATE TABLE parted_new (LIKE plain INCLUDING ALL)});
$node->safe_psql('postgres', sprintf(q{
	CREATE SUBSCRIPTION s CONNECTION 'host=%s port=%s dbname=publisher user=%s' PUBLICATION p
		WITH (create_slot = false, slot_name = 's')}, $node->host, $node->port,
	$node->safe_psql('postgres', 'SELECT current_user')));
$node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM pg_subscription_rel WHERE srsubstate = 'r'})
	or die 'the subscription does not start';

# Waits until the subscriber has what the publisher has.
sub catch_up
{
	my $lsn = $node->safe_psql('publisher', 'SELECT pg_current_wal_lsn()');
	$node->poll_query_until('postgres', "SELECT latest_end_lsn >= '$lsn' FROM pg_stat_subscription WHERE subname = 's' AND relid IS NULL")
		or die 'the subscription does not catch up';
}

# 'ok', or what differs
sub difference
{
	my ($old, $new) = @_;
	return $node->safe_psql('postgres', qq{
		WITH wrong AS ((TABLE $old EXCEPT ALL TABLE $new) UNION ALL (TABLE $new EXCEPT ALL TABLE $old))
		SELECT coalesce(string_agg(DISTINCT id::text, ','), 'ok') FROM wrong});
}

$node->safe_psql('postgres', q{
	SELECT migrate_create('m');
	SELECT migrate_map('m', 'plain', 'plain_new');
	SELECT migrate_map('m', 'parted', 'parted_new');
	SELECT migrate_start('m');
	CALL migrate_run('m');});
is($node->safe_psql('postgres', q{SELECT bool_and(checksum_match) FROM migrate_verify('m')}), 't', 'copied');

for my $table ('plain', 'parted')
{
	$node->safe_psql('publisher', qq{
		INSERT INTO $table SELECT i, 'new', i FROM generate_series(501, 600) i;
		UPDATE $table SET v = 'changed' WHERE id % 3 = 0;
		UPDATE $table SET id = id + 1000 WHERE id BETWEEN 200 AND 260;
		UPDATE $table SET id = 900 WHERE id = 10;
		DELETE FROM $table WHERE id % 7 = 0;
		BEGIN;
		UPDATE $table SET n = n + 1;
		SAVEPOINT a;
		DELETE FROM $table WHERE id < 100;
		ROLLBACK TO a;
		COMMIT});
	catch_up();
	is(difference($table, "${table}_new"), 'ok', "$table: replicated writes are captured");
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM migrate_ext.dirty_key}), '0', 'nothing was left to a sync');
$node->safe_psql('publisher', 'TRUNCATE plain; INSERT INTO plain VALUES (1, NULL, 1.0), (2, NULL, 2)');
catch_up();
$node->safe_psql('postgres', q{SELECT migrate_sync('m'); SELECT migrate_sync('m')});
is(difference('plain', 'plain_new'), 'ok', 'a replicated TRUNCATE, too');

# an error of the target must not stop the replication
$node->safe_psql('postgres', q{ALTER TABLE plain_new ADD CHECK (v <> 'bad')});
$node->safe_psql('publisher', q{UPDATE plain SET v = 'bad' WHERE id = 1; UPDATE plain SET v = 'good' WHERE id = 2});
catch_up();
is(difference('plain', 'plain_new'), '1', 'an error is deferred');
is($node->safe_psql('postgres', q{SELECT key, sqlstate FROM migrate_ext.dirty_key}), '{"id": 1}|23514', 'and its key is dirty');
$node->safe_psql('publisher', q{UPDATE plain SET v = 'better' WHERE id = 1});
catch_up();
$node->safe_psql('postgres', q{SELECT migrate_sync('m')});

# sessions that play replica
for my $table ('plain', 'parted', 'parted_2')
{
	(my $root = $table) =~ s/_2//;
	$node->safe_psql('postgres', qq{
		SET session_replication_role = replica;
		INSERT INTO $table (id, v, n) SELECT i, 'replica', i FROM generate_series(5000, 5100) i;
		UPDATE $table SET v = 'replica, too' WHERE id % 2 = 0;
		UPDATE $table SET id = id + 10000 WHERE id = 5001;
		DELETE FROM $table WHERE id BETWEEN 5050 AND 5060;
		DELETE FROM $table WHERE id BETWEEN 5000 AND 5100});
	is(difference($root, "${root}_new"), 'ok', "$table: session_replication_role = replica does not bypass the triggers");
	$node->safe_psql('postgres', "DELETE FROM $table WHERE id = 15001");
}
is($node->safe_psql('postgres', q{SELECT bool_and(checksum_match) FROM migrate_verify('m')}), 't', 'verified');

# after the cutover the old side refuses what is replicated: it stops there, and is not lost
$node->safe_psql('postgres', q{SELECT migrate_cutover('m', method => 'switch')});
my $offset = -s $node->logfile;
$node->safe_psql('publisher', q{UPDATE plain SET v = 'late' WHERE id = 2});
ok($node->poll_query_until('postgres', 'SELECT count(*) > 0 FROM pg_stat_subscription_stats WHERE apply_error_count > 0'),
	'the apply stops');
like(slurp_file($node->logfile, $offset), qr/cannot write to "plain": it was replaced by a migration/, 'and says why');
$node->safe_psql('postgres', q{UPDATE plain_new SET n = 7 WHERE id = 2});
is($node->safe_psql('postgres', q{SELECT n FROM plain WHERE id = 2}), '7', 'the way back writes there');
$node->safe_psql('postgres', q{SELECT migrate_rollback('m')});
$node->safe_psql('postgres', 'DROP EXTENSION migrate_ext');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal}), '0', 'no trigger is left');
$node->stop('immediate');
done_testing();
