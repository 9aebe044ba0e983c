/*
 * profile_reference.h
 *		What a profile has from the catalog: unique indexes, and references to other tables.
 */
#ifndef MIGRATE_PROFILE_REFERENCE_H
#define MIGRATE_PROFILE_REFERENCE_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"

#include "verify/profile_column.h"

extern void profile_find_unique(Relation rel, ProfileColumn *columns, int n);
extern void profile_find_unproven(Oid relid, ProfileColumn *columns, int n);
extern List *profile_guess_references(Relation rel, const ProfileColumn *columns, int n);
extern void profile_count_orphans(Oid relid, ProfileColumn *columns, int n, List *guessed, const char *source);

#endif							/* MIGRATE_PROFILE_REFERENCE_H */
