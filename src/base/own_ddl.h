/*
 * own_ddl.h
 *		DDL of our own, which our event triggers leave alone.
 */
#ifndef MIGRATE_OWN_DDL_H
#define MIGRATE_OWN_DDL_H

#include "postgres.h"

extern void own_ddl_run(void (*work) (void *arg), void *arg);
extern bool own_ddl_is_under_way(void);

#endif							/* MIGRATE_OWN_DDL_H */
