/*
 * retire.h
 *		May the side that a cutover replaced go?
 */
#ifndef MIGRATE_RETIRE_H
#define MIGRATE_RETIRE_H

#include "postgres.h"
#include "nodes/pg_list.h"

#include "catalog/migration.h"

extern List *retire_list_relations(const Migration *g);
extern List *retire_list_parents(List *relids);
extern void retire_check_other_migrations(const Migration *g, List *relids);
extern char *retire_find_dependents(const Migration *g, Oid relid);

#endif							/* MIGRATE_RETIRE_H */
