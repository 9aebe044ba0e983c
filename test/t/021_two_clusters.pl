# Two servers: checksums and sketches cross the network, not rows, and agree; a copy from one to the other is verified.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $there = PostgreSQL::Test::Cluster->new('there');
my $here = PostgreSQL::Test::Cluster->new('here');
$there->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$here->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$there->append_conf('postgresql.conf', "timezone = 'Asia/Tokyo'\ndatestyle = 'German'\nextra_float_digits = 0\nbytea_output = 'escape'\nintervalstyle = 'sql_standard'\n");
$here->append_conf('postgresql.conf', "timezone = 'UTC'\n");
$_->start for ($there, $here);

my $table = q{CREATE TABLE items (id int PRIMARY KEY, name text, price numeric, weight float8, at timestamptz, span interval, data bytea, tags text[], doc jsonb)};
my $rows = q{INSERT INTO items SELECT i, 'name ' || i, i / 7.0, i / 7.0::float8, '2024-01-01 00:00+00'::timestamptz + i * interval '1 h 7 ms',
	i * interval '1 day 1 s', decode(md5(i::text), 'hex'), ARRAY['a', NULL, i::text], jsonb_build_object('i', i, 't', 'x')
	FROM generate_series(1, 5000) i};
$there->safe_psql('postgres', "CREATE EXTENSION migrate_ext; $table; $rows; ANALYZE items");

# other physical histories of the same rows
$here->safe_psql('postgres', "CREATE EXTENSION migrate_ext; CREATE EXTENSION postgres_fdw; $table");
$here->safe_psql('postgres', 'ALTER TABLE items ADD gone int; ' . $rows . '; UPDATE items SET gone = id; ALTER TABLE items DROP gone; ALTER TABLE items ALTER name SET STORAGE EXTERNAL; VACUUM FULL items');
my $server = sprintf q{CREATE SERVER there FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '%s', port '%s', dbname 'postgres', extensions 'migrate_ext')}, $there->host, $there->port;
$here->safe_psql('postgres', $server);
$here->safe_psql('postgres', q{CREATE USER MAPPING FOR CURRENT_USER SERVER there; CREATE SCHEMA far; IMPORT FOREIGN SCHEMA public LIMIT TO (items) FROM SERVER there INTO far});

# the aggregate is pushed down
my $plan = $here->safe_psql('postgres', q{EXPLAIN (VERBOSE, COSTS OFF) SELECT count(*), migrate_checksum(id, name, price, weight, at, span, data, tags, doc) FROM far.items WHERE id > 10});
like($plan, qr/Remote SQL: SELECT count\(\*\), public\.migrate_checksum\(id, name, price, weight, at, span, data, tags, doc\) FROM public\.items WHERE \(\(id > 10\)\)/, 'the checksum is computed there');
unlike($plan, qr/^\s*(?:->\s*)?(?:\w+ )?Aggregate/m, 'and not here');
like($here->safe_psql('postgres', q{EXPLAIN (VERBOSE, COSTS OFF) SELECT id % 3, migrate_checksum(id, name) FROM far.items GROUP BY 1}), qr/Remote SQL: SELECT \(id % 3\), public\.migrate_checksum\(id, name\) FROM public\.items GROUP BY 1/, 'by group, too');

# two servers with other settings agree
my $sum = q{SELECT rows, checksum FROM migrate_table_checksum('items')};
is($here->safe_psql('postgres', $sum), $there->safe_psql('postgres', $sum), 'the same checksum on both servers');
is($here->safe_psql('postgres', q{SELECT rows, checksum FROM migrate_table_checksum('far.items')}), $there->safe_psql('postgres', $sum), 'and through the foreign table');
is($here->safe_psql('postgres', q{SELECT count(*) FROM migrate_compare('far.items', 'items', key => '{id}')}), '0', 'no difference');
$there->safe_psql('postgres', q{UPDATE items SET weight = weight + 1e-15 WHERE id = 7; UPDATE items SET tags[2] = '' WHERE id = 8; DELETE FROM items WHERE id = 9});
is($here->safe_psql('postgres', q{SELECT string_agg(concat_ws(' ', kind, key ->> 'id', columns), ', ' ORDER BY (key ->> 'id')::int) FROM migrate_compare('far.items', 'items', key => '{id}')}),
	'different 7 {weight}, different 8 {tags}, extra 9', 'exactly the differences');
