/*
 * cleanup.c
 *		migrate_sign_off and migrate_cleanup: the end of a migration.
 *
 * The cleanup is the point of no return: what was written back so far is
 * dropped, or put away and not written any more.
 */
#include "postgres.h"

#include "commands/defrem.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "base/own_ddl.h"
#include "base/quote.h"
#include "base/setting.h"
#include "base/spi.h"
#include "capture/trigger.h"
#include "catalog/dirty_key.h"
#include "catalog/event.h"
#include "catalog/job.h"
#include "catalog/mapping.h"
#include "catalog/swap_step.h"
#include "lifecycle/contract.h"
#include "lifecycle/cutover.h"
#include "lifecycle/gate.h"
#include "lifecycle/phase.h"
#include "lifecycle/retire.h"

MIGRATE_FUNCTION(migrate_sign_off);
MIGRATE_FUNCTION(migrate_cleanup);

/*
 * migrate_sign_off(migration text, note text): somebody approves of the new side.
 * The gate into phase done asks for it; a rollback takes it away.
 */
Datum
migrate_sign_off(PG_FUNCTION_ARGS)
{
	Migration  *g;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("migration must not be null")));
	g = migration_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	phase_require(g, "migrate_sign_off", PHASES("soak"));
	migration_sign_off(g->id, GetUserNameFromId(GetUserId(), false));
	event_record(g, "signed off", NULL, NULL, PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_VOID();
}

/* "name, name" of tables, quoted. */
static char *
list_names(List *relids)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, relids)
		appendStringInfo(&buf, "%s%s", buf.len ? ", " : "", quote_relation(lfirst_oid(lc)));
	return buf.data;
}

/* What becomes of the old side. */
typedef struct Retirement
{
	List	   *relids;
	const char *names;
	const char *way;			/* drop, archive or keep */
} Retirement;

/* Gives a table a name that says what it was, and takes everybody's rights but its owner's. */
static void
archive(Oid relid)
{
	SpiScope	scope;
	char	   *statement;

	spi_open_catalog(&scope);
	spi_run(psprintf("ALTER TABLE %s RENAME TO %s", quote_relation(relid),
					 quote_identifier(ChooseRelationName(get_rel_name(relid), NULL, "archived", get_rel_namespace(relid), false))),
			SPI_NO_ARGS);
	spi_run("SELECT format('REVOKE ALL ON TABLE %s FROM %s', $1::regclass, string_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' "
			"ELSE quote_ident(pg_get_userbyid(a.grantee)) END, ', ')) FROM pg_class c, aclexplode(c.relacl) a "
			"WHERE c.oid = $1 AND a.grantee <> c.relowner HAVING count(*) > 0", SPI_ARGS(spi_oid(OIDOID, relid)));
	if (SPI_processed > 0)
	{
		statement = spi_get_text(&scope, 0, 1);
		spi_run(statement, SPI_NO_ARGS);
	}
	spi_close(&scope);
}

/* Work for own_ddl_run. */
static void
work_retire(void *arg)
{
	Retirement *r = arg;
	ListCell   *lc;

	if (strcmp(r->way, "archive") == 0)
	{
		foreach(lc, r->relids)
			archive(lfirst_oid(lc));
	}
	else if (strcmp(r->way, "drop") == 0 && r->relids != NIL)
	{
		SpiScope	scope;

		spi_open_catalog(&scope);
		spi_run(psprintf("DROP TABLE %s", r->names), SPI_NO_ARGS);
		spi_close(&scope);
	}
}

/*
 * migrate_cleanup(migration text, force boolean, reason text) RETURNS text: the
 * phase.  Removes triggers and what is still owed to the old side, which is
 * dropped, archived or kept, as setting old_side says: old tables, and in place old
 * columns.  There is no way back.
 *
 * Locks both sides, and tables that foreign keys of the old side refer to, in
 * ACCESS EXCLUSIVE mode for that moment.
 */
Datum
migrate_cleanup(PG_FUNCTION_ARGS)
{
	Migration  *g;
	bool		force = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	char	   *reason = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	Retirement	r;
	List	   *in_place = NIL;
	char	   *columns;
	ListCell   *lc;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("migration must not be null")));
	g = migration_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	phase_require(g, "migrate_cleanup", PHASES("soak"));
	gate_pass(g, "done", NULL, force, reason);
	r.relids = retire_list_relations(g);
	r.way = setting_text(g->settings, "old_side");
	foreach(lc, r.relids)
		identity_require_relation_owner(lfirst_oid(lc));	/* it may have changed since it was mapped */
	retire_check_other_migrations(g, r.relids);
	r.names = list_names(r.relids);
	foreach(lc, contract_list_columns(g))
		in_place = list_append_unique_oid(in_place, ((OldColumn *) lfirst(lc))->relation);
	if (strcmp(r.way, "keep") != 0)
		retire_check_other_migrations(g, in_place);
	job_cancel_all(g->id);
	cutover_lock(g, true, strcmp(r.way, "drop") == 0 ? retire_list_parents(list_concat_copy(r.relids, in_place)) : NIL);

	trigger_remove_all(g);
	columns = contract_finish(g, r.way);
	own_ddl_run(work_retire, &r);
	dirty_key_delete_all(g->id, MAPPING_FORWARD);
	dirty_key_delete_all(g->id, MAPPING_REVERSE);
	swap_step_delete_all(g->id);
	phase_move(g, "done", psprintf("{\"old_side\": \"%s\", \"tables\": %s, \"columns\": %s, \"locked_ms\": %.1f}",
								   r.way, event_json_string(r.names), event_json_string(columns), cutover_elapsed_ms()), reason);
	PG_RETURN_TEXT_P(cstring_to_text(g->phase));
}
