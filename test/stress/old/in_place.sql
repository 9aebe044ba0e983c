-- rows in two shapes: an application of the old one
\set a random(1, :rows / 4)
\set b random(1, 1000000)
UPDATE stress_ip SET qty = :b WHERE id = :a;
BEGIN;
UPDATE stress_ip SET qty = qty + 1, note = 'several' WHERE id BETWEEN :a AND :a + 4;
SAVEPOINT s;
UPDATE stress_ip SET qty = 0 WHERE id = :a;
ROLLBACK TO s;
DELETE FROM stress_ip WHERE id = :a + 5;
COMMIT;
INSERT INTO stress_ip (id, qty) VALUES (:a + 5, :b), (:a, :b) ON CONFLICT (id) DO UPDATE SET qty = stress_ip.qty - 1;
UPDATE stress_ip SET note = 'other' WHERE id = :a + 1;
