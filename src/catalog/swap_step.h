/*
 * swap_step.h
 *		Rows of migrate_ext.swap_step: what a swap is made of.
 */
#ifndef MIGRATE_SWAP_STEP_H
#define MIGRATE_SWAP_STEP_H

#include "postgres.h"
#include "nodes/pg_list.h"

/* When a step is taken; the last is not one. */
#define SWAP_BEFORE		1		/* under the old names */
#define SWAP_NAMES		2
#define SWAP_AFTER		3		/* under the new ones */
#define SWAP_STAYS		4		/* what stays with the old side */

typedef struct SwapStep
{
	int			stage;
	char	   *kind;
	char	   *subject;
	char	   *statement;		/* or NULL */
	char	   *undo;			/* or NULL */
	bool		essential;
	Oid			relation;		/* a table that keeps its name, or whose constraint is to be validated */
	char	   *name;
	Oid			locked;			/* to be locked, too; or InvalidOid */
	char	   *severity;		/* of what is in the way, or NULL */
	char	   *problem;
	const char *mark;			/* before an OID that stands for a name: see migrate_ext.named; NULL: there is none */
	List	   *script;			/* of char *: what makes a materialized view again, later; or NIL */
} SwapStep;

extern List *swap_step_plan(int64 mapping_id, List *sources, const char *mark);
extern void swap_step_insert(int64 migration_id, const SwapStep *step);
extern List *swap_step_list(int64 migration_id);
extern void swap_step_delete_all(int64 migration_id);
extern Oid	swap_step_find_renamed(int64 migration_id, char **name);

#endif							/* MIGRATE_SWAP_STEP_H */
