# Prepared transactions: their dual writes are part of them, through a crash, and a copy waits for those that
# wrote before it was over.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('prepared');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nmax_prepared_transactions = 10\n");
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]); }

# The one-word oracle, by plain SQL.
sub state_is
{
	my ($wanted, $name) = @_;

	is(sql(q{
		WITH wrong AS (
			(TABLE src EXCEPT ALL TABLE tgt) UNION ALL (TABLE tgt EXCEPT ALL TABLE src) UNION ALL
			(TABLE src EXCEPT ALL TABLE que) UNION ALL (TABLE que EXCEPT ALL TABLE src))
		SELECT coalesce(string_agg(DISTINCT id::text, ','), 'ok') FROM wrong}), $wanted, $name);
}

sub settled
{
	my ($name) = @_;

	sql(q{SELECT migrate_sync('m')});
	state_is('ok', $name);
	is(sql('SELECT count(*) FROM migrate_ext.dirty_key'), '0', "$name: nothing is pending");
}

sql(q{
	CREATE EXTENSION migrate_ext;
	CREATE TABLE src (id int PRIMARY KEY, v text);
	CREATE TABLE tgt (id int PRIMARY KEY, v text);
	CREATE TABLE que (id int PRIMARY KEY, v text);
	INSERT INTO src SELECT i, 'v' || i FROM generate_series(1, 100) i;
	SELECT migrate_create('m'), migrate_map('m', 'src', 'tgt'), migrate_map('m', 'src', 'que', capture => 'queue');
	SELECT migrate_set('m', 'sync_interval', '0'), migrate_set('m', 'cutover_lock_timeout', '100ms'),
		migrate_set('m', 'cutover_attempts', '2')});

# one that has written before the start: the start names it, and waits for it
sql(q{BEGIN; INSERT INTO src VALUES (101, 'before'); PREPARE TRANSACTION 'before'});
my ($rc, $out, $err) = $node->psql('postgres', q{SELECT migrate_start('m')});
isnt($rc, 0, 'the start does not pass a prepared transaction by');
like($err, qr/could not lock the tables.*before/s, 'and names it');
sql(q{COMMIT PREPARED 'before'; SELECT migrate_start('m')});

# written between the start and the end of the copy: a batch gives way to rows that were dual-written, the barrier waits
# for the rest
sql(q{BEGIN; DELETE FROM src WHERE id = 1; PREPARE TRANSACTION 'copy'});
sql(q{BEGIN; DELETE FROM src WHERE id = 11; UPDATE src SET v = 'way' WHERE id = 12; UPDATE src SET id = 300 WHERE id = 13;
	INSERT INTO src VALUES (103, 'way'); PREPARE TRANSACTION 'way'});
sql(q{BEGIN; DELETE FROM src WHERE id = 31; UPDATE src SET v = 'gone' WHERE id = 32; INSERT INTO src VALUES (104, 'gone');
	PREPARE TRANSACTION 'gone'});
sql(q{SELECT migrate_backfill('m')});
ok($node->poll_query_until('postgres', q{SELECT retries > 0 FROM migrate_progress('m')}), 'the copy gives way to prepared transactions');
sql(q{COMMIT PREPARED 'way'; ROLLBACK PREPARED 'gone'});
ok($node->poll_query_until('postgres', q{SELECT step FROM migrate_progress('m')}, 'barrier'), 'and waits for them at its end');
is(sql(q{SELECT state FROM migrate_progress('m')}), 'running', 'it is not over');
sql(q{COMMIT PREPARED 'copy'});
$node->psql('postgres', q{CALL migrate_wait('m', '30 s')});
settled('after the copy');
is(sql(q{SELECT state FROM migrate_progress('m')}), 'done', 'then it is over');

# through a crash
sql(q{BEGIN; UPDATE src SET v = 'crash' WHERE id < 20; DELETE FROM src WHERE id = 20; INSERT INTO src VALUES (105, 'crash'); PREPARE TRANSACTION 'crash'});
sql(q{BEGIN; UPDATE src SET v = 'lost' WHERE id > 90; PREPARE TRANSACTION 'lost'});
$node->stop('immediate');
$node->start;
is(sql(q{SELECT count(*) FROM pg_prepared_xacts}), '2', 'both are there after the crash');
state_is('ok', 'and nothing of them is seen');
sql(q{SELECT migrate_sync('m')});
sql(q{COMMIT PREPARED 'crash'; ROLLBACK PREPARED 'lost'});
is(sql(q{SELECT count(*) FROM tgt WHERE v = 'crash'}), sql(q{SELECT count(*) FROM src WHERE v = 'crash'}), 'committed with its dual writes');
settled('after the crash');

# what fails is deferred and accounted, which keeps no transaction from being prepared
sql(q{ALTER TABLE tgt ADD CHECK (v <> 'refused'); SELECT migrate_set('m', 'min_write_errors', '10')});
sql(join(';', 'BEGIN', (map { "UPDATE src SET v = 'refused' WHERE id = $_" } 21 .. 90), "PREPARE TRANSACTION 'refused'"));
is(sql(q{SELECT count(*) FROM pg_prepared_xacts}), '1', 'a transaction whose dual writes failed is prepared');
sql(q{COMMIT PREPARED 'refused'});
is(sql(q{SELECT count(*) FROM src WHERE v = 'refused'}), '70', 'and stands');
sql(join(';', map { "UPDATE src SET v = 'refused ' WHERE id = $_; UPDATE src SET v = 'refused' WHERE id = $_" } 21 .. 90));
ok($node->poll_query_until('postgres', q{SELECT degraded FROM migrate_ext.write_accounts WHERE mapping = 1}), 'too many are switched off');
sql(q{ALTER TABLE tgt DROP CONSTRAINT tgt_v_check; SELECT migrate_sync('m'); SELECT migrate_resume('m')});
settled('mended');

# the cutover and the rollback wait like the start
sql(q{SELECT count(*) FROM migrate_verify('m')});
sql(q{BEGIN; UPDATE src SET v = 'late' WHERE id = 5; PREPARE TRANSACTION 'late'});
($rc, $out, $err) = $node->psql('postgres', q{SELECT migrate_cutover('m', 'switch')});
isnt($rc, 0, 'no cutover past a prepared transaction');
sql(q{COMMIT PREPARED 'late'});
sql(q{SELECT migrate_sync('m'); SELECT migrate_set('m', 'cutover_attempts', '50')});
is(sql(q{SELECT migrate_rollback('m')}), 'rolled_back', 'rolled back');
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal|TRAP/, 'nothing crashed');
$node->stop;
done_testing();
