# P0 to P5 under load: whole migrations, from the start to the rollback, with applications at the three
# isolation levels.  test/stress/run does it; here it gets a server.  STRESS_SECONDS, STRESS_SEED: see there.
use strict;
use warnings;
use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('stress');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
fsync = off
shared_buffers = 256MB
max_worker_processes = 16
log_statement = none
CONF
$node->start;

local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'postgres');
open my $run, '-|', dirname(__FILE__) . '/../stress/run', $node->logfile
  or die "could not run the stress: $!";
my $plan;
while (my $line = <$run>)
{
	chomp $line;
	if ($line =~ /^(not )?ok \d+ - (.*)/)
	{
		ok(!$1, $2);
	}
	elsif ($line =~ /^1\.\.\d+$/)
	{
		$plan = $line;
	}
	else
	{
		$line =~ s/^# //;
		Test::More->builder->is_passing ? note($line) : diag($line);
	}
}
close $run;
ok(defined $plan, 'the stress came to its end');
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal/, 'nothing crashed');
$node->stop;
done_testing();
