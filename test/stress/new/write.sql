-- the new side after the cutover; its new rows keep away from the keys and codes that stayed behind
\set a random(1, :rows)
\set b random(1, 100000)
\set g random(4, 9)
BEGIN;
UPDATE stress_new SET label = 'n:new' || :b, grp = :g WHERE key BETWEEN :a AND :a + 3;
SAVEPOINT s;
DELETE FROM stress_new WHERE key BETWEEN :a + 1 AND :a + 2;
ROLLBACK TO s;
DELETE FROM stress_new WHERE key = :a + 4;
COMMIT;
INSERT INTO stress_new (key, ucode, grp, cents, doc) VALUES (1000000000 + :b, 'N' || :b, :g, :b, '{"new": true}'),
	(2000000000 + :b, 'O' || :b, :g, NULL, NULL)
	ON CONFLICT (key) DO UPDATE SET cents = excluded.cents + 1, label = NULL;
UPDATE stress_new SET key = key + 50000, ucode = 'Q' || :b WHERE key = 1000000000 + :b
	AND NOT EXISTS (SELECT FROM stress_new WHERE key = 1000050000 + :b);
DELETE FROM stress_new WHERE key = 2000000000 + :b - 1;
BEGIN;
DELETE FROM stress_new WHERE key > 1000000000 + :b AND key < 1000000000 + :b + 5;
ROLLBACK;
