/*
 * transition.h
 *		Keeps rows from being collected that nobody would look at.
 */
#ifndef MIGRATE_TRANSITION_H
#define MIGRATE_TRANSITION_H

#include "postgres.h"

extern void transition_note_function(Oid funcid);
extern void transition_init(void);

#endif							/* MIGRATE_TRANSITION_H */
