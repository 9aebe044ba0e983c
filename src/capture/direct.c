/*
 * direct.c
 *		Applies the rows of a statement to a plain target, below SQL.
 *
 * The transition tables hold the rows as the statement left them.  Where
 * nothing has changed the source since (the caller knows), they are the source
 * rows, and there is nothing to look up there; and for each of them one look
 * into the target's key index tells what to do.
 *
 * Anything that is not as expected is left to SQL, which derives the target
 * from the source as it is now: so it does no harm that some rows were
 * written already.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/identity.h"
#include "base/plain_table.h"
#include "capture/direct.h"
#include "capture/key_batch.h"
#include "capture/trigger.h"
#include "projection/expression.h"
#include "projection/key.h"
#include "projection/projection.h"
#include "projection/reference.h"

/* A statement's rows on their way into one target. */
typedef struct DirectRun
{
	DirectPlan *d;
	const Mapping *m;
	const bool *stale;			/* has anything the plan is made of changed? */
	PlainTable *table;			/* NULL until it is needed */
	bool		renames;
	KeyBatch   *keys;			/* new keys that rows got, or NULL where no expression asks for them */
	Datum	   *values;			/* by target attribute */
	bool	   *nulls;
	MemoryContext context;		/* for the whole run */
	MemoryContext row_context;
} DirectRun;

/*
 * Is it a trigger of this migration?  It has nothing to do for our own writes,
 * unless it sets columns of the row.
 */
static bool
is_own_trigger(const Trigger *trigger, int64 migration_id, bool in_place)
{
	return trigger->tgnargs == CAPTURE_ARGUMENTS + (in_place ? 1 : 0) && trigger_is_ours(trigger) &&
		strtoll(trigger->tgargs[0], NULL, 10) == migration_id;
}

/* Has the target triggers that only the executor fires? */
static bool
has_other_triggers(Relation target, int64 migration_id, bool in_place)
{
	TriggerDesc *triggers = target->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *t = &triggers->triggers[i];

		if (t->tgenabled == TRIGGER_DISABLED ||
			(TRIGGER_FOR_ROW(t->tgtype) && TRIGGER_FOR_AFTER(t->tgtype) &&
			 t->tgoldtable == NULL && t->tgnewtable == NULL))
			continue;
		if (!is_own_trigger(t, migration_id, in_place))
			return true;
	}
	return false;
}

/* Adds the scan keys of the key's index; false if one has no usable operator. */
static bool
plan_keys(DirectPlan *d, const Mapping *m, Relation target)
{
	Relation	index = index_open(d->key_index, AccessShareLock);
	bool		usable = index->rd_rel->relam == BTREE_AM_OID;
	List	   *sources;
	ListCell   *lc;

	d->nkeys = index->rd_index->indnkeyatts;
	d->keys = palloc0(sizeof(ScanKeyData) * d->nkeys);
	d->key_columns = palloc(sizeof(AttrNumber) * d->nkeys);
	(void) projection_key_sources(m, &sources);
	foreach(lc, sources)
		d->key_reads = bms_add_member(d->key_reads, get_attnum(m->source, lfirst(lc)));
	for (int i = 0; usable && i < d->nkeys; i++)
	{
		Oid			type = index->rd_opcintype[i];
		Oid			operator = get_opfamily_member(index->rd_opfamily[i], type, type,
												   BTEqualStrategyNumber);

		d->key_columns[i] = index->rd_index->indkey.values[i];
		usable = OidIsValid(operator);
		if (usable)
			ScanKeyEntryInitialize(&d->keys[i], 0, i + 1, BTEqualStrategyNumber, type,
								   index->rd_indcollation[i], get_opcode(operator), (Datum) 0);
	}
	index_close(index, AccessShareLock);
	return usable;
}

