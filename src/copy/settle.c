/*
 * settle.c
 *		The steps that make target rows equal to what the source has for their keys.
 *
 * For some keys, each step a statement with a new snapshot:
 *	1. Which of them have a source row?
 *	2. Those that have none: lock their target rows.  No target row either:
 *	   done, as a later insert carries itself.
 *	3. Look at the source again, now under the target's lock.  Still no row:
 *	   delete the target row.  One DELETE ... WHERE NOT EXISTS would, after
 *	   waiting for the target row, re-check that row but not the source, and
 *	   delete what was just inserted.
 *	4. Those that have a source row: lock it, and upsert its projection.  No
 *	   writer can be between its row and its trigger, or it would hold that row
 *	   lock.
 *
 * The application never loses: a source row that it has locked is not waited
 * for, its key stays in the queue.  Whoever waits for us may hold what we would
 * wait for, and it is the application's deadlock_timeout that would end it.
 * Step 2 may wait, as long as the transaction holds no source row: a dual
 * write gives a target row up by itself (see limit_lock_wait).
 *
 * Rows without keys are counted: where the source has one more often than the target, as many
 * are inserted, and the other way round.  No row needs a lock for that, as nobody but a
 * sync writes the target (their writes are always queued), one sync at a time: see
 * settle_lock_tables.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "nodes/plannodes.h"
#include "optimizer/optimizer.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/plancache.h"
#include "utils/rel.h"

#include "base/spi.h"
#include "copy/quarantine.h"
#include "copy/settle.h"
#include "projection/key.h"
#include "projection/projection.h"
#include "projection/reference.h"

/* How many keys are settled at once where tables are read as a whole for them: rather many. */
#define MAX_BATCH_KEYS 20000

/* For so many blocks of the source as many keys more, where no index finds them. */
#define SCALE_BLOCKS 1024

/* Tells the advisory lock of those who settle a mapping from others. */
#define SETTLING_LOCK_FIELD 79

