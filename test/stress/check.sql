-- Plain SQL, nothing of the extension: the keys whose rows differ, or "equal".
WITH projected AS (
	SELECT id AS key, upper(code) AS ucode, grp, (amount * 100)::bigint AS cents, at AT TIME ZONE 'UTC' AS seen,
		doc::text AS doc, 'n:' || note AS label
	FROM stress_old WHERE grp <> 3
), stored AS (
	SELECT key, ucode, grp, cents, seen, doc::text AS doc, label FROM stress_new
), wrong AS (
	(TABLE projected EXCEPT ALL TABLE stored) UNION ALL (TABLE stored EXCEPT ALL TABLE projected)
), keys AS (
	SELECT DISTINCT key FROM wrong ORDER BY key LIMIT 20
)
SELECT coalesce((SELECT string_agg(key::text, ',' ORDER BY key) FROM keys), 'equal');
