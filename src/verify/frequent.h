/*
 * frequent.h
 *		The most frequent ones of many values, in bounded memory.
 */
#ifndef MIGRATE_FREQUENT_H
#define MIGRATE_FREQUENT_H

#include "postgres.h"

/* A value, by its hash. */
typedef struct FrequentEntry
{
	uint64		hash;
	int64		rows;			/* that have it, since it was added */
	int64		missed;			/* the most that may have had it before */
	Datum		value;			/* whatever the user of the table keeps */
	uint32		note;			/* the same */
	uint32		form;			/* the same */
} FrequentEntry;

/* Is called for each entry that is given up. */
typedef void (*FrequentForget) (void *arg, FrequentEntry *entry);

typedef struct Frequent
{
	MemoryContext context;
	int			limit;			/* the most entries there may be */
	int			count;
	int			room;			/* for entries, now */
	FrequentEntry *entries;
	uint32		mask;			/* of the slots, which are a power of two */
	uint32	   *slots;			/* 16 bits of the hash, and the entry's number from 1 on; 0: free */
	int64		missed;			/* the most rows that a value without entry may have */
	FrequentForget forget;
	void	   *arg;
} Frequent;

#define FREQUENT_MAX_ENTRIES 32768

extern void frequent_init(Frequent *f, MemoryContext context, int limit, FrequentForget forget, void *arg);
extern FrequentEntry *frequent_add(Frequent *f, uint64 hash);
extern FrequentEntry **frequent_top(Frequent *f, int64 least, int most, int *n);

/* The entry of a hash, or NULL. */
static inline FrequentEntry *
frequent_find(Frequent *f, uint64 hash)
{
	uint32		tag = (uint32) (hash >> 48) << 16;

	for (uint32 i = (uint32) hash & f->mask;; i = (i + 1) & f->mask)
	{
		uint32		slot = f->slots[i];

		if (slot == 0)
			return NULL;
		if ((slot & 0xFFFF0000) == tag && f->entries[(slot & 0xFFFF) - 1].hash == hash)
			return &f->entries[(slot & 0xFFFF) - 1];
	}
}

/* Has every value an entry, so that all that is counted is exact? */
static inline bool
frequent_is_exact(const Frequent *f)
{
	return f->missed == 0;
}

/* Is the next value without an entry one too many? */
static inline bool
frequent_is_full(const Frequent *f)
{
	return f->count >= f->limit;
}

#endif							/* MIGRATE_FREQUENT_H */
