/*
 * profile_column.c
 *		What a profile knows of one column.
 *
 * The text of a value is made for those only that are shown.  A text that comes again
 * while its value has an entry is not looked at again: its rows are counted with
 * what it was the first time, when the entry goes or in the end.
 */
#include "postgres.h"

#include <math.h>

#include "access/detoast.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "parser/parse_coerce.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/datum.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "verify/profile_column.h"
#include "verify/profile_json.h"

/* A value that comes again is kept as it is up to so many bytes, else as text, cut. */
#define KEPT_BYTES 128

/* How an entry's value is kept. */
#define FORM_NONE 0
#define FORM_VALUE 1
#define FORM_TEXT 2

/* Longer texts and byte strings are cut to so many bytes before they are shown, cut. */
#define SHOWN_BYTES 1024

/* Dates before the first and from the second on are out of range. */
#define FIRST_YEAR 1900
#define END_YEAR 2101

static void forget_value(void *arg, FrequentEntry *e);

static ProfileKind
kind_of(Oid base)
{
	char		category;
	bool		preferred;

	switch (base)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			return PROFILE_NUMBER;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return PROFILE_DATE;
		case BYTEAOID:
			return PROFILE_BYTEA;
		case JSONBOID:
			return PROFILE_JSONB;
		case NAMEOID:
			return PROFILE_NAME;
	}
	if (OidIsValid(get_element_type(base)))
		return PROFILE_ARRAY;
	get_type_category_preferred(base, &category, &preferred);
	if (category != TYPCATEGORY_STRING || get_typlen(base) != -1)
		return PROFILE_PLAIN;
	/* a user's type of this category may store anything */
	return base < FirstNormalObjectId || IsBinaryCoercible(base, TEXTOID) ? PROFILE_TEXT : PROFILE_PLAIN;
}

/*
 * Are values equal, by the type's default order, only if they have the same canonical form?
 * Not 1 month and 30 days, the jsonb numbers 1.0 and 1.00, or what a collation takes for
 * equal; of types of users nobody knows.
 */
static bool
is_equal_by_form(Oid type, Oid collation)
{
	Oid			base = getBaseType(type);
	Oid			element = get_element_type(base);

	if (OidIsValid(element))
		return is_equal_by_form(element, collation);
	if (OidIsValid(collation) && !get_collation_isdeterministic(collation))
		return false;
	return type_is_enum(base) || (base < FirstNormalObjectId && base != INTERVALOID && base != JSONBOID);
}

/* Prepares a column; it knows of no index yet. */
void
profile_column_init(ProfileColumn *c, ProfileShared *shared, Form_pg_attribute att)
{
	MemoryContext context = shared->context;
	Oid			output;
	bool		varlena;

	memset(c, 0, sizeof(ProfileColumn));
	c->shared = shared;
	c->name = att->attname;
	c->attnum = att->attnum;
	c->type = att->atttypid;
	c->base = getBaseType(att->atttypid);
	c->typmod = att->atttypmod;
	c->collation = att->attcollation;
	c->notnull = att->attnotnull;
	c->typlen = att->attlen;
	c->typbyval = att->attbyval;
	c->kind = kind_of(c->base);
	c->equal_by_form = is_equal_by_form(c->base, c->collation);
	getTypeOutputInfo(c->type, &output, &varlena);
	fmgr_info_cxt(output, &c->output, context);
	c->hasher = value_hasher_create(context, c->type);
	c->order = profile_order_create(context, c->base, c->collation);
	if (c->kind == PROFILE_NUMBER)
		c->number = profile_number_create(context);
	if (c->kind == PROFILE_TEXT || c->kind == PROFILE_NAME)
		c->text = profile_text_create(context);
	c->text_by_value = c->text != NULL;
	c->first_date = (date2j(FIRST_YEAR, 1, 1) - POSTGRES_EPOCH_JDATE) * (c->base == DATEOID ? 1 : USECS_PER_DAY);
	c->end_date = (date2j(END_YEAR, 1, 1) - POSTGRES_EPOCH_JDATE) * (c->base == DATEOID ? 1 : USECS_PER_DAY);
	distinct_init(&c->distinct, context, shared->entries, shared->expected, &shared->spools, forget_value, c);
}

/* A value as text, cut.  Of a long one only the beginning is written. */
static char *
value_text(ProfileColumn *c, Datum value)
{
	if ((c->kind == PROFILE_TEXT || c->kind == PROFILE_BYTEA) && VARSIZE_ANY_EXHDR(DatumGetPointer(value)) > SHOWN_BYTES)
	{
		const char *data = VARDATA_ANY(DatumGetPointer(value));

		value = PointerGetDatum(cstring_to_text_with_len(data, c->kind == PROFILE_BYTEA ? SHOWN_BYTES :
														 pg_mbcliplen(data, VARSIZE_ANY_EXHDR(DatumGetPointer(value)), SHOWN_BYTES)));
	}
	return profile_json_cut(OutputFunctionCall(&c->output, value));
}

