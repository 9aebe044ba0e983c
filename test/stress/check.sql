-- Plain SQL, nothing of the extension: the keys whose rows differ, or "equal".
WITH projected AS (
	SELECT id AS key, upper(code) AS ucode, grp, (amount * 100)::bigint AS cents, at AT TIME ZONE 'UTC' AS seen,
		doc::text AS doc, 'n:' || note AS label
	FROM stress_old WHERE grp <> 3
), stored AS (
	SELECT key, ucode, grp, cents, seen, doc::text AS doc, label FROM stress_new
), wrong AS (
	(TABLE projected EXCEPT ALL TABLE stored) UNION ALL (TABLE stored EXCEPT ALL TABLE projected)
), wrong_parents AS (
	(TABLE stress_old_parent EXCEPT ALL TABLE stress_new_parent) UNION ALL (TABLE stress_new_parent EXCEPT ALL TABLE stress_old_parent)
), wrong_children AS (
	(TABLE stress_old_child EXCEPT ALL TABLE stress_new_child) UNION ALL (TABLE stress_new_child EXCEPT ALL TABLE stress_old_child)
), all_wrong AS (
	SELECT key::text FROM wrong
	UNION SELECT 'parent ' || id FROM wrong_parents UNION SELECT 'child ' || id FROM wrong_children
	UNION SELECT 'in place ' || id FROM stress_ip WHERE qty_text IS DISTINCT FROM qty::text
), keys AS (
	SELECT key FROM all_wrong ORDER BY key LIMIT 20
)
SELECT coalesce((SELECT string_agg(key, ',' ORDER BY key) FROM keys), 'equal');
