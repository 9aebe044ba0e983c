/*
 * lock.c
 *		Table locks that never keep the application waiting for long.
 *
 * A strong lock that waits holds up everybody who comes after it, readers of
 * a waiting ACCESS EXCLUSIVE included.  So it waits briefly and often: all
 * relations in one order under lock_timeout, in a subtransaction that gives back
 * what it has when one cannot be had.
 *
 * No order is right for every application: while we wait for the first
 * lock, those gather behind us who hold what we want next.  Under a steady
 * load that meets the order every time, so where several kinds of relations are to be
 * locked, each attempt takes another one, and begins with what could not be had
 * the last time: for that it may wait while it holds nothing.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/wait_event.h"

#include "base/quote.h"
#include "base/setting.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "lifecycle/lock.h"

/* Milliseconds between attempts: this much longer each time, up to the limit. */
#define BACKOFF_MS 50
#define MAX_BACKOFF_MS 1000

typedef struct LockRequest
{
	List	   *relids;			/* to be locked in this order */
	LOCKMODE	mode;
	List	   *exclusive;		/* those of them to be locked in ACCESS EXCLUSIVE mode */
	const char *first_timeout;
	const char *next_timeout;
	Oid			tried;			/* result: the last one that was to be locked */
} LockRequest;

static void
set_lock_timeout(const char *value)
{
	(void) set_config_option("lock_timeout", value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Work for subxact_try.  Only the first lock, while nothing is held, may wait
 * for long: after it, whoever waits for us may close a circle, and we must be
 * gone before the application's deadlock_timeout.
 */
static void
work_lock(void *arg)
{
	LockRequest *request = arg;
	int			level = NewGUCNestLevel();
	ListCell   *lc;

	set_lock_timeout(request->first_timeout);
	foreach(lc, request->relids)
	{
		request->tried = lfirst_oid(lc);
		LockRelationOid(lfirst_oid(lc), list_member_oid(request->exclusive, lfirst_oid(lc)) ?
						AccessExclusiveLock : request->mode);
		set_lock_timeout(request->next_timeout);
	}
	AtEOXact_GUC(true, level);
}

/*
 * "pid 42 (app), prepared transaction 'x' (app), ..." of those who hold locks on
 * the relations.  A prepared transaction has no session; its locks have a
 * virtual transaction in common with the one on its transaction id.
 */
static char *
list_holders(List *relids)
{
	SpiScope	scope;
	char	   *result;

	spi_open_catalog(&scope);
	spi_run("SELECT string_agg(DISTINCT CASE WHEN l.pid IS NULL THEN format('prepared transaction %L (%s)', p.gid, p.owner) "
			"ELSE format('pid %s (%s)', l.pid, coalesce(nullif(a.application_name, ''), a.usename, a.backend_type)) END, ', ') "
			"FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid) "
			"LEFT JOIN (pg_locks x JOIN pg_prepared_xacts p ON x.locktype = 'transactionid' AND x.pid IS NULL "
			"AND p.transaction = x.transactionid) ON l.pid IS NULL AND x.virtualtransaction = l.virtualtransaction "
			"WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid() "
			"AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
			"AND l.relation = ANY ($1)",
			SPI_ARGS(spi_oids(relids)));
	result = spi_get_text(&scope, 0, 1);
	spi_close(&scope);
	return result ? result : "sessions that have ended since";
}

/* The relations with their descendants. */
static List *
with_descendants(List *relids)
{
	List	   *all = NIL;
	ListCell   *lc;

	foreach(lc, relids)
		all = list_concat_unique_oid(all, find_all_inheritors(lfirst_oid(lc), NoLock, NULL));
	return all;
}

/* Tries to lock what one of the requests lists, which take turns; raises lock_not_available, naming who is in the way. */
static void
lock_by_turns(const Migration *g, LockRequest *requests, int nrequests)
{
	int			attempts = setting_int(g->settings, "cutover_attempts");
	ErrorData  *error = NULL;
	Oid			missed = InvalidOid;

	for (int i = 1; i <= attempts; i++)
	{
		LockRequest request = requests[(i - 1) % nrequests];

		if (OidIsValid(missed))
			request.relids = lcons_oid(missed, list_delete_oid(list_copy(request.relids), missed));
		error = subxact_try(work_lock, &request);
		missed = request.tried;
		if (error == NULL)
			break;
		if (!error_is_transient(error))
			ReThrowError(error);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(MAX_BACKOFF_MS, BACKOFF_MS * i), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	if (error != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not lock the tables of migration \"%s\" in %d attempts",
						g->name, attempts),
				 errdetail("In the way: %s.", list_holders(requests[0].relids)),
				 errhint("Try again when these transactions have ended, or raise setting cutover_lock_timeout or cutover_attempts.")));
}

/* A request to lock relations, in the order given. */
static LockRequest
make_request(const Migration *g, List *relids, LOCKMODE mode, List *exclusive)
{
	return (LockRequest) {relids, mode, exclusive, setting_text(g->settings, "cutover_lock_timeout"),
		setting_text(g->settings, "lock_timeout")};
}

/*
 * Locks the relations and their descendants until the end of the transaction,
 * those of the second list in ACCESS EXCLUSIVE mode: all of them or, for the next
 * attempt, none.  Settings: cutover_lock_timeout for one attempt,
 * cutover_attempts.  Raises lock_not_available, naming the sessions in the way.  The
 * caller must not hold locks on these relations yet.
 */
void
lock_relations(const Migration *g, List *relids, LOCKMODE mode, List *exclusive)
{
	LockRequest request;

	exclusive = with_descendants(exclusive);
	relids = list_concat_unique_oid(with_descendants(relids), exclusive);
	list_sort(relids, list_oid_cmp);
	request = make_request(g, relids, mode, exclusive);
	lock_by_turns(g, &request, 1);
}

/* Those of the relations that are of one of these kinds, or of any other. */
static List *
of_kinds(List *relids, const char *kinds, bool others)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, relids)
	{
		if ((strchr(kinds, get_rel_relkind(lfirst_oid(lc))) != NULL) != others)
			result = lappend_oid(result, lfirst_oid(lc));
	}
	return result;
}

