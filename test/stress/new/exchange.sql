-- values of the second unique column are exchanged by way of a third one
\set a random(1, :rows)
\set b random(1, :rows)
DO $$
DECLARE
	code_a text;
	code_b text;
BEGIN
	SELECT ucode INTO code_a FROM stress_new WHERE key = :a FOR UPDATE;
	SELECT ucode INTO code_b FROM stress_new WHERE key = :b FOR UPDATE;
	IF :a <> :b AND code_a IS NOT NULL AND code_b IS NOT NULL THEN
		UPDATE stress_new SET ucode = 'T' || key WHERE key = :a;
		UPDATE stress_new SET ucode = code_a WHERE key = :b;
		UPDATE stress_new SET ucode = code_b WHERE key = :a;
	END IF;
END $$;
