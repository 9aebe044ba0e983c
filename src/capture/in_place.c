/*
 * in_place.c
 *		Keeps the two shapes of a row equal where they are in one table.
 *
 * A BEFORE row trigger: the columns of one shape, that the direction names,
 * are the truth, and those of the other are derived from them in the row that
 * is about to be written.  There is no second write, so no other snapshot, no
 * lock and no echo.
 *
 * A column that follows and has changed, while what it follows has not, was
 * written by an application of the other shape.  Where the mapping has a way
 * back it is translated first: into the columns that are the truth, from which
 * the others are then derived.  Whoever writes, the row that is stored is equal
 * in both shapes.
 */
#include "postgres.h"

#include "access/attmap.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "access/tupconvert.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "nodes/readfuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/identity.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "capture/account.h"
#include "capture/apply_frame.h"
#include "capture/in_place.h"
#include "catalog/dirty_key.h"
#include "projection/program.h"
#include "projection/projection.h"

/* What is kept of a mapping for the session. */
typedef struct InPlacePlan
{
	Program    *derive;
	Program    *translate;		/* NULL: there is no way back */
	TupleDesc	desc;			/* of the source */
	List	   *checks;			/* of ExprState *: constraints on columns that follow */
	Bitmapset  *not_null;		/* of these columns, those that must not be null */
	Const	  **defaults;		/* by source attribute; NULL: none that is known beforehand */
	AttrMap    *attnums;		/* of the trigger's relation, by the source's; NULL: the same */
	TupleTableSlot *old_row;
	TupleTableSlot *new_row;
	TupleTableSlot *derived_row;
} InPlacePlan;

/* A row on its way through one mapping. */
typedef struct Call
{
	const TriggerData *trigger;
	const Mapping *m;
	InPlacePlan *plan;
	bool		update;			/* or an insert */
	Program    *program;		/* to evaluate ... */
	Bitmapset  *targets;		/* ... for these columns, or NULL: all ... */
	bool		check;			/* ... with the table's constraints */
	Datum	   *values;			/* result, by source attribute */
	bool	   *nulls;
	Bitmapset  *modified;		/* columns of the new row that are not the given ones */
} Call;

/* The program of a mapping, without the key: that is the row's own. */
static Program *
compile(const Mapping *m)
{
	Mapping		rest = *m;
	Program    *p;
	ListCell   *lc;

	rest.columns = NIL;
	foreach(lc, m->columns)
	{
		ListCell   *key;
		bool		is_key = false;

		foreach(key, m->key)
			is_key = is_key || strcmp(lfirst(key), ((MappingColumn *) lfirst(lc))->target) == 0;
		if (!is_key)
			rest.columns = lappend(rest.columns, lfirst(lc));
	}
	p = program_compile(&rest);
	if (p == NULL)
		elog(ERROR, "mapping %lld cannot be evaluated in place", (long long) m->id);
	return p;
}

/* The defaults of the columns, as far as they are constants. */
static Const **
read_defaults(Relation source)
{
	TupleDesc	desc = RelationGetDescr(source);
	Const	  **result = palloc0(sizeof(Const *) * desc->natts);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Node	   *tree = att->attisdropped || att->attgenerated ? NULL : build_column_default(source, i + 1);

		if (tree == NULL)
			continue;
		tree = (Node *) expression_planner((Expr *) tree);
		if (IsA(tree, Const) && !((Const *) tree)->constisnull)
			result[i] = (Const *) tree;
	}
	return result;
}

/*
 * Reads which values the table refuses for the columns that follow: an error
 * that is left to a sync must be found before the row is stored.
 */
static void
read_constraints(InPlacePlan *plan, Relation source)
{
	TupleConstr *constr = RelationGetDescr(source)->constr;
	int			attnum = -1;

	while ((attnum = bms_next_member(plan->derive->writes, attnum)) >= 0)
	{
		if (TupleDescAttr(RelationGetDescr(source), attnum - 1)->attnotnull)
			plan->not_null = bms_add_member(plan->not_null, attnum);
	}
	for (int i = 0; constr != NULL && i < constr->num_check; i++)
	{
		Node	   *tree = stringToNode(constr->check[i].ccbin);
		Bitmapset  *shifted = NULL;
		bool		concerned = false;

		pull_varattnos(tree, 1, &shifted);
		for (int a = bms_next_member(plan->derive->writes, -1); a >= 0; a = bms_next_member(plan->derive->writes, a))
			concerned = concerned || bms_is_member(a - FirstLowInvalidHeapAttributeNumber, shifted);
		if (concerned)
			plan->checks = lappend(plan->checks, ExecInitExpr(expression_planner((Expr *) tree), NULL));
	}
}

