/*
 * distinct.c
 *		How many different values a column has, and which are the most frequent.
 *
 * Exact as long as each has an entry of its own.  After that the server's HyperLogLog
 * estimates it; and while almost all values are different their hashes are kept, too,
 * as an estimate cannot tell a key from what is almost one.
 */
#include "postgres.h"

#include <math.h>

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "verify/distinct.h"

/* 2^14 registers: the standard error is 0.8 %. */
#define SKETCH_BITS 14

/* Hashes are kept where at least this share of the values is different, as far as the sketch can tell. */
#define NEAR_SHARE 0.95

/*
 * When there are too many values one of so many without entry gets one: what is frequent
 * soon comes to its turn, and what comes once does not push it out.  Which one is not
 * regular, as rows may be.
 */
#define ENTRY_STRIDE 8

/* After so many rows the sketch is asked for the first time. */
#define FIRST_CHECK 65536

/* Makes a counter with so many entries. */
void
distinct_init(Distinct *d, MemoryContext context, int entries, double expected, SpoolBudget *budget,
			  FrequentForget forget, void *arg)
{
	memset(d, 0, sizeof(Distinct));
	d->context = context;
	d->expected = expected;
	d->budget = budget;
	frequent_init(&d->values, context, entries, forget, arg);
}

/* Is a number of different values, exact or not, about that of all rows? */
bool
distinct_is_near(int64 distinct, int64 rows)
{
	return distinct >= rows * NEAR_SHARE;
}

/* Entries do not suffice: from here on the hashes go into the sketch, and into a spool where it may be a key. */
static void
begin_sketch(Distinct *d)
{
	MemoryContext old = MemoryContextSwitchTo(d->context);

	initHyperLogLog(&d->sketch, SKETCH_BITS);
	MemoryContextSwitchTo(old);
	d->sketched = true;
	d->next_check = FIRST_CHECK;
	if (distinct_is_near(d->values.count, d->rows) && d->budget->columns > 0)
	{
		d->budget->columns--;
		d->spool = hash_spool_create(d->context, d->expected, &d->budget->memory);
	}
	for (int i = 0; i < d->values.count; i++)
	{
		addHyperLogLog(&d->sketch, (uint32) (d->values.entries[i].hash >> 32));
		if (d->spool != NULL)
			hash_spool_add(d->spool, d->values.entries[i].hash);
	}
}

/* What the sketch tells.  It is at a loss where there are about as many values as hashes of 32 bits: Infinity, NaN. */
static int64
estimate(Distinct *d)
{
	double		n = rint(estimateHyperLogLog(&d->sketch));

	return n < d->rows ? (int64) n : d->rows;
}

static void
end_spool(Distinct *d)
{
	hash_spool_free(d->spool);
	d->spool = NULL;
	d->budget->columns++;
}

/* Gives the spool up where too many values are not different. */
static void
check_spool(Distinct *d)
{
	d->next_check = d->rows * 2;
	if (!distinct_is_near(estimate(d), d->rows))
		end_spool(d);
}

/*
 * Adds a value that has no entry; returns the one it gets, or NULL.  What has one is in the
 * sketch, and in the spool, already.
 */
FrequentEntry *
distinct_insert(Distinct *d, uint64 hash)
{
	if (!d->sketched && frequent_is_full(&d->values))
		begin_sketch(d);
	if (d->sketched)
		addHyperLogLog(&d->sketch, (uint32) (hash >> 32));
	if (d->spool != NULL)
	{
		hash_spool_add(d->spool, hash);
		if (d->rows >= d->next_check)
			check_spool(d);
	}
	if (d->sketched && murmurhash32((uint32) d->rows) % ENTRY_STRIDE != 0)
		return NULL;
	return frequent_add(&d->values, hash);
}

/* How many different values there were. */
int64
distinct_count(Distinct *d, bool *exact)
{
	int64		n;

	*exact = true;
	if (!d->sketched)
		return d->values.count;
	if (d->spool != NULL)
	{
		n = hash_spool_distinct(d->spool);
		end_spool(d);
		return n;
	}
	*exact = false;
	return estimate(d);
}
