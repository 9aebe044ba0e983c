/*
 * way_back.h
 *		The mapping back, which is in force after the cutover.
 */
#ifndef MIGRATE_WAY_BACK_H
#define MIGRATE_WAY_BACK_H

#include "postgres.h"
#include "catalog/mapping.h"
#include "utils/jsonb.h"

extern Mapping *way_back_derive(const Mapping *m, Jsonb *given, char **copied, const char *filter);
extern void way_back_share_target(const Mapping *m);

#endif							/* MIGRATE_WAY_BACK_H */
