-- Plain SQL, independent of the extension: rows of either shape that the other does not have.
WITH wide AS (
	SELECT package, version, section, priority, architecture, installed_size * 1024, homepage, depends,
		array_to_string(string_to_array(tags, ', '), ', ')
	FROM legacy_package
), narrow AS (
	SELECT package, version, section, priority, architecture, installed_bytes, homepage, depends,
		array_to_string(tags, ', ')
	FROM package
), wide_maintainer AS (
	SELECT package, regexp_replace(maintainer, ' <[^>]*>$', ''), substring(maintainer from ' <([^>]*)>$')
	FROM legacy_package WHERE maintainer IS NOT NULL
), wide_description AS (
	SELECT package, description FROM legacy_package WHERE description IS NOT NULL
)
SELECT (SELECT count(*) FROM (TABLE wide EXCEPT ALL TABLE narrow) x)
	+ (SELECT count(*) FROM (TABLE narrow EXCEPT ALL TABLE wide) x)
	+ (SELECT count(*) FROM (TABLE wide_maintainer EXCEPT ALL TABLE maintainer) x)
	+ (SELECT count(*) FROM (TABLE maintainer EXCEPT ALL TABLE wide_maintainer) x)
	+ (SELECT count(*) FROM (TABLE wide_description EXCEPT ALL TABLE description) x)
	+ (SELECT count(*) FROM (TABLE description EXCEPT ALL TABLE wide_description) x);
