-- Rows of group 3 stay behind: rows enter and leave the filter all the time.
SELECT migrate_create('stress');
SELECT migrate_map('stress', 'stress_old', 'stress_new',
	columns => '{"key": "id", "ucode": "upper(code)", "grp": "grp", "cents": "(amount * 100)::bigint",
		"seen": "at AT TIME ZONE ''UTC''", "doc": "doc", "label": "''n:'' || note"}',
	filter => 'grp <> 3',
	reverse => '{"code": "lower(ucode)", "amount": "cents::numeric / 100", "at": "seen AT TIME ZONE ''UTC''",
		"note": "substr(label, 3)"}');
SELECT migrate_map('stress', 'stress_old_parent', 'stress_new_parent');
SELECT migrate_map('stress', 'stress_old_child', 'stress_new_child', capture => :'capture');
SELECT migrate_map('stress', 'stress_ip', 'stress_ip', '{"qty_text": "qty::text"}', reverse => '{"qty": "qty_text::int"}');
-- many fail that exchange unique values between transactions: in some rounds they are switched off
SELECT migrate_set('stress', 'max_write_error_rate', :'max_rate');
