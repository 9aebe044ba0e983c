/*
 * profile_number.c
 *		Numbers of a column: what lies far outside, and what is none.
 *
 * Outliers are what is more than three times the distance of the quartiles away from
 * them (Tukey's outer fences).  The quartiles are those of a random sample, which has
 * all values of a small table.  As the fences are known only in the end, the largest
 * and smallest numbers are kept: they hold all outliers, or the sample tells how many
 * there are, about.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/float.h"

#include "hash/encode_simple.h"
#include "verify/profile_json.h"
#include "verify/profile_number.h"

#define SAMPLE_VALUES 4096
#define EXTREME_VALUES 1024
#define FIRST_ROOM 64

/* Fewer values have no outliers. */
#define MIN_VALUES 8

/* Quartile distances from the quartiles to the fences. */
#define FENCE_DISTANCE 3.0

/* Digits of a numeric that are looked at. */
#define NUMERIC_DIGITS 4

ProfileNumber *
profile_number_create(MemoryContext context)
{
	ProfileNumber *n = MemoryContextAllocZero(context, sizeof(ProfileNumber));

	n->context = context;
	n->weight = 1;
	n->next = SAMPLE_VALUES;
	n->high.bound = n->low.bound = -DBL_MAX;
	/* always the same one, so that the same table has the same outliers */
	pg_prng_seed(&n->random, 20260101);
	return n;
}

/* About what a numeric is: its first digits.  A larger one never gives less. */
static double
number_of_numeric(const char *data, uint32 size)
{
	StoredNumeric s = read_numeric(data, size);
	int			ndigits = Min(s.size / sizeof(int16), NUMERIC_DIGITS);
	int			exponent = s.weight - ndigits + 1;
	double		value = 0;

	if ((s.sign & 0xC000) == 0xC000)
		return s.sign == 0xC000 ? get_float8_nan() : s.sign == 0xD000 ? get_float8_infinity() : -get_float8_infinity();
	for (int i = 0; i < ndigits; i++)
	{
		int16		digit;

		memcpy(&digit, s.digits + i * sizeof(digit), sizeof(digit));
		value = value * 10000 + digit;
	}
	if (exponent > 0)
		value = exponent == 1 ? value * 10000 : value * pow(10000, exponent);
	else if (exponent < 0)
		value = exponent == -1 ? value / 10000 : value / pow(10000, -exponent);
	return s.sign == 0x4000 ? -value : value;
}

/* A number as a double; a varlena is in its place. */
double
profile_number_of(Oid type, Datum value)
{
	switch (type)
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return (double) DatumGetInt64(value);
		case FLOAT4OID:
			return DatumGetFloat4(value);
		case FLOAT8OID:
			return DatumGetFloat8(value);
		default:
			return number_of_numeric(VARDATA_ANY(DatumGetPointer(value)), VARSIZE_ANY_EXHDR(DatumGetPointer(value)));
	}
}

