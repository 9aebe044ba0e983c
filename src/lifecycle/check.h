/*
 * check.h
 *		What the targets' rows should fulfil, and queries of the DBA that must return no row.
 */
#ifndef MIGRATE_CHECK_H
#define MIGRATE_CHECK_H

#include "catalog/custom_check.h"
#include "catalog/migration.h"
#include "projection/constraint.h"

extern int64 check_count_violations(const Mapping *m, const ExpectedConstraint *c);
extern bool check_passes(const Migration *g, const CustomCheck *c, char **measured);

#endif							/* MIGRATE_CHECK_H */
