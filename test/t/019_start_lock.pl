# migrate_start with deferred indexes needs the sources and the targets: while somebody keeps a target, the application
# goes on writing the source.
use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('start');
$node->init;
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION migrate_ext;
	CREATE TABLE src (id int PRIMARY KEY, v text);
	CREATE TABLE tgt (id int PRIMARY KEY, v text);
	CREATE INDEX ON tgt (v);
	SELECT migrate_create('m');
	SELECT migrate_map('m', 'src', 'tgt');
	SELECT migrate_set('m', 'defer_indexes', 'on');
	SELECT migrate_set('m', 'cutover_attempts', '1000')});
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN; SELECT count(*) FROM tgt');
my $start = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', q{SELECT migrate_start('m')} ],
	'>', \my $out, '2>', \my $err);
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE query ~ 'migrate_start' AND wait_event_type = 'Lock'}),
	'migrate_start waits for a reader of the target');
my $failed = 0;
for my $id (1 .. 20)
{
	my ($rc) = $node->psql('postgres', "SET lock_timeout = '1s'; INSERT INTO src VALUES ($id, 'x')");
	$failed++ if $rc != 0;
}
is($failed, 0, 'the application writes the source meanwhile');
$reader->query_safe('COMMIT');
$reader->quit;
$start->finish;
is($out, "dual_write\n", 'and it starts when the reader has gone');
$node->stop;
done_testing();
