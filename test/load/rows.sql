-- Multi-row updates, savepoints with partial rollback, rows entering and leaving the filter.
\set a random(1, 21000)
\set b random(1, 21000)
\set g random(0, 9)
BEGIN;
UPDATE stress_source SET v = left(v || 'x', 60), grp = :g, n = n + 1.005 WHERE id = :a;
SAVEPOINT s;
DELETE FROM stress_source WHERE id = :b;
ROLLBACK TO SAVEPOINT s;
UPDATE stress_source SET v = 'w' || :b, j = jsonb_build_object('a', :g) WHERE id BETWEEN :b AND :b + 5;
COMMIT;
UPDATE stress_source SET grp = (grp + 1) % 10 WHERE id IN (:b + 3, :a + 1);
