/*
 * sketch.h
 *		Difference sketches: which keys differ between two sets of rows.
 */
#ifndef MIGRATE_SKETCH_H
#define MIGRATE_SKETCH_H

#include "postgres.h"
#include "utils/array.h"

#include "hash/checksum.h"

/* Limits of the number of cells: to 80 MB. */
#define SKETCH_MIN_CELLS 30
#define SKETCH_MAX_CELLS 2000000

extern Checksum sketch_checksum(Datum sketch);
extern ArrayType *sketch_difference(Datum a, Datum b);

#endif							/* MIGRATE_SKETCH_H */
