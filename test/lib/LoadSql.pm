# What the loaders in test/data share: values and rows in COPY's text format, the paragraphs of a package index.
package LoadSql;
use strict;
use warnings;
use Exporter qw(import);

our @EXPORT = qw(copy_text copy_rows array_text read_lines paragraph);

# A value as COPY reads it; undef is null.
sub copy_text
{
	my ($value) = @_;

	return '\N' unless defined $value;
	$value =~ s/\\/\\\\/g;
	$value =~ s/\n/\\n/g;
	$value =~ s/\t/\\t/g;
	$value =~ s/\r/\\r/g;
	return $value;
}

# Prints the COPY of a table: its name with the columns, then the rows, each a reference to a list.
sub copy_rows
{
	my ($into, @rows) = @_;

	die "no rows for $into\n" unless @rows;
	print "COPY $into FROM stdin;\n";
	print join("\t", map { copy_text($_) } @$_), "\n" for @rows;
	print "\\.\n";
	return;
}

# An array as its type reads it; undef for an empty one, as the sources do not tell the two apart.
sub array_text
{
	my (@values) = @_;

	return undef unless @values;
	return '{' . join(',', map { '"' . s/(["\\])/\\$1/gr . '"' } @values) . '}';
}

# The lines of a file without comments and empty ones, as they are: bytes of UTF-8.
sub read_lines
{
	my ($file) = @_;
	my @lines;

	open my $in, '<', $file or die "could not open $file: $!\n";
	while (my $line = <$in>)
	{
		chomp $line;
		$line =~ s/\s*(?:#.*)?$//;
		push @lines, $line if $line ne '';
	}
	close $in;
	return @lines;
}

# A paragraph of a package index as a reference to its fields.
sub paragraph
{
	my ($text) = @_;
	my (%field, $name);

	for my $line (split /\n/, $text)
	{
		if ($line =~ /^([A-Za-z0-9-]+):\s*(.*)$/)
		{
			$name = $1;
			$field{$name} = $2;
		}
		elsif (defined $name)
		{
			# a folded line goes on; only the description keeps its lines
			$line =~ s/^ \.?//;
			$field{$name} .= ($name eq 'Description' ? "\n" : ' ') . $line;
		}
	}
	return \%field;
}

1;