/* Takes the lock of those who settle a mapping, until the end of the transaction, if it is to be had. */
static bool
lock_settling(const Mapping *m, LOCKMODE mode)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (m->id >> 32), (uint32) m->id, SETTLING_LOCK_FIELD);
	return LockAcquire(&tag, mode, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/* Has what others have settled been committed, and does nobody else settle keys until the end of the transaction? */
bool
settle_lock_out_others(const Mapping *m)
{
	return lock_settling(m, ExclusiveLock);
}

/*
 * Locks the two tables as the settling will, or says that somebody keeps them.
 * Who changes the direction of the migration locks them, too, and settles what
 * is left: it must not meet keys that we have taken and not settled yet.  Two syncs that
 * count the same rows without keys would both insert what is missing.  A foreign table
 * is read in one snapshot of the other server, from our first look on: what another sync
 * commits there meanwhile would not be seen, so there is one at a time.
 */
bool
settle_lock_tables(const Mapping *m)
{
	if (!ConditionalLockRelationOid(m->source, RowShareLock) ||
		!ConditionalLockRelationOid(m->target, key_is_foreign(m->target) ? ShareRowExclusiveLock : RowExclusiveLock))
		return false;
	return ref_is_multiset(m) ? settle_lock_out_others(m) : !ref_dedupes(m) || lock_settling(m, ShareLock);
}

/* The keys of the entries with these numbers, as a parameter. */
static SpiArg
key_array(const Settlement *s, const int *which, int n)
{
	Datum	   *keys = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		keys[i] = s->entries[which[i]].key;
	return spi_datum(JSONBARRAYOID,
					 PointerGetDatum(construct_array(keys, n, JSONBOID, -1, false, TYPALIGN_INT)),
					 false);
}

/* Runs a list of statements over some keys. */
static void
run_all(List *statements, SpiArg keys)
{
	ListCell   *lc;

	foreach(lc, statements)
		spi_run(lfirst(lc), &keys, 1);
}

/*
 * Runs a query that returns numbers of keys, from 1, and moves the entries it
 * returns to the front; returns how many they are.
 */
static int
partition(const Settlement *s, const char *sql, int *which, int n)
{
	SpiArg		arg = key_array(s, which, n);
	uint64		rows;
	bool	   *hit = palloc0(n + 1);
	int		   *rest = palloc(sizeof(int) * Max(n, 1));
	int			front = 0;
	int			back = 0;

	if (n == 0)
		return 0;
	rows = spi_run(sql, &arg, 1);
	for (uint64 i = 0; i < rows; i++)
		hit[spi_get_int8(i, 1)] = true;
	for (int i = 0; i < n; i++)
	{
		if (hit[i + 1])
			which[front++] = which[i];
		else
			rest[back++] = which[i];
	}
	memcpy(which + front, rest, sizeof(int) * back);
	return front;
}

/* Leaves entries for later. */
static void
leave(const Settlement *s, const int *which, int n)
{
	for (int i = 0; i < n; i++)
		s->busy[which[i]] = true;
}

/*
 * Steps 2 and 3, for entries without a source row.  Those whose source row has
 * appeared meanwhile are moved to the front; returns how many they are.
 */
static int
settle_absent(const Settlement *s, int *which, int n)
{
	int			locked = partition(s, projection_find_target(s->m, s->may_wait ? TARGET_LOCKED : TARGET_SKIP_LOCKED),
								   which, n);
	int			appeared;

	if (!s->may_wait)
		leave(s, which + locked,
			  partition(s, projection_find_target(s->m, TARGET_UNLOCKED), which + locked, n - locked));
	appeared = partition(s, projection_find_source(s->m), which, locked);
	if (locked > appeared)
		run_all(projection_delete_keys(s->m, false), key_array(s, which + appeared, locked - appeared));
	return appeared;
}

/* Step 4, for entries with a source row. */
static void
settle_present(const Settlement *s, int *which, int n)
{
	int			locked = partition(s, projection_lock_source(s->m), which, n);

	leave(s, which + locked, n - locked);
	if (locked == 0)
		return;
	if (s->way == WAY_PARK)
	{
		if (partition(s, projection_find_target(s->m, TARGET_UNLOCKED), which, locked) > 0)
			leave(s, which, locked);
		run_all(projection_delete_keys(s->m, false), key_array(s, which, locked));
		return;
	}
	run_all(projection_delete_keys(s->m, true), key_array(s, which, locked));
	if (s->way == WAY_REPLACE)
		run_all(projection_replace_keys(s->m), key_array(s, which, locked));
	run_all(projection_upsert_keys(s->m), key_array(s, which, locked));
}

/*
 * Raises for a row of the old side that is gathered from its parts, one of which the new side has
 * rejected: it would lose that.
 */
static void
refuse_torn_rows(const Settlement *s)
{
	ArrayType  *torn = s->m->reverse && ref_dedupes(s->m) ? quarantine_standing(s->m) : NULL;
	Datum	   *keys = palloc(sizeof(Datum) * s->n);

	if (torn == NULL)
		return;
	for (int i = 0; i < s->n; i++)
		keys[i] = s->entries[i].key;
	if (spi_run(projection_keys_among(s->m),
				SPI_ARGS(spi_datum(JSONBARRAYOID, PointerGetDatum(construct_array(keys, s->n, JSONBOID, -1, false, TYPALIGN_INT)), false),
						 spi_datum(JSONBARRAYOID, PointerGetDatum(torn), false))) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("a part of the old row was rejected, and would be lost"),
				 errhint("migrate_rejected lists it.")));
}

/*
 * Counts rows without keys.  Those that would be out of the mapping's scope, as rows of the new side
 * that the filter of the way there leaves out, would be counted as none however often they
 * are inserted.
 */
static void
settle_counts(const Settlement *s, int *which)
{
	char	   *out_of_scope = projection_out_of_scope(s->m);

	if (out_of_scope != NULL && partition(s, out_of_scope, which, s->n) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("the row does not pass the filter of the way there, and has no place on the other side")));
	run_all(projection_settle_rows(s->m), key_array(s, which, s->n));
}

/* All steps. */
static void
settle(const Settlement *s)
{
	int		   *which = palloc(sizeof(int) * s->n);
	int			present;
	int			appeared;

	for (int i = 0; i < s->n; i++)
		which[i] = i;
	if (ref_is_multiset(s->m))
	{
		settle_counts(s, which);
		return;
	}
	refuse_torn_rows(s);
	present = partition(s, projection_find_source(s->m), which, s->n);
	appeared = settle_absent(s, which + present, s->n - present);
	settle_present(s, which, present + appeared);
}

