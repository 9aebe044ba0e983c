# Ten cutovers by swap and back under clients that know one name only: no row lost or doubled, no error.
use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('swap_load');
$node->init;
$node->append_conf('postgresql.conf', "max_worker_processes = 16\nfsync = off\nsynchronous_commit = off\nlog_line_prefix = '%m [%p] app=%a '\n");
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{
	CREATE EXTENSION migrate_ext;
	CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL DEFAULT 0, note text);
	CREATE TABLE movement (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account int NOT NULL REFERENCES account ON DELETE CASCADE, amount int NOT NULL);
	CREATE TABLE journal (account int NOT NULL, amount int NOT NULL);
	CREATE TABLE born (id serial PRIMARY KEY);
	CREATE VIEW rich AS SELECT id, balance FROM account WHERE balance > 0;
	CREATE FUNCTION total() RETURNS numeric STABLE LANGUAGE sql BEGIN ATOMIC SELECT sum(balance) FROM account; END;
	INSERT INTO account (id, note) SELECT i, 'note ' || i FROM generate_series(1, 2000) i;
	CREATE TABLE account_new (note text, extra text DEFAULT 'x', balance bigint NOT NULL DEFAULT 0, id int PRIMARY KEY);
	SELECT migrate_create('m'), migrate_map('m', 'account', 'account_new'), migrate_set('m', 'cutover_attempts', '100')});

# what clients do: each change of a balance has its entry in the journal, of the same transaction
my %script = (
	move => q{
\set a random(1, 2000)
\set b random(1, 2000)
\set x random(-100, 100)
\set y -:x
BEGIN;
UPDATE account SET balance = balance + :x WHERE id = :a;
INSERT INTO journal VALUES (:a, :x);
UPDATE account SET balance = balance + :y WHERE id = :b;
INSERT INTO journal VALUES (:b, :y);
INSERT INTO movement (account, amount) VALUES (:a, :x);
COMMIT;
},
	come_and_go => q{
\set x random(1, 100)
BEGIN;
INSERT INTO born DEFAULT VALUES;
INSERT INTO account (id, balance) SELECT 100000 + currval('born_id_seq'), :x;
INSERT INTO journal SELECT 100000 + currval('born_id_seq'), :x;
COMMIT;
BEGIN;
DELETE FROM journal USING account WHERE journal.account = account.id AND id = 100000 + currval('born_id_seq') - 20 AND balance IS NOT NULL;
DELETE FROM account WHERE id = 100000 + currval('born_id_seq') - 20;
COMMIT;
},
	read => q{
\set a random(1, 2000)
SELECT balance FROM account WHERE id = :a;
SELECT count(*) FROM rich WHERE id < :a;
SELECT total();
});
my @loads;

# One kind of client: script, number, isolation, protocol.
sub start_load
{
	my ($name, $clients, $isolation, $protocol) = @_;
	my $file = $node->basedir . "/$name.sql";
	my %load = (name => "$name, $isolation, $protocol", err => '', out => '');

	open my $f, '>', $file or die "could not write: $!";
	print $f $script{$name};
	close $f;
	local $ENV{PGOPTIONS} = '-c default_transaction_isolation=' . ($isolation =~ s/ /\\ /gr);
	local $ENV{PGAPPNAME} = "load_$name";
	$load{run} = IPC::Run::start(
		[ 'pgbench', '-n', '-c', $clients, '-T', '600', '--max-tries=1000', '-M', $protocol, '-f', $file, '-h', $node->host, '-p', $node->port, 'postgres' ],
		'>', \$load{out}, '2>', \$load{err});
	push @loads, \%load;
	return;
}
start_load('move', 3, 'read committed', 'prepared');
start_load('move', 2, 'repeatable read', 'simple');
start_load('move', 1, 'serializable', 'prepared');
start_load('come_and_go', 1, 'read committed', 'extended');
start_load('read', 2, 'read committed', 'prepared');
$node->poll_query_until('postgres', 'SELECT count(*) > 200 FROM journal');

# Under load, in one statement: every balance is the sum of its journal, on the side that has the name.
my $wrong = q{SELECT count(*) FROM account a FULL JOIN (SELECT account AS id, sum(amount) AS s FROM journal GROUP BY 1) j USING (id)
	WHERE coalesce(a.balance, 0) <> coalesce(j.s, 0)};
my ($rounds, $bad, @blocked) = (0, '');
for my $round (1 .. 10)
{
	sql("SELECT migrate_start('m')");
	sql("CALL migrate_run('m')");
	for (1 .. 50)
	{
		sql("SELECT migrate_sync('m'); SELECT * FROM migrate_verify('m')");
		last if $node->psql('postgres', "SELECT migrate_cutover('m')") == 0;
	}
	my $phase = sql("SELECT phase FROM migrate_status('m')");
	$bad .= "round $round: not cut over; " if $phase ne 'soak';
	$bad .= "round $round: the name is not the new table's; " if sql(q{SELECT count(*) FROM pg_attribute WHERE attrelid = 'account'::regclass AND attname = 'extra'}) ne '1';
	my $before = sql('SELECT count(*) FROM journal');
	$node->poll_query_until('postgres', "SELECT count(*) > $before + 100 FROM journal") or $bad .= "round $round: the clients stand still; ";
	$bad .= "round $round: new side wrong; " if sql($wrong) ne '0';
	$bad .= "round $round: sides differ; " if sql("SELECT missing + extra + different FROM migrate_verify('m')") ne '0';
	$bad .= "round $round: not rolled back; " if sql("SELECT migrate_rollback('m')") ne 'rolled_back';
	$before = sql('SELECT count(*) FROM journal');
	$node->poll_query_until('postgres', "SELECT count(*) > $before + 50 FROM journal") or $bad .= "round $round: the clients stand still after the rollback; ";
	$bad .= "round $round: old side wrong; " if sql($wrong) ne '0';
	$rounds++;
}
is($bad, '', "$rounds cutovers and rollbacks");

# Clients are told to stop by ending their sessions; what they said before that is what counts.
for my $load (@loads)
{
	$load->{run}->pump_nb;
	my @errors = grep { /ERROR|aborted/ } split /\n/, $load->{err};
	is(join("\n", @errors), '', "no error for clients: $load->{name}");
	$load->{run}->kill_kill;
}
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'load%'});
is(sql($wrong), '0', 'no change was lost or doubled');
is(sql('SELECT sum(balance) - total() FROM account'), '0', 'the function reads what has the name');
is(sql(q{SELECT count(*) FROM movement m LEFT JOIN account a ON a.id = m.account WHERE a.id IS NULL}), '0', 'no movement without its account');
$node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM migrate_ext.stashed_object WHERE restored_at IS NULL');
is(sql(q{SELECT confrelid::regclass, convalidated FROM pg_constraint WHERE conrelid = 'movement'::regclass AND contype = 'f'}), 'account|t', 'its foreign key is valid');
unlike(slurp_file($node->logfile), qr/app=load_\w+ ERROR:(?!  (?:could not serialize|deadlock detected))/, 'the server saw no other error of a client than those that are tried again');
my @ms = split /\n/, sql(q{SELECT detail ->> 'locked_ms' FROM migrate_ext.history WHERE phase IN ('soak', 'rolled_back') ORDER BY (detail ->> 'locked_ms')::numeric});
is(scalar(@ms), 20, 'what each took was recorded');
diag("blocked: median $ms[10] ms, most $ms[-1] ms");
$node->stop;
done_testing();
