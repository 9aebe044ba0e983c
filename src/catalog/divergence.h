/*
 * divergence.h
 *		Rows of migrate_ext.divergence.
 */
#ifndef MIGRATE_DIVERGENCE_H
#define MIGRATE_DIVERGENCE_H

#include "postgres.h"
#include "utils/array.h"

typedef struct Divergence
{
	Datum		kind;			/* text */
	Datum		key;			/* jsonb */
	Datum		columns;		/* text[], or 0 */
	Datum		source_row;		/* jsonb, or 0 */
	Datum		target_row;		/* jsonb, or 0 */
} Divergence;

extern void divergence_insert(int64 verification_id, int64 mapping_id, const Divergence *list, int n);
extern int64 divergence_mark_dirty(int64 mapping_id);
extern ArrayType *divergence_read_keys(int64 mapping_id);

#endif							/* MIGRATE_DIVERGENCE_H */
