-- keys change, are taken over by other rows and exchanged
\set a random(1, :rows)
\set b random(1, :rows)
UPDATE stress_old SET id = :b WHERE id = :a AND NOT EXISTS (SELECT FROM stress_old WHERE id = :b);
BEGIN;
DELETE FROM stress_old WHERE id = :a + 1;
UPDATE stress_old SET id = :a + 1 WHERE id = :b + 1;
COMMIT;
BEGIN;
UPDATE stress_old SET id = -2000000000 - :a WHERE id = :a + 2;
UPDATE stress_old SET id = :a + 2 WHERE id = :b + 2;
UPDATE stress_old SET id = :b + 2 WHERE id = -2000000000 - :a;
COMMIT;
