/*
 * quarantine.c
 *		Rows that cannot be stored in the target, and rows that meet a rule.
 *
 * A batch that fails on its data is halved until the bad rows stand alone.  Of
 * those, whose values clash or whose parent is missing are left to the sync at
 * the end of the copy, which may find the cause gone; the others are rejected.
 * What the sync could not settle, and has no target row, is rejected then.
 *
 * A rejected row is told by its key.  It stands as long as its key has no row on
 * the new side: until the application mends it, or a retry succeeds.  Standing
 * rows are left out of comparisons, or a repair on the way back would delete
 * them from the old side, where alone they are.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/quote.h"
#include "base/setting.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "catalog/dirty_key.h"
#include "catalog/rejected_row.h"
#include "copy/quarantine.h"
#include "projection/key.h"
#include "projection/projection.h"
#include "projection/reference.h"

/* Rows of a rule are listed so many at a time. */
#define LIST_ROWS 1000

/* Is it the data that failed?  Anything else would fail for every row. */
bool
quarantine_may_isolate(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION:
		case ERRCODE_WITH_CHECK_OPTION_VIOLATION:
		case ERRCODE_EXTERNAL_ROUTINE_EXCEPTION:
		case ERRCODE_EXTERNAL_ROUTINE_INVOCATION_EXCEPTION:
			return true;
		default:
			/* a row, or what an index holds of it, that no page has room for */
			return error->sqlerrcode == ERRCODE_RAISE_EXCEPTION || error->sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
	}
}

/* May the cause be gone at the end of the copy? */
static bool
may_pass_later(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION || error->sqlerrcode == ERRCODE_EXCLUSION_VIOLATION ||
		error->sqlerrcode == ERRCODE_FOREIGN_KEY_VIOLATION;
}

/* Raises if more rows were rejected than may be: so many, at least. */
static void
check_limit(const Migration *g, int64 rejected, const ErrorData *last)
{
	int			most = setting_int(g->settings, "max_rejects");

	if (rejected <= most)
		return;
	if (most == 0)
		ereport(ERROR,
				(errcode(last->sqlerrcode),
				 errmsg("%s", last->message),
				 errhint("Mend the row, or set max_rejects.")));
	ereport(ERROR,
			(errcode(last->sqlerrcode),
			 errmsg("more than %d rows were rejected (max_rejects), the last one with: %s", most, last->message),
			 errhint("migrate_rejected lists them.")));
}

/* A row's key and image. */
typedef struct RowRead
{
	const Mapping *m;
	const Extent *extent;
	Stretch		stretch;
	bool		with_key;
	uint64		found;			/* result: rows, as many as it becomes in the target */
	Datum		key;
	ArrayType  *keys;			/* of all of them */
	Datum		image;
} RowRead;

/* Work for subxact_try: reads the row of a stretch. */
static void
work_read_row(void *arg)
{
	RowRead    *r = arg;
	SpiScope	scope;

	spi_open_owner(&scope, r->m->owner, r->m->time_zone);
	r->found = stretch_run(r->extent, r->stretch, projection_range_images(r->m, r->extent, NULL, r->with_key));
	if (r->found > 0)
	{
		r->key = spi_get_copy(&scope, 0, 1);
		r->keys = r->with_key ? spi_get_jsonbs(&scope, r->found) : NULL;
		r->image = spi_get_copy(&scope, 0, 2);
	}
	spi_close(&scope);
}

/* Leaves keys to a sync. */
static void
add_dirty(const Mapping *m, ArrayType *keys, const ErrorData *error)
{
	DirtyKeyError why = {error_sqlstate(error), error->message};

	(void) dirty_key_add(m->id, keys, "error", &why);
}

/* The same, of a row that becomes several: a sync tells which of them is to blame.  One whose key has a null in it has no place. */
static void
set_aside_set(Quarantine *q, const Mapping *m, const RowRead *row, ErrorData *error)
{
	Datum	   *keys;
	int			n;
	int			left = 0;

	deconstruct_array(row->keys, JSONBOID, -1, false, TYPALIGN_INT, &keys, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		if (!key_has_null(keys[i]))
		{
			keys[left++] = keys[i];
			continue;
		}
		rejected_row_add(m->id, keys[i], row->image, error);
		q->rejected++;
		check_limit(q->g, q->rejected, error);
		q->last = error;
	}
	if (left > 0)
		add_dirty(m, construct_array(keys, left, JSONBOID, -1, false, TYPALIGN_INT), error);
}

