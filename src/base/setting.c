/*
 * setting.c
 *		The settings of a migration: names, units, limits, defaults.
 *
 * They are kept as text in migration.settings; only what differs from the
 * default is stored.  migrate_set changes them live: workers read them again
 * before each batch.
 */
#include "postgres.h"

#include <limits.h>

#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "base/compat.h"
#include "base/setting.h"

typedef enum SettingKind
{
	SETTING_INT,
	SETTING_MS,
	SETTING_SECONDS,
	SETTING_KB,
	SETTING_BOOL,
	SETTING_RANGE,				/* "low..high" or one number for both */
	SETTING_TIME_ZONE,
	SETTING_CHOICE,				/* one of some words */
	SETTING_REAL,
	SETTING_TEXT,
	SETTING_WINDOW				/* "22:00-06:00", or nothing */
} SettingKind;

typedef struct SettingDef
{
	const char *name;
	SettingKind kind;
	const char *fallback;
	int			low;
	int			high;
	const char *choices;		/* "a|b" */
} SettingDef;

static const SettingDef definitions[] =
{
	{"workers", SETTING_INT, "2", 1, 64},
	{"batch_rows", SETTING_RANGE, "1000..10000", 1, 1000000},
	{"batch_target_time", SETTING_MS, "500", 1, 60000},
	{"lock_timeout", SETTING_MS, "100", 1, 60000},
	{"sync_interval", SETTING_MS, "0", 0, 86400000},
	{"cutover_lock_timeout", SETTING_MS, "2000", 1, 60000},
	{"cutover_attempts", SETTING_INT, "10", 1, 1000},
	{"max_write_error_rate", SETTING_REAL, "0.001", 0, 1},
	{"min_write_errors", SETTING_INT, "100", 1, INT_MAX},
	{"max_rejects", SETTING_INT, "1000", 0, INT_MAX},
	{"max_rejected_rate", SETTING_REAL, "0.001", 0, 1},
	{"max_pending_keys", SETTING_INT, "0", 0, 1000000},
	{"max_replica_lag", SETTING_MS, "5000", 0, 86400000},
	{"pause_replica_lag", SETTING_MS, "30000", 0, 86400000},
	{"max_replica_lag_bytes", SETTING_KB, "0", 0, INT_MAX},
	{"replicas", SETTING_TEXT, "", 0, 0},
	{"max_wal_rate", SETTING_KB, "0", 0, INT_MAX},
	{"max_lock_waiters", SETTING_INT, "5", 0, INT_MAX},
	{"max_xmin_age", SETTING_INT, "10000000", 0, 2000000000},
	{"yield_to_wraparound_vacuum", SETTING_BOOL, "on", 0, 0},
	{"max_sessions_per_core", SETTING_REAL, "0", 0, 10000},
	{"throttle_query", SETTING_TEXT, "", 0, 0},
	{"run_window", SETTING_WINDOW, "", 0, 0},
	{"sample_interval", SETTING_MS, "5000", 100, 3600000},
	{"defer_indexes", SETTING_BOOL, "off", 0, 0},
	{"defer_foreign_keys", SETTING_BOOL, "off", 0, 0},
	{"sketch_cells", SETTING_INT, "4608", 30, 2000000},
	{"sample_rows", SETTING_INT, "1000", 1, 10000000},
	{"verify_interval", SETTING_MS, "0", 0, INT_MAX},
	{"max_divergences", SETTING_INT, "1000", 0, 10000000},
	{"store_values", SETTING_BOOL, "off", 0, 0},
	{"allow_nonempty_target", SETTING_BOOL, "off", 0, 0},
	{"time_zone", SETTING_TIME_ZONE, "UTC", 0, 0},
	{"stale_writes", SETTING_CHOICE, "reject", 0, 0, "reject|forward"},
	{"max_shadow_mismatch_rate", SETTING_REAL, "0.001", 0, 1},
	{"max_p99_ratio", SETTING_REAL, "1.10", 0, 1000},
	{"require_rehearsal", SETTING_BOOL, "off", 0, 0},
	{"soak_time", SETTING_SECONDS, "86400", 0, INT_MAX},
	{"retention", SETTING_SECONDS, "2592000", 0, INT_MAX},
	{"old_side", SETTING_CHOICE, "drop", 0, 0, "drop|archive|keep"},
	{"rename_columns", SETTING_BOOL, "off", 0, 0},
	{"carry_not_null", SETTING_BOOL, "on", 0, 0},
};

/* Finds a definition; an unknown name is an error that lists the known ones. */
static const SettingDef *
find_definition(const char *name)
{
	StringInfoData known;

	for (int i = 0; i < lengthof(definitions); i++)
	{
		if (strcmp(definitions[i].name, name) == 0)
			return &definitions[i];
	}
	initStringInfo(&known);
	for (int i = 0; i < lengthof(definitions); i++)
		appendStringInfo(&known, "%s%s", i ? ", " : "", definitions[i].name);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("unrecognized setting \"%s\"", name),
			 errhint("Settings are: %s.", known.data)));
}

/* Raises for a value that a setting cannot take. */
static MIGRATE_NORETURN void
reject(const SettingDef *def, const char *value, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for setting \"%s\": \"%s\"", def->name, value),
			 hint ? errhint("%s", hint) : 0));
}

