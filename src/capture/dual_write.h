/*
 * dual_write.h
 *		Applies the writes of one side to the other.
 */
#ifndef MIGRATE_DUAL_WRITE_H
#define MIGRATE_DUAL_WRITE_H

#include "postgres.h"

/* A write of ours that is under way, in one direction of a migration. */
typedef struct ApplyFrame
{
	int64		migration_id;
	bool		reverse;
	struct ApplyFrame *previous;
} ApplyFrame;

extern void apply_begin(ApplyFrame *frame, int64 migration_id, bool reverse);
extern void apply_end(ApplyFrame *frame);
extern void dual_write_init(void);

#endif							/* MIGRATE_DUAL_WRITE_H */
