/*
 * migration.c
 *		Rows of migrate_ext.migration.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/namespace.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "base/identity.h"
#include "base/setting.h"
#include "base/spi.h"
#include "catalog/mapping.h"
#include "catalog/migration.h"

#define MIGRATION_SELECT \
	"SELECT migration_id, name, owner::oid, phase, cutover_method, paused, settings, frozen, ramp::float8 " \
	"FROM migrate_ext.migration "

/* Inserts a planned migration; returns its id. */
int64
migration_insert(const char *name, const char *description, Oid owner, const char *time_zone)
{
	SpiScope	scope;
	int64		id;

	spi_open_catalog(&scope);
	if (spi_run("INSERT INTO migrate_ext.migration (name, description, owner, settings) "
				"VALUES ($1, $2, $3, jsonb_build_object('time_zone', $4)) "
				"ON CONFLICT (name) DO NOTHING RETURNING migration_id",
				SPI_ARGS(spi_text(name), spi_text(description),
						 spi_oid(REGROLEOID, owner), spi_text(time_zone))) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("migration \"%s\" already exists", name),
				 errhint("Choose another name, or remove the old one with migrate_drop.")));
	id = spi_get_int8(0, 1);
	spi_close(&scope);
	return id;
}

/* Runs one of the SELECTs above; the migrations it returns. */
static List *
fetch_all(const char *sql, const SpiArg *args, int nargs)
{
	SpiScope	scope;
	List	   *result = NIL;
	ListCell   *lc;
	uint64		n;

	spi_open_catalog(&scope);
	n = spi_run_fixed(sql, args, nargs);
	for (uint64 i = 0; i < n; i++)
	{
		Migration  *m = MemoryContextAllocZero(scope.caller, sizeof(Migration));
		MemoryContext old;

		m->id = spi_get_int8(i, 1);
		m->name = spi_get_text(&scope, i, 2);
		m->owner = spi_get_oid(i, 3);
		m->phase = spi_get_text(&scope, i, 4);
		m->cutover_method = spi_get_text(&scope, i, 5);
		m->paused = spi_get_bool(i, 6);
		m->settings = DatumGetJsonbP(spi_get_copy(&scope, i, 7));
		m->frozen = spi_get_bool(i, 8);
		m->ramp = DatumGetFloat8(spi_get_datum(i, 9));
		old = MemoryContextSwitchTo(scope.caller);
		result = lappend(result, m);
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
	foreach(lc, result)
	{
		Migration  *m = lfirst(lc);

		m->time_zone = setting_text(m->settings, "time_zone");
	}
	return result;
}

/* The one migration that a SELECT returns; NULL if there is no such row. */
static Migration *
fetch(const char *sql, SpiArg arg)
{
	List	   *found = fetch_all(sql, &arg, 1);

	return found ? linitial(found) : NULL;
}

/* Finds a migration by name; NULL if there is none. */
Migration *
migration_find(const char *name)
{
	return fetch(MIGRATION_SELECT "WHERE name = $1", spi_text(name));
}

static MIGRATE_NORETURN void
raise_unknown(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("migration \"%s\" does not exist", name),
			 errhint("Migrations are listed by: SELECT * FROM migrate_status();")));
}

/* Gets a migration the caller may see. */
Migration *
migration_get(const char *name)
{
	Migration  *m = migration_find(name);

	if (m == NULL)
		raise_unknown(name);
	identity_require_member(m->owner, m->name);
	return m;
}

/* Gets a migration for a worker; NULL if it was dropped. */
Migration *
migration_get_by_id(int64 id)
{
	return fetch(MIGRATION_SELECT "WHERE migration_id = $1", spi_int8(id));
}

/*
 * Gets a migration the caller may change, and locks its row until the end of
 * the transaction: calls that move one migration run one after another.
 */
Migration *
migration_lock(const char *name)
{
	Migration  *m;

	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot change migration \"%s\" on a standby server", name),
				 errhint("Connect to the primary.")));
	(void) migration_get(name); /* refuse before waiting */
	m = fetch(MIGRATION_SELECT "WHERE name = $1 FOR NO KEY UPDATE", spi_text(name));
	if (m == NULL)
		raise_unknown(name);
	return m;
}

/* Locks a migration for a worker, without waiting; NULL if it is locked, or gone. */
Migration *
migration_try_lock(int64 id)
{
	return fetch(MIGRATION_SELECT "WHERE migration_id = $1 FOR NO KEY UPDATE SKIP LOCKED", spi_int8(id));
}

/* The migrations that capture writes now. */
List *
migration_list_capturing(void)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, fetch_all(MIGRATION_SELECT "ORDER BY migration_id", SPI_NO_ARGS))
	{
		if (migration_is_capturing(lfirst(lc)))
			result = lappend(result, lfirst(lc));
	}
	return result;
}

