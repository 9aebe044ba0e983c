/*
 * identity.h
 *		Who runs a statement, and under which settings.
 */
#ifndef MIGRATE_IDENTITY_H
#define MIGRATE_IDENTITY_H

#include "postgres.h"

#define MIGRATE_SCHEMA "migrate_ext"

typedef struct Identity
{
	Oid			userid;			/* to return to */
	int			sec_context;
	int			guc_level;		/* 0 if no setting is pinned */
} Identity;

extern bool identity_catalog_exists(void);
extern void identity_stay(Identity *saved);
extern void identity_become_catalog(Identity *saved);
extern void identity_become_owner(Identity *saved, Oid owner, const char *time_zone);
extern void identity_become_role(Identity *saved, Oid role);
extern void identity_restore(const Identity *saved);
extern void identity_require_member(Oid owner, const char *migration);
extern void identity_require_relation_owner(Oid relid);

#endif							/* MIGRATE_IDENTITY_H */