/* Adds the defaults of the columns that an inserted row gets from nowhere else. */
static void
plan_defaults(DirectPlan *d, Relation target)
{
	TupleDesc	desc = RelationGetDescr(target);

	d->default_columns = palloc(sizeof(AttrNumber) * desc->natts);
	d->defaults = palloc(sizeof(ExprState *) * desc->natts);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Expr	   *tree;

		if (att->attisdropped || att->attgenerated || bms_is_member(i + 1, d->program->writes))
			continue;
		tree = (Expr *) build_column_default(target, i + 1);
		if (tree == NULL)
			continue;
		d->default_columns[d->ndefaults] = i + 1;
		d->defaults[d->ndefaults++] = ExecInitExpr(expression_planner(tree), NULL);
	}
}

/* May what the target itself computes depend on settings? */
static bool
target_needs_settings(const DirectPlan *d, Relation target)
{
	TupleConstr *constr = RelationGetDescr(target)->constr;
	ListCell   *lc;
	bool		found = d->ndefaults > 0 || target->trigdesc != NULL ||
		(constr != NULL && (constr->num_check > 0 || constr->has_generated_stored));

	foreach(lc, RelationGetIndexList(target))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		found = found || RelationGetIndexExpressions(index) != NIL || RelationGetIndexPredicate(index) != NIL;
		index_close(index, AccessShareLock);
	}
	return found;
}

/* Adds the source columns that tell which target row a source row has, if any. */
static void
plan_identity(DirectPlan *d, Relation source)
{
	TupleDesc	desc = RelationGetDescr(source);
	int			attnum = -1;

	d->identifying = bms_union(d->program->filter_reads, d->key_reads);
	while ((attnum = bms_next_member(d->program->reads, attnum)) >= 0)
		d->reads_generated = d->reads_generated || TupleDescAttr(desc, attnum - 1)->attgenerated != '\0';
}

/* Adds how to turn rows of a descendant into rows of the source. */
static void
plan_conversion(DirectPlan *d, Relation source, Oid relid)
{
	Relation	leaf;

	if (relid == RelationGetRelid(source))
		return;
	leaf = relation_open(relid, AccessShareLock);
	d->to_source = convert_tuples_by_name(CreateTupleDescCopy(RelationGetDescr(leaf)),
										  CreateTupleDescCopy(RelationGetDescr(source)));
	relation_close(leaf, NoLock);
}

/* Fills in a plan; false if the mapping's target must be written by SQL. */
static bool
fill_plan(DirectPlan *d, const Mapping *m, Oid relid)
{
	Relation	target = table_open(m->target, AccessShareLock);
	bool		usable = plain_table_is_plain(target) && !has_other_triggers(target, m->migration_id, mapping_is_in_place(m));

	if (usable)
	{
		d->key_index = key_index(m->target, m->key, true);
		d->program = program_compile(m);
		usable = OidIsValid(d->key_index) && d->program != NULL && plan_keys(d, m, target);
	}
	if (usable)
	{
		d->target_natts = RelationGetNumberOfAttributes(target);
		plan_defaults(d, target);
		d->needs_settings = d->program->needs_settings || target_needs_settings(d, target);
		d->removes = (m->scope == NULL || !m->reverse) && !m->clears;	/* forward, the key says what is in scope */
	}
	if (usable)
	{
		Relation	source = relation_open(m->source, AccessShareLock);

		plan_identity(d, source);
		plan_conversion(d, source, relid);
		relation_close(source, NoLock);
	}
	table_close(target, NoLock);
	return usable;
}

/*
 * The plan for rows of a relation that is the mapping's source or one of its
 * descendants; NULL if SQL is needed.  Called as the mapping's owner.  That no two source rows
 * have one key is for those to know who take a row for all that a key has.
 */
DirectPlan *
direct_plan(const Mapping *m, Oid relid, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "migrate_ext direct plan",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	DirectPlan *d = palloc0(sizeof(DirectPlan));
	bool		usable;

	d->context = context;
	usable = fill_plan(d, m, relid);
	MemoryContextSwitchTo(old);
	if (!usable)
	{
		MemoryContextDelete(context);
		return NULL;
	}
	MemoryContextSetParent(context, parent);
	return d;
}

