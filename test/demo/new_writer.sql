-- The application on the new shape; each transaction leaves a witness in the journal.
\set a random(1, :picks)
\set b random(1, 1000000)
\set what random(1, 4)
\set is1 :what = 1
\set is2 :what = 2
\if :is1
BEGIN;
INSERT INTO package (package, version, installed_bytes, tags) SELECT package, '2.' || :b, 1024 * :b, '{x::y,z}' FROM pick WHERE n = :a
	ON CONFLICT (package) DO UPDATE SET version = EXCLUDED.version;
INSERT INTO maintainer SELECT package, 'New Team', 'n' || :b || '@example.org' FROM pick WHERE n = :a
	ON CONFLICT (package) DO UPDATE SET address = EXCLUDED.address;
INSERT INTO description SELECT package, 'written after the cutover ' || :b FROM pick WHERE n = :a
	ON CONFLICT (package) DO UPDATE SET summary = EXCLUDED.summary;
INSERT INTO journal (package, summary) SELECT package, 'written after the cutover ' || :b FROM pick WHERE n = :a;
COMMIT;
\elif :is2
BEGIN;
DELETE FROM package WHERE package = (SELECT package FROM pick WHERE n = :a);
INSERT INTO journal (package) SELECT package FROM pick WHERE n = :a;
COMMIT;
\else
BEGIN;
UPDATE package SET section = 'moved' WHERE package = (SELECT package FROM pick WHERE n = :a);
UPDATE maintainer SET name = 'Person ' || :b WHERE package = (SELECT package FROM pick WHERE n = :a);
COMMIT;
\endif
