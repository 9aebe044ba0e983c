-- Rows of group 3 stay behind: rows enter and leave the filter all the time.
SELECT migrate_create('stress');
SELECT migrate_map('stress', 'stress_old', 'stress_new',
	columns => '{"key": "id", "ucode": "upper(code)", "grp": "grp", "cents": "(amount * 100)::bigint",
		"seen": "at AT TIME ZONE ''UTC''", "doc": "doc", "label": "''n:'' || note"}',
	filter => 'grp <> 3',
	reverse => '{"code": "lower(ucode)", "amount": "cents::numeric / 100", "at": "seen AT TIME ZONE ''UTC''",
		"note": "substr(label, 3)"}');