/* Puts the one row of a stretch, which one mapping cannot store, where it belongs. */
static void
set_aside(Quarantine *q, const Mapping *m, Stretch stretch, ErrorData *error)
{
	RowRead		row = {m, q->extent, stretch, true};

	if (subxact_try(work_read_row, &row) != NULL)
	{
		row.with_key = false;	/* it is the key that cannot be derived */
		(void) subxact_try(work_read_row, &row);
	}
	if (row.found > 0 && row.with_key && ref_expands(m))
	{
		set_aside_set(q, m, &row, error);
		return;
	}
	if (row.found != 1)
		ReThrowError(error);	/* no row of the source is to blame, or it cannot be told which */
	if (mapping_is_in_place(m) && !may_pass_later(error))
		ReThrowError(error);	/* it is its own target: there is no place without it */
	if (may_pass_later(error) && row.key != (Datum) 0)
	{
		add_dirty(m, row.keys, error);
		return;
	}
	rejected_row_add(m->id, row.key, row.image, error);
	q->rejected++;
	check_limit(q->g, q->rejected, error);	/* of all batches, when this one is over */
	q->last = error;
}

/* Copies a stretch of one row: mapping by mapping, as not all may refuse it. */
static void
copy_one(Quarantine *q, Stretch stretch)
{
	ListCell   *lc;

	foreach(lc, q->mappings)
	{
		Mapping    *m = lfirst(lc);
		int64		rows = 0;
		ErrorData  *error = q->copy(q->arg, list_make1(m), stretch, &rows);

		if (error == NULL)
			q->rows += rows;
		else if (quarantine_may_isolate(error))
			set_aside(q, m, stretch, error);
		else
			ReThrowError(error);
	}
}

/* Copies a stretch; true if it failed on its data. */
static bool
fails(Quarantine *q, Stretch stretch)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "migrate_ext attempt", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	int64		rows = 0;
	ErrorData  *error = q->copy(q->arg, q->mappings, stretch, &rows);
	bool		failed;

	if (error != NULL && !quarantine_may_isolate(error))
		ReThrowError(error);
	q->rows += error == NULL ? rows : 0;
	failed = error != NULL;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return failed;
}

/* Halves a stretch that has failed, until rows stand alone. */
static void
copy_halves(Quarantine *q, Stretch stretch)
{
	Stretch		half[2];

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (!stretch_is_divisible(stretch))
	{
		copy_one(q, stretch);
		return;
	}
	half[0].low = stretch.low;
	half[0].high = half[1].low = stretch_middle(stretch);
	half[1].high = stretch.high;
	for (int i = 0; i < 2; i++)
	{
		if (fails(q, half[i]))
			copy_halves(q, half[i]);
	}
}

/*
 * Copies a stretch that has failed as a whole, without the rows that cannot be
 * stored.  Raises what is not the fault of a row, and where too many rows were
 * rejected: the caller rolls all of it back.
 */
void
quarantine_copy(Quarantine *q, Stretch stretch)
{
	copy_halves(q, stretch);
	if (q->rejected > 0)
		check_limit(q->g, rejected_row_count_failed(q->g->id), q->last);
}

/* A rule that only flags rows may fail, and must not keep a key from being settled. */
static bool
rule_rejects(const MappingRule *rule)
{
	return strcmp(rule->action, "reject") == 0;
}

/* Lists rows that met a rule: SPI_tuptable has their keys, in this column, and then their images. */
static void
list_rows(const Mapping *m, const MappingRule *rule, uint64 n, int column, bool again)
{
	Datum	   *keys = palloc(sizeof(Datum) * Max(n, 1));
	Datum	   *images = palloc(sizeof(Datum) * Max(n, 1));

	if (n == 0)
		return;
	for (uint64 i = 0; i < n; i++)
	{
		keys[i] = spi_get_datum(i, column);
		images[i] = spi_get_datum(i, column + 1);
	}
	rejected_row_list_rule(m->id, rule->name, rule->action,
						   construct_array(keys, n, JSONBOID, -1, false, TYPALIGN_INT),
						   construct_array(images, n, JSONBOID, -1, false, TYPALIGN_INT), again);
}

/* Lists the rows of a stretch that meet a rule of the mapping. */
void
quarantine_list_stretch(const Mapping *m, const Extent *e, Stretch stretch)
{
	ListCell   *lc;

	if (!m->has_rules)
		return;					/* of each batch */
	foreach(lc, mapping_rule_list(m->id))
	{
		MappingRule *rule = lfirst(lc);
		SpiScope	scope;

		spi_open_owner(&scope, m->owner, m->time_zone);
		list_rows(m, rule, stretch_run(e, stretch, projection_range_images(m, e, rule->condition, true)), 1, true);
		spi_close(&scope);
	}
}

