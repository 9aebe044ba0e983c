-- rows enter and leave the filter
\set a random(1, :rows)
\set g random(2, 4)
UPDATE stress_old SET grp = :g WHERE id = :a;
BEGIN;
UPDATE stress_old SET grp = 3, note = 'left' WHERE id BETWEEN :a + 1 AND :a + 3;
UPDATE stress_old SET grp = 4, note = 'back' WHERE id BETWEEN :a + 2 AND :a + 4;
COMMIT;
