# Real input: every table of the sample databases of test/data goes to another shape and back, under load.
#
# The oracle knows nothing of the extension.  Triggers of this test keep a copy of each old table: from the old
# table while the application writes there, and after the cutover from the new ones, by views that undo the
# change of shape.  So the copy is what the application has said, and both sides are compared with it, as text.
#
# REAL_INPUT_DEEDS is how much the load does in each phase (default 300).
use strict;
use warnings;
use FindBin ();
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('real_input');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
max_worker_processes = 16
fsync = off
synchronous_commit = off
shared_buffers = 256MB
timezone = 'UTC'
log_statement = none
log_line_prefix = '%m [%p] db=%d app=%a '
CONF
$node->start;

my $data = "$FindBin::RealBin/../data";
my $deeds = $ENV{REAL_INPUT_DEEDS} || 300;
my $json = JSON::PP->new->canonical;

# A sample database:
#	needs		files that its loader reads
#	tables		for each old table its key; what the load may change there, columns that belong together with a plus
#				between; a column of the key by which the load makes twins of rows, and whether it renames keys
#	targets		the new tables: the same, and their definition
#	maps		old table, new table, expressions, those of the way back, filter, capture
my @databases = (
	{
		name   => 'geography',
		needs  => [ '/usr/share/iso-codes/json/iso_3166-1.json', '/usr/share/zoneinfo/tzdata.zi' ],
		load   => "$data/geography",
		method => 'switch',
		finish => 1,
		tables => {
			country           => { key => ['alpha2'], change => [qw(name official_name common_name flag)] },
			subdivision       => { key => ['code'],   change => [qw(parent kind name)], twin => 'code' },
			language          => { key => ['alpha3'], change => [qw(bibliographic name inverted_name common_name scope type)] },
			currency          => { key => ['code'],   change => [qw(number name)] },
			script            => { key => ['code'],   change => [qw(number name)] },
			time_zone         => { key => ['name'],   change => [qw(latitude+longitude remark)], twin => 'name', rename => 1 },
			time_zone_alias   => { key => ['alias'],  change => ['zone'], twin => 'alias' },
			time_zone_country => { key => [qw(zone country)],  change => ['rank'] },
			time_zone_era     => { key => [qw(zone position)], change => [qw(utc_offset rule format until)], twin => 'position' },
		},
		targets => {
			# split in two, the names apart
			nation => {
				key    => ['code'],
				change => ['title'],
				sql    => 'number smallint NOT NULL UNIQUE, title varchar(100) NOT NULL, code3 text NOT NULL UNIQUE, code varchar(2) PRIMARY KEY',
			},
			nation_name => {
				key    => ['code'],
				change => [qw(formal short flag)],
				sql    => 'code varchar(2) PRIMARY KEY REFERENCES nation ON DELETE CASCADE, formal text, short varchar(80), flag text,
					CHECK (formal IS NOT NULL OR short IS NOT NULL OR flag IS NOT NULL)',
			},
			region => {
				key    => ['id'],
				change => [qw(part_of type label)],
				twin   => 'id',
				sql    => 'label varchar(200) NOT NULL, type varchar(80) NOT NULL, local_code text, nation varchar(2) NOT NULL REFERENCES nation ON DELETE CASCADE,
					part_of text REFERENCES region ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED, id text PRIMARY KEY',
				more => 'CREATE INDEX ON region (nation); CREATE INDEX ON region (part_of)',
			},
			tongue => {
				key    => ['id'],
				change => [qw(scope kind label names)],
				sql    => q{id varchar(3) PRIMARY KEY, scope text NOT NULL CHECK (scope IN ('individual', 'macrolanguage', 'special')), kind text NOT NULL,
					label varchar(200) NOT NULL, names jsonb NOT NULL},
			},
			tongue_code => {
				key    => ['id'],
				change => ['bibliographic'],
				sql    => 'id varchar(3) PRIMARY KEY REFERENCES tongue ON DELETE CASCADE, two varchar(2) UNIQUE, bibliographic varchar(3), CHECK (two IS NOT NULL OR bibliographic IS NOT NULL)',
			},
			money => {
				key    => ['code'],
				change => [qw(number label)],
				sql    => 'number int NOT NULL, code char(3) PRIMARY KEY, label varchar(100) NOT NULL, capitals text',
			},
			writing => { key => ['code'], change => [qw(number label)], sql => 'code text PRIMARY KEY, label text NOT NULL, number numeric NOT NULL' },
			clock   => {
				key    => ['zone'],
				change => [qw(place remark)],
				twin   => 'zone',
				rename => 1,
				sql    => 'zone text PRIMARY KEY, area text, place point, remark varchar(200)',
			},
			clock_alias => {
				key    => ['alias'],
				change => ['zone'],
				twin   => 'alias',
				sql    => 'zone text NOT NULL REFERENCES clock ON DELETE CASCADE ON UPDATE CASCADE, alias text PRIMARY KEY',
				more   => 'CREATE INDEX ON clock_alias (zone)',
			},
			clock_nation => {
				key    => [qw(nation zone)],
				change => ['rank'],
				sql    => 'nation varchar(2) REFERENCES nation ON DELETE CASCADE, rank bigint NOT NULL, zone text REFERENCES clock ON DELETE CASCADE ON UPDATE CASCADE, PRIMARY KEY (nation, zone)',
				more   => 'CREATE INDEX ON clock_nation (zone)',
			},
			clock_era => {
				key    => [qw(zone no)],
				change => [qw(seconds rule format until)],
				twin   => 'no',
				sql    => 'until text, format varchar(40) NOT NULL, rule text, seconds int NOT NULL, no bigint, zone text REFERENCES clock ON DELETE CASCADE ON UPDATE CASCADE, PRIMARY KEY (zone, no)',
			},
		},
		maps => [
			[ 'country', 'nation', { code => 'alpha2', code3 => 'alpha3', number => 'numeric_code::smallint', title => 'name' },
				{ alpha2 => 'code', alpha3 => 'code3', numeric_code => q{lpad(number::text, 3, '0')}, name => 'title' } ],
			[ 'country', 'nation_name', { code => 'alpha2', formal => 'official_name', short => 'common_name', flag => 'flag' },
				{ alpha2 => 'code', official_name => 'formal', common_name => 'short', flag => 'flag' },
				'official_name IS NOT NULL OR common_name IS NOT NULL OR flag IS NOT NULL' ],
			[ 'subdivision', 'region', { id => 'code', nation => 'country', part_of => 'parent', type => 'kind', label => 'name', local_code => q{substr(code, 4)} },
				{ code => 'id', country => 'nation', parent => 'part_of', kind => 'type', name => 'label' } ],
			[ 'language', 'tongue', { id => 'alpha3', scope => q{CASE scope WHEN 'I' THEN 'individual' WHEN 'M' THEN 'macrolanguage' ELSE 'special' END},
					kind => 'type', label => 'name', names => q{jsonb_build_object('inverted', inverted_name, 'common', common_name)} },
				{ alpha3 => 'id', scope => 'upper(left(scope, 1))', type => 'kind', name => 'label', inverted_name => q{names ->> 'inverted'}, common_name => q{names ->> 'common'} } ],
			[ 'language', 'tongue_code', { id => 'alpha3', two => 'alpha2', bibliographic => 'bibliographic' },
				{ alpha3 => 'id', alpha2 => 'two', bibliographic => 'bibliographic' }, 'alpha2 IS NOT NULL OR bibliographic IS NOT NULL' ],
			# what is no country's money stays behind
			[ 'currency', 'money', { code => 'code', number => 'number::int', label => 'name', capitals => 'upper(name)' },
				{ code => 'code', number => q{lpad(number::text, 3, '0')}, name => 'label' }, q{code !~ '^X'} ],
			[ 'script', 'writing', { code => 'code', number => 'number', label => 'name' }, { code => 'code', number => 'number', name => 'label' } ],
			[ 'time_zone', 'clock', { zone => 'name', area => q{split_part(name, '/', 1)}, place => 'point(longitude, latitude)', remark => 'remark' },
				{ name => 'zone', longitude => 'place[0]', latitude => 'place[1]', remark => 'remark' } ],
			[ 'time_zone_alias', 'clock_alias', { alias => 'alias', zone => 'zone' }, { alias => 'alias', zone => 'zone' } ],
			[ 'time_zone_country', 'clock_nation', { zone => 'zone', nation => 'country', rank => 'rank' }, { zone => 'zone', country => 'nation', rank => 'rank' } ],
			[ 'time_zone_era', 'clock_era', { zone => 'zone', no => 'position', seconds => 'extract(epoch FROM utc_offset)::int', rule => 'rule', format => 'format', until => q{array_to_string(until, ' ')} },
				{ zone => 'zone', position => 'no', utc_offset => 'make_interval(secs => seconds)', rule => 'rule', format => 'format', until => q{string_to_array(until, ' ')} } ],
		],
	},
	{
		name   => 'package_index',
		load   => "apt-cache dumpavail | $data/package_index 2500",
		method => 'switch',
		# Under load the queue of a mapping is never empty when the gate looks; the cutover settles it under its locks.
		force  => 'a queue that is never empty',
		tables => {
			section     => { key => ['name'], change => [qw(area title)], twin => 'name', rename => 1 },
			maintainer  => { key => ['id'],   change => [qw(name address)], twin => 'id' },
			package     => { key => ['name'], change => [qw(version+epoch section maintainer priority architecture multi_arch installed_size size sha256 homepage summary tags)], twin => 'name', rename => 1 },
			provided    => { key => [qw(package virtual)],       change => ['version'], twin => 'virtual' },
			dependency  => { key => [qw(package kind position)], change => ['choices'], twin => 'position' },
			alternative => { key => [qw(package kind position choice)], change => [qw(wanted architecture operator+version)], twin => 'choice' },
		},
		targets => {
			category => { key => ['name'], change => [qw(title area)], twin => 'name', rename => 1, sql => 'title varchar(80) NOT NULL, full_title text, area varchar(40) NOT NULL, name text PRIMARY KEY' },
			contact  => { key => ['id'], change => [qw(display mail)], twin => 'id', sql => 'mail varchar(200), domain text, display text NOT NULL, id uuid PRIMARY KEY' },
			software => {
				key    => ['name'],
				change => [qw(version+details category contact bytes download)],
				twin   => 'name',
				rename => 1,
				sql    => 'download numeric(20,0), bytes bigint, contact uuid NOT NULL REFERENCES contact, category text NOT NULL REFERENCES category ON UPDATE CASCADE,
					version varchar(200) NOT NULL, details jsonb NOT NULL, name text PRIMARY KEY',
				more => 'CREATE INDEX ON software (category); CREATE INDEX ON software (contact)',
			},
			origin => {
				key    => ['software'],
				change => [qw(homepage checksum summary)],
				sql    => q{software text PRIMARY KEY REFERENCES software ON DELETE CASCADE ON UPDATE CASCADE, checksum varchar(64) CHECK (checksum ~ '^[0-9a-f]*$'), homepage text, summary text,
					CHECK (homepage IS NOT NULL OR checksum IS NOT NULL OR summary IS NOT NULL)},
			},
			software_tag => {
				key    => [qw(software tag)],
				change => [],
				twin   => 'tag',
				sql    => 'software text REFERENCES software ON DELETE CASCADE ON UPDATE CASCADE, tag varchar(100), PRIMARY KEY (software, tag)',
			},
			capability => {
				key    => [qw(virtual software)],
				change => ['version'],
				twin   => 'virtual',
				sql    => 'version text, software text REFERENCES software ON DELETE CASCADE ON UPDATE CASCADE, virtual text, PRIMARY KEY (virtual, software)',
				more   => 'CREATE INDEX ON capability (software)',
			},
			requirement => {
				key    => [qw(software kind place)],
				change => ['choices'],
				twin   => 'place',
				sql    => 'choices smallint NOT NULL, place bigint, kind varchar(20), software text REFERENCES software ON DELETE CASCADE ON UPDATE CASCADE, PRIMARY KEY (software, kind, place)',
			},
			choice => {
				key    => [qw(software kind place no)],
				change => [qw(wanted architecture bound)],
				twin   => 'no',
				sql    => q{bound text CHECK (bound ~ '^[<=>]+ .'), architecture text, wanted varchar(200) NOT NULL, software text, kind varchar(20), place bigint, no bigint,
					PRIMARY KEY (software, kind, place, no), FOREIGN KEY (software, kind, place) REFERENCES requirement ON DELETE CASCADE ON UPDATE CASCADE},
			},
		},
		maps => [
			[ 'section', 'category', { name => 'name', area => 'area', title => 'title', full_title => q{area || ': ' || title} }, { name => 'name', area => 'area', title => 'title' } ],
			[ 'maintainer', 'contact', { id => 'id', display => 'name', mail => 'address', domain => q{split_part(address, '@', 2)} }, { id => 'id', name => 'display', address => 'mail' } ],
			[ 'package', 'software', { name => 'name', version => 'version', category => 'section', contact => 'maintainer', bytes => 'installed_size::bigint * 1024', download => 'size',
					details => q{jsonb_build_object('epoch', epoch, 'priority', priority, 'architecture', architecture, 'multi_arch', multi_arch)} },
				{ name => 'name', version => 'version', section => 'category', maintainer => 'contact', installed_size => '(bytes / 1024)::int', size => 'download::bigint',
					epoch => q{(details ->> 'epoch')::int}, priority => q{details ->> 'priority'},
					architecture => q{details ->> 'architecture'}, multi_arch => q{details ->> 'multi_arch'} } ],
			[ 'package', 'origin', { software => 'name', homepage => 'homepage', checksum => q{encode(sha256, 'hex')}, summary => 'summary' },
				{ name => 'software', homepage => 'homepage', sha256 => q{decode(checksum, 'hex')}, summary => 'summary' },
				'homepage IS NOT NULL OR sha256 IS NOT NULL OR summary IS NOT NULL' ],
			# a row for each of the tags, which are an array on the old side
			[ 'package', 'software_tag', { software => 'name', tag => 'unnest(tags)' },
				{ name => 'software', tags => 'ARRAY(SELECT t.tag COLLATE "C" FROM next.software_tag t(s, tag) WHERE t.s = software ORDER BY 1)' } ],
			[ 'provided', 'capability', { software => 'package', virtual => 'virtual', version => 'version' }, { package => 'software', virtual => 'virtual', version => 'version' }, undef, 'queue' ],
			[ 'dependency', 'requirement', { software => 'package', kind => 'kind', place => 'position', choices => 'choices' },
				{ package => 'software', kind => 'kind', position => 'place', choices => 'choices' } ],
			[ 'alternative', 'choice', { software => 'package', kind => 'kind', place => 'position', no => 'choice', wanted => 'wanted', architecture => 'architecture', bound => q{operator || ' ' || version} },
				{ package => 'software', kind => 'kind', position => 'place', choice => 'no', wanted => 'wanted', architecture => 'architecture',
					operator => q{split_part(bound, ' ', 1)}, version => q{split_part(bound, ' ', 2)} } ],
		],
	},
	{
		name   => 'characters',
		schema => 'unicode',
		needs  => ['/usr/share/unicode/UnicodeData.txt'],
		load   => "$data/characters",
		method => 'swap',
		tables => {
			block          => { key => ['name'], change => [], sure => 'delete' },
			script         => { key => ['name'], change => ['aliases'], sure => 'update' },
			character      => { key => ['code'], change => [qw(literal name old_name category combining bidi mirrored decomposition compatibility numeric_value upper_code lower_code title_code block script since)], twin => 'code' },
			alias          => { key => [qw(code alias)], change => ['kind'], twin => 'alias' },
			case_folding   => { key => [qw(code status)], change => ['mapping'] },
			named_sequence => { key => ['name'], change => [qw(codes properties)], twin => 'name' },
		},
		targets => {
			new_block => { key => ['name'], change => [], sure => 'delete', sql => 'last_code int NOT NULL, first_code int NOT NULL, name varchar(100) PRIMARY KEY, EXCLUDE USING gist (int4range(first_code, last_code) WITH &&)' },
			new_script => { key => ['name'], change => ['aliases'], sure => 'update', sql => 'code text NOT NULL UNIQUE, aliases text, name varchar(100) PRIMARY KEY' },
			new_character => {
				key    => ['code'],
				change => [qw(since script block upper_code lower_code title_code numeric_value compatibility decomposition mirrored bidi combining class+subclass old_name name literal)],
				twin   => 'code',
				sql    => q{since varchar(6), script varchar(100) REFERENCES new_script ON UPDATE CASCADE, block varchar(100) REFERENCES new_block ON UPDATE CASCADE ON DELETE SET NULL,
					upper_code bigint REFERENCES new_character ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED, lower_code bigint,
					title_code bigint, numeric_value varchar(30), compatibility varchar(20), decomposition text, mirrored char(1) NOT NULL CHECK (mirrored IN ('Y', 'N')),
					bidi varchar(3) NOT NULL, combining int NOT NULL, class char(1) NOT NULL, subclass char(1) NOT NULL, old_name text, name varchar(200) NOT NULL, literal text, words int, code bigint PRIMARY KEY},
				more => 'CREATE INDEX ON new_character (script); CREATE INDEX ON new_character (block); CREATE INDEX ON new_character (upper_code)',
			},
			new_alias => { key => [qw(code alias)], change => ['kind'], twin => 'alias', sql => 'kind varchar(30) NOT NULL, alias text, code bigint REFERENCES new_character ON DELETE CASCADE, PRIMARY KEY (code, alias)' },
			new_case_folding => { key => [qw(code status)], change => ['mapping'], sql => 'mapping bigint[] NOT NULL, status text, code bigint REFERENCES new_character ON DELETE CASCADE, PRIMARY KEY (code, status)' },
			new_named_sequence => { key => ['name'], change => [qw(codes first+length)], twin => 'name', sql => 'first varchar(10) NOT NULL, length smallint NOT NULL, codes text NOT NULL, name varchar(200) PRIMARY KEY' },
		},
		maps => [
			[ 'block', 'new_block', { name => 'name', first_code => 'lower(codes)', last_code => 'upper(codes)' }, { name => 'name', codes => 'int4range(first_code, last_code)' } ],
			[ 'script', 'new_script', { name => 'name', code => 'code', aliases => q{array_to_string(aliases, ' ')} }, { name => 'name', code => 'code', aliases => q{string_to_array(aliases, ' ')} } ],
			[ 'character', 'new_character', { (map { $_ => $_ } qw(code literal name old_name combining bidi compatibility numeric_value upper_code lower_code title_code block script)),
					class => 'left(category, 1)', subclass => 'substr(category, 2, 1)', mirrored => q{CASE WHEN mirrored THEN 'Y' ELSE 'N' END}, since => 'since::text',
					decomposition => q{array_to_string(decomposition, ' ')}, words => q{array_length(string_to_array(name, ' '), 1)} },
				{ (map { $_ => $_ } qw(code literal name old_name combining bidi compatibility numeric_value upper_code lower_code title_code block script)),
					category => 'class || subclass', mirrored => q{mirrored = 'Y'}, since => 'since::numeric(4,1)', decomposition => q{string_to_array(decomposition, ' ')::int[]} } ],
			[ 'alias', 'new_alias', { code => 'code', alias => 'alias', kind => 'kind' }, { code => 'code', alias => 'alias', kind => 'kind' } ],
			[ 'case_folding', 'new_case_folding', { code => 'code', status => 'status', mapping => 'mapping::bigint[]' }, { code => 'code', status => 'status', mapping => 'mapping::int[]' } ],
			[ 'named_sequence', 'new_named_sequence', { name => 'name', codes => q{array_to_string(codes, '-')}, first => q{properties ->> 'first'}, length => q{(properties ->> 'length')::smallint} },
				{ name => 'name', codes => q{string_to_array(codes, '-')::int[]}, properties => q{jsonb_build_object('first', first, 'length', length)} } ],
		],
	});

