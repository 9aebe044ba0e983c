/*
 * apply_frame.h
 *		Tells writes of the extension from those of an application.
 */
#ifndef MIGRATE_APPLY_FRAME_H
#define MIGRATE_APPLY_FRAME_H

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
extern bool apply_is_under_way(int64 migration_id, bool reverse);
extern ApplyFrame *apply_innermost(void);
extern void apply_reset(ApplyFrame *innermost);

#endif							/* MIGRATE_APPLY_FRAME_H */
