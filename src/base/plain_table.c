/*
 * plain_table.c
 *		Rows of a plain table, found and written below SQL.
 *
 * What the server's own apply of logical replication does, with two
 * differences: a row is not locked before it is updated, which would write it
 * twice, and the scan stays open from row to row.
 *
 * A row is looked for with a dirty snapshot: it sees what other transactions
 * have not yet committed, and then waits for them, as a unique index does.
 * It takes no predicate locks, so a SERIALIZABLE transaction does not conflict
 * with those who write neighbouring rows.
 *
 * The dirty scan can miss a row that is updated at that moment, as its new
 * version may stand before the place that the scan has reached.  An insert
 * then fails on the unique index; a caller that wants to remove a row must not
 * conclude from its absence.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "parser/parse_relation.h"
#include "storage/lmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/plain_table.h"

/* Rows are inserted together up to this number and size. */
#define MAX_BUFFERED_ROWS 256
#define MAX_BUFFERED_BYTES (64 * 1024)

/*
 * Can rows be written without the planner's and the executor's help?  The
 * caller looks at the triggers.
 */
bool
plain_table_is_plain(Relation rel)
{
	return rel->rd_rel->relkind == RELKIND_RELATION &&
		rel->rd_rel->relam == HEAP_TABLE_AM_OID &&
		!rel->rd_rel->relispartition &&
		!rel->rd_rel->relhassubclass &&
		!rel->rd_rel->relrowsecurity &&
		rel->rd_rules == NULL;
}

/* The columns as the executor numbers them. */
static Bitmapset *
executor_columns(const Bitmapset *attnums)
{
	Bitmapset  *result = NULL;
	int			i = -1;

	while ((i = bms_next_member(attnums, i)) >= 0)
		result = bms_add_member(result, i - FirstLowInvalidHeapAttributeNumber);
	return result;
}

/* The open index with this OID. */
static Relation
find_index(ResultRelInfo *result, Oid relid)
{
	for (int i = 0; i < result->ri_NumIndices; i++)
	{
		if (RelationGetRelid(result->ri_IndexRelationDescs[i]) == relid)
			return result->ri_IndexRelationDescs[i];
	}
	elog(ERROR, "index %u is gone", relid);
}

/*
 * Opens a table to be written, and a scan on its key.  Lock: ROW EXCLUSIVE.
 * writes are the columns an update may set.
 */
PlainTable *
plain_table_open(Oid relid, Oid key_index, int nkeys, const Bitmapset *writes)
{
	EState	   *estate = CreateExecutorState();
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	PlainTable *t = palloc0(sizeof(PlainTable));
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	TriggerDesc *triggers;

	t->rel = table_open(relid, RowExclusiveLock);
	t->estate = estate;
	rte->rtekind = RTE_RELATION;
	rte->relid = relid;
	rte->relkind = RELKIND_RELATION;
	rte->rellockmode = RowExclusiveLock;
	INIT_RANGE_TABLE(t->estate, rte, executor_columns(writes));
	t->result = makeNode(ResultRelInfo);
	InitResultRelInfo(t->result, t->rel, 1, NULL, 0);
	estate->es_opened_result_relations = list_make1(t->result);
	ExecOpenIndices(t->result, false);
	t->key_index = find_index(t->result, key_index);
	InitDirtySnapshot(t->dirty);
	t->scan = index_beginscan_compat(t->rel, t->key_index, &t->dirty, nkeys);
	t->found = MakeSingleTupleTableSlot(RelationGetDescr(t->rel), &TTSOpsBufferHeapTuple);
	t->row = MakeSingleTupleTableSlot(RelationGetDescr(t->rel), &TTSOpsVirtual);
	t->row->tts_tableOid = relid;

	/* what the statement has done so far is an earlier command */
	CommandCounterIncrement();
	t->cid = GetCurrentCommandId(true);
	t->estate->es_output_cid = t->cid;
	triggers = t->rel->trigdesc;
	t->fires = triggers != NULL && (triggers->trig_insert_after_row ||
									triggers->trig_update_after_row ||
									triggers->trig_delete_after_row);
	if (t->fires)
		AfterTriggerBeginQuery();
	MemoryContextSwitchTo(old);
	return t;
}

