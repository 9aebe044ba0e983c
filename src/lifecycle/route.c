/*
 * route.c
 *		migrate_ramp and migrate_route: the application's reads move over by and by.
 *
 * A key's place among the keys is a hash of it, so that it is stable, and a key that has
 * gone over stays there when the share grows.  What a session knows of a migration
 * is kept in a cache that an invalidation of the migrations' table clears: a
 * changed share counts everywhere as soon as it is committed.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "catalog/event.h"
#include "catalog/migration.h"
#include "lifecycle/phase.h"
#include "lifecycle/route.h"

/* A share is counted in so many parts. */
#define PARTS 1000000

/* What a session knows of a migration. */
typedef struct Route
{
	char		name[NAMEDATALEN * 2];	/* hash key; longer names are not kept */
	int64		migration_id;
	uint32		parts;			/* of PARTS: keys below go to the target */
} Route;

static HTAB *routes = NULL;
static Oid	watched = InvalidOid;

/* Counts invalidations, to see those that come while the table is read. */
static uint64 invalidations = 0;

/* The migrations' table changed, or everything may have. */
static void
forget_routes(Datum arg, Oid relid)
{
	if (relid != InvalidOid && relid != watched && watched != InvalidOid)
		return;
	invalidations++;
	if (routes != NULL)
	{
		hash_destroy(routes);
		routes = NULL;
	}
}

void
route_init(void)
{
	CacheRegisterRelcacheCallback(forget_routes, (Datum) 0);
}

/* The share that goes to the target: after a cutover all of it; a ramp is of phase shadow, and ends with it. */
static uint32
parts_of(const Migration *g)
{
	if (migration_is_switched(g) || phase_is(g, "done"))
		return PARTS;
	return (uint32) (g->ramp * (PARTS / 100) + 0.5);
}

/* What the session knows of a migration, asked for if need be. */
static void
find_route(const char *name, Size length, Route *result)
{
	Migration  *g;
	Route	   *route;
	bool		found = false;
	uint64		before;

	memset(result, 0, sizeof(Route));
	AcceptInvalidationMessages();
	if (length < sizeof(result->name))
	{
		memcpy(result->name, name, length);
		route = routes ? hash_search(routes, result->name, HASH_FIND, NULL) : NULL;
		if (route != NULL)
		{
			*result = *route;
			return;
		}
	}
	if (!OidIsValid(watched))
		watched = get_relname_relid("migration", get_namespace_oid("migrate_ext", false));
	before = invalidations;
	g = migration_find(pnstrdup(name, length));
	if (g == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("migration \"%s\" does not exist", pnstrdup(name, length)),
				 errhint("Take migrate_route out of the application before migrate_drop.")));
	result->migration_id = g->id;
	result->parts = parts_of(g);
	if (length >= sizeof(result->name) || before != invalidations)
		return;
	if (routes == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(result->name), .entrysize = sizeof(Route), .hcxt = TopMemoryContext};

		routes = hash_create("migrate_ext routes", 16, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	route = hash_search(routes, result->name, HASH_ENTER, &found);
	*route = *result;
}

/* The hash function of a type, looked up once for a call site. */
static TypeCacheEntry *
get_hash(FunctionCallInfo fcinfo)
{
	TypeCacheEntry *entry = fcinfo->flinfo->fn_extra;

	if (entry == NULL)
	{
		Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 1);

		entry = lookup_type_cache(type, TYPECACHE_HASH_EXTENDED_PROC_FINFO);
		if (!OidIsValid(entry->hash_extended_proc))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("keys of type %s cannot be hashed", format_type_be(type)),
					 errhint("Pass the key as text.")));
		fcinfo->flinfo->fn_extra = entry;
	}
	return entry;
}

MIGRATE_FUNCTION(migrate_route);

/*
 * migrate_route(migration text, key anyelement) RETURNS text: source or target.
 * For the application's roles: it tells nothing else.
 */
Datum
migrate_route(PG_FUNCTION_ARGS)
{
	text	   *name = PG_GETARG_TEXT_PP(0);
	TypeCacheEntry *entry = get_hash(fcinfo);
	Route		route;
	uint64		hash;

	find_route(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), &route);
	if (route.parts > 0 && route.parts < PARTS)
	{
		Oid			collation = OidIsValid(PG_GET_COLLATION()) ? PG_GET_COLLATION() : entry->typcollation;

		hash = DatumGetUInt64(FunctionCall2Coll(&entry->hash_extended_proc_finfo, collation,
												PG_GETARG_DATUM(1), UInt64GetDatum((uint64) route.migration_id)));
		if (hash % PARTS >= route.parts)
			route.parts = 0;
	}
	PG_RETURN_TEXT_P(cstring_to_text(route.parts > 0 ? "target" : "source"));
}

MIGRATE_FUNCTION(migrate_ramp);

/* migrate_ramp(migration text, percent numeric): phase shadow; 0 in any phase. */
Datum
migrate_ramp(PG_FUNCTION_ARGS)
{
	Migration  *g = migration_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	double		percent = DatumGetFloat8(DirectFunctionCall1(numeric_float8, PG_GETARG_DATUM(1)));

	if (!(percent >= 0 && percent <= 100))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("percent must lie between 0 and 100")));
	if (percent > 0)
		phase_require(g, "migrate_ramp", PHASES("shadow"));
	if (percent == g->ramp)
		PG_RETURN_VOID();
	migration_set_ramp(g->id, percent);
	event_record(g, "ramp", NULL, psprintf("{\"percent\": %g, \"before\": %g}", percent, g->ramp), NULL);
	PG_RETURN_VOID();
}