/* Parses an integer, with a unit of time or memory where the setting has one. */
static int
parse_number(const SettingDef *def, const char *value)
{
	const char *hint = NULL;
	int			flags = def->kind == SETTING_MS ? GUC_UNIT_MS : def->kind == SETTING_SECONDS ? GUC_UNIT_S :
		def->kind == SETTING_KB ? GUC_UNIT_KB : 0;
	int			n;

	if (!parse_int(value, &n, flags, &hint))
		reject(def, value, hint ? hint :
			   def->kind == SETTING_MS ? "The value is a time such as \"500ms\" or \"2s\"." :
			   def->kind == SETTING_SECONDS ? "The value is a time such as \"24h\" or \"30d\"." :
			   def->kind == SETTING_KB ? "The value is a size such as \"512kB\" or \"20MB\"." :
			   "The value is a whole number.");
	if (n < def->low || n > def->high)
		reject(def, value, psprintf("The value lies between %d and %d%s.", def->low, def->high,
									def->kind == SETTING_MS ? " ms" : def->kind == SETTING_SECONDS ? " s" : def->kind == SETTING_KB ? " kB" : ""));
	return n;
}

/* Parses "low..high". */
static void
parse_range(const SettingDef *def, const char *value, int *low, int *high)
{
	char	   *copy = pstrdup(value);
	char	   *dots = strstr(copy, "..");

	if (dots != NULL)
		*dots = '\0';
	*low = parse_number(def, copy);
	*high = dots ? parse_number(def, dots + 2) : *low;
	if (*low > *high)
		reject(def, value, "The value is a range such as \"1000..10000\", or one number.");
}

/* Parses "hh:mm-hh:mm" into minutes of the day; false for nothing. */
static bool
parse_window(const SettingDef *def, const char *value, int *from, int *until)
{
	int			from_hour;
	int			until_hour;
	char		rest;

	if (value[strspn(value, " ")] == '\0')
		return false;
	if (sscanf(value, " %2d:%2d - %2d:%2d %c", &from_hour, from, &until_hour, until, &rest) != 4 ||
		from_hour < 0 || from_hour > 23 || until_hour < 0 || until_hour > 24 || *from < 0 || *from > 59 ||
		*until < 0 || *until > 59 || until_hour * 60 + *until > 24 * 60)
		reject(def, value, "The value is a time of day such as \"22:00-06:00\", or empty.");
	*from += from_hour * 60;
	*until += until_hour * 60;
	if (*from == *until)
		reject(def, value, "The window is empty.");
	return true;
}

/* Is the value one of a setting's words? */
static bool
is_choice(const SettingDef *def, const char *value)
{
	Size		length = strlen(value);
	const char *word = def->choices;

	while (word != NULL)
	{
		const char *end = strchrnul(word, '|');

		if (end - word == length && strncmp(word, value, length) == 0)
			return true;
		word = *end ? end + 1 : NULL;
	}
	return false;
}

/* "a, b" */
static char *
list_choices(const SettingDef *def)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (const char *p = def->choices; *p; p++)
	{
		if (*p == '|')
			appendStringInfoString(&buf, ", ");
		else
			appendStringInfoChar(&buf, *p);
	}
	return buf.data;
}

/* Checks a value; returns its normal form. */
char *
setting_check(const char *name, const char *value)
{
	const SettingDef *def = find_definition(name);
	bool		flag;
	int			low;
	int			high;
	double		number;

	switch (def->kind)
	{
		case SETTING_INT:
		case SETTING_MS:
		case SETTING_SECONDS:
		case SETTING_KB:
			return psprintf("%d", parse_number(def, value));
		case SETTING_RANGE:
			parse_range(def, value, &low, &high);
			return psprintf("%d..%d", low, high);
		case SETTING_BOOL:
			if (!parse_bool(value, &flag))
				reject(def, value, "The value is on or off.");
			return pstrdup(flag ? "on" : "off");
		case SETTING_TIME_ZONE:
			if (pg_tzset(value) == NULL)
				reject(def, value, "The value is the name of a time zone.");
			return pstrdup(value);
		case SETTING_CHOICE:
			if (!is_choice(def, value))
				reject(def, value, psprintf("The value is one of %s.", list_choices(def)));
			return pstrdup(value);
		case SETTING_REAL:
			if (!parse_real(value, &number, 0, NULL) || !(number >= def->low && number <= def->high))
				reject(def, value, psprintf("The value is a number between %d and %d.", def->low, def->high));
			return pstrdup(value);
		case SETTING_TEXT:
			return pstrdup(value);
		case SETTING_WINDOW:
			(void) parse_window(def, value, &low, &high);
			return pstrdup(value);
	}
	return NULL;
}

/* Was the setting given a value, be it the default? */
bool
setting_is_set(Jsonb *settings, const char *name)
{
	JsonbValue	buffer;

	return getKeyJsonValueFromContainer(&settings->root, name, strlen(name), &buffer) != NULL;
}

/* A setting's value in force. */
char *
setting_text(Jsonb *settings, const char *name)
{
	const SettingDef *def = find_definition(name);
	JsonbValue	buffer;
	JsonbValue *v = getKeyJsonValueFromContainer(&settings->root, name, strlen(name), &buffer);

	if (v != NULL && v->type == jbvString)
		return pnstrdup(v->val.string.val, v->val.string.len);
	return pstrdup(def->fallback);
}

int
setting_int(Jsonb *settings, const char *name)
{
	return parse_number(find_definition(name), setting_text(settings, name));
}

double
setting_real(Jsonb *settings, const char *name)
{
	double		number = 0;

	(void) parse_real(setting_text(settings, name), &number, 0, NULL);
	return number;
}

/* A time of day's window, in minutes; false where there is none.  It may end on the next day. */
bool
setting_window(Jsonb *settings, const char *name, int *from, int *until)
{
	return parse_window(find_definition(name), setting_text(settings, name), from, until);
}

bool
setting_bool(Jsonb *settings, const char *name)
{
	return strcmp(setting_text(settings, name), "on") == 0;
}

void
setting_range(Jsonb *settings, const char *name, int *low, int *high)
{
	parse_range(find_definition(name), setting_text(settings, name), low, high);
}