/*
 * Opens the target when the first row needs it.  Only when it is locked it is
 * certain that the plan is for the table as it is.
 */
static PlainTable *
target_table(DirectRun *run)
{
	if (run->table == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(run->context);

		run->table = plain_table_open(run->m->target, run->d->key_index, run->d->nkeys,
									  run->d->program->writes);
		MemoryContextSwitchTo(old);
		if (*run->stale)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("the definition of \"%s\" has changed", get_rel_name(run->m->target))));
	}
	return run->table;
}

/* Finds the target row with the key in run->values. */
static bool
find_target(DirectRun *run, bool committed_only)
{
	DirectPlan *d = run->d;

	for (int i = 0; i < d->nkeys; i++)
	{
		if (run->nulls[d->key_columns[i] - 1])
			ereport(ERROR,
					(errcode(ERRCODE_NOT_NULL_VIOLATION),
					 errmsg("key column \"%s\" of %s is null",
							get_attname(run->m->target, d->key_columns[i], false),
							get_rel_name(run->m->target))));
		d->keys[i].sk_argument = run->values[d->key_columns[i] - 1];
	}
	return plain_table_find(target_table(run), d->keys, d->nkeys, committed_only);
}

/* Empties a row to insert: defaults, and nulls elsewhere. */
void
direct_begin_row(const DirectPlan *d, TupleTableSlot *row)
{
	ExecClearTuple(row);
	memset(row->tts_isnull, true, row->tts_tupleDescriptor->natts * sizeof(bool));
	for (int i = 0; i < d->ndefaults; i++)
	{
		int			to = d->default_columns[i] - 1;

		row->tts_values[to] = ExecEvalExprSwitchContext(d->defaults[i], d->program->econtext,
														&row->tts_isnull[to]);
	}
}

/* Fills in a row to insert, from the projection's values. */
static void
fill_row(DirectRun *run, TupleTableSlot *row)
{
	const Program *program = run->d->program;

	direct_begin_row(run->d, row);
	for (int i = 0; i < program->ncolumns; i++)
	{
		int			to = program->columns[i].target - 1;

		row->tts_values[to] = run->values[to];
		row->tts_isnull[to] = run->nulls[to];
	}
	ExecStoreVirtualTuple(row);
}

/*
 * Fills in the row that replaces the one found; false if they are the same.
 * A value that is the same keeps its place in the TOAST table.
 */
static bool
fill_changed_row(DirectRun *run)
{
	TupleTableSlot *row = run->table->row;
	TupleTableSlot *found = run->table->found;
	int			natts = row->tts_tupleDescriptor->natts;
	bool		changed = false;

	ExecClearTuple(row);
	slot_getallattrs(found);
	memcpy(row->tts_values, found->tts_values, natts * sizeof(Datum));
	memcpy(row->tts_isnull, found->tts_isnull, natts * sizeof(bool));
	for (int i = 0; i < run->d->program->ncolumns; i++)
	{
		ProgramColumn *c = &run->d->program->columns[i];
		int			to = c->target - 1;

		if (program_images_equal(run->values[to], run->nulls[to], row->tts_values[to],
								 row->tts_isnull[to], c->byval, c->len))
			continue;
		row->tts_values[to] = run->values[to];
		row->tts_isnull[to] = run->nulls[to];
		changed = true;
	}
	ExecStoreVirtualTuple(row);
	return changed;
}

/*
 * Makes the target row of a source row what it must be.  One that is that already is
 * locked all the same for a source row that is new: a sync of its key, which does
 * not see the source row yet, would delete it.  For others that row is locked.
 */
static void
upsert_row(DirectRun *run, TupleTableSlot *source, bool is_new)
{
	program_evaluate(run->d->program, source, run->values, run->nulls);
	for (;;)
	{
		if (!find_target(run, false))
		{
			fill_row(run, run->table->row);
			plain_table_insert(run->table);
			return;
		}
		if (fill_changed_row(run) ? plain_table_update(run->table) : !is_new || plain_table_lock(run->table))
			return;
	}
}

