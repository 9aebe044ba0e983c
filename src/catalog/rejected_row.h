/*
 * rejected_row.h
 *		Rows of migrate_ext.rejected_row.
 */
#ifndef MIGRATE_REJECTED_ROW_H
#define MIGRATE_REJECTED_ROW_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "utils/array.h"

/* What the lists say instead of a rule's name where another row of the key is moved. */
#define DEDUPE_RULE "dedupe_by"

extern void rejected_row_add(int64 mapping_id, Datum key, Datum image, const ErrorData *error);
extern bool rejected_row_note_again(int64 mapping_id, Datum key, const ErrorData *error);
extern void rejected_row_list_rule(int64 mapping_id, const char *rule, const char *action, ArrayType *keys, ArrayType *images, bool again);
extern void rejected_row_add_duplicates(int64 mapping_id, ArrayType *keys, ArrayType *images);
extern void rejected_row_forget_duplicates(int64 mapping_id);
extern void rejected_row_list_duplicates(int64 mapping_id, ArrayType *keys, ArrayType *also, ArrayType *first, ArrayType *images);
extern void rejected_row_forget(int64 mapping_id, ArrayType *keys, const char *rule);
extern void rejected_row_requeue(int64 migration_id);
extern void rejected_row_delete_all(int64 migration_id);
extern int64 rejected_row_count_failed(int64 migration_id);
extern int64 rejected_row_count(int64 mapping_id);
extern ArrayType *rejected_row_leave_out(int64 mapping_id, ArrayType *keys, ArrayType *more);
extern bool rejected_row_any(int64 mapping_id);
extern ArrayType *rejected_row_read_keys(int64 mapping_id, const char *rule);
extern ArrayType *rejected_row_read_source_keys(int64 mapping_id, List *columns);

#endif							/* MIGRATE_REJECTED_ROW_H */
