/*
 * gate.c
 *		Measured criteria for entering a phase.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/quote.h"
#include "base/setting.h"
#include "capture/account.h"
#include "catalog/dirty_key.h"
#include "catalog/event.h"
#include "catalog/gate_result.h"
#include "catalog/mapping.h"
#include "catalog/old_side.h"
#include "catalog/shadow_read.h"
#include "catalog/stashed_object.h"
#include "catalog/verification.h"
#include "catalog/write_error.h"
#include "lifecycle/assess.h"
#include "lifecycle/check.h"
#include "lifecycle/contract.h"
#include "lifecycle/gate.h"
#include "lifecycle/phase.h"
#include "lifecycle/retire.h"
#include "lifecycle/swap.h"
#include "projection/key.h"

/* A difference of read times that says nothing, in milliseconds. */
#define NOISE_MS 0.1

/* Adds a measurement. */
static void
add(List **results, const char *criterion, const char *threshold, const char *measured,
	bool passed)
{
	GateResult *r = palloc(sizeof(GateResult));

	r->criterion = criterion;
	r->threshold = threshold;
	r->measured = measured;
	r->passed = passed;
	*results = lappend(*results, r);
}

static void
measure_start(List **results, const Migration *g)
{
	int			blockers = 0;
	const char *first = "none";
	ListCell   *lc;

	foreach(lc, assess_migration(g))
	{
		Finding    *f = lfirst(lc);

		if (strcmp(f->severity, "blocker") != 0)
			continue;
		if (blockers++ == 0)
			first = psprintf("%s: %s. %s", f->subject, f->finding, f->advice);
	}
	add(results, "blockers in migrate_assess", "none",
		blockers > 1 ? psprintf("%d, such as %s", blockers, first) : first, blockers == 0);
	if (setting_bool(g->settings, "require_rehearsal"))
	{
		char	   *measured;
		bool		passed = event_last_rehearsal(g, &measured);

		add(results, "rehearsal", "passed, and newer than the last change of a mapping", measured, passed);
	}
}

/* What must hold before anybody may rely on the target. */
static void
measure_proof(List **results, const Migration *g, bool in_one_snapshot)
{
	List	   *mappings = mapping_list(g->id, MAPPING_FORWARD);
	int			complete = 0;
	int64		pending = dirty_key_count(g->id);
	bool		failed = dirty_key_any_failed(g->id);
	bool		every = dirty_key_any_every(g->id);
	int			most = setting_int(g->settings, "max_pending_keys");
	ListCell   *lc;

	foreach(lc, mappings)
		complete += ((Mapping *) lfirst(lc))->complete ? 1 : 0;
	add(results, "backfill", "complete",
		psprintf("%d of %d mappings complete", complete, list_length(mappings)),
		complete == list_length(mappings));
	if (stashed_object_count(g->id) > 0)
		add(results, "deferred indexes and foreign keys", "rebuilt",
			psprintf("%lld are not", (long long) stashed_object_count(g->id)), false);
	/*
	 * Where keys are queued there are some at any moment under load: a cutover settles them under its
	 * locks.  Not so where any key may be wrong: it would read both tables.
	 */
	add(results, "dirty keys pending", most == 0 ? "0" : psprintf("at most %d, and none that could not be settled", most),
		psprintf("%lld%s%s", (long long) pending, failed ? ", some of which could not be settled" : "", every ? ", one of which stands for any key" : ""),
		pending == 0 || (pending <= most && !failed && !every));
	foreach(lc, mappings)
	{
		Mapping    *m = lfirst(lc);
		char	   *measured;
		bool		clean = verification_last_is_clean(m->id, in_one_snapshot, most, &measured);

		add(results, psprintf("verification of %s", name_relation(m->target)),
			psprintf("clean%s%s, and newer than the last change", most == 0 ? "" : psprintf(" but for at most %d pending", most),
					 in_one_snapshot ? ", in one snapshot" : ""),
			measured, clean);
		clean = verification_last_rejected(m->id, setting_real(g->settings, "max_rejected_rate"), &measured);
		add(results, psprintf("rejected rows of %s", name_relation(m->source)),
			psprintf("a rate of at most %s", setting_text(g->settings, "max_rejected_rate")), measured, clean);
	}
	foreach(lc, mappings)
	{
		Mapping    *m = lfirst(lc);
		ListCell   *lk;

		foreach(lk, constraint_list_declared(m))
		{
			const ExpectedConstraint *c = lfirst(lk);
			int64		n = check_count_violations(m, c);

			add(results, psprintf("foreign key %s of %s, not validated", quote_identifier(c->name), name_relation(m->target)),
				"no orphaned row", psprintf("%lld", (long long) n), n == 0);
		}
	}
	foreach(lc, custom_check_list(g->id))
	{
		CustomCheck *c = lfirst(lc);
		char	   *measured;
		bool		passed = check_passes(g, c, &measured);

		add(results, psprintf("check %s", quote_identifier(c->name)), "returns no row", measured, passed);
	}
}

