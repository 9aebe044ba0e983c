/*
 * swap.h
 *		Cutover by swap: a target takes its source's name and place.
 */
#ifndef MIGRATE_SWAP_H
#define MIGRATE_SWAP_H

#include "postgres.h"
#include "nodes/pg_list.h"

#include "catalog/migration.h"
#include "catalog/swap_step.h"

extern char *swap_obstacle(const Migration *g);
extern List *swap_relations(const Migration *g);
extern List *swap_plan(const Migration *g);
extern List *swap_prepare(const Migration *g);
extern List *swap_locked(List *steps);
extern char *swap_describe(const SwapStep *step);
extern char *swap_advice(const SwapStep *step);
extern void swap_check_names(const Migration *g);
extern int	swap_do(const Migration *g, List *steps);
extern int	swap_undo(const Migration *g, List *steps);
extern void swap_warn_about_dependents(const Migration *g);

#endif							/* MIGRATE_SWAP_H */
