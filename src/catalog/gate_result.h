/*
 * gate_result.h
 *		Rows of migrate_ext.gate_result.
 */
#ifndef MIGRATE_GATE_RESULT_H
#define MIGRATE_GATE_RESULT_H

#include "postgres.h"

typedef struct GateResult
{
	const char *criterion;
	const char *threshold;
	const char *measured;
	bool		passed;
} GateResult;

extern void gate_result_insert(int64 migration_id, const char *to_phase,
							   const GateResult *result);

#endif							/* MIGRATE_GATE_RESULT_H */
