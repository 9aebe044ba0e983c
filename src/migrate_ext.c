/*
 * migrate_ext.c
 *		Module magic and initialization.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/compat.h"
#include "capture/dual_write.h"
#include "lifecycle/phase.h"

MIGRATE_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

/* Called once, when the library is loaded into a backend or worker. */
void
_PG_init(void)
{
	dual_write_init();
	phase_init();
}
