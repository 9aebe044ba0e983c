-- The application on the old shape of the split.
\set a random(1, 5200)
\set b random(1, 5200)
BEGIN;
INSERT INTO split_old VALUES ('p' || :a, 'n', 'new note', 1) ON CONFLICT (p) DO UPDATE SET ver = 'u' || :b;
UPDATE split_old SET note = CASE WHEN :b % 2 = 0 THEN NULL ELSE 'x' || :b END WHERE p = 'p' || :b;
COMMIT;
DELETE FROM split_old WHERE p = 'p' || (:a + 1);
