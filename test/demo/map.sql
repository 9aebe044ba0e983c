-- The short path, up to the start.  Each expression has an exact inverse: after the cutover the old
-- table is compared with the inverse of the new ones.
SELECT migrate_create('packages_split', 'one wide table into three');
SELECT migrate_map('packages_split', 'legacy_package', 'package',
	columns => '{"package": "package", "version": "version", "section": "section", "priority": "priority",
		"architecture": "architecture", "installed_bytes": "installed_size * 1024", "homepage": "homepage",
		"depends": "depends", "tags": "string_to_array(tags, '', '')"}',
	reverse => '{"installed_size": "installed_bytes / 1024", "tags": "array_to_string(tags, '', '')"}');
SELECT migrate_map('packages_split', 'legacy_package', 'maintainer',
	columns => '{"package": "package", "name": "regexp_replace(maintainer, '' <[^>]*>$'', '''')",
		"address": "substring(maintainer from '' <([^>]*)>$'')"}',
	filter => 'maintainer IS NOT NULL',
	reverse => '{"maintainer": "name || coalesce('' <'' || address || ''>'', '''')"}');
SELECT migrate_map('packages_split', 'legacy_package', 'description',
	columns => '{"package": "package", "summary": "description"}',
	filter => 'description IS NOT NULL');
