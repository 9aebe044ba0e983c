/*
 * throttle.c
 *		Says when a copy must wait, and why.
 *
 * Each signal has a setting that limits it, and 0 or nothing turns it off.  The
 * first that is over its limit is the reason, which the job shows as long as it
 * waits.  A signal that cannot be evaluated waits, too: nobody knows then what
 * the copy would do to the replica.
 *
 * Signals are looked at between batches, when this worker holds no lock but
 * its place at the job, and no snapshot; not more often than every LOOK_MS.
 */
#include "postgres.h"

#include <unistd.h>

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "base/setting.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "copy/throttle.h"

/* Milliseconds between two looks at the signals. */
#define LOOK_MS 500

/* Milliseconds over which the rate of WAL is measured. */
#define WAL_WINDOW_MS 5000

/* How many WAL positions are remembered: for LOOK_MS * this, at least. */
#define HISTORY 256

/* Where the server's WAL was when. */
typedef struct WalPosition
{
	TimestampTz at;
	XLogRecPtr	lsn;
} WalPosition;

static WalPosition history[HISTORY];
static int	history_next = 0;

/* What the last look found, and for whom. */
static struct
{
	int64		job_id;
	uint32		settings;		/* hash */
	bool		paused;			/* Job.lag_paused, as it was */
	TimestampTz at;
	char		reason[512];	/* empty: none */
	bool		lag_paused;
	double		lag_ms;			/* of the replica furthest behind; negative: unknown */
}			last;

/* What the signals are looked at for. */
typedef struct Look
{
	const Job  *job;
	const Migration *g;
	const char *signal;			/* being looked at */
	char	   *reason;
	bool		lag_paused;
	double		lag_ms;
} Look;

/* Remembers where the WAL is; returns it. */
static XLogRecPtr
note_wal(void)
{
	XLogRecPtr	lsn = GetFlushRecPtr(NULL);

	history[history_next].at = GetCurrentTimestamp();
	history[history_next].lsn = lsn;
	history_next = (history_next + 1) % HISTORY;
	return lsn;
}

/*
 * For how many milliseconds, at least, a replica has been behind that has
 * replayed up to an LSN.  By our own notes: what the server reports stands
 * still while replay does.
 */
static double
lag_since(XLogRecPtr replayed)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz first = now;

	for (int i = 0; i < HISTORY; i++)
	{
		if (history[i].at != 0 && history[i].lsn > replayed)
			first = Min(first, history[i].at);
	}
	return (now - first) / 1000.0;
}

/* A size as people read it. */
static char *
pretty_size(double bytes)
{
	return TextDatumGetCString(DirectFunctionCall1(pg_size_pretty, Int64GetDatum((int64) bytes)));
}

/* Takes the name of a replica out of the list of those that are looked for. */
static bool
is_wanted(List **names, bool all, const char *name)
{
	ListCell   *lc;

	foreach(lc, *names)
	{
		if (strcmp(lfirst(lc), name) == 0)
		{
			*names = foreach_delete_current(*names, lc);
			return true;
		}
	}
	return all;
}

/* The names in setting replicas; *all is set where it is empty. */
static List *
list_replicas(const Migration *g, bool *all)
{
	char	   *names = setting_text(g->settings, "replicas");
	List	   *result = NIL;

	*all = names[strspn(names, " ")] == '\0';
	if (!*all && !SplitGUCList(names, ',', &result))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting \"replicas\" is not a list of names: \"%s\"", setting_text(g->settings, "replicas"))));
	return result;
}

