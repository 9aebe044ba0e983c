/*
 * write_error.h
 *		Rows of migrate_ext.write_error: dual writes that failed.
 */
#ifndef MIGRATE_WRITE_ERROR_H
#define MIGRATE_WRITE_ERROR_H

#include "postgres.h"

#include "catalog/dirty_key.h"

/* What a mapping's account says since it was last reset. */
typedef struct WriteAccount
{
	int64		errors;			/* keys whose dual write failed */
	int64		writes;			/* rows written to the source */
	double		rate;
	bool		degraded;
} WriteAccount;

extern int64 write_error_add(int64 mapping_id, int64 keys, Datum key, const DirtyKeyError *error);
extern void write_error_measure(int64 mapping_id, WriteAccount *account);
extern int64 write_error_count_since(int64 mapping_id, int seconds);
extern bool write_error_degrade(int64 mapping_id);
extern bool write_error_any_degraded(int64 migration_id);
extern void write_error_reset(int64 migration_id);

#endif							/* MIGRATE_WRITE_ERROR_H */
