/*
 * projection.h
 *		Mapping -> SQL.  Nobody else concatenates column lists.
 */
#ifndef MIGRATE_PROJECTION_H
#define MIGRATE_PROJECTION_H

#include "postgres.h"
#include "catalog/job_range.h"
#include "catalog/mapping.h"

/* Names of the transition tables. */
#define OLD_TABLE "migrate_old"
#define NEW_TABLE "migrate_new"

/*
 * Which keys of a statement's transition tables.  But for the last the filter
 * is left out: it may be what fails, and a key too many does no harm.
 */
typedef enum TransitionKeys
{
	KEYS_OLD,					/* of the old rows */
	KEYS_NEW,					/* of the new rows */
	KEYS_BOTH,					/* of either */
	KEYS_GONE					/* of old rows and not of new rows */
} TransitionKeys;

#define NUM_TRANSITION_KEYS (KEYS_GONE + 1)

/* How to look for target rows. */
typedef enum TargetLock
{
	TARGET_UNLOCKED,
	TARGET_LOCKED,				/* waits */
	TARGET_SKIP_LOCKED
} TargetLock;

/*
 * Copy: parameters $1 and $2 are the bounds, ctid >= $1 and < $2, or of a relation
 * without blocks, key >= $1 and <= $2.  $3 is a tid[] of rows that are not to be copied.
 */
extern char *projection_copy(const Mapping *m, const Extent *e, bool optimistic);
extern char *projection_key_range(const Mapping *m, const Extent *e);
extern char *projection_range_images(const Mapping *m, const Extent *e, const char *condition, bool with_key);
extern char *projection_set_in_place(const Mapping *m, Oid leaf);
extern char *projection_range_differing(const Mapping *m, Oid leaf);
extern char *projection_row_key(const Mapping *m);

/* Dual write: over the transition tables; lists of statements in order. */
extern List *projection_upsert_new(const Mapping *m);
extern List *projection_replace_new(const Mapping *m);
extern List *projection_upsert_images(const Mapping *m);
extern List *projection_upsert_old(const Mapping *m);
extern List *projection_delete_old(const Mapping *m);
extern List *projection_delete_gone(const Mapping *m);
extern char *projection_transition_keys(const Mapping *m, TransitionKeys which);

/* Sync: parameter $1 is a jsonb[] of keys. */
extern char *projection_find_source(const Mapping *m);
extern char *projection_all_images(const Mapping *m, const char *condition);
extern char *projection_find_meeting(const Mapping *m, const char *condition);
extern char *projection_meeting_images(const Mapping *m, const char *condition);
extern char *projection_source_images(const Mapping *m);
extern char *projection_lock_source(const Mapping *m);
extern char *projection_find_target(const Mapping *m, TargetLock lock);
extern List *projection_upsert_keys(const Mapping *m);
extern char *projection_insert_images(const Mapping *m, const char *into);
extern char *projection_duplicates_of_keys(const Mapping *m);
extern char *projection_null_keys(const Mapping *m);
extern char *projection_duplicates(const Mapping *m);
extern char *projection_lost_rows(const Mapping *m);
extern char *projection_images_at(const Mapping *m, Oid leaf);
extern List *projection_replace_keys(const Mapping *m);
extern List *projection_settle_rows(const Mapping *m);
extern char *projection_out_of_scope(const Mapping *m);
extern char *projection_rejected_rows(const Mapping *m, const Mapping *forward);
extern char *projection_changed_by_way_back(const Mapping *m, const Mapping *back);
extern char *projection_keys_among(const Mapping *m);
extern List *projection_delete_keys(const Mapping *m, bool unprojected_only);

/* Which keys are compared; $1 is a jsonb[] of those left out, or given. */
typedef enum ComparedKeys
{
	KEYS_ALL,
	KEYS_LEFT_OUT,
	KEYS_GIVEN
} ComparedKeys;

/* Conditions on the rows of either side: an interval of keys. */
typedef struct KeySpan
{
	char	   *source;
	char	   *target;
	bool		first;			/* of all rows of the source, what no key tells is counted here */
} KeySpan;

/*
 * Verify: with a span, of these rows only.  With "without", parameter $1 is a jsonb[] of keys
 * whose rows are left out; with cells, a sketch.
 */
extern char *projection_checksum_call(const char *values, int n);
extern char *projection_source_checksum(const Mapping *m, int cells, bool without, const KeySpan *span);
extern char *projection_target_checksum(const Mapping *m, int cells, bool without, const KeySpan *span);
extern char *projection_compare(const Mapping *m, bool values, ComparedKeys which, const KeySpan *span);
extern bool projection_has_key_order(const Mapping *m);
extern KeySpan *projection_key_span(const Mapping *m, Datum after, Datum upto);
extern char *projection_span_end(const Mapping *m, Datum after);
extern char *projection_sample_keys(const Mapping *m, double source_percent, double target_percent);
extern char *projection_edge_keys(const Mapping *m, double percent);
extern char *projection_read_row(const Mapping *m, bool target);
extern char *projection_recent_keys(const Mapping *m);
extern char *projection_keys_by_hash(const Mapping *m);
extern char *projection_compare_multisets(const Mapping *m, bool values, ComparedKeys which);
extern char *projection_ambiguous_keys(const Mapping *m);
extern char *projection_repeated_keys(const Mapping *m, const KeySpan *span);
extern char *projection_source_columns(const Mapping *m);
extern char *projection_target_columns(const Mapping *m);
extern char *projection_compare_aggregates(const Mapping *m, List *group_by);

/* Facts about a mapping's shape and state. */
extern char *projection_target_exists(const Mapping *m);
extern char *projection_column_max(const Mapping *m, const char *column);
extern char *projection_copied_column(const Mapping *m, const char *column);
extern bool projection_key_sources(const Mapping *m, List **names);
extern bool projection_source_is_unique(const Mapping *m, bool always);
extern bool projection_is_queued(const Mapping *m);
extern bool projection_sees_conflict(const Mapping *m);
extern List *projection_uncovered_required(const Mapping *m);
extern bool projection_may_replace(const Mapping *m);
extern bool projection_covers_all(const Mapping *m);
extern char *projection_discriminator(const Mapping *m, const char *alias);
extern MappingColumn *projection_column(const Mapping *m, const char *name);

#endif							/* MIGRATE_PROJECTION_H */
