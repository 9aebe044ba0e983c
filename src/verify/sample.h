/*
 * sample.h
 *		Compares random rows, field by field.
 */
#ifndef MIGRATE_VERIFY_SAMPLE_H
#define MIGRATE_VERIFY_SAMPLE_H

#include "postgres.h"

#include "verify/compare.h"

extern double sample_estimated_rows(Oid relid);
extern ArrayType *sample_strata(const Mapping *m, int64 n);
extern ArrayType *sample_keys(const Mapping *m, int64 n);
extern void sample_compare(const Mapping *m, const CompareOptions *options, int64 n, Comparison *c);

#endif							/* MIGRATE_VERIFY_SAMPLE_H */
