/*
 * restate.c
 *		Stored expressions keep what they mean when tables change their names.
 *
 * An expression is stored as text in which every name is qualified.  One with a
 * subquery names other tables; before a swap it is read, under the old names,
 * and afterwards written again, under the new ones.
 */
#include "postgres.h"

#include "base/subxact.h"
#include "catalog/stored_expression.h"
#include "lifecycle/restate.h"
#include "projection/expression.h"

static const char *
alias_of(const StoredExpression *e)
{
	return e->over_target ? TARGET_ALIAS : SOURCE_ALIAS;
}

/* Work for subxact_try. */
static void
work_read(void *arg)
{
	StoredExpression *e = arg;

	e->tree = expression_read(e->text, e->relation, alias_of(e));
}

/* Reads all stored expressions that may name a table; one that is broken already is left alone. */
List *
restate_read(void)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, stored_expression_list_naming())
	{
		if (subxact_try(work_read, lfirst(lc)) == NULL)
			result = lappend(result, lfirst(lc));
	}
	return result;
}

/* Writes those that read otherwise now. */
void
restate_write(List *expressions)
{
	ListCell   *lc;

	foreach(lc, expressions)
	{
		StoredExpression *e = lfirst(lc);
		char	   *text = expression_write(e->tree, e->relation, alias_of(e));

		if (strcmp(text, e->text) == 0)
			continue;
		e->text = text;
		stored_expression_update(e);
	}
}
