/*
 * restate.h
 *		Stored expressions keep what they mean when tables change their names.
 */
#ifndef MIGRATE_RESTATE_H
#define MIGRATE_RESTATE_H

#include "postgres.h"
#include "nodes/pg_list.h"

extern List *restate_read(void);
extern void restate_write(List *expressions);

#endif							/* MIGRATE_RESTATE_H */
