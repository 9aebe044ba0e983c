# The report in a browser: its tables have the numbers of the JSON form, it needs nothing else, and fits a phone.
use strict;
use warnings;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('report');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nmax_worker_processes = 16\n");
$node->start;
my $dir = PostgreSQL::Test::Utils::tempdir;
my $name = q{<b>"o'Brien" & co; --</b> ü};
(my $literal = $name) =~ s/'/''/g;
my $json = JSON::PP->new->utf8->allow_nonref;

$node->safe_psql('postgres', qq{
	CREATE EXTENSION migrate_ext;
	CREATE TABLE "a<i>" (id int PRIMARY KEY, v text);
	CREATE TABLE b (id int PRIMARY KEY, v text CHECK (v <> 'bad'));
	INSERT INTO "a<i>" SELECT i, CASE WHEN i = 7 THEN 'bad' ELSE '</td><script>alert(' || i || ')</script>' END FROM generate_series(1, 20000) i;
	SELECT migrate_create('$literal'), migrate_map('$literal', '"a<i>"', 'b');
	SELECT migrate_set('$literal', 'store_values', 'on'), migrate_set('$literal', 'max_rejected_rate', '0.1'), migrate_set('$literal', 'max_p99_ratio', '1000');
	SELECT migrate_add_check('$literal', 'a & b', 'SELECT 1 WHERE 1 < 0');
	SELECT migrate_start('$literal');
	CALL migrate_run('$literal');
	INSERT INTO migrate_ext.sample (migration_id, taken_at, job_id, rows, blocks, batch_rows, batch_ms, pending, replica_lag_ms, throttle_reason)
		SELECT 1, now() + i * interval '1 min', 1, i * 10000, i, 1000, 100, (i * 7) % 50, CASE WHEN i BETWEEN 100 AND 200 THEN i * 100 END,
			CASE WHEN i BETWEEN 300 AND 350 THEN 'replica lag: ' || i || ' ms & more' END FROM generate_series(1, 1000) i;
	UPDATE b SET v = 'changed' WHERE id BETWEEN 10 AND 14;
	SELECT * FROM migrate_verify('$literal');
	SELECT * FROM migrate_shadow_read('$literal', 300)});

