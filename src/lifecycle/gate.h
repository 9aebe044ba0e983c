/*
 * gate.h
 *		Measured criteria for entering a phase.
 */
#ifndef MIGRATE_GATE_H
#define MIGRATE_GATE_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "catalog/migration.h"

extern List *gate_measure(const Migration *g, const char *to_phase, const char *method);
extern bool gate_is_open(List *results);
extern void gate_pass(const Migration *g, const char *to_phase, const char *method, bool force, const char *reason);

#endif							/* MIGRATE_GATE_H */
