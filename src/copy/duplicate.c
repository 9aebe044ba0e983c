/*
 * duplicate.c
 *		What a copy leaves out, and lists: source rows that lose their key to another one (dedupe_by).
 *
 * Which of several rows is moved only a look at all of them can tell.  There is one before
 * the copy: the rows that lose are listed, and their places noted for the copy to pass
 * over.  Whatever is written since then, as a row that takes such a place, or makes
 * another row the first, has made its keys dirty: they are settled at the end.  What changes
 * rows and no trigger sees makes every key dirty.
 *
 * Each sync of a key lists the rows that have lost it anew.
 */
#include "postgres.h"

#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/itemptr.h"
#include "utils/guc.h"

#include "base/spi.h"
#include "capture/apply_frame.h"
#include "catalog/dirty_key.h"
#include "catalog/job_duplicate.h"
#include "catalog/rejected_row.h"
#include "copy/duplicate.h"
#include "copy/requeue.h"
#include "copy/settle.h"
#include "projection/key.h"
#include "projection/projection.h"
#include "projection/reference.h"

/* How many rows are noted at once. */
#define BATCH_ROWS 2000

/* A row that has lost its key. */
typedef struct LostRow
{
	Oid			relation;
	ItemPointerData tid;
	Datum		key;			/* of the row that is moved, jsonb */
	Datum		image;			/* jsonb; 0: it is gone, or another one by now */
} LostRow;

/* With which step does a backfill of the migration begin? */
const char *
duplicate_first_step(const Migration *g)
{
	ListCell   *lc;

	foreach(lc, mapping_list(g->id, MAPPING_FORWARD))
	{
		if (ref_dedupes(lfirst(lc)))
			return "duplicates";
	}
	return "copy";
}

/*
 * Keeps syncs off the mappings where several rows may have one key, or says that there is one: what
 * it has listed, and not committed, would be listed twice.
 */
bool
duplicate_lock_all(const Migration *g)
{
	ListCell   *lc;

	foreach(lc, mapping_list(g->id, MAPPING_FORWARD))
	{
		if (ref_dedupes(lfirst(lc)) && !settle_lock_out_others(lfirst(lc)))
			return false;
	}
	return true;
}

/* Have rows of the source places that stay theirs? */
static bool
has_places(Oid source)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(source, NoLock, NULL))
	{
		if (key_is_foreign(lfirst_oid(lc)))
			return false;
	}
	return true;
}

static int
compare_places(const void *a, const void *b)
{
	const LostRow *left = a;
	const LostRow *right = b;

	if (left->relation != right->relation)
		return left->relation < right->relation ? -1 : 1;
	return ItemPointerCompare(unconstify(ItemPointerData *, &left->tid), unconstify(ItemPointerData *, &right->tid));
}

/* The rows that SPI has read, in the order of their places. */
static LostRow *
read_places(uint64 n)
{
	LostRow    *rows = palloc0(sizeof(LostRow) * n);

	for (uint64 i = 0; i < n; i++)
	{
		rows[i].relation = spi_get_oid(i, 1);
		ItemPointerCopy((ItemPointer) DatumGetPointer(spi_get_datum(i, 2)), &rows[i].tid);
		rows[i].key = spi_get_datum(i, 3);
	}
	qsort(rows, n, sizeof(LostRow), compare_places);
	return rows;
}

/* Fills in what rows of one relation, at these places, hold. */
static void
read_images(const Mapping *m, LostRow *rows, int n, ArrayType *places)
{
	MemoryContext batch = CurrentMemoryContext;
	int			level = NewGUCNestLevel();
	uint64		found;

	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	found = spi_run(projection_images_at(m, rows[0].relation), SPI_ARGS(spi_datum(TIDARRAYOID, PointerGetDatum(places), false)));
	MemoryContextSwitchTo(batch);	/* SPI leaves us in one that lasts as long as the search */
	AtEOXact_GUC(true, level);
	for (uint64 i = 0; i < found; i++)
	{
		LostRow		wanted = {rows[0].relation};
		LostRow    *row;

		ItemPointerCopy((ItemPointer) DatumGetPointer(spi_get_datum(i, 1)), &wanted.tid);
		row = bsearch(&wanted, rows, n, sizeof(LostRow), compare_places);
		row->image = spi_get_datum(i, 2);
	}
}

/* Lists those of some rows that are still there. */
static void
list_rows(const Mapping *m, const LostRow *rows, int n)
{
	Datum	   *keys = palloc(sizeof(Datum) * n);
	Datum	   *images = palloc(sizeof(Datum) * n);
	int			known = 0;

	for (int i = 0; i < n; i++)
	{
		if (rows[i].image == (Datum) 0)
			continue;
		keys[known] = rows[i].key;
		images[known++] = rows[i].image;
	}
	if (known > 0)
		rejected_row_add_duplicates(m->id, construct_array(keys, known, JSONBOID, -1, false, TYPALIGN_INT),
									construct_array(images, known, JSONBOID, -1, false, TYPALIGN_INT));
}