/* An entry goes: counts the rows of its text, if that has been put off. */
static void
forget_value(void *arg, FrequentEntry *e)
{
	ProfileColumn *c = arg;

	if (c->text_by_value)
		profile_text_count(c->text, e->note, e->rows);
	if (e->form == FORM_TEXT || (e->form == FORM_VALUE && !c->typbyval))
		pfree(DatumGetPointer(e->value));
}

/* A value has come again: it may be one of the most frequent. */
static void
keep_value(ProfileColumn *c, FrequentEntry *e, Datum value)
{
	MemoryContext old = MemoryContextSwitchTo(c->shared->context);

	if (c->typbyval || datumGetSize(value, false, c->typlen) <= KEPT_BYTES)
	{
		e->value = datumCopy(value, c->typbyval, c->typlen);
		e->form = FORM_VALUE;
	}
	else
	{
		MemoryContextSwitchTo(c->shared->row);
		e->value = PointerGetDatum(MemoryContextStrdup(c->shared->context, value_text(c, value)));
		e->form = FORM_TEXT;
	}
	MemoryContextSwitchTo(old);
}

/* Counts a value; false if it has an entry already.  A new one's is in *entry, or NULL. */
static inline bool
count_value(ProfileColumn *c, Datum value, FrequentEntry **entry)
{
	bool		found;

	*entry = distinct_add(&c->distinct, value_hash(c->hasher, value), &found);
	if (found && (*entry)->form == FORM_NONE)
		keep_value(c, *entry, value);
	return !found;
}

/* From here on each text is looked at: there are too many patterns. */
static void
end_text_by_value(ProfileColumn *c, const FrequentEntry *but)
{
	Frequent   *values = &c->distinct.values;

	for (int i = 0; i < values->count; i++)
	{
		if (&values->entries[i] != but)
			profile_text_count(c->text, values->entries[i].note, values->entries[i].rows);
	}
	c->text_by_value = false;
}

/* Returns false if the text has been seen, and is in its place in the order, too. */
static bool
add_text(ProfileColumn *c, Datum value, const char *data, int length)
{
	FrequentEntry *e = NULL;
	bool		is_new = c->unique || count_value(c, value, &e);

	if (length == 0)
		c->empties++;
	if (c->text_by_value && !is_new)
		return false;
	if (c->text_by_value && !profile_text_has_room(c->text))
		end_text_by_value(c, e);
	if (c->text_by_value && e != NULL)
		e->note = profile_text_look(c->text, data, length);
	else
		profile_text_count(c->text, profile_text_look(c->text, data, length), 1);
	return is_new;
}

static bool
add_varlena_text(ProfileColumn *c, Datum value)
{
	const char *data = VARDATA_ANY(DatumGetPointer(value));
	int			length = VARSIZE_ANY_EXHDR(DatumGetPointer(value));

	while (c->base == BPCHAROID && length > 0 && data[length - 1] == ' ')
		length--;
	return add_text(c, value, data, length);
}

static void
look_at_date(ProfileColumn *c, int64 date)
{
	int64		lowest = c->base == DATEOID ? DATEVAL_NOBEGIN : DT_NOBEGIN;
	int64		highest = c->base == DATEOID ? DATEVAL_NOEND : DT_NOEND;

	if (date == lowest || date == highest)
		c->infinities++;
	else if (date < c->first_date || date >= c->end_date)
		c->out_of_range++;
}

static bool
is_empty(const ProfileColumn *c, Datum value)
{
	if (c->kind == PROFILE_BYTEA)
		return VARSIZE_ANY_EXHDR(DatumGetPointer(value)) == 0;
	if (c->kind == PROFILE_ARRAY)
	{
		ArrayType  *array = DatumGetArrayTypeP(value);

		return ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) == 0;
	}
	return JB_ROOT_COUNT(DatumGetJsonbP(value)) == 0;
}

/* Adds the bytes of a value as it is, but not compressed; returns it in its place. */
static inline Datum
measure(ProfileColumn *c, Datum value)
{
	if (c->typlen > 0)
		c->width += c->typlen;
	else if (c->typlen == -2)
		c->width += strlen(DatumGetCString(value)) + 1;
	else if (VARATT_IS_EXTERNAL(DatumGetPointer(value)) || VARATT_IS_COMPRESSED(DatumGetPointer(value)))
	{
		c->width += toast_raw_datum_size(value) - VARHDRSZ;
		return PointerGetDatum(PG_DETOAST_DATUM_PACKED(value));
	}
	else
		c->width += VARSIZE_ANY_EXHDR(DatumGetPointer(value));
	return value;
}

