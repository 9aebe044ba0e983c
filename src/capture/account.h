/*
 * account.h
 *		Dual writes that fail too often are switched off.
 */
#ifndef MIGRATE_ACCOUNT_H
#define MIGRATE_ACCOUNT_H

#include "postgres.h"

#include "catalog/mapping.h"
#include "catalog/migration.h"
#include "catalog/write_error.h"

extern void (*account_look_hook) (const Migration *g);

extern void account_note(const Mapping *m, int64 keys, Datum key, const DirtyKeyError *error);
extern bool account_is_exceeded(const Migration *g, const WriteAccount *account);
extern void account_watch(const Migration *g);

#endif							/* MIGRATE_ACCOUNT_H */
