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
#include "base/spi.h"
#include "catalog/key_map.h"

#define COLUMN_MAPPING		1
#define COLUMN_SOURCE_KEY	2
#define COLUMN_TARGET_KEY	3

/* The value of one key's column in the row with the other; NULL if there is none. */
static char *
find(int64 mapping_id, AttrNumber by, const char *value, const char *index, AttrNumber wanted)
{
	Oid			schema = get_namespace_oid(MIGRATE_SCHEMA, false);
	Relation	rel = table_open(get_relname_relid("key_map", schema), AccessShareLock);
	/* where workers share a snapshot, they have no other */
	Snapshot	snapshot = RegisterSnapshot(IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot());
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *result = NULL;

	ScanKeyInit(&keys[0], COLUMN_MAPPING, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(mapping_id));
	ScanKeyInit(&keys[1], by, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(value));
	scan = systable_beginscan(rel, get_relname_relid(index, schema), true, snapshot, 2, keys);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;

		result = TextDatumGetCString(heap_getattr(tuple, wanted, RelationGetDescr(rel), &isnull));
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return result;
}

/* The new key of an old one; NULL if it has none. */
char *
key_map_find_new(int64 mapping_id, const char *source_key)
{
	return find(mapping_id, COLUMN_SOURCE_KEY, source_key, "key_map_pkey", COLUMN_TARGET_KEY);
}

/* The old key that a new one was given to; NULL if there is none. */
char *
key_map_find_old(int64 mapping_id, const char *target_key)
{
	return find(mapping_id, COLUMN_TARGET_KEY, target_key, "key_map_target_key", COLUMN_SOURCE_KEY);
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
