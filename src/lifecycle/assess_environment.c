/*
 * assess_environment.c
 *		Findings about the server, as it is now: disk, workers, WAL, standbys, sessions.
 *
 * Each is notable, or not found at all.
 */
#include "postgres.h"

#include <sys/statvfs.h>

#include "catalog/pg_authid.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_tablespace.h"
#include "commands/extension.h"
#include "commands/tablespace.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "base/quote.h"
#include "base/setting.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "catalog/event.h"
#include "catalog/mapping.h"
#include "lifecycle/assess.h"
#include "lifecycle/assess_query.h"

/* So many times the size of the source has to be free: the copy, its indexes, its WAL. */
#define DISK_FACTOR 2.5

/* Bytes a second that a copy is assumed to read, where it was not rehearsed. */
#define ASSUMED_RATE (10.0 * 1024 * 1024)

/* Estimates of less are nobody's concern, in seconds. */
#define NOTABLE_SECONDS 60

/* What the queries are given. */
typedef struct Environment
{
	const Migration *g;
	List	   *relids;			/* both sides, and their parts */
	List	   *sources;		/* those that are copied */
	List	   *targets;
	int64		bytes;			/* of the sources */
} Environment;

/*
 * Parameters: $1 the tables of both sides and their parts, $2 the migration's owner, $3 setting
 * workers, $4 bytes of the sources, $5 setting max_replica_lag in ms.
 */
#define SETTING_OF_ROLE "(SELECT split_part(o.o, '=', 1) AS name, substr(o.o, strpos(o.o, '=') + 1) AS value, format('of role %I', pg_get_userbyid($2)) AS place, 1 AS rank " \
	"FROM pg_db_role_setting d CROSS JOIN LATERAL unnest(d.setconfig) o (o) WHERE d.setrole IN (0, $2) " \
	"AND d.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) " \
	"UNION ALL SELECT name, setting, 'of the server', 2 FROM pg_settings WHERE source IN ('configuration file', 'command line', 'global'))"
#define SECONDS(x) "(extract(epoch FROM clock_timestamp() - " x ")::bigint || ' s')"