/* The mapping the other way. */
static Mapping *
find_inverse(const Mapping *m)
{
	return m->reverse ? mapping_get(m->reverse_of) : mapping_find_reverse(m->id);
}

/* Makes the plan of a mapping, in the set's memory. */
static InPlacePlan *
make_plan(CaptureSet *set, const Mapping *m)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "migrate_ext in place plan",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old;
	Mapping    *inverse = find_inverse(m);
	InPlacePlan *plan;
	Relation	source;
	Relation	leaf;
	Identity	identity;

	identity_become_owner(&identity, m->owner, m->time_zone);
	old = MemoryContextSwitchTo(context);
	plan = palloc0(sizeof(InPlacePlan));
	plan->derive = compile(m);
	if (inverse != NULL)
		plan->translate = compile(inverse);
	source = relation_open(m->source, AccessShareLock);
	plan->defaults = read_defaults(source);
	read_constraints(plan, source);
	leaf = relation_open(set->relid, AccessShareLock);
	plan->desc = CreateTupleDescCopy(RelationGetDescr(source));
	if (leaf != source)
	{
		TupleConversionMap *map = convert_tuples_by_name(CreateTupleDescCopy(RelationGetDescr(leaf)), plan->desc);

		plan->attnums = map ? map->attrMap : NULL;
	}
	relation_close(leaf, NoLock);
	relation_close(source, NoLock);
	plan->old_row = MakeSingleTupleTableSlot(plan->desc, &TTSOpsVirtual);
	plan->new_row = MakeSingleTupleTableSlot(plan->desc, &TTSOpsVirtual);
	plan->derived_row = MakeSingleTupleTableSlot(plan->desc, &TTSOpsVirtual);
	MemoryContextSwitchTo(old);
	identity_restore(&identity);
	MemoryContextSetParent(context, set->context);
	return plan;
}

static InPlacePlan *
get_plan(CaptureSet *set, CaptureMapping *cm)
{
	if (!cm->planned)
	{
		cm->in_place = make_plan(set, cm->mapping);
		cm->calls_user_code = cm->in_place->derive->calls_user_code || cm->in_place->checks != NIL ||
			(cm->in_place->translate && cm->in_place->translate->calls_user_code);
		cm->planned = true;
	}
	return cm->in_place;
}

/* The attribute of the trigger's relation that is the source's. */
static AttrNumber
leaf_attnum(const InPlacePlan *plan, AttrNumber attnum)
{
	return plan->attnums ? plan->attnums->attnums[attnum - 1] : attnum;
}

/* A row of the trigger's relation as one of the source. */
static void
load_row(const InPlacePlan *plan, TupleTableSlot *from, TupleTableSlot *to)
{
	ExecClearTuple(to);
	slot_getallattrs(from);
	for (int i = 0; i < plan->desc->natts; i++)
	{
		AttrNumber	attnum = leaf_attnum(plan, i + 1);

		to->tts_isnull[i] = attnum == 0 || from->tts_isnull[attnum - 1];
		to->tts_values[i] = attnum == 0 ? (Datum) 0 : from->tts_values[attnum - 1];
	}
	ExecStoreVirtualTuple(to);
}