static void
switch_off(const char *setting)
{
	(void) set_config_option(setting, "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* Is there an index by which a key's row is found?  Not where the target finds more values equal than the index does. */
static bool
has_unique_index(const Mapping *m)
{
	return !ref_dedupes(m) && projection_source_is_unique(m, true);
}

/*
 * Looks keys up by the index that is known to be there: by what the planner
 * knows, it might rather read the whole source for each batch.  Rows that are counted are
 * read as a whole; how many of them are alike it does not know.
 */
static void
prefer_joins(const Mapping *m)
{
	if (ref_is_multiset(m))
		switch_off("enable_nestloop");
	else if (has_unique_index(m))
	{
		switch_off("enable_hashjoin");
		switch_off("enable_mergejoin");
	}
}

/* What the planner thinks that it costs to look for the source rows of some keys. */
static double
search_cost(const Mapping *m)
{
	SpiScope	scope;
	SPIPlanPtr	plan;
	CachedPlan *cached;
	double		cost;

	spi_open_owner(&scope, m->owner, m->time_zone);
	prefer_joins(m);
	plan = SPI_prepare(projection_find_source(m), 1, (Oid[]) {JSONBARRAYOID});
	cached = plan != NULL ? SPI_plan_get_cached_plan(plan) : NULL;
	if (cached == NULL)
		elog(ERROR, "could not plan a search for keys: %s", SPI_result_code_string(SPI_result));
	cost = linitial_node(PlannedStmt, cached->stmt_list)->planTree->total_cost;
	ReleaseCachedPlan(cached, NULL);
	spi_close(&scope);
	return cost;
}

static int64
source_blocks(const Mapping *m)
{
	int64		blocks = 0;
	ListCell   *lc;

	foreach(lc, find_all_inheritors(m->source, AccessShareLock, NULL))
	{
		Relation	rel = relation_open(lfirst_oid(lc), NoLock);

		if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
			blocks += RelationGetNumberOfBlocks(rel);
		relation_close(rel, NoLock);
	}
	return blocks;
}

/*
 * How many keys to settle at once, where limit would do if an index finds their rows.  If none does, each
 * step reads the whole source, for one key or many: it takes as long, and a row is locked as long.
 */
int
settle_batch_keys(const Mapping *m, int limit)
{
	int64		blocks;

	if (ref_is_multiset(m))
		return Max(limit, MAX_BATCH_KEYS);
	if (has_unique_index(m))
		return limit;
	blocks = source_blocks(m);
	if (blocks <= SCALE_BLOCKS || search_cost(m) < blocks * seq_page_cost)
		return limit;
	return Min((int64) MAX_BATCH_KEYS, limit * (blocks / SCALE_BLOCKS));
}

/* The keys of the entries that are not left for later; NULL if there are none. */
ArrayType *
settle_done_keys(const Settlement *s)
{
	Datum	   *keys = palloc(sizeof(Datum) * s->n);
	int			n = 0;

	for (int i = 0; i < s->n; i++)
	{
		if (!s->busy[i])
			keys[n++] = s->entries[i].key;
	}
	return n == 0 ? NULL : construct_array(keys, n, JSONBOID, -1, false, TYPALIGN_INT);
}

/* Which rules the rows of the settled keys meet may have changed with a table that these read. */
static void
follow_rules(const Settlement *s)
{
	ArrayType  *keys = s->m->has_rules && !s->m->reverse ? settle_done_keys(s) : NULL;

	if (keys != NULL)
		quarantine_list_keys(s->m, keys);
}

/*
 * Settles the keys, as the mapping's owner, within the migration's frame and in a
 * subtransaction of the caller, and checks what is deferred, if that is given.
 */
void
settle_keys(const Settlement *s)
{
	SpiScope	scope;

	spi_open_owner(&scope, s->m->owner, s->m->time_zone);
	prefer_joins(s->m);			/* until the scope ends */
	settle(s);
	follow_rules(s);
	if (s->deferred != NULL)
		deferred_check(s->deferred);
	spi_close(&scope);
}