static const AssessQuery queries[] = {
	{"worker slots", false,
		"SELECT 'warning', 'max_worker_processes', format('%s of %s worker slots are free now, and setting workers is %s', m.n - u.n, m.n, $3), "
		"'Raise max_worker_processes (it needs a restart), or lower setting workers: the copy goes on with those that it gets.' "
		"FROM (SELECT current_setting('max_worker_processes')::bigint AS n) m, (SELECT count(*) AS n FROM pg_stat_activity WHERE backend_type NOT IN "
		"('client backend', 'autovacuum launcher', 'autovacuum worker', 'walsender', 'walreceiver', 'walwriter', 'walsummarizer', 'checkpointer', 'background writer', "
		"'archiver', 'startup', 'io worker', 'slotsync worker', 'standalone backend', 'logger') AND backend_type <> 'migrate_ext worker') u WHERE m.n - u.n < $3 AND m.n >= 2"},
	{"WAL", false,
		"SELECT 'warning', 'full_page_writes', 'it is off: after a crash pages may be torn, those of a copy like any others', 'Switch it on, if the storage does not prevent that by itself.' "
		"WHERE NOT current_setting('full_page_writes')::boolean "
		"UNION ALL SELECT 'warning', 'fsync', 'it is off: a crash of the machine loses what the copy''s progress says is there', 'Switch it on before the start.' "
		"WHERE NOT current_setting('fsync')::boolean AND $4 > 1024 * 1024 * 1024::bigint "
		"UNION ALL SELECT 'info', 'max_wal_size', format('the copy writes about %s of WAL, and with %s checkpoints come early', pg_size_pretty(($4 * 1.5)::bigint), current_setting('max_wal_size')), "
		"'Raise it, and checkpoint_timeout, for the time of the copy; setting max_wal_rate slows the copy down.' WHERE $4 * 1.5 > 2 * pg_size_bytes(current_setting('max_wal_size')) "
		"UNION ALL SELECT 'warning', 'archive_command', format('archiving failed at %s, last for %s: WAL of the copy stays on the disk', last_failed_time::timestamp(0), last_failed_wal), 'Mend it before the copy.' "
		"FROM pg_stat_archiver WHERE last_failed_time > coalesce(last_archived_time, '-infinity') AND current_setting('archive_mode') <> 'off'"},
	{"synchronous standbys", false,
		"SELECT 'warning', 'synchronous_standby_names', format('each batch, and each write of the application, waits for standbys: %s', current_setting('synchronous_standby_names')), "
		"format('It does so more often during a copy. ALTER ROLE %I SET synchronous_commit = local lets only the copy not wait.', pg_get_userbyid($2)) "
		"WHERE current_setting('synchronous_standby_names') <> '' AND current_setting('synchronous_commit') NOT IN ('off', 'local')"},
	{"standbys", false,
		"SELECT 'warning', 'standby ' || coalesce(nullif(application_name, ''), pid::text), format('it is %s and %s behind now', replay_lag, pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn))), "
		"'The copy waits at max_replica_lag: let it catch up, or see why it does not.' FROM pg_stat_replication WHERE replay_lag > $5 * interval '1 ms' AND $5 > 0 "
		"UNION ALL SELECT 'info', 'standby ' || coalesce(nullif(application_name, ''), pid::text), format('its hot_standby_feedback holds back vacuum by %s transactions', age(backend_xmin)), "
		"'Dead rows of dual writes stay until its queries end: end the long ones.' FROM pg_stat_replication WHERE age(backend_xmin) > 1000000 ORDER BY 2"},
	{"replication slots", false,
		"SELECT 'warning', 'replication slot ' || quote_ident(slot_name), concat('nobody reads it: it keeps all WAL of the copy', ', and ' || pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) || ' now', "
		"' (' || nullif(wal_status, 'reserved') || ')'), 'Start its reader, drop it, or limit it by max_slot_wal_keep_size.' FROM pg_replication_slots WHERE NOT active AND restart_lsn IS NOT NULL "
		"UNION ALL SELECT 'warning', 'replication slot ' || quote_ident(slot_name), format('its WAL is %s', wal_status), 'Its reader will have to start anew: give it time before the copy, or raise max_slot_wal_keep_size.' "
		"FROM pg_replication_slots WHERE wal_status IN ('unreserved', 'lost') AND (active OR restart_lsn IS NULL) "
		"UNION ALL SELECT 'info', 'replication slot ' || quote_ident(slot_name), format('plugin %s decodes what the copy writes, too', plugin), 'See that its reader keeps up; leave the target out of its publication or filter.' "
		"FROM pg_replication_slots WHERE active AND slot_type = 'logical' AND database = current_database() ORDER BY 2, 3"},
	{"settings of this session", false,
		"SELECT 'warning', 'session_replication_role', format('it is %s: foreign keys of the target are not checked for what this session writes', current_setting('session_replication_role')), "
		"'RESET session_replication_role. What it writes is captured all the same.' WHERE current_setting('session_replication_role') <> 'origin' "
		"UNION ALL SELECT 'warning', 'default_transaction_read_only', 'it is on: this session can start nothing', 'SET default_transaction_read_only = off.' WHERE current_setting('default_transaction_read_only')::boolean "
		"AND NOT EXISTS (SELECT FROM " SETTING_OF_ROLE " x WHERE x.name = 'default_transaction_read_only')"},
	{"settings of the owner's workers", false,
		"SELECT CASE WHEN name IN ('default_transaction_read_only', 'transaction_timeout', 'session_replication_role') THEN 'warning' ELSE 'info' END, name, format('setting %s: %s', place, value), CASE name "
		"WHEN 'default_transaction_read_only' THEN 'Workers run as that role, and could not write: ALTER ROLE ... RESET default_transaction_read_only.' "
		"WHEN 'transaction_timeout' THEN 'It ends a worker whose transaction takes longer: a verification, an index that is built. ALTER ROLE ... SET transaction_timeout = 0.' "
		"WHEN 'session_replication_role' THEN 'Foreign keys and triggers of the target are left out for what workers write: ALTER ROLE ... RESET session_replication_role.' "
		"WHEN 'temp_file_limit' THEN 'Sorts of a verification or of an index that is built may need more, of that role: ALTER ROLE ... SET temp_file_limit = -1.' "
		"ELSE 'It ends calls in sessions: migrate_verify, CALL migrate_run, migrate_wait. SET it to 0 before you call them.' END "
		"FROM (SELECT DISTINCT ON (name) * FROM " SETTING_OF_ROLE " x ORDER BY name, rank) x WHERE CASE "
		"WHEN name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout') THEN value !~ '^0+\\D*$' WHEN name = 'default_transaction_read_only' THEN value IN ('on', 'true', '1', 'yes') "
		"WHEN name = 'session_replication_role' THEN value <> 'origin' WHEN name = 'temp_file_limit' THEN value <> '-1' END ORDER BY name"},
	{"prepared transactions", false,
		"SELECT 'warning', 'prepared transaction ' || quote_literal(gid), format('it is open for %s', " SECONDS("prepared") "), 'COMMIT PREPARED or ROLLBACK PREPARED: the end of a copy waits for it, and vacuum, too.' "
		"FROM pg_prepared_xacts WHERE database = current_database() AND prepared < clock_timestamp() - interval '5 min' ORDER BY prepared LIMIT 10"},
	{"long transactions", false,
		"SELECT 'warning', 'session ' || pid, format('its transaction is open for %s%s', " SECONDS("xact_start") ", ' (' || nullif(concat_ws(', ', usename, nullif(application_name, ''), state), '') || ')'), "
		"'The end of a copy waits for writers that are older, and vacuum for all: end it, or wait.' FROM pg_stat_activity "
		"WHERE datname = current_database() AND xact_start < clock_timestamp() - interval '5 min' AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY xact_start LIMIT 10"},
	{"autovacuum", false,
		"SELECT 'warning', 'autovacuum', 'it is off: dead rows of the copy and of dual writes stay, and nobody analyzes the target', 'Switch it on.' "
		"WHERE NOT current_setting('autovacuum')::boolean OR NOT current_setting('track_counts')::boolean "
		"UNION ALL SELECT 'warning', oid::regclass::text, 'autovacuum is off for it', 'ALTER TABLE ... RESET (autovacuum_enabled).' FROM pg_class "
		"WHERE oid = ANY ($1) AND EXISTS (SELECT FROM pg_options_to_table(reloptions) WHERE option_name = 'autovacuum_enabled' AND NOT option_value::boolean) ORDER BY 2"},
	{"wraparound", false,
		"SELECT 'warning', oid::regclass::text, format('its oldest transaction id is %s transactions old: autovacuum to prevent wraparound comes at %s', age(relfrozenxid), current_setting('autovacuum_freeze_max_age')), "
		"'VACUUM (FREEZE) it before the copy: that one is not cancelled for a lock.' FROM pg_class "
		"WHERE oid = ANY ($1) AND relkind IN ('r', 'm') AND age(relfrozenxid) > 0.8 * current_setting('autovacuum_freeze_max_age')::bigint ORDER BY 2"},
	{"locks", false,
		"SELECT 'warning', relation::regclass::text, format('session %s %s lock %s', coalesce(l.pid::text, '(prepared)'), CASE WHEN granted THEN 'holds' ELSE 'waits for' END, mode), "
		"'The start and the cutover wait for it, and writers behind them: see that it is short, or choose another time.' FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid "
		"WHERE locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND relation = ANY ($1) "
		"AND (mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock') "
		/* autovacuum has the other, and gives way */
		"OR (mode = 'ShareUpdateExclusiveLock' AND a.backend_type = 'client backend')) ORDER BY 2, 3"},
	{"event triggers", false,
		"SELECT 'info', 'event trigger ' || quote_ident(evtname), format('it fires at %s', evtevent), 'The extension''s own DDL calls it: at the start, the cutover and the cleanup. See that it lets that pass.' "
		"FROM pg_event_trigger WHERE NOT starts_with(evtname::text, 'migrate_ext_') AND evtenabled <> 'D' AND evtevent <> 'login' ORDER BY evtname"},
};

