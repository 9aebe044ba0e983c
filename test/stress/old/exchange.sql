-- values of the second unique column are exchanged in one statement, which one row after the other cannot
\set a random(1, :rows)
\set b random(1, :rows)
UPDATE stress_old o SET code = p.code FROM stress_old p
	WHERE o.id IN (:a, :b) AND p.id IN (:a, :b) AND p.id <> o.id;
