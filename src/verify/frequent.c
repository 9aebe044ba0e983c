/*
 * frequent.c
 *		The most frequent ones of many values, in bounded memory.
 *
 * As long as all different values have room each is counted from its first row on.
 * When there is no room the rarest are given up, and what comes later, and may be
 * one of them, is marked with the most rows it can have had (Manku and Motwani's
 * lossy counting, with a bound that follows the data).  So an entry's true number
 * of rows is at least its rows and at most missed more, and whatever is not there
 * has at most missed rows.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "verify/frequent.h"

#define FIRST_ROOM 32

/* At least 1/FREED of the entries are given up at once, so that it is seldom done. */
#define FREED 3

void
frequent_init(Frequent *f, MemoryContext context, int limit, FrequentForget forget, void *arg)
{
	memset(f, 0, sizeof(Frequent));
	f->context = context;
	f->limit = Min(limit, FREQUENT_MAX_ENTRIES);
	f->room = Min(FIRST_ROOM, f->limit);
	f->entries = MemoryContextAlloc(context, sizeof(FrequentEntry) * f->room);
	f->mask = 2 * FIRST_ROOM - 1;
	f->slots = MemoryContextAllocZero(context, sizeof(uint32) * (f->mask + 1));
	f->forget = forget;
	f->arg = arg;
}

static void
set_slot(Frequent *f, int i)
{
	uint64		hash = f->entries[i].hash;
	uint32		at = (uint32) hash & f->mask;

	while (f->slots[at] != 0)
		at = (at + 1) & f->mask;
	f->slots[at] = (uint32) (hash >> 48) << 16 | (uint32) (i + 1);
}

static void
set_slots(Frequent *f)
{
	memset(f->slots, 0, sizeof(uint32) * (f->mask + 1));
	for (int i = 0; i < f->count; i++)
		set_slot(f, i);
}

/* Twice the room, and slots to it: at most half of them are taken. */
static void
grow(Frequent *f)
{
	f->room = Min(f->room * 2, f->limit);
	f->entries = repalloc(f->entries, sizeof(FrequentEntry) * f->room);
	while (f->mask + 1 < 2 * f->room)
		f->mask = f->mask * 2 + 1;
	f->slots = repalloc(f->slots, sizeof(uint32) * (f->mask + 1));
	set_slots(f);
}

static int
compare_int64(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* The most rows that those to be given up may have: the least that frees enough. */
static int64
find_bound(const Frequent *f)
{
	int64		bound = f->missed + 1;
	int			freed = 0;
	int64	   *most;

	for (int i = 0; i < f->count; i++)
		freed += f->entries[i].rows + f->entries[i].missed <= bound ? 1 : 0;
	if (freed >= f->count / FREED)
		return bound;
	most = MemoryContextAlloc(f->context, sizeof(int64) * f->count);
	for (int i = 0; i < f->count; i++)
		most[i] = f->entries[i].rows + f->entries[i].missed;
	qsort(most, f->count, sizeof(int64), compare_int64);
	bound = most[f->count / FREED];
	pfree(most);
	return bound;
}

static void
give_up_rarest(Frequent *f)
{
	int64		bound = find_bound(f);
	int			kept = 0;

	for (int i = 0; i < f->count; i++)
	{
		FrequentEntry *e = &f->entries[i];

		if (e->rows + e->missed > bound)
			f->entries[kept++] = *e;
		else
			f->forget(f->arg, e);
	}
	f->count = kept;
	f->missed = bound;
	set_slots(f);
}

/* Adds an entry for a hash that has none; it has one row.  Others may move, and may be given up. */
FrequentEntry *
frequent_add(Frequent *f, uint64 hash)
{
	FrequentEntry *e;

	if (f->count >= f->limit)
		give_up_rarest(f);
	else if (f->count >= f->room)
		grow(f);
	e = &f->entries[f->count++];
	e->hash = hash;
	e->rows = 1;
	e->missed = f->missed;
	e->value = (Datum) 0;
	e->note = 0;
	e->form = 0;
	set_slot(f, f->count - 1);
	return e;
}

/* Most rows first; among equals the one that came first, as entries keep their order. */
static int
compare_entries(const void *a, const void *b)
{
	const FrequentEntry *x = *(FrequentEntry *const *) a;
	const FrequentEntry *y = *(FrequentEntry *const *) b;

	if (x->rows != y->rows)
		return x->rows > y->rows ? -1 : 1;
	return x < y ? -1 : 1;
}

/*
 * The most frequent entries with at least so many rows; without those that may owe their
 * place to the order of the rows, as others may have as many.
 */
FrequentEntry **
frequent_top(Frequent *f, int64 least, int most, int *n)
{
	FrequentEntry **top = palloc(sizeof(FrequentEntry *) * Max(f->count, 1));

	*n = 0;
	for (int i = 0; i < f->count; i++)
	{
		if (f->entries[i].rows >= least && f->entries[i].rows >= f->missed)
			top[(*n)++] = &f->entries[i];
	}
	qsort(top, *n, sizeof(FrequentEntry *), compare_entries);
	*n = Min(*n, most);
	return top;
}
