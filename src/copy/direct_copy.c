/*
 * direct_copy.c
 *		Copies a range of blocks into a plain table, or sets columns in it, below SQL.
 *
 * The same rows, projected by the same expressions as the dual write's direct
 * way, inserted many at a time as COPY does: a WAL record a page instead of one
 * a row, and no executor.  Where nothing is changed, rows are copied as they are
 * stored, and not even taken apart.  Constraints, indexes, generated columns, defaults
 * and foreign keys are those of an INSERT.  A key that is there already is an
 * error, as it is for an optimistic INSERT: the caller takes the cautious way.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/identity.h"
#include "base/plain_table.h"
#include "capture/direct.h"
#include "capture/key_batch.h"
#include "copy/direct_copy.h"
#include "projection/program.h"

/* What the rows of a range go through. */
typedef struct CopyRun
{
	DirectPlan *d;
	PlainTable *target;
	TupleTableSlot *raw;		/* as read */
	TupleTableSlot *converted;	/* as a row of the source, where that is another relation */
	bool		alike;			/* rows of both sides have one form */
	KeyBatch   *keys;
	const ItemPointerData *lost;	/* the next row that is passed over */
	const ItemPointerData *lost_end;
} CopyRun;

/* Is a row of the one relation, as it is stored with as many columns, one of the target? */
static bool
rows_are_alike(const DirectPlan *d, Relation leaf, Relation target)
{
	TupleDesc	from = RelationGetDescr(leaf);
	TupleDesc	to = RelationGetDescr(target);

	if (d->to_source != NULL || d->program->ncolumns != to->natts)
		return false;
	for (int i = 0; i < d->program->ncolumns; i++)
	{
		const ProgramColumn *c = &d->program->columns[i];

		if (c->copied != c->target ||
			TupleDescAttr(from, c->copied - 1)->atttypid != TupleDescAttr(to, c->target - 1)->atttypid)
			return false;
	}
	return true;
}

/*
 * Copies the row that was read as it is stored; false if it was stored before a
 * column was added, or when rows had OIDs.  Values outside of the row are
 * brought by the insertion.
 */
static bool
copy_tuple(CopyRun *run)
{
	bool		is_copy;
	HeapTuple	tuple = ExecFetchSlotHeapTuple(run->raw, false, &is_copy);

	if (HeapTupleHeaderGetNatts(tuple->t_data) != run->d->program->ncolumns ||
		(tuple->t_data->t_infomask & HEAP_HASOID_OLD) != 0)
		return false;
	ExecForceStoreHeapTuple(tuple, plain_table_new_row(run->target), false);
	return true;
}

/* Is the row that was read one of those to be passed over?  They come in the same order. */
static bool
pass_over(CopyRun *run)
{
	while (run->lost < run->lost_end)
	{
		int32		order = ItemPointerCompare(unconstify(ItemPointerData *, run->lost), &run->raw->tts_tid);

		if (order > 0)
			break;
		run->lost++;
		if (order == 0)
			return true;
	}
	return false;
}

/* Projects the row that was read; false if the filter leaves it out. */
static bool
copy_row(CopyRun *run)
{
	Program    *program = run->d->program;
	TupleTableSlot *row = run->raw;

	ResetExprContext(program->econtext);
	if (run->d->to_source != NULL)
		row = execute_attr_map_slot(run->d->to_source->attrMap, run->raw, run->converted);
	if (!program_passes(program, row))
		return false;
	if (!run->alike || !copy_tuple(run))
	{
		TupleTableSlot *new_row = plain_table_new_row(run->target);

		direct_begin_row(run->d, new_row);
		program_evaluate(program, row, new_row->tts_values, new_row->tts_isnull);
		ExecStoreVirtualTuple(new_row);
	}
	plain_table_add_row(run->target);
	return true;
}

/* Reads the rows of a stretch and copies them; returns how many. */
static int64
read_rows(CopyRun *run, Relation leaf, Stretch stretch)
{
	ItemPointerData low = position_tid(Max(stretch.low, POSITION(POSITION_BLOCK(stretch.low), FirstOffsetNumber)));
	ItemPointerData high = position_tid(position_before(stretch.high));	/* inclusive */
	TableScanDesc scan;
	int64		rows = 0;

	scan = table_beginscan_tidrange(leaf, GetActiveSnapshot(), &low, &high);
	while (table_scan_getnextslot_tidrange(scan, ForwardScanDirection, run->raw))
	{
		CHECK_FOR_INTERRUPTS();
		if (pass_over(run))
			continue;
		rows += copy_row(run) ? 1 : 0;
		key_batch_keep_many(run->keys);
	}
	table_endscan(scan);
	return rows;
}

/* The same, with the new keys that they get added to the map together. */
static int64
copy_rows(CopyRun *run, Relation leaf, Stretch stretch)
{
	int64		rows = 0;

	run->keys = key_batch_begin();
	PG_TRY();
	{
		rows = read_rows(run, leaf, stretch);
		/* before the target's triggers are fired, which may look at the map */
		key_batch_finish(run->keys);
	}
	PG_FINALLY();
	{
		key_batch_leave(run->keys);
	}
	PG_END_TRY();
	return rows;
}

static bool
may_read(const Mapping *m)
{
	return pg_class_aclmask(m->source, m->owner, ACL_SELECT, ACLMASK_ALL) == ACL_SELECT;
}