# A page as the browser has it.
sub dom
{
	my ($html, $width) = @_;
	my $file = "$dir/page.html";
	my ($out, $err) = ('', '');

	open my $f, '>', $file or die "could not write: $!";
	print $f $html;
	close $f;
	local $ENV{HOME} = $dir;
	IPC::Run::run([ 'chromium', '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', "--user-data-dir=$dir/chromium",
		"--window-size=$width,1000", '--dump-dom', "file://$file" ], '<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(120))
	  or diag($err);
	return $out;
}

sub text
{
	my ($html) = @_;
	$html =~ s/&lt;/</g;
	$html =~ s/&gt;/>/g;
	$html =~ s/&quot;/"/g;
	$html =~ s/&nbsp;/ /g;
	$html =~ s/&amp;/&/g;
	return $html;
}

# A value of the JSON form as it stands in a cell; undef where it is not a scalar.
sub cell
{
	my ($value) = @_;
	return '' if !defined $value;
	return $value ? 't' : 'f' if JSON::PP::is_bool($value);
	return if ref $value;
	return $value;
}

# Compares every table with the JSON form.
sub compare_tables
{
	my ($dom, $report) = @_;
	my $cells = 0;

	for my $key (sort grep { ref $report->{$_} } keys %$report)
	{
		my $rows = $report->{$key};
		if (!@$rows)
		{
			like($dom, qr{<p class="dim" id="$key">None\.</p>}, "$key: none");
			next;
		}
		my ($table) = $dom =~ m{<table id="$key">(.*?)</table>}s;
		my @columns = map { text($_) } $table =~ m{<th>(.*?)</th>}gs;
		my @trs = $table =~ m{<tr>(<td.*?)</tr>}gs;
		is(scalar(@trs), scalar(@$rows), "$key: as many rows");
		my @wrong;
		for my $i (0 .. $#trs)
		{
			my @tds = map { text($_) } $trs[$i] =~ m{<td[^>]*>(.*?)</td>}gs;
			for my $c (0 .. $#columns)
			{
				my $wanted = cell($rows->[$i]{ $columns[$c] });
				next if !defined $wanted;
				my $got = Encode::decode('UTF-8', $tds[$c]);
				$got =~ s/^(\d{4}-\d\d-\d\d) (\S+[+-]\d\d)$/$1T$2:00/;
				$cells++;
				push @wrong, "row $i, $columns[$c]: $got instead of $wanted" if $got ne $wanted && !($got =~ /^[-\d.]+$/ && $got == $wanted);
			}
		}
		is(join("\n", @wrong[ 0 .. ($#wrong > 4 ? 4 : $#wrong) ]), '', "$key: the same values");
	}
	return $cells;
}

require Encode;
my $html = $node->safe_psql('postgres', "SELECT migrate_report('$literal', 'html')");
my $report = $json->decode($node->safe_psql('postgres', "SELECT migrate_report('$literal', 'json')"));
my $dom = dom($html, 1200);
unlike($html, qr/<script|<link|<img|\@import|url\(|https?:/i, 'the page loads nothing');
unlike($dom, qr/<b>|<script>|<i>(?!<\/i>)/, 'names and values are text');
like(text($dom), qr{<h1>Migration <b>"o'Brien" & co; --</b> ü</h1>}, 'the name is there');
like($dom, qr/class="verdict bad">Not proven: the newest verification found \d+ differences/, 'the verdict is that of the verification');
unlike($dom, qr/points="[^"]*(?:nan|inf)/i, 'every point of a plot is a number');
is(scalar(() = $dom =~ /<svg /g), 5, 'plots of rows, rate, lag, queue and read times');
is(scalar(() = $dom =~ /<rect class="band"/g), 4, 'what throttled the copy is marked in each plot of it');
like($dom, qr{</i>replica lag</span>}, 'and named');
my $points = (sort { $b <=> $a } map { scalar(() = /,/g) } $dom =~ /points="([^"]*)"/g)[0];
ok($points > 300 && $points <= 1100, "a long series is thinned out: $points");
cmp_ok(compare_tables($dom, $report), '>', 100, 'cells were compared');

# a script of the test, not of the page: does it fit?
for my $width (500, 1200)
{
	my $measured = dom($html =~ s{</body>}{<script>document.title = 'over by ' + (document.documentElement.scrollWidth - window.innerWidth)</script></body>}r, $width);
	like($measured, qr{<title>over by (?:0|-\d+)</title>}, "no wider than $width pixels");
}

# mended, cut over, rolled back: the page follows
$node->safe_psql('postgres', qq{SELECT migrate_repair('$literal'); SELECT * FROM migrate_verify('$literal'); SELECT migrate_cutover('$literal')});
$dom = dom($node->safe_psql('postgres', "SELECT migrate_report('$literal', 'html')"), 1200);
like($dom, qr/class="now" aria-current="step">soak</, 'the phase is marked');
like($dom, qr/Application blocked at the cutover<\/dt><dd>[\d.]+ ms/, 'how long the application was blocked');
compare_tables($dom, $json->decode($node->safe_psql('postgres', "SELECT migrate_report('$literal', 'json')")));

my $runbook = $node->safe_psql('postgres', "SELECT migrate_runbook('$literal')");
like($runbook, qr/^## 6\. Cut over \(done\)$/m, 'runbook: what is done');
like($runbook, qr/^## 7\. Watch it \(next\)$/m, 'runbook: what comes next');
like($runbook, qr/^- Measured: the application was blocked for [\d.]+ ms, by method swap/m, 'runbook: what was measured');
like($runbook, qr/^- \[ \] sign-off: must be present, is missing/m, 'runbook: the next gate');
for my $sql ($runbook =~ /```sql\n(.*?)```/gs)
{
	my ($rc, $out, $err) = $node->psql('postgres', "BEGIN; " . ($sql =~ s/^CALL.*$//gmr) . " ROLLBACK");
	unlike($err, qr/syntax error|does not exist$/m, 'runbook: a command that can be run: ' . (split /\n/, $sql)[0]);
}
$node->stop;
done_testing();
