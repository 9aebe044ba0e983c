/*
 * rule.c
 *		migrate_add_rule: conditions over source rows that are not to be moved, or
 *		only to be listed.
 *
 * What a rule rejects becomes a part of the mapping's filter, so that dual
 * writes, copy, sync and verification follow it alike.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/quote.h"
#include "capture/trigger.h"
#include "catalog/dirty_key.h"
#include "catalog/event.h"
#include "catalog/mapping.h"
#include "catalog/mapping_rule.h"
#include "catalog/rejected_row.h"
#include "copy/quarantine.h"
#include "lifecycle/lock.h"
#include "lifecycle/phase.h"
#include "projection/expression.h"
#include "projection/lookup.h"

MIGRATE_FUNCTION(migrate_add_rule);

/* A text argument that must be given. */
static char *
required_arg(FunctionCallInfo fcinfo, int i, const char *name)
{
	char	   *value = PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));

	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", name)));
	if (value[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be empty", name)));
	return value;
}

/* Raises for a rule that the mapping cannot have. */
static void
check_rule(const Mapping *m, const MappingRule *rule)
{
	ListCell   *lc;

	if (strcmp(rule->action, "reject") != 0 && strcmp(rule->action, "flag") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"action\": \"%s\"", rule->action),
				 errhint("It is reject or flag.")));
	if (mapping_is_in_place(m) && strcmp(rule->action, "reject") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a mapping in place cannot reject rows"),
				 errhint("Each row is its own target. Let the column's expression give what such a row shall have, or flag it.")));
	if (strcmp(rule->name, DEDUPE_RULE) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("a rule cannot be named \"%s\"", DEDUPE_RULE),
				 errdetail("Rows that lost their key to another one are listed under that name.")));
	foreach(lc, mapping_rule_list(m->id))
	{
		if (strcmp(((MappingRule *) lfirst(lc))->name, rule->name) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("rule \"%s\" for %s exists already", rule->name, name_relation(m->target))));
	}
}

/*
 * Brings what is in the target to a rule that came while the dual writes were
 * on.  Those that are under way know nothing of it: they are waited for.
 */
static void
apply_to_started(const Migration *g, const Mapping *m, const MappingRule *rule)
{
	if (strcmp(rule->action, "reject") == 0)
	{
		lock_relations(g, list_concat_unique_oid(list_make1_oid(m->source), lookup_relations(list_make1((void *) m))), ShareRowExclusiveLock, NIL);
		dirty_key_add_every(m->id, "reconcile", NULL);
		trigger_follow(g);
	}
	quarantine_list_source(m, rule);
}

/*
 * migrate_add_rule(migration, mapping, rule, condition, action) RETURNS bigint:
 * the rule's id.
 *
 * The condition is parsed with the caller's rights and search_path.  Locks the
 * source in SHARE ROW EXCLUSIVE mode where the dual writes are on and rows are
 * rejected, and reads all of it to list them.
 */
Datum
migrate_add_rule(PG_FUNCTION_ARGS)
{
	Migration  *g = migration_lock(required_arg(fcinfo, 0, "migration"));
	MappingRule rule = {0};
	Mapping    *m;
	Expression *e;
	char	   *condition;
	int64		id;

	phase_require(g, "migrate_add_rule", PHASES("planned", "rolled_back", "dual_write", "backfill", "shadow"));
	m = PG_ARGISNULL(1) ? NULL : mapping_get(PG_GETARG_INT64(1));
	if (m == NULL || m->migration_id != g->id || m->reverse)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("mapping %s of migration \"%s\" does not exist",
						PG_ARGISNULL(1) ? "null" : psprintf("%lld", (long long) PG_GETARG_INT64(1)), g->name),
				 errhint("Mappings are listed in migrate_ext.mappings; a rule belongs to the way forward.")));
	rule.name = required_arg(fcinfo, 2, "rule");
	condition = required_arg(fcinfo, 3, "condition");
	rule.action = required_arg(fcinfo, 4, "action");
	check_rule(m, &rule);
	identity_require_relation_owner(m->source);
	e = expression_for_condition(condition, "condition", m->source);
	rule.condition = e->sql;
	rule.whole_row = e->whole_row;
	rule.scope = expression_condition_over_target(condition, m->source);
	id = mapping_rule_insert(m->id, &rule);
	mapping_invalidate(g->id);
	migration_mark_changed(g->id);
	event_record(g, "rule", NULL, NULL, psprintf("mapping %lld: %s %s: %s", (long long) m->id, rule.action, rule.name, condition));
	if (migration_is_capturing(g))
		apply_to_started(g, mapping_get(m->id), &rule);
	PG_RETURN_INT64(id);
}
