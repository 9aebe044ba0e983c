/*
 * watch.c
 *		A worker that looks at the accounts of failed dual writes, once.
 *
 * An application's session asks for it and goes on; where no worker can be
 * started, the sync worker or the next who asks will look.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "base/identity.h"
#include "capture/account.h"
#include "worker/launch.h"
#include "worker/main.h"
#include "worker/sync_job.h"
#include "worker/watch.h"

/* Asks for a look at a migration's accounts. */
static void
watch_ask(const Migration *g)
{
	if (launch_worker_can_connect(g))
		(void) launch_worker(g, "migrate_worker_watch", 0, 0);
}

PGDLLEXPORT void migrate_worker_watch(Datum arg);

/* Entry point of the worker. */
void
migrate_worker_watch(Datum arg)
{
	WorkerArgs	args;
	Migration  *g = NULL;

	worker_connect(&args);
	SetConfigOption("lock_timeout", "100", PGC_USERSET, PGC_S_SESSION);
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (identity_catalog_exists())
		g = migration_try_lock(args.migration_id);
	if (g != NULL && migration_is_capturing(g))
	{
		job_show(g, "looking at failed dual writes");
		account_watch(g);
		sync_job_ensure(g, migration_is_switched(g));	/* keys may be queued now */
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
}

void
watch_init(void)
{
	account_look_hook = watch_ask;
}