/* Has the target side become the authoritative one? */
bool
migration_is_switched(const Migration *m)
{
	return strcmp(m->phase, "soak") == 0;
}

/* Are writes to the authoritative side captured? */
bool
migration_is_capturing(const Migration *m)
{
	return strcmp(m->phase, "planned") != 0 && strcmp(m->phase, "rolled_back") != 0 &&
		strcmp(m->phase, "done") != 0;
}

/* Runs a statement on one migration. */
static void
change(const char *sql, const SpiArg *args, int nargs)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	if (spi_run(sql, args, nargs) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("migration was dropped by another session")));
	spi_close(&scope);
}

/* Sessions that route reads ask again: see lifecycle/route.c. */
static void
invalidate_routes(void)
{
	CacheInvalidateRelcacheByRelid(get_relname_relid("migration", get_namespace_oid(MIGRATE_SCHEMA, false)));
}

void
migration_delete(int64 id)
{
	change(MAPPING_FORGET("migration_id = $1")
		   ", used AS (DELETE FROM migrate_ext.old_side_use WHERE migration_id = $1) DELETE FROM migrate_ext.migration WHERE migration_id = $1",
		   SPI_ARGS(spi_int8(id)));
	invalidate_routes();
}

void
migration_set_ramp(int64 id, double percent)
{
	change("UPDATE migrate_ext.migration SET ramp = $2 WHERE migration_id = $1",
		   SPI_ARGS(spi_int8(id), spi_datum(FLOAT8OID, Float8GetDatum(percent), false)));
	invalidate_routes();
}

/* A sign-off, and a share of reads, were for the phase before. */
void
migration_set_phase(int64 id, const char *phase, const char *cutover_method, bool frozen)
{
	change("UPDATE migrate_ext.migration SET phase = $2, phase_since = clock_timestamp(), "
		   "cutover_method = $3, frozen = $4, ramp = 0, signed_off_at = NULL, signed_off_by = NULL WHERE migration_id = $1",
		   SPI_ARGS(spi_int8(id), spi_text(phase), spi_text(cutover_method), spi_bool(frozen)));
	invalidate_routes();
}

void
migration_set_paused(int64 id, bool paused)
{
	change("UPDATE migrate_ext.migration SET paused = $2 WHERE migration_id = $1",
		   SPI_ARGS(spi_int8(id), spi_bool(paused)));
}

void
migration_set_frozen(int64 id, bool frozen)
{
	change("UPDATE migrate_ext.migration SET frozen = $2 WHERE migration_id = $1",
		   SPI_ARGS(spi_int8(id), spi_bool(frozen)));
}

void
migration_sign_off(int64 id, const char *who)
{
	change("UPDATE migrate_ext.migration SET signed_off_at = clock_timestamp(), signed_off_by = $2 WHERE migration_id = $1",
		   SPI_ARGS(spi_int8(id), spi_text(who)));
}

/* Runs a query on one migration that gives a boolean and a text; the boolean. */
static bool
ask(const char *sql, const SpiArg *args, int nargs, char **text)
{
	SpiScope	scope;
	bool		result;

	spi_open_catalog(&scope);
	spi_run(sql, args, nargs);
	result = spi_get_bool(0, 1);
	*text = spi_get_text(&scope, 0, 2);
	spi_close(&scope);
	return result;
}

/* "by dba at ..."; NULL if nobody has signed off since the cutover. */
char *
migration_signed_off(int64 id)
{
	char	   *by;

	return ask("SELECT signed_off_at IS NOT NULL, format('by %s at %s', signed_off_by, date_trunc('second', signed_off_at)) "
			   "FROM migrate_ext.migration WHERE migration_id = $1", SPI_ARGS(spi_int8(id)), &by) ? by : NULL;
}

/* Is it in its phase for so long?  measured says for how long. */
bool
migration_in_phase_for(int64 id, int seconds, char **measured)
{
	return ask("SELECT clock_timestamp() - phase_since >= make_interval(secs => $2), "
			   "date_trunc('second', clock_timestamp() - phase_since)::text "
			   "FROM migrate_ext.migration WHERE migration_id = $1", SPI_ARGS(spi_int8(id), spi_int8(seconds)), measured);
}

/* Stores a setting; a null value goes back to the default. */
void
migration_set_setting(int64 id, const char *name, const char *value)
{
	change("UPDATE migrate_ext.migration SET settings = "
		   "CASE WHEN $3 IS NULL THEN settings - $2 "
		   "ELSE settings || jsonb_build_object($2, $3) END WHERE migration_id = $1",
		   SPI_ARGS(spi_int8(id), spi_text(name), spi_text(value)));
}

/* Notes that verifications made so far no longer prove anything. */
void
migration_mark_changed(int64 id)
{
	change("UPDATE migrate_ext.migration SET changed_at = clock_timestamp() "
		   "WHERE migration_id = $1",
		   SPI_ARGS(spi_int8(id)));
}