# What the load does.  One call is one deed on a random row of a random table of the side that is in force.
my $application = <<'SQL';
CREATE SCHEMA app;
CREATE SCHEMA oracle;
-- the tables of both sides, by OID: a swap exchanges their names
CREATE TABLE app.tbl (
	n		int PRIMARY KEY,
	side	text NOT NULL,			-- as migrate_route calls it
	name	text NOT NULL UNIQUE,
	rel		oid NOT NULL,
	key		text[] NOT NULL,
	change	text[] NOT NULL,		-- columns, and columns joined by a plus
	twin	text,
	rename	boolean NOT NULL,
	sure	text,					-- the only kind of deed that is sure to succeed now and then
	images	int NOT NULL DEFAULT 0
);
-- rows as they were in the beginning
CREATE TABLE app.image (n int, i int, image jsonb NOT NULL, PRIMARY KEY (n, i));
-- what was done, with success
CREATE TABLE app.journal (n int NOT NULL, deed text NOT NULL);
CREATE INDEX ON app.journal (n, deed);

CREATE FUNCTION app.first_table() RETURNS regclass LANGUAGE sql AS $$ SELECT min(rel)::regclass FROM app.tbl WHERE side = 'target' $$;

CREATE FUNCTION app.act(dice int, pick int, other int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	rel		text;
	here	text;
	t		app.tbl;
	img		jsonb;
	img2	jsonb;
	twin	jsonb;
	found	boolean;
	there	boolean;
	cols	text;
	keys	text;
	deed	text;
BEGIN
	-- A cutover or rollback locks all tables: while a new one is locked here, the side in force remains it.
	EXECUTE format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', app.first_table());
	here := public.migrate_route(current_database(), 0);
	SELECT * INTO t FROM app.tbl WHERE side = here ORDER BY n OFFSET pick % (SELECT count(*) FROM app.tbl WHERE side = here) LIMIT 1;
	rel := t.rel::regclass::text;
	SELECT image INTO img FROM app.image WHERE n = t.n AND i = pick / 100 % t.images;
	SELECT image INTO img2 FROM app.image WHERE n = t.n AND i = other % t.images;
	SELECT string_agg(format('t.%1$I = (SELECT r.%1$I FROM jsonb_populate_record(NULL::%2$s, $1) r)', k, rel), ' AND ') INTO keys FROM unnest(t.key) k;
	EXECUTE format('SELECT EXISTS (SELECT FROM %s t WHERE %s)', rel, keys) INTO found USING img;
	IF t.twin IS NOT NULL THEN
		twin := img || jsonb_build_object(t.twin, CASE WHEN jsonb_typeof(img -> t.twin) = 'number' THEN to_jsonb((img ->> t.twin)::bigint + 10000000)
			WHEN img ->> t.twin ~ '^[0-9a-f]{8}-[0-9a-f-]{27}$' THEN to_jsonb(md5(img ->> t.twin)::uuid) ELSE to_jsonb(img ->> t.twin || '~') END);
		EXECUTE format('SELECT EXISTS (SELECT FROM %s t WHERE %s)', rel, keys) INTO there USING twin;
	END IF;
	-- one column or more, which get the values of another row
	SELECT string_agg(quote_ident(trim(c)), ', ') INTO cols FROM unnest(string_to_array(t.change[1 + other % greatest(cardinality(t.change), 1)], '+')) c;
	BEGIN
		SET CONSTRAINTS ALL IMMEDIATE;
		IF dice < 25 AND twin IS NOT NULL THEN
			IF there THEN
				EXECUTE format('DELETE FROM %s t WHERE %s', rel, keys) USING twin;
			ELSE
				EXECUTE format('INSERT INTO %s SELECT * FROM jsonb_populate_record(NULL::%1$s, $1)', rel) USING twin;
			END IF;
			deed := CASE WHEN there THEN 'delete' ELSE 'insert' END;
		ELSIF dice < 30 AND t.rename AND found <> there THEN
			EXECUTE format('UPDATE %s t SET %I = $2 WHERE %s', rel, t.twin, keys) USING CASE WHEN found THEN img ELSE twin END, CASE WHEN found THEN twin ELSE img END ->> t.twin;
			deed := 'rename';
		ELSIF NOT found THEN
			EXECUTE format('INSERT INTO %s SELECT * FROM jsonb_populate_record(NULL::%1$s, $1)', rel) USING img;
			deed := 'insert';
		ELSIF dice < 45 THEN
			EXECUTE format('DELETE FROM %s t WHERE %s', rel, keys) USING img;
			deed := 'delete';
		ELSIF cols IS NULL THEN
			RETURN 'nothing to change';
		ELSE
			EXECUTE format('UPDATE %1$s t SET (%2$s) = ROW(%3$s) FROM jsonb_populate_record(NULL::%1$s, $2) o WHERE %4$s', rel, cols,
				(SELECT string_agg('o.' || c, ', ') FROM unnest(string_to_array(cols, ', ')) c), keys) USING img, img2;
			deed := 'update';
		END IF;
		IF dice >= 90 THEN
			RAISE 'changed its mind' USING ERRCODE = 'AP001';
		END IF;
	EXCEPTION
		WHEN integrity_constraint_violation THEN
			RETURN 'refused';
		WHEN SQLSTATE 'AP001' THEN
			deed := 'roll back';
	END;
	INSERT INTO app.journal VALUES (t.n, deed);
	RETURN deed;
END $$;
SQL

sub literal { return defined $_[0] ? "'" . $_[0] =~ s/'/''/gr . "'" : 'NULL'; }
sub array   { return 'ARRAY[' . join(', ', map { literal($_) } @_) . ']::text[]'; }
sub list    { return map { "\"$_\"" } @_; }

# The definition of everything in one database: new tables, migration, oracle, load.
sub definition
{
	my ($db) = @_;
	my ($name, $schema) = ($db->{name}, $db->{schema});
	my $sql = "CREATE EXTENSION migrate_ext; CREATE SCHEMA next; SET search_path = next, public;\n";
	my (%made, @order, %of_source, $n);

	for my $map (@{ $db->{maps} })
	{
		my $target = $db->{targets}{ $map->[1] };
		push @{ $of_source{ $map->[0] } }, $map;
		push @order, $map->[1];
		$sql .= "CREATE TABLE $map->[1] ($target->{sql});\n" . ($target->{more} // '') . ";\n";
	}
	$sql .= "SELECT migrate_create('$name');\n";
	for my $map (@{ $db->{maps} })
	{
		my ($source, $target, $columns, $reverse, $filter, $capture) = @$map;
		$sql .= sprintf "SELECT migrate_map('%s', '%s.%s', 'next.%s', columns => %s, reverse => %s, filter => %s, capture => %s);\n",
		  $name, $schema, $source, $target, literal($json->encode($columns)),
		  literal($json->encode($reverse)), literal($filter), literal($capture // 'trigger');
	}
	$sql .= $application;

	for my $side ([ 'source', $schema, $db->{tables}, sort keys %{ $db->{tables} } ], [ 'target', 'next', $db->{targets}, @order ])
	{
		my ($route, $place, $of, @tables) = @$side;
		for my $table (@tables)
		{
			my $t = $of->{$table};
			$sql .= sprintf "INSERT INTO app.tbl VALUES (%d, '%s', '%s', '%s.%s'::regclass, %s, %s, %s, %s, %s);\n", ++$n, $route, $table, $place, $table,
			  array(@{ $t->{key} }), array(@{ $t->{change} }), literal($t->{twin}), $t->{rename} ? 'true' : 'false', literal($t->{sure});
		}
	}

	for my $source (sort keys %of_source)
	{
		my @maps = @{ $of_source{$source} };
		my @key  = @{ $db->{tables}{$source}{key} };
		my $same = sub { my ($row) = @_; return join ' AND ', map { "o.\"$_\" = $row.\"$_\"" } @key; };
		my ($from, %column, $i) = ('');

		# the copy, without constraints: it has what the application has said
		$sql .= "CREATE TABLE oracle.$source (LIKE $schema.$source); INSERT INTO oracle.$source TABLE $schema.$source; CREATE INDEX ON oracle.$source (" . join(', ', list(@key)) . ");\n";

		# old rows from new tables: the first has the row, the others some columns of it
		for my $map (@maps)
		{
			my $alias   = 'm' . ++$i;
			my $reverse = $map->[3];
			# a set has several rows for one, and gives the same for each of them
			my $side    = '(SELECT DISTINCT ' . join(', ', map { "$reverse->{$_} AS \"$_\"" } sort keys %$reverse) . " FROM next.$map->[1])";
			$from .= $from eq '' ? "$side $alias" : " LEFT JOIN $side $alias ON " . join(' AND ', map { "$alias.\"$_\" = m1.\"$_\"" } @key);
			$column{$_} //= "$alias.\"$_\"" for keys %$reverse;
		}
		my @types = map { [ split /\|/ ] } split /\n/,
		  $node->safe_psql($name, "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '$schema.$source'::regclass AND attnum > 0 ORDER BY attnum");
		$sql .= "CREATE VIEW oracle.undo_$source AS SELECT " . join(', ', map { "$column{$_->[0]}::$_->[1] AS \"$_->[0]\"" } @types) . " FROM $from;\n";

		$sql .= <<"SQL";
CREATE FUNCTION app.write_$source() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	IF public.migrate_route('$name', 0) = 'source' THEN
		IF TG_OP <> 'INSERT' THEN DELETE FROM oracle.$source o WHERE @{[$same->('OLD')]}; END IF;
		IF TG_OP <> 'DELETE' THEN INSERT INTO oracle.$source SELECT NEW.*; END IF;
	END IF;
	RETURN NULL;
END \$\$;
CREATE TRIGGER write_oracle AFTER INSERT OR UPDATE OR DELETE ON $schema.$source FOR EACH ROW EXECUTE FUNCTION app.write_$source();
SQL
		for my $map (@maps)
		{
			my $key_of = sub { my ($row) = @_; return join ', ', map { "$map->[3]{$_} AS \"$_\"" } @key; };
			# what the new table is to hold, as long as the application writes the old one
			my @columns = sort keys %{ $map->[2] };
			$sql .= "CREATE VIEW oracle.want_$map->[1] AS SELECT " . join(', ', map { "$map->[2]{$_} AS \"$_\"" } @columns) . " FROM oracle.$source" . (defined $map->[4] ? " WHERE $map->[4]" : '') . ";\n";
			# Rows of several new tables are one old row: whoever writes one of them waits for whoever has written another.
			$sql .= <<"SQL";
CREATE FUNCTION app.write_$map->[1]() RETURNS trigger LANGUAGE plpgsql AS \$\$
DECLARE
	k record;
BEGIN
	IF public.migrate_route('$name', 0) = 'target' THEN
		FOR k IN SELECT @{[$key_of->()]} FROM (SELECT OLD.*) r WHERE TG_OP <> 'INSERT' UNION SELECT @{[$key_of->()]} FROM (SELECT NEW.*) r WHERE TG_OP <> 'DELETE' LOOP
			PERFORM pg_advisory_xact_lock(hashtextextended('$source' || k::text, 0));
			DELETE FROM oracle.$source o WHERE @{[$same->('k')]};
			INSERT INTO oracle.$source SELECT * FROM oracle.undo_$source o WHERE @{[$same->('k')]};
		END LOOP;
	END IF;
	RETURN NULL;
END \$\$;
CREATE TRIGGER write_oracle AFTER INSERT OR UPDATE OR DELETE ON next.$map->[1] FOR EACH ROW EXECUTE FUNCTION app.write_$map->[1]();
SQL
		}
	}

	# images: of old rows, and of what the new tables are to hold
	for my $table (sort keys %{ $db->{tables} })
	{
		$sql .= "INSERT INTO app.image SELECT tbl.n, row_number() OVER (ORDER BY md5(r::text)) - 1, to_jsonb(r) FROM app.tbl, $schema.$table r WHERE tbl.name = '$table';\n";
	}
	for my $map (@{ $db->{maps} })
	{
		$sql .= "INSERT INTO app.image SELECT tbl.n, row_number() OVER (ORDER BY md5(r::text)) - 1, to_jsonb(r) FROM app.tbl, oracle.want_$map->[1] r WHERE tbl.name = '$map->[1]';\n";
	}
	$sql .= "DELETE FROM app.image WHERE i >= 1000; UPDATE app.tbl t SET images = (SELECT count(*) FROM app.image i WHERE i.n = t.n); ANALYZE;\n";
	return $sql;
}

sub sql { my ($db, $statements) = @_; return $node->safe_psql($db->{name}, $statements); }

# The name that a table of either side has now.
sub names
{
	my ($db) = @_;
	return map { split /\|/ } split /\n/, sql($db, 'SELECT name, rel::regclass FROM app.tbl');
}

# Rows of which two relations disagree, as text: equal is what shows the same.
sub differing
{
	my ($left, $right) = @_;
	return "(SELECT count(*) FROM ((SELECT a::text FROM $left a EXCEPT ALL SELECT b::text FROM $right b) UNION ALL (SELECT b::text FROM $right b EXCEPT ALL SELECT a::text FROM $left a)) d)";
}

# How many rows are not what the application has said, per table; in one statement, so in one snapshot.
sub wrong_query
{
	my ($db, $side, $new_only) = @_;
	my %now = names($db);
	my (@parts, %done);

	for my $map (@{ $db->{maps} })
	{
		my ($source, $target, $columns, undef, $filter) = @$map;
		my $list = join ', ', list(sort keys %$columns);
		if (!$done{$source}++)
		{
			# rows that are filtered out stay on the old side, and are no part of the new one
			my $said = "(SELECT * FROM oracle.$source" . (defined $filter ? " WHERE $filter" : '') . ')';
			push @parts, "'$source' || ' ' || " . differing($now{$source}, "oracle.$source") unless $new_only;
			push @parts, "'undo of $target' || ' ' || " . differing("oracle.undo_$source", $said);
		}
		push @parts, "'$target' || ' ' || " . differing("(SELECT $list FROM $now{$target})", "oracle.want_$target") if $side eq 'source';
	}
	return 'SELECT ' . join(" || ', ' || ", @parts);
}

# Only what is wrong of the answer.
sub wrong { return join ', ', grep { !/ 0$/ } split /, /, $_[0]; }

# Between two deeds of the load, with nothing pending: what the block returns to be asked then, line by line.
sub at_rest
{
	my ($db, @queries) = @_;
	my $rel = sql($db, 'SELECT app.first_table()');

	for (1 .. 100)
	{
		my @lines = split /\n/, sql($db, join '; ', "BEGIN; LOCK TABLE $rel IN SHARE ROW EXCLUSIVE MODE", "SELECT migrate_sync('$db->{name}')",
			"SELECT pending_keys FROM migrate_status('$db->{name}')", @queries, 'COMMIT');
		shift @lines;
		return @lines if shift(@lines) eq '0';
	}
	die "keys of $db->{name} stay pending: " . sql($db, 'SELECT mapping_id, reason, message, count(*), min(key::text) FROM migrate_ext.dirty_key GROUP BY 1, 2, 3') . "\n";
}

# Waits until each kind of deed was done, since this call, to each table of the side in force, and so many in all.
sub wait_for_deeds
{
	my ($db, $side) = @_;
	sql($db, 'TRUNCATE app.journal');
	return $node->poll_query_until($db->{name}, <<"SQL");
SELECT NOT EXISTS (SELECT FROM app.tbl t, (VALUES ('insert'), ('update'), ('delete')) d(deed)
	WHERE side = '$side' AND deed = coalesce(sure, deed) AND (deed <> 'update' OR cardinality(change) > 0)
	AND NOT EXISTS (SELECT FROM app.journal j WHERE j.n = t.n AND j.deed = d.deed))
	AND (SELECT count(*) >= $deeds FROM app.journal)
SQL
}

# Tries what gives way to clients, as a DBA would.
sub insist
{
	my ($db, $name, $want, $statements) = @_;
	my ($rc, $out, $err);
	my $until = time + $PostgreSQL::Test::Utils::timeout_default;

	do
	{
		($rc, $out, $err) = $node->psql($db->{name}, $statements);
	} while ($rc != 0 && time < $until);
	is(join("\n", (split /\n/, $out)[-1] // ''), $want, "$db->{name}: $name") or diag($err);
	return;
}

sub verification { return "SELECT 'verified ' || coalesce(sum(missing), 0) || ' ' || coalesce(sum(extra), 0) || ' ' || coalesce(sum(different), 0) || ' ' || coalesce(sum(pending), 0) FROM migrate_verify('$_[0]{name}')"; }

# Under load keys may be pending, but nothing is wrong beside them.
sub verified
{
	my ($db, $what) = @_;
	is(sql($db, verification($db)) =~ s/ \d+$//r, 'verified 0 0 0', $what) or diag(sql($db, "SELECT * FROM migrate_divergence('$db->{name}')"));
	return;
}

my @loads;
sub start_load
{
	my ($db, $clients, $isolation, $protocol) = @_;
	my $file = $node->basedir . '/load.sql';
	my %load = (name => "$db->{name}, $isolation, $protocol", err => '', out => '');

	open my $f, '>', $file or die "could not write: $!";
	print $f map { "\\set $_ random(0, 99)\n" } qw(d1 d2);
	print $f map { "\\set $_ random(0, 1000000000)\n" } qw(a1 a2 b1 b2);
	# a client thinks now and then: where every table is in use all the time, no lock on all of them is to be had
	print $f "\\sleep 10 ms\nBEGIN;\nSELECT app.act(:d1, :a1, :b1);\nSELECT app.act(:d2, :a2, :b2);\nCOMMIT;\n";
	close $f;
	local $ENV{PGOPTIONS} = '-c default_transaction_isolation=' . ($isolation =~ s/ /\\ /gr);
	local $ENV{PGAPPNAME} = 'load';
	$load{run} = IPC::Run::start([ 'pgbench', '-n', '-c', $clients, '-T', '600', '--max-tries=1000', '-M', $protocol, '-f', $file, '-h', $node->host, '-p', $node->port, $db->{name} ],
		'>', \$load{out}, '2>', \$load{err});
	push @loads, \%load;
	return;
}

sub stop_loads
{
	for my $load (@loads)
	{
		$load->{run}->pump_nb;
		is(join("\n", grep { /ERROR|aborted/ } split /\n/, $load->{err}), '', "no error for clients: $load->{name}");
		$load->{run}->kill_kill;
	}
	@loads = ();
	return $node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'load'});
}

# From the start to the cutover.
sub forward
{
	my ($db) = @_;
	my $name = $db->{name};

	is(sql($db, "SELECT migrate_start('$name')"), 'dual_write', "$name: started");
	sql($db, "SELECT migrate_backfill('$name', workers => 2)");
	sql($db, "CALL migrate_wait('$name', timeout => '2 min')");
	ok(wait_for_deeds($db, 'source'), "$name: the application does everything to every old table");
	verified($db, "$name: verified under load");
	my ($wrong, $verified) = at_rest($db, wrong_query($db, 'source'), verification($db));
	is(wrong($wrong), '', "$name: the new tables hold what the application has said");
	is($verified, 'verified 0 0 0 0', "$name: and the verification says so");
	return;
}

sub cutover
{
	my ($db) = @_;
	insist($db, "cut over by $db->{method}", 'soak', "SELECT migrate_sync('$db->{name}'); SELECT count(*) FROM migrate_verify('$db->{name}'); SELECT migrate_cutover('$db->{name}', method => '$db->{method}'" . (defined $db->{force} ? ", force => true, reason => '$db->{force}'" : '') . ')');
	ok(wait_for_deeds($db, 'target'), "$db->{name}: the application does everything to every new table");
	verified($db, "$db->{name}: verified under load after the cutover");
	return;
}

# A row is lost without any trigger: the oracle and the verification both see just that, and a repair brings it back.
sub lose_a_row
{
	my ($db, $side, $table) = @_;
	my $rel = { names($db) }->{$table};
	my @found = at_rest($db, "UPDATE pg_class SET relhastriggers = false WHERE oid = '$rel'::regclass", "DELETE FROM $rel WHERE ctid = (SELECT min(ctid) FROM $rel)",
		"UPDATE pg_class SET relhastriggers = true WHERE oid = '$rel'::regclass",
		wrong_query($db, $side), verification($db), "SELECT 'repaired ' || (migrate_repair('$db->{name}') > 0)", wrong_query($db, $side), verification($db));
	like(wrong($found[0]), qr/\b$table 1\b/, "$db->{name}: the oracle misses a row that was lost from $table");
	is_deeply([ @found[ 1 .. 2 ] ], [ 'verified 1 0 0 0', 'repaired true' ], "$db->{name}: so does the verification");
	is_deeply([ wrong($found[3]), $found[4] ], [ '', 'verified 0 0 0 0' ], "$db->{name}: it is repaired");
	return;
}

sub round_trip
{
	my ($db) = @_;
	my $name = $db->{name};
	my $started = time;
	my $dump = $node->basedir . "/$name.sql";

	$db->{schema} //= $name;
	system("$db->{load} >'$dump'") == 0 or die "could not load $name\n";
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr($name) ], "$name: loaded");
	sql($db, definition($db));
	note("$name: " . sql($db, q{SELECT string_agg(format('%s %s', relname, n_live_tup), ', ' ORDER BY relname) FROM pg_stat_user_tables WHERE schemaname = '} . $db->{schema} . q{'}));
	is(sql($db, "SELECT severity, subject, finding FROM migrate_assess('$name') WHERE severity = 'blocker'"), '', "$name: nothing blocks the start");
	note(sql($db, "SELECT severity, subject, finding FROM migrate_assess('$name') WHERE severity <> 'info'"));
	sql($db, "SELECT migrate_set('$name', 'cutover_attempts', '100'), migrate_set('$name', 'batch_rows', '100..500'), migrate_set('$name', 'sync_interval', '200ms'), migrate_set('$name', 'max_pending_keys', '100')");

	start_load($db, 2, 'read committed', 'prepared');
	start_load($db, 1, 'repeatable read', 'simple');
	forward($db);
	lose_a_row($db, 'source', $db->{maps}[-1][1]);
	cutover($db);
	my ($wrong, $verified) = at_rest($db, wrong_query($db, 'target'), verification($db));
	is(wrong($wrong), '', "$name: the old tables hold what the application has said to the new ones");
	is($verified, 'verified 0 0 0 0', "$name: and the verification says so");
	lose_a_row($db, 'target', $db->{maps}[-1][0]);
	insist($db, 'rolled back', 'rolled_back', "SELECT migrate_sync('$name'); SELECT migrate_rollback('$name')");
	ok(wait_for_deeds($db, 'source'), "$name: the application does everything to every old table again");
	stop_loads();
	is(sql($db, join ' UNION ALL ', map { "SELECT '$_' FROM migrate_table_checksum('$db->{schema}.$_') o, migrate_table_checksum('oracle.$_') c WHERE (o.rows, o.checksum) IS DISTINCT FROM (c.rows, c.checksum)" } sort keys %{ $db->{tables} }),
		'', "$name: back, and nothing lost");
	diag(sprintf '%s: %d s, %s deeds', $name, time - $started, sql($db, 'SELECT count(*) FROM app.journal'));
	return;
}

# Once more, to the end: the old tables go.
sub to_the_end
{
	my ($db) = @_;
	my $name = $db->{name};

	start_load($db, 2, 'read committed', 'prepared');
	forward($db);
	cutover($db);
	sql($db, "SELECT migrate_set('$name', 'soak_time', '0'), migrate_set('$name', 'retention', '0'); SELECT migrate_sign_off('$name')");
	insist($db, 'cleaned up', 'done', "SELECT migrate_sync('$name'); SELECT count(*) FROM migrate_verify('$name'); SELECT migrate_cleanup('$name')");
	ok(wait_for_deeds($db, 'target'), "$name: the application goes on");
	stop_loads();
	is(sql($db, "SELECT count(*) FROM pg_class WHERE relnamespace = '$db->{schema}'::regnamespace AND relkind = 'r'"), '0', "$name: the old tables are gone");
	is(wrong(sql($db, wrong_query($db, 'target', 1))), '', "$name: the new ones hold what the application has said");
	return;
}

for my $db (@databases)
{
	SKIP:
	{
		my @missing = grep { !-e } @{ $db->{needs} };
		skip "no $missing[0]", 1 if @missing;
		round_trip($db);
		to_the_end($db) if $db->{finish};
	}
}
unlike(slurp_file($node->logfile), qr/app=load ERROR:(?!  (?:could not serialize|deadlock detected))/, 'no client saw another error than those that are tried again');
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal/, 'nothing crashed');
$node->stop;
done_testing();
