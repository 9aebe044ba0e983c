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

/* Lets a worker verify by ranges; returns the job. */
typedef int64 (*VerifyRangesHook) (const Migration *g);
extern VerifyRangesHook verify_ranges_hook;

extern void verify_options(const Migration *g, CompareOptions *options);
extern void verify_store(Comparison *c);

#endif							/* MIGRATE_VERIFY_H */