like($here->safe_psql('postgres', q{SELECT string_agg(column_name || ' ' || measure, ', ') FROM migrate_compare_aggregates('far.items', 'items') WHERE NOT matches AND column_name IN ('id', 'tags')}), qr/id sum/, 'the sum of ids tells of the row that is missing');

# a copy of the foreign table, verified by scan, ranges and sample
$here->safe_psql('postgres', q{
	CREATE TABLE copied (id int PRIMARY KEY, label text, price numeric(12,3), at timestamptz);
	SELECT migrate_create('far');
	SELECT migrate_map('far', 'far.items', 'copied', '{"id": "id", "label": "upper(name)", "price": "price", "at": "at"}', capture => 'none');
	SELECT migrate_start('far')});
$here->safe_psql('postgres', q{CALL migrate_run('far')});
is($here->safe_psql('postgres', q{SELECT source_rows, target_rows, missing + extra + different, checksum_match FROM migrate_verify('far')}), '4999|4999|0|t', 'the copy is equal');
$here->safe_psql('postgres', q{SELECT migrate_verify('far', 'range')});
$here->safe_psql('postgres', q{CALL migrate_wait('far', '1 minute')});
is($here->safe_psql('postgres', q{SELECT finished, clean, source_rows FROM migrate_ext.verifications WHERE method = 'range'}), 't|t|4999', 'by ranges, too');
$there->safe_psql('postgres', q{UPDATE items SET name = 'changed' WHERE id = 100; INSERT INTO items (id) VALUES (-1)});
is($here->safe_psql('postgres', q{SELECT missing, extra, different FROM migrate_verify('far')}), '1|0|1', 'what has changed since is told');
is($here->safe_psql('postgres', q{SELECT missing, extra, different FROM migrate_verify('far', sample_rows => 20000)}), '1|0|1', 'and by a sample of all');

# a table is moved to the other server while it is written; that one is killed in the middle
$there->safe_psql('postgres', q{CREATE TABLE moved (label text, at timestamptz, span interval, weight float8, id int PRIMARY KEY)});
$here->safe_psql('postgres', q{
	IMPORT FOREIGN SCHEMA public LIMIT TO (moved) FROM SERVER there INTO far;
	CREATE TABLE local (id int PRIMARY KEY, label text, at timestamptz, span interval, weight float8);
	INSERT INTO local SELECT id, name, at, span, weight FROM items;
	SELECT migrate_create('away');
	SELECT migrate_map('away', 'local', 'far.moved', key => '{id}', capture => 'queue');
	SELECT migrate_set('away', 'sync_interval', '100ms'), migrate_set('away', 'batch_rows', '500');
	SELECT migrate_start('away')});
$here->safe_psql('postgres', q{UPDATE local SET label = 'early' WHERE id < 100; DELETE FROM local WHERE id BETWEEN 200 AND 220});
$here->safe_psql('postgres', q{SELECT migrate_set('away', 'throttle_query', $$SELECT count(*) > 150 FROM far.moved$$); SELECT migrate_backfill('away')});
ok($here->poll_query_until('postgres', q{SELECT rows_written > 0 FROM migrate_progress('away')}), 'the copy has begun');
$there->stop('immediate');
$here->safe_psql('postgres', q{UPDATE local SET label = 'while it was away', id = id + 100000 WHERE id BETWEEN 300 AND 320});
$here->safe_psql('postgres', q{SELECT migrate_set('away', 'throttle_query', NULL)});
$there->start;
my $finished;
for (1 .. 5)
{
	my ($status) = $here->psql('postgres', q{SET client_min_messages = error; CALL migrate_run('away')});
	last if $finished = $status == 0;
	sleep 1;
}
ok($finished, 'it goes on when the server is back');
$here->safe_psql('postgres', q{UPDATE local SET weight = weight / 3 WHERE id % 5 = 0; DELETE FROM local WHERE id % 11 = 0; INSERT INTO local (id, label, span) VALUES (-1, 'late', '1 mon -3 days 04:05:06.789')});
ok($here->poll_query_until('postgres', q{SELECT count(*) = 0 FROM migrate_ext.dirty_key}), 'the sync worker settles what is written');
is($here->safe_psql('postgres', q{SELECT missing, extra, different, checksum_match FROM migrate_verify('away')}), '0|0|0|t', 'both sides are equal');
$sum = q{SELECT count(*), migrate_checksum(id, label, at, span, weight) FROM };
is($here->safe_psql('postgres', $sum . 'local'), $there->safe_psql('postgres', $sum . 'moved'), 'to the last bit');

$_->stop for ($here, $there);
done_testing();
