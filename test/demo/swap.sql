-- The same table with narrower rows and a column more; it is to take the old one's name.
SELECT migrate_drop('packages_split');
CREATE TABLE wide_package (
	package			text PRIMARY KEY,
	version			text,
	section			text,
	priority		text,
	architecture	text,
	installed_size	bigint CHECK (installed_size >= 0),
	maintainer		text,
	homepage		text,
	depends			text,
	description		text,
	tags			text,
	moved_at		timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON wide_package (section);
CREATE VIEW package_sections AS SELECT section, count(*) AS packages FROM legacy_package GROUP BY section;
COMMENT ON TABLE legacy_package IS 'the packages, under the name that everybody knows';
GRANT SELECT ON legacy_package TO PUBLIC;
SELECT migrate_create('packages_wide', 'the same name, another table');
SELECT migrate_map('packages_wide', 'legacy_package', 'wide_package');
-- a sample a tenth of a second, and small batches: the copy is short, and the report is to show it
SELECT migrate_set('packages_wide', 'sample_interval', '100ms'), migrate_set('packages_wide', 'batch_rows', '200..500');
