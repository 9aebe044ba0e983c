-- Key changes into a range of the client's own and back; values of the unique column exchanged.
\set a random(1, 21000)
\set c :base + 1000 * (:client_id + 1) + random(1, 300)
UPDATE stress_source SET id = :c WHERE id = :a AND NOT EXISTS (SELECT FROM stress_source WHERE id = :c);
BEGIN;
UPDATE stress_source SET slot = NULL WHERE id IN (:a + 10, :a + 20) AND slot IS NOT NULL;
UPDATE stress_source SET slot = id WHERE id = :a + 10 AND id < 21000
	AND NOT EXISTS (SELECT FROM stress_source o WHERE o.slot = stress_source.id);
COMMIT;
DELETE FROM stress_source WHERE id = :c + 7;