/* Lists rows of one relation, and notes them for a job, if there is one. */
static void
note_rows(const Job *job, const Mapping *m, LostRow *rows, int n)
{
	Datum	   *tids = palloc(sizeof(Datum) * n);
	ArrayType  *places;

	for (int i = 0; i < n; i++)
		tids[i] = PointerGetDatum(&rows[i].tid);
	places = construct_array(tids, n, TIDOID, sizeof(ItemPointerData), false, TYPALIGN_SHORT);
	if (job != NULL)
		job_duplicate_add(job->id, m->id, rows[0].relation, places);
	read_images(m, rows, n, places);
	list_rows(m, rows, n);
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Ends a job's search for somebody who waits to lock the source, as a rollback does, and behind whom
 * the application waits.  One of a sync may be the rollback's own.
 */
static void
give_way(const Mapping *m)
{
	if (spi_change("SELECT FROM pg_locks WHERE NOT granted AND locktype = 'relation' AND database = $1 AND relation = $2 AND mode = 'AccessExclusiveLock'",
				   SPI_ARGS(spi_oid(OIDOID, MyDatabaseId), spi_oid(OIDOID, m->source))) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("the search for rows with one key gives way to who waits for the table")));
}

/* Work for requeue_scan. */
static void
note_found(const Mapping *m, uint64 n, void *arg)
{
	LostRow    *rows = read_places(n);
	uint64		begin = 0;

	if (arg != NULL)
		give_way(m);
	for (uint64 i = 1; i <= n; i++)
	{
		if (i < n && rows[i].relation == rows[begin].relation)
			continue;
		note_rows(arg, m, rows + begin, i - begin);
		begin = i;
	}
}

/* Work for requeue_scan: lists rows that have no places, those that lose. */
static void
list_found(const Mapping *m, uint64 n, void *arg)
{
	LostRow    *rows = palloc0(sizeof(LostRow) * n);

	for (uint64 i = 0; i < n; i++)
	{
		rows[i].key = spi_get_datum(i, 1);
		rows[i].image = spi_is_null(i, 3) ? (Datum) 0 : spi_get_datum(i, 3);
	}
	list_rows(m, rows, n);
}

/* Lists the rows that lose their key, anew.  The caller has locked out others who settle keys. */
static void
list_all(const Mapping *m, const Job *job)
{
	rejected_row_forget_duplicates(m->id);
	if (has_places(m->source))
		requeue_scan(m, projection_lost_rows(m), NULL, BATCH_ROWS, note_found, (void *) job);
	else
		requeue_scan(m, projection_duplicates(m), NULL, BATCH_ROWS, list_found, NULL);
}

void
duplicate_list_all(const Mapping *m)
{
	list_all(m, NULL);
}

/*
 * Finds the rows of a mapping that the job is not to copy.  It is done as a write of the migration:
 * rows get their new keys here, without which none would be seen to have one.
 */
static void
find_lost(const Job *job, const Mapping *m)
{
	ApplyFrame	frame;

	if (!has_places(m->source))
	{
		dirty_key_add_every(m->id, "duplicate", NULL);
		return;
	}
	apply_begin(&frame, m->migration_id, MAPPING_FORWARD);
	PG_TRY();
	{
		list_all(m, job);
	}
	PG_FINALLY();
	{
		apply_end(&frame);
	}
	PG_END_TRY();
}

/*
 * Finds the rows that the job is not to copy; it goes on with that.  Raises if somebody is in
 * the way.  The caller has called duplicate_lock_all.
 */
void
duplicate_find(int64 job_id)
{
	Job		   *job = job_get(job_id);
	ListCell   *lc;

	foreach(lc, mapping_list(job->migration_id, MAPPING_FORWARD))
	{
		if (ref_dedupes(lfirst(lc)))
			(void) find_all_inheritors(((Mapping *) lfirst(lc))->source, AccessShareLock, NULL);
	}
	/* who held a lock that we have waited for may have done it, or cancelled the job in a rollback */
	job = job_get(job_id);
	if (!job_is_active(job_id) || strcmp(job->step, "duplicates") != 0)
		return;
	foreach(lc, mapping_list(job->migration_id, MAPPING_FORWARD))
	{
		if (ref_dedupes(lfirst(lc)))
			find_lost(job, lfirst(lc));
	}
	if (!job_advance(job_id, "duplicates", "copy"))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("the job was ended")));
}

/* Lists the rows that have lost one of some keys to others now, and none else of these keys. */
void
duplicate_list_keys(const Mapping *m, ArrayType *keys)
{
	SpiScope	scope;
	ArrayType  *first = NULL;
	ArrayType  *own;
	ArrayType  *images = NULL;
	uint64		n;
	Datum	   *losers;
	int			nlosers = 0;

	spi_open_owner(&scope, m->owner, m->time_zone);
	n = spi_run(projection_duplicates_of_keys(m), SPI_ARGS(spi_datum(JSONBARRAYOID, PointerGetDatum(keys), false)));
	losers = palloc(sizeof(Datum) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
	{
		if (!spi_is_null(i, 3))
			losers[nlosers++] = spi_get_datum(i, 1);
	}
	MemoryContextSwitchTo(scope.caller);
	if (nlosers > 0)
	{
		first = construct_array(losers, nlosers, JSONBOID, -1, false, TYPALIGN_INT);
		images = requeue_read_column(n, 3);
	}
	own = requeue_read_column(n, 2);
	spi_close(&scope);
	rejected_row_list_duplicates(m->id, keys, own, first, images);
}
