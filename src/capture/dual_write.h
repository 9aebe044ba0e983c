/*
 * dual_write.h
 *		Applies the writes of one side to the other.
 */
#ifndef MIGRATE_DUAL_WRITE_H
#define MIGRATE_DUAL_WRITE_H

#include "postgres.h"

/* A write of ours that is under way, so that the guard lets it pass. */
typedef struct ApplyFrame
{
	int64		migration_id;
	struct ApplyFrame *previous;
} ApplyFrame;

extern void apply_begin(ApplyFrame *frame, int64 migration_id);
extern void apply_end(ApplyFrame *frame);
extern void dual_write_init(void);

#endif							/* MIGRATE_DUAL_WRITE_H */
