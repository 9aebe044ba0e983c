-- several rows in one statement, in both orders; the hot rows meet others
\set a random(1, :rows)
\set h random(1, 300)
\set g random(0, 9)
BEGIN;
UPDATE stress_old SET note = note || '+', grp = :g WHERE id BETWEEN :h AND :h + 3;
UPDATE stress_old SET amount = amount + 0.01 WHERE id BETWEEN :a AND :a + 5;
COMMIT;
UPDATE stress_old o SET doc = jsonb_build_object('g', :g), amount = NULL
	FROM (SELECT id FROM stress_old WHERE id BETWEEN :h AND :h + 3 ORDER BY id DESC FOR UPDATE) l WHERE o.id = l.id;