/* Adds a value that is not null, in the row's memory context. */
void
profile_column_add(ProfileColumn *c, Datum value)
{
	FrequentEntry *e;
	double		number = NAN;
	bool		is_new = true;
	int64		integer;

	c->values++;
	value = measure(c, value);
	if (c->kind == PROFILE_TEXT)
		is_new = add_varlena_text(c, value);
	else if (c->kind == PROFILE_NAME)
		is_new = add_text(c, value, NameStr(*DatumGetName(value)), strlen(NameStr(*DatumGetName(value))));
	else if (!c->unique)
		is_new = count_value(c, value, &e);
	if (c->kind == PROFILE_NUMBER)
	{
		number = profile_number_of(c->base, value);
		profile_number_add(c->number, number);
	}
	else if (c->kind >= PROFILE_BYTEA && is_empty(c, value))
		c->empties++;
	if (c->order == NULL)
		return;
	if (!c->order->integral)
	{
		if (is_new)
			profile_order_add(c->order, value, number);
		return;
	}
	integer = profile_order_integer(c->base, value);
	if (c->kind == PROFILE_DATE)
		look_at_date(c, integer);
	profile_order_add_integer(c->order, integer);
}

/* The most frequent values. */
static Datum
top_values(ProfileColumn *c)
{
	StringInfoData list;
	FrequentEntry **top;
	int			n;

	initStringInfo(&list);
	top = frequent_top(&c->distinct.values, 2, PROFILE_LIST, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *text = top[i]->form == FORM_TEXT ? DatumGetCString(top[i]->value) : value_text(c, top[i]->value);

		profile_json_item(&list, "value", text, top[i]->rows, top[i]->missed > 0);
	}
	return profile_json_list(&list);
}

static Datum
top_patterns(ProfileColumn *c)
{
	StringInfoData list;
	FrequentEntry **top;
	int			n;

	initStringInfo(&list);
	top = frequent_top(&c->text->patterns, 1, PROFILE_LIST, &n);
	for (int i = 0; i < n; i++)
		profile_json_item(&list, "pattern", DatumGetCString(top[i]->value), top[i]->rows, top[i]->missed > 0);
	return profile_json_list(&list);
}

/* What stands out. */
static Datum
anomalies(ProfileColumn *c)
{
	StringInfoData object;
	bool		key = c->proven && c->different == c->values && c->values > 0;

	initStringInfo(&object);
	if (!c->exact)
		profile_json_flag(&object, "distinct_estimated");
	if (key && c->order != NULL && c->nulls == 0 && (c->shared->whole || (c->unique && c->notnull)))
		profile_json_flag(&object, "candidate_key");
	if (!key && c->proven && c->shared->whole && c->different >= c->values * 0.99)
		profile_json_count(&object, "duplicates", c->values - c->different);
	if (c->text != NULL)
		profile_text_report(c->text, &object);
	if (c->number != NULL)
		profile_number_report(c->number, &object);
	profile_json_count(&object, "infinity", c->infinities);
	profile_json_count(&object, "dates_out_of_range", c->out_of_range);
	if (c->orphans != NULL)
	{
		profile_json_key(&object, "orphans");
		appendStringInfoString(&object, c->orphans);
	}
	return profile_json_object(&object);
}

/* The text of an extreme; false if there is none. */
static bool
extreme(ProfileColumn *c, bool greatest, Datum *text)
{
	Datum		value;

	if (!profile_order_get(c->order, greatest, &value))
		return false;
	*text = CStringGetTextDatum(value_text(c, value));
	return true;
}

/*
 * Counts the different values, when all rows have been read.  Returns true if the server has to count
 * them: where almost all are different it must not be an estimate, which cannot tell a key, and
 * those that the type takes for equal must be found.
 */
bool
profile_column_count(ProfileColumn *c)
{
	c->exact = true;
	c->forms = c->unique ? c->values : distinct_count(&c->distinct, &c->exact);
	c->different = c->forms;
	c->proven = c->unique || (c->exact && c->equal_by_form);
	return !c->proven && c->shared->whole && c->order != NULL && c->values > 0 && distinct_is_near(c->forms, c->values);
}

/* What the server has counted; without meaning if it has not read the same values. */
void
profile_column_counted(ProfileColumn *c, int64 values, int64 different)
{
	if (values != c->values)
		return;
	c->different = different;
	c->proven = true;
	if (!c->exact)
		c->forms = different;
	c->exact = true;
}

/* The column's row of the result, but for the number of rows. */
void
profile_column_finish(ProfileColumn *c, Datum *values, bool *nulls)
{
	if (c->text_by_value)
		end_text_by_value(c, NULL);
	memset(nulls, 0, PROFILE_FIELDS);
	values[0] = NameGetDatum(&c->name);
	values[1] = CStringGetTextDatum(format_type_with_typemod(c->type, c->typmod));
	values[3] = Int64GetDatum(c->nulls);
	values[4] = Int64GetDatum(c->empties);
	values[5] = Int64GetDatum(c->forms);
	nulls[6] = !extreme(c, false, &values[6]);
	nulls[7] = !extreme(c, true, &values[7]);
	nulls[8] = c->values == 0;
	values[8] = Float8GetDatum(c->values == 0 ? 0 : c->width / c->values);
	values[9] = top_values(c);
	nulls[10] = c->text == NULL;
	values[10] = c->text == NULL ? (Datum) 0 : top_patterns(c);
	values[11] = anomalies(c);
}