/* Raises if the table would refuse what was derived. */
static void
check_constraints(const Call *c)
{
	InPlacePlan *plan = c->plan;
	TupleTableSlot *row = plan->derived_row;
	int			attnum = -1;
	ListCell   *lc;

	while ((attnum = bms_next_member(plan->not_null, attnum)) >= 0)
	{
		if (c->nulls[attnum - 1])
			ereport(ERROR,
					(errcode(ERRCODE_NOT_NULL_VIOLATION),
					 errmsg("null value in column \"%s\" of relation \"%s\" violates not-null constraint",
							get_attname(c->m->source, attnum, false), get_rel_name(c->m->source))));
	}
	ExecClearTuple(row);
	memcpy(row->tts_values, c->values, sizeof(Datum) * plan->desc->natts);
	memcpy(row->tts_isnull, c->nulls, sizeof(bool) * plan->desc->natts);
	ExecStoreVirtualTuple(row);
	plan->derive->econtext->ecxt_scantuple = row;
	foreach(lc, plan->checks)
	{
		if (!ExecCheck(lfirst(lc), plan->derive->econtext))
			ereport(ERROR,
					(errcode(ERRCODE_CHECK_VIOLATION),
					 errmsg("new row for relation \"%s\" violates a check constraint",
							get_rel_name(c->m->source))));
	}
}

/*
 * Work for subxact_try: evaluates columns of a program on the new row, as the
 * mapping's owner.
 */
static void
work_evaluate(void *arg)
{
	Call	   *c = arg;
	Identity	identity;
	bool		settings = c->program->needs_settings || (c->check && c->plan->checks != NIL);

	if (settings)
	{
		identity_become_owner(&identity, c->m->owner, c->m->time_zone);
		PushActiveSnapshot(GetLatestSnapshot());
	}
	else
		identity_become_role(&identity, c->m->owner);
	for (int i = 0; i < c->program->ncolumns; i++)
	{
		if (c->targets == NULL || bms_is_member(c->program->columns[i].target, c->targets))
			program_evaluate_column(c->program, i, c->plan->new_row, c->values, c->nulls);
	}
	if (c->check)
		check_constraints(c);
	if (settings)
		PopActiveSnapshot();
	identity_restore(&identity);
}

/* Evaluates the columns of a program that set these targets, or all of them. */
static void
evaluate(Call *c, Program *program, Bitmapset *targets)
{
	c->program = program;
	c->targets = targets;
	ResetExprContext(program->econtext);
	work_evaluate(c);
}

/* Is the value that a program gave for a column the one that the new row has? */
static bool
same_as_row(const Call *c, const ProgramColumn *column)
{
	int			at = column->target - 1;

	return program_images_equal(c->values[at], c->nulls[at], c->plan->new_row->tts_values[at],
								c->plan->new_row->tts_isnull[at], column->byval, column->len);
}

/* Has an attribute of the new row another value than this one? */
static bool
differs(const InPlacePlan *plan, int at, Datum value, bool isnull)
{
	Form_pg_attribute att = TupleDescAttr(plan->desc, at);

	return !program_images_equal(plan->new_row->tts_values[at], plan->new_row->tts_isnull[at],
								 value, isnull, att->attbyval, att->attlen);
}

/*
 * Has the application changed one of the columns?  An INSERT changes those
 * that it does not leave null or at their default.
 */
static bool
is_changed(const Call *c, const Bitmapset *attnums)
{
	const InPlacePlan *plan = c->plan;
	int			attnum = -1;

	while ((attnum = bms_next_member(attnums, attnum)) >= 0)
	{
		int			at = attnum - 1;

		if (c->update)
		{
			if (differs(plan, at, plan->old_row->tts_values[at], plan->old_row->tts_isnull[at]))
				return true;
		}
		else if (!plan->new_row->tts_isnull[at] &&
				 (plan->defaults[at] == NULL || differs(plan, at, plan->defaults[at]->constvalue, false)))
			return true;
	}
	return false;
}

/* Puts the values of a program's columns with these targets into the new row. */
static void
store(Call *c, const Program *program, const Bitmapset *targets)
{
	for (int i = 0; i < program->ncolumns; i++)
	{
		AttrNumber	target = program->columns[i].target;
		int			at = target - 1;

		if (!bms_is_member(target, targets) || same_as_row(c, &program->columns[i]))
			continue;
		c->plan->new_row->tts_isnull[at] = c->nulls[at];
		c->plan->new_row->tts_values[at] = c->nulls[at] ? (Datum) 0 :
			datumCopy(c->values[at], program->columns[i].byval, program->columns[i].len);
		c->modified = bms_add_member(c->modified, target);
	}
}

/*
 * The columns that an application of the other shape has written: they follow,
 * but have changed while what they follow has not.  If that could be derived,
 * a column that is as it should be was not: a row that moves to another
 * partition is inserted there as it was set before.
 */
