/*
 * backfill.c
 *		Copies the rows that were there before the dual writes.
 *
 * The unit is a range of heap blocks of a leaf relation, read with a TID range
 * scan.  A target row that is there already was written by a dual write or an
 * earlier batch, and is at least as new.  Few batches meet one: they are first
 * inserted as if there were none, below SQL where the target is plain, and
 * after a unique violation once more with ON CONFLICT (key) DO NOTHING.
 *
 * The source is never written, nor are its rows locked; but in place, where the
 * rows that differ are updated, except those that somebody has locked.
 *
 * Rows that move while the copy runs were updated, and so dual-written; blocks
 * that are added hold only such rows.  A rewrite of the heap makes block
 * numbers meaningless: the leaf's ranges are made anew.
 */
#include "postgres.h"

#include "access/relation.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/itemptr.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/deferred.h"
#include "base/quote.h"
#include "base/setting.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "capture/apply_frame.h"
#include "catalog/dirty_key.h"
#include "catalog/job_duplicate.h"
#include "catalog/job_range.h"
#include "catalog/mapping.h"
#include "copy/backfill.h"
#include "copy/direct_copy.h"
#include "copy/position.h"
#include "copy/quarantine.h"
#include "copy/range_plan.h"
#include "projection/key.h"
#include "projection/projection.h"
#include "projection/reference.h"

/* Batches that are copied cautiously in a row, at most, before another guess. */
#define MAX_CAUTIOUS_BATCHES 64

/* What a batch needs; filled step by step. */
typedef struct Batch
{
	const Migration *g;
	List	   *mappings;		/* those with the range's source */
	JobRange	range;
	int64		end_block;		/* exclusive */
} Batch;

/* What work_batch is given, and gives back. */
typedef struct BatchWork
{
	const Batch *batch;
	int64		rows;
} BatchWork;

/* A part of a batch that is copied in one subtransaction. */
typedef struct Part
{
	const Batch *b;
	List	   *mappings;
	Stretch		stretch;
	bool		optimistic;		/* a key that is there already is an error */
	int64		rows;			/* result: inserted */
} Part;

/* Rows in a block of the relation, by its statistics. */
static double
rows_per_block(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	double		pages = rel->rd_rel->relpages;
	double		tuples = rel->rd_rel->reltuples;

	relation_close(rel, NoLock);
	if (pages > 0 && tuples > 0)
		return Max(1.0, tuples / pages);
	return 80;					/* never analyzed: rows of 100 bytes */
}

/* Limits for a batch's size in blocks, by the job's or the settings' rows. */
static void
batch_limits(const Job *job, const Migration *g, Oid relation, int *low, int *high)
{
	double		density = rows_per_block(relation);
	int			low_rows = job->batch_rows;
	int			high_rows = job->batch_rows;

	if (job->batch_rows == 0)
		setting_range(g->settings, "batch_rows", &low_rows, &high_rows);
	/* each pause for replica lag has halved the batches */
	*low = Max(1, (int) (low_rows / density) >> job->halvings);
	*high = Max(*low, (int) (high_rows / density) >> job->halvings);
}

/* The keys of the rows in place that differ still become dirty. */
static void
leave_differing(const Part *p, const Mapping *m)
{
	uint64		n = stretch_run(&p->b->range.extent, p->stretch, projection_range_differing(m, p->b->range.extent.relation));
	Datum	   *keys = palloc(sizeof(Datum) * Max(n, 1));

	for (uint64 i = 0; i < n; i++)
		keys[i] = spi_get_datum(i, 1);
	(void) dirty_key_add(m->id, construct_array(keys, n, JSONBOID, -1, false, TYPALIGN_INT), "reconcile", NULL);
}

