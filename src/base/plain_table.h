/*
 * plain_table.h
 *		Rows of a plain table, found and written below SQL.
 */
#ifndef MIGRATE_PLAIN_TABLE_H
#define MIGRATE_PLAIN_TABLE_H

#include "postgres.h"
#include "access/genam.h"
#include "access/heapam.h"
#include "access/skey.h"
#include "nodes/execnodes.h"
#include "utils/snapshot.h"

typedef struct PlainTable
{
	Relation	rel;
	EState	   *estate;
	ResultRelInfo *result;
	Relation	key_index;
	IndexScanDesc scan;
	SnapshotData dirty;
	TupleTableSlot *found;		/* the row that plain_table_find found */
	TupleTableSlot *row;		/* the row to write: fill in its values */
	CommandId	cid;
	bool		fires;			/* has AFTER ROW triggers: foreign keys */
	CmdType		identity_checked;	/* for this command */
	TupleTableSlot **buffered;	/* rows to be inserted together, or NULL */
	TupleDesc	buffered_desc;
	int			nbuffered;
	Size		buffered_bytes;
	BulkInsertState bulk;
} PlainTable;

extern bool plain_table_is_plain(Relation rel);
extern PlainTable *plain_table_open(Oid relid, Oid key_index, int nkeys, const Bitmapset *writes);
extern void plain_table_close(PlainTable *t);
extern bool plain_table_find(PlainTable *t, ScanKey keys, int nkeys, bool committed_only);
extern void plain_table_insert(PlainTable *t);
extern TupleTableSlot *plain_table_new_row(PlainTable *t);
extern void plain_table_add_row(PlainTable *t);
extern bool plain_table_update(PlainTable *t);
extern bool plain_table_update_at(PlainTable *t, const ItemPointerData *place, bool *busy);
extern bool plain_table_lock(PlainTable *t);
extern bool plain_table_delete(PlainTable *t);

#endif							/* MIGRATE_PLAIN_TABLE_H */
