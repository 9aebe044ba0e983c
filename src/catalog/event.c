/*
 * event.c
 *		Rows of migrate_ext.event: the audit trail, and its NOTIFY.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/json.h"

#include "base/spi.h"
#include "catalog/event.h"

/*
 * Records what happened, and tells listeners of channel migrate_ext.  detail
 * is the text of a JSON object, or NULL; phase is the phase entered, or NULL.
 */
void
event_record(const Migration *m, const char *kind, const char *phase,
			 const char *detail, const char *reason)
{
	SpiScope	scope;
	char	   *who = GetUserNameFromId(GetUserId(), true);

	spi_open_catalog(&scope);
	spi_run("WITH e AS (INSERT INTO migrate_ext.event "
			"(migration_id, migration, who, kind, phase, detail, reason) "
			"VALUES ($1, $2, coalesce($3, 'unknown'), $4, $5, $6::jsonb, $7) RETURNING *) "
			"SELECT pg_notify('migrate_ext', left(jsonb_strip_nulls(jsonb_build_object("
			"'migration', migration, 'kind', kind, 'phase', phase, 'at', at, 'who', who))::text, 7900)) "
			"FROM e",
			SPI_ARGS(spi_int8(m->id), spi_text(m->name), spi_text(who), spi_text(kind),
					 spi_text(phase), spi_text(detail), spi_text(reason)));
	spi_close(&scope);
}

/* A text as it stands in the detail of an event. */
char *
event_json_string(const char *text)
{
	StringInfoData buf;

	initStringInfo(&buf);
	escape_json(&buf, text);
	return buf.data;
}

/* Did the last rehearsal pass, and was nothing changed since?  measured says what it found. */
bool
event_last_rehearsal(const Migration *m, char **measured)
{
	SpiScope	scope;
	bool		passed = false;

	spi_open_catalog(&scope);
	*measured = MemoryContextStrdup(scope.caller, "never rehearsed");
	if (spi_run("SELECT (detail ->> 'passed')::boolean AND at > g.changed_at, "
				"CASE WHEN at <= g.changed_at THEN 'older than the last change' ELSE format('%s of %s rows rejected, %s', "
				"detail ->> 'rows_rejected', detail ->> 'rows_tried', CASE WHEN (detail ->> 'passed')::boolean THEN 'passed' ELSE 'not passed' END) END "
				"FROM migrate_ext.event e JOIN migrate_ext.migration g USING (migration_id) "
				"WHERE migration_id = $1 AND kind = 'rehearsed' ORDER BY event_id DESC LIMIT 1", SPI_ARGS(spi_int8(m->id))) > 0)
	{
		passed = spi_get_bool(0, 1);
		*measured = spi_get_text(&scope, 0, 2);
	}
	spi_close(&scope);
	return passed;
}

/* How many seconds a copy takes by the last rehearsal, if nothing was changed since; negative if that is not known. */
double
event_rehearsed_seconds(const Migration *m)
{
	SpiScope	scope;
	double		seconds = -1;

	spi_open_catalog(&scope);
	if (spi_run("SELECT (detail ->> 'estimated_seconds')::float8 FROM migrate_ext.event e JOIN migrate_ext.migration g USING (migration_id) "
				"WHERE migration_id = $1 AND kind = 'rehearsed' AND at > g.changed_at ORDER BY event_id DESC LIMIT 1", SPI_ARGS(spi_int8(m->id))) > 0 && !spi_is_null(0, 1))
		seconds = DatumGetFloat8(spi_get_datum(0, 1));
	spi_close(&scope);
	return seconds;
}
