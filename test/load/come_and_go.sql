-- Deletes, multi-row inserts, INSERT ON CONFLICT, rollbacks.
\set a random(1, 21000)
\set b random(30000, 40000)
BEGIN;
DELETE FROM stress_source WHERE id BETWEEN :a AND :a + 2;
INSERT INTO stress_source SELECT i, NULL, 'n' || i, i, now(), '{"a": 1}', i % 10 FROM generate_series(:a, :a + 3) i
	ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v;
COMMIT;
BEGIN;
INSERT INTO stress_source VALUES (:b, NULL, 'never', 1, now(), '{"a": 2}', 1) ON CONFLICT DO NOTHING;
UPDATE stress_source SET v = 'never' WHERE id BETWEEN :a - 3 AND :a;
ROLLBACK;
DELETE FROM stress_source WHERE id = :a + 100;
