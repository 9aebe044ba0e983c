/*
 * migrate_ext.c
 *		Module magic and initialization.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/compat.h"
#include "capture/plan_cache.h"
#include "capture/transition.h"
#include "lifecycle/phase.h"
#include "lifecycle/route.h"
#include "worker/rebuild.h"
#include "worker/supervisor.h"
#include "worker/sync_job.h"
#include "worker/verify_job.h"
#include "worker/watch.h"

MIGRATE_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

/* Called once, when the library is loaded into a backend or worker. */
void
_PG_init(void)
{
	plan_cache_init();
	transition_init();
	phase_init();
	route_init();
	sync_job_init();
	verify_job_init();
	watch_init();
	rebuild_init();
	supervisor_init();
}