/* Who reads and writes the tables, given the schema of pg_stat_statements. */
static void
ask_statements(List **findings, const Environment *e)
{
	AssessQuery query = {"pg_stat_statements", false, NULL};
	Oid			extension = get_extension_oid("pg_stat_statements", true);
	SpiScope	scope;
	char	   *schema = NULL;

	if (!OidIsValid(extension))
		return;
	spi_open_reader(&scope);
	if (spi_run("SELECT quote_ident(nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.oid = $1", SPI_ARGS(spi_oid(OIDOID, extension))) > 0)
		schema = spi_get_text(&scope, 0, 1);
	spi_close(&scope);
	if (schema == NULL)
		return;
	query.sql = psprintf("SELECT 'info', 'pg_stat_statements', format('role %%I, %%s calls of %%s ms: %%s', pg_get_userbyid(s.userid), s.calls, round(s.mean_exec_time::numeric, 3), "
						 "left(regexp_replace(s.query, '\\s+', ' ', 'g'), 100)), 'It names a table of the migration: see that whoever sends it is ready for the cutover.' "
						 "FROM %s.pg_stat_statements s WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) "
						 "AND s.query ~* '^\\s*(with|select|insert|update|delete|merge|copy|table)\\M' AND EXISTS (SELECT FROM pg_class c WHERE c.oid = ANY ($1) "
						 "AND s.query ~* ('\\m' || regexp_replace(c.relname, '([^[:alnum:]_])', '\\\\\\1', 'g') || '\\M')) ORDER BY s.calls DESC, s.queryid LIMIT 5", schema);
	assess_ask(findings, &query, SPI_ARGS(spi_oids(e->relids)));
}

