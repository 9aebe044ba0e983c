/*
 * define.c
 *		Creates, sets and drops migrations, and unmaps relations.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "base/compat.h"
#include "capture/trigger.h"
#include "catalog/event.h"
#include "catalog/job.h"
#include "catalog/mapping.h"
#include "catalog/migration.h"
#include "catalog/stashed_object.h"
#include "lifecycle/phase.h"

MIGRATE_FUNCTION(migrate_create);
MIGRATE_FUNCTION(migrate_unmap);
MIGRATE_FUNCTION(migrate_drop);

/*
 * migrate_create(migration text, description text) RETURNS bigint
 *
 * Owned by the current role.  The session's TimeZone becomes the migration's:
 * expressions are evaluated in it wherever they run.
 */
Datum
migrate_create(PG_FUNCTION_ARGS)
{
	char	   *name;
	char	   *description = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	int64		id;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a migration needs a name"),
				 errhint("All other calls refer to it by that name.")));
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a migration needs a name"),
				 errhint("All other calls refer to it by that name.")));
	PreventCommandIfReadOnly("migrate_create()");
	PreventCommandDuringRecovery("migrate_create()");
	id = migration_insert(name, description, GetUserId(),
						  GetConfigOption("TimeZone", false, false));
	event_record(migration_get(name), "created", "planned", NULL, NULL);
	PG_RETURN_INT64(id);
}

/* migrate_unmap(migration text, mapping bigint): removes a mapping of a plan. */
Datum
migrate_unmap(PG_FUNCTION_ARGS)
{
	Migration  *g = migration_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	int64		id = PG_GETARG_INT64(1);
	Mapping    *m = mapping_get(id);

	phase_require(g, "migrate_unmap", PHASES("planned", "rolled_back"));
	if (m == NULL || m->migration_id != g->id || m->reverse)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("mapping %lld of migration \"%s\" does not exist", (long long) id, g->name),
				 errhint("Mappings are listed in migrate_ext.mappings; a way back goes with its mapping.")));
	mapping_delete(id);
	migration_mark_changed(g->id);
	event_record(g, "unmapped", NULL, psprintf("{\"mapping\": %lld}", (long long) id), NULL);
	PG_RETURN_VOID();
}

/* migrate_drop(migration text): forgets a migration; its events stay. */
Datum
migrate_drop(PG_FUNCTION_ARGS)
{
	Migration  *g = migration_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	phase_require(g, "migrate_drop", PHASES("planned", "rolled_back", "done"));
	if (stashed_object_count(g->id) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("indexes or foreign keys that migration \"%s\" has deferred are not rebuilt yet", g->name),
				 errhint("Wait, or call migrate_resume; migrate_ext.stashed_object has their definitions.")));
	job_cancel_all(g->id);
	trigger_remove_all(g);
	event_record(g, "dropped", NULL, NULL, NULL);
	migration_delete(g->id);
	PG_RETURN_VOID();
}
