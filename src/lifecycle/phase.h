/*
 * phase.h
 *		The phases of a migration and the moves between them.
 */
#ifndef MIGRATE_PHASE_H
#define MIGRATE_PHASE_H

#include "postgres.h"
#include "catalog/migration.h"

extern bool phase_is(const Migration *g, const char *phase);
extern void phase_require(const Migration *g, const char *call, const char *const *phases);
extern void phase_enter(Migration *g, const char *to);
extern void phase_move(Migration *g, const char *to, const char *detail, const char *reason);

extern void phase_init(void);

/*
 * The workers are told that dirty keys may have to be settled from now on, for
 * a direction.  Set by worker/sync_job.c, which stands on the same floor.
 */
extern void (*sync_wanted_hook) (const Migration *g, bool reverse);

#define PHASES(...) ((const char *const []) {__VA_ARGS__, NULL})

#endif							/* MIGRATE_PHASE_H */
