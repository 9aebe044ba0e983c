/*
 * range_plan.c
 *		What a copy has to read: ranges of heap blocks of leaf relations, in stages.
 *
 * Blocks that are added while the copy runs hold only rows that were written,
 * and so dual-written, meanwhile.  A rewrite of the heap makes block numbers
 * meaningless: the leaf's ranges are made anew.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/quote.h"
#include "base/spi.h"
#include "catalog/dirty_key.h"
#include "catalog/mapping.h"
#include "copy/range_plan.h"
#include "projection/key.h"
#include "projection/projection.h"
#include "projection/reference.h"

/* A leaf is cut into about this many ranges, for workers to share. */
#define RANGES_PER_LEAF 64
#define MIN_RANGE_BLOCKS 64

/* The distinct sources of a migration. */
static List *
list_sources(int64 migration_id)
{
	List	   *sources = NIL;
	ListCell   *lc;

	foreach(lc, mapping_list(migration_id, MAPPING_FORWARD))
		sources = list_append_unique_oid(sources, ((Mapping *) lfirst(lc))->source);
	return sources;
}

/* Does a foreign key of one of the first source's targets name rows that come from the second? */
static bool
must_follow(List *mappings, Oid source, Oid other)
{
	ListCell   *child;
	ListCell   *parent;

	foreach(child, mappings)
	{
		if (((Mapping *) lfirst(child))->source != source)
			continue;
		foreach(parent, mappings)
		{
			if (((Mapping *) lfirst(parent))->source == other &&
				key_references(((Mapping *) lfirst(child))->target, ((Mapping *) lfirst(parent))->target))
				return true;
		}
	}
	return false;
}

/*
 * When each of the sources is to be copied: after those whose target rows its
 * own name by a foreign key.  Circles cannot be put in order.
 */
static int *
plan_stages(int64 migration_id, List *sources)
{
	List	   *mappings = mapping_list(migration_id, MAPPING_FORWARD);
	int			n = list_length(sources);
	int		   *stages = palloc0(sizeof(int) * Max(n, 1));
	bool		changed = true;

	for (int round = 0; changed && round < n; round++)
	{
		changed = false;
		for (int i = 0; i < n; i++)
		{
			for (int j = 0; j < n; j++)
			{
				if (i == j || stages[i] > stages[j] ||
					!must_follow(mappings, list_nth_oid(sources, i), list_nth_oid(sources, j)))
					continue;
				stages[i] = stages[j] + 1;
				changed = true;
			}
		}
	}
	return stages;
}

/* The relations that hold a source's rows. */
static List *
list_leaves(Oid source)
{
	List	   *leaves = NIL;
	ListCell   *lc;

	(void) quote_relation(source);	/* raises if it was dropped */
	foreach(lc, find_all_inheritors(source, NoLock, NULL))
	{
		char		relkind = get_rel_relkind(lfirst_oid(lc));

		if (relkind == RELKIND_RELATION || relkind == RELKIND_FOREIGN_TABLE)
			leaves = lappend_oid(leaves, lfirst_oid(lc));
		else if (relkind != RELKIND_PARTITIONED_TABLE && relkind != '\0')
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot copy partition %s: it has no heap blocks",
							name_relation(lfirst_oid(lc)))));
	}
	return leaves;
}

/* The column of the source whose integer values cut it into pieces; NULL if there is none that is not null. */
static char *
find_key_column(const Mapping *m)
{
	char	   *name = ref_is_multiset(m) ? NULL : projection_copied_column(m, linitial(m->key));
	HeapTuple	tuple = name ? SearchSysCacheAttName(m->source, name) : NULL;
	bool		usable = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_attribute att = (Form_pg_attribute) GETSTRUCT(tuple);

		usable = att->attnotnull && (att->atttypid == INT2OID || att->atttypid == INT4OID || att->atttypid == INT8OID);
		ReleaseSysCache(tuple);
	}
	return usable ? name : NULL;
}

/*
 * What takes the place of blocks where a relation has none: pieces of its keys,
 * which must be integers that do not lie too far apart; or all of it as one.
 */
static int64
cut_by_key(const Mapping *m, Extent *e)
{
	SpiScope	scope;
	uint64		width;
	int64		rows;

	e->key_blocks = 1;
	e->key_column = find_key_column(m);
	if (e->key_column == NULL)
	{
		e->key_column = "";
		return 1;
	}
	spi_open_owner(&scope, m->owner, m->time_zone);
	spi_run(projection_key_range(m, e), SPI_NO_ARGS);
	e->key_base = spi_get_int8(0, 1);
	width = (uint64) spi_get_int8(0, 2) - (uint64) e->key_base;
	rows = spi_get_int8(0, 3);
	spi_close(&scope);
	if (width / EXTENT_STEP >= (uint64) Max(rows, 1000))
		e->key_column = "";
	else
		e->key_blocks = width / EXTENT_STEP + 1;
	return e->key_blocks;
}