/* Can what is written after a cutover be written back? */
static void
measure_way_back(List **results, const Migration *g)
{
	ListCell   *lc;

	foreach(lc, mapping_list(g->id, MAPPING_FORWARD))
	{
		Mapping    *m = lfirst(lc);
		bool		exists = mapping_find_reverse(m->id) != NULL;

		add(results, psprintf("way back from %s", name_relation(m->target)), "exists",
			exists ? "exists" : key_is_foreign(m->target) ? "none: writes to a foreign table cannot be captured" :
			"none: no unique key of the source is copied", exists);
	}
}

/* Can the target take the source's place? */
static void
measure_swap(List **results, const Migration *g, const char *prefix)
{
	ListCell   *lc;

	if (swap_obstacle(g) != NULL)
		return;
	foreach(lc, assess_swap(g))
	{
		Finding    *f = lfirst(lc);

		if (strcmp(f->severity, "blocker") == 0)
			add(results, psprintf("%s%s", prefix, f->subject), "movable", psprintf("not: %s", f->finding), false);
	}
}

/* "none in the last 24:00:00", as a threshold. */
static char *
none_for(const Migration *g)
{
	return psprintf("none in the last %d s", setting_int(g->settings, "soak_time"));
}

/* Does anybody need the old side? */
static void
measure_old_side(List **results, const Migration *g)
{
	int			quiet = setting_int(g->settings, "soak_time");
	ListCell   *lc;

	old_side_look(g);
	foreach(lc, retire_list_relations(g))
	{
		char	   *name = name_relation(lfirst_oid(lc));
		char	   *read = old_side_last_use(g->id, lfirst_oid(lc), "read", quiet);
		char	   *written = old_side_last_use(g->id, lfirst_oid(lc), "write", quiet);
		char	   *dependents;

		add(results, psprintf("reads of %s", name), none_for(g), read ? psprintf("noticed at %s", read) : "none", read == NULL);
		add(results, psprintf("writes to %s", name), none_for(g), written ? written : "none", written == NULL);
		if (strcmp(setting_text(g->settings, "old_side"), "drop") != 0)
			continue;
		dependents = retire_find_dependents(g, lfirst_oid(lc));
		add(results, psprintf("what depends on %s", name), "nothing", dependents ? dependents : "nothing", dependents == NULL);
	}
	foreach(lc, strcmp(setting_text(g->settings, "old_side"), "drop") == 0 ? contract_list_columns(g) : NIL)
	{
		char	   *dependents = contract_find_dependents(lfirst(lc));

		add(results, psprintf("what depends on %s", contract_name(lfirst(lc))), "nothing", dependents ? dependents : "nothing",
			dependents == NULL);
	}
}

