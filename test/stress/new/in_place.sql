-- rows in two shapes: an application of the new one
\set a random(1, :rows / 4)
\set b random(1, 1000000)
UPDATE stress_ip SET qty_text = :b WHERE id = :a;
BEGIN;
UPDATE stress_ip SET qty_text = qty_text || '0', note = 'several' WHERE id BETWEEN :a AND :a + 4 AND length(qty_text) < 8;
DELETE FROM stress_ip WHERE id = :a + 5;
COMMIT;
INSERT INTO stress_ip (id, qty_text) VALUES (:a + 5, :b), (:a, :b) ON CONFLICT (id) DO UPDATE SET qty_text = excluded.qty_text, note = NULL;
