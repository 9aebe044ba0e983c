-- part of a transaction is undone, by savepoint and by a caught error
\set a random(1, :rows)
\set b random(1, :rows)
\set g random(0, 9)
BEGIN;
UPDATE stress_old SET note = 's' || :b, grp = :g WHERE id = :a;
SAVEPOINT s;
DELETE FROM stress_old WHERE id BETWEEN :b AND :b + 2;
INSERT INTO stress_old (id, code, grp) VALUES (:b, 'sp' || :b, :g) ON CONFLICT (id) DO NOTHING;
ROLLBACK TO s;
DELETE FROM stress_old WHERE id = :b + 3;
SAVEPOINT t;
UPDATE stress_old SET amount = :g WHERE id = :b;
RELEASE t;
COMMIT;
DO $$
BEGIN
	UPDATE stress_old SET note = 'caught' WHERE id IN (:a, :b);
	INSERT INTO stress_old (id, code, grp) SELECT id, 'dup', 1 FROM stress_old WHERE id IN (:a, :b);
EXCEPTION WHEN unique_violation THEN
	UPDATE stress_old SET grp = (grp + 1) % 10 WHERE id = :a;
END $$;
