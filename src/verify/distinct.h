/*
 * distinct.h
 *		How many different values a column has, and which are the most frequent.
 */
#ifndef MIGRATE_DISTINCT_H
#define MIGRATE_DISTINCT_H

#include "postgres.h"
#include "lib/hyperloglog.h"

#include "verify/frequent.h"
#include "verify/hash_spool.h"

/* What the spools of all columns may take. */
typedef struct SpoolBudget
{
	int			columns;		/* that may still begin one */
	Size		memory;
} SpoolBudget;

typedef struct Distinct
{
	MemoryContext context;
	Frequent	values;
	double		expected;		/* rows of the table, about */
	SpoolBudget *budget;
	int64		rows;			/* with a value, until now */
	bool		sketched;		/* are the hashes in the sketch? */
	hyperLogLogState sketch;
	HashSpool  *spool;			/* as long as almost all are different */
	int64		next_check;		/* of whether they still are, after so many rows */
} Distinct;

extern void distinct_init(Distinct *d, MemoryContext context, int entries, double expected, SpoolBudget *budget,
						  FrequentForget forget, void *arg);
extern FrequentEntry *distinct_insert(Distinct *d, uint64 hash);
extern int64 distinct_count(Distinct *d, bool *exact);
extern bool distinct_is_near(int64 distinct, int64 rows);

/* Counts a value; returns its entry, which may be new, or NULL if it has none. */
static inline FrequentEntry *
distinct_add(Distinct *d, uint64 hash, bool *found)
{
	FrequentEntry *e = frequent_find(&d->values, hash);

	d->rows++;
	*found = e != NULL;
	if (e == NULL)
		return distinct_insert(d, hash);
	e->rows++;
	return e;
}

#endif							/* MIGRATE_DISTINCT_H */
