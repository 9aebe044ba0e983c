# Two minutes (STRESS_SECONDS) of writers at three isolation levels while everything else runs.
use strict;
use warnings;
use Cwd qw(getcwd);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('stress');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
max_worker_processes = 16
fsync = off
shared_buffers = 256MB
log_line_prefix = '%m [%p] app=%a '
CONF
$node->start;

local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
local $ENV{PGDATABASE} = 'postgres';
my $output = `test/load/run '@{[ $node->logfile ]}' 2>&1`;
diag($output) if $? != 0;
is($?, 0, 'the stress run ends well');
like($output, qr/^stress: ok$/m, 'both sides are equal and no error came from a dual write');
unlike(slurp_file($node->logfile), qr/TRAP|PANIC|terminated by signal/, 'nothing crashed');
$node->stop;
done_testing();