static Bitmapset *
written_in_other_shape(const Call *c, bool derived)
{
	const Program *derive = c->plan->derive;
	Bitmapset  *result = NULL;

	if (c->plan->translate == NULL || apply_is_under_way(c->m->migration_id, MAPPING_FORWARD) ||
		apply_is_under_way(c->m->migration_id, MAPPING_REVERSE))
		return NULL;
	for (int i = 0; i < derive->ncolumns; i++)
	{
		const ProgramColumn *column = &derive->columns[i];
		Bitmapset  *self = bms_make_singleton(column->target);

		if (!bms_is_empty(column->reads) && !is_changed(c, column->reads) && is_changed(c, self) &&
			!(derived && same_as_row(c, column)))
			result = bms_add_member(result, column->target);
	}

	/* an INSERT of the other shape gives the defaults of its other columns, too */
	for (int i = 0; !c->update && !bms_is_empty(result) && i < derive->ncolumns; i++)
	{
		const ProgramColumn *column = &derive->columns[i];

		if (!bms_is_empty(column->reads) && !is_changed(c, column->reads) &&
			!c->plan->new_row->tts_isnull[column->target - 1])
			result = bms_add_member(result, column->target);
	}
	return result;
}

/* What to translate: columns that the application left alone, of which one that it wrote is the other shape. */
static Bitmapset *
columns_to_translate(const Call *c, const Bitmapset *written)
{
	const Program *translate = c->plan->translate;
	Bitmapset  *result = NULL;

	for (int i = 0; i < translate->ncolumns; i++)
	{
		const ProgramColumn *column = &translate->columns[i];

		if (bms_overlap(column->reads, written) && !is_changed(c, bms_make_singleton(column->target)))
			result = bms_add_member(result, column->target);
	}
	return result;
}

/* After a cutover applications of the old shape are let in only if they may. */
static void
check_may_translate(const Call *c)
{
	const Trigger *trigger = c->trigger->tg_trigger;
	char	   *columns = "";

	if (!c->m->reverse || strcmp(trigger->tgargs[2], "forward") == 0)
		return;
	for (int i = 0; i < c->plan->derive->ncolumns; i++)
		columns = psprintf("%s%s\"%s\"", columns, i ? ", " : "",
						   get_attname(c->m->source, c->plan->derive->columns[i].target, false));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot write to %s of \"%s\": replaced by a migration", columns,
					RelationGetRelationName(c->trigger->tg_relation)),
			 errdetail("After the cutover they follow the new columns."),
			 errhint("Write the new columns, set stale_writes to forward, or call migrate_rollback.")));
}

/* Work for subxact_try: notes that the row's columns could not be derived. */
typedef struct RecordWork
{
	const Call *call;
	DirtyKeyError why;
} RecordWork;

static void
work_record(void *arg)
{
	RecordWork *w = arg;
	const Call *c = w->call;
	HeapTuple	row = heap_form_tuple(c->plan->desc, c->plan->new_row->tts_values, c->plan->new_row->tts_isnull);
	SpiScope	scope;
	Datum		key;

	spi_open_owner(&scope, c->m->owner, c->m->time_zone);
	spi_run(projection_row_key(c->m),
			SPI_ARGS(spi_datum(get_rel_type_id(c->m->source),
							   heap_copy_tuple_as_datum(row, c->plan->desc), false)));
	key = spi_get_datum(0, 1);
	(void) dirty_key_add(c->m->id, construct_array(&key, 1, JSONBOID, -1, false, TYPALIGN_INT),
						 "error", &w->why);
	account_note(c->m, 1, key, &w->why);
	spi_close(&scope);
}

/* The tuple with the columns that were modified. */
static HeapTuple
modify(const Call *c, HeapTuple tuple)
{
	int			n = bms_num_members(c->modified);
	int		   *attnums = palloc(sizeof(int) * n);
	Datum	   *values = palloc(sizeof(Datum) * n);
	bool	   *nulls = palloc(sizeof(bool) * n);
	int			attnum = -1;

	for (int i = 0; (attnum = bms_next_member(c->modified, attnum)) >= 0; i++)
	{
		attnums[i] = leaf_attnum(c->plan, attnum);
		values[i] = c->plan->new_row->tts_values[attnum - 1];
		nulls[i] = c->plan->new_row->tts_isnull[attnum - 1];
	}
	return heap_modify_tuple_by_cols(tuple, RelationGetDescr(c->trigger->tg_relation), n, attnums, values, nulls);
}

