/*
 * quarantine.h
 *		Rows that cannot be stored in the target, and rows that meet a rule.
 */
#ifndef MIGRATE_QUARANTINE_H
#define MIGRATE_QUARANTINE_H

#include "postgres.h"

#include "catalog/mapping.h"
#include "catalog/mapping_rule.h"
#include "catalog/migration.h"
#include "copy/position.h"

/* Copies a stretch of rows by some mappings in a subtransaction; NULL or the error. */
typedef ErrorData *(*StretchCopy) (void *arg, List *mappings, Stretch stretch, int64 *rows);

/* A batch that is copied without the rows that cannot be stored. */
typedef struct Quarantine
{
	const Migration *g;
	List	   *mappings;
	const Extent *extent;
	StretchCopy copy;
	void	   *arg;
	int64		rows;			/* result: inserted */
	int64		rejected;		/* result */
	const ErrorData *last;		/* why the last one was rejected */
} Quarantine;

extern bool quarantine_may_isolate(const ErrorData *error);
extern void quarantine_copy(Quarantine *q, Stretch stretch);
extern void quarantine_list_stretch(const Mapping *m, const Extent *e, Stretch stretch);
extern void quarantine_list_source(const Mapping *m, const MappingRule *rule);
extern ArrayType *quarantine_keys_without(const Mapping *m, const char *sql, ArrayType *keys);
extern void quarantine_list_keys(const Mapping *m, ArrayType *keys);
extern void quarantine_list_all(const Mapping *m);
extern bool quarantine_keep(const Mapping *m, Datum key, const ErrorData *error);
extern void quarantine_review(const Mapping *m);
extern void quarantine_failed_keys(const Migration *g);
extern ArrayType *quarantine_standing(const Mapping *m);

#endif							/* MIGRATE_QUARANTINE_H */