/* Sets the columns of a part in place; rows that others have locked are left to the drain. */
static uint64
set_in_place(const Part *p, const Mapping *m)
{
	int64		differed;
	int64		set;
	int64		busy;

	if (direct_set_in_place(m, p->b->range.extent.relation, p->stretch, &set, &busy))
	{
		if (busy > 0)
			leave_differing(p, m);
		return set;
	}
	(void) stretch_run(&p->b->range.extent, p->stretch, projection_set_in_place(m, p->b->range.extent.relation));
	differed = spi_get_int8(0, 1);
	set = spi_get_int8(0, 2);
	if (set < differed)
		leave_differing(p, m);
	return set;
}

/* Inserts the rows of a part by one mapping, in the fastest way there is. */
static int64
insert_rows(const Part *p, const Mapping *m)
{
	SpiScope	scope;
	const Extent *e = &p->b->range.extent;
	StretchArgs bounds;
	ArrayType  *lost = NULL;
	int64		rows;

	stretch_bind(e, p->stretch, &bounds);
	if (ref_dedupes(m) && e->key_column == NULL)
		lost = job_duplicate_list(p->b->range.job_id, m->id, e->relation, bounds.low, bounds.high);
	if (p->optimistic && !mapping_is_in_place(m) && e->key_column == NULL && direct_copy(m, e->relation, p->stretch, lost, &rows))
		return rows;
	spi_open_owner(&scope, m->owner, m->time_zone);
	rows = mapping_is_in_place(m) ? set_in_place(p, m) :
		spi_run_active(projection_copy(m, e, p->optimistic),
					   SPI_ARGS(bounds.args[0], bounds.args[1], spi_datum(TIDARRAYOID, PointerGetDatum(lost), lost == NULL)));
	spi_close(&scope);
	return rows;
}

/*
 * Work for subxact_try: the writes of a part.  All mappings read one state of
 * the source: a row that only a later one saw might name, by a foreign key, a
 * row that an earlier one should have written.
 */
static void
work_copy(void *arg)
{
	Part	   *p = arg;
	ListCell   *lc;
	DeferredConstraints deferred;

	p->rows = 0;
	PushActiveSnapshot(GetLatestSnapshot());
	foreach(lc, p->mappings)
	{
		Mapping    *m = lfirst(lc);

		p->rows += insert_rows(p, m);
		deferred_find(m->target, &deferred);
		deferred_check(&deferred);
	}
	PopActiveSnapshot();
}

/* A clash on a unique index? */
static bool
is_clash(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION;
}

/*
 * Whether a batch meets rows that are there is guessed by the last ones of its
 * relation: after each that did, twice as many as before are copied cautiously.
 */
static struct
{
	int64		job_id;
	Oid			relation;
	int			cautious;		/* batches to be copied cautiously */
	int			penalty;		/* how many after the next that is not right */
}			guess;

static bool
guess_optimistic(const Part *p)
{
	const Batch *b = p->b;

	if (guess.job_id != b->range.job_id || guess.relation != b->range.extent.relation)
	{
		guess.job_id = b->range.job_id;
		guess.relation = b->range.extent.relation;
		guess.cautious = 0;
		guess.penalty = 1;
	}
	if (guess.cautious == 0)
		return true;
	guess.cautious--;
	return false;
}

/*
 * Copies a stretch optimistically, if that is likely to do; otherwise, or when
 * it did not, cautiously.  NULL or the error.
 */
static ErrorData *
copy_stretch(void *arg, List *mappings, Stretch stretch, int64 *rows)
{
	Part		p = {arg, mappings, stretch};
	ErrorData  *error;

	p.optimistic = guess_optimistic(&p);
	error = subxact_try(work_copy, &p);
	if (p.optimistic && error == NULL)
		guess.penalty = Max(1, guess.penalty / 2);
	else if (p.optimistic && is_clash(error))
	{
		guess.cautious = guess.penalty;
		guess.penalty = Min(MAX_CAUTIOUS_BATCHES, guess.penalty * 2);
		p.optimistic = false;
		error = subxact_try(work_copy, &p);
	}
	*rows = p.rows;
	return error;
}