/* Is one replica too far behind? */
static char *
judge_replica(Look *look, const char *name, double lag_ms, double lag_bytes)
{
	Jsonb	   *settings = look->g->settings;
	int			most = setting_int(settings, "max_replica_lag");
	int			pause = setting_int(settings, "pause_replica_lag");
	double		most_bytes = setting_int(settings, "max_replica_lag_bytes") * 1024.0;

	look->lag_ms = Max(look->lag_ms, lag_ms);
	if (pause > 0 && lag_ms > pause)
	{
		look->lag_paused = true;
		return psprintf("paused: replica %s is %.1f s behind (pause_replica_lag %.1f s)", name, lag_ms / 1000, pause / 1000.0);
	}
	if (most > 0 && lag_ms > most)
	{
		look->lag_paused = look->job->lag_paused;
		return psprintf("replica %s is %.1f s behind (max_replica_lag %.1f s)", name, lag_ms / 1000, most / 1000.0);
	}
	if (most_bytes > 0 && lag_bytes > most_bytes)
		return psprintf("replica %s is %s behind (max_replica_lag_bytes %s)", name,
						pretty_size(lag_bytes), pretty_size(most_bytes));
	return NULL;
}

/*
 * Are replicas too far behind?  A named one that is not there is, as far as
 * anybody knows.
 */
static char *
look_at_replicas(Look *look)
{
	SpiScope	scope;
	XLogRecPtr	flushed = note_wal();
	char	   *reason = NULL;
	List	   *names;
	bool		all;
	uint64		n;

	if (setting_int(look->g->settings, "max_replica_lag") == 0 && setting_int(look->g->settings, "pause_replica_lag") == 0 &&
		setting_int(look->g->settings, "max_replica_lag_bytes") == 0)
		return NULL;
	names = list_replicas(look->g, &all);
	spi_open_catalog(&scope);
	n = spi_run_fixed("SELECT r.application_name, r.replay_lsn, extract(epoch FROM r.replay_lag)::float8 * 1000 "
					  "FROM pg_catalog.pg_stat_replication r WHERE r.state IS DISTINCT FROM 'backup' AND NOT EXISTS "
					  "(SELECT FROM pg_catalog.pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical') "
					  "ORDER BY 1", SPI_NO_ARGS);
	for (uint64 i = 0; i < n && reason == NULL; i++)
	{
		char	   *name = spi_get_text(&scope, i, 1);
		XLogRecPtr	replayed;
		double		reported;

		if (name == NULL || !is_wanted(&names, all, name))
			continue;
		if (spi_is_null(i, 2))
		{
			reason = psprintf("replica %s does not tell how far it is", name);
			break;
		}
		replayed = DatumGetLSN(spi_get_datum(i, 2));
		reported = spi_is_null(i, 3) || replayed >= flushed ? 0 : DatumGetFloat8(spi_get_datum(i, 3));
		reason = judge_replica(look, name, Max(reported, lag_since(replayed)),
							   flushed > replayed ? flushed - replayed : 0);
	}
	if (reason == NULL && names != NIL)
		reason = psprintf("replica %s is not connected (setting replicas)", (char *) linitial(names));
	if (reason != NULL)
		reason = MemoryContextStrdup(scope.caller, reason);
	spi_close(&scope);
	return reason;
}

/* Is WAL written faster than it may be, by whomever? */
static char *
look_at_wal(Look *look)
{
	double		most = setting_int(look->g->settings, "max_wal_rate") * 1024.0;
	TimestampTz now = GetCurrentTimestamp();
	const WalPosition *oldest = NULL;
	double		rate;

	if (most == 0)
		return NULL;
	for (int i = 0; i < HISTORY; i++)
	{
		if (history[i].at != 0 && now - history[i].at <= WAL_WINDOW_MS * (int64) 1000 &&
			(oldest == NULL || history[i].at < oldest->at))
			oldest = &history[i];
	}
	if (oldest == NULL || now - oldest->at < LOOK_MS * (int64) 1000 / 2)
		return NULL;
	rate = (GetFlushRecPtr(NULL) - oldest->lsn) * 1000000.0 / (now - oldest->at);
	return rate <= most ? NULL : psprintf("%s of WAL a second (max_wal_rate %s)", pretty_size(rate), pretty_size(most));
}