static int
compare_numbers(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* More room, in steps: most columns of most tables do not need all of it. */
static double *
grow(ProfileNumber *n, double *values, int *room, int most)
{
	*room = values == NULL ? FIRST_ROOM : Min(*room * 2, most);
	return values == NULL ? MemoryContextAlloc(n->context, sizeof(double) * *room) : repalloc(values, sizeof(double) * *room);
}

/* Adds a number that is not below the bound. */
static void
add_extreme(ProfileNumber *n, Extremes *e, double value)
{
	if (e->count == 2 * EXTREME_VALUES)
	{
		qsort(e->values, e->count, sizeof(double), compare_numbers);
		memcpy(e->values, e->values + EXTREME_VALUES, sizeof(double) * EXTREME_VALUES);
		e->count = EXTREME_VALUES;
		e->bound = e->values[0];
		e->bounded = true;
		if (value < e->bound)
			return;
	}
	if (e->count == e->room)
		e->values = grow(n, e->values, &e->room, 2 * EXTREME_VALUES);
	e->values[e->count++] = value;
}

/* Which value is the next to replace one of the sample (Li's algorithm L). */
static void
skip(ProfileNumber *n)
{
	double		u = pg_prng_double(&n->random);
	double		v = pg_prng_double(&n->random);

	n->weight *= exp(log(Max(u, DBL_MIN)) / SAMPLE_VALUES);
	n->next += (int64) Min(floor(log(Max(v, DBL_MIN)) / log1p(-n->weight)), 1e15) + 1;
}

static void
add_to_sample(ProfileNumber *n, double value)
{
	if (n->count < SAMPLE_VALUES)
	{
		if (n->count == n->sample_room)
			n->sample = grow(n, n->sample, &n->sample_room, SAMPLE_VALUES);
		n->sample[n->count] = value;
		if (n->count == SAMPLE_VALUES - 1)
		{
			n->next--;
			skip(n);
		}
	}
	else if (n->count == n->next)
	{
		n->sample[pg_prng_uint64_range(&n->random, 0, SAMPLE_VALUES - 1)] = value;
		skip(n);
	}
}

void
profile_number_add(ProfileNumber *n, double value)
{
	if (isnan(value))
		n->nans++;
	else if (isinf(value))
		n->infinities++;
	else
	{
		if (n->count < SAMPLE_VALUES || n->count == n->next)
			add_to_sample(n, value);
		n->count++;
		if (value >= n->high.bound)
			add_extreme(n, &n->high, value);
		if (-value >= n->low.bound)
			add_extreme(n, &n->low, -value);
	}
}

/* How many numbers lie beyond a fence; sign: -1 for the lower one, where all have their sign reversed. */
static int64
count_beyond(const ProfileNumber *n, const Extremes *e, double fence, int sign, bool *about)
{
	int64		beyond = 0;
	int64		in_sample = 0;
	int			sampled = Min(n->count, SAMPLE_VALUES);

	for (int i = 0; i < e->count; i++)
		beyond += e->values[i] > fence ? 1 : 0;
	if (!e->bounded || e->bound <= fence)
		return beyond;
	*about = true;
	for (int i = 0; i < sampled; i++)
		in_sample += sign * n->sample[i] > fence ? 1 : 0;
	return Max(beyond, (int64) rint((double) in_sample / sampled * n->count));
}

/* A quartile of sorted values, between two of them where it falls there. */
static double
quartile(const double *values, int n, double share)
{
	double		at = (n - 1) * share;
	int			i = (int) at;

	return i + 1 < n ? values[i] + (values[i + 1] - values[i]) * (at - i) : values[i];
}

static void
report_outliers(ProfileNumber *n, StringInfo anomalies)
{
	int			sampled = Min(n->count, SAMPLE_VALUES);
	double		first;
	double		third;
	double		distance;
	bool		about = false;
	int64		rows;

	if (sampled < MIN_VALUES)
		return;
	qsort(n->sample, sampled, sizeof(double), compare_numbers);
	first = quartile(n->sample, sampled, 0.25);
	third = quartile(n->sample, sampled, 0.75);
	distance = (third - first) * FENCE_DISTANCE;
	if (distance <= 0 || isinf(distance))
		return;					/* half of the values are the same: nothing tells how far is far */
	rows = count_beyond(n, &n->high, third + distance, 1, &about) +
		count_beyond(n, &n->low, -(first - distance), -1, &about);
	if (rows == 0)
		return;
	profile_json_key(anomalies, "outliers");
	appendStringInfo(anomalies, "{\"rows\": " INT64_FORMAT ", \"below\": \"%s\", \"above\": \"%s\"%s}", rows,
					 float8out_internal(first - distance), float8out_internal(third + distance),
					 about ? ", \"about\": true" : "");
}

void
profile_number_report(ProfileNumber *n, StringInfo anomalies)
{
	profile_json_count(anomalies, "nan", n->nans);
	profile_json_count(anomalies, "infinity", n->infinities);
	report_outliers(n, anomalies);
}
