/*
 * profile_json.c
 *		Objects of findings and lists of values, as jsonb.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"

#include "verify/profile_json.h"

/* Longer values are cut to so many characters. */
#define SHOWN_CHARACTERS 100

/* A text, or its beginning and an ellipsis. */
char *
profile_json_cut(char *text)
{
	int			length = strlen(text);
	int			kept = pg_mbcharcliplen(text, length, SHOWN_CHARACTERS);

	return kept == length ? text : psprintf("%.*s...", kept, text);
}

/* Begins the next member of an object; the first is that of an empty string. */
void
profile_json_key(StringInfo object, const char *key)
{
	appendStringInfo(object, "%s\"%s\": ", object->len > 0 ? ", " : "", key);
}

/* Adds a number of rows, if there are any. */
void
profile_json_count(StringInfo object, const char *key, int64 rows)
{
	if (rows == 0)
		return;
	profile_json_key(object, key);
	appendStringInfo(object, INT64_FORMAT, rows);
}

/* Adds a fact. */
void
profile_json_flag(StringInfo object, const char *key)
{
	profile_json_key(object, key);
	appendStringInfoString(object, "true");
}

/* Adds a text and its number of rows to a list; about: there may be more rows. */
void
profile_json_item(StringInfo list, const char *key, const char *text, int64 rows, bool about)
{
	appendStringInfo(list, "%s{\"%s\": ", list->len > 0 ? ", " : "", key);
	escape_json(list, text);
	appendStringInfo(list, ", \"rows\": " INT64_FORMAT "%s}", rows, about ? ", \"about\": true" : "");
}

static Datum
enclose(char open, StringInfo content, char close)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(psprintf("%c%s%c", open, content->data, close)));
}

/* The members of an object. */
Datum
profile_json_object(StringInfo object)
{
	return enclose('{', object, '}');
}

/* The items of a list. */
Datum
profile_json_list(StringInfo list)
{
	return enclose('[', list, ']');
}
