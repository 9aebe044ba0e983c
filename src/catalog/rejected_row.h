/*
 * rejected_row.h
 *		Rows of migrate_ext.rejected_row.
 */
#ifndef MIGRATE_REJECTED_ROW_H
#define MIGRATE_REJECTED_ROW_H

#include "postgres.h"

extern int64 rejected_row_read_count(int64 mapping_id);

#endif							/* MIGRATE_REJECTED_ROW_H */