/* The first column of the first row of a query about the server's sessions. */
static int64
count_sessions(const char *sql)
{
	SpiScope	scope;
	int64		n;

	spi_open_catalog(&scope);
	n = spi_run_fixed(sql, SPI_NO_ARGS) > 0 ? spi_get_int8(0, 1) : 0;
	spi_close(&scope);
	return n;
}

/* Do too many sessions wait for a lock that a worker of ours holds? */
static char *
look_at_locks(Look *look)
{
	int			most = setting_int(look->g->settings, "max_lock_waiters");
	int64		n;

	if (most == 0)
		return NULL;
	n = count_sessions("SELECT count(DISTINCT l.pid) FROM pg_catalog.pg_locks l WHERE NOT l.granted "
					   "AND l.pid NOT IN (SELECT pid FROM migrate_ext.job_lock) AND EXISTS "
					   "(SELECT FROM unnest(pg_catalog.pg_blocking_pids(l.pid)) b JOIN migrate_ext.job_lock j ON j.pid = b)");
	return n <= most ? NULL : psprintf("%lld sessions wait for a lock of a worker (max_lock_waiters %d)", (long long) n, most);
}

/* Does one of our workers hold back vacuum? */
static char *
look_at_xmin(Look *look)
{
	int			most = setting_int(look->g->settings, "max_xmin_age");
	int64		age;

	if (most == 0)
		return NULL;
	age = count_sessions("SELECT coalesce(max(age(a.backend_xmin)), 0)::int8 FROM pg_catalog.pg_stat_activity a "
						 "JOIN migrate_ext.job_lock j USING (pid) WHERE pid <> pg_catalog.pg_backend_pid()");
	return age <= most ? NULL : psprintf("a worker holds back vacuum by %lld transactions (max_xmin_age %d)", (long long) age, most);
}

/* Must a vacuum that prevents wraparound come forward first? */
static char *
look_at_vacuum(Look *look)
{
	if (!setting_bool(look->g->settings, "yield_to_wraparound_vacuum") ||
		count_sessions("SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'autovacuum worker' "
					   "AND datid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) "
					   "AND query LIKE 'autovacuum:%(to prevent wraparound)'") == 0)
		return NULL;
	return pstrdup("autovacuum prevents wraparound in this database (yield_to_wraparound_vacuum)");
}

/* Are more sessions active than the machine can serve? */
static char *
look_at_sessions(Look *look)
{
	double		most = setting_real(look->g->settings, "max_sessions_per_core");
	long		cores = Max(sysconf(_SC_NPROCESSORS_ONLN), 1);
	int64		n;

	if (most == 0)
		return NULL;
	n = count_sessions("SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE state = 'active' "
					   "AND backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()");
	return n <= most * cores ? NULL :
		psprintf("%lld active sessions on %ld cores (max_sessions_per_core %g)", (long long) n, cores, most);
}

/* What a value of throttle_query means: a reason, or NULL. */
static char *
judge_answer(void)
{
	char	   *text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	Oid			type = SPI_gettypeid(SPI_tuptable->tupdesc, 1);
	char		category;
	bool		preferred;

	if (text == NULL)
		return NULL;
	get_type_category_preferred(type, &category, &preferred);
	if (category == TYPCATEGORY_BOOLEAN)
		return text[0] == 't' ? pstrdup("throttle_query says so") : NULL;
	if (category == TYPCATEGORY_NUMERIC)
		return strtod(text, NULL) > 0 ? psprintf("throttle_query returned %s", text) : NULL;
	return text[0] != '\0' ? psprintf("throttle_query: %s", text) : NULL;
}

/*
 * Does the DBA's query say no?  By true, a number above zero, or a text; false,
 * anything else, null, or no row let the copy go on.  Run as the migration's owner.
 */