/* Finds the row with a key; other becomes who is writing it. */
static bool
find_version(PlainTable *t, ScanKey keys, int nkeys, TransactionId *other)
{
	index_rescan(t->scan, keys, nkeys, NULL, 0);
	if (!index_getnext_slot(t->scan, ForwardScanDirection, t->found))
		return false;
	*other = TransactionIdIsValid(t->dirty.xmin) ? t->dirty.xmin : t->dirty.xmax;
	return true;
}

/*
 * Finds the row with a key, into t->found.  Waits for a transaction that is
 * writing it; lock_timeout limits the wait.  A row that another transaction is
 * inserting is not waited for, and not found, with committed_only.
 */
bool
plain_table_find(PlainTable *t, ScanKey keys, int nkeys, bool committed_only)
{
	/* the scan keeps things from call to call */
	MemoryContext old = MemoryContextSwitchTo(t->estate->es_query_cxt);
	TransactionId other;
	bool		found;

	while ((found = find_version(t, keys, nkeys, &other)) && TransactionIdIsValid(other))
	{
		ItemPointerData tid = t->found->tts_tid;

		ExecClearTuple(t->found);
		if (committed_only && TransactionIdIsValid(t->dirty.xmin))
		{
			found = false;
			break;
		}
		XactLockTableWait(other, t->rel, &tid, XLTW_FetchUpdated);
	}
	MemoryContextSwitchTo(old);
	return found;
}

/* Fills in generated columns, and checks NOT NULL and CHECK constraints. */
static void
complete_row(PlainTable *t, TupleTableSlot *row, CmdType command)
{
	TupleConstr *constr = RelationGetDescr(t->rel)->constr;

	if (constr == NULL)
		return;
	if (constr->has_generated_stored)
		ExecComputeStoredGenerated(t->result, t->estate, row, command);
	ExecConstraints(t->result, row, t->estate);
}

/* An UPDATE or DELETE of a published table needs a replica identity. */
static void
check_identity(PlainTable *t, CmdType command)
{
	if (t->identity_checked != command)
		CheckCmdReplicaIdentity(t->rel, command);
	t->identity_checked = command;
}

/* A row was inserted: so are its index entries, and its triggers are to be fired. */
static void
finish_insert(PlainTable *t, TupleTableSlot *row)
{
	List	   *recheck = NIL;

	if (t->result->ri_NumIndices > 0)
		recheck = ExecInsertIndexTuples_compat(t->result, row, t->estate, false, INDEX_UPDATE_ALL);
	if (t->fires)
		ExecARInsertTriggers(t->estate, t->result, row, recheck, NULL);
	ResetPerTupleExprContext(t->estate);
}

/* Inserts t->row. */
void
plain_table_insert(PlainTable *t)
{
	complete_row(t, t->row, CMD_INSERT);
	table_tuple_insert(t->rel, t->row, t->cid, 0, NULL);
	finish_insert(t, t->row);
}

/* An empty row to fill in, for plain_table_add_row. */
TupleTableSlot *
plain_table_new_row(PlainTable *t)
{
	MemoryContext old = MemoryContextSwitchTo(t->estate->es_query_cxt);

	if (t->buffered == NULL)
	{
		t->buffered = palloc0(sizeof(TupleTableSlot *) * MAX_BUFFERED_ROWS);
		t->buffered_desc = CreateTupleDescCopyConstr(RelationGetDescr(t->rel));	/* not counted */
		t->bulk = GetBulkInsertState();
	}
	if (t->buffered[t->nbuffered] == NULL)
	{
		t->buffered[t->nbuffered] = MakeSingleTupleTableSlot(t->buffered_desc, table_slot_callbacks(t->rel));
		t->buffered[t->nbuffered]->tts_tableOid = RelationGetRelid(t->rel);
	}
	MemoryContextSwitchTo(old);
	return ExecClearTuple(t->buffered[t->nbuffered]);
}

/* Inserts the rows that were added. */
static void
flush_rows(PlainTable *t)
{
	MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(t->estate));

	if (t->nbuffered > 0)
		table_multi_insert(t->rel, t->buffered, t->nbuffered, t->cid, 0, t->bulk);
	MemoryContextSwitchTo(old);
	for (int i = 0; i < t->nbuffered; i++)
	{
		finish_insert(t, t->buffered[i]);
		ExecClearTuple(t->buffered[i]);
	}
	t->nbuffered = 0;
	t->buffered_bytes = 0;
}

/*
 * Inserts the row that plain_table_new_row gave and the caller filled, with
 * others, as COPY does: many rows of a page are one WAL record.  The values are
 * copied.
 */
