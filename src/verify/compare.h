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
#include "projection/projection.h"

/* How to compare. */
typedef struct CompareOptions
{
	int			cells;			/* of the first sketch */
	int			max_divergences;	/* how many are kept; the totals count all */
	bool		values;			/* with both rows */
} CompareOptions;

/* What a comparison finds. */
typedef struct Comparison
{
	Verification totals;
	Divergence *divergences;	/* the first ones, up to a limit */
	int			ndivergences;
	int64		nseen;			/* rows that differ, pending ones too */
	bool		queue_counted;	/* pending keys are counted already, as the queue's */
} Comparison;

extern void compare_keep_still(const Mapping *m);
extern void compare_note_snapshot(Verification *v);
extern void compare_all(const Mapping *m, const CompareOptions *options, Comparison *c);
extern void compare_span(const Mapping *m, const CompareOptions *options, const KeySpan *span, Comparison *c);
extern void compare_keys(const Mapping *m, const CompareOptions *options, ArrayType *keys, const char *method, Comparison *c);

#endif							/* MIGRATE_COMPARE_H */
