# A dump of a database with started migrations restores, as SQL and as an archive; its writes are captured.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('dump');
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE old; CREATE DATABASE plain; CREATE DATABASE archive');
$node->safe_psql('old', q{
	CREATE EXTENSION migrate_ext;
	CREATE TABLE src (id int, r text, v text, PRIMARY KEY (id, r)) PARTITION BY LIST (r);
	CREATE TABLE src_a PARTITION OF src FOR VALUES IN ('a');
	CREATE TABLE src_b PARTITION OF src FOR VALUES IN ('b');
	CREATE TABLE tgt (id int, r text, v text, PRIMARY KEY (r, id));
	INSERT INTO src VALUES (1, 'a', 'x'), (2, 'b', 'y');
	CREATE TABLE ip (id int PRIMARY KEY, a text, b text);
	CREATE TABLE child () INHERITS (ip);
	INSERT INTO ip VALUES (1, 'not copied yet');
	SELECT migrate_create('m'), migrate_map('m', 'src', 'tgt');
	SELECT migrate_start('m');
	CALL migrate_run('m');
	SELECT migrate_create('ip'), migrate_map('ip', 'ip', 'ip', '{"b": "upper(a)"}');
	SELECT migrate_start('ip');
});
my $dir = PostgreSQL::Test::Utils::tempdir;
$node->command_ok([ 'pg_dump', '-f', "$dir/plain.sql", $node->connstr('old') ], 'dumped as SQL');
$node->command_ok([ 'pg_dump', '-Fd', '-f', "$dir/dir", $node->connstr('old') ], 'dumped as a directory');
$node->command_ok([ 'psql', '-qX1', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/plain.sql", $node->connstr('plain') ],
	'restored in one transaction');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('archive'), "$dir/dir" ],
	'restored from the archive');

my $triggers = q{SELECT tgrelid::regclass || ' ' || count(*) || ' ' || string_agg(DISTINCT tgenabled, '') FROM pg_trigger
	WHERE tgname LIKE '%migrate_ext%' GROUP BY tgrelid ORDER BY tgrelid::regclass::text};
for my $db ('plain', 'archive')
{
	is($node->safe_psql($db, $triggers), $node->safe_psql('old', $triggers), "$db: the triggers are those of the old database");
	is($node->safe_psql($db, q{
		INSERT INTO src VALUES (3, 'a', 'z');
		UPDATE src_b SET v = 'new';
		INSERT INTO child VALUES (2, 'child');
		CALL migrate_run('ip');
		SELECT string_agg(t::text, ' ' ORDER BY id) FROM tgt t;
		SELECT string_agg(i::text, ' ' ORDER BY id) FROM ip i}),
		qq{(1,a,x) (2,b,new) (3,a,z)\n(1,"not copied yet","NOT COPIED YET") (2,child,CHILD)}, "$db: what is written is captured");
	my ($rc, $out, $err) = $node->psql($db, 'ALTER TABLE tgt DROP COLUMN v');
	like($err, qr/would break migration "m"/, "$db: DDL is watched");
}
done_testing();
