/*
 * job_range.h
 *		Rows of migrate_ext.job_range.
 */
#ifndef MIGRATE_JOB_RANGE_H
#define MIGRATE_JOB_RANGE_H

#include "postgres.h"

typedef struct JobRange
{
	int64		job_id;
	int			range_no;
	int			stage;
	Oid			source;			/* the mapped relation */
	Oid			relation;		/* the leaf whose blocks these are */
	Oid			filenode;		/* the leaf's, when the range was made */
	int64		next_block;
	int64		end_block;
	int			batch_blocks;	/* last batch's size; 0: none yet */
} JobRange;

extern void job_range_insert(int64 job_id, int stage, Oid source, Oid relation, Oid filenode,
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
