/*
 * custom_check.h
 *		Rows of migrate_ext.custom_check.
 */
#ifndef MIGRATE_CUSTOM_CHECK_H
#define MIGRATE_CUSTOM_CHECK_H

#include "postgres.h"
#include "nodes/pg_list.h"

typedef struct CustomCheck
{
	char	   *name;
	char	   *query;
} CustomCheck;

extern int64 custom_check_put(int64 migration_id, const char *name, const char *query);
extern List *custom_check_list(int64 migration_id);

#endif							/* MIGRATE_CUSTOM_CHECK_H */