/* Lists all rows of the source that meet a rule and are not listed yet. */
void
quarantine_list_source(const Mapping *m, const MappingRule *rule)
{
	SpiScope	scope;
	SPIPlanPtr	plan;
	Portal		portal;

	spi_open_owner(&scope, m->owner, m->time_zone);
	plan = SPI_prepare(projection_all_images(m, rule->condition), 0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare a rule: %s", SPI_result_code_string(SPI_result));
	PushActiveSnapshot(GetLatestSnapshot());
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	PopActiveSnapshot();
	for (;;)
	{
		SPI_cursor_fetch(portal, true, LIST_ROWS);
		if (SPI_processed == 0)
			break;
		list_rows(m, rule, SPI_processed, 1, false);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	spi_close(&scope);
}

/* Those of some keys that are not marked as found, by their numbers from 1; NULL if there are none. */
static ArrayType *
keys_not_found(ArrayType *keys, uint64 rows)
{
	Datum	   *elems;
	bool	   *found;
	int			n;
	int			left = 0;

	deconstruct_array(keys, JSONBOID, -1, false, TYPALIGN_INT, &elems, NULL, &n);
	found = palloc0(sizeof(bool) * (n + 1));
	for (uint64 i = 0; i < rows; i++)
		found[spi_get_int8(i, 1)] = true;
	for (int i = 0; i < n; i++)
	{
		if (!found[i + 1])
			elems[left++] = elems[i];
	}
	return left == 0 ? NULL : construct_array(elems, left, JSONBOID, -1, false, TYPALIGN_INT);
}

/* Those of some keys that a query over $1, which returns their numbers in the active snapshot, does not return; NULL if there are none. */
ArrayType *
quarantine_keys_without(const Mapping *m, const char *sql, ArrayType *keys)
{
	SpiScope	scope;
	ArrayType  *left;
	MemoryContext spi;

	spi_open_owner(&scope, m->owner, m->time_zone);
	spi_read(sql, SPI_ARGS(spi_datum(JSONBARRAYOID, PointerGetDatum(keys), false)));
	spi = MemoryContextSwitchTo(scope.caller);
	left = keys_not_found(keys, SPI_processed);
	MemoryContextSwitchTo(spi);
	spi_close(&scope);
	return left;
}

/* On the way back: what stands for the keys of rejected rows of the old side, which has none; NULL if there are no such rows. */
static ArrayType *
keys_of_rejected(const Mapping *m)
{
	ArrayType  *rejected = rejected_row_read_keys(m->reverse_of, NULL);
	ArrayType  *keys;
	SpiScope	scope;
	uint64		n;

	if (rejected == NULL)
		return NULL;
	spi_open_owner(&scope, m->owner, m->time_zone);
	n = spi_read(projection_rejected_rows(m, mapping_get(m->reverse_of)), SPI_ARGS(spi_datum(JSONBARRAYOID, PointerGetDatum(rejected), false)));
	keys = n > 0 ? spi_get_jsonbs(&scope, n) : NULL;
	spi_close(&scope);
	return keys;
}

/*
 * The keys, as of the mapping's target, of rows that could not be stored and
 * still have no row on the new side, in the active snapshot.  NULL if there are
 * none.
 */
ArrayType *
quarantine_standing(const Mapping *m)
{
	ArrayType  *keys = !m->reverse ? rejected_row_read_keys(m->id, NULL) : ref_is_multiset(m) ? keys_of_rejected(m) :
		rejected_row_read_source_keys(m->reverse_of, m->key);

	if (keys == NULL || mapping_is_in_place(m))
		return NULL;
	if (m->reverse && ref_dedupes(m))
		return keys;			/* a part of a set was rejected: with the others alone the row would lose it */
	return quarantine_keys_without(m, m->reverse ? projection_find_source(m) : projection_find_target(m, TARGET_UNLOCKED), keys);
}

/* Has a key no target row now? */
static bool
has_no_target(const Mapping *m, Datum key)
{
	ArrayType  *keys = construct_array(&key, 1, JSONBOID, -1, false, TYPALIGN_INT);
	bool		result;

	PushActiveSnapshot(GetLatestSnapshot());
	result = quarantine_keys_without(m, projection_find_target(m, TARGET_UNLOCKED), keys) != NULL;
	PopActiveSnapshot();
	return result;
}

/*
 * A key could not be settled.  If its row is rejected already, it stays so, and
 * the key need not wait in the queue.
 */
bool
quarantine_keep(const Mapping *m, Datum key, const ErrorData *error)
{
	return !m->reverse && quarantine_may_isolate(error) && rejected_row_any(m->id) &&
		has_no_target(m, key) && rejected_row_note_again(m->id, key, error);
}

/*
 * Brings the lists of what rules reject up to date for some keys that are being settled: their
 * rows may meet a rule, or meet it no more, because a table has changed that it reads.
 */
void
quarantine_list_keys(const Mapping *m, ArrayType *keys)
{
	ListCell   *lc;

	foreach(lc, mapping_rule_list(m->id))
	{
		MappingRule *rule = lfirst(lc);
		SpiScope	scope;
		ArrayType  *others;
		uint64		n;

		if (!rule_rejects(rule))
			continue;
		spi_open_owner(&scope, m->owner, m->time_zone);
		n = spi_run(projection_meeting_images(m, rule->condition), SPI_ARGS(spi_datum(JSONBARRAYOID, PointerGetDatum(keys), false)));
		others = keys_not_found(keys, n);
		list_rows(m, rule, n, 2, true);
		if (others != NULL)
			rejected_row_forget(m->id, others, rule->name);
		spi_close(&scope);
	}
}

/* Takes the rows off the list of a rule that do not meet it any more, in the active snapshot. */
static void
review_rule(const Mapping *m, const MappingRule *rule)
{
	ArrayType  *keys = rejected_row_read_keys(m->id, rule->name);

	if (keys != NULL && (keys = quarantine_keys_without(m, projection_find_meeting(m, rule->condition), keys)) != NULL)
		rejected_row_forget(m->id, keys, rule->name);
}

/*
 * The same for all rows, where any may be concerned: one that another rule rejects now
 * differs in nothing that a comparison of the two sides could see.
 */
void
quarantine_list_all(const Mapping *m)
{
	ListCell   *lc;

	foreach(lc, mapping_rule_list(m->id))
	{
		MappingRule *rule = lfirst(lc);

		if (!rule_rejects(rule))
			continue;
		PushActiveSnapshot(GetLatestSnapshot());
		review_rule(m, rule);
		PopActiveSnapshot();
		quarantine_list_source(m, rule);
	}
}

/* Takes rows off the lists that have a target row now, or do not meet their rule any more. */
void
quarantine_review(const Mapping *m)
{
	ListCell   *lc;
	ArrayType  *keys;

	PushActiveSnapshot(GetLatestSnapshot());
	if ((keys = rejected_row_read_keys(m->id, NULL)) != NULL && !mapping_is_in_place(m) &&
		(keys = quarantine_keys_without(m, projection_find_source(m), keys)) != NULL)
		rejected_row_forget(m->id, keys, NULL);	/* the source row is gone */
	foreach(lc, mapping_rule_list(m->id))
		review_rule(m, lfirst(lc));
	PopActiveSnapshot();
}

/* The image of the source row with a key; 0 if there is none. */
static Datum
read_image(const Mapping *m, Datum key)
{
	ArrayType  *keys = construct_array(&key, 1, JSONBOID, -1, false, TYPALIGN_INT);
	SpiScope	scope;
	Datum		image = (Datum) 0;

	spi_open_owner(&scope, m->owner, m->time_zone);
	if (spi_run(projection_source_images(m), SPI_ARGS(spi_datum(JSONBARRAYOID, PointerGetDatum(keys), false))) > 0)
		image = spi_get_copy(&scope, 0, 2);
	spi_close(&scope);
	return image;
}

/*
 * At the end of a copy: the keys that could not be settled, because of their
 * data, and have no target row are rejected.
 */
void
quarantine_failed_keys(const Migration *g)
{
	ListCell   *lc;
	const ErrorData *last = NULL;

	foreach(lc, mapping_list(g->id, MAPPING_FORWARD))
	{
		Mapping    *m = lfirst(lc);
		ListCell   *failed;

		if (mapping_is_in_place(m))
			continue;
		foreach(failed, dirty_key_list_failed(m->id))
		{
			FailedKey  *f = lfirst(failed);
			Datum		image;

			if (!quarantine_may_isolate(&f->error) || !has_no_target(m, f->key) ||
				(image = read_image(m, f->key)) == (Datum) 0)
				continue;
			rejected_row_add(m->id, f->key, image, &f->error);
			dirty_key_settled(m->id, &f->id, 1);
			last = &f->error;
		}
	}
	if (last != NULL)
		check_limit(g, rejected_row_count_failed(g->id), last);
}
