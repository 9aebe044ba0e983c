/*
 * shadow_read.h
 *		Rows of migrate_ext.shadow_read.
 */
#ifndef MIGRATE_SHADOW_READ_H
#define MIGRATE_SHADOW_READ_H

#include "postgres.h"
#include "nodes/pg_list.h"

/* Quantiles that are kept: the minimum, every hundredth, the maximum. */
#define SHADOW_QUANTILES 101

typedef struct ShadowRead
{
	int64		mapping_id;
	int64		reads;
	int64		mismatches;
	double		source_ms[SHADOW_QUANTILES];
	double		target_ms[SHADOW_QUANTILES];
	List	   *keys;			/* of Datum * (jsonb): the first ones that differ */
} ShadowRead;

extern void shadow_read_insert(const ShadowRead *r);
extern bool shadow_read_newest(int64 mapping_id, ShadowRead *r);

#endif							/* MIGRATE_SHADOW_READ_H */
