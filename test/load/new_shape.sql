-- The application on the new shape of the split.
\set a random(1, 5200)
\set b random(1, 5200)
BEGIN;
INSERT INTO split_part VALUES ('p' || :a, 'n2', :b) ON CONFLICT (p) DO UPDATE SET ver = 'u2' || :b, n = :b;
INSERT INTO split_note VALUES ('p' || :a, 'nn' || :b) ON CONFLICT (p) DO UPDATE SET note = 'rn' || :b;
COMMIT;
DELETE FROM split_note WHERE p = 'p' || :b;
UPDATE split_part SET n = :a WHERE p = 'p' || (:b + 1);
DELETE FROM split_part WHERE p = 'p' || (:b + 3);
