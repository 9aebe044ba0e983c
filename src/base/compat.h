/*
 * compat.h
 *		The one place that knows about server versions.
 *
 * Nothing else in the tree may test PG_VERSION_NUM (test/lint checks it).
 */
#ifndef MIGRATE_COMPAT_H
#define MIGRATE_COMPAT_H

#include "postgres.h"
#include "fmgr.h"

#if PG_VERSION_NUM < 150000
#error "migrate_ext needs PostgreSQL 15 or later"
#endif

/*
 * Declares a C function that SQL can call.  The objects are compiled with
 * hidden visibility; before PostgreSQL 16, PG_FUNCTION_INFO_V1 did not export
 * the function itself.
 */
#define MIGRATE_FUNCTION(name) \
	PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
	PG_FUNCTION_INFO_V1(name)

/* The relation's file number, under its name of the day. */
#if PG_VERSION_NUM >= 160000
#define RELATION_FILE_NUMBER(rel)	((rel)->rd_locator.relNumber)
#else
#define RELATION_FILE_NUMBER(rel)	((rel)->rd_node.relNode)
#endif

/* A background worker may connect as a role without LOGIN from 17 on. */
#if PG_VERSION_NUM >= 170000
#define WORKER_CONNECT_FLAGS		BGWORKER_BYPASS_ROLELOGINCHECK
#define WORKER_NEEDS_LOGIN			false
#else
#define WORKER_CONNECT_FLAGS		0
#define WORKER_NEEDS_LOGIN			true
#endif

/* 18 made the module magic carry a name and a version. */
#if PG_VERSION_NUM >= 180000
#define MIGRATE_MODULE_MAGIC \
	PG_MODULE_MAGIC_EXT(.name = "migrate_ext", .version = MIGRATE_EXT_VERSION)
#else
#define MIGRATE_MODULE_MAGIC		PG_MODULE_MAGIC
#endif

/* A function that raises: the attribute was renamed, and stands first, in 18. */
#if PG_VERSION_NUM >= 180000
#define MIGRATE_NORETURN			pg_noreturn
#else
#define MIGRATE_NORETURN			pg_attribute_noreturn()
#endif

/* Ownership tests were unified in 16. */
#if PG_VERSION_NUM >= 160000
#define owns_relation(relid, role)	object_ownercheck(RelationRelationId, (relid), (role))
#else
#define owns_relation(relid, role)	pg_class_ownercheck((relid), (role))
#endif

/* Which indexes an update must write to became finer in 16. */
#if PG_VERSION_NUM >= 160000
#define IndexUpdate					TU_UpdateIndexes
#define INDEX_UPDATE_NEEDED(u)		((u) != TU_None)
#define ExecInsertIndexTuples_compat(result, slot, estate, update, u) \
	ExecInsertIndexTuples(result, slot, estate, update, false, NULL, NIL, (u) == TU_Summarizing)
#define INDEX_UPDATE_ALL			TU_All
#else
#define IndexUpdate					bool
#define INDEX_UPDATE_NEEDED(u)		(u)
#define ExecInsertIndexTuples_compat(result, slot, estate, update, u) \
	ExecInsertIndexTuples(result, slot, estate, update, false, NULL, NIL)
#define INDEX_UPDATE_ALL			true
#endif

/* The columns an update sets moved from the range table to the permissions in 16. */
#if PG_VERSION_NUM >= 180000
#define INIT_RANGE_TABLE(estate, rte, columns) \
	do { \
		List	   *perminfos_ = NIL; \
		addRTEPermissionInfo(&perminfos_, (rte))->updatedCols = (columns); \
		ExecInitRangeTable((estate), list_make1(rte), perminfos_, bms_make_singleton(1)); \
	} while (0)
#elif PG_VERSION_NUM >= 160000
#define INIT_RANGE_TABLE(estate, rte, columns) \
	do { \
		List	   *perminfos_ = NIL; \
		addRTEPermissionInfo(&perminfos_, (rte))->updatedCols = (columns); \
		ExecInitRangeTable((estate), list_make1(rte), perminfos_); \
	} while (0)
#else
#define INIT_RANGE_TABLE(estate, rte, columns) \
	do { \
		(rte)->updatedCols = (columns); \
		ExecInitRangeTable((estate), list_make1(rte)); \
	} while (0)
#endif

/* Checks need not be enforced from 18 on. */
#if PG_VERSION_NUM >= 180000
#define CHECK_IS_ENFORCED(check)	((check)->ccenforced)
#else
#define CHECK_IS_ENFORCED(check)	true
#endif

/* Index scans are instrumented from 18 on. */
#if PG_VERSION_NUM >= 180000
#define index_beginscan_compat(rel, index, snapshot, nkeys) \
	index_beginscan((rel), (index), (snapshot), NULL, (nkeys), 0)
#else
#define index_beginscan_compat(rel, index, snapshot, nkeys) \
	index_beginscan((rel), (index), (snapshot), (nkeys), 0)
#endif

/* Extensions name their wait events from 17 on. */
#if PG_VERSION_NUM >= 170000
#define named_wait_event(name)		WaitEventExtensionNew(name)
#else
#define named_wait_event(name)		PG_WAIT_EXTENSION
#endif

/* The number of this session's transaction, a part of its virtual one from 17 on. */
#if PG_VERSION_NUM >= 170000
#define MY_LXID						(MyProc->vxid.lxid)
#else
#define MY_LXID						(MyProc->lxid)
#endif

#endif							/* MIGRATE_COMPAT_H */
