/*
 * verification.h
 *		Rows of migrate_ext.verification.
 */
#ifndef MIGRATE_VERIFICATION_H
#define MIGRATE_VERIFICATION_H

#include "postgres.h"
#include "datatype/timestamp.h"

#include "hash/checksum.h"

typedef struct Verification
{
	int64		id;
	int64		mapping_id;
	const char *method;
	int64		source_rows;
	int64		target_rows;
	int64		filtered;
	int64		rejected;
	int64		deduplicated;
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
} Verification;

extern void verification_insert(Verification *v);
extern bool verification_last_is_clean(int64 mapping_id, char **measured);
extern bool verification_last_rejected(int64 mapping_id, double most, char **measured);

#endif							/* MIGRATE_VERIFICATION_H */
