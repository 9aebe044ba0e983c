/*
 * circle.h
 *		Keys that can only be settled together, as foreign keys go round.
 */
#ifndef MIGRATE_CIRCLE_H
#define MIGRATE_CIRCLE_H

#include "postgres.h"

#include "copy/settle.h"

extern void circle_settle(const Settlement *s);

#endif							/* MIGRATE_CIRCLE_H */
