/*
 * phase.c
 *		The phases of a migration and the moves between them.
 */
#include "postgres.h"

#include "catalog/event.h"
#include "catalog/job.h"
#include "lifecycle/gate.h"
#include "lifecycle/phase.h"
#include "verify/verify.h"

void		(*sync_wanted_hook) (const Migration *g, bool reverse) = NULL;

/* Every legal move, and what to call for it. */
static const struct
{
	const char *from;
	const char *to;
	const char *call;
}			moves[] =
{
	{"planned", "dual_write", "migrate_start"},
	{"rolled_back", "dual_write", "migrate_start"},
	{"dual_write", "backfill", "migrate_backfill"},
	{"backfill", "shadow", "migrate_verify, when the backfill is complete"},
	{"shadow", "soak", "migrate_cutover"},
	{"backfill", "soak", NULL},
	{"planned", "rolled_back", NULL},
	{"dual_write", "rolled_back", NULL},
	{"backfill", "rolled_back", NULL},
	{"shadow", "rolled_back", NULL},
	{"soak", "done", "migrate_sign_off, then migrate_cleanup; migrate_rollback goes back"},
	{"soak", "rolled_back", NULL},
};

bool
phase_is(const Migration *g, const char *phase)
{
	return strcmp(g->phase, phase) == 0;
}

/* Raises unless the migration is in one of the phases a call is for. */
void
phase_require(const Migration *g, const char *call, const char *const *phases)
{
	const char *next = NULL;

	for (; *phases != NULL; phases++)
	{
		if (phase_is(g, *phases))
			return;
	}
	for (int i = 0; i < lengthof(moves) && next == NULL; i++)
	{
		if (phase_is(g, moves[i].from))
			next = moves[i].call;
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot call %s for migration \"%s\" in phase \"%s\"", call, g->name, g->phase),
			 next ? errhint("The next step is %s.", next) : 0));
}

/* Moves a migration, which is locked, to another phase; the caller records that. */
void
phase_enter(Migration *g, const char *to)
{
	bool		legal = false;

	for (int i = 0; i < lengthof(moves); i++)
		legal = legal || (phase_is(g, moves[i].from) && strcmp(to, moves[i].to) == 0);
	if (!legal)
		elog(ERROR, "illegal move of migration \"%s\" from phase \"%s\" to \"%s\"",
			 g->name, g->phase, to);
	if (strcmp(to, "soak") != 0 && strcmp(to, "done") != 0)
		g->cutover_method = NULL;
	/* a freeze waits for the cutover */
	g->frozen = g->frozen && (strcmp(to, "backfill") == 0 || strcmp(to, "shadow") == 0);
	migration_set_phase(g->id, to, g->cutover_method, g->frozen);
	g->phase = pstrdup(to);
}

/* The same, recorded. */
void
phase_move(Migration *g, const char *to, const char *detail, const char *reason)
{
	phase_enter(g, to);
	event_record(g, "phase", to, detail, reason);
}

/*
 * A clean verification of all mappings: if that was the last criterion, the
 * migration enters the shadow phase.
 */
static void
enter_shadow(const Migration *g)
{
	Migration  *locked;

	if (!phase_is(g, "backfill"))
		return;
	locked = migration_lock(g->name);
	if (phase_is(locked, "backfill") && job_find_open(g->id, "backfill") == NULL &&
		gate_is_open(gate_measure(locked, "shadow", NULL)))
	{
		gate_pass(locked, "shadow", NULL, false, NULL);
		phase_move(locked, "shadow", NULL, NULL);
	}
}

void
phase_init(void)
{
	verified_hook = enter_shadow;
}
