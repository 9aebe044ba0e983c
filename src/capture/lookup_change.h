/*
 * lookup_change.h
 *		Rows of tables that expressions read have changed.
 */
#ifndef MIGRATE_LOOKUP_CHANGE_H
#define MIGRATE_LOOKUP_CHANGE_H

#include "capture/dual_write.h"

extern void lookup_change_record(Capture *c);

#endif							/* MIGRATE_LOOKUP_CHANGE_H */
