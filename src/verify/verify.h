/*
 * verify.h
 *		Proves that target and source are equal.
 */
#ifndef MIGRATE_VERIFY_H
#define MIGRATE_VERIFY_H

#include "postgres.h"

#include "catalog/migration.h"
#include "verify/compare.h"

/* What a clean verification means for the phase; set by the lifecycle. */
typedef void (*VerifiedHook) (const Migration *g);
extern VerifiedHook verified_hook;

extern Comparison *verify_migration(const Migration *g, int *n);

#endif							/* MIGRATE_VERIFY_H */
