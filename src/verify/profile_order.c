/*
 * profile_order.c
 *		Least and greatest value of a column.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "verify/profile_order.h"

/*
 * The numbers of values are about right, and those of larger values are not smaller but for
 * rounding: so far from the extremes, relatively, they need not be compared.
 */
#define NUMBER_MARGIN 1e-12

static bool
is_integral(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return true;
		default:
			return false;
	}
}

int64
profile_order_integer(Oid type, Datum value)
{
	switch (type)
	{
		case BOOLOID:
			return DatumGetBool(value) ? 1 : 0;
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
		case DATEOID:
			return DatumGetInt32(value);
		default:
			return DatumGetInt64(value);
	}
}

static Datum
integer_datum(Oid type, int64 n)
{
	switch (type)
	{
		case BOOLOID:
			return BoolGetDatum(n != 0);
		case INT2OID:
			return Int16GetDatum((int16) n);
		case INT4OID:
		case DATEOID:
			return Int32GetDatum((int32) n);
		default:
			return Int64GetDatum(n);
	}
}

static void
prepare(ProfileOrder *o, SortSupport ssup, Oid operator, Oid collation)
{
	ssup->ssup_cxt = o->context;
	ssup->ssup_collation = collation;
	ssup->ssup_nulls_first = false;
	ssup->abbreviate = false;
	PrepareSortSupportFromOrderingOp(operator, ssup);
}

/* Makes an order by the type's default one; NULL if it has none. */
ProfileOrder *
profile_order_create(MemoryContext context, Oid type, Oid collation)
{
	Oid			base = getBaseType(type);
	TypeCacheEntry *cache = lookup_type_cache(base, TYPECACHE_LT_OPR);
	ProfileOrder *o;

	if (!OidIsValid(cache->lt_opr))
		return NULL;
	o = MemoryContextAllocZero(context, sizeof(ProfileOrder));
	o->context = context;
	o->type = base;
	o->integral = is_integral(base);
	o->typlen = cache->typlen;
	o->typbyval = cache->typbyval;
	o->above = o->below = o->under = o->over = NAN;
	if (!o->integral)
	{
		prepare(o, &o->of_min, cache->lt_opr, collation);
		prepare(o, &o->of_max, cache->lt_opr, collation);
	}
	return o;
}

/* Copies a value into memory that grows in steps, as in an ordered table each row has a new one. */
static void
keep(ProfileOrder *o, KeptValue *kept, Datum value)
{
	Size		size;

	if (o->typbyval)
	{
		kept->value = value;
		return;
	}
	size = datumGetSize(value, false, o->typlen);
	if (size > kept->room)
	{
		if (kept->room > 0)
			pfree(DatumGetPointer(kept->value));
		kept->room = Max(Min(size + size / 4, MaxAllocSize), 64);
		kept->value = PointerGetDatum(MemoryContextAlloc(o->context, kept->room));
	}
	memcpy(DatumGetPointer(kept->value), DatumGetPointer(value), size);
}

static void
keep_min(ProfileOrder *o, Datum value, double number)
{
	keep(o, &o->min, value);
	o->above = number + fabs(number) * NUMBER_MARGIN;
	o->under = number - fabs(number) * NUMBER_MARGIN;
}

static void
keep_max(ProfileOrder *o, Datum value, double number)
{
	keep(o, &o->max, value);
	o->below = number - fabs(number) * NUMBER_MARGIN;
	o->over = number + fabs(number) * NUMBER_MARGIN;
}

/* Compares a value with both extremes; it is in its place, neither compressed nor toasted. */
void
profile_order_compare(ProfileOrder *o, Datum value, double number)
{
	if (!o->any)
	{
		keep_min(o, value, number);
		keep_max(o, value, number);
		o->any = true;
	}
	else if (number > o->over)
		keep_max(o, value, number);
	else if (number < o->under)
		keep_min(o, value, number);
	else if (o->of_min.comparator(value, o->min.value, &o->of_min) < 0)
		keep_min(o, value, number);
	else if (o->of_max.comparator(value, o->max.value, &o->of_max) > 0)
		keep_max(o, value, number);
}

/* One of the extremes; false if there is none. */
bool
profile_order_get(const ProfileOrder *o, bool greatest, Datum *value)
{
	if (o == NULL || !o->any)
		return false;
	if (o->integral)
		*value = integer_datum(o->type, greatest ? o->high : o->low);
	else
		*value = greatest ? o->max.value : o->min.value;
	return true;
}
