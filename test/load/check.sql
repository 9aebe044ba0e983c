-- Rows that one side has and the other does not, by plain SQL.
WITH want AS (
	SELECT id, slot, upper(v), n::numeric(12,2), (ts AT TIME ZONE 'Europe/Berlin')::date, (j ->> 'a')::int
	FROM stress_source WHERE grp <> 3
), part AS (SELECT p, ver, n FROM split_old), note AS (SELECT p, note FROM split_old WHERE note IS NOT NULL)
SELECT (SELECT count(*) FROM (TABLE want EXCEPT ALL TABLE stress_target) x)
	+ (SELECT count(*) FROM (TABLE stress_target EXCEPT ALL TABLE want) x)
	+ (SELECT count(*) FROM (TABLE part EXCEPT ALL TABLE split_part) x)
	+ (SELECT count(*) FROM (TABLE split_part EXCEPT ALL TABLE part) x)
	+ (SELECT count(*) FROM (TABLE note EXCEPT ALL TABLE split_note) x)
	+ (SELECT count(*) FROM (TABLE split_note EXCEPT ALL TABLE note) x);