/* Is the new side proven, so that the old one may go? */
static void
measure_end(List **results, const Migration *g)
{
	static const char *const times[] = {"soak_time", "retention"};
	int64		pending = dirty_key_count(g->id);
	char	   *measured;
	ListCell   *lc;

	for (int i = 0; i < lengthof(times); i++)
	{
		int			seconds = setting_int(g->settings, times[i]);
		bool		passed = false;

		if (migration_is_switched(g))
			passed = migration_in_phase_for(g->id, seconds, &measured);
		else
			measured = "there was none";
		add(results, psprintf("time since the cutover: %s", times[i]), psprintf("at least %d s", seconds), measured, passed);
	}
	add(results, "dirty keys pending", "0", psprintf("%lld", (long long) pending), pending == 0);
	foreach(lc, mapping_list(g->id, MAPPING_REVERSE))
	{
		Mapping    *m = lfirst(lc);
		int64		errors = write_error_count_since(m->id, setting_int(g->settings, "soak_time"));
		bool		clean = verification_last_is_clean(m->id, true, 0, &measured);

		add(results, psprintf("failed writes back to %s", name_relation(m->target)), none_for(g),
			psprintf("%lld", (long long) errors), errors == 0);
		add(results, psprintf("verification of %s since the cutover", name_relation(m->source)),
			"clean, in one snapshot, and newer than the last change", measured, clean);
	}
	if (stashed_object_count(g->id) > 0)
		add(results, "constraints validated, materialized views made again", "all",
			psprintf("%lld are not", (long long) stashed_object_count(g->id)), false);
	measure_old_side(results, g);
	measured = migration_signed_off(g->id);
	add(results, "sign-off", "present", measured ? measured : "missing: migrate_sign_off", measured != NULL);
}

/* Do reads of the new side give the same, and as fast, where both sides were read? */
static void
measure_reads(List **results, const Migration *g, bool swap)
{
	double		rate = setting_real(g->settings, "max_shadow_mismatch_rate");
	double		ratio = setting_real(g->settings, "max_p99_ratio");
	ListCell   *lc;

	foreach(lc, mapping_list(g->id, MAPPING_FORWARD))
	{
		Mapping    *m = lfirst(lc);
		ShadowRead	r;
		double		source;
		double		target;

		if (!shadow_read_newest(m->id, &r) || r.reads == 0)
			continue;
		source = r.source_ms[99];
		target = r.target_ms[99];
		add(results, psprintf("shadow reads of %s: mismatches", name_relation(m->target)), psprintf("a rate of at most %g", rate),
			psprintf("%lld of %lld reads", (long long) r.mismatches, (long long) r.reads), r.mismatches <= rate * r.reads);
		add(results, psprintf("shadow reads of %s: 99th percentile", name_relation(m->target)),
			psprintf("at most %g times the source's, or " CppAsString2(NOISE_MS) " ms more", ratio),
			psprintf("%.3f ms, the source's is %.3f ms", target, source), target <= source * ratio || target <= source + NOISE_MS);
	}
	if (swap && g->ramp > 0)
		add(results, "reads routed to the target", "0 %: its name changes", psprintf("%g %%", g->ramp), false);
}

/* May the copy begin?  Not before the dual writes work. */
static void
measure_writes(List **results, const Migration *g)
{
	ListCell   *lc;

	foreach(lc, mapping_list(g->id, MAPPING_FORWARD))
	{
		Mapping    *m = lfirst(lc);
		WriteAccount account;

		write_error_measure(m->id, &account);
		add(results, psprintf("failed dual writes to %s", name_relation(m->target)),
			psprintf("a rate of at most %s", setting_text(g->settings, "max_write_error_rate")),
			psprintf("%lld of %lld rows", (long long) account.errors, (long long) account.writes),
			!account_is_exceeded(g, &account));
	}
}

/*
 * The criteria of the gate into a phase; NIL where there are none.  Method is that
 * of a cutover; NULL: not decided yet.
 */
