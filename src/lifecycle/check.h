/*
 * check.h
 *		Queries of the DBA that must return no row.
 */
#ifndef MIGRATE_CHECK_H
#define MIGRATE_CHECK_H

#include "catalog/custom_check.h"
#include "catalog/migration.h"

extern bool check_passes(const Migration *g, const CustomCheck *c, char **measured);

#endif							/* MIGRATE_CHECK_H */
