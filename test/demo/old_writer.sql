-- The application on the old shape.
\set a random(1, :picks)
\set b random(1, :picks)
\set what random(1, 8)
\set is1 :what = 1
\set is2 :what = 2
\set is3 :what = 3
\set is4 :what = 4
\set is5 :what = 5
\set is6 :what = 6
\if :is1
UPDATE legacy_package SET version = version || '+' || :b, maintainer = 'Team ' || :b || ' <t' || :b || '@example.org>'
	WHERE package = (SELECT package FROM pick WHERE n = :a);
\elif :is2
DELETE FROM legacy_package WHERE package = (SELECT package FROM pick WHERE n = :a);
\elif :is3
INSERT INTO legacy_package (package, version, section, installed_size, maintainer, description, tags)
	SELECT package, '1.' || n, 'new', n, 'Nobody', 'summary ' || n, 'a::b, c::d' FROM pick WHERE n BETWEEN :a AND :a + 3
	ON CONFLICT (package) DO UPDATE SET version = EXCLUDED.version, description = NULL;
\elif :is4
BEGIN;
UPDATE legacy_package SET description = 'never ' || :b WHERE package IN (SELECT package FROM pick WHERE n IN (:a, :b));
ROLLBACK;
\elif :is5
BEGIN;
UPDATE legacy_package SET section = 'kept' WHERE package = (SELECT package FROM pick WHERE n = :a);
SAVEPOINT s;
DELETE FROM legacy_package WHERE package = (SELECT package FROM pick WHERE n = :a);
ROLLBACK TO SAVEPOINT s;
COMMIT;
\elif :is6
UPDATE legacy_package SET package = package || '-renamed'
	WHERE package = (SELECT package FROM pick WHERE n = :a)
	AND NOT EXISTS (SELECT FROM legacy_package o WHERE o.package = legacy_package.package || '-renamed');
\else
UPDATE legacy_package SET installed_size = coalesce(installed_size, 0) + 1, description = 'new summary ' || :b
	WHERE package IN (SELECT package FROM pick WHERE n BETWEEN :a AND :a + 5);
\endif
