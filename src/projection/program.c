/*
 * program.c
 *		The projection as expressions to evaluate, for a row in hand.
 *
 * The same expressions as in the generated SQL, coerced in the same way, but
 * without a plan: for the dual write, which has the row already.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/sysattr.h"
#include "executor/executor.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/datum.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "projection/expression.h"
#include "projection/program.h"
#include "projection/reference.h"

/* Can the tree be evaluated without a plan? */
static bool
needs_plan(Expr *tree)
{
	return contain_subplans((Node *) tree);
}

/*
 * Notes what a tree needs; returns its executable form.  A function may be
 * inlined and a domain without checks vanish in it: so what it is made of is
 * asked before.
 */
static ExprState *
add_tree(Program *p, Expr *tree)
{
	pull_varattnos((Node *) tree, 1, &p->reads);
	p->calls_user_code = p->calls_user_code || expression_calls_user_code(tree);
	p->needs_settings = p->needs_settings || p->calls_user_code || contain_mutable_functions((Node *) tree);
	return ExecInitExpr(expression_planner(tree), NULL);
}

/* Attribute numbers as they are, from the set that pull_varattnos makes. */
static Bitmapset *
plain_attnums(Bitmapset *shifted)
{
	Bitmapset  *result = NULL;
	int			i = -1;

	while ((i = bms_next_member(shifted, i)) >= 0)
		result = bms_add_member(result, i + FirstLowInvalidHeapAttributeNumber);
	return result;
}

/* Compiles one column; false if it needs a plan. */
static bool
compile_column(Program *p, const Mapping *m, Relation target, const MappingColumn *c)
{
	ProgramColumn *column = &p->columns[p->ncolumns++];
	Form_pg_attribute att;
	Expr	   *tree;

	column->target = ref_target_attnum(m, c->target);
	att = TupleDescAttr(RelationGetDescr(target), column->target - 1);
	column->byval = att->attbyval;
	column->len = att->attlen;
	p->writes = bms_add_member(p->writes, column->target);
	tree = expression_tree(c->expression, m->source, m->target, column->target);
	if (needs_plan(tree))
		return false;
	column->value = add_tree(p, tree);
	pull_varattnos((Node *) tree, 1, &column->reads);
	column->reads = plain_attnums(column->reads);
	if (IsA(tree, Var))
		column->copied = ((Var *) tree)->varattno;
	return true;
}

/*
 * Compiles the mapping's projection in the current memory context, as the
 * mapping's owner.  NULL where an expression needs a plan, or the row as a
 * value: that is left to SQL.
 */
Program *
program_compile(const Mapping *m)
{
	Program    *p = palloc0(sizeof(Program));
	Relation	target;
	ListCell   *lc;
	bool		usable = true;

	if (m->whole_row || ref_expands(m))
		return NULL;
	p->columns = palloc0(sizeof(ProgramColumn) * Max(list_length(m->columns), 1));
	target = relation_open(m->target, AccessShareLock);
	foreach(lc, m->columns)
		usable = usable && compile_column(p, m, target, lfirst(lc));
	relation_close(target, NoLock);
	if (usable && m->filter != NULL)
	{
		Expr	   *tree = expression_tree(m->filter, m->source, InvalidOid, InvalidAttrNumber);

		usable = !needs_plan(tree);
		if (usable)
		{
			p->filter = add_tree(p, tree);
			pull_varattnos((Node *) tree, 1, &p->filter_reads);
		}
	}
	if (!usable)
		return NULL;
	p->reads = plain_attnums(p->reads);
	p->filter_reads = plain_attnums(p->filter_reads);
	p->last_read = bms_prev_member(p->reads, -1);
	p->econtext = CreateStandaloneExprContext();
	return p;
}

/* Does the source row pass the filter? */
bool
program_passes(Program *p, TupleTableSlot *row)
{
	bool		isnull;
	Datum		result;

	if (p->filter == NULL)
		return true;
	p->econtext->ecxt_scantuple = row;
	result = ExecEvalExprSwitchContext(p->filter, p->econtext, &isnull);
	return !isnull && DatumGetBool(result);
}

/* Is every column only copied, so that nothing can fail? */
bool
program_is_plain(const Program *p)
{
	for (int i = 0; i < p->ncolumns; i++)
	{
		if (p->columns[i].copied <= 0)
			return false;
	}
	return true;
}

/* The target's value of one column of a source row. */
void
program_evaluate_column(Program *p, int i, TupleTableSlot *row, Datum *values, bool *nulls)
{
	ProgramColumn *c = &p->columns[i];
	int			to = c->target - 1;

	p->econtext->ecxt_scantuple = row;
	if (c->copied > 0)
		values[to] = slot_getattr(row, c->copied, &nulls[to]);
	else
		values[to] = ExecEvalExprSwitchContext(c->value, p->econtext, &nulls[to]);
}

/*
 * The target's values of a source row, by target attribute; others are left as
 * they are.  By-reference values live until the next row.
 */
void
program_evaluate(Program *p, TupleTableSlot *row, Datum *values, bool *nulls)
{
	if (p->last_read > 0)
		slot_getsomeattrs(row, p->last_read);	/* at once, not one by one */
	for (int i = 0; i < p->ncolumns; i++)
		program_evaluate_column(p, i, row, values, nulls);
}

/*
 * Do two values show the same?  1.0 and 1.00 differ.  What an UPDATE leaves
 * alone keeps its place in the TOAST table, and need not be fetched to see it.
 */
bool
program_images_equal(Datum a, bool a_null, Datum b, bool b_null, bool byval, int16 len)
{
	if (a_null || b_null)
		return a_null && b_null;
	if (len == -1 && VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(a)) &&
		VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(b)) &&
		memcmp(DatumGetPointer(a), DatumGetPointer(b), VARSIZE_EXTERNAL(DatumGetPointer(a))) == 0)
		return true;
	return datum_image_eq(a, b, byval, len);
}

/* Are two rows the same in all columns that the projection reads? */
bool
program_reads_same(const Program *p, TupleTableSlot *a, TupleTableSlot *b)
{
	int			attnum = -1;

	while ((attnum = bms_next_member(p->reads, attnum)) >= 0)
	{
		Form_pg_attribute att = TupleDescAttr(a->tts_tupleDescriptor, attnum - 1);
		bool		a_null;
		bool		b_null;
		Datum		a_value = slot_getattr(a, attnum, &a_null);
		Datum		b_value = slot_getattr(b, attnum, &b_null);

		if (!program_images_equal(a_value, a_null, b_value, b_null, att->attbyval, att->attlen))
			return false;
	}
	return true;
}