/* Cuts one leaf into ranges. */
static void
plan_leaf(int64 job_id, int stage, const Mapping *m, Oid leaf)
{
	Relation	rel = try_relation_open(leaf, AccessShareLock);
	Extent		extent = {leaf};
	int64		blocks;

	if (rel == NULL)
		return;
	blocks = RELKIND_HAS_STORAGE(rel->rd_rel->relkind) ? RelationGetNumberOfBlocks(rel) : cut_by_key(m, &extent);
	job_range_insert(job_id, stage, m->source, &extent, RELATION_FILE_NUMBER(rel), blocks,
					 Max(MIN_RANGE_BLOCKS, blocks / RANGES_PER_LEAF + 1));
	relation_close(rel, AccessShareLock);
}

/* The first mapping with a source. */
static const Mapping *
mapping_of(int64 migration_id, Oid source)
{
	ListCell   *lc;

	foreach(lc, mapping_list(migration_id, MAPPING_FORWARD))
	{
		if (((Mapping *) lfirst(lc))->source == source)
			return lfirst(lc);
	}
	elog(ERROR, "nothing maps relation %u", source);
}

/* Makes the ranges of leaves that have none; were there any? */
bool
range_plan_make(int64 job_id, int64 migration_id)
{
	List	   *sources = list_sources(migration_id);
	int		   *stages = plan_stages(migration_id, sources);
	bool		added = false;

	for (int i = 0; i < list_length(sources); i++)
	{
		Oid			source = list_nth_oid(sources, i);
		ListCell   *leaf;

		foreach(leaf, list_leaves(source))
		{
			if (job_range_exists(job_id, lfirst_oid(leaf)))
				continue;
			plan_leaf(job_id, stages[i], mapping_of(migration_id, source), lfirst_oid(leaf));
			added = added || job_range_exists(job_id, lfirst_oid(leaf));
		}
	}
	return added;
}

/*
 * Rows of a source are copied once more.  One that has no key is not known again: at the end of the
 * copy they are counted, and what is too much goes.  Nor is known which of several rows with one
 * key is not to be copied: at their places are others.
 */
static void
reconcile_later(int64 migration_id, Oid source)
{
	ListCell   *lc;

	foreach(lc, mapping_list(migration_id, MAPPING_FORWARD))
	{
		const Mapping *m = lfirst(lc);

		if (m->source == source && (ref_is_multiset(m) || ref_dedupes(m)))
			dirty_key_add_every(m->id, "reconcile", NULL);
	}
}

/* Is the range still what it was when it was made?  If not, makes it anew. */
bool
range_plan_holds(const JobRange *range, int64 migration_id)
{
	Relation	rel = try_relation_open(range->extent.relation, AccessShareLock);
	bool		attached;
	bool		same_file;

	(void) quote_relation(range->source);	/* raises if it was dropped */
	attached = rel != NULL &&
		list_member_oid(find_all_inheritors(range->source, NoLock, NULL), range->extent.relation);
	same_file = attached && RELATION_FILE_NUMBER(rel) == range->filenode;
	if (rel != NULL)
		relation_close(rel, NoLock);	/* keep the lock: no rewrite during the batch */
	if (!same_file)
	{
		job_range_delete(range->job_id, range->extent.relation);
		if (attached)
		{
			plan_leaf(range->job_id, range->stage, mapping_of(migration_id, range->source), range->extent.relation);
			reconcile_later(migration_id, range->source);
		}
	}
	return same_file;
}

/*
 * Waits for the transactions that hold a write lock on a source, and only for
 * those.  Called in a transaction without a snapshot of its own.
 */
void
range_plan_wait_for_writers(int64 migration_id)
{
	List	   *tags = NIL;
	ListCell   *lc;

	foreach(lc, list_sources(migration_id))
	{
		ListCell   *rel;

		foreach(rel, find_all_inheritors(lfirst_oid(lc), NoLock, NULL))
		{
			LOCKTAG    *tag = palloc(sizeof(LOCKTAG));

			SET_LOCKTAG_RELATION(*tag, MyDatabaseId, lfirst_oid(rel));
			tags = lappend(tags, tag);
		}
	}
	WaitForLockersMultiple(tags, ShareLock, false);
}
