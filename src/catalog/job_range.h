/*
 * job_range.h
 *		Rows of migrate_ext.job_range.
 */
#ifndef MIGRATE_JOB_RANGE_H
#define MIGRATE_JOB_RANGE_H

#include "postgres.h"

/*
 * A leaf relation, and what its blocks are.  Where it has none of its own, block
 * n is EXTENT_STEP keys from key_base + n * EXTENT_STEP on; the first and the last
 * one are open.
 */
typedef struct Extent
{
	Oid			relation;
	char	   *key_column;		/* NULL: heap blocks; empty: all rows are block 0 */
	int64		key_base;
	int64		key_blocks;		/* how many there are */
} Extent;

#define EXTENT_STEP 80

/* Are all rows of the relation one batch? */
static inline bool
extent_is_whole(const Extent *e)
{
	return e->key_column != NULL && e->key_column[0] == '\0';
}

typedef struct JobRange
{
	int64		job_id;
	int			range_no;
	int			stage;
	Oid			source;			/* the mapped relation */
	Extent		extent;			/* the leaf whose blocks these are */
	Oid			filenode;		/* the leaf's, when the range was made */
	int64		next_block;
	int64		end_block;
	int			batch_blocks;	/* last batch's size; 0: none yet */
} JobRange;

extern void job_range_insert(int64 job_id, int stage, Oid source, const Extent *extent, Oid filenode,
							 int64 blocks, int64 chunk);
extern void job_range_delete(int64 job_id, Oid relation);
extern bool job_range_take(int64 job_id, JobRange *range);
extern bool job_range_exists(int64 job_id, Oid relation);
extern void job_range_sum(int64 job_id, int64 *done, int64 *total, int64 *rows);
extern bool job_range_all_done(int64 job_id);
extern void job_range_checkpoint(const JobRange *range, int64 next_block, int64 rows,
								 int batch_blocks);
extern void job_range_note_retry(const JobRange *range, int batch_blocks);

#endif							/* MIGRATE_JOB_RANGE_H */
