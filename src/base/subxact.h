/*
 * subxact.h
 *		Work that may fail, in a subtransaction.
 */
#ifndef MIGRATE_SUBXACT_H
#define MIGRATE_SUBXACT_H

#include "postgres.h"

typedef void (*SubxactWork) (void *arg);

extern ErrorData *subxact_try(SubxactWork work, void *arg);
extern ErrorData *subxact_probe(SubxactWork work, void *arg);
extern bool error_must_propagate(const ErrorData *error);
extern bool error_is_transient(const ErrorData *error);
extern char *error_sqlstate(const ErrorData *error);

#endif							/* MIGRATE_SUBXACT_H */
