/*
 * new_key.c
 *		New keys for old ones, and back: migrate_lookup, which expressions call.
 *
 * A new key is taken from the default of its column, once for each old key, by
 * whoever needs it first: a dual write, the copy, or a row of a child that refers
 * to it.  Only a write of the migration takes one; a comparison finds those that
 * there are.  Two that need the same at one moment wait for each other, as they
 * would for a row of the target.
 *
 * After a cutover an old key is taken for a new one in the same way, from the
 * default of the source's column.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "base/quote.h"
#include "capture/apply_frame.h"
#include "capture/key_batch.h"
#include "capture/key_default.h"
#include "catalog/key_map.h"
#include "catalog/mapping.h"
#include "catalog/migration.h"
#include "projection/projection.h"

/* What a call site keeps. */
typedef struct NewKey
{
	int64		mapping_id;
	Mapping    *m;
	List	   *siblings;		/* other mappings with the same target */
	FmgrInfo   *output;			/* of each part of the old key */
} NewKey;

/* The mapping's column that is a new key; NULL if there is none. */
static MappingColumn *
new_key_column(const Mapping *m)
{
	ListCell   *lc;

	foreach(lc, m->columns)
	{
		MappingColumn *c = lfirst(lc);

		if (c->map == m->id)
			return c;
	}
	return NULL;
}

/* Raises unless the current user may use the mapping's keys. */
static void
check_rights(const Mapping *m)
{
	Migration  *g;

	if (has_privs_of_role(GetUserId(), m->owner))
		return;
	g = migration_get_by_id(m->migration_id);
	if (!has_privs_of_role(GetUserId(), g->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of migration \"%s\"", g->name)));
}

/* What the call site keeps of a mapping. */
static NewKey *
get_state(FunctionCallInfo fcinfo, int64 mapping_id)
{
	NewKey	   *state = fcinfo->flinfo->fn_extra;
	MemoryContext old;
	ListCell   *lc;

	if (state != NULL && state->mapping_id == mapping_id)
		return state;
	old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	state = palloc0(sizeof(NewKey));
	state->mapping_id = mapping_id;
	state->m = mapping_get(mapping_id);
	if (state->m == NULL || state->m->reverse || new_key_column(state->m) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("mapping %lld gives no new keys", (long long) mapping_id),
				 errhint("One of its key columns must be migrate_lookup(migration, NULL, ...) of the old key's columns.")));
	check_rights(state->m);
	foreach(lc, mapping_list(state->m->migration_id, MAPPING_FORWARD))
	{
		Mapping    *other = lfirst(lc);

		if (other->id != mapping_id && other->target == state->m->target && new_key_column(other) != NULL)
			state->siblings = lappend(state->siblings, other);
	}
	MemoryContextSwitchTo(old);
	fcinfo->flinfo->fn_extra = state;
	return state;
}

/* Takes a value of a column's default, as the current user; NULL if it has none. */
static char *
take_default(Oid relid, const char *column)
{
	KeyDefault *d = key_default_make(relid, column);

	return d != NULL ? key_default_take(d) : NULL;
}

/* The text of an old key: of its one part, or of several as a JSON array. */
static char *
old_key_text(FunctionCallInfo fcinfo, NewKey *state, int first)
{
	int			n = PG_NARGS() - first;
	StringInfoData buf;

	if (state->output == NULL)
	{
		state->output = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(FmgrInfo) * n);
		for (int i = 0; i < n; i++)
		{
			Oid			output;
			bool		varlena;

			getTypeOutputInfo(get_fn_expr_argtype(fcinfo->flinfo, first + i), &output, &varlena);
			fmgr_info_cxt(output, &state->output[i], fcinfo->flinfo->fn_mcxt);
		}
	}
	if (n == 1)
		return OutputFunctionCall(&state->output[0], PG_GETARG_DATUM(first));
	initStringInfo(&buf);
	for (int i = 0; i < n; i++)
	{
		appendStringInfoString(&buf, i ? ", " : "[");
		escape_json(&buf, OutputFunctionCall(&state->output[i], PG_GETARG_DATUM(first + i)));
	}
	appendStringInfoChar(&buf, ']');
	return buf.data;
}

/* One part, from 1, of an old key of several, as text; NULL if it has no such part. */
static char *
old_key_part(const Mapping *m, const char *old_key, int part)
{
	Datum		json;
	JsonbValue *value;

	if (list_length(new_key_column(m)->made_of) == 1)
		return part == 1 ? pstrdup(old_key) : NULL;
	json = DirectFunctionCall1(jsonb_in, CStringGetDatum(old_key));
	value = getIthJsonbValueFromContainer(&DatumGetJsonbP(json)->root, part - 1);
	return value == NULL ? NULL : pnstrdup(value->val.string.val, value->val.string.len);
}

