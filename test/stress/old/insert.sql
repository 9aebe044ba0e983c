-- deletes and inserts of the same keys, ON CONFLICT, rows that are rolled back
\set a random(1, :rows)
\set b random(1, 1000000)
\set g random(0, 9)
BEGIN;
DELETE FROM stress_old WHERE id BETWEEN :a AND :a + 2;
INSERT INTO stress_old (id, code, grp, amount, note)
	SELECT i, 'i' || i || '-' || :b, (i + :g) % 10, i / 4.0, NULL FROM generate_series(:a, :a + 3) i
	ON CONFLICT (id) DO UPDATE SET note = 'conflict', grp = excluded.grp;
COMMIT;
BEGIN;
INSERT INTO stress_old (id, code, grp) VALUES (:rows + :b, 'r' || :b, :g) ON CONFLICT (id) DO NOTHING;
DELETE FROM stress_old WHERE id = :a + 7;
UPDATE stress_old SET grp = 1 WHERE id BETWEEN :a AND :a + 9;
ROLLBACK;
INSERT INTO stress_old (id, code, grp, doc) VALUES (:rows + :b, 'm' || :b, :g, '[]'), (-:b, 'm-' || :b, 3 - :g, NULL)
	ON CONFLICT (id) DO NOTHING;
DELETE FROM stress_old WHERE id IN (:rows + :b - 1, -:b - 1);
