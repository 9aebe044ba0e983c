/*
 * checksum.h
 *		Sums, mod 2^128, of rows' hashes.
 */
#ifndef MIGRATE_CHECKSUM_H
#define MIGRATE_CHECKSUM_H

#include "postgres.h"
#include "fmgr.h"

/* A row's XXH3-128 hash, or the sum of many. */
typedef struct Checksum
{
	uint64		high;
	uint64		low;
} Checksum;

static inline void
checksum_add(Checksum *sum, Checksum other)
{
	sum->low += other.low;
	sum->high += other.high + (sum->low < other.low ? 1 : 0);
}

static inline void
checksum_subtract(Checksum *sum, Checksum other)
{
	uint64		borrow = sum->low < other.low ? 1 : 0;

	sum->low -= other.low;
	sum->high -= other.high + borrow;
}

static inline bool
checksum_equal(Checksum a, Checksum b)
{
	return a.high == b.high && a.low == b.low;
}

extern MemoryContext checksum_aggregate_context(FunctionCallInfo fcinfo);
extern char *checksum_to_string(Checksum c);
extern Checksum checksum_from_string(const char *digits);

#endif							/* MIGRATE_CHECKSUM_H */