/* The bytes that are free where a tablespace is; negative if that is not known. */
static double
free_bytes(const char *path)
{
	struct statvfs fs;

	return statvfs(path, &fs) == 0 ? (double) fs.f_bavail * fs.f_frsize : -1;
}

static char *
pretty(double bytes)
{
	return text_to_cstring(DatumGetTextPP(DirectFunctionCall1(pg_size_pretty, Int64GetDatum((int64) bytes))));
}

/* Is there room for the targets, where they are? */
static void
look_at_disk(List **findings, const Environment *e)
{
	bool		may_see = has_privs_of_role(GetUserId(), ROLE_PG_MONITOR);
	List	   *relids = NIL;
	List	   *seen = NIL;
	ListCell   *lc;

	foreach(lc, e->targets)
		relids = list_concat(relids, find_all_inheritors(lfirst_oid(lc), NoLock, NULL));
	foreach(lc, relids)
	{
		Oid			tablespace = get_rel_tablespace(lfirst_oid(lc));
		char	   *name;
		char	   *path;
		double		available;

		if (!OidIsValid(tablespace))
			tablespace = MyDatabaseTableSpace;
		if (list_member_oid(seen, tablespace))
			continue;
		seen = lappend_oid(seen, tablespace);
		name = get_tablespace_name(tablespace);
		path = tablespace == DEFAULTTABLESPACE_OID || tablespace == GLOBALTABLESPACE_OID ? pstrdup(DataDir) : psprintf("%s/pg_tblspc/%u", DataDir, tablespace);
		available = free_bytes(path);
		if (available >= 0 && available < DISK_FACTOR * e->bytes)
			assess_add(findings, "warning", psprintf("tablespace %s", name ? quote_identifier(name) : "that was dropped"),
					   psprintf("%s are free%s, and the copy needs up to %s: %.1f times what the sources take", pretty(available),
								may_see ? psprintf(" in %s", path) : "", pretty(DISK_FACTOR * e->bytes), DISK_FACTOR),
					   "Make room: for the copied rows, their indexes, and the WAL until the next checkpoint; more where slots or archiving keep WAL.");
	}
}

