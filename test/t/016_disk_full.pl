# The target cannot grow: the job fails with the server's reason and the place, no row is to blame, and it goes on when
# there is room again.  A limit on the size of files stands for the full disk.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $limit = 20 * 1024 * 1024;
my $node = PostgreSQL::Test::Cluster->new('disk');
$node->init;
$node->append_conf('postgresql.conf', "max_worker_processes = 12\nfsync = off\n");
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]); }

# How large a file new sessions may write.
sub limit_files
{
	my ($bytes) = @_;
	my $pid = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
	system('prlimit', '--pid', $pid, "--fsize=$bytes:") == 0 or die "could not set the limit: $!";
}

sql(q{
	CREATE EXTENSION migrate_ext;
	CREATE TABLE src (id int PRIMARY KEY, v text);
	CREATE TABLE tgt (id int PRIMARY KEY, v text);
	INSERT INTO src SELECT i, repeat('v', 150) || i FROM generate_series(1, 60000) i;
	VACUUM ANALYZE src;
	SELECT migrate_create('m');
	SELECT migrate_map('m', 'src', 'tgt', '{"id": "id", "v": "v || v || v"}');
	SELECT migrate_start('m')});
sql('CHECKPOINT');
limit_files($limit);
sql(q{SELECT migrate_backfill('m', workers => 2)});
ok($node->poll_query_until('postgres', q{SELECT state FROM migrate_progress('m')}, 'failed'), 'the job fails');
my $error = sql(q{SELECT error_message || ', ' || error_context FROM migrate_ext.job});
like($error, qr/^could not extend file .*, copying blocks \d+ to \d+ of public.src/, 'with the server\'s reason, and the place');
is(sql(q{SELECT count(*) FROM migrate_ext.rejected_row}), '0', 'no row is to blame');
cmp_ok(sql('SELECT count(*) FROM tgt'), '>', 1000, 'what was copied before is there');
is(sql(q{SELECT sum(rows) = (SELECT count(*) FROM tgt) FROM migrate_ext.job_range}), 't', 'and was counted');

# the application goes on: what its dual writes cannot store is owed
my ($rc) = $node->psql('postgres', q{UPDATE src SET v = v || 'x' WHERE id % 10 = 0});
is($rc, 0, 'the application can write');
cmp_ok(sql('SELECT count(*) FROM migrate_ext.dirty_key'), '>', 0, 'what the target could not take is dirty');

limit_files('unlimited');
sql(q{SELECT migrate_backfill('m')});
sql(q{CALL migrate_wait('m', '120 s')});
is(sql(q{SELECT bool_and(checksum_match) AND sum(pending) = 0 FROM migrate_verify('m')}), 't', 'with room again it goes on to the end');
$node->stop;
done_testing();
