# P1.7: who runs what.  A migration owned by an ordinary role, written to by an application that has no
# right on the target; expressions that tell who evaluates them.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('owner');
$node->init;
$node->append_conf('postgresql.conf', "max_worker_processes = 8\nfsync = off\n");
$node->start;

# The result, or the error, of SQL as some role.
sub as
{
	my ($role, $sql) = @_;
	my ($rc, $out, $err) =
	  $node->psql('postgres', $sql, extra_params => [ '-U', $role ], on_error_stop => 1);

	return $rc == 0 ? $out : $err;
}

$node->safe_psql('postgres', q{
	CREATE ROLE owner LOGIN;
	CREATE ROLE app LOGIN;
	CREATE ROLE stranger LOGIN;
	CREATE EXTENSION migrate_ext;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO owner, stranger;
	GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA public TO owner, stranger;
	GRANT CREATE ON SCHEMA public TO owner;
});
as('owner', q{
	CREATE TABLE src (id int PRIMARY KEY, v text);
	CREATE TABLE tgt (id int PRIMARY KEY, v text, who text);
	CREATE TABLE seen (who text);
	CREATE FUNCTION who(text) RETURNS text LANGUAGE plpgsql STABLE AS
		'BEGIN RETURN current_user; END';
	INSERT INTO src SELECT i, 'v' || i FROM generate_series(1, 1000) i;
	GRANT SELECT, INSERT, UPDATE, DELETE ON src TO app;
});
is(as('owner', q{SELECT migrate_create('m') > 0}), 't', 'an ordinary role creates a migration');
is( as('owner', q{SELECT migrate_map('m', 'src', 'tgt', '{"id": "id", "v": "v", "who": "who(v)"}') > 0}),
	't', 'and maps its tables');
is(as('owner', q{SELECT migrate_start('m')}), 'dual_write', 'and starts it');
like(as('owner', 'SELECT count(*) FROM migrate_ext.migration'), qr/permission denied/, 'the state tables are not its own');
like(as('stranger', q{SELECT migrate_rollback('m')}), qr/must be owner of migration/, 'others may not touch it');
is(as('stranger', 'SELECT count(*) FROM migrate_status()'), '0', 'nor see it');
like(as('app', q{SELECT migrate_create('x')}), qr/permission denied for function/, 'nor create one without the right');
like(as('stranger', q{SELECT migrate_create('s'); SELECT migrate_map('s', 'src', 'tgt')}), qr/must be owner of table/,
	'nor map what is not theirs');

is(as('app', q{INSERT INTO src VALUES (2000, 'app'); UPDATE src SET v = 'changed' WHERE id = 1; DELETE FROM src WHERE id = 2}),
	'', 'the application writes, without a right on the target');
like(as('app', 'SELECT * FROM tgt'), qr/permission denied/, 'which it still has not');
is($node->safe_psql('postgres', q{SELECT string_agg(id || who, ',' ORDER BY id) FROM tgt}), '1owner,2000owner',
	'expressions run as the owner of the tables');
is($node->safe_psql('postgres', q{UPDATE src SET v = 'by a superuser' WHERE id = 3; SELECT who FROM tgt WHERE id = 3}),
	'owner', 'also in the session of a superuser');

as('owner', q{SELECT migrate_backfill('m')});
is(as('owner', q{CALL migrate_wait('m', '30 s')}), '', 'workers run as the owner');
is($node->safe_psql('postgres', 'SELECT DISTINCT who FROM tgt'), 'owner', 'and evaluate as the owner');
is($node->safe_psql('postgres', q{SELECT count(*) FROM tgt}), '1000', 'everything is copied');
is(as('owner', q{SELECT bool_and(checksum_match) FROM migrate_verify('m')}), 't', 'and verified');
is(as('owner', q{SELECT migrate_cutover('m', method => 'switch')}), 'soak', 'and cut over');
like(as('app', q{UPDATE src SET v = 'stale'}), qr/was replaced by a migration/, 'the old side refuses writes');
is(as('owner', q{UPDATE tgt SET v = 'new side' WHERE id = 1; SELECT v FROM src WHERE id = 1}), 'new side', 'the way back works');
is(as('owner', q{SELECT migrate_rollback('m')}), 'rolled_back', 'and rolled back');

# a superuser's migration of another role's tables runs as that role
$node->safe_psql('postgres', q{SELECT migrate_create('su'); SELECT migrate_map('su', 'src', 'tgt')});
is($node->safe_psql('postgres', q{SELECT DISTINCT runs_as FROM migrate_ext.mappings WHERE migration = 'su'}), 'owner',
	'a superuser lends no rights to expressions');

# an owner who cannot log in: a clear error where the server cannot do it
$node->safe_psql('postgres', 'ALTER ROLE owner NOLOGIN');
my $version = $node->safe_psql('postgres', 'SHOW server_version_num');
$node->safe_psql('postgres', q{SET ROLE owner; TRUNCATE tgt; SELECT migrate_start('m')});
my ($rc, $out, $err) = $node->psql('postgres', q{SET ROLE owner; SELECT migrate_backfill('m')});
if ($version < 170000)
{
	like($err, qr/cannot connect as role "owner".*LOGIN.*migrate_run/s, 'a role without LOGIN: what to do');
}
else
{
	is($rc, 0, 'a role without LOGIN can own a migration');
}
$node->stop;
done_testing();
