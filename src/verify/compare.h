/*
 * compare.h
 *		Compares a mapping's source with its target in the active snapshot.
 */
#ifndef MIGRATE_COMPARE_H
#define MIGRATE_COMPARE_H

#include "postgres.h"

#include "catalog/divergence.h"
#include "catalog/mapping.h"
#include "catalog/verification.h"

/* What a comparison finds. */
typedef struct Comparison
{
	Verification totals;
	Divergence *divergences;	/* the first ones, up to a limit */
	int			ndivergences;
	int64		nseen;			/* rows that differ, pending ones too */
} Comparison;

extern void compare_mapping(const Mapping *m, int cells, int max_divergences, bool values, Comparison *c);

#endif							/* MIGRATE_COMPARE_H */