void
plain_table_add_row(PlainTable *t)
{
	TupleTableSlot *row = t->buffered[t->nbuffered++];
	bool		free_tuple;

	complete_row(t, row, CMD_INSERT);
	ExecMaterializeSlot(row);
	t->buffered_bytes += ExecFetchSlotHeapTuple(row, false, &free_tuple)->t_len;
	if (t->nbuffered == MAX_BUFFERED_ROWS || t->buffered_bytes >= MAX_BUFFERED_BYTES)
		flush_rows(t);
}

/* Gives back what buffered rows need. */
static void
free_buffer(PlainTable *t)
{
	for (int i = 0; t->buffered != NULL && i < MAX_BUFFERED_ROWS && t->buffered[i] != NULL; i++)
		ExecDropSingleTupleTableSlot(t->buffered[i]);
	if (t->bulk != NULL)
		FreeBulkInsertState(t->bulk);
}

/* Makes the row at a place into t->row, if nobody has changed it or, without waiting, writes it. */
static TM_Result
update_row(PlainTable *t, ItemPointer tid, bool wait)
{
	List	   *recheck = NIL;
	TM_FailureData failure;
	TM_Result	result;
	LockTupleMode mode;
	IndexUpdate indexes;

	check_identity(t, CMD_UPDATE);
	complete_row(t, t->row, CMD_UPDATE);
	result = table_tuple_update(t->rel, tid, t->row, t->cid, GetActiveSnapshot(), InvalidSnapshot,
								wait, &failure, &mode, &indexes);
	if (result != TM_Ok)
		return result;
	if (t->result->ri_NumIndices > 0 && INDEX_UPDATE_NEEDED(indexes))
		recheck = ExecInsertIndexTuples_compat(t->result, t->row, t->estate, true, indexes);
	if (t->fires)
		ExecARUpdateTriggers(t->estate, t->result, NULL, NULL, tid, NULL, t->row, recheck, NULL, false);
	ResetPerTupleExprContext(t->estate);
	return TM_Ok;
}

/* Makes t->found into t->row; false if somebody has changed it meanwhile. */
bool
plain_table_update(PlainTable *t)
{
	ItemPointerData tid = t->found->tts_tid;

	return update_row(t, &tid, true) == TM_Ok;
}

/* Makes the row at a place into t->row, unless somebody has changed it; *busy: somebody is writing it. */
bool
plain_table_update_at(PlainTable *t, const ItemPointerData *place, bool *busy)
{
	ItemPointerData tid = *place;
	TM_Result	result = update_row(t, &tid, false);

	*busy = result == TM_BeingModified || result == TM_WouldBlock;
	return result == TM_Ok;
}

/* Locks t->found as an update of it would; false if somebody has changed it meanwhile. */
bool
plain_table_lock(PlainTable *t)
{
	ItemPointerData tid = t->found->tts_tid;
	TM_FailureData failure;
	TM_Result	result = table_tuple_lock(t->rel, &tid, GetActiveSnapshot(), t->found, t->cid, LockTupleNoKeyExclusive,
										  LockWaitBlock, 0, &failure);

	return result == TM_Ok || result == TM_SelfModified;
}

/* Deletes t->found; false if somebody has changed it meanwhile. */
bool
plain_table_delete(PlainTable *t)
{
	ItemPointerData tid = t->found->tts_tid;
	TM_FailureData failure;

	check_identity(t, CMD_DELETE);
	if (table_tuple_delete(t->rel, &tid, t->cid, GetActiveSnapshot(), InvalidSnapshot, true,
						   &failure, false) != TM_Ok)
		return false;
	if (t->fires)
		ExecARDeleteTriggers(t->estate, t->result, &tid, NULL, NULL, false);
	ResetPerTupleExprContext(t->estate);
	return true;
}

/* Inserts what was added, fires what is to be fired, and closes the table; its lock is kept. */
void
plain_table_close(PlainTable *t)
{
	Relation	rel = t->rel;

	flush_rows(t);
	if (t->fires)
		AfterTriggerEndQuery(t->estate);
	free_buffer(t);
	index_endscan(t->scan);
	ExecDropSingleTupleTableSlot(t->found);
	ExecDropSingleTupleTableSlot(t->row);
	ExecResetTupleTable(t->estate->es_tupleTable, false);
	ExecCloseResultRelations(t->estate);
	FreeExecutorState(t->estate);
	table_close(rel, NoLock);
}