List *
gate_measure(const Migration *g, const char *to_phase, const char *method)
{
	List	   *results = NIL;

	if (strcmp(to_phase, "dual_write") == 0)
		measure_start(&results, g);
	else if (strcmp(to_phase, "backfill") == 0)
		measure_writes(&results, g);
	else if (strcmp(to_phase, "shadow") == 0 || strcmp(to_phase, "soak") == 0)
		measure_proof(&results, g, strcmp(to_phase, "soak") == 0);
	else if (strcmp(to_phase, "done") == 0)
		measure_end(&results, g);
	if (strcmp(to_phase, "soak") == 0)
	{
		measure_way_back(&results, g);
		measure_reads(&results, g, method != NULL && strcmp(method, "swap") == 0);
		if (method == NULL || strcmp(method, "swap") == 0)
			measure_swap(&results, g, method ? "" : "for method swap only: ");
	}
	return results;
}

bool
gate_is_open(List *results)
{
	ListCell   *lc;

	foreach(lc, results)
	{
		if (!((GateResult *) lfirst(lc))->passed)
			return false;
	}
	return true;
}

/*
 * Passes the gate into a phase, or raises with every criterion that is not
 * met.  What was measured is recorded.
 */
void
gate_pass(const Migration *g, const char *to_phase, const char *method, bool force, const char *reason)
{
	List	   *results = gate_measure(g, to_phase, method);
	StringInfoData closed;
	ListCell   *lc;

	if (force && (reason == NULL || reason[0] == '\0'))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("force needs a reason"),
				 errhint("The reason goes into the audit trail.")));
	initStringInfo(&closed);
	foreach(lc, results)
	{
		GateResult *r = lfirst(lc);

		if (!r->passed)
			appendStringInfo(&closed, "%s%s: must be %s, is %s", closed.len ? "\n" : "",
							 r->criterion, r->threshold, r->measured);
		gate_result_insert(g->id, to_phase, r);
	}
	if (closed.len > 0 && !force)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the gate of migration \"%s\" into phase \"%s\" is closed", g->name, to_phase),
				 errdetail("%s", closed.data),
				 errhint("SELECT * FROM migrate_gate(%s, '%s') shows what is measured.",
						 quote_literal_cstr(g->name), to_phase)));
}

/* The phase after the current one. */
static const char *
next_phase(const Migration *g)
{
	if (phase_is(g, "planned") || phase_is(g, "rolled_back"))
		return "dual_write";
	if (phase_is(g, "dual_write"))
		return "backfill";
	if (phase_is(g, "backfill"))
		return "shadow";
	return phase_is(g, "shadow") ? "soak" : "done";
}

/* Raises for a phase without a gate: no row would read like an open one. */
static void
check_phase(const char *to_phase)
{
	static const char *const phases[] = {"dual_write", "backfill", "shadow", "soak", "done"};

	for (int i = 0; i < lengthof(phases); i++)
	{
		if (strcmp(to_phase, phases[i]) == 0)
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("no gate leads into phase \"%s\"", to_phase),
			 errhint("Gates lead into dual_write, backfill, shadow, soak and done.")));
}

MIGRATE_FUNCTION(migrate_gate);

/*
 * migrate_gate(migration text, to_phase text): each criterion with its
 * threshold and what is measured now.  Default: the gate into the next phase.
 */
Datum
migrate_gate(PG_FUNCTION_ARGS)
{
	Migration  *g;
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const char *to_phase;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	g = migration_get(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	to_phase = PG_ARGISNULL(1) ? next_phase(g) : text_to_cstring(PG_GETARG_TEXT_PP(1));
	check_phase(to_phase);
	foreach(lc, gate_measure(g, to_phase, NULL))
	{
		GateResult *r = lfirst(lc);
		Datum		values[5] = {CStringGetTextDatum(to_phase), CStringGetTextDatum(r->criterion),
		CStringGetTextDatum(r->threshold), CStringGetTextDatum(r->measured), BoolGetDatum(r->passed)};
		bool		nulls[5] = {false};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
