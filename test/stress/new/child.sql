-- a partitioned new side; no foreign key tells its application what belongs together, so parents stay
\set p random(1, 2000)
\set b random(1, 1000000)
UPDATE stress_new_parent SET v = 'new' || :b WHERE id = :p;
BEGIN;
INSERT INTO stress_new_child (id, parent, qty) SELECT 100000000 + :b, id, :b FROM stress_new_parent WHERE id = :p ON CONFLICT DO NOTHING;
UPDATE stress_new_child SET qty = qty + 1 WHERE id BETWEEN :p AND :p + 3;
DELETE FROM stress_new_child WHERE id = :p + 4;
COMMIT;