/*
 * Removes the target row of a source row; false if there is none.  One that a
 * batch of the copy brings at this moment is left to the dirty key.
 */
static bool
remove_row(DirectRun *run, TupleTableSlot *source)
{
	program_evaluate(run->d->program, source, run->values, run->nulls);
	do
	{
		if (!find_target(run, !mapping_is_settled(run->m)))
			return false;
	} while (!plain_table_delete(run->table));
	return true;
}

/* Has the update left the key of the row alone? */
static bool
same_key(const DirectPlan *d, TupleTableSlot *old_row, TupleTableSlot *new_row)
{
	int			attnum = -1;

	while ((attnum = bms_next_member(d->key_reads, attnum)) >= 0)
	{
		Form_pg_attribute att = TupleDescAttr(old_row->tts_tupleDescriptor, attnum - 1);
		bool		old_null;
		bool		new_null;
		Datum		old_value = slot_getattr(old_row, attnum, &old_null);
		Datum		new_value = slot_getattr(new_row, attnum, &new_null);

		if (!program_images_equal(old_value, old_null, new_value, new_null, att->attbyval, att->attlen))
			return false;
	}
	return true;
}

/*
 * Gives the target row of a source row its new key; false if there is none, or there is
 * one with that key already.
 */
static bool
rename_row(DirectRun *run, TupleTableSlot *old_row, TupleTableSlot *new_row)
{
	Program    *program = run->d->program;

	if (!mapping_is_settled(run->m) || !run->d->removes || !program_passes(program, old_row) || !program_passes(program, new_row))
		return false;
	do
	{
		program_evaluate(program, new_row, run->values, run->nulls);
		if (find_target(run, false))
			return false;
		program_evaluate(program, old_row, run->values, run->nulls);
		if (!find_target(run, false))
			return false;
		program_evaluate(program, new_row, run->values, run->nulls);
	} while (fill_changed_row(run) && !plain_table_update(run->table));
	return true;
}

/* An inserted row. */
static bool
apply_insert(DirectRun *run, TupleTableSlot *new_row)
{
	if (program_passes(run->d->program, new_row))
		upsert_row(run, new_row, true);
	return true;
}

/* A deleted row. */
static bool
apply_delete(DirectRun *run, TupleTableSlot *old_row)
{
	return !program_passes(run->d->program, old_row) || remove_row(run, old_row) || !mapping_is_settled(run->m);
}

/*
 * An updated row.  Where no column that is read has changed, the target row is
 * right, or its key is dirty; but while the copy is under way, the row may
 * have moved behind it, and must be there.
 */
static bool
apply_update(DirectRun *run, TupleTableSlot *old_row, TupleTableSlot *new_row)
{
	Program    *program = run->d->program;

	if (mapping_is_settled(run->m) && program_reads_same(program, old_row, new_row))
		return true;
	if (!same_key(run->d, old_row, new_row))
		return run->renames && rename_row(run, old_row, new_row);
	if (program_passes(program, new_row))
	{
		upsert_row(run, new_row, false);
		return true;
	}
	if (!program_passes(program, old_row))
		return true;
	return mapping_is_settled(run->m) && run->d->removes && remove_row(run, old_row);
}

/* Reads the rows of a transition table one after the other, as source rows. */
typedef struct RowReader
{
	Tuplestorestate *store;
	int			pointer;
	TupleTableSlot *raw;
	TupleTableSlot *converted;	/* NULL if the rows are source rows already */
	TupleConversionMap *map;
} RowReader;

static RowReader *
open_reader(Tuplestorestate *store, Relation relation, const DirectPlan *d)
{
	RowReader  *r;

	if (store == NULL)
		return NULL;
	r = palloc0(sizeof(RowReader));
	r->store = store;
	r->pointer = tuplestore_alloc_read_pointer(store, EXEC_FLAG_REWIND);
	tuplestore_select_read_pointer(store, r->pointer);
	tuplestore_rescan(store);
	r->raw = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsMinimalTuple);
	r->map = d->to_source;
	if (r->map != NULL)
		r->converted = MakeSingleTupleTableSlot(r->map->outdesc, &TTSOpsVirtual);
	return r;
}

