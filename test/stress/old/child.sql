-- what foreign keys cascade, and MERGE
\set p random(1, 2000)
\set q random(1, 2000)
INSERT INTO stress_old_parent VALUES (:p, 'p') ON CONFLICT (id) DO UPDATE SET v = 'again';
BEGIN;
INSERT INTO stress_old_child (parent, qty) SELECT id, :q FROM stress_old_parent WHERE id = :p FOR KEY SHARE;
UPDATE stress_old_child SET qty = qty + 1 WHERE parent = :q;
COMMIT;
UPDATE stress_old_parent SET id = :q WHERE id = :p AND NOT EXISTS (SELECT FROM stress_old_parent WHERE id = :q);
DELETE FROM stress_old_parent WHERE id = :q + 1;
MERGE INTO stress_old_child c USING (SELECT i FROM generate_series(:p, :p + 3) i) s ON c.id = s.i
	WHEN MATCHED AND s.i % 3 = 0 THEN DELETE
	WHEN MATCHED THEN UPDATE SET qty = -c.qty, parent = NULL
	WHEN NOT MATCHED THEN INSERT (id, qty) VALUES (s.i, :q);
