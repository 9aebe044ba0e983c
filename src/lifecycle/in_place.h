/*
 * in_place.h
 *		What a mapping of a table to itself must keep to.
 */
#ifndef MIGRATE_LIFECYCLE_IN_PLACE_H
#define MIGRATE_LIFECYCLE_IN_PLACE_H

#include "postgres.h"

#include "catalog/mapping.h"

extern void in_place_check_arguments(const Mapping *m, bool no_columns, bool has_filter);
extern bool in_place_keeps(const Mapping *m, const char *column);
extern void in_place_check_mapping(const Mapping *m);
extern Mapping *in_place_check_reverse(const Mapping *m, Mapping *reverse);

#endif							/* MIGRATE_LIFECYCLE_IN_PLACE_H */
