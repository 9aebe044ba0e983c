/*
 * in_place.h
 *		Keeps the two shapes of a row equal where they are in one table.
 */
#ifndef MIGRATE_IN_PLACE_H
#define MIGRATE_IN_PLACE_H

#include "postgres.h"
#include "access/htup.h"
#include "commands/trigger.h"

#include "capture/plan_cache.h"

extern HeapTuple in_place_apply(CaptureSet *set, const TriggerData *trigger);

#endif							/* MIGRATE_IN_PLACE_H */
