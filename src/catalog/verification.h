/*
 * verification.h
 *		Rows of migrate_ext.verification.
 */
#ifndef MIGRATE_VERIFICATION_H
#define MIGRATE_VERIFICATION_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

#include "hash/checksum.h"

typedef struct Verification
{
	int64		id;
	int64		mapping_id;
	const char *method;			/* scan, range, sample or keys */
	int64		source_rows;
	int64		target_rows;
	int64		filtered;
	int64		rejected;
	int64		deduplicated;
	int64		expanded;		/* how many more rows they become than they are */
	int64		pending;
	int64		missing;
	int64		extra;
	int64		different;
	Checksum	source_checksum;
	Checksum	target_checksum;
	Checksum	pending_checksum;	/* the source's rows of these, without the target's */
	bool		checksum_match;
	bool		clean;
	char	   *snapshot;		/* pg_snapshot's text */
	bool		has_lsn;		/* no LSN on a standby */
	uint64		lsn;
	TimestampTz started_at;
	Interval	elapsed;
	int64		job_id;			/* 0: none */
	bool		finished;
	Datum		position;		/* jsonb: the last key that was compared; 0: none yet */
	int64		ranges;			/* how many were compared */
	int64		range_rows;		/* size of the next one; 0: none yet */
} Verification;

extern void verification_insert(Verification *v);
extern Verification *verification_find_open(int64 job_id);
extern List *verification_list(int64 job_id);
extern void verification_update(Verification *v);
extern void verification_sum(int64 job_id, int64 *ranges, int64 *rows, int64 *differing);
extern bool verification_pass_is_clean(int64 job_id, int64 *differing);
extern TimestampTz verification_last_start(int64 job_id);
extern void verification_delete_open(int64 job_id);
extern bool verification_last_is_clean(int64 mapping_id, bool in_one_snapshot, int64 most_pending, char **measured);
extern bool verification_last_rejected(int64 mapping_id, double most, char **measured);

#endif							/* MIGRATE_VERIFICATION_H */