static char *
look_at_query(Look *look)
{
	char	   *query = setting_text(look->g->settings, "throttle_query");
	char	   *reason = NULL;
	SpiScope	scope;

	if (query[strspn(query, " \t\n")] == '\0')
		return NULL;
	spi_open_owner(&scope, look->g->owner, look->g->time_zone);
	if (spi_run(query, SPI_NO_ARGS) > 0 && SPI_tuptable != NULL)
		reason = judge_answer();
	if (reason != NULL)
		reason = MemoryContextStrdup(scope.caller, reason);
	spi_close(&scope);
	return reason;
}

/* Is it the wrong time of day, in the migration's time zone? */
static char *
look_at_clock(Look *look)
{
	pg_tz	   *zone = pg_tzset(look->g->time_zone);
	pg_time_t	now = timestamptz_to_time_t(GetCurrentTimestamp());
	struct pg_tm *tm = zone ? pg_localtime(&now, zone) : NULL;
	int			from;
	int			until;
	int			minute;

	if (!setting_window(look->g->settings, "run_window", &from, &until))
		return NULL;
	if (tm == NULL)
		return psprintf("run_window cannot be evaluated: unknown time zone %s", look->g->time_zone);
	minute = tm->tm_hour * 60 + tm->tm_min;
	if (from < until ? minute >= from && minute < until : minute >= from || minute < until)
		return NULL;
	return psprintf("outside of run_window %s (%s)", setting_text(look->g->settings, "run_window"), look->g->time_zone);
}

static const struct
{
	const char *name;
	char	   *(*look) (Look *look);
}			signals[] =
{
	{"run_window", look_at_clock},
	{"replica lag", look_at_replicas},	/* notes the WAL's position for the next, too */
	{"max_wal_rate", look_at_wal},
	{"max_lock_waiters", look_at_locks},
	{"max_xmin_age", look_at_xmin},
	{"yield_to_wraparound_vacuum", look_at_vacuum},
	{"max_sessions_per_core", look_at_sessions},
	{"throttle_query", look_at_query},
};

/* Work for subxact_try: looks at all signals until one says no. */
static void
work_look(void *arg)
{
	Look	   *look = arg;

	for (int i = 0; i < lengthof(signals) && look->reason == NULL; i++)
	{
		look->signal = signals[i].name;
		look->reason = signals[i].look(look);
	}
}

/* Looks at the signals, and keeps what was found. */
static void
look_again(const Job *job, const Migration *g)
{
	Look		look = {.job = job, .g = g, .lag_ms = -1};
	ErrorData  *error = subxact_try(work_look, &look);

	if (error != NULL)
		look.reason = psprintf("%s cannot be evaluated: %s", look.signal, error->message);
	if (look.reason == NULL)
		look.reason = "";
	last.reason[0] = '\0';
	strncat(last.reason, look.reason, pg_mbcliplen(look.reason, strlen(look.reason), sizeof(last.reason) - 1));
	last.lag_paused = look.lag_paused;
	last.lag_ms = look.lag_ms;
	last.at = GetCurrentTimestamp();
}

/*
 * Must the job wait?  After replica lag has paused it, it waits until the lag is
 * below max_replica_lag again.  The reason is valid until the next call.
 */
Throttle
throttle_look(const Job *job, const Migration *g)
{
	uint32		settings = hash_bytes((unsigned char *) g->settings, VARSIZE(g->settings));
	Throttle	result = {NULL};

	if (last.job_id != job->id || last.settings != settings || last.paused != job->lag_paused ||
		TimestampDifferenceExceeds(last.at, GetCurrentTimestamp(), LOOK_MS))
	{
		last.job_id = job->id;
		last.settings = settings;
		last.paused = job->lag_paused;
		look_again(job, g);
	}
	result.reason = last.reason[0] ? last.reason : NULL;
	result.paused = last.lag_paused;
	result.lag_ms = last.lag_ms;
	return result;
}
