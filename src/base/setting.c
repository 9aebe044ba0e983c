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
	SETTING_BOOL,
	SETTING_RANGE,				/* "low..high" or one number for both */
	SETTING_TIME_ZONE,
	SETTING_STALE_WRITES,		/* reject or forward */
	SETTING_RATE				/* from 0 to 1 */
} SettingKind;

typedef struct SettingDef
{
	const char *name;
	SettingKind kind;
	const char *fallback;
	int			low;
	int			high;
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
	{"max_write_error_rate", SETTING_RATE, "0.001", 0, 1},
	{"min_write_errors", SETTING_INT, "100", 1, INT_MAX},
	{"max_divergences", SETTING_INT, "1000", 0, 10000000},
	{"store_values", SETTING_BOOL, "off", 0, 0},
	{"allow_nonempty_target", SETTING_BOOL, "off", 0, 0},
	{"time_zone", SETTING_TIME_ZONE, "UTC", 0, 0},
	{"stale_writes", SETTING_STALE_WRITES, "reject", 0, 0},
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

/* Parses an integer, with a unit of time where the setting has one. */
static int
parse_number(const SettingDef *def, const char *value)
{
	const char *hint = NULL;
	int			n;

	if (!parse_int(value, &n, def->kind == SETTING_MS ? GUC_UNIT_MS : 0, &hint))
		reject(def, value, hint ? hint : (def->kind == SETTING_MS ?
										  "The value is a time such as \"500ms\" or \"2s\"." :
										  "The value is a whole number."));
	if (n < def->low || n > def->high)
		reject(def, value, psprintf("The value lies between %d and %d%s.", def->low,
									def->high, def->kind == SETTING_MS ? " ms" : ""));
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

/* Checks a value; returns its normal form. */
char *
setting_check(const char *name, const char *value)
{
	const SettingDef *def = find_definition(name);
	bool		flag;
	int			low;
	int			high;
	double		rate;

	switch (def->kind)
	{
		case SETTING_INT:
		case SETTING_MS:
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
		case SETTING_STALE_WRITES:
			if (strcmp(value, "reject") != 0 && strcmp(value, "forward") != 0)
				reject(def, value, "The value is reject or forward.");
			return pstrdup(value);
		case SETTING_RATE:
			if (!parse_real(value, &rate, 0, NULL) || rate < def->low || rate > def->high)
				reject(def, value, "The value is a number between 0 and 1.");
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
setting_rate(Jsonb *settings, const char *name)
{
	double		rate = 0;

	(void) parse_real(setting_text(settings, name), &rate, 0, NULL);
	return rate;
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
