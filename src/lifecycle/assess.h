/*
 * assess.h
 *		Findings about a migration before it starts.
 */
#ifndef MIGRATE_ASSESS_H
#define MIGRATE_ASSESS_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "catalog/migration.h"

typedef struct Finding
{
	const char *severity;		/* blocker, warning, info */
	const char *subject;
	const char *finding;
	const char *advice;
} Finding;

extern void assess_add(List **findings, const char *severity, const char *subject, const char *finding, const char *advice);
extern List *assess_migration(const Migration *g);
extern char *assess_not_written_back(const Migration *g);
extern List *assess_swap(const Migration *g);
extern void assess_data(List **findings, const Migration *g);
extern void assess_dependents(List **findings, const Migration *g);
extern void assess_environment(List **findings, const Migration *g);
extern bool assess_target_has_rows(const Migration *g, Oid *target);

#endif							/* MIGRATE_ASSESS_H */
