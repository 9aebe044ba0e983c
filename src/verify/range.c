/*
 * range.c
 *		Verification by ranges of keys: one of them at a time.
 *
 * Spans of keys in the order of the target's key, the first and the last one
 * open, so that every row lies in one.  Each is compared in a snapshot of its own,
 * which is held no longer.  Where the last one ended, and what was found, is in the
 * verification's row: any worker can go on.
 */
#include "postgres.h"

#include "utils/snapmgr.h"

#include "base/spi.h"
#include "verify/range.h"

/* Rows of a range, at least, at first and at most. */
#define MIN_ROWS 1000
#define FIRST_ROWS 10000
#define MAX_ROWS 10000000

/* The key that ends the range after another; 0: it is the last range. */
static Datum
range_end(const Mapping *m, Datum after, int64 rows)
{
	SpiScope	scope;
	Datum		key = (Datum) 0;

	spi_open_owner(&scope, m->owner, m->time_zone);
	if (spi_read(projection_span_end(m, after), SPI_ARGS(spi_int8(rows - 1))) > 0)
		key = spi_get_copy(&scope, 0, 1);
	spi_close(&scope);
	return key;
}

/* Adds what one range has shown. */
static void
add_range(Verification *v, const Verification *range)
{
	v->source_rows += range->source_rows;
	v->target_rows += range->target_rows;
	v->filtered += range->filtered;
	v->rejected += range->rejected;
	v->deduplicated += range->deduplicated;
	v->expanded += range->expanded;
	v->pending += range->pending;
	v->missing += range->missing;
	v->extra += range->extra;
	v->different += range->different;
	checksum_add(&v->source_checksum, range->source_checksum);
	checksum_add(&v->target_checksum, range->target_checksum);
	checksum_add(&v->pending_checksum, range->pending_checksum);
	v->checksum_match = v->checksum_match && range->checksum_match;
	v->clean = v->clean && range->clean;
	v->snapshot = range->snapshot;
	v->has_lsn = range->has_lsn;
	v->lsn = range->lsn;
	v->elapsed.time += range->elapsed.time;
	v->ranges++;
}

/* The number of rows for the next range, after one that took a time. */
static int64
next_rows(int64 rows, double elapsed_ms, double target_ms)
{
	double		factor = Min(2.0, Max(0.5, target_ms / Max(elapsed_ms, 1.0)));

	return Min(MAX_ROWS, Max(MIN_ROWS, (int64) (rows * factor)));
}

/*
 * A verification that has compared nothing yet.
 */
void
range_begin(const Mapping *m, int64 job_id)
{
	Verification v = {0};

	v.mapping_id = m->id;
	v.method = "range";
	v.job_id = job_id;
	v.started_at = GetCurrentTimestamp();
	v.checksum_match = true;
	v.clean = true;
	v.range_rows = FIRST_ROWS;
	compare_note_snapshot(&v);
	verification_insert(&v);
}

/* Compares the next range of a verification, in about the target time, and stores what it shows. */
void
range_step(const Mapping *m, const CompareOptions *options, double target_ms, Verification *v)
{
	CompareOptions o = *options;
	Comparison	c;
	Datum		end;

	o.max_divergences = Max(0, o.max_divergences - Min(o.max_divergences, v->missing + v->extra + v->different));
	compare_keep_still(m);
	PushActiveSnapshot(GetLatestSnapshot());
	end = range_end(m, v->position, v->range_rows);
	compare_span(m, &o, projection_key_span(m, v->position, end), &c);
	PopActiveSnapshot();
	add_range(v, &c.totals);
	v->position = end;
	v->finished = end == (Datum) 0;
	v->range_rows = next_rows(v->range_rows, c.totals.elapsed.time / 1000.0, target_ms);
	divergence_insert(v->id, m->id, c.divergences, c.ndivergences);
	verification_update(v);
}