static void
close_reader(RowReader *r)
{
	if (r == NULL)
		return;
	ExecDropSingleTupleTableSlot(r->raw);
	if (r->converted != NULL)
		ExecDropSingleTupleTableSlot(r->converted);
}

static TupleTableSlot *
read_row(RowReader *r)
{
	tuplestore_select_read_pointer(r->store, r->pointer);
	if (!tuplestore_gettupleslot(r->store, true, false, r->raw))
		return NULL;
	return r->map ? execute_attr_map_slot(r->map->attrMap, r->raw, r->converted) : r->raw;
}

/* Goes through the rows; false as soon as one is to be left to SQL. */
static bool
apply_rows(DirectRun *run, const DirectRows *rows)
{
	RowReader  *old_reader = open_reader(rows->old_rows, rows->relation, run->d);
	RowReader  *new_reader = open_reader(rows->new_rows, rows->relation, run->d);
	bool		applied = true;

	while (applied)
	{
		TupleTableSlot *old_row = old_reader ? read_row(old_reader) : NULL;
		TupleTableSlot *new_row = new_reader ? read_row(new_reader) : NULL;
		MemoryContext old;

		if (old_row == NULL && new_row == NULL)
			break;
		CHECK_FOR_INTERRUPTS();
		ResetExprContext(run->d->program->econtext);
		MemoryContextReset(run->row_context);
		old = MemoryContextSwitchTo(run->row_context);
		applied = old_reader == NULL ? apply_insert(run, new_row) :
			new_reader == NULL ? apply_delete(run, old_row) :
			old_row != NULL && new_row != NULL && apply_update(run, old_row, new_row);
		MemoryContextSwitchTo(old);
		if (run->keys != NULL)
			key_batch_keep_many(run->keys);
	}
	close_reader(old_reader);
	close_reader(new_reader);
	return applied;
}

/*
 * The same, with the new keys that the rows get added to the map together.  Where somebody
 * gives out one of them meanwhile it is an error, and all is done by SQL, which waits for him.
 */
static bool
apply_with_keys(DirectRun *run, const DirectRows *rows)
{
	bool		applied = false;

	if (!run->d->program->calls_user_code)
		return apply_rows(run, rows);
	run->keys = key_batch_begin();
	PG_TRY();
	{
		applied = apply_rows(run, rows);
		key_batch_finish(run->keys);
	}
	PG_FINALLY();
	{
		key_batch_leave(run->keys);
	}
	PG_END_TRY();
	return applied;
}

/* May the mapping's owner still write the target?  Nobody else checks here. */
bool
direct_may_write(const Mapping *m)
{
	AclMode		rights = ACL_SELECT | ACL_INSERT | ACL_UPDATE | ACL_DELETE;

	return pg_class_aclmask(m->target, m->owner, rights, ACLMASK_ALL) == rights;
}

/*
 * Applies a statement's rows to the target; false if the rest, or all of it,
 * must be done by SQL.  *stale tells whether the plan has become useless.
 * Called as the mapping's owner.
 */
bool
direct_apply(DirectPlan *d, const Mapping *m, const DirectRows *rows, const bool *stale)
{
	DirectRun	run = {.d = d, .m = m, .stale = stale, .renames = rows->renames};
	bool		applied;

	if (!direct_may_write(m))
		return false;
	run.values = palloc(sizeof(Datum) * d->target_natts);
	run.nulls = palloc(sizeof(bool) * d->target_natts);
	run.context = CurrentMemoryContext;
	run.row_context = AllocSetContextCreate(CurrentMemoryContext, "migrate_ext row",
											ALLOCSET_DEFAULT_SIZES);
	applied = apply_with_keys(&run, rows);
	if (run.table != NULL)
		plain_table_close(run.table);
	MemoryContextDelete(run.row_context);
	return applied;
}