/*
 * Takes what is missing of a pair of keys, NULL, from the default of a column, and keeps the pair; or
 * finds what another has kept meanwhile.  NULL if the column has no default.
 */
static char *
take_other(const NewKey *state, const char *old_key, const char *new_key)
{
	const MappingColumn *c = new_key_column(state->m);

	for (;;)
	{
		char	   *taken = old_key ? take_default(state->m->target, c->target) : take_default(state->m->source, linitial(c->made_of));
		char	   *found;

		if (taken == NULL || key_map_add(state->mapping_id, old_key ? old_key : taken, old_key ? taken : new_key))
			return taken;
		found = old_key ? key_map_find_new(state->mapping_id, old_key) : key_map_find_old(state->mapping_id, new_key);
		if (found != NULL)
			return found;
	}
}

MIGRATE_FUNCTION(migrate_lookup);

/*
 * migrate_lookup(migration text, mapping bigint, VARIADIC key "any") RETURNS text:
 * the new key that a mapping has given to an old one.
 *
 * In a write of the migration an old key that has none gets one; otherwise it is
 * null.  The mapping may be null in migrate_map: the one that is being made.
 */
Datum
migrate_lookup(PG_FUNCTION_ARGS)
{
	NewKey	   *state;
	char	   *old_key;
	char	   *new_key;
	bool		gives;

	if (get_fn_expr_variadic(fcinfo->flinfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("an array of key columns is not supported"),
				 errhint("Write them one by one.")));
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"mapping\" must not be null"),
				 errhint("Only in \"columns\" of migrate_map it may be: it is the mapping itself there.")));
	for (int i = 2; i < PG_NARGS(); i++)
	{
		if (PG_ARGISNULL(i))
			PG_RETURN_NULL();
	}
	state = get_state(fcinfo, PG_GETARG_INT64(1));
	old_key = old_key_text(fcinfo, state, 2);
	gives = apply_is_under_way(state->m->migration_id, MAPPING_FORWARD);
	if (gives && key_batch_is_open())
		new_key = key_batch_new_key(state->mapping_id, state->m->target, new_key_column(state->m)->target, old_key);
	else
		new_key = key_map_find_new(state->mapping_id, old_key);
	if (new_key == NULL && gives)
		new_key = take_other(state, old_key, NULL);
	if (new_key == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(new_key));
}

MIGRATE_FUNCTION(migrate_unmap_key);

/*
 * migrate_ext.unmap_key(mapping bigint, new_key text, part int) RETURNS text: a column
 * of the old key that a new one was given to.
 *
 * In a write back a row that is new on the new side gets an old key, where that is
 * one column with a default, and no other source has a claim to the row.
 */
Datum
migrate_unmap_key(PG_FUNCTION_ARGS)
{
	NewKey	   *state = get_state(fcinfo, PG_GETARG_INT64(0));
	char	   *new_key = text_to_cstring(PG_GETARG_TEXT_PP(1));
	char	   *old_key = key_map_find_old(state->mapping_id, new_key);
	char	   *part;

	if (old_key == NULL && list_length(new_key_column(state->m)->made_of) == 1 && state->siblings == NIL &&
		apply_is_under_way(state->m->migration_id, MAPPING_REVERSE))
		old_key = take_other(state, NULL, new_key);
	part = old_key ? old_key_part(state->m, old_key, PG_GETARG_INT32(2)) : NULL;
	if (part == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(part));
}

MIGRATE_FUNCTION(migrate_key_belongs);

/*
 * migrate_ext.key_belongs(mapping bigint, new_key text) RETURNS boolean: was the new key
 * given by this mapping, or by another one with the same target?  Null: by none.
 */
Datum
migrate_key_belongs(PG_FUNCTION_ARGS)
{
	NewKey	   *state = get_state(fcinfo, PG_GETARG_INT64(0));
	char	   *new_key = text_to_cstring(PG_GETARG_TEXT_PP(1));
	ListCell   *lc;

	if (key_map_find_old(state->mapping_id, new_key) != NULL)
		PG_RETURN_BOOL(true);
	foreach(lc, state->siblings)
	{
		if (key_map_find_old(((Mapping *) lfirst(lc))->id, new_key) != NULL)
			PG_RETURN_BOOL(false);
	}
	PG_RETURN_NULL();
}
