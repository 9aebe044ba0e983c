/*
 * key_map.c
 *		Rows of migrate_ext.key_map: new keys given to old ones.
 *
 * A row is added once and never changed.  It is looked for with the latest
 * snapshot: a REPEATABLE READ transaction must find what others have added since.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/identity.h"
#include "base/plain_table.h"
#include "base/spi.h"
#include "catalog/key_map.h"

#define COLUMN_MAPPING		1
#define COLUMN_SOURCE_KEY	2
#define COLUMN_TARGET_KEY	3

/* Indexes, by the old keys and by the new ones. */
#define PRIMARY_KEY			"key_map_pkey"
#define TARGET_KEY			"key_map_target_key"

/* Opens the map, as it is now.  Lock: ACCESS SHARE, until it is closed. */
void
key_map_open(KeyMapReader *r, bool by_source)
{
	Oid			schema = get_namespace_oid(MIGRATE_SCHEMA, false);

	r->rel = table_open(get_relname_relid("key_map", schema), AccessShareLock);
	r->index = index_open(get_relname_relid(by_source ? PRIMARY_KEY : TARGET_KEY, schema), AccessShareLock);
	/* where workers share a snapshot, they have no other */
	r->snapshot = RegisterSnapshot(IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot());
	r->by = by_source ? COLUMN_SOURCE_KEY : COLUMN_TARGET_KEY;
	r->wanted = by_source ? COLUMN_TARGET_KEY : COLUMN_SOURCE_KEY;
}

/* The other one of a pair of keys; NULL if there is none. */
char *
key_map_look(const KeyMapReader *r, int64 mapping_id, const char *key)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *result = NULL;

	ScanKeyInit(&keys[0], COLUMN_MAPPING, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(mapping_id));
	ScanKeyInit(&keys[1], r->by, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(key));
	scan = systable_beginscan_ordered(r->rel, r->index, r->snapshot, 2, keys);
	if (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		bool		isnull;

		result = TextDatumGetCString(heap_getattr(tuple, r->wanted, RelationGetDescr(r->rel), &isnull));
	}
	systable_endscan_ordered(scan);
	return result;
}

void
key_map_close(KeyMapReader *r)
{
	UnregisterSnapshot(r->snapshot);
	index_close(r->index, AccessShareLock);
	table_close(r->rel, AccessShareLock);
}

/* One look at the map. */
static char *
find(bool by_source, int64 mapping_id, const char *key)
{
	KeyMapReader r;
	char	   *result;

	key_map_open(&r, by_source);
	result = key_map_look(&r, mapping_id, key);
	key_map_close(&r);
	return result;
}

/* The new key of an old one; NULL if it has none. */
char *
key_map_find_new(int64 mapping_id, const char *source_key)
{
	return find(true, mapping_id, source_key);
}

/* The old key that a new one was given to; NULL if there is none. */
char *
key_map_find_old(int64 mapping_id, const char *target_key)
{
	return find(false, mapping_id, target_key);
}

/*
 * Adds a row; false if either key has one already.  Waits for a transaction that is
 * adding one; lock_timeout limits the wait.
 */
bool
key_map_add(int64 mapping_id, const char *source_key, const char *target_key)
{
	SpiScope	scope;
	bool		added;

	spi_open_catalog(&scope);
	added = spi_run_fixed("INSERT INTO migrate_ext.key_map (mapping_id, source_key, target_key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
						  SPI_ARGS(spi_int8(mapping_id), spi_text(source_key), spi_text(target_key))) > 0;
	spi_close(&scope);
	return added;
}

static int
compare_pairs(const void *a, const void *b)
{
	const KeyPair *pa = a;
	const KeyPair *pb = b;

	if (pa->mapping_id != pb->mapping_id)
		return pa->mapping_id < pb->mapping_id ? -1 : 1;
	return strcmp(pa->source_key, pb->source_key);
}

/*
 * Adds many rows below SQL, and sorts them; an error if any of their keys has one
 * already.  In one order, or two who add the same keys could wait for each other.
 */
void
key_map_add_all(KeyPair *pairs, int n)
{
	Oid			schema = get_namespace_oid(MIGRATE_SCHEMA, false);
	PlainTable *t = plain_table_open(get_relname_relid("key_map", schema), get_relname_relid(PRIMARY_KEY, schema), 2, NULL);

	qsort(pairs, n, sizeof(KeyPair), compare_pairs);
	for (int i = 0; i < n; i++)
	{
		TupleTableSlot *row = plain_table_new_row(t);

		row->tts_values[COLUMN_MAPPING - 1] = Int64GetDatum(pairs[i].mapping_id);
		row->tts_values[COLUMN_SOURCE_KEY - 1] = CStringGetTextDatum(pairs[i].source_key);
		row->tts_values[COLUMN_TARGET_KEY - 1] = CStringGetTextDatum(pairs[i].target_key);
		memset(row->tts_isnull, false, row->tts_tupleDescriptor->natts * sizeof(bool));
		ExecStoreVirtualTuple(row);
		plain_table_add_row(t);
	}
	plain_table_close(t);
	CommandCounterIncrement();	/* what follows sees them */
}
