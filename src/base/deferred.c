/*
 * deferred.c
 *		Constraints of a written table that would be checked at commit.
 *
 * What a write of ours violates must be found while it can be undone alone.  A
 * constraint that is checked at commit would fail the transaction instead, which
 * is the application's, or a batch with all its rows.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_constraint.h"
#include "commands/trigger.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "utils/lsyscache.h"

#include "base/deferred.h"

/*
 * Finds the deferrable constraints of a relation, and the foreign keys that
 * name it.  Those of its partitions follow them.
 */
void
deferred_find(Oid relid, DeferredConstraints *found)
{
	Relation	constraints = table_open(ConstraintRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(constraints, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	memset(found, 0, sizeof(DeferredConstraints));
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);
		List	  **list = form->condeferred ? &found->at_commit : &found->if_asked;

		if (form->condeferrable && (form->conrelid == relid || form->confrelid == relid))
			*list = lappend(*list, makeRangeVar(get_namespace_name(form->connamespace),
												pstrdup(NameStr(form->conname)), -1));
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
}

static void
set_constraints(List *names, bool deferred)
{
	ConstraintsSetStmt *statement = makeNode(ConstraintsSetStmt);

	if (names == NIL)
		return;
	statement->constraints = names;
	statement->deferred = deferred;
	AfterTriggerSetState(statement);
}

/* Puts all checks off, until deferred_check. */
void
deferred_postpone(const DeferredConstraints *found)
{
	set_constraints(found->at_commit, true);
	set_constraints(found->if_asked, true);
}

/*
 * Checks now what would be checked at commit; raises what is violated.  The
 * constraints are as they were declared afterwards.
 */
void
deferred_check(const DeferredConstraints *found)
{
	set_constraints(found->at_commit, false);
	set_constraints(found->if_asked, false);
	set_constraints(found->at_commit, true);
}
