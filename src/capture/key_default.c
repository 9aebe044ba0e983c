/*
 * key_default.c
 *		Values from the default of a key column.
 */
#include "postgres.h"

#include "access/table.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/lsyscache.h"

#include "capture/key_default.h"

struct KeyDefault
{
	ExprContext *econtext;
	ExprState  *value;
	FmgrInfo	output;
};

/*
 * A column's default, to be evaluated in this transaction, in the current memory context;
 * NULL if it has none.  Lock: ACCESS SHARE, kept, so that it stays what it is.
 */
KeyDefault *
key_default_make(Oid relid, const char *column)
{
	Relation	rel = table_open(relid, AccessShareLock);
	AttrNumber	attnum = get_attnum(relid, column);
	Node	   *tree = attnum > 0 ? build_column_default(rel, attnum) : NULL;
	KeyDefault *d = NULL;

	if (tree != NULL)
	{
		Oid			output;
		bool		varlena;

		d = palloc0(sizeof(KeyDefault));
		getTypeOutputInfo(get_atttype(relid, attnum), &output, &varlena);
		fmgr_info(output, &d->output);
		d->econtext = CreateStandaloneExprContext();
		d->value = ExecInitExpr(expression_planner((Expr *) tree), NULL);
	}
	table_close(rel, NoLock);
	return d;
}

/* Evaluates the default, as the current user; NULL if it is null. */
char *
key_default_take(KeyDefault *d)
{
	bool		isnull;
	Datum		value;

	ResetExprContext(d->econtext);
	value = ExecEvalExprSwitchContext(d->value, d->econtext, &isnull);
	return isnull ? NULL : OutputFunctionCall(&d->output, value);
}