/* Work for subxact_try: the whole batch. */
static void
work_batch(void *arg)
{
	BatchWork  *w = arg;
	const Batch *b = w->batch;
	Stretch		stretch = {POSITION(b->range.next_block, 0), POSITION(b->end_block, 0)};
	Quarantine	q = {b->g, b->mappings, &b->range.extent, copy_stretch, (void *) b};
	ErrorData  *error = copy_stretch((void *) b, b->mappings, stretch, &q.rows);
	ListCell   *lc;

	if (error != NULL && (!quarantine_may_isolate(error) || extent_is_whole(&b->range.extent)))
		ReThrowError(error);
	if (error != NULL)
	{
		q.rows = 0;
		quarantine_copy(&q, stretch);
	}
	foreach(lc, b->mappings)
		quarantine_list_stretch(lfirst(lc), &b->range.extent, stretch);
	w->rows = q.rows;
}

/* Copies the batch as a write of ours; NULL or the error. */
static ErrorData *
copy_batch(const Batch *b, int64 *rows)
{
	ApplyFrame	frame;
	BatchWork	work = {b};
	ErrorData  *volatile error = NULL;

	apply_begin(&frame, b->g->id, MAPPING_FORWARD);
	PG_TRY();
	{
		error = subxact_try(work_batch, &work);
	}
	PG_FINALLY();
	{
		apply_end(&frame);
	}
	PG_END_TRY();
	*rows = work.rows;
	return error;
}

/* The batch size after one that took a time: towards the target time. */
static int
next_size(const Migration *g, int blocks, double elapsed_ms, int low, int high)
{
	double		target = setting_int(g->settings, "batch_target_time");
	double		factor = target / Max(elapsed_ms, 1.0);

	factor = Min(2.0, Max(0.5, factor));
	return Min(high, Max(low, (int) (blocks * factor)));
}

/*
 * Copies one batch in the current transaction, which the caller commits.  A
 * batch that meets the application (lock_timeout, deadlock, serialization) is
 * rolled back and halved.
 */
BatchOutcome
backfill_batch(const Job *job, const Migration *g, BatchResult *result)
{
	Batch		b = {g, NIL};
	ErrorData  *error;
	int			low;
	int			high;
	int			blocks;
	instr_time	start;
	instr_time	now;
	ListCell   *lc;

	if (!job_range_take(job->id, &b.range))
		return BATCH_NONE;
	if (!range_plan_holds(&b.range, g->id))
		return BATCH_COPIED;

	/* a rollback that held the lock we waited for has cancelled the job */
	if (!job_is_active(job->id))
		return BATCH_NONE;
	foreach(lc, mapping_list(g->id, MAPPING_FORWARD))
	{
		if (((Mapping *) lfirst(lc))->source == b.range.source)
			b.mappings = lappend(b.mappings, lfirst(lc));
	}
	batch_limits(job, g, b.range.extent.relation, &low, &high);
	blocks = b.range.batch_blocks > 0 ? Min(b.range.batch_blocks, high) : low;
	b.end_block = Min(b.range.next_block + blocks, b.range.end_block);

	pgstat_report_activity(STATE_RUNNING,
						   psprintf("migrate_ext %s: copying blocks %lld to %lld of %s", g->name, (long long) b.range.next_block,
									(long long) b.end_block - 1, name_relation(b.range.extent.relation)));
	INSTR_TIME_SET_CURRENT(start);
	error = copy_batch(&b, &result->rows);
	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	result->ms = INSTR_TIME_GET_MILLISEC(now);
	if (error == NULL)
	{
		job_range_checkpoint(&b.range, b.end_block, result->rows, next_size(g, blocks, result->ms, low, high));
		return BATCH_COPIED;
	}
	if (error_is_transient(error))
	{
		job_range_note_retry(&b.range, Max(1, blocks / 2));
		return BATCH_YIELDED;
	}
	result->error = error;
	error->context = psprintf("copying blocks %lld to %lld of %s",
							  (long long) b.range.next_block, (long long) b.end_block - 1,
							  name_relation(b.range.extent.relation));
	return BATCH_FAILED;
}