static char *
duration(double seconds)
{
	if (seconds < 2 * 60)
		return psprintf("%.0f seconds", seconds);
	return seconds < 2 * 3600 ? psprintf("%.0f minutes", seconds / 60) : psprintf("%.1f hours", seconds / 3600);
}

/* How long will the copy take? */
static void
estimate(List **findings, const Environment *e)
{
	double		seconds = event_rehearsed_seconds(e->g);
	int			workers = setting_int(e->g->settings, "workers");

	if (seconds >= NOTABLE_SECONDS)
		assess_add(findings, "info", "duration", psprintf("the copy takes about %s, by the rate of the last rehearsal, which is that of one session", duration(seconds)),
				   psprintf("It runs in %d workers: see migrate_progress. Setting run_window says when.", workers));
	else if (seconds < 0 && e->bytes / ASSUMED_RATE >= NOTABLE_SECONDS)
		assess_add(findings, "info", "duration", psprintf("the copy of %s takes about %s, if it comes to %s a second, which is an assumption", pretty(e->bytes),
														  duration(e->bytes / ASSUMED_RATE), pretty(ASSUMED_RATE)),
				   "migrate_rehearse measures it. Setting workers says how many copy at a time.");
}

/* What takes part in a migration. */
static void
find_relations(Environment *e)
{
	SpiScope	scope;
	List	   *relids = NIL;
	uint64		n;
	MemoryContext old;
	ListCell   *lc;

	foreach(lc, mapping_list(e->g->id, MAPPING_FORWARD))
	{
		Mapping    *m = lfirst(lc);

		e->sources = list_append_unique_oid(e->sources, m->source);
		e->targets = list_append_unique_oid(e->targets, m->target);
		relids = list_append_unique_oid(list_append_unique_oid(relids, m->source), m->target);
	}
	spi_open_reader(&scope);
	n = spi_run("SELECT DISTINCT x.oid, CASE WHEN r.relid = ANY ($2) THEN pg_total_relation_size(x.oid) ELSE 0 END FROM unnest($1) r (relid) "
				"CROSS JOIN LATERAL (SELECT r.relid UNION SELECT relid FROM pg_partition_tree(r.relid)) x (oid)", SPI_ARGS(spi_oids(relids), spi_oids(e->sources)));
	for (uint64 i = 0; i < n; i++)
	{
		old = MemoryContextSwitchTo(scope.caller);
		e->relids = list_append_unique_oid(e->relids, spi_get_oid(i, 1));
		MemoryContextSwitchTo(old);
		e->bytes += spi_get_int8(i, 2);
	}
	spi_close(&scope);
}

/* What is found: the queries, and what no query tells. */
typedef struct Look
{
	List	  **findings;
	Environment e;
} Look;

/* Work for subxact_probe. */
static void
work_look(void *arg)
{
	Look	   *look = arg;

	find_relations(&look->e);
	look_at_disk(look->findings, &look->e);
	estimate(look->findings, &look->e);
	ask_statements(look->findings, &look->e);
}

/* Findings about the server as it is now. */
void
assess_environment(List **findings, const Migration *g)
{
	Look		look = {findings, {g}};
	ErrorData  *error = subxact_probe(work_look, &look);

	if (error != NULL)
		assess_could_not(findings, "disk, duration and statements", error, false);
	for (int i = 0; i < lengthof(queries); i++)
		assess_ask(findings, &queries[i],
				   SPI_ARGS(spi_oids(look.e.relids), spi_oid(OIDOID, g->owner), spi_int4(setting_int(g->settings, "workers")), spi_int8(look.e.bytes),
							spi_int4(setting_int(g->settings, "max_replica_lag"))));
}
