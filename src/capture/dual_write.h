/*
 * dual_write.h
 *		Applies the writes of one side to the other.
 */
#ifndef MIGRATE_DUAL_WRITE_H
#define MIGRATE_DUAL_WRITE_H

#include "postgres.h"
#include "commands/trigger.h"

#include "capture/direct.h"
#include "capture/plan_cache.h"
#include "catalog/dirty_key.h"

/* One call of the trigger. */
typedef struct Capture
{
	TriggerData *trigger;
	CaptureSet *set;
	char		event;			/* i, u, d, t */
	int64		rows;			/* in the larger transition table */
	bool		paired;			/* an update's tables have old and new rows in step */
	bool		current;		/* the rows in the tables are the source rows */
	bool		replaces;		/* values of a unique index are exchanged between rows */
	const DirtyKeyError *leaves;	/* why rows of keys that have gone are left to the queue, or NULL */
	int			lock_limit;		/* of waits on the target, in ms; 0: none of ours */
	bool		stale;			/* written to the side that was replaced */
	DirectRows	images;
} Capture;

/* source_write.c: are the rows in the tables the source rows? */
extern void source_write_look(Capture *c);
extern bool source_write_came_between(const Capture *c);

/* apply.c: the statement's rows, to the targets or to the dirty queue */
extern void capture_limit_locks(const Capture *c);
extern TransitionKeys capture_touched(const Capture *c);
extern void capture_keep_statements(CaptureSet *set, CapturePlans *p, List *statements);
extern void capture_run_statement(CapturePlans *p, int i, int64 rows);
extern void capture_apply(Capture *c, List *mappings);
extern int64 capture_record_keys(Capture *c, CaptureMapping *cm, const DirtyKeyError *error, Datum *first);
extern int64 capture_record_gone(Capture *c, CaptureMapping *cm, const DirtyKeyError *error, Datum *first);

/* dual_write.c: the same, whatever fails */
extern void dual_write_rows(Capture *c);
extern void dual_write_truncate(const Capture *c);

#endif							/* MIGRATE_DUAL_WRITE_H */