static List *
concat(List *a, List *b, List *c, List *d)
{
	return list_concat_unique_oid(list_concat_unique_oid(list_concat_unique_oid(list_copy(a), b), c), d);
}

/*
 * Locks tables and their descendants, in the order given, and others that have to do with them, in ACCESS
 * EXCLUSIVE mode; else as lock_relations.  Indexes and sequences come after tables,
 * as they do for an application; views and tables that refer to these come before or after them.
 */
void
lock_with_others(const Migration *g, List *relids, List *others)
{
	List	   *sides = with_descendants(relids);
	List	   *all = with_descendants(others);
	List	   *views;
	List	   *tables;
	List	   *rest;
	LockRequest requests[3];

	list_sort(all, list_oid_cmp);
	views = of_kinds(all, (char[]) {RELKIND_VIEW, '\0'}, false);
	tables = of_kinds(all, (char[]) {RELKIND_RELATION, RELKIND_PARTITIONED_TABLE, RELKIND_FOREIGN_TABLE, '\0'}, false);
	rest = of_kinds(all, (char[]) {RELKIND_VIEW, RELKIND_RELATION, RELKIND_PARTITIONED_TABLE, RELKIND_FOREIGN_TABLE, '\0'}, true);
	requests[0] = make_request(g, concat(views, sides, tables, rest), AccessExclusiveLock, NIL);
	requests[1] = make_request(g, concat(views, tables, sides, rest), AccessExclusiveLock, NIL);
	requests[2] = make_request(g, concat(sides, tables, views, rest), AccessExclusiveLock, NIL);
	lock_by_turns(g, requests, others == NIL ? 1 : lengthof(requests));
}