/*
 * Copies the rows of a stretch of a leaf but for some, a sorted tid[] or NULL, under the active
 * snapshot, as the mapping's owner; false if that needs SQL.  *rows is how many
 * were inserted.  Locks: ROW EXCLUSIVE on the target.
 */
bool
direct_copy(const Mapping *m, Oid leaf, Stretch stretch, ArrayType *lost, int64 *rows)
{
	Identity	identity;
	CopyRun		run = {NULL};

	if (lost != NULL)
	{
		/* an item of the array is as long as a tid, and aligned as one */
		run.lost = (ItemPointerData *) ARR_DATA_PTR(lost);
		run.lost_end = run.lost + ArrayGetNItems(ARR_NDIM(lost), ARR_DIMS(lost));
	}

	if (!direct_may_write(m) || !may_read(m))
		return false;
	LockRelationOid(m->target, RowExclusiveLock);	/* the plan is for the table as it is */
	identity_become_owner(&identity, m->owner, m->time_zone);
	run.d = direct_plan(m, leaf, CurrentMemoryContext);
	if (run.d != NULL)
	{
		Relation	source = table_open(leaf, AccessShareLock);

		run.target = plain_table_open(m->target, run.d->key_index, run.d->nkeys, run.d->program->writes);
		run.raw = table_slot_create(source, NULL);
		run.alike = rows_are_alike(run.d, source, run.target->rel);
		if (run.d->to_source != NULL)
			run.converted = MakeSingleTupleTableSlot(run.d->to_source->outdesc, &TTSOpsVirtual);
		*rows = copy_rows(&run, source, stretch);
		plain_table_close(run.target);
		ExecDropSingleTupleTableSlot(run.raw);
		if (run.converted != NULL)
			ExecDropSingleTupleTableSlot(run.converted);
		table_close(source, NoLock);
	}
	identity_restore(&identity);
	return run.d != NULL;
}

/* What setting columns of rows in place has come to. */
typedef struct InPlaceRun
{
	DirectPlan *d;
	PlainTable *target;
	TupleTableSlot *raw;
	int64		set;
	int64		busy;
} InPlaceRun;

/* Fills in the row as it must be; false if it is that already. */
static bool
fill_in_place(InPlaceRun *run)
{
	Program    *program = run->d->program;
	TupleTableSlot *row = run->target->row;
	int			natts = row->tts_tupleDescriptor->natts;
	bool		changed = false;

	slot_getallattrs(run->raw);
	ExecClearTuple(row);
	memcpy(row->tts_values, run->raw->tts_values, natts * sizeof(Datum));
	memcpy(row->tts_isnull, run->raw->tts_isnull, natts * sizeof(bool));
	for (int i = 0; i < program->ncolumns; i++)
	{
		const ProgramColumn *c = &program->columns[i];
		int			to = c->target - 1;

		if (c->copied == c->target)
			continue;
		program_evaluate_column(program, i, run->raw, row->tts_values, row->tts_isnull);
		changed = changed || !program_images_equal(row->tts_values[to], row->tts_isnull[to], run->raw->tts_values[to],
												   run->raw->tts_isnull[to], c->byval, c->len);
	}
	ExecStoreVirtualTuple(row);
	return changed;
}

/* Sets the columns of the rows of a stretch that differ. */
static void
set_rows(InPlaceRun *run, Stretch stretch)
{
	ItemPointerData low = position_tid(Max(stretch.low, POSITION(POSITION_BLOCK(stretch.low), FirstOffsetNumber)));
	ItemPointerData high = position_tid(position_before(stretch.high));	/* inclusive */
	TableScanDesc scan = table_beginscan_tidrange(run->target->rel, GetActiveSnapshot(), &low, &high);

	while (table_scan_getnextslot_tidrange(scan, ForwardScanDirection, run->raw))
	{
		ItemPointerData tid = run->raw->tts_tid;
		bool		busy;

		CHECK_FOR_INTERRUPTS();
		ResetExprContext(run->d->program->econtext);
		if (!fill_in_place(run))
			continue;
		/* what somebody has changed since has had its columns set with that */
		if (plain_table_update_at(run->target, &tid, &busy))
			run->set++;
		else if (busy)
			run->busy++;
	}
	table_endscan(scan);
}

/*
 * Sets the columns of a mapping in place in the rows of a stretch that differ,
 * under the active snapshot, as the mapping's owner; false if that needs SQL.  *set is
 * how many were, *busy how many others were writing.  Locks: ROW EXCLUSIVE.
 */
bool
direct_set_in_place(const Mapping *m, Oid leaf, Stretch stretch, int64 *set, int64 *busy)
{
	Identity	identity;
	InPlaceRun	run = {NULL};

	if (leaf != m->target || !direct_may_write(m))
		return false;
	LockRelationOid(m->target, RowExclusiveLock);	/* the plan is for the table as it is */
	identity_become_owner(&identity, m->owner, m->time_zone);
	run.d = direct_plan(m, leaf, CurrentMemoryContext);
	if (run.d != NULL)
	{
		run.target = plain_table_open(m->target, run.d->key_index, run.d->nkeys, run.d->program->writes);
		run.raw = table_slot_create(run.target->rel, NULL);
		set_rows(&run, stretch);
		ExecDropSingleTupleTableSlot(run.raw);
		plain_table_close(run.target);
	}
	identity_restore(&identity);
	*set = run.set;
	*busy = run.busy;
	return run.d != NULL;
}