/* Derives the columns that follow; the error if that may be left to a sync. */
static ErrorData *
derive(Call *c)
{
	ErrorData  *error;

	memcpy(c->values, c->plan->new_row->tts_values, sizeof(Datum) * c->plan->desc->natts);
	memcpy(c->nulls, c->plan->new_row->tts_isnull, sizeof(bool) * c->plan->desc->natts);
	if (strcmp(c->m->on_error, "abort") == 0 ||
		(program_is_plain(c->plan->derive) && c->plan->checks == NIL && c->plan->not_null == NULL))
	{
		evaluate(c, c->plan->derive, NULL);
		return NULL;
	}
	c->program = c->plan->derive;
	c->targets = NULL;
	c->check = true;
	ResetExprContext(c->program->econtext);
	error = subxact_try(work_evaluate, c);
	c->check = false;
	return error;
}

/* The row's columns could not be derived: its key is dirty. */
static void
record(Call *c, ErrorData *error)
{
	RecordWork	work = {c, {error_sqlstate(error), error->message}};

	if (subxact_try(work_record, &work) != NULL)
	{
		dirty_key_add_every(c->m->id, "error", &work.why);
		account_note(c->m, 1, (Datum) 0, &work.why);
	}
}

/*
 * Translates what was written in the other shape.  The columns of that shape
 * that were not written must be right before: in a row that no copy has
 * reached yet, they are not.
 */
static ErrorData *
translate_row(Call *c, const Bitmapset *written)
{
	Bitmapset  *targets = columns_to_translate(c, written);

	check_may_translate(c);
	store(c, c->plan->derive, bms_difference(c->plan->derive->writes, written));
	if (!bms_is_empty(targets))
	{
		evaluate(c, c->plan->translate, targets);
		store(c, c->plan->translate, targets);
	}
	return derive(c);
}

/* One mapping's part of a row; returns the tuple, changed if need be. */
static HeapTuple
apply_mapping(Call *c, HeapTuple tuple, TupleTableSlot *row)
{
	InPlacePlan *plan = c->plan;
	ErrorData  *error;
	Bitmapset  *written;

	load_row(plan, row, plan->new_row);
	if (c->update)
		load_row(plan, c->trigger->tg_trigslot, plan->old_row);
	c->values = palloc(sizeof(Datum) * plan->desc->natts);
	c->nulls = palloc(sizeof(bool) * plan->desc->natts);
	error = derive(c);
	written = written_in_other_shape(c, error == NULL);
	if (written != NULL)
		error = translate_row(c, written);
	if (error != NULL)
		record(c, error);
	else
		store(c, plan->derive, plan->derive->writes);
	return bms_is_empty(c->modified) ? tuple : modify(c, tuple);
}

/* Sets the columns of the row that a trigger was called for; returns the tuple to store. */
HeapTuple
in_place_apply(CaptureSet *set, const TriggerData *trigger)
{
	bool		update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	TupleTableSlot *given = update ? trigger->tg_newslot : trigger->tg_trigslot;
	HeapTuple	tuple = update ? trigger->tg_newtuple : trigger->tg_trigtuple;
	TupleTableSlot *row = given;
	ListCell   *lc;

	if (set->users > 1)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("an expression that is mapped in place writes to \"%s\" itself",
						RelationGetRelationName(trigger->tg_relation))));
	foreach(lc, set->mappings)
	{
		CaptureMapping *cm = lfirst(lc);
		Call		c = {trigger, cm->mapping, get_plan(set, cm), update};
		HeapTuple	before = tuple;

		tuple = apply_mapping(&c, tuple, row);
		if (tuple == before || lnext(set->mappings, lc) == NULL)
			continue;
		if (row == given)
			row = MakeSingleTupleTableSlot(RelationGetDescr(trigger->tg_relation), &TTSOpsHeapTuple);
		ExecStoreHeapTuple(tuple, row, false);
	}
	if (row != given)
		ExecDropSingleTupleTableSlot(row);
	return tuple;
}
